internal import DonpFFI
import Foundation

/// The state machine of one node, for a transport of one's own: Bluetooth, a relay, a test.
///
/// It has no socket, no clock and no thread: feed it with ``turn(nowUs:received:committed:)``. Time is
/// microseconds of a clock that never goes back and counts sleep; going back counts as standing still.
/// Commands may be called between turns; what they cause comes with the next turn, which is due at once.
/// Calls take microseconds and block no longer than one another: any thread may make them.
///
/// Every call throws ``DonpError`` of the kind `internal` once a bug ended the engine.
public final class Engine: Sendable {
    /// This node.
    public let id: NodeId

    private let raw: DonpFFI.Engine

    /// A node that never ran before.
    /// - Parameters:
    ///   - config: Its identity.
    ///   - nowUs: The time.
    ///   - wallMs: The wall clock in milliseconds since 1970, 0 if unknown: shown to people, never used for
    ///     order.
    /// - Throws: ``DonpError`` of the kind `invalidInput`.
    public init(_ config: EngineConfig, nowUs: UInt64, wallMs: UInt64 = 0) throws(DonpError) {
        raw = try converting { try DonpFFI.Engine(config: config.raw, nowUs: nowUs, wallMs: wallMs) }
        id = NodeId(trusted: raw.id())
    }

    /// A node as its last written batch left it.
    /// - Parameters:
    ///   - config: Its identity, by which the records were made.
    ///   - records: Those of all tables.
    ///   - nowUs: The time.
    ///   - wallMs: The wall clock in milliseconds since 1970, 0 if unknown.
    /// - Throws: ``DonpError`` of the kinds `invalidInput`, `denied` (another identity's records) and
    ///   `damaged`.
    public init(
        _ config: EngineConfig, restoring records: [Record], nowUs: UInt64, wallMs: UInt64 = 0
    ) throws(DonpError) {
        raw = try converting {
            try DonpFFI.Engine.restore(
                config: config.raw, records: records.map(\.raw), nowUs: nowUs, wallMs: wallMs)
        }
        id = NodeId(trusted: raw.id())
    }

    /// Whether a bug ended this engine. As cheap as a call can be.
    public var isDead: Bool { raw.isDead() }

    /// One turn: takes in datagrams and the number of the newest batch that was written, does what is due,
    /// and gives all there is to do. Datagrams that are not understood or not allowed are counted.
    /// - Throws: ``DonpError`` of the kind `invalidInput` for a source that is no address; then nothing was
    ///   taken in.
    public func turn(
        nowUs: UInt64, received: [Received] = [], committed: UInt64? = nil
    ) throws(DonpError) -> Output {
        Output(
            try converting {
                try raw.turn(nowUs: nowUs, received: received.map(\.raw), committed: committed)
            })
    }

    /// Takes in one datagram without copying it; a turn gives what follows from it.
    /// - Throws: ``DonpError`` of the kind `invalidInput` for a source that is no address.
    public func handleDatagram(nowUs: UInt64, source: String, payload: Data) throws(DonpError) {
        try converting { try raw.handleDatagram(nowUs: nowUs, source: source, payload: payload) }
    }

    /// The answer to a request of a turn.
    /// - Throws: ``DonpError`` of the kind `invalidInput` for a table that does not exist.
    public func handleRecords(nowUs: UInt64, request: UInt64, records: [Record]) throws(DonpError) {
        try converting {
            try raw.handleRecords(nowUs: nowUs, request: request, records: records.map(\.raw))
        }
    }

    /// Enters the network.
    /// - Parameters:
    ///   - nowUs: The time.
    ///   - places: `ip:port` or `ip:port/NodeId`, or an invitation: the text without a colon. None: through
    ///     any known node.
    /// - Throws: ``DonpError`` of the kinds `invalidInput` and `denied` (the invitation is for another
    ///   network).
    public func join(nowUs: UInt64, places: [String] = []) throws(DonpError) {
        try converting {
            let invitations = places.filter { !$0.contains(":") }
            for invitation in invitations { try raw.joinTicket(nowUs: nowUs, invitation: invitation) }
            let addresses = places.filter { $0.contains(":") }
            if !addresses.isEmpty || invitations.isEmpty { try raw.join(nowUs: nowUs, places: addresses) }
        }
    }

