"""account.create and account.update_keys: every failure, in its order, and what cannot be done to an account."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.modules.accounts import AccountKind, new_account_address
from state.modules.operation import FEES_ADDRESS
from state.primitives.errors import TransactionError
from state.primitives.keys import KeyKind
from state.schema import account_key, decode_record
from state.transaction import Draft, call
from tests.state.ledger_world import ADDRESS, World, entry, key_of, pay
from tests.state.ledger_world import create_account as create
from tests.state.ledger_world import update_keys as update


@pytest.fixture
def world() -> World:
    return World()


def policy(world: World, account: str) -> Any:
    return decode_record(account_key(ADDRESS[account]), world.db[account_key(ADDRESS[account])])


def malformed(world: World, op: Any) -> int:
    with pytest.raises(TransactionError) as caught:
        world.raw("alice", op)
    return caught.value.result


def test_create(world: World) -> None:
    keys = (entry(0, "n0"), entry(3, "n3", 5, KeyKind.HYBRID))
    op = create(keys, (1, 2, 5, 6))
    receipt = world.do("alice", op)
    assert receipt.code == Code.OK
    address = new_account_address(keys, (1, 2, 5, 6))
    assert decode_record(b" a", world.db[account_key(address)]) == (1, b"", keys, (1, 2, 5, 6), 0)
    assert dict(receipt.events[0].attributes)["kind"] == "1"
    assert world.do("bob", op).code == Code.ACCOUNT_EXISTS
    assert world.do("alice", pay(address, 5)).code == Code.OK


def test_create_failures(world: World) -> None:
    assert world.do("alice", create((entry(0, "n0", 1, KeyKind.MLDSA44),))).code == Code.NO_PERMISSION
    assert world.do("alice", create((entry(0, "n0", 3),), (1, 1, 1, 4))).code == Code.WOULD_LOCK_OUT
    # the kind of key comes before the lock-out
    assert world.do("alice", create((entry(0, "n0", 3, KeyKind.MLDSA44),), (1, 1, 1, 4))).code == Code.NO_PERMISSION


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ((0, 1, b"x" * 31, 1),),
        ((0, 9, b"x" * 32, 1),),
        ((-1, 1, b"x" * 32, 1),),
        ((1 << 32, 1, b"x" * 32, 1),),
        ((0, 1, b"x" * 32, 0),),
        ((0, 1, b"x" * 32, 65_536),),
        ((1, 1, b"x" * 32, 1), (0, 1, b"y" * 32, 1)),
        ((0, 1, b"x" * 32, 1), (0, 1, b"y" * 32, 1)),
        ((0, 1, b"x" * 32, 1), (1, 1, b"x" * 32, 1)),
    ],
)
def test_wrong_keys_are_malformed(world: World, keys: Any) -> None:
    assert malformed(world, create(keys)) == Code.MALFORMED


@pytest.mark.parametrize("thresholds", [(), (1, 1, 1), (0, 1, 1, 1), (2, 1, 1, 1), (1, 1, 1, 1 << 40), (1, 1, 1, 1, 1)])
def test_wrong_thresholds_are_malformed(world: World, thresholds: Any) -> None:
    assert malformed(world, create((entry(0, "n0"),), thresholds)) == Code.MALFORMED


def test_too_many_keys(world: World) -> None:
    keys = tuple((i, 1, i.to_bytes(32, "big"), 1) for i in range(33))
    assert malformed(world, create(keys)) == Code.TOO_LARGE
    assert world.do("alice", create(keys[:32])).code == Code.OK


def test_an_address_belongs_to_its_whole_policy(world: World) -> None:
    keys, thresholds = (entry(0, "victim"),), (1, 1, 1, 1)
    address = new_account_address(keys, thresholds)
    for changed in (
        {"keys": (entry(0, "thief"),)},
        {"thresholds": (1, 1, 1, 2)},
        {"kind": int(AccountKind.OMNIBUS)},
        {"kind": 3, "parent": ADDRESS["alice"]},
    ):
        fields = {"kind": 1, "parent": b"", "keys": keys, "thresholds": thresholds, **changed}
        assert malformed(world, call("account.create", address=address, **fields)) == Code.MALFORMED


def test_kind_and_parent_go_together(world: World) -> None:
    keys = (entry(0, "n0"),)
    assert malformed(world, create(keys, kind=AccountKind.SUB_ACCOUNT)) == Code.MALFORMED
    assert malformed(world, create(keys, kind=AccountKind.CUSTOMER, parent=ADDRESS["bank"])) == Code.MALFORMED
    assert malformed(world, create(keys, kind=99)) == Code.MALFORMED  # type: ignore[arg-type]


def test_a_parent_must_authorise_at_its_high_threshold(world: World) -> None:
    op = create((entry(0, "n0"),), kind=AccountKind.SUB_ACCOUNT, parent=ADDRESS["carol"])
    assert world.check(world.raw("alice", op)).code == Code.QUORUM_NOT_MET
    weak = [("alice", 0), ("carol", 0), ("carol", 1)]
    assert world.check(world.raw("alice", op, signers=weak)).code == Code.QUORUM_NOT_MET
    enough = [("alice", 0), ("carol", 0), ("carol", 7)]
    assert world.do("alice", op, signers=enough).code == Code.OK
    own = create((entry(0, "n1"),), kind=AccountKind.SUB_ACCOUNT, parent=ADDRESS["carol"])
    assert world.do("carol", own).code == Code.OK


def test_update_replaces_adds_removes_and_sets(world: World) -> None:
    receipt = world.do("carol", update((entry(0, "new0", 3), entry(9, "new9", 1)), (1,), (1, 1, 4, 6)))
    assert receipt.code == Code.OK
    assert policy(world, "carol") == (1, b"", (entry(0, "new0", 3), entry(7, "c7", 2), entry(9, "new9", 1)), (1, 1, 4, 6), 0)
    assert world.check(world.raw("carol", pay("bob"), signers=[("carol", 1)])).code == Code.UNKNOWN_SIGNER
    assert world.check(world.raw("carol", pay("bob"), signers=[("carol", 0)])).code == Code.BAD_SIGNATURE
    draft = Draft.load(world.raw("carol", pay("bob"), signers=[]))
    assert world.check(draft.sign(ADDRESS["carol"], 0, key_of("new0")).encode()).code == Code.OK


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (update((entry(5, "x", 1, KeyKind.MLDSA65),)), Code.NO_PERMISSION),
        (update((), (5,)), Code.ASSERT_FAILED),
        (update((entry(5, "c0"),)), Code.ASSERT_FAILED),
        (update(tuple((100 + i, 1, i.to_bytes(32, "big"), 1) for i in range(30))), Code.ASSERT_FAILED),
        (update((), (7,)), Code.WOULD_LOCK_OUT),
        (update((), (0, 1, 7)), Code.WOULD_LOCK_OUT),
        (update((), (), (1, 2, 3, 5)), Code.WOULD_LOCK_OUT),
        (update((entry(7, "c7", 1),)), Code.WOULD_LOCK_OUT),
        (update((entry(5, "x", 1, KeyKind.MLDSA65),), (6,)), Code.NO_PERMISSION),
        (update((), (0, 1, 6, 7)), Code.ASSERT_FAILED),
    ],
)
def test_update_failures(world: World, op: Any, code: Code) -> None:
    before = policy(world, "carol")
    assert world.do("carol", op).code == code
    assert policy(world, "carol") == before


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (update(), Code.MALFORMED),
        (update((entry(5, "x"),), (5,)), Code.MALFORMED),
        (update((), (5, 5)), Code.MALFORMED),
        (update((), (5, 4)), Code.MALFORMED),
        (update((), (-1,)), Code.MALFORMED),
        (update((), tuple(range(33))), Code.TOO_LARGE),
        (update((), (), (1, 2, 3)), Code.MALFORMED),
    ],
)
def test_malformed_updates(world: World, op: Any, code: Code) -> None:
    assert malformed(world, op) == code


def test_the_same_account_touched_again_and_again_in_one_transaction(world: World) -> None:
    """Each operation sees what the one before it did; nothing works on a stale copy."""
    ops = (
        update((entry(2, "x2"),)),
        update((entry(3, "x3"),)),
        update((), (2,)),
        update((entry(3, "x3b", 4),)),
        update((), (0, 1, 7)),
    )
    assert world.do("carol", *ops).code == Code.OK
    assert policy(world, "carol")[2] == (entry(3, "x3b", 4),)
    again = World()
    receipt = again.do("carol", update((), (0,), (1, 1, 1, 1)), update((), (0,)))
    assert (receipt.code, receipt.op_index) == (Code.ASSERT_FAILED, 1)
    assert len(policy(again, "carol")[2]) == 3


def test_update_needs_the_high_threshold(world: World) -> None:
    op = update((entry(9, "x9"),))
    for key_ids, code in (((7,), Code.QUORUM_NOT_MET), ((0, 1), Code.QUORUM_NOT_MET), ((0, 7), Code.OK)):
        raw = world.raw("carol", op, signers=[("carol", key_id) for key_id in key_ids])
        assert world.check(raw).code == code


def test_a_module_account_cannot_be_made_or_sign(world: World) -> None:
    assert world.check(world.raw("alice", pay("bob", as_account=FEES_ADDRESS))).code == Code.QUORUM_NOT_MET
    assert malformed(
        world,
        call("account.create", address=FEES_ADDRESS, kind=1, parent=b"", keys=(entry(0, "n0"),), thresholds=(1, 1, 1, 1)),
    ) == Code.MALFORMED


def test_the_largest_account_fits_a_record(world: World) -> None:
    keys = tuple(
        (i, int(KeyKind.HYBRID), i.to_bytes(2624, "big"), 65_535) for i in range(32)
    )
    receipt = world.do("alice", create(keys, (1, 1, 1, 32 * 65_535)))
    assert receipt.code == Code.OK
