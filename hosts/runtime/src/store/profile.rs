//! A profile on disk: one folder with one identity, its records, and the key that seals them.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use donp_core::Identity;
use zeroize::Zeroizing;

use super::lock::{self, Lock, LockedBy};
use super::seal::{self, Cost, Sealer, UnwrapError, Wrapper};
use super::sql::Sql;
use super::sqlite::{self, SqliteStore};
use super::{Access, KeyStore, Opened, Protection, Store, StoreError, folders, refused_by_system, salvage};
use crate::clock::entropy;

/// What opens a profile.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Needed if the profile was made with a passphrase. Used as its bytes; a host should strip the
    /// line end of a file first.
    pub passphrase: Option<Zeroizing<String>>,
    /// The key file of a profile made without a passphrase, if it is not `key` in its folder.
    pub key_file: Option<PathBuf>,
    /// The platform's key store. A new profile is protected by it if there is no passphrase.
    pub key_store: Option<Arc<dyn KeyStore>>,
}

/// An opened profile; no other process can open it meanwhile.
pub struct Profile {
    dir: PathBuf,
    identity: Identity,
    store: SqliteStore,
}

pub(super) const WRAPPED_KEY: &str = "wrapped-key";
/// What the platform's key store made of the key that wraps the data key.
pub(super) const PLATFORM_KEY: &str = "platform-key";
pub(super) const IDENTITY: &str = "identity";
/// How long an opened profile waits for commands that have it: a command takes milliseconds, and about a second if a
/// passphrase has to be stretched.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

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
            let db = sqlite::open_file(&temporary, true)?;
            let sql = Sql { db: &db, path: &temporary };
            wrapped.store(sql)?;
            let identity = Zeroizing::new(identity.to_bytes());
            sqlite::put_sealed_secret(sql, &mut Sealer::new(&data_key), IDENTITY, &identity)?;
            // The last connection to close moves the write-ahead log into the file.
            db.close().map_err(|(_, e)| StoreError::Sqlite(e))?;
        }
        let io = |what| {
            let path = path.clone();
            move |source| StoreError::Io { what, path, source }
        };
        private_file(&temporary)?;
        fs::rename(&temporary, &path).map_err(io("cannot make"))?;
        folders::sync_dir(dir)?;
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
            Access::Write => sqlite::open_file(&path, false)?,
            Access::Read => sqlite::open_to_read(&path)?,
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

/// The key that seals everything else, as it is stored.
pub(super) struct Wrapped {
    key: Vec<u8>,
    /// What the platform's key store made of the key that wraps it.
    platform_key: Option<Vec<u8>>,
}

impl Wrapped {
    /// In place of what is there.
    pub(super) fn store(&self, sql: Sql<'_>) -> Result<(), StoreError> {
        sqlite::put_raw_secret(sql, WRAPPED_KEY, &self.key)?;
        match &self.platform_key {
            Some(key) => sqlite::put_raw_secret(sql, PLATFORM_KEY, key),
            None => sqlite::remove_raw_secret(sql, PLATFORM_KEY),
        }
    }
}

/// Wraps the data key of a profile in `dir` by what `secrets` have: a passphrase, the platform's key store, or a key file,
/// which is made if it is not there.
pub(super) fn wrap_for(dir: &Path, data_key: &[u8; 32], secrets: &Secrets, cost: Cost) -> Result<Wrapped, StoreError> {
    let no_entropy = |source| StoreError::Io { what: "cannot make a key for", path: dir.into(), source };
    let mut platform_key = None;
    let key = match (&secrets.passphrase, &secrets.key_store) {
        (Some(passphrase), _) => seal::wrap(data_key, &Wrapper::Passphrase(passphrase.as_bytes(), cost)),
        (None, Some(key_store)) => {
            let key = Zeroizing::new(entropy::<32>().map_err(no_entropy)?);
            platform_key = Some(key_store.wrap_key(&*key).map_err(StoreError::KeyStore)?);
            seal::wrap(data_key, &Wrapper::KeyStore(&key))
        }
        (None, None) => seal::wrap(data_key, &Wrapper::KeyFile(&*new_key_file(&key_file(dir, secrets))?)),
    };
    Ok(Wrapped { key: key.map_err(no_entropy)?, platform_key })
}

/// The data key of the profile in `dir`, which a node may have open.
pub(super) fn stored_key(dir: &Path, secrets: &Secrets) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let path = dir.join("node.db");
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(StoreError::Missing(dir.into())),
        Err(e) => return Err(refused_by_system("cannot look at", &path, e)),
    }
    let db = sqlite::open_to_read(&path)?;
    let (wrapped, platform_key) = wrapped_keys(Sql { db: &db, path: &path })?;
    Ok(data_key(dir, &wrapped, platform_key.as_deref(), secrets)?.0)
}

