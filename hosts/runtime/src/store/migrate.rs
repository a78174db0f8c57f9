//! Formats of the store, numbered by `PRAGMA user_version`; each step is plain SQL.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::StoreError;
use super::sqlite::damaged_if_not_whole;

/// Step `n` leads from format `n` to format `n + 1`.
pub(super) const STEPS: &[&str] = &["
    CREATE TABLE secrets(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE records(tbl INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
                         PRIMARY KEY(tbl, key)) WITHOUT ROWID;
"];

/// Brings the file to the newest of `steps`. A file that holds something is copied and the copy
/// checked before each step, so that a failed step or a bug in it costs nothing.
pub(super) fn migrate(db: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let known = steps.len() as u32;
    let mut version: u32 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(StoreError::Sqlite)?;
    if version > known {
        return Err(StoreError::Newer { path: path.into(), found: version, known });
    }
    while let Some(step) = steps.get(version as usize) {
        if version > 0 {
            back_up(db, path, version)?;
        }
        let tx = db.transaction().map_err(StoreError::Sqlite)?;
        tx.execute_batch(step).map_err(StoreError::Sqlite)?;
        version += 1;
        tx.pragma_update(None, "user_version", version).map_err(StoreError::Sqlite)?;
        tx.commit().map_err(StoreError::Sqlite)?;
    }
    Ok(())
}

/// `node.db.v3` beside `node.db`.
pub(super) fn backup_path(path: &Path, version: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{version}"));
    name.into()
}

fn back_up(db: &Connection, path: &Path, version: u32) -> Result<(), StoreError> {
    let to = backup_path(path, version);
    let io = |what| {
        let path = to.clone();
        move |source| StoreError::Io { what, path, source }
    };
    match std::fs::remove_file(&to) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("cannot replace")(e)),
        _ => {}
    }
    db.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(StoreError::Sqlite)?;
    std::fs::File::open(&to).and_then(|f| f.sync_all()).map_err(io("cannot write"))?;
    let copy = Connection::open(&to).map_err(StoreError::Sqlite)?;
    damaged_if_not_whole(&copy, &to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[&str] = &["CREATE TABLE a(x); INSERT INTO a VALUES (1);", "ALTER TABLE a ADD COLUMN y DEFAULT 5;"];

    fn open(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    #[test]
    fn each_step_is_taken_once_and_backed_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.db");
        migrate(&mut open(&path), &path, &TWO[..1]).unwrap();
        assert!(!backup_path(&path, 0).exists(), "there was nothing to keep");
        migrate(&mut open(&path), &path, TWO).unwrap();
        migrate(&mut open(&path), &path, TWO).unwrap();
        let y: i64 = open(&path).query_row("SELECT y FROM a", [], |r| r.get(0)).unwrap();
        assert_eq!(y, 5);
        let backup = open(&backup_path(&path, 1));
        let version: u32 = backup.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
        assert_eq!(version, 1);
        assert!(backup.prepare("SELECT y FROM a").is_err(), "the backup is from before the step");
    }

    #[test]
    fn a_failed_step_leaves_the_old_format() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.db");
        let bad = [TWO[0], "CREATE TABLE b(x); CREATE TABLE a(x);"];
        assert!(migrate(&mut open(&path), &path, &bad).is_err());
        let db = open(&path);
        let version: u32 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
        assert_eq!(version, 1);
        assert!(db.prepare("SELECT * FROM b").is_err());
    }

    #[test]
    fn a_newer_format_is_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.db");
        migrate(&mut open(&path), &path, TWO).unwrap();
        let error = migrate(&mut open(&path), &path, &TWO[..1]).unwrap_err();
        assert!(error.to_string().contains("has format 2 and this version knows formats up to 1"), "{error}");
    }
}
