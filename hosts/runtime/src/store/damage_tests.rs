//! Files with changed bits, cut files, lost logs, removed and replaced rows: nothing is lost without a word, and no
//! profile is locked by what can be done without.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use donp_core::{Batch, Identity, Op, Scan, Table, WallTime};
use proptest::prelude::*;

use super::*;

const META: Table = Table::from_byte(1);
const OUTBOX: Table = Table::from_byte(24);
const EVENTS: Table = Table::from_byte(66);
const ENTRIES: Table = Table::from_byte(160);
const NUMBERS: Table = Table::from_byte(161);
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };
const FAST: std::time::Duration = std::time::Duration::ZERO;

type Held = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn identity() -> Identity {
    Identity::generate([7; 64], "Alice", WallTime(1)).unwrap()
}

fn op(table: Table, n: u16, text: &str) -> Op {
    let key = [&[7; 30], n.to_be_bytes().as_slice()].concat();
    Op::Put { table, key, value: format!("{n} {text} {}", "x".repeat(usize::from(n % 7) * 60)).into_bytes() }
}

fn held(batches: &[Batch]) -> Held {
    let puts = batches.iter().flat_map(|b| &b.ops).map(|op| match op {
        Op::Put { table, key, value } => ((table.to_byte(), key.clone()), value.clone()),
        other => panic!("{other:?}"),
    });
    puts.collect()
}

/// A profile like one that talked: many cold rows, a few of each hot table, one long value.
fn lived(dir: &Path) -> Held {
    let mut profile = Profile::create(dir, &identity(), &Secrets::default(), CHEAP).unwrap();
    let mut batches = Vec::new();
    for n in 0..160u16 {
        let mut ops = vec![op(ENTRIES, n, "entry"), op(NUMBERS, n.wrapping_mul(31), "number")];
        if n % 20 == 0 {
            ops.push(op(META, n, "meta"));
            ops.push(op(OUTBOX, n, "kept"));
            ops.push(op(EVENTS, n, "event"));
        }
        batches.push(Batch { seq: u64::from(n) + 1, ops });
    }
    batches.push(Batch { seq: 161, ops: vec![Op::Put { table: ENTRIES, key: vec![9; 44], value: vec![5; 20_000] }] });
    let store = profile.store_mut();
    for batch in &batches {
        store.commit(std::slice::from_ref(batch)).unwrap();
    }
    held(&batches)
}

/// Everything that the store gives, and how many it says are missing.
fn read(profile: &mut Profile) -> Result<(Held, u64), StoreError> {
    let store = profile.store_mut();
    let mut out = Held::new();
    for record in store.hot()? {
        out.insert((record.table.to_byte(), record.key), record.value);
    }
    for table in [ENTRIES, NUMBERS] {
        let scan = Scan { table, start: vec![], end: vec![0xff], reverse: false, limit: 1_000, max_bytes: 1 << 24 };
        for record in store.scan(&scan)? {
            out.insert((record.table.to_byte(), record.key), record.value);
        }
    }
    Ok((out, store.damaged()))
}

#[derive(Default, Debug)]
struct Outcomes {
    /// Everything is there.
    whole: u32,
    /// Something is missing, and counted.
    counted: u32,
}

/// Opens a damaged profile. Fails on a silent loss, on a value that is not the last one, and on a profile that is locked.
fn survives(dir: &Path, all: &Held, what: &str, outcomes: &mut Outcomes) {
    let opened = Profile::open_for(dir, &Secrets::default(), Access::Write, FAST).and_then(|mut p| read(&mut p));
    let (is, damaged) = opened.unwrap_or_else(|e| panic!("{what}: {e}"));
    for (at, value) in &is {
        assert_eq!(all.get(at), Some(value), "{what}: a value that was not the last one");
    }
    let missing = all.len() - is.len();
    assert!(missing == 0 || damaged > 0, "{what}: {missing} of {} are gone without a word", all.len());
    if missing > 0 && std::env::var("DONP_DAMAGED_SHOW").is_ok() {
        let gone: BTreeMap<u8, usize> =
            all.keys().filter(|k| !is.contains_key(*k)).fold(BTreeMap::new(), |mut n, k| {
                *n.entry(k.0).or_default() += 1;
                n
            });
        println!("{what}: {missing} missing {gone:?}, {damaged} counted");
    }
    if missing == 0 { outcomes.whole += 1 } else { outcomes.counted += 1 }
}

