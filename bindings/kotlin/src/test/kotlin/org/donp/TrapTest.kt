package org.donp

import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import java.nio.file.Path
import java.util.Collections
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertSame
import kotlin.test.assertTrue
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.junit.jupiter.api.io.TempDir

/** What others' packages got wrong. */
internal class TrapTest : WithNodes() {
    @Test
    fun what_is_tested_is_the_jar_and_its_library() {
        assertTrue(Node::class.java.protectionDomain.codeSource.location.path.endsWith(".jar"))
        assertNull(System.getProperty("jna.library.path"))
        assertTrue(Regex("""\d+\.\d+\.\d+""").matches(version()))
    }

    @Test
    fun bytes_compare_by_content() {
        fun b(vararg bytes: Byte) = bytes
        fun same(make: (ByteArray) -> Any) {
            assertEquals(make(b(1, 2)), make(b(1, 2)))
            assertEquals(make(b(1, 2)).hashCode(), make(b(1, 2)).hashCode())
            assertNotEquals(make(b(1, 2)), make(b(1, 3)))
            assertTrue("2 bytes" in make(b(1, 2)).toString() || "Request" in make(b(1, 2)).toString())
        }
        same { Received("x", it) }
        same { Transmit("x", it) }
        same { Record(1, it, b()) }
        same { Record(1, b(), it) }
        same { Op.Put(1, it, b()) }
        same { Op.Put(1, b(), it) }
        same { Op.Delete(1, it) }
        same { Op.DeleteRange(1, it, b()) }
        same { Op.DeleteRange(1, b(), it) }
        same { Request(1, 1, it, b(), false, 1, 1) }
        same { Request(1, 1, b(), it, false, 1, 1) }
        assertNotEquals(Received("x", b()), Received("y", b()))
        assertNotEquals<Any>(Op.Put(1, b(), b()), Op.Delete(1, b()))
    }

    @Test
    fun an_exception_keeps_its_words_across_coroutines() = chat {
        val a = memory("a")
        val e = assertFailsWith<DonpException.NotFound> { withContext(Dispatchers.Default) { a.ack(77) } }
        assertTrue(e.message.isNotEmpty() && "reason=" !in e.message && "$e".endsWith(": ${e.message}"), "$e")
        assertTrue(e.hint.isNotEmpty())
        val kinds = DonpException::class.java.permittedSubclasses?.map { it.simpleName } ?: DonpException::class.java.declaredClasses.map { it.simpleName }
        assertEquals(org.donp.ffi.DonpException::class.java.declaredClasses.map { it.simpleName }.toSet() - "ErrorHandler" - "Companion", kinds.toSet())
    }

    @Test
    fun borrowed_bytes_come_from_any_buffer() {
        val e = engine("e")
        val hello = engine("h").run {
            join(0, "10.0.0.1:4000")
            turn(0).transmits.single().payload
        }
        val direct = ByteBuffer.allocateDirect(hello.size + 6).put(ByteArray(3)).put(hello).flip().position(3) as ByteBuffer
        e.handleDatagram(0, "10.0.0.9:1", direct)
        assertEquals(3, direct.position())
        val answers = e.turn(0).transmits
        assertEquals(listOf("10.0.0.9:1"), answers.map { it.destination }, "a handshake that is read from its position on")
        for (source in listOf("10.0.0.8:1", "10.0.0.7:1")) {
            if (source.contains("8")) e.handleDatagram(1, source, ByteBuffer.wrap(ByteArray(2) + hello).position(2) as ByteBuffer)
            else e.handleDatagram(1, source, hello)
        }
        e.handleDatagram(2, "10.0.0.6:1", ByteArray(0))
        assertEquals(4, e.status().datagramsIn)
        assertEquals(1, e.status().drops.values.sum(), "only the empty one: ${e.status().drops}")
    }

    @Test
    fun use_after_close_is_an_error_with_words() = chat {
        val e = engine("e")
        e.close()
        e.close()
        for (use in listOf<() -> Any>({ e.turn(0) }, { e.isDead }, { e.status() }, { e.invite() })) {
            val closed = assertFailsWith<DonpException.Closed> { use() }
            assertTrue(closed.message.isNotEmpty() && closed.hint.isNotEmpty())
        }
        assertEquals("Engine(${e.id})", "$e")
        val a = memory("a")
        a.close()
        assertFailsWith<DonpException.Closed> { a.broadcast("x") }
        assertFailsWith<DonpException.Closed> { a.start() }
        assertFailsWith<DonpException.Closed> { a.history(Conversation.Network) }
        assertEquals("Node(a, ${a.id})", "$a")
    }

    @Test
    fun a_forgotten_node_lets_its_profile_go(@TempDir dir: Path) = chat {
        val config = stateIn(dir, "f")
        // In a function of its own, so that nothing on this stack still holds it.
        suspend fun forget(): NodeId = openNode(config).id
        val id = forget()
        until("the profile is free") {
            System.gc()
            val again = try { openNode(config).kept() } catch (_: DonpException.Locked) { null }
            again?.let { assertEquals(id, it.id) } != null
        }
    }

    @Test
    fun a_stream_keeps_its_node() = chat {
        suspend fun forget(peer: Node) = openNode(NodeConfig(name = "f", listen = LOOPBACK)).let { it.join(peer.address); it.events() }
        val a = memory("a")
        val atA = a.events()
        val events = forget(a)
        atA.linked()
        repeat(5) { System.gc() }
        a.broadcast("still there?")
        assertEquals("still there?", events.messages(1).single().message.text)
    }

