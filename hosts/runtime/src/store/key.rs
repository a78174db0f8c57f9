//! The key that seals a profile's values, and what protects that key: a passphrase, the platform's key store, or a file.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::database::open_to_read;
use super::files::refused_by_system;
use super::seal::{self, Cost, UnwrapError, Wrapper};
use super::secrets::{PLATFORM_KEY, WRAPPED_KEY, put_raw_secret, raw_secrets, remove_raw_secret};
use super::sql::Sql;
use super::{KeyStore, Protection, StoreError};
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

/// The key that seals everything else, as it is stored.
pub(super) struct Wrapped {
    key: Vec<u8>,
    /// What the platform's key store made of the key that wraps it.
    platform_key: Option<Vec<u8>>,
}

impl Wrapped {
    /// In place of what is there.
    pub(super) fn store(&self, sql: Sql<'_>) -> Result<(), StoreError> {
        put_raw_secret(sql, WRAPPED_KEY, &self.key)?;
        match &self.platform_key {
            Some(key) => put_raw_secret(sql, PLATFORM_KEY, key),
            None => remove_raw_secret(sql, PLATFORM_KEY),
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
    let db = open_to_read(&path)?;
    let (wrapped, platform_key) = wrapped_keys(Sql { db: &db, path: &path })?;
    Ok(data_key(dir, &wrapped, platform_key.as_deref(), secrets)?.0)
}

/// The wrapped data key and what the platform's key store made, as they are stored.
pub(super) fn wrapped_keys(sql: Sql<'_>) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
    let mut all = raw_secrets(sql, WRAPPED_KEY)?;
    let whole = all.iter().position(|w| seal::protection(w).is_ok()).unwrap_or(0);
    if all.is_empty() {
        return Err(StoreError::Damaged { path: sql.path.into(), what: "it holds no wrapped key".into() });
    }
    Ok((all.swap_remove(whole), raw_secrets(sql, PLATFORM_KEY)?.into_iter().next()))
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
    let file = std::fs::File::open(path);
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
