//! Folders whose names survive a power cut.

use std::fs;
#[cfg(unix)]
use std::fs::File;
use std::path::{Path, PathBuf};

use super::{StoreError, refused_by_system};

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
