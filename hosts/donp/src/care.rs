//! Checking, mending, copying and restoring a profile.

use std::path::Path;

use donp_runtime::{Cost, Secrets, StoreError};
use serde_json::json;

use crate::cli::ProfileVerb;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::json::object;
use crate::output::Output;
use crate::paths::Paths;
use crate::profile;

pub fn check(repair: bool, paths: &Paths, settings: &Settings, out: &Output) -> Result<(), Failure> {
    profile::exists(paths)?;
    let (dir, secrets) = (paths.dir(), profile::secrets(settings)?);
    let lost = if repair { Some(donp_runtime::repair(&dir, &secrets)?) } else { None };
    let found = donp_runtime::check(&dir, &secrets)?;
    let all: u64 = found.records.values().sum();
    let checked = json!({
        "profile": paths.profile,
        "records": found.records,
        "problems": found.problems,
        "lost": lost.as_deref().unwrap_or(&found.lost),
        "repaired": repair,
    });
    out.value(&object("checked", checked), |_| {
        let mut lines: Vec<String> = found.records.iter().map(|(table, n)| format!("{n:>8}  {table}")).collect();
        lines.extend(found.problems.iter().map(|p| format!("PROBLEM   {p}")));
        match lost.as_deref() {
            Some("") => lines.push("repaired: nothing is lost".into()),
            Some(lost) => {
                lines.push(format!("repaired: {lost} are lost; the damaged file is in a folder beside the new one"))
            }
            None if !found.lost.is_empty() => lines.push(format!("lost before: {}", found.lost)),
            None if found.problems.is_empty() => lines.push(format!("all {all} records are whole")),
            None => {}
        }
        lines.join("\n")
    })?;
    if found.problems.is_empty() {
        return Ok(());
    }
    let what = if out.json { "" } else { "the profile is damaged" };
    Err(Failure::new(Exit::Storage, what).hint(format!("donp -p {} check --repair", paths.profile)))
}

pub fn backup(place: &Path, paths: &Paths, out: &Output) -> Result<(), Failure> {
    profile::exists(paths)?;
    let has_key = donp_runtime::backup(&paths.dir(), place).map_err(|e| match e {
        StoreError::Exists(_) => Failure::new(Exit::Failed, format!("{} is there already", place.display()))
            .hint("a new folder or file for each backup"),
        e => e.into(),
    })?;
    if has_key {
        out.note("The backup holds the profile's key: anyone who can read it can read everything in it.");
    }
    let made = json!({ "profile": paths.profile, "place": place.display().to_string(), "key": has_key });
    out.done(&object("backup", made), |_| {
        format!("profile {} is copied to {}", crate::text::escape_for_terminal(&paths.profile), place.display())
    })
}

pub fn restore(place: &Path, paths: &Paths, out: &Output) -> Result<(), Failure> {
    let dir = paths.dir();
    donp_runtime::restore(place, &dir).map_err(|e| match e {
        StoreError::Exists(_) => Failure::new(Exit::Failed, format!("there is a profile in {} already", dir.display()))
            .hint(format!(
                "move that folder away, or restore under another name: donp -p NAME restore {}",
                place.display()
            )),
        StoreError::Missing(_) => Failure::new(Exit::Failed, format!("there is no backup in {}", place.display()))
            .hint("the folder or file that `donp backup` made"),
        StoreError::Damaged { .. } if place.is_file() => {
            Failure::new(Exit::Storage, format!("{} is not a backup, or is damaged", place.display()))
                .hint("the file that `donp backup` made; donp check says more of a whole one that was restored")
        }
        e => e.into(),
    })?;
    let made = json!({ "profile": paths.profile, "folder": dir.display().to_string() });
    out.done(&object("restored", made), |_| {
        format!(
            "profile {} is restored: it starts a new message log, and what it sent after the backup comes back from other nodes",
            paths.profile
        )
    })
}

pub fn profile(what: &ProfileVerb, paths: &Paths, settings: &Settings, out: &Output) -> Result<(), Failure> {
    match what {
        ProfileVerb::Export { file, export_passphrase_file } => {
            profile::exists(paths)?;
            let passphrase = profile::export_passphrase(export_passphrase_file.as_deref())?;
            let secrets = profile::secrets(settings)?;
            donp_runtime::export_profile(&paths.dir(), &secrets, file, &passphrase, Cost::default()).map_err(|e| {
                match e {
                    StoreError::Exists(_) => Failure::new(Exit::Failed, format!("{} is there already", file.display()))
                        .hint("a new file for each export"),
                    e => e.into(),
                }
            })?;
            let made = json!({ "profile": paths.profile, "file": file.display().to_string() });
            out.done(&object("exported", made), |_| {
                let name = crate::text::escape_for_terminal(&paths.profile);
                format!("profile {name} is exported to {}; only that passphrase opens it", file.display())
            })
        }
        ProfileVerb::Import { file, export_passphrase_file } => {
            import(file, &profile::export_passphrase(export_passphrase_file.as_deref())?, paths, settings, out)
        }
        ProfileVerb::Passphrase { new_passphrase_file, none: _ } => {
            profile::exists(paths)?;
            let old = profile::secrets(settings)?;
            let passphrase = new_passphrase_file.as_deref().map(profile::passphrase_in).transpose()?;
            let new = Secrets { passphrase, key_file: old.key_file.clone(), key_store: None };
            donp_runtime::protect_profile(&paths.dir(), &old, &new, Cost::default())?;
            let by = if new.passphrase.is_some() { "passphrase" } else { "key-file" };
            out.done(&object("protected", json!({ "profile": paths.profile, "protection": by })), |_| match by {
                "passphrase" => "the new passphrase opens the profile; older copies still open with the old one".into(),
                _ => "a key file beside the profile opens it: anyone who can read this user's files can read it".into(),
            })
        }
    }
}

fn import(file: &Path, passphrase: &str, paths: &Paths, settings: &Settings, out: &Output) -> Result<(), Failure> {
    let dir = paths.dir();
    let secrets = profile::secrets(settings)?;
    donp_runtime::import_profile(file, passphrase, &dir, &secrets, Cost::default()).map_err(|e| match e {
        StoreError::Exists(_) => Failure::new(Exit::Failed, format!("there is a profile in {} already", dir.display()))
            .hint(format!(
                "move that folder away, or import under another name: donp -p NAME profile import {}",
                file.display()
            )),
        StoreError::Missing(_) => Failure::new(Exit::Failed, format!("there is no file {}", file.display()))
            .hint("the file that `donp profile export` wrote"),
        StoreError::WrongPassphrase(_) => {
            Failure::new(Exit::Storage, format!("the passphrase is wrong for {}", file.display()))
                .hint("that of the export, not that of the profile")
        }
        StoreError::Damaged { what, .. } => {
            Failure::new(Exit::Storage, format!("{}: {what}; nothing was imported", file.display()))
                .hint("copy the file again, or export the profile again")
        }
        e => e.into(),
    })?;
    let made = json!({ "profile": paths.profile, "folder": dir.display().to_string() });
    out.done(&object("imported", made), |_| {
        let name = crate::text::escape_for_terminal(&paths.profile);
        format!(
            "profile {name} is imported: it starts a new message log, and what it sent meanwhile comes back from other nodes"
        )
    })
}