    /// Says goodbye to everybody.
    public func leave(nowUs: UInt64) throws(DonpError) {
        try converting { try raw.leave(nowUs: nowUs) }
    }

    /// An invitation to this node's network.
    public func invite() throws(DonpError) -> String {
        try converting { try raw.invite() }
    }

    /// Says something to one node.
    /// - Throws: ``DonpError`` of the kinds `invalidInput`, `notFound`, `notRunning` and `busy`.
    @discardableResult
    public func sendPrivate(nowUs: UInt64, to: NodeId, content: Content) throws(DonpError) -> MessageId {
        MessageId(
            trusted: try converting {
                try raw.sendPrivate(nowUs: nowUs, to: to.description, content: content.raw)
            })
    }

    /// Says something to everybody in the network.
    /// - Throws: ``DonpError`` of the kinds `invalidInput`, `notRunning` and `busy`.
    @discardableResult
    public func broadcast(nowUs: UInt64, content: Content) throws(DonpError) -> MessageId {
        MessageId(trusted: try converting { try raw.broadcast(nowUs: nowUs, content: content.raw) })
    }

    /// Makes a group, as ``Node/createGroup(_:kind:policy:expiresIn:)``; a temporary one ends at
    /// `expiresMs`, a wall clock.
    public func createGroup(
        nowUs: UInt64, name: String, kind: GroupKind = .private, policy: GroupPolicy = GroupPolicy(),
        expiresMs: UInt64? = nil
    ) throws(DonpError) -> GroupId {
        GroupId(
            trusted: try converting {
                try raw.createGroup(
                    nowUs: nowUs, kind: kind.raw, name: name, policy: policy.raw, expiresMs: expiresMs)
            })
    }

    /// An invitation to a group, as ``Node/inviteToGroup(_:role:uses:expiresIn:node:)``, good until
    /// `expiresMs`, a wall clock.
    public func inviteToGroup(
        nowUs: UInt64, group: GroupId, role: GroupRole, uses: Int, expiresMs: UInt64,
        node: NodeId? = nil
    ) throws(DonpError) -> String {
        let uses = try unsigned(uses, "the uses")
        return try converting {
            try raw.inviteToGroup(
                nowUs: nowUs, group: group.description, role: role.raw, uses: uses, expiresMs: expiresMs,
                node: node?.description)
        }
    }

    /// Asks to be a member of a group, as ``Node/joinGroup(_:)``.
    public func joinGroup(nowUs: UInt64, invitation: String) throws(DonpError) {
        try converting { try raw.joinGroup(nowUs: nowUs, invitation: invitation) }
    }

    /// Leaves a group, or cancels a request to join.
    public func leaveGroup(nowUs: UInt64, group: GroupId) throws(DonpError) {
        try converting { try raw.leaveGroup(nowUs: nowUs, group: group.description) }
    }

    /// Removes a member of lower rank, for good with `ban`.
    public func removeMember(
        nowUs: UInt64, group: GroupId, node: NodeId, ban: Bool = false
    ) throws(DonpError) {
        try converting {
            try raw.removeMember(nowUs: nowUs, group: group.description, node: node.description, ban: ban)
        }
    }

    /// Ends a ban: the node may be invited again.
    public func unbanMember(nowUs: UInt64, group: GroupId, node: NodeId) throws(DonpError) {
        try converting { try raw.unbanMember(nowUs: nowUs, group: group.description, node: node.description) }
    }

    /// Gives a member of lower rank another rank, below this node's.
    public func setMemberRole(
        nowUs: UInt64, group: GroupId, node: NodeId, role: GroupRole
    ) throws(DonpError) {
        try converting {
            try raw.setMemberRole(
                nowUs: nowUs, group: group.description, node: node.description, role: role.raw)
        }
    }

    /// Makes another member the owner; this node is an admin from then on.
    public func transferGroup(nowUs: UInt64, group: GroupId, node: NodeId) throws(DonpError) {
        try converting {
            try raw.transferGroup(nowUs: nowUs, group: group.description, node: node.description)
        }
    }

    /// Gives a group another name, 1 to 64 bytes.
    public func renameGroup(nowUs: UInt64, group: GroupId, name: String) throws(DonpError) {
        try converting { try raw.renameGroup(nowUs: nowUs, group: group.description, name: name) }
    }

