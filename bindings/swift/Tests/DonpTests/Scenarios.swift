import Donp
import Foundation
import Testing

/// The scenarios that the packages of all languages have, under the names they have there.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct Scenarios {
    @Test("two_engines_exchange_a_message")
    func twoEnginesExchangeAMessage() throws {
        var net = try Net([engine("a"), engine("b")])
        try net.untilLinked()
        let to = net.hosts[1].engine.id
        let id = try net.hosts[0].engine.sendPrivate(nowUs: net.nowUs, to: to, content: .text("hello"))
        try net.until("delivered") {
            $0.hosts[0].events.contains { if case .delivered(_, id, to) = $0 { true } else { false } }
        }
        #expect(net.hosts[1].texts == ["hello"])
        #expect(net.hosts.allSatisfy { $0.store.isEmpty }, "the engines keep their records themselves")
        let peer = try #require(try net.hosts[0].engine.peer(to))
        #expect(peer.linked && peer.name == "b")
    }

    @Test("a_foreign_store")
    func aForeignStore() async throws {
        let config = EngineConfig(identity: try generateIdentity(name: "kept"))
        var net = try Net([Engine(config, nowUs: 0, wallMs: wallMs), engine("other", inMemory: false)])
        try net.untilLinked()
        let (a, b) = (net.hosts[0].engine.id, net.hosts[1].engine.id)
        try net.hosts[1].engine.sendPrivate(nowUs: net.nowUs, to: a, content: .text("one"))
        try net.until("arrives") { !$0.hosts[0].texts.isEmpty }

        // The event was not acknowledged: an engine made of the records tells it again.
        let records = net.hosts[0].records
        net.hosts[0].engine = try Engine(config, restoring: records, nowUs: net.nowUs, wallMs: wallMs)
        net.hosts[0].events = []
        try net.until("comes again") { $0.hosts[0].texts == ["one"] }
        let seq = try #require(net.hosts[0].events.compactMap(\.seq).first)
        try net.hosts[0].engine.ack(nowUs: net.nowUs, seq: seq)
        let query = try net.hosts[0].engine.history(nowUs: net.nowUs, conversation: .private(b))
        try net.until("an answer") { $0.hosts[0].answers.contains { $0.query == query } }
        #expect(net.hosts[0].answers.first?.page.messages.map(\.text) == ["one"])
        try net.hosts[0].engine.sendPrivate(nowUs: net.nowUs, to: b, content: .text("two"))
        try net.until("goes on") { $0.hosts[1].texts == ["two"] }

        let other = EngineConfig(identity: try generateIdentity(name: "other"))
        await expectError(.denied) { try Engine(other, restoring: records, nowUs: 0) }
    }

    @Test("three_nodes_chat")
    func threeNodesChat() async throws {
        let folder = try Folder()
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        var c = try await openNode(local("c", in: folder.path))
        let events = b.events()
        try await link(a, b)
        try await link(a, c)
        let secret = try await a.send("for b alone", to: b.id)
        #expect(try await nextMessage(events).message.id == secret)
        for n in 1...5 {
            for node in [a, b, c] { try await node.broadcast("\(node.name) \(n)") }
        }
        try await c.kill()
        #expect(c.isClosed)
        for n in 6...10 {
            for node in [a, b] { try await node.broadcast("\(node.name) \(n)") }
        }
        let missed = try await a.send("for c, which is away", to: c.id)
        #expect(try await a.isQueued(missed))
        c = try await openNode(local(nil, in: folder.path))
        #expect(c.name == "c")
        try await c.join(a.localAddresses)
        var orders: [[MessageId]] = []
        try await until("all have all 25 in one order") {
            orders = []
            for node in [a, b, c] { orders.append(try await node.history(.network).messages.map(\.id)) }
            return orders.allSatisfy { $0.count == 25 && $0 == orders[0] }
        }
        try await until("the private one arrives") { try await !a.isQueued(missed) }
        #expect(try await c.history(.private(a.id)).messages.map(\.text) == ["for c, which is away"])
        for node in [a, b, c] { try await node.shutdown() }
    }

    @Test("replay_after_a_crash")
    func replayAfterACrash() async throws {
        let folder = try Folder()
        let a = try await openNode(local("a"))
        var b = try await openNode(local("b", in: folder.path))
        var events = b.events()
        try await link(a, b)
        for n in 0..<3 { try await a.broadcast("\(n)") }
        let first = try await nextMessage(events)
        #expect(first.message.text == "0")
        #expect(try await nextMessage(events).message.text == "1")
        try await b.ack(first.seq)
        try await b.kill()

        b = try await openNode(local("another name changes nothing", in: folder.path))
        #expect(b.name == "b")
        events = b.events()
        #expect(try await nextMessage(events).message.text == "1", "the first was acknowledged, this was not")
        let last = try await nextMessage(events)
        #expect(last.message.text == "2")
        try await b.ack(last.seq)
        try await b.kill()

        b = try await openNode(local(nil, in: folder.path))
        events = b.events()
        try await a.broadcast("3")
        #expect(try await nextMessage(events).message.text == "3", "all before it was acknowledged")
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("every_error_kind")
    func everyErrorKind() async throws {
        let folder = try Folder()
        await expectError(.notFound) { try await Node(local(nil, in: folder.sub("none"))) }
        var bad = local("x")
        bad.listen = ["here"]
        await expectError(.invalidInput) { try await Node(bad) }
        bad = local("x")
        bad.networkKey = Data(repeating: 1, count: 31)
        await expectError(.invalidInput) { try await Node(bad) }
        bad = local("x")
        bad.fault = "drop=2"
        await expectError(.invalidInput) { try await Node(bad) }
        await expectError(.invalidInput) { try await Node(local(String(repeating: "n", count: 65))) }

        var config = local("p", in: folder.sub("p"))
        config.passphrase = "right"
        do {
            let open = try await Node(config)
            await expectError(.locked, retryable: true) { try await Node(local(nil, in: folder.sub("p"))) }
            await expectError(.notRunning) { try await open.status() }
        }
        await expectError(.denied) { try await Node(local(nil, in: folder.sub("p"))) }
        config.passphrase = "wrong"
        await expectError(.denied) { try await Node(config) }
        try FileManager.default.createDirectory(
            atPath: folder.sub("d"), withIntermediateDirectories: true)
        try Data("this is no database".utf8).write(to: URL(fileURLWithPath: folder.sub("d/node.db")))
        await expectError(.damaged) { try await Node(local("d", in: folder.sub("d"))) }

        let node = try await openNode(local("a"))
        bad = local("b")
        bad.listen = node.localAddresses
        await expectError(.network, retryable: true) { try await Node(bad) }
        await expectError(.notFound) { try await node.ack(5) }
        await expectError(.invalidInput) { try await node.send("to myself", to: node.id) }
        await expectError(.invalidInput) { try await node.broadcast("") }
        await expectError(.invalidInput) { try await node.broadcast(.unknown) }
        let long = await expectError(.invalidInput) {
            try await node.broadcast(String(repeating: "x", count: 65_537))
        }
        #expect(long?.text.contains("65536") == true)
        await expectError(.invalidInput) { try await node.history(.network, limit: -1) }
        await expectError(.invalidInput) { try await node.search(.network, for: "") }
        await expectError(.invalidInput) { try await node.join("nowhere:") }
        await expectError(.invalidInput) { try await node.join("notAnInvitation") }
        let stranger = try identityNodeId(generateIdentity(name: "stranger"))
        await expectError(.notFound) { try await node.send("hello", to: stranger) }
        try await node.shutdown()
        await expectError(.closed) { try await node.status() }

        let crashed = try await openNode(local("c"))
        await expectError(.internal) { try await crashed.simulateCrash() }
    }

    @Test("cancelling_a_wait_loses_nothing")
    func cancellingAWaitLosesNothing() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        let events = b.events()
        try await link(a, b)
        let sending = Task { for n in 0..<300 { try await a.send("\(n)", to: b.id) } }
        var got: [String] = []
        var cancelled = 0
        while got.count < 300 {
            let wait = Task { await events.makeAsyncIterator().next() }
            if cancelled % 2 == 0 { await Task.yield() }
            wait.cancel()
            cancelled += 1
            // Often nil, as the wait was given up; sometimes the event came first.
            if case .received(_, let message) = await wait.value { got.append(message.text!) }
            // Some that are not cancelled, so that this ends.
            if cancelled % 3 == 0, got.count < 300 { got.append(try await nextMessage(events).message.text!) }
        }
        try await sending.value
        #expect(got == (0..<300).map(String.init), "each once, in order, though nothing was acknowledged")
        #expect(events.take().allSatisfy { $0.seq == nil })
        // Another reader has all that was not acknowledged.
        let again = b.events()
        for n in 0..<300 { #expect(try await nextMessage(again).message.text == "\(n)") }
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("closing_ends_every_stream")
    func closingEndsEveryStream() async throws {
        let node = try await openNode(local("a"))
        let (waits, begins) = (node.events(), node.events())
        let waiting = Task { for await _ in waits {} }
        try await node.shutdown()
        await waiting.value
        for await _ in begins {}
        for await _ in node.events() {}
        #expect(await waits.makeAsyncIterator().next() == nil)
        try await node.shutdown()
        #expect(node.isClosed)

        // A stream of its own accord, and a node that is let go of.
        var other: Node? = try await openNode(local("b"))
        let (shut, dropped) = (other!.events(), other!.events())
        let both = [shut, dropped].map { events in Task { for await _ in events {} } }
        shut.shutdown()
        await both[0].value
        other = nil
        await both[1].value
    }

    @Test("two_readers_one_slow")
    func twoReadersOneSlow() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        try await link(a, b)
        let (fast, slow) = (b.events(), b.events())
        let reading = Task {
            var texts: [String] = []
            var volatile = 0
            for await event in fast {
                switch event {
                case .received(_, let message): texts.append(message.text!)
                case .lagged: Issue.record("the fast one lagged")
                default: volatile += event.seq == nil ? 1 : 0
                }
                if texts.count == 100 { break }
            }
            return (texts, volatile)
        }
        for n in 0..<50 { try await a.send("\(n)", to: b.id) }
        // Each changes the node's state, which is a volatile event.
        while try await b.status().lastEvent < 50 { try await Task.sleep(for: .milliseconds(5)) }
        for _ in 0..<800 {
            try await b.leave()
            try await b.join()
        }
        try await link(a, b)
        for n in 50..<100 { try await a.send("\(n)", to: b.id) }
        let (texts, volatile) = await reading.value
        #expect(texts == (0..<100).map(String.init))

        var late: [String] = []
        var missed: UInt64 = 0
        var told = 0
        for await event in slow {
            switch event {
            case .received(_, let message): late.append(message.text!)
            case .lagged(let count): missed += count
            default: told += 1
            }
            if late.count == 100 { break }
        }
        #expect(late == texts)
        #expect(volatile > 1_024 && told <= 1_024)
        #expect(
            missed >= UInt64(volatile - 1_024),
            "\(volatile) happened, \(told) were reported, \(missed) missed")
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("a_panic_is_contained")
    func aPanicIsContained() async throws {
        let alone = try engine("alone")
        #expect(!alone.isDead)
        await expectError(.internal) { try alone.simulateCrash() }
        #expect(alone.isDead)
        await expectError(.internal) { try alone.turn(nowUs: 0) }
        await expectError(.internal) { try alone.status() }

        let node = try await openNode(local("a"))
        let events = node.events()
        await expectError(.internal) { try await node.simulateCrash() }
        await expectError(.internal) { try await node.status() }
        await expectError(.internal) { try await node.shutdown() }
        for await _ in events {}
        let other = try await openNode(local("b"))
        try await other.broadcast("the process lives")
        try await other.shutdown()
    }

    @Test("ten_thousand_messages_without_growth")
    func tenThousandMessagesWithoutGrowth() async throws {
        let folder = try Folder()
        let a = try await openNode(local("a", in: folder.sub("a")))
        let b = try await openNode(local("b", in: folder.sub("b")))
        let (sent, received) = (a.events(), b.events())
        try await link(a, b)
        let text = String(repeating: "x", count: 2_000)
        let to = b.id
        var after2000 = 0
        for round in 1...100 {
            // Some at once, so that they share a transaction.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask { for _ in 0..<13 { try await a.send(text, to: to) } }
                }
                try await group.waitForAll()
            }
            for (node, events, count) in [(a, sent, 104), (b, received, 104)] {
                var last: UInt64?
                for _ in 0..<count { last = try await next(events, "an event") { $0.seq } }
                try await node.ack(last)
            }
            if round == 20 { after2000 = try memoryInUse() }
        }
        let growth = try memoryInUse() - after2000
        print("after 10,400 messages of 2,000 bytes: \(growth / 1_024) KiB more than after 2,080")
        // Keeping the texts would be 16 MB once, and they pass through four hands.
        #expect(growth < 12 << 20)
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("the_platform_wraps_the_key")
    func thePlatformWrapsTheKey() async throws {
        let folder = try Folder()
        let config = local("k", in: folder.path)
        let id = try await Node(config, keyStore: Reversing(unlocked: true)).id
        let refused = await expectError(.denied) {
            try await Node(config, keyStore: Reversing(unlocked: false))
        }
        #expect(refused?.text.contains("the device is locked") == true)
        await expectError(.denied) { try await Node(config) }
        let node = try await openNode(config, keyStore: Reversing(unlocked: true))
        #expect(node.id == id)
        #expect(try await node.status().protection == "key-store")
        try await node.shutdown()
    }

    struct Reversing: KeyStore {
        struct Locked: LocalizedError {
            var errorDescription: String? { "the device is locked" }
        }
        let unlocked: Bool
        func wrapKey(_ key: Data) throws -> Data {
            #expect(key.count == 32)
            return Data(key.reversed())
        }
        func unwrapKey(_ wrapped: Data) throws -> Data {
            guard unlocked else { throw Locked() }
            return Data(wrapped.reversed())
        }
    }

    @Test("suspend_and_resume")
    func suspendAndResume() async throws {
        let folder = try Folder()
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b", in: folder.path))
        let events = b.events()
        try await link(a, b)
        try await b.suspend()
        try await b.suspend()
        await expectError(.notRunning) { try await b.broadcast("asleep") }
        await expectError(.notRunning) { try await b.history(.network) }
        try await a.send("while you slept", to: b.id)
        var texts: [String] = []
        try await until("the message is fetched") {
            let fetched = try await b.backgroundFetch(seconds: 60)
            #expect(fetched.caughtUp)
            for case .received(_, let message) in events.take() { texts.append(message.text!) }
            return !texts.isEmpty
        }
        #expect(texts == ["while you slept"])
        await expectError(.notRunning) { try await b.broadcast("still asleep") }
        try await b.resume()
        try await b.resume()
        try await b.networkChanged()
        try await b.broadcast("awake")
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("ids_print_and_parse")
    func idsPrintAndParse() async throws {
        let node = try await openNode(local("a"))
        let status = try await node.status()
        let message = try await node.broadcast("hello")
        try await check(node.id)
        try await check(status.account)
        try await check(message)
        // Distinct kinds: one does not pass for another.
        await expectError(.invalidInput) { try NodeId(parsing: message.description) }
        await expectError(.invalidInput) { try MessageId(parsing: status.account.description) }
        await expectError(.invalidInput) { try AccountId(parsing: node.id.description) }
        let invitation = try parseTicket(try await node.invite())
        #expect(invitation.node == node.id && invitation.name == "a" && !invitation.closed)
        await expectError(.invalidInput) { try parseTicket("t000") }
        try await node.shutdown()
    }

    private func check<T: Id>(_ id: T) async throws {
        let text = "\(id)"
        #expect(try T(parsing: text) == id)
        #expect(T(text) == id)
        #expect(Set([id, try T(parsing: text)]).count == 1)
        #expect(!(id < id))
        #expect(try JSONDecoder().decode([T].self, from: JSONEncoder().encode([id])) == [id])
        for at in [1, text.count / 2, text.count - 1] {
            var damaged = Array(text)
            damaged[at] = damaged[at] == "4" ? "5" : "4"
            #expect(T(String(damaged)) == nil)
            let error = await expectError(.invalidInput) { try T(parsing: String(damaged)) }
            #expect(error?.text.hasPrefix("not a") == true)
        }
        await expectError(.invalidInput) { try T(parsing: "") }
    }

    @Test("history_and_search_page")
    func historyAndSearchPage() async throws {
        let node = try await openNode(local("a"))
        for n in 0..<25 { try await node.broadcast(n % 5 == 0 ? "Fifth \(n)" : "other \(n)") }
        var pages: [[String]] = []
        var before: MessageId?
        repeat {
            let page = try await node.history(.network, before: before, limit: 10)
            pages.append(page.messages.map { $0.text! })
            before = page.older
        } while before != nil
        #expect(pages.map(\.count).filter { $0 > 0 } == [10, 10, 5])
        #expect(pages.reversed().joined().map { $0.split(separator: " ").last! } == (0..<25).map { "\($0)" })
        let page = try await node.search(.network, for: "fifth", limit: 3)
        #expect(page.messages.map { $0.text! } == ["Fifth 10", "Fifth 15", "Fifth 20"])
        let rest = try await node.search(.network, for: "fifth", before: page.older, limit: 3)
        #expect(rest.messages.map { $0.text! } == ["Fifth 0", "Fifth 5"])
        let whole = try await node.history(.network)
        #expect(whole.messages.count == 25 && whole.older == nil)
        let middle = whole.messages[12]
        #expect(
            try await node.history(.network, before: middle.id, limit: 1).messages == [
                whole.messages[11]
            ])
        try await node.shutdown()
    }

    @Test("replies_edits_reactions")
    func repliesEditsReactions() async throws {
        let a = try await openNode(local("a"))
        let b = try await openNode(local("b"))
        let events = b.events()
        try await link(a, b)
        // One after the other: the first private message waits for a session, and would come last.
        for conversation in [Conversation.private(a.id), .network] {
            let said =
                conversation == .network
                ? try await a.broadcast("to all") : try await a.send("to you", to: b.id)
            let message = try await nextMessage(events).message
            #expect(message.id == said && message.conversation == conversation && message.author == a.id)
            let reply = try await b.reply(to: message, text: "answer")
            let mark = try await b.react(to: message, mark: "+1")
            var own = try await b.history(conversation).messages.first { $0.id == reply }!
            #expect(own.content == .reply(to: message.id, text: "answer"))
            try await b.edit(own, text: "better")
            own = try await b.history(conversation).messages.first { $0.id == reply }!
            #expect(own.text == "better" && own.edited == "better" && !own.retracted)
            try await b.retract(own)
            own = try await b.history(conversation).messages.first { $0.id == reply }!
            #expect(own.text == nil && own.retracted)
            await expectError(.denied) { try await b.edit(message, text: "not mine") }
            let there: Conversation = conversation == .network ? .network : .private(b.id)
            try await until("all five are at a") { try await a.history(there).messages.count == 5 }
            let contents = try await a.history(there).messages.map(\.content)
            #expect(contents[1] == .reply(to: said, text: "answer"))
            #expect(contents[2] == .react(to: said, mark: "+1"))
            #expect(contents[3] == .edit(of: reply, text: "better"))
            #expect(contents[4] == .retract(reply))
            #expect(try await a.history(there).messages[2].id == mark)
        }
        #expect(try await a.history(.network).messages.count == 5, "nothing private went to all")
        for node in [a, b] { try await node.shutdown() }
    }

    @Test("a_copied_profile")
    func aCopiedProfile() async throws {
        let folder = try Folder()
        let (home, copied) = (folder.sub("home"), folder.sub("copy"))
        var a = try await openNode(local("a", in: home))
        let b = try await openNode(local("b"))
        let events = b.events()
        func texts(_ node: Node) async throws -> [String?] {
            try await node.history(.network).messages.map(\.text)
        }
        try await link(b, a)
        try await a.broadcast("1")
        try await until("the first") { try await texts(b) == ["1"] }
        try await a.kill()
        try FileManager.default.createDirectory(atPath: copied, withIntermediateDirectories: true)
        for name in ["node.db", "key"] {
            try FileManager.default.copyItem(atPath: "\(home)/\(name)", toPath: "\(copied)/\(name)")
        }
        a = try await openNode(local(nil, in: home))
        try await link(b, a)
        try await a.broadcast("2")
        try await until("what the copy does not know") { try await texts(b) == ["1", "2"] }
        try await a.kill()
        // Offline, so that it speaks before it knows better.
        let silent = try await openNode(NodeConfig(stateDir: copied, offline: true))
        try await silent.broadcast("3")
        try await silent.shutdown()
        let copy = try await openNode(local(nil, in: copied))
        let own = copy.events()
        try await link(b, copy)
        let life = try await next(events, "the proof") { event -> String? in
            guard case .forked(_, .network, copy.id, let life, 2) = event else { return nil }
            return life
        }
        try await next(own, "the owner is informed") { event -> Bool? in
            if case .lifeBegun(_, .network) = event { true } else { nil }
        }
        try await copy.broadcast("4")
        try await until("all of it") {
            let (there, here) = (try await b.history(.network), try await copy.history(.network))
            return there.messages.count == 4 && there == here
        }
        let shown = try await b.history(.network).messages
        #expect(Set(shown.map(\.text)) == ["1", "2", "3", "4"])
        #expect(shown.map { $0.life == life } == [true, true, true, false])
        #expect(shown.reversed().sorted { $0.id < $1.id } == shown, "ids have the order of the conversation")
        #expect(shown.map(\.depth) == shown.map(\.id.depth))
        #expect(shown[3].clock?.first { $0.life == shown[3].life }?.count == 1)
        for node in [b, copy] { try await node.shutdown() }
    }

    @Test("dropping_without_closing")
    func droppingWithoutClosing() async throws {
        let leaver = try Program(Program.built("Leaver"), [])
        let end = try await leaver.ended()
        #expect(end.status == 7 && end.byItself, "\(leaver.lines)")
        #expect(leaver.lines == ["leaving"])

        // In this process: the profile is free again soon after its node was let go of.
        let folder = try Folder()
        for n in 0..<3 {
            try await until("the profile is free, time \(n)") {
                do {
                    let node = try await openNode(local("d", in: folder.path))
                    try await node.broadcast("\(n)")
                    return true
                } catch let error as DonpError where error.kind == .locked {
                    return false
                }
            }
        }
    }

    @Test("the_echo_bot")
    func theEchoBot() async throws {
        let donp = try #require(ProcessInfo.processInfo.environment["DONP_BIN"], "DONP_BIN: where donp is")
        let folder = try Folder()
        // Nothing of the machine's own settings.
        let environment = [
            "HOME": folder.path, "XDG_STATE_HOME": folder.sub("state"),
            "XDG_CONFIG_HOME": folder.sub("config"),
            "XDG_RUNTIME_DIR": folder.sub("run"),
        ]
        func user(_ arguments: String...) async throws -> [String] {
            let ran = try await Program.run(donp, arguments, environment: environment)
            try #require(ran.status == 0, "donp \(arguments) printed \(ran.lines)")
            return ran.lines
        }
        let bot = try Program(
            Program.built("Echo"), ["--state-dir", folder.sub("echo"), "--listen", "127.0.0.1:0"])
        let invitation = try await bot.line("the bot's invitation") { $0.hasPrefix("invite: ") }.dropFirst(8)

        _ = try await user("init", "--name", "user")
        _ = try await user("join", String(invitation))
        let running = try Program(
            donp, ["run", "--listen", "127.0.0.1:0", "--lan", "off"], environment: environment)
        _ = try await running.line("donp runs") { _ in true }
        _ = try await user("send", "echo", "hello there", "--wait", "delivered")
        try await until("the bot answers") {
            try await user("history", "echo").contains {
                $0.contains("echo  [private]") && $0.hasSuffix("hello there")
            }
        }
        _ = try await user("send", "all", "hello all", "--wait", "sent")
        try await until("the bot answers to all") {
            try await user("history", "all").contains { $0.contains(" echo ") && $0.hasSuffix("hello all") }
        }

        // Another bot gets no answer; the user, asking after it, does.
        let parrot = try await openNode(local("parrot", bot: true))
        let events = parrot.events()
        try await parrot.join(String(invitation))
        let echo = try parseTicket(String(invitation)).node
        let said = try await next(events, "a link to the bot") {
            if case .peerUp(echo, _) = $0 { true } else { nil }
        }
        #expect(said)
        try await until("the bot is known as one") { try await parrot.peer(echo)?.bot == true }
        let question = try await parrot.send("do you hear me?", to: echo)
        try await until("the bot has it") { try await !parrot.isQueued(question) }
        _ = try await user("send", "echo", "and now?", "--wait", "delivered")
        try await until("the bot answers the user") {
            try await user("history", "echo").filter { $0.hasSuffix("and now?") }.count == 2
        }
        #expect(try await parrot.history(.private(echo)).messages.count == 1)
        try await parrot.shutdown()

        bot.terminate()
        let end = try await bot.ended()
        #expect(end.status == 0 && end.byItself, "the bot stops when it is asked to")
        running.kill()
        _ = try await running.ended()
    }
}
