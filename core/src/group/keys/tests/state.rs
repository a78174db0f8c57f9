//! Rows of epochs: what is written is what is held, and a crash at any point repeats no key.

use super::*;
use crate::collections::{OrderedMap, OrderedSet};
use crate::group::keys::{Changes, Row};

/// What a store has of one epoch.
#[derive(Default)]
struct Disk(OrderedMap<Vec<u8>, Vec<u8>>);

impl Disk {
    fn write(&mut self, Changes { put, delete }: Changes) {
        for (key, value) in put {
            self.0.insert(key, value);
        }
        for key in delete {
            assert!(self.0.remove(&key).is_some(), "{key:?} was deleted and not there");
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.0.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn read(&self) -> Epoch {
        Epoch::restore(GROUP, &self.rows()).unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A sender says something that arrives, is held up or is lost.
    Arrives(usize),
    HeldUp(usize),
    Lost(usize),
    /// One that was held up arrives.
    Late(usize),
    /// One that arrived comes again.
    Again(usize),
    Expire,
    Forget,
    /// The receiver, or a sender, restarts.
    Restart,
    Restarts(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..3).prop_map(Step::Arrives),
        4 => (0usize..3).prop_map(Step::HeldUp),
        2 => (0usize..3).prop_map(Step::Lost),
        4 => any::<usize>().prop_map(Step::Late),
        2 => any::<usize>().prop_map(Step::Again),
        1 => Just(Step::Expire),
        1 => Just(Step::Forget),
        2 => Just(Step::Restart),
        1 => (0usize..3).prop_map(Step::Restarts),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Under loss, reordering, repeats and restarts every message opens once, to what was said, and the rows written so
    /// far are all that is held.
    ///
    /// Fails if a message is opened under another sender's chain, if a kept key is used twice or lost, if a changed row is
    /// not written, or if a restored epoch differs from the one that never stopped.
    #[test]
    fn messages_open_once_whatever_happens_on_the_way(steps in proptest::collection::vec(step(), 1..80)) {
        // Two senders in one block of holders, one in another, none of them the receiver.
        let places = [0usize, 31, 40];
        let mut senders = places.map(|n| epoch(45, n));
        let mut disks: [Disk; 3] = Default::default();
        let (mut receiver, mut disk, mut rng) = (epoch(45, 33), Disk::default(), Rng::new([5; 32]));
        disk.write(receiver.changes());
        let (mut held, mut arrived, mut count) = (Vec::new(), Vec::new(), 0u32);
        let mut say = |senders: &mut [Epoch; 3], disks: &mut [Disk; 3], n: usize| {
            count += 1;
            let text = count.to_le_bytes();
            let message = senders[n].seal(&mut rng, &run(&text)).unwrap();
            disks[n].write(senders[n].changes());
            (n, text, message)
        };
        for step in steps {
            let mut arriving = None;
            match step {
                Step::Arrives(n) => arriving = Some(say(&mut senders, &mut disks, n)),
                Step::HeldUp(n) => held.push(say(&mut senders, &mut disks, n)),
                Step::Lost(n) => drop(say(&mut senders, &mut disks, n)),
                Step::Late(at) if !held.is_empty() => arriving = Some(held.remove(at % held.len())),
                Step::Again(at) if !arrived.is_empty() => {
                    let (_, _, message): &(usize, [u8; 4], Vec<u8>) = &arrived[at % arrived.len()];
                    prop_assert_eq!(receiver.open(message, WALL), Err(Unopened::Used));
                }
                Step::Late(_) | Step::Again(_) => {}
                Step::Expire => receiver.expire(WALL),
                Step::Forget => receiver.forget_secret(),
                Step::Restart => receiver = disk.read(),
                Step::Restarts(n) if !disks[n].0.is_empty() => senders[n] = disks[n].read(),
                Step::Restarts(_) => {}
            }
            if let Some((n, text, message)) = arriving {
                let mut restored = disk.read();
                let number = header_of(&message).unwrap().number;
                prop_assert_eq!(receiver.open(&message, WALL), opened(places[n], number, &text));
                prop_assert_eq!(restored.open(&message, WALL), opened(places[n], number, &text));
                prop_assert_eq!(restored.rows(), receiver.rows());
                arrived.push((n, text, message));
            }
            disk.write(receiver.changes());
            prop_assert_eq!(disk.rows(), receiver.rows());
            prop_assert_eq!(receiver.check(), Ok(()));
            prop_assert_eq!(senders.iter().try_for_each(Epoch::check), Ok(()));
        }
        for (n, text, message) in held.into_iter().rev() {
            let number = header_of(&message).unwrap().number;
            prop_assert_eq!(receiver.open(&message, WALL), opened(places[n], number, &text));
        }
        disk.write(receiver.changes());
        disk.write(receiver.delete());
        prop_assert_eq!(disk.rows(), Vec::new());
    }

    /// A message leaves once its rows are on disk; the process dies before or after any of it.
    ///
    /// Fails if the row does not reserve, if a number in use is reserved again, or if rows are written too often.
    #[test]
    fn no_key_is_used_twice_whenever_it_crashes(runs in proptest::collection::vec((0usize..150, 0usize..3), 1..8)) {
        let mut disk = Disk::default();
        let mut sender = epoch(3, 1);
        disk.write(sender.changes());
        let (mut left, mut streams, mut written) = (OrderedSet::new(), OrderedSet::new(), 0);
        for (sealed, lost) in &runs {
            for _ in 0..*sealed {
                // Equal plaintexts under one nonce: an equal ciphertext is an equal key.
                let message = sender.seal_with([0; 24], &[0; 64]).unwrap();
                let number = header_of(&message).unwrap().number;
                let changes = sender.changes();
                written += changes.put.len();
                disk.write(changes);
                prop_assert!(left.insert(number), "{} twice", number);
                prop_assert!(streams.insert(message[48..112].to_vec()), "{} under a key that was used", number);
            }
            // Sealed, and the process dies before anything of it is written, so before it is sent.
            (0..*lost).for_each(|_| drop(sender.seal_with([0; 24], &[0; 64])));
            sender = disk.read();
        }
        let most = runs.iter().map(|(sealed, _)| sealed.div_ceil(64)).sum::<usize>();
        prop_assert!(written <= most, "{} rows for {:?}", written, runs);
        prop_assert!(left.iter().copied().next_back().is_none_or(|last| (last as usize) < 64 * most));
    }
}

/// Fails if a row of first keys keeps that of a holder that has spoken, or if the row stays when all have.
#[test]
fn first_keys_leave_the_store_when_their_holders_speak() {
    let (mut receiver, mut disk, mut rng) = (epoch(34, 33), Disk::default(), Rng::new([5; 32]));
    disk.write(receiver.changes());
    let first = receiver.silent[32];
    let has = |disk: &Disk| disk.rows().iter().any(|(_, value)| value.windows(32).any(|part| part == first));
    assert!(has(&disk));
    let message = epoch(34, 32).seal(&mut rng, &run(b"")).unwrap();
    assert_eq!(receiver.open(&message, WALL), opened(32, 0, b""));
    let changes = receiver.changes();
    assert_eq!((changes.put.len(), changes.delete.len()), (1, 1), "{changes:?}");
    disk.write(changes);
    assert!(!has(&disk));
    assert_eq!(disk.read().rows(), receiver.rows());
}

/// Fails if what is forgotten stays in the store.
#[test]
fn what_is_forgotten_leaves_the_store() {
    let (mut e, mut disk) = (epoch(3, 0), Disk::default());
    disk.write(e.changes());
    let (next, header) = (e.next.unwrap(), e.header);
    let has = |disk: &Disk, key: &[u8; 32]| disk.rows().iter().any(|(_, v)| v.windows(32).any(|part| part == key));
    assert!(has(&disk, &[7; 32]) && has(&disk, &next));
    e.forget_secret();
    disk.write(e.changes());
    assert!(!has(&disk, &[7; 32]) && has(&disk, &next));
    e.forget_next();
    disk.write(e.changes());
    assert!(!has(&disk, &next) && has(&disk, &header));
    e.forget_secret();
    e.forget_next();
    assert_eq!(e.changes(), Changes::default());
    let back = disk.read();
    assert!(back.next.is_none() && back.hand_on().is_none());
    assert_eq!((back.op(), back.tags(), back.made(), back.holders()), (OP, e.tags(), WALL, e.holders()));
}

/// Fails if an epoch is read from rows that lack some, or that do not fit each other.
#[test]
fn rows_that_do_not_fit_are_refused() {
    let (mut receiver, mut rng) = (epoch(40, 33), Rng::new([5; 32]));
    let message = epoch(40, 2).seal(&mut rng, &run(b"")).unwrap();
    assert!(receiver.open(&message, WALL).is_ok());
    let rows = receiver.rows();
    assert!(Epoch::restore(GROUP, &rows).is_ok());
    for at in 0..rows.len() {
        let mut less = rows.clone();
        let (key, value) = less.remove(at);
        assert!(Epoch::restore(GROUP, &less).is_err(), "without {key:?}");
        let longer = |by: usize| [value.as_slice(), &alloc::vec![0; by]].concat();
        let shorter = |by: usize| value[by..].to_vec();
        for other in [shorter(1), shorter(32), longer(1), longer(32), longer(32 * 32)] {
            less.push((key.clone(), other));
            assert!(Epoch::restore(GROUP, &less).is_err(), "{key:?} of another length");
            less.pop();
        }
    }
    let more = |key: &[u8]| [rows.clone(), [(key.to_vec(), Vec::new())].into()].concat();
    assert!([&[9][..], &[0, 0], &[2, 0, 9], &[]].iter().all(|key| Epoch::restore(GROUP, &more(key)).is_err()));
}

/// Fails if a restart forgets since when an epoch is superseded, and so begins its week again.
#[test]
fn since_when_an_epoch_is_superseded_is_stored() {
    let (mut held, mut disk) = (Epochs::default(), [Disk::default(), Disk::default()]);
    let tags = [7, 8].map(|secret| {
        let epoch = epoch_of(secret, OpId([secret; 32]), 3, 0);
        let tags = epoch.tags();
        assert!(held.add(epoch).is_none());
        tags
    });
    let write = |held: &mut Epochs, disk: &mut [Disk; 2]| {
        for (tags, disk) in tags.iter().zip(disk) {
            disk.write(held.find_mut(tags).unwrap().changes());
        }
    };
    write(&mut held, &mut disk);
    held.send_in(&tags[1], WALL);
    write(&mut held, &mut disk);
    let mut held = Epochs::restore(disk.iter().map(Disk::read).collect());
    held.send_in(&tags[1], WallTime(WALL.0 + 5));
    assert!(held.iter_mut().all(|epoch| epoch.changes() == Changes::default()));
    let gone = held.expire(WallTime(WALL.0 + MAX_AGE));
    assert_eq!(gone.iter().map(Epoch::tags).collect::<Vec<_>>(), [tags[0]]);
    assert_eq!(held.iter().map(Epoch::op).collect::<Vec<_>>(), [OpId([8; 32])]);
}

/// Fails if numbers that a restart leaves out are more than a block.
#[test]
fn a_restart_leaves_out_at_most_a_block() {
    let (mut sender, mut disk, mut rng) = (epoch(3, 0), Disk::default(), Rng::new([5; 32]));
    let mut receiver = epoch(3, 1);
    disk.write(sender.changes());
    for restart in 0..8u32 {
        assert_eq!(sender.sent(), 64 * restart);
        let message = sender.seal(&mut rng, &run(b"")).unwrap();
        disk.write(sender.changes());
        assert_eq!(receiver.open(&message, WALL), opened(0, 64 * restart, b""));
        sender = disk.read();
    }
}

/// Fails if after a restart another epoch than the oldest makes room.
#[test]
fn restored_epochs_make_room_oldest_first() {
    let make = |n: u64| {
        let secret = Secret::new([n as u8; 32]);
        Epoch::new(GROUP, OpId([n as u8; 32]), nodes(2), node(0), &secret, WallTime(WALL.0 + n)).unwrap()
    };
    let mut held = Epochs::restore([4, 2, 6, 1, 5, 3].map(make).into());
    assert_eq!(held.add(make(7)).map(|gone| gone.op()), Some(OpId([1; 32])));
    assert_eq!(held.add(make(8)).map(|gone| gone.op()), Some(OpId([2; 32])));
}

/// Fails if the key of a message says anything of the link after it, so that a kept key opens later messages, or if a link
/// stays as it is.
#[test]
fn the_key_of_a_message_is_no_link() {
    let mut e = epoch(3, 0);
    let mut seen = OrderedSet::new();
    for _ in 0..3 {
        let (key, _, _) = e.sending.step().unwrap();
        assert!(seen.insert(key.0) && seen.insert(e.sending.key()));
    }
}
