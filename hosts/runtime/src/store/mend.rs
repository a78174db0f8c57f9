//! What is done about a file whose rows do not add up: everything that opens is kept, a copy of the rest is found or
//! counted, and the file as it was stays beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use donp_core::Table;
use rusqlite::{Connection, Row, params};

use super::StoreError;
use super::seal::{self, NONCE, Sealer};
use super::sqlite::{DAMAGE, place, put_sealed_secret, refused, sealed_in_the_clear, secret_place};
use super::sums::{self, COMMITS, Sum, Sums};

/// Seals that one mending tries to open after turning a bit: about a second.
pub(super) const ATTEMPTS: usize = 500_000;
/// The longest value of which each bit is tried: the records of a message.
const TRIED: usize = 2_048;

/// Records that could not be kept, by table; under 0 the transactions that a file lacks.
pub(super) type Lost = Vec<(u8, u64)>;

pub(super) fn add(lost: &mut Lost, table: u8, n: u64) {
    match lost.iter_mut().find(|(t, _)| *t == table) {
        Some((_, all)) => *all = all.saturating_add(n),
        None => lost.push((table, n)),
    }
}

pub(super) fn total(lost: &Lost) -> u64 {
    lost.iter().map(|(_, n)| *n).sum()
}

/// One row as it lies in the file.
pub(super) struct RawRow {
    pub(super) table: u8,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl RawRow {
    /// None if a column has another type than was written.
    pub(super) fn of(row: &Row<'_>) -> Option<Self> {
        Some(Self { table: row.get(0).ok()?, key: row.get(1).ok()?, value: row.get(2).ok()? })
    }

    pub(super) fn opens(&self, sealer: &Sealer) -> bool {
        sealer.open(&place(Table::from_byte(self.table), &self.key), &self.value).is_ok()
    }

    /// Opens it as it is or with one bit turned back, which a seal proves: a bit of its place or, of a short one, of its
    /// value.
    pub(super) fn opens_or_is_corrected(&mut self, sealer: &Sealer, attempts: &mut usize) -> bool {
        if self.opens(sealer) {
            return true;
        }
        let value_bits = if self.value.len() <= TRIED { self.value.len() * 8 } else { 0 };
        let key_bits = self.key.len() * 8;
        for bit in 0..8 + key_bits + value_bits {
            if *attempts == 0 {
                return false;
            }
            *attempts -= 1;
            self.turn(bit);
            if self.opens(sealer) {
                return true;
            }
            self.turn(bit);
        }
        false
    }

    fn turn(&mut self, bit: usize) {
        let mask = 1u8 << (bit % 8);
        let at = bit / 8;
        match at.checked_sub(1) {
            None => self.table ^= mask,
            Some(at) if at < self.key.len() => self.key[at] ^= mask,
            Some(at) => {
                let at = at - self.key.len();
                self.value[at] ^= mask;
            }
        }
    }

    fn nonce(&self) -> &[u8] {
        self.value.get(..NONCE).unwrap_or(&self.value)
    }
}

/// Tables of which each record is kept twice.
pub(super) fn has_spares(table: u8) -> bool {
    let table = Table::from_byte(table);
    table.is_hot() && !table.is_expendable()
}

/// Writes the spares of all records again.
pub(super) fn write_spares(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |e| refused(e, path);
    db.execute("DELETE FROM spares WHERE tbl <> 0", []).map_err(failed)?;
    for table in (0..128).filter(|t| has_spares(*t)) {
        db.execute("INSERT INTO spares SELECT * FROM records WHERE tbl = ?1", [table]).map_err(failed)?;
    }
    Ok(())
}

/// Whether every record that is kept twice is the same in both places.
pub(super) fn spares_agree(db: &Connection, path: &Path) -> Result<bool, StoreError> {
    let differing = "SELECT EXISTS(SELECT 1 FROM spares s LEFT JOIN records r ON r.tbl = s.tbl AND r.key = s.key
            WHERE s.tbl <> 0 AND r.value IS NOT s.value)
        OR EXISTS(SELECT 1 FROM spares s LEFT JOIN secrets r ON r.name = CAST(s.key AS TEXT)
            WHERE s.tbl = 0 AND r.value IS NOT s.value)
        OR (SELECT count(*) FROM secrets) <> (SELECT count(*) FROM spares WHERE tbl = 0)";
    let differing: bool = db.query_row(differing, [], |r| r.get(0)).map_err(|e| refused(e, path))?;
    if differing {
        return Ok(false);
    }
    let mut tables = db
        .prepare(
            "SELECT tbl, count(*), (SELECT count(*) FROM spares s WHERE s.tbl = r.tbl) FROM records r \
                  WHERE tbl < 128 GROUP BY tbl",
        )
        .map_err(|e| refused(e, path))?;
    let mut tables = tables.query([]).map_err(|e| refused(e, path))?;
    while let Some(row) = tables.next().map_err(|e| refused(e, path))? {
        let read = || -> rusqlite::Result<(u8, i64, i64)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        match read() {
            Ok((table, rows, spares)) if has_spares(table) && rows != spares => return Ok(false),
            Ok(_) => {}
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// A name in the profile's folder for what is set aside.
pub(super) fn aside(path: &Path) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let name = |n: u64| path.with_file_name(format!("damaged-{n}"));
    (seconds..).map(name).find(|p| !p.exists()).unwrap_or_else(|| name(seconds))
}

/// Copies the file as it is into a folder of its own, which is never touched again.
fn set_aside(db: &Connection, path: &Path) -> Result<PathBuf, StoreError> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|e| refused(e, path))?;
    let dir = aside(path);
    let copied = super::profile::private_dir(&dir)
        .and_then(|()| super::backup::copy(path, &dir.join("node.db")))
        .and_then(|()| super::backup::sync_dir(&dir));
    copied.map(|()| dir)
}

