internal import DonpFFI
import Foundation

/// Something that happened.
///
/// Those with a ``seq`` are durable: they come again, also after a restart, until ``Node/ack(_:)`` was called
/// with their number or a higher one. The others are volatile: they tell what changes, not what is.
public enum Event: Hashable, Sendable {
    /// Durable. A message of another author is in a conversation, stored and in causal order.
    case received(seq: UInt64, message: Message)
    /// Durable. The other side has stored a private message.
    case delivered(seq: UInt64, id: MessageId, to: NodeId)
    /// Durable. A private message will not be delivered.
    case failed(seq: UInt64, id: MessageId, to: NodeId, reason: FailReason)
    /// Durable. An author said two different things under one number of the log `life`: its profile was copied,
    /// or it cheats. Both stay in the history, in the order that all nodes have.
    case forked(seq: UInt64, conversation: Conversation, author: NodeId, life: String, number: UInt64)
    /// Durable. Another copy of this profile speaks in a conversation: this one was restored from a backup, or
    /// runs twice. It starts a new message log, and nothing that either said is lost.
    case lifeBegun(seq: UInt64, conversation: Conversation)
    /// Durable. Something changed in a group, or in an application to join one. What does not belong to the
    /// change is nil: `node` asked, was added, removed or ranked, `name` is what a node that asked claims,
    /// `role` is its rank, `text` the new name or description, `message` the one that was pinned or is not any
    /// more, and `reason` why this node was not added.
    case groupChanged(
        seq: UInt64, group: GroupId, change: GroupChange, node: NodeId?, name: String?, role: GroupRole?,
        text: String?, message: MessageId?, reason: Refusal?)
    /// Durable. A file is here whole: it was asked for, or is small.
    case fileReceived(seq: UInt64, file: FileId)
    /// More of a file is here: `bytes` of `size`, from so many nodes.
    case fileProgress(file: FileId, bytes: UInt64, size: UInt64, holders: UInt64)
    /// Members have stored or read more of what this node said: those that have the newest message of it that rose, or
    /// an entry without text. Of older ones ask ``Node/confirmations(_:of:)``. A private message that is stored has
    /// ``delivered(seq:id:to:)`` instead.
    case confirmed(conversation: Conversation, confirmations: Confirmations)
    /// A node types in a group or a private conversation, or has stopped: it sent a message, six seconds are
    /// over, or it is not linked.
    case typing(conversation: Conversation, node: NodeId, active: Bool)
    /// Durable. A stranger wrote a private message for the first time: it is in the book as a request until it is
    /// answered.
    case contactRequest(seq: UInt64, node: NodeId)
    /// Durable. A verified contact has another key: nothing is sent to it until
    /// ``Node/verifyContact(_:shown:)`` or ``Node/acceptChange(_:)``.
    case contactChanged(seq: UInt64, node: NodeId)
    /// Durable. A device came to the account of a contact or of this node, or is gone from it: `node` is the first
    /// device of the account, which stands for the person. A verified contact counts as changed until it was
    /// looked at.
    case devicesChanged(seq: UInt64, node: NodeId, device: NodeId, added: Bool)
    /// This node's state changed.
    case stateChanged(before: NodeState, after: NodeState)
    /// A node is linked to this one. The name is what it claims, once it is known.
    case peerUp(peer: NodeId, name: String?)
    /// A node is not linked any more.
    case peerDown(peer: NodeId, reason: DownReason)
    /// What this node holds of a member of its zone changed, or ``Node/detectNodeFailure(_:)`` asked for it.
    /// New members of the zone are found in ``Node/members()``.
    case memberChanged(peer: NodeId, state: MemberState)
    /// The result of ``Node/authenticateNode(_:)``: whether the device of the node is at the other end of the link.
    case authenticated(peer: NodeId, result: AuthenticationResult)
    /// The user set something on another of its devices: contacts, blocks and what is unread are to be read again.
    case accountDataChanged
    /// A queue that refused a call with ``DonpError/Kind/busy`` has room again.
    case writable
    /// The reader was too slow and this many volatile events were lost: read the state again. Messages are
    /// in the history.
    case lagged(missed: UInt64)
    /// Something of a newer version, which this one cannot show; durable if it has a number.
    case unknown(seq: UInt64?)

    /// The number to give to ``Node/ack(_:)``; nil for a volatile event.
    public var seq: UInt64? {
        switch self {
        case .received(let seq, _), .delivered(let seq, _, _), .failed(let seq, _, _, _): seq
        case .forked(let seq, _, _, _, _), .lifeBegun(let seq, _): seq
        case .groupChanged(let seq, _, _, _, _, _, _, _, _): seq
        case .fileReceived(let seq, _): seq
        case .contactRequest(let seq, _), .contactChanged(let seq, _): seq
        case .devicesChanged(let seq, _, _, _): seq
        case .unknown(let seq): seq
        case .fileProgress, .confirmed, .typing, .stateChanged, .peerUp, .peerDown, .memberChanged,
            .authenticated, .accountDataChanged, .writable, .lagged:
            nil
        }
    }
}

