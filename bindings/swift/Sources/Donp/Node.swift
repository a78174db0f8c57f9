import Dispatch
internal import DonpFFI
import Foundation

/// Opens a node and starts it: the usual way in.
///
/// ```swift
/// let node = try await openNode(.init(stateDir: "alice", name: "alice"))
/// ```
///
/// Durable events that were not acknowledged wait for the first ``Node/events()``. A program that wants every
/// volatile one as well makes the ``Node``, calls ``Node/events()``, and then ``Node/start()``.
/// - Throws: As ``Node/init(_:keyStore:)``.
public func openNode(_ config: NodeConfig, keyStore: (any KeyStore)? = nil) async throws(DonpError) -> Node {
    let node = try await Node(config, keyStore: keyStore)
    try await node.start()
    return node
}

/// Makes a profile in `stateDir`, which must not be there, from the folder or file that ``Node/backup(to:)`` made. It goes
/// on in logs of its own, so that nothing that was said after the backup is lost.
/// - Throws: ``DonpError`` of the kinds `notFound` (there is no backup), `alreadyExists` and `damaged`.
public func restoreProfile(from backup: String, to stateDir: String) async throws(DonpError) {
    try await onQueue { try DonpFFI.restoreProfile(backup: backup, stateDir: stateDir) }
}

/// A node of the network with all it needs: sockets, clock, store, and a thread of its own.
///
/// Calls that wait for the node or its store, which can take milliseconds, are `async` and run on a queue of
/// their own: they block neither the main thread nor the threads of Swift's concurrency. Cancelling the task
/// does not call them off: what was said is said.
///
/// Every call throws ``DonpError`` of the kind `notRunning` before ``start()``, `closed` after ``shutdown()``,
/// and `internal` once a bug ended the node.
///
/// A node that is let go of without ``shutdown()`` ends by itself, without waiting for anything: what was
/// stored is safe, and others find out by its silence.
public final class Node: Sendable {
    /// This node.
    public let id: NodeId
    /// The name it shows to others.
    public let name: String

    private let raw: DonpFFI.Node
    /// Some at once, so that many short calls share a transaction of the store; not one thread for each.
    private let calls: OperationQueue

    /// Opens the profile, or a node in memory, and binds its sockets. Nothing runs before ``start()``.
    /// - Throws: ``DonpError`` of the kinds `notFound` (no profile, and no name to make one), `locked`
    ///   (another process has it open), `denied` (passphrase, key store, identity or network do not fit),
    ///   `damaged`, `network` (an address cannot be listened on), `storage` and `invalidInput`.
    public init(_ config: NodeConfig, keyStore: (any KeyStore)? = nil) async throws(DonpError) {
        let raw = try await onQueue { () throws -> DonpFFI.Node in
            try DonpFFI.Node(config: config.raw, keyStore: keyStore.map(RawKeyStore.init))
        }
        self.raw = raw
        id = NodeId(trusted: raw.id())
        name = raw.name()
        calls = OperationQueue()
        calls.name = "Donp.Node"
        calls.maxConcurrentOperationCount = 8
    }

    // MARK: Life

    /// Starts the node's thread and joins the network through `bootstraps` and any known node. Again is
    /// nothing.
    public func start() async throws(DonpError) {
        try await call { try $0.start() }
    }

    /// Says goodbye, stores and sends what is left, and waits until the thread has ended. The sequences of
    /// ``events()`` end. Again is nothing.
    /// - Throws: ``DonpError`` of the kind `internal` if the node had died of a bug.
    public func shutdown() async throws(DonpError) {
        try await long { try $0.shutdown() }
    }

    /// As ``shutdown()``, blocking the thread, for a moment that cannot wait in any other way, such as
    /// `applicationWillTerminate`.
    /// - Throws: ``DonpError`` of the kind `internal` if the node had died of a bug.
    public func shutdownBlocking() throws(DonpError) {
        try converting { try raw.shutdown() }
    }

    /// Ends the thread at once, as a crash of the process would: no peer gets a goodbye, and what was not stored yet
    /// is gone. To try what happens then.
    public func kill() async throws(DonpError) {
        try await long { try $0.kill() }
    }

    /// Panics inside the node, as a bug would: to try what an application does then.
    /// - Throws: Always ``DonpError`` of the kind `internal`.
    public func simulateCrash() async throws(DonpError) {
        try await call { try $0.simulateCrash() }
    }

    /// Whether the thread has ended.
    public var isClosed: Bool { raw.isClosed() }

    /// What the sockets are bound to, `ip:port`.
    public var localAddresses: [String] { raw.localAddresses() }

    // MARK: Network

    /// Enters the network.
    /// - Parameter places: `host:port` or `host:port/NodeId`, which are remembered, or an invitation: the
    ///   text without a colon. None: through any known node.
    /// - Throws: ``DonpError`` of the kinds `invalidInput` and `denied` (the invitation is for another
    ///   network).
    public func join(_ places: String...) async throws(DonpError) {
        try await join(places)
    }

