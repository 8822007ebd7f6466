"""Validators over many real blocks: missed votes, jail and return, the bound on changes of power, rewards."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from state import staking_actions
from state.codes import Code
from state.machine import apply_block
from state.misbehavior import CommitVote
from state.modules.operation import FEES_ADDRESS, OpContext
from state.modules.power import compute_powers
from state.modules.staking_pool import SCALE
from state.params import FeeParams, StakeParams
from state.primitives.limits import POWER_TOTAL_MAX, VALIDATORS_MAX
from state.queries_staking import get_delegation_of, get_delegations, get_validator, get_validators
from state.schema import holding_key
from state.schema_staking import TOTALS_KEY, pool_key, window_part_key
from tests.state.ledger_world import ADDRESS, pay
from tests.state.staking_world import BOND, STAKE, StakingWorld, address_of, register_op, rotate_op, stake_op

FEES = FeeParams(asset="QNX", base_default=1_000)
REWARDED = replace(STAKE, reward_fees_ppm=1_000_000, reward_proposer_ppm=0)


def names(world: StakingWorld) -> list[str]:
    return [name for name, _ in world.events]


def test_jailed_at_the_right_height_and_back_two_blocks_after_unjail() -> None:
    """window 20, at most half of it: the 11th miss is one too many."""
    world = StakingWorld()
    world.blocks(30)
    world.absent = {"v2"}
    world.blocks(10)
    assert (world.missed("v2"), world.pool("v2").is_jailed) == (10, False)
    world.blocks(1)
    jailed_at = world.height
    assert jailed_at == 41  # the votes of the blocks 30 to 40
    assert names(world) == ["validator_slashed", "validator_jailed"]
    assert (world.pool("v2").is_jailed, world.pool("v2").tokens, world.missed("v2")) == (True, BOND - 1, 0)
    assert world.voters().by_address(address_of("v2")) is not None  # still votes on the next block
    world.blocks(1)
    assert world.voters().by_address(address_of("v2")) is None  # height 43
    world.absent = set()
    while world.now < world.pool("v2").jailed_until_s:
        assert world.stake("o2", "unjail", validator="v2").code == Code.JAILED
    assert world.stake("o2", "unjail", validator="v2").code == Code.OK
    assert world.height == jailed_at + 10
    assert world.voters().by_address(address_of("v2")) is None  # height + 1
    world.blocks(1)
    returned = world.voters().by_address(address_of("v2"))
    assert returned is not None and returned.power == 9  # height + 2; 9,999 of stake
    world.blocks(25)
    assert (world.missed("v2"), world.pool("v2").is_jailed) == (0, False)
    world.audit()


def test_half_of_a_window_is_not_too_much() -> None:
    world = StakingWorld()
    world.blocks(1)
    for block in range(60):
        world.absent = {"v1"} if block % 2 else set()
        world.blocks(1)
    assert (world.missed("v1"), world.pool("v1").is_jailed) == (10, False)
    world.absent = set()
    world.blocks(20)
    assert world.missed("v1") == 0
    assert window_part_key(address_of("v1"), 0) not in world.db


def test_a_changed_window_starts_anew() -> None:
    world = StakingWorld()
    world.blocks(1)
    world.absent = {"v1"}
    world.blocks(8)
    assert world.missed("v1") == 8
    world.db[b" pstake"] = StakingWorld(replace(STAKE, downtime_window=5_000)).db[b" pstake"]
    world.blocks(3)
    assert world.missed("v1") == 3


def test_missed_votes_count_across_a_change_of_keys() -> None:
    world = StakingWorld()
    world.blocks(1)
    world.absent = {"v1", "v1b"}
    world.blocks(5)
    assert world.do("o1", rotate_op("v1", "v1b")).code == Code.OK
    world.blocks(5)
    assert world.pool("v1").is_jailed


def test_a_failing_action_is_dropped_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: OpContext, params: StakeParams) -> None:
        context.view.put(pool_key(address_of("v0")), context.view.get(pool_key(address_of("v0")))._replace(tokens=1))

    world = StakingWorld()
    monkeypatch.setattr(staking_actions, "sweep_unbondings", broken)
    result = apply_block(world.db, world.context(), (world.raw("alice", pay("bob", 5)),))
    assert result.receipts[0].code == Code.OK
    assert [event.attributes for event in result.events] == [
        (("action", "unbondings"), ("reason", "I19: the bonded pot is not the sum of the pools"))
    ]
    assert pool_key(address_of("v0")) not in dict(result.changes)


# Power


def test_at_most_a_third_of_the_power_changes_in_a_block() -> None:
    world = StakingWorld()
    world.stake("alice", "delegate", validator="v3", amount=50_000)
    seen = [world.sets[2].total_power]
    for _ in range(5):
        world.blocks(1)
        seen.append(world.sets[2].total_power)
    assert seen == [53, 70, 90, 90, 90, 90]
    world.stake("alice", "undelegate", validator="v3", amount=50_000)
    totals = [world.sets[2].total_power]
    while world.sets[2].total_power > 40:
        world.blocks(1)
        totals.append(world.sets[2].total_power)
    assert totals == [60, 40]
    world.audit()


def test_downward_changes_go_first_and_the_rest_waits_in_order() -> None:
    world = StakingWorld()
    world.admit("o4")
    world.do("o4", register_op("v4", 9_000))
    assert world.sets[2].total_power == 49
    world.cheat("v0", 1)
    world.cheat("v1", 1)
    world.blocks(1)
    first, second = sorted((address_of("v0"), address_of("v1")))
    left = world.sets[2].by_address(second)
    assert world.sets[2].by_address(first) is None
    assert left is not None and left.power == 4  # 16 of 49
    world.blocks(1)
    assert world.sets[2].by_address(second) is None


def test_the_cap_binds_one_validator() -> None:
    world = StakingWorld(replace(STAKE, power_cap_ppm=300_000), (70_000, BOND, BOND, BOND))
    assert [v.power for v in world.voters().validators] == [30, 10, 10, 10]


def test_powers() -> None:
    params = StakeParams("QNX", 10)
    assert compute_powers({b"a": 9, b"b": 10, b"c": 29}, params) == {b"b": 1, b"c": 2}
    many = {i.to_bytes(2, "big"): 10 * (i // 2 + 1) for i in range(300)}
    assert min(compute_powers(many, params)) == (100).to_bytes(2, "big")
    assert len(compute_powers(many, params)) == VALIDATORS_MAX
    huge = compute_powers({b"a": 1 << 600, b"b": 1 << 599, b"c": 10}, params)
    assert sum(huge.values()) <= POWER_TOTAL_MAX and huge[b"c"] == 1
    assert compute_powers({b"a": 10}, replace(params, power_cap_ppm=1)) == {b"a": 1}


# Rewards


def owed(world: StakingWorld, account: str, validator: str) -> Fraction:
    """What an account is owed, to the fraction, without the ledger's own settlement."""
    pool, delegation, totals = world.pool(validator), world.delegation(validator, account), world.read(TOTALS_KEY)
    assert delegation is not None
    pending = pool.power * (totals.acc - pool.ref)
    return Fraction(delegation.owed + delegation.shares * (pool.acc - delegation.ref), SCALE) + Fraction(
        pending * delegation.shares, SCALE * pool.shares
    )


