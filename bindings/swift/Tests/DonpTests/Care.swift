import Donp
import Foundation
import Testing

/// Profiles that are looked at, copied and made from a copy; and the first steps of a newcomer.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct Care {
    private func texts(_ node: Node) async throws -> [String] {
        try await node.history(.network).messages.compactMap(\.text)
    }

    // Fails if a restored profile goes on in the log of its backup.
    @Test("a_backup_of_a_running_node")
    func aBackupOfARunningNode() async throws {
        let folder = try Folder()
        let a = try await openNode(local("a", in: folder.sub("a")))
        let b = try await openNode(local("b"))
        try await link(a, b)
        try await a.broadcast("before")
        let found = try await a.check()
        #expect(found.problems.isEmpty && found.lost.isEmpty && found.records["chat.entries"] != 0)
        let (copy, file) = (folder.sub("copy"), folder.sub("copy.donp"))
        for place in [copy, file] {
            #expect(try await a.backup(to: place), "it holds the key")
            await expectError(.alreadyExists) { try await a.backup(to: place) }
        }
        try await a.broadcast("after")
        try await until("b has both") { try await texts(b).count == 2 }
        try await a.shutdown()
        try await restoreProfile(from: copy, to: folder.sub("one"))
        try await restoreProfile(from: file, to: folder.sub("two"))
        let back = try await openNode(local(nil, in: folder.sub("two")))
        #expect(back.id == a.id)
        #expect(try await texts(back) == ["before"])
        try await back.broadcast("again")
        try await link(back, b)
        for node in [back, b] {
            try await until("all is there") { try await Set(texts(node)) == ["before", "after", "again"] }
        }
        await expectError(.notFound) {
            try await restoreProfile(from: folder.sub("nothing"), to: folder.sub("new"))
        }
        await expectError(.alreadyExists) { try await restoreProfile(from: copy, to: folder.sub("one")) }
        await expectError(.invalidInput) { try await b.check() }
        await expectError(.invalidInput) { try await b.backup(to: folder.sub("x")) }
        try await back.shutdown()
        try await b.shutdown()
    }

    // Fails if `join` returns before there is a link.
    @Test("waiting_for_a_peer")
    func waitingForAPeer() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        try await b.join(a.invite(), wait: .seconds(90))
        #expect(try await b.waitFor(a.id).linked)
        #expect(try await a.waitFor(b.id, timeout: .seconds(90)).linked)
        #expect(try await b.nameOf(b.id) == "b")
        try await until("the name is known") { try await b.nameOf(a.id) == "a" }
        let c = try await openNode(local("c"))
        #expect(try await b.nameOf(c.id) == nil)
        await expectError(.timeout, retryable: true) {
            try await b.waitFor(c.id, timeout: .milliseconds(100))
        }
        await expectError(.timeout, retryable: true) {
            try await c.join("127.0.0.1:9", wait: .milliseconds(100))
        }
        for node in [a, b, c] { try await node.shutdown() }
    }
}
