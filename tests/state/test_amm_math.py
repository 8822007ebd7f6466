"""The arithmetic of pools: Uniswap's own examples, the model, the invariants I7 to I11, and the incidents that were arithmetic."""

from __future__ import annotations

import random
from fractions import Fraction
from math import isqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.modules import amm_math as m
from state.primitives.limits import AMOUNT_MAX, PPM
from tests.state.amm_model import compare, root

E18 = 10**18
# dust, human amounts, everything up to 2^640; reserves are drawn apart, so pools are as skewed as they can be
AMOUNTS = st.one_of(st.integers(1, 5), st.integers(1, 10**6), st.integers(1, 10**30), st.integers(1, AMOUNT_MAX))
RESERVES = st.one_of(st.integers(1, 5), st.integers(1_000, 10**9), st.integers(1_000, 10**40), st.integers(1, AMOUNT_MAX))
FEES = st.sampled_from([0, 1, 30, 500, 3_000, 3_000, 10_000, 100_000])


@pytest.mark.parametrize(
    ("amount", "reserve_in", "reserve_out", "expected"),
    [  # UniswapV2Pair.spec.ts, getInputPrice
        (1, 5, 10, 1662497915624478906),
        (1, 10, 5, 453305446940074565),
        (2, 5, 10, 2851015155847869602),
        (2, 10, 5, 831248957812239453),
        (1, 10, 10, 906610893880149131),
        (1, 100, 100, 987158034397061298),
        (1, 1000, 1000, 996006981039903216),
    ],
)
def test_outputs_of_uniswap(amount: int, reserve_in: int, reserve_out: int, expected: int) -> None:
    assert m.compute_out(amount * E18, reserve_in * E18, reserve_out * E18, 3_000) == expected


def test_library_examples_of_uniswap() -> None:
    assert (m.compute_other_side(1, 100, 200), m.compute_other_side(2, 200, 100)) == (2, 1)
    assert (m.compute_out(2, 100, 100, 3_000), m.compute_in(1, 100, 100, 3_000)) == (1, 2)
    hops = ((10_000, 10_000, 3_000),)
    assert m.compute_path_out(2, hops) == (2, 1)
    assert m.compute_path_in(1, hops) == (2, 1)


@pytest.mark.parametrize("protocol", [False, True])
def test_the_pair_specs_life_with_and_without_protocol_fee(protocol: bool) -> None:
    """UniswapV2Pair.spec.ts, feeTo:off and feeTo:on: 1000/1000, a swap of 1, everything burned."""
    reserve_0 = reserve_1 = 1_000 * E18
    supply = m.compute_first_shares(reserve_0, reserve_1)
    k_last = reserve_0 * reserve_1 if protocol else 0
    own = supply - m.LOCKED_SHARES
    reserve_1 += E18
    reserve_0 -= 996006981039903216
    minted = m.compute_protocol_shares(reserve_0, reserve_1, k_last, supply)
    supply += minted
    paid_0, paid_1 = m.compute_withdrawal(own, reserve_0, reserve_1, supply)
    supply -= own
    assert (minted, supply) == ((249750499251388, 1_000 + 249750499251388) if protocol else (0, 1_000))
    if protocol:
        assert (reserve_0 - paid_0, reserve_1 - paid_1) == (1_000 + 249501683697445, 1_000 + 250000187312969)


def test_first_deposit_of_the_pair_spec() -> None:
    assert m.compute_first_shares(E18, 4 * E18) == 2 * E18


def test_constants_are_those_of_the_ledger_and_are_said_once() -> None:
    """Uranium, 2021: a product check with 1,000 where the fee was counted in 10,000ths; 50 million lost."""
    assert m.FEE_UNITS == PPM
    assert (m.LOCKED_SHARES, m.PROTOCOL_PART) == (1_000, 6)


def test_a_sample_of_the_model() -> None:
    counts = compare(2_000, seed=7)
    assert sum(counts.values()) == 2_000
    assert set(counts) == {"add", "add_single", "protocol", "refused", "remove", "remove_single", "swap_in", "swap_out"}


