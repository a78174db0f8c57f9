//! Keys of groups: what opens, what does not, and what a crash or a thief finds.

mod orders;
mod state;
mod vectors;

use alloc::vec::Vec;

use proptest::prelude::*;

use crate::group::keys::chain::{MAX_AGE, MAX_JUMP, MAX_SKIPPED};
use crate::group::keys::schedule::{Place, first_of_chain};
use crate::group::keys::wire::{self, OVERHEAD, Parts};
use crate::group::keys::{
    Epoch, Epochs, Header, Opened, Secret, SecretMessage, Tags, Unopened, commitment, header_of, public,
};
use crate::id::{GroupId, NodeId, OpId};
use crate::rng::Rng;
use crate::time::WallTime;

const GROUP: GroupId = GroupId([0x61; 32]);
const OP: OpId = OpId([0x62; 32]);
const WALL: WallTime = WallTime(1_767_225_600_000);

fn node(n: usize) -> NodeId {
    let mut id = [0x11; 32];
    id[..4].copy_from_slice(&(n as u32).to_be_bytes());
    NodeId(id)
}

fn nodes(count: usize) -> Vec<NodeId> {
    (0..count).map(node).collect()
}

fn epoch_of(secret: u8, op: OpId, count: usize, me: usize) -> Epoch {
    Epoch::new(GROUP, op, nodes(count), node(me), &Secret::new([secret; 32]), WALL).unwrap()
}

fn epoch(count: usize, me: usize) -> Epoch {
    epoch_of(7, OP, count, me)
}

fn run(text: &[u8]) -> Vec<u8> {
    [[0xee; 64].as_slice(), text].concat()
}

fn opened(sender: usize, number: u32, text: &[u8]) -> Result<Opened, Unopened> {
    Ok(Opened { sender: node(sender), number, body: run(text) })
}

/// Fails if the layout grows, if the tag or the nonce is left out, or if the text shows.
#[test]
fn a_message_costs_128_bytes_with_its_signature() {
    let (mut a, mut b, mut rng) = (epoch(3, 0), epoch(3, 1), Rng::new([1; 32]));
    let message = a.seal(&mut rng, &run(b"hello")).unwrap();
    assert_eq!((OVERHEAD, message.len()), (64, 128 + 5));
    assert_eq!(header_of(&message), Some(Header { tags: a.tags(), sender: 0, number: 0 }));
    assert!(!message.windows(5).any(|part| part == b"hello"));
    assert_eq!(b.open(&message, WALL), opened(0, 0, b"hello"));
    assert_eq!(a.seal(&mut rng, &[0; 63]), None);
}

/// Fails if a message may come without the place of a signature, or under another kind or suite.
#[test]
fn what_is_no_message_is_malformed() {
    let (mut a, mut b, mut rng) = (epoch(3, 0), epoch(3, 1), Rng::new([1; 32]));
    let message = a.seal(&mut rng, &run(b"")).unwrap();
    for len in 0..message.len() {
        assert_eq!(b.open(&message[..len], WALL), Err(Unopened::Malformed), "{len}");
        assert_eq!(header_of(&message[..len]), None);
    }
    for at in 0..2 {
        let mut other = message.clone();
        other[at] ^= 2;
        assert_eq!(b.open(&other, WALL), Err(Unopened::Malformed));
    }
    assert_eq!(b.open(&message, WALL), opened(0, 0, b""));
}

/// Fails if an index beyond the holders is taken modulo, or if an own message that comes back changes a chain.
#[test]
fn senders_that_there_are_not_and_own_messages_are_told_apart() {
    let (mut a, mut rng) = (epoch(3, 0), Rng::new([1; 32]));
    let mut message = a.seal(&mut rng, &run(b"mine")).unwrap();
    let before = a.rows();
    assert_eq!(a.open(&message, WALL), Err(Unopened::Own));
    for index in [3u16, 4, 256, u16::MAX] {
        message[18..20].copy_from_slice(&index.to_le_bytes());
        assert_eq!(a.open(&message, WALL), Err(Unopened::NoSuchSender));
    }
    assert_eq!(a.rows(), before);
    message[17] ^= 1;
    assert_eq!(a.open(&message, WALL), Err(Unopened::OtherEpoch));
}

/// Fails if the header, the group or the epoch's operation is left out of the bound data: with one key for all only they
/// tell two messages apart.
#[test]
fn a_tag_binds_the_place_of_its_message() {
    let at = Place { group: GROUP, op: OP };
    let header = Header { tags: Tags([3; 16]), sender: 1, number: 5 };
    let message = wire::seal(&[9; 32], at, &header, [4; 24], &run(b"x")).unwrap();
    let open = |bytes: &[u8], at| Parts::read(bytes).unwrap().open(&[9; 32], at);
    assert_eq!(open(&message, at), Some(run(b"x")));
    assert_eq!(open(&message, Place { group: GroupId([0; 32]), ..at }), None);
    assert_eq!(open(&message, Place { op: OpId([0; 32]), ..at }), None);
    for byte in 2..24 {
        let mut other = message.clone();
        other[byte] ^= 1;
        assert_eq!(open(&other, at), None, "{byte}");
    }
}

