"""A stateful search for stake that is made or lost: any operations, slashes and rewards in any order, amounts to 2^640.

After every step the whole state is audited: every pot equals what it stands for, to the 2^-640 of a unit. Beside that a model in
fractions follows each account: what it has in all never grows but by rewards, and never falls but by slashes and fees.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from state.codes import Code
from state.modules.operation import BONDED_ADDRESS, OpContext
from state.modules.slashing import slash
from state.modules.staking_pool import SCALE, add_stake, get_delegation, take_stake
from state.params import FeeParams
from state.primitives.errors import OperationFailed
from state.primitives.limits import AMOUNT_MAX
from state.schema import decode_record
from state.schema_staking import TOTALS_KEY, pool_key, validator_key
from state.view import View
from tests.state.ledger_world import ADDRESS, pay
from tests.state.staking_world import STAKE, StakingWorld, address_of, stake_op

PEOPLE = ("alice", "bob", "o0", "o1", "o2")
NAMES = ("v0", "v1", "v2")
AMOUNTS = st.one_of(
    st.integers(0, 5), st.integers(0, 3_000), st.sampled_from([AMOUNT_MAX, AMOUNT_MAX // 16]), st.integers(0, AMOUNT_MAX)
)
OF = st.sampled_from
SECONDS = st.sampled_from([0, 1, 30, 60, 99, 100])


class Staking(RuleBasedStateMachine):
    """`wealth` is what each account had in all after the last step; `actor` who moved since."""

    @initialize(
        large=st.booleans(),
        double_sign_ppm=OF([0, 1, 50_000, 333_333, 999_999, 1_000_000]),
        inflation_ppm=OF([0, 0, 0, 1, 500_000]),
        fee=OF([0, 0, 0, 1, 7, 1_000]),
        proposer_ppm=OF([0, 50_000, 1_000_000]),
        burns=st.booleans(),
    )
    def start(
        self, large: bool, double_sign_ppm: int, inflation_ppm: int, fee: int, proposer_ppm: int, burns: bool
    ) -> None:
        stake = replace(
            STAKE,
            slash_double_sign_ppm=double_sign_ppm,
            slash_downtime_ppm=double_sign_ppm // 3,
            slash_burns=burns,
            downtime_window=4,
            inflation_ppm=inflation_ppm,
            reward_fees_ppm=900_000,
            reward_proposer_ppm=proposer_ppm,
            power_unit=AMOUNT_MAX >> 60 if large else 100,
            unbonding_s=100,
        )
        bond = AMOUNT_MAX // 64 if large else 3_001
        fees = FeeParams(asset="QNX", base_default=fee)
        self.world = StakingWorld(stake, (bond,) * 3, fees=fees, holding=AMOUNT_MAX // 32 if large else 20_000)
        self.wealth: dict[str, Fraction] = {}
        self.fees = 0  # of this step
        self.supply = self.world.supply()
        self.was_slashed = False
        self.actor = ""

    def run(self, account: str, operation: str, **fields: object) -> int:
        return self.send(account, stake_op(operation, **fields))

    def send(self, account: str, op: object) -> int:
        """Apply one operation; a refusal (no money for the fee) changes nothing."""
        raw = self.world.raw(account, op)
        if self.world.check(raw).code:
            return int(self.world.check(raw).code)
        (receipt,) = self.world.apply(raw)
        assert receipt.code not in (Code.INVARIANT_VIOLATION, Code.MODULE_PAUSED), receipt
        self.notice()
        if account in self.wealth:
            self.wealth[account] -= receipt.fee
        self.fees += receipt.fee
        self.actor = account
        return int(receipt.code)

    def notice(self) -> None:
        self.was_slashed |= any(name == "validator_slashed" for name, _ in self.world.events)

    def bend(self, amount: int, have: int, exact: bool) -> int:
        return have if exact else amount % (have + 2)

    @rule(account=OF(PEOPLE), validator=OF(NAMES), amount=AMOUNTS, exact=st.booleans())
    def delegate(self, account: str, validator: str, amount: int, exact: bool) -> None:
        have = self.world.balance(account)
        self.run(account, "delegate", validator=validator, amount=self.bend(amount, have, exact and have > 10_000))

    @rule(account=OF(PEOPLE), validator=OF(NAMES), amount=AMOUNTS, exact=st.booleans())
    def undelegate(self, account: str, validator: str, amount: int, exact: bool) -> None:
        self.run(account, "undelegate", validator=validator, amount=self.bend(amount, self.worth(validator, account), exact))

    @rule(account=OF(PEOPLE), source=OF(NAMES), destination=OF(NAMES), amount=AMOUNTS, exact=st.booleans())
    def redelegate(self, account: str, source: str, destination: str, amount: int, exact: bool) -> None:
        bent = self.bend(amount, self.worth(source, account), exact)
        self.run(account, "redelegate", source=source, destination=destination, amount=bent)

    @rule(account=OF(PEOPLE), validator=OF(NAMES))
    def cancel(self, account: str, validator: str) -> None:
        for entry in self.world.unbondings(validator, account)[:1]:
            self.run(account, "cancel_unbond", validator=validator, entry=entry.number)

    @rule(account=OF(PEOPLE), validator=OF(NAMES))
    def claim(self, account: str, validator: str) -> None:
        self.run(account, "claim", validator=validator)
        assert self.run(account, "claim", validator=validator) in (Code.NOTHING_TO_CLAIM, Code.OK)

    @rule(validator=OF(NAMES), commission_ppm=OF([0, 1, 100_000, 200_000]))
    def edit(self, validator: str, commission_ppm: int) -> None:
        self.world.now += 24 * 3600 if commission_ppm == 1 else 0
        terms = {"commission_ppm": commission_ppm, "min_self_bond": 0, "moniker": "m", "details": ""}
        self.run("o" + validator[1], "edit", validator=validator, **terms)

    @rule(validator=OF(NAMES), age=st.integers(0, 8))
    def double_sign(self, validator: str, age: int) -> None:
        if self.world.height > age and sum(not self.world.pool(name).is_tombstoned for name in NAMES) > 1:
            self.expect_slash(validator, age)

    def expect_slash(self, validator: str, age: int) -> None:
        world = self.world
        is_first = not world.pool(validator).is_tombstoned
        supply, treasury = world.supply(), world.module("treasury")
        at_risk = self.at_risk(validator, world.height - age - 1)
        world.cheat(validator, world.height - age)
        world.blocks(1)
        found = [fields for name, fields in world.events if name == "validator_slashed" and fields["reason"] != "downtime"]
        assert len(found) == is_first
        self.notice()
        minted = sum(int(fields["amount"]) for name, fields in world.events if name == "stake_minted")
        total = sum(
            int(fields[part])
            for name, fields in world.events
            if name == "validator_slashed"
            for part in ("bonded", "unbonding", "redelegated")
        )
        assert total == supply + minted - world.supply() + world.module("treasury") - treasury
        for fields in found:  # I20: no more than the fraction of what was at risk; the pool pays exactly it
            parts = [int(fields[part]) for part in ("bonded", "unbonding", "redelegated")]
            ppm = int(fields["fraction_ppm"])
            assert parts[0] == at_risk[0] * ppm // 1_000_000
            assert parts[1] == sum(min(initial * ppm // 1_000_000, left) for initial, left in at_risk[1])
            assert parts[2] <= sum(initial * ppm // 1_000_000 for initial, _ in at_risk[2])

    def at_risk(self, validator: str, since: int) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """The pool; the entries (initial, left) and redelegations that stood behind it, found by looking at everything."""
        pool, out, moved = self.world.pool(validator), [], []
        if pool.lag_from and (not pool.lag_until or since < pool.lag_until + 1):
            since = min(since, pool.lag_from)
        for key, raw in self.world.db.items():
            letter = key[1:2] if key[2:22] == address_of(validator) else b""
            for entry in decode_record(key, raw) if letter == b"x" or (letter == b"r" and len(key) == 74) else ():
                if entry.height >= since and entry.until_s > self.world.now:
                    (out if letter == b"x" else moved).append((entry.initial, entry.balance))
        return pool.tokens, out, moved

    @rule(absent=st.sets(OF(NAMES), max_size=1), count=st.integers(1, 4), seconds=SECONDS)
    def time_passes(self, absent: set[str], count: int, seconds: int) -> None:
        self.world.absent = absent
        self.world.now += seconds
        for _ in range(count):
            self.world.blocks(1)
            self.notice()
        self.world.absent = set()

    @rule(validator=OF(NAMES))
    def unjail(self, validator: str) -> None:
        self.run("o" + validator[1], "unjail", validator=validator)

    @rule(account=OF(PEOPLE))
    def pay_a_fee(self, account: str) -> None:
        if self.send(account, pay("carol", 1)) == Code.OK and account in self.wealth:
            self.wealth[account] -= 1

    def worth(self, validator: str, account: str) -> int:
        delegation, pool = self.world.delegation(validator, account), self.world.pool(validator)
        return 0 if delegation is None else delegation.shares * pool.tokens // pool.shares

    def compute_wealth(self, account: str) -> Fraction:
        """Everything that is an account's, to the fraction."""
        world = self.world
        total = Fraction(world.balance(account))
        totals = world.read(TOTALS_KEY)
        for name in NAMES:
            pool, delegation = world.pool(name), world.delegation(name, account)
            pending = pool.power * (totals.acc - pool.ref)
            total += sum(entry.balance for entry in world.unbondings(name, account))
            cut = pending * world.read(validator_key(address_of(name))).commission_ppm // 1_000_000
            if account == "o" + name[1]:
                total += Fraction(pool.commission + cut, SCALE)
            if delegation is not None:
                total += Fraction(delegation.shares * pool.tokens, pool.shares)
                scaled = delegation.owed + delegation.shares * (pool.acc - delegation.ref)
                total += Fraction(scaled * pool.shares + (pending - cut) * delegation.shares, SCALE * pool.shares)
        return total

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.audit()
        minted = max(0, self.world.supply() - self.supply)
        for account in PEOPLE:
            now = self.compute_wealth(account)
            if not self.was_slashed and account in self.wealth:
                # rounding is against who moves, by less than two units for each of at most two operations; what the shares
                # did not divide is carried by the pool, less than a unit for each of three pools
                before = self.wealth[account]
                assert before - (7 if account == self.actor else 3) <= now
                if account == self.actor:
                    assert now <= before + self.fees + minted + 3
            self.wealth[account] = now
        self.was_slashed, self.fees, self.supply, self.actor = False, 0, self.world.supply(), ""


