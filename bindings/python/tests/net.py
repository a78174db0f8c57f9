"""A network of engines in a list, with time that jumps to the next deadline and a store of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import donp

WALL = 1_790_000_000_000


class Host:
    def __init__(self, n: int, engine: donp.Engine) -> None:
        self.address = f"10.0.0.{n}:4000"
        self.engine = engine
        self.store: dict[tuple[int, bytes], bytes] = {}
        self.committed: int | None = None
        self.inbox: list[tuple[str, bytes]] = []
        self.events: list[donp.Event] = []
        self.answers: list[donp.Answer] = []
        self.parts: list[donp.FilePart] = []
        self.deadline_us = 0

    def apply(self, batch: donp.Batch) -> None:
        for op in batch.ops:
            match op:
                case donp.Put(table, key, value):
                    self.store[table, key] = value
                case donp.Delete(table, key):
                    self.store.pop((table, key), None)
                case donp.DeleteRange(table, start, end):
                    for t, k in [(t, k) for t, k in self.store if t == table and start <= k < end]:
                        del self.store[t, k]
        self.committed = batch.seq

    def read(self, request: donp.Request) -> list[donp.Record]:
        inside = sorted(k for t, k in self.store if t == request.table and request.start <= k < request.end)
        if request.reverse:
            inside.reverse()
        return [
            donp.Record(request.table, key, self.store[request.table, key]) for key in inside[: request.limit]
        ]

    def records(self) -> list[donp.Record]:
        return [donp.Record(table, key, value) for (table, key), value in sorted(self.store.items())]

    def received(self) -> list[str]:
        return [event.message.text for event in self.events if isinstance(event, donp.Received)]


class Net:
    def __init__(self, *engines: donp.Engine) -> None:
        self.now_us = 0
        self.hosts = [Host(n, engine) for n, engine in enumerate(engines, 1)]
        for n, host in enumerate(self.hosts):
            host.engine.join(0, [] if n == 0 else [self.hosts[0].address])

    def step(self) -> None:
        sent: list[tuple[str, tuple[str, bytes]]] = []
        for host in self.hosts:
            if not host.inbox and host.committed is None and host.deadline_us > self.now_us:
                continue
            received, host.inbox = host.inbox, []
            committed, host.committed = host.committed, None
            out = host.engine.turn(self.now_us, received, committed)
            host.events += out.events
            host.answers += out.answers
            host.parts += out.parts
            host.deadline_us = 0 if out.more else (out.next_deadline_us or 2**63)
            if out.batch is not None:
                host.apply(out.batch)
            for request in out.requests:
                host.engine.handle_records(self.now_us, request.id, host.read(request))
                host.deadline_us = 0
            for transmit in out.transmits:
                assert len(transmit.payload) <= 1_452
                sent.append((transmit.destination, (host.address, transmit.payload)))
        for to, datagram in sent:
            for host in self.hosts:
                if host.address == to:
                    host.inbox.append(datagram)
        if not sent and all(host.committed is None for host in self.hosts):
            self.now_us = max(self.now_us + 1, min(host.deadline_us for host in self.hosts))

    def until(self, what: str, done: Callable[[], bool]) -> None:
        for _ in range(100_000):
            if done():
                return
            self.step()
        raise AssertionError(f"{what} did not happen in {self.now_us // 1_000_000} s of its time")

    def linked(self) -> None:
        self.until("linked", lambda: all(host.engine.status().links > 0 for host in self.hosts))

    def wake(self) -> None:
        for host in self.hosts:
            host.deadline_us = 0


def engine(name: str, *, in_memory: bool = True) -> donp.Engine:
    return donp.Engine(donp.generate_identity(name), wall_ms=WALL, in_memory=in_memory)