struct Copies {
    home: tempfile::TempDir,
    made: tempfile::TempDir,
    all: Held,
}

impl Copies {
    /// `closed`: the log is moved into the file. Otherwise as after a `kill -9`.
    fn new(closed: bool) -> Self {
        let (home, made) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let all = lived(home.path());
        if closed {
            return Self { made: home, home: made, all };
        }
        // A second connection holds the log in place while the files are copied.
        let db = rusqlite::Connection::open(home.path().join("node.db")).unwrap();
        let mut profile = Profile::open(home.path(), &Secrets::default()).unwrap();
        let late = Batch { seq: 1, ops: (200..260).map(|n| op(ENTRIES, n, "late")).collect() };
        profile.store_mut().commit(std::slice::from_ref(&late)).unwrap();
        for name in ["node.db", "node.db-wal", "key", "mark"] {
            fs::copy(home.path().join(name), made.path().join(name)).unwrap();
        }
        drop((profile, db));
        let all = all.into_iter().chain(held(&[late])).collect();
        Self { home, made, all }
    }

    fn fresh(&self) -> &Path {
        for entry in fs::read_dir(self.home.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        for entry in fs::read_dir(self.made.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, self.home.path().join(path.file_name().unwrap())).unwrap();
        }
        self.home.path()
    }
}

/// How many damaged files are tried: a sample, or what `DONP_DAMAGED` says.
fn sample(n: u32) -> u32 {
    std::env::var("DONP_DAMAGED").ok().and_then(|n| n.parse().ok()).unwrap_or(n)
}

fn runner(cases: u32) -> proptest::test_runner::TestRunner {
    let rng = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    proptest::test_runner::TestRunner::new_with_rng(ProptestConfig::with_cases(cases), rng)
}

/// Mutations: `verify` takes sums that differ as whole; `mend` leaves out `from_spares`; `hot` gives up at the first record
/// that does not open.
#[test]
fn one_changed_bit_loses_nothing_without_a_word() {
    let outcomes = std::cell::RefCell::new(Outcomes::default());
    for (closed, name, cases) in
        [(true, "node.db", sample(80)), (false, "node.db", sample(25)), (false, "node.db-wal", sample(25))]
    {
        let copies = Copies::new(closed);
        let whole = fs::read(copies.made.path().join(name)).unwrap();
        runner(cases)
            .run(&(0..whole.len(), 0..8u8), |(at, bit)| {
                let dir = copies.fresh();
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                fs::write(dir.join(name), &bytes).unwrap();
                survives(dir, &copies.all, &format!("bit {bit} of byte {at} of {name}"), &mut outcomes.borrow_mut());
                Ok(())
            })
            .unwrap();
    }
    let outcomes = outcomes.into_inner();
    println!("{outcomes:?}");
    // A long value is not corrected bit by bit.
    assert!(outcomes.whole > 4 * outcomes.counted, "{outcomes:?}");
}

/// A row whose key was changed lies where no statement looks for it. Mutations: `mend` leaves the table of the spares, or that of the
/// secrets, and removes its rows by a condition.
#[test]
fn a_row_that_is_out_of_its_order_is_mended() {
    let mut outcomes = Outcomes::default();
    let copies = Copies::new(true);
    let whole = fs::read(copies.made.path().join("node.db")).unwrap();
    // In each place where the key lies: among the records and among the spares.
    for key in copies.all.keys().filter(|(table, _)| *table < 128).map(|(_, key)| key) {
        let places: Vec<_> = (0..whole.len() - key.len()).filter(|at| whole[*at..].starts_with(key)).collect();
        assert!(places.len() >= 2, "{places:?}");
        for at in places {
            let dir = copies.fresh();
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << 3;
            fs::write(dir.join("node.db"), &bytes).unwrap();
            survives(dir, &copies.all, &format!("a key at {at}"), &mut outcomes);
        }
    }
    assert!(outcomes.whole > 20, "{outcomes:?}");
}

