//! Statements on one connection, with errors in the words of the store. rusqlite's functions are generic, and each use would be
//! compiled into the library that apps embed once more; here each is there once.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Row, ToSql};

use super::StoreError;

/// A connection to the file at a path.
#[derive(Clone, Copy)]
pub(super) struct Sql<'a> {
    pub(super) db: &'a Connection,
    pub(super) path: &'a Path,
}

impl Sql<'_> {
    /// Hands each row of the answer to `each`, until that returns false.
    #[inline(never)]
    pub(super) fn each(
        &self,
        sql: &str,
        params: &[&dyn ToSql],
        each: &mut dyn FnMut(&Row<'_>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let failed = |e| refused(e, self.path);
        let mut statement = self.db.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if !each(row)? {
                break;
            }
        }
        Ok(())
    }

    /// Does what `sql` says; what it answers is of no interest.
    pub(super) fn run(&self, sql: &str, params: &[&dyn ToSql]) -> Result<(), StoreError> {
        self.each(sql, params, &mut |_| Ok(true))
    }

    /// The first column of the first row, if it is a number.
    pub(super) fn number(&self, sql: &str, params: &[&dyn ToSql]) -> Result<Option<i64>, StoreError> {
        let mut out = None;
        self.each(sql, params, &mut |row| {
            out = number(row, 0);
            Ok(false)
        })?;
        Ok(out)
    }

    /// The first column of the first row, if it is bytes or text.
    pub(super) fn bytes(&self, sql: &str, params: &[&dyn ToSql]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut out = None;
        self.each(sql, params, &mut |row| {
            out = bytes(row, 0);
            Ok(false)
        })?;
        Ok(out)
    }
}

/// A column, if it is a number.
#[inline(never)]
pub(super) fn number(row: &Row<'_>, column: usize) -> Option<i64> {
    match row.get_ref(column) {
        Ok(ValueRef::Integer(n)) => Some(n),
        _ => None,
    }
}

/// A column, if it is a table's byte.
pub(super) fn table(row: &Row<'_>, column: usize) -> Option<u8> {
    number(row, column).and_then(|n| u8::try_from(n).ok())
}

/// A column, if it is bytes or text.
#[inline(never)]
pub(super) fn bytes(row: &Row<'_>, column: usize) -> Option<Vec<u8>> {
    match row.get_ref(column) {
        Ok(ValueRef::Blob(bytes) | ValueRef::Text(bytes)) => Some(bytes.to_vec()),
        _ => None,
    }
}

/// SQLite's error in the words of this store.
pub(super) fn refused(error: rusqlite::Error, path: &Path) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(code @ (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
            let what = if code == ErrorCode::NotADatabase { "it is not a database" } else { "it is malformed" };
            StoreError::Damaged { path: path.into(), what: what.into() }
        }
        // It ends in the middle of a page.
        Some(ErrorCode::SystemIoFailure) if is_cut(&error) => {
            StoreError::Damaged { path: path.into(), what: "its end is missing".into() }
        }
        // Tables or columns that are not there.
        Some(ErrorCode::Unknown) => StoreError::Damaged { path: path.into(), what: error.to_string() },
        _ => StoreError::Sqlite(error),
    }
}

fn is_cut(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ)
}
