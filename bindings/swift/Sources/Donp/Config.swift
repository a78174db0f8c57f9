internal import DonpFFI
import Foundation

/// How to open a node.
public struct NodeConfig: Sendable {
    /// The folder of the profile: identity, messages, keys, sealed. Nil: everything in memory, gone with the
    /// node.
    public var stateDir: String?
    /// The name that others are shown, 1 to 64 bytes. With it a missing profile is made; of an existing one it
    /// changes nothing.
    public var name: String?
    /// Bytes of ``generateIdentity(name:)``, for a new profile or a node in memory; nil makes a new one.
    public var identity: Data?
    /// Protects a new profile, and opens one that was made with it. Without it and without a key store a key
    /// file lies beside the profile.
    public var passphrase: String?
    /// Where to listen, `ip:port`, at most 16; empty for any port of both families.
    public var listen: [String]
    /// Places to enter the network: `host:port` or `host:port/NodeId`.
    public var bootstraps: [String]
    /// The 32-byte key of a closed network; nil for the network the profile lives in.
    public var networkKey: Data?
    /// What the node says it does.
    public var nodeType: NodeType
    /// Whether a program speaks here, not a person. Bots do not answer bots.
    public var bot: Bool
    /// What the node may spend while nothing happens.
    public var power: Power
    /// Whether to look for nodes on the local network by multicast, and to be found. Without a `networkKey`
    /// everybody near is in the same, public network. iOS wants the entitlement
    /// `com.apple.developer.networking.multicast` for it; Bonjour and ``Node/handleLocalPeer(at:id:)`` do not.
    public var lan: Lan
    /// What to do to outgoing datagrams, to try bad networks: `drop=20%,dup=5%,reorder=10%`.
    public var fault: String?
    /// No sockets and no joining: to read the history and to queue messages.
    public var offline: Bool

    /// Everything has a default: `NodeConfig()` is a node in memory.
    public init(
        stateDir: String? = nil, name: String? = nil, identity: Data? = nil, passphrase: String? = nil,
        listen: [String] = [], bootstraps: [String] = [], networkKey: Data? = nil,
        nodeType: NodeType = .regular, bot: Bool = false, power: Power = .normal, lan: Lan = .off,
        fault: String? = nil, offline: Bool = false
    ) {
        self.stateDir = stateDir
        self.name = name
        self.identity = identity
        self.passphrase = passphrase
        self.listen = listen
        self.bootstraps = bootstraps
        self.networkKey = networkKey
        self.nodeType = nodeType
        self.bot = bot
        self.power = power
        self.lan = lan
        self.fault = fault
        self.offline = offline
    }
}

/// What a node does for others. A claim; nothing is trusted because of it.
public enum NodeType: String, Hashable, Sendable {
    /// Introduces newcomers.
    case bootstrap
    /// Takes part.
    case regular
    /// Has capacity to spare.
    case `super`
    /// Forwards for others.
    case relay
}

/// How much a node may spend while nothing happens. Others learn it from its signed record.
public enum Power: String, Hashable, Sendable {
    /// It does everything at its time.
    case normal
    /// A phone's: it wakes two or three times a minute and then does what could wait. Messages reach it at once.
    case low
}

/// Whether a node looks for others on the local network by multicast, and lets itself be found.
public enum Lan: String, Hashable, Sendable {
    /// It says and hears nothing.
    case off
    /// Beacons go to 239.255.68.78 and ff12::d04e:5000, UDP port 8888.
    case on
    /// Also to 224.0.0.1, the group of the DONP document.
    case compat
}

/// Wraps the key of a profile with one that the platform guards, such as one of the Keychain or the Secure
/// Enclave. Called while a node is opened, on the thread that opens it, and never again.
public protocol KeyStore: Sendable {
    /// Seals `key`, 32 bytes, so that only this device's user can have it back. What it throws refuses the
    /// profile: an error of the kind ``DonpError/Kind/denied`` with the thrown error's text.
    func wrapKey(_ key: Data) throws -> Data

    /// Opens what ``wrapKey(_:)`` gave. What it throws refuses the profile, as there.
    func unwrapKey(_ wrapped: Data) throws -> Data
}

extension NodeConfig {
    var raw: DonpFFI.NodeConfig {
        .init(
            stateDir: stateDir, name: name, identity: identity, passphrase: passphrase, listen: listen,
            bootstraps: bootstraps, networkKey: networkKey, nodeType: nodeType.raw, bot: bot,
            power: power.raw,
            lan: lan.raw, fault: fault, offline: offline)
    }
}

extension NodeType {
    init(_ raw: DonpFFI.NodeType) {
        switch raw {
        case .bootstrap: self = .bootstrap
        case .regular: self = .regular
        case .super: self = .super
        case .relay: self = .relay
        }
    }

    var raw: DonpFFI.NodeType {
        switch self {
        case .bootstrap: .bootstrap
        case .regular: .regular
        case .super: .super
        case .relay: .relay
        }
    }
}

extension Power {
    var raw: DonpFFI.Power {
        switch self {
        case .normal: .normal
        case .low: .low
        }
    }
}

extension Lan {
    var raw: DonpFFI.Lan {
        switch self {
        case .off: .off
        case .on: .on
        case .compat: .compat
        }
    }
}

/// A key store as the generated layer wants it: any error becomes the one kind that it knows.
final class RawKeyStore: DonpFFI.KeyStore {
    private let keyStore: any KeyStore

    init(_ keyStore: any KeyStore) { self.keyStore = keyStore }

    func wrapKey(key: Data) throws -> Data {
        try refusing { try keyStore.wrapKey(key) }
    }

    func unwrapKey(wrapped: Data) throws -> Data {
        try refusing { try keyStore.unwrapKey(wrapped) }
    }

    private func refusing(_ body: () throws -> Data) throws -> Data {
        do {
            return try body()
        } catch {
            let text = (error as? any LocalizedError)?.errorDescription ?? String(describing: error)
            throw DonpFFI.KeyStoreError.Refused(reason: text)
        }
    }
}
