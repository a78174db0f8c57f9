#!/usr/bin/env python3
"""Checks tests/vectors/session.json with nothing of this project but its pages.

Written from docs/design/sessions.md, docs/spec/messages.md ("Session") and docs/spec/store.md ("session.sessions").
Takes the packages cryptography, kyber-py and blake3. ML-KEM is computed by kyber-py and compared with OpenSSL's where
cryptography has it.
"""

import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from kyber_py.ml_kem import ML_KEM_768

try:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
except ImportError:
    MLKEM768PrivateKey = None

RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
EK, CT = 1184, 1088


def derive(context, data):
    return blake3(data, derive_key_context=context).digest()


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(salt, secret, info, length):
    prk, block, out = mac(salt, secret), b"", b""
    for n in range(1, 1 + -(-length // 32)):
        block = mac(prk, block + info + bytes([n]))
        out += block
    return out[:length]


def public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(*RAW)


def dh(secret, key):
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(key))


def kem_public(seed):
    key, _ = ML_KEM_768._keygen_internal(seed[:32], seed[32:])
    if MLKEM768PrivateKey:
        other = MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
        assert other == key, "two implementations of ML-KEM differ"
    return key


def decapsulate(seed, ciphertext):
    _, key = ML_KEM_768._keygen_internal(seed[:32], seed[32:])
    secret = ML_KEM_768.decaps(key, ciphertext)
    if MLKEM768PrivateKey:
        other = MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)
        assert other == secret, "two implementations of ML-KEM differ"
    return secret


def hchacha20(key, nonce):
    """draft-irtf-cfrg-xchacha-03 §2.2."""
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def turn(a, b, c, d):
        for x, y, z, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] ^= s[x]
            s[z] = ((s[z] << by) | (s[z] >> (32 - by))) & 0xFFFFFFFF

    for _ in range(10):
        for n in range(4):
            turn(n, n + 4, n + 8, n + 12)
        for n in range(4):
            turn(n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4)
    return struct.pack("<8I", *s[:4], *s[12:])


def cipher(key, nonce):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:]


def verify(key, domain, signed):
    Ed25519PublicKey.from_public_bytes(key).verify(signed[-64:], domain + signed[:-64])


class Row:
    """The state of a session as it is stored."""

    def __init__(self, row):
        at = 0

        def take(length):
            nonlocal at
            at += length
            return row[at - length : at]

        number = lambda length: int.from_bytes(take(length), "little")
        assert number(1) == 1
        self.bits, self.tag, self.bound, _ = number(1), take(4), take(32), take(16)
        self.root, self.own, self.theirs, self.sending, self.receiving = (take(32) for _ in range(5))
        self.sent, self.received, self.before = number(4), number(4), number(4)
        take(40)
        newest, held = number(2), number(2)
        secrets = [take(32) for _ in range(3)]
        self.secrets = {newest - n: secrets[n] for n in range(held)}
        self.epoch = number(2)
        take(3 + 4 + 1 + 8 + 1 + 16)
        self.seed = take(64)
        assert at == len(row)


class Side:
    def __init__(self, mine, devices, root, secret, bound):
        self.mine, self.root, self.bound = mine, root, bound
        self.tags = [derive("DONP v1 session tag", root + device)[:4] for device in devices]
        self.secrets, self.epoch = {0: secret}, 0
        self.own = self.theirs = self.sending = self.receiving = None
        self.sent = self.received = self.before = 0
        self.kept, self.seeds = {}, {}

    def root_step(self):
        out = hkdf(self.root, dh(self.own, self.theirs), b"DONP v1 ratchet", 64)
        self.root = out[:32]
        return out[32:]

    def key(self, message_key, epoch):
        return hkdf(self.secrets[epoch], message_key + struct.pack("<H", epoch), b"DONP v1 message\x01", 32)

    def next_epoch(self, k, key, ciphertext, secret):
        info = b"DONP v1 pq epoch" + struct.pack("<H", k) + sha(key, ciphertext)
        self.secrets[k] = hkdf(self.secrets[k - 1], secret, info, 32)

    def seal(self, body, message, row):
        header, nonce, sealed = message[:48], message[48:72], message[72:]
        key, self.sending = mac(self.sending, b"\1"), mac(self.sending, b"\2")
        want = bytes([2, 1]) + self.tags[1 - self.mine] + public(self.own)
        want += struct.pack("<IIH", self.before, self.sent, self.epoch)
        assert header == want, "a header differs"
        self.sent += 1
        box, short = cipher(self.key(key, self.epoch), nonce)
        plain = box.decrypt(short, sealed, self.bound + header)
        control = plain[: len(plain) - len(body)]
        assert plain[len(control) :] == body
        if control[0] & 1:
            self.seeds[struct.unpack("<H", control[1:3])[0]] = row.seed
            assert control[3:] == kem_public(row.seed), "an offer is not the key of its seed"
        elif control[0] & 2:
            assert control[1:3] + control[3:] == self.answer, "an answer changed"
        else:
            assert control == b"\0"
        assert box.encrypt(short, control + body, self.bound + header) == sealed
        self.compare(row)

    def skip(self, to):
        while self.received < to:
            self.kept[self.theirs, self.received] = mac(self.receiving, b"\1")
            self.receiving = mac(self.receiving, b"\2")
            self.received += 1

    def open(self, message, body, row, answers):
        header, nonce, sealed = message[:48], message[48:72], message[72:]
        theirs, (before, number, epoch) = header[6:38], struct.unpack("<IIH", header[38:])
        assert header[:2] == b"\2\1" and header[2:6] == self.tags[self.mine]
        key = self.kept.pop((theirs, number), None)
        if key is None:
            if theirs != self.theirs or self.receiving is None:
                if self.receiving is not None:
                    self.skip(before)
                self.theirs = theirs
                self.receiving = self.root_step()
                self.own = row.own
                self.sending = self.root_step()
                self.before, self.sent, self.received = self.sent, 0, 0
            self.skip(number)
            key, self.receiving = mac(self.receiving, b"\1"), mac(self.receiving, b"\2")
            self.received += 1
        box, short = cipher(self.key(key, epoch), nonce)
        plain = box.decrypt(short, sealed, self.bound + header)
        control = plain[: len(plain) - len(body)]
        assert plain[len(control) :] == body, "a body differs"
        if epoch == max(self.secrets):
            self.epoch = epoch
        if control[0] & 2:
            k = struct.unpack("<H", control[1:3])[0]
            seed = self.seeds[k]
            self.next_epoch(k, kem_public(seed), control[3:], decapsulate(seed, control[3:]))
            self.epoch = k
        if control[0] & 1:
            k = struct.unpack("<H", control[1:3])[0]
            if k not in self.secrets:
                # The other side alone can say what the answer holds: its seed opens it.
                ciphertext, seed = answers[k]
                assert kem_public(seed) == control[3:]
                self.next_epoch(k, control[3:], ciphertext, decapsulate(seed, ciphertext))
                self.answer = struct.pack("<H", k) + ciphertext
        self.compare(row)

    def compare(self, row):
        zeros = bytes(32)
        assert row.bound == self.bound and row.root == self.root, "a root differs"
        assert (row.sending, row.receiving) == (self.sending or zeros, self.receiving or zeros), "a chain differs"
        assert (row.sent, row.received, row.before) == (self.sent, self.received, self.before)
        assert row.theirs == (self.theirs or zeros) and row.own == self.own and row.epoch == self.epoch
        assert all(self.secrets[k] == secret for k, secret in row.secrets.items()), "an epoch differs"


