//! Records out of a file that SQLite does not read: from the pages themselves, and from those of the write-ahead log. A
//! seal proves each record, so anything that looks like one is tried, and nothing depends on the pages' own order.
//!
//! The format of pages, cells and records is that of <https://www.sqlite.org/fileformat2.html>.

use std::fs;
use std::path::{Path, PathBuf};

use donp_core::Table;

use super::mend::{self, ATTEMPTS, Lost, RawRow};
use super::profile::{self, Secrets};
use super::seal::{self, Sealer};
use super::sql::Sql;
use super::sqlite::{self, secret_place};
use super::sums::{self, COMMITS, Sum, Sums};
use super::{Access, StoreError, lock::Lock, refused_by_system};

/// What a salvage came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Records that are kept.
    pub kept: u64,
    /// What could not be kept, in words; empty if nothing is missing.
    pub lost: String,
    /// The folder of the files as they were.
    pub aside: PathBuf,
}

/// Page sizes: SQLite's default, where a header does not say one.
const PAGE: usize = 4_096;
/// The header of a write-ahead log, and that of each of its pages.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The longest record that is looked for: the longest value that the core stores, and its key.
const LONGEST: u64 = 4 << 20;
/// Overflow pages of one record.
const CHAIN: usize = LONGEST as usize / 512;

/// A column of a record.
enum Column<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Text(&'a [u8]),
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut out = 0u64;
    for (n, byte) in bytes.iter().take(9).enumerate() {
        if n == 8 {
            return Some((out << 8 | u64::from(*byte), 9));
        }
        out = out << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((out, n + 1));
        }
    }
    None
}

/// The columns of a record of two or three.
fn columns(record: &[u8]) -> Option<Vec<Column<'_>>> {
    let (header, first) = varint(record)?;
    let header = usize::try_from(header).ok().filter(|h| (3..=16).contains(h))?;
    let (mut at, mut body) = (first, header);
    let mut out = Vec::with_capacity(3);
    while at < header {
        let (kind, n) = varint(record.get(at..header)?)?;
        at += n;
        let len = match kind {
            0 | 8 | 9 => 0,
            1 => 1,
            2 => 2,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let bytes = record.get(body..body.checked_add(len)?)?;
        body += len;
        out.push(match kind {
            8 => Column::Number(0),
            9 => Column::Number(1),
            1 => Column::Number(i64::from(*bytes.first()? as i8)),
            2 => Column::Number(i64::from(i16::from_be_bytes(bytes.try_into().ok()?))),
            12.. if kind % 2 == 0 => Column::Bytes(bytes),
            12.. => Column::Text(bytes),
            _ => return None,
        });
    }
    (body == record.len() && (2..=3).contains(&out.len())).then_some(out)
}

/// All pages, by number, as the log leaves them.
struct Pages {
    size: usize,
    all: Vec<Vec<u8>>,
    /// As they were before the log changed them.
    older: Vec<Vec<u8>>,
}

impl Pages {
    fn new(file: &[u8], log: &[u8]) -> Self {
        let said = |bytes: &[u8], at: usize| bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        let size = match said(file, 16).map(usize::from) {
            Some(1) => 65_536,
            Some(size) if size >= 512 && size.is_power_of_two() => size,
            _ => PAGE,
        };
        let mut all: Vec<Vec<u8>> = file.chunks(size).map(<[u8]>::to_vec).collect();
        let mut older = Vec::new();
        let salt = log.get(16..24).unwrap_or_default().to_vec();
        for frame in log.get(LOG_HEADER..).unwrap_or_default().chunks_exact(FRAME_HEADER + size) {
            let (header, page) = frame.split_at(FRAME_HEADER);
            let number = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
            // An older log is overwritten from its beginning: what is left of it has another salt.
            if header[8..16] != salt[..] || number == 0 || number > all.len() + log.len() / size {
                continue;
            }
            if all.len() < number {
                all.resize(number, Vec::new());
            }
            older.push(std::mem::replace(&mut all[number - 1], page.to_vec()));
        }
        Self { size, all, older }
    }

