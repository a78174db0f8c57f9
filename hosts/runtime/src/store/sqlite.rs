//! The records of a node in one SQLite file, values sealed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use donp_core::{Batch, Op, Record, Scan, Table};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::seal::Sealer;
use super::{Access, Protection, StoreError};

/// The format of the file, in `PRAGMA user_version`. It rises with any change of what is stored, also inside of the
/// core's records (docs/spec/store.md). Until the first release an older file is refused.
const FORMAT: u32 = 4;
/// The tables of the file.
const SCHEMA: &str = "
    CREATE TABLE secrets(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE records(tbl INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
                         PRIMARY KEY(tbl, key)) WITHOUT ROWID;
";

/// An open store. `commit` is the only writer of records.
pub(crate) struct SqliteStore {
    /// None while the store is closed.
    db: Option<Connection>,
    path: PathBuf,
    sealer: Sealer,
    protection: Protection,
    commits: u64,
    damaged: u64,
    access: Access,
    /// Held as long as the store is open.
    lock: super::lock::Lock,
}

/// Opens the file, or makes one, without any key.
pub(super) fn open_file(path: &Path, create: bool) -> Result<Connection, StoreError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let refused = |e| refused(e, path);
    let mut db = Connection::open_with_flags(path, flags).map_err(refused)?;
    db.busy_timeout(Duration::from_secs(5)).map_err(refused)?;
    // The settings touch the file, so this is where one that is no database shows.
    db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).map_err(refused)?;
    // FULL: with NORMAL the last commits can be lost with the power, which here means that a key and
    // nonce, or a message number, is used twice.
    db.pragma_update(None, "synchronous", "FULL").map_err(refused)?;
    db.pragma_update(None, "foreign_keys", true).map_err(refused)?;
    // These two answer with a row.
    db.query_row("PRAGMA secure_delete=on", [], |_| Ok(())).map_err(refused)?;
    db.query_row("PRAGMA journal_size_limit=16777216", [], |_| Ok(())).map_err(refused)?;
    db.pragma_update(None, "temp_store", "MEMORY").map_err(refused)?;
    db.set_prepared_statement_cache_capacity(32);
    damaged_if_not_whole(&db, path)?;
    if !known_format(&db, path)? {
        let tx = db.transaction().map_err(refused)?;
        tx.execute_batch(SCHEMA).map_err(refused)?;
        tx.pragma_update(None, "user_version", FORMAT).map_err(refused)?;
        tx.commit().map_err(refused)?;
    }
    Ok(db)
}

/// Opens the file to read, also beside other readers and on a disk that cannot be written.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let refused = |e| refused(e, path);
    let opened = open_file(path, false);
    let Err(StoreError::Sqlite(e)) = &opened else { return opened };
    if !matches!(e.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)) {
        return opened;
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // Beside a log, the file alone is half of what was written.
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(StoreError::ReadOnly(log.into()));
    }
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(*byte as char),
            byte if byte.is_ascii_alphanumeric() => uri.push(*byte as char),
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri, flags).map_err(refused)?;
    damaged_if_not_whole(&db, path)?;
    known_format(&db, path)?;
    Ok(db)
}

/// Refuses a file of another format; whether it has one.
fn known_format(db: &Connection, path: &Path) -> Result<bool, StoreError> {
    match db.query_row("PRAGMA user_version", [], |r| r.get::<_, u32>(0)).map_err(StoreError::Sqlite)? {
        0 => Ok(false),
        FORMAT => Ok(true),
        found if found > FORMAT => Err(StoreError::Newer { path: path.into(), found, known: FORMAT }),
        found => Err(StoreError::Older { path: path.into(), found, known: FORMAT }),
    }
}

/// SQLite's own check of the file.
fn damaged_if_not_whole(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(|e| refused(e, path))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(StoreError::Damaged { path: path.into(), what: verdict.lines().next().unwrap_or_default().into() })
    }
}

/// SQLite's error in the words of this store.
fn refused(error: rusqlite::Error, path: &Path) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(code @ (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
            let what = if code == ErrorCode::NotADatabase { "it is not a database" } else { "it is malformed" };
            StoreError::Damaged { path: path.into(), what: what.into() }
        }
        _ => StoreError::Sqlite(error),
    }
}

