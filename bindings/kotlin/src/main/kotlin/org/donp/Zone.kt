package org.donp

/** What failed, for [Node.recoverFromFailure]. */
public enum class FailureType {
    /** Other nodes: look for others in their place. */
    Node,

    /** This device's network: probe every link, from wherever it is. */
    Network,

    /** The network has parts that do not know of each other: contact a node of another. */
    Partition,

    /** What is known here: compare it with every neighbour. */
    State,
}

/** What a node holds of a member of its zone (SWIM). */
public enum class MemberState {
    /** It takes part. */
    Alive,

    /** A member had no answer from it. It has some time to refute. */
    Suspect,

    /** It did not speak up. */
    Down,

    /** It said goodbye, or keeps no zone. */
    Left,

    /** It sleeps, and said so: it is not asked and not missed. */
    Away,

    /** A state of a newer version. */
    Other,
}

/**
 * One of the nodes that keep a roster of each other.
 *
 * @property id who
 * @property state what it is held for
 * @property incarnation how new what it says of itself is: it rises when it starts and when it refutes a suspicion
 * @property linked whether a link is open
 */
public data class ZoneMember(val id: NodeId, val state: MemberState, val incarnation: Long, val linked: Boolean)
