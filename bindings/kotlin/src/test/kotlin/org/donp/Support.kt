package org.donp

import java.nio.file.Path
import java.util.Arrays
import java.util.TreeMap
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.mapNotNull
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterEach

/** Only a broken program reaches this. */
internal val LONG = 4.minutes

internal fun text(text: String) = Content.Text(text)

/** Closes the nodes that its tests opened. */
internal abstract class WithNodes {
    private val nodes = ArrayList<Node>()

    @AfterEach
    fun closeNodes() {
        for (node in nodes) runCatching { node.close() }
        nodes.clear()
    }

    fun Node.kept(): Node = also { nodes += it }

    fun chat(body: suspend CoroutineScope.() -> Unit): Unit = runBlocking { withTimeout(LONG) { body() } }

    suspend fun memory(name: String) = openNode(NodeConfig(name = name, listen = LOOPBACK)).kept()

    suspend fun stored(dir: Path, name: String?, keyStore: KeyStore? = null) =
        openNode(stateIn(dir, name), keyStore).kept()

    fun stateIn(dir: Path, name: String?) = NodeConfig(stateDir = "$dir", name = name, listen = LOOPBACK)
}

internal val LOOPBACK = listOf("127.0.0.1:0")

internal val Node.address get() = localAddresses.single()

internal suspend fun <T : Any> Flow<Event>.find(pick: (Event) -> T?): T = mapNotNull { pick(it) }.first()

/** The next [n] messages. */
internal suspend fun Flow<Event>.messages(n: Int): List<Event.Received> =
    List(n) { find { event -> event as? Event.Received } }

internal suspend fun Flow<Event>.linked(): NodeId = find { (it as? Event.PeerUp)?.peer }

internal suspend fun until(what: String, done: suspend () -> Boolean) {
    var tries = 0
    while (!done()) {
        assertTrue(++tries < 100_000, what)
        delay(10)
    }
}

internal suspend fun Node.all(conversation: Conversation = Conversation.Network): List<Message> {
    val pages = ArrayDeque<List<Message>>()
    var before: MessageId? = null
    do {
        val page = history(conversation, before, 1_000)
        pages.addFirst(page.messages)
        before = page.older
    } while (before != null)
    return pages.flatten()
}

/** Engines on a network in a list, with a clock that jumps to the next deadline. */
internal class Net(engines: List<Engine>) {
    var now = 0L
    val hosts = engines.mapIndexed { n, engine -> Host("10.0.0.${n + 1}:4000", engine) }

    init {
        hosts.forEachIndexed { n, host -> if (n == 0) host.engine.join(0) else host.engine.join(0, hosts[0].address) }
    }

    fun step() {
        val sent = ArrayList<Pair<String, Received>>()
        for (host in hosts) host.turn(now).mapTo(sent) { it.destination to Received(host.address, it.payload) }
        for ((to, datagram) in sent) hosts.find { it.address == to }?.let { it.inbox += datagram }
        if (sent.isEmpty() && hosts.all { it.committed == null }) now = maxOf(hosts.minOf { it.deadline }, now + 1)
    }

    fun until(what: String, done: () -> Boolean) {
        var steps = 0
        while (!done()) {
            assertTrue(++steps < 100_000, "$what did not happen in ${now / 1_000_000} s of its time")
            step()
        }
    }

    fun linked(): Net = apply { until("linked") { hosts.all { it.engine.status().links > 0 } } }

    fun wake() = hosts.forEach { it.deadline = 0 }
}

/** An engine and the store that a host keeps for it. */
internal class Host(val address: String, var engine: Engine) {
    val events = ArrayList<Event>()
    val answers = ArrayList<Answer>()
    val parts = ArrayList<FilePart>()
    var inbox = ArrayList<Received>()
    var committed: Long? = null
    var deadline = 0L
    private val store = TreeMap<Pair<Int, ByteArray>, ByteArray> { a, b ->
        if (a.first != b.first) a.first - b.first else Arrays.compareUnsigned(a.second, b.second)
    }

    fun records() = store.map { (at, value) -> Record(at.first, at.second, value) }

    fun turn(now: Long): List<Transmit> {
        if (inbox.isEmpty() && committed == null && deadline > now) return emptyList()
        val received = inbox
        inbox = ArrayList()
        val out = engine.turn(now, received, committed)
        committed = null
        events += out.events
        answers += out.answers
        parts += out.parts
        deadline = if (out.more) 0 else out.nextDeadlineUs ?: Long.MAX_VALUE
        out.batch?.let { apply(it) }
        for (request in out.requests) {
            engine.handleRecords(now, request.id, read(request))
            deadline = 0
        }
        return out.transmits
    }

    private fun apply(batch: Batch) {
        for (op in batch.ops) {
            when (op) {
                is Op.Put -> store[op.table to op.key] = op.value
                is Op.Delete -> store.remove(op.table to op.key)
                is Op.DeleteRange -> store.subMap(op.table to op.start, op.table to op.end).clear()
            }
        }
        committed = batch.seq
    }

    private fun read(request: Request): List<Record> {
        val range = store.subMap(request.table to request.start, true, request.table to request.end, false)
        val ordered = if (request.reverse) range.descendingMap() else range
        return ordered.entries.take(request.limit).map { (at, value) -> Record(at.first, at.second, value) }
    }
}

internal fun engineConfig(name: String, inMemory: Boolean = true) =
    EngineConfig(generateIdentity(name), inMemory = inMemory)

internal fun engine(name: String, inMemory: Boolean = true) = Engine(engineConfig(name, inMemory), 0, WALL)

internal const val WALL = 1_790_000_000_000L

internal fun List<Event>.texts() = mapNotNull { (it as? Event.Received)?.message?.text }
