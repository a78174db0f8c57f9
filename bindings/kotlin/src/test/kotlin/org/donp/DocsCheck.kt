package org.donp

import java.io.File
import kotlin.system.exitProcess

/** Fails, and says what is missing, unless the documentation in the given folder has a page for every public item. */
fun main(args: Array<String>) {
    val pages = File(args.single(), "donp/org.donp")
    val items = publicApi().filter { it.kind != Item.Kind.CONSTRUCTOR && it.name !in OF_EVERY_CLASS }
    val missing = items.filter { !File(pages, page(it)).isFile }
    for (item in missing) System.err.println("no page for ${listOfNotNull(item.owner, item.name).joinToString(".")}: ${page(item)}")
    println("the documentation names ${items.size - missing.size} of ${items.size} public items")
    if (missing.isNotEmpty() || items.size < 200) exitProcess(1)
}

private val OF_EVERY_CLASS = setOf("equals", "hashCode", "toString", "compareTo")

private fun page(item: Item): String {
    fun folder(name: String) = name.split('.').joinToString("/") { file(it) }
    val owner = item.owner?.let { folder(it) + "/" }.orEmpty()
    return when (item.kind) {
        Item.Kind.CLASS -> "${folder(item.name)}/index.html"
        Item.Kind.ENTRY -> "$owner${file(item.name)}/index.html"
        else -> "$owner${file(item.name)}.html"
    }
}

/** How Dokka writes a name: capitals become a hyphen and the small letter. */
private fun file(name: String) = name.replace(Regex("[A-Z]")) { "-" + it.value.lowercase() }