@given(number=st.integers(0, AMOUNT_MAX**2))
def test_the_models_root_is_one(number: int) -> None:
    assert root(number) == isqrt(number)


@given(x=AMOUNTS, r_in=RESERVES, r_out=RESERVES, fee=FEES)
def test_i7_no_swap_lowers_the_product(x: int, r_in: int, r_out: int, fee: int) -> None:
    y = m.compute_out(x, r_in, r_out, fee)
    assert 0 <= y < r_out
    assert (r_in + x) * (r_out - y) >= r_in * r_out
    # the adjusted product of v2's pair
    assert (((r_in + x) * PPM) - x * fee) * ((r_out - y) * PPM) >= r_in * r_out * PPM**2
    # and one unit more would break it
    assert (((r_in + x) * PPM) - x * fee) * (r_out - y - 1) < r_in * r_out * PPM


@given(y=AMOUNTS, r_in=RESERVES, r_out=RESERVES, fee=FEES)
def test_i7_exact_outputs_lower_the_product_neither(y: int, r_in: int, r_out: int, fee: int) -> None:
    y = min(y, r_out - 1)
    x = m.compute_in(y, r_in, r_out, fee)
    assert x >= 1
    assert (((r_in + x) * PPM) - x * fee) * (r_out - y) >= r_in * r_out * PPM


@given(x=AMOUNTS, more=AMOUNTS, r_in=RESERVES, r_out=RESERVES, fee=FEES)
def test_i8_monotone_never_better_than_spot_and_splitting_never_pays(x: int, more: int, r_in: int, r_out: int, fee: int) -> None:
    y = m.compute_out(x, r_in, r_out, fee)
    whole = m.compute_out(x + more, r_in, r_out, fee)
    assert y <= whole
    assert y * r_in <= x * r_out
    assert y + m.compute_out(more, r_in + x, r_out - y, fee) <= whole


@given(x=AMOUNTS, r_in=RESERVES, r_out=RESERVES, fee=FEES)
def test_i8_a_round_trip_never_profits(x: int, r_in: int, r_out: int, fee: int) -> None:
    y = m.compute_out(x, r_in, r_out, fee)
    assert m.compute_out(y, r_out - y, r_in + x, fee) <= x


@given(y=AMOUNTS, r_in=RESERVES, r_out=RESERVES, fee=FEES)
def test_i8_the_price_of_an_output_buys_it(y: int, r_in: int, r_out: int, fee: int) -> None:
    y = min(y, r_out - 1)
    x = m.compute_in(y, r_in, r_out, fee)
    assert m.compute_out(x, r_in, r_out, fee) >= y
    assert y == 0 or m.compute_out(max(0, x - 2), r_in, r_out, fee) < y


@given(a=AMOUNTS, b=AMOUNTS, r_a=RESERVES, r_b=RESERVES, supply=RESERVES)
def test_i9_a_deposit_never_lowers_the_worth_of_a_share(a: int, b: int, r_a: int, r_b: int, supply: int) -> None:
    used_a, used_b = m.compute_deposit(a, b, r_a, r_b)
    assert used_a <= a
    assert used_b <= b
    shares = m.compute_shares(used_a, used_b, r_a, r_b, supply)
    assert (r_a + used_a) * (r_b + used_b) * supply**2 >= r_a * r_b * (supply + shares) ** 2


@given(shares=AMOUNTS, r_a=RESERVES, r_b=RESERVES, supply=RESERVES)
def test_i9_a_withdrawal_never_lowers_the_worth_of_a_share(shares: int, r_a: int, r_b: int, supply: int) -> None:
    shares = min(shares, supply)
    a, b = m.compute_withdrawal(shares, r_a, r_b, supply)
    assert (r_a - a) * (r_b - b) * supply**2 >= r_a * r_b * (supply - shares) ** 2


@given(a=AMOUNTS, b=AMOUNTS, r_a=RESERVES, r_b=RESERVES, supply=RESERVES)
def test_i10_what_was_put_in_is_the_most_that_comes_out(a: int, b: int, r_a: int, r_b: int, supply: int) -> None:
    used_a, used_b = m.compute_deposit(a, b, r_a, r_b)
    shares = m.compute_shares(used_a, used_b, r_a, r_b, supply)
    back = m.compute_withdrawal(shares, r_a + used_a, r_b + used_b, supply + shares)
    assert back[0] <= used_a
    assert back[1] <= used_b


