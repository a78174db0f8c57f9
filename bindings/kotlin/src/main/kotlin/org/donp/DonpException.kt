package org.donp

/**
 * What can go wrong. The kinds are stable; [message] and [hint] are for people and may change.
 *
 * After an exception nothing has changed, unless the kind says otherwise.
 *
 * @param message what was wrong, naming it
 * @property hint what to do about it
 * @property retryable whether the same call can succeed later without being changed
 */
public sealed class DonpException(
    override val message: String,
    public val hint: String,
    public val retryable: Boolean,
) : Exception(message) {
    /** An argument is malformed, too long, too short or empty. */
    public class InvalidInput(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** There is no such node, message, event or profile. */
    public class NotFound(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** There is one already. */
    public class AlreadyExists(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** The secret does not fit, or the invitation is for another network. */
    public class Denied(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** The node was not started, is suspended, or has left the network. */
    public class NotRunning(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** A queue is full: wait for [Event.Writable]. */
    public class Busy(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** Another process, or another node of this one, uses the profile. */
    public class Locked(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** No answer in time. */
    public class Timeout(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** An address cannot be listened on, or the system refuses a socket. */
    public class Network(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** The disk refuses. A message that was being sent is kept and stored as soon as that works. */
    public class Storage(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** What is stored is damaged or was written by a newer version. */
    public class Damaged(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** The node or engine was closed. */
    public class Closed(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)

    /** A bug: the object is dead, what was stored is safe. */
    public class Internal(message: String, hint: String, retryable: Boolean) :
        DonpException(message, hint, retryable)
}
