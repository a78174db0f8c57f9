"""Members, failures and neighbours: scenarios of bindings/README.md, under their names."""

from __future__ import annotations

import os

import donp
import pytest
from conftest import Make, afind, find, linked, until
from donp import FailureType, Lan, MemberChanged, MemberState
from net import WALL, Net, engine


def held(of: donp.Node | donp.Engine, id: donp.NodeId) -> MemberState | None:
    """What a node holds of a member."""
    return next((m.state for m in of.members() if m.id == id), None)


def told(events: donp.Events, id: donp.NodeId, state: MemberState) -> MemberChanged:
    return find(events, MemberChanged, lambda e: (e.peer, e.state) == (id, state))


def test_members_of_a_zone(nodes: Make) -> None:
    a, b, c = nodes("a"), nodes("b"), nodes("c")
    assert a.members() == []
    events = a.events()
    linked(a, b)
    linked(a, c)
    for one, other in ((a, b), (b, a), (a, c)):
        until("they hold each other for alive", lambda o=one, id=other.id: held(o, id) is MemberState.ALIVE)  # type: ignore[misc]
    members = a.members()
    assert [m.id for m in members] == sorted((b.id, c.id))
    assert all(isinstance(m, donp.ZoneMember) and m.linked for m in members)
    b.shutdown()
    assert told(events, b.id, MemberState.LEFT).seq is None
    assert held(a, b.id) is MemberState.LEFT
    c.kill()
    a.detect_node_failure(c.id)
    told(events, c.id, MemberState.SUSPECT)
    told(events, c.id, MemberState.DOWN)
    assert held(a, c.id) is MemberState.DOWN


def test_a_blocked_node(nodes: Make) -> None:
    a, b = nodes("a"), nodes("b")
    linked(a, b)
    a.block(b.id)
    assert a.blocked() == [b.id]
    until("the link is gone", lambda: not any(p.linked for p in a.peers()))
    with pytest.raises(donp.DeniedError):
        a.send(b.id, "no")
    with pytest.raises(donp.InvalidInputError):
        a.block(a.id)
    events = a.events()
    id = b.send(a.id, "let me in")
    a.unblock(b.id)
    assert a.blocked() == []
    assert find(events, donp.Received).message.id == id


async def test_the_operations_of_fault_tolerance() -> None:
    async with (
        donp.AsyncNode(name="a", listen="127.0.0.1:0") as a,
        donp.AsyncNode(name="b", listen="127.0.0.1:0") as b,
    ):
        events = a.events()
        await a.join(await b.invite())
        await afind(events, donp.PeerUp)
        await a.detect_node_failure(b.id)
        answer = await afind(events, MemberChanged, lambda e: e.peer == b.id)
        assert answer == MemberChanged(b.id, MemberState.ALIVE)
        await a.report_partition([b.id])
        await a.report_partition()
        for failure in FailureType:
            await a.recover_from_failure(failure)
        said = await b.broadcast("compared and fetched")
        await a.synchronize_state(b.id)
        await afind(a.events(), donp.Received, lambda e: e.message.id == said)
        assert MemberState.ALIVE in [m.state for m in await a.members()]

        stranger = donp.identity_node_id(donp.generate_identity("stranger"))
        for call in (a.detect_node_failure, a.synchronize_state, lambda id: a.report_partition([id])):
            with pytest.raises(donp.NotFoundError):
                await call(stranger)
            with pytest.raises(donp.InvalidInputError):
                await call(a.id)
            with pytest.raises(TypeError, match="NodeId"):
                await call("n")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="FailureType"):
            await a.recover_from_failure("node")  # type: ignore[arg-type]
        peer = await a.peer(b.id)
        assert peer is not None
        assert (peer.role, peer.node_type) == (donp.NodeType.REGULAR, donp.NodeType.REGULAR)
        assert isinstance(peer.verified, bool)
        await a.suspend()
        with pytest.raises(donp.NotRunningError):
            await a.recover_from_failure(FailureType.NODE)


