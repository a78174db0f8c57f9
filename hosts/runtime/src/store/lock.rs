//! One process per profile: a locked file that says who holds it and where to talk to them.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Who holds a profile, as far as they said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedBy {
    /// Its process id.
    pub pid: Option<u32>,
    /// Its control socket, if it offers one.
    pub control: Option<PathBuf>,
}

impl fmt::Display for LockedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// A held lock; let go when dropped, also by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let io = |what| {
            let path = path.clone();
            move |source| StoreError::Io { what, path, source }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(io("cannot open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { dir: dir.into(), by: holder(dir).unwrap_or_default() });
            }
            Err(TryLockError::Error(source)) => return Err(io("cannot lock")(source)),
        }
        let mut lock = Self { file, path };
        lock.announce(None)?;
        Ok(lock)
    }

    /// Writes who holds the lock and where to talk to them.
    pub(crate) fn announce(&mut self, control: Option<&Path>) -> Result<(), StoreError> {
        let mut text = format!("{}\n", std::process::id());
        if let Some(control) = control {
            text.push_str(&control.display().to_string());
            text.push('\n');
        }
        let mut write = || {
            self.file.rewind()?;
            self.file.set_len(0)?;
            self.file.write_all(text.as_bytes())
        };
        write().map_err(|source| StoreError::Io { what: "cannot write", path: self.path.clone(), source })
    }
}

/// Who holds the lock of the profile in `dir`, read without touching the lock; none if nobody ever
/// did. The process may be gone: only [`Lock::take`] or a connection tells.
pub(crate) fn holder(dir: &Path) -> Option<LockedBy> {
    let mut text = String::new();
    File::open(dir.join("lock")).ok()?.take(4_096).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let pid = lines.next().and_then(|l| l.parse().ok());
    Some(LockedBy { pid, control: lines.next().map(PathBuf::from) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_learns_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = Lock::take(dir.path()).unwrap();
        lock.announce(Some("/run/x.sock".as_ref())).unwrap();
        match Lock::take(dir.path()) {
            Err(StoreError::InUse { by, .. }) => {
                assert_eq!(by.pid, Some(std::process::id()));
                assert_eq!(by.control, Some("/run/x.sock".into()));
            }
            other => panic!("{other:?}"),
        }
        lock.announce(None).unwrap();
        assert_eq!(holder(dir.path()).unwrap().control, None);
        drop(lock);
        Lock::take(dir.path()).unwrap();
    }
}
