import Donp
import Foundation
import Testing

/// Contacts, requests, safety numbers: a scenario that the packages of all languages have.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct Contacts {
    private func number(_ of: Node, _ other: Node) async throws -> SafetyNumber {
        try await until("the keys are known") {
            do {
                _ = try await of.safetyNumber(other.id)
                return true
            } catch let error as DonpError where error.kind == .notFound {
                return false
            }
        }
        return try await of.safetyNumber(other.id)
    }

    @Test("contacts_and_requests")
    func contactsAndRequests() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        try await link(a, b)
        let events = b.events()
        let first = try await a.send("hello", to: b.id)
        let asked = try await next(events, "a request") {
            if case .contactRequest(_, let node) = $0 { node } else { nil }
        }
        #expect(asked == a.id)
        let request = try #require(try await b.contact(a.id))
        #expect(request.request && request.unread == 1 && request.verification == .unverified)
        #expect(try await a.contacts().map(\.request) == [false])
        try await b.acceptContact(a.id)
        await expectError(.notFound) { try await b.acceptContact(a.id) }
        try await b.renameContact(a.id, petname: "al")
        let stranger = try identityNodeId(generateIdentity(name: "x"))
        await expectError(.alreadyExists) { try await b.addContact(stranger, petname: "al") }
        await expectError(.invalidInput) { try await b.renameContact(a.id, petname: "") }

        let (atA, atB) = (try await number(a, b), try await number(b, a))
        #expect(atA.number == atB.number)
        let wrong = String(repeating: "12345", count: 12)
        await expectError(.denied) { try await a.verifyContact(b.id, shown: wrong) }
        await expectError(.invalidInput) { try await a.verifyContact(b.id, shown: "12345") }
        try await a.verifyContact(b.id, shown: atB.code)
        try await b.verifyContact(a.id, shown: atA.number)
        #expect(try await a.contact(b.id)?.verification == .verified)
        await expectError(.notFound) { try await a.acceptChange(b.id) }

        let here = Conversation.private(a.id)
        let info = try #require(try await b.conversations().first { $0.conversation == here })
        #expect(info.unread == 1 && info.read == nil && !info.request)
        try await b.markRead(here, upto: first)
        #expect(try await b.conversations().first { $0.conversation == here }?.unread == 0)
        try await b.muteContact(a.id)
        let silent = try await a.send("silent", to: b.id)
        try await until("it is stored") { try await !a.isQueued(silent) }
        try await b.muteContact(a.id, muted: false)
        try await a.send("loud", to: b.id)
        let heard = try await next(events, "a message") {
            if case .received(_, let message) = $0, message.text != "hello" { message.text } else { nil }
        }
        #expect(heard == "loud")
        try await b.deleteConversation(here)
        #expect(try await b.history(here).messages.isEmpty)
        await expectError(.denied) { try await b.deleteConversation(.network) }

        let answers = a.events()
        try await a.authenticateNode(b.id)
        let result = try await next(answers, "an answer") {
            if case .authenticated(_, let result) = $0 { result } else { nil }
        }
        #expect(result == .authenticated)
        try await b.removeContact(a.id)
        #expect(try await b.contacts().isEmpty)
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("contacts_of_engines")
    func contactsOfEngines() async throws {
        var net = try Net([engine("a"), engine("b")])
        let (a, b) = (net.hosts[0].engine, net.hosts[1].engine)
        try net.until("they know each other") { _ in try a.peer(b.id) != nil && b.peer(a.id) != nil }
        try a.sendPrivate(nowUs: net.nowUs, to: b.id, content: .text("hello"))
        try net.until("a request") { net in
            net.hosts[1].events.contains { if case .contactRequest = $0 { true } else { false } }
        }
        try b.acceptContact(nowUs: net.nowUs, node: a.id)
        try b.renameContact(nowUs: net.nowUs, node: a.id, petname: "al")
        try b.muteContact(nowUs: net.nowUs, node: a.id)
        try net.until("keys") { net in
            (try? a.safetyNumber(nowUs: net.nowUs, node: b.id)) != nil
                && (try? b.safetyNumber(nowUs: net.nowUs, node: a.id)) != nil
        }
        let shown = try a.safetyNumber(nowUs: net.nowUs, node: b.id)
        try b.verifyContact(nowUs: net.nowUs, node: a.id, shown: shown.code)
        #expect(try b.contact(a.id)?.verification == .verified)
        let here = Conversation.private(a.id)
        try b.markRead(nowUs: net.nowUs, conversation: here)
        #expect(try b.conversations().allSatisfy { $0.unread == 0 })
        try b.deleteConversation(nowUs: net.nowUs, conversation: here)
        await expectError(.notFound) { try b.acceptChange(nowUs: net.nowUs, node: a.id) }
        try b.authenticateNode(nowUs: net.nowUs, peer: a.id)
        let wanted = Event.authenticated(peer: a.id, result: .authenticated)
        try net.until("an answer") { $0.hosts[1].events.contains(wanted) }
        try b.removeContact(nowUs: net.nowUs, node: a.id)
        try b.addContact(nowUs: net.nowUs, node: a.id, petname: "again")
        #expect(try b.contacts().map(\.petname) == ["again"])
    }
}