    /// Enters the network, as `join` does, with places in a list.
    /// - Throws: ``DonpError`` of the kinds `invalidInput` and `denied` (the invitation is for another
    ///   network).
    public func join(_ places: [String]) async throws(DonpError) {
        try await call { raw in
            let invitations = places.filter { !$0.contains(":") }
            for invitation in invitations { try raw.joinTicket(invitation: invitation) }
            let addresses = places.filter { $0.contains(":") }
            if !addresses.isEmpty || invitations.isEmpty { try raw.join(places: addresses) }
        }
    }

    /// Enters the network, as `join` does, and returns with the first link.
    /// - Throws: ``DonpError`` of the kind `timeout` if there is none in that time; the node goes on trying.
    public func join(_ places: String..., wait: Duration) async throws(DonpError) {
        try await join(places)
        try await linked(wait, "no link") { (node) async throws(DonpError) in
            try await node.status().links > 0 ? true : nil
        }
    }

    /// Waits until there is a link with a node, however it comes about.
    /// - Throws: ``DonpError`` of the kind `timeout` if there is none in that time.
    @discardableResult
    public func waitFor(_ peer: NodeId, timeout: Duration = .seconds(60)) async throws(DonpError) -> Peer {
        try await linked(timeout, "no link with \(peer)") { (node) async throws(DonpError) in
            guard let found = try await node.peer(peer), found.linked else { return nil }
            return found
        }
    }

    /// The name that a node claims, such as the author of a message; nil if none is known.
    public func nameOf(_ id: NodeId) async throws(DonpError) -> String? {
        if id == self.id { return name }
        return try await peer(id)?.name
    }

