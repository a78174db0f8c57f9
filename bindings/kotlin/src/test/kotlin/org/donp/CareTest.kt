package org.donp

import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.milliseconds
import org.junit.jupiter.api.io.TempDir

/** Profiles that are looked at, copied and made from a copy; and the first steps of a newcomer. */
internal class CareTest : WithNodes() {
    /** Fails if a restored profile goes on in the log of its backup. */
    @Test
    fun a_backup_of_a_running_node(@TempDir dir: Path) = chat {
        val a = stored(dir.resolve("a"), "a")
        val b = memory("b")
        b.join(a.address, wait = LONG)
        a.broadcast("before")
        val found = a.check()
        assertEquals(emptyList<String>() to "", found.problems to found.lost)
        assertNotEquals(0, found.records["chat.entries"])
        val (folder, file) = "$dir/copy" to "$dir/copy.donp"
        for (place in listOf(folder, file)) {
            assertTrue(a.backup(place), "it holds the key")
            assertFailsWith<DonpException.AlreadyExists> { a.backup(place) }
        }
        assertTrue(Files.isRegularFile(Path.of(file)) && Files.isDirectory(Path.of(folder)))
        a.broadcast("after")
        until("b has both") { b.all().size == 2 }
        a.shutdown()
        restoreProfile(folder, "$dir/one")
        restoreProfile(file, "$dir/two")
        val back = stored(dir.resolve("two"), null)
        assertEquals(a.id, back.id)
        assertEquals(listOf<String?>("before"), back.all().map { it.text })
        back.broadcast("again")
        back.join(b.address)
        for (node in listOf(back, b)) {
            until("all is there") { node.all().mapNotNull { it.text }.toSet() == setOf("before", "after", "again") }
        }
        assertFailsWith<DonpException.NotFound> { restoreProfile("$dir/nothing", "$dir/new") }
        assertFailsWith<DonpException.AlreadyExists> { restoreProfile(folder, "$dir/one") }
        assertFailsWith<DonpException.InvalidInput> { b.check() }
        assertFailsWith<DonpException.InvalidInput> { b.backup("$dir/x") }
    }

    /** Fails if `join` returns before there is a link. */
    @Test
    fun waiting_for_a_peer() = chat {
        val a = memory("a")
        val b = memory("b")
        b.join(a.invite(), wait = LONG)
        assertTrue(b.waitFor(a.id).linked)
        assertTrue(a.waitFor(b.id, LONG).linked)
        assertEquals("b", b.nameOf(b.id))
        until("the name is known") { b.nameOf(a.id) == "a" }
        val c = memory("c")
        assertNull(b.nameOf(c.id))
        assertTrue(assertFailsWith<DonpException.Timeout> { b.waitFor(c.id, 100.milliseconds) }.retryable)
        assertFailsWith<DonpException.Timeout> { c.join("127.0.0.1:9", wait = 100.milliseconds) }
        assertFailsWith<DonpException.InvalidInput> { a.ack(-1) }
    }
}
