//! Checking, mending, copying and restoring a profile.

use std::path::Path;

use donp_runtime::StoreError;
use serde_json::json;

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
                lines.push(format!("repaired: {lost} could not be kept; the damaged file is beside the new one"))
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
        out.note("The backup holds the profile's key: whoever can read it can read everything in it.");
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
            Failure::new(Exit::Storage, format!("{} is no backup, or a damaged one", place.display()))
                .hint("the file that `donp backup` made; donp check says more of a whole one that was restored")
        }
        e => e.into(),
    })?;
    let made = json!({ "profile": paths.profile, "folder": dir.display().to_string() });
    out.done(&object("restored", made), |_| {
        format!(
            "profile {} is restored: it goes on in a log of its own, and what it said after the backup comes back from others",
            paths.profile
        )
    })
}
