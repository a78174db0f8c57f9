//! What is done about a file whose rows do not add up: everything that opens is kept, a copy of the rest is found or
//! counted, and the file as it was stays beside it.

use std::fs;
use std::path::{Path, PathBuf};

use donp_core::Table;
use rusqlite::Row;

use super::StoreError;
use super::database::{SECRETS, SPARES};
use super::files::{aside, copy, private_dir, sync_dir};
use super::seal::{self, NONCE, Sealer};
use super::secrets::{
    DAMAGE, SETTLED, WRAPPED_KEY, place, put_raw_secret, put_sealed_secret, raw_secrets, sealed_in_the_clear,
    secret_place,
};
use super::sql::{Sql, bytes, number, refused, table};
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
        Some(Self { table: table(row, 0)?, key: bytes(row, 1)?, value: bytes(row, 2)? })
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

/// Writes the spares of all records, of which there are none yet.
pub(super) fn write_spares(sql: Sql<'_>) -> Result<(), StoreError> {
    let mut tables = (0..128u8).filter(|t| has_spares(*t));
    tables.try_for_each(|t| sql.run("INSERT INTO spares SELECT * FROM records WHERE tbl = ?1", &[&t]))
}

/// Whether every record that is kept twice is the same in both places.
pub(super) fn spares_agree(sql: Sql<'_>) -> Result<bool, StoreError> {
    let differing = "SELECT EXISTS(SELECT 1 FROM spares s LEFT JOIN records r ON r.tbl = s.tbl AND r.key = s.key
            WHERE s.tbl <> 0 AND r.value IS NOT s.value)
        OR EXISTS(SELECT 1 FROM spares s LEFT JOIN secrets r ON r.name = CAST(s.key AS TEXT)
            WHERE s.tbl = 0 AND r.value IS NOT s.value)
        OR (SELECT count(*) FROM secrets) <> (SELECT count(*) FROM spares WHERE tbl = 0)";
    if sql.number(differing, &[])? != Some(0) {
        return Ok(false);
    }
    let counts = "SELECT tbl, count(*), (SELECT count(*) FROM spares s WHERE s.tbl = r.tbl) FROM records r \
                  WHERE tbl < 128 GROUP BY tbl";
    let mut agree = true;
    sql.each(counts, &[], &mut |row| {
        agree &= table(row, 0).is_some_and(|t| !has_spares(t) || number(row, 1) == number(row, 2));
        Ok(agree)
    })?;
    Ok(agree)
}

/// Copies the file as it is into a folder of its own, which is never touched again.
fn set_aside(sql: Sql<'_>) -> Result<PathBuf, StoreError> {
    sql.run("PRAGMA wal_checkpoint(TRUNCATE)", &[])?;
    let dir = aside(sql.path);
    private_dir(&dir)?;
    copy(sql.path, &dir.join("node.db"))?;
    sync_dir(&dir)?;
    Ok(dir)
}

/// Rebuilds the records from those that open, their spares, and what one turned bit explains. `recorded` are the sums as
/// they were written. What is lost is counted, also in the file.
pub(super) fn mend(sql: Sql<'_>, sealer: &mut Sealer, recorded: &Sums) -> Result<(Sums, Lost, PathBuf), StoreError> {
    let dir = set_aside(sql)?;
    let failed = |e| refused(e, sql.path);
    let tx = sql.db.unchecked_transaction().map_err(failed)?;
    sql.run(
        "CREATE TABLE fresh(tbl INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
                            PRIMARY KEY(tbl, key)) WITHOUT ROWID",
        &[],
    )?;
    let mut attempts = ATTEMPTS;
    // Rows as they lie there, whatever their keys have become.
    sql.each("SELECT tbl, key, value FROM records", &[], &mut |row| {
        if let Some(mut row) = RawRow::of(row)
            && row.opens_or_is_corrected(sealer, &mut attempts)
        {
            sql.run("INSERT OR IGNORE INTO fresh VALUES (?1, ?2, ?3)", &[&row.table, &row.key, &row.value])?;
        }
        Ok(true)
    })?;
    let mut found = sums::count(sql, "fresh", sealer)?;
    from_spares(sql, sealer, recorded, &mut found)?;
    sql.db.flush_prepared_statement_cache();
    // Each table is made anew: where one is damaged, rows are out of their order, and no statement finds those to change.
    sql.run("DROP TABLE records", &[])?;
    sql.run("ALTER TABLE fresh RENAME TO records", &[])?;
    mend_secrets(sql, sealer)?;
    write_spares(sql)?;
    let lost = missing(recorded, &found);
    *found.of_mut(COMMITS) = recorded.of(COMMITS);
    write_sums(sql, sealer, &found, &lost)?;
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
pub(super) fn write_sums(sql: Sql<'_>, sealer: &mut Sealer, sums: &Sums, lost: &Lost) -> Result<(), StoreError> {
    sql.run("DELETE FROM sums", &[])?;
    for (table, sum) in sums.iter().filter(|(_, sum)| *sum != Sum::default()) {
        sums::put(sql, sealer, table, sum)?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    let mut all = stored_damage(sql, sealer, DAMAGE)?;
    lost.iter().for_each(|(table, n)| add(&mut all, *table, *n));
    put_damage(sql, sealer, DAMAGE, &all)
}

/// Fills in what only the spares have, and takes those that differ where the sums say that they are right.
fn from_spares(sql: Sql<'_>, sealer: &Sealer, recorded: &Sums, found: &mut Sums) -> Result<(), StoreError> {
    let put =
        |row: &RawRow| sql.run("INSERT OR REPLACE INTO fresh VALUES (?1, ?2, ?3)", &[&row.table, &row.key, &row.value]);
    let mut differing: Vec<(RawRow, Vec<u8>)> = Vec::new();
    let spares = "SELECT s.tbl, s.key, s.value, f.value FROM spares s LEFT JOIN fresh f \
                  ON f.tbl = s.tbl AND f.key = s.key WHERE s.tbl <> 0 AND f.value IS NOT s.value";
    sql.each(spares, &[], &mut |row| {
        if let Some(spare) = RawRow::of(row)
            && spare.opens(sealer)
        {
            differing.push((spare, bytes(row, 3).unwrap_or_default()));
        }
        Ok(true)
    })?;
    // What is missing; then, of a table that does not add up so, all.
    for (spare, _) in differing.iter().filter(|(_, is)| is.is_empty()) {
        found.of_mut(spare.table).add(sums::of_row(sealer, spare.table, &spare.key, spare.nonce()));
        put(spare)?;
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
            put(spare)?;
        }
    }
    for (table, sum) in replaced.iter().filter(|(table, sum)| *sum == recorded.of(*table)) {
        *found.of_mut(table) = sum;
    }
    Ok(())
}

