//! What the contract suite draws for this machine.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::contract::{Contract, Draw, PEERS, Script, Step, kinds, who};
use crate::device::wire::{Message, Private};
use crate::device::{DeviceTicket, Devices, In, Invite, JoinAccount, Out, RecoverAccount, RemoveDevice, RenameDevice};
use crate::fact::Fact;
use crate::fact::samples::{down, record};
use crate::id::NodeId;
use crate::time::WallTime;
use crate::wire::devices::Chain;
use crate::wire::ticket::Ticket;
use crate::wire::{Blob, encode};

/// The session identity key of a peer in scripts.
fn key(n: u8) -> [u8; 32] {
    [n.wrapping_add(1); 32]
}

fn ticket(n: u8) -> DeviceTicket {
    let network = Ticket { node: who(n).node_id(), name: "x".into(), addrs: Vec::new(), network_key: None };
    DeviceTicket { ticket: network, identity: key(n), secret: [n; 16] }
}

/// The account of a peer with one more device.
fn two(n: u8, other: u8) -> Option<Chain> {
    let (by, other) = (who(n), who(other));
    let cert = other.ask_cert(by.account().keys, "other", WallTime(2));
    Chain::begin(&by).add(&by, cert, WallTime(3)).ok()
}

fn message(d: &mut Draw<'_>) -> Message {
    let (n, other) = (d.below(PEERS), d.below(PEERS));
    let account = who(n).account_id();
    match d.below(5) {
        0 => Message::Have { account, head: [d.byte(); 32] },
        1 => Message::Want { account },
        2 => Message::Find { recovery: who(n).account().keys.recovery },
        3 => Message::Lists(Blob(Chain::begin(&who(n)).encode())),
        _ => Message::Lists(Blob(two(n, other).map_or_else(Vec::new, |chain| chain.encode()))),
    }
}

fn private(d: &mut Draw<'_>) -> Private {
    let (n, me) = (d.below(PEERS), who(0));
    match d.below(5) {
        0 => Private::Hello { secret: [n; 16] },
        1 => Private::Account { keys: who(n).account().keys },
        2 => Private::Join { secret: [n; 16], cert: who(n).ask_cert(me.account().keys, "n", WallTime(1)) },
        3 => Private::Refused,
        _ => {
            let chain = two(n, 0).map_or_else(Vec::new, |chain| chain.encode());
            Private::Welcome { secret: who(n).account().secret(), chain: Blob(chain) }
        }
    }
}

impl Contract for Devices {
    /// Chains, contacts and links.
    const MOST: usize = 5 * PEERS as usize;

    kinds!(In: Keys, Contact, Message, Opened, Ready, Meet, Private);

    fn want(out: &Out) -> Option<(NodeId, bool)> {
        match out {
            Out::Want(peer) => Some((*peer, true)),
            Out::Unwant(peer) => Some((*peer, false)),
            Out::Fact(_)
            | Out::Send { .. }
            | Out::Seal { .. }
            | Out::Unproven(_)
            | Out::Devices { .. }
            | Out::Own { .. }
            | Out::Changed { .. } => None,
        }
    }

    fn wants(&self) -> Option<crate::collections::OrderedSet<NodeId>> {
        Some(self.wanted.iter().copied().collect())
    }

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(18) {
            0 => {
                let n = d.below(PEERS);
                return Step::Fact(Fact::LinkUp { peer: who(n).node_id(), record: record(n), addr: d.addr() });
            }
            1 => return Step::Fact(down(d.peer())),
            2 => {
                let n = d.below(PEERS);
                In::Keys { device: who(n).public_key(), identity: key(n) }
            }
            3 => In::Contact { node: d.peer(), kept: d.coin() },
            4 => In::Message { from: d.peer(), body: d.bytes() },
            5 | 6 => In::Message { from: d.peer(), body: encode(&message(d)) },
            7 => In::Opened { from: d.peer(), identity: d.coin().then_some([1; 32]), body: d.bytes() },
            8 | 9 => {
                let n = d.below(PEERS);
                In::Opened { from: who(n).node_id(), identity: Some(key(n)), body: encode(&private(d)) }
            }
            10 => In::Ready(d.peer()),
            11 => return Step::Command(Box::new(Invite)),
            12 => return Step::Command(Box::new(JoinAccount(ticket(d.below(PEERS))))),
            13 => return Step::Command(Box::new(RenameDevice(if d.coin() { "new".into() } else { "other".into() }))),
            14 => match d.coin() {
                true => return Step::Command(Box::new(RemoveDevice(d.peer()))),
                false => {
                    let code = who(d.below(PEERS)).recovery_code().unwrap_or_default();
                    return Step::Command(Box::new(RecoverAccount(code)));
                }
            },
            15 => return Step::Fact(d.fact()),
            16 => In::Meet(d.peer()),
            _ => In::Private,
        })
    }
}

/// Valid inputs of the machine, for fuzzers.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // A link, its keys, a contact, its lists; a ticket and a device that joins with it; this device joins another.
    let mut all = Script::default();
    all.put(&[0, 0, 1, 1]).put(&[0, 2, 0]).put(&[0, 3, 1, 0]).put(&[0, 5, 1, 1, 2, 3]).put(&[0, 5, 1, 1, 2, 4]);
    for message in messages() {
        all.put(&[0, 4, 1]).bytes(&message);
    }
    all.put(&[0, 11]).put(&[0, 8, 1, 1, 0]).put(&[0, 8, 1, 1, 2]).put(&[0, 13, 0]).put(&[0, 14, 0, 1]);
    all.put(&[0, 12, 1]).put(&[0, 10, 1]).put(&[0, 8, 1, 1, 1]).put(&[0, 8, 1, 1, 4]).put(&[0, 14, 1, 0]).put(&[210]);
    alloc::vec![all.0]
}

/// One message of each kind.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let chain = two(1, 2).map_or_else(Vec::new, |chain| chain.encode());
    alloc::vec![
        encode(&Message::Have { account: who(1).account_id(), head: [7; 32] }),
        encode(&Message::Want { account: who(1).account_id() }),
        encode(&Message::Lists(Blob(chain))),
        encode(&Message::Find { recovery: who(1).account().keys.recovery }),
    ]
}

/// Chains that are valid, of one account.
pub(crate) fn chains() -> Vec<Vec<u8>> {
    let all =
        [Some(Chain::begin(&who(1))), two(1, 2), two(1, 2).and_then(|c| c.remove(&who(1), who(2).node_id()).ok())];
    all.into_iter().flatten().map(|chain| chain.encode()).collect()
}
