//! A file as it travels and lies: sealed part by part under a key of its own (docs/design/files.md §1).

use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

use crate::error::FileError;
use crate::file::tree::{Growing, HASH_LEN, SEALED_PART, Tree, proof_len, verify};
use crate::id::FileId;

/// Bytes of the authentication tag of a part.
const TAG_LEN: usize = 16;

/// Parts of a file of so many bytes: one at least. More than fit a number are as many as that holds.
pub(super) fn part_count(size: u64) -> u32 {
    u32::try_from(size.div_ceil(FileDraft::PART as u64).max(1)).unwrap_or(u32::MAX)
}

/// Bytes of one part of a file, before it is sealed.
pub(super) fn part_len(size: u64, part: u32) -> usize {
    let before = u64::from(part).saturating_mul(FileDraft::PART as u64);
    usize::try_from(size.saturating_sub(before)).unwrap_or(usize::MAX).min(FileDraft::PART)
}

/// The nonce of a part: its number. A key seals one file, so no pair of key and nonce comes twice.
fn nonce(part: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.iter_mut().zip(part.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    nonce
}

fn seal(key: &[u8; 32], part: u32, plain: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(plain.len().saturating_add(TAG_LEN));
    out.extend_from_slice(plain);
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag = cipher.encrypt_inout_detached(&nonce(part).into(), &[], InOutBuf::from(out.as_mut_slice())).ok()?;
    out.extend_from_slice(&tag);
    Some(out)
}

/// The bytes of a sealed part; none if it was sealed under another key or for another place.
pub(super) fn open(key: &[u8; 32], part: u32, sealed: &[u8]) -> Option<Vec<u8>> {
    let (body, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
    let mut out = body.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    let opened = cipher.decrypt_inout_detached(&nonce(part).into(), &[], out.as_mut_slice().into(), &(*tag).into());
    opened.is_ok().then_some(out)
}

/// A sealed part behind its proof: how it is stored and sent.
pub(super) struct Proven<'a> {
    proof: &'a [[u8; HASH_LEN]],
    pub(super) sealed: &'a [u8],
}

impl<'a> Proven<'a> {
    /// Reads a part of a file with `size` bytes; none if it is not that part.
    pub(super) fn read(file: FileId, size: u64, part: u32, bytes: &'a [u8]) -> Option<Self> {
        let parts = part_count(size);
        let (proof, sealed) = bytes.split_at_checked(proof_len(part, parts).saturating_mul(HASH_LEN))?;
        let (proof, _) = proof.as_chunks();
        let is_whole = part < parts && sealed.len() == part_len(size, part).saturating_add(TAG_LEN);
        (is_whole && verify(file, (part, parts), proof, sealed)).then_some(Self { proof, sealed })
    }

    fn bytes(&self) -> Vec<u8> {
        [self.proof.as_flattened(), self.sealed].concat()
    }
}

/// The most bytes of a part behind its proof, in a file of so many.
pub(super) const fn most_bytes() -> usize {
    // 2^32 parts at most.
    SEALED_PART.saturating_add(HASH_LEN.saturating_mul(32))
}

/// A file that is read for the first time: its parts in order give its id. See
/// [`Engine::begin_file`](crate::Engine::begin_file). Not to be copied: two drafts with one key would seal different bytes
/// under one pair of key and nonce.
#[cfg_attr(test, derive(Clone))]
pub struct FileDraft {
    key: [u8; 32],
    size: u64,
    tree: Growing,
}

impl fmt::Debug for FileDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileDraft {{ size: {} }}", self.size)
    }
}

impl FileDraft {
    /// Bytes of a part: 65,520, so that it has 64 KiB when it is sealed. The last part has the rest.
    pub const PART: usize = SEALED_PART - TAG_LEN;

    pub(super) fn new(key: [u8; 32], size: u64) -> Self {
        Self { key, size, tree: Growing::default() }
    }

    /// The next part.
    ///
    /// # Errors
    /// [`FileError::Length`] for a part of a wrong length, [`FileError::Size`] after the last.
    pub fn push(&mut self, part: &[u8]) -> Result<(), FileError> {
        let n = self.tree.len();
        if n >= part_count(self.size) {
            return Err(FileError::Size);
        }
        if part.len() != part_len(self.size, n) {
            return Err(FileError::Length);
        }
        self.tree.push(&seal(&self.key, n, part).ok_or(FileError::Length)?);
        Ok(())
    }

