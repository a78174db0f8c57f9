package org.donp

import java.nio.ByteBuffer

/**
 * How to make an engine. Prints nothing of itself, as it holds secrets.
 *
 * @property identity bytes of [generateIdentity]
 * @property networkKey the 32-byte key of a closed network; null for the open one
 * @property nodeType what the node says it does
 * @property bot whether a program speaks here, not a person
 * @property power what the node may spend while nothing happens
 * @property beacons whether to say that this node is near, and to listen to others that do: for a caller that
 *   sends what [Output.beacon] has to everybody near and passes what it hears there to [Engine.handleBeacon]
 * @property inMemory whether the engine keeps its records in its own memory, gone with it: then
 *   [Engine.turn] gives no batch and no requests. Otherwise the caller is the store.
 * @property seed 32 bytes that all randomness comes from, for repeatable simulations. Null, as it should
 *   be elsewhere: the system's. Used twice with one identity on a real network it repeats nonces.
 */
public class EngineConfig(
    public val identity: ByteArray,
    public val networkKey: ByteArray? = null,
    public val nodeType: NodeType = NodeType.Regular,
    public val bot: Boolean = false,
    public val power: Power = Power.Normal,
    public val beacons: Boolean = false,
    public val inMemory: Boolean = false,
    public val seed: ByteArray? = null,
)

/**
 * A datagram that came in. Equal by its bytes.
 *
 * @property source where from, `ip:port`; a transport without such addresses makes some up
 * @property payload its bytes
 */
public class Received(public val source: String, public val payload: ByteArray) {
    /** Whether all of it is equal, bytes by their content. */
    override fun equals(other: Any?): Boolean =
        other is Received && source == other.source && payload.contentEquals(other.payload)

    /** Fits [equals]. */
    override fun hashCode(): Int = source.hashCode() * 31 + payload.contentHashCode()

    /** Names and sizes, not the bytes. */
    override fun toString(): String = "Received(source=$source, payload=${payload.size} bytes)"
}

/**
 * A datagram to send. Equal by its bytes.
 *
 * @property destination where to, `ip:port`
 * @property payload at most 1,452 bytes
 */
public class Transmit(public val destination: String, public val payload: ByteArray) {
    /** Whether all of it is equal, bytes by their content. */
    override fun equals(other: Any?): Boolean =
        other is Transmit && destination == other.destination && payload.contentEquals(other.payload)

    /** Fits [equals]. */
    override fun hashCode(): Int = destination.hashCode() * 31 + payload.contentHashCode()

    /** Names and sizes, not the bytes. */
    override fun toString(): String = "Transmit(destination=$destination, payload=${payload.size} bytes)"
}

/** One change to the store. Equal by its bytes. */
public sealed class Op {
    /** Which table; those below 128 are hot and go to `restore`. */
    public abstract val table: Int

    /**
     * Writes [value] under [key], replacing what was there.
     *
     * @property key sorts bytewise, bytes taken as 0 to 255
     * @property value secret in parts: seal it at rest
     */
    public class Put(override val table: Int, public val key: ByteArray, public val value: ByteArray) : Op() {
        /** Whether all of it is equal, bytes by their content. */
        override fun equals(other: Any?): Boolean = other is Put && table == other.table &&
            key.contentEquals(other.key) && value.contentEquals(other.value)

        /** Fits [equals]. */
        override fun hashCode(): Int = (table * 31 + key.contentHashCode()) * 31 + value.contentHashCode()

        /** Names and sizes, not the bytes. */
        override fun toString(): String = "Put(table=$table, key=${key.size} bytes, value=${value.size} bytes)"
    }

    /**
     * Removes [key] if it is there.
     *
     * @property key the exact key
     */
    public class Delete(override val table: Int, public val key: ByteArray) : Op() {
        /** Whether all of it is equal, bytes by their content. */
        override fun equals(other: Any?): Boolean =
            other is Delete && table == other.table && key.contentEquals(other.key)

        /** Fits [equals]. */
        override fun hashCode(): Int = table * 31 + key.contentHashCode()

