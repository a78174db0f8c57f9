//! The check of all records in the background: a slice at a time, whatever the size of the file. Opening a file compares the
//! sums of its rows, which are those of their places and nonces; whether each value is what was written only its seal says.
//!
//! The place that was reached is stored, so that apps which live for minutes come to the end too; a scrub of OpenZFS goes on
//! from its last checkpoint in the same way (`zpool-scrub(8)`).

use super::StoreError;
use super::mend::{RawRow, has_spares};
use super::seal::Sealer;
use super::secrets::{place, put_sealed_secret, raw_secrets, secret_place};
use super::sql::{Sql, bytes};

/// Rows of one slice at most, and bytes.
const ROWS: u32 = 512;
const BYTES: usize = 1 << 20;
/// The place is stored after so many slices: 8,192 rows, a fifth of a second of work that a restart repeats.
const STORE_EVERY: u32 = 16;
/// A round begins a day after the last one ended, in milliseconds, as whole histories are compared (`chat.verify_every`).
const DAY: u64 = 86_400_000;
/// The secret that holds it.
const NAME: &str = "check";

/// How far the check of all records is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The last row that was looked at: its table and key. Tables begin at 1.
    at: (u8, Vec<u8>),
    /// Records that opened since the beginning of this round.
    records: u64,
    /// When the last round ended, in milliseconds since 1970.
    finished: Option<u64>,
    unstored: u32,
}

/// What one slice came to.
pub(super) struct Slice {
    /// Rows that do not open, as they lie there.
    pub(super) bad: Vec<RawRow>,
    /// Everything was looked at.
    pub(super) is_last: bool,
}

impl Walk {
    /// Where the last run stopped; from the beginning if that cannot be read.
    pub(super) fn load(sql: Sql<'_>, sealer: &Sealer) -> Result<Self, StoreError> {
        let stored = raw_secrets(sql, NAME)?;
        let opened = stored.iter().find_map(|sealed| sealer.open(&secret_place(NAME), sealed).ok());
        Ok(opened.and_then(|bytes| Self::read(&bytes)).unwrap_or_default())
    }

    /// Records 8, when the last round ended 8 (zero: none did), table 1, key.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (records, rest) = bytes.split_first_chunk()?;
        let (finished, rest) = rest.split_first_chunk()?;
        let (table, key) = rest.split_first()?;
        let finished = Some(u64::from_le_bytes(*finished)).filter(|ms| *ms > 0);
        Some(Self { at: (*table, key.to_vec()), records: u64::from_le_bytes(*records), finished, unstored: 0 })
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn finished(&self) -> Option<u64> {
        self.finished
    }

    /// Looks at the next rows.
    pub(super) fn slice(&mut self, sql: Sql<'_>, sealer: &Sealer) -> Result<Slice, StoreError> {
        let next = "SELECT tbl, key, value FROM records WHERE (tbl, key) > (?1, ?2) ORDER BY tbl, key LIMIT ?3";
        let (mut rows, mut size, mut bad) = (0, 0, Vec::new());
        let mut at = self.at.clone();
        let mut records = 0;
        sql.each(next, &[&self.at.0, &self.at.1, &ROWS], &mut |row| {
            rows += 1;
            let Some(row) = RawRow::of(row) else { return Ok(true) };
            size += row.key.len() + row.value.len();
            at = (row.table, row.key.clone());
            if row.opens(sealer) {
                records += 1;
            } else {
                bad.push(row);
            }
            Ok(size <= BYTES)
        })?;
        self.at = at;
        self.records += records;
        Ok(Slice { bad, is_last: rows < ROWS && size <= BYTES })
    }

