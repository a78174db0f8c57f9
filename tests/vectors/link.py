"""Makes tests/vectors/link.json with nothing of this project but its pages.

Written from docs/spec/link.md, docs/spec/messages.md ("Ids", "NodeRecord") and the Noise Protocol Framework.
Takes the packages cryptography, kyber-py and blake3. Without arguments it checks the file; with `write` it
makes it.
"""

import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]

FILE = Path(__file__).with_name("link.json")
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
INIT, RESP, COOKIE_REPLY, DATA, VERSION = 1, 2, 3, 4, 2
ACK, MESSAGE, FRAGMENT, PROBE = 2, 5, 6, 0x20
CHAT, SECRETS = 4, 10


def derive(context: str, data: bytes) -> bytes:
    return blake3(data, derive_key_context=context).digest()


def mac(key: bytes, data: bytes) -> bytes:
    return blake3(data, key=key).digest()[:16]


def drawn(what: str, length: int = 32) -> bytes:
    """A secret of this example."""
    return blake3(what.encode(), derive_key_context="DONP v1 link vectors").digest(length=length)


def stream(seed: bytes, length: int) -> bytes:
    """What a generator with this seed yields: ChaCha20 from block 0."""
    return Cipher(algorithms.ChaCha20(seed, bytes(16)), None).encryptor().update(bytes(length))


def le(number: int, length: int) -> bytes:
    return number.to_bytes(length, "little")