Staking.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestStaking = Staking.TestCase


@given(
    bond=st.one_of(st.integers(1, 50), st.integers(1, AMOUNT_MAX // 4)),
    ppm=st.integers(0, 999_999),
    moves=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), min_size=1, max_size=12),
)
def test_moving_in_and_out_of_a_slashed_pool_never_pays(bond: int, ppm: int, moves: list[tuple[bool, int]]) -> None:
    """Each division is against who moves, so nobody gains by dust, and the others never lose."""
    stake = replace(STAKE, power_unit=max(1, bond >> 59), bond_min=1)
    world = StakingWorld(stake, (bond,), holding=1_000)
    view, validator, alice = View(world.db), address_of("v0"), ADDRESS["alice"]
    context = OpContext(view, 1, world.now, ())
    slash(context, stake, validator, 1, world.now, ppm, "test")
    outside = 0

    def worth(account: bytes) -> Fraction:
        pool = view.get(pool_key(validator))
        return Fraction(get_delegation(view, validator, account).shares * pool.tokens, max(1, pool.shares))

    for is_in, amount in moves:
        before, owner = worth(alice) + outside, worth(ADDRESS["o0"])
        mark = view.mark()
        try:
            if is_in:
                context.credit(BONDED_ADDRESS, b"QNX", amount)
                add_stake(context, stake, validator, alice, amount)
            else:
                take_stake(context, stake, validator, alice, amount)
                context.debit(BONDED_ADDRESS, b"QNX", amount)
        except OperationFailed:
            view.rollback(mark)
            continue
        outside += -amount if is_in else amount
        assert worth(alice) + outside <= before
        assert worth(ADDRESS["o0"]) >= owner
        pool = view.get(pool_key(validator))
        assert 0 <= pool.tokens <= pool.shares
