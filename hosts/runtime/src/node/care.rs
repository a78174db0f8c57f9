//! Looking at the profile of a running node, and copying it.

use std::path::Path;

use super::Node;
use crate::error::NodeError;
use crate::store::{Checked, HasKey, StoreError, backup, check_with};

impl Node {
    /// Looks at every record of this node's profile, as [`check`](crate::check) does, while it runs. Takes as long as
    /// reading the whole file; nothing waits for it meanwhile.
    ///
    /// # Errors
    /// [`StoreError::InMemory`]; when the file cannot be opened.
    pub fn check(&self) -> Result<Checked, NodeError> {
        let (dir, sealer) = self.profile.as_ref().ok_or(StoreError::InMemory)?;
        Ok(check_with(dir, &|_, _| Ok(sealer.again()))?)
    }

    /// Copies this node's profile, as [`backup`](crate::backup) does: to a folder, or to one file if the name ends with
    /// `.donp`. Whether the copy holds the key that opens it: then who can read it can read everything in it.
    ///
    /// # Errors
    /// [`StoreError::InMemory`], [`StoreError::Exists`] for `to`;
    /// when it cannot be written.
    pub fn backup(&self, to: &Path) -> Result<HasKey, NodeError> {
        let (dir, _) = self.profile.as_ref().ok_or(StoreError::InMemory)?;
        Ok(backup(dir, to)?)
    }
}
