//! Every bound of a node in one place, with the memory it can cost at worst.
//!
//! Full queues refuse (`Busy`) or drop by a stated rule and count it. Nothing here depends on the
//! number of nodes in the network.

use crate::setting::{at_least, at_most, settings};
use crate::wire::MAX_MESSAGE;
use crate::wire::content::MAX_FILE;

/// The largest zone: SWIM's messages stay as they are, but rosters and links grow with it
/// (docs/design/failures.md §2).
const MAX_ZONE: usize = 4_096;

settings! {
    /// Upper bounds. The defaults suit a phone; worst cases are stated for them.
    limits: Limits {
        /// Neighbours kept at most. 16 for a regular node (docs/design/overlay.md §2).
        neighbours: usize = 16,
            "Neighbours in the mesh",
            |_, v| at_least(v, 1);
        /// Open links, neighbours included. Each costs up to [`link_queue_bytes`](Self::link_queue_bytes)
        /// when its peer is slow; eight idle ones and all else of a node take under 64 KiB
        /// (docs/benchmarks.md). 128: one for each other member of a zone, and as many for neighbours and
        /// private messages.
        links: usize = 128,
            "Open links",
            |part, v| at_least(v, part.neighbours);
        /// Nodes that keep a roster of each other and notice each other's failures: 64, at most 4,096
        /// (docs/design/failures.md §2), and never more than leave links for neighbours. Each costs a link and,
        /// departed members included, twice 300 bytes: 38 KiB, and 2.4 MiB at most. Beyond it there is no zone.
        zone_members: usize = 64,
            "Nodes that watch each other for failures",
            |_, v| at_most(v, MAX_ZONE);
        /// Handshakes under way; 512 bytes each, so 128 KiB. 256 as boringtun's queue
        /// (docs/design/reliability.md §4).
        handshakes: usize = 256,
            "Handshakes under way",
            |_, v| at_least(v, 8);
        /// Bytes queued or in flight to one peer: 2 MiB (docs/design/links.md §5). Beyond it the oldest of the
        /// least urgent priority is dropped and counted; the machine that sent it retransmits what must arrive.
        link_queue_bytes: usize = 2 << 20,
            "Bytes queued to one peer",
            |_, v| at_least(v, 4 * MAX_MESSAGE);
        /// Bytes of incomplete fragmented messages from one peer: 1 MiB; 256 messages
        /// (docs/design/reliability.md §4).
        reassembly_peer_bytes: usize = 1 << 20,
            "Bytes of incomplete messages of one peer",
            |_, v| at_least(v, MAX_MESSAGE);
        /// The same for the whole node: 8 MiB.
        reassembly_bytes: usize = 8 << 20,
            "Bytes of incomplete messages",
            |part, v| at_least(v, part.reassembly_peer_bytes);
        /// Address book entries, about 300 bytes each: 512 (docs/design/overlay.md §4), so 150 KiB.
        address_book: usize = 512,
            "Nodes remembered",
            |_, v| at_least(v, 8);
        /// Nodes on the local network kept in the beacon table: 256 (every host of a /24), 80 bytes each, and as
        /// many rate-limited addresses of 40 bytes, so 30 KiB. The least recently received is evicted; beacons
        /// of addresses beyond it are dropped for a second.
        lan_nodes: usize = 256,
            "Nodes tracked on the local network",
            |_, v| at_least(v, 1);
        /// Private messages waiting for an acknowledgement, to all peers: 65,536, and
        /// [`outbox_bytes`](Self::outbox_bytes). Beyond it `send_private` says `Busy`.
        outbox_messages: usize = 65_536,
            "Private messages that wait for an acknowledgement",
            |_, v| at_least(v, 1);
        /// Bytes of the outbox kept in memory and on disk: 64 MiB.
        outbox_bytes: usize = 64 << 20,
            "Bytes of private messages that wait for an acknowledgement",
            |_, v| at_least(v, MAX_MESSAGE);
        /// Ids remembered to recognise a repeated message: 65,536 of 16 bytes (docs/design/delivery.md §3), 1 MiB
        /// plus 256 KiB of filters for each of the two windows.
        dedup_ids: usize = 65_536,
            "Ids remembered to recognise repeats",
            |_, v| at_least(v, 64);
        /// Bytes of recent broadcasts kept to bring to neighbours that miss them: 8 MiB (docs/design/broadcast.md §4).
        broadcast_bytes: usize = 8 << 20,
            "Bytes of broadcasts kept for neighbours that miss them",
            |_, v| at_least(v, MAX_MESSAGE);
        /// Runs held because a part of their past is missing or being read: 2,000, and 600 of one author by one bringer
        /// (docs/design/reliability.md §4). When they are full the bringer with the most gives way.
        pending_messages: usize = 2_000,
            "Messages held for one they depend on",
            |part, v| at_least(v, part.pending_author);
        /// The same for one author.
        pending_author: usize = 600,
            "Messages of one author held for one they depend on",
            |_, v| at_least(v, 1);
        /// Their bytes: 4 MiB (docs/design/history.md §3).
        pending_bytes: usize = 4 << 20,
            "Bytes of messages held",
            |_, v| at_least(v, MAX_MESSAGE);
        /// Message ids in memory while two histories are compared: 65,536 in each of three comparisons (one
        /// that this node began, two that it answers), 80 bytes each, so 15 MiB for as long as it takes. A
        /// longer history is compared in windows of so many.
        compare_items: usize = 65_536,
            "Message ids in memory while histories are compared",
            |_, v| at_least(v, 256);
        /// Conversations a node has at once, the network's included: 4,096.
        conversations: usize = 4_096,
            "Conversations at once",
            |_, v| at_least(v, 2);
        /// Nodes that the user blocked: 4,096, as many as conversations, 32 bytes each. Up to seven further devices of each are
        /// blocked with it.
        blocked: usize = 4_096,
            "Blocked nodes",
            |_, v| at_least(v, 1);
        /// Files that are here or being fetched: 1,024, each with 2 KiB at most that say which of a gigabyte's parts are
        /// here.
        files: usize = 1_024,
            "Files that are here or being fetched",
            |_, v| at_least(v, 1);
        /// The largest file that is added or fetched: 1 GiB, as the largest of Signal's and WhatsApp's are below 2 GiB.
        file_bytes: u64 = 1 << 30,
            "Bytes of the largest file that is added or fetched",
            |_, v| at_most(v, MAX_FILE);
        /// Bytes of all files, on disk: 4 GiB, what a phone spares.
        files_bytes: u64 = 4 << 30,
            "Bytes of all files",
            |part, v| at_least(v, part.file_bytes);
        /// Contacts: 4,096, as many as conversations, at most 256 bytes each.
        contacts: usize = 4_096,
            "Contacts",
            |_, v| at_least(v, 1);
        /// Requests of strangers that wait for an answer: 256. Beyond it the oldest goes out of the list; its messages
        /// stay. More than a person reads through (docs/design/contacts.md §2).
        contact_requests: usize = 256,
            "Requests of strangers that wait for an answer",
            |_, v| at_least(v, 1);
        /// Durable events kept for an application that does not acknowledge: 65,536 rows on disk.
        /// Beyond it the oldest are dropped from replay (the messages stay in the history) and
        /// `Volatile::Lagged` says how many.
        event_rows: u64 = 65_536,
            "Stored events kept for an application that does not acknowledge them",
            |_, v| at_least(v, 16);
        /// Bytes of durable events in memory: 4 MiB; the rest waits on disk.
        event_bytes: usize = 4 << 20,
            "Bytes of events in memory",
            |_, v| at_least(v, 2 * MAX_MESSAGE);
        /// Volatile events in memory: 1,024, as the 1,000 of chatmail (chatmail/core, src/events.rs).
        volatile_events: usize = 1_024,
            "Events in memory that are not stored",
            |_, v| at_least(v, 1);
        /// Reads of cold records under way: 256.
        requests: usize = 256,
            "Reads of the store under way",
            |_, v| at_least(v, 4);
        /// Messages that one call may take through all machines before it returns and asks to be called again: 256,
        /// as many as a full burst of datagrams brings. The pump multiplies it by the number of machines.
        messages_per_call: usize = 256,
            "Messages that one call handles before timers run",
            |_, v| at_least(v, 4);
    }
}
