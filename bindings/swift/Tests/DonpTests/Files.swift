import Donp
import Foundation
import Testing

/// Files that messages name: a scenario that the packages of all languages have.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct Files {
    // Fails if a file is given to everybody, or one on disk is replaced.
    @Test("a_file_between_two")
    func aFileBetweenTwo() async throws {
        // More than is fetched unasked.
        let bytes = Data((0..<512_000).map { UInt8(truncatingIfNeeded: $0 / 7) })
        let folder = try Folder()
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        let c = try await openNode(local("c"))
        let events = b.events()
        try await link(a, b)
        try await link(a, c)
        let plan = folder.sub("plan.pdf")
        try bytes.write(to: URL(fileURLWithPath: plan))
        let file = try await a.addFile(path: plan, mediaType: "application/pdf")
        #expect(file.name == "plan.pdf" && file.size == 512_000 && file.mediaType == "application/pdf")
        #expect(try FileId(parsing: file.id.description) == file.id)
        try await a.send(.file(file, text: "the plan"), to: b.id)
        let message = try await nextMessage(events).message
        #expect(message.content == .file(file, text: "the plan"))
        #expect(message.text == "the plan")
        try await b.fetchFile(.private(a.id), file: file, author: a.id)
        let size = try await next(events, "progress") {
            if case .fileProgress(_, _, let size, _) = $0 { size } else { nil }
        }
        #expect(size == 512_000)
        let received = try await next(events, "the file") {
            if case .fileReceived(_, let file) = $0 { file } else { nil }
        }
        #expect(received == file.id)
        #expect(try await b.files().map(\.isWhole) == [true])
        let saved = folder.sub("saved.pdf")
        #expect(try await b.saveFile(file.id, path: saved) == 512_000)
        #expect(try Data(contentsOf: URL(fileURLWithPath: saved)) == bytes)
        #expect(try await b.readFile(file.id, part: 0)?.count == 65_520)
        await expectError(.storage) { try await b.saveFile(file.id, path: plan) }
        // A node outside the conversation gets nothing, and has nothing to pass on.
        try await c.fetchFile(.private(a.id), file: file)
        await expectError(.notFound) { try await c.saveFile(file.id, path: folder.sub("none.pdf")) }
        await expectError(.notFound) { try await c.broadcast(.file(file)) }
        #expect(try await c.files().map(\.bytes) == [0])
        try await b.removeFile(file.id)
        #expect(try await b.files().isEmpty)
        await expectError(.invalidInput) { _ = try await a.addFile(bytes: Data([1]), name: "../x") }
        for node in [a, b, c] { try await node.shutdown() }
    }
}