/// Rebuilds the records from those that open, their spares, and what one turned bit explains. `recorded` are the sums as
/// they were written. What is lost is counted, also in the file.
pub(super) fn mend(
    db: &Connection,
    sealer: &mut Sealer,
    path: &Path,
    recorded: &Sums,
) -> Result<(Sums, Lost, PathBuf), StoreError> {
    let failed = |e| refused(e, path);
    let dir = set_aside(db, path)?;
    let tx = db.unchecked_transaction().map_err(failed)?;
    tx.execute_batch(
        "CREATE TABLE fresh(tbl INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
                            PRIMARY KEY(tbl, key)) WITHOUT ROWID;",
    )
    .map_err(failed)?;
    let mut attempts = ATTEMPTS;
    {
        let mut put = tx.prepare("INSERT OR IGNORE INTO fresh VALUES (?1, ?2, ?3)").map_err(failed)?;
        // Rows as they lie there, whatever their keys have become.
        let mut rows = tx.prepare("SELECT tbl, key, value FROM records").map_err(failed)?;
        let mut rows = rows.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let Some(mut row) = RawRow::of(row) else { continue };
            if row.opens_or_is_corrected(sealer, &mut attempts) {
                put.execute(params![row.table, row.key, row.value]).map_err(failed)?;
            }
        }
    }
    let mut found = sums::count(&tx, "fresh", sealer, path)?;
    from_spares(&tx, sealer, path, recorded, &mut found)?;
    tx.execute_batch("DROP TABLE records; ALTER TABLE fresh RENAME TO records;").map_err(failed)?;
    write_spares(&tx, path)?;
    mend_secrets(&tx, sealer, path)?;
    let lost = missing(recorded, &found);
    *found.of_mut(COMMITS) = recorded.of(COMMITS);
    write_sums(&tx, sealer, path, &found, &lost)?;
    tx.commit().map_err(failed)?;
    Ok((found, lost, dir))
}

/// The mark of a number of transactions: the number and half of a keyed hash.
pub(super) fn mark_of(number: u64, sealer: &Sealer) -> [u8; 16] {
    let mut out = [0; 16];
    let hash = blake3::keyed_hash(sealer.sum_key(), &number.to_le_bytes());
    out[..8].copy_from_slice(&number.to_le_bytes());
    out[8..].copy_from_slice(&hash.as_bytes()[..8]);
    out
}

/// How many transactions the mark beside a file knows of and the file does not.
pub(super) fn behind_mark(path: &Path, sealer: &Sealer, sums: &Sums) -> u64 {
    let bytes = fs::read(path.with_file_name("mark")).unwrap_or_default();
    let number = bytes.first_chunk().map_or(0, |n| u64::from_le_bytes(*n));
    let commits = sums.commits();
    if bytes == mark_of(number, sealer) { number.saturating_sub(commits) } else { 0 }
}

/// What was recorded and is not there.
pub(super) fn missing(recorded: &Sums, found: &Sums) -> Lost {
    let mut lost = Lost::new();
    for (table, was) in recorded.iter().filter(|(table, _)| *table != COMMITS) {
        let is = found.of(table);
        if is != was {
            // As many rows with another sum: one was put back to what it was before.
            add(&mut lost, table, was.rows.saturating_sub(is.rows).max(1));
        }
    }
    lost
}

