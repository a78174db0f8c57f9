"""Groups: a scenario of bindings/README.md, under its name."""

from __future__ import annotations

import asyncio
import dataclasses

import donp
import pytest
from conftest import Make, afind, find, linked, texts, until
from donp import Confirmed, Group, GroupChange, GroupChanged, GroupId, GroupPolicy, GroupRole, Typing
from net import WALL, Net, engine
from test_bot import person, serving


def changed(events: donp.Events, change: GroupChange) -> GroupChanged:
    return find(events, GroupChanged, lambda e: e.change is change)


def is_out(node: donp.Node, group: GroupId) -> bool:
    info = node.group(group)
    return info is not None and info.role is None


def test_a_group_of_three(nodes: Make) -> None:
    """Fails if who was removed gets the key of those who stay."""
    a, b, c = nodes("a"), nodes("b"), nodes("c")
    linked(a, b)
    linked(a, c)
    events = c.events()
    group = a.create_group("team", policy=GroupPolicy(history=donp.Everything()))
    team = Group(group)
    a.send_to_group(group, "welcome")
    invitation = a.invite_to_group(group, uses=2)
    for node in (b, c):
        node.join_group(invitation)
    assert changed(events, GroupChange.JOINED).group == group
    # A member that has not read it sends the next at the same time.
    until("b has read it", lambda: texts(b, team) == ["welcome"])
    b.say(team, "hello")
    for node in (a, b, c):
        until(f"{node.name} has both", lambda n=node: texts(n, team) == ["welcome", "hello"])  # type: ignore[misc]
    seen = b.events()
    c.send_typing(team)
    assert find(seen, Typing) == Typing(team, c.id, True)
    answer = c.reply(c.history(team).messages[-1], "hello b")
    assert find(seen, Typing) == Typing(team, c.id, False)
    until("b has the answer", lambda: answer in [m.id for m in b.history(team).messages])
    assert not texts(c), "nothing of it is said to all"

    until("b and c have the answer of c", lambda: len(c.confirmations(team, answer).stored) == 2)
    found = c.confirmations(team, answer)
    assert (found.message, found.members, found.read) == (answer, 2, [])
    assert found.stored == sorted((a.id, b.id))
    rose = find(events, Confirmed, lambda e: len(e.confirmations.stored) == 2)
    assert (rose.conversation, rose.confirmations.message) == (team, answer)
    with pytest.raises(donp.NotFoundError):
        a.confirmations(team, answer)
    with pytest.raises(donp.DeniedError):
        a.confirmations(donp.NETWORK, answer)

    info = a.group(group)
    assert info is not None
    assert (info.name, info.role, info.kind) == ("team", GroupRole.OWNER, donp.GroupKind.PRIVATE)
    assert sorted(m.id for m in info.members) == sorted((a.id, b.id, c.id))
    assert info.holds_key
    assert 1 <= info.key_holders <= 3
    assert info.policy.history == donp.Everything()

    a.remove_member(group, c.id)
    assert changed(events, GroupChange.ENDED).node is None
    until("c knows that it is out", lambda: is_out(c, group))
    b.say(team, "among us")
    until("a has read it", lambda: texts(a, team)[-1:] == ["among us"])
    a.say(team, "yes")
    for node in (a, b):
        until(f"{node.name} has all", lambda n=node: texts(n, team)[-2:] == ["among us", "yes"])  # type: ignore[misc]
    assert texts(c, team) == ["welcome", "hello", "hello b"]
    with pytest.raises(donp.DeniedError, match="not a member"):
        c.say(team, "let me in")


