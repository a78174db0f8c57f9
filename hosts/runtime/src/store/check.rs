//! Looking at a whole profile without changing it, and settling what was lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use donp_core::Table;
use rusqlite::config::DbConfig;

use super::database::open_to_read;
use super::key::{Secrets, data_key};
use super::lock::Lock;
use super::mend::{self, Lost, RawRow};
use super::profile::Profile;
use super::seal::{self, Sealer};
use super::secrets::{DAMAGE, PLATFORM_KEY, SETTLED, WRAPPED_KEY, raw_secrets};
use super::sql::{Sql, refused};
use super::{Access, StoreError, sums};

/// What a profile holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Records by table.
    pub records: BTreeMap<String, u64>,
    /// What is wrong, in words; empty if all is well.
    pub problems: Vec<String>,
    /// What was lost before, in words, also what a repair took as known; empty if nothing.
    pub lost: String,
}

/// Looks at the pages, the sums, each record and each spare of the profile in `dir`. Changes nothing; a node may run.
///
/// # Errors
/// When the file cannot be opened, or the secrets do not open it.
pub fn check(dir: &Path, secrets: &Secrets) -> Result<Checked, StoreError> {
    check_with(dir, &|wrapped, platform_key| {
        let (key, _) = data_key(dir, wrapped, platform_key, secrets)?;
        Ok(Sealer::new(&key))
    })
}

/// Makes what opens the records out of the stored keys.
type Opener<'a> = dyn Fn(&[u8], Option<&[u8]>) -> Result<Sealer, StoreError> + 'a;

/// As [`check`], with what opens the records.
pub(crate) fn check_with(dir: &Path, opener: &Opener<'_>) -> Result<Checked, StoreError> {
    let path = dir.join("node.db");
    // With a running node, its own connection holds the log; without one, no node starts meanwhile.
    let _lock = match Lock::take(dir, Access::Read, Duration::ZERO) {
        Ok(lock) => Some(lock),
        Err(StoreError::InUse { .. }) => None,
        Err(e) => return Err(e),
    };
    let mut out = Checked::default();
    let problem = |e: StoreError| match e {
        StoreError::Damaged { what, .. } => Ok(what),
        e => Err(e),
    };
    let db = match open_to_read(&path) {
        Ok(db) => db,
        Err(e) => {
            out.problems.push(problem(e)?);
            return Ok(out);
        }
    };
    // A log that does not fit stays as it is found.
    let _ = db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    let tx = db.unchecked_transaction().map_err(|e| refused(e, &path))?;
    let sql = Sql { db: &tx, path: &path };
    let wrapped = raw_secrets(sql, WRAPPED_KEY)?;
    let Some(wrapped) = wrapped.iter().find(|w| seal::protection(w).is_ok()) else {
        out.problems.push("its wrapped key was changed, and its spare too".into());
        return Ok(out);
    };
    let platform_key = raw_secrets(sql, PLATFORM_KEY)?;
    let sealer = opener(wrapped, platform_key.first().map(Vec::as_slice))?;

    let (recorded, all_open) = sums::load(sql, &sealer)?;
    let found = sums::count(sql, "records", &sealer)?;
    if !all_open {
        out.problems.push("a sum was changed".into());
    }
    let missing = mend::missing(&recorded, &found);
    if !missing.is_empty() {
        out.problems.push(format!("rows do not add up: {} missing or put back", mend::in_words(&missing)));
    }
    if !mend::spares_agree(sql)? {
        out.problems.push("a record and its spare differ".into());
    }
    let behind = mend::behind_mark(&path, &sealer, &recorded);
    if behind > 0 {
        out.problems.push(format!("the last {behind} transactions are not in it"));
    }
    let mut unread = Lost::new();
    sql.each("SELECT tbl, key, value FROM records", &[], &mut |row| {
        match RawRow::of(row) {
            Some(row) if row.opens(&sealer) => {
                *out.records.entry(Table::from_byte(row.table).to_string()).or_default() += 1;
            }
            Some(row) => mend::add(&mut unread, row.table, 1),
            None => mend::add(&mut unread, u8::MAX, 1),
        }
        Ok(true)
    })?;
    if !unread.is_empty() {
        out.problems.push(format!("records that were changed: {}", mend::in_words(&unread)));
    }
    let mut lost = mend::stored_damage(sql, &sealer, DAMAGE)?;
    for (table, n) in mend::stored_damage(sql, &sealer, SETTLED)? {
        mend::add(&mut lost, table, n);
    }
    out.lost = mend::in_words(&lost);
    Ok(out)
}

/// Mends the profile in `dir`, as opening it does, and takes what was lost as known: it is not reported again. It
/// stays counted, since history has a hole where it was.
///
/// # Errors
/// As [`Profile::open`]. Nothing was changed then.
pub fn repair(dir: &Path, secrets: &Secrets) -> Result<String, StoreError> {
    let mut profile = Profile::open(dir, secrets)?;
    let lost = profile.take_damage()?;
    Ok(mend::in_words(&lost))
}