    /// Gives a group another description, at most 1,024 bytes.
    public func describeGroup(nowUs: UInt64, group: GroupId, description: String) throws(DonpError) {
        try converting {
            try raw.describeGroup(nowUs: nowUs, group: group.description, description: description)
        }
    }

    /// Shows a message of a group above the others, as ``Node/pinMessage(_:message:)``.
    public func pinMessage(nowUs: UInt64, group: GroupId, message: MessageId) throws(DonpError) {
        try converting {
            try raw.pinMessage(nowUs: nowUs, group: group.description, message: message.description)
        }
    }

    /// Ends ``pinMessage(nowUs:group:message:)``, as ``Node/unpinMessage(_:message:)``.
    public func unpinMessage(nowUs: UInt64, group: GroupId, message: MessageId) throws(DonpError) {
        try converting {
            try raw.unpinMessage(nowUs: nowUs, group: group.description, message: message.description)
        }
    }

    /// Gives a group another policy: for its owner.
    public func setGroupPolicy(nowUs: UInt64, group: GroupId, policy: GroupPolicy) throws(DonpError) {
        try converting { try raw.setGroupPolicy(nowUs: nowUs, group: group.description, policy: policy.raw) }
    }

    /// Adds a node that asked to join, or says no.
    public func answerJoin(nowUs: UInt64, group: GroupId, node: NodeId, approve: Bool) throws(DonpError) {
        try converting {
            try raw.answerJoin(
                nowUs: nowUs, group: group.description, node: node.description, approve: approve)
        }
    }

    /// Says something to the members of a group.
    @discardableResult
    public func sendToGroup(nowUs: UInt64, group: GroupId, content: Content) throws(DonpError) -> MessageId {
        MessageId(
            trusted: try converting {
                try raw.sendToGroup(nowUs: nowUs, group: group.description, content: content.raw)
            })
    }

    /// The groups that this node is or was a member of.
    public func groups() throws(DonpError) -> [GroupInfo] {
        try converting { try raw.groups() }.map { GroupInfo($0) }
    }

    /// One of them, with its members; nil if this node is and was in no such group.
    public func group(_ group: GroupId) throws(DonpError) -> GroupInfo? {
        try converting { try raw.group(group: group.description) }.map { GroupInfo($0) }
    }

    /// Groups that this node asked to join and is no member of yet.
    public func joiningGroups() throws(DonpError) -> [JoiningGroup] {
        try converting { try raw.joiningGroups() }.map { JoiningGroup($0) }
    }

    /// Adds bytes as a file with this name, so that it can be sent as ``Content/file(_:text:)``.
    /// - Throws: As ``Node/addFile(bytes:name:mediaType:)``.
    public func addFile(
        nowUs: UInt64, bytes: Data, name: String, mediaType: String = ""
    ) throws(DonpError) -> Attachment {
        Attachment(
            try converting {
                try raw.addFile(nowUs: nowUs, bytes: bytes, name: name, mediaType: mediaType)
            })
    }

    /// Fetches a file that a message of this conversation names, as ``Node/fetchFile(_:file:author:)``.
    public func fetchFile(
        nowUs: UInt64, conversation: Conversation, file: Attachment, author: NodeId? = nil
    ) throws(DonpError) {
        try converting {
            try raw.fetchFile(
                nowUs: nowUs, conversation: conversation.raw, file: file.raw, author: author?.description)
        }
    }

    /// The files that are here or being fetched, in the order in which they came.
    public func files() throws(DonpError) -> [FileInfo] {
        try converting { try raw.files() }.map { FileInfo($0) }
    }

    /// Asks for the bytes of a part of a file, 65,520 of them but for the last. A later turn gives them under the
    /// number that this returns.
    public func readFile(nowUs: UInt64, file: FileId, part: Int) throws(DonpError) -> UInt64 {
        let part = try unsigned(part, "the part")
        return try converting { try raw.readFile(nowUs: nowUs, file: file.description, part: part) }
    }

    /// Removes a file here, or ends its fetch. Others keep theirs.
    public func removeFile(nowUs: UInt64, file: FileId) throws(DonpError) {
        try converting { try raw.removeFile(nowUs: nowUs, file: file.description) }
    }

