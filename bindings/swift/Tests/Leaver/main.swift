// Ends while nodes, sequences and waits are alive, without closing any: the process is to end by itself,
// with the status it was given.
import Donp
import Foundation

let node = try await openNode(.init(name: "left", listen: ["127.0.0.1:0"]))
let other = try await openNode(.init(name: "other", listen: ["127.0.0.1:0"]))
try await other.join(node.invite())
var waiting: [Task<Void, Never>] = []
for one in [node, other] {
    let events = one.events()
    waiting.append(Task { for await _ in events {} })
}
for await event in node.events() {
    if case .peerUp = event { break }
}
// Let go of without closing, while others wait for it.
_ = try await openNode(.init(name: "dropped", listen: ["127.0.0.1:0"])).status()
print("leaving")
fflush(nil)
exit(7)
