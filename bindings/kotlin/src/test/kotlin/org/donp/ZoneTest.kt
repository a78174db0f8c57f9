package org.donp

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.flow.Flow

/** Members, failures and neighbours. */
internal class ZoneTest : WithNodes() {
    private suspend fun Node.holds(id: NodeId) = members().find { it.id == id }?.state

    private fun Engine.holds(id: NodeId) = members().find { it.id == id }?.state

    private suspend fun Flow<Event>.told(id: NodeId, state: MemberState) =
        find { event -> event.takeIf { it == Event.MemberChanged(id, state) } }

    @Test
    fun members_of_a_zone() = chat {
        val a = memory("a")
        val b = memory("b")
        val c = memory("c")
        assertEquals(emptyList(), a.members())
        val events = a.events()
        b.join(a.address)
        c.join(a.address)
        for ((one, other) in listOf(a to b, b to a, a to c)) {
            until("they hold each other for alive") { one.holds(other.id) == MemberState.Alive }
        }
        val members = a.members()
        assertEquals(listOf(b.id, c.id).sortedBy { "$it" }, members.map { it.id })
        assertTrue(members.all { it.linked && it.incarnation >= 0 })
        b.shutdown()
        assertNull(events.told(b.id, MemberState.Left).seq)
        assertEquals(MemberState.Left, a.holds(b.id))
        c.kill()
        a.detectNodeFailure(c.id)
        events.told(c.id, MemberState.Suspect)
        events.told(c.id, MemberState.Down)
        assertEquals(MemberState.Down, a.holds(c.id))
    }

    @Test
    fun a_blocked_node() = chat {
        val a = memory("a")
        val b = memory("b")
        val events = a.events()
        a.join(b.address)
        events.linked()
        a.block(b.id)
        assertEquals(listOf(b.id), a.blocked())
        until("the link is gone") { a.peers().none { it.linked } }
        assertFailsWith<DonpException.Denied> { a.send(b.id, "no") }
        assertFailsWith<DonpException.InvalidInput> { a.block(a.id) }
        val said = b.send(a.id, "let me in")
        a.unblock(b.id)
        assertEquals(emptyList(), a.blocked())
        assertEquals(said, a.events().messages(1).single().message.id)
    }

    @Test
    fun the_operations_of_fault_tolerance() = chat {
        val a = memory("a")
        val b = memory("b")
        val events = a.events()
        a.join(b.address)
        events.linked()
        a.detectNodeFailure(b.id)
        events.told(b.id, MemberState.Alive)
        a.reportPartition(listOf(b.id))
        a.reportPartition()
        for (failure in FailureType.entries) a.recoverFromFailure(failure)
        val said = b.broadcast("compared and fetched")
        a.synchronizeState(b.id)
        assertEquals(said, a.events().messages(1).single().message.id)

        val stranger = identityNodeId(generateIdentity("stranger"))
        for (call in listOf(a::detectNodeFailure, a::synchronizeState)) {
            assertFailsWith<DonpException.NotFound> { call(stranger) }
            assertFailsWith<DonpException.InvalidInput> { call(a.id) }
        }
        assertFailsWith<DonpException.NotFound> { a.reportPartition(listOf(b.id, stranger)) }
        val peer = assertNotNull(a.peer(b.id))
        assertEquals(NodeType.Regular to NodeType.Regular, peer.nodeType to peer.role)
        a.suspend()
        assertFailsWith<DonpException.NotRunning> { a.recoverFromFailure(FailureType.Node) }
    }

    @Test
    fun the_operations_on_engines() {
        val net = Net(listOf(engine("a"), engine("b")))
        val (a, b) = net.hosts
        net.until("a zone") { a.engine.holds(b.engine.id) == MemberState.Alive }
        a.events.clear()
        a.engine.detectNodeFailure(net.now, b.engine.id)
        net.wake()
        net.until("an answer") { Event.MemberChanged(b.engine.id, MemberState.Alive) in a.events }
        a.engine.reportPartition(net.now, listOf(b.engine.id))
        a.engine.synchronizeState(net.now, b.engine.id)
        for (failure in FailureType.entries) a.engine.recoverFromFailure(net.now, failure)
        assertFailsWith<DonpException.InvalidInput> { a.engine.detectNodeFailure(net.now, a.engine.id) }
    }

    @Test
    fun nodes_near_each_other() = chat {
        // On loopback, in a network of its own: no other node receives it or is received.
        val key = Random.nextBytes(32)
        suspend fun near(name: String, lan: Lan) =
            openNode(NodeConfig(name = name, listen = LOOPBACK, networkKey = key, lan = lan)).kept()

        val off = near("off", Lan.Off)
        val a = near("a", Lan.On)
        val events = a.events()
        assertEquals(1, a.status().lan.size, "loopback has no multicast here")
        val b = near("b", Lan.Compat)
        assertEquals(b.id, events.linked())
        assertEquals(2, b.status().lan.size)
        assertTrue(off.status().run { known == 0 && lan.isEmpty() }, "it says and hears nothing")
        // What another discovery found is tried.
        off.handleLocalPeer(a.address, a.id)
        assertEquals(off.id, events.linked())
        assertFailsWith<DonpException.InvalidInput> { off.handleLocalPeer("near") }

        val lost = openNode(NodeConfig(name = "l", listen = LOOPBACK, bootstraps = listOf("nowhere.invalid:1"))).kept()
        until("the name is looked up") { "nowhere.invalid:1" in lost.status().unresolved }
    }

    @Test
    fun engines_near_each_other() {
        fun made(name: String, beacons: Boolean, n: Int): Engine {
            val engine = Engine(EngineConfig(generateIdentity(name), beacons = beacons, inMemory = true), 0, WALL)
            engine.setLocalAddresses(0, listOf("10.0.0.$n:4000"))
            engine.join(0)
            return engine
        }
        val speaker = made("speaker", true, 1)
        val hearer = made("hearer", true, 2)
        val deaf = made("deaf", false, 3)
        var now = 0L
        var out = speaker.turn(now)
        while (out.beacon == null) {
            now = maxOf(now + 1, assertNotNull(out.nextDeadlineUs))
            out = speaker.turn(now)
        }
        val beacon = assertNotNull(out.beacon)
        assertTrue(beacon.size <= 400)
        for (engine in listOf(hearer, deaf)) {
            engine.turn(now)
            engine.handleBeacon(now, "10.0.0.1:9999", beacon)
        }
        assertEquals(listOf("10.0.0.1:4000"), hearer.turn(now).transmits.map { it.destination })
        assertEquals(emptyList(), deaf.turn(now).transmits)
        deaf.handleLocalPeer(now, "10.0.0.1:4000")
        assertEquals(listOf("10.0.0.1:4000"), deaf.turn(now).transmits.map { it.destination })
        assertFailsWith<DonpException.InvalidInput> { hearer.handleBeacon(now, "near", beacon) }
    }

    @Test
    fun what_is_of_a_newer_version_shows() {
        assertEquals(Event.Unknown(7), org.donp.ffi.Event.Unknown(7UL).toPublic())
        assertNull(org.donp.ffi.Event.Unknown(null).toPublic().seq)
    }
}
