//! A chat over UDP in sixty lines. The first node prints a ticket, the others join with it:
//!
//! `cargo run -p donp-runtime --example chat -- alice`
//! `cargo run -p donp-runtime --example chat -- bob TICKET`
//!
//! Nothing is kept: a node with a profile keeps its identity and history (`Profile`).

use std::error::Error;
use std::io::BufRead;

use donp_core::{Content, Durable, Event, Identity, Ticket, Volatile, WallTime};
use donp_runtime::clock::entropy;
use donp_runtime::{EventStream, Lan, Node, NodeConfig};

/// Prints what happens until the node ends.
fn show(events: &EventStream) {
    while !events.is_finished() {
        events.wait(std::time::Duration::from_secs(60));
        for event in events.take(100) {
            match event {
                Event::Durable { event: Durable::Received(message), .. } => {
                    println!("{}: {}", message.author.short(), message.content.shown());
                }
                Event::Volatile(Volatile::PeerUp { peer, name: Some(name) }) => {
                    println!("* {name} is {}", peer.short());
                }
                Event::Volatile(Volatile::PeerDown { peer, .. }) => println!("* {} is gone", peer.short()),
                _ => {}
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let name = args.next().ok_or("usage: chat NAME [TICKET]")?;
    let ticket = args.next().map(|text| text.parse::<Ticket>()).transpose()?;

    let identity = Identity::generate(entropy()?, &name, WallTime(0))?;
    let mut config = NodeConfig::new(identity);
    config.listen = vec!["127.0.0.1:0".parse()?];
    config.lan = Lan::Off;
    let node = Node::open(config)?;
    if let Some(ticket) = &ticket {
        node.join_ticket(ticket)?;
    }
    println!("* invite others with: {}", node.invite()?.text());

    let events = node.subscribe();
    std::thread::scope(|scope| {
        scope.spawn(|| show(&events));
        for line in std::io::stdin().lock().lines() {
            match node.broadcast(Content::text(line?)) {
                Ok(_) => {}
                Err(e) => eprintln!("* {e}"),
            }
        }
        node.shutdown()?;
        Ok(())
    })
}
