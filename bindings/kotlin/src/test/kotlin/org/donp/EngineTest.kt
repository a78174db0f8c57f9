package org.donp

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

internal class EngineTest {
    @Test
    fun two_engines_exchange_a_message() {
        val net = Net(listOf(engine("a"), engine("b"))).linked()
        val (a, b) = net.hosts
        val id = a.engine.sendPrivate(net.now, b.engine.id, text("hello"))
        assertTrue(a.engine.isQueued(id))
        net.wake()
        net.until("delivered") { a.events.any { it is Event.Delivered && it.id == id && it.to == b.engine.id } }
        assertEquals(listOf("hello"), b.events.texts())
        assertTrue(!a.engine.isQueued(id))
        val peer = assertNotNull(a.engine.peer(b.engine.id))
        assertTrue(peer.linked && peer.name == "b")
        assertEquals(listOf(b.engine.id), a.engine.peers().map { it.id })
        assertTrue(a.records().isEmpty(), "the engines keep their records themselves")
    }

    @Test
    fun a_foreign_store() {
        val config = engineConfig("kept", inMemory = false)
        val net = Net(listOf(Engine(config, 0, WALL), engine("b", inMemory = false))).linked()
        val (a, b) = net.hosts
        b.engine.sendPrivate(net.now, a.engine.id, text("one"))
        net.wake()
        net.until("arrives") { a.events.texts() == listOf("one") }
        val records = a.records()
        assertTrue(records.isNotEmpty())

        a.engine.close()
        a.engine = Engine.restore(config, records, net.now, WALL)
        a.events.clear()
        net.wake()
        net.until("comes again") { a.events.texts() == listOf("one") }
        a.engine.ack(net.now, a.events.firstNotNullOf { it.seq })
        b.engine.sendPrivate(net.now, a.engine.id, text("two"))
        net.wake()
        net.until("goes on") { a.events.texts() == listOf("one", "two") }
        val query = a.engine.history(net.now, Conversation.Private(b.engine.id), limit = 10)
        net.wake()
        net.until("answer") { a.answers.any { it.query == query && it.page.messages.map(Message::text) == listOf("one", "two") } }

        a.engine = Engine.restore(config, a.records(), net.now, WALL)
        a.events.clear()
        net.wake()
        net.until("only what was not acknowledged") { a.events.texts() == listOf("two") }

        val other = engineConfig("other", inMemory = false)
        assertFailsWith<DonpException.Denied> { Engine.restore(other, records, 0, WALL) }
    }

    @Test
    fun nothing_leaves_before_its_batch_is_written() {
        val a = engine("a", inMemory = false)
        a.join(0, "10.0.0.9:4000")
        val first = a.turn(0)
        val batch = assertNotNull(first.batch)
        assertTrue(first.transmits.isEmpty() && !first.more)
        assertEquals("10.0.0.9:4000", a.turn(1, committed = batch.seq).transmits.single().destination)
    }

    @Test
    fun one_seed_one_life() {
        val identity = generateIdentity("same")
        fun life(seed: Byte): Output {
            val engine = Engine(EngineConfig(identity, inMemory = true, seed = ByteArray(32) { seed }), 0, WALL)
            engine.join(0, "10.0.0.9:4000")
            return engine.turn(5)
        }
        assertEquals(life(7), life(7), "outputs compare by their bytes")
        assertNotEquals(life(7), life(8))
    }

    @Test
    fun what_the_caller_gets_wrong_is_named() {
        val e = engine("e")
        fun wrong(call: () -> Any?) = assertFailsWith<DonpException.InvalidInput> { call() }.message
        val bad = listOf(Received("10.0.0.1:1", byteArrayOf(1)), Received("nowhere", ByteArray(0)))
        assertEquals("'nowhere' is not an address", wrong { e.turn(0, bad) })
        assertEquals(0, e.status().datagramsIn, "nothing of it was taken in")
        assertEquals("nowUs is -1 and must not be negative", wrong { e.turn(-1) })
        assertEquals("limit is -1 and must not be negative", wrong { e.history(0, Conversation.Network, limit = -1) })
        assertTrue("example.org" in wrong { e.join(0, "example.org:1") })
        assertTrue("t000" in wrong { e.join(0, "10.0.0.1:1", "t000") }, "an invitation stands alone")
        wrong { e.join(0, "t000") }
        wrong { e.sendPrivate(0, e.id, text("me")) }
        wrong { e.broadcast(0, Content.Unknown) }
        assertTrue("65536" in wrong { e.broadcast(0, text("x".repeat(65_537))) })
        assertEquals("the entropy has 31 bytes and must have 32", wrong { e.addEntropy(ByteArray(31)) })
        assertEquals("there is no table 256", wrong { e.handleRecords(0, 1, listOf(Record(256, ByteArray(1), ByteArray(1)))) })
        assertEquals("there is no table 99", wrong { e.handleRecords(0, 1, listOf(Record(99, ByteArray(1), ByteArray(1)))) })
        assertFailsWith<DonpException.NotFound> { e.sendPrivate(0, engine("s").id, text("you")) }
        assertFailsWith<DonpException.NotFound> { e.ack(0, 99) }
        e.suspend(0)
        assertFailsWith<DonpException.NotRunning> { e.broadcast(0, text("asleep")) }
        e.resume(0)
        e.broadcast(0, text("awake"))
    }

    @Test
    fun an_engine_has_the_commands_of_a_host() {
        val e = engine("e")
        e.setLocalAddresses(0, listOf("10.0.0.1:4000"))
        e.setWallClock(0, WALL + 1)
        e.addEntropy(ByteArray(32) { 3 })
        e.networkChanged(0)
        val ticket = parseTicket(e.invite())
        assertEquals(TicketInfo(e.id, "e", listOf("10.0.0.1:4000"), closed = false), ticket)
        val other = engine("o")
        other.join(0, e.invite())
        assertEquals("10.0.0.1:4000", other.turn(0).transmits.first().destination)
        other.leave(1)
        other.turn(1)
        assertEquals(NodeState.Leaving, other.status().state)
    }

    @Test
    fun hostile_bytes_are_counted() {
        val e = engine("e")
        e.turn(0, List(64) { n -> Received("10.0.0.66:6", ByteArray(n * 19) { n.toByte() }) })
        e.handleDatagram(1, "10.0.0.66:6", ByteArray(1_200) { -1 })
        assertEquals(65, e.status().datagramsIn)
        assertEquals(65, e.status().drops.values.sum())
    }
}
