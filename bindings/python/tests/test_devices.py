"""Devices of one account: joining by ticket, names, removal."""

from __future__ import annotations

import donp
import pytest
from conftest import Make, find, linked, until
from donp import DevicesChanged


def test_devices_of_one_account(nodes: Make) -> None:
    phone, laptop = nodes("phone"), nodes("laptop")
    linked(phone, laptop)
    events = phone.events()
    assert [d.name for d in phone.devices()] == ["phone"]
    assert phone.devices_of(laptop.id) == [laptop.id]
    ticket = phone.add_device()
    with pytest.raises(donp.InvalidInputError):
        laptop.join_account(ticket[:-1])
    laptop.join_account(ticket)
    changed = find(events, DevicesChanged)
    assert (changed.node, changed.device, changed.added) == (phone.id, laptop.id, True)
    until("the laptop is in", lambda: not laptop.is_joining_account() and len(laptop.devices()) == 2)
    assert laptop.status().account == phone.status().account
    laptop.rename_device("old laptop")
    until("the name is known", lambda: [d.name for d in phone.devices()] == ["phone", "old laptop"])
    assert [d.here for d in phone.devices()] == [True, False]
    with pytest.raises(donp.DeniedError):
        laptop.remove_device(phone.id)
    phone.remove_device(laptop.id)
    assert [d.node for d in phone.devices()] == [phone.id]
    with pytest.raises(donp.InvalidInputError):
        phone.recover_account("r123")
    assert phone.recovery_code()