        /** Names and sizes, not the bytes. */
        override fun toString(): String = "Delete(table=$table, key=${key.size} bytes)"
    }

    /**
     * Removes every key from [start] up to but not including [end].
     *
     * @property start the first key to go
     * @property end the first key to stay
     */
    public class DeleteRange(override val table: Int, public val start: ByteArray, public val end: ByteArray) : Op() {
        /** Whether all of it is equal, bytes by their content. */
        override fun equals(other: Any?): Boolean = other is DeleteRange && table == other.table &&
            start.contentEquals(other.start) && end.contentEquals(other.end)

        /** Fits [equals]. */
        override fun hashCode(): Int = (table * 31 + start.contentHashCode()) * 31 + end.contentHashCode()

        /** Names and sizes, not the bytes. */
        override fun toString(): String = "DeleteRange(table=$table, start=${start.size} bytes, end=${end.size} bytes)"
    }
}

/**
 * Changes to write in one transaction, whole or not at all. Then pass [seq] to the next [Engine.turn] as
 * `committed`: what depends on them is held back until then.
 *
 * @property seq the number to pass back
 * @property ops in the order they apply
 */
public data class Batch(val seq: Long, val ops: List<Op>)

/**
 * One stored record. Equal by its bytes.
 *
 * @property table which table; those below 128 are hot and go to `restore`
 * @property key its key
 * @property value its value
 */
public class Record(public val table: Int, public val key: ByteArray, public val value: ByteArray) {
    /** Whether all of it is equal, bytes by their content. */
    override fun equals(other: Any?): Boolean = other is Record && table == other.table &&
        key.contentEquals(other.key) && value.contentEquals(other.value)

    /** Fits [equals]. */
    override fun hashCode(): Int = (table * 31 + key.contentHashCode()) * 31 + value.contentHashCode()

    /** Names and sizes, not the bytes. */
    override fun toString(): String = "Record(table=$table, key=${key.size} bytes, value=${value.size} bytes)"
}

/**
 * A read of records, to be answered with [Engine.handleRecords]. Equal by its bytes.
 *
 * @property id goes back with the answer
 * @property table which table; those below 128 are hot and go to `restore`
 * @property start the first key, included
 * @property end the end of the range, not included
 * @property reverse from the end backwards
 * @property limit at most this many records
 * @property maxBytes stop after the record that brings keys and values past this many bytes
 */
public class Request(
    public val id: Long,
    public val table: Int,
    public val start: ByteArray,
    public val end: ByteArray,
    public val reverse: Boolean,
    public val limit: Int,
    public val maxBytes: Int,
) {
    /** Whether all of it is equal, bytes by their content. */
    override fun equals(other: Any?): Boolean = other is Request && id == other.id && table == other.table &&
        start.contentEquals(other.start) && end.contentEquals(other.end) && reverse == other.reverse &&
        limit == other.limit && maxBytes == other.maxBytes

    /** Fits [equals]. */
    override fun hashCode(): Int = (id.hashCode() * 31 + table) * 31 + start.contentHashCode()

    /** Names and sizes, not the bytes. */
    override fun toString(): String = "Request(id=$id, table=$table, reverse=$reverse, limit=$limit, maxBytes=$maxBytes)"
}

/**
 * The answer to [Engine.history].
 *
 * @property query the number that it returned
 * @property page the messages
 */
public data class Answer(val query: Long, val page: HistoryPage)

/**
 * What one turn gave. Equal by its bytes.
 *
 * @property batch changes to write
 * @property transmits datagrams to send, in order
 * @property beacon what to send to everybody near, at most 400 bytes; only of an engine made with
 *   [EngineConfig.beacons]
 * @property events what happened, in order
 * @property requests records to read
 * @property answers answers to [Engine.history]
 * @property parts answers to [Engine.readFile]
 * @property nextDeadlineUs when to call [Engine.turn] again if nothing comes before; null: only when
 *   something comes
 * @property more there is more than one turn gives: call again at once
 */
