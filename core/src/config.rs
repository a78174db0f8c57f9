//! Settings of a node. Plain values with the source of every default; [`Config::validate`] checks
//! the rules between them.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::limits::Limits;
use crate::setting::{at_least, at_least_1_ms, at_most, longer_than, not_below, not_zero, settings, whole_seconds};

use crate::wire::{LEAST_DATAGRAM, MAX_DATAGRAM};

/// The most news that one message of the failure detector may carry; others refuse more.
const MAX_PIGGYBACK: usize = 6;

/// What a node does for others: the DONP document's `NodeType`. A claim; nothing is trusted because
/// of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeType {
    /// Introduces newcomers.
    Bootstrap,
    /// Takes part.
    #[default]
    Regular,
    /// Has capacity to spare.
    Super,
    /// Forwards for others.
    Relay,
}

impl NodeType {
    /// Every type, in the document's order.
    pub const ALL: [Self; 4] = [Self::Bootstrap, Self::Regular, Self::Super, Self::Relay];

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Bootstrap => 1,
            Self::Regular => 2,
            Self::Super => 3,
            Self::Relay => 4,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.to_byte() == byte)
    }

    /// The document's name, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "BOOTSTRAP",
            Self::Regular => "REGULAR",
            Self::Super => "SUPER",
            Self::Relay => "RELAY",
        }
    }
}

impl fmt::Display for NodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NodeType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|t| t.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| alloc::format!("'{text}' is not one of bootstrap, regular, super, relay"))
    }
}

/// How much a node may spend while nothing happens. Others learn it from its signed record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Power {
    /// It does everything at its time.
    #[default]
    Normal,
    /// A phone's: it wakes once in [`LinkConfig::low_power_keepalive`] and then does what could wait. Others send it nothing
    /// unasked but messages, and judge it by its own silence (docs/design/power.md).
    Low,
}

impl Power {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Normal, Self::Low];

    /// Its name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Power {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|p| p.name().eq_ignore_ascii_case(text));
        named.ok_or_else(|| alloc::format!("'{text}' is not one of normal, low"))
    }
}

/// The configuration of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What this node offers to others.
    pub node_type: NodeType,
    /// Whether a program speaks here and not a person; announced to others, which can then leave it out.
    pub bot: bool,
    /// What it may spend while nothing happens.
    pub power: Power,
    /// The key of a closed network; all zeros is the public one. Nodes with different keys cannot
    /// complete a handshake (the psk of `Noise_IKpsk2`).
    pub network_key: [u8; 32],
    /// Links between neighbours.
    pub link: LinkConfig,
    /// Joining and neighbours.
    pub membership: MembershipConfig,
    /// Finding nodes on the local network.
    pub discovery: DiscoveryConfig,
    /// Private messages on their way.
    pub delivery: DeliveryConfig,
    /// Broadcasts.
    pub gossip: GossipConfig,
    /// Conversations.
    pub chat: ChatConfig,
    /// Files that messages name.
    pub file: FileConfig,
    /// Failure detection in a zone.
    pub swim: SwimConfig,
    /// Every bound.
    pub limits: Limits,
}

