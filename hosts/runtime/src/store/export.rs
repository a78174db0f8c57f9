//! A profile in one file under a passphrase, to carry to another machine: docs/spec/store.md, "Export".
//!
//! The file is a copy of the database as of one moment, sealed whole, in chunks: also the keys of records, which lie in the
//! clear in a profile, cannot be read without the passphrase. The data key is in the first chunk and is never written
//! to a disk in the clear.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::backup::{copy_database, is_profile, whole};
use super::database::open_file;
use super::files::{NEW_LIFE, above, make_dirs, private_new, refused_by_system, sync_dir, with_end};
use super::key::{stored_key, wrap_for};
use super::seal::{self, Cost, MAX_COST, Wrapper};
use super::sql::Sql;
use super::{Secrets, StoreError};
use crate::clock::entropy;

const MAGIC: &[u8; 8] = b"DONPEXP1";
/// Magic, memory in KiB 4, passes 4 (little-endian), salt 16, beginning of nonces 16, check of the key 16.
const HEAD: usize = 8 + 4 + 4 + 16 + 16 + 16;
const CHECKSUM: usize = 16;
/// Bytes of a chunk before it is sealed: 64 KiB.
const CHUNK: usize = 1 << 16;
const TAG: usize = 16;

/// Seals and opens the chunks of one file, in their order. The nonce is 16 random bytes and the number of the chunk; the
/// last one is marked, so that a file that was cut is noticed (Hoang et al., "Online Authenticated-Encryption and its
/// Nonce-Reuse Misuse-Resistance", CRYPTO 2015, STREAM).
struct Chunks {
    cipher: XChaCha20Poly1305,
    prefix: [u8; 16],
    next: u64,
}

impl Chunks {
    fn new(key: &[u8; 32], prefix: [u8; 16]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()), prefix, next: 0 }
    }

    fn nonce(&mut self) -> XNonce {
        let mut nonce = [0; 24];
        nonce[..16].copy_from_slice(&self.prefix);
        nonce[16..].copy_from_slice(&self.next.to_le_bytes());
        self.next += 1;
        XNonce::from(nonce)
    }

    fn seal(&mut self, chunk: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
        let nonce = self.nonce();
        let sealed = self.cipher.encrypt(&nonce, Payload { msg: chunk, aad: &[u8::from(is_last)] });
        sealed.map_err(|_| io::Error::other("a chunk is too large to seal"))
    }

    /// None if it was changed, is another chunk, or is last and should not be, or the other way round.
    fn open(&mut self, sealed: &[u8], is_last: bool) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = self.nonce();
        let opened = self.cipher.decrypt(&nonce, Payload { msg: sealed, aad: &[u8::from(is_last)] });
        opened.ok().map(Zeroizing::new)
    }
}

/// The head of a file, and its key.
struct Head {
    cost: Cost,
    salt: [u8; 16],
    prefix: [u8; 16],
}

impl Head {
    fn key(&self, passphrase: &str) -> io::Result<Zeroizing<[u8; 32]>> {
        seal::wrapping_key(&Wrapper::Passphrase(passphrase.as_bytes(), self.cost), &self.salt)
    }

    fn bytes(&self, key: &[u8; 32]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.cost.memory_kib.to_le_bytes());
        out.extend_from_slice(&self.cost.passes.to_le_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(&check(key));
        out.extend_from_slice(&checksum(&out));
        out
    }

    /// The head and the check of its key; none if it was changed or is that of something else.
    fn read(bytes: &[u8; HEAD + CHECKSUM]) -> Option<(Self, [u8; 16])> {
        let (head, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
        if !head.starts_with(MAGIC) || checksum(head) != *sum {
            return None;
        }
        let number = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let part = |at: usize| -> Option<[u8; 16]> { head.get(at..at + 16)?.try_into().ok() };
        let cost = Cost { memory_kib: number(8)?, passes: number(12)? };
        if cost.memory_kib > MAX_COST.memory_kib || cost.passes > MAX_COST.passes {
            return None;
        }
        Some((Self { cost, salt: part(16)?, prefix: part(32)? }, part(48)?))
    }
}

/// Tells a wrong passphrase from damage.
fn check(key: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    blake3::Hasher::new_derive_key("DONP v1 export check").update(key).finalize_xof().fill(&mut out);
    out
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut out = [0; CHECKSUM];
    blake3::Hasher::new_derive_key("DONP v1 export head").update(bytes).finalize_xof().fill(&mut out);
    out
}

/// Writes the profile in `dir`, which `secrets` open, to the file `to`, which must not be there, under a passphrase that it
/// alone has. A node may run meanwhile: the file is as of one moment. It needs as much space again beside it meanwhile.
///
/// # Errors
/// As [`backup`](super::backup) and [`Profile::open`](super::Profile::open).
pub fn export_profile(
    dir: &Path,
    secrets: &Secrets,
    to: &Path,
    passphrase: &str,
    cost: Cost,
) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError::Exists(to.into()));
    }
    let data_key = stored_key(dir, secrets)?;
    let (half, copy) = (with_end(to, ".new"), with_end(to, ".copy"));
    let forget = || {
        for path in [&half, &copy] {
            for end in ["", "-journal", "-wal", "-shm"] {
                let _ = fs::remove_file(with_end(path, end));
            }
        }
    };
    forget();
    let made = || -> Result<(), StoreError> {
        private_new(&copy)?;
        copy_database(&dir.join("node.db"), &copy)?;
        let file = private_new(&half)?;
        let cannot = |e| refused_by_system("cannot write", &half, e);
        let head = Head { cost, salt: entropy::<16>().map_err(cannot)?, prefix: entropy::<16>().map_err(cannot)? };
        let key = head.key(passphrase).map_err(cannot)?;
        let from = File::open(&copy).map_err(|e| refused_by_system("cannot read", &copy, e))?;
        let mut out = BufWriter::new(file);
        out.write_all(&head.bytes(&key)).map_err(cannot)?;
        seal_all(&mut BufReader::new(from), &mut out, &mut Chunks::new(&key, head.prefix), &data_key)
            .map_err(cannot)?;
        out.into_inner().map_err(|e| cannot(e.into_error()))?.sync_all().map_err(cannot)?;
        fs::rename(&half, to).map_err(|e| refused_by_system("cannot make", to, e))?;
        sync_dir(above(to))
    };
    let made = made();
    forget();
    made
}