public data class Output(
    val batch: Batch?,
    val transmits: List<Transmit>,
    val beacon: ByteArray?,
    val events: List<Event>,
    val requests: List<Request>,
    val answers: List<Answer>,
    val parts: List<FilePart>,
    val nextDeadlineUs: Long?,
    val more: Boolean,
) {
    /** Whether all of it is equal, bytes by their content. */
    override fun equals(other: Any?): Boolean = other is Output && batch == other.batch &&
        transmits == other.transmits && beacon.contentEquals(other.beacon) && events == other.events &&
        requests == other.requests && answers == other.answers && parts == other.parts &&
        nextDeadlineUs == other.nextDeadlineUs && more == other.more

    /** Fits [equals]. */
    override fun hashCode(): Int = (transmits.hashCode() * 31 + events.hashCode()) * 31 + nextDeadlineUs.hashCode()

    /** Names and sizes, not the bytes. */
    override fun toString(): String = "Output(batch=$batch, transmits=$transmits, beacon=${beacon?.size} bytes, " +
        "events=$events, requests=$requests, answers=$answers, parts=$parts, nextDeadlineUs=$nextDeadlineUs, more=$more)"
}

/**
 * An engine at a glance.
 *
 * @property id this node
 * @property account its account
 * @property name its name
 * @property state where it is in its life
 * @property neighbours neighbours in the mesh
 * @property links open links, neighbours included
 * @property known nodes in the address book
 * @property outbox private messages waiting for an acknowledgement
 * @property pending messages held because one they depend on is missing
 * @property datagramsIn datagrams received
 * @property datagramsOut datagrams sent
 * @property messages messages stored
 * @property drops datagrams and messages thrown away, by reason; only reasons that occurred
 */
public data class EngineStatus(
    val id: NodeId,
    val account: AccountId,
    val name: String,
    val state: NodeState,
    val neighbours: Int,
    val links: Int,
    val known: Int,
    val outbox: Int,
    val pending: Int,
    val datagramsIn: Long,
    val datagramsOut: Long,
    val messages: Long,
    val drops: Map<String, Long>,
)

/**
 * The state machine of one node, for a transport of one's own: Bluetooth, a relay, a test.
 *
 * It has no socket, no clock and no thread: feed it with [turn]. Time is microseconds of a clock that
 * never goes back and counts sleep, from 0 on (`System.nanoTime()` may be negative: count from when the
 * program started). Commands may be called between turns; what they cause comes with the next [turn],
 * which is due at once. A call costs some microseconds before it does anything, so give [turn] all that
 * came in.
 *
 * All calls are quick and may come from any thread. After [close] they throw [DonpException.Closed], and
 * after a bug [DonpException.Internal]. A negative number is refused with [DonpException.InvalidInput].
 */
public class Engine private constructor(private val raw: org.donp.ffi.Engine) : AutoCloseable {
    /**
     * A node that never ran before.
     *
     * @param nowUs the time in microseconds
     * @param wallMs the wall clock in milliseconds since 1970, 0 if unknown: shown to people, never used
     *   for order
     * @throws DonpException.InvalidInput if a key, the seed or the identity is none
     */
    public constructor(config: EngineConfig, nowUs: Long, wallMs: Long) :
        this(call { org.donp.ffi.Engine(config.toRaw(), nowUs.toU64("nowUs"), wallMs.toU64("wallMs")) })

    /** This node. */
    public val id: NodeId = NodeId(call { raw.id() })

    /** Whether a bug ended this engine. */
    public val isDead: Boolean get() = run { isDead() }

    /**
     * One turn: takes in datagrams and the number of the newest batch that was written, does what is due,
     * and gives all there is to do. Datagrams that are not understood or not allowed are counted.
     *
     * @param nowUs the time in microseconds
     * @param received what came in; the bytes are read during the call
     * @param committed [Batch.seq] of the newest batch that was written since the last turn
     * @throws DonpException.InvalidInput if a source is no address; then nothing was taken in
     */
    public fun turn(nowUs: Long, received: List<Received> = emptyList(), committed: Long? = null): Output =
        run { turn(nowUs.toU64("nowUs"), received.map { it.toRaw() }, committed?.toU64("committed")) }.toPublic()

