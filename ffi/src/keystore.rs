//! The platform's key store, the only foreign code that is called.

use std::sync::Arc;

use zeroize::Zeroizing;

/// Wraps the key of a profile with one that the platform guards, such as Android's Keystore or a
/// Keychain. Called while a node is made, on the thread that makes it, and never again.
#[uniffi::export(foreign)]
pub trait KeyStore: Send + Sync {
    /// Seals `key`, 32 bytes, so that only this device's user can have it back.
    fn wrap_key(&self, key: Vec<u8>) -> Result<Vec<u8>, KeyStoreError>;

    /// Opens what `wrap_key` gave.
    fn unwrap_key(&self, wrapped: Vec<u8>) -> Result<Vec<u8>, KeyStoreError>;
}

/// Why a key store refuses.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
pub enum KeyStoreError {
    /// The user did not unlock it, the key is gone, or something else is wrong.
    Refused {
        /// In words, to show.
        reason: String,
    },
}

impl std::fmt::Display for KeyStoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Refused { reason } = self;
        f.write_str(reason)
    }
}

impl std::error::Error for KeyStoreError {}

/// Foreign code threw something that it did not declare.
impl From<uniffi::UnexpectedUniFFICallbackError> for KeyStoreError {
    fn from(e: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Refused { reason: e.reason }
    }
}

pub(crate) struct Platform(pub(crate) Arc<dyn KeyStore>);

impl donp_runtime::KeyStore for Platform {
    fn wrap_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        self.0.wrap_key(key.to_vec()).map_err(|e| e.to_string())
    }

    fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        self.0.unwrap_key(wrapped.to_vec()).map(Zeroizing::new).map_err(|e| e.to_string())
    }
}
