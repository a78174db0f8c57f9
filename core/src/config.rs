//! Settings of a node. Plain values with the source of every default; [`Config::validate`] checks
//! the rules between them.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::limits::Limits;

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

/// Everything a node can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What this node offers to others.
    pub node_type: NodeType,
    /// Whether a program speaks here and not a person; told to others, who can then leave it out.
    pub bot: bool,
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
    /// Failure detection in a zone.
    pub swim: SwimConfig,
    /// Every bound.
    pub limits: Limits,
}

/// Links: handshakes, keys, loss recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Quiet time after which a wanted link is probed: 5 s (docs/design/failures.md §1). Sooner where the peer is
    /// hardly ever quiet: after eight times as long as usual.
    pub keepalive: Duration,
    /// Time without an answer after which a link is down: 15 s (docs/design/failures.md §1).
    pub dead_after: Duration,
    /// Quiet time after which a link that only failure detection wants is probed: 25 s, so that bindings of
    /// NAT boxes live (docs/design/overlay.md §7). Such a link may be silent for longer before it is down, in
    /// proportion.
    pub rare_keepalive: Duration,
    /// An unwanted link without messages is closed after this: 30 s (iroh's relayed idle close).
    pub idle_close: Duration,
    /// A key in use longer than this is replaced when something is sent: 120 s (WireGuard §6.1).
    pub rekey_after: Duration,
    /// A key older than this opens nothing: 180 s (WireGuard §6.1).
    pub reject_after: Duration,
    /// A handshake without an answer is repeated after this, with jitter: 1 s. WireGuard waits 5 s;
    /// a person is waiting here, and cookies bound the cost.
    pub handshake_retry: Duration,
    /// A connection attempt is given up after this: 10 s.
    pub handshake_timeout: Duration,
    /// The static link key is replaced after this: 30 days (docs/design/links.md §1).
    pub static_key_rotation: Duration,
    /// The replaced static key is still answered for this long: 24 h (docs/design/links.md §1).
    pub static_key_overlap: Duration,
    /// Handshakes a second that are served before a cookie is demanded: 100 (boringtun).
    pub unverified_handshakes: u32,
    /// Handshakes a second that are served with a valid cookie: 400 (docs/design/links.md §2).
    pub verified_handshakes: u32,
}

/// Joining the network and keeping neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipConfig {
    /// Neighbours of a regular node: 6 (docs/design/overlay.md §2; HyParView's 5 and one more). Two more for
    /// SUPER and RELAY, none for BOOTSTRAP.
    pub target: usize,
    /// Size of the passive view: 36, six times the active one as in HyParView (§5.1).
    pub passive: usize,
    /// Steps of a newcomer's walk and of a shuffle: 6 (HyParView's ARWL, §5.1).
    pub walk: u8,
    /// At so many steps before its end a newcomer enters the passive view: 3 (HyParView's PRWL).
    pub walk_passive: u8,
    /// Neighbours and passive nodes in a shuffle: 3 and 4 (HyParView's ka and kp).
    pub shuffle_active: usize,
    /// See [`shuffle_active`](Self::shuffle_active).
    pub shuffle_passive: usize,
    /// How often views are shuffled: 30 s (docs/design/overlay.md §2).
    pub shuffle: Duration,
    /// The same while a node is young: 10 s (docs/design/overlay.md §2).
    pub shuffle_young: Duration,
    /// How long that is: an hour (docs/design/overlay.md §2).
    pub young_for: Duration,
    /// The next candidate is tried when one did not answer within this: 500 ms (docs/design/overlay.md §2).
    pub promote_after: Duration,
    /// First pause before a bootstrap is tried again: 1 s, doubling (docs/design/overlay.md §4).
    pub retry_first: Duration,
    /// Longest pause: 60 s (docs/design/overlay.md §4). Tries never end.
    pub retry_max: Duration,
    /// Attempts under way at once: 3 (docs/design/overlay.md §4).
    pub parallel: usize,
    /// How often neighbours are asked for more neighbours while some are missing: 10 s, the first
    /// hour's shuffle (docs/design/overlay.md §2).
    pub ask_every: Duration,
}

