"""Makes the lists of tests/vectors/devices.json from their seeds with nothing of this project but its pages.

Written from docs/spec/messages.md ("Device") and docs/design/devices.md. Takes the packages cryptography and blake3.
Without arguments it checks the file; with `write` it makes it.
"""

import json
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = Path(__file__).with_name("devices.json")
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
RECOVERY = 255


def derive(context: str, data: bytes) -> bytes:
    return blake3(data, derive_key_context=context).digest()


class Key:
    def __init__(self, secret: bytes) -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = self.key.public_key().public_bytes(*RAW)

    def sign(self, domain: str, data: bytes) -> bytes:
        return self.key.sign(domain.ljust(16).encode() + data)


def device(n: int) -> Key:
    return Key(derive("DONP v1 device key", bytes([n] * 64)))


CODE = derive("DONP v1 recovery code", bytes([1] * 64))[:20]
ACCOUNT, OUTRANKING = Key(derive("DONP v1 account key", CODE)), Key(derive("DONP v1 recovery key", CODE))
KEYS = ACCOUNT.public + OUTRANKING.public + device(1).public


def varint(n: int) -> bytes:
    out = b""
    while n >= 128:
        out += bytes([n % 128 + 128])
        n //= 128
    return out + bytes([n])


def cert(n: int, created: int) -> bytes:
    name = b"test"
    signed = KEYS + device(n).public + created.to_bytes(8, "little") + name
    by_account, by_device = ACCOUNT.sign("DONP1 devicecert", signed), device(n).sign("DONP1 consent", signed)
    front = KEYS + device(n).public + varint(len(name)) + name + varint(created)
    return front + varint(64) + by_account + varint(64) + by_device


def entry(n: int, created: int, added: int) -> bytes:
    hashed = derive("DONP v1 device certificate", cert(n, created))
    return device(n).public + added.to_bytes(8, "little") + hashed


def device_list(generation: int, entries: list[bytes], before: bytes, place: int, by: Key) -> bytes:
    out = KEYS + generation.to_bytes(8, "little") + bytes([len(entries)]) + b"".join(entries)
    out += before
    out += ACCOUNT.sign("DONP1 devicelist", out)
    out += bytes([place])
    return out + by.sign("DONP1 devlist by", out)


def list_hash(data: bytes) -> bytes:
    return derive("DONP v1 device list", data)


def chain(lists: list[bytes], certs: list[bytes]) -> str:
    def part(all_of: list[bytes]) -> bytes:
        return bytes([len(all_of)]) + b"".join(len(b).to_bytes(2, "little") + b for b in all_of)

    return (part(lists) + part(certs)).hex()


def made() -> dict[str, object]:
    first, second = entry(1, 1, 1), entry(2, 2, 5)
    one, two = cert(1, 1), cert(2, 2)
    a = device_list(1, [first], bytes(32), 0, device(1))
    b = device_list(2, [first, second], list_hash(a), 0, device(1))
    c = device_list(3, [first], list_hash(b), 0, device(1))
    stolen = device_list(3, [second], list_hash(b), 1, device(2))
    recovered = device_list(4, [second], list_hash(c), RECOVERY, OUTRANKING)
    return {
        "account": derive("DONP v1 account", KEYS).hex(),
        "person": derive("DONP v1 node id", device(1).public).hex(),
        "valid": [chain([a], [one]), chain([a, b], [one, two]), chain([a, b, c], [one]), chain([a, recovered], [two])],
        "void": [chain([a, b, stolen], [two]), chain([recovered], [two])],
    }


def main() -> None:
    if sys.argv[1:] == ["write"]:
        FILE.write_text(json.dumps(made(), indent=1) + "\n")
    if json.loads(FILE.read_text()) != made():
        sys.exit("tests/vectors/devices.json has other lists than this program makes")
    print("lists of four generations, and one that is void")


if __name__ == "__main__":
    main()
