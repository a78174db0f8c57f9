package org.donp.bench

import kotlin.math.min
import org.donp.Content
import org.donp.Engine
import org.donp.EngineConfig
import org.donp.Output
import org.donp.Received
import org.donp.generateIdentity

private const val ROUNDS = 5
private const val SOURCE = "10.0.0.9:4000"

/** Prints the rows of the benchmark, each the best of [ROUNDS] rounds in nanoseconds, one JSON line each. */
fun main() {
    val engine = engine("bench")
    row("noop", 100_000) { engine.isDead }
    var now = 0L
    row("turn_empty", 10_000) { engine.turn(++now) }
    val junk = ByteArray(1_200) { -1 }
    row("turn_64_in", 1_000, 64) { engine.turn(++now, List(64) { Received(SOURCE, junk) }) }
    print("turn_64_out", turn64Out())
}

private fun engine(name: String) = Engine(EngineConfig(generateIdentity(name), inMemory = true), 0, 0)

private fun print(name: String, ns: Double) =
    println("""{"language":"kotlin","row":"$name","ns":${"%.1f".format(java.util.Locale.ROOT, ns)}}""")

private inline fun row(name: String, times: Int, each: Int = 1, body: () -> Unit) {
    var best = Double.MAX_VALUE
    // The first round is for the compiler.
    repeat(ROUNDS + 1) { round ->
        val from = System.nanoTime()
        repeat(times) { body() }
        val ns = (System.nanoTime() - from).toDouble() / times / each
        if (round > 0) best = min(best, ns)
    }
    print(name, best)
}

/** Two linked engines and what flies between them, in virtual time. */
private class Pair {
    val engines = listOf(engine("a"), engine("b"))
    var now = 1L
    private val inbox = Array(2) { ArrayList<Received>() }

    init {
        engines[0].join(now)
        engines[1].join(now, address(0))
        while (engines.any { it.status().links == 0 }) {
            settle()
            now += 1_000
        }
    }

    /** Carries datagrams until none is under way. */
    fun settle() {
        do {
            var busy = false
            for (at in 0..1) {
                val received = inbox[at]
                inbox[at] = ArrayList()
                val out = engines[at].turn(now, received)
                busy = busy || out.transmits.isNotEmpty()
                deliver(at, out)
            }
        } while (busy)
    }

    fun deliver(from: Int, out: Output) {
        out.transmits.mapTo(inbox[1 - from]) { Received(address(from), it.payload) }
        out.events.mapNotNull { it.seq }.maxOrNull()?.let { engines[from].ack(now, it) }
    }

    private fun address(n: Int) = "10.0.0.${n + 1}:4000"
}

private fun turn64Out(): Double {
    val pair = Pair()
    val (a, b) = pair.engines
    val content = Content.Text("x".repeat(1_000))
    var best = Double.MAX_VALUE
    repeat(ROUNDS + 1) { round ->
        var ns = 0L
        var datagrams = 0
        repeat(200) {
            repeat(64) { a.sendPrivate(pair.now, b.id, content) }
            val from = System.nanoTime()
            val out = a.turn(pair.now)
            ns += System.nanoTime() - from
            datagrams += out.transmits.size
            pair.deliver(0, out)
            pair.settle()
            pair.now += 100_000
            pair.settle()
        }
        check(datagrams > 0) { "the engine gave nothing to send" }
        if (round > 0) best = min(best, ns.toDouble() / datagrams)
    }
    return best
}