/// With its log beside it, which names pages that the file does not have. Mutation: a page that is not there in whole is an error
/// of the disk (`is_cut`).
#[test]
fn a_file_that_ends_within_a_page_is_salvaged() {
    let mut outcomes = Outcomes::default();
    for closed in [true, false] {
        let copies = Copies::new(closed);
        let whole = fs::read(copies.made.path().join("node.db")).unwrap();
        for at in (whole.len() / 2..whole.len()).step_by(2_039) {
            let dir = copies.fresh();
            fs::write(dir.join("node.db"), &whole[..at]).unwrap();
            survives(dir, &copies.all, &format!("cut at {at}, closed {closed}"), &mut outcomes);
        }
    }
    assert!(outcomes.whole + outcomes.counted > 40, "{outcomes:?}");
}

/// Mutation: `raise_mark` writes nothing.
#[test]
fn torn_and_cut_files_lose_nothing_without_a_word() {
    let outcomes = std::cell::RefCell::new(Outcomes::default());
    for (closed, name, cases) in
        [(true, "node.db", sample(10)), (false, "node.db", sample(10)), (false, "node.db-wal", sample(10))]
    {
        let copies = Copies::new(closed);
        let whole = fs::read(copies.made.path().join(name)).unwrap();
        // Not the first pages alone: without the wrapped key there is nothing to keep.
        let cuts = (whole.len() / 3..whole.len(), any::<bool>());
        runner(cases)
            .run(&cuts, |(at, torn)| {
                let dir = copies.fresh();
                let mut bytes = whole.clone();
                if torn {
                    // A sector that did not reach the disk.
                    let sector = at / 512 * 512;
                    let end = (sector + 512).min(bytes.len());
                    bytes[sector..end].fill(0);
                } else {
                    bytes.truncate(at);
                }
                fs::write(dir.join(name), &bytes).unwrap();
                survives(dir, &copies.all, &format!("{name} torn {torn} at {at}"), &mut outcomes.borrow_mut());
                Ok(())
            })
            .unwrap();
    }
    println!("{:?}", outcomes.into_inner());
}

fn changed(dir: &Path, sql: &str) {
    let db = rusqlite::Connection::open(dir.join("node.db")).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
}

fn opened(dir: &Path) -> (Held, u64, bool) {
    let mut profile = Profile::open(dir, &Secrets::default()).unwrap();
    let (is, damaged) = read(&mut profile).unwrap();
    let begins = profile.store_mut().begins_new_life();
    (is, damaged, begins)
}

/// Mutations: `Rows::remove` leaves the sum as it is; `missing` compares numbers of rows only.
#[test]
fn rows_that_were_removed_or_put_back_are_counted() {
    let copies = Copies::new(true);
    let dir = copies.fresh();
    changed(dir, "DELETE FROM records WHERE tbl = 160 AND length(value) < 200 AND key > x'07070707'");
    let (is, damaged, begins) = opened(dir);
    assert_eq!((copies.all.len() - is.len()) as u64, damaged);
    assert!(damaged > 10 && !begins);
    assert_eq!(opened(dir).1, damaged, "still said after another start");

    // A row of a table that is kept twice comes back.
    let dir = copies.fresh();
    changed(dir, "DELETE FROM records WHERE tbl IN (1, 24)");
    assert_eq!(opened(dir), (copies.all.clone(), 0, false));
    let dir = copies.fresh();
    changed(dir, "DELETE FROM spares");
    assert_eq!(opened(dir), (copies.all.clone(), 0, false));
    let dir = copies.fresh();
    changed(dir, "DELETE FROM secrets WHERE name IN ('identity', 'wrapped-key')");
    assert_eq!(opened(dir), (copies.all.clone(), 0, false));

    // An older value, sealed for the same place, opens; it does not add up.
    let dir = copies.fresh();
    let old = {
        let db = rusqlite::Connection::open(dir.join("node.db")).unwrap();
        db.query_row("SELECT key, value FROM records WHERE tbl = 160 LIMIT 1", [], |r| {
            Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, Vec<u8>>(1)?))
        })
        .unwrap()
    };
    let mut profile = Profile::open(dir, &Secrets::default()).unwrap();
    let put = Op::Put { table: ENTRIES, key: old.0.clone(), value: b"newer".to_vec() };
    profile.store_mut().commit(&[Batch { seq: 1, ops: vec![put] }]).unwrap();
    drop(profile);
    let db = rusqlite::Connection::open(dir.join("node.db")).unwrap();
    db.execute("UPDATE records SET value = ?2 WHERE tbl = 160 AND key = ?1", rusqlite::params![old.0, old.1]).unwrap();
    drop(db);
    assert_eq!(opened(dir).1, 1);
}

