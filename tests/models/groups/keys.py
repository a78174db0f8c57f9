#!/usr/bin/env python3
"""Checks tests/vectors/group-keys.json with nothing of this project but its page.

Written from docs/design/groups-keys.md. Takes the packages cryptography and blake3.
"""

import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

DEGREE, RESERVE, BLOCK = 8, 64, 32


def derive(context, *parts):
    return blake3(b"".join(parts), derive_key_context=context).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


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


class Epoch:
    """Section 4.1."""

    def __init__(self, group, operation, holders, secret):
        assert holders == sorted(set(holders))
        self.group, self.operation, self.holders = group, operation, holders
        self.chains = [derive("DONP v1 group chain", secret, group, operation, h) for h in holders]
        self.next = derive("DONP v1 group epoch next", secret, group, operation)
        self.header = derive("DONP v1 group header", secret, group, operation)
        self.tags = derive("DONP v1 group tags", self.header)[:16]

    def link(self, sender, number):
        key = self.chains[sender]
        for _ in range(number):
            key = mac(key, b"\2")
        return key

    def cipher(self, header, nonce):
        """Sections 4.2 and 4.3."""
        sender, number = struct.unpack("<HI", header[18:])
        key = mac(self.link(sender, number), b"\1")
        bound = self.group + self.operation + header
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:], bound

    def seal(self, sender, number, nonce, run):
        header = b"\1\1" + self.tags + struct.pack("<HI", sender, number)
        cipher, nonce12, bound = self.cipher(header, nonce)
        return header + nonce + cipher.encrypt(nonce12, run, bound)

    def open(self, message):
        header, nonce, sealed = message[:24], message[24:48], message[48:]
        assert header[:2] == b"\1\1" and header[2:18] == self.tags
        cipher, nonce12, bound = self.cipher(header, nonce)
        return (*struct.unpack("<HI", header[18:]), cipher.decrypt(nonce12, sealed, bound))


def order(commitment, members, author, away):
    """Section 4.6: indices of the members but the author."""
    place = {m: (m in away, derive("DONP v1 group order", commitment, m)) for m in members}
    return [members.index(m) for m in sorted(place, key=place.get) if m != author]


def feeding(count):
    """Of the author and of each position, whom it feeds, from the side of those that are fed."""
    lists = [[] for _ in range(count + 1)]
    for position in range(count):
        lists[position // DEGREE].append(position)
    return lists


def rows(epoch, secret, me, sent, made):
    """Section 4.5: those of a holder that opened nothing."""
    def number(n):
        return struct.pack(">H", n)

    meta = b"\1" + epoch.operation + epoch.header + epoch.next + secret
    meta += struct.pack("<QQHH", made, 2**64 - 1, me, len(epoch.holders) - 1)
    silent = [bytes(32) if n == me else chain for n, chain in enumerate(epoch.chains)]
    found = [(b"\0", meta)]
    for kind, parts in ((b"\1", epoch.holders), (b"\2", silent)):
        blocks = range(0, len(parts), BLOCK)
        found += [(kind + number(at // BLOCK), b"".join(parts[at:at + BLOCK])) for at in blocks]
    reserved = -(-sent // RESERVE) * RESERVE
    return [*found, (b"\3", struct.pack("<I", reserved) + epoch.link(me, reserved))]


def main(path):
    v = json.loads(Path(path).read_text())
    unhex = bytes.fromhex
    group, operation, secret = (unhex(v[name]) for name in ("group", "operation", "secret"))
    members, author, away = [unhex(m) for m in v["members"]], unhex(v["author"]), [unhex(m) for m in v["away"]]
    assert len(members) == 21 and author in members

    commitment = derive("DONP v1 group epoch commit", secret, group)
    assert commitment == unhex(v["commitment"])
    assert v["order"] == order(commitment, members, author, away) and len(v["order"]) == 20
    assert {members[n] for n in v["order"][-3:]} == set(away), "those believed away are not last"
    assert v["feeding"] == feeding(20)
    assert unhex(v["secret_message"]) == b"\2" + group + operation + secret

    epoch = Epoch(group, operation, members, secret)
    assert [epoch.header, epoch.tags, epoch.next] == [unhex(v[name]) for name in ("header", "tags", "next")]
    assert epoch.chains == [unhex(chain) for chain in v["chains"]] and len(set(epoch.chains)) == 21

    for m in v["messages"]:
        message, run = unhex(m["message"]), unhex(m["run"])
        sender = members.index(unhex(m["sender"]))
        assert epoch.open(message) == (sender, m["number"], run) and len(message) == len(run) + 64
        assert epoch.seal(sender, m["number"], message[24:48], run) == message
        for at in range(18, len(message), 7):
            forged = bytearray(message)
            forged[at] ^= 1
            try:
                epoch.open(bytes(forged))
                raise AssertionError(f"a message with byte {at} changed opens")
            except (InvalidTag, IndexError):
                pass
    said = [(members.index(unhex(m["sender"])), m["number"]) for m in v["messages"]]
    assert said == [(2, 0), (20, 0), (2, 1)]
    made = 1_767_225_600_000
    assert [(unhex(k), unhex(row)) for k, row in v["rows"]] == rows(epoch, secret, 2, 2, made)

    s = v["successor"]
    after = derive("DONP v1 group next", epoch.next, unhex(s["operation"]))
    assert after == unhex(s["secret"])
    successor = Epoch(group, unhex(s["operation"]), [unhex(h) for h in s["holders"]], after)
    assert len(successor.holders) == 22 and set(members) < set(successor.holders)
    assert [successor.tags, successor.next] == [unhex(s["tags"]), unhex(s["next"])]

    clear = unhex(v["public"])
    assert clear == b"\1\0" + derive("DONP v1 public group", group)[:16] + bytes([0xEE] * 64) + b"in clear"
    print("an epoch of 21 members, its messages, rows and successor: as the page says")


if __name__ == "__main__":
    vectors = Path(__file__).resolve().parents[2] / "vectors" / "group-keys.json"
    main(sys.argv[1] if len(sys.argv) > 1 else vectors)
