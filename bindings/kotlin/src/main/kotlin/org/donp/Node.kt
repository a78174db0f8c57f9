package org.donp

import java.util.concurrent.atomic.AtomicBoolean
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeoutOrNull

/**
 * How to open a node. Everything has a default: `NodeConfig()` is a nameless node in memory.
 *
 * Prints nothing of itself, as it holds secrets.
 *
 * @property stateDir the folder of the profile: identity, messages, keys, sealed; null: everything in
 *   memory, gone with the node
 * @property name the name that others are shown, 1 to 64 bytes; with it a missing profile is made, of an
 *   existing one it changes nothing
 * @property identity bytes of [generateIdentity], for a new profile or a node in memory; null makes a new
 *   one
 * @property passphrase protects a new profile, and opens one that was made with it; without it and without
 *   a [KeyStore] a key file lies beside the profile
 * @property listen where to listen, `ip:port`, at most 16; empty for any port of both families
 * @property bootstraps places to enter the network when the node starts: `host:port` or `host:port/NodeId`
 * @property networkKey the 32-byte key of a closed network; null for the network the profile lives in
 * @property nodeType what the node says it does
 * @property bot whether a program speaks here, not a person; bots do not answer bots
 * @property power what the node may spend while nothing happens
 * @property lan whether to look for nodes on the local network by multicast, and to be found; without a
 *   [networkKey] everybody near is in the same, public network. On Android hold a `WifiManager.MulticastLock`
 *   meanwhile, or use NSD and [Node.handleLocalPeer]
 * @property fault what to do to outgoing datagrams, to try bad networks: `drop=20%,dup=5%,reorder=10%`
 * @property offline no sockets and no joining: to read the history and to queue messages
 */
public class NodeConfig(
    public val stateDir: String? = null,
    public val name: String? = null,
    public val identity: ByteArray? = null,
    public val passphrase: String? = null,
    public val listen: List<String> = emptyList(),
    public val bootstraps: List<String> = emptyList(),
    public val networkKey: ByteArray? = null,
    public val nodeType: NodeType = NodeType.Regular,
    public val bot: Boolean = false,
    public val power: Power = Power.Normal,
    public val lan: Lan = Lan.Off,
    public val fault: String? = null,
    public val offline: Boolean = false,
)

/** How much a node may spend while nothing happens. Others learn it from its signed record. */
public enum class Power {
    /** It does everything at its time. */
    Normal,

    /** A phone's: it wakes two or three times a minute and then does what could wait. Messages reach it at once. */
    Low,
}

/** What a node does for others. A claim; nothing is trusted because of it. */
public enum class NodeType {
    /** Introduces newcomers. */
    Bootstrap,

    /** Takes part. */
    Regular,

    /** Has capacity to spare. */
    Super,

    /** Forwards for others. */
    Relay,
}

/** Whether a node looks for others on the local network by multicast, and lets itself be found. */
public enum class Lan {
    /** It says and hears nothing. */
    Off,

    /** Beacons go to 239.255.68.78 and ff12::d04e:5000, UDP port 8888. */
    On,

    /** Also to 224.0.0.1, the group of the DONP document. */
    Compat,
}

/**
 * A node at a glance.
 *
 * @property id this node
 * @property account its account
 * @property name its name
 * @property nodeType what it says it does
 * @property state where it is in its life
 * @property neighbours neighbours in the mesh
 * @property links open links, neighbours included
 * @property known nodes in the address book
 * @property outbox private messages waiting for an acknowledgement
 * @property pending messages held because one they depend on is missing
 * @property listen what the sockets are bound to, `ip:port`
 * @property observed addresses that other nodes saw this one at, `ip:port`
 * @property lan where beacons are sent and received, groups and interfaces in words for people; empty if the
 *   setting `lan` is off, or there is no multicast
 * @property lanError why nodes on the local network may not be found; null if they are, or discovery is off
 * @property unresolved places to enter the network whose names could not be looked up, each with the reason
 * @property store `sqlite` or `memory`
 * @property protection what guards the key that seals the store: `passphrase`, `key-file`, `key-store` or
 *   `memory`
 * @property storeError why the last transaction failed, while it does
 * @property damagedRecords records that were lost to damage and that no repair took as known
 * @property lostRecords records that were lost to damage in all; while it is above 0, messages whose depths do not follow each
 *   other may have a gap between them
 * @property checkedRecords records that the check in the background has read since its last round began
 * @property checkedAtMs when that check last read all of them, in milliseconds since 1970
 * @property acked the number up to which events were acknowledged in this run
 * @property lastEvent the number of the newest durable event; 0 for none
 * @property datagramsIn datagrams received
 * @property datagramsOut datagrams sent
 * @property messages messages stored
 * @property drops datagrams and messages thrown away, by reason; only reasons that occurred
 */