    /// Looks again every 50 ms until there is something.
    @discardableResult
    private func linked<T: Sendable>(
        _ timeout: Duration, _ otherwise: String, look: (Node) async throws(DonpError) -> T?
    ) async throws(DonpError) -> T {
        let until = ContinuousClock.now + timeout
        while true {
            if let found = try await look(self) { return found }
            let isOver = ContinuousClock.now >= until || Task.isCancelled
            if isOver {
                throw DonpError(
                    kind: .timeout, text: "\(otherwise) within \(timeout)",
                    hint: "check that the other node runs and can be reached", retryable: true)
            }
            try? await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Says goodbye to everybody. What is queued waits for the next `join`.
    public func leave() async throws(DonpError) {
        try await call { try $0.leave() }
    }

    /// An invitation to this node's network. For a closed one it holds the key and is as secret.
    public func invite() async throws(DonpError) -> String {
        try await call { try $0.invite() }
    }

    // MARK: Saying

    /// Says something to one node.
    /// - Parameters:
    ///   - text: 1 to 65,536 bytes of UTF-8.
    ///   - to: The receiver. If it is away it gets it later, and ``Event/delivered(seq:id:to:)`` tells
    ///     when it has it.
    /// - Returns: The message, as soon as it is stored.
    /// - Throws: ``DonpError`` of the kinds `invalidInput`, `notFound` (`to` is not known), `denied` (it is
    ///   blocked, or a verified contact whose key changed), `busy` and `storage`.
    @discardableResult
    public func send(_ text: String, to: NodeId) async throws(DonpError) -> MessageId {
        try await send(.text(text), to: to)
    }

    /// Says something to one node, as `send` does: also a reply, a mark, an edit or a
    /// retraction.
    /// - Throws: ``DonpError`` of the kinds `invalidInput`, `notFound` (`to` is not known), `denied` (it is
    ///   blocked, or a verified contact whose key changed), `busy` and `storage`.
    @discardableResult
    public func send(_ content: Content, to: NodeId) async throws(DonpError) -> MessageId {
        MessageId(
            trusted: try await call { try $0.sendPrivate(to: to.description, content: content.raw) })
    }

    /// Says something to all nodes of the network. Absent nodes catch up later.
    /// - Parameter text: 1 to 65,536 bytes of UTF-8.
    /// - Returns: The message, as soon as it is stored.
    /// - Throws: ``DonpError`` of the kinds `invalidInput`, `busy` and `storage`.
    @discardableResult
    public func broadcast(_ text: String) async throws(DonpError) -> MessageId {
        try await broadcast(.text(text))
    }

    /// Says something to everybody in the network, as `broadcast` does: also a reply, a mark,
    /// an edit or a retraction.
    /// - Throws: ``DonpError`` of the kinds `invalidInput`, `busy` and `storage`.
    @discardableResult
    public func broadcast(_ content: Content) async throws(DonpError) -> MessageId {
        MessageId(trusted: try await call { try $0.broadcast(content: content.raw) })
    }

    /// Says something in a conversation.
    /// - Throws: As `send` and `broadcast`.
    @discardableResult
    public func say(_ content: Content, in conversation: Conversation) async throws(DonpError) -> MessageId {
        switch conversation {
        case .network: try await broadcast(content)
        case .private(let peer): try await send(content, to: peer)
        case .group(let group): try await sendToGroup(group, content)
        }
    }

    /// Answers a message where it was said.
    /// - Throws: As ``say(_:in:)``.
    @discardableResult
    public func reply(to message: Message, text: String) async throws(DonpError) -> MessageId {
        try await say(.reply(to: message.id, text: text), in: message.conversation)
    }

    /// Puts a short mark on a message, 1 to 64 bytes of UTF-8.
    /// - Throws: As ``say(_:in:)``.
    @discardableResult
    public func react(to message: Message, mark: String) async throws(DonpError) -> MessageId {
        try await say(.react(to: message.id, mark: mark), in: message.conversation)
    }

    /// Replaces the text of an own message.
    /// - Throws: As ``say(_:in:)``.
    @discardableResult
    public func edit(_ message: Message, text: String) async throws(DonpError) -> MessageId {
        try await say(.edit(of: message.id, text: text), in: message.conversation)
    }

    /// Takes an own message back. Nothing is erased from other people's devices.
    /// - Throws: As ``say(_:in:)``.
    @discardableResult
    public func retract(_ message: Message) async throws(DonpError) -> MessageId {
        try await say(.retract(message.id), in: message.conversation)
    }

    // MARK: Groups

    /// Makes a group of which this node is the owner (`createGroup`).
    /// - Parameters:
    ///   - name: 1 to 64 bytes.
    ///   - kind: Which nodes can join it.
    ///   - policy: Which role may do what.
    ///   - expiresIn: A temporary group ends so many seconds from now; others have no end.
    /// - Throws: ``DonpError`` of the kinds `invalidInput`, `denied` (kind and end do not fit) and `busy`
    ///   (there are 256 groups).
    public func createGroup(
        _ name: String, kind: GroupKind = .private, policy: GroupPolicy = GroupPolicy(),
        expiresIn: UInt64? = nil
    ) async throws(DonpError) -> GroupId {
        GroupId(
            trusted: try await call {
                try $0.createGroup(kind: kind.raw, name: name, policy: policy.raw, expiresIn: expiresIn)
            })
    }

    /// An invitation to a group (`inviteToGroup`). This node adds the nodes that use it, so it is to be online
    /// then.
    /// - Parameters:
    ///   - group: Which.
    ///   - role: What a newcomer is.
    ///   - uses: So many newcomers can come with it.
    ///   - expiresIn: It is good for so many seconds.
    ///   - node: For whom; nil for its bearer.
    /// - Throws: ``DonpError`` of the kinds `notFound` and `denied` (this node may not invite, or not with
    ///   that role).
    public func inviteToGroup(
        _ group: GroupId, role: GroupRole = .member, uses: Int = 1, expiresIn: UInt64 = 7 * 86_400,
        node: NodeId? = nil
    ) async throws(DonpError) -> String {
        let uses = try unsigned(uses, "the uses")
        return try await call {
            try $0.inviteToGroup(
                group: group.description, role: role.raw, uses: uses, expiresIn: expiresIn,
                node: node?.description)
        }
    }

    /// Asks to be a member of the group that an invitation names (`joinGroup`), now and then until it is
    /// answered, also after a restart. ``Event/groupChanged(seq:group:change:node:name:role:text:message:reason:)``
    /// says what became of it.
    /// - Throws: ``DonpError`` of the kinds `invalidInput` and `denied` (it is of another network, or this
    ///   node is a member already).
    public func joinGroup(_ invitation: String) async throws(DonpError) {
        try await call { try $0.joinGroup(invitation: invitation) }
    }

    /// Leaves a group, or cancels a request to join (`leaveGroup`). What was said while this node was a member
    /// stays.
    /// - Throws: ``DonpError`` of the kind `denied` for an owner with other members: hand the group over
    ///   first.
    public func leaveGroup(_ group: GroupId) async throws(DonpError) {
        try await call { try $0.leaveGroup(group: group.description) }
    }

    /// Removes a member of lower rank, for good with `ban` (`removeMember`). It reads nothing that is said
    /// from then on.
    /// - Throws: ``DonpError`` of the kinds `notFound` and `denied` (by rank).
    public func removeMember(_ group: GroupId, node: NodeId, ban: Bool = false) async throws(DonpError) {
        try await call {
            try $0.removeMember(group: group.description, node: node.description, ban: ban)
        }
    }

    /// Ends a ban: the node may be invited again.
    /// - Throws: As ``removeMember(_:node:ban:)``.
    public func unbanMember(_ group: GroupId, node: NodeId) async throws(DonpError) {
        try await call { try $0.unbanMember(group: group.description, node: node.description) }
    }

    /// Gives a member of lower rank another rank, below this node's (`setMemberRole`).
    /// - Throws: As ``removeMember(_:node:ban:)``.
    public func setMemberRole(_ group: GroupId, node: NodeId, role: GroupRole) async throws(DonpError) {
        try await call {
            try $0.setMemberRole(group: group.description, node: node.description, role: role.raw)
        }
    }

    /// Makes another member the owner (`transferOwnership`); this node is an admin from then on.
    /// - Throws: As ``removeMember(_:node:ban:)``.
    public func transferGroup(_ group: GroupId, node: NodeId) async throws(DonpError) {
        try await call { try $0.transferGroup(group: group.description, node: node.description) }
    }

    /// Gives a group another name, 1 to 64 bytes.
    /// - Throws: As ``removeMember(_:node:ban:)``.
    public func renameGroup(_ group: GroupId, name: String) async throws(DonpError) {
        try await call { try $0.renameGroup(group: group.description, name: name) }
    }

    /// Gives a group another description, at most 1,024 bytes.
    /// - Throws: As ``removeMember(_:node:ban:)``.
    public func describeGroup(_ group: GroupId, description: String) async throws(DonpError) {
        try await call { try $0.describeGroup(group: group.description, description: description) }
    }

    /// Shows a message of a group above the others; the last 64 are shown.
    /// - Throws: ``DonpError`` of the kind `denied` without the role that the policy's ``GroupPolicy/pin`` names, and
    ///   if it is pinned already.
    public func pinMessage(_ group: GroupId, message: MessageId) async throws(DonpError) {
        try await call { try $0.pinMessage(group: group.description, message: message.description) }
    }

    /// Ends ``pinMessage(_:message:)``.
    /// - Throws: ``DonpError`` of the kind `denied`, also if it is not pinned.
    public func unpinMessage(_ group: GroupId, message: MessageId) async throws(DonpError) {
        try await call { try $0.unpinMessage(group: group.description, message: message.description) }
    }

    /// Gives a group another policy: for its owner.
    /// - Throws: As ``removeMember(_:node:ban:)``.
    public func setGroupPolicy(_ group: GroupId, policy: GroupPolicy) async throws(DonpError) {
        try await call { try $0.setGroupPolicy(group: group.description, policy: policy.raw) }
    }

    /// Adds a node that asked to join, or says no.
    /// - Throws: As ``removeMember(_:node:ban:)``.
    public func answerJoin(_ group: GroupId, node: NodeId, approve: Bool) async throws(DonpError) {
        try await call {
            try $0.answerJoin(group: group.description, node: node.description, approve: approve)
        }
    }

    /// Says something to the members of a group (`sendGroupMessage`). Absent members catch up later,
    /// from any other.
    /// - Throws: ``DonpError`` of the kinds `notFound`, `denied` (this node may not post there),
    ///   `invalidInput` and `storage`.
    @discardableResult
    public func sendToGroup(_ group: GroupId, _ content: Content) async throws(DonpError) -> MessageId {
        MessageId(
            trusted: try await call { try $0.sendToGroup(group: group.description, content: content.raw) })
    }

    /// Says something to the members of a group, as `sendToGroup` does.
    /// - Throws: ``DonpError`` of the kinds `notFound`, `denied` (this node may not post there),
    ///   `invalidInput` and `storage`.
    @discardableResult
    public func sendToGroup(_ group: GroupId, _ text: String) async throws(DonpError) -> MessageId {
        try await sendToGroup(group, .text(text))
    }

    /// The groups that this node is or was a member of (`listGroups`).
    public func groups() async throws(DonpError) -> [GroupInfo] {
        try await call { try $0.groups() }.map { GroupInfo($0) }
    }

    /// One of them, with its members; nil if this node is and was in no such group.
    public func group(_ group: GroupId) async throws(DonpError) -> GroupInfo? {
        try await call { try $0.group(group: group.description) }.map { GroupInfo($0) }
    }

    /// Groups that this node asked to join and is no member of yet.
    public func joiningGroups() async throws(DonpError) -> [JoiningGroup] {
        try await call { try $0.joiningGroups() }.map { JoiningGroup($0) }
    }

    // MARK: Files

    /// Adds a file from disk, so that it can be sent as ``Content/file(_:text:)``. Its name is that of the path. It
    /// is kept sealed in the store; the one on disk may go then.
    /// - Throws: ``DonpError`` of the kinds `storage` (it cannot be read), `invalidInput` (it is too large, or
    ///   changed while it was read) and `busy` (no room for it).
    public func addFile(path: String, mediaType: String = "") async throws(DonpError) -> Attachment {
        Attachment(try await call { try $0.addFile(path: path, mediaType: mediaType) })
    }

    /// Adds bytes as a file with this name.
    /// - Throws: As ``addFile(path:mediaType:)``.
    public func addFile(
        bytes: Data, name: String, mediaType: String = ""
    ) async throws(DonpError) -> Attachment {
        Attachment(try await call { try $0.addFileBytes(bytes: bytes, name: name, mediaType: mediaType) })
    }

    /// Fetches a file that a message of this conversation names. It goes on after a restart;
    /// ``Event/fileReceived(seq:file:)`` says that it is here.
    /// - Parameters:
    ///   - conversation: Where the message is.
    ///   - file: What it names.
    ///   - author: The author of the message, which is asked first.
    /// - Throws: ``DonpError`` of the kinds `invalidInput` (it is too large) and `busy` (no room for it).
    public func fetchFile(
        _ conversation: Conversation, file: Attachment, author: NodeId? = nil
    ) async throws(DonpError) {
        try await call {
            try $0.fetchFile(conversation: conversation.raw, file: file.raw, author: author?.description)
        }
    }

    /// The files that are here or being fetched, in the order in which they came.
    public func files() async throws(DonpError) -> [FileInfo] {
        try await call { try $0.files() }.map { FileInfo($0) }
    }

    /// The bytes of one part of a file, 65,520 of them but for the last; nil if it is not here.
    public func readFile(_ file: FileId, part: Int) async throws(DonpError) -> Data? {
        let part = try unsigned(part, "the part")
        return try await call { try $0.readFile(file: file.description, part: part) }
    }

    /// Writes a file that is here whole to a new file on disk, and gives its size. What is there already is not
    /// replaced.
    /// - Throws: ``DonpError`` of the kinds `notFound` (it is not here whole) and `storage`.
    @discardableResult
    public func saveFile(_ file: FileId, path: String) async throws(DonpError) -> UInt64 {
        try await call { try $0.saveFile(file: file.description, path: path) }
    }

    /// Removes a file here, or ends its fetch. Others keep theirs.
    public func removeFile(_ file: FileId) async throws(DonpError) {
        try await call { try $0.removeFile(file: file.description) }
    }

    // MARK: Reading

    /// A page of a conversation, oldest first.
    /// - Parameters:
    ///   - conversation: Which one.
    ///   - before: Where the page ends; nil for the newest.
    ///   - limit: At most this many messages, 1,000 at most.
    /// - Throws: ``DonpError`` of the kinds `storage`, `timeout` and `damaged`.
    public func history(
        _ conversation: Conversation, before: MessageId? = nil, limit: Int = 100
    ) async throws(DonpError) -> HistoryPage {
        let limit = try unsigned(limit, "the limit")
        return HistoryPage(
            try await call {
                try $0.history(conversation: conversation.raw, before: before?.description, limit: limit)
            })
    }

    /// The newest messages that contain `text` in any case, oldest first.
    /// - Parameters:
    ///   - conversation: Which one.
    ///   - text: At least one character.
    ///   - before: Where to begin going backwards; nil for the newest.
    ///   - limit: At most this many messages, 1,000 at most. One call looks at 2,000 messages: pass `older`
    ///     as `before` to go on, until it is nil.
    /// - Throws: ``DonpError`` of the kinds `invalidInput` (no text), `storage`, `timeout` and `damaged`.
    public func search(
        _ conversation: Conversation, for text: String, before: MessageId? = nil, limit: Int = 100
    ) async throws(DonpError) -> HistoryPage {
        let limit = try unsigned(limit, "the limit")
        return HistoryPage(
            try await call {
                try $0.search(
                    conversation: conversation.raw, text: text, before: before?.description, limit: limit)
            })
    }

    /// A new sequence of events, each call its own: durable ones from the oldest that was not acknowledged,
    /// volatile ones from this call on, not from when iterating begins.
    public func events() -> Events { Events(raw.subscribe()) }

    /// Every durable event up to and including `seq` was handled: it does not come again. Nil, which is the
    /// ``Event/seq`` of a volatile event, is nothing.
    /// - Throws: ``DonpError`` of the kind `notFound` for a number that no event has.
    public func ack(_ seq: UInt64?) async throws(DonpError) {
        guard let seq else { return }
        try await call { try $0.ack(seq: seq) }
    }

    /// The node at a glance.
    public func status() async throws(DonpError) -> NodeStatus {
        NodeStatus(try await call { try $0.status() })
    }

    /// Nodes that were met or named by others, at most `max`, by id.
    public func peers(max: Int = 1_000) async throws(DonpError) -> [Peer] {
        let max = try unsigned(max, "the maximum")
        return try await call { try $0.peers(max: max) }.map(Peer.init)
    }

    /// What is known of one node; nil if it was never met or named by others.
    public func peer(_ id: NodeId) async throws(DonpError) -> Peer? {
        try await call { try $0.peer(id: id.description) }.map(Peer.init)
    }

    /// Whether a private message waits for its acknowledgement.
    public func isQueued(_ id: MessageId) async throws(DonpError) -> Bool {
        try await call { try $0.isQueued(id: id.description) }
    }

    // MARK: Contacts

    /// All of the book, by id: contacts, and requests of strangers.
    public func contacts() async throws(DonpError) -> [Contact] {
        try await call { try $0.contacts() }.map { Contact($0) }
    }

    /// One of the book; nil if the node is neither a contact nor has a request.
    public func contact(_ node: NodeId) async throws(DonpError) -> Contact? {
        try await call { try $0.contact(node: node.description) }.map { Contact($0) }
    }

    /// Makes a node a contact, with an own name for it if one is given: 1 to 64 bytes, and of no other contact.
    /// Accepts its request. A node that is written to becomes a contact too.
    /// - Throws: ``DonpError`` of the kinds `invalidInput` (the name, or this node itself), `alreadyExists`
    ///   (another contact has the name) and `busy` (there are 4,096).
    public func addContact(_ node: NodeId, petname: String? = nil) async throws(DonpError) {
        try await call { try $0.addContact(node: node.description, petname: petname) }
    }

    /// Gives a contact another own name, or none.
    /// - Throws: ``DonpError`` of the kind `notFound` for no contact; for the name as
    ///   ``addContact(_:petname:)``.
    public func renameContact(_ node: NodeId, petname: String?) async throws(DonpError) {
        try await call { try $0.renameContact(node: node.description, petname: petname) }
    }

    /// Takes a contact, or a request, out of the book: name, verification, muting. Its messages stay, as does a
    /// block; its next message is a request.
    /// - Throws: ``DonpError`` of the kind `notFound`.
    public func removeContact(_ node: NodeId) async throws(DonpError) {
        try await call { try $0.removeContact(node: node.description) }
    }

    /// Accepts the request of a stranger.
    /// - Throws: ``DonpError`` of the kind `notFound` if it has none.
    public func acceptContact(_ node: NodeId) async throws(DonpError) {
        try await call { try $0.acceptContact(node: node.description) }
    }

    /// Mutes a contact, or ends that: what it says makes no events, and is in the history and among what is
    /// unread.
    /// - Throws: ``DonpError`` of the kind `notFound` for no contact.
    public func muteContact(_ node: NodeId, muted: Bool = true) async throws(DonpError) {
        try await call { try $0.muteContact(node: node.description, muted: muted) }
    }

    /// The safety number with a node of the book: equal at both unless there is a man in the middle.
    /// - Throws: ``DonpError`` of the kind `notFound` if it is not in the book, or its keys are not known yet;
    ///   those of a linked node are asked for, so that it can be tried again.
    public func safetyNumber(_ node: NodeId) async throws(DonpError) -> SafetyNumber {
        SafetyNumber(try await call { try $0.safetyNumber(node: node.description) })
    }

    /// Compares what the other side says or shows with the safety number: 60 digits in any groups, or the code
    /// that was scanned. If it is right the contact is verified, also after a change.
    /// - Throws: ``DonpError`` of the kinds `denied` (it is not right), `invalidInput` (it is neither) and
    ///   `notFound` as ``safetyNumber(_:)``.
    public func verifyContact(_ node: NodeId, shown: String) async throws(DonpError) {
        try await call { try $0.verifyContact(node: node.description, shown: shown) }
    }

    /// Goes on with a verified contact whose key changed without comparing again: it is not verified any more,
    /// and messages go to it.
    /// - Throws: ``DonpError`` of the kind `notFound` if its key did not change.
    public func acceptChange(_ node: NodeId) async throws(DonpError) {
        try await call { try $0.acceptChange(node: node.description) }
    }

    /// The devices of this node's account, the most senior first: at most eight. If this one is not among them it
    /// was removed.
    public func devices() async throws(DonpError) -> [DeviceInfo] {
        try await call { try $0.devices() }.map { DeviceInfo($0) }
    }

    /// The devices of the account that a node is of, as far as it is known; the node alone before that.
    public func devicesOf(_ node: NodeId) async throws(DonpError) -> [NodeId] {
        try await call { try $0.devicesOf(node: node.description) }.map { NodeId(trusted: $0) }
    }

    /// Makes a ticket with which another device of the same person joins this node's account. It is good for one
    /// device and ten minutes, and as secret as the account for that time.
    /// - Throws: ``DonpError`` of the kind `denied` if the account has eight devices, its list was changed fifteen
    ///   times, or this device was removed from it.
    public func addDevice() async throws(DonpError) -> String {
        try await call { try $0.addDevice() }
    }

    /// Joins the account of the device that shows this ticket, and its network. This device's own account, without
    /// other devices and private messages, is over. ``Event/devicesChanged(seq:node:device:added:)`` follows;
    /// ``isJoiningAccount()`` is false before if it was refused.
    /// - Throws: ``DonpError`` of the kinds `invalidInput` (the ticket) and `denied` (this device is of an account
    ///   with other devices or private messages).
    public func joinAccount(_ ticket: String) async throws(DonpError) {
        try await call { try $0.joinAccount(ticket: ticket) }
    }

    /// Whether this device waits to be taken into an account, or for the lists of one to recover.
    public func isJoiningAccount() async throws(DonpError) -> Bool {
        try await call { try $0.isJoiningAccount() }
    }

    /// Gives this device another name: 1 to 64 bytes.
    public func renameDevice(_ name: String) async throws(DonpError) {
        try await call { try $0.renameDevice(name: name) }
    }

    /// Removes a device from this node's account: a newer one than this, or this one itself.
    /// - Throws: ``DonpError`` of the kinds `notFound` (no device of it) and `denied` (an older one, or the last).
    public func removeDevice(_ node: NodeId) async throws(DonpError) {
        try await call { try $0.removeDevice(node: node.description) }
    }

    /// Makes this device the only one of the account of a recovery code. If its lists are not here, linked nodes
    /// are asked for ten minutes.
    /// - Throws: ``DonpError`` of the kind `invalidInput` for the code.
    public func recoverAccount(_ code: String) async throws(DonpError) {
        try await call { try $0.recoverAccount(code: code) }
    }

    /// The recovery code of the account that this profile began with: its holder can take the account over. Nil if
    /// the profile does not hold it.
    public func recoveryCode() async throws(DonpError) -> String? {
        try await call { try $0.recoveryCode() }
    }

    /// Conversations with what is unread in each, those of groups and the network's included.
    public func conversations() async throws(DonpError) -> [ConversationInfo] {
        try await call { try $0.conversations() }.map { ConversationInfo($0) }
    }

    /// A conversation was read up to and including this message, or all of it. Others get it only with the
    /// setting `chat.send_read_marks`. A mark never goes back.
    /// - Throws: ``DonpError`` of the kind `notFound` if there is no such conversation.
    public func markRead(_ conversation: Conversation, upto: MessageId? = nil) async throws(DonpError) {
        try await call { try $0.markRead(conversation: conversation.raw, upto: upto?.description) }
    }

    /// Which members have a message of this node in a group or a private conversation. It never says too much: a member
    /// that is away is counted when it, or what it says, comes here.
    /// - Throws: ``DonpError`` of the kinds `notFound` (it is no own message among the newest 1,024 or on the pages
    ///   of history read since the start) and `denied` (the network's conversation).
    public func confirmations(
        _ conversation: Conversation, of message: MessageId
    ) async throws(DonpError) -> Confirmations {
        Confirmations(
            try await call {
                try $0.confirmations(conversation: conversation.raw, message: message.description)
            })
    }

    /// The user types in a group of up to 32 members, or in a private conversation that this node spoke in. To be
    /// called with each change of the text: others get ``Event/typing(conversation:node:active:)`` at most every
    /// 3 s, and it ends by itself.
    /// - Throws: ``DonpError`` of the kinds `notFound` and `denied` (another kind of conversation, or this node may
    ///   not post).
    public func sendTyping(_ conversation: Conversation) async throws(DonpError) {
        try await call { try $0.sendTyping(conversation: conversation.raw) }
    }

    /// Deletes all that is here of a private conversation. The other side keeps its own. What comes later is
    /// shown.
    /// - Throws: ``DonpError`` of the kinds `notFound` and `denied` (another kind of conversation).
    public func deleteConversation(_ conversation: Conversation) async throws(DonpError) {
        try await call { try $0.deleteConversation(conversation: conversation.raw) }
    }

    /// Challenges the device of a node over its link (`authenticateNode`). ``Event/authenticated(peer:result:)``
    /// says the result in at most ten seconds. A node without a link is contacted first.
    /// - Throws: ``DonpError`` of the kinds `notFound` (it was never met or named by others), `invalidInput` (it is
    ///   this node) and `denied` (it is blocked).
    public func authenticateNode(_ peer: NodeId) async throws(DonpError) {
        try await call { try $0.authenticateNode(peer: peer.description) }
    }

    // MARK: When something seems wrong

    /// The members of this node's zone, by id, without itself; recently departed ones are still in it. Empty
    /// where the network has more than 64 nodes.
    public func members() async throws(DonpError) -> [ZoneMember] {
        try await call { try $0.members() }.map(ZoneMember.init)
    }

    /// Asks a node whether it is there, at once (`detectNodeFailure`). ``Event/memberChanged(peer:state:)``
    /// answers: alive, or suspect after at most ten seconds; a suspect of this node's zone is watched further,
    /// and found down or alive.
    /// - Throws: ``DonpError`` of the kinds `notFound` (it was never met or named by others), `invalidInput` (it is
    ///   this node) and `notRunning`.
    public func detectNodeFailure(_ peer: NodeId) async throws(DonpError) {
        try await call { try $0.detectNodeFailure(peer: peer.description) }
    }

    /// Blocks a node, for good and across restarts: there is no link with it, and its private messages are neither
    /// taken nor answered; those to it that wait fail with ``FailReason/blocked``. What it says to many is kept and
    /// passed on, but it is in no event and no page of the history. It gets no notice.
    /// - Throws: ``DonpError`` of the kind `invalidInput` if it is this node.
    public func block(_ peer: NodeId) async throws(DonpError) {
        try await call { try $0.block(peer: peer.description) }
    }

    /// Ends ``block(_:)``. What the node said to many meanwhile is in the history again, without events.
    public func unblock(_ peer: NodeId) async throws(DonpError) {
        try await call { try $0.unblock(peer: peer.description) }
    }

    /// Blocked nodes, by id.
    public func blocked() async throws(DonpError) -> [NodeId] {
        try await call { try $0.blocked() }.map { NodeId(trusted: $0) }
    }

    /// These nodes seem to be cut off, or this one from them (`handleNetworkPartition`): each is asked, as by
    /// ``detectNodeFailure(_:)``, and contacted anew; with none named, a node met before is. Parts that do
    /// not hear of each other merge.
    /// - Throws: As ``detectNodeFailure(_:)``, before anything is done.
    public func reportPartition(_ peers: [NodeId] = []) async throws(DonpError) {
        try await call { try $0.reportPartition(peers: peers.map(\.description)) }
    }

    /// Mends what failed without waiting (`recoverFromFailure`).
    /// - Throws: ``DonpError`` of the kind `notRunning` while suspended.
    public func recoverFromFailure(_ failure: FailureType) async throws(DonpError) {
        try await call { try $0.recoverFromFailure(failure: failure.raw) }
    }

    /// Compares what is said with another node at once, and fetches what is missing, on both sides
    /// (`synchronizeState`). A node without a link is contacted first.
    /// - Throws: As ``detectNodeFailure(_:)``.
    public func synchronizeState(with peer: NodeId) async throws(DonpError) {
        try await call { try $0.synchronizeState(peer: peer.description) }
    }

    /// A node near may be there: what Bonjour or Bluetooth found. A hint, tried once;
    /// ``Event/peerUp(peer:name:)`` tells if it was right.
    /// - Parameters:
    ///   - address: `ip:port`.
    ///   - id: If it is known: another node that answers there is refused.
    /// - Throws: ``DonpError`` of the kind `invalidInput` for what is no address.
    public func handleLocalPeer(at address: String, id: NodeId? = nil) async throws(DonpError) {
        try await call { try $0.handleLocalPeer(address: address, id: id?.description) }
    }

    // MARK: The profile

    /// Looks at every record of this node's profile while it runs; takes as long as reading the whole file.
    /// - Throws: ``DonpError`` of the kind `invalidInput` if the node is in memory.
    public func check() async throws(DonpError) -> Checked {
        let found = try await long { try $0.check() }
        return Checked(records: found.records, problems: found.problems, lost: found.lost)
    }

    /// Copies this node's profile as of now. ``restoreProfile(from:to:)`` makes a profile of the copy.
    /// - Parameter to: Must not be there. One file if the name ends with `.donp`, else a folder.
    /// - Returns: Whether the copy holds the key that opens it: then who can read it can read everything in it.
    /// - Throws: ``DonpError`` of the kinds `alreadyExists` and `invalidInput` (the node is in memory).
    @discardableResult
    public func backup(to: String) async throws(DonpError) -> Bool {
        try await long { try $0.backup(to: to) }
    }

    // MARK: Sleeping

    /// Before the system freezes the app: stores everything and closes the file. Until ``resume()`` nothing is
    /// received, and calls that need the store throw `notRunning`. Again is nothing.
    public func suspend() async throws(DonpError) {
        try await long { try $0.suspend() }
    }

    /// After the system let the app go on. Again is nothing.
    public func resume() async throws(DonpError) {
        try await long { try $0.resume() }
    }

    /// For the short time that a system gives a sleeping app: resumes, exchanges what there is, and suspends
    /// again if the node was suspended.
    /// - Parameter seconds: It takes at most this long, 600 at most.
    @discardableResult
    public func backgroundFetch(seconds: Int) async throws(DonpError) -> FetchResult {
        let seconds = UInt64(try unsigned(seconds, "the time"))
        let fetched = try await long { try $0.backgroundFetch(seconds: seconds) }
        return FetchResult(events: fetched.events, caughtUp: fetched.caughtUp)
    }

    /// The system changed networks: every link is probed at once.
    public func networkChanged() async throws(DonpError) {
        try await call { try $0.networkChanged() }
    }

    /// A call that the node answers soon.
    private func call<T: Sendable>(
        _ body: @escaping @Sendable (DonpFFI.Node) throws -> T
    ) async throws(DonpError) -> T {
        let raw = raw
        let result: Result<T, DonpError> = await withCheckedContinuation { continuation in
            calls.addOperation { continuation.resume(returning: converted { try body(raw) }) }
        }
        return try result.get()
    }

    /// A call that may take seconds, which the short ones do not wait for.
    private func long<T: Sendable>(
        _ body: @escaping @Sendable (DonpFFI.Node) throws -> T
    ) async throws(DonpError) -> T {
        let raw = raw
        return try await onQueue { try body(raw) }
    }
}

private let queue = DispatchQueue(label: "Donp", attributes: .concurrent)

private func onQueue<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws(DonpError) -> T {
    let result: Result<T, DonpError> = await withCheckedContinuation { continuation in
        queue.async { continuation.resume(returning: converted(body)) }
    }
    return try result.get()
}

private func converted<T>(_ body: () throws -> T) -> Result<T, DonpError> {
    do {
        return .success(try body())
    } catch {
        return .failure(DonpError(error))
    }
}
