package org.donp

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.flow.Flow

/** Groups, in which members talk and others read nothing. */
internal class GroupTest : WithNodes() {
    private suspend fun Flow<Event>.changed(change: GroupChange) =
        find { event -> (event as? Event.GroupChanged)?.takeIf { it.change == change } }

    private suspend fun Node.texts(group: GroupId) = history(Conversation.Group(group)).messages.map { it.text }

    /** Fails if who was removed gets the key of those who stay. */
    @Test
    fun a_group_of_three() = chat {
        val a = memory("a")
        val b = memory("b")
        val c = memory("c")
        val events = c.events()
        b.join(a.address)
        c.join(a.address)
        val group = a.createGroup("team", policy = GroupPolicy(history = GroupHistory.Everything))
        assertEquals(group, GroupId.parse("$group"))
        a.sendToGroup(group, "welcome")
        val invitation = a.inviteToGroup(group, uses = 2)
        b.joinGroup(invitation)
        c.joinGroup(invitation)
        assertEquals(group, events.changed(GroupChange.Joined).group)
        // A member that has not read it sends the next at the same time.
        until("b has read it") { b.group(group) != null && b.texts(group) == listOf("welcome") }
        b.sendToGroup(group, "hello")
        for (node in listOf(a, b, c)) {
            until("${node.name} has both") { node.texts(group) == listOf("welcome", "hello") }
        }
        val team = Conversation.Group(group)
        val seen = b.events()
        c.sendTyping(team)
        assertEquals(Event.Typing(team, c.id, true), seen.find { it as? Event.Typing })
        val answer = c.reply(c.history(team).messages.last(), "hello b")
        until("b has the answer") { b.texts(group).last() == "hello b" }
        until("a and b have it") { c.confirmations(team, answer).stored.size == 2 }
        val found = c.confirmations(team, answer)
        assertEquals(Triple(answer, 2, emptyList<NodeId>()), Triple(found.message, found.members, found.read))
        val rose = events.find { event -> (event as? Event.Confirmed)?.takeIf { it.confirmations.stored.size == 2 } }
        assertEquals(team to answer, rose.conversation to rose.confirmations.message)
        assertFailsWith<DonpException.NotFound> { a.confirmations(team, answer) }
        val info = assertNotNull(a.group(group))
        assertEquals(Triple("team", GroupRole.Owner, 3), Triple(info.name, info.role, info.members.size))
        assertEquals(GroupHistory.Everything, info.policy.history)
        assertFailsWith<DonpException.Denied> { b.removeMember(group, a.id) }

        a.removeMember(group, c.id)
        assertNull(events.changed(GroupChange.Ended).node)
        b.sendToGroup(group, "among us")
        until("a has read it") { a.texts(group).last() == "among us" }
        a.sendToGroup(group, "yes")
        until("b has all") { b.texts(group).takeLast(2) == listOf("among us", "yes") }
        assertEquals(listOf<String?>("welcome", "hello", "hello b"), c.texts(group))
        assertNull(assertNotNull(c.group(group)).role)
        assertFailsWith<DonpException.Denied> { c.sendToGroup(group, "let me in") }
    }

    @Test
    fun what_may_be_done_in_a_group() = chat {
        val a = memory("a")
        val b = memory("b")
        b.join(a.address)
        val (events, told) = a.events() to b.events()
        val group = a.createGroup("club", policy = GroupPolicy(approve = true))
        val invitation = a.inviteToGroup(group, GroupRole.Guest)
        assertFailsWith<DonpException.InvalidInput> { a.joinGroup(invitation) }
        b.joinGroup(invitation)
        val asked = events.changed(GroupChange.Asked)
        assertEquals(b.id to "b", asked.node to asked.name)
        assertEquals(listOf("club"), b.joiningGroups().map { it.name })
        a.answerJoin(group, b.id, true)
        told.changed(GroupChange.Joined)
        assertFailsWith<DonpException.Denied> { b.sendToGroup(group, "guests read") }
        a.setMemberRole(group, b.id, GroupRole.Admin)
        assertEquals(GroupRole.Admin, told.changed(GroupChange.Ranked).role)
        b.renameGroup(group, "book club")
        assertEquals("book club", events.changed(GroupChange.Renamed).text)
        b.describeGroup(group, "we read")
        assertEquals("we read", events.changed(GroupChange.Described).text)
        val said = b.sendToGroup(group, "on page one")
        b.pinMessage(group, said)
        assertEquals(said, events.changed(GroupChange.Pinned).message)
        assertEquals(listOf(said), assertNotNull(a.group(group)).pinned)
        assertFailsWith<DonpException.Denied> { a.pinMessage(group, said) }
        a.unpinMessage(group, said)
        assertEquals(said, told.changed(GroupChange.Unpinned).message)
        val policy = GroupPolicy(history = GroupHistory.Days(7), post = GroupRole.Guest)
        a.setGroupPolicy(group, policy)
        told.changed(GroupChange.PolicyChanged)
        assertEquals(policy, assertNotNull(b.group(group)).policy)
        assertFailsWith<DonpException.Denied> { a.leaveGroup(group) }
        a.transferGroup(group, b.id)
        until("b owns it") { b.groups().single().role == GroupRole.Owner }
        a.leaveGroup(group)
        assertEquals(a.id, told.changed(GroupChange.Removed).node)
        assertTrue(b.groups().single().members.map { it.id } == listOf(b.id))
        assertFailsWith<DonpException.NotFound> { a.sendToGroup(b.createGroup("other"), "x") }
    }
}
