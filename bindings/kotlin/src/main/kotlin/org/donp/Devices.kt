package org.donp

/**
 * One device of a node's account.
 *
 * @property node its node
 * @property name its name, at most 64 bytes
 * @property addedMs when it was added, in milliseconds since 1970
 * @property here whether it is this device
 */
public data class DeviceInfo(
    val node: NodeId,
    val name: String,
    val addedMs: Long,
    val here: Boolean,
)

internal fun org.donp.ffi.DeviceInfo.toPublic() = DeviceInfo(
    node = NodeId(node),
    name = name,
    addedMs = addedMs.clamp(),
    here = here,
)
