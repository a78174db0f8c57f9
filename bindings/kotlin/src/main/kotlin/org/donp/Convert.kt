package org.donp

import java.nio.ByteBuffer
import org.donp.ffi.DonpException as RawException

// Between the public types and the generated ones, which are private and may change with their generator.

/** Runs a call into the library: the one place where its errors become public ones. */
internal inline fun <T> call(block: () -> T): T =
    try {
        block()
    } catch (e: RawException) {
        throw e.toPublic()
    } catch (e: org.donp.ffi.InternalException) {
        // A panic that no object's guard caught.
        throw DonpException.Internal(e.message ?: "an internal error", "please report it", false).apply { initCause(e) }
    }

private fun RawException.toPublic(): DonpException = when (this) {
    is RawException.InvalidInput -> DonpException.InvalidInput(reason, hint, retryable)
    is RawException.NotFound -> DonpException.NotFound(reason, hint, retryable)
    is RawException.AlreadyExists -> DonpException.AlreadyExists(reason, hint, retryable)
    is RawException.Denied -> DonpException.Denied(reason, hint, retryable)
    is RawException.NotRunning -> DonpException.NotRunning(reason, hint, retryable)
    is RawException.Busy -> DonpException.Busy(reason, hint, retryable)
    is RawException.Locked -> DonpException.Locked(reason, hint, retryable)
    is RawException.Timeout -> DonpException.Timeout(reason, hint, retryable)
    is RawException.Network -> DonpException.Network(reason, hint, retryable)
    is RawException.Storage -> DonpException.Storage(reason, hint, retryable)
    is RawException.Damaged -> DonpException.Damaged(reason, hint, retryable)
    is RawException.Closed -> DonpException.Closed(reason, hint, retryable)
    is RawException.Internal -> DonpException.Internal(reason, hint, retryable)
}

internal fun invalid(reason: String, hint: String): DonpException = DonpException.InvalidInput(reason, hint, false)

internal fun Long.toU64(what: String): ULong {
    if (this < 0) throw invalid("$what is $this and must not be negative", "give 0 or more")
    return toULong()
}

internal fun Int.toU32(what: String): UInt {
    if (this < 0) throw invalid("$what is $this and must not be negative", "give 0 or more")
    return toUInt()
}

/**
 * A text that has no UTF-8, because of half a surrogate pair, is refused before the generated code begins a
 * call: when it fails to convert an argument there, the object is never freed.
 */
internal fun String.utf8(what: String): String {
    var n = 0
    while (n < length) {
        if (!this[n].isSurrogate()) {
            n++
        } else if (this[n].isHighSurrogate() && n + 1 < length && this[n + 1].isLowSurrogate()) {
            n += 2
        } else {
            throw invalid("$what has half a character at $n", "cut texts between characters, not between surrogates")
        }
    }
    return this
}

internal fun Iterable<String>.utf8(what: String): List<String> = map { it.utf8(what) }

/** Numbers that others may have made up, such as a wall clock, stay positive. */
internal fun ULong.clamp(): Long = coerceAtMost(Long.MAX_VALUE.toULong()).toLong()

internal fun UInt.clamp(): Int = coerceAtMost(Int.MAX_VALUE.toUInt()).toInt()

/** Borrowed bytes cross only in a direct buffer: the generated code refuses another kind. */
internal fun direct(bytes: ByteArray): ByteBuffer = ByteBuffer.allocateDirect(bytes.size).put(bytes).flip() as ByteBuffer

/** What a call of `join` was given. */
internal sealed class Ways {
    class Places(val places: List<String>) : Ways()

    class Invitation(val text: String) : Ways()
}

internal fun ways(texts: Array<out String>): Ways {
    val places = texts.asList().utf8("the place")
    val invitation = places.find { ':' !in it }
    return when {
        invitation == null -> Ways.Places(places)
        places.size == 1 -> Ways.Invitation(invitation)
        else -> throw invalid("'$invitation' is no place", "write places as host:port, or join by one invitation alone")
    }
}

internal class PlatformKeys(private val keys: KeyStore) : org.donp.ffi.KeyStore {
    override fun wrapKey(key: ByteArray): ByteArray = refusing { keys.wrapKey(key) }

    override fun unwrapKey(wrapped: ByteArray): ByteArray = refusing { keys.unwrapKey(wrapped) }

    private inline fun refusing(block: () -> ByteArray): ByteArray =
        try {
            block()
        } catch (e: Throwable) {
            // Also an Error: the generated code lets those through, into native code.
            throw org.donp.ffi.KeyStoreException.Refused((e.message ?: e.toString()).encodeToByteArray().decodeToString())
        }
}

