"""Offers between two accounts: both sides at once, terms that are named, requests and gifts; each code; who must sign."""

from __future__ import annotations

from typing import Any

import pytest

from state import marks
from state.codes import Code
from state.modules.offers import OPERATIONS
from state.modules.operation import AMM_ADDRESS
from state.primitives.errors import TransactionError
from state.primitives.limits import PENDING_KEEP_S, PENDING_S_MAX
from state.queries import simulate
from state.schema import account_key, asset_key
from state.transaction import Transaction
from tests.state.ledger_world import ADDRESS
from tests.state.pending_world import EXPIRES, HOUR, RICH, PendingWorld, name_of, op, ref


def accept(world: PendingWorld, number: int = 0) -> Any:
    return op("pay.accept", offer=name_of("offer", "alice", number), terms=world.terms("offer", "alice", number))


@pytest.fixture
def world() -> PendingWorld:
    """Alice offers bob 500 EUR for 70 QNX."""
    world = PendingWorld()
    world.ok("alice", "pay.offer")
    return world


def test_both_sides_move_at_once(world: PendingWorld) -> None:
    assert (world.held("alice"), world.held("bob", "QNX"), world.balance("alice", "EUR")) == (500, 0, RICH)
    assert world.list_of("alice") == world.list_of("bob") == [b"Y" + name_of("offer", "alice")]
    assert world.do("bob", accept(world)).code == Code.OK
    assert (world.balance("alice", "EUR"), world.balance("bob", "EUR"), world.held("alice")) == (RICH - 500, RICH + 500, 0)
    assert (world.balance("alice", "QNX"), world.balance("bob", "QNX")) == (RICH + 70, RICH - 70)
    assert world.list_of("alice") == world.list_of("bob") == []
    world.audit()


@pytest.mark.parametrize("side", ["give", "want"])
def test_either_side_may_be_nothing(side: str) -> None:
    world = PendingWorld()
    world.ok("alice", "pay.offer", **{f"{side}_asset": "", f"{side}_amount": 0})
    assert world.held("alice") == (500 if side == "want" else 0)
    assert world.do("bob", accept(world)).code == Code.OK
    world.audit()
    expected = (RICH, RICH + 70) if side == "give" else (RICH - 500, RICH)
    assert (world.balance("alice", "EUR"), world.balance("alice", "QNX")) == expected


def test_only_the_terms_that_were_read_are_accepted(world: PendingWorld) -> None:
    """Alice ends her offer and makes a worse one under the same name, before bob's acceptance arrives."""
    made = accept(world)
    world.ok("alice", "pay.cancel")
    world.wait(PENDING_KEEP_S + 60)
    world.ok("alice", "pay.offer", give_amount=1, expires=world.now + HOUR)
    assert world.do("bob", made).code == Code.SETTLEMENT_MISMATCH
    assert world.balance("bob", "QNX") == RICH


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_both_may_end_it(world: PendingWorld, who: str) -> None:
    world.ok(who, "pay.cancel")
    assert (world.held("alice"), world.record("offer", "alice").code) == (0, Code.PENDING_ALREADY_VOIDED)


@pytest.mark.parametrize(
    ("end", "code"),
    [("accept", Code.ALREADY_SETTLED), ("cancel", Code.PENDING_ALREADY_VOIDED), ("expire", Code.PENDING_EXPIRED)],
)
def test_it_is_settled_once_and_answers_for_a_day(world: PendingWorld, end: str, code: Code) -> None:
    made = accept(world)
    if end == "expire":
        world.now = EXPIRES
        assert world.do("bob", made).code == Code.PENDING_EXPIRED
        world.wait(60)
    elif end == "accept":
        assert world.do("bob", made).code == Code.OK
    else:
        world.ok("bob", "pay.cancel")
    assert world.do("bob", made).code == code
    assert world.act("alice", "pay.cancel").code == code
    assert world.held("alice") == 0
    world.wait(PENDING_KEEP_S + 100)
    assert world.act("alice", "pay.cancel").code == Code.PENDING_NOT_FOUND
    world.wait(2 * HOUR)
    assert not [key for key in world.db if key[1:2] in b"HESYQ"]


def test_an_expired_offer_is_ended_by_whoever_does_not_want_to_wait(world: PendingWorld) -> None:
    world.now = EXPIRES
    world.ok("alice", "pay.cancel")
    assert (world.held("alice"), world.record("offer", "alice").code) == (0, Code.PENDING_EXPIRED)


@pytest.mark.parametrize(
    ("who", "bits", "code"),
    [
        ("alice", marks.DEBIT_FROZEN, Code.ACCOUNT_FROZEN),
        ("alice", marks.SANCTIONED, Code.ACCOUNT_SANCTIONED),
        ("bob", marks.DEBIT_FROZEN, Code.ACCOUNT_FROZEN),
        ("bob", marks.DEEP_FROZEN, Code.ACCOUNT_DEEP_FROZEN),
        ("alice", marks.DEEP_FROZEN, Code.ACCOUNT_DEEP_FROZEN),
    ],
)
def test_one_who_may_not_pay_or_be_paid_stops_both_sides(world: PendingWorld, who: str, bits: int, code: Code) -> None:
    world.edit(account_key(ADDRESS[who]), marks=bits)
    assert world.do("bob", accept(world)).code == code
    if who == "alice":
        assert world.act("alice", "pay.offer", ref=ref(1)).code == code
    world.wait(HOUR + 60)
    assert (world.held("alice"), world.balance("alice", "EUR"), world.balance("bob", "QNX")) == (0, RICH, RICH)


