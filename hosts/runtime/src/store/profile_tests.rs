use std::collections::BTreeMap;
use std::sync::Arc;

use donp_core::{Batch, Op, Scan, Table, WallTime};

use super::*;
use crate::store::KeyStore;

const HOT: Table = Table::from_byte(1);
const COLD: Table = Table::from_byte(160);
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };
const KNOWN: &[u8] = b"a plaintext that must not be found on the disk";

fn identity() -> Identity {
    Identity::generate([7; 64], "Alice", WallTime(1)).unwrap()
}

fn passphrase(text: &str) -> Secrets {
    Secrets { passphrase: Some(Zeroizing::new(text.into())), ..Secrets::default() }
}

fn put(seq: u64, table: Table, key: u8, value: &[u8]) -> Batch {
    Batch { seq, ops: vec![Op::Put { table, key: vec![key], value: value.to_vec() }] }
}

fn everything(table: Table) -> Scan {
    Scan { table, start: vec![], end: vec![0xff], reverse: false, limit: 1_000, max_bytes: 1 << 20 }
}

/// A profile with a hot and a cold record, closed.
fn made(dir: &Path) {
    let mut profile = Profile::create(dir, &identity(), &Secrets::default(), CHEAP).unwrap();
    let store = profile.store_mut();
    store.commit(&[put(1, HOT, 1, KNOWN), put(2, COLD, 1, KNOWN)]).unwrap();
}

fn error(dir: &Path, secrets: &Secrets) -> StoreError {
    match Profile::open(dir, secrets) {
        Ok(_) => panic!("opened"),
        Err(e) => e,
    }
}

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let mut profile = Profile::open(dir.path(), &Secrets::default()).unwrap();
    assert_eq!(profile.identity().node_id(), identity().node_id());
    assert_eq!(profile.protection(), Protection::KeyFile);
    let hot = profile.store_mut().hot().unwrap();
    assert_eq!(hot.len(), 1, "the log is cold");
    assert_eq!((hot[0].table, hot[0].value.as_slice()), (HOT, KNOWN));
    assert_eq!(profile.store_mut().scan(&everything(COLD)).unwrap()[0].value, KNOWN);
}

#[test]
fn a_host_value_is_sealed_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut profile = Profile::create(dir.path(), &identity(), &Secrets::default(), CHEAP).unwrap();
    assert_eq!(profile.secret("network").unwrap(), None);
    profile.put_secret("network", KNOWN).unwrap();
    drop(profile);
    let profile = Profile::open(dir.path(), &Secrets::default()).unwrap();
    assert_eq!(profile.secret("network").unwrap().as_deref(), Some(KNOWN));
}

#[test]
fn no_plaintext_and_no_key_reaches_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut profile = Profile::create(dir.path(), &identity(), &passphrase("p"), CHEAP).unwrap();
    profile.store_mut().commit(&[put(1, COLD, 1, KNOWN)]).unwrap();
    profile.put_secret("x", KNOWN).unwrap();
    let secret = identity().to_bytes();
    let mut looked_at = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        looked_at += bytes.len();
        assert!(!bytes.windows(KNOWN.len()).any(|w| w == KNOWN));
        assert!(!bytes.windows(32).any(|w| w == &secret[..32]));
    }
    assert!(looked_at > 4_096, "the database and its log were read");
}

#[test]
fn a_wrong_a_missing_and_the_right_passphrase_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    drop(Profile::create(dir.path(), &identity(), &passphrase("right"), CHEAP).unwrap());
    assert!(matches!(error(dir.path(), &passphrase("wrong")), StoreError::WrongPassphrase(_)));
    assert!(matches!(error(dir.path(), &Secrets::default()), StoreError::PassphraseNeeded(_)));
    assert_eq!(Profile::open(dir.path(), &passphrase("right")).unwrap().protection(), Protection::Passphrase);
}

#[test]
fn a_second_profile_does_not_replace_the_first() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let again = Profile::create(dir.path(), &identity(), &Secrets::default(), CHEAP);
    assert!(matches!(again.err(), Some(StoreError::Exists(_))));
    assert_eq!(Profile::open(dir.path(), &Secrets::default()).unwrap().store_mut().hot().unwrap().len(), 1);
}

#[test]
fn an_attempt_that_was_killed_half_way_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("node.db.new"), b"half").unwrap();
    drop(Profile::create(dir.path(), &identity(), &Secrets::default(), CHEAP).unwrap());
    assert!(!dir.path().join("node.db.new").exists());
}

#[test]
fn an_open_profile_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let open = Profile::open(dir.path(), &Secrets::default()).unwrap();
    let text = error(dir.path(), &Secrets::default()).to_string();
    assert!(text.contains(&format!("in use by process {}", std::process::id())), "{text}");
    drop(open);
    Profile::open(dir.path(), &Secrets::default()).unwrap();
}

