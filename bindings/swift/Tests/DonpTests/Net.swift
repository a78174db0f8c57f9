import Donp
import Foundation
import Testing

/// A network in a list, with a clock that jumps to the next deadline.
struct Net {
    var nowUs: UInt64 = 0
    var hosts: [Host]

    init(_ engines: [Engine]) throws {
        hosts = engines.enumerated().map { Host(address: "10.0.0.\($0 + 1):4000", engine: $1) }
        for (n, host) in hosts.enumerated() {
            try host.engine.join(nowUs: 0, places: n == 0 ? [] : [hosts[0].address])
        }
    }

    /// One turn of everybody who has something to do.
    mutating func step() throws {
        var sent: [(to: String, datagram: Received)] = []
        for n in hosts.indices where hosts[n].isDue(nowUs) {
            for transmit in try hosts[n].turn(nowUs) {
                #expect(transmit.payload.count <= 1_452)
                sent.append(
                    (transmit.destination, Received(source: hosts[n].address, payload: transmit.payload)))
            }
        }
        for (to, datagram) in sent {
            if let n = hosts.firstIndex(where: { $0.address == to }) { hosts[n].inbox.append(datagram) }
        }
        if sent.isEmpty, hosts.allSatisfy({ $0.committed == nil }) {
            nowUs = max(nowUs + 1, hosts.map(\.deadlineUs).min()!)
        }
    }

    mutating func until(_ what: String, _ done: (Net) throws -> Bool) throws {
        for n in hosts.indices { hosts[n].deadlineUs = 0 }
        for _ in 0..<100_000 {
            if try done(self) { return }
            try step()
        }
        throw Missing(what: "\(what), in \(nowUs / 1_000_000) s of the network's time")
    }

    mutating func untilLinked() throws {
        try until("linked") { try $0.hosts.allSatisfy { try $0.engine.status().links > 0 } }
    }
}

/// An engine with the store and the address that a program around it would have.
struct Host {
    let address: String
    var engine: Engine
    var store: [Key: Data] = [:]
    var committed: UInt64?
    var inbox: [Received] = []
    var events: [Event] = []
    var answers: [Answer] = []
    var deadlineUs: UInt64 = 0

    struct Key: Hashable {
        let table: UInt8
        let key: Data
    }

    init(address: String, engine: Engine) {
        self.address = address
        self.engine = engine
    }

    var texts: [String] {
        events.compactMap { if case .received(_, let message) = $0 { message.text } else { nil } }
    }

    var records: [Record] {
        store.map { Record(table: $0.key.table, key: $0.key.key, value: $0.value) }
    }

    func isDue(_ nowUs: UInt64) -> Bool { !inbox.isEmpty || committed != nil || deadlineUs <= nowUs }

    mutating func turn(_ nowUs: UInt64) throws -> [Transmit] {
        let output = try engine.turn(nowUs: nowUs, received: inbox, committed: committed)
        (inbox, committed) = ([], nil)
        events += output.events
        answers += output.answers
        deadlineUs = output.more ? 0 : output.nextDeadlineUs ?? .max
        if let batch = output.batch { write(batch) }
        for request in output.requests {
            try engine.handleRecords(nowUs: nowUs, request: request.id, records: read(request))
            deadlineUs = 0
        }
        return output.transmits
    }

    private mutating func write(_ batch: Batch) {
        for op in batch.ops {
            switch op {
            case .put(let table, let key, let value): store[Key(table: table, key: key)] = value
            case .delete(let table, let key): store[Key(table: table, key: key)] = nil
            case .deleteRange(let table, let start, let end):
                store = store.filter {
                    $0.key.table != table || $0.key.key.precedes(start) || !$0.key.key.precedes(end)
                }
            }
        }
        committed = batch.seq
    }

    private func read(_ request: Request) -> [Record] {
        let inside = records.filter {
            $0.table == request.table && !$0.key.precedes(request.start) && $0.key.precedes(request.end)
        }
        let sorted = inside.sorted { request.reverse ? $1.key.precedes($0.key) : $0.key.precedes($1.key) }
        return Array(sorted.prefix(request.limit))
    }
}

extension Data {
    func precedes(_ other: Data) -> Bool { lexicographicallyPrecedes(other) }
}

/// What the tests waited for did not happen.
struct Missing: Error, CustomStringConvertible {
    let what: String
    var description: String { "did not happen: \(what)" }
}

let wallMs: UInt64 = 1_790_000_000_000

func engine(_ name: String, inMemory: Bool = true) throws -> Engine {
    let config = EngineConfig(identity: try generateIdentity(name: name), inMemory: inMemory)
    return try Engine(config, nowUs: 0, wallMs: wallMs)
}
