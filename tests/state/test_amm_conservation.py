"""A stateful search for value that pools make or lose: any operations of several people on several pools, amounts to 2^640.

After every step the whole state is audited: every reserve is held, every share is a position, every asset adds up to its supply. Beside
that nobody's operation lowers what a share of a pool is worth, and nothing but an invariant's own code ever answers 203.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from state.codes import Code
from state.modules.amm import OPERATIONS
from state.primitives.limits import AMOUNT_MAX
from state.schema_amm import pool_key
from tests.state.amm_model import compare
from tests.state.amm_world import CODES, AmmWorld, amm_op

PEOPLE = ("alice", "bob", "bank")
POOLS = ("BIG/BTC", "BTC/EUR", "EUR/QNX")
PATHS = (CODES, CODES[::-1], CODES[:2], CODES[1::-1], CODES[2:], CODES[:1:-1])
AMOUNTS = st.one_of(
    st.integers(0, 5), st.integers(9_990, 30_000), st.integers(0, 10**9), st.sampled_from([AMOUNT_MAX, AMOUNT_MAX // 16]),
    st.integers(0, AMOUNT_MAX),
)  # fmt: skip
OF = st.sampled_from
_ROWS = {row.name.partition(".")[2]: row for row in OPERATIONS}


class Pools(RuleBasedStateMachine):
    """`worths` is k per squared share of each pool after the last step."""

    @initialize(large=st.booleans(), fee_ppm=OF([0, 1, 3_000, 100_000]), skew=OF([1, 10**9]))
    def start(self, large: bool, fee_ppm: int, skew: int) -> None:
        self.world = AmmWorld(AMOUNT_MAX // 8 if large else 10**24)
        self.worths: dict[str, Fraction] = {}
        amount = AMOUNT_MAX >> 40 if large else 10**8
        for pool in POOLS:
            a, b = pool.split("/")
            self.act("alice", "create", a=a, b=b, amount_a=amount, amount_b=amount // skew + 10_000, fee_ppm=fee_ppm)

    def act(self, who: str, name: str, **fields: Any) -> int:
        """One operation in a block; its code is one of its row's."""
        receipt = self.world.do(who, amm_op(name, **fields))
        assert receipt.code in (*_ROWS[name].codes, Code.OK, Code.OVERFLOW_MAX), receipt
        assert receipt.code != Code.INVARIANT_VIOLATION
        return receipt.code

    @rule(who=OF(PEOPLE), codes=st.one_of(OF(PATHS), OF(PATHS), st.lists(OF(CODES), max_size=6)), amount=AMOUNTS)
    def swap_in(self, who: str, codes: tuple[str, ...] | list[str], amount: int) -> None:
        self.act(who, "swap_in", path=tuple(codes), amount_in=amount)

    @rule(who=OF(PEOPLE), codes=OF(PATHS), amount=AMOUNTS)
    def swap_out(self, who: str, codes: tuple[str, ...], amount: int) -> None:
        self.act(who, "swap_out", path=codes, amount_out=amount)

    @rule(who=OF(PEOPLE), pool=OF(POOLS), a=AMOUNTS, b=AMOUNTS)
    def add(self, who: str, pool: str, a: int, b: int) -> None:
        self.act(who, "add", pool=pool, max_a=a, max_b=b)

    @rule(who=OF(PEOPLE), pool=OF(POOLS), amount=AMOUNTS, side=st.integers(0, 1))
    def add_single(self, who: str, pool: str, amount: int, side: int) -> None:
        self.act(who, "add_single", pool=pool, asset=pool.split("/")[side], amount=amount)

    @rule(who=OF(PEOPLE), pool=OF(POOLS), part=st.integers(0, 1_000), side=st.integers(0, 1), is_single=st.booleans())
    def remove(self, who: str, pool: str, part: int, side: int, is_single: bool) -> None:
        shares = self.world.position(who, pool).shares * part // 1_000
        if is_single:
            self.act(who, "remove_single", pool=pool, asset=pool.split("/")[side], shares=shares)
        else:
            self.act(who, "remove", pool=pool, shares=shares)

    @rule(who=OF(PEOPLE), pool=OF(POOLS), amount=AMOUNTS)
    def close_or_create(self, who: str, pool: str, amount: int) -> None:
        a, b = pool.split("/")
        if self.act(who, "close", pool=pool) == Code.OK:
            self.worths.pop(pool)
        if self.act(who, "create", a=a, b=b, amount_a=amount, amount_b=amount) == Code.OK:
            self.worths.pop(pool, None)

    @rule(pool=OF(POOLS), on=st.integers(0, 1))
    def protocol(self, pool: str, on: int) -> None:
        self.world.govern("set_protocol_fee", pool=pool, on=on)

    @rule(pool=OF(POOLS), amount=st.integers(0, 100))
    def governance(self, pool: str, amount: int) -> None:
        self.world.govern("collect", pool=pool)
        self.world.govern("repair", pool=pool, amount_a=amount)

    @invariant()
    def audit(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.audit()
        for pool in POOLS:
            record = self.world.read(pool_key(pool))
            if record is None or not record.reserve_a:
                continue
            worth = Fraction(record.reserve_a * record.reserve_b, record.supply**2)
            if not record.is_protocol_on:  # its shares come out of the growth
                assert worth >= self.worths.get(pool, 0)
            self.worths[pool] = worth


TestPools = Pools.TestCase
TestPools.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_sample_of_the_ledger_against_the_model() -> None:
    """The whole comparison: `tests/state/amm_model.py --operations 100000 --ledger`."""
    assert sum(compare(1_500, seed=11, in_ledger=True).values()) == 1_500
