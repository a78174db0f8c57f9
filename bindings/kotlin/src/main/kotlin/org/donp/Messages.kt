package org.donp

/** What a message says. */
public sealed class Content {
    /**
     * Plain text.
     *
     * @property text 1 to 65,536 bytes of UTF-8
     */
    public data class Text(val text: String) : Content()

    /**
     * Text in answer to a message; [Node.reply] says it in the right place.
     *
     * @property replyTo the message answered
     * @property text 1 to 65,536 bytes of UTF-8
     */
    public data class Reply(val replyTo: MessageId, val text: String) : Content()

    /**
     * Replaces the text of an own message.
     *
     * @property editOf the message changed
     * @property text 1 to 65,536 bytes of UTF-8
     */
    public data class Edit(val editOf: MessageId, val text: String) : Content()

    /**
     * A short mark on a message.
     *
     * @property reactTo the message marked
     * @property mark 1 to 64 bytes of UTF-8
     */
    public data class React(val reactTo: MessageId, val mark: String) : Content()

    /**
     * Takes an own message back. Nothing is erased from other people's devices.
     *
     * @property retract the message taken back
     */
    public data class Retract(val retract: MessageId) : Content()

    /** Something of a newer version, which this one cannot show. It cannot be sent. */
    public data object Unknown : Content()
}

/** Who a conversation is between. */
public sealed class Conversation {
    /** Everybody in the network. */
    public data object Network : Conversation()

    /**
     * This node and one other.
     *
     * @property peer the other
     */
    public data class Private(val peer: NodeId) : Conversation()
}

/**
 * A message as a conversation holds it.
 *
 * @property id the hash of conversation, author and content
 * @property conversation where it was said
 * @property author who said it
 * @property seq the author's number for it in this conversation, from 1 without gaps
 * @property depth one more than the deepest message its author had seen: rises along every causal step
 * @property sentAtMs the author's wall clock in milliseconds since 1970: to show, never used for order
 * @property content what it says
 */
public data class Message(
    val id: MessageId,
    val conversation: Conversation,
    val author: NodeId,
    val seq: Long,
    val depth: Long,
    val sentAtMs: Long,
    val content: Content,
) {
    /** The words of a text, a reply or an edit; null for everything else. */
    public val text: String?
        get() = when (content) {
            is Content.Text -> content.text
            is Content.Reply -> content.text
            is Content.Edit -> content.text
            is Content.React, is Content.Retract, Content.Unknown -> null
        }
}

/**
 * A place in a conversation's order, which is the same for everybody: by causal depth, then author, then
 * id. Give back what [HistoryPage.older] held.
 *
 * @property depth causal depth
 * @property author whose message
 * @property id which message
 */
public data class Position(val depth: Long, val author: NodeId, val id: MessageId)

/**
 * A page of a conversation.
 *
 * @property messages oldest first
 * @property older pass this as `before` for the page before; null at the beginning
 */
public data class HistoryPage(val messages: List<Message>, val older: Position?)
