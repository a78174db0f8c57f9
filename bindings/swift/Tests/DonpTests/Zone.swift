import Donp
import Foundation
import Testing

/// Members, failures and neighbours: scenarios that the packages of all languages have.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct Zone {
    private func held(_ id: NodeId, by node: Node) async throws -> MemberState? {
        try await node.members().first { $0.id == id }?.state
    }

    private func told(_ events: Events, _ id: NodeId, _ state: MemberState) async throws {
        let wanted = Event.memberChanged(peer: id, state: state)
        #expect(wanted.seq == nil)
        _ = try await next(events, "\(wanted)") { $0 == wanted ? true : nil }
    }

    private func up(_ events: Events) async throws -> NodeId {
        try await next(events, "a link") { if case .peerUp(let peer, _) = $0 { peer } else { nil } }
    }

    @Test("members_of_a_zone")
    func membersOfAZone() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        let c = try await openNode(local("c"))
        #expect(try await a.members().isEmpty)
        let events = a.events()
        try await link(a, b)
        try await link(a, c)
        for (one, other) in [(a, b), (b, a), (a, c)] {
            try await until("they hold each other for alive") {
                try await held(other.id, by: one) == .alive
            }
        }
        let members = try await a.members()
        #expect(members.map(\.id.description) == [b, c].map(\.id.description).sorted())
        #expect(members.map(\.linked) == [true, true])
        try await b.shutdown()
        try await told(events, b.id, .left)
        #expect(try await held(b.id, by: a) == .left)
        try await c.kill()
        try await a.detectNodeFailure(c.id)
        try await told(events, c.id, .suspect)
        try await told(events, c.id, .down)
        #expect(try await held(c.id, by: a) == .down)
        try await a.shutdown()
    }

    @Test("a_blocked_node")
    func aBlockedNode() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        try await link(a, b)
        try await a.block(b.id)
        #expect(try await a.blocked() == [b.id])
        try await until("the link is gone") { try await a.peers().allSatisfy { !$0.linked } }
        await expectError(.denied) { try await a.send("no", to: b.id) }
        await expectError(.invalidInput) { try await a.block(a.id) }
        let said = try await b.send("let me in", to: a.id)
        try await a.unblock(b.id)
        #expect(try await a.blocked().isEmpty)
        #expect(try await nextMessage(a.events()).message.id == said)
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("the_operations_of_fault_tolerance")
    func theOperationsOfFaultTolerance() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        let events = a.events()
        try await link(a, b)
        try await a.detectNodeFailure(b.id)
        try await told(events, b.id, .alive)
        try await a.reportPartition([b.id])
        try await a.reportPartition()
        for failure in FailureType.allCases { try await a.recoverFromFailure(failure) }
        let said = try await b.broadcast("compared and fetched")
        try await a.synchronizeState(with: b.id)
        #expect(try await nextMessage(a.events()).message.id == said)

        let stranger = try identityNodeId(generateIdentity(name: "stranger"))
        await expectError(.notFound) { try await a.detectNodeFailure(stranger) }
        await expectError(.notFound) { try await a.synchronizeState(with: stranger) }
        await expectError(.notFound) { try await a.reportPartition([b.id, stranger]) }
        await expectError(.invalidInput) { try await a.detectNodeFailure(a.id) }
        let peer = try #require(try await a.peer(b.id))
        #expect(peer.nodeType == .regular && peer.role == .regular)
        try await a.suspend()
        await expectError(.notRunning) { try await a.recoverFromFailure(.node) }
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("the_operations_on_engines")
    func theOperationsOnEngines() async throws {
        var net = try Net([engine("a"), engine("b")])
        let (a, b) = (net.hosts[0].engine, net.hosts[1].engine.id)
        try net.until("a zone") { _ in try a.members().contains { $0.id == b && $0.state == .alive } }
        net.hosts[0].events = []
        try a.detectNodeFailure(nowUs: net.nowUs, peer: b)
        try net.until("an answer") { $0.hosts[0].events.contains(.memberChanged(peer: b, state: .alive)) }
        try a.reportPartition(nowUs: net.nowUs, peers: [b])
        try a.synchronizeState(nowUs: net.nowUs, peer: b)
        for failure in FailureType.allCases { try a.recoverFromFailure(nowUs: net.nowUs, failure: failure) }
        await expectError(.invalidInput) { try a.detectNodeFailure(nowUs: net.nowUs, peer: a.id) }
    }

    @Test("nodes_near_each_other")
    func nodesNearEachOther() async throws {
        // On loopback, in a network of its own: no other node receives it or is received.
        let key = Data((0..<32).map { _ in UInt8.random(in: 0...255) })
        func near(_ name: String, _ lan: Lan) async throws -> Node {
            var config = local(name)
            (config.networkKey, config.lan) = (key, lan)
            return try await openNode(config)
        }
        let off = try await near("off", .off)
        let a = try await near("a", .on)
        let events = a.events()
        try #require(try await a.status().lan.count == 1, "loopback has no multicast here")
        let b = try await near("b", .compat)
        #expect(try await up(events) == b.id)
        #expect(try await b.status().lan.count == 2)
        let status = try await off.status()
        #expect(status.known == 0 && status.lan.isEmpty, "it says and hears nothing")
        // What another discovery found is tried.
        try await off.handleLocalPeer(at: a.localAddresses[0], id: a.id)
        #expect(try await up(events) == off.id)
        await expectError(.invalidInput) { try await off.handleLocalPeer(at: "near") }

        var config = local("lost")
        config.bootstraps = ["nowhere.invalid:1"]
        let lost = try await openNode(config)
        try await until("the name is looked up") {
            try await lost.status().unresolved["nowhere.invalid:1"] != nil
        }
        for node in [off, a, b, lost] { try await node.shutdown() }
    }

    @Test("engines_near_each_other")
    func enginesNearEachOther() async throws {
        func made(_ n: Int, beacons: Bool) throws -> Engine {
            let identity = try generateIdentity(name: "n\(n)")
            let config = EngineConfig(identity: identity, beacons: beacons, inMemory: true)
            let engine = try Engine(config, nowUs: 0, wallMs: wallMs)
            try engine.setLocalAddresses(nowUs: 0, addresses: ["10.0.0.\(n):4000"])
            try engine.join(nowUs: 0)
            return engine
        }
        let (speaker, hearer, deaf) = (
            try made(1, beacons: true), try made(2, beacons: true), try made(3, beacons: false)
        )
        var now: UInt64 = 0
        var output = try speaker.turn(nowUs: now)
        while output.beacon == nil {
            now = max(now + 1, try #require(output.nextDeadlineUs))
            output = try speaker.turn(nowUs: now)
        }
        let beacon = try #require(output.beacon)
        #expect(beacon.count <= 400)
        for engine in [hearer, deaf] {
            _ = try engine.turn(nowUs: now)
            try engine.handleBeacon(nowUs: now, source: "10.0.0.1:9999", payload: beacon)
        }
        #expect(try hearer.turn(nowUs: now).transmits.map(\.destination) == ["10.0.0.1:4000"])
        #expect(try deaf.turn(nowUs: now).transmits.isEmpty)
        try deaf.handleLocalPeer(nowUs: now, address: "10.0.0.1:4000")
        #expect(try deaf.turn(nowUs: now).transmits.map(\.destination) == ["10.0.0.1:4000"])
        await expectError(.invalidInput) {
            try hearer.handleBeacon(nowUs: now, source: "near", payload: beacon)
        }
    }
}
