// What a call costs through this package: one JSON line for each row, the best of five rounds.
import Dispatch
import Donp
import Foundation

let source = "127.0.0.1:9000"

/// What was timed: nanoseconds, and how many parts they were for.
typealias Timed = (ns: UInt64, parts: Int)

/// Calls `body` often enough that a round can be trusted, and prints the time of a part in the best round.
func row(_ name: String, calls: Int, _ body: () throws -> Timed) rethrows {
    var best = Double.infinity
    for _ in 0..<5 {
        var sum: Timed = (0, 0)
        for _ in 0..<calls {
            let timed = try body()
            sum = (sum.ns + timed.ns, sum.parts + timed.parts)
        }
        best = min(best, Double(sum.ns) / Double(sum.parts))
    }
    let number = String(format: "%.1f", locale: Locale(identifier: "en_US_POSIX"), best)
    print(#"{"language":"swift","row":"\#(name)","ns":\#(number)}"#)
}

/// Nanoseconds that `body` takes.
@inline(__always) func time(_ body: () throws -> Void) rethrows -> UInt64 {
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return DispatchTime.now().uptimeNanoseconds - start
}

func engine(_ name: String) throws -> Engine {
    try Engine(EngineConfig(identity: generateIdentity(name: name), inMemory: true), nowUs: 0)
}

/// Two engines with a network in between that loses nothing and takes no time.
struct Pair {
    let a: Engine
    let b: Engine
    var nowUs: UInt64 = 0

    init() throws {
        a = try engine("a")
        b = try engine("b")
        try a.join(nowUs: 0)
        try b.join(nowUs: 0, places: ["10.0.0.1:1"])
        while try a.status().links == 0 || b.status().links == 0 { try settle() }
        try settle()
    }

    /// Carries datagrams until neither has any, then goes on to the next deadline.
    mutating func settle(_ first: [Transmit] = []) throws {
        var toB = first
        var next = UInt64.max
        repeat {
            let fromB = try b.turn(
                nowUs: nowUs, received: toB.map { Received(source: "10.0.0.1:1", payload: $0.payload) })
            let fromA = try a.turn(
                nowUs: nowUs,
                received: fromB.transmits.map { Received(source: "10.0.0.2:1", payload: $0.payload) })
            if let last = fromB.events.last(where: { $0.seq != nil }) {
                try b.ack(nowUs: nowUs, seq: last.seq!)
            }
            if let last = fromA.events.last(where: { $0.seq != nil }) {
                try a.ack(nowUs: nowUs, seq: last.seq!)
            }
            toB = fromA.transmits
            next = min(fromA.nextDeadlineUs ?? .max, fromB.nextDeadlineUs ?? .max)
        } while !toB.isEmpty
        nowUs = max(nowUs + 1, min(next, nowUs + 1_000_000))
    }
}

let alone = try engine("alone")
row("noop", calls: 5) {
    // The clock costs as much as the call: many calls between two looks at it.
    let calls = 100_000
    return (time { for _ in 0..<calls { precondition(!alone.isDead) } }, calls)
}
var now: UInt64 = 1
try row("turn_empty", calls: 100) {
    let calls = 1_000
    let ns = try time {
        for _ in 0..<calls {
            now += 1
            _ = try alone.turn(nowUs: now)
        }
    }
    return (ns, calls)
}
let junk = Data(repeating: 0xff, count: 1_200)
try row("turn_64_in", calls: 500) {
    now += 1
    let ns = try time {
        let received = (0..<64).map { _ in Received(source: source, payload: junk) }
        _ = try alone.turn(nowUs: now, received: received)
    }
    return (ns, 64)
}
var pair = try Pair()
let text = String(repeating: "x", count: 1_000)
try row("turn_64_out", calls: 20) {
    for _ in 0..<64 {
        try pair.a.sendPrivate(nowUs: pair.nowUs, to: pair.b.id, content: .text(text))
    }
    var transmits: [Transmit] = []
    let ns = try time { transmits = try pair.a.turn(nowUs: pair.nowUs).transmits }
    try pair.settle(transmits)
    while try pair.a.status().outbox > 0 { try pair.settle() }
    return (ns, transmits.count)
}
