//! A node of the address book.

use donp_core as core;
use donp_core::{AccountId, NodeId, NodeType};
use serde::{Deserialize, Serialize};

use super::{count, text, text_or_null};

/// What is known of another node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "peer")]
pub struct Peer {
    /// Its id.
    #[serde(with = "text")]
    pub id: NodeId,
    /// The short form of its id.
    pub short: String,
    /// The name it claims.
    pub name: Option<String>,
    /// The account behind it, if a certificate proved it.
    #[serde(with = "text_or_null")]
    pub account: Option<AccountId>,
    /// What it claims to do.
    #[serde(with = "text")]
    pub node_type: NodeType,
    /// What it counts as here: `node_type`, but SUPER and RELAY only if it is `verified`.
    #[serde(with = "text")]
    pub role: NodeType,
    /// Whether this node reached it at its address by itself, and has not failed to since.
    pub verified: bool,
    /// Whether it claims to be a program and not a person.
    pub bot: bool,
    /// Its address, `ip:port`: of the link, or the best known.
    pub address: Option<String>,
    /// Whether a link is open.
    pub linked: bool,
    /// Whether it is a neighbour in the mesh.
    pub neighbour: bool,
    /// Whether this node opened the link.
    pub outbound: bool,
    /// Smoothed round trip time of the link in milliseconds.
    pub rtt_ms: Option<f64>,
    /// When a link to it was last opened, in milliseconds since 1970; none if never.
    pub last_linked_at_ms: Option<u64>,
    /// How many post-quantum secrets the keys of the link mix in, one after another; 0 before the first.
    pub link_generation: u8,
    /// Private messages waiting for its acknowledgement.
    pub queued: u32,
    /// The result of the last failed attempt to reach it.
    pub last_error: Option<String>,
}

impl From<core::Peer> for Peer {
    fn from(p: core::Peer) -> Self {
        Self {
            id: p.id,
            short: p.id.short(),
            role: p.role(),
            name: p.name,
            account: p.account,
            node_type: p.node_type,
            verified: p.verified,
            bot: p.bot,
            address: p.addr.map(|a| a.to_string()),
            linked: p.linked,
            neighbour: p.neighbour,
            outbound: p.outbound,
            rtt_ms: p.rtt.map(|d| d.as_secs_f64() * 1_000.0),
            last_linked_at_ms: p.last_linked.map(|at| at.0),
            link_generation: p.link_generation,
            queued: count(p.queued),
            last_error: p.last_error.map(Into::into),
        }
    }
}