settings! {
    /// Links: handshakes, keys, loss recovery.
    link: LinkConfig {
        /// Quiet time after which a wanted link is probed: 5 s (docs/design/failures.md §1). Sooner where the peer is
        /// hardly ever quiet: after eight times as long as usual.
        keepalive: Duration = Duration::from_secs(5),
            "Quiet time after which a link is probed",
            |_, v| at_least_1_ms(v);
        /// Time without an answer after which a link is down: 15 s (docs/design/failures.md §1).
        dead_after: Duration = Duration::from_secs(15),
            "Time without an answer after which a link is down",
            |part, v| longer_than(v, part.keepalive, "link.keepalive");
        /// Quiet time after which a link that only failure detection wants is probed: 25 s, so that bindings of
        /// NAT boxes live (docs/design/overlay.md §7). Such a link may be silent for longer before it is down, in
        /// proportion.
        rare_keepalive: Duration = Duration::from_secs(25),
            "Quiet time after which a link that only failure detection needs is probed",
            |part, v| not_below(v, part.keepalive, "link.keepalive");
        /// How often a node of low power wakes and keeps its links alive, in whole seconds up to 255: 25 s, as
        /// `rare_keepalive` (docs/design/power.md §1). Its record says so to others.
        low_power_keepalive: Duration = Duration::from_secs(25),
            "How often a node of low power wakes, in whole seconds",
            |_, v| whole_seconds(v);
        /// An unwanted link without messages is closed after this: 30 s (iroh's relayed idle close).
        idle_close: Duration = Duration::from_secs(30),
            "Quiet time after which an unused link is closed",
            |part, v| longer_than(v, part.keepalive, "link.keepalive");
        /// A key in use longer than this is replaced when something is sent: 120 s (WireGuard §6.1).
        rekey_after: Duration = Duration::from_secs(120),
            "Age at which a key is replaced";
        /// A key older than this opens nothing: 180 s (WireGuard §6.1).
        reject_after: Duration = Duration::from_secs(180),
            "Age from which a key decrypts nothing",
            |part, v| longer_than(v, part.rekey_after, "link.rekey_after");
        /// A handshake without an answer is repeated after this, with jitter: 1 s. WireGuard waits 5 s;
        /// a person is waiting here, and cookies bound the cost.
        handshake_retry: Duration = Duration::from_secs(1),
            "Wait before a handshake is repeated",
            |_, v| at_least_1_ms(v);
        /// A connection attempt is given up after this: 10 s.
        handshake_timeout: Duration = Duration::from_secs(10),
            "Time limit of an attempt to connect",
            |part, v| longer_than(v, part.handshake_retry, "link.handshake_retry");
        /// Ends of a link exchange a post-quantum secret, which their keys mix in: on (docs/design/links.md §7). Off: this
        /// node offers none and declines those of others.
        post_quantum: bool = true,
            "Whether links exchange post-quantum secrets: true or false";
        /// A link without such a secret after 3 s ends, and nothing passes over it before: off, since a session protects
        /// what people say by one of its own.
        require_post_quantum: bool = false,
            "Whether links without a post-quantum secret are closed: true or false";
        /// The static link key is replaced after this: 30 days (docs/design/links.md §1).
        static_key_rotation: Duration = Duration::from_secs(30 * 86_400),
            "Age at which the static link key is replaced",
            |part, v| longer_than(v, part.static_key_overlap, "link.static_key_overlap");
        /// The replaced static key is still answered for this long: 24 h (docs/design/links.md §1).
        static_key_overlap: Duration = Duration::from_secs(86_400),
            "How long the replaced link key is still accepted";
        /// The longest UDP payload that a link tries to send: 1,452 bytes, an Ethernet frame's 1,500 less the headers of
        /// IPv6 and UDP. Each path gets what a search finds (RFC 8899), from 1,200 on; what is less here is not
        /// exceeded anywhere.
        max_datagram: usize = MAX_DATAGRAM,
            "The longest UDP payload that is tried on a path, in bytes",
            |_, v| at_least(v, LEAST_DATAGRAM).and_then(|()| at_most(v, MAX_DATAGRAM));
        /// Handshakes a second that are served before a cookie is demanded: 100 (boringtun).
        unverified_handshakes: u32 = 100,
            "Handshakes a second served without a cookie",
            |_, v| not_zero(v);
        /// Handshakes a second that are served with a valid cookie: 400 (docs/design/links.md §2).
        verified_handshakes: u32 = 400,
            "Handshakes a second served with a cookie",
            |_, v| not_zero(v);
    }
}

