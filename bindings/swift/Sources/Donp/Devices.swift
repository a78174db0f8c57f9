internal import DonpFFI

/// One device of a node's account.
public struct DeviceInfo: Hashable, Sendable {
    /// Its node.
    public let node: NodeId
    /// Its name, at most 64 bytes.
    public let name: String
    /// When it was added, in milliseconds since 1970.
    public let addedMs: UInt64
    /// Whether it is this device.
    public let here: Bool
}

extension DeviceInfo {
    init(_ raw: DonpFFI.DeviceInfo) {
        self.init(node: NodeId(trusted: raw.node), name: raw.name, addedMs: raw.addedMs, here: raw.here)
    }
}
