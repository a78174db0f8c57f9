internal import DonpFFI
import Foundation

/// Which node: the public key of one profile on one device.
///
/// It prints as a word that carries its kind and a checksum, and is read back from it:
///
/// ```swift
/// let bob = try NodeId(parsing: "n…")
/// ```
public struct NodeId: Id {
    /// The printed form.
    public let description: String

    init(trusted text: String) { description = text }

    /// Reads the printed form.
    /// - Throws: ``DonpError`` of the kind `invalidInput`, saying what is wrong with `text`.
    public init(parsing text: String) throws(DonpError) {
        description = try converting { try DonpFFI.parseNodeId(text: text) }
    }
}

/// Which account: a person with several devices.
public struct AccountId: Id {
    /// The printed form.
    public let description: String

    init(trusted text: String) { description = text }

    /// Reads the printed form.
    /// - Throws: ``DonpError`` of the kind `invalidInput`, saying what is wrong with `text`.
    public init(parsing text: String) throws(DonpError) {
        description = try converting { try DonpFFI.parseAccountId(text: text) }
    }
}

/// Which file: the hash of its sealed bytes.
public struct FileId: Id {
    /// The printed form.
    public let description: String

    init(trusted text: String) { description = text }

    /// Reads the printed form.
    /// - Throws: ``DonpError`` of the kind `invalidInput`, saying what is wrong with `text`.
    public init(parsing text: String) throws(DonpError) {
        description = try converting { try DonpFFI.parseFileId(text: text) }
    }
}

/// Which group: the hash of the operation that created it.
public struct GroupId: Id {
    /// The printed form.
    public let description: String

    init(trusted text: String) { description = text }

    /// Reads the printed form.
    /// - Throws: ``DonpError`` of the kind `invalidInput`, saying what is wrong with `text`.
    public init(parsing text: String) throws(DonpError) {
        description = try converting { try DonpFFI.parseGroupId(text: text) }
    }
}

/// Which message: the hash of its header and its depth. Ids of one conversation compare in its display order,
/// which is equal on every node.
public struct MessageId: Id {
    /// The printed form.
    public let description: String

    init(trusted text: String) { description = text }

    /// Reads the printed form.
    /// - Throws: ``DonpError`` of the kind `invalidInput`, saying what is wrong with `text`.
    public init(parsing text: String) throws(DonpError) {
        description = try converting { try DonpFFI.parseMessageId(text: text) }
    }

    /// One more than the deepest message its author had seen.
    public var depth: UInt64 { DonpFFI.messageIdDepth(id: description) }

    /// In display order: by depth, then by the hash, with which the printed form begins.
    public static func < (a: Self, b: Self) -> Bool { (a.depth, a.description) < (b.depth, b.description) }
}

/// What ``NodeId``, ``AccountId``, ``FileId``, ``GroupId`` and ``MessageId`` have in common. They are distinct types:
/// one cannot be given where another is wanted.
public protocol Id: Hashable, Comparable, Sendable, Codable, LosslessStringConvertible {
    /// Reads the printed form.
    /// - Throws: ``DonpError`` of the kind `invalidInput`, saying what is wrong with `text`.
    init(parsing text: String) throws(DonpError)
}

extension Id {
    /// Reads the printed form; nil if it is damaged. `init(parsing:)` says what is wrong.
    public init?(_ description: String) {
        guard let id = try? Self(parsing: description) else { return nil }
        self = id
    }

    /// By the printed form, so that lists sort the same everywhere.
    public static func < (a: Self, b: Self) -> Bool { a.description < b.description }

    /// Reads the printed form out of `decoder`, and refuses a damaged one.
    public init(from decoder: any Decoder) throws {
        try self.init(parsing: decoder.singleValueContainer().decode(String.self))
    }

    /// Writes the printed form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