/// The wrapped data key and what the platform's key store made, as they are stored.
fn wrapped_keys(sql: Sql<'_>) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
    let mut all = sqlite::raw_secrets(sql, WRAPPED_KEY)?;
    let whole = all.iter().position(|w| seal::protection(w).is_ok()).unwrap_or(0);
    if all.is_empty() {
        return Err(StoreError::Damaged { path: sql.path.into(), what: "it holds no wrapped key".into() });
    }
    Ok((all.swap_remove(whole), sqlite::raw_secrets(sql, PLATFORM_KEY)?.into_iter().next()))
}

/// Opens the key that seals everything else.
pub(super) fn data_key(
    dir: &Path,
    wrapped: &[u8],
    platform_key: Option<&[u8]>,
    secrets: &Secrets,
) -> Result<(Zeroizing<[u8; 32]>, Protection), StoreError> {
    let damaged = |what: &str| StoreError::Damaged { path: dir.join("node.db"), what: what.into() };
    let unwrap = |wrapper: &Wrapper<'_>, wrong: &dyn Fn() -> StoreError| {
        seal::unwrap(wrapped, wrapper).map_err(|e| match e {
            UnwrapError::WrongKey => wrong(),
            UnwrapError::Damaged => damaged("its wrapped key was changed"),
        })
    };
    let (protection, cost) = seal::protection(wrapped).map_err(|_| damaged("its wrapped key was changed"))?;
    let key = match protection {
        Protection::Passphrase => {
            let Some(passphrase) = &secrets.passphrase else {
                return Err(StoreError::PassphraseNeeded(dir.into()));
            };
            let wrapper = Wrapper::Passphrase(passphrase.as_bytes(), cost);
            unwrap(&wrapper, &|| StoreError::WrongPassphrase(dir.into()))?
        }
        Protection::KeyStore => {
            let Some(key_store) = &secrets.key_store else {
                return Err(StoreError::KeyStoreNeeded(dir.into()));
            };
            let platform_key = platform_key.ok_or_else(|| damaged("it holds no platform key"))?;
            let key = key_store.unwrap_key(platform_key).map_err(StoreError::KeyStore)?;
            let other = || StoreError::KeyStore("it gave another key than it was given for this profile".into());
            let key: [u8; 32] = key.as_slice().try_into().map_err(|_| other())?;
            unwrap(&Wrapper::KeyStore(&Zeroizing::new(key)), &other)?
        }
        Protection::KeyFile | Protection::Memory => {
            let file = key_file(dir, secrets);
            let key = read_key_file(&file)?;
            unwrap(&Wrapper::KeyFile(&key), &|| StoreError::KeyFile {
                path: file.clone(),
                reason: "it is not the key of this profile".into(),
            })?
        }
    };
    Ok((key, protection))
}

/// Creates `dir` for its owner only, or makes an existing one so.
///
/// # Errors
/// When it cannot be made, or belongs to another user.
pub(super) fn private_dir(dir: &Path) -> Result<(), StoreError> {
    folders::make_dirs(dir)?;
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

fn key_file(dir: &Path, secrets: &Secrets) -> PathBuf {
    secrets.key_file.clone().unwrap_or_else(|| dir.join("key"))
}

/// Writes 32 random bytes in hex, or takes the file that is there: it may come from a key manager.
fn new_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    if path.exists() {
        return read_key_file(path);
    }
    let io = |what| {
        let path = path.to_path_buf();
        move |source| StoreError::Io { what, path, source }
    };
    let key = Zeroizing::new(entropy::<32>().map_err(io("cannot make"))?);
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key.iter() {
        text.push_str(&format!("{byte:02x}"));
    }
    text.push('\n');
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(io("cannot make"))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("cannot write"))?;
    Ok(key)
}

fn read_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let bad = |reason: &str| StoreError::KeyFile { path: path.into(), reason: reason.into() };
    #[cfg(unix)]
    let file = crate::os::open_secret(path);
    #[cfg(not(unix))]
    let file = fs::File::open(path);
    let file = file.map_err(|e| bad(&e.to_string()))?;
    let mut text = Zeroizing::new(String::new());
    file.take(256).read_to_string(&mut text).map_err(|_| bad("it does not hold 64 hex digits"))?;
    let digits = text.trim();
    let mut key = Zeroizing::new([0; 32]);
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad("it does not hold 64 hex digits"));
    }
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().as_chunks::<2>().0) {
        let pair = std::str::from_utf8(pair).map_err(|_| bad("it does not hold 64 hex digits"))?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| bad("it does not hold 64 hex digits"))?;
    }
    Ok(key)
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