    /// Asks for a page of a conversation. A later turn gives the answer under the number that this returns.
    /// - Parameters:
    ///   - nowUs: The time.
    ///   - conversation: Which one.
    ///   - before: Where the page ends; nil for the newest.
    ///   - limit: At most this many messages, 1,000 at most.
    public func history(
        nowUs: UInt64, conversation: Conversation, before: MessageId? = nil, limit: Int = 100
    ) throws(DonpError) -> UInt64 {
        let limit = try unsigned(limit, "the limit")
        return try converting {
            try raw.history(
                nowUs: nowUs, conversation: conversation.raw, before: before?.description, limit: limit)
        }
    }

    /// Every durable event up to and including `seq` was handled: it does not come again.
    /// - Throws: ``DonpError`` of the kind `notFound` for a number that no event has.
    public func ack(nowUs: UInt64, seq: UInt64) throws(DonpError) {
        try converting { try raw.ack(nowUs: nowUs, seq: seq) }
    }

    /// The members of this node's zone, by id, without itself, as ``Node/members()``.
    public func members() throws(DonpError) -> [ZoneMember] {
        try converting { try raw.members() }.map(ZoneMember.init)
    }

    /// Asks a node whether it is there; ``Event/memberChanged(peer:state:)`` answers.
    /// - Throws: As ``Node/detectNodeFailure(_:)``.
    public func detectNodeFailure(nowUs: UInt64, peer: NodeId) throws(DonpError) {
        try converting { try raw.detectNodeFailure(nowUs: nowUs, peer: peer.description) }
    }

    /// Blocks a node, as ``Node/block(_:)``.
    public func block(nowUs: UInt64, peer: NodeId) throws(DonpError) {
        try converting { try raw.block(nowUs: nowUs, peer: peer.description) }
    }

    /// Ends ``block(nowUs:peer:)``, as ``Node/unblock(_:)``.
    public func unblock(nowUs: UInt64, peer: NodeId) throws(DonpError) {
        try converting { try raw.unblock(nowUs: nowUs, peer: peer.description) }
    }

    /// Blocked nodes, by id.
    public func blocked() throws(DonpError) -> [NodeId] {
        try converting { try raw.blocked() }.map { NodeId(trusted: $0) }
    }

    /// All of the book, by id: contacts, and requests of strangers.
    public func contacts() throws(DonpError) -> [Contact] {
        try converting { try raw.contacts() }.map { Contact($0) }
    }

    /// One of the book; nil if the node is neither a contact nor has a request.
    public func contact(_ node: NodeId) throws(DonpError) -> Contact? {
        try converting { try raw.contact(node: node.description) }.map { Contact($0) }
    }

    /// Makes a node a contact, as ``Node/addContact(_:petname:)``.
    public func addContact(nowUs: UInt64, node: NodeId, petname: String? = nil) throws(DonpError) {
        try converting { try raw.addContact(nowUs: nowUs, node: node.description, petname: petname) }
    }

    /// Gives a contact another own name, as ``Node/renameContact(_:petname:)``.
    public func renameContact(nowUs: UInt64, node: NodeId, petname: String?) throws(DonpError) {
        try converting { try raw.renameContact(nowUs: nowUs, node: node.description, petname: petname) }
    }

    /// Takes a contact, or a request, out of the book, as ``Node/removeContact(_:)``.
    public func removeContact(nowUs: UInt64, node: NodeId) throws(DonpError) {
        try converting { try raw.removeContact(nowUs: nowUs, node: node.description) }
    }

    /// Accepts the request of a stranger, as ``Node/acceptContact(_:)``.
    public func acceptContact(nowUs: UInt64, node: NodeId) throws(DonpError) {
        try converting { try raw.acceptContact(nowUs: nowUs, node: node.description) }
    }

    /// Mutes a contact, or ends that, as ``Node/muteContact(_:muted:)``.
    public func muteContact(nowUs: UInt64, node: NodeId, muted: Bool = true) throws(DonpError) {
        try converting { try raw.muteContact(nowUs: nowUs, node: node.description, muted: muted) }
    }