public data class NodeStatus(
    val id: NodeId,
    val account: AccountId,
    val name: String,
    val nodeType: NodeType,
    val state: NodeState,
    val neighbours: Int,
    val links: Int,
    val known: Int,
    val outbox: Int,
    val pending: Int,
    val listen: List<String>,
    val observed: List<String>,
    val lan: List<String>,
    val lanError: String?,
    val unresolved: Map<String, String>,
    val store: String,
    val protection: String,
    val storeError: String?,
    val damagedRecords: Long,
    val lostRecords: Long,
    val checkedRecords: Long,
    val checkedAtMs: Long?,
    val acked: Long,
    val lastEvent: Long,
    val datagramsIn: Long,
    val datagramsOut: Long,
    val messages: Long,
    val drops: Map<String, Long>,
)

/**
 * What is known of a node.
 *
 * @property id who
 * @property name the name it claims
 * @property account the account behind it, if a certificate proved it
 * @property nodeType what it says it does
 * @property verified whether this node reached it at its address by itself, and has not failed to since
 * @property role what it counts as here: its [nodeType], but Super and Relay only if it is [verified]
 * @property bot whether it says that a program speaks there
 * @property address where it is, `ip:port`: that of the link, or the best known
 * @property linked whether a link is open
 * @property neighbour whether it is a neighbour in the mesh
 * @property rttMs smoothed round trip time of the link in milliseconds
 * @property lastLinkedAtMs when a link to it was last opened, in milliseconds since 1970; null if never; what is silent for
 *   half a year is forgotten
 * @property linkGeneration how many post-quantum secrets the keys of the link mix in, one after another; 0 before the first
 * @property queued private messages waiting for its acknowledgement
 * @property lastError what the last failed attempt to reach it ended with
 */
public data class Peer(
    val id: NodeId,
    val name: String?,
    val account: AccountId?,
    val nodeType: NodeType,
    val verified: Boolean,
    val role: NodeType,
    val bot: Boolean,
    val address: String?,
    val linked: Boolean,
    val neighbour: Boolean,
    val rttMs: Double?,
    val lastLinkedAtMs: Long?,
    val linkGeneration: Int,
    val queued: Int,
    val lastError: String?,
)

/**
 * What [Node.backgroundFetch] came to.
 *
 * @property events durable events that came in the time
 * @property caughtUp whether it ended because there was nothing more to do, not because the time was over
 */
public data class FetchResult(val events: Long, val caughtUp: Boolean)

/**
 * What a profile holds, and what is wrong with it.
 *
 * @property records how many records each table has
 * @property problems what is wrong, in words; empty if all is well
 * @property lost what was lost before and is still missing, in words; empty if nothing
 */
public data class Checked(val records: Map<String, Long>, val problems: List<String>, val lost: String)

/**
 * Makes a profile in [stateDir], which must not be there, from the folder or file that [Node.backup] made. It goes on in
 * logs of its own, so that nothing that was said after the backup is lost.
 *
 * @throws DonpException.NotFound if there is no backup
 * @throws DonpException.AlreadyExists if [stateDir] is there
 * @throws DonpException.Damaged if the file is no backup
 */
public suspend fun restoreProfile(backup: String, stateDir: String) {
    val (from, to) = backup.utf8("the backup") to stateDir.utf8("the folder")
    withContext(Dispatchers.IO) { call { org.donp.ffi.restoreProfile(from, to) } }
}

/**
 * Opens a node and starts it.
 *
 * Runs on `Dispatchers.IO`; a passphrase takes about a second. If the caller is cancelled meanwhile, the
 * node is closed again and its profile is free.
 *
 * @param keyStore guards the key of the profile, instead of a passphrase
 * @throws DonpException.NotFound if there is no profile and [config] has no name
 * @throws DonpException.Denied if the secret does not fit
 * @throws DonpException.Locked if the profile is in use
 * @throws DonpException.Network if an address cannot be listened on
 * @throws DonpException.Damaged if the profile is damaged
 * @throws DonpException.InvalidInput if [config] is wrong in itself
 */
public suspend fun openNode(config: NodeConfig, keyStore: KeyStore? = null): Node = Node.open(config, keyStore, true)

/**
 * A node: give it a folder, and it keeps itself in the network.
 *
 * [openNode] makes one. All functions may be called from any thread; the suspending ones work on
 * `Dispatchers.IO` and block no other call. Those that store something return when it is on disk, some
 * milliseconds. A caller that is cancelled while one of them works does not undo it: the message is sent.
 *
 * ```
 * openNode(NodeConfig(stateDir = "alice", name = "alice")).use { node ->
 *     node.join("203.0.113.5:4000")
 *     node.broadcast("hello")
 *     node.events().collect { event -> println(event); node.ack(event) }
 * }
 * ```
 *
 * [close] it when done. A node that is forgotten says goodbye when it is collected as garbage or when the
 * process ends.
 */
public class Node private constructor(private val raw: org.donp.ffi.Node) : AutoCloseable {
    /** This node. */
    public val id: NodeId = NodeId(call { raw.id() })

    /** The name it shows to others. */
    public val name: String = call { raw.name() }

    /** What the sockets are bound to, `ip:port`; empty if the node is offline. */
    public val localAddresses: List<String> = call { raw.localAddresses() }

    private val toldOfDeath = AtomicBoolean()

    /** Whether the node has ended: closed, killed, or dead of a bug. */
    public val isClosed: Boolean get() = call { raw.isClosed() }

    /** Starts the node and joins the network. [openNode] has done that. Again is nothing. */
    public suspend fun start(): Unit = io { start() }

