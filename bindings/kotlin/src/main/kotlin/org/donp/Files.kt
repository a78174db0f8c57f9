package org.donp

/**
 * A file that a message names: a reader of the message can fetch and open it. Equal by its bytes.
 *
 * @property id the BLAKE3 hash of its sealed bytes
 * @property key the 32-byte key that it is sealed under, for this file alone
 * @property size its bytes, at most 32 GiB
 * @property name what its sender calls it: 1 to 255 bytes, a name without a folder
 * @property mediaType what its sender says that it is, as in `image/png`; empty if it does not say
 */
public data class Attachment(
    val id: FileId,
    val key: ByteArray,
    val size: Long,
    val name: String,
    val mediaType: String = "",
) {
    /** Whether all of it is equal, bytes by their content. */
    override fun equals(other: Any?): Boolean = other is Attachment && id == other.id &&
        key.contentEquals(other.key) && size == other.size && name == other.name && mediaType == other.mediaType

    /** Fits [equals]. */
    override fun hashCode(): Int = id.hashCode() * 31 + name.hashCode()

    /** Without the key. */
    override fun toString(): String = "Attachment(id=$id, size=$size, name=$name, mediaType=$mediaType)"
}

/**
 * A file of this node.
 *
 * @property id the BLAKE3 hash of its sealed bytes
 * @property name what its sender calls it
 * @property mediaType what its sender says that it is; empty if it does not say
 * @property size its bytes
 * @property bytes how many of them are here
 * @property holders nodes that it is being fetched from now
 * @property isWhole whether all of it is here
 */
public data class FileInfo(
    val id: FileId,
    val name: String,
    val mediaType: String,
    val size: Long,
    val bytes: Long,
    val holders: Long,
    val isWhole: Boolean,
)

/**
 * The answer to [Engine.readFile]. Equal by its bytes.
 *
 * @property query the number that it returned
 * @property content the bytes; null if the part is not here
 */
public class FilePart(public val query: Long, public val content: ByteArray?) {
    /** Whether all of it is equal, bytes by their content. */
    override fun equals(other: Any?): Boolean = other is FilePart && query == other.query &&
        content.contentEquals(other.content)

    /** Fits [equals]. */
    override fun hashCode(): Int = query.hashCode()

    /** The size, not the bytes. */
    override fun toString(): String = "FilePart(query=$query, content=${content?.size} bytes)"
}

internal fun Attachment.toRaw() = org.donp.ffi.Attachment(
    id = id.text,
    key = key,
    size = size.toU64("the size"),
    name = name.utf8("the name"),
    mediaType = mediaType.utf8("the media type"),
)

internal fun org.donp.ffi.Attachment.toPublic() = Attachment(FileId(id), key, size.clamp(), name, mediaType)

internal fun org.donp.ffi.FileInfo.toPublic() =
    FileInfo(FileId(id), name, mediaType, size.clamp(), bytes.clamp(), holders.clamp(), isWhole)
