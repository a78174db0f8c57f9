//! Looking at a profile, copying it, and making one from a copy.

use std::collections::HashMap;
use std::path::Path;

use donp_runtime::StoreError;

use crate::guard::Guard;
use crate::{DonpError, Node};

/// What a profile holds, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Checked {
    /// Records by table.
    pub records: HashMap<String, u64>,
    /// What is wrong, in words; empty if all is well.
    pub problems: Vec<String>,
    /// What was lost before and is still missing, in words; empty if nothing.
    pub lost: String,
}

impl From<donp_runtime::Checked> for Checked {
    fn from(c: donp_runtime::Checked) -> Self {
        Self { records: c.records.into_iter().collect(), problems: c.problems, lost: c.lost }
    }
}

#[uniffi::export]
impl Node {
    /// Looks at every record of this node's profile, while it runs. Takes as long as reading the whole file.
    pub fn check(&self) -> Result<Checked, DonpError> {
        self.run(|n| n.check().map(Into::into))
    }

    /// Copies this node's profile as of now to `to`, which must not be there: one file if its name ends with `.donp`, else
    /// a folder. Whether the copy holds the key that opens it: then who can read it can read everything in it.
    pub fn backup(&self, to: &str) -> Result<bool, DonpError> {
        self.run(|n| n.backup(Path::new(to)))
    }
}

/// Makes a profile in `state_dir`, which must not be there, from the folder or file that `backup` made. It goes on in logs
/// of its own, so that nothing that was said after the backup is lost.
#[uniffi::export]
pub fn restore_profile(backup: &str, state_dir: &str) -> Result<(), DonpError> {
    Guard::default().run(|| {
        donp_runtime::restore(Path::new(backup), Path::new(state_dir)).map_err(|e| match e {
            StoreError::Missing(_) => DonpError::NotFound {
                reason: format!("there is no backup in {backup}"),
                hint: "name the folder or file that backup made".into(),
                retryable: false,
            },
            e => e.into(),
        })
    })
}
