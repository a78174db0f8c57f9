package org.donp

/** Which nodes can join a group, and which can know of it. */
public enum class GroupKind {
    /** Everybody who has its id may join, so nothing in it is secret. */
    Public,

    /** By invitation. */
    Private,

    /** By invitation, and no trace of it outside its members. */
    Secret,

    /** By invitation, until a moment that its creation names. */
    Temporary,

    /** A kind of a newer version. */
    Other,
}

/** The rank of a member, the lowest first. No member acts on an equal or a higher one. */
public enum class GroupRole {
    /** Reads. */
    Guest,

    /** Reads and posts. */
    Member,

    /** Removes members and guests. */
    Moderator,

    /** Invites, removes and ranks all below. */
    Admin,

    /** One node, whose operations no member undoes. */
    Owner,

    /** A rank of a newer version. */
    Other,
}

/** What changed in a group; the other fields of [Event.GroupChanged] say more. */
public enum class GroupChange {
    /** This node is a member now. */
    Joined,

    /** This node is no member any more: it left, or was removed. */
    Ended,

    /** This node was not added; `reason` says why. */
    Refused,

    /** `node`, which claims to be called `name`, would like to join and waits for a member that may invite. */
    Asked,

    /** `node` is a member now, as `role`. */
    Added,

    /** `node` is no member any more: it left, or was removed. */
    Removed,

    /** The rank of `node` is `role` now. */
    Ranked,

    /** The name is `text` now. */
    Renamed,

    /** The description is `text` now. */
    Described,

    /** The policy is another. */
    PolicyChanged,

    /** `message` is pinned now. */
    Pinned,

    /** `message` is not pinned any more. */
    Unpinned,

    /** A change of a newer version. */
    Other,
}

/** Why a node is not added to a group. */
public enum class Refusal {
    /** The invitation is used up, expired, for another node, or its signer may not invite. */
    Invitation,

    /** The node is banned from the group. */
    Banned,

    /** The asked node is not a member, or may not add members. */
    Asked,

    /** A member that may invite declined. */
    Declined,

    /** A reason of a newer version. */
    Other,
}

/** How much of what was said before a newcomer may read. */
public sealed class GroupHistory {
    /** Nothing. */
    public data object Nothing : GroupHistory()

    /**
     * The newest messages.
     *
     * @property count so many of them
     */
    public data class Newest(val count: Int) : GroupHistory()

    /**
     * The messages of the last days.
     *
     * @property days so many days
     */
    public data class Days(val days: Int) : GroupHistory()

    /** All of it. */
    public data object Everything : GroupHistory()

    /** Something of a newer version. It cannot be set. */
    public data object Other : GroupHistory()
}

/**
 * The least rank for each action in a group.
 *
 * @property invite signs invitations
 * @property post posts
 * @property describe changes name and description
 * @property pin pins messages
 * @property approve whether a node with an invitation to the bearer waits for the approval of a member that may invite
 * @property history what newcomers may read
 */
public data class GroupPolicy(
    val invite: GroupRole = GroupRole.Admin,
    val post: GroupRole = GroupRole.Member,
    val describe: GroupRole = GroupRole.Admin,
    val pin: GroupRole = GroupRole.Moderator,
    val approve: Boolean = false,
    val history: GroupHistory = GroupHistory.Nothing,
)

/**
 * A group.
 *
 * @property id which
 * @property kind who can join it
 * @property name its name
 * @property description its description, empty if there is none
 * @property policy who may do what
 * @property expiresMs a temporary group ends then, in milliseconds since 1970
 * @property role this node's rank; null if it is no member any more
 * @property members the members, by id
 * @property pinned pinned messages, the one that was pinned last at the end: the last 64; one may not be here, or not
 *   readable
 * @property requests nodes that wait for the approval of a member that may invite
 * @property holdsKey whether this node holds the key of the present members
 * @property keyHolders how many members hold it, this node included, as far as is known here; 0 in a PUBLIC group
 * @property epochs keys of which one opens what was said between two changes of the members: a thief of this device
 *   could read so far
 * @property state equal at two members exactly if both know of the same changes, in hexadecimal
 */
public data class GroupInfo(
    val id: GroupId,
    val kind: GroupKind,
    val name: String,
    val description: String,
    val policy: GroupPolicy,
    val expiresMs: Long?,
    val role: GroupRole?,
    val members: List<GroupMember>,
    val pinned: List<MessageId>,
    val requests: List<NodeId>,
    val holdsKey: Boolean,
    val keyHolders: Int,
    val epochs: Int,
    val state: String,
)

/**
 * A member of a group: a person with up to eight devices.
 *
 * @property id the node that was added: it names the member, also when the device is gone
 * @property role its rank, which each of its devices has
 * @property devices its devices, by id
 */
public data class GroupMember(val id: NodeId, val role: GroupRole, val devices: List<NodeId>)

/**
 * A group that this node asked to join and is no member of yet.
 *
 * @property id which
 * @property name its name in the ticket; a claim
 */
public data class JoiningGroup(val id: GroupId, val name: String)

internal fun GroupKind.toRaw(): org.donp.ffi.GroupKind = when (this) {
    GroupKind.Public -> org.donp.ffi.GroupKind.PUBLIC
    GroupKind.Private -> org.donp.ffi.GroupKind.PRIVATE
    GroupKind.Secret -> org.donp.ffi.GroupKind.SECRET
    GroupKind.Temporary -> org.donp.ffi.GroupKind.TEMPORARY
    GroupKind.Other -> org.donp.ffi.GroupKind.OTHER
}