    /// The safety number with a node of the book, as ``Node/safetyNumber(_:)``.
    public func safetyNumber(nowUs: UInt64, node: NodeId) throws(DonpError) -> SafetyNumber {
        SafetyNumber(try converting { try raw.safetyNumber(nowUs: nowUs, node: node.description) })
    }

    /// Compares what the other side says or shows, as ``Node/verifyContact(_:shown:)``.
    public func verifyContact(nowUs: UInt64, node: NodeId, shown: String) throws(DonpError) {
        try converting { try raw.verifyContact(nowUs: nowUs, node: node.description, shown: shown) }
    }

    /// Goes on with a contact whose key changed, as ``Node/acceptChange(_:)``.
    public func acceptChange(nowUs: UInt64, node: NodeId) throws(DonpError) {
        try converting { try raw.acceptChange(nowUs: nowUs, node: node.description) }
    }

    /// The devices of this node's account, as ``Node/devices()``.
    public func devices() throws(DonpError) -> [DeviceInfo] {
        try converting { try raw.devices() }.map { DeviceInfo($0) }
    }

    /// The devices of the account that a node is of, as ``Node/devicesOf(_:)``.
    public func devicesOf(_ node: NodeId) throws(DonpError) -> [NodeId] {
        try converting { try raw.devicesOf(node: node.description) }.map { NodeId(trusted: $0) }
    }

    /// Makes a ticket for one more device, as ``Node/addDevice()``.
    public func addDevice(nowUs: UInt64) throws(DonpError) -> String {
        try converting { try raw.addDevice(nowUs: nowUs) }
    }

    /// Joins an account, as ``Node/joinAccount(_:)``.
    public func joinAccount(nowUs: UInt64, ticket: String) throws(DonpError) {
        try converting { try raw.joinAccount(nowUs: nowUs, ticket: ticket) }
    }

    /// Whether this device waits for an account, as ``Node/isJoiningAccount()``.
    public func isJoiningAccount() throws(DonpError) -> Bool {
        try converting { try raw.isJoiningAccount() }
    }

    /// Gives this device another name, as ``Node/renameDevice(_:)``.
    public func renameDevice(nowUs: UInt64, name: String) throws(DonpError) {
        try converting { try raw.renameDevice(nowUs: nowUs, name: name) }
    }

    /// Removes a device, as ``Node/removeDevice(_:)``.
    public func removeDevice(nowUs: UInt64, node: NodeId) throws(DonpError) {
        try converting { try raw.removeDevice(nowUs: nowUs, node: node.description) }
    }

    /// Takes an account over with its recovery code, as ``Node/recoverAccount(_:)``.
    public func recoverAccount(nowUs: UInt64, code: String) throws(DonpError) {
        try converting { try raw.recoverAccount(nowUs: nowUs, code: code) }
    }

    /// The recovery code, as ``Node/recoveryCode()``.
    public func recoveryCode() throws(DonpError) -> String? {
        try converting { try raw.recoveryCode() }
    }

    /// Conversations with what is unread in each, as ``Node/conversations()``.
    public func conversations() throws(DonpError) -> [ConversationInfo] {
        try converting { try raw.conversations() }.map { ConversationInfo($0) }
    }

    /// A conversation was read, as ``Node/markRead(_:upto:)``.
    public func markRead(
        nowUs: UInt64, conversation: Conversation, upto: MessageId? = nil
    ) throws(DonpError) {
        try converting {
            try raw.markRead(nowUs: nowUs, conversation: conversation.raw, upto: upto?.description)
        }
    }

    /// The members that have a message of this node, as ``Node/confirmations(_:of:)``.
    public func confirmations(
        nowUs: UInt64, conversation: Conversation, message: MessageId
    ) throws(DonpError) -> Confirmations {
        Confirmations(
            try converting {
                try raw.confirmations(
                    nowUs: nowUs, conversation: conversation.raw, message: message.description)
            })
    }

    /// The user types, as ``Node/sendTyping(_:)``.
    public func sendTyping(nowUs: UInt64, conversation: Conversation) throws(DonpError) {
        try converting { try raw.sendTyping(nowUs: nowUs, conversation: conversation.raw) }
    }

    /// Deletes a private conversation here, as ``Node/deleteConversation(_:)``.
    public func deleteConversation(nowUs: UInt64, conversation: Conversation) throws(DonpError) {
        try converting { try raw.deleteConversation(nowUs: nowUs, conversation: conversation.raw) }
    }