/// Where a node is in its life.
public enum NodeState: String, Hashable, Sendable {
    /// Made, not yet joining.
    case initializing
    /// Looking for a node that answers.
    case discovering
    /// A link is open; asking to be taken as a neighbour.
    case connecting
    /// In the network.
    case active
    /// Lost its neighbours, or a good part of all peers at once, and is looking for them.
    case degraded
    /// Linked again after that; catching up.
    case recovering
    /// Said goodbye.
    case leaving
}

/// Why a link went down.
public enum DownReason: String, Hashable, Sendable {
    /// Nothing was received for too long.
    case timeout
    /// The other side said goodbye.
    case closed
    /// The other side started anew.
    case restarted
    /// This node no longer needs it.
    case unwanted
    /// There are too many links.
    case full
    /// It sent forged messages.
    case misbehaved
    /// A reason of a newer version.
    case other
}

/// Why a private message will not be delivered.
public enum FailReason: String, Hashable, Sendable {
    /// It was not delivered in the time that it is kept for, 30 days of running.
    case expired
    /// The other side rejects it.
    case refused
    /// The other side is blocked here.
    case blocked
    /// A reason of a newer version.
    case other
}

extension Event {
    init(_ raw: DonpFFI.Event) {
        switch raw {
        case .received(let seq, let message): self = .received(seq: seq, message: Message(message))
        case .delivered(let seq, let id, let to):
            self = .delivered(seq: seq, id: MessageId(trusted: id), to: NodeId(trusted: to))
        case .failed(let seq, let id, let to, let reason):
            self = .failed(
                seq: seq, id: MessageId(trusted: id), to: NodeId(trusted: to), reason: FailReason(reason))
        case .forked(let seq, let conversation, let author, let life, let number):
            self = .forked(
                seq: seq, conversation: Conversation(conversation), author: NodeId(trusted: author),
                life: life,
                number: number)
        case .lifeBegun(let seq, let conversation):
            self = .lifeBegun(seq: seq, conversation: Conversation(conversation))
        case .groupChanged(
            let seq, let group, let change, let node, let name, let role, let text, let message,
            let reason):
            self = .groupChanged(
                seq: seq, group: GroupId(trusted: group), change: GroupChange(change),
                node: node.map { NodeId(trusted: $0) }, name: name, role: role.map { GroupRole($0) },
                text: text, message: message.map { MessageId(trusted: $0) },
                reason: reason.map { Refusal($0) })
        case .fileReceived(let seq, let file): self = .fileReceived(seq: seq, file: FileId(trusted: file))
        case .fileProgress(let file, let bytes, let size, let holders):
            self = .fileProgress(file: FileId(trusted: file), bytes: bytes, size: size, holders: holders)
        case .confirmed(let conversation, let confirmations):
            self = .confirmed(
                conversation: Conversation(conversation), confirmations: Confirmations(confirmations))
        case .typing(let conversation, let node, let active):
            self = .typing(
                conversation: Conversation(conversation), node: NodeId(trusted: node), active: active)
        case .contactRequest(let seq, let node):
            self = .contactRequest(seq: seq, node: NodeId(trusted: node))
        case .contactChanged(let seq, let node):
            self = .contactChanged(seq: seq, node: NodeId(trusted: node))
        case .devicesChanged(let seq, let node, let device, let added):
            self = .devicesChanged(
                seq: seq, node: NodeId(trusted: node), device: NodeId(trusted: device), added: added)
        case .authenticated(let peer, let result):
            self = .authenticated(peer: NodeId(trusted: peer), result: AuthenticationResult(result))
        case .stateChanged(let before, let after):
            self = .stateChanged(before: NodeState(before), after: NodeState(after))
        case .peerUp(let peer, let name): self = .peerUp(peer: NodeId(trusted: peer), name: name)
        case .peerDown(let peer, let reason):
            self = .peerDown(peer: NodeId(trusted: peer), reason: DownReason(reason))
        case .memberChanged(let peer, let state):
            self = .memberChanged(peer: NodeId(trusted: peer), state: MemberState(state))
        case .accountDataChanged: self = .accountDataChanged
        case .writable: self = .writable
        case .lagged(let missed): self = .lagged(missed: missed)
        case .unknown(let seq): self = .unknown(seq: seq)
        }
    }
}

extension NodeState {
    init(_ raw: DonpFFI.NodeState) {
        switch raw {
        case .initializing: self = .initializing
        case .discovering: self = .discovering
        case .connecting: self = .connecting
        case .active: self = .active
        case .degraded: self = .degraded
        case .recovering: self = .recovering
        case .leaving: self = .leaving
        }
    }
}

extension DownReason {
    init(_ raw: DonpFFI.DownReason) {
        switch raw {
        case .timeout: self = .timeout
        case .closed: self = .closed
        case .restarted: self = .restarted
        case .unwanted: self = .unwanted
        case .full: self = .full
        case .misbehaved: self = .misbehaved
        case .other: self = .other
        }
    }
}

extension FailReason {
    init(_ raw: DonpFFI.FailReason) {
        switch raw {
        case .expired: self = .expired
        case .refused: self = .refused
        case .blocked: self = .blocked
        case .other: self = .other
        }
    }
}