settings! {
    /// Joining the network and keeping neighbours.
    membership: MembershipConfig {
        /// Neighbours of a regular node: 6 (docs/design/overlay.md §2; HyParView's 5 and one more). Two more for
        /// SUPER and RELAY, none for BOOTSTRAP.
        target: usize = 6,
            "Neighbours that the node aims for",
            |_, v| not_zero(v);
        /// Size of the passive view: 36, six times the active one as in HyParView (§5.1).
        passive: usize = 36,
            "Known nodes from which lost neighbours are replaced";
        /// Steps of a newcomer's walk and of a shuffle: 6 (HyParView's ARWL, §5.1).
        walk: u8 = 6,
            "Hops of the random walk that introduces a newcomer";
        /// At so many steps before its end a newcomer enters the passive view: 3 (HyParView's PRWL).
        walk_passive: u8 = 3,
            "Hops before the end of the walk at which a newcomer becomes known";
        /// Neighbours and passive nodes in a shuffle: 3 and 4 (HyParView's ka and kp).
        shuffle_active: usize = 3,
            "Neighbours named in a shuffle";
        /// See [`shuffle_active`](Self::shuffle_active).
        shuffle_passive: usize = 4,
            "Passive nodes named in a shuffle";
        /// How often views are shuffled: 30 s (docs/design/overlay.md §2).
        shuffle: Duration = Duration::from_secs(30),
            "How often known nodes are exchanged";
        /// The same while a node is young: 10 s (docs/design/overlay.md §2).
        shuffle_young: Duration = Duration::from_secs(10),
            "How often known nodes are exchanged while the node is young";
        /// How long that is: an hour (docs/design/overlay.md §2).
        young_for: Duration = Duration::from_secs(3_600),
            "How long a node is young";
        /// The next candidate is tried when one did not answer within this: 500 ms (docs/design/overlay.md §2).
        promote_after: Duration = Duration::from_millis(500),
            "Wait for an answer before the next candidate is tried";
        /// First pause before a bootstrap is tried again: 1 s, doubling (docs/design/overlay.md §4).
        retry_first: Duration = Duration::from_secs(1),
            "First pause before a bootstrap is tried again",
            |_, v| at_least_1_ms(v);
        /// Longest pause: 60 s (docs/design/overlay.md §4). Tries never end.
        retry_max: Duration = Duration::from_secs(60),
            "Longest pause before a bootstrap is tried again",
            |part, v| longer_than(v, part.retry_first, "membership.retry_first");
        /// Attempts under way at once: 3 (docs/design/overlay.md §4).
        parallel: usize = 3,
            "Simultaneous attempts to connect",
            |_, v| not_zero(v);
        /// How often neighbours are asked for more neighbours while some are missing: 10 s, the first
        /// hour's shuffle (docs/design/overlay.md §2).
        ask_every: Duration = Duration::from_secs(10),
            "How often neighbours are asked for more while some are missing",
            |_, v| at_least_1_ms(v);
    }
}

settings! {
    /// Finding nodes on the local network by multicast.
    discovery: DiscoveryConfig {
        /// Whether beacons carry the node's long-term id, so that all nodes near see its identity. Off: they
        /// carry a random tag that changes daily and with each network (docs/design/overlay.md §5).
        visible: bool = false,
            "Whether all nodes on the local network may see this node's id: true or false";
        /// How often a beacon is sent, give or take 20 %, after the first three: 30 s (the DONP document).
        every: Duration = Duration::from_secs(30),
            "How often a beacon is sent on the local network",
            |_, v| at_least_1_ms(v);
    } without a name {
        /// Whether to say that this node is there and to listen to others: for a host that has sockets for it
        /// and sends each [`Output::Beacon`](crate::Output::Beacon). Off.
        beacons: bool = false;
    }
}

settings! {
    /// Private messages until the other side has stored them.
    delivery: DeliveryConfig {
        /// First pause before a message is sent again: 1 s, doubling to 32 s (docs/design/delivery.md §2: 1, 2,
        /// 4, 8, 16, then 32). After that it waits for the peer to return.
        retry_first: Duration = Duration::from_secs(1),
            "First pause before a private message is sent again",
            |_, v| at_least_1_ms(v);
        /// Runs of private messages to one peer that may be unacknowledged at once: 512. 64 B each fill 40 datagrams,
        /// which covers 10 MB/s at 5 ms.
        window: usize = 512,
            "Unacknowledged runs of private messages to one peer",
            |_, v| not_zero(v);
        /// A message is reported as failed after the node has run this long without delivering it:
        /// 30 days (LXMF's propagation expiry).
        expire: Duration = Duration::from_secs(30 * 86_400),
            "A private message fails when it is undelivered after this",
            |_, v| at_least_1_ms(v);
    }
}

