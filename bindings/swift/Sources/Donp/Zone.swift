internal import DonpFFI

/// What failed, for ``Node/recoverFromFailure(_:)``.
public enum FailureType: String, Hashable, Sendable, CaseIterable {
    /// Other nodes: look for others in their place.
    case node
    /// This device's network: probe every link, from wherever it is.
    case network
    /// The network has parts that do not know of each other: contact a node of another.
    case partition
    /// What is known here: compare it with every neighbour.
    case state
}

/// What a node holds of a member of its zone (SWIM).
public enum MemberState: String, Hashable, Sendable {
    /// It takes part.
    case alive
    /// A member had no answer from it. It has some time to refute.
    case suspect
    /// It did not speak up.
    case down
    /// It said goodbye, or keeps no zone.
    case left
    /// It sleeps, and said so: it is not asked and not missed.
    case away
    /// A state of a newer version.
    case other
}

/// One of the nodes that keep a roster of each other.
public struct ZoneMember: Hashable, Sendable, Identifiable {
    /// Who.
    public let id: NodeId
    /// What it is held for.
    public let state: MemberState
    /// How new what it says of itself is: it rises when it starts and when it refutes a suspicion.
    public let incarnation: UInt64
    /// Whether a link is open.
    public let linked: Bool
}

extension FailureType {
    var raw: DonpFFI.FailureType {
        switch self {
        case .node: .node
        case .network: .network
        case .partition: .partition
        case .state: .state
        }
    }
}

extension MemberState {
    init(_ raw: DonpFFI.MemberState) {
        switch raw {
        case .alive: self = .alive
        case .suspect: self = .suspect
        case .down: self = .down
        case .left: self = .left
        case .away: self = .away
        case .other: self = .other
        }
    }
}

extension ZoneMember {
    init(_ raw: DonpFFI.ZoneMember) {
        self.init(
            id: NodeId(trusted: raw.id), state: MemberState(raw.state), incarnation: raw.incarnation,
            linked: raw.linked)
    }
}
