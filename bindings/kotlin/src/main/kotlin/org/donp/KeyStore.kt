package org.donp

/**
 * Wraps the key of a profile with one that the platform guards, such as Android's Keystore.
 *
 * Called while a node is made, on the thread that makes it ([openNode] and [Node.create] use
 * `Dispatchers.IO`), and never again. Whatever a method throws refuses the profile:
 * [DonpException.Denied] then carries the text of what was thrown.
 */
public interface KeyStore {
    /** Seals [key], 32 bytes, so that only this device's user can have it back. Keep no copy of it. */
    public fun wrapKey(key: ByteArray): ByteArray

    /** Opens what [wrapKey] gave: the same 32 bytes. */
    public fun unwrapKey(wrapped: ByteArray): ByteArray
}