settings! {
    /// Broadcasts to the whole network.
    gossip: GossipConfig {
        /// Hops a broadcast may take, the `ttl` of the DONP document: 64. Its 10 is less than the depth of a
        /// shared tree of 10,000 nodes (18, docs/design/goals.md §1); repeats are recognised, so this only bounds
        /// damage.
        ttl: u8 = 64,
            "Hops a broadcast may take",
            |_, v| not_zero(v);
        /// How long a broadcast's id is remembered: 15 min (docs/design/delivery.md §3).
        remember: Duration = Duration::from_secs(900),
            "How long a broadcast's id is remembered",
            |_, v| at_least_1_ms(v);
        /// Ids wait this long to travel together: 50 ms (docs/design/broadcast.md §2).
        batch: Duration = Duration::from_millis(50),
            "How long ids wait to be announced together";
        /// An announced broadcast is requested if the tree has not delivered it after this: 300 ms, or two
        /// round-trip times (90th percentile of the neighbours) plus `batch`, or twice the longest of the tree's last
        /// 64 delays, whichever is longest, but no longer than 2 s (docs/design/broadcast.md §2).
        graft_after: Duration = Duration::from_millis(300),
            "Wait before an announced broadcast is requested";
        /// The next announcer is asked after this: 200 ms, or its round trip and a fifth if that is longer
        /// (docs/design/broadcast.md §2).
        graft_next: Duration = Duration::from_millis(200),
            "Wait before another announcer is asked";
        /// A neighbour that is this many hops nearer to the source than the parent, in the mean of a dozen messages,
        /// replaces it: 2. Where one message decides it takes 3 for one sender and 7 for many (PlumTree §4.2).
        optimise: u8 = 2,
            "Replace the parent by a neighbour this many hops nearer to the source";
        /// Recent broadcasts are kept this long for neighbours that miss them: 60 s (docs/design/broadcast.md §4).
        keep: Duration = Duration::from_secs(60),
            "How long a broadcast is kept for neighbours that miss it";
    }
}

settings! {
    /// Conversations and catching up.
    chat: ChatConfig {
        /// Whether messages of muted contacts make events too: no.
        report_muted: bool = false,
            "Whether messages of muted contacts make events too: true or false";
        /// Whether read confirmations are sent in private conversations that the user wrote in, and in groups of
        /// up to 32 members: no (docs/design/groups.md §5, "Confirmations").
        send_read_marks: bool = false,
            "Send read confirmations";
        /// How often heights, the version vector, are compared with a random neighbour: 60 s ± 50 % at random
        /// (docs/design/history.md §4). At once with each new neighbour.
        compare_every: Duration = Duration::from_secs(60),
            "How often version vectors are compared with a neighbour",
            |_, v| at_least_1_ms(v);
        /// How often the whole history is compared with one, which finds what a disk lost: 24 h ± 50 %,
        /// and an hour after a start. It reads all of the network's conversation once.
        verify_every: Duration = Duration::from_secs(86_400),
            "How often the whole history is compared with a neighbour",
            |_, v| at_least_1_ms(v);
        /// How fast all others together may catch up here, in bytes a second: 2 MiB, a fifth of what
        /// 100 Mbit/s carry (docs/design/history.md §4). On slower links it is the last priority that gives way.
        catch_up_rate: u32 = 2 << 20,
            "Upload limit for peers that catch up, bytes a second",
            |_, v| not_zero(v);
        /// A pending message is dropped if its parents have not arrived after this: 10 min.
        pending_for: Duration = Duration::from_secs(600),
            "How long a message waits for one it depends on",
            |_, v| at_least_1_ms(v);
        /// Messages of a conversation whose texts are kept: 1,000,000, 300 MB of short ones (docs/design/log.md §6, R5).
        /// Beyond it the oldest go, first those of authors with more than an eighth of all.
        keep_entries: u64 = 1_000_000,
            "Messages of a conversation whose texts are kept",
            |_, v| at_least(v, 16);
        /// Bytes of them: 1 GiB, what a phone spares.
        keep_bytes: u64 = 1 << 30,
            "Bytes of a conversation whose texts are kept",
            |_, v| at_least(v, 1 << 20);
        /// Texts that arrived longer ago go: 0, none do.
        keep_for: Duration = Duration::ZERO,
            "How long texts are kept after they arrived; 0 s: without limit";
        /// Entries without their texts that are kept, so that what names them fits: 100,000 (docs/design/log.md §6, R5),
        /// about 25 MB. Beyond it the oldest go.
        keep_headers: u64 = 100_000,
            "Messages of a conversation kept as headers, without their texts",
            |_, v| at_least(v, 16);
        /// A newcomer begins with the newest so many entries: 10,000 (docs/design/log.md §6, R7), 3 MB of short ones; with
        /// what came in [`page_for`](Self::page_for) if that is more. Older ones come when a person scrolls to them.
        page_entries: u64 = 10_000,
            "Newest messages of a conversation that a newcomer gets first",
            |_, v| at_least(v, 8);
        /// The same by age: 30 days (docs/design/log.md §6, R7), and at most twice as many entries.
        page_for: Duration = Duration::from_secs(30 * 86_400),
            "Greatest age of the messages that a newcomer gets first";
    }
}