    /**
     * Says goodbye, stores and sends what is left, and waits until that is done, without blocking the
     * caller's thread. Streams end. Again is nothing.
     *
     * @throws DonpException.Internal if the node had died of a bug
     */
    public suspend fun shutdown(): Unit = withContext(NonCancellable) { io { shutdown() } }

    /**
     * As [shutdown], blocking the thread meanwhile, at most some seconds; on a main thread call
     * [shutdown]. Again is nothing. What is called afterwards throws [DonpException.Closed].
     *
     * @throws DonpException.Internal the first time, if the node had died of a bug
     */
    override fun close() {
        try {
            call { raw.shutdown() }
        } catch (e: DonpException.Internal) {
            if (!toldOfDeath.getAndSet(true)) throw e
        }
    }

    /**
     * Ends the node at once, as a crash of the process would: no peer gets a goodbye, and what was not stored yet
     * is gone. To try what happens then.
     */
    public suspend fun kill(): Unit = io { kill() }

    /**
     * Fails inside the node, as a bug would: to try what an application does then.
     *
     * @throws DonpException.Internal always
     */
    public suspend fun simulateCrash(): Unit = io { simulateCrash() }

    /**
     * Enters the network through any of [places] and remembers them: each `host:port` or
     * `host:port/NodeId`. A text without a colon is an invitation, and stands alone. With none, through
     * any known node. Returns at once, and [Event.PeerUp] reports success; or with the first link, if [wait] says how
     * long that may take.
     *
     * @throws DonpException.Timeout if there is no link within [wait]; the node goes on trying
     * @throws DonpException.InvalidInput if a place or the invitation is malformed
     * @throws DonpException.Denied if the invitation is for another network than the profile's
     */
    public suspend fun join(vararg places: String, wait: Duration? = null) {
        when (val by = ways(places)) {
            is Ways.Places -> io { join(by.places) }
            is Ways.Invitation -> io { joinTicket(by.text) }
        }
        if (wait != null) {
            linked(wait, "no link within $wait") { true.takeIf { status().links > 0 } }
        }
    }

    /** Says goodbye to everybody. What is queued waits for the next [join]. */
    public suspend fun leave(): Unit = io { leave() }

    /** An invitation to this node's network. For a closed one it holds the key and is as secret. */
    public suspend fun invite(): String = io { invite() }

    /**
     * Says [content] to one node. Returns when it is stored; a node that is away gets it later, and
     * [Event.Delivered] tells when it has it.
     *
     * @throws DonpException.NotFound if [to] was never met or named by others
     * @throws DonpException.InvalidInput if [content] is empty, too long or [Content.Unknown], or [to] is
     *   this node
     * @throws DonpException.Busy if too much waits for [to]
     * @throws DonpException.Denied if [to] is blocked, or a verified contact whose key changed
     * @throws DonpException.NotRunning if the node is not started or suspended
     */
    public suspend fun send(to: NodeId, content: Content): MessageId =
        content.toRaw().let { raw -> MessageId(io { sendPrivate(to.text, raw) }) }

    /** Says [text], 1 to 65,536 bytes of UTF-8, to one node: [send] with [Content.Text]. */
    public suspend fun send(to: NodeId, text: String): MessageId = send(to, Content.Text(text))

    /**
     * Says [content] to all nodes of the network. Absent nodes catch up later.
     *
     * @throws DonpException.InvalidInput if [content] is empty, too long or [Content.Unknown]
     * @throws DonpException.Busy if too much waits to be sent
     * @throws DonpException.NotRunning if the node is not started or suspended
     */
    public suspend fun broadcast(content: Content): MessageId =
        content.toRaw().let { raw -> MessageId(io { broadcast(raw) }) }

    /** Says [text], 1 to 65,536 bytes of UTF-8, to everybody: [broadcast] with [Content.Text]. */
    public suspend fun broadcast(text: String): MessageId = broadcast(Content.Text(text))

    /** Answers [message] where it was said: in private to that peer, to that group, or to everybody. */
    public suspend fun reply(message: Message, text: String): MessageId =
        say(message.conversation, Content.Reply(message.id, text))

    /** Marks [message] where it was said, with 1 to 64 bytes of UTF-8. */
    public suspend fun react(message: Message, mark: String): MessageId =
        say(message.conversation, Content.React(message.id, mark))

    /** Replaces the text of the own [message] where it was said. Others' messages stay as they are. */
    public suspend fun edit(message: Message, text: String): MessageId =
        say(message.conversation, Content.Edit(message.id, text))

    /** Takes the own [message] back where it was said. Nothing is erased from other people's devices. */
    public suspend fun retract(message: Message): MessageId = say(message.conversation, Content.Retract(message.id))

    private suspend fun say(where: Conversation, content: Content): MessageId = when (where) {
        is Conversation.Network -> broadcast(content)
        is Conversation.Private -> send(where.peer, content)
        is Conversation.Group -> sendToGroup(where.group, content)
    }

