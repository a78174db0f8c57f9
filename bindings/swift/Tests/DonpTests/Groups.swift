import Donp
import Foundation
import Testing

/// Groups, in which members talk and others read nothing: scenarios that the packages of all languages have.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct Groups {
    private struct Told {
        let node: NodeId?
        let role: GroupRole?
        let text: String?
        let message: MessageId?
    }

    @discardableResult
    private func changed(_ events: Events, _ wanted: GroupChange) async throws -> Told {
        try await next(events, "\(wanted)") {
            if case .groupChanged(
                _, _, let change, let node, _, let role, let text, let message, _) = $0,
                change == wanted
            {
                Told(node: node, role: role, text: text, message: message)
            } else {
                nil
            }
        }
    }

    private func texts(_ node: Node, _ group: GroupId) async throws -> [String?] {
        try await node.history(.group(group)).messages.map(\.text)
    }

    // Fails if who was removed gets the key of those who stay.
    @Test("a_group_of_three")
    func aGroupOfThree() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        let c = try await openNode(local("c"))
        let events = c.events()
        try await link(a, b)
        try await link(a, c)
        let group = try await a.createGroup("team", policy: GroupPolicy(history: .everything))
        #expect(try GroupId(parsing: group.description) == group)
        try await a.sendToGroup(group, "welcome")
        let invitation = try await a.inviteToGroup(group, uses: 2)
        try await b.joinGroup(invitation)
        try await c.joinGroup(invitation)
        try await changed(events, .joined)
        // A member that has not read it sends the next at the same time.
        try await until("b has read it") {
            guard try await b.group(group) != nil else { return false }
            return try await texts(b, group) == ["welcome"]
        }
        try await b.sendToGroup(group, "hello")
        for node in [a, b, c] {
            try await until("\(node.name) has both") { try await texts(node, group) == ["welcome", "hello"] }
        }
        let last = try #require(try await c.history(.group(group)).messages.last)
        let seen = b.events()
        try await c.sendTyping(.group(group))
        let typist = try await next(seen, "typing") {
            if case .typing(_, let node, true) = $0 { node } else { nil }
        }
        #expect(typist == c.id)
        let answer = try await c.reply(to: last, text: "hello b")
        try await until("b has the answer") { try await texts(b, group).last == "hello b" }
        try await until("a and b have it") {
            try await c.confirmations(.group(group), of: answer).stored.count == 2
        }
        let rose: Confirmations = try await next(events, "a confirmation") {
            if case .confirmed(_, let confirmations) = $0, confirmations.stored.count == 2 {
                confirmations
            } else {
                nil
            }
        }
        #expect(rose.message == answer && rose.members == 2 && rose.read.isEmpty)
        await expectError(.notFound) { _ = try await a.confirmations(.group(group), of: answer) }
        let info = try #require(try await a.group(group))
        #expect(info.name == "team" && info.role == .owner && info.members.count == 3)
        #expect(info.policy.history == .everything)
        await expectError(.denied) { try await b.removeMember(group, node: a.id) }

        try await a.removeMember(group, node: c.id)
        #expect(try await changed(events, .ended).node == nil)
        try await b.sendToGroup(group, "among us")
        try await until("a has read it") { try await texts(a, group).last == "among us" }
        try await a.sendToGroup(group, "yes")
        try await until("b has all") { try await texts(b, group).suffix(2) == ["among us", "yes"] }
        #expect(try await texts(c, group) == ["welcome", "hello", "hello b"])
        #expect(try await c.group(group)?.role == nil)
        await expectError(.denied) { try await c.sendToGroup(group, "let me in") }
        for node in [a, b, c] { try await node.shutdown() }
    }

    @Test("what_may_be_done_in_a_group")
    func whatMayBeDoneInAGroup() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        try await link(a, b)
        let (events, told) = (a.events(), b.events())
        let group = try await a.createGroup("club", policy: GroupPolicy(approve: true))
        let invitation = try await a.inviteToGroup(group, role: .guest)
        await expectError(.invalidInput) { try await a.joinGroup(invitation) }
        try await b.joinGroup(invitation)
        #expect(try await changed(events, .asked).node == b.id)
        #expect(try await b.joiningGroups().map(\.name) == ["club"])
        try await a.answerJoin(group, node: b.id, approve: true)
        try await changed(told, .joined)
        await expectError(.denied) { try await b.sendToGroup(group, "guests read") }
        try await a.setMemberRole(group, node: b.id, role: .admin)
        #expect(try await changed(told, .ranked).role == .admin)
        try await b.renameGroup(group, name: "book club")
        #expect(try await changed(events, .renamed).text == "book club")
        try await b.describeGroup(group, description: "we read")
        #expect(try await changed(events, .described).text == "we read")
        let said = try await b.sendToGroup(group, "on page one")
        try await b.pinMessage(group, message: said)
        #expect(try await changed(events, .pinned).message == said)
        #expect(try await a.group(group)?.pinned == [said])
        await expectError(.denied) { try await a.pinMessage(group, message: said) }
        try await a.unpinMessage(group, message: said)
        #expect(try await changed(told, .unpinned).message == said)
        let policy = GroupPolicy(post: .guest, history: .days(7))
        try await a.setGroupPolicy(group, policy: policy)
        try await changed(told, .policyChanged)
        #expect(try await b.group(group)?.policy == policy)
        await expectError(.denied) { try await a.leaveGroup(group) }
        try await a.transferGroup(group, node: b.id)
        try await until("b owns it") { try await b.groups().first?.role == .owner }
        try await a.leaveGroup(group)
        #expect(try await changed(told, .removed).node == a.id)
        for node in [a, b] { try await node.shutdown() }
    }
}