settings! {
    /// Files that messages name.
    file: FileConfig {
        /// Files of up to so many bytes are fetched unasked, in groups and from contacts: 256 KiB, a picture
        /// that an app shows beside the message. 0: none.
        fetch_unasked: u64 = 256 << 10,
            "Files of at most this many bytes are fetched unasked; 0: none";
        /// Bytes of files that were fetched unasked: 64 MiB. Beyond it the oldest of them go.
        unasked_bytes: u64 = 64 << 20,
            "Bytes of files kept that were fetched unasked";
    }
}

settings! {
    /// Failure detection in a zone: SWIM's and Lifeguard's parameters. Plain SWIM is `health_max` 0, `beta` 1,
    /// `confirmations` 0 and the five flags after `zone` off.
    swim: SwimConfig {
        /// Whether this node takes part in a zone at all.
        zone: bool = true,
            "Whether to watch others for failures, in a network small enough: true or false";
        /// Whether a helper that probed in vain reports it (Lifeguard's NACK).
        nack: bool = true,
            "Whether a helper reports that its indirect probe had no answer: true or false";
        /// Whether a suspect is the first to get the suspicion (Lifeguard's buddy system).
        buddy: bool = true,
            "Whether a suspect is the first to get the suspicion: true or false";
        /// Whether a node that was absent, or does badly itself, probes every suspect again before a suspicion expires.
        freeze: bool = true,
            "Whether a node that was absent probes its suspects again before it declares them down: true or false";
        /// Whether a member whose messages arrived here since it is suspected is not declared down here.
        witness: bool = true,
            "Whether a member whose messages arrive here is not declared down here: true or false";
        /// Whether a member whose link leaves probes unanswered is probed next, out of turn. Off: a failure is noticed
        /// a fifth sooner with it, and where members stall it takes half as many messages again (`donp-sim run swim`,
        /// `lifeguard`; 1.34 periods for 1.72 before the word of all helpers shortened the wait).
        link_evidence: bool = false,
            "Whether a member is probed next when its link leaves probes unanswered: true or false";
        /// Each member probes one other in this time: 2 s (docs/design/failures.md §2; memberlist has 1 s in a LAN).
        period: Duration = Duration::from_secs(2),
            "Time in which each member probes one other",
            |part, v| longer_than(v, part.direct_timeout.saturating_mul(3), "three times swim.direct_timeout");
        /// The same while nothing happens: 5 s (memberlist's period over a wide area).
        quiet_period: Duration = Duration::from_secs(5),
            "The same time after swim.quiet_after without a change",
            |part, v| not_below(v, part.period, "swim.period");
        /// A zone is quiet when no member came, went or was in doubt for so long: 60 s (docs/design/failures.md §2).
        quiet_after: Duration = Duration::from_secs(60),
            "Time without a change after which members probe each other less often";
        /// The least wait for a direct answer: 500 ms (memberlist's LAN default), else twice the longest of the
        /// last 64 round trips.
        direct_timeout: Duration = Duration::from_millis(500),
            "The least wait for an answer before other members are asked to probe",
            |_, v| at_least_1_ms(v);
        /// Helpers of an indirect probe, when there is no direct answer: 3 (SWIM §5, memberlist).
        indirect: usize = 3,
            "Helpers of an indirect probe";
        /// The local health multiplier's greatest value: 8 (Lifeguard §IV). Period and waits grow by it.
        health_max: u8 = 8,
            "Greatest value of the local health multiplier";
        /// From this on a node's own conclusions count for nothing: 4, half of the greatest (docs/design/failures.md §2).
        freeze_health: u8 = 4,
            "Health value from which a node ignores its own conclusions";
        /// Periods that a suspect has at least, times log10 of the zone: 4 (memberlist LAN).
        alpha: u32 = 4,
            "Fewest periods before a suspect is declared down",
            |_, v| not_zero(v);
        /// How many times as long it has while one member alone suspects it: 6 (memberlist LAN).
        beta: u32 = 6,
            "Factor on that time while only one member suspects it",
            |_, v| not_zero(v);
        /// Others whose suspicion shortens that to the least: 3 (Lifeguard's K).
        confirmations: usize = 3,
            "Confirming members that shorten that time to the least";
        /// Updates on one message: 6 (docs/design/failures.md §2).
        piggyback: usize = 6,
            "Updates on one message of the failure detector",
            |_, v| at_most(v, MAX_PIGGYBACK);
        /// Each member passes an update on so many times, times log10 of the zone rounded up: 4 (memberlist LAN).
        retransmit: u32 = 4,
            "How often each member passes an update on, times log10 of the zone",
            |_, v| not_zero(v);
        /// How often whole rosters are exchanged with a random member: 30 s (memberlist LAN).
        sync_every: Duration = Duration::from_secs(30),
            "How often whole rosters are exchanged",
            |_, v| at_least_1_ms(v);
        /// Members that are gone are remembered for this long: 10 min, so that old updates do not bring them back.
        forget_after: Duration = Duration::from_secs(600),
            "How long departed members are remembered",
            |_, v| at_least_1_ms(v);
    }
}

