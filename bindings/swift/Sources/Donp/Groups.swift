internal import DonpFFI

/// Which nodes can join a group, and which can know of it.
public enum GroupKind: String, Hashable, Sendable {
    /// Everybody who has its id may join, so nothing in it is secret.
    case `public`
    /// By invitation.
    case `private`
    /// By invitation, and no trace of it outside its members.
    case secret
    /// By invitation, until a moment that its creation names.
    case temporary
    /// A kind of a newer version.
    case other
}

/// The rank of a member. No member acts on an equal or a higher one.
public enum GroupRole: String, Hashable, Sendable {
    /// Reads.
    case guest
    /// Reads and posts.
    case member
    /// Removes members and guests.
    case moderator
    /// Invites, removes and ranks all below.
    case admin
    /// One node, whose operations no member undoes.
    case owner
    /// A rank of a newer version.
    case other
}

/// What changed in a group; the other values of the event say more.
public enum GroupChange: String, Hashable, Sendable {
    /// This node is a member now.
    case joined
    /// This node is no member any more: it left, or was removed.
    case ended
    /// This node was not added; `reason` says why.
    case refused
    /// `node`, which claims to be called `name`, would like to join and waits for a member that may invite.
    case asked
    /// `node` is a member now, as `role`.
    case added
    /// `node` is no member any more: it left, or was removed.
    case removed
    /// The rank of `node` is `role` now.
    case ranked
    /// The name is `text` now.
    case renamed
    /// The description is `text` now.
    case described
    /// The policy is another.
    case policyChanged
    /// `message` is pinned now.
    case pinned
    /// `message` is not pinned any more.
    case unpinned
    /// A change of a newer version.
    case other
}

/// Why a node is not added to a group.
public enum Refusal: String, Hashable, Sendable {
    /// The invitation is used up, expired, for another node, or its signer may not invite.
    case invitation
    /// The node is banned from the group.
    case banned
    /// The asked node is not a member, or may not add members.
    case asked
    /// A member that may invite declined.
    case declined
    /// A reason of a newer version.
    case other
}

/// How much of what was said before a newcomer may read.
public enum GroupHistory: Hashable, Sendable {
    /// Nothing.
    case nothing
    /// The newest messages, so many of them.
    case newest(UInt32)
    /// The messages of so many days.
    case days(UInt32)
    /// All of it.
    case everything
    /// Something of a newer version. It cannot be set.
    case other
}

/// The least rank for each action in a group.
public struct GroupPolicy: Hashable, Sendable {
    /// Signs invitations.
    public let invite: GroupRole
    /// Posts.
    public let post: GroupRole
    /// Changes name and description.
    public let describe: GroupRole
    /// Pins messages.
    public let pin: GroupRole
    /// Whether a node with an invitation to the bearer waits for the approval of a member that may invite.
    public let approve: Bool
    /// What newcomers may read.
    public let history: GroupHistory

    /// Without arguments: the usual one.
    public init(
        invite: GroupRole = .admin, post: GroupRole = .member, describe: GroupRole = .admin,
        pin: GroupRole = .moderator, approve: Bool = false, history: GroupHistory = .nothing
    ) {
        self.invite = invite
        self.post = post
        self.describe = describe
        self.pin = pin
        self.approve = approve
        self.history = history
    }
}

/// A group.
public struct GroupInfo: Hashable, Sendable, Identifiable {
    /// Which.
    public let id: GroupId
    /// Which nodes can join it.
    public let kind: GroupKind
    /// Its name.
    public let name: String
    /// Its description, empty if there is none.
    public let description: String
    /// Which role may do what.
    public let policy: GroupPolicy
    /// A temporary group ends then, in milliseconds since 1970.
    public let expiresMs: UInt64?
    /// This node's rank; nil if it is no member any more.
    public let role: GroupRole?
    /// The members, by id.
    public let members: [GroupMember]
    /// Pinned messages, the one that was pinned last at the end: the last 64. One may not be here, or not readable.
    public let pinned: [MessageId]
    /// Nodes that wait for the word of a member who may invite.
    public let requests: [NodeId]
    /// Whether this node holds the key of the present members.
    public let holdsKey: Bool
    /// How many members hold it, this node included, as far as is known here; 0 in a PUBLIC group.
    public let keyHolders: Int
    /// Keys of which one opens what was said between two changes of the members: a thief of this device could
    /// read so far.
    public let epochs: Int
    /// Equal at two members exactly if both know of the same changes, in hexadecimal.
    public let state: String
}