    /** Takes in one datagram; [turn] gives what follows from it. */
    public fun handleDatagram(nowUs: Long, source: String, payload: ByteArray): Unit =
        run { handleDatagram(nowUs.toU64("nowUs"), source, direct(payload)) }

    /**
     * Takes in one datagram, what [payload] has from its position to its limit; neither moves. Nothing is
     * copied if it is direct.
     */
    public fun handleDatagram(nowUs: Long, source: String, payload: ByteBuffer) {
        val bytes = payload.duplicate()
        val borrowed = if (bytes.isDirect) bytes.slice() else direct(ByteArray(bytes.remaining()).also { bytes.get(it) })
        run { handleDatagram(nowUs.toU64("nowUs"), source, borrowed) }
    }

    /** The answer to a [Request] that a [turn] gave, by its id. */
    public fun handleRecords(nowUs: Long, request: Long, records: List<Record>): Unit =
        run { handleRecords(nowUs.toU64("nowUs"), request.toULong(), records.map { it.toRaw() }) }

    /**
     * Enters the network through any of [places]: each `ip:port` or `ip:port/NodeId` (an engine looks no
     * names up). A text without a colon is an invitation, and stands alone. With none, through any node that is
     * known.
     */
    public fun join(nowUs: Long, vararg places: String): Unit = when (val by = ways(places)) {
        is Ways.Places -> nowUs.toU64("nowUs").let { now -> run { join(now, by.places) } }
        is Ways.Invitation -> nowUs.toU64("nowUs").let { now -> run { joinTicket(now, by.text) } }
    }

    /** Says goodbye to everybody. */
    public fun leave(nowUs: Long): Unit = run { leave(nowUs.toU64("nowUs")) }

    /** An invitation to this node's network. For a closed one it holds the key and is as secret. */
    public fun invite(): String = run { invite() }

    /** Says [content] to one node. Throws as [Node.send]. */
    public fun sendPrivate(nowUs: Long, to: NodeId, content: Content): MessageId =
        MessageId(run { sendPrivate(nowUs.toU64("nowUs"), to.text, content.toRaw()) })

    /** Says [content] to everybody in the network. Throws as [Node.broadcast]. */
    public fun broadcast(nowUs: Long, content: Content): MessageId =
        MessageId(run { broadcast(nowUs.toU64("nowUs"), content.toRaw()) })

    /** Says [content] to the members of a group. Throws as [Node.sendToGroup]. */
    public fun sendToGroup(nowUs: Long, group: GroupId, content: Content): MessageId =
        MessageId(run { sendToGroup(nowUs.toU64("nowUs"), group.text, content.toRaw()) })

    /** Makes a group, as [Node.createGroup]; a temporary one ends at [expiresMs], a wall clock. */
    public fun createGroup(
        nowUs: Long,
        name: String,
        kind: GroupKind = GroupKind.Private,
        policy: GroupPolicy = GroupPolicy(),
        expiresMs: Long? = null,
    ): GroupId {
        val (words, ends) = name.utf8("the name") to expiresMs?.toU64("expiresMs")
        return GroupId(run { createGroup(nowUs.toU64("nowUs"), kind.toRaw(), words, policy.toRaw(), ends) })
    }

    /** An invitation to a group, as [Node.inviteToGroup], good until [expiresMs], a wall clock. */
    public fun inviteToGroup(
        nowUs: Long,
        group: GroupId,
        role: GroupRole,
        uses: Int,
        expiresMs: Long,
        node: NodeId? = null,
    ): String {
        val (many, ends) = uses.toU32("uses") to expiresMs.toU64("expiresMs")
        return run { inviteToGroup(nowUs.toU64("nowUs"), group.text, role.toRaw(), many, ends, node?.text) }
    }

    /** Asks to be a member of a group; [Event.GroupChanged] answers. Throws as [Node.joinGroup]. */
    public fun joinGroup(nowUs: Long, invitation: String) {
        val ticket = invitation.utf8("the invitation")
        run { joinGroup(nowUs.toU64("nowUs"), ticket) }
    }

