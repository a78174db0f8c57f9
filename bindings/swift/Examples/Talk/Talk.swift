// One node in memory that talks with others:
//
//     Talk --name NAME --join PLACE --say N --expect TOTAL
//
// It listens on 127.0.0.1, joins, waits for a link, broadcasts `NAME 1` … `NAME N`, waits until its history
// of the network has TOTAL messages, prints them in order as `MESSAGEID TEXT`, then `end`, and stays until its
// standard input closes.
import Donp
import Foundation

@main struct Talk {
    static func main() async throws {
        let options = Options(CommandLine.arguments.dropFirst())
        let node = try await Node(.init(name: options.name, listen: ["127.0.0.1:0"]))
        let events = node.events()
        try await node.start()
        if let place = options.place { try await node.join(place) }
        for await event in events {
            if case .peerUp = event { break }
        }
        for n in 0..<options.say { try await node.broadcast("\(options.name) \(n + 1)") }

        var messages = try await history(node)
        let iterator = events.makeAsyncIterator()
        while messages.count < options.expect, let event = await iterator.next() {
            if case .received = event { messages = try await history(node) }
        }
        for message in messages { print(message.id, message.text ?? "") }
        print("end")
        fflush(nil)
        await inputCloses()
        try await node.shutdown()
    }

    /// All that was said in the network, oldest first.
    static func history(_ node: Node) async throws -> [Message] {
        var messages: [Message] = []
        var before: MessageId?
        repeat {
            let page = try await node.history(.network, before: before, limit: 1_000)
            messages = page.messages + messages
            before = page.older
        } while before != nil
        return messages
    }

    static func inputCloses() async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                while readLine() != nil {}
                continuation.resume()
            }
        }
    }
}

struct Options {
    var name = "talk"
    var place: String?
    var say = 0
    var expect = 0

    init(_ arguments: ArraySlice<String>) {
        var rest = arguments
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { usage("\(name) needs a value") }
            switch name {
            case "--name": self.name = value
            case "--join": place = value
            case "--say": say = Self.count(name, value)
            case "--expect": expect = Self.count(name, value)
            default: usage("unknown option \(name)")
            }
        }
    }

    static func count(_ name: String, _ value: String) -> Int {
        guard let count = Int(value), count >= 0 else { usage("\(name) wants a number") }
        return count
    }
}

/// Says what is wrong with the arguments, and ends.
func usage(_ problem: String) -> Never {
    let text = "\(problem)\nusage: Talk --name NAME --join PLACE --say N --expect TOTAL\n"
    FileHandle.standardError.write(Data(text.utf8))
    exit(2)
}
