package org.donp

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

internal class PublicApiTest {
    @Test
    fun nothing_generated_shows() {
        val items = publicApi()
        assertTrue(items.size > 200, "it looks at the wrong place: ${items.size} items")
        assertEquals(emptyList(), items.filter { item -> item.types.any { it.startsWith("org/donp/ffi/") || it.startsWith("com/sun/jna/") } })
        assertTrue(items.any { it.name == "openNode" } && items.any { it.owner == "Node" && it.name == "events" })
    }
}
