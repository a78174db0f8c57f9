import Dispatch
import Donp
import Foundation
import Testing

/// What went wrong in other packages of this kind, or is known to go wrong.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct Traps {
    @Test("a_cancelled_wait_ends")
    func aCancelledWaitEnds() async throws {
        let node = try await Node(local("a"))
        let events = node.events()
        // Before it begins and while it lasts: nothing comes, as the node was not started.
        for yields in [0, 1, 100] {
            let wait = Task { for await _ in events {} }
            for _ in 0..<yields { await Task.yield() }
            wait.cancel()
            await wait.value
        }
        // Of many who wait at one sequence, the one that is cancelled ends.
        let waits = (0..<10).map { _ in Task { await events.makeAsyncIterator().next() } }
        for wait in waits.dropFirst() { wait.cancel() }
        for wait in waits.dropFirst() { #expect(await wait.value == nil) }
        try await node.start()
        try await node.shutdown()
        _ = await waits[0].value
    }

    @Test("the_error_says_what_was_wrong")
    func theErrorSaysWhatWasWrong() async throws {
        let error = await expectError(.invalidInput) { try engine("a").turn(nowUs: 0, received: [bad]) }
        #expect(error?.localizedDescription == "'nowhere' is not an address")
        #expect(error.map { "\($0)" } == "'nowhere' is not an address")
        #expect(error?.recoverySuggestion == error?.hint)
        #expect(DonpError.Kind.allCases.count == 13)
    }

    private var bad: Received { Received(source: "nowhere", payload: Data()) }

    @Test("a_bad_datagram_takes_nothing_in")
    func aBadDatagramTakesNothingIn() async throws {
        let engine = try engine("a")
        let good = Received(source: "10.0.0.1:1", payload: Data([1]))
        await expectError(.invalidInput) { try engine.turn(nowUs: 0, received: [good, bad]) }
        #expect(try engine.status().datagramsIn == 0)
        // Data that is a slice, empty, or large arrives as what it is.
        let slice = Data(repeating: 0xff, count: 2_000)[100..<1_300]
        _ = try engine.turn(nowUs: 1, received: [Received(source: "[::1]:6", payload: slice)])
        try engine.handleDatagram(nowUs: 2, source: "10.0.0.1:1", payload: slice)
        try engine.handleDatagram(nowUs: 2, source: "10.0.0.1:1", payload: Data())
        #expect(try engine.status().datagramsIn == 3)
        #expect(try engine.status().drops.values.reduce(0, +) == 3)
    }

    @Test("waiting_calls_hold_no_thread_of_swift")
    func waitingCallsHoldNoThreadOfSwift() async throws {
        let folder = try Folder()
        let gate = Gate()
        let count = ProcessInfo.processInfo.activeProcessorCount * 2 + 2
        let opening = (0..<count).map { n in
            Task { try await Node(local("n", in: folder.sub("\(n)")), keyStore: gate) }
        }
        // All are inside their key store; only a thread of Swift's can let them out.
        await Task.detached {
            while gate.waiting < count { await Task.yield() }
            gate.open(count)
        }.value
        for node in opening { _ = try await node.value }
    }

    /// Holds the thread that opens a node until it is released.
    final class Gate: KeyStore, @unchecked Sendable {
        private let lock = NSLock()
        private var inside = 0
        private let semaphore = DispatchSemaphore(value: 0)

        var waiting: Int {
            lock.lock()
            defer { lock.unlock() }
            return inside
        }

        func open(_ count: Int) { for _ in 0..<count { semaphore.signal() } }

        func wrapKey(_ key: Data) throws -> Data {
            lock.lock()
            inside += 1
            lock.unlock()
            semaphore.wait()
            return key
        }

        func unwrapKey(_ wrapped: Data) throws -> Data { wrapped }
    }

    @Test("everything_may_cross_tasks")
    func everythingMayCrossTasks() async throws {
        // The compiler refuses this file if one is not Sendable.
        func sendable<T: Sendable>(_: T.Type) {}
        sendable(Node.self)
        sendable(Engine.self)
        sendable(Events.self)
        sendable(Events.Iterator.self)
        sendable(Event.self)
        sendable(Message.self)
        sendable(HistoryPage.self)
        sendable(NodeConfig.self)
        sendable(EngineConfig.self)
        sendable(NodeStatus.self)
        sendable(EngineStatus.self)
        sendable(Peer.self)
        sendable(Output.self)
        sendable(DonpError.self)
        sendable((any KeyStore).self)

        let node = try await openNode(local("a"))
        try await withThrowingTaskGroup(of: MessageId.self) { group in
            for n in 0..<200 { group.addTask { try await node.broadcast("\(n)") } }
            var ids: Set<MessageId> = []
            for try await id in group { ids.insert(id) }
            #expect(ids.count == 200)
        }
        #expect(try await node.history(.network, limit: 1_000).messages.count == 200)
        try await node.shutdown()
    }

    @Test("the_main_actor_may_use_it") @MainActor
    func theMainActorMayUseIt() async throws {
        let node = try await openNode(local("a"))
        let events = node.events()
        try await node.leave()
        var seen = false
        for await event in events {
            if case .stateChanged(_, .leaving) = event {
                seen = true
                break
            }
        }
        #expect(seen)
        try await node.shutdown()
    }

    @Test("letting_go_ends_what_waits_inside")
    func lettingGoEndsWhatWaitsInside() async throws {
        // A wait that was given up goes on inside; it must not keep the sequence, nor the sequence the node.
        weak var gone: Events?
        let node = try await Node(local("a"))
        do {
            let events = node.events()
            gone = events
            let wait = Task { [events] in await events.makeAsyncIterator().next() }
            await Task.yield()
            wait.cancel()
            _ = await wait.value
        }
        try await until("the sequence is gone") { gone == nil }
    }

    @Test("blocking_shutdown")
    func blockingShutdown() async throws {
        let node = try await openNode(local("a"))
        try await Task.detached { try node.shutdownBlocking() }.value
        #expect(node.isClosed)
        try await node.shutdown()
    }

    @Test("talk_prints_one_order")
    func talkPrintsOneOrder() async throws {
        let node = try await openNode(local("seed"))
        let place = "\(node.localAddresses[0])/\(node.id)"
        let talkers = try ["ann", "ben"].map {
            try Program(
                Program.built("Talk"), ["--name", $0, "--join", place, "--say", "5", "--expect", "11"])
        }
        try await until("both are linked") { try await node.status().links == 2 }
        let own = try await node.broadcast("seed 1")
        for talker in talkers { _ = try await talker.line("the end") { $0 == "end" } }
        #expect(talkers[0].lines.count == 12 && talkers[0].lines == talkers[1].lines)
        #expect(talkers[0].lines.contains("\(own) seed 1"))
        for n in 1...5 { #expect(talkers[0].lines.contains { $0.hasSuffix(" ben \(n)") }) }
        for talker in talkers {
            try talker.closeInput()
            #expect(try await talker.ended() == (0, true))
        }
        let wrong = try await Program.run(Program.built("Talk"), ["--say", "many"])
        #expect(wrong.status == 2)
        try await node.shutdown()
    }

    @Test("version_is_told")
    func versionIsTold() {
        #expect(version().split(separator: ".").count == 3)
    }
}
