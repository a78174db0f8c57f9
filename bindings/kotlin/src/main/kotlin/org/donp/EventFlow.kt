package org.donp

import java.util.concurrent.atomic.AtomicBoolean
import kotlin.coroutines.coroutineContext
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.withContext

/** How many events are fetched by one call: a call costs as much as some hundred events. */
private const val BATCH = 64u

/**
 * A stream as a flow. What was taken from the stream and not yet given to a collector is kept here, so
 * that a collector that is cancelled loses nothing to the next one.
 *
 * Not made by `flow { }`: its `emit` may throw for a cancelled collector without giving it the event, and
 * a collector that had it would look the same.
 */
internal class EventFlow(
    /** Held so that a node lives as long as a stream of it is read. */
    @Suppress("unused") private val node: Node,
    private val stream: org.donp.ffi.EventStream,
) : Flow<Event> {
    private val collected = AtomicBoolean()
    private val taken = ArrayDeque<Event>()
    private var ended = false

    override suspend fun collect(collector: FlowCollector<Event>) {
        check(collected.compareAndSet(false, true)) {
            "this stream has a collector: call events() again for a second one"
        }
        try {
            do {
                do {
                    coroutineContext.ensureActive()
                    val event = next() ?: break
                    collector.emit(event)
                } while (true)
            } while (ready())
            end()
        } finally {
            collected.set(false)
        }
    }

    // The wait ends on the node's own thread. Collectors, also unconfined ones, go on somewhere else.
    private suspend fun ready(): Boolean = !ended && withContext(Dispatchers.IO) { call { stream.ready() } }

    private fun next(): Event? {
        if (taken.isEmpty() && !ended) call { stream.take(BATCH) }.mapTo(taken) { it.toPublic() }
        return taken.removeFirstOrNull()
    }

    private fun end() {
        ended = true
        stream.close()
    }
}