    /**
     * Makes a group of which this node is the owner (`createGroup`).
     *
     * @param expiresIn a temporary group ends so many seconds from now; others have no end
     * @throws DonpException.InvalidInput if [name] is empty or longer than 64 bytes
     * @throws DonpException.Denied if [kind] and [expiresIn] do not fit
     * @throws DonpException.Busy if there are 256 groups
     */
    public suspend fun createGroup(
        name: String,
        kind: GroupKind = GroupKind.Private,
        policy: GroupPolicy = GroupPolicy(),
        expiresIn: Long? = null,
    ): GroupId {
        val (words, seconds) = name.utf8("the name") to expiresIn?.toU64("expiresIn")
        val rules = policy.toRaw()
        return GroupId(io { createGroup(kind.toRaw(), words, rules, seconds) })
    }

    /**
     * An invitation to a group (`inviteToGroup`), for one [node], or for its bearer. This node adds the nodes that use
     * it, so it must be online then.
     *
     * @param uses so many newcomers can come with it
     * @param expiresIn it is good for so many seconds
     * @throws DonpException.NotFound if there is no such group
     * @throws DonpException.Denied if this node may not invite, or not with that [role]
     */
    public suspend fun inviteToGroup(
        group: GroupId,
        role: GroupRole = GroupRole.Member,
        uses: Int = 1,
        expiresIn: Long = 7 * 86_400,
        node: NodeId? = null,
    ): String {
        val (many, seconds) = uses.toU32("uses") to expiresIn.toU64("expiresIn")
        return io { inviteToGroup(group.text, role.toRaw(), many, seconds, node?.text) }
    }

    /**
     * Asks to be a member of the group that an invitation names (`joinGroup`), now and then until it is answered, also
     * after a restart. [Event.GroupChanged] says what became of it.
     *
     * @throws DonpException.InvalidInput for what is no invitation to a group, or one of this node itself
     * @throws DonpException.Denied if it is of another network, or this node is a member already
     */
    public suspend fun joinGroup(invitation: String) {
        val ticket = invitation.utf8("the invitation")
        io { joinGroup(ticket) }
    }

    /**
     * Leaves a group, or cancels a request to join (`leaveGroup`). What was said while this node was a member stays.
     *
     * @throws DonpException.Denied for an owner with other members: hand the group over first
     */
    public suspend fun leaveGroup(group: GroupId): Unit = io { leaveGroup(group.text) }

    /**
     * Removes a member of lower rank, for good with [ban] (`removeMember`). It reads nothing that is said from then on.
     *
     * @throws DonpException.NotFound if there is no such group or member
     * @throws DonpException.Denied by rank
     */
    public suspend fun removeMember(group: GroupId, node: NodeId, ban: Boolean = false): Unit =
        io { removeMember(group.text, node.text, ban) }

    /** Ends a ban: the node may be invited again. Throws as [removeMember]. */
    public suspend fun unbanMember(group: GroupId, node: NodeId): Unit = io { unbanMember(group.text, node.text) }

    /** Gives a member of lower rank another rank, below this node's (`setMemberRole`). Throws as [removeMember]. */
    public suspend fun setMemberRole(group: GroupId, node: NodeId, role: GroupRole): Unit =
        io { setMemberRole(group.text, node.text, role.toRaw()) }

    /** Makes another member the owner; this node is an admin from then on. Throws as [removeMember]. */
    public suspend fun transferGroup(group: GroupId, node: NodeId): Unit = io { transferGroup(group.text, node.text) }

    /** Gives a group another name, 1 to 64 bytes. Throws as [removeMember]. */
    public suspend fun renameGroup(group: GroupId, name: String) {
        val words = name.utf8("the name")
        io { renameGroup(group.text, words) }
    }

    /** Gives a group another description, at most 1,024 bytes. Throws as [removeMember]. */
    public suspend fun describeGroup(group: GroupId, description: String) {
        val words = description.utf8("the description")
        io { describeGroup(group.text, words) }
    }

    /**
     * Shows a message of a group above the others; the last 64 are shown.
     *
     * @throws DonpException.Denied without the role that the policy's [GroupPolicy.pin] names, and if it is pinned already
     */
    public suspend fun pinMessage(group: GroupId, message: MessageId): Unit = io { pinMessage(group.text, message.text) }

    /**
     * Ends [pinMessage].
     *
     * @throws DonpException.Denied without the role that the policy's [GroupPolicy.pin] names, and if it is not pinned
     */
    public suspend fun unpinMessage(group: GroupId, message: MessageId): Unit =
        io { unpinMessage(group.text, message.text) }

    /** Gives a group another policy: for its owner. Throws as [removeMember]. */
    public suspend fun setGroupPolicy(group: GroupId, policy: GroupPolicy) {
        val rules = policy.toRaw()
        io { setGroupPolicy(group.text, rules) }
    }

    /** Adds a node that asked to join, or says no. Throws as [removeMember]. */
    public suspend fun answerJoin(group: GroupId, node: NodeId, approve: Boolean): Unit =
        io { answerJoin(group.text, node.text, approve) }

    /**
     * Says [content] to the members of a group. Absent members catch up later, from any other.
     *
     * @throws DonpException.NotFound if there is no such group
     * @throws DonpException.Denied if this node may not post there
     * @throws DonpException.InvalidInput if [content] is empty, too long or [Content.Unknown]
     */
    public suspend fun sendToGroup(group: GroupId, content: Content): MessageId =
        content.toRaw().let { raw -> MessageId(io { sendToGroup(group.text, raw) }) }

