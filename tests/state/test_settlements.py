"""Settlements: delivery versus payment by allocation; each code; who must sign, and to what."""

from __future__ import annotations

from typing import Any

import pytest

from state import marks
from state.codes import Code
from state.modules.operation import AMM_ADDRESS
from state.modules.settlements import OPERATIONS
from state.primitives.errors import TransactionError
from state.primitives.limits import AMOUNT_MAX, PENDING_KEEP_S, PENDING_S_MAX, SETTLEMENT_LEGS_MAX
from state.queries import simulate
from state.schema import account_key, asset_key, encode_record, holding_key
from state.transaction import Transaction
from tests.state.ledger_world import ADDRESS, pay
from tests.state.pending_world import EXPIRES, HOUR, LEGS, RICH, PendingWorld, name_of, op, ref

ALICE, BOB, CAROL, BANK = (ADDRESS[name] for name in ("alice", "bob", "carol", "bank"))


def allocate(world: PendingWorld, account: str, number: int = 0) -> Any:
    return op(
        "settle.allocate",
        settlement=name_of("settlement", "carol", number),
        terms=world.terms("settlement", "carol", number),
    )


@pytest.fixture
def world() -> PendingWorld:
    """Carol has written down that alice delivers 500 EUR to bob for 70 QNX."""
    world = PendingWorld()
    world.ok("carol", "settle.create")
    return world


@pytest.fixture
def full(world: PendingWorld) -> PendingWorld:
    """And both have set their legs aside."""
    for name in ("alice", "bob"):
        assert world.do(name, allocate(world, name)).code == Code.OK
    world.audit()
    return world


def test_delivery_and_payment_happen_at_once(world: PendingWorld) -> None:
    assert world.do("alice", allocate(world, "alice")).code == Code.OK
    assert (world.held("alice"), world.balance("alice", "EUR")) == (500, RICH)
    assert world.act("bank", "settle.execute").code == Code.SETTLEMENT_INCOMPLETE
    assert world.do("bob", allocate(world, "bob")).code == Code.OK
    assert (world.held("bob", "QNX"), world.balance("bob", "QNX")) == (70, RICH)
    receipt = world.ok("bank", "settle.execute")
    assert [event.type for event in receipt.events] == ["settlement_leg", "settlement_leg", "settlement_executed"]
    assert (world.balance("alice", "EUR"), world.balance("bob", "EUR")) == (RICH - 500, RICH + 500)
    assert (world.balance("alice", "QNX"), world.balance("bob", "QNX")) == (RICH + 70, RICH - 70)
    assert (world.held("alice"), world.held("bob", "QNX")) == (0, 0)
    for name in ("alice", "bob", "carol"):
        assert world.list_of(name) == []


def test_the_last_who_allocates_can_execute_in_the_same_transaction(world: PendingWorld) -> None:
    world.do("alice", allocate(world, "alice"))
    assert world.do("bob", allocate(world, "bob"), op("settle.execute")).code == Code.OK
    assert world.balance("alice", "QNX") == RICH + 70


def test_what_is_set_aside_cannot_be_spent_meanwhile(full: PendingWorld) -> None:
    assert full.do("alice", pay("carol", RICH - 499, "EUR")).code == Code.INSUFFICIENT_AVAILABLE
    assert full.do("alice", pay("carol", RICH - 500, "EUR")).code == Code.OK
    full.ok("bob", "settle.execute")


def test_the_agent_alone_executes_if_there_is_one() -> None:
    world = PendingWorld()
    world.ok("carol", "settle.create", agent=BANK)
    assert world.do("alice", allocate(world, "alice")).code == Code.OK
    assert world.do("bob", allocate(world, "bob")).code == Code.OK
    for name in ("alice", "bob", "carol"):
        assert world.act(name, "settle.execute").code == Code.NO_PERMISSION
    world.ok("bank", "settle.execute")


def test_nobody_is_made_to_agree_to_other_terms(world: PendingWorld) -> None:
    """A signature names the terms: with the same reference, other legs are another settlement's."""
    terms = world.terms("settlement", "carol")
    world.ok("bob", "settle.cancel")
    world.wait(PENDING_KEEP_S + 120)
    world.ok("carol", "settle.create", legs=(*LEGS, (ALICE, CAROL, "EUR", 5)), deadline=world.now + HOUR)
    assert world.act("alice", "settle.allocate", terms=terms).code == Code.SETTLEMENT_MISMATCH
    assert world.held("alice") == 0