def test_who_accepts_must_have_what_is_wanted() -> None:
    world = PendingWorld(100)
    world.ok("alice", "pay.offer", give_amount=100, want_amount=101)
    assert world.do("bob", accept(world)).code == Code.INSUFFICIENT_FUNDS
    world.ok("alice", "pay.offer", ref=ref(1), give_asset="BIG", give_amount=100, want_amount=100)
    world.ok("bob", "hold.create", asset="QNX", amount=1, beneficiary=ADDRESS["carol"])
    assert world.do("bob", accept(world, 1)).code == Code.INSUFFICIENT_AVAILABLE
    world.ok("carol", "hold.void", hold=name_of("hold", "bob"))
    assert world.do("bob", accept(world, 1)).code == Code.OK
    world.audit()


@pytest.mark.parametrize(
    ("account", "made", "expected"),
    [
        ("alice", op("pay.offer", give_asset="", give_amount=0, want_asset="", want_amount=0), Code.ZERO_AMOUNT),
        ("alice", op("pay.offer", to=ADDRESS["alice"], want_asset="EUR"), Code.SELF_TRANSFER),
        ("alice", op("pay.offer", want_asset="EUR"), Code.SAME_ASSET),
        ("alice", op("pay.offer", expires=1), Code.PENDING_EXISTS),
        ("alice", op("pay.offer", ref=ref(1), expires=1), Code.TOO_LATE),
        ("alice", op("pay.offer", ref=ref(1), expires=EXPIRES + PENDING_S_MAX), Code.PARAM_OUT_OF_RANGE),
        ("alice", op("pay.offer", ref=ref(1), to=AMM_ADDRESS, give_asset="NONE"), Code.RECIPIENT_IS_MODULE),
        ("alice", op("pay.offer", ref=ref(1), to=b"n" * 32), Code.ACCOUNT_NOT_FOUND),
        ("alice", op("pay.offer", ref=ref(1), want_asset="NONE"), Code.ASSET_NOT_FOUND),
        ("alice", op("pay.offer", ref=ref(1), want_asset="BND"), Code.NOT_TRANSFERABLE),
        ("alice", op("pay.offer", ref=ref(1), give_asset="PLN"), Code.NOT_TRANSFERABLE),
        ("alice", op("pay.offer", ref=ref(1), give_amount=RICH), Code.INSUFFICIENT_AVAILABLE),
        ("alice", op("pay.offer", ref=ref(1), give_amount=RICH + 1), Code.INSUFFICIENT_FUNDS),
        ("carol", op("pay.accept"), Code.NO_PERMISSION),
        ("alice", op("pay.accept"), Code.NO_PERMISSION),
        ("bob", op("pay.accept"), Code.SETTLEMENT_MISMATCH),
        ("bob", op("pay.accept", offer=b"n" * 20), Code.PENDING_NOT_FOUND),
        ("carol", op("pay.cancel"), Code.NO_PERMISSION),
        ("carol", op("pay.cancel", offer=b"n" * 20), Code.PENDING_NOT_FOUND),
    ],
)
def test_codes_in_their_order(world: PendingWorld, account: str, made: Any, expected: int) -> None:
    before = {k: v for k, v in world.db.items() if k[1:2] != b"n"}
    receipt = world.do(account, made)
    assert receipt.code == expected, receipt.log
    assert expected in next(row for row in OPERATIONS if row.code == made[0]).codes
    assert {k: v for k, v in world.db.items() if k[1:2] != b"n"} == before


def test_what_stopped_being_transferable_is_not_exchanged(world: PendingWorld) -> None:
    world.edit(asset_key("QNX"), flags=4)
    assert world.do("bob", accept(world)).code == Code.NOT_TRANSFERABLE


@pytest.mark.parametrize(
    "fields",
    [{"give_amount": 0}, {"give_asset": ""}, {"want_amount": 0}, {"want_asset": ""}, {"give_asset": "eur"}, {"ref": b""}],
)
def test_wrong_forms_never_enter_a_block(world: PendingWorld, fields: dict[str, Any]) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(world.raw("alice", op("pay.offer", **fields)))


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_without_its_signer_is_refused(world: PendingWorld, row: Any) -> None:
    made = list(op(row.name))
    made[1] = ADDRESS["alice"]
    assert world.check(world.raw("bob", made)).code == Code.QUORUM_NOT_MET


def test_simulating_gives_what_applying_gives(world: PendingWorld) -> None:
    """I13."""
    tx = world.tx("bob", accept(world))
    assert simulate(world.db, world.context(), tx) == world.apply(tx)[0]
