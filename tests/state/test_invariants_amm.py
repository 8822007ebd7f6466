"""The invariants of pools find what a wrong handler would do; the handlers are replaced by wrong writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isqrt
from typing import Any

import pytest

from state.codes import Code
from state.invariants import check_operation
from state.invariants_amm import audit_amm
from state.machine import BlockExecution
from state.modules import amm_trade
from state.modules.operation import AMM_ADDRESS, TREASURY_ADDRESS, OpContext
from state.modules.table import BY_NAME, OPERATIONS
from state.schema import decode_record, holding_key
from state.schema_amm import NO_POSITION, Pool, members_key, pool_key, position_key
from state.transaction import Call
from state.view import View
from tests.state.amm_world import AmmWorld, amm_op
from tests.state.ledger_world import ADDRESS

NAME = "EUR/QNX"
KEY = pool_key(NAME)


@pytest.fixture(scope="module")
def world() -> AmmWorld:
    world = AmmWorld()
    world.amm("alice", "create", amount_a=10**9, amount_b=4 * 10**9)
    world.govern("set_protocol_fee", on=1)
    world.amm("bob", "add", max_a=10**6, max_b=10**7)
    world.amm("bob", "swap_in", amount_in=10**6)
    return world


def found(world: AmmWorld, operation: str, act: Callable[[OpContext, Pool], None]) -> str:
    """What the checks say to an operation of alice that does this."""
    view = View(world.db)
    context = OpContext(view, world.height + 1, world.now, ())
    act(context, view.get(KEY))
    row = BY_NAME[f"amm.{operation}"]
    call = Call(replace(row, writes=row.writes | {ord("i")}, moves_value=False), ADDRESS["alice"], ())
    return check_operation(view, 0, call)


def move(context: OpContext, code: bytes, amount: int) -> None:
    """From alice to the pools, or back."""
    source, to = (ADDRESS["alice"], AMM_ADDRESS) if amount > 0 else (AMM_ADDRESS, ADDRESS["alice"])
    if amount:
        context.debit(source, code, abs(amount))
        context.credit(to, code, abs(amount))


def change(**fields: Any) -> Callable[[OpContext, Pool], None]:
    """Reserves by so much, with the assets moved; other fields as given."""

    def act(context: OpContext, pool: Pool) -> None:
        a, b = fields.get("a", 0), fields.get("b", 0)
        move(context, b"EUR", a)
        move(context, b"QNX", b)
        rest = {name: value for name, value in fields.items() if name not in ("a", "b", "alice", "bob", "treasury")}
        context.view.put(KEY, pool._replace(reserve_a=pool.reserve_a + a, reserve_b=pool.reserve_b + b, **rest))
        for name in ("alice", "bob", "treasury"):
            if name in fields:
                key = position_key(TREASURY_ADDRESS if name == "treasury" else ADDRESS[name], NAME)
                old = context.view.get(key) or NO_POSITION
                context.view.put(key, old._replace(shares=old.shares + fields[name]))

    return act


@pytest.mark.parametrize(
    ("operation", "act", "expected"),
    [
        ("swap_in", change(a=100, b=-390), ""),
        ("swap_in", change(a=1_000_000, b=-3_970_000), ""),
        ("swap_in", change(a=1_000_000, b=-3_982_000), "I7: a swap lowered the product"),  # k rises, but not without the fee
        ("swap_in", change(a=-1, b=-1), "I7: a swap took from both sides"),
        ("swap_in", lambda c, p: move(c, b"EUR", 5), "I6: the pools' account does not hold"),
        ("swap_in", lambda c, p: c.view.put(KEY, p._replace(reserve_a=p.reserve_a + 1)), "I6: the pools' account does not hold"),
        ("swap_in", lambda c, p: change(a=10**20, b=5 - p.reserve_b)(c, p), "I6: a reserve is out of range"),
        ("swap_in", change(a=1, price_s=1_900_000_000), "I11: an accumulated price"),
        ("swap_in", change(a=1, price_a=1), "I11: an accumulated price"),
        ("swap_in", change(a=1, fee_ppm=1), "I24: the terms of an open pool"),
        ("add", change(a=10**6, b=4 * 10**6, supply=10, alice=10), "I11: a pool has more shares"),
        ("remove", lambda c, p: c.view.put(KEY, None), "I6: a pool vanished"),
        ("remove", lambda c, p: c.view.put(position_key(ADDRESS["bob"], NAME), None), "I24: somebody else's position"),
        ("remove", lambda c, p: c.view.put(position_key(ADDRESS["alice"], NAME), None), "I6: the shares of a pool"),
        ("close", lambda c, p: c.view.put(KEY, p._replace(reserve_a=0)), "I11: an empty pool has something left"),
    ],
)
def test_a_wrong_write_is_found(
    world: AmmWorld, operation: str, act: Callable[[OpContext, Pool], None], expected: str
) -> None:
    problem = found(world, operation, act)
    assert problem.startswith(expected) if expected else problem == "", problem


@pytest.mark.parametrize(
    ("shares", "a", "b", "expected"),
    [
        (1_000, 10**6, 4 * 10**6, ""),
        (2_001_000, 10**6, 4 * 10**6, "I9: a share lost worth"),
        (-1_000, -400, -1_900, ""),
        (-1_000, -600, -1_900, "I9: a share lost worth"),
    ],
)
def test_shares_are_worth_no_less(world: AmmWorld, shares: int, a: int, b: int, expected: str) -> None:
    def act(context: OpContext, pool: Pool) -> None:
        change(a=a, b=b, supply=pool.supply + shares, alice=shares)(context, pool)

    assert found(world, "add", act) == expected


@pytest.mark.parametrize(("part", "expected"), [(6, ""), (5, "I9: the protocol took more than its part")])
def test_the_protocol_takes_its_part_at_most(world: AmmWorld, part: int, expected: str) -> None:
    def act(context: OpContext, pool: Pool) -> None:
        root, last = isqrt(pool.reserve_a * pool.reserve_b), isqrt(pool.k_last)
        due = pool.supply * (root - last) // (root * (part - 1) + last)
        assert due > 0
        context.view.put(position_key(TREASURY_ADDRESS, NAME), NO_POSITION._replace(shares=due))
        context.view.put(KEY, pool._replace(supply=pool.supply + due))

    assert found(world, "add", act) == expected


def test_members_of_an_open_pool_do_not_vanish(world: AmmWorld) -> None:
    view = View(world.db)
    view.put(members_key(NAME), (ADDRESS["bob"],))
    view.settle()
    view.put(KEY, view.get(KEY))
    view.put(members_key(NAME), None)
    call = Call(BY_NAME["amm.close"], ADDRESS["alice"], ())
    assert check_operation(view, 0, replace_moves(call)).startswith("I24: the members")


def replace_moves(call: Call) -> Call:
    return call._replace(operation=replace(call.operation, moves_value=False))


def test_the_audit_finds_every_record_that_is_wrong(world: AmmWorld) -> None:
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    assert audit_amm(records.items()) == ()
    pool, held = records[KEY], holding_key(AMM_ADDRESS, "EUR")
    for key, wrong, words in (
        (KEY, pool._replace(reserve_a=pool.reserve_a + 1), "does not hold the reserves"),
        (KEY, pool._replace(supply=pool.supply + 1), "are not its positions"),
        (KEY, pool._replace(reserve_a=9_999), "out of range"),
        (held, (records[held][0] + 1,), "does not hold the reserves"),
        (position_key(ADDRESS["bob"], "AA/BB"), records[position_key(ADDRESS["bob"], NAME)], "without shares or pool"),
    ):
        assert any(words in problem for problem in audit_amm({**records, key: wrong}.items())), words


def test_a_wrong_handler_is_reverted_and_its_module_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uranium's mistake, planted: the quote counts the fee in other units than the pool does."""
    world = AmmWorld()
    world.amm("alice", "create", amount_a=10**9, amount_b=4 * 10**9)

    def cheap(hops: list[amm_trade.Hop]) -> tuple[tuple[int, int, int], ...]:
        return tuple((hop.record.reserve_a, hop.record.reserve_b, hop.record.fee_ppm // 10) for hop in hops)

    monkeypatch.setattr(amm_trade, "sides_of", cheap)
    execution = BlockExecution(world.db, world.context())
    receipt = execution.deliver(world.tx("bob", amm_op("swap_in", amount_in=10**6)))
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, "I7: a swap lowered the product")
    assert OPERATIONS[107].name == "amm.swap_in"
    again = execution.finish([receipt])
    assert [event.type for event in again.events] == ["breaker_tripped"]
