package org.donp.examples.echo

import org.donp.Content
import org.donp.Conversation
import org.donp.DonpException
import org.donp.Event
import org.donp.Message
import org.donp.Node
import org.donp.NodeConfig
import org.donp.openNode

/**
 * A bot that repeats what it receives in private or in a group:
 *
 *     run.sh Echo [FOLDER [LISTEN [INVITATION]]]
 *
 * FOLDER is its profile, `echo` unless given; LISTEN is `ip:port`, any port unless given. INVITATION is that of a group
 * (`donp group invite`), of which the bot becomes a member.
 */
suspend fun main(args: Array<String>) {
    val listen = listOfNotNull(args.getOrNull(1))
    val node = openNode(NodeConfig(stateDir = args.getOrElse(0) { "echo" }, name = "echo", bot = true, listen = listen))
    // SIGTERM and Ctrl-C say goodbye; the stream below ends then.
    Runtime.getRuntime().addShutdownHook(Thread { node.close() })
    // A bot that is a member already gets an error, and goes on.
    args.getOrNull(2)?.let { invitation -> runCatching { node.joinGroup(invitation) }.onFailure { println(it.message) } }
    println("invite: ${node.invite()}")
    try {
        node.events().collect { event ->
            val message = (event as? Event.Received)?.message
            val words = (message?.content as? Content.Text)?.text
            // Two bots that answer each other never end, so bots do not answer bots.
            if (words != null && message.conversation !is Conversation.Network && node.peer(message.author)?.bot != true) {
                answer(node, message, words)
            }
            // What was not acknowledged before a crash comes again.
            node.ack(event)
        }
    } catch (_: DonpException.Closed) {
        // Stopped while an event was handled: it comes again, too.
    }
}

/** A message that cannot be answered, as of a group that the bot may not post in, must not stop the bot at each start. */
private suspend fun answer(node: Node, message: Message, words: String) {
    try {
        node.reply(message, words)
    } catch (closed: DonpException.Closed) {
        throw closed
    } catch (refused: DonpException) {
        System.err.println("no answer to ${message.id}: ${refused.message}")
    }
}
