"""The invariants of farms find what a wrong handler would do; the handlers are replaced by wrong writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from state import invariants_farm
from state.automatic import run_action
from state.codes import Code
from state.invariants import check_operation
from state.invariants_farm import audit_farm
from state.machine import BlockExecution
from state.modules import farm_books
from state.modules.operation import FARMS_ADDRESS, Level, OpContext
from state.modules.table import BY_NAME
from state.receipts import Event
from state.schema import decode_record, holding_key
from state.schema_amm import position_key
from state.schema_farm import (
    Campaign,
    Due,
    FarmPosition,
    campaign_key,
    farm_key,
    farm_position_key,
    farm_positions_key,
    staker_key,
)
from state.transaction import Call
from state.view import View
from tests.state.farm_world import ONE, TIERS, FarmWorld, farm_op
from tests.state.ledger_world import ADDRESS

ALICE, BOB, CAROL = ADDRESS["alice"], ADDRESS["bob"], ADDRESS["carol"]
FARM, QNX = farm_key(0), campaign_key(0, "QNX")
MINE, HERS = farm_position_key(BOB, 0), farm_position_key(CAROL, 0)
Act = Callable[[OpContext], None]


@pytest.fixture(scope="module")
def world() -> FarmWorld:
    """Bob has 100 without a lock, carol 100 locked for 1,000 s and shares in farm 1; 100 s have passed."""
    world = FarmWorld()
    start = world.now + 1
    world.start(lock_tiers=TIERS)
    world.at(0, start)
    world.do("bob", farm_op("stake", amount=100))
    world.do("carol", farm_op("stake", amount=100, tier=2))
    world.amm("carol", "create", amount_a=10**9, amount_b=10**9)
    world.start(stake_asset="EUR/QNX", reward_asset="BTC")
    world.do("carol", farm_op("stake", farm=1, amount=10**6))
    world.at(50, start)
    world.do("bob", farm_op("claim"))
    world.at(100, start)
    return world


def found(world: FarmWorld, operation: str, account: bytes, *acts: Act) -> str:
    """What the checks say to an operation that does this."""
    view = View(world.db)
    context = OpContext(view, world.height + 1, world.now, ())
    for act in acts:
        act(context)
    row = BY_NAME[f"farm.{operation}"]
    letters = row.writes | {ord(letter) for letter in "iFJj"}
    call = Call(replace(row, writes=letters, moves_value=False, level=Level.MEDIUM), account, ())
    return check_operation(view, 0, call)


def edit(key: bytes, **fields: Any) -> Act:
    """Replace fields of a record; a number given as a function gets the old one."""

    def act(context: OpContext) -> None:
        old = context.view.get(key)
        new = {name: value(getattr(old, name)) if callable(value) else value for name, value in fields.items()}
        context.view.put(key, old._replace(**new))

    return act


def put(key: bytes, record: Any) -> Act:
    """Write a record."""
    return lambda context: context.view.put(key, record)


def move(amount: int, who: bytes = BOB, code: bytes = b"QNX") -> Act:
    """From the farms to somebody, or back."""

    def act(context: OpContext) -> None:
        source, to = (FARMS_ADDRESS, who) if amount > 0 else (who, FARMS_ADDRESS)
        context.take(source, code, abs(amount))
        context.give(to, code, abs(amount))

    return act


def settled(context: OpContext) -> None:
    """Both campaigns of farm 0 as of now."""
    farm = context.view.get(FARM)
    farm_books.put_books(context.view, 0, farm, farm_books.settle(context.view, 0, farm, context.time_s))


def earned(who: bytes = BOB, more: int = 0, less: int = 0, **fields: Any) -> Act:
    """Bob's position looked at now, and owed so much more or less."""

    def act(context: OpContext) -> None:
        key = farm_position_key(who, 0)
        position: FarmPosition = context.view.get(key)
        campaign: Campaign = context.view.get(QNX)
        owed = position.weight * campaign.acc + position.dues[0].owed - position.dues[0].debt
        new = position._replace(**fields)
        context.view.put(key, new._replace(dues=(Due(owed + more - less, new.weight * campaign.acc),)))

    return act


def less(number: int) -> Callable[[int], int]:
    return lambda old: old - number


def more(number: int) -> Callable[[int], int]:
    return lambda old: old + number