    /** Says [text], 1 to 65,536 bytes of UTF-8, to the members of a group: [sendToGroup] with [Content.Text]. */
    public suspend fun sendToGroup(group: GroupId, text: String): MessageId = sendToGroup(group, Content.Text(text))

    /** The groups that this node is or was a member of (`listGroups`). */
    public suspend fun groups(): List<GroupInfo> = io { groups() }.map { it.toPublic() }

    /** One of them, with its members; null if this node is and was in no such group. */
    public suspend fun group(group: GroupId): GroupInfo? = io { group(group.text) }?.toPublic()

    /** Groups that this node asked to join and is no member of yet. */
    public suspend fun joiningGroups(): List<JoiningGroup> = io { joiningGroups() }.map { it.toPublic() }

    /**
     * Adds a file from disk, so that it can be sent as [Content.File]. Its name is that of the path. It is kept sealed
     * in the store; the one on disk may go then.
     *
     * @throws DonpException.Storage if it cannot be read
     * @throws DonpException.InvalidInput if it is too large, or changed while it was read
     * @throws DonpException.Busy if there is no room for it
     */
    public suspend fun addFile(path: String, mediaType: String = ""): Attachment {
        val (place, kind) = path.utf8("the path") to mediaType.utf8("the media type")
        return io { addFile(place, kind) }.toPublic()
    }

    /** Adds bytes as a file with this name. Throws as [addFile]. */
    public suspend fun addFileBytes(bytes: ByteArray, name: String, mediaType: String = ""): Attachment {
        val (words, kind) = name.utf8("the name") to mediaType.utf8("the media type")
        return io { addFileBytes(bytes, words, kind) }.toPublic()
    }

    /**
     * Fetches a file that a message of this conversation names. It goes on after a restart; [Event.FileReceived] says
     * that it is here.
     *
     * @param author the author of the message, which is asked first
     * @throws DonpException.InvalidInput if it is too large
     * @throws DonpException.Busy if there is no room for it
     */
    public suspend fun fetchFile(conversation: Conversation, file: Attachment, author: NodeId? = null) {
        val raw = file.toRaw()
        io { fetchFile(conversation.toRaw(), raw, author?.text) }
    }

    /** The files that are here or being fetched, in the order in which they came. */
    public suspend fun files(): List<FileInfo> = io { files() }.map { it.toPublic() }

    /** The bytes of one part of a file, 65,520 of them but for the last; null if it is not here. */
    public suspend fun readFile(file: FileId, part: Int): ByteArray? {
        val number = part.toU32("part")
        return io { readFile(file.text, number) }
    }

    /**
     * Writes a file that is here whole to a new file on disk, and gives its size. What is there already is not
     * replaced.
     *
     * @throws DonpException.NotFound if the file is not here whole
     * @throws DonpException.Storage if it cannot be written
     */
    public suspend fun saveFile(file: FileId, path: String): Long {
        val place = path.utf8("the path")
        return io { saveFile(file.text, place) }.clamp()
    }

    /** Removes a file here, or ends its fetch. Others keep theirs. */
    public suspend fun removeFile(file: FileId): Unit = io { removeFile(file.text) }

    /**
     * The page of a conversation that ends before [before], or its newest.
     *
     * @param before [HistoryPage.older] of the page after
     * @param limit at most this many messages; 1,000 at most
     */
    public suspend fun history(conversation: Conversation, before: MessageId? = null, limit: Int = 100): HistoryPage {
        val most = limit.toU32("limit")
        return io { history(conversation.toRaw(), before?.text, most) }.toPublic()
    }

    /**
     * The newest messages that contain [text] in any case, before [before]. One call looks at 2,000
     * messages; pass [HistoryPage.older] as [before] to go on, until it is null. A page may be empty and
     * yet not the last.
     *
     * @param text not empty
     * @param limit at most this many messages; 1,000 at most
     */
    public suspend fun search(
        conversation: Conversation,
        text: String,
        before: MessageId? = null,
        limit: Int = 100,
    ): HistoryPage {
        val most = limit.toU32("limit")
        val words = text.utf8("the text")
        return io { search(conversation.toRaw(), words, before?.text, most) }.toPublic()
    }

    /**
     * A stream of this node's events: durable ones from the oldest that was not acknowledged, volatile
     * ones from this call on, not from the first collector. A stream made before [start] misses nothing.
     * Of those that wait, durable events come before volatile ones.
     *
     * Every call makes a stream of its own, and streams do not disturb one another. One is collected by
     * one collector at a time (a second gets an [IllegalStateException]); after a collector was cancelled
     * the next goes on where it stopped, and nothing is lost. It ends when the node is closed. It keeps
     * its node from being collected as garbage.
     *
     * @throws DonpException.Internal if the library failed
     */
    public fun events(): Flow<Event> = EventFlow(this, call { raw.subscribe() })

    /** Every durable event up to and including number [seq] was handled: it does not come again. */
    public suspend fun ack(seq: Long) {
        val number = seq.toU64("seq")
        io { ack(number) }
    }