    /** Leaves a group, or cancels a request to join. Throws as [Node.leaveGroup]. */
    public fun leaveGroup(nowUs: Long, group: GroupId): Unit = run { leaveGroup(nowUs.toU64("nowUs"), group.text) }

    /** Removes a member of lower rank, for good with [ban]. Throws as [Node.removeMember]. */
    public fun removeMember(nowUs: Long, group: GroupId, node: NodeId, ban: Boolean = false): Unit =
        run { removeMember(nowUs.toU64("nowUs"), group.text, node.text, ban) }

    /** Ends a ban, as [Node.unbanMember]. */
    public fun unbanMember(nowUs: Long, group: GroupId, node: NodeId): Unit =
        run { unbanMember(nowUs.toU64("nowUs"), group.text, node.text) }

    /** Gives a member another rank, as [Node.setMemberRole]. */
    public fun setMemberRole(nowUs: Long, group: GroupId, node: NodeId, role: GroupRole): Unit =
        run { setMemberRole(nowUs.toU64("nowUs"), group.text, node.text, role.toRaw()) }

    /** Makes another member the owner, as [Node.transferGroup]. */
    public fun transferGroup(nowUs: Long, group: GroupId, node: NodeId): Unit =
        run { transferGroup(nowUs.toU64("nowUs"), group.text, node.text) }

    /** Gives a group another name, as [Node.renameGroup]. */
    public fun renameGroup(nowUs: Long, group: GroupId, name: String) {
        val words = name.utf8("the name")
        run { renameGroup(nowUs.toU64("nowUs"), group.text, words) }
    }

    /** Gives a group another description, as [Node.describeGroup]. */
    public fun describeGroup(nowUs: Long, group: GroupId, description: String) {
        val words = description.utf8("the description")
        run { describeGroup(nowUs.toU64("nowUs"), group.text, words) }
    }

    /** Shows a message of a group above the others, as [Node.pinMessage]. */
    public fun pinMessage(nowUs: Long, group: GroupId, message: MessageId): Unit =
        run { pinMessage(nowUs.toU64("nowUs"), group.text, message.text) }

    /** Ends [pinMessage], as [Node.unpinMessage]. */
    public fun unpinMessage(nowUs: Long, group: GroupId, message: MessageId): Unit =
        run { unpinMessage(nowUs.toU64("nowUs"), group.text, message.text) }

    /** Gives a group another policy, as [Node.setGroupPolicy]. */
    public fun setGroupPolicy(nowUs: Long, group: GroupId, policy: GroupPolicy): Unit =
        run { setGroupPolicy(nowUs.toU64("nowUs"), group.text, policy.toRaw()) }

    /** Adds a node that asked to join, or says no, as [Node.answerJoin]. */
    public fun answerJoin(nowUs: Long, group: GroupId, node: NodeId, approve: Boolean): Unit =
        run { answerJoin(nowUs.toU64("nowUs"), group.text, node.text, approve) }

    /** The groups that this node is or was a member of. */
    public fun groups(): List<GroupInfo> = run { groups() }.map { it.toPublic() }

    /** One of them, with its members; null if this node is and was in no such group. */
    public fun group(group: GroupId): GroupInfo? = run { group(group.text) }?.toPublic()

    /** Groups that this node asked to join and is no member of yet. */
    public fun joiningGroups(): List<JoiningGroup> = run { joiningGroups() }.map { it.toPublic() }

    /**
     * Adds bytes as a file with this name, so that it can be sent as [Content.File]. Throws as [Node.addFileBytes].
     */
    public fun addFile(nowUs: Long, bytes: ByteArray, name: String, mediaType: String = ""): Attachment {
        val (words, kind) = name.utf8("the name") to mediaType.utf8("the media type")
        return run { addFile(nowUs.toU64("nowUs"), bytes, words, kind) }.toPublic()
    }

    /** Fetches a file that a message of this conversation names. Throws as [Node.fetchFile]. */
    public fun fetchFile(nowUs: Long, conversation: Conversation, file: Attachment, author: NodeId? = null) {
        val raw = file.toRaw()
        run { fetchFile(nowUs.toU64("nowUs"), conversation.toRaw(), raw, author?.text) }
    }

