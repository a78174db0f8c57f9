use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::identity::tests::identity;

fn id(n: u8) -> NodeId {
    identity(n).node_id()
}

/// Device `n` in the account that identity 1 began.
fn device(n: u8) -> Identity {
    let founder = identity(1);
    identity(n).with_account(founder.account().clone(), "test".into())
}

fn cert(n: u8) -> DeviceCert {
    identity(n).ask_cert(identity(1).account().keys, "test", WallTime(u64::from(n)))
}

fn recovery() -> Recovery {
    Recovery::read(&identity(1).recovery_code().unwrap()).unwrap()
}

fn founded() -> Chain {
    Chain::begin(&identity(1))
}

/// Devices 1, 2, 3, each added by the one before.
fn three() -> Chain {
    let two = founded().add(&device(1), cert(2), WallTime(5)).unwrap();
    two.add(&device(2), cert(3), WallTime(6)).unwrap()
}

fn passes(chain: &Chain) -> bool {
    Chain::decode(&chain.encode(), None).is_ok_and(|read| read == *chain)
}

/// A list after the newest of a chain, with these entries, signed by a device that says to have this place.
fn forged(chain: &Chain, by: u8, place: u8, entries: Vec<Entry>, certs: Vec<DeviceCert>) -> Chain {
    let head = chain.head();
    let (by, place) = (&device(by), (head.generation + 1, head.hash(), place));
    let list = DeviceList::sign(by.account(), (place.0, place.1), entries, (&By::Device(by), place.2));
    chain.after(list, certs)
}

fn without(chain: &Chain, node: NodeId) -> (Vec<Entry>, Vec<DeviceCert>) {
    let all = chain.head().entries.iter().zip(&chain.certs);
    all.filter(|(e, _)| node_id(&e.device) != node).map(|(e, c)| (*e, c.clone())).unzip()
}

#[test]
fn chains_are_read_as_they_are_written() {
    for chain in [founded(), three(), three().remove(&device(1), id(2)).unwrap()] {
        assert!(passes(&chain));
        let bytes = chain.encode();
        assert!(bytes.len() <= MAX_CHAIN);
        for end in 0..bytes.len() {
            assert!(Chain::decode(&bytes[..end], None).is_err(), "{end}");
        }
    }
    assert_eq!(three().devices().collect::<Vec<_>>(), vec![id(1), id(2), id(3)]);
}

/// Mutation: no signature of a chain is checked when it is read.
#[test]
fn a_changed_bit_in_a_chain_is_refused() {
    let bytes = three().encode();
    for at in (0..bytes.len()).step_by(7) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert!(Chain::decode(&bad, None).is_err(), "{at}");
        assert!(Chain::decode(&bad, Some(&three())).is_err(), "{at}, with a true one at hand");
    }
}

/// Addendum, "thief removes the senior device". Mutation: `may_touch` holds for all, or for a senior or equal device.
#[test]
fn a_thief_of_a_junior_device_removes_no_senior() {
    let chain = three();
    let (entries, certs) = without(&chain, id(1));
    // The thief says what it is, what it is not, and that it is the recovery key.
    for place in [1, 0, RECOVERY] {
        assert!(!passes(&forged(&chain, 2, place, entries.clone(), certs.clone())), "{place}");
    }
    assert_eq!(chain.remove(&device(2), id(1)), Err(Unmade::Senior));
    // Nor by another order of seniority, or a list in which the senior has another certificate.
    let mut swapped = (chain.head().entries.clone(), chain.certs.clone());
    swapped.0.swap(0, 1);
    swapped.1.swap(0, 1);
    assert!(!passes(&forged(&chain, 2, 1, swapped.0, swapped.1)));
    let mut renamed = (chain.head().entries.clone(), chain.certs.clone());
    let fresh = device(2).account().certify(identity(1).ask_cert(*chain.keys(), "thief's", WallTime(9)));
    renamed.0[0].cert = cert_hash(&fresh);
    renamed.1[0] = fresh;
    assert!(!passes(&forged(&chain, 2, 1, renamed.0, renamed.1)));
    assert!(passes(&chain.remove(&device(1), id(2)).unwrap()), "the senior may");
    assert!(passes(&chain.remove(&device(2), id(2)).unwrap()), "and each may leave");
}

/// The account's key alone, which each device has, signs no list. Mutation: the second signature is not checked.
#[test]
fn the_account_key_alone_changes_nothing() {
    let chain = founded();
    let stranger = device(7);
    let cert = stranger.device_cert();
    let entry = Entry { device: cert.device, added: WallTime(1), cert: cert_hash(&cert) };
    let entries = vec![chain.head().entries[0], entry];
    let certs = vec![chain.certs[0].clone(), cert.clone()];
    assert!(!passes(&forged(&chain, 7, 0, entries, certs)));
    let by = By::Device(&stranger);
    let alone = DeviceList::sign(stranger.account(), (1, [0; 32]), vec![entry], (&by, 0));
    assert!(!passes(&Chain { lists: vec![alone], certs: vec![cert] }), "another first list");
}