    /** [event] and all durable ones before it were handled. Does nothing for a volatile one. */
    public suspend fun ack(event: Event) {
        event.seq?.let { ack(it) }
    }

    /** The node at a glance. */
    public suspend fun status(): NodeStatus = io { status() }.toPublic()

    /** Nodes that were met or named by others, at most [max], by id. */
    public suspend fun peers(max: Int = 1_000): List<Peer> {
        val most = max.toU32("max")
        return io { peers(most) }.map { it.toPublic() }
    }

    /** What is known of one node; null if it was never met or named by others. */
    public suspend fun peer(id: NodeId): Peer? = io { peer(id.text) }?.toPublic()

    /**
     * The members of this node's zone, by id, without itself; recently departed ones are still in it. Empty
     * where the network has more than 64 nodes.
     */
    public suspend fun members(): List<ZoneMember> = io { members() }.map { it.toPublic() }

    /**
     * Asks a node whether it is there, at once (`detectNodeFailure`). [Event.MemberChanged] answers: alive, or
     * suspect after at most ten seconds; a suspect of this node's zone is watched further, and found down or
     * alive.
     *
     * @throws DonpException.NotFound if [peer] was never met or named by others
     * @throws DonpException.InvalidInput if it is this node
     * @throws DonpException.NotRunning if the node is not started or suspended
     */
    public suspend fun detectNodeFailure(peer: NodeId): Unit = io { detectNodeFailure(peer.text) }

    /**
     * Blocks a node, for good and across restarts: there is no link with it, and its private messages are neither
     * taken nor answered; those to it that wait fail with [FailReason.Blocked]. What it says to many is kept and
     * passed on, but it is in no event and no page of the history. It gets no notice.
     *
     * @throws DonpException.InvalidInput if it is this node
     */
    public suspend fun block(peer: NodeId): Unit = io { block(peer.text) }

    /** Ends [block]. What the node said to many meanwhile is in the history again, without events. */
    public suspend fun unblock(peer: NodeId): Unit = io { unblock(peer.text) }

    /** Blocked nodes, by id. */
    public suspend fun blocked(): List<NodeId> = io { blocked() }.map { NodeId(it) }

    /** All of the book, by id: contacts, and requests of strangers. */
    public suspend fun contacts(): List<Contact> = io { contacts() }.map { it.toPublic() }

    /** One of the book; null if the node is neither a contact nor has a request. */
    public suspend fun contact(node: NodeId): Contact? = io { contact(node.text) }?.toPublic()

    /**
     * Makes a node a contact, with an own name for it if one is given; accepts its request. A node that is written to
     * becomes a contact too.
     *
     * @param petname 1 to 64 bytes, and of no other contact
     * @throws DonpException.InvalidInput for the name, or this node itself
     * @throws DonpException.AlreadyExists if another contact has the name
     * @throws DonpException.Busy if there are 4,096 contacts
     */
    public suspend fun addContact(node: NodeId, petname: String? = null) {
        val name = petname?.utf8("the name")
        io { addContact(node.text, name) }
    }

    /**
     * Gives a contact another own name, or none. For the name it throws as [addContact].
     *
     * @throws DonpException.NotFound for no contact
     */
    public suspend fun renameContact(node: NodeId, petname: String?) {
        val name = petname?.utf8("the name")
        io { renameContact(node.text, name) }
    }

    /**
     * Takes a contact, or a request, out of the book: name, verification, muting. Its messages stay, as does a block;
     * its next message is a request.
     *
     * @throws DonpException.NotFound if it is not there
     */
    public suspend fun removeContact(node: NodeId): Unit = io { removeContact(node.text) }

    /**
     * Accepts the request of a stranger.
     *
     * @throws DonpException.NotFound if it has none
     */
    public suspend fun acceptContact(node: NodeId): Unit = io { acceptContact(node.text) }

    /**
     * Mutes a contact, or ends that: what it says makes no events, and is in the history and among what is unread.
     *
     * @throws DonpException.NotFound for no contact
     */
    public suspend fun muteContact(node: NodeId, muted: Boolean = true): Unit = io { muteContact(node.text, muted) }

    /**
     * The safety number with a node of the book: equal at both unless there is a man in the middle.
     *
     * @throws DonpException.NotFound if it is not in the book, or its keys are not known yet; those of a linked node are
     *   asked for, so that it can be tried again
     */
    public suspend fun safetyNumber(node: NodeId): SafetyNumber = io { safetyNumber(node.text) }.toPublic()

    /**
     * Compares what the other side says or shows with the safety number. If it is right the contact is verified, also
     * after a change.
     *
     * @param shown 60 digits in any groups, or the code that was scanned
     * @throws DonpException.Denied if it is not right
     * @throws DonpException.InvalidInput for what is neither
     * @throws DonpException.NotFound as [safetyNumber]
     */
    public suspend fun verifyContact(node: NodeId, shown: String) {
        val words = shown.utf8("the safety number")
        io { verifyContact(node.text, words) }
    }