    /** The files that are here or being fetched, in the order in which they came. */
    public fun files(): List<FileInfo> = run { files() }.map { it.toPublic() }

    /**
     * Asks for the bytes of a part of a file, 65,520 of them but for the last. A later [turn] gives the [FilePart]
     * under the number that this returns.
     */
    public fun readFile(nowUs: Long, file: FileId, part: Int): Long {
        val number = part.toU32("part")
        return run { readFile(nowUs.toU64("nowUs"), file.text, number) }.toLong()
    }

    /** Removes a file here, or ends its fetch. Others keep theirs. */
    public fun removeFile(nowUs: Long, file: FileId): Unit = run { removeFile(nowUs.toU64("nowUs"), file.text) }

    /**
     * Asks for the page of a conversation that ends before [before], or its newest: at most [limit]
     * messages (1,000 at most). A later [turn] gives the [Answer] under the number that this returns.
     */
    public fun history(nowUs: Long, conversation: Conversation, before: MessageId? = null, limit: Int = 100): Long =
        run { history(nowUs.toU64("nowUs"), conversation.toRaw(), before?.text, limit.toU32("limit")) }.toLong()

    /** Every durable event up to and including number [seq] was handled: it does not come again. */
    public fun ack(nowUs: Long, seq: Long): Unit = run { ack(nowUs.toU64("nowUs"), seq.toU64("seq")) }

    /** The members of this node's zone, by id, without itself, as [Node.members]. */
    public fun members(): List<ZoneMember> = run { members() }.map { it.toPublic() }

    /** Asks a node whether it is there; [Event.MemberChanged] answers. Throws as [Node.detectNodeFailure]. */
    public fun detectNodeFailure(nowUs: Long, peer: NodeId): Unit =
        run { detectNodeFailure(nowUs.toU64("nowUs"), peer.text) }

    /** Blocks a node, as [Node.block]. */
    public fun block(nowUs: Long, peer: NodeId): Unit = run { block(nowUs.toU64("nowUs"), peer.text) }

    /** Ends [block], as [Node.unblock]. */
    public fun unblock(nowUs: Long, peer: NodeId): Unit = run { unblock(nowUs.toU64("nowUs"), peer.text) }

    /** Blocked nodes, by id. */
    public fun blocked(): List<NodeId> = run { blocked() }.map { NodeId(it) }

    /** All of the book, by id: contacts, and requests of strangers. */
    public fun contacts(): List<Contact> = run { contacts() }.map { it.toPublic() }

    /** One of the book; null if the node is neither a contact nor has a request. */
    public fun contact(node: NodeId): Contact? = run { contact(node.text) }?.toPublic()

    /** Makes a node a contact, as [Node.addContact]. */
    public fun addContact(nowUs: Long, node: NodeId, petname: String? = null): Unit =
        run { addContact(nowUs.toU64("nowUs"), node.text, petname?.utf8("the name")) }

    /** Gives a contact another own name, as [Node.renameContact]. */
    public fun renameContact(nowUs: Long, node: NodeId, petname: String?): Unit =
        run { renameContact(nowUs.toU64("nowUs"), node.text, petname?.utf8("the name")) }

    /** Takes a contact, or a request, out of the book, as [Node.removeContact]. */
    public fun removeContact(nowUs: Long, node: NodeId): Unit = run { removeContact(nowUs.toU64("nowUs"), node.text) }

    /** Accepts the request of a stranger, as [Node.acceptContact]. */
    public fun acceptContact(nowUs: Long, node: NodeId): Unit = run { acceptContact(nowUs.toU64("nowUs"), node.text) }

    /** Mutes a contact, or ends that, as [Node.muteContact]. */
    public fun muteContact(nowUs: Long, node: NodeId, muted: Boolean = true): Unit =
        run { muteContact(nowUs.toU64("nowUs"), node.text, muted) }

    /** The safety number with a node of the book, as [Node.safetyNumber]. */
    public fun safetyNumber(nowUs: Long, node: NodeId): SafetyNumber =
        run { safetyNumber(nowUs.toU64("nowUs"), node.text) }.toPublic()

