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

    /**
     * A file, and words to go with it. [Node.addFile] makes the attachment.
     *
     * @property file the file
     * @property text 0 to 4,096 bytes of UTF-8
     */
    public data class File(val file: Attachment, val text: String = "") : Content()

    /** Something of a newer version, which this one cannot show. It cannot be sent. */
    public data object Unknown : Content()
}

/** The parties of a conversation. */
public sealed class Conversation {
    /** Everybody in the network. */
    public data object Network : Conversation()

    /**
     * This node and one other.
     *
     * @property peer the other
     */
    public data class Private(val peer: NodeId) : Conversation()

    /**
     * The members of a group.
     *
     * @property group which
     */
    public data class Group(val group: GroupId) : Conversation()
}

/**
 * One component of the clock of a message.
 *
 * @property author the author
 * @property life which of the author's logs, in hexadecimal
 * @property count how many messages of it, from the first without gaps
 */
public data class ClockEntry(val author: NodeId, val life: String, val count: Long)

/**
 * A message as a conversation holds it.
 *
 * @property id its place in the order of the conversation and the hash of its header
 * @property conversation where it was said
 * @property author who said it
 * @property life which of the author's logs it is in, in hexadecimal; a profile that was restored or copied has several
 * @property seq the author's number for it in this log, from 1; in a busy conversation merges without text count too
 * @property depth one more than the deepest message its author had seen: rises along every causal step
 * @property clock what the author had seen, this message included; null in a conversation with more than 64 authors, and
 *   in an event that comes again after a restart: the history has it
 * @property sentAtMs the author's wall clock in milliseconds since 1970: to show, never used for order
 * @property content its content, as it was sent
 * @property edited the text that its author's last edit gave it
 * @property retracted whether its author has retracted it
 */
public data class Message(
    val id: MessageId,
    val conversation: Conversation,
    val author: NodeId,
    val life: String,
    val seq: Long,
    val depth: Long,
    val clock: List<ClockEntry>?,
    val sentAtMs: Long,
    val content: Content,
    val edited: String?,
    val retracted: Boolean,
) {
    /** The words to show of a text, a reply, an edit or a file: as edited, null if retracted. Null for everything else. */
    public val text: String?
        get() = when (content) {
            is Content.Text -> shown(content.text)
            is Content.Reply -> shown(content.text)
            is Content.Edit -> shown(content.text)
            is Content.File -> shown(content.text)
            is Content.React, is Content.Retract, Content.Unknown -> null
        }

    private fun shown(original: String): String? = if (retracted) null else edited ?: original
}

/**
 * A page of a conversation.
 *
 * @property messages oldest first
 * @property older pass this as `before` for the page before; null at the beginning
 */
public data class HistoryPage(val messages: List<Message>, val older: MessageId?)
