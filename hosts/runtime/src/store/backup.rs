//! A copy of a profile that is consistent while its node runs, and a profile that begins from one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::sqlite::refused;
use super::{StoreError, refused_by_system};

/// In a profile's folder until the node has begun a new life in each conversation: the profile was put back, and another
/// copy may have gone on since.
pub(super) const NEW_LIFE: &str = "new-life";
const PARTS: [&str; 2] = ["node.db", "key"];

pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| refused_by_system("cannot write", dir, e))?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Copies a file to a new place and has it on the disk.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let copied = || -> io::Result<()> {
        fs::copy(from, to)?;
        #[cfg(unix)]
        fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        File::open(to)?.sync_all()
    };
    copied().map_err(|e| refused_by_system("cannot write", to, e))
}

/// Writes everything in `into` under the name `to`: complete or absent.
fn whole(to: &Path, into: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError::Exists(to.into()));
    }
    let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let half = above.join(name);
    let _ = fs::remove_dir_all(&half);
    let made = super::profile::private_dir(&half)
        .and_then(|()| into(&half))
        .and_then(|()| sync_dir(&half))
        .and_then(|()| fs::rename(&half, to).map_err(|e| refused_by_system("cannot make", to, e)))
        .and_then(|()| sync_dir(above));
    if made.is_err() {
        super::mend::forget(&half);
    }
    made
}

/// Whether the folder of a backup holds the key that opens it.
pub type HasKey = bool;

/// Copies the profile in `dir` to the folder `to`, which must not be there. A node may run meanwhile: the copy is as of one
/// moment. No passphrase is needed: what is sealed stays sealed.
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
    whole(to, |half| {
        let target = half.join("node.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |e| refused(e, &path);
        let db = Connection::open_with_flags(&path, flags).map_err(failed)?;
        db.busy_timeout(super::sqlite::BUSY).map_err(failed)?;
        db.execute("VACUUM INTO ?1", [target.to_string_lossy()]).map_err(failed)?;
        drop(db);
        File::open(&target).and_then(|f| f.sync_all()).map_err(|e| refused_by_system("cannot write", &target, e))?;
        super::profile::private_file(&target)?;
        if key.exists() { copy(&key, &half.join("key")) } else { Ok(()) }
    })?;
    Ok(key.exists())
}

/// Makes a profile in `dir`, which must not be there, from the backup in `from`. It begins a new life in each
/// conversation: what the profile said after the backup stays another log of the same device.
///
/// # Errors
/// [`StoreError::Missing`] if `from` holds no profile, [`StoreError::Exists`] for `dir`.
pub fn restore(from: &Path, dir: &Path) -> Result<(), StoreError> {
    if !from.join("node.db").exists() {
        return Err(StoreError::Missing(from.into()));
    }
    if let Some(above) = dir.parent() {
        fs::create_dir_all(above).map_err(|e| refused_by_system("cannot make", above, e))?;
    }
    whole(dir, |half| {
        for name in PARTS {
            if from.join(name).exists() {
                copy(&from.join(name), &half.join(name))?;
            }
        }
        // A copy by hand of a profile that was not closed has its log beside it.
        let log = from.join("node.db-wal");
        if log.exists() {
            copy(&log, &half.join("node.db-wal"))?;
        }
        let begins = half.join(NEW_LIFE);
        fs::write(&begins, "").map_err(|e| refused_by_system("cannot write", &begins, e))
    })
}