def test_the_operations_on_engines() -> None:
    net = Net(engine("a"), engine("b"))
    a, b = net.hosts
    net.until("a zone", lambda: held(a.engine, b.engine.id) is MemberState.ALIVE)
    a.events.clear()
    a.engine.detect_node_failure(net.now_us, b.engine.id)
    net.wake()
    alive = MemberChanged(b.engine.id, MemberState.ALIVE)
    net.until("an answer", lambda: alive in a.events)
    a.engine.report_partition(net.now_us, [b.engine.id])
    a.engine.synchronize_state(net.now_us, b.engine.id)
    for failure in FailureType:
        a.engine.recover_from_failure(net.now_us, failure)
    with pytest.raises(donp.InvalidInputError):
        a.engine.detect_node_failure(net.now_us, a.engine.id)
    # Gone without a word.
    net.hosts.remove(b)
    net.wake()
    a.engine.detect_node_failure(net.now_us, b.engine.id)
    net.until("suspicion", lambda: MemberChanged(b.engine.id, MemberState.SUSPECT) in a.events)
    net.until("failure", lambda: MemberChanged(b.engine.id, MemberState.DOWN) in a.events)


def near(name: str, key: bytes, lan: Lan) -> donp.Node:
    # On loopback, in a network of its own: no other node receives it or is received.
    return donp.Node(name=name, listen="127.0.0.1:0", network_key=key, lan=lan)


def test_nodes_near_each_other() -> None:
    key = os.urandom(32)
    with near("off", key, Lan.OFF) as off, near("a", key, Lan.ON) as a:
        events = a.events()
        assert a.status().lan, "loopback has no multicast here"
        with near("b", key, Lan.COMPAT) as b:
            assert find(events, donp.PeerUp).peer == b.id
            status = off.status()
            assert (status.known, status.lan) == (0, ()), "it says and hears nothing"
            assert len(b.status().lan) == 2
        # What another discovery found is tried.
        off.handle_local_peer(a.local_addresses[0], a.id)
        assert find(events, donp.PeerUp).peer == off.id
        with pytest.raises(donp.InvalidInputError, match="near"):
            off.handle_local_peer("near")
    with pytest.raises(TypeError, match="Lan"):
        donp.Node(name="x", offline=True, lan="on")  # type: ignore[arg-type]
    with donp.Node(name="x", listen="127.0.0.1:0", bootstraps="nowhere.invalid:1") as lost:
        until("the name is looked up", lambda: "nowhere.invalid:1" in lost.status().unresolved)


def test_engines_near_each_other() -> None:
    def made(name: str, *, beacons: bool) -> donp.Engine:
        identity = donp.generate_identity(name)
        return donp.Engine(identity, wall_ms=WALL, in_memory=True, beacons=beacons)

    speaker, hearer, deaf = (made(name, beacons=name != "deaf") for name in ("speaker", "hearer", "deaf"))
    for n, e in enumerate((speaker, hearer, deaf), 1):
        e.set_local_addresses(0, [f"10.0.0.{n}:4000"])
        e.join(0)
    beacon, now = None, 0
    while beacon is None:
        out = speaker.turn(now)
        beacon = out.beacon
        assert out.next_deadline_us is not None
        now = max(now + 1, out.next_deadline_us)
    assert len(beacon) <= 400
    for e in (hearer, deaf):
        e.turn(now)
        e.handle_beacon(now, "10.0.0.1:9999", beacon)
    assert [t.destination for t in hearer.turn(now).transmits] == ["10.0.0.1:4000"]
    assert deaf.turn(now).transmits == []
    deaf.handle_local_peer(now, "10.0.0.1:4000")
    assert [t.destination for t in deaf.turn(now).transmits] == ["10.0.0.1:4000"]
    with pytest.raises(donp.InvalidInputError):
        hearer.handle_beacon(now, "near", beacon)


def test_what_is_of_a_newer_version_shows() -> None:
    from donp._ffi import donp_ffi
    from donp.events import _event_in

    assert _event_in(donp_ffi.Event.UNKNOWN(7)) == donp.UnknownEvent(7)
    assert _event_in(donp_ffi.Event.UNKNOWN(None)).seq is None
    # Every kind of the library has its class here.
    kinds = [v for v in vars(donp_ffi.Event).values() if isinstance(v, type)]
    assert len(kinds) == len(donp.Event.__args__)
