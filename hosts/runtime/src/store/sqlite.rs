//! The records of a node in one SQLite file, values sealed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use donp_core::{Batch, Op, Record, Scan, Table};
use rusqlite::Connection;

use super::database::{open_file, open_to_read};
use super::files::{NEW_LIFE, above, file_number, private_file, refused_by_system, sync_dir};
use super::lock::Lock;
use super::mend::{self, ATTEMPTS, Lost, RawRow};
use super::seal::{NONCE, Sealer};
use super::secrets::{DAMAGE, SETTLED, place, put_sealed_secret, raw_secrets, secret_place, unsealed};
use super::sql::{Sql, bytes, refused, table};
use super::sums::{self, COMMITS, Sums};
use super::walk::{self, Walk};
use super::{Access, Protection, StoreError};

/// An open store. `commit` is the only writer of records.
pub(crate) struct SqliteStore {
    /// None while the store is closed.
    db: Option<Connection>,
    path: PathBuf,
    sealer: Sealer,
    protection: Protection,
    commits: u64,
    damaged: u64,
    /// Lost and taken as known.
    settled: u64,
    access: Access,
    sums: Sums,
    /// Its first bytes are the number of transactions, as the file has to have it at least.
    mark: Option<File>,
    /// Which file was opened: device and number.
    opened: Option<(u64, u64)>,
    /// The node begins a new life in each conversation with its next transaction.
    new_life: bool,
    /// Records are missing that others may have.
    fetches_again: bool,
    /// Seals that may still be tried to correct a bit.
    attempts: usize,
    /// How far the check of all records is; none before its first slice.
    walk: Option<Walk>,
    /// What `PRAGMA data_version` was when the rows were last compared with their sums: it differs after another connection
    /// wrote.
    version: Option<i64>,
    /// Held as long as the store is open.
    lock: Option<Lock>,
}

/// Changes rows and what they come to.
struct Rows<'a> {
    sql: Sql<'a>,
    sealer: &'a mut Sealer,
    sums: Sums,
}

impl Rows<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let byte = table.to_byte();
        let sealed = self.sealer.seal(&place(table, key), value).map_err(|e| unsealed(e, self.sql.path))?;
        let nonce = sealed.get(..NONCE).unwrap_or(&sealed);
        self.sums.of_mut(byte).add(sums::of_row(self.sealer, byte, key, nonce));
        self.sql.run("INSERT INTO records VALUES (?1, ?2, ?3)", &[&byte, &key, &sealed])?;
        if mend::has_spares(byte) {
            self.sql.run("INSERT OR REPLACE INTO spares VALUES (?1, ?2, ?3)", &[&byte, &key, &sealed])?;
        }
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        let byte = table.to_byte();
        let old = "SELECT substr(value, 1, 24) FROM records WHERE tbl = ?1 AND key = ?2";
        let Some(old) = self.sql.bytes(old, &[&byte, &key])? else { return Ok(()) };
        self.sums.of_mut(byte).remove(sums::of_row(self.sealer, byte, key, &old));
        self.sql.run("DELETE FROM records WHERE tbl = ?1 AND key = ?2", &[&byte, &key])?;
        if mend::has_spares(byte) {
            self.sql.run("DELETE FROM spares WHERE tbl = ?1 AND key = ?2", &[&byte, &key])?;
        }
        Ok(())
    }

    fn remove_range(&mut self, table: Table, start: &[u8], end: &[u8]) -> Result<(), StoreError> {
        let inside = "SELECT key FROM records WHERE tbl = ?1 AND key >= ?2 AND key < ?3";
        let mut keys = Vec::new();
        self.sql.each(inside, &[&table.to_byte(), &start, &end], &mut |row| {
            keys.extend(bytes(row, 0));
            Ok(true)
        })?;
        keys.iter().try_for_each(|key| self.remove(table, key))
    }
}

/// What many batches come to: a message that was queued and acknowledged between two commits, or a
/// counter that rose a hundred times, is sealed and written once or not at all.
struct Sum<'a> {
    /// Removed first; what was put into them afterwards is in `rows`.
    ranges: Vec<(Table, &'a [u8], &'a [u8])>,
    /// In the order of the file's pages. None is a delete.
    rows: BTreeMap<(Table, &'a [u8]), Option<&'a [u8]>>,
}