/// The data key as the first chunk, then the database. An empty last chunk ends a file of whole chunks.
fn seal_all(from: &mut impl Read, to: &mut impl Write, chunks: &mut Chunks, data_key: &[u8; 32]) -> io::Result<()> {
    to.write_all(&chunks.seal(data_key, false)?)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = fill(from, &mut buffer)?;
        let is_last = length < CHUNK;
        to.write_all(&chunks.seal(buffer.get(..length).unwrap_or_default(), is_last)?)?;
        if is_last {
            return Ok(());
        }
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

/// Makes a profile in `dir`, which must not be there, from the file that [`export_profile`] wrote. It is protected by `secrets`, as
/// a new one is, and begins a new life in each conversation: what the profile said after the export, there or here, stays
/// another log of the same device. Nothing is left behind if it fails.
///
/// # Errors
/// [`StoreError::Exists`] for `dir`, [`StoreError::Missing`] for `from`, [`StoreError::WrongPassphrase`],
/// [`StoreError::Damaged`] if the file was changed or cut, or is something else.
pub fn import_profile(
    from: &Path,
    passphrase: &str,
    dir: &Path,
    secrets: &Secrets,
    cost: Cost,
) -> Result<(), StoreError> {
    let damaged = |what: &str| StoreError::Damaged { path: from.into(), what: what.into() };
    let cannot = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => StoreError::Missing(from.into()),
        _ => refused_by_system("cannot read", from, e),
    };
    let mut file = BufReader::new(File::open(from).map_err(cannot)?);
    let mut bytes = [0; HEAD + CHECKSUM];
    let length = fill(&mut file, &mut bytes).map_err(cannot)?;
    let read = Head::read(&bytes).filter(|_| length == bytes.len());
    let (head, checks) = read.ok_or_else(|| damaged("it is no export of a profile, or its beginning was changed"))?;
    let key = head.key(passphrase).map_err(cannot)?;
    if check(&key) != checks {
        return Err(StoreError::WrongPassphrase(from.into()));
    }
    let mut chunks = Chunks::new(&key, head.prefix);
    let changed = || damaged("a part of it was changed, or its end is missing");
    let mut first = [0; 32 + TAG];
    fill(&mut file, &mut first).map_err(cannot)?;
    let data_key = chunks.open(&first, false).ok_or_else(changed)?;
    let data_key: Zeroizing<[u8; 32]> = data_key.as_slice().try_into().map(Zeroizing::new).map_err(|_| changed())?;
    make_dirs(above(dir))?;
    whole(dir, |half| {
        let path = half.join("node.db");
        let mut out = private_new(&path)?;
        let mut buffer = vec![0; CHUNK + TAG];
        loop {
            let length = fill(&mut file, &mut buffer).map_err(cannot)?;
            let is_last = length < buffer.len();
            let opened = chunks.open(buffer.get(..length).unwrap_or_default(), is_last).ok_or_else(changed)?;
            out.write_all(&opened).map_err(|e| refused_by_system("cannot write", &path, e))?;
            if is_last {
                break;
            }
        }
        drop(out);
        is_profile(&path)?;
        let wrapped = wrap_for(half, &data_key, secrets, cost)?;
        {
            let db = open_file(&path, false)?;
            wrapped.store(Sql { db: &db, path: &path })?;
            db.close().map_err(|(_, e)| StoreError::Sqlite(e))?;
        }
        let begins = half.join(NEW_LIFE);
        fs::write(&begins, "").map_err(|e| refused_by_system("cannot write", &begins, e))
    })
}

/// Protects the profile in `dir`, which `secrets` open, by `new` from now on: a passphrase, or with none a key file or the
/// platform's key store. The records stay as they are: the key that seals them is wrapped anew. Copies that were made
/// before open as they did.
///
/// # Errors
/// As [`Profile::open`](super::Profile::open): [`StoreError::InUse`] while a node runs.
pub fn protect_profile(dir: &Path, secrets: &Secrets, new: &Secrets, cost: Cost) -> Result<(), StoreError> {
    // No other process has it meanwhile, and it is whole.
    let opened = super::Profile::open(dir, secrets)?;
    let data_key = stored_key(dir, secrets)?;
    let wrapped = wrap_for(dir, &data_key, new, cost)?;
    let path = dir.join("node.db");
    let db = open_file(&path, false)?;
    let sql = Sql { db: &db, path: &path };
    // One transaction: a power cut leaves the one protection or the other.
    sql.run("BEGIN IMMEDIATE", &[])?;
    wrapped.store(sql)?;
    sql.run("COMMIT", &[])?;
    db.close().map_err(|(_, e)| StoreError::Sqlite(e))?;
    drop(opened);
    let own = dir.join("key");
    if (new.passphrase.is_some() || new.key_store.is_some()) && own.exists() {
        fs::remove_file(&own).map_err(|e| refused_by_system("cannot remove", &own, e))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
