"""Escrows: by time and by secret, finished or given back, under every freeze; each code; who must sign."""

from __future__ import annotations

from typing import Any

import pytest

from state import marks
from state.codes import Code
from state.modules.escrows import OPERATIONS
from state.modules.operation import AMM_ADDRESS, CLAIMS_ADDRESS, ESCROWS_ADDRESS
from state.primitives.errors import TransactionError
from state.primitives.hashing import sha256
from state.primitives.limits import PENDING_KEEP_S, PENDING_S_MAX, PREIMAGE_BYTES_MAX
from state.queries import simulate
from state.schema import account_key, asset_key, holding_key
from state.transaction import Transaction, call
from tests.state.ledger_world import ADDRESS, NOW, pay
from tests.state.pending_world import EXPIRES, HOUR, RICH, PendingWorld, name_of, op, ref
from tests.state.test_holds import FREEZES, freeze

SECRET = b"open sesame"
HASH = sha256(SECRET)
OPENS = NOW + 600


@pytest.fixture
def world() -> PendingWorld:
    """Alice has 100 EUR in escrow for bob, from ten minutes on and against a secret."""
    world = PendingWorld()
    world.ok("alice", "escrow.create", hash=HASH)
    return world


def test_an_escrow_leaves_its_owner_and_arrives(world: PendingWorld) -> None:
    assert (world.balance("alice", "EUR"), world.balance(ESCROWS_ADDRESS, "EUR")) == (RICH - 100, 100)
    assert world.list_of("alice") == world.list_of("bob") == [b"E" + name_of("escrow", "alice")]
    world.now = OPENS
    receipt = world.ok("carol", "escrow.finish", secret=SECRET)
    assert (world.balance("bob", "EUR"), world.balance(ESCROWS_ADDRESS, "EUR")) == (RICH + 100, 0)
    assert dict(receipt.events[0].attributes)["secret"] == SECRET.hex()  # the other leg of an atomic swap needs it
    assert world.list_of("alice") == world.list_of("bob") == []


def test_it_can_be_finished_from_its_second_until_the_one_before_it_goes_back(world: PendingWorld) -> None:
    finish = op("escrow.finish", secret=SECRET)
    for now, code in ((OPENS - 1, Code.TOO_EARLY), (OPENS, Code.OK), (EXPIRES - 1, Code.OK), (EXPIRES, Code.TOO_LATE)):
        world.now = now
        assert simulate(world.db, world.context(), world.tx("bob", finish)).code == code, now
        expected = Code.OK if now == EXPIRES else Code.TOO_EARLY
        assert simulate(world.db, world.context(), world.tx("carol", op("escrow.cancel"))).code == expected


def test_only_the_secret_opens_it(world: PendingWorld) -> None:
    world.now = OPENS
    for secret in (b"", b"open sesam", SECRET + b"\0", HASH):
        assert world.act("bob", "escrow.finish", secret=secret).code == Code.WRONG_SECRET
    world.ok("bob", "escrow.finish", secret=SECRET)


def test_without_a_hash_there_is_no_secret_and_without_a_time_it_opens_at_once() -> None:
    world = PendingWorld()
    world.ok("alice", "escrow.create")
    world.ok("alice", "escrow.create", ref=ref(1), finish_after=0, hash=HASH)
    world.ok("bob", "escrow.finish", escrow=name_of("escrow", "alice", 1), secret=SECRET)
    world.now = OPENS
    assert world.act("bob", "escrow.finish", secret=b"x").code == Code.WRONG_SECRET
    world.ok("bob", "escrow.finish")
    assert world.balance("bob", "EUR") == RICH + 200


def test_the_recipient_may_give_it_back_early_and_after_the_date_anybody(world: PendingWorld) -> None:
    assert world.act("alice", "escrow.cancel").code == Code.TOO_EARLY
    world.ok("bob", "escrow.cancel")
    assert (world.balance("alice", "EUR"), world.record("escrow", "alice").code) == (RICH, Code.PENDING_ALREADY_VOIDED)
    world.ok("alice", "escrow.create", ref=ref(1))
    world.now = EXPIRES
    world.ok("carol", "escrow.cancel", escrow=name_of("escrow", "alice", 1))
    assert (world.balance("alice", "EUR"), world.balance(ESCROWS_ADDRESS, "EUR")) == (RICH, 0)


@pytest.mark.parametrize(
    ("end", "code"),
    [("finish", Code.PENDING_ALREADY_POSTED), ("cancel", Code.PENDING_ALREADY_VOIDED), ("expire", Code.PENDING_EXPIRED)],
)
def test_it_is_settled_once_and_answers_for_a_day(world: PendingWorld, end: str, code: Code) -> None:
    world.now = OPENS
    if end == "expire":
        world.wait(2 * HOUR)
    else:
        world.ok("bob", f"escrow.{end}", **({"secret": SECRET} if end == "finish" else {}))
    for name, fields in (("escrow.finish", {"secret": SECRET}), ("escrow.cancel", {})):
        assert world.act("bob", name, **fields).code == code
    world.wait(PENDING_KEEP_S + 100)
    assert world.act("bob", "escrow.cancel").code == Code.PENDING_NOT_FOUND
    world.wait(2 * HOUR)
    assert not [key for key in world.db if key[1:2] in b"HESYQ"]


