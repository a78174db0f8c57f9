//! What is stored: the account that this device joined, and chains of lists.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::identity::{Account, AccountKeys, Identity, name_is_valid};
use crate::machine::Outbox;
use crate::store::{Record, Table};
use crate::wire::{Malformed, decode, encode};

/// The account that this device is of, if it is not the one it was made with, and its name there.
pub(super) const ACCOUNT: Table = Table::hot(57);
/// Chains of lists, by account.
pub(super) const LISTS: Table = Table::hot(58);

const KEY: &[u8] = b"account";
/// A secret, three keys and a name.
const MAX_ROW: usize = 256;

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Row {
    secret: [u8; 32],
    key: [u8; 32],
    recovery: [u8; 32],
    first: [u8; 32],
    name: String,
}

pub(super) fn store<O>(account: &Account, name: &str, out: &mut Outbox<O>) {
    let AccountKeys { key, recovery, first } = account.keys;
    let row = Row { secret: account.secret(), key, recovery, first, name: name.into() };
    out.put(ACCOUNT, KEY.to_vec(), encode(&row));
}

/// The identity with the account and the name that the stored records give it.
///
/// # Errors
/// The record is damaged.
pub(crate) fn resume(identity: Identity, records: &[Record]) -> Result<Identity, (Table, Malformed)> {
    let Some(record) = records.iter().find(|r| r.table == ACCOUNT) else { return Ok(identity) };
    let read = || {
        let row: Row = decode(&record.value, MAX_ROW)?;
        let keys = AccountKeys { key: row.key, recovery: row.recovery, first: row.first };
        let account = Account::new(&row.secret, keys).filter(|_| name_is_valid(&row.name)).ok_or(Malformed)?;
        Ok(identity.with_account(account, row.name.clone()))
    };
    read().map_err(|e| (ACCOUNT, e))
}

pub(super) fn is_list(record: &Record) -> bool {
    record.table == LISTS
}

pub(super) fn list_key(account: crate::id::AccountId) -> Vec<u8> {
    account.0.to_vec()
}
