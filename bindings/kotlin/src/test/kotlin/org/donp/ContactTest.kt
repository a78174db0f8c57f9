package org.donp

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** Contacts, requests, safety numbers. */
internal class ContactTest : WithNodes() {
    private suspend fun number(of: Node, other: Node): SafetyNumber {
        until("the keys are known") {
            try {
                of.safetyNumber(other.id)
                true
            } catch (_: DonpException.NotFound) {
                false
            }
        }
        return of.safetyNumber(other.id)
    }

    @Test
    fun contacts_and_requests() = chat {
        val a = memory("a")
        val b = memory("b")
        val links = a.events()
        a.join(b.address)
        links.linked()
        val events = b.events()
        val first = a.send(b.id, "hello")
        assertEquals(a.id, events.find { (it as? Event.ContactRequest)?.node })
        val request = assertNotNull(b.contact(a.id))
        assertTrue(request.request && request.unread == 1 && request.verification == Verification.Unverified)
        assertEquals(false to null, a.contacts().single().let { it.request to it.petname })
        b.acceptContact(a.id)
        assertFailsWith<DonpException.NotFound> { b.acceptContact(a.id) }
        b.renameContact(a.id, "al")
        val stranger = identityNodeId(generateIdentity("x"))
        assertFailsWith<DonpException.AlreadyExists> { b.addContact(stranger, "al") }
        assertFailsWith<DonpException.InvalidInput> { b.renameContact(a.id, "") }

        val atA = number(a, b)
        val atB = number(b, a)
        assertEquals(atA.number, atB.number)
        assertFailsWith<DonpException.Denied> { a.verifyContact(b.id, "12345".repeat(12)) }
        assertFailsWith<DonpException.InvalidInput> { a.verifyContact(b.id, "12345") }
        a.verifyContact(b.id, atB.code)
        b.verifyContact(a.id, atA.number)
        assertEquals(Verification.Verified, a.contact(b.id)?.verification)
        assertFailsWith<DonpException.NotFound> { a.acceptChange(b.id) }

        val here = Conversation.Private(a.id)
        val info = b.conversations().single { it.conversation == here }
        assertEquals(Triple(1, null, false), Triple(info.unread, info.read, info.request))
        b.markRead(here, first)
        assertEquals(0, b.conversations().single { it.conversation == here }.unread)
        b.muteContact(a.id)
        val silent = a.send(b.id, "silent")
        until("it is stored") { !a.isQueued(silent) }
        b.muteContact(a.id, false)
        a.send(b.id, "loud")
        val next = events.find { event -> (event as? Event.Received)?.message?.text?.takeIf { it != "hello" } }
        assertEquals("loud", next)
        b.deleteConversation(here)
        assertEquals(emptyList(), b.history(here).messages)
        assertFailsWith<DonpException.Denied> { b.deleteConversation(Conversation.Network) }

        val answers = a.events()
        a.authenticateNode(b.id)
        val result = answers.find { event -> (event as? Event.Authenticated)?.takeIf { it.peer == b.id }?.result }
        assertEquals(AuthenticationResult.Authenticated, result)
        b.removeContact(a.id)
        assertNull(b.contact(a.id))
    }

    @Test
    fun contacts_of_engines() {
        val net = Net(listOf(engine("a"), engine("b"))).linked()
        val (a, b) = net.hosts
        net.until("they know each other") { a.engine.peer(b.engine.id) != null }
        a.engine.sendPrivate(net.now, b.engine.id, text("hello"))
        net.wake()
        net.until("a request") { b.events.any { it is Event.ContactRequest } }
        b.engine.acceptContact(net.now, a.engine.id)
        b.engine.renameContact(net.now, a.engine.id, "al")
        b.engine.muteContact(net.now, a.engine.id)
        net.wake()
        net.until("keys") { runCatching { b.engine.safetyNumber(net.now, a.engine.id) }.isSuccess }
        net.until("keys") { runCatching { a.engine.safetyNumber(net.now, b.engine.id) }.isSuccess }
        b.engine.verifyContact(net.now, a.engine.id, a.engine.safetyNumber(net.now, b.engine.id).code)
        assertEquals(Verification.Verified, b.engine.contact(a.engine.id)?.verification)
        val here = Conversation.Private(a.engine.id)
        b.engine.markRead(net.now, here)
        assertTrue(b.engine.conversations().all { it.unread == 0 })
        b.engine.deleteConversation(net.now, here)
        assertFailsWith<DonpException.NotFound> { b.engine.acceptChange(net.now, a.engine.id) }
        b.engine.authenticateNode(net.now, a.engine.id)
        net.wake()
        val wanted = Event.Authenticated(a.engine.id, AuthenticationResult.Authenticated)
        net.until("an answer") { wanted in b.events }
        b.engine.removeContact(net.now, a.engine.id)
        b.engine.addContact(net.now, a.engine.id, "again")
        assertEquals("again", b.engine.contacts().single().petname)
    }
}