def test_fees_are_shared_by_power_and_stake() -> None:
    world = StakingWorld(REWARDED, fees=FEES)
    world.stake("alice", "delegate", validator="v0", amount=5_000)
    world.blocks(1)
    before = world.balance(FEES_ADDRESS)
    assert before == 0
    start = world.module("rewards")
    world.do("bob", pay("carol", 1))
    assert world.module("rewards") == start + 1_000
    assert world.voters().total_power == 45
    # of these 1,000: v0 has 15 of 45, of which alice has a third; and of the first 1,000 she has nothing: the power was 40
    assert owed(world, "o1", "v1") == pytest.approx(Fraction(1_000 * 10, 40) + Fraction(1_000 * 10, 45))
    assert owed(world, "alice", "v0") == pytest.approx(Fraction(1_000 * 15, 45 * 3) + Fraction(1_000, 4) / 3)
    shown: Any = get_delegation_of(world.db, address_of("v0"), ADDRESS["alice"])
    assert shown["rewards"] == str(int(owed(world, "alice", "v0")))
    have = world.balance("alice")
    receipt = world.stake("alice", "claim", validator="v0")
    assert dict(receipt.events[0].attributes)["rewards"] == shown["rewards"]
    assert world.balance("alice") == have - 1_000 + int(shown["rewards"])
    world.audit()


def test_the_proposer_gets_his_share_and_the_owner_his_commission() -> None:
    world = StakingWorld(replace(REWARDED, reward_proposer_ppm=100_000), fees=FEES)
    terms = {"commission_ppm": 100_000, "min_self_bond": 0, "moniker": "x", "details": ""}
    proposer = next(f"v{i}" for i in range(4) if address_of(f"v{i}") == world.context().proposer_address)
    owner = "o" + proposer[1]
    assert world.stake(owner, "edit", validator=proposer, **terms).code == Code.OK
    shown: Any = get_validator(world.db, address_of(proposer))
    earned = Fraction(100) + Fraction(900, 4)
    assert int(shown["commission_owed"]) == int(earned / 10)
    assert owed(world, owner, proposer) >= int(earned * 9 / 10)
    receipt = world.stake(owner, "claim", validator=proposer)
    assert dict(receipt.events[0].attributes)["commission"] == str(int(earned / 10))
    world.audit()


def test_fees_are_kept_when_the_parameters_say_so() -> None:
    world = StakingWorld(replace(REWARDED, reward_fees_ppm=250_000), fees=FEES)
    for _ in range(4):
        world.do("alice", pay("bob", 1))
    assert (world.balance(FEES_ADDRESS), world.module("rewards")) == (3_000, 1_000)


