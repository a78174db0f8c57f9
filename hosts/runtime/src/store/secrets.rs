//! What lies beside the records under a name: keys, the identity, and what the store notes for itself. Each is kept twice.

use std::path::Path;

use donp_core::Table;

use super::StoreError;
use super::seal::Sealer;
use super::sql::{Sql, bytes};

/// The key that seals everything else, wrapped.
pub(super) const WRAPPED_KEY: &str = "wrapped-key";
/// What the platform's key store made of the key that wraps the data key.
pub(super) const PLATFORM_KEY: &str = "platform-key";
pub(super) const IDENTITY: &str = "identity";
/// The secret that counts what was lost, and that of what was lost and taken as known.
pub(super) const DAMAGE: &str = "damage";
pub(super) const SETTLED: &str = "settled";

/// What a value is bound to: its table and key.
pub(super) fn place(table: Table, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(table.to_byte());
    out.extend_from_slice(key);
    out
}

pub(super) fn secret_place(name: &str) -> Vec<u8> {
    // Tables begin at 1, so 0 cannot be one.
    [&[0], name.as_bytes()].concat()
}

/// Secrets that are sealed by other means than the data key.
pub(super) fn sealed_in_the_clear(name: &str) -> bool {
    name == WRAPPED_KEY || name == PLATFORM_KEY
}

/// What is stored under a name, and its spare.
pub(super) fn raw_secrets(sql: Sql<'_>, name: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    let both = "SELECT value FROM secrets WHERE name = ?1 \
                UNION ALL SELECT value FROM spares WHERE tbl = 0 AND key = CAST(?1 AS BLOB)";
    let mut out = Vec::new();
    sql.each(both, &[&name], &mut |row| {
        out.extend(bytes(row, 0));
        Ok(true)
    })?;
    Ok(out)
}

pub(super) fn put_raw_secret(sql: Sql<'_>, name: &str, value: &[u8]) -> Result<(), StoreError> {
    sql.run("INSERT OR REPLACE INTO secrets VALUES (?1, ?2)", &[&name, &value])?;
    sql.run("INSERT OR REPLACE INTO spares VALUES (0, CAST(?1 AS BLOB), ?2)", &[&name, &value])
}

pub(super) fn remove_raw_secret(sql: Sql<'_>, name: &str) -> Result<(), StoreError> {
    sql.run("DELETE FROM secrets WHERE name = ?1", &[&name])?;
    sql.run("DELETE FROM spares WHERE tbl = 0 AND key = CAST(?1 AS BLOB)", &[&name])
}

pub(super) fn put_sealed_secret(sql: Sql<'_>, sealer: &mut Sealer, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let sealed = sealer.seal(&secret_place(name), value).map_err(|e| unsealed(e, sql.path))?;
    put_raw_secret(sql, name, &sealed)
}

/// The system gave no randomness for a nonce, or a value is larger than any cipher takes.
pub(super) fn unsealed(source: std::io::Error, path: &Path) -> StoreError {
    StoreError::Io { what: "cannot seal a value for", path: path.into(), source }
}