    /// The file, once all its parts were given.
    ///
    /// # Errors
    /// [`FileError::Size`] before the last part.
    pub fn finish(self) -> Result<SealedFile, FileError> {
        if self.tree.len() != part_count(self.size) {
            return Err(FileError::Size);
        }
        let tree = self.tree.finish().ok_or(FileError::Size)?;
        Ok(SealedFile { key: self.key, size: self.size, tree })
    }
}

/// A file whose hash is known: its parts are given to [`Engine::add_file_part`](crate::Engine::add_file_part).
#[derive(Clone)]
pub struct SealedFile {
    key: [u8; 32],
    size: u64,
    tree: Tree,
}

impl fmt::Debug for SealedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedFile {{ id: {:?}, size: {} }}", self.id(), self.size)
    }
}

impl SealedFile {
    /// The hash of its sealed bytes.
    pub fn id(&self) -> FileId {
        self.tree.root()
    }

    /// Its bytes, before they are sealed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many parts it has: 1 at least.
    pub fn parts(&self) -> u32 {
        self.tree.parts()
    }

    pub(crate) fn key(&self) -> [u8; 32] {
        self.key
    }

    /// A part behind its proof.
    pub(super) fn prove(&self, part: u32, plain: &[u8]) -> Result<Vec<u8>, FileError> {
        let sealed = seal(&self.key, part, plain).ok_or(FileError::Length)?;
        let proof = self.tree.proof(part);
        let proven = Proven { proof: &proof, sealed: &sealed }.bytes();
        Proven::read(self.id(), self.size, part, &proven).map(|_| ()).ok_or(FileError::Changed)?;
        Ok(proven)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(size: usize) -> Vec<u8> {
        (0..size).map(|i| (i / 7) as u8).collect()
    }

    pub(in crate::file) fn sealed(key: [u8; 32], plain: &[u8]) -> SealedFile {
        let mut draft = FileDraft::new(key, plain.len() as u64);
        for n in 0..part_count(plain.len() as u64) {
            let start = n as usize * FileDraft::PART;
            draft.push(&plain[start..start + part_len(plain.len() as u64, n)]).unwrap();
        }
        draft.finish().unwrap()
    }

    // Mutations: `open` ignores its tag; the nonce is the same for all parts (the second part then opens as the first).
    #[test]
    fn a_file_of_any_size_comes_back_part_by_part() {
        for size in [0, 1, FileDraft::PART - 1, FileDraft::PART, FileDraft::PART + 1, 3 * FileDraft::PART + 5] {
            let plain = plain(size);
            let file = sealed([7; 32], &plain);
            assert_eq!(file.parts(), part_count(size as u64));
            let mut back = Vec::new();
            for (n, part) in (0..file.parts()).zip(plain.chunks(FileDraft::PART).chain([&[][..]])) {
                let proven = file.prove(n, part).unwrap();
                let read = Proven::read(file.id(), size as u64, n, &proven).unwrap();
                assert!(open(&[8; 32], n, read.sealed).is_none(), "another key");
                assert!(open(&[7; 32], n + 1, read.sealed).is_none(), "another place");
                back.extend(open(&[7; 32], n, read.sealed).unwrap());
            }
            assert!(back == plain, "{size} bytes");
        }
    }

    // Mutation: `prove` does not read its own proof.
    #[test]
    fn a_file_that_changed_between_two_readings_is_refused() {
        let plain = plain(2 * FileDraft::PART);
        let file = sealed([7; 32], &plain);
        let mut changed = plain[..FileDraft::PART].to_vec();
        changed[9] ^= 1;
        assert_eq!(file.prove(0, &changed), Err(FileError::Changed));
        assert_eq!(file.prove(0, &plain[..9]), Err(FileError::Changed));
        assert_eq!(file.prove(2, &plain[..9]), Err(FileError::Changed));
    }

    #[test]
    fn a_draft_takes_the_parts_of_its_size_only() {
        let mut draft = FileDraft::new([1; 32], FileDraft::PART as u64 + 5);
        assert_eq!(draft.push(&[0; 5]), Err(FileError::Length));
        draft.push(&[0; FileDraft::PART]).unwrap();
        assert_eq!(draft.clone().finish().map(|_| ()), Err(FileError::Size));
        assert_eq!(draft.push(&[0; 6]), Err(FileError::Length));
        draft.push(&[0; 5]).unwrap();
        assert_eq!(draft.push(&[0; 5]), Err(FileError::Size));
        assert!(draft.finish().is_ok());
    }
}
