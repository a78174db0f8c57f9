"""Contacts, requests, safety numbers: a scenario of bindings/README.md, under its name."""

from __future__ import annotations

import donp
import pytest
from conftest import Make, find, linked, until
from donp import (
    Authenticated,
    AuthenticationResult,
    ContactRequest,
    Private,
    Received,
    Verification,
)
from net import Net, engine


def number(of: donp.Node, other: donp.Node) -> donp.SafetyNumber:
    def known() -> bool:
        try:
            of.safety_number(other.id)
        except donp.NotFoundError:
            return False
        return True

    until("the keys are known", known)
    return of.safety_number(other.id)


def test_contacts_and_requests(nodes: Make) -> None:
    a, b = nodes("a"), nodes("b")
    linked(a, b)
    events = b.events()
    first = a.send(b.id, "hello")
    request = find(events, ContactRequest)
    assert request.node == a.id
    contact = b.contact(a.id)
    assert contact is not None
    assert (contact.request, contact.unread, contact.verification) == (True, 1, Verification.UNVERIFIED)
    (mine,) = a.contacts()
    assert (mine.node, mine.request, mine.petname) == (b.id, False, None)
    b.accept_contact(a.id)
    with pytest.raises(donp.NotFoundError):
        b.accept_contact(a.id)
    b.rename_contact(a.id, "al")
    with pytest.raises(donp.AlreadyExistsError):
        b.add_contact(donp.identity_node_id(donp.generate_identity("x")), "al")
    for bad in ("", "x" * 65):
        with pytest.raises(donp.InvalidInputError):
            b.rename_contact(a.id, bad)

    at_a, at_b = number(a, b), number(b, a)
    assert at_a.number == at_b.number
    assert len(at_a.number.replace(" ", "")) == 60
    with pytest.raises(donp.DeniedError):
        a.verify_contact(b.id, "12345" * 12)
    with pytest.raises(donp.InvalidInputError):
        a.verify_contact(b.id, "12345")
    a.verify_contact(b.id, at_b.code)
    b.verify_contact(a.id, at_a.number)
    for of, other in ((a, b), (b, a)):
        verified = of.contact(other.id)
        assert verified is not None
        assert verified.verification is Verification.VERIFIED
    with pytest.raises(donp.NotFoundError):
        a.accept_change(b.id)

    here = Private(a.id)
    (info,) = [c for c in b.conversations() if c.conversation == here]
    assert (info.unread, info.read, info.request) == (1, None, False)
    b.mark_read(here, first)
    assert next(c for c in b.conversations() if c.conversation == here).unread == 0
    b.mute_contact(a.id)
    silent = a.send(b.id, "silent")
    until("it is stored", lambda: not a.is_queued(silent))
    b.mute_contact(a.id, False)
    a.send(b.id, "loud")
    assert find(events, Received, lambda e: e.message.text != "hello").message.text == "loud"
    assert [m.text for m in b.history(here).messages] == ["hello", "silent", "loud"]
    b.delete_conversation(here)
    assert b.history(here).messages == []
    with pytest.raises(donp.DeniedError):
        b.delete_conversation(donp.NETWORK)

    answers = a.events()
    a.authenticate_node(b.id)
    answer = find(answers, Authenticated)
    assert answer == Authenticated(b.id, AuthenticationResult.AUTHENTICATED)
    b.remove_contact(a.id)
    assert b.contacts() == []


def test_contacts_of_engines() -> None:
    net = Net(engine("a"), engine("b"))
    a, b = net.hosts
    net.linked()
    net.until("they know each other", lambda: a.engine.peer(b.engine.id) is not None)
    a.engine.send(net.now_us, b.engine.id, "hello")
    net.wake()
    net.until("a request", lambda: any(isinstance(e, ContactRequest) for e in b.events))
    b.engine.accept_contact(net.now_us, a.engine.id)
    b.engine.rename_contact(net.now_us, a.engine.id, "al")
    b.engine.mute_contact(net.now_us, a.engine.id)
    b.engine.mute_contact(net.now_us, a.engine.id, False)
    net.wake()

    def known() -> bool:
        try:
            b.engine.safety_number(net.now_us, a.engine.id)
            a.engine.safety_number(net.now_us, b.engine.id)
        except donp.NotFoundError:
            return False
        return True

    net.until("keys", known)
    shown = a.engine.safety_number(net.now_us, b.engine.id)
    b.engine.verify_contact(net.now_us, a.engine.id, shown.code)
    (contact,) = b.engine.contacts()
    assert (contact.petname, contact.verification) == ("al", Verification.VERIFIED)
    here = Private(a.engine.id)
    b.engine.mark_read(net.now_us, here)
    assert all(c.unread == 0 for c in b.engine.conversations())
    b.engine.delete_conversation(net.now_us, here)
    with pytest.raises(donp.NotFoundError):
        b.engine.accept_change(net.now_us, a.engine.id)
    b.engine.authenticate_node(net.now_us, a.engine.id)
    net.wake()
    wanted = Authenticated(a.engine.id, AuthenticationResult.AUTHENTICATED)
    net.until("an answer", lambda: wanted in b.events)
    b.engine.remove_contact(net.now_us, a.engine.id)
    assert b.engine.contact(a.engine.id) is None
    b.engine.add_contact(net.now_us, a.engine.id, "again")