    /// Challenges the device of a node over its link, as ``Node/authenticateNode(_:)``.
    public func authenticateNode(nowUs: UInt64, peer: NodeId) throws(DonpError) {
        try converting { try raw.authenticateNode(nowUs: nowUs, peer: peer.description) }
    }

    /// These nodes seem to be cut off: asks and contacts them, as ``Node/reportPartition(_:)``.
    /// - Throws: As ``Node/detectNodeFailure(_:)``, before anything is done.
    public func reportPartition(nowUs: UInt64, peers: [NodeId] = []) throws(DonpError) {
        try converting { try raw.reportPartition(nowUs: nowUs, peers: peers.map(\.description)) }
    }

    /// Mends what failed without waiting, as ``Node/recoverFromFailure(_:)``.
    /// - Throws: ``DonpError`` of the kind `notRunning` while suspended.
    public func recoverFromFailure(nowUs: UInt64, failure: FailureType) throws(DonpError) {
        try converting { try raw.recoverFromFailure(nowUs: nowUs, failure: failure.raw) }
    }

    /// Compares what is said with another node at once, as ``Node/synchronizeState(with:)``.
    /// - Throws: As ``Node/detectNodeFailure(_:)``.
    public func synchronizeState(nowUs: UInt64, peer: NodeId) throws(DonpError) {
        try converting { try raw.synchronizeState(nowUs: nowUs, peer: peer.description) }
    }

    /// A node near may be at `address`, `ip:port`: a hint, tried once, as
    /// ``Node/handleLocalPeer(at:id:)``.
    /// - Throws: ``DonpError`` of the kind `invalidInput` for what is no address.
    public func handleLocalPeer(nowUs: UInt64, address: String, id: NodeId? = nil) throws(DonpError) {
        try converting { try raw.handleLocalPeer(nowUs: nowUs, address: address, id: id?.description) }
    }

    /// Takes in what some engine near gave as ``Output/beacon``: a hint that it is at `source`, `ip:port`. What
    /// is not understood, or of another network, is counted. Nothing happens without
    /// ``EngineConfig/beacons``.
    /// - Throws: ``DonpError`` of the kind `invalidInput` for a source that is no address.
    public func handleBeacon(nowUs: UInt64, source: String, payload: Data) throws(DonpError) {
        try converting { try raw.handleBeacon(nowUs: nowUs, source: source, payload: payload) }
    }

    /// Addresses that this node can be reached at, `ip:port`, best first: for invitations.
    /// - Throws: ``DonpError`` of the kind `invalidInput`.
    public func setLocalAddresses(nowUs: UInt64, addresses: [String]) throws(DonpError) {
        try converting { try raw.setLocalAddresses(nowUs: nowUs, addresses: addresses) }
    }

    /// The wall clock was read again: once a minute, and after ``resume(nowUs:)``.
    public func setWallClock(nowUs: UInt64, wallMs: UInt64) throws(DonpError) {
        try converting { try raw.setWallClock(nowUs: nowUs, wallMs: wallMs) }
    }

    /// Mixes 32 bytes of the system's randomness in: once an hour.
    /// - Throws: ``DonpError`` of the kind `invalidInput` for another number of bytes.
    public func addEntropy(_ entropy: Data) throws(DonpError) {
        try converting { try raw.addEntropy(entropy: entropy) }
    }

    /// The device has another network: every link is probed at once.
    public func networkChanged(nowUs: UInt64) throws(DonpError) {
        try converting { try raw.networkChanged(nowUs: nowUs) }
    }

    /// The device is about to sleep: commands throw `notRunning` until ``resume(nowUs:)``.
    public func suspend(nowUs: UInt64) throws(DonpError) {
        try converting { try raw.suspend(nowUs: nowUs) }
    }

    /// The device woke up.
    public func resume(nowUs: UInt64) throws(DonpError) {
        try converting { try raw.resume(nowUs: nowUs) }
    }

    /// The engine at a glance.
    public func status() throws(DonpError) -> EngineStatus {
        EngineStatus(try converting { try raw.status() })
    }

