"""Every operation on farms: what it does, each of its codes, who must sign."""

from __future__ import annotations

from typing import Any

import pytest

from state import marks
from state.codes import Code
from state.modules.farm import OPERATIONS
from state.modules.gate import FLAG_REQUIRE_AUTH, FLAG_STAKEABLE
from state.modules.operation import CLAIMS_ADDRESS, FARMS_ADDRESS
from state.modules.table import BY_NAME
from state.primitives.errors import TransactionError
from state.primitives.limits import (
    AMOUNT_MAX,
    FARM_CLAIM_POSITIONS_MAX,
    FARM_DURATION_S_MAX,
    FARM_LOCK_S_MAX,
    FARM_POSITIONS_MAX,
    FARM_REWARDS_MAX,
    FARM_TIERS_MAX,
    FARM_WEIGHT_PPM_MAX,
)
from state.queries import simulate
from state.schema import BREAKERS_KEY, account_key, asset_key, encode_record, holding_key
from state.schema_claims import claim_key
from state.schema_kyc import Credential, Domain, credential_key, domain_key
from state.transaction import Transaction, call
from tests.state.amm_world import CODES, RICH, amm_op
from tests.state.farm_world import FREE, ONE, TIERS, FarmWorld, farm_op
from tests.state.ledger_world import ADDRESS, pay

POOL = "EUR/QNX"


@pytest.fixture
def world() -> FarmWorld:
    """Farm 0 of alice: EUR earns 1,000 units of QNX per second for 1,000 seconds from the next block on."""
    world = FarmWorld()
    world.start(lock_tiers=TIERS)
    return world


@pytest.fixture
def pool_world() -> FarmWorld:
    """A pool of alice, in which bob has shares, and farm 0 for them."""
    world = FarmWorld()
    assert world.amm("alice", "create", amount_a=10**9, amount_b=4 * 10**9).code == Code.OK
    assert world.amm("bob", "add", max_a=10**7, max_b=10**9).code == Code.OK
    world.start(stake_asset=POOL, reward_asset="BTC")
    return world


def begin(world: FarmWorld) -> int:
    """The second in which farm 0 starts."""
    return world.campaign(world.farm_record().rewards[0]).start_s


def test_a_farm_pays_by_stake_and_time_and_ends_with_nothing_left(world: FarmWorld) -> None:
    start = begin(world)
    world.at(0, start)
    assert [r.code for r in world.apply(*(world.raw(n, farm_op("stake", amount=a)) for n, a in (("bob", 100), ("carol", 300))))] == [0, 0]
    world.at(400, start)
    assert world.farm("bob", "claim").code == Code.OK
    assert world.balance("bob") == RICH + 99_999  # the accumulator is rounded down: 2^-640 of a unit is still carried
    assert world.own("bob").dues[0].owed > ONE * 999_999 // 1_000_000
    world.at(600, start)
    assert world.farm("carol", "exit").code == Code.OK
    assert (world.balance("carol"), world.balance("carol", "EUR")) == (RICH + 449_999, RICH)
    world.at(2_000, start)
    assert world.farm("bob", "exit").code == Code.OK
    assert (world.balance("bob"), world.balance("bob", "EUR")) == (RICH + 550_001, RICH)  # with what carol left over
    assert (world.staked("QNX"), world.staked("EUR")) == (0, 0)
    campaign = world.campaign()
    assert (campaign.paid, campaign.unallocated, campaign.carry) == (1_000_000, 0, 0)
    assert world.farm("alice", "close").code == Code.NOTHING_TO_CLAIM


def test_lock_tiers_weigh_more_and_hold(world: FarmWorld) -> None:
    start = begin(world)
    world.at(0, start)
    ops = [farm_op("stake", amount=100, tier=tier) for tier in range(3)]
    assert world.do("bob", *ops).code == Code.OK
    assert [world.own("bob", n).locked_s - start for n in range(3)] == [0, 100, 1_000]
    assert world.farm_record().weight == 650_000_000
    world.at(99, start)
    for operation, fields in (("unstake", {"amount": 1}), ("claim", {"positions": (0, 1)}), ("exit", {})):
        assert world.farm("bob", operation, position=1, **fields).code == Code.LOCKED_UNTIL
        world.now -= 1
    world.at(100, start)
    before = world.balance("bob")
    assert world.farm("bob", "exit", position=1).code == Code.OK
    assert world.balance("bob") - before == 100_000 * 15 // 65
    world.at(1_000, start)
    assert world.farm("bob", "exit", position=2).code == Code.OK
    assert world.farm("bob", "exit", position=0).code == Code.OK
    assert world.balance("bob") - before == 1_000_000
    assert world.staked("QNX") == 0