internal fun NodeConfig.toRaw() = org.donp.ffi.NodeConfig(
    stateDir = stateDir?.utf8("the state folder"),
    name = name?.utf8("the name"),
    identity = identity,
    passphrase = passphrase?.utf8("the passphrase"),
    listen = listen.utf8("the address"),
    bootstraps = bootstraps.utf8("the place"),
    networkKey = networkKey,
    nodeType = nodeType.toRaw(),
    bot = bot,
    power = power.toRaw(),
    lan = lan.toRaw(),
    fault = fault?.utf8("the fault"),
    offline = offline,
)

internal fun EngineConfig.toRaw() = org.donp.ffi.EngineConfig(
    identity = identity,
    networkKey = networkKey,
    nodeType = nodeType.toRaw(),
    bot = bot,
    power = power.toRaw(),
    beacons = beacons,
    inMemory = inMemory,
    seed = seed,
)

internal fun NodeType.toRaw(): org.donp.ffi.NodeType = when (this) {
    NodeType.Bootstrap -> org.donp.ffi.NodeType.BOOTSTRAP
    NodeType.Regular -> org.donp.ffi.NodeType.REGULAR
    NodeType.Super -> org.donp.ffi.NodeType.SUPER
    NodeType.Relay -> org.donp.ffi.NodeType.RELAY
}

internal fun org.donp.ffi.NodeType.toPublic(): NodeType = when (this) {
    org.donp.ffi.NodeType.BOOTSTRAP -> NodeType.Bootstrap
    org.donp.ffi.NodeType.REGULAR -> NodeType.Regular
    org.donp.ffi.NodeType.SUPER -> NodeType.Super
    org.donp.ffi.NodeType.RELAY -> NodeType.Relay
}

internal fun Power.toRaw(): org.donp.ffi.Power = when (this) {
    Power.Normal -> org.donp.ffi.Power.NORMAL
    Power.Low -> org.donp.ffi.Power.LOW
}

internal fun Lan.toRaw(): org.donp.ffi.Lan = when (this) {
    Lan.Off -> org.donp.ffi.Lan.OFF
    Lan.On -> org.donp.ffi.Lan.ON
    Lan.Compat -> org.donp.ffi.Lan.COMPAT
}

internal fun FailureType.toRaw(): org.donp.ffi.FailureType = when (this) {
    FailureType.Node -> org.donp.ffi.FailureType.NODE
    FailureType.Network -> org.donp.ffi.FailureType.NETWORK
    FailureType.Partition -> org.donp.ffi.FailureType.PARTITION
    FailureType.State -> org.donp.ffi.FailureType.STATE
}

internal fun org.donp.ffi.MemberState.toPublic(): MemberState = when (this) {
    org.donp.ffi.MemberState.ALIVE -> MemberState.Alive
    org.donp.ffi.MemberState.SUSPECT -> MemberState.Suspect
    org.donp.ffi.MemberState.DOWN -> MemberState.Down
    org.donp.ffi.MemberState.LEFT -> MemberState.Left
    org.donp.ffi.MemberState.AWAY -> MemberState.Away
    org.donp.ffi.MemberState.OTHER -> MemberState.Other
}

internal fun org.donp.ffi.ZoneMember.toPublic() = ZoneMember(NodeId(id), state.toPublic(), incarnation.toLong(), linked)

internal fun org.donp.ffi.Checked.toPublic() = Checked(records.mapValues { it.value.clamp() }, problems, lost)

internal fun org.donp.ffi.NodeState.toPublic(): NodeState = when (this) {
    org.donp.ffi.NodeState.INITIALIZING -> NodeState.Initializing
    org.donp.ffi.NodeState.DISCOVERING -> NodeState.Discovering
    org.donp.ffi.NodeState.CONNECTING -> NodeState.Connecting
    org.donp.ffi.NodeState.ACTIVE -> NodeState.Active
    org.donp.ffi.NodeState.DEGRADED -> NodeState.Degraded
    org.donp.ffi.NodeState.RECOVERING -> NodeState.Recovering
    org.donp.ffi.NodeState.LEAVING -> NodeState.Leaving
}

internal fun org.donp.ffi.DownReason.toPublic(): DownReason = when (this) {
    org.donp.ffi.DownReason.TIMEOUT -> DownReason.Timeout
    org.donp.ffi.DownReason.CLOSED -> DownReason.Closed
    org.donp.ffi.DownReason.RESTARTED -> DownReason.Restarted
    org.donp.ffi.DownReason.UNWANTED -> DownReason.Unwanted
    org.donp.ffi.DownReason.FULL -> DownReason.Full
    org.donp.ffi.DownReason.MISBEHAVED -> DownReason.Misbehaved
    org.donp.ffi.DownReason.OTHER -> DownReason.Other
}

internal fun org.donp.ffi.FailReason.toPublic(): FailReason = when (this) {
    org.donp.ffi.FailReason.EXPIRED -> FailReason.Expired
    org.donp.ffi.FailReason.REFUSED -> FailReason.Refused
    org.donp.ffi.FailReason.BLOCKED -> FailReason.Blocked
    org.donp.ffi.FailReason.OTHER -> FailReason.Other
}

