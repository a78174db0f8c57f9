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
    let io = |what| {
        let path = dir.to_path_buf();
        move |source| StoreError::Io { what, path, source }
    };
    fs::create_dir_all(dir).map_err(io("cannot make"))?;
    #[cfg(unix)]
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(io("cannot protect"))?;
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
