package org.donp

import java.lang.management.ManagementFactory
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.microseconds
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import org.junit.jupiter.api.io.TempDir

internal class NodeTest : WithNodes() {
    @Test
    fun three_nodes_chat(@TempDir dir: Path) = chat {
        val a = memory("a")
        val b = memory("b")
        var c = stored(dir, "c")
        val (atA, atB, atC) = listOf(a.events(), b.events(), c.events())
        b.join(a.address)
        atB.linked()
        c.join(a.invite())
        atC.linked()
        atA.linked()
        val ids = listOf(a.broadcast("one"), b.broadcast(text("two")))
        assertEquals(ids.toSet(), atC.messages(2).map { it.message.id }.toSet())
        val private = c.send(a.id, "for a")
        val got = atA.messages(2).map { it.message }.single { it.conversation == Conversation.Private(c.id) }
        assertEquals(private to "for a", got.id to got.text)
        assertEquals(c.id, got.author)

        c.kill()
        assertTrue(c.isClosed)
        repeat(5) { a.broadcast("while c is away $it") }
        val late = a.send(c.id, "late")
        assertTrue(a.isQueued(late))
        c = stored(dir, null)
        assertEquals("c", c.name)
        c.events().find { event -> event.takeIf { it is Event.Received && it.message.id == late } }
        atA.find { event -> event.takeIf { it is Event.Delivered && it.id == late } }
        for (node in listOf(a, b, c)) until("${node.name} has all") { node.all().size == 7 }
        assertEquals(a.all().map { it.id }, b.all().map { it.id })
        assertEquals(a.all().map { it.id }, c.all().map { it.id })
        assertEquals("a", assertNotNull(c.peer(a.id)).name)
        assertTrue(c.peers().size >= 2)
        assertTrue(c.status().run { state == NodeState.Active && store == "sqlite" && protection == "key-file" && messages > 0 })
    }

    @Test
    fun replay_after_a_crash(@TempDir dir: Path) = chat {
        val a = memory("a")
        var b = stored(dir, "b")
        var events = b.events()
        b.join(a.address)
        events.linked()
        repeat(3) { a.broadcast("$it") }
        val first = events.messages(3).first()
        b.ack(first)
        assertEquals(first.seq, b.status().acked)
        b.ack(Event.Writable)
        b.kill()

        b = stored(dir, null)
        events = b.events()
        assertEquals(listOf("1", "2"), events.messages(2).map { it.message.text })
        b.kill()

        b = stored(dir, null)
        events = b.events()
        val again = events.messages(2)
        assertEquals(listOf("1", "2"), again.map { it.message.text }, "they come until they are acknowledged")
        b.ack(again.last().seq)
        b.close()

        b = stored(dir, null)
        a.broadcast("3")
        assertEquals("3", b.events().messages(1).single().message.text)
    }

