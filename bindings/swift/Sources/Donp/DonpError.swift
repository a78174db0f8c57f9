internal import DonpFFI
import Foundation

/// What every call of this package throws, and all that it throws.
///
/// ``kind`` is stable and there to decide by; ``text`` and ``hint`` are for people and may change. After an
/// error nothing has changed, unless the kind says otherwise.
///
/// ```swift
/// do {
///     try await node.send("hi", to: bob)
/// } catch let error as DonpError where error.kind == .notFound {
///     print(error.text, "-", error.hint)
/// }
/// ```
public struct DonpError: Error, LocalizedError, Hashable, Sendable, CustomStringConvertible {
    /// What kind of thing went wrong.
    public let kind: Kind
    /// What was wrong, naming it.
    public let text: String
    /// What to do about it.
    public let hint: String
    /// Whether the same call can succeed later without being changed.
    public let retryable: Bool

    /// The kinds of errors.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// An argument is malformed, too long, too short or empty.
        case invalidInput
        /// There is no such node, message, event or profile.
        case notFound
        /// There is one already.
        case alreadyExists
        /// The secret does not fit, or the invitation is for another network.
        case denied
        /// The node was not started, is suspended, or has left the network.
        case notRunning
        /// A queue is full: wait for ``Event/writable``.
        case busy
        /// Another process uses the profile.
        case locked
        /// No answer in time.
        case timeout
        /// An address cannot be listened on, or the system refuses a socket.
        case network
        /// The disk refuses. A message that was being sent is kept and stored as soon as that works.
        case storage
        /// What is stored is damaged or was written by a newer version.
        case damaged
        /// The node was shut down.
        case closed
        /// A bug: the object is dead, what was stored is safe.
        case `internal`
    }

    /// An error of one's own making, for tests and stand-ins.
    public init(kind: Kind, text: String, hint: String, retryable: Bool = false) {
        self.kind = kind
        self.text = text
        self.hint = hint
        self.retryable = retryable
    }

    /// The text.
    public var description: String { text }
    /// The text.
    public var errorDescription: String? { text }
    /// The hint.
    public var recoverySuggestion: String? { hint }
}

extension DonpError {
    /// The one place where errors of the generated layer become those of this package.
    init(_ error: any Error) {
        guard let raw = error as? DonpFFI.DonpError else {
            // The generated layer itself: the library panicked where nothing catches it.
            self.init(
                kind: .internal, text: "the library failed: \(error.localizedDescription)",
                hint: "open it again: what was stored is safe; please report what standard error says")
            return
        }
        switch raw {
        case .InvalidInput(let text, let hint, let retryable):
            self.init(kind: .invalidInput, text: text, hint: hint, retryable: retryable)
        case .NotFound(let text, let hint, let retryable):
            self.init(kind: .notFound, text: text, hint: hint, retryable: retryable)
        case .AlreadyExists(let text, let hint, let retryable):
            self.init(kind: .alreadyExists, text: text, hint: hint, retryable: retryable)
        case .Denied(let text, let hint, let retryable):
            self.init(kind: .denied, text: text, hint: hint, retryable: retryable)
        case .NotRunning(let text, let hint, let retryable):
            self.init(kind: .notRunning, text: text, hint: hint, retryable: retryable)
        case .Busy(let text, let hint, let retryable):
            self.init(kind: .busy, text: text, hint: hint, retryable: retryable)
        case .Locked(let text, let hint, let retryable):
            self.init(kind: .locked, text: text, hint: hint, retryable: retryable)
        case .Timeout(let text, let hint, let retryable):
            self.init(kind: .timeout, text: text, hint: hint, retryable: retryable)
        case .Network(let text, let hint, let retryable):
            self.init(kind: .network, text: text, hint: hint, retryable: retryable)
        case .Storage(let text, let hint, let retryable):
            self.init(kind: .storage, text: text, hint: hint, retryable: retryable)
        case .Damaged(let text, let hint, let retryable):
            self.init(kind: .damaged, text: text, hint: hint, retryable: retryable)
        case .Closed(let text, let hint, let retryable):
            self.init(kind: .closed, text: text, hint: hint, retryable: retryable)
        case .Internal(let text, let hint, let retryable):
            self.init(kind: .internal, text: text, hint: hint, retryable: retryable)
        }
    }
}

/// Runs `body`, which calls the generated layer.
func converting<T>(_ body: () throws -> T) throws(DonpError) -> T {
    do {
        return try body()
    } catch {
        throw DonpError(error)
    }
}

/// A count or limit as the generated layer wants it. More than it can hold is as good as its most.
func unsigned(_ number: Int, _ what: String) throws(DonpError) -> UInt32 {
    guard number >= 0 else {
        throw DonpError(kind: .invalidInput, text: "\(what) is \(number)", hint: "give 0 or more")
    }
    return UInt32(clamping: number)
}
