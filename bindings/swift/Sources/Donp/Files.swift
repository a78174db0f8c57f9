internal import DonpFFI
import Foundation

/// A file that a message names: a reader of the message can fetch and open it.
public struct Attachment: Hashable, Sendable, CustomStringConvertible {
    /// The BLAKE3 hash of its sealed bytes.
    public let id: FileId
    /// The 32-byte key that it is sealed under, for this file alone.
    public let key: Data
    /// Its bytes, at most 32 GiB.
    public let size: UInt64
    /// What its sender calls it: 1 to 255 bytes, a name without a folder.
    public let name: String
    /// What its sender says that it is, as in `image/png`; empty if it does not say.
    public let mediaType: String

    /// An attachment of one's own making, for previews and tests.
    public init(id: FileId, key: Data, size: UInt64, name: String, mediaType: String = "") {
        self.id = id
        self.key = key
        self.size = size
        self.name = name
        self.mediaType = mediaType
    }

    /// Without the key.
    public var description: String { "Attachment(id: \(id), size: \(size), name: \(name))" }
}

/// A file of this node.
public struct FileInfo: Hashable, Sendable, Identifiable {
    /// The BLAKE3 hash of its sealed bytes.
    public let id: FileId
    /// What its sender calls it.
    public let name: String
    /// What its sender says that it is; empty if it does not say.
    public let mediaType: String
    /// Its bytes.
    public let size: UInt64
    /// How many of them are here.
    public let bytes: UInt64
    /// Nodes that it is being fetched from now.
    public let holders: UInt64
    /// Whether all of it is here.
    public let isWhole: Bool
}

/// The answer to ``Engine/readFile(nowUs:file:part:)``.
public struct FilePart: Hashable, Sendable {
    /// The number that the call returned.
    public let query: UInt64
    /// The bytes; nil if the part is not here.
    public let content: Data?
}

extension Attachment {
    init(_ raw: DonpFFI.Attachment) {
        self.init(
            id: FileId(trusted: raw.id), key: raw.key, size: raw.size, name: raw.name,
            mediaType: raw.mediaType)
    }

    var raw: DonpFFI.Attachment {
        DonpFFI.Attachment(id: id.description, key: key, size: size, name: name, mediaType: mediaType)
    }
}

extension FileInfo {
    init(_ raw: DonpFFI.FileInfo) {
        self.init(
            id: FileId(trusted: raw.id), name: raw.name, mediaType: raw.mediaType, size: raw.size,
            bytes: raw.bytes, holders: raw.holders, isWhole: raw.isWhole)
    }
}