def test_who_breaks_a_lock_gets_the_principal_and_no_reward(world: FarmWorld) -> None:
    start = begin(world)
    world.at(0, start)
    assert world.farm("bob", "stake", amount=100, tier=2).code == Code.OK
    world.at(500, start)
    receipt = world.farm("bob", "emergency_exit")
    assert [event.type for event in receipt.events] == ["farm_forfeited", "farm_emergency_exit"]
    assert (world.balance("bob"), world.balance("bob", "EUR")) == (RICH, RICH)
    assert (world.campaign().unallocated, world.campaign().carry) == (500_000, 0)
    world.at(1_000, start)
    assert world.farm("alice", "close").code == Code.OK
    assert world.balance("alice") == RICH


def test_several_rewards_each_with_its_own_schedule(world: FarmWorld) -> None:
    start = begin(world)
    world.at(0, start)
    world.do("bob", farm_op("stake", amount=100))
    world.at(100, start)
    assert world.farm("alice", "fund", reward_asset="BTC", amount=900).code == Code.OK  # to the farm's end
    assert world.farm("alice", "fund", reward_asset="BIG", amount=10**30, start=start + 200, extend_to=start + 2_200).code == Code.OK
    assert world.farm_record().rewards == ("QNX", "BTC", "BIG")
    assert world.farm_record().end_s == start + 2_200
    world.at(1_200, start)
    held = world.balance("bob", "BIG")
    assert world.farm("bob", "claim", reward_asset="BTC").code == Code.OK
    assert (world.balance("bob", "BTC"), world.balance("bob"), world.balance("bob", "BIG")) == (RICH + 900, RICH, held)
    world.at(1_200, start)
    assert world.farm("bob", "exit").code == Code.OK
    assert (world.balance("bob"), world.balance("bob", "BIG") - held) == (RICH + 1_000_000, 10**30 // 2)
    assert world.farm("alice", "close").code == Code.TOO_EARLY
    world.at(2_200, start)
    assert world.farm("alice", "close").code == Code.OK
    assert world.balance("alice", "BIG") == RICH - 10**30 // 2
    assert world.balance("alice", "BTC") == RICH - 900


def test_more_money_is_merged_with_all_that_has_not_come_out_yet(world: FarmWorld) -> None:
    start = begin(world)
    world.at(0, start)
    world.do("bob", farm_op("stake", amount=7))
    world.at(333, start)
    assert world.farm("alice", "fund", amount=1, extend_to=start + 999).code == Code.PARAM_OUT_OF_RANGE  # shorter
    world.at(333, start)
    assert world.farm("alice", "fund", amount=999, extend_to=start + 1_001).code == Code.PARAM_OUT_OF_RANGE  # slower
    world.at(333, start)
    assert world.farm("alice", "fund", amount=1_000, extend_to=start + 1_001, start=start).code == Code.PARAM_OUT_OF_RANGE
    world.at(333, start)
    assert world.farm("alice", "fund", amount=333_001, extend_to=start + 1_333).code == Code.OK
    campaign = world.campaign()
    assert (campaign.budget, campaign.released, campaign.start_s, campaign.end_s) == (1_000_001, 0, start + 333, start + 1_333)
    world.at(1_333, start)
    assert world.farm("bob", "exit").code == Code.OK
    assert world.balance("bob") == RICH + 1_333_001


def test_a_campaign_that_is_over_gets_a_new_schedule_while_the_farm_goes_on(world: FarmWorld) -> None:
    start = begin(world)
    world.at(10, start)
    assert world.farm("alice", "fund", reward_asset="BTC", amount=100, extend_to=start + 20).code == Code.OK
    world.at(30, start)
    assert world.farm("alice", "fund", reward_asset="BTC", amount=50, start=start + 40, extend_to=start + 90).code == Code.OK
    campaign = world.campaign("BTC")
    assert (campaign.funded, campaign.unallocated, campaign.budget, campaign.released) == (150, 100, 50, 0)
    world.at(60, start)
    world.do("bob", farm_op("stake", amount=1))
    world.at(90, start)
    assert world.farm("bob", "claim", reward_asset="BTC").code == Code.OK
    assert world.balance("bob", "BTC") == RICH + 30


def test_unstaking_in_parts_keeps_what_was_earned_and_the_last_claim_closes(world: FarmWorld) -> None:
    start = begin(world)
    world.at(0, start)
    world.do("bob", farm_op("stake", amount=100))
    world.at(10, start)
    assert world.farm("bob", "unstake", amount=99).code == Code.OK
    assert (world.own("bob").amount, world.own("bob").dues[0].owed) == (1, 10_000 * ONE)
    world.at(20, start)
    assert world.farm("bob", "unstake", amount=1).code == Code.OK
    position = world.own("bob")
    assert (position.amount, position.weight, position.dues[0].owed) == (0, 0, 20_000 * ONE)
    assert world.farm_record().stakers == 1
    world.at(500, start)
    assert world.farm("bob", "emergency_exit").code == Code.ZERO_AMOUNT
    assert world.farm("bob", "claim").code == Code.OK
    assert (world.balance("bob"), world.open_numbers("bob"), world.own("bob")) == (RICH + 20_000, (), None)
    assert world.farm_record().stakers == 0
    assert world.farm("bob", "claim").code == Code.PENDING_NOT_FOUND


def test_a_position_that_is_owed_less_than_a_unit_is_closed_with_its_last_unit_of_stake() -> None:
    world = FarmWorld()
    start = world.now + 1
    world.start(budget=1)
    world.at(0, start)
    world.apply(world.raw("bob", farm_op("stake", amount=1)), world.raw("carol", farm_op("stake", amount=2)))
    world.at(1_000, start)
    assert world.farm("bob", "unstake", amount=1).code == Code.OK
    assert world.own("bob") is None
    assert 0 <= world.campaign().carry - ONE // 3 < 3_000_000
    assert world.farm("carol", "claim").code == Code.OK  # the fractions of both are the unit again, and carol is all that is left
    assert world.farm("carol", "exit").code == Code.OK
    assert (world.campaign().carry, world.campaign().unallocated, world.balance("carol")) == (0, 0, RICH + 1)
    assert (world.farm("alice", "close").code, world.staked("QNX")) == (Code.NOTHING_TO_CLAIM, 0)


def test_fractions_that_nobody_is_left_to_take_fall_to_the_sponsor() -> None:
    world = FarmWorld()
    start = world.now + 1
    world.start(budget=1)
    world.at(0, start)
    world.apply(world.raw("bob", farm_op("stake", amount=1)), world.raw("carol", farm_op("stake", amount=2)))
    world.at(1_000, start)
    for name in ("bob", "carol"):
        assert world.farm(name, "emergency_exit").code == Code.OK
    assert (world.campaign().carry, world.campaign().unallocated) == (0, 1)
    assert world.farm("alice", "close").code == Code.OK
    assert (world.balance("alice"), world.staked("QNX")) == (RICH, 0)


def test_pool_shares_come_back_with_what_they_cost(pool_world: FarmWorld) -> None:
    world = pool_world
    start = begin(world)
    before = world.position("bob")
    world.at(0, start)
    third = before.shares // 3
    assert world.farm("bob", "stake", amount=third).code == Code.OK
    own = world.own("bob")
    assert own.lot == tuple(number * third // before.shares for number in before[1:])
    assert world.position("bob") == tuple(a - b for a, b in zip(before, (third, *own.lot), strict=True))
    assert world.amm("bob", "remove", shares=before.shares).code == Code.INSUFFICIENT_FUNDS
    assert world.amm("alice", "close").code == Code.SUPPLY_NOT_ZERO
    assert world.farm("bob", "stake", amount=before.shares - third).code == Code.OK
    assert world.position("bob").shares == 0
    assert world.farm("bob", "stake", amount=1).code == Code.INSUFFICIENT_FUNDS
    world.at(500, start)
    assert world.farm("bob", "unstake", amount=third // 7).code == Code.OK
    assert world.farm("bob", "exit", position=0).code == Code.OK
    assert world.farm("bob", "emergency_exit", position=1).code == Code.OK
    assert world.position("bob") == before
    assert world.balance("bob", "BTC") > RICH
    assert world.amm("bob", "remove", shares=before.shares).code == Code.OK


def test_pool_shares_are_for_who_may_use_both_assets(pool_world: FarmWorld) -> None:
    world = pool_world
    world.set_flags("QNX", 0)
    assert world.farm("bob", "stake", amount=5).code == Code.NOT_TRANSFERABLE
    world.set_flags("QNX", FLAG_STAKEABLE)
    assert world.farm("bob", "stake", amount=5).code == Code.OK
    world.mark(holding_key(ADDRESS["bob"], "EUR"), marks.HOLDING_FROZEN)
    assert world.farm("bob", "stake", amount=5).code == Code.HOLDING_FROZEN
    assert world.farm("bob", "unstake", amount=1).code == Code.HOLDING_FROZEN
    assert world.farm("bob", "exit").code == Code.HOLDING_FROZEN
    shares = world.position("bob").shares
    assert world.farm("bob", "emergency_exit").code == Code.OK
    assert world.position("bob").shares == shares + 5


_FREEZES = [
    (lambda: account_key(ADDRESS["bob"]), marks.DEEP_FROZEN, Code.ACCOUNT_DEEP_FROZEN, True),
    (lambda: account_key(ADDRESS["bob"]), marks.DEBIT_FROZEN, Code.ACCOUNT_FROZEN, False),
    (lambda: asset_key("EUR"), marks.PAUSED, Code.ASSET_PAUSED, True),
    (lambda: holding_key(ADDRESS["bob"], "EUR"), marks.HOLDING_DEEP_FROZEN, Code.HOLDING_FROZEN, True),
    (lambda: holding_key(ADDRESS["bob"], "EUR"), marks.HOLDING_FROZEN, Code.HOLDING_FROZEN, False),
]


@pytest.mark.parametrize(("key", "bits", "code", "is_parked"), _FREEZES)
def test_a_freeze_keeps_what_is_staked_and_the_emergency_exit_parks_it(
    world: FarmWorld, key: Any, bits: int, code: int, is_parked: bool
) -> None:
    start = begin(world)
    world.at(0, start)
    world.do("bob", farm_op("stake", amount=100))
    world.at(10, start)
    world.mark(key(), bits)
    assert world.farm("bob", "stake", amount=1).code == code
    assert world.farm("bob", "unstake", amount=1).code == code
    assert world.farm("bob", "exit").code == code
    if key()[1:2] == b"a":
        assert world.farm("bob", "claim").code == code
    assert world.farm("bob", "emergency_exit").code == Code.OK
    assert world.own("bob") is None
    assert world.balance(CLAIMS_ADDRESS, "EUR") == (100 if is_parked else 0)
    world.mark(key(), 0)
    if is_parked:
        assert world.read(claim_key(ADDRESS["bob"], 0))[:2] == ("EUR", 100)
        assert world.do("bob", call("claim.take", claim=0)).code == Code.OK
    assert (world.balance("bob", "EUR"), world.balance("bob")) == (RICH, RICH)


@pytest.mark.parametrize(("bits", "code"), [(marks.SANCTIONED, Code.ACCOUNT_SANCTIONED), (marks.CLOSED, Code.ACCOUNT_CLOSED)])
def test_a_sanction_keeps_everything(world: FarmWorld, bits: int, code: int) -> None:
    world.do("bob", farm_op("stake", amount=100))
    world.mark(account_key(ADDRESS["bob"]), bits)
    world.now += 50
    for operation in ("unstake", "claim", "exit", "emergency_exit"):
        assert world.farm("bob", operation, **({"amount": 1} if operation == "unstake" else {})).code == code
    world.mark(account_key(ADDRESS["bob"]), 0)
    assert world.farm("bob", "exit").code == Code.OK


def test_a_reward_that_is_kept_from_an_account_keeps_nothing_else_from_it(world: FarmWorld) -> None:
    start = begin(world)
    world.at(0, start)
    world.do("bob", farm_op("stake", amount=100))
    world.at(10, start)
    assert world.farm("alice", "fund", reward_asset="BTC", amount=10**6).code == Code.OK
    world.at(100, start)
    world.set_flags("BTC", FLAG_STAKEABLE | FLAG_REQUIRE_AUTH)
    world.mark(asset_key("BTC"), marks.GUARDED)
    assert world.farm("bob", "claim").code == Code.NOT_AUTHORISED_FOR_ASSET
    assert world.farm("bob", "exit").code == Code.NOT_AUTHORISED_FOR_ASSET
    assert world.farm("bob", "claim", reward_asset="QNX").code == Code.OK
    assert world.farm("bob", "unstake", amount=100).code == Code.OK
    assert (world.balance("bob", "EUR"), world.own("bob").amount) == (RICH, 0)
    assert world.own("bob").dues[1].owed > ONE
    world.mark(asset_key("BTC"), 0)
    world.set_flags("BTC", FLAG_STAKEABLE)
    assert world.farm("bob", "claim", reward_asset="BTC").code == Code.OK
    assert world.balance("bob", "BTC") > RICH


def test_when_farms_are_stopped_the_emergency_exit_is_not(world: FarmWorld) -> None:
    world.do("bob", farm_op("stake", amount=100, tier=2))
    world.db[BREAKERS_KEY] = encode_record(BREAKERS_KEY, (("farm", 1, 124, "", 0, False),))
    for operation in ("stake", "unstake"):
        assert world.farm("bob", operation, amount=1).code == Code.MODULE_PAUSED
    for operation in ("claim", "exit"):
        assert world.farm("bob", operation).code == Code.MODULE_PAUSED
    assert world.farm("bob", "emergency_exit").code == Code.OK
    assert world.balance("bob", "EUR") == RICH


def test_bounds_of_a_farm() -> None:
    world = FarmWorld()
    world.start(max_stakers=2, min_stake=10)
    assert world.farm("bob", "stake", amount=9).code == Code.STAKE_TOO_SMALL
    assert world.farm("bob", "stake", amount=10).code == Code.OK
    assert world.farm("bob", "stake", amount=20).code == Code.OK  # the same staker
    assert world.farm("carol", "stake", amount=10).code == Code.OK
    assert world.farm("bank", "stake", amount=10).code == Code.ASSERT_FAILED
    assert world.farm("bob", "unstake", position=1, amount=11).code == Code.STAKE_TOO_SMALL
    assert world.farm("bob", "unstake", position=1, amount=10).code == Code.OK
    assert world.farm("carol", "exit").code == Code.OK
    assert world.farm("bank", "stake", amount=10).code == Code.OK
    assert world.farm_record().stakers == 2


def test_an_account_has_so_many_positions() -> None:
    world = FarmWorld()
    world.start()
    for _ in range(FARM_POSITIONS_MAX // 64):
        assert world.do("bob", *(farm_op("stake", amount=1) for _ in range(64))).code == Code.OK
    assert world.farm("bob", "stake", amount=1).code == Code.ASSERT_FAILED
    assert world.farm("bob", "exit", position=77).code == Code.OK
    assert world.farm("bob", "stake", amount=1).code == Code.OK
    assert world.open_numbers("bob")[-1] == FARM_POSITIONS_MAX
    assert world.farm("bob", "claim", positions=tuple(range(FARM_CLAIM_POSITIONS_MAX))).code == Code.OK


def test_a_farm_has_so_many_rewards(world: FarmWorld) -> None:
    for number in range(FARM_REWARDS_MAX):
        code = f"RW{number}"
        terms = {"scale": 0, "max_supply": 0, "flags": 1, "minters": ((ADDRESS["bank"], 100),), "metadata_hash": b""}
        assert world.do("bank", call("asset.create", code=code, **terms)).code == 0
        assert world.do("bank", call("asset.mint", asset=code, to=ADDRESS["alice"], amount=100, ref="")).code == 0
        world.set_flags(code, FLAG_STAKEABLE)
        expected = Code.OK if number < FARM_REWARDS_MAX - 1 else Code.PARAM_OUT_OF_RANGE
        assert world.do("alice", farm_op("fund", reward_asset=code, amount=100)).code == expected
    world.do("bob", farm_op("stake", amount=3))
    world.now += 2_000
    assert world.do("bob", farm_op("exit")).code == Code.OK
    assert world.balance("bob", "RW3") == 99  # a hundredth came out before the stake


_HOUR = 3_600


CASES: list[tuple[str, Any, int]] = [
        ("bob", lambda now: farm_op("create", start=now, end=now, budget=0, stake_asset="NONE"), Code.FARM_UNFUNDED),
        ("bob", lambda now: farm_op("create", start=now - 1, end=now + 9, budget=1), Code.PARAM_OUT_OF_RANGE),
        ("bob", lambda now: farm_op("create", start=now + 9, end=now + 9, budget=1), Code.PARAM_OUT_OF_RANGE),
        ("bob", lambda now: farm_op("create", end=now + 1 + FARM_DURATION_S_MAX, budget=1), Code.PARAM_OUT_OF_RANGE),
        ("bob", lambda now: farm_op("create", end=now + 9, budget=1, stake_asset="NONE"), Code.ASSET_NOT_FOUND),
        ("bob", lambda now: farm_op("create", end=now + 9, budget=1, reward_asset="NONE"), Code.ASSET_NOT_FOUND),
        ("bob", lambda now: farm_op("create", end=now + 9, budget=1, stake_asset="BND"), Code.NOT_TRANSFERABLE),
        ("bob", lambda now: farm_op("create", end=now + 9, budget=1, reward_asset="BND"), Code.NOT_TRANSFERABLE),
        ("bob", lambda now: farm_op("create", end=now + 9, budget=1, stake_asset="BIG/BTC"), Code.POOL_NOT_FOUND),
        ("bob", lambda now: farm_op("create", end=now + 9, budget=RICH + 1, domain="none"), Code.CREDENTIAL_MISSING),
        ("bob", lambda now: farm_op("create", end=now + 9, budget=RICH + 1), Code.INSUFFICIENT_FUNDS),
        ("bob", lambda now: farm_op("create", end=now + 9, budget=RICH), Code.OK),
        ("bob", lambda now: farm_op("fund", farm=9, amount=0), Code.ZERO_AMOUNT),
        ("bob", lambda now: farm_op("fund", farm=9, amount=1), Code.FARM_NOT_FOUND),
        ("bob", lambda now: farm_op("fund", amount=1), Code.NO_PERMISSION),
        ("alice", lambda now: farm_op("fund", amount=1, reward_asset="NONE"), Code.ASSET_NOT_FOUND),
        ("alice", lambda now: farm_op("fund", amount=1, reward_asset="BND"), Code.NOT_TRANSFERABLE),
        ("alice", lambda now: farm_op("fund", amount=1, reward_asset="BTC", start=now - 1), Code.PARAM_OUT_OF_RANGE),
        ("alice", lambda now: farm_op("fund", amount=1, extend_to=now + 2 * FARM_DURATION_S_MAX), Code.PARAM_OUT_OF_RANGE),
        ("alice", lambda now: farm_op("fund", amount=2 * RICH), Code.INSUFFICIENT_FUNDS),
        ("alice", lambda now: farm_op("fund", amount=1), Code.OK),
        ("bob", lambda now: farm_op("stake", farm=9, amount=0), Code.ZERO_AMOUNT),
        ("bob", lambda now: farm_op("stake", farm=9, amount=1), Code.FARM_NOT_FOUND),
        ("bob", lambda now: farm_op("stake", amount=1, tier=3), Code.PARAM_OUT_OF_RANGE),
        ("bob", lambda now: farm_op("stake", amount=RICH + 1), Code.INSUFFICIENT_FUNDS),
        ("carol", lambda now: farm_op("unstake", amount=0, farm=9), Code.ZERO_AMOUNT),
        ("carol", lambda now: farm_op("unstake", amount=1, farm=9), Code.FARM_NOT_FOUND),
        ("carol", lambda now: farm_op("unstake", amount=1, position=9), Code.PENDING_NOT_FOUND),
        ("bob", lambda now: farm_op("unstake", amount=1), Code.PENDING_NOT_FOUND),  # carol's is number 0 of carol
        ("carol", lambda now: farm_op("unstake", amount=1, farm=1), Code.PENDING_NOT_FOUND),
        ("carol", lambda now: farm_op("unstake", amount=1, position=1), Code.LOCKED_UNTIL),
        ("carol", lambda now: farm_op("unstake", amount=101), Code.INSUFFICIENT_FUNDS),
        ("carol", lambda now: farm_op("claim", farm=9), Code.FARM_NOT_FOUND),
        ("carol", lambda now: farm_op("claim", positions=(0, 1, 2)), Code.LOCKED_UNTIL),
        ("carol", lambda now: farm_op("claim", positions=(0, 2)), Code.PENDING_NOT_FOUND),
        ("carol", lambda now: farm_op("claim", farm=1), Code.PENDING_NOT_FOUND),
        ("carol", lambda now: farm_op("claim", reward_asset="BTC"), Code.NOTHING_TO_CLAIM),
        ("carol", lambda now: farm_op("claim"), Code.OK),
        ("carol", lambda now: farm_op("exit", position=9), Code.PENDING_NOT_FOUND),
        ("carol", lambda now: farm_op("exit", position=1), Code.LOCKED_UNTIL),
        ("bob", lambda now: farm_op("emergency_exit"), Code.PENDING_NOT_FOUND),
        ("bob", lambda now: farm_op("close", farm=9), Code.FARM_NOT_FOUND),
        ("bob", lambda now: farm_op("close"), Code.NO_PERMISSION),
        ("alice", lambda now: farm_op("close"), Code.TOO_EARLY),
]


def over(world: FarmWorld) -> None:
    """Farm 0 has ended."""
    world.now += 1_000


def kept(code: str, flags: int = 0, transferable: int = 1) -> Any:
    """An asset is kept from farms, or from being moved."""
    return lambda world: world.set_flags(code, flags, transferable=transferable)


def bounded(world: FarmWorld) -> None:
    """Farm 2 is for one staker, carol, with 10 or more."""
    world.start(max_stakers=1, min_stake=10)
    world.do("carol", farm_op("stake", farm=2, amount=15))


def without_pool(world: FarmWorld) -> None:
    """Farm 2 is for shares of a pool that was closed."""
    world.amm("alice", "create", amount_a=10**6, amount_b=10**6)
    world.start(stake_asset=POOL)
    world.amm("alice", "close")


def without_asset(world: FarmWorld) -> None:
    """Farm 2 is for an asset that was destroyed."""
    terms = {"scale": 0, "max_supply": 0, "flags": 1 | FLAG_STAKEABLE, "minters": (), "metadata_hash": b""}
    assert world.do("bank", call("asset.create", code="NEW", **terms)).code == 0
    world.start(stake_asset="NEW")
    assert world.do("bank", call("asset.destroy", asset="NEW")).code == 0


def for_members(expires_in_s: int) -> Any:
    """Farm 2 is for a domain; bob has a credential for it, carol has none."""

    def before(world: FarmWorld) -> None:
        credential = Credential(1, "", world.now + expires_in_s, b"e" * 32, 1, 1)
        world.put(domain_key("funds"), Domain(ADDRESS["bank"], ((ADDRESS["bank"], "fund", 1),)))
        world.put(credential_key(ADDRESS["bob"], ADDRESS["bank"], "fund"), credential)
        world.start(domain="funds")

    return before


def emptied(world: FarmWorld) -> None:
    """Only rewards are left in carol's position 0."""
    assert world.do("carol", farm_op("unstake", amount=100)).code == 0


def refunded(world: FarmWorld) -> None:
    """Farm 0 was closed."""
    over(world)
    world.do("alice", farm_op("close"))


LATER: list[tuple[Any, str, Any, int]] = [
    (over, "alice", farm_op("fund", amount=1), Code.FARM_ENDED),
    (over, "bob", farm_op("stake", amount=1), Code.FARM_ENDED),
    (bounded, "bob", farm_op("stake", farm=2, amount=9), Code.STAKE_TOO_SMALL),
    (bounded, "bob", farm_op("stake", farm=2, amount=10), Code.ASSERT_FAILED),
    (bounded, "carol", farm_op("unstake", farm=2, position=2, amount=6), Code.STAKE_TOO_SMALL),
    (kept("EUR"), "bob", farm_op("stake", amount=1), Code.NOT_TRANSFERABLE),
    (kept("QNX", FLAG_STAKEABLE, 0), "carol", farm_op("claim"), Code.NOT_TRANSFERABLE),
    (kept("QNX", FLAG_STAKEABLE, 0), "carol", farm_op("exit"), Code.NOT_TRANSFERABLE),
    (for_members(100), "carol", farm_op("stake", farm=2, amount=1), Code.CREDENTIAL_MISSING),
    (for_members(0), "bob", farm_op("stake", farm=2, amount=1), Code.CREDENTIAL_EXPIRED),
    (for_members(100), "bob", farm_op("stake", farm=2, amount=1), Code.OK),
    (without_pool, "bob", farm_op("stake", farm=2, amount=1), Code.POOL_NOT_FOUND),
    (without_asset, "bob", farm_op("stake", farm=2, amount=1), Code.ASSET_NOT_FOUND),
    (emptied, "carol", farm_op("emergency_exit"), Code.ZERO_AMOUNT),
    (refunded, "alice", farm_op("close"), Code.NOTHING_TO_CLAIM),
]


@pytest.mark.parametrize(("before", "account", "op", "expected"), LATER)
def test_codes_that_something_has_to_happen_for(world: FarmWorld, before: Any, account: str, op: Any, expected: int) -> None:
    world.start(stake_asset="BTC")
    world.do("carol", farm_op("stake", amount=100), farm_op("stake", amount=100, tier=2))
    world.now += 50
    before(world)
    assert world.farm(account, "", op=op).code == expected


def test_every_code_of_every_row_is_reached() -> None:
    reached = {(op(10**9)[0], int(code)) for _, op, code in CASES} | {(op[0], int(code)) for _, _, op, code in LATER}
    assert {(row.code, int(code)) for row in OPERATIONS for code in row.codes} - reached == set()


@pytest.mark.parametrize(("account", "op", "expected"), CASES)
def test_codes_in_their_order(world: FarmWorld, account: str, op: Any, expected: int) -> None:
    world.start(stake_asset="BTC")
    world.do("carol", farm_op("stake", amount=100), farm_op("stake", amount=100, tier=2))
    world.now += 50
    operation = op(world.now)
    before = dict(world.db)
    receipt = world.do(account, operation)
    assert receipt.code == expected, receipt.log
    row = next(row for row in OPERATIONS if row.code == operation[0])
    assert expected in (*row.codes, Code.OK)
    world.audit()
    if expected:
        assert {k: v for k, v in world.db.items() if k[1:2] not in b"n"} == {k: v for k, v in before.items() if k[1:2] not in b"n"}


def test_a_farm_that_has_ended_takes_nothing_but_lets_everybody_out(world: FarmWorld) -> None:
    start = begin(world)
    world.at(500, start)
    world.do("bob", farm_op("stake", amount=100))
    world.at(1_000, start)
    assert world.farm("carol", "stake", amount=1).code == Code.FARM_ENDED
    assert world.farm("alice", "fund", amount=1).code == Code.FARM_ENDED
    world.at(1_500, start)
    assert world.farm("alice", "close").code == Code.OK
    assert world.balance("alice") == RICH - 500_000
    assert world.farm("bob", "claim").code == Code.OK
    assert world.balance("bob") == RICH + 500_000
    assert world.farm("bob", "claim").code == Code.NOTHING_TO_CLAIM
    assert world.farm("bob", "exit").code == Code.OK
    assert world.farm("alice", "close").code == Code.NOTHING_TO_CLAIM


def test_an_asset_that_may_no_longer_be_moved_is_not_paid_as_a_reward(world: FarmWorld) -> None:
    world.do("bob", farm_op("stake", amount=100))
    world.now += 50
    world.set_flags("QNX", FLAG_STAKEABLE, transferable=0)  # the sponsor is not the issuer
    assert world.farm("bob", "claim").code == Code.NOT_TRANSFERABLE
    assert world.farm("bob", "exit").code == Code.NOT_TRANSFERABLE
    assert world.farm("bob", "unstake", amount=100).code == Code.OK


def test_what_it_costs_the_largest_stakes_and_weights() -> None:
    world = FarmWorld(AMOUNT_MAX // 8)
    start = world.now + 1
    world.start(lock_tiers=((0, FARM_WEIGHT_PPM_MAX),), budget=AMOUNT_MAX // 8)
    world.at(0, start)
    world.do("bob", farm_op("stake", amount=AMOUNT_MAX // 8))
    world.do("carol", farm_op("stake", amount=1))
    world.at(1_000, start)
    world.do("bob", farm_op("exit"))
    world.do("carol", farm_op("exit"))
    world.audit()
    campaign = world.campaign()
    assert (campaign.carry, campaign.paid + campaign.unallocated) == (0, AMOUNT_MAX // 8)
    assert campaign.unallocated <= FARM_WEIGHT_PPM_MAX
    assert world.farm("alice", "close").code == (Code.OK if campaign.unallocated else Code.NOTHING_TO_CLAIM)
    assert world.staked("QNX") == 0


@pytest.mark.parametrize(
    "op",
    [
        lambda: farm_op("create", end=1, budget=1, lock_tiers=()),
        lambda: farm_op("create", end=1, budget=1, lock_tiers=tuple((i, 1) for i in range(FARM_TIERS_MAX + 1))),
        lambda: farm_op("create", end=1, budget=1, lock_tiers=((0, 0),)),
        lambda: farm_op("create", end=1, budget=1, lock_tiers=((0, FARM_WEIGHT_PPM_MAX + 1),)),
        lambda: farm_op("create", end=1, budget=1, lock_tiers=((FARM_LOCK_S_MAX + 1, 1),)),
        lambda: farm_op("create", end=1, budget=1, lock_tiers=((5, 1), (5, 2))),
        lambda: farm_op("create", end=1, budget=1, stake_asset="QNX/EUR"),
        lambda: farm_op("create", end=1, budget=1, stake_asset="EUR/QNX/A"),
        lambda: farm_op("create", end=1, budget=1, stake_asset="eur"),
        lambda: farm_op("create", end=1, budget=1, reward_asset=""),
        lambda: farm_op("create", end=1, budget=1, domain=" "),
        lambda: farm_op("claim", positions=()),
        lambda: farm_op("claim", positions=(1, 1)),
        lambda: farm_op("claim", positions=(2, 1)),
        lambda: farm_op("claim", positions=tuple(range(FARM_CLAIM_POSITIONS_MAX + 1))),
        lambda: farm_op("claim", positions=(-1,)),
        lambda: farm_op("claim", reward_asset="qnx"),
    ],
)
def test_wrong_forms_never_enter_a_block(world: FarmWorld, op: Any) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(world.raw("alice", op()))


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_without_its_signer_is_refused(world: FarmWorld, row: Any) -> None:
    """Every row: in another's name, signed by the sender alone."""
    some = {name: 9 for name in ("amount", "budget", "end") if name in dict(row.fields)}
    op = list(farm_op(row.name.partition(".")[2], **some))
    op[1] = ADDRESS["alice"]
    assert world.check(world.raw("bob", op)).code == Code.QUORUM_NOT_MET


def test_simulating_gives_what_applying_gives(world: FarmWorld) -> None:
    """I13."""
    world.do("bob", farm_op("stake", amount=5), farm_op("stake", amount=9))
    for op in (farm_op("claim"), farm_op("claim"), farm_op("unstake", amount=2), farm_op("exit"), farm_op("emergency_exit", position=1)):
        world.now += 10
        tx = world.tx("bob", op)
        assert simulate(world.db, world.context(), tx) == world.apply(tx)[0]


def test_who_is_no_member_any_more_claims_and_leaves() -> None:
    world = FarmWorld()
    for_members(50)(world)
    assert world.farm("bob", "stake", amount=10).code == Code.OK
    world.now += 100
    assert world.farm("bob", "stake", amount=10).code == Code.CREDENTIAL_EXPIRED
    assert world.farm("bob", "claim").code == Code.OK
    assert world.farm("bob", "exit").code == Code.OK


def test_an_account_with_positions_or_a_farm_that_owes_is_not_closed(world: FarmWorld) -> None:
    start = begin(world)
    for code in CODES:
        for name in ("alice", "bob"):
            world.do(name, pay("bank", RICH - 10, code))
    world.do("bob", farm_op("stake", amount=10))
    close = call("account.close", beneficiary=ADDRESS["bank"])
    for name in ("alice", "bob"):
        receipt = world.do(name, close)
        assert (receipt.code, "farm" in receipt.log) == (Code.ACCOUNT_NOT_EMPTY, True)
    world.at(2_000, start)
    assert world.farm("bob", "exit").code == Code.OK
    assert world.do("bob", close).code == Code.OK
    assert world.do("alice", close).code == Code.ACCOUNT_NOT_EMPTY
    assert world.farm("alice", "close").code == Code.OK
    assert world.do("alice", close).code == Code.OK
    world.audit()


def test_nobody_pays_the_farms_account(world: FarmWorld) -> None:
    assert world.do("bob", pay(FARMS_ADDRESS, 5)).code == Code.RECIPIENT_IS_MODULE


def test_one_transaction_sees_its_own_changes(world: FarmWorld) -> None:
    assert world.do("bob", farm_op("stake", amount=10), farm_op("exit"), farm_op("exit")).code == Code.PENDING_NOT_FOUND
    assert world.do("bob", farm_op("stake", amount=10), farm_op("unstake", amount=4), farm_op("exit")).code == Code.OK
    assert (world.balance("bob", "EUR"), world.farm_record().amount) == (RICH, 0)


def test_shares_of_a_restricted_pool_can_be_staked_and_come_back() -> None:
    world = FarmWorld()
    members = tuple(sorted((ADDRESS["bank"], ADDRESS["carol"])))
    assert world.amm("bank", "create", amount_a=10**9, amount_b=10**9, members=members).code == Code.OK
    world.start(stake_asset=POOL)
    assert world.do("carol", amm_op("add", max_a=10**6, max_b=10**6), farm_op("stake", amount=10**5)).code == Code.OK
    world.now += 100
    assert world.farm("carol", "exit").code == Code.OK


def test_every_row_is_in_the_table() -> None:
    assert {row.name for row in OPERATIONS} == {name for name in BY_NAME if name.startswith("farm.")}
    assert len(OPERATIONS) == 8
    assert all(120 <= row.code < 140 for row in OPERATIONS)
    assert FREE == ((0, 1_000_000),)