    @Test
    fun every_error_kind(@TempDir dir: Path) = chat {
        suspend fun refused(config: NodeConfig) = assertNotNull(runCatching { openNode(config).kept() }.exceptionOrNull())
        fun inMemory(listen: List<String> = LOOPBACK, bootstraps: List<String> = emptyList(), key: ByteArray? = null) =
            NodeConfig(listen = listen, bootstraps = bootstraps, networkKey = key)

        assertIs<DonpException.InvalidInput>(refused(inMemory(listen = listOf("here"))))
        assertIs<DonpException.InvalidInput>(refused(inMemory(key = ByteArray(31))))
        assertIs<DonpException.InvalidInput>(refused(inMemory(bootstraps = listOf("nowhere"))))
        assertIs<DonpException.InvalidInput>(refused(NodeConfig(listen = LOOPBACK, fault = "drop=2")))
        assertIs<DonpException.InvalidInput>(refused(NodeConfig(listen = LOOPBACK, identity = byteArrayOf(1))))
        assertIs<DonpException.InvalidInput>(refused(NodeConfig(listen = LOOPBACK, name = "n".repeat(65))))
        assertIs<DonpException.NotFound>(refused(stateIn(dir.resolve("none"), null)))

        val profile = "${dir.resolve("p")}"
        fun locked(passphrase: String?) = NodeConfig(profile, "p", passphrase = passphrase, listen = LOOPBACK)
        val p = Node.create(locked("right")).kept()
        val busy = assertIs<DonpException.Locked>(refused(locked("right")))
        assertTrue(busy.retryable && busy.hint.isNotEmpty() && "p" in busy.message)
        assertFailsWith<DonpException.NotRunning> { p.broadcast("not started") }
        p.close()
        assertIs<DonpException.Denied>(refused(locked(null)))
        assertIs<DonpException.Denied>(refused(locked("wrong")))

        val a = memory("a")
        val taken = assertIs<DonpException.Network>(refused(inMemory(listen = a.localAddresses)))
        assertTrue(taken.retryable && a.address in taken.message)
        assertFailsWith<DonpException.NotFound> { a.ack(5) }
        assertFailsWith<DonpException.NotFound> { a.send(identityNodeId(generateIdentity("s")), "stranger") }
        val self = assertFailsWith<DonpException.InvalidInput> { a.send(a.id, "me") }
        assertTrue(self.message.isNotEmpty() && self.hint.isNotEmpty() && !self.retryable)
        assertFailsWith<DonpException.InvalidInput> { a.search(Conversation.Network, "") }
        assertFailsWith<DonpException.InvalidInput> { a.ack(-1) }
        assertFailsWith<DonpException.InvalidInput> { a.peers(-1) }
        assertFailsWith<DonpException.InvalidInput> { a.backgroundFetch(-1) }

        val damaged = Files.createDirectory(dir.resolve("d"))
        Files.writeString(damaged.resolve("node.db"), "this is no database")
        assertIs<DonpException.Damaged>(refused(stateIn(damaged, "d")))
        val crash = assertFailsWith<DonpException.Internal> { a.simulateCrash() }
        assertTrue(crash.message.isNotEmpty() && crash.hint.isNotEmpty() && !crash.retryable)
        val b = memory("b")
        b.close()
        val closed = assertFailsWith<DonpException.Closed> { b.status() }
        assertTrue(closed.message.isNotEmpty() && closed.hint.isNotEmpty() && !closed.retryable)
    }

    @Test
    fun cancelling_a_wait_loses_nothing() = chat {
        val a = memory("a")
        val b = memory("b")
        val events = b.events()
        val atA = a.events()
        b.join(a.address)
        atA.linked()
        val sender = launch(Dispatchers.Default) { repeat(300) { a.broadcast("$it") } }
        val got = ArrayList<Event.Received>()
        var cancelled = 0
        while (got.size < 300) {
            val waiting = launch(Dispatchers.Default) { events.collect { if (it is Event.Received) got += it } }
            delay((cancelled % 7 * 150).microseconds)
            waiting.cancelAndJoin()
            cancelled++
        }
        sender.join()
        assertEquals(List(300) { "$it" }, got.map { it.message.text })
        assertEquals(300, got.map { it.seq }.toSet().size, "none came twice")
        assertTrue(cancelled > 1)
    }

    @Test
    fun closing_ends_every_stream() = chat {
        val a = memory("a")
        val begun = a.events()
        val waiting = async(start = CoroutineStart.UNDISPATCHED) { begun.toList() }
        val notBegun = a.events()
        a.close()
        a.close()
        a.shutdown()
        assertTrue(waiting.await().none { it is Event.Received })
        notBegun.toList()
        assertEquals(emptyList(), notBegun.toList(), "an ended stream stays ended")
        a.events().toList()
        assertTrue(a.isClosed)
    }