    /**
     * Goes on with a verified contact whose key changed without comparing again: it is not verified any more, and
     * messages go to it.
     *
     * @throws DonpException.NotFound if its key did not change
     */
    public suspend fun acceptChange(node: NodeId): Unit = io { acceptChange(node.text) }

    /** The devices of this node's account, the most senior first: at most eight. Without this one in it, it was removed. */
    public suspend fun devices(): List<DeviceInfo> = io { devices() }.map { it.toPublic() }

    /** The devices of the account that a node is of, as far as it is known; the node alone before that. */
    public suspend fun devicesOf(node: NodeId): List<NodeId> = io { devicesOf(node.text) }.map { NodeId(it) }

    /**
     * Makes a ticket with which another device of the same person joins this node's account. It is good for one device
     * and ten minutes, and as secret as the account for that time.
     *
     * @throws DonpException.Denied if the account has eight devices, its list was changed fifteen times, or this device
     *   was removed from it
     */
    public suspend fun addDevice(): String = io { addDevice() }

    /**
     * Joins the account of the device that shows this ticket, and its network. This device's own account, without other
     * devices and private messages, is over. [Event.DevicesChanged] follows; [isJoiningAccount] is false before if it was
     * refused.
     *
     * @throws DonpException.InvalidInput for the ticket
     * @throws DonpException.Denied if this device is of an account with other devices or private messages
     */
    public suspend fun joinAccount(ticket: String) {
        val text = ticket.utf8("the ticket")
        io { joinAccount(text) }
    }

    /** Whether this device waits to be taken into an account, or for the lists of one to recover. */
    public suspend fun isJoiningAccount(): Boolean = io { isJoiningAccount() }

    /** Gives this device another name: 1 to 64 bytes. */
    public suspend fun renameDevice(name: String) {
        val text = name.utf8("the name")
        io { renameDevice(text) }
    }

    /**
     * Removes a device from this node's account: a newer one than this, or this one itself.
     *
     * @throws DonpException.NotFound for no device of it
     * @throws DonpException.Denied for an older one or the last
     */
    public suspend fun removeDevice(node: NodeId): Unit = io { removeDevice(node.text) }

    /**
     * Makes this device the only one of the account of a recovery code. If its lists are not here, linked nodes are asked
     * for ten minutes.
     *
     * @throws DonpException.InvalidInput for the code
     */
    public suspend fun recoverAccount(code: String) {
        val text = code.utf8("the recovery code")
        io { recoverAccount(text) }
    }

    /**
     * The recovery code of the account that this profile began with: its holder can take the account over. Null if the
     * profile does not hold it.
     */
    public suspend fun recoveryCode(): String? = io { recoveryCode() }

    /** Conversations with what is unread in each, those of groups and the network's included. */
    public suspend fun conversations(): List<ConversationInfo> = io { conversations() }.map { it.toPublic() }

    /**
     * A conversation was read up to and including [upto], or all of it. Others get a mark only with the setting
     * `chat.send_read_marks`. A mark never goes back.
     *
     * @throws DonpException.NotFound if there is no such conversation
     */
    public suspend fun markRead(conversation: Conversation, upto: MessageId? = null): Unit =
        io { markRead(conversation.toRaw(), upto?.text) }

    /**
     * Which members have a message of this node in a group or a private conversation. It never says too much: a member
     * that is away is counted when it, or what it says, comes here.
     *
     * @throws DonpException.NotFound for what is no own message among the newest 1,024 or on the pages of history read
     *   since the start
     * @throws DonpException.Denied for the network's conversation
     */
    public suspend fun confirmations(conversation: Conversation, message: MessageId): Confirmations =
        io { confirmations(conversation.toRaw(), message.text) }.toPublic()

    /**
     * The user types in a group of up to 32 members, or in a private conversation that this node spoke in. To be called
     * with each change of the text: others get [Event.Typing] at most every 3 s, and it ends by itself.
     *
     * @throws DonpException.NotFound if there is no such conversation
     * @throws DonpException.Denied for another kind of conversation, and where this node may not post
     */
    public suspend fun sendTyping(conversation: Conversation): Unit = io { sendTyping(conversation.toRaw()) }

    /**
     * Deletes all that is here of a private conversation. The other side keeps its own. What comes later is shown.
     *
     * @throws DonpException.NotFound if there is none
     * @throws DonpException.Denied for another kind of conversation
     */
    public suspend fun deleteConversation(conversation: Conversation): Unit =
        io { deleteConversation(conversation.toRaw()) }

    /**
     * Challenges the device of a node over its link (`authenticateNode`). [Event.Authenticated] says the result in at
     * most ten seconds. A node without a link is contacted first.
     *
     * @throws DonpException.NotFound if [peer] was never met or named by others
     * @throws DonpException.InvalidInput if it is this node
     * @throws DonpException.Denied if it is blocked
     */
    public suspend fun authenticateNode(peer: NodeId): Unit = io { authenticateNode(peer.text) }

    /**
     * These nodes seem to be cut off, or this one from them (`handleNetworkPartition`): each is asked, as by
     * [detectNodeFailure], and contacted anew; with none named, a node met before is. Parts that do not hear
     * of each other merge. Throws as [detectNodeFailure], before anything is done.
     */
    public suspend fun reportPartition(peers: List<NodeId> = emptyList()): Unit =
        io { reportPartition(peers.map { it.text }) }

