"""Preconditions on time, on a pool's price, on a record: when they hold, what is malformed. The others are in `test_machine`."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.modules.preconditions import write_precondition
from state.primitives.errors import TransactionError
from state.primitives.hashing import sha256
from state.schema import account_key, holding_key
from tests.state.amm_world import AmmWorld, amm_op
from tests.state.ledger_world import ADDRESS, NOW, World, pay, update_keys

NO_BOUND = (0, 0)


@pytest.mark.parametrize(("low", "high", "holds"), [(NOW, NOW, True), (0, NOW - 1, False), (NOW + 1, NOW + 2, False)])
def test_time_between(low: int, high: int, holds: bool) -> None:
    world = World()
    receipt = world.do("alice", pay("bob"), preconditions=[write_precondition("time_between", low=low, high=high)])
    assert receipt.code == (Code.OK if holds else Code.PRECONDITION_FAILED)


@pytest.mark.parametrize(
    ("low", "high", "holds"),
    [
        ((4, 1), (4, 1), True),  # a fraction is compared exactly
        ((8, 2), NO_BOUND, True),
        (NO_BOUND, (4, 1), True),
        (NO_BOUND, NO_BOUND, True),
        ((4_000_001, 1_000_000), NO_BOUND, False),
        (NO_BOUND, (3_999_999, 1_000_000), False),
        ((1, (1 << 640) - 1), ((1 << 640) - 1, 1), True),
    ],
)
def test_pool_price_between(low: Any, high: Any, holds: bool) -> None:
    world = AmmWorld()
    bounds = write_precondition("pool_price_between", pool="EUR/QNX", low=low, high=high)
    assert world.do("bob", pay("alice"), preconditions=[bounds]).code == Code.PRECONDITION_FAILED  # there is no pool yet
    assert world.do("alice", amm_op("create", amount_a=10**6, amount_b=4 * 10**6)).code == Code.OK
    receipt = world.do("bob", pay("alice"), preconditions=[bounds])
    assert receipt.code == (Code.OK if holds else Code.PRECONDITION_FAILED)


def test_record_is() -> None:
    world = World()
    key = account_key(ADDRESS["carol"])
    same = write_precondition("record_is", key=key, hash=sha256(world.db[key]))
    absent = write_precondition("record_is", key=holding_key(ADDRESS["poor"], "QNX"), hash=b"")
    assert world.do("alice", pay("bob"), preconditions=[same, absent]).code == Code.OK
    assert world.do("carol", update_keys((), (1,), (1, 1, 1, 1))).code == Code.OK
    assert world.do("alice", pay("bob"), preconditions=[same]).code == Code.PRECONDITION_FAILED
    assert world.do("alice", pay("poor"), preconditions=[absent]).code == Code.OK
    assert world.do("alice", pay("bob"), preconditions=[absent]).code == Code.PRECONDITION_FAILED
    gone = write_precondition("record_is", key=key, hash=b"")
    assert world.do("alice", pay("bob"), preconditions=[gone]).code == Code.PRECONDITION_FAILED


@pytest.mark.parametrize(
    "precondition",
    [
        (5, -1, 5),
        (5, 0, 1 << 63),
        (6, "QNX/EUR", (b"", b""), (b"", b"")),
        (6, "EUR/QNX", (b"\x01", b""), (b"", b"")),
        (7, b" ", b""),
        (7, b" ?" + bytes(32), b""),
        (7, b"xa" + bytes(32), b""),
        (7, b" a" + bytes(254), b""),
        (7, b" a" + bytes(32), b"short"),
    ],
)
def test_malformed(precondition: Any) -> None:
    with pytest.raises(TransactionError) as caught:
        World().raw("alice", pay("bob"), preconditions=[precondition])
    assert caught.value.result == Code.MALFORMED