impl<'a> Sum<'a> {
    fn of(batches: &'a [Batch]) -> Self {
        let mut sum = Self { ranges: Vec::new(), rows: BTreeMap::new() };
        for op in batches.iter().flat_map(|b| &b.ops) {
            match op {
                Op::Put { table, key, value } => drop(sum.rows.insert((*table, key), Some(value))),
                Op::Delete { table, key } => drop(sum.rows.insert((*table, key), None)),
                Op::DeleteRange { table, start, end } if start < end => {
                    let inside: Vec<_> =
                        sum.rows.range((*table, start.as_slice())..(*table, end.as_slice())).map(|(k, _)| *k).collect();
                    for key in inside {
                        sum.rows.remove(&key);
                    }
                    sum.ranges.push((*table, start, end));
                }
                Op::DeleteRange { .. } => {}
            }
        }
        sum
    }
}

impl SqliteStore {
    pub(super) fn new(db: Connection, path: PathBuf, sealer: Sealer, protection: Protection, access: Access) -> Self {
        let new_life = access == Access::Write && path.with_file_name(NEW_LIFE).exists();
        let opened = file_number(&path);
        Self {
            db: Some(db),
            path,
            sealer,
            protection,
            commits: 0,
            damaged: 0,
            settled: 0,
            access,
            sums: Sums::default(),
            mark: None,
            opened,
            new_life,
            fetches_again: false,
            attempts: ATTEMPTS,
            walk: None,
            version: None,
            lock: None,
        }
    }

