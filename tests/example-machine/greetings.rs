//! Two nodes that link greet each other: the example's face, through the whole engine and a restart.

use donp_core::{Bootstrap, Config, Engine, Identity, Instant, MemoryStore, Output, Transmit, WallTime};

fn identity(n: u8) -> Identity {
    Identity::generate([n; 64], "echo", WallTime(1)).unwrap()
}

fn drain(engine: &mut Engine, store: &mut MemoryStore, now: Instant) -> Vec<Transmit> {
    let mut transmits = Vec::new();
    while let Some(output) = engine.poll() {
        match output {
            Output::Batch(batch) => {
                let seq = batch.seq;
                store.apply(batch);
                engine.handle_committed(now, seq);
            }
            Output::Transmit(transmit) => transmits.push(transmit),
            _ => {}
        }
    }
    transmits
}

#[test]
fn linked_nodes_greet_each_other_and_keep_the_count() {
    let addrs = ["10.0.0.1:4000".parse().unwrap(), "10.0.0.2:4000".parse().unwrap()];
    let mut now = Instant::ZERO;
    let mut engines: Vec<_> = (0..2u8)
        .map(|n| Engine::new(Config::default(), identity(n), [n; 32], now, WallTime(1)).unwrap())
        .collect();
    let mut stores = [MemoryStore::default(), MemoryStore::default()];
    engines[0].join(now, &[]).unwrap();
    engines[1].join(now, &[Bootstrap { addr: addrs[0], id: None }]).unwrap();
    for _ in 0..200 {
        for from in 0..2 {
            for t in drain(&mut engines[from], &mut stores[from], now) {
                let to = addrs.iter().position(|a| *a == t.to).unwrap();
                engines[to].handle_datagram(now, addrs[from], &t.bytes);
            }
        }
        now = engines.iter().filter_map(Engine::next_deadline).map(|d| d.at).min().unwrap().max(now);
        engines.iter_mut().for_each(|e| e.handle_timeout(now));
    }
    assert_eq!(engines.iter_mut().map(|e| e.greetings(now)).collect::<Vec<_>>(), [1, 1]);
    let again = Engine::restore(Config::default(), identity(0), stores[0].hot(), [9; 32], now, WallTime(1));
    assert_eq!(again.unwrap().greetings(now), 1);
}