/// A member of a group: a person with up to eight devices.
public struct GroupMember: Hashable, Sendable, Identifiable {
    /// The node that was added: it names the member, also when the device is gone.
    public let id: NodeId
    /// Its rank, which each of its devices has.
    public let role: GroupRole
    /// Its devices, by id.
    public let devices: [NodeId]
}

/// A group that this node asked to join and is no member of yet.
public struct JoiningGroup: Hashable, Sendable, Identifiable {
    /// Which.
    public let id: GroupId
    /// Its name in the ticket; a claim.
    public let name: String
}

extension GroupKind {
    init(_ raw: DonpFFI.GroupKind) {
        switch raw {
        case .public: self = .public
        case .private: self = .private
        case .secret: self = .secret
        case .temporary: self = .temporary
        case .other: self = .other
        }
    }

    var raw: DonpFFI.GroupKind {
        switch self {
        case .public: .public
        case .private: .private
        case .secret: .secret
        case .temporary: .temporary
        case .other: .other
        }
    }
}

extension GroupRole {
    init(_ raw: DonpFFI.GroupRole) {
        switch raw {
        case .guest: self = .guest
        case .member: self = .member
        case .moderator: self = .moderator
        case .admin: self = .admin
        case .owner: self = .owner
        case .other: self = .other
        }
    }

    var raw: DonpFFI.GroupRole {
        switch self {
        case .guest: .guest
        case .member: .member
        case .moderator: .moderator
        case .admin: .admin
        case .owner: .owner
        case .other: .other
        }
    }
}

extension GroupChange {
    init(_ raw: DonpFFI.GroupChange) {
        switch raw {
        case .joined: self = .joined
        case .ended: self = .ended
        case .refused: self = .refused
        case .asked: self = .asked
        case .added: self = .added
        case .removed: self = .removed
        case .ranked: self = .ranked
        case .renamed: self = .renamed
        case .described: self = .described
        case .policyChanged: self = .policyChanged
        case .pinned: self = .pinned
        case .unpinned: self = .unpinned
        case .other: self = .other
        }
    }
}

extension Refusal {
    init(_ raw: DonpFFI.Refusal) {
        switch raw {
        case .invitation: self = .invitation
        case .banned: self = .banned
        case .asked: self = .asked
        case .declined: self = .declined
        case .other: self = .other
        }
    }
}

extension GroupHistory {
    init(_ raw: DonpFFI.GroupHistory) {
        switch raw {
        case .nothing: self = .nothing
        case .newest(let count): self = .newest(count)
        case .days(let days): self = .days(days)
        case .everything: self = .everything
        case .other: self = .other
        }
    }

    var raw: DonpFFI.GroupHistory {
        switch self {
        case .nothing: .nothing
        case .newest(let count): .newest(count: count)
        case .days(let days): .days(days: days)
        case .everything: .everything
        case .other: .other
        }
    }
}

extension GroupPolicy {
    init(_ raw: DonpFFI.GroupPolicy) {
        self.init(
            invite: GroupRole(raw.invite), post: GroupRole(raw.post), describe: GroupRole(raw.describe),
            pin: GroupRole(raw.pin), approve: raw.approve, history: GroupHistory(raw.history))
    }

    var raw: DonpFFI.GroupPolicy {
        DonpFFI.GroupPolicy(
            invite: invite.raw, post: post.raw, describe: describe.raw, pin: pin.raw, approve: approve,
            history: history.raw)
    }
}

extension GroupInfo {
    init(_ raw: DonpFFI.GroupInfo) {
        self.init(
            id: GroupId(trusted: raw.id), kind: GroupKind(raw.kind), name: raw.name,
            description: raw.description, policy: GroupPolicy(raw.policy), expiresMs: raw.expiresMs,
            role: raw.role.map { GroupRole($0) },
            members: raw.members.map {
                GroupMember(
                    id: NodeId(trusted: $0.id), role: GroupRole($0.role),
                    devices: $0.devices.map { NodeId(trusted: $0) })
            },
            pinned: raw.pinned.map { MessageId(trusted: $0) },
            requests: raw.requests.map { NodeId(trusted: $0) }, holdsKey: raw.holdsKey,
            keyHolders: Int(raw.keyHolders), epochs: Int(raw.epochs), state: raw.state)
    }
}

extension JoiningGroup {
    init(_ raw: DonpFFI.JoiningGroup) {
        self.init(id: GroupId(trusted: raw.id), name: raw.name)
    }
}
