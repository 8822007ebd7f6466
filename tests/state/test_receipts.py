"""Receipts and events: what is hashed, what is stored, what people read."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.primitives.codec import decode, encode
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.primitives.limits import AMOUNT_MAX
from state.receipts import ACCOUNT_CREATED, EVENT_KINDS, TRANSFERRED, Event, Receipt, receipt_data
from tests.state.ledger_world import ADDRESS, FEES, World, create_account, entry, pay

ALICE, BOB = ADDRESS["alice"], ADDRESS["bob"]


def test_data_commits_to_index_and_fee() -> None:
    world = World(FEES)
    ok = world.do("alice", pay("bob"))
    failed = world.do("alice", pay("bob"), pay("bob", 0))
    assert decode(ok.data) == (-1, b"\x05")
    assert decode(failed.data) == (1, b"\x08")
    assert ok.data == receipt_data(-1, 5)
    assert (ok.gas_wanted, ok.gas_used, failed.gas_used) == (0, 1, 2)


def test_event_in_words() -> None:
    event = Event(TRANSFERRED, (ALICE, BOB, "QNX", AMOUNT_MAX, ""))
    assert event.type == "transfer"
    assert event.attributes == (
        ("sender", format_address(ALICE)),
        ("recipient", format_address(BOB)),
        ("asset", "QNX"),
        ("amount", str(AMOUNT_MAX)),
    )
    no_parent = Event(ACCOUNT_CREATED, (ALICE, BOB, b"", 1))
    assert [name for name, _ in no_parent.attributes] == ["account", "creator", "kind"]


def test_stored_form_comes_back() -> None:
    world = World(FEES)
    receipts = [
        world.do("alice", pay("bob", tag="t"), create_account((entry(0, "n"),))),
        world.do("alice", pay("bob", 0)),
    ]
    receipts.append(Receipt(0, -1, 0, receipt_data(-1, 0), (Event(TRANSFERRED, (ALICE, BOB, "QNX", AMOUNT_MAX, "")),)))
    for receipt in receipts:
        back = Receipt.from_wire(decode(encode(receipt.to_wire())))
        assert back == receipt._replace(log="", code=int(receipt.code))
        assert back.code_name == receipt.code_name


def test_every_kind_of_event_has_its_own_number() -> None:
    assert all(number == kind.number for number, kind in EVENT_KINDS.items())
    assert len({kind.name for kind in EVENT_KINDS.values()}) == len(EVENT_KINDS)


@pytest.mark.parametrize(
    "wire",
    [
        None,
        (),
        (0, -1, b"", (), 0),
        (0, -1, b"", None, 0, 0),
        (0, -1, b"\x00", (), 0, 0),
        ("0", -1, b"", (), 0, 0),
        (0, -1, b"", ((13,),), 0, 0),
        (0, -1, b"", ((13, ()),), 0, 0),
        (0, -1, b"", ((999, ()),), 0, 0),
        (0, -1, b"", ((13, (b"", b"", "", 5, "")),), 0, 0),
    ],
)
def test_wrong_stored_forms(wire: Any) -> None:
    with pytest.raises(MalformedError):
        Receipt.from_wire(wire)


def test_values_of_a_wrong_type_are_not_put_into_words() -> None:
    with pytest.raises(MalformedError):
        _ = Event(TRANSFERRED, ("x", BOB, "QNX", 1, "")).attributes


def test_codes_have_names() -> None:
    assert Code(0).name == "OK"
    assert Receipt(501, 0, 0, b"", ()).code_name == "INSUFFICIENT_FUNDS"