    /// Compares the rows with their sums, the spares with what they stand for, and the file with the mark beside it.
    /// Mends what can be mended; what is lost is counted, said and stored. False for a store that is only read and needs
    /// mending.
    pub(super) fn verify(&mut self) -> Result<bool, StoreError> {
        let sql = Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path };
        let version = sql.number("PRAGMA data_version", &[])?;
        let (recorded, all_open) = sums::load(sql, &self.sealer)?;
        let mut found = sums::count(sql, "records", &self.sealer)?;
        *found.of_mut(COMMITS) = recorded.of(COMMITS);
        let is_whole = all_open && recorded == found && mend::spares_agree(sql)?;
        let mut lost = mend::stored_damage(sql, &self.sealer, DAMAGE)?;
        self.settled = mend::total(&mend::stored_damage(sql, &self.sealer, SETTLED)?);
        self.sums = found;
        if !is_whole && self.access == Access::Read {
            return Ok(false);
        }
        if !is_whole {
            let (sums, now, kept) = mend::mend(sql, &mut self.sealer, &recorded)?;
            self.sums = sums;
            let kept = kept.display();
            if now.is_empty() {
                log::warn!(
                    "{} was damaged and is repaired, nothing is lost; the damaged file: {kept}",
                    self.path.display()
                );
            } else {
                let words = mend::in_words(&now);
                log::error!("{} was damaged: {words} are lost; the damaged file: {kept}", self.path.display());
                self.fetches_again = true;
            }
            lost = mend::stored_damage(self.sql()?, &self.sealer, DAMAGE)?;
        }
        (self.damaged, self.version) = (mend::total(&lost), version);
        Ok(true)
    }

    /// Whether records are missing that others may have; asked once.
    pub(super) fn fetches_again(&mut self) -> bool {
        std::mem::take(&mut self.fetches_again)
    }

    /// Whether the node has to begin a new life in each conversation, since this is an older copy of the profile.
    pub(super) fn begins_new_life(&self) -> bool {
        self.new_life
    }

    /// The profile's folder, and what opens its records once more.
    pub(super) fn profile(&self) -> (PathBuf, Sealer) {
        (self.path.parent().unwrap_or(Path::new(".")).into(), self.sealer.again())
    }

    /// How many transactions the mark beside the file knows of and the file does not.
    pub(super) fn behind_mark(&self) -> u64 {
        mend::behind_mark(&self.path, &self.sealer, &self.sums)
    }

    /// Takes over the mark. A file that is `behind` it is an older copy, or lost its log.
    pub(super) fn take_mark(&mut self, behind: u64) -> Result<(), StoreError> {
        if self.access == Access::Read {
            return Ok(());
        }
        if behind > 0 {
            log::error!(
                "{} lacks the last {behind} transactions of this profile: it is an older copy, or its log was lost",
                self.path.display()
            );
            // Before the mark forgets it.
            let begins = self.path.with_file_name(NEW_LIFE);
            std::fs::write(&begins, "").map_err(|e| refused_by_system("cannot write", &begins, e))?;
            self.new_life = true;
            self.fetches_again = true;
            let sql = Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path };
            let mut lost = mend::stored_damage(sql, &self.sealer, DAMAGE)?;
            mend::add(&mut lost, COMMITS, behind);
            self.damaged = mend::total(&lost);
            mend::put_damage(sql, &mut self.sealer, DAMAGE, &lost)?;
        }
        let path = self.path.with_file_name("mark");
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => self.mark = Some(file),
            // Only the notice of a lost log depends on it.
            Err(e) => log::warn!("{}: {e}", path.display()),
        }
        self.raise_mark();
        Ok(())
    }

    /// What was lost; from here on it counts as known.
    pub(super) fn take_damage(&mut self) -> Result<Lost, StoreError> {
        let sql = Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path };
        let lost = mend::settle(sql, &mut self.sealer)?;
        self.damaged = 0;
        self.settled += mend::total(&lost);
        Ok(lost)
    }

    /// Records were lost and the rest was written into a new file.
    pub(super) fn was_salvaged(&mut self) {
        self.fetches_again = true;
    }

    /// Not synchronised with the disk: after a power failure it is at most too low, and the file is on the disk before.
    fn raise_mark(&mut self) {
        let bytes = mend::mark_of(self.sums.commits(), &self.sealer);
        if let Some(file) = &mut self.mark
            && let Err(e) = file.rewind().and_then(|()| file.write_all(&bytes))
        {
            log::debug!("mark: {e}");
        }
    }

    /// Whether the file that is open is still the profile's. One that was removed is written again from what is open.
    pub(super) fn is_in_place(&mut self) -> Result<(), StoreError> {
        let is = file_number(&self.path);
        if self.opened.is_none() || is == self.opened {
            return Ok(());
        }
        if is.is_some() {
            let what = "another file took its place while the node ran; nothing is written to either".into();
            return Err(StoreError::Damaged { path: self.path.clone(), what });
        }
        let fresh = self.path.with_file_name("node.db.new");
        let _ = std::fs::remove_file(&fresh);
        let db = self.db.as_ref().ok_or(StoreError::Closed)?;
        Sql { db, path: &fresh }.run("VACUUM INTO ?1", &[&fresh.to_string_lossy()])?;
        private_file(&fresh)?;
        // Before the new file is there: closing removes what lies beside the name.
        self.db = None;
        let made = std::fs::rename(&fresh, &self.path).map_err(|e| refused_by_system("cannot make", &self.path, e));
        made.and_then(|()| sync_dir(above(&self.path)))?;
        self.db = Some(open_file(&self.path, false)?);
        (self.opened, self.version) = (file_number(&self.path), None);
        log::error!("{} was removed while the node ran: it was written again, whole", self.path.display());
        Ok(())
    }

    /// A look at the file from time to time: whether it is in place, and whether another program wrote into it. Then the rows are
    /// compared with their sums, as when it was opened, and their values are checked from the beginning. True then.
    pub(super) fn look(&mut self) -> Result<bool, StoreError> {
        let Some(sql) = self.db.as_ref().map(|db| Sql { db, path: &self.path }) else { return Ok(false) };
        if self.access == Access::Read || sql.number("PRAGMA data_version", &[])? == self.version {
            return self.is_in_place().map(|()| false);
        }
        self.is_in_place()?;
        let commits = self.sums.of(COMMITS);
        self.verify()?;
        *self.sums.of_mut(COMMITS) = commits;
        self.walk = Some(Walk::default());
        Ok(true)
    }

    /// The file, if nothing is written to it.
    pub(super) fn read_only(&self) -> Option<&Path> {
        (self.access == Access::Read).then_some(&self.path)
    }

    /// Holds the lock as long as the store is there.
    pub(super) fn keep_lock(&mut self, lock: Lock) {
        self.lock = Some(lock);
    }

    pub(super) fn announce_node(&mut self) -> Result<(), StoreError> {
        self.lock.as_mut().map_or(Ok(()), Lock::announce_node)
    }

    pub(super) fn announce_control(&mut self, socket: &Path) -> Result<(), StoreError> {
        self.lock.as_mut().map_or(Ok(()), |lock| lock.announce(socket))
    }

    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Records that were lost in all, known or not.
    pub(super) fn lost(&self) -> u64 {
        self.damaged + self.settled
    }

    pub(super) fn put_secret(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        if self.access == Access::Read {
            return Err(StoreError::ReadOnly(self.path.clone()));
        }
        let sql = Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path };
        put_sealed_secret(sql, &mut self.sealer, name, value)
    }

    pub(super) fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = raw_secrets(self.sql()?, name)?;
        let opened = stored.iter().find_map(|sealed| self.sealer.open(&secret_place(name), sealed).ok());
        if opened.is_none() && !stored.is_empty() {
            let what = format!("the stored '{name}' was changed, and its spare too");
            return Err(StoreError::Damaged { path: self.path.clone(), what });
        }
        Ok(opened)
    }

    /// What a restart begins with. One that does not open is taken from its spare. One that a node can do without is left
    /// out and counted; another stops the start and is named.
    pub(super) fn hot(&mut self) -> Result<Vec<Record>, StoreError> {
        let mut out = Vec::new();
        let sql = Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path };
        let hot = "SELECT r.tbl, r.key, r.value, s.value FROM records r LEFT JOIN spares s \
                   ON s.tbl = r.tbl AND s.key = r.key WHERE r.tbl < 128 ORDER BY r.tbl, r.key";
        sql.each(hot, &[], &mut |row| {
            let byte = table(row, 0).unwrap_or_default();
            let (table, key) = (Table::from_byte(byte), bytes(row, 1).unwrap_or_default());
            let at = place(table, &key);
            let [value, spare] = [2, 3].map(|column| bytes(row, column));
            let opened = [&value, &spare].into_iter().flatten().find_map(|sealed| self.sealer.open(&at, sealed).ok());
            let corrected = || {
                let mut row = RawRow { table: byte, key: key.clone(), value: value? };
                let same = row.opens_or_is_corrected(&self.sealer, &mut self.attempts) && row.key == key;
                same.then(|| self.sealer.open(&at, &row.value).ok())?
            };
            match opened.or_else(corrected) {
                Some(value) => out.push(Record { table, key, value }),
                None if table.is_expendable() => {
                    self.damaged += 1;
                    log::warn!("{}: a record in table {table} was changed: it is left out", self.path.display());
                }
                None => {
                    let what = format!("a record in table {table} was changed, and its spare too");
                    return Err(StoreError::Damaged { path: self.path.clone(), what });
                }
            }
            Ok(true)
        })?;
        Ok(out)
    }

    /// Writes; a store that is only read takes it as done, so that an engine which is offline goes on.
    pub(super) fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        if self.access == Access::Read {
            return Ok(());
        }
        self.is_in_place()?;
        let db = self.db.as_ref().ok_or(StoreError::Closed)?;
        let failed = |e| refused(e, &self.path);
        let sql = Sql { db, path: &self.path };
        let tx = db.unchecked_transaction().map_err(failed)?;
        // Sums are taken over when the transaction is done.
        let mut rows = Rows { sql, sealer: &mut self.sealer, sums: self.sums.clone() };
        let sum = Sum::of(batches);
        for (table, start, end) in sum.ranges {
            rows.remove_range(table, start, end)?;
        }
        for ((table, key), value) in sum.rows {
            rows.remove(table, key)?;
            if let Some(value) = value {
                rows.put(table, key, value)?;
            }
        }
        let mut sums = rows.sums;
        sums.of_mut(COMMITS).add(0);
        for (table, sum) in sums.iter().filter(|(table, sum)| self.sums.of(*table) != *sum) {
            sums::put(sql, &mut self.sealer, table, sum)?;
        }
        // Dropping the transaction on an error above rolls it back.
        tx.commit().map_err(failed)?;
        self.sums = sums;
        self.commits += 1;
        self.raise_mark();
        if std::mem::take(&mut self.new_life) {
            let _ = std::fs::remove_file(self.path.with_file_name(NEW_LIFE));
        }
        Ok(())
    }

    pub(super) fn scan(&mut self, request: &Scan) -> Result<Vec<Record>, StoreError> {
        let sql = if request.reverse {
            "SELECT key, value FROM records WHERE tbl = ?1 AND key >= ?2 AND key < ?3 ORDER BY key DESC LIMIT ?4"
        } else {
            "SELECT key, value FROM records WHERE tbl = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4"
        };
        let statement = Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path };
        let (byte, most) = (request.table.to_byte(), request.max_bytes as usize);
        let mut out = Vec::new();
        let mut size = 0;
        statement.each(sql, &[&byte, &request.start, &request.end, &request.limit], &mut |row| {
            let (Some(key), Some(sealed)) = (bytes(row, 0), bytes(row, 1)) else { return Ok(true) };
            let at = place(request.table, &key);
            let value = self.sealer.open(&at, &sealed).ok().or_else(|| {
                let mut row = RawRow { table: byte, key: key.clone(), value: sealed };
                let same = row.opens_or_is_corrected(&self.sealer, &mut self.attempts) && row.key == key;
                same.then(|| self.sealer.open(&at, &row.value).ok())?
            });
            if let Some(value) = value {
                size += key.len() + value.len();
                out.push(Record { table: request.table, key, value });
            } else {
                // The loss stays limited to this record.
                self.damaged += 1;
                self.fetches_again = true;
                log::warn!("{}: a record in table {} was changed", self.path.display(), request.table);
            }
            Ok(size <= most)
        })?;
        Ok(out)
    }

    /// Checks the next few hundred records; whether they were the last ones. What does not open is mended, or removed,
    /// counted and said: others may have it.
    pub(super) fn check_slice(&mut self, wall: u64) -> Result<bool, StoreError> {
        if self.access == Access::Read {
            return Ok(true);
        }
        let sql = Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path };
        let mut walk = match &self.walk {
            Some(walk) => walk.clone(),
            None => Walk::load(sql, &self.sealer)?,
        };
        if !walk.goes_on(wall) {
            self.walk = Some(walk);
            return Ok(true);
        }
        let slice = walk.slice(sql, &self.sealer)?;
        if !slice.bad.is_empty() {
            let tx = sql.db.unchecked_transaction().map_err(|e| refused(e, &self.path))?;
            let mut gone = false;
            for mut row in slice.bad {
                log::warn!("{}: a record in table {} was changed", self.path.display(), Table::from_byte(row.table));
                gone |= walk::mend_row(&mut row, sql, &self.sealer, &mut self.attempts)?;
            }
            if gone {
                let mut found = sums::count(sql, "records", &self.sealer)?;
                *found.of_mut(COMMITS) = self.sums.of(COMMITS);
                let lost = mend::missing(&self.sums, &found);
                mend::write_sums(sql, &mut self.sealer, &found, &lost)?;
                tx.commit().map_err(|e| refused(e, &self.path))?;
                log::error!("{} was damaged: {} could not be kept", self.path.display(), mend::in_words(&lost));
                self.sums = found;
                self.damaged += mend::total(&lost);
                self.fetches_again = true;
            } else {
                tx.commit().map_err(|e| refused(e, &self.path))?;
            }
        }
        let sql = Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path };
        walk.store(slice.is_last.then_some(wall), sql, &mut self.sealer)?;
        self.walk = Some(walk);
        Ok(slice.is_last)
    }

    /// Records that the check of this round opened, and when the last round ended, in milliseconds since 1970.
    pub(super) fn checked(&self) -> (u64, Option<u64>) {
        self.walk.as_ref().map_or((0, None), |walk| (walk.records(), walk.finished()))
    }

    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.access == Access::Read {
            return Ok(());
        }
        self.sql()?.run("PRAGMA wal_checkpoint(TRUNCATE)", &[])
    }

    fn sql(&self) -> Result<Sql<'_>, StoreError> {
        Ok(Sql { db: self.db.as_ref().ok_or(StoreError::Closed)?, path: &self.path })
    }

    /// Closes the file, its log moved into it. What is asked before [`reopen`](Self::reopen) is refused.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.checkpoint()?;
        if let Some(db) = self.db.take()
            && let Err((db, e)) = db.close()
        {
            self.db = Some(db);
            return Err(refused(e, &self.path));
        }
        Ok(())
    }

    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        if self.db.is_none() {
            let open = if self.access == Access::Read { open_to_read } else { |path: &Path| open_file(path, false) };
            self.db = Some(open(&self.path)?);
            (self.opened, self.version) = (file_number(&self.path), None);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.db.as_ref().unwrap().query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(())).unwrap();
    }

    #[cfg(test)]
    pub(crate) fn pages(&self) -> u32 {
        self.db.as_ref().unwrap().query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap()
    }
}
