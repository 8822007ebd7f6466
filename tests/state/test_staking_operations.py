"""Every staking operation: what it does, each of its codes, who must sign."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from state.codes import Code
from state.modules.table import BY_NAME, ROWS
from state.primitives.codec import encode
from state.primitives.errors import TransactionError
from state.primitives.limits import AMOUNT_MAX
from state.transaction import Draft, call
from tests.state.ledger_world import ADDRESS
from tests.state.staking_world import (
    BOND,
    STAKE,
    StakingWorld,
    address_of,
    register_op,
    rotate_op,
    stake_op,
    vote_keys,
)

NOBODY = b"n" * 20


@pytest.fixture
def world() -> StakingWorld:
    return StakingWorld()


def code(world: StakingWorld, account: str, op: Any) -> int:
    receipt = world.do(account, op)
    world.audit()
    return receipt.code


def test_genesis_is_sound(world: StakingWorld) -> None:
    world.audit()
    assert [v.power for v in world.voters().validators] == [10] * 4
    assert (world.module("bonded"), world.module("unbonding"), world.module("rewards")) == (4 * BOND, 0, 0)


def test_delegate_and_undelegate(world: StakingWorld) -> None:
    assert code(world, "alice", stake_op("delegate", validator="v0", amount=2_500)) == Code.OK
    assert (world.balance("alice"), world.pool("v0").tokens, world.pool("v0").power) == (997_500, 12_500, 12)
    assert code(world, "alice", stake_op("undelegate", validator="v0", amount=2_000)) == Code.OK
    (entry,) = world.unbondings("v0", "alice")
    assert (entry.initial, entry.balance, entry.height, entry.until_s) == (2_000, 2_000, 2, world.now - 1 + 100)
    assert (world.module("unbonding"), world.pool("v0").tokens, world.pool("v0").power) == (2_000, 10_500, 10)
    world.now = entry.until_s - 1
    world.blocks(1)
    assert world.balance("alice") == 997_500
    world.blocks(1)
    assert (world.balance("alice"), world.unbondings("v0", "alice"), world.module("unbonding")) == (999_500, (), 0)
    assert world.events == [
        ("unbonding_released", {"validator": address_of("v0").hex(), "delegator": world.events[0][1]["delegator"], "amount": "2000"})
    ]
    world.audit()


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (stake_op("delegate", validator=NOBODY, amount=0), Code.ZERO_AMOUNT),
        (stake_op("delegate", validator=NOBODY, amount=5), Code.VALIDATOR_NOT_FOUND),
        (stake_op("delegate", validator="v0", amount=1_000_001), Code.INSUFFICIENT_FUNDS),
        (stake_op("undelegate", validator=NOBODY, amount=0), Code.ZERO_AMOUNT),
        (stake_op("undelegate", validator=NOBODY, amount=5), Code.VALIDATOR_NOT_FOUND),
        (stake_op("undelegate", validator="v0", amount=5), Code.INSUFFICIENT_FUNDS),
        (stake_op("cancel_unbond", validator=NOBODY, entry=0), Code.VALIDATOR_NOT_FOUND),
        (stake_op("cancel_unbond", validator="v0", entry=0), Code.PENDING_NOT_FOUND),
        (stake_op("redelegate", source=NOBODY, destination=NOBODY, amount=0), Code.ZERO_AMOUNT),
        (stake_op("redelegate", source=NOBODY, destination=NOBODY, amount=1), Code.SELF_TRANSFER),
        (stake_op("redelegate", source=NOBODY, destination="v0", amount=1), Code.VALIDATOR_NOT_FOUND),
        (stake_op("redelegate", source="v0", destination=NOBODY, amount=1), Code.VALIDATOR_NOT_FOUND),
        (stake_op("redelegate", source="v0", destination="v1", amount=1), Code.INSUFFICIENT_FUNDS),
        (stake_op("claim", validator=NOBODY), Code.VALIDATOR_NOT_FOUND),
        (stake_op("claim", validator="v0"), Code.NOTHING_TO_CLAIM),
        (stake_op("unjail", validator=NOBODY), Code.VALIDATOR_NOT_FOUND),
        (stake_op("unjail", validator="v0"), Code.NO_PERMISSION),
        (stake_op("edit", validator=NOBODY, commission_ppm=0, min_self_bond=0, moniker="x", details=""), Code.VALIDATOR_NOT_FOUND),
        (stake_op("edit", validator="v0", commission_ppm=0, min_self_bond=0, moniker="x", details=""), Code.NO_PERMISSION),
        (rotate_op("v0", "new"), Code.NO_PERMISSION),
        (register_op("new"), Code.NO_PERMISSION),
    ],
)
def test_failures_of_a_stranger(world: StakingWorld, op: Any, expected: Code) -> None:
    before = dict(world.db)
    assert code(world, "alice", op) == expected
    assert {key for key in world.db if world.db[key] != before.get(key)} == {b" n" + ADDRESS["alice"]}


def test_beyond_what_can_be_bonded() -> None:
    world = StakingWorld(replace(STAKE, power_unit=1, bond_min=1), (5, 5), holding=1 << 63)
    assert code(world, "alice", stake_op("delegate", validator="v0", amount=1 << 62)) == Code.OVERFLOW_MAX
    assert code(world, "alice", stake_op("delegate", validator="v0", amount=1 << 59)) == Code.OK


def test_entries_are_bounded_and_due_ones_do_not_count(world: StakingWorld) -> None:
    code(world, "alice", stake_op("delegate", validator="v0", amount=5_000))
    for _ in range(3):
        assert code(world, "alice", stake_op("undelegate", validator="v0", amount=10)) == Code.OK
    assert code(world, "alice", stake_op("undelegate", validator="v0", amount=9_999)) == Code.UNBONDING_LIMIT
    assert code(world, "o0", stake_op("undelegate", validator="v0", amount=10)) == Code.OK
    world.now += 100
    assert code(world, "alice", stake_op("undelegate", validator="v0", amount=10)) == Code.OK  # paid on the way
    assert [entry.balance for entry in world.unbondings("v0", "alice")] == [10]
    assert world.balance("alice") == 1_000_000 - 5_000 + 30


def test_cancelling_an_unbonding(world: StakingWorld) -> None:
    code(world, "alice", stake_op("delegate", validator="v0", amount=500))
    code(world, "alice", stake_op("undelegate", validator="v0", amount=500))
    assert world.delegation("v0", "alice") is None
    assert code(world, "bob", stake_op("cancel_unbond", validator="v0", entry=0)) == Code.PENDING_NOT_FOUND
    assert code(world, "alice", stake_op("cancel_unbond", validator="v0", entry=0)) == Code.OK
    assert (world.pool("v0").tokens, world.module("unbonding"), world.unbondings("v0", "alice")) == (10_500, 0, ())
    assert code(world, "alice", stake_op("cancel_unbond", validator="v0", entry=0)) == Code.PENDING_NOT_FOUND
    code(world, "alice", stake_op("undelegate", validator="v0", amount=500))
    (entry,) = world.unbondings("v0", "alice")
    assert entry.number == 1
    world.now = entry.until_s
    assert code(world, "alice", stake_op("cancel_unbond", validator="v0", entry=1)) == Code.TOO_LATE
    assert world.balance("alice") == 1_000_000  # the sweep of that very block


def test_redelegation_and_hopping(world: StakingWorld) -> None:
    code(world, "alice", stake_op("delegate", validator="v0", amount=500))
    assert code(world, "alice", stake_op("redelegate", source="v0", destination="v1", amount=400)) == Code.OK
    assert (world.pool("v0").tokens, world.pool("v1").tokens) == (10_100, 10_400)
    hop = stake_op("redelegate", source="v1", destination="v2", amount=1)
    assert code(world, "alice", hop) == Code.REDELEGATION_IN_PROGRESS
    back = stake_op("redelegate", source="v1", destination="v0", amount=1)
    assert code(world, "alice", back) == Code.REDELEGATION_IN_PROGRESS
    assert code(world, "alice", stake_op("redelegate", source="v0", destination="v2", amount=50)) == Code.OK
    assert code(world, "o1", stake_op("redelegate", source="v1", destination="v2", amount=5)) == Code.OK
    for _ in range(2):
        assert code(world, "alice", stake_op("redelegate", source="v0", destination="v1", amount=1)) == Code.OK
    assert code(world, "alice", stake_op("redelegate", source="v0", destination="v1", amount=1)) == Code.UNBONDING_LIMIT
    world.now += 100
    assert code(world, "alice", hop) == Code.OK
    world.blocks(1)
    assert world.redelegations("v0", "v1", "alice") == ()
    world.audit()


def test_unbonding_of_redelegated_stake_outlasts_the_redelegation(world: StakingWorld) -> None:
    """Governance may shorten the unbonding time; what is within reach stays within reach."""
    code(world, "alice", stake_op("delegate", validator="v0", amount=500))
    code(world, "alice", stake_op("redelegate", source="v0", destination="v1", amount=400))
    (moved,) = world.redelegations("v0", "v1", "alice")
    world.db[b" pstake"] = StakingWorld(replace(STAKE, unbonding_s=50)).db[b" pstake"]
    code(world, "alice", stake_op("undelegate", validator="v1", amount=400))
    assert world.unbondings("v1", "alice")[0].until_s == moved.until_s


# Validators


def test_registration(world: StakingWorld) -> None:
    world.admit("o4")
    failures = [
        (register_op("v4", 999), Code.BOND_TOO_SMALL),
        (register_op("v4", 1_500, min_self_bond=2_000), Code.BOND_TOO_SMALL),
        (register_op("v0"), Code.ASSERT_FAILED),
        (register_op("v4", 1_000_001), Code.INSUFFICIENT_FUNDS),
        (register_op("v4", AMOUNT_MAX), Code.INSUFFICIENT_FUNDS),
    ]
    for op, expected in failures:
        assert code(world, "o4", op) == expected
    assert code(world, "o4", register_op("v4", 5_000, commission_ppm=100_000, min_self_bond=4_000)) == Code.OK
    assert world.sets[2].by_address(address_of("v4")) is not None
    assert code(world, "o4", register_op("v5")) == Code.ASSERT_FAILED  # one for each owner
    world.blocks(2)
    assert [v.power for v in world.voters().validators] == [10] * 4 + [5]


def test_one_ml_dsa_key_is_not_used_twice(world: StakingWorld) -> None:
    world.admit("o4")
    ed25519_key, kind, _ = vote_keys("v4")
    fields: dict[str, Any] = {"commission_ppm": 0, "min_self_bond": 0, "amount": BOND, "moniker": "x", "details": ""}
    op = call("stake.register", ed25519_key=ed25519_key, pq_kind=kind, pq_key=vote_keys("v1")[2], **fields)
    assert code(world, "o4", op) == Code.ASSERT_FAILED


def test_a_commission_within_bounds() -> None:
    world = StakingWorld(replace(STAKE, commission_max_ppm=200_000, commission_step_ppm=50_000))
    world.admit("o4")
    assert code(world, "o4", register_op("v4", commission_ppm=200_001)) == Code.PARAM_OUT_OF_RANGE

    def edit(commission_ppm: int, min_self_bond: int = 0) -> int:
        fields = {"commission_ppm": commission_ppm, "min_self_bond": min_self_bond, "moniker": "zero", "details": "d"}
        return code(world, "o0", stake_op("edit", validator="v0", **fields))

    assert edit(50_001) == Code.PARAM_OUT_OF_RANGE
    assert edit(50_000) == Code.OK
    assert edit(60_000) == Code.TOO_EARLY
    assert edit(50_000, BOND + 1) == Code.BOND_TOO_SMALL
    assert edit(50_000, BOND) == Code.OK
    assert edit(50_000, BOND - 1) == Code.ASSERT_FAILED
    world.now += 24 * 3600
    assert edit(100_000, BOND) == Code.OK


def test_an_owner_who_withdraws_his_bond_leaves_the_set(world: StakingWorld) -> None:
    fields = {"commission_ppm": 0, "min_self_bond": 9_000, "moniker": "zero", "details": ""}
    code(world, "o0", stake_op("edit", validator="v0", **fields))
    code(world, "alice", stake_op("delegate", validator="v0", amount=5_000))
    assert code(world, "o0", stake_op("undelegate", validator="v0", amount=1_000)) == Code.OK
    assert not world.pool("v0").is_jailed
    assert code(world, "o0", stake_op("undelegate", validator="v0", amount=1)) == Code.OK
    assert world.pool("v0").is_jailed
    assert code(world, "o0", stake_op("unjail", validator="v0")) == Code.BOND_TOO_SMALL
    assert code(world, "o0", stake_op("delegate", validator="v0", amount=1)) == Code.OK
    assert code(world, "o0", stake_op("unjail", validator="v0")) == Code.OK
    assert code(world, "o0", stake_op("unjail", validator="v0")) == Code.ASSERT_FAILED


def test_new_keys_take_the_place_of_the_old(world: StakingWorld) -> None:
    assert code(world, "o0", rotate_op("v0", "v1")) == Code.ASSERT_FAILED
    assert code(world, "o0", rotate_op("v0", "v0")) == Code.ASSERT_FAILED
    assert code(world, "o0", rotate_op("v0", "v0b")) == Code.OK
    assert world.last is not None
    assert [(u.ed25519_key, u.power) for u in world.last.validator_updates] == [
        (vote_keys("v0")[0], 0),
        (vote_keys("v0b")[0], 10),
    ]
    assert code(world, "o0", rotate_op("v0", "v0c")) == Code.ROTATION_PENDING
    world.now += 100
    assert code(world, "o0", rotate_op("v0", "v0")) == Code.ASSERT_FAILED  # an old key never comes back
    assert code(world, "o0", rotate_op("v0", "v0c")) == Code.OK
    world.blocks(2)
    assert world.voters().by_address(address_of("v0c")) is not None
    assert len(world.voters()) == 4
    world.admit("o4")
    assert code(world, "o4", register_op("v0b")) == Code.ASSERT_FAILED


def test_a_validator_whose_admission_is_withdrawn_leaves_the_set(world: StakingWorld) -> None:
    del world.db[b" NV" + ADDRESS["o3"]]
    world.blocks(1)
    assert world.sets[2].by_address(address_of("v3")) is None
    world.admit("o3")
    world.blocks(1)
    assert world.sets[2].by_address(address_of("v3")) is not None


# Who must sign

MATRIX: dict[str, tuple[str, Any]] = {
    "stake.register": ("o4", register_op("v4")),
    "stake.edit": ("o0", stake_op("edit", validator="v0", commission_ppm=7, min_self_bond=5, moniker="m", details="")),
    "stake.rotate_consensus_key": ("o0", rotate_op("v0", "v0b")),
    "stake.unjail": ("o3", stake_op("unjail", validator="v3")),
    "stake.delegate": ("alice", stake_op("delegate", validator="v0", amount=5)),
    "stake.undelegate": ("alice", stake_op("undelegate", validator="v0", amount=5)),
    "stake.cancel_unbond": ("alice", stake_op("cancel_unbond", validator="v0", entry=0)),
    "stake.redelegate": ("alice", stake_op("redelegate", source="v0", destination="v1", amount=5)),
    "stake.claim": ("alice", stake_op("claim", validator="v1")),
}


@pytest.fixture(scope="module")
def ready() -> dict[bytes, bytes]:
    """A state in which every operation of the matrix succeeds."""
    world = StakingWorld()
    world.admit("o4")
    for validator in ("v0", "v1"):
        world.stake("alice", "delegate", validator=validator, amount=1_000)
    world.stake("alice", "undelegate", validator="v1", amount=100)
    fields = {"commission_ppm": 0, "min_self_bond": BOND, "moniker": "three", "details": ""}
    world.stake("o3", "edit", validator="v3", **fields)
    world.stake("o3", "undelegate", validator="v3", amount=1)
    world.stake("o3", "delegate", validator="v3", amount=1)
    world.stake("alice", "undelegate", validator="v0", amount=100)
    assert (world.pool("v3").is_jailed, world.height) == (True, 7)
    return dict(world.db)


def test_the_matrix_has_every_row() -> None:
    assert sorted(MATRIX) == sorted(row.name for row in ROWS if row.module == "stake")


@pytest.mark.parametrize("name", MATRIX)
def test_only_the_account_itself(ready: dict[bytes, bytes], name: str) -> None:
    world = StakingWorld()
    world.db, world.height = dict(ready), 7
    world.now += 8 if name != "stake.claim" else 103  # the first unbonding is due, the later one is not
    sender, op = MATRIX[name]
    if name == "stake.cancel_unbond":
        op = stake_op("cancel_unbond", validator="v0", entry=2)
    assert world.check(world.raw(sender, op, signers=())).code in (Code.QUORUM_NOT_MET, Code.MALFORMED)
    acting = (op[0], ADDRESS[sender], op[2])
    assert world.check(world.raw("hybrid", acting)).code == Code.QUORUM_NOT_MET
    draft = Draft.load(world.raw(sender, op))
    for account, key_id, signature in draft.auth:
        spoiled = bytes([signature[0] ^ 1]) + signature[1:]
        assert world.check(draft.attach(account, key_id, spoiled).encode()).code == Code.BAD_SIGNATURE
    world.sets = [world.sets[0]] * 2 + [world.sets[2].update(())]
    receipt = world.apply_only(world.raw("hybrid", acting, signers=[("hybrid", 0), (sender, 0)]))
    assert receipt.code == Code.OK, receipt


def test_codes_stand_in_order() -> None:
    codes = {row.name: [int(c) for c in row.codes] for row in ROWS if row.module == "stake"}
    assert codes["stake.delegate"] == [503, 1001, 1006, 501, 508, 505]
    assert codes["stake.undelegate"] == [503, 1001, 1003, 501]
    assert codes["stake.redelegate"] == [503, 504, 1001, 1006, 1004, 1003, 501, 508, 505]
    assert codes["stake.unjail"] == [1001, 204, 1006, 508, 1005, 1002]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (stake_op("delegate", validator=b"short", amount=1), Code.MALFORMED),
        (("stake.edit", b"", (b"v" * 20, 1_000_001, b"", "m", "")), Code.MALFORMED),
        (("stake.edit", b"", (b"v" * 20, 0, b"", " m", "")), Code.MALFORMED),
        (("stake.edit", b"", (b"v" * 20, 0, b"", "", "")), Code.MALFORMED),
        (("stake.edit", b"", (b"v" * 20, 0, b"\x00", "m", "")), Code.BAD_AMOUNT_ENCODING),
        (("stake.rotate_consensus_key", b"", (b"v" * 20, b"e" * 31, 2, b"p" * 2592)), Code.MALFORMED),
        (("stake.rotate_consensus_key", b"", (b"v" * 20, b"e" * 32, 1, b"p" * 32)), Code.MALFORMED),
        (("stake.cancel_unbond", b"", (b"v" * 20, -1)), Code.MALFORMED),
    ],
)
def test_malformed(op: Any, expected: Code) -> None:
    row = BY_NAME[op[0]] if isinstance(op[0], str) else next(row for row in ROWS if row.code == op[0])
    with pytest.raises(TransactionError) as caught:
        row.read(encode(op[2]))
    assert caught.value.result == expected
