"""Holds: two-phase payments as TigerBeetle has them, with the amount held in its owner's own holding; each code; who must sign."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from state import marks
from state.codes import Code
from state.modules.holds import OPERATIONS
from state.modules.operation import AMM_ADDRESS
from state.primitives.errors import TransactionError
from state.primitives.hashing import sha256
from state.primitives.limits import DUE_ENTRIES_MAX, PENDING_KEEP_S, PENDING_S_MAX
from state.queries import simulate
from state.schema import account_key, asset_key, holding_key
from state.schema_pending import Hold, Settled
from state.transaction import Transaction
from tests.state.ledger_world import ADDRESS, pay
from tests.state.pending_world import EXPIRES, HOUR, RICH, PendingWorld, name_of, op, ref

HOLD = name_of("hold", "alice")
CAROL = ADDRESS["carol"]


@pytest.fixture
def world() -> PendingWorld:
    """Alice holds 100 EUR for bob, carol being the agent."""
    world = PendingWorld()
    world.ok("alice", "hold.create", agent=CAROL)
    return world


def test_a_hold_stays_with_its_owner_and_only_availability_falls(world: PendingWorld) -> None:
    assert (world.balance("alice", "EUR"), world.held("alice"), world.balance("bob", "EUR")) == (RICH, 100, RICH)
    assert world.do("alice", pay("bob", RICH - 99, "EUR")).code == Code.INSUFFICIENT_AVAILABLE
    assert world.do("alice", pay("bob", RICH - 100, "EUR")).code == Code.OK
    assert world.do("bob", pay("alice", 2 * RICH, "EUR")).code == Code.INSUFFICIENT_FUNDS  # it lends nothing to the other side


def test_a_part_is_posted_and_the_rest_is_free(world: PendingWorld) -> None:
    receipt = world.ok("bob", "hold.post", hold=HOLD, amount=60)
    assert (world.balance("alice", "EUR"), world.held("alice"), world.balance("bob", "EUR")) == (RICH - 60, 0, RICH + 60)
    assert [(event.type, dict(event.attributes)["amount"]) for event in receipt.events] == [("hold_posted", "60"), ("hold_released", "40")]
    assert world.record("hold", "alice") == Settled(702, 60, world.now - 1 + PENDING_KEEP_S)


@pytest.mark.parametrize("who", ["alice", "bob", "carol"])
def test_every_party_may_post_all_of_it(world: PendingWorld, who: str) -> None:
    world.ok(who, "hold.post", amount=100)
    assert world.balance("bob", "EUR") == RICH + 100


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_beneficiary_and_agent_may_void_the_payer_may_not(world: PendingWorld, who: str) -> None:
    assert world.act("alice", "hold.void").code == Code.NO_PERMISSION
    world.ok(who, "hold.void")
    assert (world.balance("alice", "EUR"), world.held("alice")) == (RICH, 0)


@pytest.mark.parametrize(
    ("end", "code"), [("post", Code.PENDING_ALREADY_POSTED), ("void", Code.PENDING_ALREADY_VOIDED), ("expire", Code.PENDING_EXPIRED)]
)
def test_a_hold_is_settled_once_and_answers_for_a_day(world: PendingWorld, end: str, code: Code) -> None:
    if end == "expire":
        world.wait(2 * HOUR)
    else:
        world.ok("bob", f"hold.{end}", **({"amount": 1} if end == "post" else {}))
    for name, fields in (("hold.post", {"amount": 1}), ("hold.void", {})):
        assert world.act("bob", name, **fields).code == code
    assert world.act("alice", "hold.create").code == Code.PENDING_EXISTS
    world.wait(PENDING_KEEP_S - 10)
    assert world.act("bob", "hold.void").code == code
    world.wait(100)
    assert world.record("hold", "alice") is None
    assert world.act("bob", "hold.void").code == Code.PENDING_NOT_FOUND
    assert world.held("alice") == 0
    world.ok("alice", "hold.create", expires=world.now + HOUR)


def test_it_expires_at_its_second_whether_the_calendar_has_come_or_not(world: PendingWorld) -> None:
    world.now = EXPIRES - 1
    assert simulate(world.db, world.context(), world.tx("bob", op("hold.post", amount=1))).code == Code.OK
    world.now = EXPIRES
    assert world.act("bob", "hold.post", amount=1).code == Code.PENDING_EXPIRED
    assert world.held("alice") == 100  # the sweep of its minute is yet to come, and who needs it now asks for it
    world.ok("alice", "hold.void")
    assert (world.held("alice"), world.record("hold", "alice").code) == (0, Code.PENDING_EXPIRED)


def test_the_calendar_frees_what_nobody_asks_for_and_leaves_nothing_behind(world: PendingWorld) -> None:
    world.wait(HOUR + 120)
    assert world.held("alice") == 0
    assert world.list_of("alice") == world.list_of("bob") == world.list_of("carol") == []
    world.wait(PENDING_KEEP_S + 120)
    assert not [key for key in world.db if key[1:2] in b"HESYQ"]


def test_lists_have_what_is_open_newest_first() -> None:
    world = PendingWorld()
    names = [b"H" + name_of("hold", "alice", number) for number in range(4)]
    for number in range(4):
        world.ok("alice", "hold.create", ref=ref(number), amount=number + 1)
    assert world.list_of("alice") == world.list_of("bob") == names[::-1]
    for gone in (2, 0, 3, 1):  # the middle, the end, the head, the last
        world.ok("bob", "hold.post", hold=names[gone][1:], amount=1)
        names[gone] = b""
        assert world.list_of("alice") == world.list_of("bob") == [name for name in names[::-1] if name]
    assert world.held("alice") == 0


def test_the_holds_of_one_account_add_up() -> None:
    world = PendingWorld(100)
    world.ok("alice", "hold.create", ref=ref(1), amount=60)
    assert world.act("alice", "hold.create", ref=ref(2), amount=41).code == Code.INSUFFICIENT_AVAILABLE
    world.ok("alice", "hold.create", ref=ref(2), amount=40)
    assert world.act("alice", "hold.create", ref=ref(3), amount=101).code == Code.INSUFFICIENT_FUNDS
    world.ok("bob", "hold.void", hold=name_of("hold", "alice", 1))
    assert world.held("alice") == 40
    world.ok("alice", "hold.create", ref=ref(3), amount=60)
    assert world.available("alice") == 0
    assert world.act("bob", "hold.post", hold=name_of("hold", "alice", 3), amount=61).code == Code.EXCEEDS_PENDING


@pytest.mark.parametrize(
    ("account", "made", "expected"),
    [
        ("alice", op("hold.create", amount=0, beneficiary=ADDRESS["alice"]), Code.ZERO_AMOUNT),
        ("alice", op("hold.create", beneficiary=ADDRESS["alice"]), Code.SELF_TRANSFER),
        ("alice", op("hold.create", expires=1), Code.PENDING_EXISTS),
        ("alice", op("hold.create", ref=ref(1), expires=1, asset="NONE"), Code.TOO_LATE),
        ("alice", op("hold.create", ref=ref(1), expires=EXPIRES + PENDING_S_MAX), Code.PARAM_OUT_OF_RANGE),
        ("alice", op("hold.create", ref=ref(1), agent=AMM_ADDRESS), Code.RECIPIENT_IS_MODULE),
        ("alice", op("hold.create", ref=ref(1), agent=b"n" * 32), Code.ACCOUNT_NOT_FOUND),
        ("alice", op("hold.create", ref=ref(1), asset="NONE", beneficiary=AMM_ADDRESS), Code.ASSET_NOT_FOUND),
        ("alice", op("hold.create", ref=ref(1), asset="PLN"), Code.NOT_TRANSFERABLE),
        ("alice", op("hold.create", ref=ref(1), asset="BND"), Code.NOT_TRANSFERABLE),
        ("alice", op("hold.create", ref=ref(1), beneficiary=AMM_ADDRESS), Code.RECIPIENT_IS_MODULE),
        ("alice", op("hold.create", ref=ref(1), beneficiary=b"n" * 32), Code.ACCOUNT_NOT_FOUND),
        ("alice", op("hold.create", ref=ref(1), amount=RICH - 99), Code.INSUFFICIENT_AVAILABLE),
        ("alice", op("hold.create", ref=ref(1), amount=RICH + 1), Code.INSUFFICIENT_FUNDS),
        ("bob", op("hold.post", hold=b"n" * 20, amount=0), Code.ZERO_AMOUNT),
        ("bob", op("hold.post", hold=b"n" * 20, amount=1), Code.PENDING_NOT_FOUND),
        ("bank", op("hold.post", amount=101), Code.NO_PERMISSION),
        ("bob", op("hold.post", amount=101), Code.EXCEEDS_PENDING),
        ("bank", op("hold.void"), Code.NO_PERMISSION),
        ("bob", op("hold.void", hold=b"n" * 20), Code.PENDING_NOT_FOUND),
    ],
)
def test_codes_in_their_order(world: PendingWorld, account: str, made: Any, expected: int) -> None:
    before = {k: v for k, v in world.db.items() if k[1:2] != b"n"}
    receipt = world.do(account, made)
    assert receipt.code == expected, receipt.log
    assert expected in next(row for row in OPERATIONS if row.code == made[0]).codes
    assert {k: v for k, v in world.db.items() if k[1:2] != b"n"} == before


def test_what_stopped_being_transferable_cannot_be_posted(world: PendingWorld) -> None:
    world.edit(asset_key("EUR"), flags=4)
    assert world.act("bob", "hold.post", amount=1).code == Code.NOT_TRANSFERABLE
    world.ok("bob", "hold.void")


FREEZES = [
    ("account", "alice", marks.DEBIT_FROZEN, Code.ACCOUNT_FROZEN),
    ("account", "alice", marks.DEEP_FROZEN, Code.ACCOUNT_DEEP_FROZEN),
    ("account", "alice", marks.SANCTIONED, Code.ACCOUNT_SANCTIONED),
    ("account", "alice", marks.CLOSED, Code.ACCOUNT_CLOSED),
    ("holding", "alice", marks.HOLDING_FROZEN, Code.HOLDING_FROZEN),
    ("holding", "alice", marks.HOLDING_DEEP_FROZEN, Code.HOLDING_FROZEN),
    ("holding", "bob", marks.HOLDING_DEEP_FROZEN, Code.HOLDING_FROZEN),
    ("account", "bob", marks.DEEP_FROZEN, Code.ACCOUNT_DEEP_FROZEN),
    ("account", "bob", marks.SANCTIONED, Code.ACCOUNT_SANCTIONED),
    ("account", "bob", marks.CLOSED, Code.ACCOUNT_CLOSED),
    ("asset", "", marks.PAUSED, Code.ASSET_PAUSED),
]


def freeze(world: PendingWorld, what: str, who: str, bits: int) -> None:
    key = {"account": account_key, "holding": lambda a: holding_key(a, "EUR"), "asset": lambda _: asset_key("EUR")}[what]
    world.edit(key(ADDRESS.get(who, b"")), marks=bits)


@pytest.mark.parametrize(("what", "who", "bits", "code"), FREEZES)
def test_a_freeze_of_either_side_blocks_posting_and_never_what_frees(what: str, who: str, bits: int, code: Code) -> None:
    world = PendingWorld()
    world.ok("alice", "hold.create", agent=CAROL)
    freeze(world, what, who, bits)
    assert world.act("carol", "hold.post", amount=1).code == code
    if who != "bob":  # what the payer may not pay he may not promise either
        assert world.act("alice", "hold.create", ref=ref(1)).code == code
    world.wait(HOUR + 120)
    assert (world.held("alice"), world.balance("alice", "EUR")) == (0, RICH)


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_without_its_signer_is_refused(world: PendingWorld, row: Any) -> None:
    """Every row: in another's name, signed by the sender alone."""
    made = list(op(row.name))
    made[1] = ADDRESS["alice"]
    assert world.check(world.raw("bob", made)).code == Code.QUORUM_NOT_MET