@pytest.mark.parametrize(("what", "who", "bits", "code"), FREEZES)
def test_a_freeze_of_either_side_blocks_finishing_and_never_the_way_back(what: str, who: str, bits: int, code: Code) -> None:
    world = PendingWorld()
    world.ok("alice", "escrow.create")
    freeze(world, what, who, bits)
    world.now = OPENS
    assert world.act("carol", "escrow.finish").code == code
    if who != "bob":
        assert world.act("alice", "escrow.create", ref=ref(1)).code == code
    world.wait(HOUR)
    assert world.balance(ESCROWS_ADDRESS, "EUR") == 0
    parked = world.balance(CLAIMS_ADDRESS, "EUR")
    assert world.balance("alice", "EUR") + parked == RICH
    freeze(world, what, who, 0)
    if parked:  # what a freeze kept from its owner waits for him
        assert world.do("alice", call("claim.take", claim=0)).code == Code.OK
    assert world.balance("alice", "EUR") == RICH
    world.audit()


@pytest.mark.parametrize("bits", [marks.DEBIT_FROZEN, marks.DEEP_FROZEN])
def test_who_is_frozen_escrows_nothing_not_even_for_the_issuer(world: PendingWorld, bits: int) -> None:
    """Found by the random ledger: the issuer may be paid, but an escrow is not the issuer yet."""
    world.edit(holding_key(ADDRESS["alice"], "EUR"), marks=bits)
    made = world.act("alice", "escrow.create", ref=ref(1), to=ADDRESS["bank"])
    assert made.code == Code.HOLDING_FROZEN


def test_deep_frozen_owners_cancel_into_a_claim(world: PendingWorld) -> None:
    """XLS-85: deep freeze blocks finish but never cancel back to the owner."""
    world.edit(account_key(ADDRESS["alice"]), marks=marks.DEEP_FROZEN)
    world.now = EXPIRES
    receipt = world.ok("carol", "escrow.cancel")
    assert [event.type for event in receipt.events] == ["claim_parked", "escrow_returned"]
    assert world.balance(CLAIMS_ADDRESS, "EUR") == 100


@pytest.mark.parametrize(
    ("account", "made", "expected"),
    [
        ("alice", op("escrow.create", amount=0, to=ADDRESS["alice"]), Code.ZERO_AMOUNT),
        ("alice", op("escrow.create", to=ADDRESS["alice"]), Code.SELF_TRANSFER),
        ("alice", op("escrow.create", finish_after=1, cancel_after=2), Code.PENDING_EXISTS),
        ("alice", op("escrow.create", ref=ref(1), finish_after=1, cancel_after=NOW), Code.TOO_LATE),
        ("alice", op("escrow.create", ref=ref(1), cancel_after=EXPIRES + PENDING_S_MAX), Code.PARAM_OUT_OF_RANGE),
        ("alice", op("escrow.create", ref=ref(1), asset="NONE", to=AMM_ADDRESS), Code.ASSET_NOT_FOUND),
        ("alice", op("escrow.create", ref=ref(1), asset="PLN"), Code.NOT_TRANSFERABLE),
        ("alice", op("escrow.create", ref=ref(1), to=AMM_ADDRESS), Code.RECIPIENT_IS_MODULE),
        ("alice", op("escrow.create", ref=ref(1), to=b"n" * 32), Code.ACCOUNT_NOT_FOUND),
        ("alice", op("escrow.create", ref=ref(1), amount=RICH), Code.INSUFFICIENT_FUNDS),
        ("bob", op("escrow.finish", escrow=b"n" * 20), Code.PENDING_NOT_FOUND),
        ("bob", op("escrow.finish"), Code.TOO_EARLY),
        ("alice", op("escrow.cancel"), Code.TOO_EARLY),
        ("alice", op("escrow.cancel", escrow=b"n" * 20), Code.PENDING_NOT_FOUND),
    ],
)
def test_codes_in_their_order(world: PendingWorld, account: str, made: Any, expected: int) -> None:
    before = {k: v for k, v in world.db.items() if k[1:2] != b"n"}
    receipt = world.do(account, made)
    assert receipt.code == expected, receipt.log
    assert expected in next(row for row in OPERATIONS if row.code == made[0]).codes
    assert {k: v for k, v in world.db.items() if k[1:2] != b"n"} == before


def test_what_stopped_being_transferable_only_goes_back(world: PendingWorld) -> None:
    world.edit(asset_key("EUR"), flags=8)
    world.now = OPENS
    assert world.act("bob", "escrow.finish", secret=SECRET).code == Code.NOT_TRANSFERABLE
    world.ok("bob", "escrow.cancel")


def test_what_is_held_cannot_be_put_in_escrow(world: PendingWorld) -> None:
    world.ok("alice", "hold.create", amount=RICH - 150)
    assert world.act("alice", "escrow.create", ref=ref(1)).code == Code.INSUFFICIENT_AVAILABLE


def test_nobody_can_donate_to_the_escrows(world: PendingWorld) -> None:
    assert world.do("alice", pay(ESCROWS_ADDRESS, 1, "EUR")).code == Code.RECIPIENT_IS_MODULE


@pytest.mark.parametrize(
    "fields",
    [
        {"finish_after": 0},
        {"finish_after": EXPIRES},
        {"finish_after": EXPIRES + 1, "hash": HASH},
        {"hash": b"short"},
        {"cancel_after": 0, "finish_after": 0, "hash": HASH},
    ],
)
def test_wrong_forms_never_enter_a_block(world: PendingWorld, fields: dict[str, Any]) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(world.raw("alice", op("escrow.create", **fields)))


def test_a_secret_has_its_bound(world: PendingWorld) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(world.raw("alice", op("escrow.finish", secret=b"s" * (PREIMAGE_BYTES_MAX + 1))))


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_without_its_signer_is_refused(world: PendingWorld, row: Any) -> None:
    made = list(op(row.name))
    made[1] = ADDRESS["alice"]
    assert world.check(world.raw("bob", made)).code == Code.QUORUM_NOT_MET