/// Fails if chains are derived without their holder, the group or the operation.
#[test]
fn every_holder_of_every_epoch_has_its_own_chain() {
    let (mut b, mut rng) = (epoch(4, 1), Rng::new([1; 32]));
    let message = epoch(4, 0).seal(&mut rng, &run(b"a")).unwrap();
    let key = |e: &Epoch, n: usize| e.silent[n];
    let mut all: Vec<_> = [2, 3].map(|n| key(&b, n)).to_vec();
    for (group, op) in [(GroupId([1; 32]), OP), (GROUP, OpId([1; 32]))] {
        let other = Epoch::new(group, op, nodes(4), node(1), &Secret::new([7; 32]), WALL).unwrap();
        all.extend([2, 3].map(|n| key(&other, n)));
        assert_ne!((other.tags(), other.header), (b.tags(), b.header));
        assert_ne!(other.next, b.next);
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    assert_eq!(b.open(&message, WALL), opened(0, 0, b"a"));
}

/// Fails if a fresh epoch depends on the one before, or if its tags do: the removed holder kept all it ever had.
#[test]
fn a_removed_holder_neither_opens_nor_follows_a_fresh_epoch() {
    let (mut kept, mut rng) = (epoch(4, 3), Rng::new([1; 32]));
    let after = OpId([0x63; 32]);
    let secret = Secret::draw(&mut rng);
    let mut a = Epoch::new(GROUP, after, nodes(3), node(0), &secret, WALL).unwrap();
    let message = a.seal(&mut rng, &run(b"without you")).unwrap();
    let tags = header_of(&message).unwrap().tags;
    assert_ne!(tags.0[..8], kept.tags().0[..8], "the group's tag stayed");
    assert_ne!(tags.0[8..], kept.tags().0[8..], "the epoch's tag stayed");
    assert_eq!(kept.open(&message, WALL), Err(Unopened::OtherEpoch));
    // It knows the operation and everybody's names; of keys it has those of the epoch before, and tries each.
    let guesses = [kept.header, kept.next.unwrap(), *kept.hand_on().unwrap().as_bytes(), kept.silent[0]];
    for guess in guesses.map(Secret::new) {
        let mut guessed = Epoch::new(GROUP, after, nodes(3), node(1), &guess, WALL).unwrap();
        assert_ne!(guessed.tags(), tags);
        guessed.tags = tags;
        assert_eq!(guessed.open(&message, WALL), Err(Unopened::Failed));
    }
    let (_, mut next) = kept.successor(after.0, after, nodes(4), node(3), WALL).unwrap();
    next.tags = tags;
    assert_eq!(next.open(&message, WALL), Err(Unopened::Failed));
}

/// Fails if the successor does not depend on `next`, on the operation that adds, or can be turned back.
#[test]
fn an_added_holder_gets_the_derived_epoch_and_none_before() {
    let (mut a, mut b, mut rng) = (epoch(3, 0), epoch(3, 1), Rng::new([1; 32]));
    let before = a.seal(&mut rng, &run(b"before")).unwrap();
    let add = OpId([0x64; 32]);
    let (secret, mut after) = a.successor(add.0, add, nodes(4), node(0), WALL).unwrap();
    let (same, _) = b.successor(add.0, add, nodes(4), node(1), WALL).unwrap();
    assert!(secret == same);
    let (other, _) = b.successor([0x65; 32], add, nodes(4), node(1), WALL).unwrap();
    assert!(secret != other);
    let mut newcomer = Epoch::new(GROUP, add, nodes(4), node(3), &secret, WALL).unwrap();
    let message = after.seal(&mut rng, &run(b"welcome")).unwrap();
    assert_eq!(newcomer.open(&message, WALL), opened(0, 0, b"welcome"));
    assert_eq!(newcomer.open(&before, WALL), Err(Unopened::OtherEpoch));
    let guesses = [newcomer.header, newcomer.next.unwrap(), *secret.as_bytes(), newcomer.silent[0]];
    for guess in guesses.map(Secret::new) {
        let mut guessed = Epoch::new(GROUP, OP, nodes(3), node(2), &guess, WALL).unwrap();
        guessed.tags = a.tags();
        assert_eq!(guessed.open(&before, WALL), Err(Unopened::Failed));
    }
    b.forget_next();
    assert!(b.successor(add.0, add, nodes(4), node(1), WALL).is_none());
    assert!(a.successor(add.0, add, nodes(2), node(3), WALL).is_none(), "a stranger has no epoch");
}

/// Fails if a commitment is not compared, or does not bind secret and group.
#[test]
fn a_secret_that_its_operation_did_not_commit_to_is_refused() {
    let secret = Secret::new([7; 32]);
    let committed = commitment(&secret, GROUP);
    assert!(Epoch::is_committed(&secret, GROUP, &committed));
    assert!(!Epoch::is_committed(&Secret::new([8; 32]), GROUP, &committed));
    assert!(!Epoch::is_committed(&secret, GroupId([0; 32]), &committed));
    assert_ne!(committed, *secret.as_bytes());
}

/// Fails if a message may skip more than 2,000, if one that skips 2,000 is refused, or if the kept keys are other than
/// the newest 512.
#[test]
fn a_message_may_skip_2000_and_the_newest_512_open_late() {
    let (mut a, mut b, mut rng) = (epoch(2, 0), epoch(2, 1), Rng::new([1; 32]));
    let mut say = |a: &mut Epoch| a.seal(&mut rng, &run(b"x")).unwrap();
    let sent: Vec<_> = (0..=MAX_JUMP + 1).map(|_| say(&mut a)).collect();
    let before = b.rows();
    assert_eq!(b.open(&sent[2_001], WALL), Err(Unopened::TooFar));
    assert_eq!(b.rows(), before);
    assert_eq!(b.open(&sent[2_000], WALL), opened(0, 2_000, b"x"));
    assert_eq!(b.open(&sent[2_000 - 513], WALL), Err(Unopened::Used));
    assert_eq!(b.open(&sent[2_000 - 512], WALL), opened(0, 1_488, b"x"));
    assert_eq!(b.open(&sent[2_001], WALL), opened(0, 2_001, b"x"));
    assert_eq!(b.open(&sent[1_999], WALL), opened(0, 1_999, b"x"));
    // What is skipped later drives the oldest out: 510 are kept, and five more come.
    let more: Vec<_> = (0..6).map(|_| say(&mut a)).collect();
    assert_eq!(b.open(&more[5], WALL), opened(0, 2_007, b"x"));
    assert_eq!(b.open(&sent[1_489], WALL), Err(Unopened::Used), "the oldest goes first");
    assert_eq!(b.open(&sent[1_490], WALL), Err(Unopened::Used));
    assert_eq!(b.open(&sent[1_491], WALL), Err(Unopened::Used));
    assert_eq!(b.open(&sent[1_492], WALL), opened(0, 1_492, b"x"));
    let row = b.receiving.values().next().unwrap().row();
    assert_eq!(row.len(), 36 + 44 * (MAX_SKIPPED - 1));
}

/// Fails if kept keys stay longer than 7 days, or go before.
#[test]
fn kept_keys_are_wiped_after_7_days() {
    let (mut a, mut b, mut rng) = (epoch(2, 0), epoch(2, 1), Rng::new([1; 32]));
    let sent: Vec<_> = (0..4u8).map(|n| a.seal(&mut rng, &run(&[n])).unwrap()).collect();
    let (last, over) = (WallTime(WALL.0 + MAX_AGE - 1), WallTime(WALL.0 + MAX_AGE));
    assert_eq!(b.open(&sent[3], WALL), opened(0, 3, &[3]));
    let _ = b.changes();
    b.expire(last);
    assert!(b.changes().put.is_empty());
    assert_eq!(b.open(&sent[0], last), opened(0, 0, &[0]));
    assert_eq!(b.open(&sent[1], over), Err(Unopened::Used), "also before they are wiped");
    let _ = b.changes();
    b.expire(over);
    let put = b.changes().put;
    assert_eq!((put.len(), put[0].1.len()), (1, 36));
    assert_eq!(b.open(&sent[2], last), Err(Unopened::Used));
}

/// Fails if more than six epochs are held, if not the one superseded first goes, or if `next` or an epoch outlives its
/// time.
#[test]
fn epochs_go_when_their_time_is_over() {
    let mut held = Epochs::default();
    let at = |ms: u64| WallTime(WALL.0 + ms);
    let tags: Vec<_> = (0..8u8).map(|n| epoch_of(n, OpId([n; 32]), 2, 0).tags()).collect();
    for n in 0..6u8 {
        assert!(held.add(epoch_of(n, OpId([n; 32]), 2, 0)).is_none());
    }
    assert!(held.add(epoch_of(3, OpId([3; 32]), 2, 0)).is_none() && held.count() == 6, "it is held already");
    held.send_in(&tags[1], at(0));
    held.send_in(&tags[2], at(10));
    held.send_in(&tags[2], at(20));
    assert_eq!((held.count(), held.count_whole()), (6, 6));
    // The first, superseded at 0, is the oldest; the second was at 10.
    assert_eq!(held.add(epoch_of(6, OpId([6; 32]), 2, 0)).unwrap().tags(), tags[0]);
    assert_eq!(held.add(epoch_of(7, OpId([7; 32]), 2, 0)).unwrap().tags(), tags[3]);
    held.send_in(&tags[7], at(30));
    assert!(held.expire(at(3_600_009)).is_empty());
    let next = |held: &Epochs, n: usize| held.find(&tags[n]).unwrap().next.is_some();
    assert_eq!([1, 2, 4, 6, 7].map(|n| next(&held, n)), [true, true, false, true, true]);
    held.expire(at(3_600_010));
    assert!(!next(&held, 1) && next(&held, 2));
    held.find_mut(&tags[2]).unwrap().forget_secret();
    assert_eq!((held.count(), held.count_whole()), (6, 5));
    let gone: Vec<_> = held.expire(at(MAX_AGE + 10)).iter().map(Epoch::tags).collect();
    assert_eq!(gone, [tags[1], tags[4], tags[5]]);
    held.expire(at(MAX_AGE + 30));
    assert_eq!((held.count(), next(&held, 7)), (1, true), "the newest usable stays");
    assert!(held.find(&tags[1]).is_none());
}

/// Fails if a message in clear passes for a sealed one, or the other way round.
#[test]
fn messages_of_public_groups_are_in_clear_and_of_their_group() {
    let (mut a, mut b, mut rng) = (epoch(2, 0), epoch(2, 1), Rng::new([1; 32]));
    let message = public::wrap(GROUP, &run(b"all"));
    let said = run(b"all");
    assert_eq!(public::unwrap(&message), Ok((public::tags_of(GROUP), said.as_slice())));
    assert_ne!(public::tags_of(GROUP), public::tags_of(GroupId([0; 32])));
    assert_eq!(message.len(), 18 + 64 + 3);
    let mut posing = message.clone();
    posing[2..18].copy_from_slice(&b.tags().0);
    posing.extend([0; 64]);
    assert_eq!(b.open(&posing, WALL), Err(Unopened::Malformed));
    assert!(public::unwrap(&a.seal(&mut rng, &run(b"x")).unwrap()).is_err());
    assert!(public::unwrap(&message[..81]).is_err());
}

/// Fails if the message is other than 97 bytes, or takes anything but itself.
#[test]
fn the_message_with_a_secret_reads_back() {
    let said = SecretMessage { group: GROUP, op: OP, secret: Secret::new([9; 32]) };
    let bytes = said.encode();
    assert_eq!(bytes.len(), 97);
    assert!(SecretMessage::decode(&bytes).is_ok_and(|read| read == said));
    assert!((0..97).all(|len| SecretMessage::decode(&bytes[..len]).is_err()));
    assert!(SecretMessage::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert!(SecretMessage::decode(&[&[1], &bytes[1..]].concat()).is_err());
}

/// Fails if holders out of order, named twice or none at all make an epoch.
#[test]
fn holders_are_sorted_and_this_node_is_one() {
    let make = |holders: Vec<NodeId>, me| Epoch::new(GROUP, OP, holders, me, &Secret::new([1; 32]), WALL).is_some();
    assert!(make(nodes(1), node(0)) && make(nodes(65_536), node(65_535)));
    assert!(!make(nodes(65_537), node(0)));
    assert!(!make(nodes(3), node(3)) && !make(Vec::new(), node(0)));
    assert!(!make([node(1), node(0)].into(), node(0)) && !make([node(0), node(0)].into(), node(0)));
}

proptest! {
    /// Fails if anything is committed before the tag has verified.
    #[test]
    fn what_does_not_open_changes_nothing(
        skip in 0usize..40, before in 0usize..3, at in 0usize..10_000, flip in 1u8..=255, cut in any::<bool>(),
    ) {
        let (mut a, mut b, mut rng) = (epoch(40, 2), epoch(40, 35), Rng::new([3; 32]));
        for n in 0..before {
            let message = a.seal(&mut rng, &run(&[n as u8])).unwrap();
            prop_assert_eq!(b.open(&message, WALL), opened(2, n as u32, &[n as u8]));
        }
        (0..skip).for_each(|_| drop(a.seal(&mut rng, &run(b"lost"))));
        let message = a.seal(&mut rng, &run(b"forged")).unwrap();
        let mut forged = message.clone();
        let at = at % forged.len();
        if cut { forged.truncate(at) } else { forged[at] ^= flip }
        let _ = b.changes();
        let rows = b.rows();
        prop_assert!(b.open(&forged, WALL).is_err());
        prop_assert_eq!(b.rows(), rows);
        prop_assert_eq!(b.changes(), Default::default());
        prop_assert_eq!(b.open(&message, WALL), opened(2, (before + skip) as u32, b"forged"));
    }
}
