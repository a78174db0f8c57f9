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

/** Two engines and what flies between them, in virtual time. */
private class Pair {
    val a = engine("a")
    val b = engine("b")
    var now = 0L
    private var toA = ArrayList<Received>()
    private var toB = ArrayList<Received>()

    fun toB(out: Output): Output = out.also { it.transmits.mapTo(toB) { t -> Received("10.0.0.1:4000", t.payload) } }

    /** Moves datagrams until none flies and none is held back for a later moment that [until] wants. */
    fun settle(until: () -> Boolean) {
        repeat(100_000) {
            if (toA.isEmpty() && toB.isEmpty() && until()) return
            now += 1_000
            val (forA, forB) = toA to toB
            toA = ArrayList()
            toB = ArrayList()
            toB(a.turn(now, forA))
            b.turn(now, forB).transmits.mapTo(toA) { Received("10.0.0.2:4000", it.payload) }
        }
        error("the engines do not come to rest")
    }
}

private fun turn64Out(): Double {
    val pair = Pair()
    pair.a.join(0)
    pair.b.join(0, "10.0.0.1:4000")
    pair.settle { pair.a.status().links > 0 && pair.b.status().links > 0 }
    val content = Content.Text("x".repeat(1_000))
    var best = Double.MAX_VALUE
    repeat(ROUNDS + 1) { round ->
        var ns = 0L
        var datagrams = 0
        repeat(200) {
            repeat(64) { pair.a.sendPrivate(pair.now, pair.b.id, content) }
            val from = System.nanoTime()
            val out = pair.a.turn(++pair.now)
            ns += System.nanoTime() - from
            datagrams += pair.toB(out).transmits.size
            pair.settle { pair.a.status().outbox == 0 }
        }
        check(datagrams > 0) { "the engine gave nothing to send" }
        if (round > 0) best = min(best, ns.toDouble() / datagrams)
    }
    return best
}
