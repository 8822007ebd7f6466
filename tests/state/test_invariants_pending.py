"""The invariants of pending things find what a wrong handler would do; the handlers are replaced by wrong writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from state.codes import Code
from state.invariants import check_action, check_operation
from state.invariants_pending import audit_pending
from state.machine import BlockExecution
from state.modules import holds, pending
from state.modules.gate import put_holding, read_holding
from state.modules.operation import CLAIMS_ADDRESS, ESCROWS_ADDRESS, Level, OpContext
from state.modules.table import BY_NAME
from state.schema import CALENDAR, HOLDING, decode_record, holding_key
from state.schema_claims import CLAIM
from state.schema_pending import (
    ESCROW,
    HOLD,
    OFFER,
    SETTLEMENT,
    Escrow,
    Hold,
    Leg,
    Offer,
    Settled,
    Settlement,
    list_entry_key,
    list_key,
    pending_key,
)
from state.transaction import Call
from state.view import View
from tests.state.ledger_world import ADDRESS
from tests.state.pending_world import EXPIRES, LEGS, PendingWorld, name_of, op, ref

ALICE, BOB, CAROL, BANK = (ADDRESS[name] for name in ("alice", "bob", "carol", "bank"))
HOLD_KEY = pending_key(HOLD, name_of("hold", "alice"))
ESCROW_KEY = pending_key(ESCROW, name_of("escrow", "alice"))
SETTLEMENT_KEY = pending_key(SETTLEMENT, name_of("settlement", "carol"))
OFFER_KEY = pending_key(OFFER, name_of("offer", "alice"))
LETTERS = frozenset({HOLD, ESCROW, SETTLEMENT, OFFER, HOLDING, CALENDAR, CLAIM})


@pytest.fixture(scope="module")
def world() -> PendingWorld:
    """One of each, open, and the settlement's first leg set aside; a hold of alice's that is settled."""
    world = PendingWorld()
    world.ok("alice", "hold.create")
    world.ok("alice", "hold.create", ref=ref(9))
    world.ok("bob", "hold.post", hold=name_of("hold", "alice", 9), amount=1)
    world.ok("alice", "escrow.create")
    world.ok("carol", "settle.create")
    world.ok("alice", "settle.allocate", terms=world.terms("settlement", "carol"))
    world.ok("alice", "pay.offer")
    return world


def move(context: OpContext, source: bytes, to: bytes, amount: int, code: bytes = b"EUR") -> None:
    context.take(source, code, amount)
    context.give(to, code, amount)


def end(key: bytes, code: int, amount: int, *parties: bytes) -> Callable[[OpContext], None]:
    """The books of an end, and nothing that is paid for it."""
    return lambda context: pending.close_pending(context, key, code, amount, parties)


def all_sign(_account: bytes, _args: tuple[Any, ...]) -> tuple[tuple[bytes, Level], ...]:
    return tuple((address, Level.HIGH) for address in (ALICE, BOB, CAROL, BANK))


def found(world: PendingWorld, name: str, account: bytes, act: Callable[[OpContext], Any]) -> str:
    """What the checks say to an operation of `account` that does this."""
    view = View(world.db)
    act(OpContext(view, world.height + 1, world.now, ()))
    row = replace(BY_NAME[name], writes=LETTERS, touches=frozenset({"escrows", "claims"}), moves_value=False, authorities=all_sign)
    return check_operation(view, 0, Call(row, account, ()))


def both(*acts: Callable[[OpContext], None]) -> Callable[[OpContext], None]:
    def act(context: OpContext) -> None:
        for one in acts:
            one(context)

    return act


def unlock(who: bytes, amount: int, code: str = "EUR") -> Callable[[OpContext], None]:
    return lambda context: pending.unlock(context, who, code, amount)


def pays(source: bytes, to: bytes, amount: int, code: bytes = b"EUR") -> Callable[[OpContext], None]:
    return lambda context: move(context, source, to, amount, code)


def put(key: bytes, change: Callable[[Any], Any]) -> Callable[[OpContext], None]:
    return lambda context: context.view.put(key, change(context.view.get(key)))


def made(record: Any, letter: int) -> Callable[[OpContext], None]:
    """A new record with its books."""

    def act(context: OpContext) -> None:
        pending.open_pending(context, pending_key(letter, b"n" * 20), record, pending.HOLD_DUE, EXPIRES, record[:2])

    return act


POST = both(unlock(ALICE, 100), end(HOLD_KEY, 702, 60, ALICE, BOB))
TWO_LEGS = tuple(Leg(*leg) for leg in LEGS)
NEW_HOLD = Hold(ALICE, BOB, b"", "EUR", 5, EXPIRES, ref(1))


@pytest.mark.parametrize(
    ("name", "account", "act", "expected"),
    [
        ("hold.post", BOB, both(POST, pays(ALICE, BOB, 60)), ""),
        ("hold.post", BOB, both(POST, pays(ALICE, BOB, 61)), "I5: something else was paid"),
        ("hold.post", BOB, both(POST, pays(ALICE, CAROL, 60)), "I5: something else was paid"),
        ("hold.post", BOB, both(POST, pays(ALICE, BOB, 60), pays(ALICE, BOB, 1, b"QNX")), "I5: something else was paid"),
        ("hold.post", BOB, POST, "I5: something else was paid"),
        ("hold.post", CAROL, both(POST, pays(ALICE, BOB, 60)), "I5: more was posted"),
        (
            "hold.post",
            BOB,
            both(unlock(ALICE, 100), end(HOLD_KEY, 702, 101, ALICE, BOB), pays(ALICE, BOB, 101)),
            "I5: more was posted",
        ),
        ("hold.post", BOB, both(unlock(ALICE, 100), end(HOLD_KEY, 702, 0, ALICE, BOB)), "I5: more was posted"),
        (
            "hold.post",
            BOB,
            both(unlock(ALICE, 60), end(HOLD_KEY, 702, 60, ALICE, BOB), pays(ALICE, BOB, 60)),
            "I3: what is held is not what is promised",
        ),
        ("hold.void", BOB, both(unlock(ALICE, 100), end(HOLD_KEY, 703, 0, ALICE, BOB)), ""),
        ("hold.void", BOB, end(HOLD_KEY, 703, 0, ALICE, BOB), "I3: what is held is not what is promised"),
        ("hold.void", BOB, both(unlock(ALICE, 100), end(HOLD_KEY, 703, 5, ALICE, BOB)), "I5: something taken back was paid"),
        ("hold.void", BOB, both(unlock(ALICE, 100), end(HOLD_KEY, 701, 0, ALICE, BOB)), "I5: something ended in a way"),
        ("hold.void", BOB, both(unlock(ALICE, 100), end(HOLD_KEY, 703, 0, ALICE)), "I5: an account's list"),
        ("hold.void", BOB, both(unlock(ALICE, 100), put(HOLD_KEY, lambda _: None)), "I5: something open vanished"),
        ("hold.void", BOB, put(HOLD_KEY, lambda hold: hold._replace(amount=99)), "I5: the terms of something open"),
        (
            "hold.void",
            BOB,
            put(pending_key(HOLD, name_of("hold", "alice", 9)), lambda _: Settled(703, 0, EXPIRES)),
            "I5: something settled was settled again",
        ),
        ("hold.create", ALICE, made(NEW_HOLD, HOLD), "I3: what is held is not what is promised"),
        ("hold.create", BOB, made(NEW_HOLD, HOLD), "I24: somebody promised for another"),
        ("hold.create", ALICE, made(NEW_HOLD._replace(amount=0), HOLD), "I12: nothing was promised"),
        (
            "hold.create",
            ALICE,
            put(pending_key(HOLD, b"n" * 20), lambda _: Settled(703, 0, EXPIRES)),
            "I5: something settled came from nowhere",
        ),
        (
            "escrow.create",
            ALICE,
            both(made(Escrow(ALICE, BOB, "EUR", 5, 1, EXPIRES, b"", ref(1)), ESCROW), pays(ALICE, ESCROWS_ADDRESS, 5)),
            "",
        ),
        (
            "escrow.create",
            ALICE,
            both(made(Escrow(ALICE, BOB, "EUR", 5, 1, EXPIRES, b"", ref(1)), ESCROW), pays(ALICE, ESCROWS_ADDRESS, 4)),
            "I5: something else was paid",
        ),
        (
            "escrow.finish",
            CAROL,
            both(end(ESCROW_KEY, 702, 100, ALICE, BOB), pays(ESCROWS_ADDRESS, BOB, 100)),
            "",
        ),
        (
            "escrow.finish",
            CAROL,
            both(end(ESCROW_KEY, 702, 99, ALICE, BOB), pays(ESCROWS_ADDRESS, BOB, 99)),
            "I5: an escrow was paid in part",
        ),
        (
            "escrow.finish",
            CAROL,
            both(end(ESCROW_KEY, 702, 100, ALICE, BOB), pays(ESCROWS_ADDRESS, CAROL, 100)),
            "I5: something else was paid",
        ),
        ("escrow.finish", CAROL, pays(ESCROWS_ADDRESS, BOB, 1), "I5: something else was paid"),
        (
            "escrow.cancel",
            BOB,
            both(end(ESCROW_KEY, 703, 0, ALICE, BOB), pays(ESCROWS_ADDRESS, BOB, 100)),
            "I5: something else was paid",
        ),
        (
            "escrow.cancel",
            BOB,
            both(end(ESCROW_KEY, 703, 0, ALICE, BOB), pays(ESCROWS_ADDRESS, CLAIMS_ADDRESS, 100)),
            "I5: something else was paid",
        ),
        ("settle.execute", BOB, end(SETTLEMENT_KEY, 711, 0, ALICE, BOB, CAROL), "I24: a settlement was executed"),
        (
            "settle.allocate",
            ALICE,
            put(SETTLEMENT_KEY, lambda found: found._replace(allocated=3)),
            "I24: somebody set aside what is another's",
        ),
        (
            "settle.allocate",
            ALICE,
            put(SETTLEMENT_KEY, lambda found: found._replace(allocated=0)),
            "I5: a leg was set aside twice",
        ),
        (
            "settle.allocate",
            BOB,
            put(SETTLEMENT_KEY, lambda found: found._replace(allocated=7)),
            "I5: a leg was set aside twice",
        ),
        (
            "settle.allocate",
            BOB,
            put(SETTLEMENT_KEY, lambda found: found._replace(legs=TWO_LEGS[:1], allocated=3)),
            "I5: the terms of something open",
        ),
        (
            "settle.create",
            ALICE,
            made(Settlement(ALICE, BOB, TWO_LEGS, EXPIRES, 1, ref(1)), SETTLEMENT),
            "I5: a settlement begins with legs",
        ),
        (
            "settle.create",
            BOB,
            made(Settlement(ALICE, BOB, (), EXPIRES, 0, ref(1)), SETTLEMENT),
            "I24: somebody promised for another",
        ),
        (
            "pay.accept",
            CAROL,
            both(unlock(ALICE, 500), end(OFFER_KEY, 711, 500, ALICE, BOB), pays(ALICE, BOB, 500), pays(BOB, ALICE, 70, b"QNX")),
            "I24: somebody agreed for another",
        ),
        (
            "pay.accept",
            BOB,
            both(unlock(ALICE, 500), end(OFFER_KEY, 711, 500, ALICE, BOB), pays(ALICE, BOB, 500), pays(BOB, ALICE, 69, b"QNX")),
            "I5: something else was paid",
        ),
        (
            "pay.offer",
            ALICE,
            made(Offer(ALICE, BOB, "", 0, "", 0, EXPIRES, ref(1)), OFFER),
            "I12: nothing was promised",
        ),
        (
            "pay.cancel",
            BOB,
            put(list_key(BOB), lambda head: (head[0], head[1] + 1)),
            "I5: an account's list",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_wrong_write_is_found(
    world: PendingWorld, name: str, account: bytes, act: Callable[[OpContext], None], expected: str
) -> None:
    problem = found(world, name, account, act)
    assert problem.startswith(expected) if expected else problem == "", problem


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (both(unlock(ALICE, 100), end(HOLD_KEY, 704, 0, ALICE, BOB)), ""),
        (both(POST, pays(BOB, BOB, 60)), "I5: something ended in a way that there is not"),
        (both(unlock(ALICE, 100), end(HOLD_KEY, 704, 0, ALICE, BOB), pays(ALICE, BOB, 1)), "I5: something else was paid"),
        (made(Offer(ALICE, BOB, "", 0, "EUR", 5, EXPIRES, ref(1)), OFFER), "I24: somebody promised for another"),
        (pays(ESCROWS_ADDRESS, BOB, 1), "I5: something else was paid"),
    ],
)
def test_the_ledger_by_itself_only_gives_back(world: PendingWorld, act: Callable[[OpContext], None], expected: str) -> None:
    view = View(world.db)
    act(OpContext(view, world.height + 1, world.now, ()))
    problem = check_action(view, 0, LETTERS)
    assert problem.startswith(expected) if expected else problem == "", problem


def test_held_beside_promises_is_found(world: PendingWorld) -> None:
    def act(context: OpContext) -> None:
        POST(context)
        move(context, ALICE, BOB, 60)
        key = holding_key(ALICE, "QNX")
        balance, held, bits = read_holding(context.view.get(key))
        put_holding(context.view, key, balance, held + 1, bits)

    assert found(world, "hold.post", BOB, act) == "I3: what is held is not what is promised"


def test_the_audit_finds_every_record_that_is_wrong(world: PendingWorld) -> None:
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    assert audit_pending(records.items()) == ()
    held, kept = holding_key(ALICE, "EUR"), holding_key(ESCROWS_ADDRESS, "EUR")
    name = b"H" + name_of("hold", "alice")
    entry = list_entry_key(ALICE, name)
    for key, wrong, words in (
        (held, (records[held][0], records[held][1] + 1, 0), "what is held is not what is promised"),
        (kept, (99,), "does not hold the escrows"),
        (HOLD_KEY, records[HOLD_KEY]._replace(amount=101), "what is held is not what is promised"),
        (HOLD_KEY, Settled(702, 5, EXPIRES), "names what is not open"),
        (pending_key(HOLD, b"n" * 20), Settled(701, 5, EXPIRES), "in a way that there is not"),
        (list_key(ALICE), (name, 4), "not the entries that it counts"),
        (list_key(ALICE), (records[list_key(ALICE)][0], 5), "list is not what concerns it"),
        (entry, (b"", b""), "do not name each other"),
        (list_entry_key(CAROL, name), (b"", b""), "does not concern the account"),
        (OFFER_KEY, records[OFFER_KEY]._replace(give_amount=1), "what is held is not what is promised"),
        (SETTLEMENT_KEY, records[SETTLEMENT_KEY]._replace(allocated=0), "what is held is not what is promised"),
    ):
        assert any(words in problem for problem in audit_pending({**records, key: wrong}.items())), words


def test_a_wrong_handler_is_reverted_and_its_module_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold that is posted in full but frees only what was posted."""
    world = PendingWorld()
    world.ok("alice", "hold.create")
    take = holds.take_locked

    def wrong(context: OpContext, owner: bytes, payee: bytes, asset: str, amount: int, *, held: int) -> None:
        take(context, owner, payee, asset, amount, held=amount)

    monkeypatch.setattr(holds, "take_locked", wrong)
    execution = BlockExecution(world.db, world.context())
    receipt = execution.deliver(world.tx("bob", op("hold.post", amount=60)))
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, "I3: what is held is not what is promised")
    assert execution.deliver(world.tx("carol", op("settle.create"))).code == Code.OK  # other modules go on
    assert execution.deliver(world.tx("bank", op("hold.create"))).code == Code.MODULE_PAUSED
    assert [event.type for event in execution.finish([receipt]).events] == ["breaker_tripped"]