    /**
     * Mends what failed without waiting (`recoverFromFailure`).
     *
     * @throws DonpException.NotRunning if the node is not started or suspended
     */
    public suspend fun recoverFromFailure(failure: FailureType): Unit = io { recoverFromFailure(failure.toRaw()) }

    /**
     * Compares what is said with another node at once, and fetches what is missing, on both sides
     * (`synchronizeState`). A node without a link is contacted first. Throws as [detectNodeFailure].
     */
    public suspend fun synchronizeState(peer: NodeId): Unit = io { synchronizeState(peer.text) }

    /**
     * A node near may be at [address], `ip:port`: what Android's NSD, Bonjour or Bluetooth found. A hint,
     * tried once; [Event.PeerUp] tells if it was right.
     *
     * @param id if it is known: another node that answers there is refused
     * @throws DonpException.InvalidInput if [address] is none
     */
    public suspend fun handleLocalPeer(address: String, id: NodeId? = null) {
        val place = address.utf8("the address")
        io { handleLocalPeer(place, id?.text) }
    }

    /** Whether the private message [id] waits for its acknowledgement. */
    public suspend fun isQueued(id: MessageId): Boolean = io { isQueued(id.text) }

    /**
     * Before the system freezes the app: stores everything and closes the file. Until [resume] nothing is
     * received, and calls that need the store throw [DonpException.NotRunning]. Again is nothing.
     */
    public suspend fun suspend(): Unit = io { suspend() }

    /** After the system let the app go on. Again is nothing. */
    public suspend fun resume(): Unit = io { resume() }

    /**
     * For the short time that a system gives a sleeping app: resumes, exchanges what there is, and
     * suspends again if the node was suspended. A caller that is cancelled does not end it.
     *
     * @param seconds at most this long; 600 at most
     */
    public suspend fun backgroundFetch(seconds: Int): FetchResult {
        val most = seconds.toLong().toU64("seconds")
        return io { backgroundFetch(most) }.let { FetchResult(it.events.clamp(), it.caughtUp) }
    }

    /** The system changed networks: every link is probed at once. */
    public suspend fun networkChanged(): Unit = io { networkChanged() }

    /**
     * Looks at every record of this node's profile while it runs; takes as long as reading the whole file.
     *
     * @throws DonpException.InvalidInput if the node is in memory
     */
    public suspend fun check(): Checked = io { check() }.toPublic()

    /**
     * Copies this node's profile as of now to [to], which must not be there: one file if its name ends with `.donp`, else a
     * folder. [restoreProfile] makes a profile of it.
     *
     * @return whether the copy holds the key that opens it: then who can read it can read everything in it
     * @throws DonpException.AlreadyExists if [to] is there
     * @throws DonpException.InvalidInput if the node is in memory
     */
    public suspend fun backup(to: String): Boolean {
        val place = to.utf8("the backup")
        return io { backup(place) }
    }

    /**
     * Waits until there is a link with [peer], however it comes about, at most [timeout].
     *
     * @throws DonpException.Timeout if there is none in that time
     */
    public suspend fun waitFor(peer: NodeId, timeout: Duration = 60.seconds): Peer =
        linked(timeout, "no link with $peer within $timeout") { this@Node.peer(peer)?.takeIf { it.linked } }

    /** The name that a node claims, such as the author of a message; null if none is known. */
    public suspend fun nameOf(id: NodeId): String? = if (id == this.id) name else peer(id)?.name

    private suspend fun <T : Any> linked(timeout: Duration, otherwise: String, look: suspend () -> T?): T =
        withTimeoutOrNull(timeout) {
            var found = look()
            while (found == null) {
                delay(LOOK_AGAIN)
                found = look()
            }
            found
        } ?: throw DonpException.Timeout(otherwise, "check that the other node runs and can be reached", true)

    /** `Node(name, id)`. */
    override fun toString(): String = "Node($name, $id)"

    private suspend fun <T> io(block: org.donp.ffi.Node.() -> T): T =
        withContext(Dispatchers.IO) { call { raw.block() } }

    /** Opens nodes. */
    public companion object {
        /** How often a wait looks again. */
        private val LOOK_AGAIN = 50.milliseconds

        /**
         * Opens the profile, or makes it, and binds the sockets; nothing runs before [Node.start]. For who
         * wants [Node.events] from the very first on. Throws what [openNode] throws.
         */
        public suspend fun create(config: NodeConfig, keyStore: KeyStore? = null): Node = open(config, keyStore, false)

        internal suspend fun open(config: NodeConfig, keyStore: KeyStore?, start: Boolean): Node {
            var made: Node? = null
            try {
                return withContext(Dispatchers.IO) {
                    call {
                        val raw = org.donp.ffi.Node(config.toRaw(), keyStore?.let { PlatformKeys(it) })
                        Node(raw).also {
                            made = it
                            if (start) raw.start()
                        }
                    }
                }
            } catch (e: Throwable) {
                // Also when the caller was cancelled and never sees the node that holds the profile.
                withContext(NonCancellable + Dispatchers.IO) { made?.close() }
                throw e
            }
        }
    }
}