def varint(number: int) -> bytes:
    return le(number, 1) if number < 128 else le(number % 128 + 128, 1) + varint(number // 128)


def aead(key: bytes, number: int, bound: bytes, plain: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(4) + le(number, 8), plain, bound)


def signing(secret: bytes) -> bytes:
    """The public key of an Ed25519 secret."""
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(*RAW)


class Pair:
    """An X25519 key pair."""

    def __init__(self, secret: bytes) -> None:
        self.secret, self.key = secret, X25519PrivateKey.from_private_bytes(secret)
        self.public = self.key.public_key().public_bytes(*RAW)

    def dh(self, public: bytes) -> bytes:
        return self.key.exchange(X25519PublicKey.from_public_bytes(public))


class Node:
    def __init__(self, n: int, boot: int) -> None:
        self.entropy, self.static = bytes([n] * 64), Pair(drawn(f"link key {n}"))
        device = derive("DONP v1 device key", self.entropy)
        code = derive("DONP v1 recovery code", self.entropy)[:20]
        first, account = signing(device), signing(derive("DONP v1 account key", code))
        recovery = signing(derive("DONP v1 recovery key", code))
        self.id, self.boot = derive("DONP v1 node id", first), boot
        self.sequence, self.expires = n, 1_900_000_000_000
        signed = first + self.static.public + derive("DONP v1 account", account + recovery + first)
        signed += le(self.sequence, 8) + le(self.expires, 8) + bytes([2, 0, 0, 0])
        self.record = signed + Ed25519PrivateKey.from_private_bytes(device).sign(b"DONP1 noderecord" + signed)

    def shown(self) -> dict[str, object]:
        secrets = {"entropy": self.entropy.hex(), "link_key": self.static.secret.hex()}
        made = {"record": self.record.hex(), "id": self.id.hex()}
        return {**secrets, **made, "sequence": self.sequence, "expires": self.expires}


class Symmetric:
    """Noise §5.2."""

    def __init__(self, prologue: bytes, responder: bytes) -> None:
        name = b"Noise_IKpsk2_25519_ChaChaPoly_SHA256"
        self.ck = self.h = hashlib.sha256(name).digest()
        self.n, self.k = 0, b""
        self.mix_hash(prologue)
        self.mix_hash(responder)

    def mix_hash(self, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()

    def hkdf(self, secret: bytes) -> list[bytes]:
        temp, block, out = hmac.digest(self.ck, secret, "sha256"), b"", []
        for n in (1, 2, 3):
            block = hmac.digest(temp, block + bytes([n]), "sha256")
            out.append(block)
        return out

    def mix_key(self, secret: bytes) -> None:
        self.ck, self.k, _ = self.hkdf(secret)
        self.n = 0

    def mix_psk(self, psk: bytes) -> None:
        self.ck, hashed, self.k = self.hkdf(psk)
        self.mix_hash(hashed)
        self.n = 0

    def seal(self, plain: bytes) -> bytes:
        sealed = aead(self.k, self.n, self.h, plain)
        self.n += 1
        self.mix_hash(sealed)
        return sealed


class Handshake:
    """Init and Resp of a (initiator) and b, and the keys that both have then."""

    incarnations = (1, 1)
    cookie = b""

    def __init__(self, what: str, ends: tuple[Node, Node], network: bytes) -> None:
        self.what, self.ends, self.network, self.numbers = what, ends, network, [0, 0]
        self.packets: list[dict[str, object]] = []

    def run(self, psk: bytes, claims: int, chosen: int) -> "Handshake":
        a, b = self.ends
        indices = self.indices = [drawn(self.what + f" index {n}", 4) for n in (0, 1)]
        e, f = (Pair(drawn(self.what + f" ephemeral {n}")) for n in (0, 1))
        stamp = 1_700_000_000_000 + len(self.what)
        head = bytes([INIT, VERSION]) + indices[0]
        s = Symmetric(b"DONP v1 link" + head + b.id, b.static.public)
        s.mix_hash(e.public)
        s.mix_key(e.public)
        s.mix_key(e.dh(b.static.public))
        one = head + e.public + s.seal(a.static.public)
        s.mix_key(a.static.dh(b.static.public))
        one += s.seal(a.record + le(stamp, 8) + le(a.boot, 8) + le(self.incarnations[0], 4) + bytes([claims]))
        one += mac(derive("DONP v1 link mac1", b.static.public), one)
        self.init = one + (mac(derive("DONP v1 link mac2", self.cookie), one) if self.cookie else bytes(16))
        two = bytes([RESP, VERSION]) + indices[1] + indices[0] + bytes([chosen])
        s.mix_hash(a.id)
        s.mix_hash(bytes([chosen]))
        s.mix_hash(f.public)
        s.mix_key(f.public)
        s.mix_key(f.dh(e.public))
        s.mix_key(f.dh(a.static.public))
        s.mix_psk(psk)
        seen = bytes([4, 10, 0, 0, 1]) + bytes(12) + le(4000, 2)
        answer = indices[1] + seen + le(b.sequence, 8) + le(b.boot, 8) + le(self.incarnations[1], 4)
        two += f.public + s.seal(answer)
        self.resp = two + mac(derive("DONP v1 link mac1", a.static.public), two) + bytes(16)
        self.keys, self.hash = s.hkdf(b"")[:2], s.h
        self.secrets = [e.secret.hex(), f.secret.hex()]
        self.given = {"claims": claims, "chosen": chosen, "stamp": stamp}
        return self

    def life(self) -> bytes:
        epochs = [le(node.boot, 8) + le(n, 4) for node, n in zip(self.ends, self.incarnations, strict=True)]
        rows = [node.id + epoch for node, epoch in zip(self.ends, epochs, strict=True)]
        return derive("DONP v1 link life", b"".join(sorted(rows)))

    def say(self, end: int, *frames: bytes) -> None:
        """A packet of end 0 or 1."""
        plain, number = b"".join(frames), self.numbers[end]
        header = bytes([DATA, VERSION]) + self.indices[1 - end] + le(number, 8)
        packet = header + aead(self.keys[end], number, header, plain)
        self.packets += [{"end": end, "number": number, "frames": plain.hex(), "packet": packet.hex()}]
        self.numbers[end] += 1

    def ack(self, end: int, lowest: int, highest: int) -> bytes:
        session = self.indices[1 - end]
        return bytes([ACK]) + session + varint(highest) + varint(300) + b"\0" + varint(highest - lowest)

    def shown(self) -> dict[str, object]:
        names = {"what": self.what, "network": self.network.hex(), "cookie": self.cookie.hex()}
        numbers = {"boots": [n.boot for n in self.ends], "incarnations": list(self.incarnations)}
        drawn = {"indices": [i.hex() for i in self.indices], "ephemerals": self.secrets}
        made = {"init": self.init.hex(), "resp": self.resp.hex(), "keys": [k.hex() for k in self.keys]}
        end = {"hash": self.hash.hex(), "packets": self.packets}
        return {**names, **self.given, **numbers, **drawn, **made, **end}


def message(channel: int, body: bytes) -> bytes:
    return bytes([MESSAGE, channel]) + varint(len(body)) + body


def pieces(number: int, channel: int, body: bytes, length: int) -> list[bytes]:
    def piece(start: int) -> bytes:
        part = body[start : start + length]
        head = bytes([FRAGMENT]) + varint(number) + bytes([channel]) + varint(len(body)) + varint(start)
        return head + varint(len(part)) + part

    return [piece(start) for start in range(0, len(body), length)]


class Exchange:
    """An offer and its answer, and what both ends derive."""

    def __init__(self, generation: int, before: bytes, life: bytes) -> None:
        self.seeds = [drawn(f"{what} {generation}") for what in ("offer", "answer")]
        pair, choice = stream(self.seeds[0], 64), stream(self.seeds[1], 32)
        key, secret_key = ML_KEM_768._keygen_internal(pair[:32], pair[32:])
        secret, ciphertext = ML_KEM_768._encaps_internal(key, choice)
        assert ML_KEM_768.decaps(secret_key, ciphertext) == secret
        hashed = hashlib.sha256(key + ciphertext).digest()
        self.secret = derive("DONP v1 link pq", before + secret + hashed + life)
        self.offer = bytes([1, generation]) + key
        self.answer = bytes([2, generation]) + hashlib.sha256(key).digest()[:8] + ciphertext

    def psk(self, network: bytes) -> bytes:
        return derive("DONP v1 link psk pq", network + self.secret)

    def shown(self, network: bytes) -> dict[str, object]:
        made = {"offer": self.offer.hex(), "answer": self.answer.hex(), "psk": self.psk(network).hex()}
        return {"seeds": [s.hex() for s in self.seeds], **made}


def cookie_reply(init: bytes, responder: Node, nonce: bytes, cookie: bytes) -> bytes:
    """XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03 §2.3): HChaCha20 is ChaCha20 without the last sum."""
    key, words = derive("DONP v1 link cookie", responder.static.public), struct.Struct("<16I")
    first = words.unpack(Cipher(algorithms.ChaCha20(key, nonce[:16]), None).encryptor().update(bytes(64)))
    initial = words.unpack(b"expand 32-byte k" + key + nonce[:16])
    mixed = [(x - y) % 2**32 for x, y in zip(first, initial, strict=True)]
    sealed = ChaCha20Poly1305(struct.pack("<8I", *mixed[:4], *mixed[12:]))
    tail = sealed.encrypt(bytes(4) + nonce[16:], cookie, init[-32:-16])
    return bytes([COOKIE_REPLY, VERSION]) + init[2:6] + nonce + tail


def made() -> dict[str, object]:
    a, b, again = Node(1, 11), Node(2, 22), Node(2, 23)
    network, public = drawn("network"), bytes(32)
    # The first keys, in which both ends speak and make a secret.
    first = Handshake("first", (a, b), network).run(network, 0, 0)
    one = Exchange(1, bytes(32), first.life())
    first.say(0, bytes([PROBE]))
    first.say(1, first.ack(1, 0, 0), message(CHAT, b"hello"))
    for piece in pieces(0, SECRETS, one.offer, 600):
        first.say(0, piece)
    first.say(1, first.ack(1, 0, 2), message(SECRETS, one.answer))
    # The next keys mix it in. Then the other end begins, and makes the next secret.
    second = Handshake("second", (a, b), network).run(one.psk(network), 1, 1)
    two = Exchange(2, one.secret, first.life())
    second.say(0, message(CHAT, b"one secret"))
    third = Handshake("from the other end", (b, a), network).run(two.psk(network), 2, 2)
    third.say(0, message(CHAT, b"two secrets"))
    # The responder does not hold the newest, and the older is mixed in; or it began anew and holds none.
    older = Handshake("older", (a, b), network).run(one.psk(network), 2, 1)
    older.say(0, message(CHAT, b"one of two"))
    lost = Handshake("a new life of the responder", (a, again), network)
    lost.incarnations = (1, 2)
    lost.run(network, 2, 0).say(1, message(CHAT, b"none"))
    # A network that any node may join, and a cookie.
    nonce, cookie = drawn("nonce", 24), drawn("cookie", 16)
    asked, shown = (Handshake("public", (a, b), public) for _ in range(2))
    reply = cookie_reply(asked.run(public, 0, 0).init, b, nonce, cookie)
    shown.cookie = cookie
    shown.run(public, 0, 0)
    return {
        "about": "Links of two nodes: docs/spec/link.md. Made by tests/vectors/link.py from the pages alone.",
        "nodes": [a.shown(), b.shown()],
        "handshakes": [h.shown() for h in (first, second, third, older, lost, asked, shown)],
        "life": first.life().hex(),
        "exchanges": [one.shown(network), two.shown(network)],
        "cookie": {"nonce": nonce.hex(), "cookie": cookie.hex(), "reply": reply.hex()},
    }


def main() -> None:
    if sys.argv[1:] == ["write"]:
        FILE.write_text(json.dumps(made(), indent=1) + "\n")
    if json.loads(FILE.read_text()) != made():
        sys.exit("tests/vectors/link.json has other bytes than this program makes")
    print("seven handshakes of a link, their packets and two exchanges: as the pages say")


if __name__ == "__main__":
    main()
