"""A stateful search for value that farms make or lose: any operations of several people in several farms, amounts to 2^640.

Two farms of plain assets, one of which stakes what it pays, and one of pool shares; scales of 2 to 128 decimals; freezes and pauses come
and go. After every step the whole state is audited: every campaign's identity, every stake, every unit, every share of the pool. What
somebody is owed never falls but by what he is paid, nothing but an invariant's own code ever answers 203, and everybody gets his whole
principal out at any moment.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from state import marks
from state.codes import Code
from state.modules.farm import OPERATIONS
from state.modules.farm_books import settle, take_dues
from state.primitives.limits import AMOUNT_MAX
from state.schema import account_key, asset_key, holding_key
from state.view import View
from tests.state.farm_model import compare
from tests.state.farm_world import ONE, TIERS, FarmWorld, farm_op
from tests.state.ledger_world import ADDRESS

PEOPLE = ("bob", "carol")
WHAT = ("account", "asset", "holding")
FARMS = (("EUR", "QNX"), ("BIG", "BIG"), ("BTC/EUR", "QNX"))
AMOUNTS = st.one_of(
    st.integers(0, 5), st.integers(0, 10**9), st.sampled_from([AMOUNT_MAX, AMOUNT_MAX // 16]), st.integers(0, AMOUNT_MAX)
)
OF = st.sampled_from
PICKS = st.one_of(st.integers(0, 3), st.integers(0, 48), st.integers(0, 48), st.integers(0, 50))
_ROWS = {row.name.partition(".")[2]: row for row in OPERATIONS}
_GATE = {
    Code.ACCOUNT_FROZEN, Code.ACCOUNT_DEEP_FROZEN, Code.ACCOUNT_CLOSED, Code.ASSET_PAUSED, Code.HOLDING_FROZEN, Code.OVERFLOW_MAX,
    Code.INSUFFICIENT_AVAILABLE,
}  # fmt: skip


class Farms(RuleBasedStateMachine):
    """`owed` is what each position was owed after the last step, `principal` what each person has staked of what."""

    @initialize(large=st.booleans(), seconds=OF([60, 2_000, 10**6]), budget=OF([1, 997, 10**9]))
    def start(self, large: bool, seconds: int, budget: int) -> None:
        self.world = FarmWorld(AMOUNT_MAX // 8 if large else 10**24)
        self.owed: dict[tuple[str, int], list[int]] = {}
        self.stakes: dict[tuple[str, int], tuple[int, int]] = {}  # (farm, amount)
        assert self.world.amm("alice", "create", a="BTC", b="EUR", amount_a=10**12, amount_b=10**12).code == Code.OK
        for name in PEOPLE:
            assert self.world.amm(name, "add", pool="BTC/EUR", max_a=10**9, max_b=10**12).code == Code.OK
        for stake, reward in FARMS:
            amount = budget * 10**150 if large else budget
            fields = {"stake_asset": stake, "reward_asset": reward, "lock_tiers": TIERS, "budget": amount}
            self.world.start(start=0, end=self.world.now + seconds, **fields)

    def act(self, who: str, name: str, **fields: Any) -> int:
        """One operation in a block; its code is one of its row's or the gate's."""
        receipt = self.world.do(who, farm_op(name, **fields))
        assert receipt.code in {*_ROWS[name].codes, *_GATE, Code.OK}, receipt
        return receipt.code

    @rule(who=OF(PEOPLE), farm=st.integers(0, 2), amount=AMOUNTS, tier=OF([0, 0, 0, 1, 2]))
    def stake_some(self, who: str, farm: int, amount: int, tier: int) -> None:
        self.stake(who, farm, amount, tier)

    def stake(self, who: str, farm: int, amount: int, tier: int) -> None:
        """Shares of the pool are those that there are."""
        if farm == 2:
            amount %= max(2, self.world.position(who, "BTC/EUR").shares)
        if self.act(who, "stake", farm=farm, amount=amount, tier=tier) == Code.OK:
            number = self.world.open_numbers(who)[-1]
            self.stakes[who, number] = (farm, amount)

    @rule(pick=PICKS, part=OF([1, 300, 999, 1_000]))
    def unstake(self, pick: int, part: int) -> None:
        who, number = self.pick(pick)
        farm, amount = self.stakes.get((who, number), (0, 10))
        taken = max(1, amount * part // 1_000)
        if self.act(who, "unstake", farm=farm, position=number, amount=taken) == Code.OK:
            self.stakes[who, number] = (farm, amount - taken)

    @rule(pick=PICKS)
    def claim(self, pick: int) -> None:
        who, number = self.pick(pick)
        farm, _ = self.stakes.get((who, number), (0, 0))
        if self.act(who, "claim", farm=farm, positions=(number,)) == Code.OK:
            self.owed.pop((who, number), None)

    @rule(pick=PICKS)
    def leave(self, pick: int) -> None:
        who, number = self.pick(pick)
        self.act(who, "exit", position=number)

    @rule(pick=PICKS)
    def emergency_exit(self, pick: int) -> None:
        """I18: whatever is frozen, paused or locked."""
        who, number = self.pick(pick)
        _, amount = self.stakes.get((who, number), (0, 0))
        gone = Code.PENDING_NOT_FOUND if self.world.own(who, number) is None else Code.ZERO_AMOUNT
        assert self.act(who, "emergency_exit", position=number) == (Code.OK if amount else gone)

    @rule(farm=st.integers(0, 2), amount=AMOUNTS, code=OF(("QNX", "BIG", "BTC")), later=st.integers(0, 1_000))
    def fund(self, farm: int, amount: int, code: str, later: int) -> None:
        extend_to = self.world.now + later if later else 0
        self.act("alice", "fund", farm=farm, amount=amount, reward_asset=code, extend_to=extend_to)

    @rule(farm=st.integers(0, 2))
    def close(self, farm: int) -> None:
        self.act("alice", "close", farm=farm)

    @rule(seconds=OF([1, 7, 15, 60, 200, 3_000]))
    def wait(self, seconds: int) -> None:
        self.world.now += seconds

    @rule(who=OF(PEOPLE), what=OF(WHAT), deep=st.booleans(), code=OF(("EUR", "QNX", "BIG")), on=OF([False, False, True]))
    def freeze(self, who: str, what: str, deep: bool, code: str, on: bool) -> None:
        address = ADDRESS[who]
        if what == "account":
            self.world.mark(account_key(address), on * (marks.DEEP_FROZEN if deep else marks.DEBIT_FROZEN))
        elif what == "asset":
            self.world.mark(asset_key(code), on * marks.PAUSED)
        elif holding_key(address, code) in self.world.db:
            self.world.mark(holding_key(address, code), on * (marks.HOLDING_DEEP_FROZEN if deep else marks.HOLDING_FROZEN))

    def pick(self, pick: int) -> tuple[str, int]:
        """A position: mostly an open one, and if one is unlocked, one of those."""
        if not self.stakes and self.world.now < self.world.farm_record().end_s:
            self.stake("carol", 0, 1_000, 0)
        every = [(who, number) for who in PEOPLE for number in self.world.open_numbers(who)]
        unlocked = [(who, number) for who, number in every if self.world.own(who, number).locked_s <= self.world.now]
        chosen = unlocked or every
        return chosen[pick % len(chosen)] if chosen and pick < 49 else ("bob", pick)

    @invariant()
    def audit(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.audit()
        view = View(self.world.db)
        seen: dict[tuple[str, int], list[int]] = {}
        for who in PEOPLE:
            for number in self.world.open_numbers(who):
                position = self.world.own(who, number)
                farm = self.world.farm_record(position.farm)
                assert self.stakes[who, number] == (position.farm, position.amount)
                shared = farm._replace(weight=position.weight + 1)  # what is carried is left out
                owed = take_dues(position, shared, settle(view, position.farm, farm, self.world.now))
                before = self.owed.get((who, number), [])
                assert all(one >= other for one, other in zip(owed, before, strict=False)), (who, number)
                seen[who, number] = owed
        self.owed = seen
        self.stakes = {key: self.stakes[key] for key in seen}
        for number in range(len(FARMS)):
            for code in self.world.farm_record(number).rewards:
                campaign = self.world.campaign(code, number)
                assert campaign.paid + campaign.refunded + campaign.unallocated <= campaign.funded
                assert self.world.farm_record(number).weight or campaign.carry < ONE


TestFarms = Farms.TestCase
TestFarms.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_sample_of_the_ledger_against_the_model() -> None:
    """The whole comparison: `tests/state/farm_model.py --operations 100000`."""
    assert sum(compare(1_500, seed=11).values()) == 1_500