    @Test
    fun a_cancelled_open_lets_the_profile_go(@TempDir dir: Path) = chat {
        repeat(20) { n ->
            val opening = launch(Dispatchers.Default) { openNode(stateIn(dir, "c")).kept().close() }
            repeat(n) { delay(1) }
            opening.cancelAndJoin()
            stored(dir, "c").close()
        }
    }

    @Test
    fun events_that_wait_cost_no_thread_each() = chat {
        val a = memory("a")
        val b = memory("b")
        val events = b.events()
        b.join(a.address)
        events.linked()
        repeat(1_000) { a.broadcast("$it") }
        until("all came") { b.status().messages >= 1_000 }
        val threads = ManagementFactory.getThreadMXBean()
        val before = threads.totalStartedThreadCount
        assertEquals(List(1_000) { "$it" }, events.messages(1_000).map { it.message.text })
        // A callback from the library is a new Java thread each time: one for an event would be 1,000.
        assertTrue(threads.totalStartedThreadCount - before < 100, "${threads.totalStartedThreadCount - before} threads")
    }

    @Test
    fun collectors_never_run_on_the_thread_of_the_node() = chat {
        val a = memory("a")
        val b = memory("b")
        val names = Collections.synchronizedSet(LinkedHashSet<String>())
        val atA = a.events()
        val events = b.events()
        b.join(a.address)
        atA.linked()
        val here = Thread.currentThread().name.substringBefore(" @")
        val job = launch(Dispatchers.Unconfined, CoroutineStart.UNDISPATCHED) {
            events.collect { event ->
                names += Thread.currentThread().name.substringBefore(" @")
                // Refused on the thread of the node, which would wait for itself.
                if (event is Event.Received && event.message.text == "19") b.close()
            }
        }
        repeat(20) { a.broadcast("$it") }
        job.join()
        assertTrue(b.isClosed)
        assertTrue(names.all { it == here || it.startsWith("DefaultDispatcher-worker") }, "$names")
    }

    @Test
    fun one_collector_at_a_time() = chat {
        val a = memory("a")
        val events = a.events()
        val one = launch(start = CoroutineStart.UNDISPATCHED) { events.collect { } }
        val e = assertFailsWith<IllegalStateException> { events.first() }
        assertTrue("events()" in e.message!!)
        one.cancelAndJoin()
        a.close()
        events.collect { }
    }

    @Test
    fun half_a_character_is_refused_with_words() = chat {
        val a = memory("a")
        val half = "half \uD83D"
        for (use in listOf<suspend () -> Any>(
            { a.broadcast(half) }, { a.search(Conversation.Network, half) }, { a.join(half) }, { a.join("$half:1") },
            { openNode(NodeConfig(name = half)) }, { NodeId.parse(half) }, { parseTicket(half) }, { generateIdentity(half) },
            { engine("e").turn(0, listOf(Received(half, ByteArray(0)))) },
        )) {
            val e = assertFailsWith<DonpException.InvalidInput> { use() }
            assertTrue("half a character at 5" in e.message && e.hint.isNotEmpty(), e.message)
        }
        val id = a.broadcast("whole \uD83D\uDE00")
        assertEquals("whole \uD83D\uDE00", a.all().single { it.id == id }.text)
    }

    @Test
    fun secrets_are_not_printed() {
        val secret = "open sesame"
        assertTrue(secret !in NodeConfig(passphrase = secret).toString())
        val identity = generateIdentity("e")
        assertTrue(identity.joinToString() !in EngineConfig(identity).toString())
    }

    @Test
    fun a_numeral_of_another_world_stays_a_number() {
        val (network, unknown) = org.donp.ffi.Conversation.Network to org.donp.ffi.Content.Unknown
        val clock = listOf(org.donp.ffi.ClockEntry("n", "0102", ULong.MAX_VALUE))
        val wild = org.donp.ffi.Message("m", network, "n", "0102", 1u, ULong.MAX_VALUE, clock, ULong.MAX_VALUE, unknown, null, false)
        assertEquals(Long.MAX_VALUE, wild.toPublic().sentAtMs)
        assertEquals(Long.MAX_VALUE, wild.toPublic().depth)
        assertEquals(Long.MAX_VALUE, wild.toPublic().clock?.single()?.count)
        assertSame(Content.Unknown, wild.toPublic().content)
        assertNull(wild.toPublic().text)
    }

    @Test
    fun bots_say_so() = chat {
        val bot = openNode(NodeConfig(name = "bot", listen = LOOPBACK, bot = true, nodeType = NodeType.Relay)).kept()
        val a = memory("a")
        val events = a.events()
        a.join(bot.address)
        events.linked()
        until("the bot is known") { a.peer(bot.id)?.let { it.bot && it.nodeType == NodeType.Relay } == true }
        until("a is known") { bot.peer(a.id)?.name == "a" }
        assertEquals(false, bot.peer(a.id)?.bot)
    }

    @Test
    fun an_offline_node_queues() = chat {
        val a = openNode(NodeConfig(name = "a", offline = true)).kept()
        assertEquals(emptyList(), a.localAddresses)
        a.broadcast("for later")
        assertEquals("for later", a.all().single().text)
        assertIs<Conversation.Network>(a.all().single().conversation)
    }
}
