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
    /// Something of a newer version, which this one cannot show and cannot send.
    case unknown

    /// What is to be read: of a text, a reply or an edit. Nil for the others.
    public var text: String? {
        switch self {
        case .text(let text), .reply(_, let text), .edit(_, let text): text
        case .react, .retract, .unknown: nil
        }
    }
}

/// Who a conversation is between.
public enum Conversation: Hashable, Sendable {
    /// Everybody in the network.
    case network
    /// This node and one other.
    case `private`(NodeId)
}

/// A message as a conversation holds it.
public struct Message: Hashable, Sendable, Identifiable {
    /// The hash of conversation, author and content.
    public let id: MessageId
    /// Where it was said.
    public let conversation: Conversation
    /// Who said it.
    public let author: NodeId
    /// The author's number for it in this conversation, from 1 without gaps.
    public let seq: UInt64
    /// One more than the deepest message its author had seen: rises along every causal step.
    public let depth: UInt64
    /// The author's wall clock in milliseconds since 1970: to show, never used for order.
    public let sentAtMs: UInt64
    /// What it says.
    public let content: Content

    /// The author's wall clock: to show, never used for order.
    public var sentAt: Date { Date(timeIntervalSince1970: Double(sentAtMs) / 1_000) }
    /// What is to be read: of a text, a reply or an edit. Nil for the others.
    public var text: String? { content.text }
    /// Where it stands in its conversation's order.
    public var position: Position { Position(depth: depth, author: author, id: id) }

    /// A message of one's own making, for previews and tests.
    public init(
        id: MessageId, conversation: Conversation, author: NodeId, seq: UInt64, depth: UInt64,
        sentAtMs: UInt64, content: Content
    ) {
        self.id = id
        self.conversation = conversation
        self.author = author
        self.seq = seq
        self.depth = depth
        self.sentAtMs = sentAtMs
        self.content = content
    }
}

/// A place in a conversation's order, which is the same for everybody: by causal depth, then author,
/// then id.
public struct Position: Hashable, Sendable {
    /// Causal depth.
    public let depth: UInt64
    /// Whose message.
    public let author: NodeId
    /// Which message.
    public let id: MessageId

    /// A position that was kept somewhere, part by part.
    public init(depth: UInt64, author: NodeId, id: MessageId) {
        self.depth = depth
        self.author = author
        self.id = id
    }
}

/// A page of a conversation.
public struct HistoryPage: Hashable, Sendable {
    /// Oldest first.
    public let messages: [Message]
    /// Give this as `before` for the page before; nil at the beginning.
    public let older: Position?
}

extension Content {
    init(_ raw: DonpFFI.Content) {
        switch raw {
        case .text(let text): self = .text(text)
        case .reply(let to, let text): self = .reply(to: MessageId(trusted: to), text: text)
        case .edit(let of, let text): self = .edit(of: MessageId(trusted: of), text: text)
        case .react(let to, let mark): self = .react(to: MessageId(trusted: to), mark: mark)
        case .retract(let id): self = .retract(MessageId(trusted: id))
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
        case .unknown: .unknown
        }
    }
}

extension Conversation {
    init(_ raw: DonpFFI.Conversation) {
        switch raw {
        case .network: self = .network
        case .private(let peer): self = .private(NodeId(trusted: peer))
        }
    }

    var raw: DonpFFI.Conversation {
        switch self {
        case .network: .network
        case .private(let peer): .private(peer: peer.description)
        }
    }
}

extension Message {
    init(_ raw: DonpFFI.Message) {
        self.init(
            id: MessageId(trusted: raw.id), conversation: Conversation(raw.conversation),
            author: NodeId(trusted: raw.author), seq: raw.seq, depth: raw.depth, sentAtMs: raw.sentAtMs,
            content: Content(raw.content))
    }
}

extension Position {
    init(_ raw: DonpFFI.Position) {
        self.init(depth: raw.depth, author: NodeId(trusted: raw.author), id: MessageId(trusted: raw.id))
    }

    var raw: DonpFFI.Position { .init(depth: depth, author: author.description, id: id.description) }
}

extension HistoryPage {
    init(_ raw: DonpFFI.HistoryPage) {
        self.init(messages: raw.messages.map(Message.init), older: raw.older.map(Position.init))
    }
}
