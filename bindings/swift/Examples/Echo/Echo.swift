// A bot that repeats what it receives:
//
//     Echo [--state-dir DIR] [--listen IP:PORT] [--join PLACE] [--group INVITATION]
//
// It prints an invitation to itself. `donp join` takes it, and `donp send echo hello` talks to the bot.
// With an invitation from `donp group invite` it becomes a member of a group, and answers there too.
import Dispatch
import Donp
import Foundation

@main struct Echo {
    static func main() async throws {
        let options = Options(CommandLine.arguments.dropFirst())
        let node = try await openNode(
            .init(stateDir: options.stateDir, name: "echo", listen: options.listen, bot: true))
        let stopping = onTermination { Task { try await node.shutdown() } }
        if let place = options.place { try await node.join(place) }
        // One that is a member already gets an error, and goes on.
        if let invitation = options.group {
            do { try await node.joinGroup(invitation) } catch { print(error) }
        }
        print("invite:", try await node.invite())
        fflush(nil)

        for await event in node.events() {
            if case .received(_, let message) = event, let text = try await answer(to: message, node) {
                // A message that cannot be answered, as of a group that the bot may not post in, must not stop
                // the bot at each start.
                do {
                    try await node.reply(to: message, text: text)
                } catch {
                    guard error.kind != .closed else { throw error }
                    print("no answer to \(message.id): \(error)")
                }
            }
            // Only here: a crash before this and the event comes again.
            try await node.ack(event.seq)
        }
        stopping.cancel()
    }

    /// What to say back. Nothing to other bots: two of them would never stop.
    static func answer(to message: Message, _ node: Node) async throws -> String? {
        switch message.content {
        case .text(let text), .reply(_, let text):
            try await node.peer(message.author)?.bot == true ? nil : text
        default: nil
        }
    }

    /// Runs `stop` when the system asks the process to end.
    static func onTermination(_ stop: @escaping @Sendable () -> Void) -> any DispatchSourceSignal {
        signal(SIGTERM, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGTERM)
        source.setEventHandler(handler: stop)
        source.resume()
        return source
    }
}

struct Options {
    var stateDir = "echo"
    var listen: [String] = []
    var place: String?
    var group: String?

    init(_ arguments: ArraySlice<String>) {
        var rest = arguments
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { usage("\(name) needs a value") }
            switch name {
            case "--state-dir": stateDir = value
            case "--listen": listen.append(value)
            case "--join": place = value
            case "--group": group = value
            default: usage("unknown option \(name)")
            }
        }
    }
}

/// Says what is wrong with the arguments, and ends.
func usage(_ problem: String) -> Never {
    let options = "[--state-dir DIR] [--listen IP:PORT] [--join PLACE] [--group TICKET]"
    let text = "\(problem)\nusage: Echo \(options)\n"
    FileHandle.standardError.write(Data(text.utf8))
    exit(2)
}
