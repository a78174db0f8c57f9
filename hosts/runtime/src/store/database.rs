//! The file of a profile: its format, its tables and its settings, without any key.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use super::sql::{Sql, refused};

/// The format of the file, in `PRAGMA user_version`. It rises with any change of what is stored, also inside of the
/// core's records (docs/spec/store.md). Until the first release an older file is refused.
const FORMAT: u32 = 12;
pub(super) const SECRETS: &str = "CREATE TABLE secrets(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";
pub(super) const SPARES: &str = "CREATE TABLE spares(tbl INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
                         PRIMARY KEY(tbl, key)) WITHOUT ROWID";
/// The tables of the file.
const SCHEMA: [&str; 4] = [
    SECRETS,
    "CREATE TABLE records(tbl INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
                          PRIMARY KEY(tbl, key)) WITHOUT ROWID",
    SPARES,
    "CREATE TABLE sums(tbl INTEGER PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
];
/// How long a statement waits for another connection.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Opens the file, or makes one, without any key.
pub(super) fn open_file(path: &Path, create: bool) -> Result<Connection, StoreError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let refused = |e| refused(e, path);
    let db = Connection::open_with_flags(path, flags).map_err(refused)?;
    db.busy_timeout(BUSY).map_err(refused)?;
    db.set_prepared_statement_cache_capacity(32);
    let sql = Sql { db: &db, path };
    for setting in [
        // The settings touch the file, so this is where one that is no database shows.
        "PRAGMA journal_mode=WAL",
        // FULL: with NORMAL the last commits can be lost with the power, which here means that a key and
        // nonce, or a message number, is used twice.
        "PRAGMA synchronous=FULL",
        "PRAGMA secure_delete=on",
        "PRAGMA journal_size_limit=16777216",
        "PRAGMA temp_store=MEMORY",
    ] {
        sql.run(setting, &[])?;
    }
    damaged_if_not_whole(sql)?;
    if !known_format(sql)? {
        let tx = db.unchecked_transaction().map_err(refused)?;
        for part in SCHEMA {
            sql.run(part, &[])?;
        }
        sql.run(&format!("PRAGMA user_version={FORMAT}"), &[])?;
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
    let has_log = std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    if has_log && !cfg!(unix) {
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
    // The index of a log lies beside it, as long as a node runs, or in the memory of one process that has the file for itself
    // (<https://www.sqlite.org/wal.html#noshm>). SQLite's own lock for that takes a file that can be written.
    uri.push_str(if has_log { "?vfs=unix-none" } else { "?immutable=1" });
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri, flags).map_err(refused)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(refused)?;
    let sql = Sql { db: &db, path };
    if has_log {
        sql.run("PRAGMA locking_mode=EXCLUSIVE", &[])?;
    }
    damaged_if_not_whole(sql)?;
    known_format(sql)?;
    Ok(db)
}

/// Refuses a file of another format; whether it has one.
fn known_format(sql: Sql<'_>) -> Result<bool, StoreError> {
    let found = sql.number("PRAGMA user_version", &[])?.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let path = || sql.path.to_path_buf();
    match found {
        0 => Ok(false),
        FORMAT => Ok(true),
        found if found > FORMAT => Err(StoreError::Newer { path: path(), found, known: FORMAT }),
        found => Err(StoreError::Older { path: path(), found, known: FORMAT }),
    }
}

/// SQLite's own check of the file.
fn damaged_if_not_whole(sql: Sql<'_>) -> Result<(), StoreError> {
    let verdict = sql.bytes("PRAGMA quick_check(1)", &[])?.unwrap_or_default();
    if verdict == b"ok" {
        return Ok(());
    }
    // The first line names the database, which is the file itself.
    let verdict = String::from_utf8_lossy(&verdict);
    let what = verdict.lines().find(|l| !l.starts_with("***")).unwrap_or("its pages do not fit together");
    Err(StoreError::Damaged { path: sql.path.into(), what: what.into() })
}