internal fun org.donp.ffi.GroupKind.toPublic(): GroupKind = when (this) {
    org.donp.ffi.GroupKind.PUBLIC -> GroupKind.Public
    org.donp.ffi.GroupKind.PRIVATE -> GroupKind.Private
    org.donp.ffi.GroupKind.SECRET -> GroupKind.Secret
    org.donp.ffi.GroupKind.TEMPORARY -> GroupKind.Temporary
    org.donp.ffi.GroupKind.OTHER -> GroupKind.Other
}

internal fun GroupRole.toRaw(): org.donp.ffi.GroupRole = when (this) {
    GroupRole.Guest -> org.donp.ffi.GroupRole.GUEST
    GroupRole.Member -> org.donp.ffi.GroupRole.MEMBER
    GroupRole.Moderator -> org.donp.ffi.GroupRole.MODERATOR
    GroupRole.Admin -> org.donp.ffi.GroupRole.ADMIN
    GroupRole.Owner -> org.donp.ffi.GroupRole.OWNER
    GroupRole.Other -> org.donp.ffi.GroupRole.OTHER
}

internal fun org.donp.ffi.GroupRole.toPublic(): GroupRole = when (this) {
    org.donp.ffi.GroupRole.GUEST -> GroupRole.Guest
    org.donp.ffi.GroupRole.MEMBER -> GroupRole.Member
    org.donp.ffi.GroupRole.MODERATOR -> GroupRole.Moderator
    org.donp.ffi.GroupRole.ADMIN -> GroupRole.Admin
    org.donp.ffi.GroupRole.OWNER -> GroupRole.Owner
    org.donp.ffi.GroupRole.OTHER -> GroupRole.Other
}

internal fun org.donp.ffi.GroupChange.toPublic(): GroupChange = when (this) {
    org.donp.ffi.GroupChange.JOINED -> GroupChange.Joined
    org.donp.ffi.GroupChange.ENDED -> GroupChange.Ended
    org.donp.ffi.GroupChange.REFUSED -> GroupChange.Refused
    org.donp.ffi.GroupChange.ASKED -> GroupChange.Asked
    org.donp.ffi.GroupChange.ADDED -> GroupChange.Added
    org.donp.ffi.GroupChange.REMOVED -> GroupChange.Removed
    org.donp.ffi.GroupChange.RANKED -> GroupChange.Ranked
    org.donp.ffi.GroupChange.RENAMED -> GroupChange.Renamed
    org.donp.ffi.GroupChange.DESCRIBED -> GroupChange.Described
    org.donp.ffi.GroupChange.POLICY_CHANGED -> GroupChange.PolicyChanged
    org.donp.ffi.GroupChange.PINNED -> GroupChange.Pinned
    org.donp.ffi.GroupChange.UNPINNED -> GroupChange.Unpinned
    org.donp.ffi.GroupChange.OTHER -> GroupChange.Other
}

internal fun org.donp.ffi.Refusal.toPublic(): Refusal = when (this) {
    org.donp.ffi.Refusal.INVITATION -> Refusal.Invitation
    org.donp.ffi.Refusal.BANNED -> Refusal.Banned
    org.donp.ffi.Refusal.ASKED -> Refusal.Asked
    org.donp.ffi.Refusal.DECLINED -> Refusal.Declined
    org.donp.ffi.Refusal.OTHER -> Refusal.Other
}

internal fun GroupHistory.toRaw(): org.donp.ffi.GroupHistory = when (this) {
    GroupHistory.Nothing -> org.donp.ffi.GroupHistory.Nothing
    is GroupHistory.Newest -> org.donp.ffi.GroupHistory.Newest(count.toU32("the count"))
    is GroupHistory.Days -> org.donp.ffi.GroupHistory.Days(days.toU32("the days"))
    GroupHistory.Everything -> org.donp.ffi.GroupHistory.Everything
    GroupHistory.Other -> org.donp.ffi.GroupHistory.Other
}

internal fun org.donp.ffi.GroupHistory.toPublic(): GroupHistory = when (this) {
    is org.donp.ffi.GroupHistory.Nothing -> GroupHistory.Nothing
    is org.donp.ffi.GroupHistory.Newest -> GroupHistory.Newest(count.clamp())
    is org.donp.ffi.GroupHistory.Days -> GroupHistory.Days(days.clamp())
    is org.donp.ffi.GroupHistory.Everything -> GroupHistory.Everything
    is org.donp.ffi.GroupHistory.Other -> GroupHistory.Other
}

internal fun GroupPolicy.toRaw() = org.donp.ffi.GroupPolicy(
    invite = invite.toRaw(),
    post = post.toRaw(),
    describe = describe.toRaw(),
    pin = pin.toRaw(),
    approve = approve,
    history = history.toRaw(),
)

internal fun org.donp.ffi.GroupPolicy.toPublic() = GroupPolicy(
    invite = invite.toPublic(),
    post = post.toPublic(),
    describe = describe.toPublic(),
    pin = pin.toPublic(),
    approve = approve,
    history = history.toPublic(),
)

internal fun org.donp.ffi.GroupInfo.toPublic() = GroupInfo(
    id = GroupId(id),
    kind = kind.toPublic(),
    name = name,
    description = description,
    policy = policy.toPublic(),
    expiresMs = expiresMs?.clamp(),
    role = role?.toPublic(),
    members = members.map { GroupMember(NodeId(it.id), it.role.toPublic(), it.devices.map { id -> NodeId(id) }) },
    pinned = pinned.map { MessageId(it) },
    requests = requests.map { NodeId(it) },
    holdsKey = holdsKey,
    keyHolders = keyHolders.clamp(),
    epochs = epochs.clamp(),
    state = state,
)

internal fun org.donp.ffi.JoiningGroup.toPublic() = JoiningGroup(GroupId(id), name)
