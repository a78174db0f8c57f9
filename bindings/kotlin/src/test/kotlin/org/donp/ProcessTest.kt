package org.donp

import java.io.File
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertTrue
import kotlin.test.fail
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.io.TempDir

/** Programs as users start them. */
internal class ProcessTest : WithNodes() {
    private val children = ArrayList<Process>()

    @AfterEach
    fun endChildren() {
        // The last first: what listens to a node before the node.
        for (child in children.asReversed()) {
            child.destroy()
            if (!child.waitFor(30, TimeUnit.SECONDS)) child.destroyForcibly().waitFor()
        }
    }

    private fun start(vararg command: String): Process =
        ProcessBuilder(*command).redirectError(ProcessBuilder.Redirect.INHERIT).start().also { children += it }

    private fun run(vararg command: String): String {
        val child = ProcessBuilder(*command).redirectErrorStream(true).start().also { children += it }
        child.outputStream.close()
        val said = child.inputStream.reader().readText()
        assertEquals(0, child.waitFor(), "${command.joinToString(" ")} said: $said")
        return said.trim()
    }

    private fun Process.line(begins: String): String {
        val lines = inputReader()
        while (true) {
            val line = lines.readLine() ?: fail("it ended without a line that begins with '$begins'")
            if (line.startsWith(begins)) return line
        }
    }

    @Test
    fun dropping_without_closing() {
        val classes = listOf(File("target/test-classes"), File("target/donp-0.1.0.jar"), File("target/lib/*"))
        val java = Path.of(System.getProperty("java.home"), "bin", "java").toString()
        repeat(5) {
            val said = run(java, "-cp", classes.joinToString(":") { it.path }, "org.donp.ForgetfulKt")
            assertEquals("done", said, "nothing else: no panic, no stack trace")
        }
    }

    @Test
    fun the_echo_bot(@TempDir dir: Path) {
        val binary = assertNotNull(System.getenv("DONP_BIN"), "set DONP_BIN to the donp program: test.sh does")
        val donp = arrayOf(binary, "--state-dir", "$dir/donp", "--config", "$dir/none.toml", "-p", "alice")
        val noise = dir.resolve("noise").toFile()
        val echo = ProcessBuilder("./run.sh", "Echo", "$dir/echo", "127.0.0.1:0").redirectError(noise).start()
        children += echo
        val ticket = echo.line("invite: ").removePrefix("invite: ")
        Files.createFile(dir.resolve("none.toml"))
        run(*donp, "init", "--name", "alice")
        run(*donp, "join", ticket)
        val alice = start(*donp, "--json", "run", "--listen", "127.0.0.1:0", "--lan", "off", "--until-stdin-ends")
        alice.line("{")
        run(*donp, "send", "echo", "is there an echo?", "--wait", "delivered", "--timeout", "2m")
        val heard = start(*donp, "--json", "recv", "--follow")
        val lines = heard.inputReader()
        while (true) {
            val line = lines.readLine() ?: fail("recv ended")
            if ("is there an echo?" in line) {
                assertTrue("\"reply" in line, line)
                break
            }
        }
        echo.destroy()
        assertTrue(echo.waitFor(1, TimeUnit.MINUTES), "SIGTERM ends it")
        assertEquals("", noise.readText())
    }

    @Test
    fun talk() = chat {
        val a = memory("a")
        val talk = start("./run.sh", "Talk", "--name", "kotlin", "--join", a.address, "--say", "3", "--expect", "5")
        a.broadcast("a 1")
        val mine = a.events().messages(3)
        assertEquals(listOf("kotlin 1", "kotlin 2", "kotlin 3"), mine.map { it.message.text })
        a.broadcast("a 2")
        val lines = talk.inputReader()
        val printed = List(6) { assertNotNull(lines.readLine()) }
        assertEquals(a.all().map { "${it.id} ${it.text}" } + "end", printed)
        assertTrue(talk.isAlive, "it stays until its standard input closes")
        talk.outputStream.close()
        assertEquals(0, talk.waitFor())
    }
}