internal fun Content.toRaw(): org.donp.ffi.Content = when (this) {
    is Content.Text -> org.donp.ffi.Content.Text(text.utf8("the text"))
    is Content.Reply -> org.donp.ffi.Content.Reply(replyTo.text, text.utf8("the text"))
    is Content.Edit -> org.donp.ffi.Content.Edit(editOf.text, text.utf8("the text"))
    is Content.React -> org.donp.ffi.Content.React(reactTo.text, mark.utf8("the mark"))
    is Content.Retract -> org.donp.ffi.Content.Retract(retract.text)
    is Content.File -> org.donp.ffi.Content.File(file.toRaw(), text.utf8("the text"))
    Content.Unknown -> org.donp.ffi.Content.Unknown
}

internal fun org.donp.ffi.Content.toPublic(): Content = when (this) {
    is org.donp.ffi.Content.Text -> Content.Text(text)
    is org.donp.ffi.Content.Reply -> Content.Reply(MessageId(replyTo), text)
    is org.donp.ffi.Content.Edit -> Content.Edit(MessageId(editOf), text)
    is org.donp.ffi.Content.React -> Content.React(MessageId(reactTo), mark)
    is org.donp.ffi.Content.Retract -> Content.Retract(MessageId(retract))
    is org.donp.ffi.Content.File -> Content.File(file.toPublic(), text)
    is org.donp.ffi.Content.Unknown -> Content.Unknown
}

internal fun Conversation.toRaw(): org.donp.ffi.Conversation = when (this) {
    Conversation.Network -> org.donp.ffi.Conversation.Network
    is Conversation.Private -> org.donp.ffi.Conversation.Private(peer.text)
    is Conversation.Group -> org.donp.ffi.Conversation.Group(group.text)
}

internal fun org.donp.ffi.Conversation.toPublic(): Conversation = when (this) {
    is org.donp.ffi.Conversation.Network -> Conversation.Network
    is org.donp.ffi.Conversation.Private -> Conversation.Private(NodeId(peer))
    is org.donp.ffi.Conversation.Group -> Conversation.Group(GroupId(group))
}

internal fun org.donp.ffi.Message.toPublic() = Message(
    id = MessageId(id),
    conversation = conversation.toPublic(),
    author = NodeId(author),
    life = life,
    seq = seq.clamp(),
    depth = depth.clamp(),
    clock = clock?.map { ClockEntry(NodeId(it.author), it.life, it.count.clamp()) },
    sentAtMs = sentAtMs.clamp(),
    content = content.toPublic(),
    edited = edited,
    retracted = retracted,
)

internal fun org.donp.ffi.HistoryPage.toPublic() =
    HistoryPage(messages.map { it.toPublic() }, older?.let { MessageId(it) })

internal fun org.donp.ffi.Event.toPublic(): Event = when (this) {
    is org.donp.ffi.Event.Received -> Event.Received(seq.clamp(), message.toPublic())
    is org.donp.ffi.Event.Delivered -> Event.Delivered(seq.clamp(), MessageId(id), NodeId(to))
    is org.donp.ffi.Event.Failed -> Event.Failed(seq.clamp(), MessageId(id), NodeId(to), reason.toPublic())
    is org.donp.ffi.Event.Forked ->
        Event.Forked(seq.clamp(), conversation.toPublic(), NodeId(author), life, number.clamp())
    is org.donp.ffi.Event.LifeBegun -> Event.LifeBegun(seq.clamp(), conversation.toPublic())
    is org.donp.ffi.Event.GroupChanged -> Event.GroupChanged(
        seq = seq.clamp(),
        group = GroupId(group),
        change = change.toPublic(),
        node = node?.let { NodeId(it) },
        name = name,
        role = role?.toPublic(),
        text = text,
        message = message?.let { MessageId(it) },
        reason = reason?.toPublic(),
    )
    is org.donp.ffi.Event.FileReceived -> Event.FileReceived(seq.clamp(), FileId(file))
    is org.donp.ffi.Event.FileProgress ->
        Event.FileProgress(FileId(file), bytes.clamp(), size.clamp(), holders.clamp())
    is org.donp.ffi.Event.Confirmed -> Event.Confirmed(conversation.toPublic(), confirmations.toPublic())
    is org.donp.ffi.Event.Typing -> Event.Typing(conversation.toPublic(), NodeId(node), active)
    is org.donp.ffi.Event.ContactRequest -> Event.ContactRequest(seq.clamp(), NodeId(node))
    is org.donp.ffi.Event.ContactChanged -> Event.ContactChanged(seq.clamp(), NodeId(node))
    is org.donp.ffi.Event.DevicesChanged -> Event.DevicesChanged(seq.clamp(), NodeId(node), NodeId(device), added)
    is org.donp.ffi.Event.Authenticated -> Event.Authenticated(NodeId(peer), result.toPublic())
    is org.donp.ffi.Event.StateChanged -> Event.StateChanged(before.toPublic(), after.toPublic())
    is org.donp.ffi.Event.PeerUp -> Event.PeerUp(NodeId(peer), name)
    is org.donp.ffi.Event.PeerDown -> Event.PeerDown(NodeId(peer), reason.toPublic())
    is org.donp.ffi.Event.MemberChanged -> Event.MemberChanged(NodeId(peer), state.toPublic())
    is org.donp.ffi.Event.AccountDataChanged -> Event.AccountDataChanged
    is org.donp.ffi.Event.Writable -> Event.Writable
    is org.donp.ffi.Event.Lagged -> Event.Lagged(missed.clamp())
    is org.donp.ffi.Event.Unknown -> Event.Unknown(seq?.clamp())
}