/// Finding nodes on the local network by multicast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// Whether to say that this node is there and to listen to others: for a host that has sockets for it
    /// and takes what [`Engine::poll_beacon`](crate::Engine::poll_beacon) gives. Off.
    pub beacons: bool,
    /// Whether beacons carry the node's long-term id, so that everybody near sees who is there. Off: they
    /// carry a random tag that changes daily and with each network (docs/design/overlay.md §5).
    pub visible: bool,
    /// How often a beacon is sent, give or take 20 %, after the first three: 30 s (the DONP document).
    pub every: Duration,
}

/// Private messages until the other side has stored them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// First pause before a message is sent again: 1 s, doubling to 32 s (docs/design/delivery.md §2: 1, 2,
    /// 4, 8, 16, then 32). After that it waits for the peer to return.
    pub retry_first: Duration,
    /// Messages to one peer that may be unacknowledged at once: 512. 64 B each fill 40 datagrams,
    /// which covers 10 MB/s at 5 ms.
    pub window: usize,
    /// A message is reported as failed after the node has run this long without delivering it:
    /// 30 days (LXMF's propagation expiry).
    pub expire: Duration,
}

/// Broadcasts to the whole network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipConfig {
    /// Hops a broadcast may take, the `ttl` of the DONP document: 64. Its 10 is less than the depth of a
    /// shared tree of 10,000 nodes (18, docs/design/goals.md §1); repeats are recognised, so this only bounds
    /// damage.
    pub ttl: u8,
    /// How long a broadcast's id is remembered: 15 min (docs/design/delivery.md §3).
    pub remember: Duration,
    /// Ids wait this long to travel together: 50 ms (docs/design/broadcast.md §2).
    pub batch: Duration,
    /// An announced broadcast is asked for when it did not come by itself after this: 300 ms, or two round
    /// trips of slow neighbours and a batch, or twice what the tree took lately, if that is longer
    /// (docs/design/broadcast.md §2).
    pub graft_after: Duration,
    /// The next announcer is asked after this: 200 ms, or its round trip and a fifth if that is longer
    /// (docs/design/broadcast.md §2).
    pub graft_next: Duration,
    /// A neighbour that is this many hops nearer to the source than the parent, in the mean of a dozen messages,
    /// replaces it: 2. Where one message decides it takes 3 for one sender and 7 for many (PlumTree §4.2).
    pub optimise: u8,
    /// Recent broadcasts are kept this long for neighbours that miss them: 60 s (docs/design/broadcast.md §4).
    pub keep: Duration,
}

/// Conversations and catching up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatConfig {
    /// How long to wait for a missing message to arrive by itself before asking: 500 ms. That is a batch of ids,
    /// `gossip.graft_after` and a slow round trip of 150 ms: the tree mends itself first, which also brings what
    /// comes next. Also for what a neighbour's heights show to be missing.
    pub fill_after: Duration,
    /// How often heights are compared with a random neighbour: 60 s, half more or less at random
    /// (docs/design/history.md §4). At once with everybody who becomes a neighbour.
    pub compare_every: Duration,
    /// How often the whole history is compared with one, which finds what a disk lost: 24 h, half more
    /// or less, and an hour after a start. It reads all of the network's conversation once.
    pub verify_every: Duration,
    /// How fast all others together may catch up here, in bytes a second: 2 MiB, a fifth of what
    /// 100 Mbit/s carry (docs/design/history.md §4). On slower links it is the last priority that gives way.
    pub catch_up_rate: u32,
    /// A held message whose parents nobody had is dropped after this: 10 min.
    pub pending_for: Duration,
}

