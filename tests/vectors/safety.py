"""The safety numbers of docs/design/contacts.md, made independently: BLAKE3 in plain Python, from its paper.

Without arguments it checks tests/vectors/safety.json; with `write` it makes that file.
"""

import json
import sys
from pathlib import Path

FILE = Path(__file__).with_name("safety.json")
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, ROOT, KEY_CONTEXT, KEY_MATERIAL = 1, 2, 8, 32, 64
M = 0xFFFFFFFF


def compress(chain: tuple[int, ...], block: bytes, flags: int, counter: int = 0) -> list[int]:
    """One block of 64 bytes or less, to 16 words (BLAKE3, section 2.2)."""
    padded = block + bytes(64 - len(block))
    words = [int.from_bytes(padded[i : i + 4], "little") for i in range(0, 64, 4)]
    v = [*chain, *IV[:4], counter & M, counter >> 32, len(block), flags]

    def g(a: int, b: int, c: int, d: int, x: int, y: int) -> None:
        for word, left, right in ((x, 16, 12), (y, 8, 7)):
            v[a] = (v[a] + v[b] + word) & M
            t = v[d] ^ v[a]
            v[d] = (t >> left | t << (32 - left)) & M
            v[c] = (v[c] + v[d]) & M
            t = v[b] ^ v[c]
            v[b] = (t >> right | t << (32 - right)) & M

    for n in range(7):
        for i in range(4):
            g(i, 4 + i, 8 + i, 12 + i, words[2 * i], words[2 * i + 1])
        for i in range(4):
            g(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, words[8 + 2 * i], words[9 + 2 * i])
        if n < 6:
            words = [words[i] for i in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)] + [v[i + 8] ^ chain[i] for i in range(8)]


def blake3(data: bytes, length: int = 32, key: tuple[int, ...] = IV, mode: int = 0) -> bytes:
    """At most one chunk of 1,024 bytes in, at most 64 bytes out."""
    blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
    assert len(blocks) <= 16 and length <= 64
    chain, flags = key, mode | CHUNK_START
    for block in blocks[:-1]:
        chain, flags = tuple(compress(chain, block, flags)[:8]), mode
    out = compress(chain, blocks[-1], flags | CHUNK_END | ROOT)
    return b"".join(word.to_bytes(4, "little") for word in out)[:length]


def derive(context: bytes, data: bytes, length: int) -> bytes:
    key = blake3(context, 32, IV, KEY_CONTEXT)
    words = tuple(int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4))
    return blake3(data, length, words, KEY_MATERIAL)


def half(keys: bytes) -> str:
    data = b"DONP safety v1" + keys
    for _ in range(5_200 - 1):
        data = blake3(data) + keys
    out = blake3(data, 30)
    return "".join(f"{int.from_bytes(out[i : i + 5], 'big') % 100_000:05}" for i in range(0, 30, 5))


def number(own: bytes, other: bytes) -> str:
    digits = "".join(sorted((half(own), half(other))))
    return " ".join(digits[i : i + 5] for i in range(0, 60, 5))


def code(own: bytes, other: bytes) -> str:
    data = b"\x01" + own + other
    data += derive(b"DONP v1 printed id checksum", b"s" + data, 3)
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return "s" + "".join(alphabet[int(bits[i : i + 5], 2)] for i in range(0, len(bits), 5))


def made() -> list[dict[str, object]]:
    def side(n: int) -> bytes:
        return bytes((n * 64 + i * 7) % 256 for i in range(64))

    def shown(keys: bytes) -> dict[str, str]:
        return {"device": keys[:32].hex(), "identity": keys[32:].hex()}

    cases = []
    for a, b in ((0, 1), (1, 0), (2, 3)):
        own, other = side(a), side(b)
        cases.append(
            {
                "own": shown(own),
                "other": shown(other),
                "number": number(own, other),
                "code": code(own, other),
            }
        )
    return cases


def main() -> None:
    # The hash of nothing, from BLAKE3's test vectors.
    assert blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    if sys.argv[1:] == ["write"]:
        FILE.write_text(json.dumps(made(), indent=1) + "\n")
    frozen = json.loads(FILE.read_text())
    if frozen != made():
        sys.exit("tests/vectors/safety.json has other safety numbers than this program makes")
    print(f"{len(frozen)} safety numbers")


if __name__ == "__main__":
    main()
