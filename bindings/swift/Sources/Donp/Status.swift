internal import DonpFFI
import Foundation

/// A node at a glance.
public struct NodeStatus: Hashable, Sendable {
    /// This node.
    public let id: NodeId
    /// Its account.
    public let account: AccountId
    /// Its name.
    public let name: String
    /// What it says it does.
    public let nodeType: NodeType
    /// Where it is in its life.
    public let state: NodeState
    /// Neighbours in the mesh.
    public let neighbours: Int
    /// Open links, neighbours included.
    public let links: Int
    /// Nodes in the address book.
    public let known: Int
    /// Private messages waiting for an acknowledgement.
    public let outbox: Int
    /// Messages held because one they depend on is missing.
    public let pending: Int
    /// What the sockets are bound to, `ip:port`.
    public let listen: [String]
    /// Addresses that other nodes saw this one at, `ip:port`.
    public let observed: [String]
    /// Where beacons are sent and received, groups and interfaces in words for people; empty if the setting
    /// `lan` is off, or there is no multicast.
    public let lan: [String]
    /// Why nodes on the local network may not be found; nil if they are, or discovery is off.
    public let lanError: String?
    /// Places to enter the network whose names could not be looked up, each with the reason.
    public let unresolved: [String: String]
    /// `sqlite` or `memory`.
    public let store: String
    /// How the key that seals the store is protected: `passphrase`, `key-file`, `key-store` or `memory`.
    public let protection: String
    /// Why the last transaction failed, while it does.
    public let storeError: String?
    /// Records that were lost to damage and that no repair took as known.
    public let damagedRecords: UInt64
    /// Records that were lost to damage in all. While it is above 0, messages whose depths do not follow each
    /// other may have a gap between them.
    public let lostRecords: UInt64
    /// Records that the check in the background has read since its last round began.
    public let checkedRecords: UInt64
    /// When that check last read all of them, in milliseconds since 1970.
    public let checkedAtMs: UInt64?
    /// The number up to which events were acknowledged in this run.
    public let acked: UInt64
    /// The number of the newest durable event.
    public let lastEvent: UInt64
    /// Datagrams received.
    public let datagramsIn: UInt64
    /// Datagrams sent.
    public let datagramsOut: UInt64
    /// Messages stored.
    public let messages: UInt64
    /// Datagrams and messages thrown away, by reason; only reasons that occurred.
    public let drops: [String: UInt64]
}

/// What a profile holds, and what is wrong with it.
public struct Checked: Hashable, Sendable {
    /// How many records each table has.
    public let records: [String: UInt64]
    /// What is wrong, in words; empty if all is well.
    public let problems: [String]
    /// What was lost before and is still missing, in words; empty if nothing.
    public let lost: String
}

/// What is known of another node.
public struct Peer: Hashable, Sendable, Identifiable {
    /// Who.
    public let id: NodeId
    /// The name it claims.
    public let name: String?
    /// The account behind it, if a certificate proved it.
    public let account: AccountId?
    /// What it says it does.
    public let nodeType: NodeType
    /// Whether this node reached it at its address by itself, and has not failed to since.
    public let verified: Bool
    /// What it counts as here: its `nodeType`, but `super` and `relay` only if it is ``verified``.
    public let role: NodeType
    /// Whether it says that a program speaks there.
    public let bot: Bool
    /// Its address, `ip:port`: of the link, or the best known.
    public let address: String?
    /// Whether a link is open.
    public let linked: Bool
    /// Whether it is a neighbour in the mesh.
    public let neighbour: Bool
    /// Smoothed round trip time of the link in milliseconds.
    public let rttMs: Double?
    /// When a link to it was last opened, in milliseconds since 1970; nil if never. What is silent for half a year is
    /// forgotten.
    public let lastLinkedAtMs: UInt64?
    /// How many post-quantum secrets the keys of the link mix in, one after another; 0 before the first.
    public let linkGeneration: Int
    /// Private messages waiting for its acknowledgement.
    public let queued: Int
    /// What the last failed attempt to reach it ended with.
    public let lastError: String?
}

/// What ``Node/backgroundFetch(seconds:)`` came to.
public struct FetchResult: Hashable, Sendable {
    /// Durable events that came in the time.
    public let events: UInt64
    /// Whether it ended because there was nothing more to do, not because the time was over.
    public let caughtUp: Bool
}

/// What an invitation says, to show before joining. The name is a claim.
public struct TicketInfo: Hashable, Sendable {
    /// Its issuer.
    public let node: NodeId
    /// The issuer's name.
    public let name: String
    /// Where the issuer was reachable, `ip:port`, best first.
    public let addresses: [String]
    /// Whether it holds the key of a closed network, and is as secret as that.
    public let closed: Bool
}

/// Reads an invitation without joining.
/// - Throws: ``DonpError`` of the kind `invalidInput` if it is damaged.
public func parseTicket(_ text: String) throws(DonpError) -> TicketInfo {
    let raw = try converting { try DonpFFI.parseTicket(text: text) }
    return TicketInfo(
        node: NodeId(trusted: raw.node), name: raw.name, addresses: raw.addresses, closed: raw.closed)
}

/// A new identity: secret bytes to keep, and to give to an ``Engine`` or a ``Node``.
/// - Parameter name: 1 to 64 bytes, shown to others.
/// - Throws: ``DonpError`` of the kind `invalidInput` for any other name.
public func generateIdentity(name: String) throws(DonpError) -> Data {
    try converting { try DonpFFI.generateIdentity(name: name) }
}

/// The node id of an identity.
/// - Throws: ``DonpError`` of the kind `invalidInput` if these are not bytes of ``generateIdentity(name:)``.
public func identityNodeId(_ identity: Data) throws(DonpError) -> NodeId {
    NodeId(trusted: try converting { try DonpFFI.identityNodeId(identity: identity) })
}

/// The version of the library.
public func version() -> String { DonpFFI.version() }

extension NodeStatus {
    init(_ raw: DonpFFI.NodeStatus) {
        self.init(
            id: NodeId(trusted: raw.id), account: AccountId(trusted: raw.account), name: raw.name,
            nodeType: NodeType(raw.nodeType), state: NodeState(raw.state), neighbours: Int(raw.neighbours),
            links: Int(raw.links), known: Int(raw.known), outbox: Int(raw.outbox), pending: Int(raw.pending),
            listen: raw.listen, observed: raw.observed, lan: raw.lan, lanError: raw.lanError,
            unresolved: raw.unresolved, store: raw.store, protection: raw.protection,
            storeError: raw.storeError, damagedRecords: raw.damagedRecords, lostRecords: raw.lostRecords,
            checkedRecords: raw.checkedRecords, checkedAtMs: raw.checkedAtMs, acked: raw.acked,
            lastEvent: raw.lastEvent, datagramsIn: raw.datagramsIn, datagramsOut: raw.datagramsOut,
            messages: raw.messages, drops: raw.drops)
    }
}

extension Peer {
    init(_ raw: DonpFFI.Peer) {
        self.init(
            id: NodeId(trusted: raw.id), name: raw.name, account: raw.account.map(AccountId.init(trusted:)),
            nodeType: NodeType(raw.nodeType), verified: raw.verified, role: NodeType(raw.role), bot: raw.bot,
            address: raw.address, linked: raw.linked, neighbour: raw.neighbour, rttMs: raw.rttMs,
            lastLinkedAtMs: raw.lastLinkedAtMs,
            linkGeneration: Int(raw.linkGeneration), queued: Int(raw.queued), lastError: raw.lastError)
    }
}
