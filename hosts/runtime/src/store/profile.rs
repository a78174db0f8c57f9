//! A profile on disk: one folder with one identity, its records, and the key that seals them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use donp_core::Identity;
use zeroize::Zeroizing;

use super::database::{open_file, open_to_read};
use super::files::{private_dir, private_file, refused_by_system, sync_dir};
use super::key::{Secrets, data_key, wrap_for, wrapped_keys};
use super::lock::{self, Lock, LockedBy, PATIENCE};
use super::seal::{Cost, Sealer};
use super::secrets::{IDENTITY, put_sealed_secret};
use super::sql::Sql;
use super::sqlite::SqliteStore;
use super::{Access, Opened, Protection, Store, StoreError, salvage};
use crate::clock::entropy;

/// An opened profile; no other process can open it meanwhile.
pub struct Profile {
    dir: PathBuf,
    identity: Identity,
    store: SqliteStore,
}

impl Profile {
    /// The key of the network this profile lives in; none if it never ran.
    ///
    /// # Errors
    /// As [`secret`](Self::secret).
    pub fn network_key(&self) -> Result<Option<[u8; 32]>, crate::StoreError> {
        match self.secret("network")? {
            Some(bytes) => bytes.as_slice().try_into().map(Some).map_err(|_| crate::StoreError::Damaged {
                path: PathBuf::from(self.dir()),
                what: "the stored network key has a wrong length".into(),
            }),
            None => Ok(None),
        }
    }

    /// Makes a profile in `dir`, which is created with mode 0700 if it is not there. With a
    /// passphrase the data key is wrapped by it at `cost`; without one, by a new key file with mode
    /// 0600.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is a profile already; nothing of it is touched.
    pub fn create(dir: &Path, identity: &Identity, secrets: &Secrets, cost: Cost) -> Result<Self, StoreError> {
        private_dir(dir)?;
        let path = dir.join("node.db");
        let lock = Lock::take(dir, Access::Write, PATIENCE)?;
        if path.exists() {
            return Err(StoreError::Exists(dir.into()));
        }
        let no_entropy = |source| StoreError::Io { what: "cannot make a key for", path: dir.into(), source };
        let data_key = Zeroizing::new(entropy::<32>().map_err(no_entropy)?);
        let wrapped = wrap_for(dir, &data_key, secrets, cost)?;
        // Complete or absent: a process killed here leaves a file under another name, which the next
        // attempt replaces.
        let temporary = dir.join("node.db.new");
        for name in ["node.db.new", "node.db.new-wal", "node.db.new-shm"] {
            let _ = fs::remove_file(dir.join(name));
        }
        {
            let db = open_file(&temporary, true)?;
            let sql = Sql { db: &db, path: &temporary };
            wrapped.store(sql)?;
            let identity = Zeroizing::new(identity.to_bytes());
            put_sealed_secret(sql, &mut Sealer::new(&data_key), IDENTITY, &identity)?;
            // The last connection to close moves the write-ahead log into the file.
            db.close().map_err(|(_, e)| StoreError::Sqlite(e))?;
        }
        let io = |what| {
            let path = path.clone();
            move |source| StoreError::Io { what, path, source }
        };
        private_file(&temporary)?;
        fs::rename(&temporary, &path).map_err(io("cannot make"))?;
        sync_dir(dir)?;
        Self::open_locked(dir, secrets, lock, Access::Write, &[])
    }

    /// Opens the profile in `dir` to change it. Waits for commands that have it, not for a running node.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Denied`], [`StoreError::InUse`], [`StoreError::PassphraseNeeded`],
    /// [`StoreError::WrongPassphrase`], [`StoreError::KeyFile`], [`StoreError::Damaged`] and
    /// [`StoreError::Newer`] say what they are called.
    pub fn open(dir: &Path, secrets: &Secrets) -> Result<Self, StoreError> {
        Self::open_for(dir, secrets, Access::Write, PATIENCE)
    }

    /// As [`open`](Self::open), for `access`, and waiting at most `patience` for commands that have it.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`StoreError::ReadOnly`] for a disk that cannot be written.
    pub fn open_for(dir: &Path, secrets: &Secrets, access: Access, patience: Duration) -> Result<Self, StoreError> {
        let file = dir.join("node.db");
        match file.try_exists() {
            Ok(true) => {}
            Ok(false) => return Err(StoreError::Missing(dir.into())),
            Err(e) => return Err(refused_by_system("cannot look at", &file, e)),
        }
        let lock = Lock::take(dir, access, patience)?;
        // SQLite drops a log from the first page on that does not fit.
        let log = salvage::read_log(&file);
        Self::open_locked(dir, secrets, lock, access, &log)
    }