    /** Compares what the other side says or shows, as [Node.verifyContact]. */
    public fun verifyContact(nowUs: Long, node: NodeId, shown: String): Unit =
        run { verifyContact(nowUs.toU64("nowUs"), node.text, shown.utf8("the safety number")) }

    /** Goes on with a contact whose key changed, as [Node.acceptChange]. */
    public fun acceptChange(nowUs: Long, node: NodeId): Unit = run { acceptChange(nowUs.toU64("nowUs"), node.text) }

    /** The devices of this node's account, the most senior first. */
    public fun devices(): List<DeviceInfo> = run { devices() }.map { it.toPublic() }

    /** The devices of the account that a node is of, as [Node.devicesOf]. */
    public fun devicesOf(node: NodeId): List<NodeId> = run { devicesOf(node.text) }.map { NodeId(it) }

    /** Makes a ticket for one more device, as [Node.addDevice]. */
    public fun addDevice(nowUs: Long): String = run { addDevice(nowUs.toU64("nowUs")) }

    /** Joins an account, as [Node.joinAccount]. */
    public fun joinAccount(nowUs: Long, ticket: String): Unit =
        run { joinAccount(nowUs.toU64("nowUs"), ticket.utf8("the ticket")) }

    /** Whether this device waits for an account, as [Node.isJoiningAccount]. */
    public fun isJoiningAccount(): Boolean = run { isJoiningAccount() }

    /** Gives this device another name, as [Node.renameDevice]. */
    public fun renameDevice(nowUs: Long, name: String): Unit =
        run { renameDevice(nowUs.toU64("nowUs"), name.utf8("the name")) }

    /** Removes a device, as [Node.removeDevice]. */
    public fun removeDevice(nowUs: Long, node: NodeId): Unit = run { removeDevice(nowUs.toU64("nowUs"), node.text) }

    /** Takes an account over with its recovery code, as [Node.recoverAccount]. */
    public fun recoverAccount(nowUs: Long, code: String): Unit =
        run { recoverAccount(nowUs.toU64("nowUs"), code.utf8("the recovery code")) }

    /** The recovery code, as [Node.recoveryCode]. */
    public fun recoveryCode(): String? = run { recoveryCode() }

    /** Conversations with what is unread in each, as [Node.conversations]. */
    public fun conversations(): List<ConversationInfo> = run { conversations() }.map { it.toPublic() }

    /** A conversation was read, as [Node.markRead]. */
    public fun markRead(nowUs: Long, conversation: Conversation, upto: MessageId? = null): Unit =
        run { markRead(nowUs.toU64("nowUs"), conversation.toRaw(), upto?.text) }

    /** The members that have a message of this node, as [Node.confirmations]. */
    public fun confirmations(nowUs: Long, conversation: Conversation, message: MessageId): Confirmations =
        run { confirmations(nowUs.toU64("nowUs"), conversation.toRaw(), message.text) }.toPublic()

    /** The user types, as [Node.sendTyping]. */
    public fun sendTyping(nowUs: Long, conversation: Conversation): Unit =
        run { sendTyping(nowUs.toU64("nowUs"), conversation.toRaw()) }

    /** Deletes a private conversation here, as [Node.deleteConversation]. */
    public fun deleteConversation(nowUs: Long, conversation: Conversation): Unit =
        run { deleteConversation(nowUs.toU64("nowUs"), conversation.toRaw()) }

    /** Challenges the device of a node over its link, as [Node.authenticateNode]. */
    public fun authenticateNode(nowUs: Long, peer: NodeId): Unit = run { authenticateNode(nowUs.toU64("nowUs"), peer.text) }

    /** These nodes seem to be cut off: asks and contacts them, as [Node.reportPartition]. */
    public fun reportPartition(nowUs: Long, peers: List<NodeId> = emptyList()): Unit =
        run { reportPartition(nowUs.toU64("nowUs"), peers.map { it.text }) }

    /** Mends what failed without waiting, as [Node.recoverFromFailure]. */
    public fun recoverFromFailure(nowUs: Long, failure: FailureType): Unit =
        run { recoverFromFailure(nowUs.toU64("nowUs"), failure.toRaw()) }

