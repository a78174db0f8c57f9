//! Files that messages name.

use donp_core as core;
use donp_core::FileId;
use serde::{Deserialize, Serialize};

use super::text;

/// A file that a message names: a reader of the message can fetch and open it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The BLAKE3 hash of its sealed bytes.
    #[serde(with = "text")]
    pub id: FileId,
    /// The key that it is sealed under, 32 bytes in hexadecimal.
    #[serde(with = "key")]
    pub key: [u8; 32],
    /// Its bytes.
    pub size: u64,
    /// What its sender calls it.
    pub name: String,
    /// What its sender says that it is, as in `image/png`; empty if it does not say.
    pub media_type: String,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its key.
        write!(f, "Attachment {{ id: {:?}, size: {}, name: {:?} }}", self.id, self.size, self.name)
    }
}

impl From<core::Attachment> for Attachment {
    fn from(core::Attachment { id, key, size, name, media_type }: core::Attachment) -> Self {
        Self { id, key, size, name, media_type }
    }
}

impl From<Attachment> for core::Attachment {
    fn from(Attachment { id, key, size, name, media_type }: Attachment) -> Self {
        Self { id, key, size, name, media_type }
    }
}

/// A file of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "file")]
pub struct FileInfo {
    /// The BLAKE3 hash of its sealed bytes.
    #[serde(with = "text")]
    pub id: FileId,
    /// What its sender calls it.
    pub name: String,
    /// What its sender says that it is; empty if it does not say.
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
    /// How many of them are here.
    pub bytes: u64,
    /// Nodes that it is being fetched from now.
    pub holders: u64,
    /// Whether all of it is here.
    pub is_whole: bool,
}

impl From<core::FileInfo> for FileInfo {
    fn from(core::FileInfo { id, name, media_type, size, bytes, holders, is_whole }: core::FileInfo) -> Self {
        Self { id, name, media_type, size, bytes, holders, is_whole }
    }
}

/// 32 bytes in hexadecimal.
mod key {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &[u8; 32], s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&key.iter().map(|b| format!("{b:02x}")).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(d)?;
        let byte = |n: usize| text.get(2 * n..2 * n + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
        let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
        let key = bytes.filter(|_| text.len() == 64).and_then(|bytes| bytes.try_into().ok());
        key.ok_or_else(|| serde::de::Error::custom("a key of a file has 64 hexadecimal digits"))
    }
}
