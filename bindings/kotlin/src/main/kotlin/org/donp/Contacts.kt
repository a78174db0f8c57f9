package org.donp

/** Whether the keys of a contact were compared. */
public enum class Verification {
    /** Its safety number was not compared. */
    Unverified,

    /** Its safety number was compared and is right. */
    Verified,

    /** It was verified, and has another key since: nothing is sent to it until that is looked at. */
    Changed,

    /** Something of a newer version. */
    Other,
}

/** The result of [Node.authenticateNode]. */
public enum class AuthenticationResult {
    /** The device of the node is at the other end of the link. */
    Authenticated,

    /** The other end answered, and does not have the device's key or is not on this link. */
    Failed,

    /** There was no answer in ten seconds, or no link. */
    Timeout,

    /** A result of a newer version. */
    Other,
}

/**
 * A node in the book of another: a contact, or a stranger with a request.
 *
 * @property node the party: one device
 * @property petname the own name for it, at most 64 bytes
 * @property name the name that it claims
 * @property request whether it is a stranger that wrote, and waits for an answer
 * @property verification whether its keys were compared
 * @property muted whether its messages make no events
 * @property blocked whether it is blocked
 * @property addedMs when it came into the book, in milliseconds since 1970
 * @property unread its private messages that were not read
 */
public data class Contact(
    val node: NodeId,
    val petname: String?,
    val name: String?,
    val request: Boolean,
    val verification: Verification,
    val muted: Boolean,
    val blocked: Boolean,
    val addedMs: Long,
    val unread: Int,
)

/**
 * A conversation at a glance.
 *
 * @property conversation which
 * @property unread texts and answers of others that were not read
 * @property read the message up to which it was read
 * @property request whether it is with a stranger that waits for an answer
 */
public data class ConversationInfo(
    val conversation: Conversation,
    val unread: Int,
    val read: MessageId?,
    val request: Boolean,
)

/**
 * Which members have a message of this node, as far as is known here.
 *
 * @property message which
 * @property members members that may read it, without this node and blocked nodes; 1 in a private conversation
 * @property stored those of them that have stored it
 * @property read those that say that they have read it, with the setting `chat.send_read_marks` on
 */
public data class Confirmations(
    val message: MessageId,
    val members: Int,
    val stored: List<NodeId>,
    val read: List<NodeId>,
)

/**
 * What two people compare to know that they have each other's keys.
 *
 * @property number 60 digits in twelve groups of five with blanks between: equal at both
 * @property code the keys themselves, 213 characters for a QR code, which the other device scans
 */
public data class SafetyNumber(val number: String, val code: String)

internal fun org.donp.ffi.Verification.toPublic(): Verification = when (this) {
    org.donp.ffi.Verification.UNVERIFIED -> Verification.Unverified
    org.donp.ffi.Verification.VERIFIED -> Verification.Verified
    org.donp.ffi.Verification.CHANGED -> Verification.Changed
    org.donp.ffi.Verification.OTHER -> Verification.Other
}

internal fun org.donp.ffi.AuthenticationResult.toPublic(): AuthenticationResult = when (this) {
    org.donp.ffi.AuthenticationResult.AUTHENTICATED -> AuthenticationResult.Authenticated
    org.donp.ffi.AuthenticationResult.FAILED -> AuthenticationResult.Failed
    org.donp.ffi.AuthenticationResult.TIMEOUT -> AuthenticationResult.Timeout
    org.donp.ffi.AuthenticationResult.OTHER -> AuthenticationResult.Other
}

internal fun org.donp.ffi.Contact.toPublic() = Contact(
    node = NodeId(node),
    petname = petname,
    name = name,
    request = request,
    verification = verification.toPublic(),
    muted = muted,
    blocked = blocked,
    addedMs = addedMs.clamp(),
    unread = unread.clamp(),
)

internal fun org.donp.ffi.ConversationInfo.toPublic() = ConversationInfo(
    conversation = conversation.toPublic(),
    unread = unread.clamp(),
    read = read?.let { MessageId(it) },
    request = request,
)

internal fun org.donp.ffi.Confirmations.toPublic() = Confirmations(
    message = MessageId(message),
    members = members.clamp(),
    stored = stored.map { NodeId(it) },
    read = read.map { NodeId(it) },
)

internal fun org.donp.ffi.SafetyNumber.toPublic() = SafetyNumber(number, code)