    /// Nodes that were met or named by others, at most `max`, by id.
    public func peers(max: Int = 1_000) throws(DonpError) -> [Peer] {
        let max = try unsigned(max, "the maximum")
        return try converting { try raw.peers(max: max) }.map(Peer.init)
    }

    /// What is known of one node; nil if it was never met or named by others.
    public func peer(_ id: NodeId) throws(DonpError) -> Peer? {
        try converting { try raw.peer(id: id.description) }.map(Peer.init)
    }

    /// Whether a private message waits for its acknowledgement.
    public func isQueued(_ id: MessageId) throws(DonpError) -> Bool {
        try converting { try raw.isQueued(id: id.description) }
    }

    /// Panics inside the engine, as a bug would: to try what an application does then.
    /// - Throws: Always ``DonpError`` of the kind `internal`.
    public func simulateCrash() throws(DonpError) {
        try converting { try raw.simulateCrash() }
    }
}

/// How to make an engine.
public struct EngineConfig: Sendable {
    /// Bytes of ``generateIdentity(name:)``.
    public var identity: Data
    /// The 32-byte key of a closed network.
    public var networkKey: Data?
    /// What the node says it does.
    public var nodeType: NodeType
    /// Whether a program speaks here, not a person.
    public var bot: Bool
    /// What the node may spend while nothing happens.
    public var power: Power
    /// Whether to say that this node is near, and to listen to others that do: for a caller that sends what
    /// ``Output/beacon`` has to everybody near, and passes what it hears there to
    /// ``Engine/handleBeacon(nowUs:source:payload:)``.
    public var beacons: Bool
    /// Whether the engine keeps its records in its own memory, gone with it: then a turn gives no batch and
    /// no requests. Otherwise the caller is the store.
    public var inMemory: Bool
    /// 32 bytes that all randomness comes from, for repeatable simulations. Nil, as it should be elsewhere:
    /// the system's. Used twice with one identity on a real network it repeats nonces.
    public var seed: Data?

    /// Only the identity has no default.
    public init(
        identity: Data, networkKey: Data? = nil, nodeType: NodeType = .regular, bot: Bool = false,
        power: Power = .normal, beacons: Bool = false, inMemory: Bool = false, seed: Data? = nil
    ) {
        self.identity = identity
        self.networkKey = networkKey
        self.nodeType = nodeType
        self.bot = bot
        self.power = power
        self.beacons = beacons
        self.inMemory = inMemory
        self.seed = seed
    }
}

/// A datagram that came in.
public struct Received: Hashable, Sendable {
    /// Where from, `ip:port`. A transport without such addresses makes some up.
    public let source: String
    /// Its bytes.
    public let payload: Data

    /// A datagram from `source`, `ip:port`.
    public init(source: String, payload: Data) {
        self.source = source
        self.payload = payload
    }
}

/// A datagram to send.
public struct Transmit: Hashable, Sendable {
    /// Where to, `ip:port`.
    public let destination: String
    /// At most 1,452 bytes.
    public let payload: Data
}

/// One change to the store.
public enum Op: Hashable, Sendable {
    /// Writes `value` under `key`, replacing what was there. Tables below 128 are hot and go to `restore`; keys sort
    /// bytewise; values are secret in parts: seal them at rest.
    case put(table: UInt8, key: Data, value: Data)
    /// Removes `key` if it is there.
    case delete(table: UInt8, key: Data)
    /// Removes every key from `start` up to but not including `end`.
    case deleteRange(table: UInt8, start: Data, end: Data)
}

/// Changes to write in one transaction, whole or not at all. Then pass ``seq`` to the next turn as
/// `committed`: what depends on them is held back until then.
public struct Batch: Hashable, Sendable {
    /// The number to pass back.
    public let seq: UInt64
    /// In the order they apply.
    public let ops: [Op]
}

/// One stored record.
public struct Record: Hashable, Sendable {
    /// Which table.
    public let table: UInt8
    /// Its key.
    public let key: Data
    /// Its value.
    public let value: Data

    /// What an ``Op/put(table:key:value:)`` wrote, unchanged.
    public init(table: UInt8, key: Data, value: Data) {
        self.table = table
        self.key = key
        self.value = value
    }
}