/// What many batches come to: a message that was queued and acknowledged between two commits, or a
/// counter that rose a hundred times, is sealed and written once or not at all.
struct Sum<'a> {
    /// Removed first; what was put into them afterwards is in `rows`.
    ranges: Vec<(Table, &'a [u8], &'a [u8])>,
    /// In the order of the file's pages. None is a delete.
    rows: BTreeMap<(Table, &'a [u8]), Option<&'a [u8]>>,
}

impl<'a> Sum<'a> {
    fn of(batches: &'a [Batch]) -> Self {
        let mut sum = Self { ranges: Vec::new(), rows: BTreeMap::new() };
        for op in batches.iter().flat_map(|b| &b.ops) {
            match op {
                Op::Put { table, key, value } => drop(sum.rows.insert((*table, key), Some(value))),
                Op::Delete { table, key } => drop(sum.rows.insert((*table, key), None)),
                Op::DeleteRange { table, start, end } if start < end => {
                    let inside: Vec<_> =
                        sum.rows.range((*table, start.as_slice())..(*table, end.as_slice())).map(|(k, _)| *k).collect();
                    for key in inside {
                        sum.rows.remove(&key);
                    }
                    sum.ranges.push((*table, start, end));
                }
                Op::DeleteRange { .. } => {}
            }
        }
        sum
    }
}

/// What a value is bound to: its table and key.
fn place(table: Table, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(table.to_byte());
    out.extend_from_slice(key);
    out
}

fn secret_place(name: &str) -> Vec<u8> {
    // Tables begin at 1, so 0 cannot be one.
    [&[0], name.as_bytes()].concat()
}

pub(super) fn raw_secret(db: &Connection, name: &str, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    db.query_row("SELECT value FROM secrets WHERE name = ?1", [name], |r| r.get(0))
        .optional()
        .map_err(|e| refused(e, path))
}

pub(super) fn put_raw_secret(db: &Connection, name: &str, value: &[u8], path: &Path) -> Result<(), StoreError> {
    db.execute("INSERT OR REPLACE INTO secrets VALUES (?1, ?2)", params![name, value])
        .map(drop)
        .map_err(|e| refused(e, path))
}

pub(super) fn put_sealed_secret(
    db: &Connection,
    sealer: &mut Sealer,
    name: &str,
    value: &[u8],
    path: &Path,
) -> Result<(), StoreError> {
    let sealed = sealer.seal(&secret_place(name), value).map_err(|e| unsealed(e, path))?;
    put_raw_secret(db, name, &sealed, path)
}

/// The system gave no randomness for a nonce, or a value is larger than any cipher takes.
fn unsealed(source: std::io::Error, path: &Path) -> StoreError {
    StoreError::Io { what: "cannot seal a value for", path: path.into(), source }
}

impl SqliteStore {
    pub(super) fn new(
        db: Connection,
        path: PathBuf,
        sealer: Sealer,
        protection: Protection,
        lock: super::lock::Lock,
        access: Access,
    ) -> Self {
        Self { db: Some(db), path, sealer, protection, commits: 0, damaged: 0, access, lock }
    }

    /// The file, if nothing is written to it.
    pub(super) fn read_only(&self) -> Option<&Path> {
        (self.access == Access::Read).then_some(&self.path)
    }

    pub(super) fn lock_mut(&mut self) -> &mut super::lock::Lock {
        &mut self.lock
    }

    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    pub(super) fn put_secret(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        if self.access == Access::Read {
            return Err(StoreError::ReadOnly(self.path.clone()));
        }
        let db = self.db.as_ref().ok_or(StoreError::Closed)?;
        put_sealed_secret(db, &mut self.sealer, name, value, &self.path)
    }