    @Test
    fun two_readers_one_slow() = chat {
        val a = Node.create(NodeConfig(name = "a", listen = LOOPBACK)).kept()
        val b = memory("b")
        val slow = a.events()
        val fast = a.events()
        val atB = b.events()
        a.start()
        a.join(b.address)
        atB.linked()
        until("both know each other") { a.peer(b.id) != null }
        a.send(b.id, "first")
        atB.messages(1)
        repeat(20) { b.send(a.id, "$it") }
        val seen = ArrayList<Event>()
        // Joining and leaving changes the state without end; the fast reader follows.
        fast.first { seen += it; seen.count { e -> e.seq != null } == 21 }
        repeat(600) {
            a.leave()
            fast.first { seen += it; it is Event.StateChanged && it.after == NodeState.Leaving }
            a.join("127.0.0.1:9")
            fast.first { seen += it; it is Event.StateChanged && it.before == NodeState.Leaving }
        }
        a.close()
        fast.toList(seen)
        val late = slow.toList()
        fun durable(events: List<Event>) = events.filter { it.seq != null }
        assertEquals(21, durable(seen).size, "twenty messages and one delivery")
        assertEquals(durable(seen), durable(late))
        assertTrue(seen.none { it is Event.Lagged })
        val missed = late.filterIsInstance<Event.Lagged>().single().missed
        val volatile = seen.size - durable(seen).size
        assertEquals(volatile.toLong(), missed + 1_024, "the newest 1,024 are kept, the rest is counted")
        assertTrue(missed > 0)
    }

    @Test
    fun a_panic_is_contained() = chat {
        val e = engine("e")
        assertTrue(!e.isDead)
        assertFailsWith<DonpException.Internal> { e.simulateCrash() }
        assertTrue(e.isDead)
        assertFailsWith<DonpException.Internal> { e.turn(0) }
        assertFailsWith<DonpException.Internal> { e.status() }
        e.close()

        val a = memory("a")
        val stream = a.events()
        assertFailsWith<DonpException.Internal> { a.simulateCrash() }
        assertFailsWith<DonpException.Internal> { a.status() }
        stream.toList()
        assertFailsWith<DonpException.Internal> { a.shutdown() }
        assertFailsWith<DonpException.Internal> { a.close() }
        a.close()
        memory("another").broadcast("the process lives")
    }

    @Test
    fun ten_thousand_messages_without_growth(@TempDir dir: Path) = chat {
        val a = stored(dir.resolve("a"), "a")
        val b = stored(dir.resolve("b"), "b")
        val events = b.events()
        val atA = a.events()
        b.join(a.address)
        atA.linked()
        events.linked()
        val padding = "x".repeat(2_000)
        suspend fun exchange(from: Int, to: Int) {
            val sender = launch(Dispatchers.Default) {
                for (batch in (from until to).chunked(50)) {
                    batch.map { async { a.send(b.id, "$it $padding") } }.awaitAll()
                    var delivered = 0
                    atA.first { event ->
                        if (event is Event.Delivered) {
                            delivered++
                            if (delivered == batch.size) a.ack(event)
                        }
                        delivered == batch.size
                    }
                }
            }
            var received = 0
            events.first { event ->
                if (event is Event.Received && ++received % 50 == 0) b.ack(event)
                received == to - from
            }
            sender.join()
        }
        exchange(0, 2_000)
        val before = Memory.used()
        exchange(2_000, 10_000)
        // JNA frees what was collected as garbage on a thread of its own, some time later. Each byte of the
        // 8,000 texts, held anywhere, would be 16 MB for good.
        until("memory came back to $before") {
            val after = Memory.used()
            after.heap - before.heap < 6_000_000 && after.process - before.process < 14_000_000
        }
    }

    private data class Memory(val heap: Long, val process: Long) {
        companion object {
            fun used(): Memory {
                System.gc()
                val pages = Files.readString(Path.of("/proc/self/statm")).split(' ')[1].toLong()
                return Memory(ManagementFactory.getMemoryMXBean().heapMemoryUsage.used, pages * 4_096)
            }
        }
    }

    private class Keys(private val refuse: Throwable? = null) : KeyStore {
        var wrapped = 0

        override fun wrapKey(key: ByteArray): ByteArray {
            refuse?.let { throw it }
            assertEquals(32, key.size)
            wrapped++
            return key.reversedArray()
        }

        override fun unwrapKey(wrapped: ByteArray): ByteArray {
            refuse?.let { throw it }
            return wrapped.reversedArray()
        }
    }

