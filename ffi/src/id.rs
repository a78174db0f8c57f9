//! Ids cross as their printed form, which carries its kind and a checksum.

use std::str::FromStr;

pub use donp_core::{AccountId, FileId, GroupId, MessageId, NodeId};
use donp_core::{DeviceTicket, Identity, Ticket};
use donp_runtime::clock::{Clock, entropy};

use crate::DonpError;

fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, DonpError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| DonpError::invalid(format!("not {what}: {e}"), "copy it whole, as it was printed"))
}

uniffi::custom_type!(NodeId, String, {
    remote,
    try_lift: |text| Ok(parse("a node id", &text)?),
    lower: |id| id.to_string(),
});
uniffi::custom_type!(AccountId, String, {
    remote,
    try_lift: |text| Ok(parse("an account id", &text)?),
    lower: |id| id.to_string(),
});
uniffi::custom_type!(FileId, String, {
    remote,
    try_lift: |text| Ok(parse("a file id", &text)?),
    lower: |id| id.to_string(),
});
uniffi::custom_type!(GroupId, String, {
    remote,
    try_lift: |text| Ok(parse("a group id", &text)?),
    lower: |id| id.to_string(),
});
uniffi::custom_type!(MessageId, String, {
    remote,
    try_lift: |text| Ok(parse("a message id", &text)?),
    lower: |id| id.to_string(),
});

/// The version of this library.
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// Reads the printed form of a node id.
#[uniffi::export]
pub fn parse_node_id(text: &str) -> Result<NodeId, DonpError> {
    parse("a node id", text)
}

/// Reads the printed form of an account id.
#[uniffi::export]
pub fn parse_account_id(text: &str) -> Result<AccountId, DonpError> {
    parse("an account id", text)
}

/// Reads the printed form of a file id.
#[uniffi::export]
pub fn parse_file_id(text: &str) -> Result<FileId, DonpError> {
    parse("a file id", text)
}

/// Reads the printed form of a group id.
#[uniffi::export]
pub fn parse_group_id(text: &str) -> Result<GroupId, DonpError> {
    parse("a group id", text)
}

/// Reads the printed form of a message id.
#[uniffi::export]
pub fn parse_message_id(text: &str) -> Result<MessageId, DonpError> {
    parse("a message id", text)
}

/// The depth of a message: with it ids have the order in which a conversation is shown.
#[uniffi::export]
pub fn message_id_depth(id: MessageId) -> u64 {
    id.depth
}

/// What an invitation says, to show before joining. The name is a claim.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct TicketInfo {
    /// Its issuer.
    pub node: NodeId,
    /// The issuer's name.
    pub name: String,
    /// Where the issuer was reachable, `ip:port`, best first.
    pub addresses: Vec<String>,
    /// Whether it holds the key of a closed network, and is as secret as that.
    pub closed: bool,
}

/// Reads an invitation.
#[uniffi::export]
pub fn parse_ticket(text: &str) -> Result<TicketInfo, DonpError> {
    let ticket = ticket(text)?;
    Ok(TicketInfo {
        node: ticket.node,
        name: ticket.name.clone(),
        addresses: ticket.addrs.iter().map(ToString::to_string).collect(),
        closed: ticket.network_key.is_some(),
    })
}

pub(crate) fn ticket(text: &str) -> Result<Ticket, DonpError> {
    parse("an invitation", text)
}

pub(crate) fn device_ticket(text: &str) -> Result<DeviceTicket, DonpError> {
    parse("a ticket of a device", text)
}

/// A new identity: secret bytes to keep, and to give to an engine or a node. `name` is 1 to 64 bytes
/// and is shown to others.
#[uniffi::export]
pub fn generate_identity(name: &str) -> Result<Vec<u8>, DonpError> {
    let identity = new_identity(name)?;
    Ok(identity.to_bytes().to_vec())
}

/// The node id of an identity.
#[uniffi::export]
pub fn identity_node_id(identity: &[u8]) -> Result<NodeId, DonpError> {
    Ok(read_identity(identity)?.node_id())
}

pub(crate) fn new_identity(name: &str) -> Result<Identity, DonpError> {
    let entropy = entropy().map_err(|e| DonpError::Storage {
        reason: e.to_string(),
        hint: "the system gives no randomness: no key can be made safely".into(),
        retryable: true,
    })?;
    Identity::generate(entropy, name, Clock::new().wall())
        .map_err(|e| DonpError::invalid(e.to_string(), "use 1 to 64 bytes without control characters"))
}

pub(crate) fn read_identity(bytes: &[u8]) -> Result<Identity, DonpError> {
    Identity::from_bytes(bytes).map_err(|e| DonpError::invalid(e.to_string(), "give the bytes of generate_identity"))
}

/// A fixed number of bytes out of a list.
pub(crate) fn exactly<const N: usize>(what: &str, bytes: &[u8]) -> Result<[u8; N], DonpError> {
    bytes.try_into().map_err(|_| {
        DonpError::invalid(format!("{what} has {} bytes and must have {N}", bytes.len()), "give exactly that many")
    })
}
