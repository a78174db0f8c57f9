internal import DonpFFI
import Foundation

/// One reader's view of a node's events: durable ones from the oldest that was not acknowledged, volatile
/// ones from the moment ``Node/events()`` was called. Readers do not disturb one another.
///
/// ```swift
/// for await event in node.events() {
///     if case .received(_, let message) = event { print(message.text ?? "") }
///     try await node.ack(event.seq)
/// }
/// ```
///
/// The sequence ends when the node is shut down, and iterating ends when its task is cancelled. A wait that
/// is cancelled takes nothing: the next iteration of this object goes on where it ended. Several tasks that
/// iterate the same object share it: each event goes to one of them. Call ``Node/events()`` once for each to
/// let everyone have all.
///
/// Durable events are never lost. Volatile ones are kept up to 1,024; then the oldest go and one
/// ``Event/lagged(missed:)`` says how many.
public final class Events: AsyncSequence, Sendable {
    /// What it gives.
    public typealias Element = Event

    private let stream: DonpFFI.EventStream
    private let state = Locked(State())

    init(_ stream: DonpFFI.EventStream) { self.stream = stream }

    deinit { stream.shutdown() }

    /// An iterator. All iterators of this object take from the same events.
    public func makeAsyncIterator() -> Iterator { Iterator(events: self) }

    /// Takes the events of an ``Events``, one at a time.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let events: Events

        /// The next event, as soon as there is one. Nil at the end, and when the task is cancelled.
        public func next() async -> Event? { await events.next() }
    }

    /// Up to `max` events that are there already, without waiting; for programs with a loop of their own.
    public func take(_ max: Int = 64) -> [Event] {
        var events: [Event] = []
        while events.count < max, let event = pop() { events.append(event) }
        return events
    }

    /// Ends the sequence, also for a task that waits. What had come can still be taken. Again is nothing.
    public func shutdown() { stream.shutdown() }

    private func next() async -> Event? {
        while !Task.isCancelled {
            // Asked first: what comes between the two is still found.
            let ended = state.with { $0.ended }
            if let event = pop() { return event }
            if ended { return nil }
            await wait()
        }
        return nil
    }

    /// Taking does not block; the lock keeps the order when several tasks take.
    private func pop() -> Event? {
        state.with {
            if $0.taken.isEmpty { $0.taken = stream.take(max: 64)[...] }
            return $0.taken.popFirst().map(Event.init)
        }
    }

    /// Returns when there may be something to take or the task was cancelled.
    ///
    /// The generated layer cannot cancel a wait of the library. So that waits in a task of its own, one for
    /// all who wait here, and goes on waiting when they give up: nothing is lost, and nothing is left
    /// behind, as it ends with the stream.
    private func wait() async {
        let id = state.with { $0.newWait() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let start = state.with { state -> Bool in
                    guard state.givenUp.remove(id) == nil else {
                        continuation.resume()
                        return false
                    }
                    state.waits[id] = continuation
                    defer { state.watching = true }
                    return !state.watching
                }
                if start { watch() }
            }
        } onCancel: {
            state.with { state -> CheckedContinuation<Void, Never>? in
                let waiting = state.waits.removeValue(forKey: id)
                if waiting == nil { state.givenUp.insert(id) }
                return waiting
            }?.resume()
        }
        // A cancellation that came when the wait was over already.
        state.with { _ = $0.givenUp.remove(id) }
    }

    /// Keeps the stream, not this object: letting go of this object ends it.
    private func watch() {
        Task.detached { [stream, state] in
            let more = await stream.ready()
            let waits = state.with { state in
                state.watching = false
                if !more { state.ended = true }
                defer { state.waits = [:] }
                return state.waits.values
            }
            for wait in waits { wait.resume() }
        }
    }

    private struct State {
        /// Taken from the stream and not given yet.
        var taken: ArraySlice<DonpFFI.Event> = []
        /// Nothing will come any more.
        var ended = false
        /// A task waits for the stream.
        var watching = false
        var waits: [UInt64: CheckedContinuation<Void, Never>] = [:]
        /// Waits that were cancelled before they began.
        var givenUp: Set<UInt64> = []
        var lastWait: UInt64 = 0

        mutating func newWait() -> UInt64 {
            lastWait += 1
            return lastWait
        }
    }
}

/// A value behind a lock.
final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) { self.value = value }

    func with<T>(_ body: (inout Value) throws -> T) rethrows -> T {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