def test_what_may_be_done_in_a_group(nodes: Make) -> None:
    a, b = nodes("a"), nodes("b")
    linked(a, b)
    group = a.create_group("club", policy=GroupPolicy(approve=True))
    events, told = a.events(), b.events()
    invitation = a.invite_to_group(group, GroupRole.GUEST)
    with pytest.raises(donp.InvalidInputError):
        a.join_group(invitation)
    with pytest.raises(donp.InvalidInputError):
        b.join_group(a.invite())
    b.join_group(invitation)
    asked = changed(events, GroupChange.ASKED)
    assert (asked.node, asked.name) == (b.id, "b")
    assert [g.name for g in b.joining_groups()] == ["club"]
    a.answer_join(group, b.id, True)
    changed(told, GroupChange.JOINED)
    assert b.joining_groups() == []
    with pytest.raises(donp.DeniedError):
        b.send_to_group(group, "guests read")
    a.set_member_role(group, b.id, GroupRole.ADMIN)
    assert changed(told, GroupChange.RANKED).role is GroupRole.ADMIN
    b.rename_group(group, "book club")
    assert changed(events, GroupChange.RENAMED).text == "book club"
    b.describe_group(group, "we read")
    assert changed(events, GroupChange.DESCRIBED).text == "we read"
    said = b.send_to_group(group, "on page one")
    b.pin_message(group, said)
    pinned = changed(events, GroupChange.PINNED)
    assert (pinned.message, a.group(group).pinned) == (said, [said])  # type: ignore[union-attr]
    with pytest.raises(donp.DeniedError):
        a.pin_message(group, said)
    a.unpin_message(group, said)
    assert changed(told, GroupChange.UNPINNED).message == said
    assert b.group(group).pinned == []  # type: ignore[union-attr]
    policy = dataclasses.replace(GroupPolicy(), history=donp.Days(7), post=GroupRole.GUEST)
    a.set_group_policy(group, policy)
    changed(told, GroupChange.POLICY_CHANGED)
    info = b.group(group)
    assert info is not None
    assert (info.policy, info.description) == (policy, "we read")
    with pytest.raises(donp.DeniedError):
        a.leave_group(group)
    a.transfer_group(group, b.id)
    until("b owns it", lambda: [m.role for m in b.groups()[0].members if m.id == b.id] == [GroupRole.OWNER])
    a.leave_group(group)
    assert changed(told, GroupChange.REMOVED).node == a.id
    with pytest.raises(donp.NotFoundError):
        a.send_to_group(b.create_group("other"), "x")
    with pytest.raises(TypeError):
        a.group(a.id)  # type: ignore[arg-type]


def test_a_group_of_engines() -> None:
    a, b = engine("a"), engine("b")
    net = Net(a, b)
    net.linked()
    group = a.create_group(net.now_us, "team")
    invitation = a.invite_to_group(net.now_us, group, GroupRole.MEMBER, 1, WALL * 2)
    b.join_group(net.now_us, invitation)
    net.wake()
    net.until("b is in", lambda: b.group(group) is not None)
    b.send_typing(net.now_us, Group(group))
    said = b.send_to_group(net.now_us, group, "hello")
    net.wake()
    net.until("a has it", lambda: net.hosts[0].received() == ["hello"])
    net.until("b knows", lambda: b.confirmations(net.now_us, Group(group), said).stored == [a.id])
    a.remove_member(net.now_us, group, b.id)
    net.wake()
    net.until("b is out", lambda: [g.role for g in b.groups()] == [None])
    assert a.joining_groups() == []


async def test_a_bot_in_a_group() -> None:
    bot = donp.Bot("echo")

    @bot.on_message
    async def echo(msg: donp.AsyncBotMessage) -> None:
        members = await msg.conversation.members()
        await msg.reply(f"{msg.text} to {len(members)}")

    async with serving(bot) as node, person() as alice:
        await alice.meet(node)
        group = await alice.node.create_group("team")
        joined = node.events()
        await node.join_group(await alice.node.invite_to_group(group))
        await afind(joined, GroupChanged, lambda e: e.change is GroupChange.JOINED)
        id = await alice.node.send_to_group(group, "hello")
        assert await asyncio.wait_for(alice.answer(id), 60) == "hello to 2"