    /// The record of a cell that begins at `at` with its length.
    fn record(&self, page: &[u8], at: usize) -> Option<Vec<u8>> {
        let (len, n) = varint(page.get(at..)?)?;
        // The record begins with the length of its header: most places hold none, and are done with here.
        if !(4..=LONGEST).contains(&len) || !matches!(page.get(at + n), Some(3..=16)) {
            return None;
        }
        let (len, at, usable) = (usize::try_from(len).ok()?, at + n, self.size);
        let most = (usable - 12) * 64 / 255 - 23;
        if len <= most {
            return page.get(at..at + len).map(<[u8]>::to_vec);
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let fits = least + (len - least) % (usable - 4);
        let local = if fits <= most { fits } else { least };
        let mut out = page.get(at..at + local)?.to_vec();
        let mut next = page.get(at + local..at + local + 4)?.to_vec();
        for _ in 0..CHAIN {
            if out.len() >= len {
                break;
            }
            let number = u32::from_be_bytes(next.as_slice().try_into().ok()?) as usize;
            let page = self.all.get(number.checked_sub(1)?)?;
            next = page.get(..4)?.to_vec();
            let left = (len - out.len()).min(usable - 4);
            out.extend_from_slice(page.get(4..4 + left)?);
        }
        (out.len() == len).then_some(out)
    }

    /// Every record that may be one: those that pages point to first, then any place of any page.
    fn records(&self, each: &mut dyn FnMut(bool, Vec<Column<'_>>)) {
        for pointed in [true, false] {
            let older = self.older.iter().filter(|_| !pointed);
            for (n, page) in self.all.iter().chain(older).enumerate() {
                let header = if n == 0 { 100 } else { 0 };
                let places: Vec<usize> = if pointed { pointers(page, header) } else { (header..page.len()).collect() };
                for at in places {
                    if let Some(record) = self.record(page, at)
                        && let Some(columns) = columns(&record)
                    {
                        each(pointed, columns);
                    }
                }
            }
        }
    }
}

/// Where the cells of an index page begin: tables without rowid are indexes.
fn pointers(page: &[u8], header: usize) -> Vec<usize> {
    let (first, skip) = match page.get(header) {
        Some(0x0a) => (header + 8, 0),
        Some(0x02) => (header + 12, 4),
        _ => return Vec::new(),
    };
    let two = |at: usize| page.get(at..at + 2).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    (0..two(header + 3).min(page.len() / 2)).map(|n| two(first + 2 * n) + skip).collect()
}

/// The file and its log as they lie on the disk.
pub(super) fn read_log(path: &Path) -> Vec<u8> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // Without one there is nothing to read; one that cannot be read is as good as none.
    fs::read(&log).unwrap_or_default()
}

/// Makes the profile's file again from every record that can be found. The files as they were stay in a folder beside it.
///
/// # Errors
/// [`StoreError::Damaged`] when the key that opens the rest, or the identity, is nowhere to be found; as
/// [`Profile::open`](super::Profile::open). Nothing was changed then.
pub fn salvage(dir: &Path, secrets: &Secrets) -> Result<Salvaged, StoreError> {
    let _lock = Lock::take(dir, Access::Write, profile::PATIENCE)?;
    salvage_with(dir, secrets, &read_log(&dir.join("node.db")))
}

/// As [`salvage`], by the holder of the lock; `log` as it was before SQLite opened the file.
pub(super) fn salvage_with(dir: &Path, secrets: &Secrets, log: &[u8]) -> Result<Salvaged, StoreError> {
    let path = dir.join("node.db");
    let file = fs::read(&path).map_err(|e| refused_by_system("cannot read", &path, e))?;
    let pages = Pages::new(&file, log);
    let damaged = |what: &str| StoreError::Damaged { path: path.clone(), what: what.into() };

    // What opens the rest: not sealed by the data key.
    let mut clear: Vec<(String, Vec<u8>)> = Vec::new();
    named(&pages, &mut |name, value| {
        let whole = name == profile::PLATFORM_KEY || seal::protection(value).is_ok();
        if sqlite::sealed_in_the_clear(name) && whole && clear.iter().all(|(n, _)| n != name) {
            clear.push((name.into(), value.to_vec()));
        }
    });
    let find = |wanted: &str| clear.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice());
    let wrapped = find(profile::WRAPPED_KEY).ok_or_else(|| damaged("its wrapped key is nowhere to be found"))?;
    let (key, _) = profile::data_key(dir, wrapped, find(profile::PLATFORM_KEY), secrets)?;
    let fresh = dir.join("node.db.new");
    for name in ["node.db.new", "node.db.new-wal", "node.db.new-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    let (kept, lost) = write(&fresh, &pages, &clear, &mut Sealer::new(&key))?
        .ok_or_else(|| damaged("its identity is nowhere to be found"))?;
    let aside = mend::aside(&path);
    profile::private_dir(&aside)?;
    if !log.is_empty() {
        let kept = aside.join("log-as-found");
        fs::write(&kept, log).map_err(|e| refused_by_system("cannot write", &kept, e))?;
    }
    for name in ["node.db", "node.db-wal", "node.db-shm"] {
        match fs::rename(dir.join(name), aside.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(refused_by_system("cannot set aside", &dir.join(name), e));
            }
            _ => {}
        }
    }
    fs::rename(&fresh, &path).map_err(|e| refused_by_system("cannot make", &path, e))?;
    super::folders::sync_dir(&aside)?;
    super::folders::sync_dir(dir)?;
    Ok(Salvaged { kept, lost: mend::in_words(&lost), aside })
}