/// Mutation: consent is not checked.
#[test]
fn nobody_lists_a_device_that_did_not_ask() {
    let chain = founded();
    let mut stolen = cert(2);
    stolen.consent = identity(3).ask_cert(*chain.keys(), "test", WallTime(2)).consent;
    assert_eq!(chain.add(&device(1), stolen.clone(), WallTime(5)), Err(Unmade::Device));
    let stolen = device(1).account().certify(stolen);
    let entry = Entry { device: stolen.device, added: WallTime(5), cert: cert_hash(&stolen) };
    let entries = vec![chain.head().entries[0], entry];
    assert!(!passes(&forged(&chain, 1, 0, entries, vec![chain.certs[0].clone(), stolen])));
}

/// Addendum, "ninth device". Mutation: the count is not compared when a list is read.
#[test]
fn a_ninth_device_is_refused() {
    let mut chain = founded();
    for n in 2..=8 {
        chain = chain.add(&device(1), cert(n), WallTime(5)).unwrap();
    }
    assert!(passes(&chain));
    assert_eq!(chain.add(&device(1), cert(9), WallTime(5)), Err(Unmade::Devices));
    let ninth = device(1).account().certify(cert(9));
    let mut entries = chain.head().entries.clone();
    entries.push(Entry { device: ninth.device, added: WallTime(5), cert: cert_hash(&ninth) });
    let certs = [chain.certs.clone(), vec![ninth]].concat();
    assert!(!passes(&forged(&chain, 1, 0, entries, certs)));
}

/// Addendum, "two lists of one generation". Mutation: the lower hash alone decides, or the longer chain.
#[test]
fn of_two_lists_of_one_generation_the_senior_stands() {
    let chain = three();
    let by_senior = chain.remove(&device(1), id(3)).unwrap();
    // Longer, and made to have a lower hash.
    let by_junior = (0..16u64).map(|n| {
        let added = chain.add(&device(2), cert(4), WallTime(n)).unwrap();
        added.add(&device(2), cert(5), WallTime(n)).unwrap()
    });
    let by_junior: Vec<Chain> = by_junior.collect();
    assert!(by_junior.iter().any(|c| c.lists[3].hash() < by_senior.head().hash()));
    for other in by_junior {
        assert!(by_senior.rank(&other).is_gt() && other.rank(&by_senior).is_lt());
    }
    // Two of one device: the lower hash, at every node.
    let (a, b) = (chain.rename(&device(1), "a", WallTime(7)), chain.rename(&device(1), "b", WallTime(7)));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.rank(&b), b.head().hash().cmp(&a.head().hash()));
}

/// Addendum, "list that goes back". Mutation: the shorter of a chain and its beginning stands.
#[test]
fn a_list_never_goes_back_to_its_own_past() {
    let newest = three().remove(&device(1), id(2)).unwrap();
    for old in [founded(), three()] {
        assert!(newest.rank(&old).is_gt() && old.rank(&newest).is_lt());
    }
    assert!(newest.rank(&newest).is_eq());
}

/// Mutation: the signer of the first list in which two chains differ decides alone.
#[test]
fn a_removed_device_does_not_undo_it_from_an_earlier_place() {
    // Device 3 adds 4, then 1 removes 2. Device 2 is senior to 3, and goes on from before 3's list.
    let chain = three();
    let by_three = chain.add(&device(3), cert(4), WallTime(7)).unwrap();
    let removed = by_three.remove(&device(1), id(2)).unwrap();
    let undone = chain.add(&device(2), cert(5), WallTime(7)).unwrap();
    assert!(removed.rank(&undone).is_gt());
    // And not as a device that came back later, in a place where it is senior again.
    let back = removed.add(&device(1), cert(2), WallTime(8)).unwrap();
    assert!(back.rank(&undone).is_gt());
}

/// Mutation: the base of a chain is not compared first, or the recovery's signature is not checked.
#[test]
fn the_recovery_code_outranks_every_device() {
    let chain = three();
    let account = identity(1).account().clone();
    let recovered = chain.recover((&account, &recovery()), |n| n == id(3), None, WallTime(9)).unwrap();
    assert!(passes(&recovered));
    assert_eq!(recovered.devices().collect::<Vec<_>>(), vec![id(3)]);
    assert_eq!(recovered.keys().person(), id(1), "the person is still named by the first device");
    let mut thief = chain.clone();
    for n in 4..=8 {
        thief = thief.add(&device(1), cert(n), WallTime(5)).unwrap();
    }
    assert!(recovered.rank(&thief).is_gt());
    // A node without the code makes no such list.
    let other = Recovery::read(&identity(2).recovery_code().unwrap()).unwrap();
    let fake = chain.recover((&account, &other), |n| n == id(2), None, WallTime(9)).unwrap();
    assert!(!passes(&fake));
}