internal fun org.donp.ffi.TicketInfo.toPublic() = TicketInfo(NodeId(node), name, addresses, closed)

internal fun org.donp.ffi.Peer.toPublic() = Peer(
    id = NodeId(id),
    name = name,
    account = account?.let { AccountId(it) },
    nodeType = nodeType.toPublic(),
    verified = verified,
    role = role.toPublic(),
    bot = bot,
    address = address,
    linked = linked,
    neighbour = neighbour,
    rttMs = rttMs,
    lastLinkedAtMs = lastLinkedAtMs?.clamp(),
    linkGeneration = linkGeneration.toInt(),
    queued = queued.clamp(),
    lastError = lastError,
)

internal fun org.donp.ffi.NodeStatus.toPublic() = NodeStatus(
    id = NodeId(id),
    account = AccountId(account),
    name = name,
    nodeType = nodeType.toPublic(),
    state = state.toPublic(),
    neighbours = neighbours.clamp(),
    links = links.clamp(),
    known = known.clamp(),
    outbox = outbox.clamp(),
    pending = pending.clamp(),
    listen = listen,
    observed = observed,
    lan = lan,
    lanError = lanError,
    unresolved = unresolved,
    store = store,
    protection = protection,
    storeError = storeError,
    damagedRecords = damagedRecords.clamp(),
    lostRecords = lostRecords.clamp(),
    checkedRecords = checkedRecords.clamp(),
    checkedAtMs = checkedAtMs?.clamp(),
    acked = acked.clamp(),
    lastEvent = lastEvent.clamp(),
    datagramsIn = datagramsIn.clamp(),
    datagramsOut = datagramsOut.clamp(),
    messages = messages.clamp(),
    drops = drops.mapValues { it.value.clamp() },
)

internal fun org.donp.ffi.EngineStatus.toPublic() = EngineStatus(
    id = NodeId(id),
    account = AccountId(account),
    name = name,
    state = state.toPublic(),
    neighbours = neighbours.clamp(),
    links = links.clamp(),
    known = known.clamp(),
    outbox = outbox.clamp(),
    pending = pending.clamp(),
    datagramsIn = datagramsIn.clamp(),
    datagramsOut = datagramsOut.clamp(),
    messages = messages.clamp(),
    drops = drops.mapValues { it.value.clamp() },
)

internal fun Received.toRaw() = org.donp.ffi.Received(source.utf8("the address"), payload)

internal fun Record.toRaw() = org.donp.ffi.Record(table.toTable(), key, value)

private fun Int.toTable(): UByte {
    if (this !in 0..255) throw invalid("there is no table $this", "give back what batches put, unchanged")
    return toUByte()
}

internal fun org.donp.ffi.Op.toPublic(): Op = when (this) {
    is org.donp.ffi.Op.Put -> Op.Put(table.toInt(), key, value)
    is org.donp.ffi.Op.Delete -> Op.Delete(table.toInt(), key)
    is org.donp.ffi.Op.DeleteRange -> Op.DeleteRange(table.toInt(), start, end)
}

internal fun org.donp.ffi.Request.toPublic() =
    Request(id.toLong(), table.toInt(), start, end, reverse, limit.clamp(), maxBytes.clamp())

internal fun org.donp.ffi.Output.toPublic() = Output(
    batch = batch?.let { b -> Batch(b.seq.toLong(), b.ops.map { it.toPublic() }) },
    transmits = transmits.map { Transmit(it.destination, it.payload) },
    beacon = beacon,
    events = events.map { it.toPublic() },
    requests = requests.map { it.toPublic() },
    answers = answers.map { Answer(it.query.toLong(), it.page.toPublic()) },
    parts = parts.map { FilePart(it.query.toLong(), it.content) },
    nextDeadlineUs = nextDeadlineUs?.clamp(),
    more = more,
)