def test_nobody_gains_by_joining_and_leaving_in_one_block() -> None:
    """Incident 20: a reward for the block of the deposit, or after the withdrawal."""
    world = StakingWorld(REWARDED, fees=FEES)
    world.do("bob", pay("carol", 1))
    ops = [stake_op("delegate", validator="v0", amount=50_000), stake_op("undelegate", validator="v0", amount=50_000)]
    receipt = world.do("alice", *ops)
    assert receipt.code == Code.OK
    assert world.delegation("v0", "alice") is None
    world.now += 100
    world.blocks(1)
    assert world.balance("alice") == 1_000_000 - receipt.fee
    world.audit()


def test_inflation_is_minted_where_everybody_sees_it() -> None:
    world = StakingWorld(replace(STAKE, inflation_ppm=1_000_000))
    supply = world.supply()
    world.blocks(1)
    assert world.supply() == supply  # the clock starts here
    world.now += 365 * 24 * 3600 // 10 - 1
    world.blocks(1)
    assert world.supply() == supply + supply // 10 == supply + world.module("rewards")
    assert names(world) == ["stake_minted"]
    world.audit()
    world.db[b" pstake"] = StakingWorld(STAKE).db[b" pstake"]
    world.now += 10_000
    world.blocks(2)
    assert world.supply() == supply + supply // 10
    assert world.read(TOTALS_KEY).minted_ns == 0


def test_fees_in_another_asset_stay_where_they_are() -> None:
    world = StakingWorld(REWARDED, fees=FeeParams(asset="BND", base_default=1))
    world.do("bank", pay("bob", 1))
    assert world.db.get(holding_key(FEES_ADDRESS, "BND")) is not None
    assert world.module("rewards") == 0


# What people see


def test_queries() -> None:
    world = StakingWorld(REWARDED, fees=FEES)
    world.stake("alice", "delegate", validator="v0", amount=5_000)
    world.stake("alice", "delegate", validator="v1", amount=7_000)
    world.stake("alice", "undelegate", validator="v1", amount=6_000)
    shown: Any = get_validator(world.db, address_of("v0"))
    assert (shown["tokens"], shown["power"], shown["wanted_power"], shown["self_bond"]) == ("15000", "15", "15", "10000")
    assert (shown["status"], shown["missed_votes"]) == ("bonded", 0)
    assert get_validator(world.db, b"?" * 20) is None
    listed: Any = get_validators(world.db)
    assert [item["validator"] for item in listed] == sorted(address_of(f"v{i}").hex() for i in range(4))
    assert "pq_key" not in listed[0]
    mine: Any = {item["validator"]: item for item in get_delegations(world.db, ADDRESS["alice"])}
    assert mine[address_of("v1").hex()]["tokens"] == "1000"
    assert [entry["balance"] for entry in mine[address_of("v1").hex()]["unbonding"]] == ["6000"]
    assert get_delegation_of(world.db, address_of("v2"), ADDRESS["alice"]) is None
    assert get_delegations(world.db, ADDRESS["poor"]) == []


def test_votes_of_strangers_do_not_count() -> None:
    world = StakingWorld()
    context = replace(world.context(), last_commit=(CommitVote(b"?" * 20, 10, False),))
    assert apply_block(world.db, context, ()).changes == ()


def test_a_new_commission_is_of_later_rewards_only() -> None:
    world = StakingWorld(REWARDED, fees=FEES)
    world.do("bob", pay("carol", 1))
    terms = {"commission_ppm": 100_000, "min_self_bond": 0, "moniker": "x", "details": ""}
    world.stake("o0", "edit", validator="v0", **terms)
    world.stake("o1", "claim", validator="v1")
    shown: Any = get_validator(world.db, address_of("v0"))
    assert shown["commission_owed"] == str(2 * 250 // 10)  # of the fees of the edit and of the claim


def test_the_commission_is_the_owners() -> None:
    world = StakingWorld(REWARDED, fees=FEES)
    world.stake("alice", "delegate", validator="v0", amount=10_000)
    terms = {"commission_ppm": 100_000, "min_self_bond": 0, "moniker": "x", "details": ""}
    world.stake("o0", "edit", validator="v0", **terms)
    world.blocks(1)
    receipt = world.stake("alice", "claim", validator="v0")
    assert "commission" not in dict(receipt.events[0].attributes) or dict(receipt.events[0].attributes)["commission"] == "0"
    shown: Any = get_delegation_of(world.db, address_of("v0"), ADDRESS["alice"])
    assert shown["commission"] == "0"
    world.audit()


def test_fractions_of_a_minted_unit_are_carried() -> None:
    """5.1 million units at 100 % a year: one unit in six seconds."""
    world = StakingWorld(replace(STAKE, inflation_ppm=1_000_000))
    supply = world.supply()
    world.blocks(1_001)
    expected = supply * 1_000 // (365 * 24 * 3600)
    assert expected > 100
    assert abs(world.supply() - supply - expected) <= 1  # not one lost in a thousand blocks
    world.audit()