/// A node makes an account and says that the first device of another is its first one, and that the recovery key took
/// over.
/// Mutation: a chain may begin with a list of the recovery key.
#[test]
fn a_stranger_makes_no_chain_in_the_name_of_a_first_device() {
    let mallory = identity(6);
    let keys = AccountKeys { first: identity(1).public_key(), ..mallory.account().keys };
    let account = Account::new(&mallory.account().secret(), keys).unwrap();
    let code = Recovery::read(&mallory.recovery_code().unwrap()).unwrap();
    let own = account.certify(mallory.ask_cert(keys, "test", WallTime(5)));
    let entry = Entry { device: own.device, added: WallTime(5), cert: cert_hash(&own) };
    let by = By::Recovery(&code);
    let list = DeviceList::sign(&account, (2, [0; 32]), vec![entry], (&by, RECOVERY));
    assert!(!passes(&Chain { lists: vec![list.clone()], certs: vec![own.clone()] }));
    // Nor after the first list of its own account, or of the other's.
    for first in [Chain::begin(&mallory), founded()] {
        assert!(!passes(&Chain { lists: vec![first.lists[0].clone(), list.clone()], certs: vec![own.clone()] }));
    }
}

/// Mutation: the lower hash alone decides where one device signed in both.
#[test]
fn a_first_device_that_left_does_not_come_back_by_an_old_copy() {
    let chain = three();
    let left = chain.remove(&device(1), id(1)).unwrap();
    let later = left.rename(&device(2), "b", WallTime(9)).unwrap();
    for n in 0..32 {
        let fork = chain.rename(&device(1), "again", WallTime(n)).unwrap();
        assert!(left.rank(&fork).is_gt() && later.rank(&fork).is_gt() && fork.rank(&left).is_lt());
    }
}

/// A stolen junior fills the chain with lists of its own. Mutation: a full chain is not cut.
#[test]
fn a_junior_that_fills_the_chain_is_removed_all_the_same() {
    let mut chain = three();
    let mut n = 0;
    while !chain.is_full() {
        n += 1;
        chain = chain.rename(&device(3), ["a", "b"][n % 2], WallTime(n as u64)).unwrap();
    }
    let removed = chain.remove(&device(1), id(3)).unwrap();
    assert!(passes(&removed) && removed.rank(&chain).is_gt());
    assert_eq!(removed.devices().collect::<Vec<_>>(), vec![id(1), id(2)]);
    let removed = chain.remove(&device(2), id(3)).unwrap();
    assert!(passes(&removed) && removed.rank(&chain).is_gt());
    assert_eq!(chain.remove(&device(3), id(3)), Err(Unmade::Lists), "its own lists do not give way");
}

#[test]
fn a_chain_ends_after_sixteen_lists_and_recovery_goes_on() {
    let mut chain = founded();
    for n in 1..MAX_LISTS {
        chain = chain.rename(&device(1), ["a", "b"][n % 2], WallTime(n as u64)).unwrap();
    }
    assert!(passes(&chain));
    assert_eq!(chain.rename(&device(1), "c", WallTime(99)), Err(Unmade::Lists));
    let account = identity(1).account().clone();
    let anew = chain.recover((&account, &recovery()), |n| n == id(1), None, WallTime(9)).unwrap();
    assert!(passes(&anew.rename(&device(1), "c", WallTime(99)).unwrap()));
    let mut longer = chain.clone();
    longer.lists.push(chain.head().clone());
    assert!(!passes(&longer));
}

/// What a chain says, without signatures and hashes: an evaluator of its own.
#[derive(Clone, Debug)]
struct Naive {
    /// The signer (0: recovery), and the devices after it.
    steps: Vec<(u8, Vec<u8>)>,
}

impl Naive {
    fn devices(&self) -> &[u8] {
        &self.steps.last().unwrap().1
    }

    /// Whether the last step was allowed, by the words of docs/design/devices.md §3 and §4.
    fn allows(&self, by: u8, after: &[u8]) -> bool {
        let before = self.devices();
        let Some(place) = before.iter().position(|d| *d == by) else { return false };
        let gone_senior = before[..place].iter().any(|d| !after.contains(d));
        let stayed: Vec<u8> = before.iter().copied().filter(|d| after.contains(d)).collect();
        let twice = after.iter().enumerate().any(|(n, d)| after[..n].contains(d));
        !gone_senior && after.starts_with(&stayed) && !twice && (1..=8).contains(&after.len())
    }
}

