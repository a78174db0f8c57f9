package org.donp

import java.nio.file.Files
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Files that messages name. */
internal class FileTest : WithNodes() {
    // More than is fetched unasked.
    private val bytes = ByteArray(512_000) { (it / 7).toByte() }

    /** Fails if a file is given to everybody, or one on disk is replaced. */
    @Test
    fun a_file_between_two() = chat {
        val dir = Files.createTempDirectory("donp")
        val a = memory("a")
        val b = memory("b")
        val c = memory("c")
        val events = b.events()
        b.join(a.address)
        c.join(a.address)
        until("linked") { a.status().links >= 2 }
        val plan = dir.resolve("plan.pdf")
        Files.write(plan, bytes)
        val file = a.addFile("$plan", "application/pdf")
        assertEquals(Triple("plan.pdf", bytes.size.toLong(), "application/pdf"), Triple(file.name, file.size, file.mediaType))
        assertEquals(file.id, FileId.parse("${file.id}"))
        a.send(b.id, Content.File(file, "the plan"))
        val got = events.find { event -> ((event as? Event.Received)?.message?.content as? Content.File)?.file }
        assertEquals(file, got)
        b.fetchFile(Conversation.Private(a.id), got, a.id)
        assertEquals(bytes.size.toLong(), events.find { it as? Event.FileProgress }.size)
        assertEquals(file.id, events.find { it as? Event.FileReceived }.file)
        assertEquals(listOf(true), b.files().map { it.isWhole })
        val saved = dir.resolve("saved.pdf")
        assertEquals(bytes.size.toLong(), b.saveFile(file.id, "$saved"))
        assertContentEquals(bytes, Files.readAllBytes(saved))
        val parts = (0..7).map { b.readFile(file.id, it) ?: ByteArray(0) }
        assertContentEquals(bytes, parts.reduce { all, part -> all + part })
        val refused = assertFailsWith<DonpException.Storage> { b.saveFile(file.id, "$plan") }
        assertTrue("already" in refused.message)
        // A node outside the conversation gets nothing, and has nothing to pass on.
        c.fetchFile(Conversation.Private(a.id), file)
        assertFailsWith<DonpException.NotFound> { c.saveFile(file.id, "${dir.resolve("none.pdf")}") }
        assertFailsWith<DonpException.NotFound> { c.broadcast(Content.File(file)) }
        assertEquals(listOf(0L), c.files().map { it.bytes })
        b.removeFile(file.id)
        assertEquals(emptyList(), b.files())
        assertFailsWith<DonpException.InvalidInput> { a.addFileBytes(byteArrayOf(1), "../x") }
    }

    @Test
    fun a_file_between_engines() {
        val net = Net(listOf(engine("a"), engine("b"))).linked()
        val (a, b) = net.hosts.map { it.engine }
        val file = a.addFile(net.now, bytes, "plan.pdf")
        a.sendPrivate(net.now, b.id, Content.File(file))
        b.fetchFile(net.now, Conversation.Private(a.id), file, a.id)
        net.wake()
        net.until("b has it") { b.files().map { it.isWhole } == listOf(true) }
        val query = b.readFile(net.now, file.id, 0)
        net.wake()
        net.until("b has read it") { net.hosts[1].parts.any { it.query == query && it.content?.size == 65_520 } }
        b.removeFile(net.now, file.id)
        assertEquals(emptyList(), b.files())
    }
}
