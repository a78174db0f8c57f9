package org.donp

import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.GlobalScope
import kotlinx.coroutines.launch

/** Ends without closing anything, while events come and a task waits for more. */
@OptIn(DelicateCoroutinesApi::class)
suspend fun main() {
    val a = openNode(NodeConfig(name = "a", listen = LOOPBACK))
    val b = openNode(NodeConfig(name = "b", listen = LOOPBACK))
    val events = b.events()
    GlobalScope.launch { a.events().collect { } }
    b.join(a.address)
    events.linked()
    GlobalScope.launch { while (true) a.broadcast("on and on") }
    events.messages(20)
    GlobalScope.launch { events.collect { } }
    engine("e").turn(0)
    println("done")
}
