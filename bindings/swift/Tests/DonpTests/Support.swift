import Donp
import Foundation
import Testing

/// A folder that is gone with it.
final class Folder: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("donp-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func sub(_ name: String) -> String { "\(path)/\(name)" }
}

/// A node on a loopback port of the system's choosing.
func local(_ name: String?, in folder: String? = nil, bot: Bool = false) -> NodeConfig {
    NodeConfig(stateDir: folder, name: name, listen: ["127.0.0.1:0"], bot: bot)
}

/// Waits for `condition` much longer than any machine takes.
func until(_ what: String, _ condition: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(90)
    while ContinuousClock.now < end {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    throw Missing(what: what)
}

/// The next event that `pick` wants.
@discardableResult
func next<T>(_ events: Events, _ what: String, _ pick: (Event) -> T?) async throws -> T {
    for await event in events {
        if let picked = pick(event) { return picked }
    }
    throw Missing(what: what)
}

func nextMessage(_ events: Events) async throws -> (seq: UInt64, message: Message) {
    try await next(events, "a message") {
        if case .received(let seq, let message) = $0 { (seq, message) } else { nil }
    }
}

/// Joins `b` to `a` and waits until both have the link.
func link(_ a: Node, _ b: Node) async throws {
    try await b.join(a.invite())
    try await until("a link between \(a.name) and \(b.name)") {
        let (there, back) = (try await a.peer(b.id), try await b.peer(a.id))
        return there?.linked == true && back?.linked == true
    }
}

/// The error of `body`, which is to be of this kind and to say something.
@discardableResult
func expectError<T>(
    _ kind: DonpError.Kind, retryable: Bool = false, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> T
) async -> DonpError? {
    do {
        _ = try await body()
        Issue.record("nothing was wrong; expected \(kind)", sourceLocation: sourceLocation)
    } catch let error as DonpError {
        #expect(error.kind == kind, "\(error)", sourceLocation: sourceLocation)
        #expect(error.retryable == retryable, "\(error)", sourceLocation: sourceLocation)
        #expect(!error.text.isEmpty && !error.hint.isEmpty, sourceLocation: sourceLocation)
        #expect(error.localizedDescription == error.text, sourceLocation: sourceLocation)
        return error
    } catch {
        Issue.record("another error: \(error)", sourceLocation: sourceLocation)
    }
    return nil
}

/// Another process, killed if it is still there when this is gone.
final class Program: @unchecked Sendable {
    private let process = Process()
    private let output = Pipe()
    private let input = Pipe()
    private let lock = NSLock()
    private var text = ""

    init(_ path: String, _ arguments: [String], environment: [String: String] = [:], folder: String? = nil)
        throws
    {
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
        process.standardOutput = output
        process.standardInput = input
        try process.run()
        let reading = output.fileHandleForReading
        Thread.detachNewThread { [weak self] in
            while true {
                let data = reading.availableData
                if data.isEmpty { return }
                guard let self else { return }
                self.lock.lock()
                self.text += String(decoding: data, as: UTF8.self)
                self.lock.unlock()
            }
        }
    }

    deinit { kill() }

    /// The whole lines that it printed.
    var lines: [String] {
        lock.lock()
        defer { lock.unlock() }
        return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    /// What it printed when it has a line like this.
    func line(_ what: String, _ wanted: (String) -> Bool) async throws -> String {
        var found: String?
        try await until(what) {
            found = lines.first(where: wanted)
            return found != nil || !process.isRunning
        }
        guard let line = found ?? lines.first(where: wanted) else {
            throw Missing(what: "\(what); printed: \(lines)")
        }
        return line
    }

    func closeInput() throws { try input.fileHandleForWriting.close() }

    /// Asks it to end. Threads of Dispatch start processes with most signals blocked: only who takes them
    /// out of a queue, as a signal source does, hears it.
    func terminate() { process.terminate() }

    func kill() {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
    }

    /// Waits until it has ended: its status and whether it ended by itself.
    func ended() async throws -> (status: Int32, byItself: Bool) {
        let command = [process.executableURL!.lastPathComponent] + (process.arguments ?? [])
        try await until("the end of \(command)") { !process.isRunning }
        return (process.terminationStatus, process.terminationReason == .exit)
    }

    /// Runs it to its end.
    static func run(
        _ path: String, _ arguments: [String], environment: [String: String] = [:]
    ) async throws -> (status: Int32, lines: [String]) {
        let program = try Program(path, arguments, environment: environment)
        let status = try await program.ended().status
        return (status, program.lines)
    }

    /// A program of this package, built beside the tests.
    static func built(_ name: String) -> String {
        #if os(Linux)
            let folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        #else
            let folder = Bundle(for: Program.self).bundleURL.deletingLastPathComponent()
        #endif
        return folder.appendingPathComponent(name).path
    }
}

/// Bytes of memory that this process has in use.
func memoryInUse() throws -> Int {
    #if os(Linux)
        let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        return Int(fields[1])! * Int(sysconf(Int32(_SC_PAGESIZE)))
    #else
        var info = mach_task_basic_info()
        var count = mach_msg_type_number_t(
            MemoryLayout<mach_task_basic_info>.size / MemoryLayout<natural_t>.size)
        let result = withUnsafeMutablePointer(to: &info) {
            $0.withMemoryRebound(to: integer_t.self, capacity: Int(count)) {
                task_info(mach_task_self_, task_flavor_t(MACH_TASK_BASIC_INFO), $0, &count)
            }
        }
        guard result == KERN_SUCCESS else { throw Missing(what: "the system reported the memory in use") }
        return Int(info.resident_size)
    #endif
}
