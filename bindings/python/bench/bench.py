"""What a call costs, through the generated layer and the package together: one JSON line a row.

The rows are those of bindings/README.md; best of 5 rounds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import donp

ROUNDS = 5
A, B = "10.0.0.1:4000", "10.0.0.2:4000"


def row(name: str, ns: float) -> None:
    print(json.dumps({"language": "python", "row": name, "ns": round(ns, 1)}), flush=True)


def best(calls: int, f: Callable[[], object]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter_ns()
        for _ in range(calls):
            f()
        rounds.append((time.perf_counter_ns() - begin) / calls)
    return min(rounds)


class Pair:
    """Two engines, linked, with a clock and a network of their own."""

    def __init__(self) -> None:
        self.now_us = 0
        self.hosts = {
            at: donp.Engine(donp.generate_identity(at[:8]), in_memory=True, seed=at.encode().ljust(32, b"."))
            for at in (A, B)
        }
        self.a, self.b = self.hosts.values()
        self.inbox: dict[str, list[tuple[str, bytes]]] = {A: [], B: []}
        self.a.join(0)
        self.b.join(0, A)
        while not all(engine.status().links for engine in self.hosts.values()):
            self.step()

    def step(self) -> None:
        deadlines = []
        for at, engine in self.hosts.items():
            received, self.inbox[at] = self.inbox[at], []
            out = engine.turn(self.now_us, received)
            self.give(at, out)
            deadlines.append(out.next_deadline_us or self.now_us + 1)
        if not any(self.inbox.values()):
            self.now_us = max(self.now_us + 1, min(deadlines))

    def give(self, at: str, out: donp.Output) -> None:
        for destination, payload in out.transmits:
            self.inbox[destination].append((at, payload))


def turn_64_out(pair: Pair, said: str) -> float:
    """The turn that sends 64 messages; the time of one datagram of it."""
    for _ in range(64):
        pair.a.send(pair.now_us, pair.b.id, said)
    begin = time.perf_counter_ns()
    out = pair.a.turn(pair.now_us)
    spent = time.perf_counter_ns() - begin
    sent = len(out.transmits)
    pair.give(A, out)
    # Until everything is acknowledged, or the next round would begin with a full window.
    while pair.a.status().outbox:
        pair.step()
    return spent / sent


def main() -> None:
    engine = donp.Engine(donp.generate_identity("bench"), in_memory=True)
    row("noop", best(50_000, lambda: engine.is_dead))
    row("turn_empty", best(10_000, lambda: engine.turn(1)))
    junk = b"\xff" * 1_200
    row("turn_64_in", best(500, lambda: engine.turn(1, [(A, junk) for _ in range(64)])) / 64)
    pair = Pair()
    row("turn_64_out", min(turn_64_out(pair, "x" * 1_000) for _ in range(ROUNDS)))


if __name__ == "__main__":
    main()
