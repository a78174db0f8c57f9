package org.donp

import java.util.jar.JarFile
import kotlin.metadata.ClassName
import kotlin.metadata.KmClass
import kotlin.metadata.KmClassifier
import kotlin.metadata.KmConstructor
import kotlin.metadata.KmFunction
import kotlin.metadata.KmProperty
import kotlin.metadata.KmType
import kotlin.metadata.KmValueParameter
import kotlin.metadata.MemberKind
import kotlin.metadata.Visibility
import kotlin.metadata.jvm.KotlinClassMetadata
import kotlin.metadata.kind
import kotlin.metadata.visibility

/**
 * A public item of the package, as the compiled classes tell it.
 *
 * @property owner the class it is in, such as `Event.Received`; null for what is in none
 * @property types the classes in its signature, such as `org/donp/NodeId`
 */
internal data class Item(val owner: String?, val name: String, val kind: Kind, val types: Set<ClassName>) {
    enum class Kind { CLASS, CONSTRUCTOR, FUNCTION, PROPERTY, ENTRY }
}

/** Every public item of the jar that these classes came from, but not of the private package. */
internal fun publicApi(): List<Item> {
    val jar = Node::class.java.protectionDomain.codeSource.location.path
    val names = JarFile(jar).use { file -> file.entries().asSequence().map { it.name }.toList() }
    val classes = names.filter { it.startsWith("org/donp/") && it.endsWith(".class") && !it.startsWith("org/donp/ffi/") }
    val all = classes.mapNotNull { name ->
        val loaded = Class.forName(name.removeSuffix(".class").replace('/', '.'), false, Node::class.java.classLoader)
        loaded.getAnnotation(Metadata::class.java)?.let { KotlinClassMetadata.readStrict(it) }
    }
    val kept = all.filterIsInstance<KotlinClassMetadata.Class>().map { it.kmClass }
    val hidden = kept.filter { it.visibility != Visibility.PUBLIC }.map { it.name }
    return all.flatMap { metadata ->
        when (metadata) {
            is KotlinClassMetadata.Class ->
                // What is in a class that is not public is not, either.
                metadata.kmClass.takeIf { c -> hidden.none { c.name.startsWith("$it.") } }?.let(::items).orEmpty()
            is KotlinClassMetadata.FileFacade ->
                metadata.kmPackage.run { functions.mapNotNull { item(null, it) } + properties.mapNotNull { item(null, it) } }
            else -> emptyList()
        }
    }
}

private fun items(of: KmClass): List<Item> {
    val owner = of.name.removePrefix("org/donp/")
    if (of.visibility != Visibility.PUBLIC) return emptyList()
    return listOf(Item(null, owner, Item.Kind.CLASS, of.supertypes.flatMap { classes(it) }.toSet())) +
        of.constructors.mapNotNull { item(owner, it) } +
        of.functions.mapNotNull { item(owner, it) } +
        of.properties.mapNotNull { item(owner, it) } +
        of.kmEnumEntries.map { Item(owner, it.name, Item.Kind.ENTRY, emptySet()) }
}

private fun item(owner: String, it: KmConstructor): Item? =
    Item(owner, "<init>", Item.Kind.CONSTRUCTOR, it.valueParameters.flatMap(::classes).toSet())
        .takeIf { _ -> it.visibility == Visibility.PUBLIC }

private fun item(owner: String?, it: KmFunction): Item? {
    val types = classes(it.returnType) + it.valueParameters.flatMap(::classes)
    // What the compiler makes by itself, such as `component1` and `copy`, needs no documentation.
    return Item(owner, it.name, Item.Kind.FUNCTION, types.toSet())
        .takeIf { _ -> it.visibility == Visibility.PUBLIC && it.kind != MemberKind.SYNTHESIZED }
}

private fun item(owner: String?, it: KmProperty): Item? =
    Item(owner, it.name, Item.Kind.PROPERTY, classes(it.returnType).toSet())
        .takeIf { _ -> it.visibility == Visibility.PUBLIC && it.kind != MemberKind.SYNTHESIZED }

private fun classes(parameter: KmValueParameter): List<ClassName> = classes(parameter.type)

private fun classes(type: KmType): List<ClassName> =
    listOfNotNull((type.classifier as? KmClassifier.Class)?.name) + type.arguments.flatMap { a -> a.type?.let(::classes).orEmpty() }