def test_nobody_can_take_a_name_that_another_will_use(world: PendingWorld) -> None:
    world.ok("bank", "settle.create", legs=((ALICE, BANK, "EUR", RICH),))
    assert world.record("settlement", "carol").legs == LEGS
    assert name_of("settlement", "bank") != name_of("settlement", "carol")


def test_at_the_deadline_everything_is_free_again(full: PendingWorld) -> None:
    full.now = EXPIRES
    assert full.act("bank", "settle.execute").code == Code.PENDING_EXPIRED
    assert full.act("alice", "settle.allocate").code == Code.PENDING_EXPIRED
    full.wait(60)
    assert (full.held("alice"), full.held("bob", "QNX"), full.balance("alice", "EUR")) == (0, 0, RICH)
    assert full.record("settlement", "carol").code == Code.PENDING_EXPIRED
    full.wait(PENDING_KEEP_S + HOUR)
    assert not [key for key in full.db if key[1:2] in b"HESYQ"]


def test_who_is_bound_stays_bound_until_the_deadline_and_not_a_second_longer(world: PendingWorld) -> None:
    world.do("alice", allocate(world, "alice"))
    for name in ("alice", "bank"):
        assert world.act(name, "settle.cancel").code == Code.NO_PERMISSION
    world.now = EXPIRES
    world.ok("alice", "settle.cancel")  # whoever does not want to wait for the calendar
    assert (world.held("alice"), world.record("settlement", "carol").code) == (0, Code.PENDING_EXPIRED)


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_who_is_not_bound_may_refuse(world: PendingWorld, who: str) -> None:
    world.do("alice", allocate(world, "alice"))
    world.ok(who, "settle.cancel")
    assert (world.held("alice"), world.record("settlement", "carol").code) == (0, Code.PENDING_ALREADY_VOIDED)


def test_the_agent_may_always_cancel() -> None:
    world = PendingWorld()
    world.ok("carol", "settle.create", agent=ALICE)
    world.do("alice", allocate(world, "alice"))
    world.ok("alice", "settle.cancel")
    assert world.held("alice") == 0


@pytest.mark.parametrize(
    ("end", "code"),
    [("execute", Code.ALREADY_SETTLED), ("cancel", Code.PENDING_ALREADY_VOIDED), ("expire", Code.PENDING_EXPIRED)],
)
def test_it_is_settled_once_and_answers_for_a_day(full: PendingWorld, end: str, code: Code) -> None:
    if end == "expire":
        full.wait(2 * HOUR)
    else:
        full.ok("carol", f"settle.{end}")
    for name in ("settle.execute", "settle.cancel", "settle.allocate"):
        assert full.act("alice", name).code == code
    assert full.act("carol", "settle.create").code == Code.PENDING_EXISTS
    full.wait(PENDING_KEEP_S + 100)
    assert full.act("alice", "settle.cancel").code == Code.PENDING_NOT_FOUND


def test_a_ring_of_four_and_legs_of_one_account() -> None:
    world = PendingWorld()
    ring = (
        (ALICE, BOB, "EUR", 10),
        (ALICE, CAROL, "EUR", 20),
        (BOB, CAROL, "QNX", 30),
        (CAROL, BANK, "BIG", 40),
        (BANK, ALICE, "EUR", 50),
        (ALICE, BOB, "EUR", 10),
    )
    world.ok("carol", "settle.create", legs=ring)
    for name in ("alice", "bob", "carol", "bank"):
        receipt = world.do(name, allocate(world, name))
        assert receipt.code == Code.OK
        world.audit()
    assert world.held("alice") == 40
    world.ok("bank", "settle.execute")
    assert (world.balance("alice", "EUR"), world.balance("carol", "EUR"), world.held("alice")) == (RICH + 10, RICH + 20, 0)


def test_what_comes_in_by_a_settlement_does_not_pay_for_what_goes_out_of_it() -> None:
    """Netting is not done: each leg is set aside in full."""
    world = PendingWorld(100)
    world.ok("carol", "settle.create", legs=((ALICE, BOB, "EUR", 101), (BOB, ALICE, "EUR", 50)))
    assert world.do("alice", allocate(world, "alice")).code == Code.INSUFFICIENT_FUNDS
    assert world.do("bob", allocate(world, "bob")).code == Code.OK
    assert world.held("bob") == 50


