//! A copy of a profile that is consistent while its node runs, and a profile that begins from one.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use super::StoreError;
use super::database::{BUSY, open_to_read};
use super::files::{
    NEW_LIFE, above, copy, forget, make_dirs, private_dir, private_file, private_new, refused_by_system, sync_dir,
    synced, with_end,
};
use super::sql::refused;

const PARTS: [&str; 2] = ["node.db", "key"];
/// The end of a name by which a backup is one file.
pub const BACKUP_ENDING: &str = "donp";
/// What a backup in one file holds beside the records: the key file, if there is one.
const BESIDE: &str = "PRAGMA journal_mode = MEMORY; CREATE TABLE beside (name TEXT PRIMARY KEY, bytes BLOB NOT NULL)";

/// Writes everything in `into` under the name `to`: complete or absent.
pub(super) fn whole(to: &Path, into: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError::Exists(to.into()));
    }
    let above = above(to);
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let half = above.join(name);
    let _ = fs::remove_dir_all(&half);
    let made = private_dir(&half)
        .and_then(|()| into(&half))
        .and_then(|()| sync_dir(&half))
        .and_then(|()| fs::rename(&half, to).map_err(|e| refused_by_system("cannot make", to, e)))
        .and_then(|()| sync_dir(above));
    if made.is_err() {
        forget(&half);
    }
    made
}

/// Whether a backup holds the key that opens it.
pub type HasKey = bool;

/// Copies the profile in `dir` to `to`, which must not be there: one file if its name ends with `.donp`, else a folder. A
/// node may run meanwhile: the copy is as of one moment. No passphrase is needed: what is sealed stays sealed.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Exists`] for `to`, [`StoreError::Damaged`]: see `donp check`.
pub fn backup(dir: &Path, to: &Path) -> Result<HasKey, StoreError> {
    let path = dir.join("node.db");
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(StoreError::Missing(dir.into())),
        Err(e) => return Err(refused_by_system("cannot read", &path, e)),
    }
    let key = dir.join("key");
    if to.extension().is_some_and(|ending| ending == BACKUP_ENDING) {
        backup_file(&path, &key, to)?;
    } else {
        whole(to, |half| {
            let target = half.join("node.db");
            copy_database(&path, &target)?;
            synced(&target)?;
            if key.exists() { copy(&key, &half.join("key")) } else { Ok(()) }
        })?;
    }
    Ok(key.exists())
}

/// The database as of one moment, in a new or empty file.
pub(super) fn copy_database(path: &Path, target: &Path) -> Result<(), StoreError> {
    let failed = |e| refused(e, path);
    let db = open_to_read(path)?;
    db.execute("VACUUM INTO ?1", [target.to_string_lossy()]).map_err(failed)?;
    drop(db);
    private_file(target)
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e| refused(e, path);
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(BUSY).map_err(failed)?;
    Ok(db)
}

/// A backup in one file: the database with one more table. Complete or absent.
fn backup_file(path: &Path, key: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError::Exists(to.into()));
    }
    let half = with_end(to, ".new");
    let forget = || {
        for end in ["", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(with_end(&half, end));
        }
    };
    forget();
    let made = || -> Result<(), StoreError> {
        private_new(&half)?;
        copy_database(path, &half)?;
        let failed = |e| refused(e, &half);
        let db = open(&half)?;
        // Without a journal on disk: the file is written once, and is of use when it has its name.
        db.execute_batch(BESIDE).map_err(failed)?;
        if key.exists() {
            let bytes = Zeroizing::new(fs::read(key).map_err(|e| refused_by_system("cannot read", key, e))?);
            db.execute("INSERT INTO beside VALUES ('key', ?1)", [bytes.as_slice()]).map_err(failed)?;
        }
        db.close().map_err(|(_, e)| failed(e))?;
        synced(&half)?;
        fs::rename(&half, to).map_err(|e| refused_by_system("cannot make", to, e))?;
        sync_dir(above(to))
    };
    made().inspect_err(|_| forget())
}

/// Makes a profile in `dir`, which must not be there, from the backup in `from`: the folder or the file that [`backup`] made.
/// It begins a new life in each conversation: what the profile said after the backup stays another log of the same device.
///
/// # Errors
/// [`StoreError::Missing`] if `from` holds no profile, [`StoreError::Exists`] for `dir`, [`StoreError::Damaged`] if `from` is
/// a file of something else.
pub fn restore(from: &Path, dir: &Path) -> Result<(), StoreError> {
    let is_file = from.is_file();
    if !is_file && !from.join("node.db").exists() {
        return Err(StoreError::Missing(from.into()));
    }
    make_dirs(above(dir))?;
    whole(dir, |half| {
        let database = if is_file { from.to_path_buf() } else { from.join("node.db") };
        if is_file {
            copy(from, &half.join("node.db"))?;
        } else {
            for name in PARTS {
                if from.join(name).exists() {
                    copy(&from.join(name), &half.join(name))?;
                }
            }
        }
        // A copy by hand of a profile that was not closed has its log beside it.
        let log = with_end(&database, "-wal");
        if log.exists() {
            copy(&log, &half.join("node.db-wal"))?;
        }
        if is_file {
            unpack(half)?;
        }
        let begins = half.join(NEW_LIFE);
        fs::write(&begins, "").map_err(|e| refused_by_system("cannot write", &begins, e))
    })
}

fn has_table(db: &Connection, path: &Path, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE name = ?1";
    Ok(db.query_row(sql, [name], |row| row.get::<_, i64>(0)).map_err(|e| refused(e, path))? > 0)
}

fn no_profile(path: &Path) -> StoreError {
    StoreError::Damaged { path: path.into(), what: "it holds no records of a profile".into() }
}

/// An error if a file is no database of a profile.
pub(super) fn is_profile(path: &Path) -> Result<(), StoreError> {
    if has_table(&open(path)?, path, "records")? { Ok(()) } else { Err(no_profile(path)) }
}

/// Takes what lies beside the records out of a database that was a backup in one file.
fn unpack(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("node.db");
    let db = open(&path)?;
    let failed = |e| refused(e, &path);
    if !has_table(&db, &path, "records")? {
        return Err(no_profile(&path));
    }
    if !has_table(&db, &path, "beside")? {
        return Ok(());
    }
    let key = db.query_row("SELECT bytes FROM beside WHERE name = 'key'", [], |row| row.get::<_, Vec<u8>>(0));
    let key = match key {
        Ok(key) => Some(Zeroizing::new(key)),
        Err(rusqlite::Error::QueryReturnedNoRows) => None,
        Err(e) => return Err(failed(e)),
    };
    if let Some(key) = key {
        let path = dir.join("key");
        let mut file = private_new(&path)?;
        let written = file.write_all(&key).and_then(|()| file.sync_all());
        written.map_err(|e| refused_by_system("cannot write", &path, e))?;
    }
    // The pages that held the key are overwritten.
    db.execute_batch("PRAGMA secure_delete = ON; DROP TABLE beside").map_err(failed)?;
    db.close().map_err(|(_, e)| failed(e))?;
    synced(&path)
}
