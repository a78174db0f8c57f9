package org.donp

/**
 * The id of a node: the hash of its public key. Prints as `n…`, with a checksum; [parse] reads that.
 *
 * Equality is that of the node, and the order is the same on every device.
 */
@JvmInline
public value class NodeId internal constructor(internal val text: String) : Comparable<NodeId> {
    /** The printed form, which [parse] reads. */
    override fun toString(): String = text

    /** By the printed form. */
    override fun compareTo(other: NodeId): Int = text.compareTo(other.text)

    /** Reads node ids. */
    public companion object {
        /**
         * Reads the printed form of a node id.
         *
         * @throws DonpException.InvalidInput if it is damaged, cut short, or the id of something else
         */
        public fun parse(text: String): NodeId = NodeId(call { org.donp.ffi.parseNodeId(text.utf8("the node id")) })
    }
}

/** The id of an account; several devices may be nodes of one. Prints as `a…`, with a checksum. */
@JvmInline
public value class AccountId internal constructor(internal val text: String) : Comparable<AccountId> {
    /** The printed form, which [parse] reads. */
    override fun toString(): String = text

    /** By the printed form. */
    override fun compareTo(other: AccountId): Int = text.compareTo(other.text)

    /** Reads account ids. */
    public companion object {
        /**
         * Reads the printed form of an account id.
         *
         * @throws DonpException.InvalidInput if it is damaged, cut short, or the id of something else
         */
        public fun parse(text: String): AccountId = AccountId(call { org.donp.ffi.parseAccountId(text.utf8("the account id")) })
    }
}

/** Which file: the hash of its sealed bytes. Prints as `f…`, with a checksum; [parse] reads that. */
@JvmInline
public value class FileId internal constructor(internal val text: String) : Comparable<FileId> {
    /** The printed form, which [parse] reads. */
    override fun toString(): String = text

    /** By the printed form. */
    override fun compareTo(other: FileId): Int = text.compareTo(other.text)

    /** Reads file ids. */
    public companion object {
        /**
         * Reads the printed form of a file id.
         *
         * @throws DonpException.InvalidInput if it is damaged, cut short, or the id of something else
         */
        public fun parse(text: String): FileId = FileId(call { org.donp.ffi.parseFileId(text.utf8("the file id")) })
    }
}

/** Which group: the hash of the operation that created it. Prints as `g…`, with a checksum; [parse] reads that. */
@JvmInline
public value class GroupId internal constructor(internal val text: String) : Comparable<GroupId> {
    /** The printed form, which [parse] reads. */
    override fun toString(): String = text

    /** By the printed form. */
    override fun compareTo(other: GroupId): Int = text.compareTo(other.text)

    /** Reads group ids. */
    public companion object {
        /**
         * Reads the printed form of a group id.
         *
         * @throws DonpException.InvalidInput if it is damaged, cut short, or the id of something else
         */
        public fun parse(text: String): GroupId = GroupId(call { org.donp.ffi.parseGroupId(text.utf8("the group id")) })
    }
}

/**
 * Which message: the hash of its header and its depth. Prints as `m…`, with a checksum; [parse] reads that.
 *
 * Ids of one conversation compare in its display order, which is equal on every node.
 */
@JvmInline
public value class MessageId internal constructor(internal val text: String) : Comparable<MessageId> {
    /** The printed form, which [parse] reads. */
    override fun toString(): String = text

    /** One more than the deepest message its author had seen. */
    public val depth: Long get() = call { org.donp.ffi.messageIdDepth(text) }.clamp()

    /** In display order: by depth, then by the hash, with which the printed form begins. */
    override fun compareTo(other: MessageId): Int = compareValuesBy(this, other, { it.depth }, { it.text })

    /** Reads message ids. */
    public companion object {
        /**
         * Reads the printed form of a message id.
         *
         * @throws DonpException.InvalidInput if it is damaged, cut short, or the id of something else
         */
        public fun parse(text: String): MessageId = MessageId(call { org.donp.ffi.parseMessageId(text.utf8("the message id")) })
    }
}

/**
 * What an invitation says, to show before joining.
 *
 * @property node who issued it
 * @property name the issuer's name: a claim
 * @property addresses where the issuer was reachable, `ip:port`, best first
 * @property closed whether it holds the key of a closed network, and is as secret as that
 */
public data class TicketInfo(
    val node: NodeId,
    val name: String,
    val addresses: List<String>,
    val closed: Boolean,
)

/**
 * Reads an invitation without joining.
 *
 * @throws DonpException.InvalidInput if it is damaged or cut short
 */
public fun parseTicket(text: String): TicketInfo = call { org.donp.ffi.parseTicket(text.utf8("the invitation")) }.toPublic()

/**
 * A new identity: secret bytes to keep, and to give to a [Node] or an [Engine].
 *
 * @param name what others are shown, 1 to 64 bytes without control characters
 * @throws DonpException.InvalidInput if the name is none
 */
public fun generateIdentity(name: String): ByteArray = call { org.donp.ffi.generateIdentity(name.utf8("the name")) }

/**
 * The node id of an identity.
 *
 * @param identity bytes of [generateIdentity]
 * @throws DonpException.InvalidInput if they are not
 */
public fun identityNodeId(identity: ByteArray): NodeId =
    NodeId(call { org.donp.ffi.identityNodeId(direct(identity)) })

/** The version of the library, such as `0.1.0`. */
public fun version(): String = call { org.donp.ffi.version() }