/// Secrets, and spares of secrets.
fn named(pages: &Pages, each: &mut dyn FnMut(&str, &[u8])) {
    pages.records(&mut |_, columns| {
        let (name, value) = match columns.as_slice() {
            [Column::Text(name), Column::Bytes(value)] => (*name, *value),
            [Column::Number(0), Column::Bytes(name), Column::Bytes(value)] => (*name, *value),
            _ => return,
        };
        if let Ok(name) = std::str::from_utf8(name) {
            each(name, value);
        }
    });
}

/// Writes every record that opens into a new file: how many, and what is missing; none without an identity.
fn write(
    fresh: &Path,
    pages: &Pages,
    clear: &[(String, Vec<u8>)],
    sealer: &mut Sealer,
) -> Result<Option<(u64, Lost)>, StoreError> {
    let db = sqlite::open_file(fresh, true)?;
    let sql = Sql { db: &db, path: fresh };
    let failed = |e| sqlite::refused(e, fresh);
    let tx = db.unchecked_transaction().map_err(failed)?;
    let mut result = clear.iter().try_for_each(|(name, value)| sqlite::put_raw_secret(sql, name, value));
    let mut has_identity = false;
    named(pages, &mut |name, value| {
        if !sqlite::sealed_in_the_clear(name) && sealer.open(&secret_place(name), value).is_ok() {
            has_identity |= name == profile::IDENTITY;
            // Of several the first one counts, as for records.
            let is_there = sqlite::raw_secrets(sql, name).is_ok_and(|stored| !stored.is_empty());
            if result.is_ok() && !is_there {
                result = sqlite::put_raw_secret(sql, name, value);
            }
        }
    });
    result?;
    if !has_identity {
        return Ok(None);
    }
    let mut recorded = Sums::default();
    let (mut attempts, mut kept, mut result) = (ATTEMPTS, 0, Ok(()));
    pages.records(&mut |pointed, columns| match columns.as_slice() {
        [Column::Number(table), Column::Bytes(key), Column::Bytes(value)] => {
            let Ok(table) = u8::try_from(*table) else { return };
            let is_there = "SELECT 1 FROM records WHERE tbl = ?1 AND key = ?2";
            if sql.number(is_there, &[&table, key]).is_ok_and(|n| n.is_some()) {
                return;
            }
            let mut row = RawRow { table, key: key.to_vec(), value: value.to_vec() };
            let mut none = 0;
            let attempts = if pointed { &mut attempts } else { &mut none };
            if !row.opens_or_is_corrected(sealer, attempts) || Table::from_byte(row.table).name().is_none() {
                return;
            }
            let put = "INSERT OR IGNORE INTO records VALUES (?1, ?2, ?3)";
            match sql.run(put, &[&row.table, &row.key, &row.value]) {
                Ok(()) => kept += db.changes(),
                Err(e) => result = Err(e),
            }
        }
        [Column::Number(table), Column::Bytes(value)] => {
            let Ok(table) = u8::try_from(*table) else { return };
            if let Some(sum) = sums::open(sealer, table, value)
                && recorded.of(table) == Sum::default()
            {
                *recorded.of_mut(table) = sum;
            }
        }
        _ => {}
    });
    result?;
    mend::write_spares(sql)?;
    let mut found = sums::count(sql, "records", sealer)?;
    let mut lost = mend::missing(&recorded, &found);
    // A table whose sum is gone too may have lost anything.
    for (table, sum) in found.iter() {
        if sum != Sum::default() && recorded.of(table) == Sum::default() && lost.iter().all(|(t, _)| *t != table) {
            mend::add(&mut lost, table, 1);
        }
    }
    *found.of_mut(COMMITS) = recorded.of(COMMITS);
    mend::write_sums(sql, sealer, &found, &lost)?;
    tx.commit().map_err(failed)?;
    db.close().map_err(|(_, e)| failed(e))?;
    profile::private_file(fresh)?;
    Ok(Some((kept, lost)))
}