    /** Compares what is said with another node at once, as [Node.synchronizeState]. */
    public fun synchronizeState(nowUs: Long, peer: NodeId): Unit =
        run { synchronizeState(nowUs.toU64("nowUs"), peer.text) }

    /** A node near may be at [address], `ip:port`: a hint, tried once, as [Node.handleLocalPeer]. */
    public fun handleLocalPeer(nowUs: Long, address: String, id: NodeId? = null) {
        val place = address.utf8("the address")
        run { handleLocalPeer(nowUs.toU64("nowUs"), place, id?.text) }
    }

    /**
     * Takes in what some engine near gave as [Output.beacon]: a hint that it is at [source], `ip:port`. What is
     * not understood, or of another network, is counted. Nothing happens without [EngineConfig.beacons].
     */
    public fun handleBeacon(nowUs: Long, source: String, payload: ByteArray) {
        val from = source.utf8("the address")
        run { handleBeacon(nowUs.toU64("nowUs"), from, direct(payload)) }
    }

    /** Addresses that this node can be reached at, `ip:port`, best first: for invitations. */
    public fun setLocalAddresses(nowUs: Long, addresses: List<String>): Unit =
        run { setLocalAddresses(nowUs.toU64("nowUs"), addresses) }

    /** The wall clock was read again: once a minute, and after [resume]. */
    public fun setWallClock(nowUs: Long, wallMs: Long): Unit =
        run { setWallClock(nowUs.toU64("nowUs"), wallMs.toU64("wallMs")) }

    /** Mixes 32 bytes of the system's randomness in: once an hour. */
    public fun addEntropy(entropy: ByteArray): Unit = run { addEntropy(direct(entropy)) }

    /** The device has another network: every link is probed at once. */
    public fun networkChanged(nowUs: Long): Unit = run { networkChanged(nowUs.toU64("nowUs")) }

    /** The device is about to sleep: commands are refused until [resume]. */
    public fun suspend(nowUs: Long): Unit = run { suspend(nowUs.toU64("nowUs")) }

    /** The device woke up. */
    public fun resume(nowUs: Long): Unit = run { resume(nowUs.toU64("nowUs")) }

    /** The engine at a glance. */
    public fun status(): EngineStatus = run { status() }.toPublic()

    /** Nodes that were met or named by others, at most [max], by id. */
    public fun peers(max: Int = 1_000): List<Peer> = run { peers(max.toU32("max")) }.map { it.toPublic() }

    /** What is known of one node; null if it was never met or named by others. */
    public fun peer(id: NodeId): Peer? = run { peer(id.text) }?.toPublic()

    /** Whether the private message [id] waits for its acknowledgement. */
    public fun isQueued(id: MessageId): Boolean = run { isQueued(id.text) }

    /**
     * Fails inside the engine, as a bug would: to try what an application does then.
     *
     * @throws DonpException.Internal always
     */
    public fun simulateCrash(): Unit = run { simulateCrash() }

    /** Frees the engine's memory, without waiting for the garbage collector. Again is nothing. */
    override fun close(): Unit = raw.close()

    /** `Engine(id)`. */
    override fun toString(): String = "Engine($id)"

    private inline fun <T> run(block: org.donp.ffi.Engine.() -> T): T = call {
        try {
            raw.block()
        } catch (e: IllegalStateException) {
            throw DonpException.Closed("the engine was closed", "make or restore another one", false)
        }
    }

    /** Restores engines. */
    public companion object {
        /**
         * A node as its last written batch left it.
         *
         * @param records those of all tables
         * @throws DonpException.Denied if they were made by another identity
         * @throws DonpException.Damaged if a record is damaged or of a newer version
         */
        public fun restore(config: EngineConfig, records: List<Record>, nowUs: Long, wallMs: Long): Engine = Engine(
            call {
                val raw = records.map { it.toRaw() }
                org.donp.ffi.Engine.restore(config.toRaw(), raw, nowUs.toU64("nowUs"), wallMs.toU64("wallMs"))
            },
        )
    }
}
