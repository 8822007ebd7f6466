"""The measured table of the ledger rules, 1.2, and the incidents of section 2 that farms could repeat: none can happen here.

The figures are those that were measured on the published contracts (StakingRewards, MasterChef).
"""

from __future__ import annotations

from itertools import permutations

import pytest

from state.codes import Code
from state.modules.farm_math import SCALE, compute_owed, compute_released, share_out, split_owed
from state.modules.operation import FARMS_ADDRESS
from tests.state.amm_world import RICH, amm_op
from tests.state.farm_world import ONE, FarmWorld, farm_op
from tests.state.ledger_world import pay

DAY = 86_400
TWO_MONTHS = 60 * DAY  # 5,184,000 seconds


def make(budget: int, **fields: object) -> tuple[FarmWorld, int]:
    """A farm of 60 days that begins with the next block's second."""
    world = FarmWorld()
    start = world.now + 1
    world.start(budget=budget, end=start + TWO_MONTHS, **fields)
    return world, start


def test_reward_of_time_without_stakers_is_not_stuck() -> None:
    """There: 8,640,000 of 51,840,000 units for ever."""
    world, start = make(51_840_000)
    world.at(10 * DAY, start)
    world.farm("bob", "stake", amount=10**18)
    world.at(TWO_MONTHS, start)
    world.farm("bob", "exit")
    assert world.balance("bob") == RICH + 51_840_000 - 8_640_000
    assert world.farm("alice", "close").code == Code.OK
    assert (world.balance("alice"), world.staked("QNX")) == (RICH - 51_840_000 + 8_640_000, 0)