@pytest.mark.parametrize("fields", [{"ref": b"short"}, {"ref": b"long" * 5}, {"asset": "eur"}, {"agent": b"x"}])
def test_wrong_forms_never_enter_a_block(world: PendingWorld, fields: dict[str, Any]) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(world.raw("alice", op("hold.create", **fields)))


def test_simulating_gives_what_applying_gives(world: PendingWorld) -> None:
    """I13."""
    for account, made in (("bank", op("hold.create")), ("bob", op("hold.post", amount=7)), ("bob", op("hold.void"))):
        tx = world.tx(account, made)
        assert simulate(world.db, world.context(), tx) == world.apply(tx)[0]


def test_one_transaction_makes_and_posts() -> None:
    """A hold's name follows from its reference, so what uses it can stand beside it; and a hold cannot be used twice (Stellar, 2017)."""
    world = PendingWorld()
    made, posted = op("hold.create"), op("hold.post", amount=60)
    assert world.do("alice", made, posted, posted).code == Code.PENDING_ALREADY_POSTED
    assert world.held("alice") == 0
    assert world.do("alice", made, posted).code == Code.OK
    assert world.balance("bob", "EUR") == RICH + 60
    world.audit()


@pytest.mark.parametrize("bits", [marks.DEBIT_FROZEN, marks.DEEP_FROZEN])
def test_who_is_frozen_still_pays_the_issuer_what_he_promised(bits: int) -> None:
    world = PendingWorld()
    bank = ADDRESS["bank"]
    world.ok("alice", "hold.create", beneficiary=bank)
    world.ok("alice", "escrow.create", to=bank, finish_after=0, hash=sha256(b"x"))
    world.edit(account_key(ADDRESS["alice"]), marks=bits)
    world.ok("bank", "hold.post", amount=100)
    world.ok("bank", "escrow.finish", secret=b"x")
    assert world.balance("bank", "EUR") == RICH + 200


def test_a_burst_falls_due_in_bounded_work_and_lateness_has_no_effect() -> None:
    """I31: 640 holds of one minute; a block settles what it may, and what it has not come to is expired all the same."""
    world = PendingWorld()
    for start in range(0, 640, 64):
        ops = [op("hold.create", ref=ref(start + i), amount=1, expires=EXPIRES - i) for i in range(64)]
        assert world.do("alice", *ops).code == Code.OK
    assert world.held("alice") == 640
    world.now = EXPIRES + 60
    late = [name_of("hold", "alice", number) for number in range(640)]
    left = []
    while world.held("alice"):
        open_ones = [name for name in late if isinstance(world.read(b" H" + name), Hold)]
        assert world.held("alice") == len(open_ones)
        assert world.do("bob", op("hold.post", hold=open_ones[-1], amount=1)).code == Code.PENDING_EXPIRED
        left.append(len(open_ones))
    assert left[0] == 640
    assert all(before - after <= DUE_ENTRIES_MAX + 2 for before, after in pairwise(left))
    world.audit()
    world.wait(PENDING_KEEP_S + 120)
    assert not [key for key in world.db if key[1:2] in b"HESYQ"]