/// Writes the sums again, and adds what is lost now to what was before.
pub(super) fn write_sums(
    db: &Connection,
    sealer: &mut Sealer,
    path: &Path,
    sums: &Sums,
    lost: &Lost,
) -> Result<(), StoreError> {
    db.execute("DELETE FROM sums", []).map_err(|e| refused(e, path))?;
    for (table, sum) in sums.iter().filter(|(_, sum)| *sum != Sum::default()) {
        sums::put(db, sealer, table, sum, path)?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    let mut all = stored_damage(db, sealer, path)?;
    lost.iter().for_each(|(table, n)| add(&mut all, *table, *n));
    put_damage(db, sealer, &all, path)
}

/// Fills in what only the spares have, and takes those that differ where the sums say that they are right.
fn from_spares(
    tx: &Connection,
    sealer: &Sealer,
    path: &Path,
    recorded: &Sums,
    found: &mut Sums,
) -> Result<(), StoreError> {
    let failed = |e| refused(e, path);
    let mut differing: Vec<(RawRow, Vec<u8>)> = Vec::new();
    let mut put = tx.prepare("INSERT OR REPLACE INTO fresh VALUES (?1, ?2, ?3)").map_err(failed)?;
    let mut spares = tx
        .prepare(
            "SELECT s.tbl, s.key, s.value, f.value FROM spares s LEFT JOIN fresh f ON f.tbl = s.tbl AND f.key = s.key \
             WHERE s.tbl <> 0 AND f.value IS NOT s.value",
        )
        .map_err(failed)?;
    let mut rows = spares.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (Some(spare), is) = (RawRow::of(row), row.get::<_, Option<Vec<u8>>>(3)) else { continue };
        if spare.opens(sealer) {
            differing.push((spare, is.ok().flatten().unwrap_or_default()));
        }
    }
    // What is missing; then, of a table that does not add up so, all.
    for (spare, _) in differing.iter().filter(|(_, is)| is.is_empty()) {
        found.of_mut(spare.table).add(sums::of_row(sealer, spare.table, &spare.key, spare.nonce()));
        put.execute(params![spare.table, spare.key, spare.value]).map_err(failed)?;
    }
    let mut replaced = found.clone();
    for (spare, is) in differing.iter().filter(|(_, is)| !is.is_empty()) {
        let sum = replaced.of_mut(spare.table);
        sum.remove(sums::of_row(sealer, spare.table, &spare.key, is));
        sum.add(sums::of_row(sealer, spare.table, &spare.key, spare.nonce()));
    }
    for (spare, _) in differing.iter().filter(|(_, is)| !is.is_empty()) {
        let table = spare.table;
        if found.of(table) != recorded.of(table) && replaced.of(table) == recorded.of(table) {
            put.execute(params![table, spare.key, spare.value]).map_err(failed)?;
        }
    }
    for (table, sum) in replaced.iter().filter(|(table, sum)| *sum == recorded.of(*table)) {
        *found.of_mut(table) = sum;
    }
    Ok(())
}

/// Secrets and their spares: the one that opens takes the place of the other.
fn mend_secrets(tx: &Connection, sealer: &Sealer, path: &Path) -> Result<(), StoreError> {
    let failed = |e| refused(e, path);
    let mut good: Vec<(String, Vec<u8>)> = Vec::new();
    let mut rows = tx
        .prepare("SELECT name, value FROM secrets UNION ALL SELECT CAST(key AS TEXT), value FROM spares WHERE tbl = 0")
        .map_err(failed)?;
    let mut rows = rows.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (Ok(name), Ok(value)) = (row.get::<_, String>(0), row.get::<_, Vec<u8>>(1)) else { continue };
        if is_good_secret(&name, &value, sealer) && good.iter().all(|(n, _)| *n != name) {
            good.push((name, value));
        }
    }
    tx.execute_batch("DELETE FROM secrets; DELETE FROM spares WHERE tbl = 0;").map_err(failed)?;
    for (name, value) in good {
        super::sqlite::put_raw_secret(tx, &name, &value, path)?;
    }
    Ok(())
}

/// Whether a secret is what was written under this name.
pub(super) fn is_good_secret(name: &str, value: &[u8], sealer: &Sealer) -> bool {
    match name {
        super::profile::WRAPPED_KEY => seal::protection(value).is_ok(),
        name if sealed_in_the_clear(name) => true,
        name => sealer.open(&secret_place(name), value).is_ok(),
    }
}

/// What was lost before, as the file says.
pub(super) fn stored_damage(db: &Connection, sealer: &Sealer, path: &Path) -> Result<Lost, StoreError> {
    let mut out = Lost::new();
    for sealed in super::sqlite::raw_secrets(db, DAMAGE, path)? {
        let Ok(bytes) = sealer.open(&secret_place(DAMAGE), &sealed) else { continue };
        for entry in bytes.chunks_exact(9) {
            if let Some((table, n)) = entry.split_first()
                && let Ok(n) = n.try_into()
            {
                add(&mut out, *table, u64::from_le_bytes(n));
            }
        }
        break;
    }
    Ok(out)
}

/// Writes what was lost.
pub(super) fn put_damage(db: &Connection, sealer: &mut Sealer, lost: &Lost, path: &Path) -> Result<(), StoreError> {
    let mut bytes = Vec::with_capacity(lost.len() * 9);
    for (table, n) in lost {
        bytes.push(*table);
        bytes.extend_from_slice(&n.to_le_bytes());
    }
    put_sealed_secret(db, sealer, DAMAGE, &bytes, path)
}

/// What was lost, in words.
pub(super) fn in_words(lost: &Lost) -> String {
    let words: Vec<_> = lost
        .iter()
        .map(|(table, n)| match *table {
            COMMITS => format!("{n} transactions"),
            table => format!("{n} of {}", Table::from_byte(table)),
        })
        .collect();
    words.join(", ")
}

/// Removes what was set aside by nobody but this: half a copy.
pub(super) fn forget(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
}