SETTLED_AND = (settled, earned())
CASES: list[tuple[str, str, bytes, tuple[Act, ...]]] = [
    ("", "claim", BOB, SETTLED_AND),
    ("", "claim", BOB, (settled, earned(less=5 * ONE), edit(QNX, paid=more(5)), move(5))),
    # I14 and I17: the campaign
    ("I14: a campaign vanished", "claim", BOB, (put(QNX, None),)),
    ("I14: a campaign's number is out of range", "claim", BOB, (edit(QNX, paid=-1),)),
    ("I14: a campaign's number is out of range", "fund", ALICE, (edit(QNX, end_s=lambda old: old - 1_000),)),
    ("I17: a campaign has not released what its schedule says", "claim", BOB, (edit(QNX, released=more(1)),)),
    ("I17: a campaign has not released what its schedule says", "claim", BOB, (edit(QNX, settled_s=more(7)),)),
    ("I17: more was paid than released", "claim", BOB, (settled, edit(QNX, paid=more(100_001)))),
    ("I17: a campaign went back in time", "claim", BOB, (edit(QNX, settled_s=less(1), released=less(1_000)),)),
    ("I17: a campaign released what was not due", "claim", BOB, (settled, edit(QNX, funded=more(9)))),
    ("I17: an accumulator rose without a release", "claim", BOB, (edit(QNX, acc=more(1)),)),
    ("I17: a release was not shared out", "claim", BOB, (settled, edit(QNX, acc=more(1)))),
    ("I17: a release was not shared out", "claim", BOB, (settled, edit(QNX, acc=less(1)))),
    ("I14: a campaign has not what it owes", "claim", BOB, (settled, edit(QNX, carry=less(1)))),
    ("I14: a campaign has not what it owes", "claim", BOB, (settled, edit(QNX, unallocated=more(1)))),
    ("I14: whole units are carried", "claim", BOB, (settled, edit(QNX, carry=more(ONE)))),
    ("I14: what was paid came back", "claim", BOB, (settled, edit(QNX, paid=less(1), unallocated=more(1)))),
    # I24: who may change what
    ("I24: somebody else than the sponsor made a campaign", "fund", BOB, (
        edit(FARM, rewards=("QNX", "EUR")), put(campaign_key(0, "EUR"), Campaign(5, 0, 0, 0, 5, 0, 0, 0, 1_900_000_000, 1_900_000_009, 1)),
    )),
    ("I17: a new campaign has a past", "fund", ALICE, (
        edit(FARM, rewards=("QNX", "EUR")), put(campaign_key(0, "EUR"), Campaign(6, 0, 0, 0, 5, 0, 0, 0, 1_900_000_000, 1_900_000_009, 1)),
    )),
    ("I24: a schedule changed without funds, or", "fund", ALICE, (
        settled, edit(QNX, end_s=more(1), start_s=more(100), budget=900_000, released=0),
    )),
    ("I24: somebody else than the sponsor changed a campaign", "fund", BOB, (
        settled, edit(QNX, start_s=more(100), budget=900_007, released=0, funded=more(7)), move(-7),
    )),
    ("I24: a schedule was cut short", "fund", ALICE, (
        settled, edit(QNX, start_s=more(100), end_s=less(1), budget=900_007, released=0, funded=more(7)), move(-7, ALICE),
    )),
    ("I24: a farm that has not ended was refunded", "close", ALICE, (settled, edit(QNX, refunded=more(1)), move(1, ALICE))),
    ("I24: the terms of a farm changed", "fund", ALICE, (edit(FARM, sponsor=BOB),)),
    ("I24: the terms of a farm changed", "fund", ALICE, (edit(FARM, end_s=less(1)),)),
    ("I24: the rewards of a farm changed", "fund", ALICE, (edit(FARM, rewards=("BTC", "QNX")),)),
    ("I24: somebody else's position was touched", "claim", BOB, (settled, earned(CAROL))),
    ("I24: a farm paid somebody else", "claim", BOB, (settled, earned(less=5 * ONE), edit(QNX, paid=more(5)), move(5, ALICE))),
    ("I24: somebody else's pool shares were touched", "stake", BOB, (edit(position_key(CAROL, "EUR/QNX"), shares=less(1)),)),
    ("I24: what is locked was paid", "claim", CAROL, (settled, earned(CAROL, less=5 * ONE), edit(QNX, paid=more(5)), move(5, CAROL))),
    ("I24: what is locked was taken out", "unstake", CAROL, (
        settled, earned(CAROL, amount=99, weight=396_000_000), edit(FARM, amount=less(1), weight=less(4_000_000)), move(1, CAROL, b"EUR"),
    )),
    ("I24: the terms of a position changed", "claim", CAROL, (settled, earned(CAROL, locked_s=5))),
    # I15 and I16: stakes and earnings
    ("I15: a farm vanished", "claim", BOB, (put(FARM, None),)),
    ("I15: a farm's totals are out of range", "claim", BOB, (edit(FARM, stakers=-1),)),
    ("I15: the farms' account does not hold", "claim", BOB, (settled, earned(), move(5))),
    ("I15: the farms' account does not hold", "unstake", BOB, (settled, earned(), move(5, code=b"EUR"))),
    ("I15: the farms' pool shares are not those", "stake", CAROL, (
        edit(position_key(CAROL, "EUR/QNX"), shares=less(1)), edit(position_key(FARMS_ADDRESS, "EUR/QNX"), shares=more(1)),
    )),
    ("I15: pool shares were made or lost", "stake", CAROL, (edit(position_key(CAROL, "EUR/QNX"), moment=less(1)),)),
    ("I15: a farm's stake is not that of its positions", "unstake", BOB, (
        settled, earned(), edit(FARM, amount=less(1)), move(1, code=b"EUR"),
    )),
    ("I15: a farm's weight is not that of its positions", "unstake", BOB, (settled, earned(), edit(FARM, weight=less(1)))),
    ("I15: a farm's number of stakers", "unstake", BOB, (settled, edit(FARM, stakers=3))),
    ("I15: an account has not as many positions", "stake", BOB, (settled, put(staker_key(0, BOB), (2,)))),
    ("I15: an account's positions are not those on its list", "stake", BOB, (settled, put(farm_positions_key(BOB), (1, (0, 1))))),
    ("I15: a position's weight is not that of its tier", "unstake", BOB, (settled, earned(weight=100_000_001), edit(FARM, weight=more(1)))),
    ("I15: a position has a wrong shape", "unstake", BOB, (settled, earned(lot=(1,)))),
    ("I15: a position lost a fraction", "claim", BOB, (settled, earned(less=1), edit(QNX, carry=more(1)))),
    ("I15: what was paid is not what positions gave up", "claim", BOB, (settled, earned(less=5 * ONE), edit(QNX, unallocated=more(5)))),
    ("I15: what was paid is not what positions gave up", "claim", BOB, (settled, earned(), edit(QNX, paid=more(5)), move(5))),
    ("I16: a position was credited what it has not earned", "claim", BOB, (settled, earned(more=1), edit(QNX, carry=less(1)))),
    ("I12: a position without a stake was made", "stake", BOB, (
        settled, put(farm_position_key(BOB, 1), FarmPosition(0, 0, (), (), 0, 0, 1, 1)),
        put(farm_positions_key(BOB), (2, (0, 1))), put(staker_key(0, BOB), (2,)),
    )),
    # I18: with a position goes its whole stake
    ("I15: a farm's stake is not that of its positions", "emergency_exit", BOB, (
        settled, put(MINE, None), put(farm_positions_key(BOB), None),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "operation", "account", "acts"), CASES)
def test_a_wrong_write_is_found(world: FarmWorld, expected: str, operation: str, account: bytes, acts: tuple[Act, ...]) -> None:
    problem = found(world, operation, account, *acts)
    assert problem.startswith(expected) if expected else problem == "", problem


def test_without_a_stake_what_comes_out_falls_to_nobody_and_nothing_is_carried() -> None:
    world = FarmWorld()
    start = world.now + 1
    world.start()
    world.do("bob", farm_op("stake", amount=100))
    world.at(100, start)
    world.do("bob", farm_op("exit"))
    world.at(200, start)
    rose = (settled, edit(QNX, acc=more(1)))
    lost = (settled, edit(QNX, unallocated=0), edit(QNX, paid=more(100_000)))
    kept = (settled, edit(QNX, unallocated=less(1), carry=ONE))
    assert found(world, "stake", BOB, *rose).startswith("I17: an accumulator rose")
    assert found(world, "stake", BOB, *lost).startswith("I17: what fell to nobody is lost")
    assert found(world, "stake", BOB, *kept).startswith(("I14: whole units are carried without", "I17: what fell"))


def test_a_last_position_that_leaves_units_behind_is_found() -> None:
    world = FarmWorld()
    world.start()
    world.do("bob", farm_op("stake", amount=100))
    world.now += 50

    def leave(context: OpContext) -> None:
        BY_NAME["farm.emergency_exit"].handler(context, BOB, (0,))

    assert found(world, "emergency_exit", BOB, leave) == ""
    kept = (leave, edit(QNX, unallocated=less(3), carry=3 * ONE))
    assert found(world, "emergency_exit", BOB, *kept).startswith("I14: whole units are carried without a stake")


def test_no_automatic_action_touches_a_farm(world: FarmWorld) -> None:
    view = View(world.db)
    events: list[Event] = []
    context = OpContext(view, world.height + 1, world.now, ())
    letters = frozenset({ord("J"), ord("h"), ord("i")})
    run_action(context, events, "wrong", lambda c: edit(MINE, amount=1)(c), None, letters)
    run_action(context, events, "wrong", lambda c: edit(position_key(FARMS_ADDRESS, "EUR/QNX"), shares=1)(c), None, letters)
    assert str(events[0].values[1]).startswith("I24: somebody else's position")
    assert len(events) == 2
    assert view.get(MINE).amount == 100


def test_every_words_of_the_checks_are_tested() -> None:
    """A check that no test reaches would be a check that cannot fail."""
    source = Path(invariants_farm.__file__).read_text()
    known = set(re.findall(r'"(I1[2-8]: [^"{]+|I24: [^"{]+)"', source))
    tested = Path(__file__).read_text()
    assert len(known) > 40
    assert [words for words in sorted(known) if " ".join(words.split()[:6]) not in tested and words not in _OF_THE_AUDIT] == []


_OF_THE_AUDIT = {"I15: a position without farm", "I14: a campaign without farm", "I14: a position has earned less than nothing"}


def test_the_audit_finds_every_record_that_is_wrong(world: FarmWorld) -> None:
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    assert audit_farm(records.items()) == ()
    farm, campaign, mine = records[FARM], records[QNX], records[MINE]
    held, shares = holding_key(FARMS_ADDRESS, "QNX"), position_key(FARMS_ADDRESS, "EUR/QNX")
    for key, wrong, words in (
        (FARM, None, "farm 0 vanished"),
        (FARM, None, "a position without farm"),
        (FARM, None, "a campaign without farm"),
        (FARM, farm._replace(rewards=("BTC",)), "a campaign without farm"),
        (FARM, farm._replace(amount=farm.amount + 1), "a farm's stake"),
        (FARM, farm._replace(weight=farm.weight + 1), "a farm's weight"),
        (QNX, campaign._replace(released=campaign.released + 1), "its schedule says"),
        (QNX, campaign._replace(carry=campaign.carry + 1), "has not what it owes"),
        (QNX, campaign._replace(acc=campaign.acc + 1), "has not what it owes"),
        (QNX, None, "earned less than nothing"),
        (MINE, mine._replace(dues=(Due(0, 1 << 1_400),)), "earned less than nothing"),
        (MINE, mine._replace(weight=mine.weight + 1), "that of its tier"),
        (held, (records[held][0] + 1,), "does not hold"),
        (shares, records[shares]._replace(root=0), "pool shares are not"),
        (staker_key(0, BOB), (2,), "as many positions"),
        (farm_positions_key(BOB), (1, ()), "on its list"),
    ):
        changed = {k: r for k, r in {**records, key: wrong}.items() if r is not None}
        assert any(words in problem for problem in audit_farm(changed.items())), words


def test_a_wrong_handler_is_reverted_and_farms_are_stopped_but_for_the_emergency_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """MasterChef's mistake, planted: a stake is changed before it is settled, so it earns for the time before it."""
    world = FarmWorld()
    world.start()
    world.do("bob", farm_op("stake", amount=100))
    world.do("carol", farm_op("stake", amount=100))
    world.now += 100
    monkeypatch.setattr("state.modules.farm_stakes.with_dues", lambda position, owed, campaigns: position._replace(dues=()))
    execution = BlockExecution(world.db, world.context())
    receipt = execution.deliver(world.tx("bob", farm_op("stake", amount=1_000)))
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, "I16: a position was credited what it has not earned")
    assert execution.deliver(world.tx("carol", farm_op("claim"))).code == Code.MODULE_PAUSED
    assert execution.deliver(world.tx("carol", farm_op("emergency_exit"), seq=world.next_seq("carol") + 1)).code == Code.OK