/// A read of records, to be answered with ``Engine/handleRecords(nowUs:request:records:)``.
public struct Request: Hashable, Sendable {
    /// Goes back with the answer.
    public let id: UInt64
    /// Which table.
    public let table: UInt8
    /// The first key, included.
    public let start: Data
    /// The end of the range, not included.
    public let end: Data
    /// From the end backwards.
    public let reverse: Bool
    /// At most this many records.
    public let limit: Int
    /// Stop after the record that brings keys and values past this many bytes.
    public let maxBytes: Int
}

/// The answer to ``Engine/history(nowUs:conversation:before:limit:)``.
public struct Answer: Hashable, Sendable {
    /// The number that the call returned.
    public let query: UInt64
    /// The messages.
    public let page: HistoryPage
}

/// What one turn gave.
public struct Output: Hashable, Sendable {
    /// Changes to write.
    public let batch: Batch?
    /// Datagrams to send, in order.
    public let transmits: [Transmit]
    /// What to send to everybody near, at most 400 bytes; only with ``EngineConfig/beacons``.
    public let beacon: Data?
    /// What happened, in order.
    public let events: [Event]
    /// Records to read.
    public let requests: [Request]
    /// Answers to ``Engine/history(nowUs:conversation:before:limit:)``.
    public let answers: [Answer]
    /// Answers to ``Engine/readFile(nowUs:file:part:)``.
    public let parts: [FilePart]
    /// When the next turn is due if nothing comes before. Nil: only when something comes.
    public let nextDeadlineUs: UInt64?
    /// There is more than one turn gives: the next is due at once.
    public let more: Bool
}

/// An engine at a glance.
public struct EngineStatus: Hashable, Sendable {
    /// This node.
    public let id: NodeId
    /// Its account.
    public let account: AccountId
    /// Its name.
    public let name: String
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
    /// Datagrams received.
    public let datagramsIn: UInt64
    /// Datagrams sent.
    public let datagramsOut: UInt64
    /// Messages stored.
    public let messages: UInt64
    /// Datagrams and messages thrown away, by reason; only reasons that occurred.
    public let drops: [String: UInt64]
}

extension EngineConfig {
    var raw: DonpFFI.EngineConfig {
        .init(
            identity: identity, networkKey: networkKey, nodeType: nodeType.raw, bot: bot, power: power.raw,
            beacons: beacons, inMemory: inMemory, seed: seed)
    }
}

extension Received {
    var raw: DonpFFI.Received { .init(source: source, payload: payload) }
}

extension Record {
    var raw: DonpFFI.Record { .init(table: table, key: key, value: value) }
}

extension Op {
    init(_ raw: DonpFFI.Op) {
        switch raw {
        case .put(let table, let key, let value): self = .put(table: table, key: key, value: value)
        case .delete(let table, let key): self = .delete(table: table, key: key)
        case .deleteRange(let table, let start, let end):
            self = .deleteRange(table: table, start: start, end: end)
        }
    }
}

extension Output {
    init(_ raw: DonpFFI.Output) {
        self.init(
            batch: raw.batch.map { Batch(seq: $0.seq, ops: $0.ops.map(Op.init)) },
            transmits: raw.transmits.map { Transmit(destination: $0.destination, payload: $0.payload) },
            beacon: raw.beacon, events: raw.events.map(Event.init),
            requests: raw.requests.map {
                Request(
                    id: $0.id, table: $0.table, start: $0.start, end: $0.end, reverse: $0.reverse,
                    limit: Int($0.limit), maxBytes: Int($0.maxBytes))
            },
            answers: raw.answers.map { Answer(query: $0.query, page: HistoryPage($0.page)) },
            parts: raw.parts.map { FilePart(query: $0.query, content: $0.content) },
            nextDeadlineUs: raw.nextDeadlineUs, more: raw.more)
    }
}

extension EngineStatus {
    init(_ raw: DonpFFI.EngineStatus) {
        self.init(
            id: NodeId(trusted: raw.id), account: AccountId(trusted: raw.account), name: raw.name,
            state: NodeState(raw.state), neighbours: Int(raw.neighbours), links: Int(raw.links),
            known: Int(raw.known), outbox: Int(raw.outbox), pending: Int(raw.pending),
            datagramsIn: raw.datagramsIn, datagramsOut: raw.datagramsOut, messages: raw.messages,
            drops: raw.drops)
    }
}