def test_two_settlements_of_one_account_are_set_aside_in_full() -> None:
    world = PendingWorld(100)
    for number in (0, 1):
        world.ok("carol", "settle.create", ref=ref(number), legs=((ALICE, BOB, "EUR", 60),))
    assert world.do("alice", allocate(world, "alice", 0)).code == Code.OK
    assert world.do("alice", allocate(world, "alice", 1)).code == Code.INSUFFICIENT_AVAILABLE


FROZEN = [
    ("alice", marks.DEBIT_FROZEN, Code.ACCOUNT_FROZEN),
    ("bob", marks.DEEP_FROZEN, Code.ACCOUNT_DEEP_FROZEN),
    ("alice", marks.SANCTIONED, Code.ACCOUNT_SANCTIONED),
    ("bob", marks.CLOSED, Code.ACCOUNT_CLOSED),
]


@pytest.mark.parametrize(("who", "bits", "code"), FROZEN)
def test_one_who_may_not_pay_or_be_paid_stops_all_legs(full: PendingWorld, who: str, bits: int, code: Code) -> None:
    full.edit(account_key(ADDRESS[who]), marks=bits)
    before = {name: full.balance(name, code) for name in ("alice", "bob") for code in ("EUR", "QNX")}
    assert full.act("carol", "settle.execute").code == code
    assert before == {name: full.balance(name, code) for name in ("alice", "bob") for code in ("EUR", "QNX")}
    full.wait(HOUR + 60)
    assert (full.held("alice"), full.held("bob", "QNX")) == (0, 0)


def test_who_is_frozen_sets_nothing_aside(world: PendingWorld) -> None:
    world.edit(account_key(ALICE), marks=marks.DEBIT_FROZEN)
    assert world.do("alice", allocate(world, "alice")).code == Code.ACCOUNT_FROZEN
    world.edit(account_key(ALICE), marks=0)
    world.edit(asset_key("EUR"), flags=3)
    assert world.do("alice", allocate(world, "alice")).code == Code.NOT_TRANSFERABLE


