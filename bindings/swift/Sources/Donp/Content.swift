internal import DonpFFI
import Foundation

/// What a message says.
public enum Content: Hashable, Sendable {
    /// Plain text, 1 to 65,536 bytes of UTF-8.
    case text(String)
    /// Text in answer to a message, 1 to 65,536 bytes of UTF-8.
    case reply(to: MessageId, text: String)
    /// Replaces the text of an own message; 1 to 65,536 bytes of UTF-8.
    case edit(of: MessageId, text: String)
    /// A short mark on a message, 1 to 64 bytes of UTF-8.
    case react(to: MessageId, mark: String)
    /// Takes an own message back. Nothing is erased from other people's devices.
    case retract(MessageId)
    /// A file, and 0 to 4,096 bytes of UTF-8 to go with it. ``Node/addFile(path:mediaType:)`` makes the attachment.
    case file(Attachment, text: String = "")
    /// Something of a newer version, which this one cannot show and cannot send.
    case unknown

    /// What is to be read: of a text, a reply, an edit or a file. Nil for the others.
    public var text: String? {
        switch self {
        case .text(let text), .reply(_, let text), .edit(_, let text), .file(_, let text): text
        case .react, .retract, .unknown: nil
        }
    }
}

/// The parties of a conversation.
public enum Conversation: Hashable, Sendable {
    /// Everybody in the network.
    case network
    /// This node and one other.
    case `private`(NodeId)
    /// The members of a group.
    case group(GroupId)
}

/// One component of the clock of a message.
public struct ClockEntry: Hashable, Sendable {
    /// The author.
    public let author: NodeId
    /// Which of the author's logs, in hexadecimal.
    public let life: String
    /// How many messages of it, from the first without gaps.
    public let count: UInt64

    /// An entry of one's own making, for previews and tests.
    public init(author: NodeId, life: String, count: UInt64) {
        self.author = author
        self.life = life
        self.count = count
    }
}

/// A message as a conversation holds it.
public struct Message: Hashable, Sendable, Identifiable {
    /// Its place in the order of the conversation and the hash of its header. Ids compare in that order.
    public let id: MessageId
    /// Where it was said.
    public let conversation: Conversation
    /// Its author.
    public let author: NodeId
    /// Which of the author's logs it is in, in hexadecimal. A profile that was restored or copied has several.
    public let life: String
    /// The author's number for it in this log, from 1. In a busy conversation merges without text count too.
    public let seq: UInt64
    /// One more than the deepest message its author had seen: rises along every causal step.
    public let depth: UInt64
    /// What the author had seen, this message included. Nil in a conversation with more than 64 authors, and
    /// in an event that comes again after a restart: the history has it.
    public let clock: [ClockEntry]?
    /// The author's wall clock in milliseconds since 1970: to show, never used for order.
    public let sentAtMs: UInt64
    /// Its content, as it was sent.
    public let content: Content
    /// The text that its author's last edit gave it.
    public let edited: String?
    /// Whether its author has retracted it.
    public let retracted: Bool

    /// The author's wall clock: to show, never used for order.
    public var sentAt: Date { Date(timeIntervalSince1970: Double(sentAtMs) / 1_000) }
    /// What is to be read of a text, a reply or an edit: as edited, nil if retracted. Nil for the others.
    public var text: String? { retracted ? nil : content.text.map { edited ?? $0 } }

    /// A message of one's own making, for previews and tests.
    public init(
        id: MessageId, conversation: Conversation, author: NodeId, life: String, seq: UInt64, depth: UInt64,
        clock: [ClockEntry]?, sentAtMs: UInt64, content: Content, edited: String? = nil,
        retracted: Bool = false
    ) {
        self.id = id
        self.conversation = conversation
        self.author = author
        self.life = life
        self.seq = seq
        self.depth = depth
        self.clock = clock
        self.sentAtMs = sentAtMs
        self.content = content
        self.edited = edited
        self.retracted = retracted
    }
}

/// A page of a conversation.
public struct HistoryPage: Hashable, Sendable {
    /// Oldest first.
    public let messages: [Message]
    /// Give this as `before` for the page before; nil at the beginning.
    public let older: MessageId?
}

extension Content {
    init(_ raw: DonpFFI.Content) {
        switch raw {
        case .text(let text): self = .text(text)
        case .reply(let to, let text): self = .reply(to: MessageId(trusted: to), text: text)
        case .edit(let of, let text): self = .edit(of: MessageId(trusted: of), text: text)
        case .react(let to, let mark): self = .react(to: MessageId(trusted: to), mark: mark)
        case .retract(let id): self = .retract(MessageId(trusted: id))
        case .file(let file, let text): self = .file(Attachment(file), text: text)
        case .unknown: self = .unknown
        }
    }

    var raw: DonpFFI.Content {
        switch self {
        case .text(let text): .text(text: text)
        case .reply(let to, let text): .reply(replyTo: to.description, text: text)
        case .edit(let of, let text): .edit(editOf: of.description, text: text)
        case .react(let to, let mark): .react(reactTo: to.description, mark: mark)
        case .retract(let id): .retract(retract: id.description)
        case .file(let file, let text): .file(file: file.raw, text: text)
        case .unknown: .unknown
        }
    }
}

extension Conversation {
    init(_ raw: DonpFFI.Conversation) {
        switch raw {
        case .network: self = .network
        case .private(let peer): self = .private(NodeId(trusted: peer))
        case .group(let group): self = .group(GroupId(trusted: group))
        }
    }

    var raw: DonpFFI.Conversation {
        switch self {
        case .network: .network
        case .private(let peer): .private(peer: peer.description)
        case .group(let group): .group(group: group.description)
        }
    }
}

extension Message {
    init(_ raw: DonpFFI.Message) {
        self.init(
            id: MessageId(trusted: raw.id), conversation: Conversation(raw.conversation),
            author: NodeId(trusted: raw.author), life: raw.life, seq: raw.seq, depth: raw.depth,
            clock: raw.clock.map { $0.map(ClockEntry.init) }, sentAtMs: raw.sentAtMs,
            content: Content(raw.content), edited: raw.edited, retracted: raw.retracted)
    }
}

extension ClockEntry {
    init(_ raw: DonpFFI.ClockEntry) {
        self.init(author: NodeId(trusted: raw.author), life: raw.life, count: raw.count)
    }
}

extension HistoryPage {
    init(_ raw: DonpFFI.HistoryPage) {
        self.init(messages: raw.messages.map(Message.init), older: raw.older.map(MessageId.init(trusted:)))
    }
}
