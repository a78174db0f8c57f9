internal import DonpFFI

/// Whether the keys of a contact were compared.
public enum Verification: String, Hashable, Sendable {
    /// Its safety number was not compared.
    case unverified
    /// Its safety number was compared and is right.
    case verified
    /// It was verified, and has another key since: nothing is sent to it until that is looked at.
    case changed
    /// Something of a newer version.
    case other
}

/// The result of ``Node/authenticateNode(_:)``.
public enum AuthenticationResult: String, Hashable, Sendable {
    /// The device of the node is at the other end of the link.
    case authenticated
    /// The other end answered, and does not have the device's key or is not on this link.
    case failed
    /// There was no answer in ten seconds, or no link.
    case timeout
    /// A result of a newer version.
    case other
}

/// A node in the book of another: a contact, or a stranger with a request.
public struct Contact: Hashable, Sendable {
    /// The party: one device.
    public let node: NodeId
    /// The own name for it, at most 64 bytes.
    public let petname: String?
    /// The name that it claims.
    public let name: String?
    /// Whether it is a stranger that wrote, and waits for an answer.
    public let request: Bool
    /// Whether its keys were compared.
    public let verification: Verification
    /// Whether its messages make no events.
    public let muted: Bool
    /// Whether it is blocked.
    public let blocked: Bool
    /// When it came into the book, in milliseconds since 1970.
    public let addedMs: UInt64
    /// Its private messages that were not read.
    public let unread: Int
}

/// Which members have a message of this node, as far as is known here.
public struct Confirmations: Hashable, Sendable {
    /// Which.
    public let message: MessageId
    /// Members that may read it, without this node and blocked nodes; 1 in a private conversation.
    public let members: Int
    /// Those of them that have stored it.
    public let stored: [NodeId]
    /// Those that say that they have read it, with the setting `chat.send_read_marks` on.
    public let read: [NodeId]
}

/// A conversation at a glance.
public struct ConversationInfo: Hashable, Sendable {
    /// Which.
    public let conversation: Conversation
    /// Texts and answers of others that were not read.
    public let unread: Int
    /// The message up to which it was read.
    public let read: MessageId?
    /// Whether it is with a stranger that waits for an answer.
    public let request: Bool
}

/// What two people compare to know that they have each other's keys.
public struct SafetyNumber: Hashable, Sendable {
    /// 60 digits in twelve groups of five with blanks between: equal at both.
    public let number: String
    /// The keys themselves, 213 characters for a QR code, which the other device scans.
    public let code: String
}

extension Verification {
    init(_ raw: DonpFFI.Verification) {
        switch raw {
        case .unverified: self = .unverified
        case .verified: self = .verified
        case .changed: self = .changed
        case .other: self = .other
        }
    }
}

extension AuthenticationResult {
    init(_ raw: DonpFFI.AuthenticationResult) {
        switch raw {
        case .authenticated: self = .authenticated
        case .failed: self = .failed
        case .timeout: self = .timeout
        case .other: self = .other
        }
    }
}

extension Contact {
    init(_ raw: DonpFFI.Contact) {
        self.init(
            node: NodeId(trusted: raw.node), petname: raw.petname, name: raw.name, request: raw.request,
            verification: Verification(raw.verification), muted: raw.muted, blocked: raw.blocked,
            addedMs: raw.addedMs, unread: Int(raw.unread))
    }
}

extension ConversationInfo {
    init(_ raw: DonpFFI.ConversationInfo) {
        self.init(
            conversation: Conversation(raw.conversation), unread: Int(raw.unread),
            read: raw.read.map { MessageId(trusted: $0) }, request: raw.request)
    }
}

extension Confirmations {
    init(_ raw: DonpFFI.Confirmations) {
        self.init(
            message: MessageId(trusted: raw.message), members: Int(raw.members),
            stored: raw.stored.map { NodeId(trusted: $0) }, read: raw.read.map { NodeId(trusted: $0) })
    }
}

extension SafetyNumber {
    init(_ raw: DonpFFI.SafetyNumber) {
        self.init(number: raw.number, code: raw.code)
    }
}