#[derive(Clone, Debug)]
enum Act {
    Add(u8, u8),
    Remove(u8, u8),
    Rename(u8, u8),
}

fn acts(n: usize) -> impl Strategy<Value = Vec<Act>> {
    let act = (0u8..3, 1u8..6, 2u8..6).prop_map(|(kind, by, who)| match kind {
        0 => Act::Add(by, who),
        1 => Act::Remove(by, who),
        _ => Act::Rename(by, who),
    });
    proptest::collection::vec(act, 0..n)
}

/// Does what of these acts may be done, and compares each verdict with the evaluator's.
fn play(mut chain: Chain, acts: &[Act]) -> Chain {
    let name = |d: NodeId| (1..6).find(|n| id(*n) == d).unwrap();
    for act in acts {
        let naive = Naive { steps: vec![(0, chain.devices().map(name).collect())] };
        let mut after: Vec<u8> = naive.devices().to_vec();
        let (by, made) = match *act {
            Act::Add(by, who) => {
                after.push(who);
                (by, chain.add(&device(by), cert(who), WallTime(7)))
            }
            Act::Remove(by, who) => {
                after.retain(|d| *d != who);
                (by, chain.remove(&device(by), id(who)))
            }
            Act::Rename(by, n) => (by, chain.rename(&device(by), ["x", "y", "z"][usize::from(n) % 3], WallTime(8))),
        };
        let allowed = naive.allows(by, &after) && (!chain.is_full() || matches!(*act, Act::Remove(..)));
        let is_there = !matches!(*act, Act::Remove(_, who) if !naive.devices().contains(&who));
        assert_eq!(made.is_ok(), allowed && is_there, "{act:?} with {:?}", naive.devices());
        if let Ok(next) = made {
            assert!(passes(&next), "{act:?}");
            chain = next;
        }
    }
    chain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What may be made is what may be read and what the rules say, and `rank` is a total order: nodes that have the same
    /// chains hold the same one. Mutations: `may_follow` without the order of those that remain; `rank` by the length.
    #[test]
    fn random_chains_follow_the_rules_and_have_one_order(
        shared in acts(4), first in acts(4), second in acts(4), third in acts(4)
    ) {
        let common = play(founded(), &shared);
        let all: Vec<Chain> = [first, second, third].iter().map(|acts| play(common.clone(), acts)).collect();
        let mut all = all;
        all.push(common);
        for a in &all {
            for b in &all {
                prop_assert_eq!(a.rank(b), b.rank(a).reverse());
                prop_assert_eq!(a.rank(b).is_eq(), a.lists == b.lists);
                for c in &all {
                    if a.rank(b).is_ge() && b.rank(c).is_ge() {
                        prop_assert!(a.rank(c).is_ge(), "the order goes round");
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_no_chain_or_one_in_its_one_form(bytes: Vec<u8>) {
        if let Ok(chain) = Chain::decode(&bytes, None) {
            prop_assert_eq!(chain.encode(), bytes);
        }
    }
}

/// The chains of `tests/vectors/devices.json`, which `tests/vectors/devices.py` makes from the pages alone.
/// Mutation: another order of fields, another domain, or the seniority is not looked at.
#[test]
fn the_frozen_lists_are_what_is_made_and_read_here() {
    let all: serde_json::Value = serde_json::from_str(include_str!("../../../../tests/vectors/devices.json")).unwrap();
    let hex = |bytes: &[u8]| -> alloc::string::String { bytes.iter().map(|b| alloc::format!("{b:02x}")).collect() };
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let first = founded();
    let second = first.add(&device(1), cert(2), WallTime(5)).unwrap();
    let third = second.remove(&device(1), id(2)).unwrap();
    let account = identity(1).account().clone();
    // The second device is brought back by the code, with the certificate that it had.
    let entry = (second.head().entries[1], second.certs[1].clone());
    let before = (third.head().generation + 1, third.head().hash());
    let list = DeviceList::sign(&account, before, vec![entry.0], (&By::Recovery(&recovery()), RECOVERY));
    let fourth = Chain { lists: vec![first.lists[0].clone(), list], certs: vec![entry.1] };
    assert_eq!(all["account"], hex(&first.keys().id().0));
    assert_eq!(all["person"], hex(&first.keys().person().0));
    for (n, chain) in [first, second, third, fourth].iter().enumerate() {
        assert_eq!(all["valid"][n], hex(&chain.encode()), "chain {n}");
        assert!(passes(chain), "chain {n}");
    }
    for void in all["void"].as_array().unwrap() {
        assert!(Chain::decode(&bytes(void.as_str().unwrap()), None).is_err());
    }
}
