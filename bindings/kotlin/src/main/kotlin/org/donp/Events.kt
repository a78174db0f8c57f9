package org.donp

/**
 * Something that happened.
 *
 * [Received], [Delivered], [Failed], [Forked], [LifeBegun], [GroupChanged], [FileReceived], [ContactRequest],
 * [ContactChanged] and [DevicesChanged] are durable: they come again after a restart until [Node.ack] was called with them or a later one. The
 * others are volatile: each stream keeps 1,024 of them.
 */
public sealed class Event {
    /** The number to acknowledge; null if the event is volatile. */
    public abstract val seq: Long?

    /**
     * A message of another author is in a conversation, stored and in causal order.
     *
     * @property message what was said
     */
    public data class Received(override val seq: Long, val message: Message) : Event()

    /**
     * The other side has stored a private message.
     *
     * @property id which message
     * @property to the node that has it
     */
    public data class Delivered(override val seq: Long, val id: MessageId, val to: NodeId) : Event()

    /**
     * A private message will not be delivered.
     *
     * @property id which message
     * @property to the node that should have had it
     * @property reason why
     */
    public data class Failed(
        override val seq: Long,
        val id: MessageId,
        val to: NodeId,
        val reason: FailReason,
    ) : Event()

    /**
     * An author said two different things under one number: its profile was copied, or it cheats. Both stay in the
     * history, in the order that all nodes have.
     *
     * @property conversation the conversation
     * @property author the author
     * @property life which of the author's logs, in hexadecimal
     * @property number the number of both messages in that log
     */
    public data class Forked(
        override val seq: Long,
        val conversation: Conversation,
        val author: NodeId,
        val life: String,
        val number: Long,
    ) : Event()

    /**
     * Another copy of this profile speaks in a conversation: this one was restored from a backup, or runs twice. It
     * starts a new message log, and nothing that either said is lost.
     *
     * @property conversation the conversation
     */
    public data class LifeBegun(override val seq: Long, val conversation: Conversation) : Event()

    /**
     * Something changed in a group, or in an application to join one. Fields that do not belong to the change are null.
     *
     * @property group which group
     * @property change what changed
     * @property node the node that asked, was added, removed or ranked
     * @property name the name that a node which asked claims
     * @property role the rank of the node
     * @property text the new name or description
     * @property message the message that was pinned, or is not any more
     * @property reason why this node was not added
     */
    public data class GroupChanged(
        override val seq: Long,
        val group: GroupId,
        val change: GroupChange,
        val node: NodeId?,
        val name: String?,
        val role: GroupRole?,
        val text: String?,
        val message: MessageId?,
        val reason: Refusal?,
    ) : Event()

    /**
     * A file is here whole: it was asked for, or is small.
     *
     * @property file which
     */
    public data class FileReceived(override val seq: Long, val file: FileId) : Event()

    /**
     * More of a file is here.
     *
     * @property file which
     * @property bytes bytes that are here
     * @property size of so many
     * @property holders nodes that it is being fetched from
     */
    public data class FileProgress(
        val file: FileId,
        val bytes: Long,
        val size: Long,
        val holders: Long,
    ) : Event() {
        override val seq: Long? get() = null
    }

    /**
     * Members have stored or read more of what this node said. A private message that is stored has [Delivered] instead.
     *
     * @property conversation where
     * @property confirmations who has the newest message of this node that rose, or an entry without text; of older
     *   ones ask [Node.confirmations]
     */
    public data class Confirmed(
        val conversation: Conversation,
        val confirmations: Confirmations,
    ) : Event() {
        override val seq: Long? get() = null
    }

    /**
     * A node types in a group or a private conversation, or has stopped: it sent a message, six seconds are over,
     * or it is not linked.
     *
     * @property conversation where
     * @property node who
     * @property active whether it types
     */
    public data class Typing(
        val conversation: Conversation,
        val node: NodeId,
        val active: Boolean,
    ) : Event() {
        override val seq: Long? get() = null
    }