#[test]
fn a_missing_profile_is_not_made_by_opening_it() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(error(dir.path(), &Secrets::default()), StoreError::Missing(_)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_a_profile() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("alice");
    made(&dir);
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for name in ["node.db", "key", "lock"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    fs::set_permissions(dir.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(error(&dir, &Secrets::default()).to_string().contains("chmod 600"));
}

#[test]
fn another_key_file_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let key = dir.path().join("key");
    let text = fs::read_to_string(&key).unwrap();
    let flipped = if text.starts_with('0') { text.replacen('0', "1", 1) } else { format!("0{}", &text[1..]) };
    fs::write(&key, flipped).unwrap();
    assert!(error(dir.path(), &Secrets::default()).to_string().contains("not the key of this profile"));
    fs::write(&key, "zz").unwrap();
    assert!(error(dir.path(), &Secrets::default()).to_string().contains("64 hex digits"));
    fs::remove_file(&key).unwrap();
    assert!(matches!(error(dir.path(), &Secrets::default()), StoreError::KeyFile { .. }));
}

/// What is left of a cut file is opened, and what is gone is counted.
#[test]
fn every_truncation_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let path = dir.path().join("node.db");
    let whole = fs::read(&path).unwrap();
    let mark = fs::read(dir.path().join("mark")).unwrap();
    let (mut refused, mut counted) = (0, 0);
    for keep in (0..whole.len()).step_by(512) {
        fs::write(&path, &whole[..keep]).unwrap();
        fs::write(dir.path().join("mark"), &mark).unwrap();
        match Profile::open(dir.path(), &Secrets::default()) {
            Ok(mut profile) => {
                let store = profile.store_mut();
                let left = store.hot().unwrap().len() + store.scan(&everything(COLD)).unwrap().len();
                assert!(left == 2 || store.damaged() > 0, "{keep}");
                counted += 1;
            }
            Err(StoreError::Damaged { .. }) => refused += 1,
            Err(e) => panic!("{keep}: {e}"),
        }
    }
    assert!(refused > 0 && counted > 0, "{refused} {counted}");
    fs::write(&path, &whole).unwrap();
    Profile::open(dir.path(), &Secrets::default()).unwrap();
}

#[test]
fn any_changed_byte_is_noticed_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let path = dir.path().join("node.db");
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut named, mut harmless) = (0, 0, 0);
    // Coprime to the page size, so that every part of a page is hit.
    for at in (0..whole.len()).step_by(61) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        let opened = Profile::open(dir.path(), &Secrets::default());
        let Ok(mut profile) = opened else {
            refused += 1;
            continue;
        };
        let store = profile.store_mut();
        match (store.hot(), store.scan(&everything(COLD))) {
            (Ok(hot), Ok(log)) => {
                // Never a wrong value: the right one, or a record less that was counted.
                assert!(hot.iter().chain(&log).all(|r| r.value == KNOWN), "{at}");
                if store.damaged() > 0 { named += 1 } else { harmless += 1 }
            }
            (Err(StoreError::Damaged { .. }), _) | (_, Err(_)) => named += 1,
            (Err(e), _) => panic!("{at}: {e}"),
        }
    }
    // One changed bit is turned back nearly everywhere (damage_tests.rs).
    assert!(harmless > 9 * (refused + named), "{refused} {named} {harmless}");
}

#[test]
fn a_damaged_cold_record_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut profile = Profile::create(dir.path(), &identity(), &Secrets::default(), CHEAP).unwrap();
    profile.store_mut().commit(&[put(1, COLD, 1, b"one"), put(2, COLD, 2, b"two")]).unwrap();
    drop(profile);
    let db = rusqlite::Connection::open(dir.path().join("node.db")).unwrap();
    // A value moved to another key does not open there.
    db.execute("UPDATE records SET value = (SELECT value FROM records WHERE key = x'02') WHERE key = x'01'", [])
        .unwrap();
    drop(db);
    let mut profile = Profile::open(dir.path(), &Secrets::default()).unwrap();
    let left = profile.store_mut().scan(&everything(COLD)).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].value, b"two");
    assert_eq!(profile.store_mut().damaged(), 1);
}

#[test]
fn many_batches_are_one_transaction_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut profile = Profile::create(dir.path(), &identity(), &Secrets::default(), CHEAP).unwrap();
    let store = profile.store_mut();
    let range = Op::DeleteRange { table: COLD, start: vec![3], end: vec![7] };
    let batches = [
        Batch { seq: 1, ops: (0..10).map(|k| Op::Put { table: COLD, key: vec![k], value: vec![k] }).collect() },
        Batch { seq: 2, ops: vec![range, Op::Delete { table: COLD, key: vec![9] }] },
        put(3, COLD, 4, b"again"),
    ];
    store.commit(&batches).unwrap();
    assert_eq!(store.commits(), 1);
    let keys = |r: &[donp_core::Record]| r.iter().map(|r| r.key[0]).collect::<Vec<_>>();
    let mut request = everything(COLD);
    assert_eq!(keys(&store.scan(&request).unwrap()), [0, 1, 2, 4, 7, 8]);
    request.reverse = true;
    request.limit = 2;
    assert_eq!(keys(&store.scan(&request).unwrap()), [8, 7]);
    request.limit = 10;
    request.max_bytes = 3;
    assert_eq!(keys(&store.scan(&request).unwrap()), [8, 7], "as the store in memory counts");
}