def test_an_overflow_of_one_recipient_stops_all_legs() -> None:
    world = PendingWorld(AMOUNT_MAX // 8)
    key = holding_key(ADDRESS["carol"], "EUR")
    world.db[key] = encode_record(key, (AMOUNT_MAX - 10,))  # more than the supply has: by hand, so no audit here
    assert world.do("carol", op("settle.create", legs=((ALICE, BOB, "QNX", 5), (BOB, CAROL, "EUR", 11)))).code == Code.OK
    for name in ("alice", "bob"):
        assert world.do(name, allocate(world, name)).code == Code.OK
    assert world.do("alice", op("settle.execute")).code == Code.OVERFLOW_MAX
    assert (world.held("alice", "QNX"), world.balance("bob", "QNX")) == (5, AMOUNT_MAX // 8)


@pytest.mark.parametrize(
    ("account", "made", "expected"),
    [
        ("carol", op("settle.create", deadline=1), Code.PENDING_EXISTS),
        ("carol", op("settle.create", ref=ref(1), deadline=1, agent=AMM_ADDRESS), Code.TOO_LATE),
        ("carol", op("settle.create", ref=ref(1), deadline=EXPIRES + PENDING_S_MAX), Code.PARAM_OUT_OF_RANGE),
        ("carol", op("settle.create", ref=ref(1), agent=AMM_ADDRESS), Code.RECIPIENT_IS_MODULE),
        ("carol", op("settle.create", ref=ref(1), agent=b"n" * 32), Code.ACCOUNT_NOT_FOUND),
        ("carol", op("settle.create", ref=ref(1), legs=((ALICE, ALICE, "EUR", 0),)), Code.ZERO_AMOUNT),
        ("carol", op("settle.create", ref=ref(1), legs=((ALICE, ALICE, "NONE", 1),)), Code.SELF_TRANSFER),
        ("carol", op("settle.create", ref=ref(1), legs=((ALICE, AMM_ADDRESS, "NONE", 1),)), Code.ASSET_NOT_FOUND),
        ("carol", op("settle.create", ref=ref(1), legs=((ALICE, AMM_ADDRESS, "PLN", 1),)), Code.NOT_TRANSFERABLE),
        ("carol", op("settle.create", ref=ref(1), legs=((ALICE, AMM_ADDRESS, "EUR", 1),)), Code.RECIPIENT_IS_MODULE),
        ("carol", op("settle.create", ref=ref(1), legs=((AMM_ADDRESS, ALICE, "EUR", 1),)), Code.RECIPIENT_IS_MODULE),
        ("carol", op("settle.create", ref=ref(1), legs=((ALICE, b"n" * 32, "EUR", 1),)), Code.ACCOUNT_NOT_FOUND),
        ("carol", op("settle.create", ref=ref(1), legs=(*LEGS, (b"n" * 32, ALICE, "EUR", 1))), Code.ACCOUNT_NOT_FOUND),
        ("carol", op("settle.allocate"), Code.NO_PERMISSION),
        ("alice", op("settle.allocate"), Code.SETTLEMENT_MISMATCH),
        ("alice", op("settle.allocate", settlement=b"n" * 20), Code.PENDING_NOT_FOUND),
        ("alice", op("settle.execute"), Code.SETTLEMENT_INCOMPLETE),
        ("alice", op("settle.execute", settlement=b"n" * 20), Code.PENDING_NOT_FOUND),
        ("bank", op("settle.cancel"), Code.NO_PERMISSION),
        ("bank", op("settle.cancel", settlement=b"n" * 20), Code.PENDING_NOT_FOUND),
    ],
)
def test_codes_in_their_order(world: PendingWorld, account: str, made: Any, expected: int) -> None:
    before = {k: v for k, v in world.db.items() if k[1:2] != b"n"}
    receipt = world.do(account, made)
    assert receipt.code == expected, receipt.log
    assert expected in next(row for row in OPERATIONS if row.code == made[0]).codes
    assert {k: v for k, v in world.db.items() if k[1:2] != b"n"} == before


def test_allocating_twice_is_refused(world: PendingWorld) -> None:
    made = allocate(world, "alice")
    assert world.do("alice", made, made).code == Code.ALREADY_SETTLED
    assert world.do("alice", made).code == Code.OK
    assert world.do("alice", made).code == Code.ALREADY_SETTLED
    assert world.held("alice") == 500


@pytest.mark.parametrize("legs", [(), ((ALICE, BOB, "EUR", 1),) * (SETTLEMENT_LEGS_MAX + 1), ((ALICE, BOB, "eur", 1),)])
def test_wrong_forms_never_enter_a_block(world: PendingWorld, legs: Any) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(world.raw("carol", op("settle.create", legs=legs)))


def test_the_largest_settlement_is_one_operation() -> None:
    world = PendingWorld()
    legs = tuple((BOB if i % 2 else ALICE, CAROL, "EUR", i + 1) for i in range(SETTLEMENT_LEGS_MAX))
    world.ok("carol", "settle.create", legs=legs)
    for name in ("alice", "bob"):
        assert world.do(name, allocate(world, name)).code == Code.OK
    world.audit()
    world.ok("carol", "settle.execute")
    assert world.balance("carol", "EUR") == RICH + SETTLEMENT_LEGS_MAX * (SETTLEMENT_LEGS_MAX + 1) // 2


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_without_its_signer_is_refused(world: PendingWorld, row: Any) -> None:
    made = list(op(row.name))
    made[1] = ADDRESS["alice"]
    assert world.check(world.raw("bob", made)).code == Code.QUORUM_NOT_MET


def test_every_side_must_have_signed_xrpl_batch_2026(world: PendingWorld) -> None:
    """XRPL, February 2026: a loop over signers ended at the first one, and the others' money moved. Here each allocates himself."""
    assert world.do("alice", allocate(world, "alice"), op("settle.execute")).code == Code.SETTLEMENT_INCOMPLETE
    forged = list(allocate(world, "bob"))
    forged[1] = BOB
    assert world.check(world.raw("alice", allocate(world, "alice"), forged, op("settle.execute"))).code == Code.QUORUM_NOT_MET


def test_simulating_gives_what_applying_gives(full: PendingWorld) -> None:
    """I13."""
    tx = full.tx("bank", op("settle.execute"))
    assert simulate(full.db, full.context(), tx) == full.apply(tx)[0]
