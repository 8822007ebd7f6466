"""The invariants on their own: what each one sees, that good changes pass, and that a wrong charge is undone altogether."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from state.codes import Code
from state.invariants import check_charge, check_operation
from state.machine import BlockExecution
from state.modules.operation import FEES_ADDRESS
from state.primitives.limits import AMOUNT_MAX, LANE_UNORDERED
from state.schema import BREAKERS_KEY, holding_key, minter_key, nonces_key, supply_key
from state.transaction import Call, Transaction, call
from state.view import View
from tests.state.ledger_world import ADDRESS, FEES, World, pay

ALICE, BOB, BANK = ADDRESS["alice"], ADDRESS["bob"], ADDRESS["bank"]
HELD = 1_000_000


@pytest.fixture
def view() -> View:
    view = View(World(FEES).db)
    view.put(holding_key(FEES_ADDRESS, "QNX"), (100,))
    view.put(nonces_key(ALICE), (4, 0, 9))
    view.settle()
    return view


def transfer(view: View, *changes: tuple[bytes, Any]) -> str:
    return after(view, pay("bob"), *changes)


def after(view: View, op: Any, *changes: tuple[bytes, Any]) -> str:
    for key, record in changes:
        view.put(key, record)
    checked: Call = World(FEES).tx("alice" if op[0] != 21 else "bank", op).calls[0]
    return check_operation(view, 0, checked)


def held(owner: bytes, amount: int, code: str = "QNX") -> tuple[bytes, Any]:
    return holding_key(owner, code), (amount,) if amount else None


def test_a_transfer_passes(view: View) -> None:
    assert transfer(view, held(ALICE, HELD - 5), held(BOB, HELD + 5)) == ""


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ([held(ALICE, HELD - 5), held(BOB, HELD + 6)], "I1"),
        ([held(ALICE, HELD - 5)], "I1"),
        ([(holding_key(ALICE, "QNX"), (-5,)), held(BOB, 2 * HELD + 5)], "I2"),
        ([(holding_key(BOB, "QNX"), (AMOUNT_MAX + 1,))], "I2"),
        ([held(ALICE, HELD - 5), held(FEES_ADDRESS, 105)], "I2"),
        ([held(FEES_ADDRESS, 95), held(BOB, HELD + 5)], "I2"),
        ([held(BANK, HELD - 5), held(BOB, HELD + 5)], "I24"),
        ([(supply_key("QNX"), (1,))], "I2"),
        ([(b" AQNX", (6, 0, 1, BANK, b"m" * 32))], "I2"),
        ([(minter_key(BANK, "QNX"), (5, 5))], "I2"),
        ([(b" a" + ALICE, (1, b"", ((0, 1, bytes(32), 1),), (1, 1, 1, 1)))], "I2"),
        ([(nonces_key(BOB), (5,))], "I2"),
        ([(b" pfees", ("", b"", b"", b"", 0, ()))], "I2"),
        ([(b" v" + bytes(20), (b"", 2, b"", BOB, 5))], "I2"),
        ([(BREAKERS_KEY, (("asset", 1, 1),))], "I2"),
        ([(b" V", (bytes(20),))], "I2"),
        ([], "I12"),
        ([held(ALICE, HELD - 5), held(ALICE, HELD)], "I12"),
    ],
)
def test_each_wrong_change_is_named(view: View, changes: list[tuple[bytes, Any]], name: str) -> None:
    assert transfer(view, *changes).startswith(name + ":")


def test_supply_moves_with_the_holding(view: View) -> None:
    mint = call("asset.mint", asset="QNX", to=BOB, amount=5, ref="")
    supply = view.get(supply_key("QNX"))[0]
    changes = [(supply_key("QNX"), (supply + 5,)), held(BOB, HELD + 5), (minter_key(BANK, "QNX"), (10**15, 5))]
    assert after(view, mint, *changes) == ""
    assert after(view, mint, (supply_key("QNX"), (supply + 6,))).startswith("I1:")


ONE_KEY = ((0, 1, bytes(32), 1),)
MINT = call("asset.mint", asset="QNX", to=BOB, amount=5, ref="")
CREATE = call("asset.create", code="NEW", scale=0, max_supply=0, flags=1, minters=(), metadata_hash=b"")
UPDATE = call("account.update_keys", add=(), remove=(), thresholds=(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("op", "changes", "name"),
    [
        (MINT, [(supply_key("QNX"), (AMOUNT_MAX + 1,))], "I4"),
        (MINT, [(supply_key("BND"), (1_001,)), held(BOB, 501, "BND")], "I4"),
        (MINT, [(supply_key("NONE"), (1,)), held(BOB, 1, "NONE")], "I4"),
        (MINT, [(minter_key(BANK, "QNX"), (10**15, 10**15 + 1))], "I4"),
        (MINT, [(minter_key(BANK, "QNX"), (10**16, 1))], "I4"),
        (MINT, [(minter_key(BANK, "QNX"), None)], "I4"),
        (MINT, [(b" a" + BANK, None)], "I2"),
        (CREATE, [(b" AQNX", (6, 0, 1, BANK, b"m" * 32))], "I4"),
        (CREATE, [(minter_key(BANK, "QNX"), (10**15, 1))], "I24"),
        (CREATE, [held(ALICE, HELD + 1)], "I2"),
        (UPDATE, [(b" a" + BOB, None)], "I24"),
        (UPDATE, [(b" a" + BOB, (1, b"", ONE_KEY, (1, 1, 1, 1), 0))], "I24"),
        (UPDATE, [(b" a" + ALICE, (1, b"", ONE_KEY, (1, 1, 1, 2), 0))], "I24"),
        (UPDATE, [(b" a" + ALICE, (1, b"", ONE_KEY, (1, 1, 1, 1), 0))], ""),
    ],
)
def test_each_wrong_change_of_other_operations_is_named(view: View, op: Any, changes: Any, name: str) -> None:
    assert after(view, op, *changes).partition(":")[0] == name


def test_only_what_changed_since_the_mark_counts(view: View) -> None:
    view.put(holding_key(BANK, "QNX"), (1,))
    mark = view.mark()
    view.put(*held(ALICE, HELD - 5))
    view.put(*held(BOB, HELD + 5))
    checked: Call = World(FEES).tx("alice", pay("bob")).calls[0]
    assert check_operation(view, mark, checked) == ""


def charged(view: View, tx: Transaction, fee: int, *changes: tuple[bytes, Any]) -> str:
    for key, record in changes:
        view.put(key, record)
    return check_charge(view, tx, fee, b"QNX")


GOOD = ((nonces_key(ALICE), (5, 0, 9)), held(ALICE, HELD - 5), held(FEES_ADDRESS, 105))


def test_a_charge_passes(view: View) -> None:
    assert charged(view, World(FEES).tx("alice", pay("bob"), seq=4), 5, *GOOD) == ""


def test_a_charge_in_a_new_lane_passes(view: View) -> None:
    tx = World(FEES).tx("alice", pay("bob"), lane=5, seq=0)
    assert charged(view, tx, 0, (nonces_key(ALICE), (4, 0, 9, 0, 0, 1))) == ""


def test_an_unordered_charge_uses_no_sequence(view: View) -> None:
    tx = World(FEES).tx("alice", pay("bob"), lane=LANE_UNORDERED)
    assert charged(view, tx, 5, *GOOD[1:]) == ""
    assert charged(view, tx, 5, GOOD[0]).startswith("I23")


@pytest.mark.parametrize(
    ("changes", "fee", "name"),
    [
        (GOOD, 10_001, "I25"),
        (GOOD, 4, "I25"),
        (GOOD[:1], 5, "I25"),
        (GOOD[:2], 5, "I25"),
        ((*GOOD, held(BOB, HELD + 1)), 5, "I25"),
        ((GOOD[0], held(BOB, HELD - 5), GOOD[2]), 5, "I25"),
        (GOOD[1:], 5, "I23"),
        (((nonces_key(ALICE), (6, 0, 9)), *GOOD[1:]), 5, "I23"),
        (((nonces_key(ALICE), (4, 0, 9)), *GOOD[1:]), 5, "I23"),
        (((nonces_key(ALICE), (5, 0, 8)), *GOOD[1:]), 5, "I23"),
        (((nonces_key(ALICE), (5, 0)), *GOOD[1:]), 5, "I23"),
        (((nonces_key(ALICE), (5, 0, 9, 1)), *GOOD[1:]), 5, "I23"),
        (((nonces_key(BOB), (5,)), *GOOD[1:]), 5, "I23"),
        ((GOOD[0], *GOOD), 5, "I23"),
    ],
)
def test_wrong_charges(view: View, changes: Any, fee: int, name: str) -> None:
    tx = World(FEES).tx("alice", pay("bob"), seq=4)
    assert charged(view, tx, fee, *changes).startswith(name)


def too_much(charge: Callable[..., None]) -> Callable[..., None]:
    def wrong(execution: BlockExecution, tx: Transaction, admission: Any) -> None:
        charge(execution, tx, admission._replace(fee=admission.fee + 1))

    return wrong


def no_sequence(charge: Callable[..., None]) -> Callable[..., None]:
    def wrong(execution: BlockExecution, tx: Transaction, admission: Any) -> None:
        charge(execution, tx, admission)
        execution.view.put(nonces_key(tx.sender), admission.nonces)

    return wrong


@pytest.mark.parametrize("fault", [too_much, no_sequence])
def test_a_wrong_charge_is_undone_altogether(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    world = World(FEES)
    before = dict(world.db)
    monkeypatch.setattr(BlockExecution, "_charge", fault(BlockExecution._charge))
    receipt = world.do("alice", pay("bob"))
    assert (receipt.code, receipt.fee) == (Code.INVARIANT_VIOLATION, 0)
    assert {key for key in world.db if world.db.get(key) != before.get(key)} == {BREAKERS_KEY}