/// Failure detection in a zone: SWIM's and Lifeguard's parameters. Plain SWIM is `health_max` 0, `beta` 1,
/// `confirmations` 0 and the five flags after `zone` off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwimConfig {
    /// Whether this node takes part in a zone at all.
    pub zone: bool,
    /// Whether a helper that probed in vain reports it (Lifeguard's NACK).
    pub nack: bool,
    /// Whether a suspect is the first to get the suspicion (Lifeguard's buddy system).
    pub buddy: bool,
    /// Whether a node that was absent, or does badly itself, probes every suspect again before a suspicion expires.
    pub freeze: bool,
    /// Whether a member whose messages arrived here since it is suspected is not declared down here.
    pub witness: bool,
    /// Whether a member whose link leaves probes unanswered is probed next, out of turn. Off: a failure is noticed
    /// a fifth sooner with it, and where members stall it takes half as many messages again (`donp-sim run swim`,
    /// `lifeguard`; 1.34 periods for 1.72 before the word of all helpers shortened the wait).
    pub link_evidence: bool,
    /// Each member probes one other in this time: 2 s (docs/design/failures.md §2; memberlist has 1 s in a LAN).
    pub period: Duration,
    /// The least wait for a direct answer: 500 ms (memberlist's LAN default), else twice the longest of the
    /// last 64 round trips.
    pub direct_timeout: Duration,
    /// Helpers of an indirect probe, when there is no direct answer: 3 (SWIM §5, memberlist).
    pub indirect: usize,
    /// The local health multiplier's greatest value: 8 (Lifeguard §IV). Period and waits grow by it.
    pub health_max: u8,
    /// From this on a node's own conclusions count for nothing: 4, half of the greatest (docs/design/failures.md §2).
    pub freeze_health: u8,
    /// Periods that a suspect has at least, times log10 of the zone: 4 (memberlist LAN).
    pub alpha: u32,
    /// How many times as long it has while one member alone suspects it: 6 (memberlist LAN).
    pub beta: u32,
    /// Others whose suspicion shortens that to the least: 3 (Lifeguard's K).
    pub confirmations: usize,
    /// Updates on one message: 6 (docs/design/failures.md §2).
    pub piggyback: usize,
    /// Each member passes an update on so many times, times log10 of the zone rounded up: 4 (memberlist LAN).
    pub retransmit: u32,
    /// How often whole rosters are exchanged with a random member: 30 s (memberlist LAN).
    pub sync_every: Duration,
    /// Members that are gone are remembered for this long: 10 min, so that old updates do not bring them back.
    pub forget_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_type: NodeType::default(),
            bot: false,
            network_key: [0; 32],
            link: LinkConfig {
                keepalive: Duration::from_secs(5),
                dead_after: Duration::from_secs(15),
                rare_keepalive: Duration::from_secs(25),
                idle_close: Duration::from_secs(30),
                rekey_after: Duration::from_secs(120),
                reject_after: Duration::from_secs(180),
                handshake_retry: Duration::from_secs(1),
                handshake_timeout: Duration::from_secs(10),
                static_key_rotation: Duration::from_secs(30 * 86_400),
                static_key_overlap: Duration::from_secs(86_400),
                unverified_handshakes: 100,
                verified_handshakes: 400,
            },
            membership: MembershipConfig {
                target: 6,
                passive: 36,
                walk: 6,
                walk_passive: 3,
                shuffle_active: 3,
                shuffle_passive: 4,
                shuffle: Duration::from_secs(30),
                shuffle_young: Duration::from_secs(10),
                young_for: Duration::from_secs(3_600),
                promote_after: Duration::from_millis(500),
                retry_first: Duration::from_secs(1),
                retry_max: Duration::from_secs(60),
                parallel: 3,
                ask_every: Duration::from_secs(10),
            },
            discovery: DiscoveryConfig { beacons: false, visible: false, every: Duration::from_secs(30) },
            delivery: DeliveryConfig {
                retry_first: Duration::from_secs(1),
                window: 512,
                expire: Duration::from_secs(30 * 86_400),
            },
            gossip: GossipConfig {
                ttl: 64,
                remember: Duration::from_secs(900),
                batch: Duration::from_millis(50),
                graft_after: Duration::from_millis(300),
                graft_next: Duration::from_millis(200),
                optimise: 2,
                keep: Duration::from_secs(60),
            },
            chat: ChatConfig {
                fill_after: Duration::from_millis(500),
                compare_every: Duration::from_secs(60),
                verify_every: Duration::from_secs(86_400),
                catch_up_rate: 2 << 20,
                pending_for: Duration::from_secs(600),
            },
            swim: SwimConfig {
                zone: true,
                nack: true,
                buddy: true,
                freeze: true,
                witness: true,
                link_evidence: false,
                period: Duration::from_secs(2),
                direct_timeout: Duration::from_millis(500),
                indirect: 3,
                health_max: 8,
                freeze_health: 4,
                alpha: 4,
                beta: 6,
                confirmations: 3,
                piggyback: 6,
                retransmit: 4,
                sync_every: Duration::from_secs(30),
                forget_after: Duration::from_secs(600),
            },
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Checks every rule between the values.
    ///
    /// # Errors
    /// The first broken rule, with its key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.limits.validate()?;
        let link = &self.link;
        let durations = [
            ("link.keepalive", link.keepalive),
            ("link.handshake_retry", link.handshake_retry),
            ("membership.retry_first", self.membership.retry_first),
            ("membership.ask_every", self.membership.ask_every),
            ("discovery.every", self.discovery.every),
            ("delivery.retry_first", self.delivery.retry_first),
            ("delivery.expire", self.delivery.expire),
            ("gossip.remember", self.gossip.remember),
            ("chat.fill_after", self.chat.fill_after),
            ("chat.compare_every", self.chat.compare_every),
            ("chat.pending_for", self.chat.pending_for),
            ("swim.direct_timeout", self.swim.direct_timeout),
            ("swim.sync_every", self.swim.sync_every),
            ("swim.forget_after", self.swim.forget_after),
            ("chat.verify_every", self.chat.verify_every),
        ];
        for (key, d) in durations {
            if d < Duration::from_millis(1) {
                return Err(ConfigError { key, rule: "must be at least 1 ms".into() });
            }
        }
        let ordered = [
            ("link.dead_after", link.keepalive, link.dead_after, "link.keepalive"),
            ("link.idle_close", link.keepalive, link.idle_close, "link.keepalive"),
            ("link.reject_after", link.rekey_after, link.reject_after, "link.rekey_after"),
            ("link.handshake_timeout", link.handshake_retry, link.handshake_timeout, "link.handshake_retry"),
            ("link.static_key_rotation", link.static_key_overlap, link.static_key_rotation, "link.static_key_overlap"),
            (
                "swim.period",
                self.swim.direct_timeout.saturating_mul(3),
                self.swim.period,
                "three times swim.direct_timeout",
            ),
            ("membership.retry_max", self.membership.retry_first, self.membership.retry_max, "membership.retry_first"),
        ];
        for (key, smaller, larger, than) in ordered {
            if smaller >= larger {
                return Err(ConfigError { key, rule: alloc::format!("must be longer than {than}") });
            }
        }
        let counts = [
            ("membership.target", self.membership.target),
            ("membership.parallel", self.membership.parallel),
            ("delivery.window", self.delivery.window),
            ("chat.catch_up_rate", self.chat.catch_up_rate as usize),
            ("gossip.ttl", usize::from(self.gossip.ttl)),
            ("swim.alpha", self.swim.alpha as usize),
            ("swim.beta", self.swim.beta as usize),
            ("swim.retransmit", self.swim.retransmit as usize),
            ("link.unverified_handshakes", link.unverified_handshakes as usize),
            ("link.verified_handshakes", link.verified_handshakes as usize),
        ];
        for (key, n) in counts {
            if n == 0 {
                return Err(ConfigError { key, rule: "must not be zero".into() });
            }
        }
        if self.membership.target > self.limits.neighbours {
            return Err(ConfigError { key: "membership.target", rule: "must not exceed limits.neighbours".into() });
        }
        if self.swim.piggyback > MAX_PIGGYBACK {
            return Err(ConfigError { key: "swim.piggyback", rule: alloc::format!("must be at most {MAX_PIGGYBACK}") });
        }
        if link.rare_keepalive < link.keepalive {
            return Err(ConfigError { key: "link.rare_keepalive", rule: "must not be below link.keepalive".into() });
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
    }

    #[test]
    fn node_types_read_as_they_print() {
        for t in NodeType::ALL {
            assert_eq!(t.name().parse(), Ok(t));
            assert_eq!(NodeType::from_byte(t.to_byte()), Some(t));
        }
    }
}
