//! Files and folders that only their owner reads, and that are on the disk when a function returns.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::StoreError;

/// In a profile's folder until the node has begun a new life in each conversation: the profile was put back, and another
/// copy may have gone on since.
pub(super) const NEW_LIFE: &str = "new-life";

/// What the system did not do, in the words of this store.
pub(super) fn refused_by_system(what: &'static str, path: &Path, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => StoreError::Denied(path.into()),
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(path.into()),
        io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Io { what, path: path.into(), source },
    }
}

/// Creates `dir` for its owner only, or makes an existing one so.
///
/// # Errors
/// When it cannot be made, or belongs to another user.
pub(super) fn private_dir(dir: &Path) -> Result<(), StoreError> {
    make_dirs(dir)?;
    #[cfg(unix)]
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(|source| StoreError::Io {
        what: "cannot protect",
        path: dir.into(),
        source,
    })?;
    Ok(())
}

pub(super) fn private_file(path: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .map_err(|source| StoreError::Io { what: "cannot protect", path: path.into(), source })?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// A new file that others cannot read, empty.
pub(super) fn private_new(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|e| refused_by_system("cannot make", path, e))
}

pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

pub(super) fn synced(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| refused_by_system("cannot write", path, e))
}

/// Has the names in a folder on the disk.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| refused_by_system("cannot write", dir, e))?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// The folder that holds the name of `path`.
pub(super) fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder with all above it that are missing, and has each one's name on the disk. The folders that were synced for
/// that, outermost first: a new folder is lost with the power until the one above it is synced.
pub(super) fn make_dirs(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let missing = dir.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let mut holders: Vec<PathBuf> = missing.map(|folder| above(folder).into()).collect();
    holders.reverse();
    fs::create_dir_all(dir).map_err(|e| refused_by_system("cannot make", dir, e))?;
    holders.iter().try_for_each(|holder| sync_dir(holder))?;
    Ok(holders)
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

/// A name in the profile's folder for what is set aside.
pub(super) fn aside(path: &Path) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let name = |n: u64| path.with_file_name(format!("damaged-{n}"));
    (seconds..).map(name).find(|p| !p.exists()).unwrap_or_else(|| name(seconds))
}

/// Removes half a copy, which only this process set aside.
pub(super) fn forget(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
}

/// Device and number of a file.
pub(super) fn file_number(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    return std::fs::metadata(path)
        .ok()
        .map(|m| (std::os::unix::fs::MetadataExt::dev(&m), std::os::unix::fs::MetadataExt::ino(&m)));
    #[cfg(not(unix))]
    return std::fs::metadata(path).ok().map(|_| (0, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_that_is_made_is_synced_into_the_one_above() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        assert_eq!(make_dirs(&at("a/b/c")).unwrap(), [home.path().into(), at("a"), at("a/b")]);
        assert!(at("a/b/c").is_dir());
        assert_eq!(make_dirs(&at("a/b/d")).unwrap(), [at("a/b")]);
        assert!(make_dirs(&at("a/b")).unwrap().is_empty(), "it was there");
        assert_eq!((above("x".as_ref()), above("x/y".as_ref())), (Path::new("."), Path::new("x")));
    }
}