/// Mutation: `behind_mark` is zero.
#[test]
fn an_older_file_is_a_new_life_and_said() {
    let copies = Copies::new(false);
    let dir = copies.fresh();
    // As a careful person copies it: the log is left behind.
    fs::remove_file(dir.join("node.db-wal")).unwrap();
    let (is, damaged, begins) = opened(dir);
    assert!(begins && damaged > 0 && is.len() < copies.all.len());
    // Until the node has begun one.
    let mut profile = Profile::open(dir, &Secrets::default()).unwrap();
    assert!(profile.store_mut().begins_new_life());
    profile.store_mut().commit(&[Batch { seq: 1, ops: vec![op(META, 1, "begun")] }]).unwrap();
    drop(profile);
    let (_, again, begins) = opened(dir);
    assert!(!begins && again == damaged);
}

/// Mutation: `is_in_place` is always true.
#[test]
fn a_file_that_is_removed_while_it_is_open_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let all = lived(dir.path());
    let mut profile = Profile::open(dir.path(), &Secrets::default()).unwrap();
    for name in ["node.db", "node.db-wal", "node.db-shm"] {
        let _ = fs::remove_file(dir.path().join(name));
    }
    let more = Batch { seq: 1, ops: vec![op(ENTRIES, 500, "after")] };
    profile.store_mut().commit(std::slice::from_ref(&more)).unwrap();
    drop(profile);
    let all: Held = all.into_iter().chain(held(&[more])).collect();
    assert_eq!(opened(dir.path()), (all.clone(), 0, false));

    // Another file in its place is not written to, and says so.
    let mut profile = Profile::open(dir.path(), &Secrets::default()).unwrap();
    let other = dir.path().join("other");
    fs::copy(dir.path().join("node.db"), &other).unwrap();
    fs::rename(&other, dir.path().join("node.db")).unwrap();
    let refused = profile.store_mut().commit(&[Batch { seq: 2, ops: vec![op(ENTRIES, 501, "x")] }]);
    assert!(refused.unwrap_err().to_string().contains("another file took its place"));
}

/// Mutations: `look` compares no version; `verify` notes none; `look` takes the number of transactions from the file.
#[test]
fn rows_changed_while_the_file_is_open_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let all = lived(dir.path());
    let mut profile = Profile::open(dir.path(), &Secrets::default()).unwrap();
    let store = profile.store_mut();
    let own = |n: u16| Batch { seq: 1, ops: vec![op(ENTRIES, n, "own")] };
    store.commit(&[own(500)]).unwrap();
    assert!(!store.look().unwrap(), "its own writes are none of another");
    changed(dir.path(), "DELETE FROM records WHERE tbl = 161");
    store.commit(&[own(501)]).unwrap();
    assert!(store.look().unwrap());
    assert_eq!((store.damaged(), store.fetches_again()), (160, true));
    assert!(!store.look().unwrap(), "once");
    // A table that is kept twice is whole again, and so is the count of transactions.
    changed(dir.path(), "DELETE FROM records WHERE tbl = 24");
    changed(dir.path(), "DELETE FROM sums WHERE tbl = 0");
    let mark = || u64::from_le_bytes(*fs::read(dir.path().join("mark")).unwrap().first_chunk().unwrap());
    let transactions = mark();
    assert!(store.look().unwrap());
    store.commit(&[own(502)]).unwrap();
    assert_eq!((store.damaged(), mark()), (160, transactions + 1));
    drop(profile);
    let (is, damaged, begins) = opened(dir.path());
    let cold = all.into_iter().filter(|((table, _), _)| *table != NUMBERS.to_byte());
    assert_eq!(is, cold.chain(held(&[own(500), own(501), own(502)])).collect());
    assert_eq!((damaged, begins), (160, false));
}