@given(one=AMOUNTS, two=AMOUNTS, r_a=RESERVES, r_b=RESERVES, supply=RESERVES)
def test_i10_leaving_in_two_steps_never_pays_more(one: int, two: int, r_a: int, r_b: int, supply: int) -> None:
    one = min(one, supply - 1)
    two = min(two, supply - one)
    whole = m.compute_withdrawal(one + two, r_a, r_b, supply)
    first = m.compute_withdrawal(one, r_a, r_b, supply)
    second = m.compute_withdrawal(two, r_a - first[0], r_b - first[1], supply - one)
    assert first[0] + second[0] <= whole[0]
    assert first[1] + second[1] <= whole[1]


@given(x=AMOUNTS, r_in=RESERVES, r_out=RESERVES, fee=FEES, part=st.integers(0, PPM))
def test_i10_one_asset_in_and_out_never_profits(x: int, r_in: int, r_out: int, fee: int, part: int) -> None:
    supply = isqrt(r_in * r_out) * part // PPM + 1
    d = m.compute_single_deposit(x, r_in, r_out, fee)
    assert d.swapped + d.used_in <= x
    assert d.used_out <= d.bought
    now_in, now_out = r_in + d.swapped, r_out - d.bought
    shares = m.compute_shares(d.used_in, d.used_out, now_in, now_out, supply)
    w = m.compute_single_withdrawal(shares, now_in + d.used_in, now_out + d.used_out, supply + shares, fee)
    spent = d.swapped + d.used_in
    # the rest of the other asset went back at the start; it is worth what the pool gives for it at the end
    rest = m.compute_out(d.bought - d.used_out, now_out + d.used_out, now_in + d.used_in, fee)
    assert w.wanted + w.bought + rest <= spent + 2  # rounding of three quotients, all in the pool's favour
    assert w.wanted + w.bought <= spent


@given(x=AMOUNTS, reserve=RESERVES)
def test_the_swap_of_a_single_deposit_is_that_of_the_periphery(x: int, reserve: int) -> None:
    """The closed form that zap contracts use at 3/1000."""
    expected = (isqrt(reserve * (x * 3_988_000 + reserve * 3_988_009)) - reserve * 1_997) // 1_994
    assert m.compute_swap_of_single(x, reserve, 3_000) == expected


@given(r_a=RESERVES, r_b=RESERVES, dt=st.integers(0, 10**9))
def test_i11_a_price_is_uniswaps_to_the_last_bit(r_a: int, r_b: int, dt: int) -> None:
    assert m.compute_price(r_a, r_b) >> 528 == (r_b << 112) // r_a
    assert m.compute_price(r_a, r_b) * dt >= 0
    assert m.compute_price(r_a, r_b) > 0  # even one unit against 2^640 - 1 has a price


@given(x=AMOUNTS, r_in=RESERVES, r_out=RESERVES, fee=FEES)
def test_price_impact_and_cost_are_exact(x: int, r_in: int, r_out: int, fee: int) -> None:
    y = m.compute_out(x, r_in, r_out, fee)
    hops = ((r_in, r_out, fee),)
    impact, cost = Fraction(*m.compute_price_impact(x, y, hops)), Fraction(*m.compute_trade_cost(x, y, hops))
    assert 0 <= impact <= cost <= 1
    assert cost == 1 - Fraction(y, x) / Fraction(r_out, r_in)


@given(a=AMOUNTS, b=AMOUNTS, four=st.integers(1, 100))
def test_impermanent_loss_of_a_fourfold_price_is_a_fifth(a: int, b: int, four: int) -> None:
    loss = m.compute_impermanent_loss((2 * a * four, 2 * b), (a * four, 4 * b), (a * four, 4 * b))
    assert Fraction(*loss) == Fraction(1, 5)