    /// Stores the place now and then, and after the last slice, which ends at `wall` milliseconds since 1970.
    pub(super) fn store(&mut self, last: Option<u64>, sql: Sql<'_>, sealer: &mut Sealer) -> Result<(), StoreError> {
        self.unstored += 1;
        if last.is_none() && self.unstored < STORE_EVERY {
            return Ok(());
        }
        self.unstored = 0;
        // What the next round begins with; the number of records stays to be seen.
        let mut out = self.records.to_le_bytes().to_vec();
        if let Some(wall) = last {
            self.finished = Some(wall.max(1));
            self.at = (0, Vec::new());
        }
        out.extend_from_slice(&self.finished.unwrap_or(0).to_le_bytes());
        out.push(self.at.0);
        out.extend_from_slice(&self.at.1);
        put_sealed_secret(sql, sealer, NAME, &out)
    }

    /// Whether there is something to look at at `wall`: a round begins a day after the last one.
    pub(super) fn goes_on(&mut self, wall: u64) -> bool {
        if self.at != (0, Vec::new()) {
            return true;
        }
        let is_over = self.finished.is_none_or(|finished| !(finished..finished.saturating_add(DAY)).contains(&wall));
        if is_over {
            self.records = 0;
        }
        is_over
    }
}

/// Puts back what a spare holds or one turned bit explains, and removes the row otherwise. Whether it is gone: none of it can
/// be read, and what others have of it takes its place. A record that a start needs and that has no good spare stays, to be
/// named then.
pub(super) fn mend_row(
    row: &mut RawRow,
    sql: Sql<'_>,
    sealer: &Sealer,
    attempts: &mut usize,
) -> Result<bool, StoreError> {
    let (table, key) = (row.table, row.key.clone());
    let at = place(donp_core::Table::from_byte(table), &key);
    let spare = "SELECT value FROM spares WHERE tbl = ?1 AND key = ?2";
    let mut good = None;
    if has_spares(table) {
        sql.each(spare, &[&table, &key], &mut |row| {
            good = bytes(row, 0).filter(|value| sealer.open(&at, value).is_ok());
            Ok(false)
        })?;
    }
    if good.is_none() && row.opens_or_is_corrected(sealer, attempts) && (row.table, &row.key) == (table, &key) {
        good = Some(row.value.clone());
    }
    match good {
        Some(value) => {
            sql.run("UPDATE records SET value = ?3 WHERE tbl = ?1 AND key = ?2", &[&table, &key, &value])?;
            Ok(false)
        }
        None if has_spares(table) => Ok(false),
        None => {
            sql.run("DELETE FROM records WHERE tbl = ?1 AND key = ?2", &[&table, &key])?;
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use donp_core::{Batch, Identity, Op, Scan, Table, WallTime};

    use super::super::{Profile, Secrets};
    use super::*;
    use crate::store::seal::Cost;

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };
    const ENTRIES: Table = Table::from_byte(160);
    const OUTBOX: Table = Table::from_byte(24);

    /// A profile with so many cold records, and as many in a table of which each record is kept twice, up to 16.
    fn made(dir: &Path, rows: u32) {
        let identity = Identity::generate([7; 64], "Alice", WallTime(1)).unwrap();
        let mut profile = Profile::create(dir, &identity, &Secrets::default(), CHEAP).unwrap();
        let put = |table, n: u32| Op::Put { table, key: n.to_be_bytes().to_vec(), value: vec![n as u8; 50] };
        let all = (0..rows).map(|n| put(ENTRIES, n)).chain((0..rows.min(16)).map(|n| put(OUTBOX, n)));
        profile.store_mut().commit(&[Batch { seq: 1, ops: all.collect() }]).unwrap();
    }

    fn changed(dir: &Path, table: Table, n: u32, change: impl Fn(&mut Vec<u8>)) {
        let db = rusqlite::Connection::open(dir.join("node.db")).unwrap();
        let key = n.to_be_bytes();
        let mut value: Vec<u8> = db
            .query_row("SELECT value FROM records WHERE tbl = ?1 AND key = ?2", (table.to_byte(), key), |r| r.get(0))
            .unwrap();
        change(&mut value);
        db.execute("UPDATE records SET value = ?3 WHERE tbl = ?1 AND key = ?2", (table.to_byte(), key, value)).unwrap();
    }

    fn opened(dir: &Path) -> Profile {
        Profile::open(dir, &Secrets::default()).unwrap()
    }

    /// Slices until the round ends.
    fn round(profile: &mut Profile, wall: u64) -> usize {
        (1..).find(|_| profile.store_mut().check_slice(wall).unwrap()).unwrap()
    }

    fn held(profile: &mut Profile) -> Vec<u32> {
        let all = Scan {
            table: ENTRIES,
            start: vec![],
            end: vec![0xff; 5],
            reverse: false,
            limit: 10_000,
            max_bytes: 1 << 24,
        };
        let records = profile.store_mut().scan(&all).unwrap();
        records.iter().map(|r| u32::from_be_bytes(r.key.as_slice().try_into().unwrap())).collect()
    }

    /// What the sums of places and nonces do not see.
    ///
    /// Mutations: `slice` takes each row for good; `check_slice` leaves the row, its sum or the count of what is lost.
    #[test]
    fn a_changed_value_is_found_without_being_read() {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path(), 1_500);
        changed(dir.path(), ENTRIES, 700, |value| value.iter_mut().rev().take(9).for_each(|byte| *byte ^= 0x55));
        let mut profile = opened(dir.path());
        assert_eq!(profile.store_mut().damaged(), 0, "the sums agree");
        assert!(round(&mut profile, 5) > 2);
        let store = profile.store_mut();
        assert_eq!((store.damaged(), store.fetches_again(), store.checked()), (1, true, (1_515, Some(5))));
        assert_eq!(held(&mut profile).len(), 1_499);
        assert_eq!(profile.store_mut().damaged(), 1, "it is gone and not found again");
        drop(profile);
        let mut again = opened(dir.path());
        assert_eq!(
            (again.store_mut().damaged(), again.store_mut().fetches_again()),
            (1, false),
            "said until it is known"
        );
        assert!(
            std::fs::read_dir(dir.path()).unwrap().all(|e| !e
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("damaged-"))
        );
    }

    /// Mutations: `mend_row` looks at no spare, or at no bit.
    #[test]
    fn a_value_with_a_spare_or_one_turned_bit_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path(), 20);
        let mut profile = opened(dir.path());
        changed(dir.path(), ENTRIES, 7, |value| value[30] ^= 4);
        changed(dir.path(), OUTBOX, 3, |value| value.iter_mut().rev().take(9).for_each(|byte| *byte ^= 0x55));
        round(&mut profile, 5);
        assert_eq!((profile.store_mut().damaged(), held(&mut profile).len()), (0, 20));
        drop(profile);
        let mut again = opened(dir.path());
        assert_eq!((again.store_mut().damaged(), round(&mut again, 5 + DAY)), (0, 1));
        assert_eq!(again.store_mut().checked().0, 36, "all of them open");
    }

    /// Mutations: `load` gives the beginning; `goes_on` is true.
    #[test]
    fn a_check_goes_on_after_a_restart_and_rests_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path(), 20 * ROWS);
        let mut profile = opened(dir.path());
        (0..STORE_EVERY).for_each(|_| assert!(!profile.store_mut().check_slice(5).unwrap()));
        drop(profile);
        let mut again = opened(dir.path());
        let rest = round(&mut again, 7);
        assert!((3..=6).contains(&rest), "{rest}");
        assert_eq!(again.store_mut().checked(), (u64::from(20 * ROWS + 16), Some(7)));
        drop(again);
        let mut later = opened(dir.path());
        assert_eq!(round(&mut later, 7 + DAY - 1), 1, "nothing to do");
        assert_eq!(later.store_mut().checked().1, Some(7));
        assert!(round(&mut later, 7 + DAY) > 20);
    }
}