    /**
     * A stranger wrote a private message for the first time: it is in the book as a request until it is answered.
     *
     * @property node which node
     */
    public data class ContactRequest(override val seq: Long, val node: NodeId) : Event()

    /**
     * A verified contact has another key: nothing is sent to it until [Node.verifyContact] or [Node.acceptChange].
     *
     * @property node which node
     */
    public data class ContactChanged(override val seq: Long, val node: NodeId) : Event()

    /**
     * A device came to the account of a contact or of this node, or is gone from it. A verified contact counts as changed
     * until it was looked at.
     *
     * @property node the first device of the account, which stands for the person
     * @property device which device
     * @property added whether it came, or is gone
     */
    public data class DevicesChanged(
        override val seq: Long,
        val node: NodeId,
        val device: NodeId,
        val added: Boolean,
    ) : Event()

    /**
     * This node's state changed.
     *
     * @property before the state it had
     * @property after the state it has
     */
    public data class StateChanged(val before: NodeState, val after: NodeState) : Event() {
        override val seq: Long? get() = null
    }

    /**
     * A node is linked to this one.
     *
     * @property peer who
     * @property name the name it claims, once it is known
     */
    public data class PeerUp(val peer: NodeId, val name: String?) : Event() {
        override val seq: Long? get() = null
    }

    /**
     * A node is not linked any more.
     *
     * @property peer who
     * @property reason why
     */
    public data class PeerDown(val peer: NodeId, val reason: DownReason) : Event() {
        override val seq: Long? get() = null
    }

    /**
     * What this node holds of a member of its zone changed, or [Node.detectNodeFailure] asked for it. A node that is
     * new in the zone is found in [Node.members].
     *
     * @property peer who
     * @property state what it is held for
     */
    public data class MemberChanged(val peer: NodeId, val state: MemberState) : Event() {
        override val seq: Long? get() = null
    }

    /**
     * The result of [Node.authenticateNode].
     *
     * @property peer which node
     * @property result whether its device is at the other end of the link
     */
    public data class Authenticated(val peer: NodeId, val result: AuthenticationResult) : Event() {
        override val seq: Long? get() = null
    }

    /** The user set something on another of its devices: contacts, blocks and what is unread are to be read again. */
    public data object AccountDataChanged : Event() {
        override val seq: Long? get() = null
    }

    /** A queue that refused a call with [DonpException.Busy] has room again. */
    public data object Writable : Event() {
        override val seq: Long? get() = null
    }

    /**
     * The reader was too slow and volatile events were lost: read the state again. Messages are in the
     * history.
     *
     * @property missed how many
     */
    public data class Lagged(val missed: Long) : Event() {
        override val seq: Long? get() = null
    }

    /** Something of a newer version, which this one cannot show; durable if it has a [seq]. */
    public data class Unknown(override val seq: Long?) : Event()
}

/** Where a node is in its life. */
public enum class NodeState {
    /** Made, not yet joining. */
    Initializing,

    /** Looking for a node that answers. */
    Discovering,

    /** A link is open; asking to be taken as a neighbour. */
    Connecting,

    /** In the network. */
    Active,

    /** Lost its neighbours, or a good part of all peers at once, and is looking for them. */
    Degraded,

    /** Linked again after that; catching up. */
    Recovering,

    /** Said goodbye. */
    Leaving,
}

/** Why a link went down. */
public enum class DownReason {
    /** Nothing was received for too long. */
    Timeout,

    /** The other side said goodbye. */
    Closed,

    /** The other side started anew. */
    Restarted,

    /** This node no longer needs it. */
    Unwanted,

    /** There are too many links. */
    Full,

    /** It sent forged messages. */
    Misbehaved,

    /** A reason of a newer version. */
    Other,
}

/** Why a private message will not be delivered. */
public enum class FailReason {
    /** It was not delivered in the time that it is kept for, 30 days of running. */
    Expired,

    /** The other side rejects it. */
    Refused,

    /** The other side is blocked here. */
    Blocked,

    /** A reason of a newer version. */
    Other,
}