    @Test
    fun the_platform_wraps_the_key(@TempDir dir: Path) = chat {
        val keys = Keys()
        val first = stored(dir, "k", keys)
        assertEquals("key-store", first.status().protection)
        first.close()
        assertEquals(1, keys.wrapped)
        val refusal = assertFailsWith<DonpException.Denied> { stored(dir, null, Keys(IllegalStateException("locked: \uD800"))) }
        assertTrue("locked" in refusal.message && refusal.hint.isNotEmpty())
        assertFailsWith<DonpException.Denied>("an Error, too") { stored(dir, null, Keys(NotImplementedError("later"))) }
        assertFailsWith<DonpException.Denied>("it was made with a key store") { stored(dir, null) }
        assertFailsWith<DonpException.Denied> { stored(dir.resolve("new"), "n", Keys(IllegalStateException("locked"))) }
        val again = stored(dir, null, Keys())
        assertEquals(first.id, again.id)
    }

    @Test
    fun suspend_and_resume(@TempDir dir: Path) = chat {
        val a = stored(dir, "a")
        val b = memory("b")
        val events = a.events()
        a.join(b.address)
        events.linked()
        a.suspend()
        a.suspend()
        assertFailsWith<DonpException.NotRunning> { a.broadcast("asleep") }
        val id = b.broadcast("meanwhile")
        val heard = async { events.messages(1).single().message }
        // One fetch may end before the other side tries again.
        do assertTrue(a.backgroundFetch(60).caughtUp) while (heard.isActive)
        assertEquals(id, heard.await().id)
        assertFailsWith<DonpException.NotRunning>("it sleeps again") { a.broadcast("asleep") }
        a.resume()
        a.resume()
        a.networkChanged()
        a.broadcast("awake")
        assertEquals("awake", b.events().messages(1).single().message.text)
    }

    @Test
    fun ids_print_and_parse() = chat {
        val a = memory("a")
        val id = a.id
        assertEquals(id, NodeId.parse("$id"))
        assertEquals(id.hashCode(), NodeId.parse("$id").hashCode())
        assertEquals(0, id.compareTo(NodeId.parse("$id")))
        val message = a.broadcast("x")
        assertEquals(message, MessageId.parse("$message"))
        val account = a.status().account
        assertEquals(account, AccountId.parse("$account"))
        val all = List(9) { identityNodeId(generateIdentity("n$it")) }
        assertEquals(all.map { "$it" }.sorted(), all.sorted().map { "$it" })
        assertEquals(9, all.toSet().size)

        val last = if ("$id".last() == '0') '1' else '0'
        for (damaged in listOf("$id".dropLast(1) + last, "$id".dropLast(1), "n12", "", "$message")) {
            val e = assertFailsWith<DonpException.InvalidInput> { NodeId.parse(damaged) }
            assertTrue("node id" in e.message && e.hint.isNotEmpty(), e.message)
        }
        assertTrue("message id" in assertFailsWith<DonpException.InvalidInput> { MessageId.parse("$id") }.message)
        assertTrue("account id" in assertFailsWith<DonpException.InvalidInput> { AccountId.parse("$id") }.message)
        assertTrue("invitation" in assertFailsWith<DonpException.InvalidInput> { parseTicket("t1") }.message)
        val ticket = parseTicket(a.invite())
        assertEquals(Triple(id, "a", a.localAddresses), Triple(ticket.node, ticket.name, ticket.addresses))
    }

    @Test
    fun history_and_search_page() = chat {
        val a = memory("a")
        repeat(25) { a.broadcast("message $it") }
        var before: MessageId? = null
        val pages = ArrayList<List<String?>>()
        do {
            val page = a.history(Conversation.Network, before, limit = 10)
            pages += page.messages.map { it.text }
            before = page.older
        } while (before != null)
        assertEquals(listOf(10, 10, 5), pages.map { it.size })
        assertEquals(List(25) { "message $it" }, pages.reversed().flatten())

        val newest = a.search(Conversation.Network, "MESSAGE 2", limit = 4)
        assertEquals(listOf("message 21", "message 22", "message 23", "message 24"), newest.messages.map { it.text })
        val rest = a.search(Conversation.Network, "MESSAGE 2", newest.older)
        assertEquals(listOf("message 2", "message 20"), rest.messages.map { it.text })
        assertNull(rest.older)
        assertTrue(a.search(Conversation.Network, "nobody said this").messages.isEmpty())
        assertEquals(2, a.history(Conversation.Network, limit = 2).messages.size)
    }