    pub(super) fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(sealed) = raw_secret(self.db()?, name, &self.path)? else {
            return Ok(None);
        };
        self.sealer.open(&secret_place(name), &sealed).map(Some).map_err(|_| StoreError::Damaged {
            path: self.path.clone(),
            what: format!("the stored '{name}' was changed"),
        })
    }

    /// A restart needs every hot record: one that does not open stops it and is named.
    pub(super) fn hot(&mut self) -> Result<Vec<Record>, StoreError> {
        let mut out = Vec::new();
        let mut rows = self
            .db()?
            .prepare("SELECT tbl, key, value FROM records WHERE tbl < 128 ORDER BY tbl, key")
            .map_err(StoreError::Sqlite)?;
        let mut rows = rows.query([]).map_err(|e| refused(e, &self.path))?;
        while let Some(row) = rows.next().map_err(|e| refused(e, &self.path))? {
            let table = Table::from_byte(row.get(0).map_err(|e| refused(e, &self.path))?);
            let key: Vec<u8> = row.get(1).map_err(|e| refused(e, &self.path))?;
            let sealed: Vec<u8> = row.get(2).map_err(|e| refused(e, &self.path))?;
            let value = self.sealer.open(&place(table, &key), &sealed).map_err(|_| StoreError::Damaged {
                path: self.path.clone(),
                what: format!("a record in table {table} was changed"),
            })?;
            out.push(Record { table, key, value });
        }
        Ok(out)
    }

    /// Writes; a store that is only read takes it as done, so that an engine which is offline goes on.
    pub(super) fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        if self.access == Access::Read {
            return Ok(());
        }
        let db = self.db.as_ref().ok_or(StoreError::Closed)?;
        let tx = db.unchecked_transaction().map_err(|e| refused(e, &self.path))?;
        {
            let mut put =
                tx.prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3)").map_err(StoreError::Sqlite)?;
            let mut delete =
                tx.prepare_cached("DELETE FROM records WHERE tbl = ?1 AND key = ?2").map_err(StoreError::Sqlite)?;
            let mut delete_range = tx
                .prepare_cached("DELETE FROM records WHERE tbl = ?1 AND key >= ?2 AND key < ?3")
                .map_err(StoreError::Sqlite)?;
            let sum = Sum::of(batches);
            for (table, start, end) in sum.ranges {
                delete_range.execute(params![table.to_byte(), start, end]).map_err(|e| refused(e, &self.path))?;
            }
            for ((table, key), value) in sum.rows {
                match value {
                    Some(value) => {
                        let sealed =
                            self.sealer.seal(&place(table, key), value).map_err(|e| unsealed(e, &self.path))?;
                        put.execute(params![table.to_byte(), key, sealed])
                    }
                    None => delete.execute(params![table.to_byte(), key]),
                }
                .map_err(|e| refused(e, &self.path))?;
            }
        }
        // Dropping the transaction on an error above rolls it back.
        tx.commit().map_err(|e| refused(e, &self.path))?;
        self.commits += 1;
        Ok(())
    }

    pub(super) fn scan(&mut self, request: &Scan) -> Result<Vec<Record>, StoreError> {
        let sql = if request.reverse {
            "SELECT key, value FROM records WHERE tbl = ?1 AND key >= ?2 AND key < ?3 ORDER BY key DESC LIMIT ?4"
        } else {
            "SELECT key, value FROM records WHERE tbl = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4"
        };
        let refused = |e| refused(e, &self.path);
        let db = self.db.as_ref().ok_or(StoreError::Closed)?;
        let mut statement = db.prepare_cached(sql).map_err(refused)?;
        let mut rows = statement
            .query(params![request.table.to_byte(), request.start, request.end, request.limit])
            .map_err(refused)?;
        let mut out = Vec::new();
        let mut bytes = 0;
        while bytes <= request.max_bytes as usize
            && let Some(row) = rows.next().map_err(refused)?
        {
            let key: Vec<u8> = row.get(0).map_err(refused)?;
            let sealed: Vec<u8> = row.get(1).map_err(refused)?;
            match self.sealer.open(&place(request.table, &key), &sealed) {
                Ok(value) => {
                    bytes += key.len() + value.len();
                    out.push(Record { table: request.table, key, value });
                }
                // The loss stays limited to this record.
                Err(_) => {
                    self.damaged += 1;
                    log::warn!("{}: a record in table {} was changed", self.path.display(), request.table);
                }
            }
        }
        Ok(out)
    }

    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.access == Access::Read {
            return Ok(());
        }
        self.db()?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|e| refused(e, &self.path))
    }

    fn db(&self) -> Result<&Connection, StoreError> {
        self.db.as_ref().ok_or(StoreError::Closed)
    }

    /// Closes the file, its log moved into it. What is asked before [`reopen`](Self::reopen) is refused.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.checkpoint()?;
        if let Some(db) = self.db.take()
            && let Err((db, e)) = db.close()
        {
            self.db = Some(db);
            return Err(refused(e, &self.path));
        }
        Ok(())
    }

    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        if self.db.is_none() {
            let open = if self.access == Access::Read { open_to_read } else { |path: &Path| open_file(path, false) };
            self.db = Some(open(&self.path)?);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.db().unwrap().query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(())).unwrap();
    }

    #[cfg(test)]
    pub(crate) fn pages(&self) -> u32 {
        self.db().unwrap().query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap()
    }
}