impl Config {
    /// Checks the rule of each value and the rules between the parts.
    ///
    /// # Errors
    /// The first broken rule, with its key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.limits.validate()?;
        self.link.validate()?;
        self.membership.validate()?;
        self.discovery.validate()?;
        self.delivery.validate()?;
        self.gossip.validate()?;
        self.chat.validate()?;
        self.file.validate()?;
        self.swim.validate()?;
        if self.membership.target > self.limits.neighbours {
            return Err(ConfigError { key: "membership.target", rule: "must not exceed limits.neighbours".into() });
        }
        // What a peer with the same window sends at once may wait for one read of the store. What has no room then comes
        // again a second later.
        if self.delivery.window > self.limits.pending_author {
            return Err(ConfigError { key: "delivery.window", rule: "must not exceed limits.pending_author".into() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_their_own_rules() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_broken_rule_is_named() {
        let mut config = Config::default();
        config.link.dead_after = config.link.keepalive;
        assert_eq!(config.validate().unwrap_err().key, "link.dead_after");
        config = Config::default();
        config.limits.links = 1;
        assert_eq!(config.validate().unwrap_err().key, "limits.links");
        config = Config::default();
        config.gossip.ttl = 0;
        assert_eq!(config.validate().unwrap_err().key, "gossip.ttl");
        config = Config::default();
        config.membership.target = config.limits.neighbours + 1;
        assert_eq!(config.validate().unwrap_err().key, "membership.target");
        config = Config::default();
        config.delivery.window = config.limits.pending_author + 1;
        assert_eq!(config.validate().unwrap_err().key, "delivery.window");
    }

    #[test]
    fn a_part_is_judged_by_its_own_rules() {
        type Change = fn(&mut Config);
        let broken: [(&str, Change); 11] = [
            ("limits.zone_members", |c| c.limits.zone_members = 4_097),
            ("limits.event_rows", |c| c.limits.event_rows = 15),
            ("link.low_power_keepalive", |c| c.link.low_power_keepalive = Duration::from_millis(25_500)),
            ("link.rare_keepalive", |c| c.link.rare_keepalive = c.link.keepalive - Duration::from_micros(1)),
            ("membership.retry_max", |c| c.membership.retry_max = c.membership.retry_first),
            ("discovery.every", |c| c.discovery.every = Duration::ZERO),
            ("delivery.window", |c| c.delivery.window = 0),
            ("chat.verify_every", |c| c.chat.verify_every = Duration::from_micros(999)),
            ("swim.period", |c| c.swim.period = c.swim.direct_timeout * 3),
            ("swim.quiet_period", |c| c.swim.quiet_period = c.swim.period - Duration::from_micros(1)),
            ("swim.piggyback", |c| c.swim.piggyback = MAX_PIGGYBACK + 1),
        ];
        for (key, change) in broken {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(config.validate().map_err(|e| e.key), Err(key));
        }
    }

    #[test]
    fn node_types_read_as_they_print() {
        for t in NodeType::ALL {
            assert_eq!(t.name().parse(), Ok(t));
            assert_eq!(NodeType::from_byte(t.to_byte()), Some(t));
        }
    }
}