    @Test
    fun replies_edits_reactions() = chat {
        val a = memory("a")
        val b = memory("b")
        val atA = a.events()
        val atB = b.events()
        b.join(a.address)
        atB.linked()
        for (private in listOf(false, true)) {
            val where = { peer: NodeId -> if (private) Conversation.Private(peer) else Conversation.Network }
            val said = if (private) a.send(b.id, "helo") else a.broadcast("helo")
            val heard = atB.messages(1).single().message
            assertEquals(said, heard.id)
            b.reply(heard, "hi")
            b.react(heard, "+1")
            val mine = a.all(where(b.id)).single { it.id == said }
            a.edit(mine, "hello")
            val edited = a.all(where(b.id)).single { it.id == said }
            assertEquals(listOf("hello", "hello", false), listOf(edited.text, edited.edited, edited.retracted))
            a.retract(mine)
            val retracted = a.all(where(b.id)).single { it.id == said }
            assertEquals(listOf(null, true), listOf(retracted.text, retracted.retracted))
            assertFailsWith<DonpException.Denied> { b.edit(heard, "not mine") }
            assertEquals(
                listOf(Content.Reply(said, "hi"), Content.React(said, "+1")),
                atA.messages(2).map { it.message.also { m -> assertEquals(where(b.id), m.conversation) }.content },
            )
            assertEquals(
                listOf(Content.Edit(said, "hello"), Content.Retract(said)),
                atB.messages(2).map { it.message.also { m -> assertEquals(where(a.id), m.conversation) }.content },
            )
        }
        assertNotEquals(a.id, b.id)
    }

    @Test
    fun a_copied_profile(@TempDir dir: Path) = chat {
        val (home, copied) = dir.resolve("home") to dir.resolve("copy")
        var a = stored(home, "a")
        val b = memory("b")
        val atB = b.events()
        suspend fun texts(node: Node) = node.all().map { it.text }
        a.join(b.address)
        a.broadcast("1")
        until("the first") { texts(b) == listOf("1") }
        a.kill()
        Files.createDirectory(copied)
        for (name in listOf("node.db", "key")) Files.copy(home.resolve(name), copied.resolve(name))
        a = stored(home, null)
        a.join(b.address)
        a.broadcast("2")
        until("what the copy does not know") { texts(b) == listOf("1", "2") }
        a.kill()
        // Offline, so that it speaks before it knows better.
        openNode(NodeConfig(stateDir = "$copied", offline = true)).use { it.broadcast("3") }
        val copy = stored(copied, null)
        val own = copy.events()
        copy.join(b.address)
        val forked = atB.find { it as? Event.Forked }
        assertEquals(Triple(Conversation.Network, copy.id, 2L), Triple(forked.conversation, forked.author, forked.number))
        assertEquals(Conversation.Network, own.find { it as? Event.LifeBegun }.conversation)
        copy.broadcast("4")
        until("all of it") { texts(b).size == 4 && b.all() == copy.all() }
        val shown = b.all()
        assertEquals(setOf("1", "2", "3", "4"), shown.map { it.text }.toSet())
        assertEquals(shown, shown.shuffled().sortedBy { it.id }, "ids have the order of the conversation")
        assertEquals(listOf(true, true, true, false), shown.map { it.life == forked.life })
        assertEquals(shown.map { it.depth }, shown.map { it.id.depth })
        val clock = assertNotNull(shown.last().clock)
        assertEquals(1L, clock.single { it.life == shown.last().life }.count)
    }

    @Test
    fun the_first_event_is_seen_by_who_asks_before_the_start() = chat {
        val a = Node.create(NodeConfig(name = "a", listen = LOOPBACK)).kept()
        val events = a.events()
        a.start()
        a.start()
        a.join("127.0.0.1:9")
        val first = events.find { it as? Event.StateChanged }
        assertEquals(NodeState.Initializing, first.before)
        a.leave()
    }
}