def test_a_small_reward_against_a_large_stake_is_paid_however_often_it_is_looked_at() -> None:
    """There: 5,184,000 funded, nothing ever paid, and anybody could force it by claiming often."""
    world, start = make(5_184_000)
    world.at(0, start)
    world.apply(world.raw("bob", farm_op("stake", amount=10**29)), world.raw("carol", farm_op("stake", amount=3 * 10**29)))
    for second in range(1, 200):
        world.at(second, start)
        world.do("carol", farm_op("claim"))
    world.at(TWO_MONTHS, start)
    world.farm("carol", "exit")
    world.farm("bob", "exit")
    assert world.balance("bob") + world.balance("carol") == 2 * RICH + 5_184_000
    assert abs(world.balance("bob") - RICH - 5_184_000 // 4) <= 1
    assert world.staked("QNX") == 0


def test_a_reward_smaller_than_the_seconds_of_its_campaign_is_paid() -> None:
    """There: the rate is zero and 5,183,999 units are lost."""
    world, start = make(5_183_999)
    world.at(0, start)
    world.farm("bob", "stake", amount=7)
    world.at(TWO_MONTHS // 2, start)
    world.farm("bob", "claim")
    assert world.balance("bob") == RICH + 5_183_999 // 2
    world.at(TWO_MONTHS, start)
    world.farm("bob", "exit")
    assert world.balance("bob") == RICH + 5_183_999


def test_a_farm_never_pays_more_than_was_funded_whatever_is_changed() -> None:
    """There: a weight changed without an update minted 14,000 where the schedule allowed 10,000."""
    world, start = make(10_000)
    world.at(0, start)
    world.farm("bob", "stake", amount=100)
    world.at(TWO_MONTHS // 2, start)
    world.farm("alice", "fund", amount=10_000)  # doubles and more what is left, and changes nothing of the past
    assert world.own("bob").dues[0].owed == 0
    world.farm("bob", "claim")
    assert world.balance("bob") == RICH + 5_000
    world.at(TWO_MONTHS, start)
    world.farm("bob", "exit")
    assert (world.balance("bob"), world.staked("QNX")) == (RICH + 20_000, 0)


def test_two_farms_of_one_stake_do_not_share_a_denominator() -> None:
    """There: the same pool listed twice, 2,500 of 10,000 stuck."""
    world, start = make(5_000)
    world.start(budget=5_000, end=start + TWO_MONTHS)
    world.at(1, start)
    world.do("bob", farm_op("stake", amount=100), farm_op("stake", farm=1, amount=300))
    world.at(TWO_MONTHS, start)
    world.do("bob", farm_op("exit"), farm_op("exit", position=1))
    world.audit()
    for farm in (0, 1):
        campaign = world.campaign(number=farm)
        assert campaign.paid + campaign.unallocated == 5_000
        assert campaign.unallocated <= 1  # of the first second


def test_what_an_emergency_exit_forfeits_is_not_stuck() -> None:
    """There: 5,000 of 10,000."""
    world, start = make(10_000)
    world.at(0, start)
    world.farm("bob", "stake", amount=100)
    world.at(TWO_MONTHS // 2, start)
    world.farm("bob", "emergency_exit")
    world.at(TWO_MONTHS, start)
    assert world.farm("alice", "close").code == Code.OK
    assert (world.balance("alice"), world.balance("bob", "EUR"), world.staked("QNX")) == (RICH, RICH, 0)


def test_a_reward_in_the_asset_that_is_staked_is_never_paid_out_of_a_principal() -> None:
    """There: principal paid out as reward."""
    world, start = make(1_000, stake_asset="QNX")
    world.at(0, start)
    for name in ("bob", "carol"):
        world.farm(name, "stake", amount=10**6)
    world.at(TWO_MONTHS, start)
    world.farm("bob", "exit")
    assert (world.staked("QNX"), world.balance("bob")) == (10**6 + 501, RICH + 499)  # 2^-640 of a unit short of 500
    assert world.farm("alice", "close").code == Code.NOTHING_TO_CLAIM
    world.farm("carol", "exit")
    assert (world.balance("carol"), world.staked("QNX")) == (RICH + 501, 0)


def test_popsicle_a_staked_share_cannot_be_moved_and_earn_twice() -> None:
    """Popsicle, August 2021, $20.7M: shares moved without their debt. A staked share is not its owner's to move."""
    world = FarmWorld()
    world.amm("bob", "create", amount_a=10**9, amount_b=10**9)
    world.start(stake_asset="EUR/QNX", reward_asset="BTC")
    shares = world.position("bob").shares
    assert world.farm("bob", "stake", amount=shares).code == Code.OK
    assert world.farm("bob", "stake", amount=1).code == Code.INSUFFICIENT_FUNDS
    assert world.amm("bob", "remove", shares=1).code == Code.INSUFFICIENT_FUNDS
    assert world.amm("bob", "remove_single", shares=1_000).code == Code.INSUFFICIENT_FUNDS
    assert world.do("carol", farm_op("claim")).code == Code.PENDING_NOT_FOUND
    assert world.do("carol", farm_op("exit")).code == Code.PENDING_NOT_FOUND


def test_more_money_takes_over_what_is_left_to_the_last_unit() -> None:
    """There: leftover = remaining * rate, which was rounded before."""
    world, start = make(10**7 + 1)
    world.at(0, start)
    world.farm("bob", "stake", amount=3)
    for index in range(1, 20):
        world.at(index * 3 * DAY - 7, start)
        assert world.farm("alice", "fund", amount=index).code == Code.OK
        campaign = world.campaign()
        assert campaign.funded == campaign.budget + (world.own("bob").weight * campaign.acc + campaign.carry) // ONE
    world.at(TWO_MONTHS, start)
    world.farm("bob", "exit")
    assert (world.balance("bob"), world.staked("QNX")) == (RICH + 10**7 + 1 + 190, 0)


def test_a_schedule_without_money_does_not_exist() -> None:
    """There: a check that the rate fits the balance. Here the schedule is written by what pays for it."""
    world = FarmWorld()
    assert world.farm("alice", "create", budget=RICH + 1, end=world.now + 10).code == Code.INSUFFICIENT_FUNDS
    assert world.farm("alice", "create", budget=0, end=world.now + 10).code == Code.FARM_UNFUNDED
    assert world.farm_record() is None


def test_what_is_staked_and_taken_out_in_one_block_earns_nothing() -> None:
    """Incident 20: rewards for the block of a deposit."""
    world, start = make(10**9)
    world.at(0, start)
    world.farm("carol", "stake", amount=1)
    world.at(DAY, start)
    seq = world.next_seq("bob")
    ops = [[farm_op("stake", amount=10**20)], [farm_op("claim")], [farm_op("unstake", amount=10**20)]]
    receipts = world.apply(*(world.raw("bob", *op, seq=seq + i) for i, op in enumerate(ops)))
    assert [receipt.code for receipt in receipts] == [Code.OK, Code.NOTHING_TO_CLAIM, Code.OK]
    world.audit()
    assert (world.balance("bob"), world.balance("bob", "EUR"), world.own("bob")) == (RICH, RICH, None)
    world.at(TWO_MONTHS, start)
    world.farm("carol", "exit")
    assert world.balance("carol") == RICH + 10**9


def test_settling_twice_changes_nothing_and_a_claim_pays_once() -> None:
    """I16."""
    world, start = make(10**9)
    world.at(0, start)
    world.farm("bob", "stake", amount=10)
    world.farm("carol", "stake", amount=10)
    world.at(DAY, start)
    seq = world.next_seq("bob")
    receipts = world.apply(*(world.raw("bob", farm_op("claim"), seq=seq + i) for i in range(3)))
    assert [receipt.code for receipt in receipts] == [Code.OK, Code.NOTHING_TO_CLAIM, Code.NOTHING_TO_CLAIM]
    before = world.campaign()
    world.at(DAY, start)
    world.farm("bank", "stake", amount=10)
    assert world.campaign() == before


def test_the_order_of_claims_in_a_block_changes_nobodys_total() -> None:
    """I16."""
    totals = set()
    for order in permutations(("bob", "carol", "bank")):
        world, start = make(10**9 + 7)
        world.at(0, start)
        world.apply(*(world.raw(n, farm_op("stake", amount=a)) for n, a in (("bob", 7), ("carol", 11), ("bank", 13))))
        for day in (1, 5, 30):
            world.at(day * DAY, start)
            assert {receipt.code for receipt in world.apply(*(world.raw(name, farm_op("claim")) for name in order))} == {0}
        totals.add(tuple(world.balance(name) for name in ("bob", "carol", "bank")))
    assert len(totals) == 1


def test_nothing_accrues_before_the_start_or_after_the_end() -> None:
    """I17."""
    world = FarmWorld()
    start = world.now + 1_000
    world.start(start=start, end=start + 1_000, budget=1_000)
    world.farm("bob", "stake", amount=10)
    world.farm("carol", "stake", amount=30)
    world.at(0, start)
    assert world.farm("bob", "claim").code == Code.NOTHING_TO_CLAIM
    world.at(1_000, start)
    world.farm("bob", "claim")
    acc = world.campaign().acc
    world.at(100_000, start)
    assert world.farm("bob", "claim").code == Code.NOTHING_TO_CLAIM
    assert world.campaign().acc == acc


def test_nothing_is_earned_after_the_stake_has_gone() -> None:
    """Incident 20: rewards after unstake."""
    world, start = make(10**9)
    world.at(0, start)
    world.farm("bob", "stake", amount=10)
    world.farm("carol", "stake", amount=10)
    world.at(DAY, start)
    world.farm("bob", "unstake", amount=10)
    owed = world.own("bob").dues[0].owed
    world.at(30 * DAY, start)
    world.farm("bob", "claim")
    assert world.balance("bob") == RICH + owed // ONE
    assert world.balance("bob") - RICH <= 10**9 // 120 + 400  # alone for a block, then half


def test_no_donation_reaches_a_farm() -> None:
    """Incident 13: what a contract holds is not what it counts. Here nothing can be sent to it."""
    world, _ = make(10**9)
    assert world.do("bob", pay(FARMS_ADDRESS, 1)).code == Code.RECIPIENT_IS_MODULE


@pytest.mark.parametrize("stake", [1, 3, 10**18, (1 << 640) - 1])
def test_the_arithmetic_of_the_rules(stake: int) -> None:
    """The formulas of 1.2, for one stake: everything that was released is owed, or is carried."""
    acc = carry = released = 0
    for second in range(1, 400, 13):
        now = compute_released(5_183_999, 0, TWO_MONTHS, second * 10_000)
        acc, carry = share_out(now - released, stake, acc, carry) if now > released else (acc, carry)
        released = now
        owed = compute_owed(0, 0, stake, acc)
        assert owed + carry == released * SCALE
        whole, rest = split_owed(owed)
        assert whole * SCALE + rest == owed
        assert whole in (released, released - 1)


def test_a_pool_keeps_its_worth_while_its_shares_are_staked() -> None:
    """Shares in farms count as shares of the pool: fees reach them, and they come back worth more."""
    world = FarmWorld()
    world.amm("bob", "create", amount_a=10**9, amount_b=10**9)
    world.start(stake_asset="EUR/QNX", reward_asset="BTC")
    shares = world.position("bob").shares
    world.farm("bob", "stake", amount=shares)
    worth = world.worth()
    for _ in range(5):
        world.do("carol", amm_op("swap_in", amount_in=10**8), amm_op("swap_in", path=("QNX", "EUR"), amount_in=10**8))
    assert world.worth() > worth
    world.farm("bob", "exit")
    assert world.position("bob").shares == shares
    assert world.amm("bob", "close").code == Code.OK
