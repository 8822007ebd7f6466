"""The invariants of central banks find what a wrong handler would do; the handlers are replaced by wrong writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from state.automatic import run_action
from state.codes import Code
from state.invariants import check_action, check_operation
from state.invariants_treasury import BREACH, PARTS, audit_treasury
from state.machine import BlockExecution
from state.modules import treasury_moves
from state.modules.gate import put_holding
from state.modules.operation import FEES_ADDRESS, OpContext
from state.modules.table import BY_NAME
from state.modules.treasury_moves import UNIT, set_mark
from state.primitives.limits import PPM
from state.receipts import Event
from state.schema import HOLDING, decode_record, holding_key, minter_key, supply_key
from state.schema_treasury import (
    TREASURY,
    Redemption,
    bank_key,
    dealer_key,
    dealers_key,
    line_key,
    lines_key,
    redemption_key,
)
from state.transaction import Call
from state.view import View
from tests.state.ledger_world import ADDRESS, pay
from tests.state.treasury_world import RICH, TreasuryWorld, cb_op

ALICE, BOB, CAROL, BANK = (ADDRESS[name] for name in ("alice", "bob", "carol", "bank"))
EUR = b"EUR"
BOOKS, LINE, DEALER = bank_key("EUR"), line_key(CAROL, "EUR"), dealer_key(ALICE, "EUR")
REQUEST = redemption_key(0, "EUR")
Act = Callable[[OpContext], None]


@pytest.fixture(scope="module")
def world() -> TreasuryWorld:
    """Alice and bob are dealers and earn; bob has an open redemption; carol owes 300 behind gold."""
    world = TreasuryWorld()
    world.set_up(rate_ppm=PPM)
    world.cb("redeem_request", "bob", amount=400)
    world.cb("overdraft", account="carol", limit=500, collateral=(("GLD", 1_000),))
    world.do("carol", pay("alice", RICH + 300, "EUR"))
    world.audit()
    return world


def found(world: TreasuryWorld, operation: str, act: Act, by: bytes = BANK) -> str:
    """What the checks say to an operation that does this."""
    view = View(world.db)
    context = OpContext(view, world.height + 1, world.now, ())
    act(context)
    row = BY_NAME[operation]
    writes = row.writes | ({HOLDING} if operation.startswith("cb.") else frozenset())
    return check_operation(view, 0, Call(replace(row, writes=writes, moves_value=False), by, ("EUR", CAROL, 1, ())))


def change(key: bytes, **fields: Any) -> Act:
    """Add numbers to fields of a record; anything else replaces."""

    def act(context: OpContext) -> None:
        record = context.view.get(key)
        new = {n: getattr(record, n) + v if type(v) is int and n not in _SET else v for n, v in fields.items()}
        context.view.put(key, record._replace(**new))

    return act


_SET = {"next_s", "next_ppm", "drawn_s"}


def supply(amount: int) -> Act:
    return lambda context: context.view.put(supply_key("EUR"), (context.view.get(supply_key("EUR"))[0] + amount,))


def minted(amount: int) -> Act:
    def act(context: OpContext) -> None:
        allowance, before = context.view.get(minter_key(BANK, "EUR"))
        context.view.put(minter_key(BANK, "EUR"), (allowance, before + amount))

    return act


def give(address: bytes, amount: int) -> Act:
    return lambda context: context.give(address, EUR, amount)


def hold(address: bytes, amount: int) -> Act:
    def act(context: OpContext) -> None:
        balance, held, marks = context.view.get(holding_key(address, "EUR"))
        put_holding(context.view, holding_key(address, "EUR"), balance, held + amount, marks)

    return act


def mark(address: bytes, bit: int, on: bool) -> Act:
    return lambda context: set_mark(context.view, address, EUR, bit, on=on)


def both(*acts: Act) -> Act:
    def act(context: OpContext) -> None:
        for one in acts:
            one(context)

    return act


def remove(key: bytes) -> Act:
    return lambda context: context.view.put(key, None)


ISSUE = (supply(7), minted(7), give(ALICE, 7), change(BOOKS, issued=7))
DRAW = (supply(5), change(BOOKS, drawn=5), change(LINE, debt=5), give(CAROL, 5))


@pytest.mark.parametrize(
    ("operation", "act", "expected"),
    [
        ("cb.issue", both(*ISSUE), ""),
        ("cb.issue", both(*ISSUE[:3], change(BOOKS, issued=6)), "I1: a supply changed"),
        ("cb.issue", both(ISSUE[0], minted(6), *ISSUE[2:]), "I4: what a central bank minted"),
        ("cb.issue", both(*ISSUE[:3], change(BOOKS, issued=14, accrued=-7)), "I1: what a central bank has done was undone"),
        ("cb.issue", both(*ISSUE[:3], change(BOOKS, accrued=7)), "I17: interest was paid without a period"),
        ("cb.issue", both(*ISSUE[:3], change(BOOKS, accrued=7, period=1)), "I14: interest is not what"),
        ("cb.issue", both(*ISSUE[:3], change(BOOKS, issued=7, drawn=-1), change(BOOKS, redeemed=-1)), "I1: "),
        ("cb.issue", both(*ISSUE, change(DEALER, used=5)), "I27: a dealer got more than his limit"),
        ("cb.redeem_cancel", remove(REQUEST), "I3: what is held is not what is pledged"),
        ("cb.redeem_cancel", both(remove(REQUEST), hold(BOB, -399)), "I3: what is held is not what is pledged"),
        ("cb.redeem_cancel", both(remove(REQUEST), hold(BOB, -400)), ""),
        ("cb.redeem_cancel", hold(BOB, -1), "I3: what is held is not what is pledged"),
        ("cb.redeem_cancel", change(REQUEST, amount=-1), "I3: what is held is not what is pledged"),
        ("cb.redeem_cancel", both(change(REQUEST, amount=-1), hold(BOB, -1)), "I24: a redemption was asked for by somebody else"),
        ("cb.redeem_request", lambda c: c.view.put(redemption_key(1, "EUR"), Redemption(0, ALICE, "", 0, 9)), "I24: a redemption"),
        ("cb.redeem_request", lambda c: c.view.put(redemption_key(1, "EUR"), Redemption(0, BANK, "", 0, 9)), "I2: a redemption is out"),
        ("cb.set_rate", change(BOOKS, rate_ppm=1), "I17: interest was counted at a rate"),
        ("cb.set_rate", change(BOOKS, acc=1), "I17: interest was counted at a rate"),
        ("cb.set_rate", change(BOOKS, acc_s=-1, acc=-PPM), "I17: interest was counted at a rate"),
        ("cb.set_rate", change(BOOKS, next_s=1), "I17: a rate was announced for the past"),
        ("cb.set_rate", change(BOOKS, requests=-1), "I5: a number was used twice"),
        ("cb.set_rate", change(BOOKS, period=2), "I5: a number was used twice"),
        ("cb.set_rate", remove(BOOKS), "I1: "),
        ("cb.accrue", change(DEALER, owed=1), "I14: interest is not what"),
        ("cb.accrue", change(DEALER, owed=-1), "I14: interest is not what"),
        ("cb.accrue", change(DEALER, ref=1), "I14: interest is not what"),
        ("cb.accrue", change(DEALER, ref=-1), "I17: a dealer's interest was counted backwards"),
        ("cb.report_liabilities", change(DEALER, liabilities=-1), "I2: a dealer's numbers"),
        ("cb.report_liabilities", change(DEALER, liabilities=5), ""),
        ("cb.dismiss_dealer", change(DEALER, is_active=False), "I17: a dismissed dealer goes on earning"),
        ("cb.dismiss_dealer", both(change(DEALER, owed=PARTS), mark(ALICE, 128, False)), "I14: interest is not what"),
        ("cb.dismiss_dealer", mark(ALICE, 128, False), "I3: a holding's mark"),
        ("cb.appoint_dealer", mark(CAROL, 128, True), "I3: a holding's mark"),
        ("cb.overdraft", mark(ALICE, 64, True), "I3: a holding's mark"),
        ("cb.overdraft", change(LINE, collateral=()), "I3: what is held is not what is pledged"),
        ("cb.overdraft", change(LINE, limit=-200), ""),
        ("cb.overdraft", change(LINE, limit=-501), "I3: a credit line is out of range"),
        ("cb.overdraft", change(LINE, drawn_s=0), "I3: a credit line is out of range"),
        ("cb.repay", change(LINE, debt=-1), "I1: the debts of credit lines"),
        ("cb.repay", change(BOOKS, drawn=-1), "I1: "),
        ("cb.issue", both(*DRAW), "I24: a debt rose without"),
        ("cb.close_overdraft", remove(LINE), "I1: the debts of credit lines"),
    ],
)
def test_a_wrong_write_is_found(world: TreasuryWorld, operation: str, act: Act, expected: str) -> None:
    problem = found(world, operation, act)
    assert problem.startswith(expected) if expected else problem == "", problem


def pay_by(payer: bytes, payee: bytes, amount: int) -> Act:
    return both(lambda c: c.take(payer, EUR, amount), lambda c: c.give(payee, EUR, amount))


@pytest.mark.parametrize(
    ("act", "by", "expected"),
    [
        (pay_by(ALICE, CAROL, 5), ALICE, ""),
        (both(*DRAW[:3], give(CAROL, 5), pay_by(CAROL, BOB, 5)), CAROL, ""),
        (both(*DRAW), ALICE, "I24: a debt rose without"),
        (both(supply(201), change(BOOKS, drawn=201), change(LINE, debt=201), give(CAROL, 201)), CAROL, "I3: a debt exceeds its limit"),
        (both(supply(5), change(BOOKS, drawn=4), change(LINE, debt=4), give(CAROL, 5)), CAROL, "I1: a supply changed"),
        (both(supply(5), change(BOOKS, drawn=5), change(LINE, debt=4), give(CAROL, 5)), CAROL, "I1: the debts of credit lines"),
        (both(supply(5), give(CAROL, 5)), CAROL, "I2: an operation wrote a record"),
        (both(supply(5), give(CAROL, 5), change(BOOKS, issued=5)), CAROL, "I2: an operation wrote a record"),
        (change(LINE, limit=5), CAROL, "I2: an operation wrote a record"),
        (change(DEALER, used=5), ALICE, "I2: an operation wrote a record"),
        (change(DEALER, owed=UNIT), ALICE, "I14: interest is not what"),
        (change(BOOKS, rate_ppm=5), ALICE, "I2: an operation wrote a record"),
        (hold(ALICE, 5), ALICE, ""),
        (remove(REQUEST), BOB, "I2: an operation wrote a record"),
        (remove(DEALER), ALICE, "I2: an operation wrote a record"),
        (lambda c: c.view.put(dealers_key("EUR"), (ALICE,)), ALICE, "I2: an operation wrote a record"),
        (mark(ALICE, 128, False), ALICE, "I3: a holding's mark"),
        (mark(CAROL, 64, False), CAROL, "I3: a holding's mark"),
    ],
)
def test_other_modules_may_only_draw_and_repay(world: TreasuryWorld, act: Act, by: bytes, expected: str) -> None:
    problem = found(world, "asset.transfer", act, by).removeprefix(BREACH)
    assert problem.startswith(expected) if expected else problem == "", problem


def test_a_balance_that_interest_did_not_follow_is_found(world: TreasuryWorld) -> None:
    """A module that writes holdings by itself, past `take` and `give`."""

    def act(context: OpContext) -> None:
        view = context.view
        for address, amount in ((ALICE, -5), (BOB, 5)):
            balance, held, marks = view.get(holding_key(address, "EUR"))
            put_holding(view, holding_key(address, "EUR"), balance + amount, held, marks)

    assert found(world, "asset.transfer", act, ALICE).startswith(BREACH + "I14: interest does not follow")


@pytest.mark.parametrize(
    ("act", "letters", "expected"),
    [
        (both(remove(REQUEST), hold(BOB, -400)), {HOLDING, TREASURY}, ""),
        (both(remove(REQUEST), hold(BOB, -399)), {HOLDING, TREASURY}, "I3: what is held"),
        (remove(REQUEST), {HOLDING}, "I2: an operation wrote"),
        (remove(REQUEST), {TREASURY}, "I3: what is held"),
        (change(BOOKS, requests=1), {HOLDING}, "I2: an operation wrote"),
        (both(*DRAW), {HOLDING}, "I24: a debt rose"),
        (both(supply(-5), change(BOOKS, drawn=-5), change(LINE, debt=-5), lambda c: c.take(ALICE, EUR, 5)), {HOLDING}, "I24: an automatic"),
    ],
)
def test_automatic_actions_are_held_to_it_too(world: TreasuryWorld, act: Act, letters: set[int], expected: str) -> None:
    view = View(world.db)
    act(OpContext(view, world.height + 1, world.now, ()))
    problem = check_action(view, 0, frozenset(letters)).removeprefix(BREACH)
    assert problem.startswith(expected) if expected else problem == "", problem


def test_an_action_that_credits_a_debtor_repays(world: TreasuryWorld) -> None:
    view = View(world.db)
    view.put(holding_key(FEES_ADDRESS, "EUR"), (100,))
    view.settle()
    context = OpContext(view, world.height + 1, world.now, ())
    events: list[Event] = []

    def release(context: OpContext) -> None:
        context.take(FEES_ADDRESS, EUR, 100)
        context.credit(CAROL, EUR, 100, is_return=True)

    run_action(context, events, "release", release, None, frozenset({HOLDING}))
    assert [event.type for event in events] == ["credit_repaid"]
    assert (view.get(LINE).debt, view.get(BOOKS).drawn) == (200, 200)


def test_the_audit_finds_every_record_that_is_wrong(world: TreasuryWorld) -> None:
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    assert audit_treasury(records.items()) == ()
    books, line, dealer = records[BOOKS], records[LINE], records[DEALER]
    alice, gold = records[holding_key(ALICE, "EUR")], records[holding_key(CAROL, "GLD")]
    for key, wrong, words in (
        (BOOKS, books._replace(drawn=books.drawn + 1), "are not what was drawn"),
        (LINE, line._replace(debt=line.debt - 1), "are not what was drawn"),
        (LINE, line._replace(drawn_s=0), "a credit line is out of range"),
        (LINE, line._replace(collateral=(("GLD", 1_001),)), "less is held than is pledged"),
        (REQUEST, records[REQUEST]._replace(amount=401), "less is held than is pledged"),
        (holding_key(CAROL, "GLD"), (gold[0], 999, gold[2]), "less is held than is pledged"),
        (holding_key(ALICE, "EUR"), (alice[0], 0, 0), "a holding's mark"),
        (holding_key(BOB, "GLD"), (RICH, 0, 64), "mark without a credit line"),
        (DEALER, dealer._replace(base=dealer.base + 1), "does not follow a dealer's balance"),
        (DEALER, dealer._replace(owed=-1), "out of range"),
        (dealers_key("EUR"), (ALICE,), "not on his list"),
        (dealers_key("EUR"), tuple(sorted((ALICE, BOB, CAROL))), "a list of dealers or lines is wrong"),
        (lines_key("EUR"), tuple(sorted((ALICE, CAROL))), "a list of dealers or lines is wrong"),
        (lines_key("EUR"), (ALICE,), "a credit line is not on its list"),
    ):
        assert any(words in problem for problem in audit_treasury({**records, key: wrong}.items())), words


def test_a_wrong_draw_is_reverted_and_its_module_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw that forgets the debt: money from nothing."""
    world = TreasuryWorld()
    world.cb("overdraft", account="carol", limit=500)
    monkeypatch.setattr(treasury_moves.CreditLine, "_replace", lambda self, **fields: self)
    execution = BlockExecution(world.db, world.context())
    receipt = execution.deliver(world.tx("carol", pay("bob", RICH + 10, "EUR")))
    problem = BREACH + "I1: the debts of credit lines are not what was drawn"
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, problem)
    (event,) = execution.finish([receipt]).events
    assert (event.type, dict(event.attributes)["module"]) == ("breaker_tripped", "cb")  # payments go on


def test_the_operations_of_the_world_are_real(world: TreasuryWorld) -> None:
    """The fixture's state is one that operations made, and goes on."""
    assert world.do("bank", cb_op("redeem_confirm", request=0)).code == Code.OK
    world.audit()