/// Mutations: `backup` copies the file and not what is in its log; `restore` writes no `new-life`.
#[test]
fn a_backup_of_an_open_profile_is_whole_and_begins_a_new_life() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all = lived(dir.path());
    let mut profile = Profile::open(dir.path(), &Secrets::default()).unwrap();
    let more = Batch { seq: 1, ops: vec![op(ENTRIES, 500, "in the log")] };
    profile.store_mut().commit(std::slice::from_ref(&more)).unwrap();
    let copy = out.path().join("copy");
    assert!(backup(dir.path(), &copy).unwrap(), "with its key");
    profile.store_mut().commit(&[Batch { seq: 2, ops: vec![op(ENTRIES, 501, "after the backup")] }]).unwrap();
    assert!(matches!(backup(dir.path(), &copy), Err(StoreError::Exists(_))), "a backup is not written over");
    let back = out.path().join("back");
    restore(&copy, &back).unwrap();
    assert!(matches!(restore(&copy, &back), Err(StoreError::Exists(_))));
    assert!(matches!(restore(out.path(), &out.path().join("x")), Err(StoreError::Missing(_))));
    let all: Held = all.into_iter().chain(held(&[more])).collect();
    assert_eq!(opened(&back), (all, 0, true));
    drop(profile);
    assert!(!opened(dir.path()).2, "the profile itself goes on");
}

/// Mutations: `backup_file` leaves the key out; `unpack` does not drop its table, or without overwriting it.
#[test]
fn a_backup_in_one_file_is_whole_private_and_restores() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all = lived(dir.path());
    let _open = Profile::open(dir.path(), &Secrets::default()).unwrap();
    let (file, back) = (out.path().join("monday.donp"), out.path().join("back"));
    assert!(backup(dir.path(), &file).unwrap(), "with its key");
    assert!(matches!(backup(dir.path(), &file), Err(StoreError::Exists(_))), "a backup is not written over");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o777, 0o600);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1, "one file and nothing beside it");
    restore(&file, &back).unwrap();
    let key = fs::read(dir.path().join("key")).unwrap();
    assert!(fs::read(back.join("key")).unwrap() == key);
    let database = fs::read(back.join("node.db")).unwrap();
    assert!(!database.windows(key.len()).any(|bytes| bytes == key), "the key is beside the records and not among them");
    assert_eq!(opened(&back), (all, 0, true));
    let other = out.path().join("letter");
    fs::write(&other, "dear diary").unwrap();
    assert!(matches!(restore(&other, &out.path().join("x")), Err(StoreError::Damaged { .. })));
    assert!(!out.path().join("x").exists());
}

/// Mutation: `check` counts only rows that open.
#[test]
fn a_check_changes_nothing_and_a_repair_settles_what_is_lost() {
    let copies = Copies::new(true);
    let dir = copies.fresh();
    let healthy = check(dir, &Secrets::default()).unwrap();
    assert_eq!((healthy.problems.len(), healthy.records.values().sum::<u64>()), (0, copies.all.len() as u64));
    changed(dir, "UPDATE records SET value = zeroblob(80) WHERE tbl = 161");
    let before = fs::read(dir.join("node.db")).unwrap();
    let found = check(dir, &Secrets::default()).unwrap();
    assert!(found.problems.iter().any(|p| p.contains("160 of chat.numbers")), "{found:?}");
    assert!(fs::read(dir.join("node.db")).unwrap() == before);
    assert_eq!(repair(dir, &Secrets::default()).unwrap(), "160 of chat.numbers");
    assert_eq!(check(dir, &Secrets::default()).unwrap().problems.len(), 0);
    let kept = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).expect("a folder");
    assert!(fs::read(kept.join("node.db")).unwrap() == before, "the original is kept");
    assert_eq!(opened(dir).1, 0, "known");
    let lost = |dir: &Path| Profile::open(dir, &Secrets::default()).unwrap().store_mut().lost();
    assert_eq!(lost(dir), 160, "and still counted");
    assert_eq!(check(dir, &Secrets::default()).unwrap().lost, "160 of chat.numbers");
    // Also in a file that is written anew from what can be found.
    salvage(dir, &Secrets::default()).unwrap();
    assert_eq!((opened(dir).1, lost(dir)), (0, 160));
    changed(dir, "DELETE FROM records WHERE tbl = 160 AND length(key) = 44");
    assert_eq!(repair(dir, &Secrets::default()).unwrap(), "1 of chat.entries");
    assert_eq!(lost(dir), 161);
}