/// Secrets and their spares: the one that opens takes the place of the other. Spares of records are gone then.
fn mend_secrets(sql: Sql<'_>, sealer: &Sealer) -> Result<(), StoreError> {
    let mut good: Vec<(String, Vec<u8>)> = Vec::new();
    let both = "SELECT name, value FROM secrets UNION ALL SELECT key, value FROM spares WHERE +tbl = 0";
    sql.each(both, &[], &mut |row| {
        let name = bytes(row, 0).and_then(|name| String::from_utf8(name).ok());
        if let (Some(name), Some(value)) = (name, bytes(row, 1))
            && is_good_secret(&name, &value, sealer)
            && good.iter().all(|(n, _)| *n != name)
        {
            good.push((name, value));
        }
        Ok(true)
    })?;
    sql.db.flush_prepared_statement_cache();
    for (table, made_anew) in [("secrets", SECRETS), ("spares", SPARES)] {
        sql.run(&format!("DROP TABLE {table}"), &[])?;
        sql.run(made_anew, &[])?;
    }
    good.iter().try_for_each(|(name, value)| put_raw_secret(sql, name, value))
}

/// Whether a secret is what was written under this name.
pub(super) fn is_good_secret(name: &str, value: &[u8], sealer: &Sealer) -> bool {
    match name {
        WRAPPED_KEY => seal::protection(value).is_ok(),
        name if sealed_in_the_clear(name) => true,
        name => sealer.open(&secret_place(name), value).is_ok(),
    }
}

/// What was lost before, as the file says under this name: [`DAMAGE`] or [`SETTLED`].
pub(super) fn stored_damage(sql: Sql<'_>, sealer: &Sealer, name: &str) -> Result<Lost, StoreError> {
    let mut out = Lost::new();
    for sealed in raw_secrets(sql, name)? {
        let Ok(bytes) = sealer.open(&secret_place(name), &sealed) else { continue };
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

/// Takes what was lost as known. It is not reported again, and stays counted: history has a hole where it was.
pub(super) fn settle(sql: Sql<'_>, sealer: &mut Sealer) -> Result<Lost, StoreError> {
    let lost = stored_damage(sql, sealer, DAMAGE)?;
    if lost.is_empty() {
        return Ok(lost);
    }
    let mut settled = stored_damage(sql, sealer, SETTLED)?;
    lost.iter().for_each(|(table, n)| add(&mut settled, *table, *n));
    let failed = |e| refused(e, sql.path);
    let tx = sql.db.unchecked_transaction().map_err(failed)?;
    put_damage(sql, sealer, SETTLED, &settled)?;
    put_damage(sql, sealer, DAMAGE, &Lost::new())?;
    tx.commit().map_err(failed)?;
    Ok(lost)
}

/// Writes what was lost.
pub(super) fn put_damage(sql: Sql<'_>, sealer: &mut Sealer, name: &str, lost: &Lost) -> Result<(), StoreError> {
    let mut out = Vec::with_capacity(lost.len() * 9);
    for (table, n) in lost {
        out.push(*table);
        out.extend_from_slice(&n.to_le_bytes());
    }
    put_sealed_secret(sql, sealer, name, &out)
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