    /// Whether there is a profile in `dir`.
    pub fn exists(dir: &Path) -> bool {
        dir.join("node.db").exists()
    }

    /// The last holder of the profile in `dir`; it may be gone.
    pub fn holder(dir: &Path) -> Option<LockedBy> {
        lock::holder(dir)
    }

    /// Opens it, or what can be made of it again: a file that is damaged is set aside, never a reason to lose the rest.
    /// `log` is the write-ahead log as it was found.
    fn open_locked(dir: &Path, secrets: &Secrets, lock: Lock, access: Access, log: &[u8]) -> Result<Self, StoreError> {
        let (identity, mut store) = match Self::open_with(dir, secrets, access, log) {
            Err(damaged @ StoreError::Damaged { .. }) if access == Access::Read => {
                // To mend it takes to write it, if that can be.
                drop(lock);
                return match Lock::take(dir, Access::Write, PATIENCE) {
                    Ok(lock) => Self::open_locked(dir, secrets, lock, Access::Write, log),
                    Err(StoreError::ReadOnly(_) | StoreError::Denied(_)) => Err(damaged),
                    Err(e) => Err(e),
                };
            }
            Err(StoreError::Damaged { path, what }) => {
                log::error!("{} is damaged: {what}", path.display());
                let salvaged = salvage::salvage_with(dir, secrets, log)?;
                let lost = if salvaged.lost.is_empty() { "nothing" } else { &salvaged.lost };
                let aside = salvaged.aside.display();
                log::error!("{} records were kept, lost: {lost}; the damaged file: {aside}", salvaged.kept);
                let (identity, mut store) = Self::open_with(dir, secrets, access, &[])?;
                store.was_salvaged();
                (identity, store)
            }
            other => other?,
        };
        store.keep_lock(lock);
        Ok(Self { dir: dir.into(), identity, store })
    }

    fn open_with(
        dir: &Path,
        secrets: &Secrets,
        access: Access,
        log: &[u8],
    ) -> Result<(Identity, SqliteStore), StoreError> {
        let path = dir.join("node.db");
        let db = match access {
            Access::Write => open_file(&path, false)?,
            Access::Read => open_to_read(&path)?,
        };
        let damaged = |what: &str| StoreError::Damaged { path: path.clone(), what: what.into() };
        let sql = Sql { db: &db, path: &path };
        let (wrapped, platform_key) = wrapped_keys(sql)?;
        let (data_key, protection) = data_key(dir, &wrapped, platform_key.as_deref(), secrets)?;
        let mut store = SqliteStore::new(db, path.clone(), Sealer::new(&data_key), protection, access);
        if !store.verify()? {
            return Err(damaged("its records do not add up"));
        }
        let behind = store.behind_mark();
        if behind > 0 && (!log.is_empty() || access == Access::Read) {
            return Err(damaged(&format!("its log does not give the last {behind} transactions")));
        }
        store.take_mark(behind)?;
        let bytes = store.secret(IDENTITY)?.map(Zeroizing::new).ok_or_else(|| damaged("it holds no identity"))?;
        let identity = Identity::from_bytes(&bytes).map_err(|e| damaged(&e.to_string()))?;
        Ok((identity, store))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The profile's identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How the stored values are protected.
    pub fn protection(&self) -> Protection {
        self.store.protection()
    }

    /// Tells other processes that open this profile where to talk to this one.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn announce_control(&mut self, socket: &Path) -> Result<(), StoreError> {
        self.store.announce_control(socket)
    }

    /// A small sealed value that the host keeps with the profile, such as the key of its network.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it was changed.
    pub fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.secret(&format!("host/{name}"))
    }

    /// Keeps a small value, sealed.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_secret(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.store.put_secret(&format!("host/{name}"), value)
    }

    /// What was lost, by table; it counts as known from here on.
    pub(super) fn take_damage(&mut self) -> Result<super::mend::Lost, StoreError> {
        self.store.take_damage()
    }

    pub(crate) fn into_opened(self) -> Opened {
        Opened { identity: self.identity, store: Store::Sqlite(Box::new(self.store)) }
    }

    #[cfg(test)]
    pub(super) fn store_mut(&mut self) -> &mut SqliteStore {
        &mut self.store
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
