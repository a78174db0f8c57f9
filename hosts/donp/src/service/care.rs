//! Looking at the profile of the running node, and copying it: from JSON to JSON.

use donp_runtime::{ErrorKind, NodeError, StoreError};
use serde_json::{Value, json};

use super::{Service, files};
use crate::failure::{Exit, Failure};
use crate::json::object;

impl Service {
    /// A method about the profile; none if there is no such method.
    pub(super) fn care_call(&self, method: &str, params: &Value) -> Option<Result<Value, Failure>> {
        Some(match method {
            "check" => self.check(),
            "backup" => self.backup(params),
            _ => return None,
        })
    }

    /// As `donp check` prints it.
    fn check(&self) -> Result<Value, Failure> {
        let found = self.node.check()?;
        Ok(object(
            "checked",
            json!({
                "profile": self.profile,
                "records": found.records,
                "problems": found.problems,
                "lost": found.lost,
                "repaired": false,
            }),
        ))
    }

    /// As `donp backup` prints it.
    fn backup(&self, params: &Value) -> Result<Value, Failure> {
        let place = files::from_root(params, "to")?;
        let has_key = self.node.backup(place).map_err(|e| match e {
            NodeError::Store(StoreError::Exists(_)) => {
                Failure::new(Exit::Failed, format!("{} is there already", place.display()))
                    .kind(ErrorKind::AlreadyExists)
                    .hint("a new folder or file for each backup")
            }
            e => e.into(),
        })?;
        let made = json!({ "profile": self.profile, "place": place.display().to_string(), "key": has_key });
        Ok(object("backup", made))
    }
}
