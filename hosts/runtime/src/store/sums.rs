//! What the rows of each table come to: their number and a keyed sum, written with every change in its transaction. A
//! row that was changed, removed or put back to an earlier value does not add up, wherever in the file it happened.
//!
//! The sum is that of a pseudorandom function over the place of each row and the nonce of its sealed value, modulo
//! 2^128 (the incremental multiset hash MSet-Add-Hash of Clarke et al., ASIACRYPT 2003, under a key). The nonce is new
//! with each sealing and stands for the value, which the seal itself binds to it: so a row costs one hash, and its old
//! value need not be read whole. Sums are sealed; a writer without the key can neither compute nor cancel a row.

use super::StoreError;
use super::seal::{NONCE, Sealer};
use super::secrets::unsealed;
use super::sql::{Sql, bytes, table};

/// The pseudo-table whose count is the number of transactions.
pub(super) const COMMITS: u8 = 0;

/// The rows of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    sum: u128,
}

impl Sum {
    pub(super) fn add(&mut self, row: u128) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(row);
    }

    pub(super) fn remove(&mut self, row: u128) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(row);
    }

    fn to_bytes(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..8].copy_from_slice(&self.rows.to_le_bytes());
        out[8..].copy_from_slice(&self.sum.to_le_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (rows, sum) = bytes.split_first_chunk::<8>()?;
        Some(Self { rows: u64::from_le_bytes(*rows), sum: u128::from_le_bytes(sum.try_into().ok()?) })
    }
}

/// The sums of all tables. An array, not a map: it is cloned for each transaction, and costs the library less code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sums(Box<[Sum; 256]>);

impl Default for Sums {
    fn default() -> Self {
        Self(Box::new([Sum::default(); 256]))
    }
}

impl Sums {
    pub(super) fn of(&self, table: u8) -> Sum {
        self.0[usize::from(table)]
    }

    pub(super) fn of_mut(&mut self, table: u8) -> &mut Sum {
        &mut self.0[usize::from(table)]
    }

    /// Tables with their sums, those without any rows too.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, Sum)> + '_ {
        (0..=u8::MAX).map(|table| (table, self.of(table)))
    }

    pub(super) fn commits(&self) -> u64 {
        self.of(COMMITS).rows
    }
}

/// What a sum is bound to. No table and no name of a secret begins so.
pub(super) fn place(table: u8) -> [u8; 3] {
    [0, 0, table]
}

/// What a row adds to the sum of its table. `nonce` is the beginning of the sealed value.
#[inline(never)]
pub(super) fn of_row(sealer: &Sealer, table: u8, key: &[u8], nonce: &[u8]) -> u128 {
    // The nonce has one length, so what comes before it is unambiguous.
    let mut fixed = [0; NONCE];
    let len = nonce.len().min(NONCE);
    fixed[..len].copy_from_slice(&nonce[..len]);
    let mut hasher = blake3::Hasher::new_keyed(sealer.sum_key());
    hasher.update(&[table]).update(key).update(&fixed);
    let hash = hasher.finalize();
    u128::from_le_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 16]))
}

/// The stored sums; whether all of them opened.
pub(super) fn load(sql: Sql<'_>, sealer: &Sealer) -> Result<(Sums, bool), StoreError> {
    let (mut sums, mut whole) = (Sums::default(), true);
    sql.each("SELECT tbl, value FROM sums", &[], &mut |row| {
        let mut read = || -> Option<(u8, Sum)> {
            let (table, mut sealed) = (table(row, 0)?, bytes(row, 1)?);
            if let Some(sum) = open(sealer, table, &sealed) {
                return Some((table, sum));
            }
            // One turned bit, which the seal proves; the row is written again.
            whole = false;
            (0..8).map(|bit| table ^ 1 << bit).find_map(|table| Some((table, open(sealer, table, &sealed)?))).or_else(
                || {
                    (0..sealed.len() * 8).find_map(|bit| {
                        sealed[bit / 8] ^= 1 << (bit % 8);
                        let sum = open(sealer, table, &sealed);
                        sealed[bit / 8] ^= 1 << (bit % 8);
                        Some((table, sum?))
                    })
                },
            )
        };
        match read() {
            Some((table, sum)) => *sums.of_mut(table) = sum,
            None => whole = false,
        }
        Ok(true)
    })?;
    Ok((sums, whole))
}

/// Reads a sum that was found outside of its table.
pub(super) fn open(sealer: &Sealer, table: u8, sealed: &[u8]) -> Option<Sum> {
    Sum::from_bytes(&sealer.open(&place(table), sealed).ok()?)
}

/// Writes one sum.
pub(super) fn put(sql: Sql<'_>, sealer: &mut Sealer, table: u8, sum: Sum) -> Result<(), StoreError> {
    let sealed = sealer.seal(&place(table), &sum.to_bytes()).map_err(|e| unsealed(e, sql.path))?;
    sql.run("INSERT OR REPLACE INTO sums VALUES (?1, ?2)", &[&table, &sealed])
}

/// What the rows of `records`, or of a table in its place, come to.
pub(super) fn count(sql: Sql<'_>, from: &str, sealer: &Sealer) -> Result<Sums, StoreError> {
    let all = format!("SELECT tbl, key, substr(value, 1, {NONCE}) FROM {from}");
    let mut sums = Sums::default();
    sql.each(&all, &[], &mut |row| {
        // A changed type is a changed row: it counts as one that adds nothing that was.
        let table = table(row, 0).unwrap_or(u8::MAX);
        let (key, nonce) = (bytes(row, 1).unwrap_or_default(), bytes(row, 2).unwrap_or_default());
        sums.of_mut(table).add(of_row(sealer, table, &key, &nonce));
        Ok(true)
    })?;
    Ok(sums)
}