#[test]
fn the_two_stores_answer_alike() {
    use proptest::prelude::*;
    let op = || {
        prop_oneof![
            (0u8..8, prop::collection::vec(any::<u8>(), 0..3)).prop_map(|(k, v)| Op::Put {
                table: COLD,
                key: vec![k],
                value: v
            }),
            (0u8..8).prop_map(|k| Op::Delete { table: COLD, key: vec![k] }),
            (0u8..8, 0u8..8).prop_map(|(a, b)| Op::DeleteRange { table: COLD, start: vec![a], end: vec![b] }),
        ]
    };
    let request = (0u8..8, 0u8..9, any::<bool>(), 0u32..6, 0u32..9).prop_map(|(a, b, reverse, limit, max_bytes)| {
        Scan { table: COLD, start: vec![a], end: vec![b], reverse, limit, max_bytes }
    });
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile::create(dir.path(), &identity(), &Secrets::default(), CHEAP).unwrap();
    let profile = std::cell::RefCell::new(profile);
    let memory = std::cell::RefCell::new(donp_core::MemoryStore::default());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(256));
    runner
        .run(&(prop::collection::vec(op(), 0..12), request), |(ops, request)| {
            let (mut profile, mut memory) = (profile.borrow_mut(), memory.borrow_mut());
            // One commit of several batches, as under load.
            let batches: Vec<_> = ops.chunks(3).map(|ops| Batch { seq: 1, ops: ops.to_vec() }).collect();
            profile.store_mut().commit(&batches).unwrap();
            batches.into_iter().for_each(|b| memory.apply(b));
            prop_assert_eq!(profile.store_mut().scan(&request).unwrap(), memory.scan(&request));
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_full_disk_writes_nothing_and_batches_pass_when_it_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut profile = Profile::create(dir.path(), &identity(), &Secrets::default(), CHEAP).unwrap();
    let store = profile.store_mut();
    let pages = store.pages();
    store.limit_pages(pages + 2);
    let batches = [put(1, COLD, 1, b"small"), put(2, COLD, 2, &[9; 100_000])];
    assert!(matches!(store.commit(&batches), Err(StoreError::Full)));
    assert_eq!(store.scan(&everything(COLD)).unwrap(), [], "whole or not at all");
    assert_eq!(store.commits(), 0);
    store.limit_pages(pages + 1_000);
    store.commit(&batches).unwrap();
    assert_eq!(store.scan(&everything(COLD)).unwrap().len(), 2);
}

#[test]
fn files_of_other_versions_are_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let files = || {
        let all = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
        all.filter(|p| !p.ends_with("lock")).map(|p| (p.clone(), fs::read(p).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let as_version = |version: u32| {
        let db = rusqlite::Connection::open(dir.path().join("node.db")).unwrap();
        db.pragma_update(None, "user_version", version).unwrap();
        drop(db);
        let before = files();
        let refused = error(dir.path(), &Secrets::default());
        assert!(files() == before);
        refused
    };
    assert!(matches!(as_version(99), StoreError::Newer { found: 99, .. }));
    assert!(matches!(as_version(1), StoreError::Older { found: 1, .. }));
}

/// Reverses what it is given, or does what a broken one could.
struct Platform(fn(&[u8]) -> Result<Vec<u8>, String>);

impl KeyStore for Platform {
    fn wrap_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        (self.0)(key)
    }

    fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        (self.0)(wrapped).map(Zeroizing::new)
    }
}

fn platform(f: fn(&[u8]) -> Result<Vec<u8>, String>) -> Secrets {
    Secrets { key_store: Some(Arc::new(Platform(f))), ..Secrets::default() }
}

#[test]
fn the_platforms_key_store_protects_a_profile() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let reverse = platform(|key| Ok(key.iter().rev().copied().collect()));
    let refuses = platform(|_| Err("the phone is locked".into()));
    let forgets = platform(|_| Ok(vec![0; 32]));
    let made = Profile::create(&path, &identity(), &refuses, CHEAP).err().unwrap();
    assert_eq!(made.to_string(), "key store: the phone is locked");
    assert!(!Profile::exists(&path), "a refused profile is not half made");
    let profile = Profile::create(&path, &identity(), &reverse, CHEAP).unwrap();
    assert_eq!(profile.protection(), Protection::KeyStore);
    assert!(!path.join("key").exists());
    drop(profile);
    assert!(matches!(Profile::open(&path, &Secrets::default()), Err(StoreError::KeyStoreNeeded(_))));
    assert!(matches!(Profile::open(&path, &refuses), Err(StoreError::KeyStore(_))));
    assert!(matches!(Profile::open(&path, &forgets), Err(StoreError::KeyStore(_))));
    assert_eq!(Profile::open(&path, &reverse).unwrap().identity().node_id(), identity().node_id());
}
