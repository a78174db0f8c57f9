//! The users of a profile: one process that writes, or several that read. A locked file says who writes and where to
//! talk to them.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::refused_by_system;
use super::{Access, StoreError};

/// A lock that is held for a moment is tried again after this: a node that waits is ahead of commands that do.
const RETRY: Duration = Duration::from_millis(5);

/// How long an opened profile waits for commands that have it: a command takes milliseconds, and about a second if a
/// passphrase has to be stretched.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The holder of a profile, as far as it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedBy {
    /// Its process id; none if it only reads.
    pub pid: Option<u32>,
    /// Its control socket, if it offers one.
    pub control: Option<PathBuf>,
    /// Whether it is a running node, which stays; a command is done in a moment.
    pub is_node: bool,
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
    /// None where the folder cannot be written and no process ever wrote there.
    file: Option<File>,
    path: PathBuf,
    access: Access,
    control: Option<PathBuf>,
    is_node: bool,
}

impl Lock {
    /// Takes the lock of the profile in `dir`. Waits for commands, at most `patience`, never for a running node.
    pub(crate) fn take(dir: &Path, access: Access, patience: Duration) -> Result<Self, StoreError> {
        let until = Instant::now() + patience;
        // The file may still name a node that was killed, for as long as its successor takes to write: only what is
        // read twice counts.
        let mut node = None;
        loop {
            match Self::try_take(dir, access) {
                Err(StoreError::InUse { by, dir }) => {
                    let is_own = by.pid == Some(std::process::id());
                    let stays = by.is_node && node == by.pid;
                    if is_own || stays || Instant::now() >= until {
                        return Err(StoreError::InUse { by, dir });
                    }
                    node = by.pid.filter(|_| by.is_node);
                    std::thread::sleep(RETRY);
                }
                other => return other,
            }
        }
    }

    fn try_take(dir: &Path, access: Access) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let failed = |what, e| refused_by_system(what, &path, e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(&path) {
            Err(e) if access == Access::Read && is_unwritable(&e) => match File::open(&path) {
                Ok(file) => Some(file),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(failed("cannot open", e)),
            },
            other => Some(other.map_err(|e| failed("cannot open", e))?),
        };
        if let Some(file) = &file {
            let locked = match access {
                Access::Read => file.try_lock_shared(),
                Access::Write => file.try_lock(),
            };
            match locked {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    // Readers write nothing into the file: what it says is of a process that ended.
                    let only_readers = access == Access::Write && file.try_lock_shared().is_ok();
                    let by = if only_readers { LockedBy::default() } else { holder(dir).unwrap_or_default() };
                    return Err(StoreError::InUse { dir: dir.into(), by });
                }
                Err(TryLockError::Error(e)) => return Err(failed("cannot lock", e)),
            }
        }
        let mut lock = Self { file, path, access, control: None, is_node: false };
        lock.write()?;
        Ok(lock)
    }

    /// Writes where to talk to the holder.
    pub(crate) fn announce(&mut self, control: &Path) -> Result<(), StoreError> {
        self.control = Some(control.into());
        self.write()
    }

    /// Writes that the holder is a running node.
    pub(crate) fn announce_node(&mut self) -> Result<(), StoreError> {
        self.is_node = true;
        self.write()
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let control = self.control.as_deref().unwrap_or("".as_ref()).display();
        let kind = if self.is_node { "node" } else { "command" };
        let text = format!("{}\n{control}\n{kind}\n", std::process::id());
        self.replace(&text).map_err(|e| refused_by_system("cannot write", &self.path, e))
    }

    fn replace(&mut self, text: &str) -> io::Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.access == Access::Write) else { return Ok(()) };
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The next waiter reads nothing of a holder that is gone.
        let _ = self.replace("");
    }
}

/// Whether a file cannot be written where it is: by this user, or by any user.
pub(super) fn is_unwritable(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The holder of the lock of the profile in `dir`, read without touching the lock; none if no process ever
/// did. The process may be gone: only [`Lock::take`] or a connection tells.
pub(crate) fn holder(dir: &Path) -> Option<LockedBy> {
    let mut text = String::new();
    File::open(dir.join("lock")).ok()?.take(4_096).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let pid = lines.next().and_then(|l| l.parse().ok());
    let control = lines.next().filter(|l| !l.is_empty()).map(PathBuf::from);
    Some(LockedBy { pid, control, is_node: lines.next() == Some("node") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn in_use(dir: &Path, access: Access) -> LockedBy {
        match Lock::take(dir, access, NOW) {
            Err(StoreError::InUse { by, .. }) => by,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_second_taker_learns_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = Lock::take(dir.path(), Access::Write, NOW).unwrap();
        lock.announce("/run/x.sock".as_ref()).unwrap();
        let by = in_use(dir.path(), Access::Write);
        assert_eq!((by.pid, by.is_node), (Some(std::process::id()), false));
        assert_eq!(by.control, Some("/run/x.sock".into()));
        lock.announce_node().unwrap();
        assert!(in_use(dir.path(), Access::Read).is_node);
        drop(lock);
        assert_eq!(holder(dir.path()), Some(LockedBy::default()));
        Lock::take(dir.path(), Access::Write, NOW).unwrap();
    }

    /// Breaks if a reader locks out a reader, or what a killed node left in the file counts as the readers' word.
    #[test]
    fn readers_share_and_a_writer_is_told_that_they_go() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "1\n/run/x.sock\nnode\n").unwrap();
        let readers = [0, 1].map(|_| Lock::take(dir.path(), Access::Read, NOW).unwrap());
        assert_eq!(in_use(dir.path(), Access::Write), LockedBy::default());
        drop(readers);
        let _writer = Lock::take(dir.path(), Access::Write, NOW).unwrap();
        assert_eq!(in_use(dir.path(), Access::Read).pid, Some(std::process::id()));
    }

    /// Breaks if a taker gives up while a reader holds the lock.
    #[test]
    fn a_writer_waits_for_a_reader() {
        let dir = tempfile::tempdir().unwrap();
        let reader = Lock::take(dir.path(), Access::Read, NOW).unwrap();
        let path = dir.path().to_path_buf();
        let writer = std::thread::spawn(move || Lock::take(&path, Access::Write, Duration::from_secs(60)).is_ok());
        std::thread::sleep(Duration::from_millis(20));
        drop(reader);
        assert!(writer.join().unwrap());
    }
}