@given(a=RESERVES, b=RESERVES, x=AMOUNTS, fee=FEES)
def test_the_protocol_gets_at_most_a_sixth_of_the_growth(a: int, b: int, x: int, fee: int) -> None:
    supply = isqrt(a * b) + 1
    grown = (a + x, b - m.compute_out(x, a, b, fee))
    shares = m.compute_protocol_shares(*grown, a * b, supply)
    before, after = isqrt(a * b), isqrt(grown[0] * grown[1])
    assert Fraction(shares, supply + shares) <= Fraction(after - before, 6 * max(1, after))
    assert m.compute_protocol_shares(*grown, 0, supply) == 0


def test_osmosis_joins_use_the_pools_numbers_and_uneven_amounts_earn_nothing() -> None:
    """Osmosis v9, 2022: a join counted from the user's amounts gave half as much again on exit; uneven amounts did the next day."""
    r_a, r_b, supply = 10**12, 10**9, 10**10
    for a, b in ((10**6, 10**9), (10**9, 10**3), (10**12, 1_000), (7, 10**12)):
        used = m.compute_deposit(a, b, r_a, r_b)
        shares = m.compute_shares(*used, r_a, r_b, supply)
        back = m.compute_withdrawal(shares, r_a + used[0], r_b + used[1], supply + shares)
        assert (back[0] <= used[0], back[1] <= used[1]) == (True, True)


def test_xrpl_rounding_never_lowers_the_product_in_a_million_units_of_dust() -> None:
    """XRPL, fixAMMv1_1 and 1_3: rounding to 16 digits lowered the product in swap, deposit and withdrawal."""
    rng = random.Random(3)
    r_a, r_b, supply = 10**6 + 7, 10**6 - 9, 10**6
    for _ in range(5_000):
        x = rng.randint(1, 50)
        product = r_a * r_b
        y = m.compute_out(x, r_a, r_b, 1)
        r_a, r_b = r_b - y, r_a + x
        assert r_a * r_b >= product
        a, b = m.compute_withdrawal(x, r_a, r_b, supply)
        assert (r_a - a) * (r_b - b) * supply**2 >= r_a * r_b * (supply - x) ** 2


def test_balancer_micro_swaps_in_a_tiny_pool_only_cost() -> None:
    """Balancer, November 2025: exact outputs in an almost empty pool, rounded against it, 65 in one batch; 125 million lost."""
    r_a, r_b = 9, 10
    product, spent, got = r_a * r_b, 0, 0
    for _ in range(65):
        if r_b <= 1:
            r_a, r_b, spent, got = r_b, r_a, -got, -spent
        paid = m.compute_in(1, r_a, r_b, 3_000)
        r_a, r_b, spent, got = r_a + paid, r_b - 1, spent + paid, got + 1
        assert r_a * r_b > product
        product = r_a * r_b


@given(x=st.integers(1, AMOUNT_MAX), r_in=st.integers(1, AMOUNT_MAX), r_out=st.integers(1, AMOUNT_MAX))
def test_cetus_nothing_is_shifted_out(x: int, r_in: int, r_out: int) -> None:
    """Cetus, May 2025: a wrong overflow check of a shift let one unit buy 223 million of shares."""
    price = m.compute_price(r_in, r_out)
    assert 0 <= (r_out << 640) - price * r_in < r_in
    supply = isqrt(r_in * r_out)
    assert m.compute_shares(x, x, r_in, r_out, supply) * r_in <= x * supply


@settings(max_examples=50)
@given(x=AMOUNTS, hops=st.lists(st.tuples(RESERVES, RESERVES, FEES), min_size=1, max_size=4))
def test_paths_are_their_hops(x: int, hops: list[tuple[int, int, int]]) -> None:
    path = tuple(hops)
    amounts = m.compute_path_out(x, path)
    for (r_in, r_out, fee), before, after in zip(path, amounts, amounts[1:], strict=False):
        assert after == m.compute_out(before, r_in, r_out, fee)
    wanted = min(x, path[-1][1] - 1)
    back = m.compute_path_in(wanted, path)
    if back is not None and wanted:
        assert m.compute_path_out(back[0], path)[-1] >= wanted
    assert m.compute_path_in(path[-1][1], path) is None
