package org.donp.examples.talk

import kotlin.system.exitProcess
import kotlinx.coroutines.flow.first
import org.donp.Conversation
import org.donp.Event
import org.donp.Message
import org.donp.MessageId
import org.donp.NodeConfig
import org.donp.openNode

/**
 * One node in memory that says `NAME 1` to `NAME N` to everybody, waits until TOTAL messages were said in
 * the network, and prints them in their order:
 *
 *     run.sh Talk --name NAME --join PLACE --say N --expect TOTAL
 *
 * It prints `MESSAGEID TEXT` for each, then `end`, and stays until its standard input closes.
 */
suspend fun main(args: Array<String>) {
    val given = args.toList().chunked(2).filter { it.size == 2 }.associate { (key, value) -> key to value }
    val name = given["--name"]
    val place = given["--join"]
    val say = given["--say"]?.toIntOrNull()
    val expect = given["--expect"]?.toIntOrNull()
    if (name == null || place == null || say == null || expect == null || args.size != 8) {
        System.err.println("usage: Talk --name NAME --join PLACE --say N --expect TOTAL")
        exitProcess(2)
    }
    openNode(NodeConfig(name = name, listen = listOf("127.0.0.1:0"))).use { node ->
        val events = node.events()
        var linked = false
        var said = 0
        suspend fun note(event: Event) {
            if (event is Event.PeerUp) linked = true
            if (event is Event.Received && event.message.conversation == Conversation.Network) said++
            node.ack(event)
        }
        node.join(place)
        events.first { note(it); linked }
        for (n in 1..say) {
            node.broadcast("$name $n")
            said++
        }
        if (said < expect) events.first { note(it); said >= expect }

        val pages = ArrayDeque<List<Message>>()
        var before: MessageId? = null
        do {
            val page = node.history(Conversation.Network, before, limit = 1_000)
            pages.addFirst(page.messages)
            before = page.older
        } while (before != null)
        pages.flatten().forEach { println("${it.id} ${it.text}") }
        println("end")
        System.out.flush()
        while (System.`in`.read() != -1) continue
    }
}