def main(path):
    v = json.loads(Path(path).read_text())
    unhex = bytes.fromhex
    devices, (ik_a, ik_b) = [unhex(d) for d in v["devices"]], [unhex(i) for i in v["identities"]]
    bundle, opening, prekeys = unhex(v["bundle"]), unhex(v["opening"]), unhex(v["prekeys"])
    spk, seed = prekeys[8:40], prekeys[40:]
    # The bundle.
    assert len(bundle) == 1366 and bundle[:2] == b"\1\1" and bundle[2:34] == devices[1]
    assert bundle[34:66] == public(ik_b) and bundle[70:102] == public(spk) and bundle[102:1286] == kem_public(seed)
    created, expires = struct.unpack("<QQ", bundle[1286:1302])
    assert expires - created == 30 * 86_400_000
    verify(devices[1], b"DONP1 prekeys   ", bundle)
    # The binding and the agreement.
    assert len(opening) == 1262 and opening[:2] == b"\1\1" and opening[2:6] == bundle[66:70]
    binding, ephemeral, ciphertext = opening[6:142], opening[142:174], opening[174:]
    assert binding[:32] == devices[0] and binding[32:64] == public(ik_a)
    verify(devices[0], b"DONP1 sessionkey", binding)
    shared = dh(spk, public(ik_a)) + dh(ik_b, ephemeral) + dh(spk, ephemeral) + decapsulate(seed, ciphertext)
    names = bytes([1, 1]) + devices[0] + public(ik_a) + devices[1] + public(ik_b) + bundle[66:70] + public(spk)
    bound = derive("DONP v1 session ad", names + sha(kem_public(seed)) + ephemeral + sha(ciphertext))
    assert bound == unhex(v["bound"])
    agreed = hkdf(bytes(32), b"\xff" * 32 + shared, b"DONP v1 pqxdh\x01" + bound, 64)
    assert agreed[:32] == unhex(v["root"])
    sides = [Side(n, devices, agreed[:32], agreed[32:], bound) for n in range(2)]
    a, b = sides
    a.own, a.theirs = Row(unhex(v["steps"][0]["state"])).own, public(spk)
    a.sending = a.root_step()
    b.own = spk
    sent, answers = [], {}
    plans = [s for s in v["steps"] if "seal" in s]
    for step in plans:
        message = unhex(step["message"])
        sent.append(message[1262:] if message[0] == 1 else message)
    for step in v["steps"]:
        row = Row(unhex(step["state"]))
        if "seal" in step:
            at = plans.index(step)
            sides[step["seal"]].seal(unhex(step["body"]), sent[at], row)
        else:
            side = sides[step["open"]]
            for k, found in find_answers(v, sides[1 - step["open"]]).items():
                answers.setdefault(k, found)
            side.open(sent[step["message"]], unhex(step["body"]), row, answers)
    newest = [max(s.secrets) for s in sides]
    assert newest == [2, 2] and len(v["steps"]) > 50, newest
    print(f"{len(v['steps'])} steps of a session, epochs 0 to 2: as the pages say")


def find_answers(v, offerer):
    """Answers are listed by epoch beside the steps: a ciphertext is random, so no one can compute it again."""
    listed = {int(k): bytes.fromhex(ct) for k, ct in v["answers"].items()}
    return {k: (ct, offerer.seeds[k]) for k, ct in listed.items() if k in offerer.seeds}


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("session.json"))
