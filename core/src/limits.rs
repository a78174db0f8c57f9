//! Every bound of a node in one place, with the memory it can cost at worst.
//!
//! Full queues refuse (`Busy`) or drop by a stated rule and count it. Nothing here depends on the
//! number of nodes in the network.

use crate::error::ConfigError;
use alloc::string::String;

/// The largest zone: SWIM's messages stay as they are, but rosters and links grow with it
/// (docs/design/failures.md §2).
const MAX_ZONE: usize = 4_096;

/// Upper bounds. The defaults suit a phone; worst cases are stated for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Neighbours kept at most. 16 for a regular node (docs/design/overlay.md §2).
    pub neighbours: usize,
    /// Open links, neighbours included. Each costs up to [`link_queue_bytes`](Self::link_queue_bytes)
    /// when its peer is slow; eight idle ones and all else of a node take under 64 KiB
    /// (docs/benchmarks.md). 128: one for each other member of a zone, and as many for neighbours and
    /// private messages.
    pub links: usize,
    /// Nodes that keep a roster of each other and notice each other's failures: 64, at most 4,096
    /// (docs/design/failures.md §2), and never more than leave links for neighbours. Each costs a link and, with
    /// those gone lately, twice 300 bytes: 38 KiB, and 2.4 MiB at most. Beyond it there is no zone.
    pub zone_members: usize,
    /// Handshakes under way; 512 bytes each, so 128 KiB. 256 as boringtun's queue
    /// (docs/design/reliability.md §4).
    pub handshakes: usize,
    /// Bytes queued or in flight to one peer: 2 MiB (docs/design/links.md §5). Beyond it the oldest of the
    /// least urgent priority is dropped and counted; whoever needs it delivered asks again.
    pub link_queue_bytes: usize,
    /// Bytes of incomplete fragmented messages from one peer: 1 MiB; 16 messages
    /// (docs/design/reliability.md §4).
    pub reassembly_peer_bytes: usize,
    /// The same for the whole node: 8 MiB.
    pub reassembly_bytes: usize,
    /// Address book entries, about 300 bytes each: 512 (docs/design/overlay.md §4), so 150 KiB.
    pub address_book: usize,
    /// Nodes on the local network whose beacons are told apart: 256 (a /24 full of them), 80 bytes each, and
    /// as many addresses of 40 bytes whose rate is watched, so 30 KiB. The one not heard for longest gives
    /// way; addresses beyond it are not listened to for a second.
    pub lan_nodes: usize,
    /// Private messages waiting for an acknowledgement, to all peers: 65,536, and
    /// [`outbox_bytes`](Self::outbox_bytes). Beyond it `send_private` says `Busy`.
    pub outbox_messages: usize,
    /// Bytes of the outbox kept in memory and on disk: 64 MiB.
    pub outbox_bytes: usize,
    /// Ids remembered to recognise a repeated message: 65,536 of 16 bytes (docs/design/delivery.md §3), 1 MiB
    /// plus 256 KiB of filters for each of the two windows.
    pub dedup_ids: usize,
    /// Bytes of recent broadcasts kept to bring to neighbours that miss them: 8 MiB (docs/design/broadcast.md §4).
    pub broadcast_bytes: usize,
    /// Messages held because one they depend on is missing, in one conversation: 1,000, and 200 of
    /// one author (docs/design/reliability.md §4).
    pub pending_messages: usize,
    /// The same for one author.
    pub pending_author: usize,
    /// Their bytes: 4 MiB (docs/design/history.md §3).
    pub pending_bytes: usize,
    /// Authors known in one conversation: 512. Each keeps the clock of its newest message, 40 bytes
    /// an author, so 10 MiB at worst. Messages of further authors are refused and counted.
    pub authors: usize,
    /// Message ids in memory while two histories are compared: 65,536 in each of three comparisons (one
    /// that this node began, two that it answers), 43 bytes each, so 8.5 MiB for as long as it takes. A
    /// longer history is compared in windows of so many.
    pub compare_items: usize,
    /// Conversations a node has at once, the network's included: 4,096.
    pub conversations: usize,
    /// Durable events kept for an application that does not acknowledge: 65,536 rows on disk.
    /// Beyond it the oldest are dropped from replay (the messages stay in the history) and
    /// `EventKind::Lagged` says how many.
    pub event_rows: u64,
    /// Bytes of durable events in memory: 4 MiB; the rest waits on disk.
    pub event_bytes: usize,
    /// Volatile events in memory: 1,024, as the 1,000 of chatmail (chatmail/core, src/events.rs).
    pub volatile_events: usize,
    /// Reads of cold records under way: 256.
    pub requests: usize,
    /// Messages that one call may take through all machines before it returns and asks to be called again: 256,
    /// as many as a full burst of datagrams brings. The pump multiplies it by the number of machines.
    pub messages_per_call: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            neighbours: 16,
            links: 128,
            zone_members: 64,
            handshakes: 256,
            link_queue_bytes: 2 << 20,
            reassembly_peer_bytes: 1 << 20,
            reassembly_bytes: 8 << 20,
            address_book: 512,
            lan_nodes: 256,
            outbox_messages: 65_536,
            outbox_bytes: 64 << 20,
            dedup_ids: 65_536,
            broadcast_bytes: 8 << 20,
            pending_messages: 1_000,
            pending_author: 200,
            pending_bytes: 4 << 20,
            authors: 512,
            compare_items: 65_536,
            conversations: 4_096,
            event_rows: 65_536,
            event_bytes: 4 << 20,
            volatile_events: 1_024,
            requests: 256,
            messages_per_call: 256,
        }
    }
}

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let at_least = [
            ("limits.neighbours", self.neighbours, 1),
            ("limits.links", self.links, self.neighbours),
            ("limits.handshakes", self.handshakes, 8),
            ("limits.link_queue_bytes", self.link_queue_bytes, 4 * crate::wire::MAX_MESSAGE),
            ("limits.reassembly_peer_bytes", self.reassembly_peer_bytes, crate::wire::MAX_MESSAGE),
            ("limits.reassembly_bytes", self.reassembly_bytes, self.reassembly_peer_bytes),
            ("limits.address_book", self.address_book, 8),
            ("limits.lan_nodes", self.lan_nodes, 1),
            ("limits.outbox_messages", self.outbox_messages, 1),
            ("limits.outbox_bytes", self.outbox_bytes, crate::wire::MAX_MESSAGE),
            ("limits.dedup_ids", self.dedup_ids, 64),
            ("limits.broadcast_bytes", self.broadcast_bytes, crate::wire::MAX_MESSAGE),
            ("limits.pending_messages", self.pending_messages, self.pending_author),
            ("limits.pending_author", self.pending_author, 1),
            ("limits.pending_bytes", self.pending_bytes, crate::wire::MAX_MESSAGE),
            ("limits.authors", self.authors, 2),
            ("limits.compare_items", self.compare_items, 256),
            ("limits.conversations", self.conversations, 2),
            ("limits.event_bytes", self.event_bytes, 2 * crate::wire::MAX_MESSAGE),
            ("limits.volatile_events", self.volatile_events, 1),
            ("limits.requests", self.requests, 4),
            ("limits.messages_per_call", self.messages_per_call, 4),
        ];
        for (key, value, min) in at_least {
            if value < min {
                return Err(ConfigError { key, rule: rule(min) });
            }
        }
        if self.zone_members > MAX_ZONE {
            return Err(ConfigError { key: "limits.zone_members", rule: alloc::format!("must be at most {MAX_ZONE}") });
        }
        if self.event_rows < 16 {
            return Err(ConfigError { key: "limits.event_rows", rule: rule(16) });
        }
        Ok(())
    }
}

fn rule(min: usize) -> String {
    alloc::format!("must be at least {min}")
}
