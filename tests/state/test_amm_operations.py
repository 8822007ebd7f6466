"""Every operation on pools: what it does, each of its codes, who must sign; and the incidents that were not arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Any

import pytest

from state.codes import Code
from state.modules.amm import OPERATIONS
from state.modules.operation import AMM_ADDRESS, TREASURY_ADDRESS
from state.modules.table import BY_NAME
from state.primitives.errors import TransactionError
from state.primitives.limits import POOL_MEMBERS_MAX, POOL_WITHDRAW_OFF_S_MAX, PPM
from state.queries import simulate
from state.schema import supply_key
from state.transaction import Transaction
from tests.state.amm_world import RICH, AmmWorld, amm_op
from tests.state.ledger_world import ADDRESS, pay

A, B = 10**9, 4 * 10**9


@pytest.fixture
def world() -> AmmWorld:
    """A pool EUR/QNX of alice, at four QNX units for one EUR unit."""
    world = AmmWorld()
    assert world.amm("alice", "create", amount_a=A, amount_b=B).code == Code.OK
    return world


def test_create_locks_a_thousand_shares_and_holds_the_reserves(world: AmmWorld) -> None:
    pool = world.pool()
    assert (pool.reserve_a, pool.reserve_b, pool.supply, pool.fee_ppm, pool.k_last) == (A, B, 2 * 10**9, 3_000, 0)
    assert world.position("alice").shares == 2 * 10**9 - 1_000
    assert (world.held("EUR"), world.held("QNX"), world.balance("alice", "EUR")) == (A, B, RICH - A)


def test_create_takes_the_assets_in_either_order() -> None:
    world = AmmWorld()
    assert world.amm("alice", "create", a="QNX", b="EUR", amount_a=B, amount_b=A).code == Code.OK
    assert world.pool()[:2] == (A, B)


def test_swaps_pay_what_uniswap_pays(world: AmmWorld) -> None:
    before = world.worth()
    assert world.amm("bob", "swap_in", amount_in=10**6).code == Code.OK
    assert world.balance("bob", "QNX") - RICH == 10**6 * 997 * B // (A * 1_000 + 10**6 * 997)
    a, b = world.pool()[:2]
    assert world.amm("bob", "swap_out", path=("QNX", "EUR"), amount_out=500).code == Code.OK
    assert world.pool()[:2] == (a - 500, b + b * 500 * 1_000 // ((a - 500) * 997) + 1)
    assert world.worth() > before
    assert world.pool().supply == 2 * 10**9


def test_paths_of_five_assets_and_back_to_the_start() -> None:
    world = AmmWorld()
    codes = ("BIG", "BTC", "EUR", "QNX")
    for a, b in (("BIG", "BTC"), ("BTC", "EUR"), ("EUR", "QNX"), ("BIG", "QNX")):
        assert world.amm("alice", "create", a=a, b=b, amount_a=10**12, amount_b=10**12).code == Code.OK
    assert world.amm("bob", "swap_in", path=codes, amount_in=10**6).code == Code.OK
    assert world.balance("bob", "BTC") == world.balance("bob", "EUR") == RICH
    assert 991_000 < world.balance("bob", "QNX") - RICH < 992_000
    held = world.balance("bob", "BIG")
    assert world.amm("bob", "swap_out", path=(*codes, "BIG"), amount_out=1_000).code == Code.OK
    assert -20 < world.balance("bob", "BIG") - held < 0  # a circle only costs
    assert world.held("EUR") == sum(world.pool(p)[i] for p, i in (("BTC/EUR", 1), ("EUR/QNX", 0)))


def test_add_and_remove_give_back_no_more(world: AmmWorld) -> None:
    assert world.amm("bob", "swap_in", amount_in=123_457).code == Code.OK
    before = world.balance("carol", "EUR"), world.balance("carol", "QNX")
    assert world.amm("carol", "add", max_a=1_000_003, max_b=10**12).code == Code.OK
    position = world.position("carol")
    assert position.basis_a == 1_000_003
    assert world.amm("carol", "remove", shares=position.shares - 5).code == Code.OK
    assert world.position("carol").shares == 5
    assert world.amm("carol", "remove", shares=5).code == Code.OK
    after = world.balance("carol", "EUR"), world.balance("carol", "QNX")
    assert (before[0] - 3 <= after[0] <= before[0], before[1] - 6 <= after[1] <= before[1]) == (True, True)


@pytest.mark.parametrize("asset", ["EUR", "QNX"])
def test_one_asset_in_and_out(world: AmmWorld, asset: str) -> None:
    worth = world.worth()
    assert world.amm("carol", "add_single", asset=asset, amount=10**7, min_shares=1).code == Code.OK
    assert RICH - 10**7 <= world.balance("carol", asset) <= RICH - 10**7 + 1_000
    assert world.amm("carol", "remove_single", asset=asset, shares=world.position("carol").shares).code == Code.OK
    assert world.balance("carol", asset) < RICH
    assert world.worth() > worth


def test_the_protocol_gets_a_sixth_of_the_growth_and_none_of_what_grew_while_off(world: AmmWorld) -> None:
    world.amm("bob", "swap_in", amount_in=10**8)
    assert world.govern("set_protocol_fee", on=1) == Code.OK
    world.amm("bob", "swap_in", amount_in=10**8)
    world.amm("carol", "add", max_a=10**6, max_b=10**7)
    assert world.position("treasury").shares == 0
    pool = world.pool()
    assert pool.k_last == pool.reserve_a * pool.reserve_b
    world.amm("bob", "swap_in", path=("QNX", "EUR"), amount_in=10**9)
    grown = world.pool()
    world.amm("carol", "remove", shares=100)
    minted = world.position("treasury").shares
    root, root_last = isqrt(grown.reserve_a * grown.reserve_b), isqrt(pool.k_last)
    part = Fraction(root - root_last, 6 * root)
    assert Fraction(minted, pool.supply + minted) <= part < Fraction(minted + 1, pool.supply + minted + 1)
    assert world.govern("set_protocol_fee", on=0) == Code.OK
    assert world.pool().k_last == 0
    held = world.position("treasury").shares
    world.amm("bob", "swap_in", amount_in=10**8)
    assert world.govern("set_protocol_fee", on=1) == Code.OK
    world.amm("carol", "remove", shares=100)
    assert world.position("treasury").shares == held
    assert world.govern("collect") == Code.OK
    assert world.balance(TREASURY_ADDRESS, "EUR") > 0
    assert world.govern("collect") == Code.NOTHING_TO_CLAIM


def test_the_protocol_may_take_out_shares_that_it_got_in_the_same_operation(world: AmmWorld) -> None:
    """Found by the stateful search: the shares came and went at once, and the check took it for a loss of the others."""
    world.govern("set_protocol_fee", on=1)
    world.amm("carol", "add", max_a=10**6, max_b=10**7)
    world.amm("bob", "swap_in", amount_in=10**8)
    assert world.position("treasury").shares == 0
    assert world.govern("collect") == Code.OK
    assert world.balance(TREASURY_ADDRESS, "EUR") > 0


def test_close_empties_the_pool_and_it_can_be_made_again(world: AmmWorld) -> None:
    world.govern("set_protocol_fee", on=1)
    world.amm("carol", "add", max_a=10**6, max_b=10**7)
    for _ in range(3):
        world.amm("bob", "swap_in", amount_in=10**8)
    assert world.amm("alice", "close").code == Code.SUPPLY_NOT_ZERO
    world.amm("carol", "remove", shares=world.position("carol").shares)
    prices = world.pool().price_a
    assert world.amm("alice", "close").code == Code.OK
    pool = world.pool()
    assert (pool.reserve_a, pool.reserve_b, pool.supply, pool.k_last) == (0, 0, 1_000, 0)
    assert (world.held("EUR"), world.held("QNX")) == (0, 0)
    assert world.balance(TREASURY_ADDRESS, "QNX") > 0
    assert pool.price_a > prices
    assert world.amm("bob", "swap_in", amount_in=10**8).code == Code.POOL_NOT_FOUND
    assert world.amm("bob", "create", amount_a=A, amount_b=A, fee_ppm=500).code == Code.OK
    assert (world.pool().supply, world.pool().price_a) == (A, pool.price_a)


def test_prices_add_up_once_in_a_block_from_before_the_first_change(world: AmmWorld) -> None:
    world.now += 6
    start = world.pool()
    txs = [world.raw(name, amm_op("swap_in", amount_in=10**7)) for name in ("bob", "carol", "hybrid")]
    assert [r.code for r in world.apply(*txs)] == [0, 0, Code.INSUFFICIENT_FUNDS]
    pool = world.pool()
    elapsed_s = pool.price_s - start.price_s
    assert elapsed_s == 7
    assert pool.price_a == (B << 640) // A * elapsed_s
    assert pool.price_b == (A << 640) // B * elapsed_s


@pytest.mark.parametrize(
    ("account", "op", "expected"),
    [
        ("bob", amm_op("create", amount_a=0, amount_b=1, a="EUR", b="EUR"), Code.ZERO_AMOUNT),
        ("bob", amm_op("create", amount_a=1, amount_b=1, a="EUR", b="EUR", fee_ppm=10**6), Code.SAME_ASSET),
        ("bob", amm_op("create", amount_a=1, amount_b=1, a="EUR", b="NONE", fee_ppm=100_001), Code.PARAM_OUT_OF_RANGE),
        ("bob", amm_op("create", amount_a=1, amount_b=1, a="BND", b="NONE"), Code.ASSET_NOT_TRADABLE),
        ("bob", amm_op("create", amount_a=1, amount_b=1, a="EUR", b="NONE"), Code.ASSET_NOT_FOUND),
        ("bob", amm_op("create", amount_a=1, amount_b=1, members=(b"n" * 32,)), Code.NOT_ISSUER),
        ("bank", amm_op("create", amount_a=1, amount_b=1, members=(b"n" * 32,)), Code.ACCOUNT_NOT_FOUND),
        ("bank", amm_op("create", amount_a=1, amount_b=1, members=(AMM_ADDRESS,)), Code.RECIPIENT_IS_MODULE),
        ("bob", amm_op("create", amount_a=1, amount_b=1), Code.POOL_EXISTS),
        ("bob", amm_op("create", b="BTC", amount_a=9_999, amount_b=RICH), Code.BELOW_MIN_RESERVES),
        ("bob", amm_op("create", b="BTC", amount_a=10_000, amount_b=RICH + 1), Code.INSUFFICIENT_FUNDS),
        ("bob", amm_op("add", pool="AA/BB", max_a=0, max_b=1), Code.ZERO_AMOUNT),
        ("bob", amm_op("add", pool="AA/BB", max_a=1, max_b=1), Code.POOL_NOT_FOUND),
        ("bob", amm_op("add", max_a=1, max_b=3), Code.ZERO_OUTPUT),
        ("bob", amm_op("add", max_a=100, max_b=400, min_shares=201, min_price=(5, 1)), Code.SLIPPAGE),
        ("bob", amm_op("add", max_a=100, max_b=400, min_price=(5, 1)), Code.PRICE_OUT_OF_BOUNDS),
        ("bob", amm_op("add", max_a=100, max_b=400, max_price=(399, 100)), Code.PRICE_OUT_OF_BOUNDS),
        ("bob", amm_op("add", max_a=100, max_b=400, min_price=(4, 1), max_price=(4, 1)), Code.OK),
        ("bob", amm_op("add", max_a=RICH + 1, max_b=8 * RICH), Code.INSUFFICIENT_FUNDS),
        ("bob", amm_op("add_single", amount=0, asset="BTC"), Code.ZERO_AMOUNT),
        ("bob", amm_op("add_single", pool="AA/BB", amount=1, asset="BTC"), Code.PATH_INVALID),
        ("bob", amm_op("add_single", pool="AA/BB", amount=1, asset="AA"), Code.POOL_NOT_FOUND),
        ("bob", amm_op("add_single", amount=1), Code.ZERO_OUTPUT),
        ("bob", amm_op("add_single", amount=1_000, min_shares=1_001), Code.SLIPPAGE),
        ("bob", amm_op("add_single", amount=RICH + 1, asset="QNX"), Code.BELOW_MIN_RESERVES),
        ("bob", amm_op("remove", pool="AA/BB", shares=0), Code.ZERO_AMOUNT),
        ("bob", amm_op("remove", pool="AA/BB", shares=1), Code.POOL_NOT_FOUND),
        ("bob", amm_op("remove", shares=1), Code.INSUFFICIENT_FUNDS),
        ("alice", amm_op("remove", shares=1), Code.ZERO_OUTPUT),
        ("alice", amm_op("remove", shares=2, min_b=5), Code.SLIPPAGE),
        ("alice", amm_op("remove", shares=2 * 10**9 - 1_000), Code.BELOW_MIN_RESERVES),
        ("alice", amm_op("remove_single", shares=0), Code.ZERO_AMOUNT),
        ("alice", amm_op("remove_single", shares=1, asset="BTC"), Code.PATH_INVALID),
        ("alice", amm_op("remove_single", shares=1), Code.ZERO_OUTPUT),
        ("alice", amm_op("remove_single", shares=1_000, min_out=1_000), Code.SLIPPAGE),
        ("alice", amm_op("remove_single", shares=2 * 10**9 - 1_000), Code.BELOW_MIN_RESERVES),
        ("bob", amm_op("remove_single", shares=1_000), Code.INSUFFICIENT_FUNDS),
        ("bob", amm_op("swap_in", path=("EUR",), amount_in=0), Code.ZERO_AMOUNT),
        ("bob", amm_op("swap_in", path=("EUR",), amount_in=1), Code.PATH_INVALID),
        ("bob", amm_op("swap_in", path=("EUR", "QNX", "BTC", "BIG", "EUR", "QNX"), amount_in=1), Code.PATH_INVALID),
        ("bob", amm_op("swap_in", path=("EUR", "EUR"), amount_in=1), Code.SAME_ASSET),
        ("bob", amm_op("swap_in", path=("EUR", "QNX", "EUR"), amount_in=1), Code.PATH_REPEATS_POOL),
        ("bob", amm_op("swap_in", path=("EUR", "BTC"), amount_in=1), Code.POOL_NOT_FOUND),
        ("bob", amm_op("swap_in", path=("QNX", "EUR"), amount_in=4), Code.ZERO_OUTPUT),
        ("bob", amm_op("swap_in", amount_in=100, min_out=400), Code.SLIPPAGE),
        ("bob", amm_op("swap_in", amount_in=RICH + 1), Code.INSUFFICIENT_FUNDS),
        ("bob", amm_op("swap_in", amount_in=10**16), Code.BELOW_MIN_RESERVES),
        ("bob", amm_op("swap_out", amount_out=B), Code.INSUFFICIENT_LIQUIDITY),
        ("bob", amm_op("swap_out", amount_out=B - 1, max_in=1), Code.SLIPPAGE),
        ("bob", amm_op("swap_out", amount_out=B - 1), Code.BELOW_MIN_RESERVES),
        ("bob", amm_op("swap_out", amount_out=0), Code.ZERO_AMOUNT),
        ("bob", amm_op("close"), Code.SUPPLY_NOT_ZERO),
        ("bob", amm_op("close", pool="AA/BB"), Code.POOL_NOT_FOUND),
        ("alice", amm_op("set_members", members=(b"n" * 32,)), Code.NO_PERMISSION),
        ("bob", amm_op("set_members", pool="AA/BB", members=(b"n" * 32,)), Code.POOL_NOT_FOUND),
        ("bob", amm_op("set_protocol_fee", on=1), Code.NO_PERMISSION),
        ("bank", amm_op("set_switches", trade_until=2**40), Code.NO_PERMISSION),
        ("bank", amm_op("collect"), Code.NO_PERMISSION),
        ("bank", amm_op("repair", amount_a=1), Code.NO_PERMISSION),
    ],
)
def test_codes_in_their_order(world: AmmWorld, account: str, op: Any, expected: int) -> None:
    before = dict(world.db)
    receipt = world.do(account, op)
    assert receipt.code == expected, receipt.log
    row = next(row for row in OPERATIONS if row.code == op[0])
    assert expected in (*row.codes, Code.OK)
    world.audit()
    if expected:
        assert {k: v for k, v in world.db.items() if k[1:2] not in b"n"} == {k: v for k, v in before.items() if k[1:2] not in b"n"}


@pytest.mark.parametrize(
    "op",
    [
        lambda: amm_op("set_members", members=()),
        lambda: amm_op("set_protocol_fee", on=2),
        lambda: amm_op("add", pool="QNX/EUR", max_a=1, max_b=1),
        lambda: amm_op("add", pool="EUR/EUR", max_a=1, max_b=1),
        lambda: amm_op("add", pool="EUR", max_a=1, max_b=1),
        lambda: amm_op("add", max_a=1, max_b=1, min_price=(1, 0)),
        lambda: amm_op("swap_in", path=("EUR",) * 65, amount_in=1),
        lambda: amm_op("create", amount_a=1, amount_b=1, members=(b"b" * 32, b"a" * 32)),
        lambda: amm_op("create", amount_a=1, amount_b=1, members=tuple(i.to_bytes(32, "big") for i in range(POOL_MEMBERS_MAX + 1))),
    ],
)
def test_wrong_forms_never_enter_a_block(world: AmmWorld, op: Any) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(world.raw("alice", op()))


def test_governed_operations_answer_in_order(world: AmmWorld) -> None:
    for name, fields in (("set_protocol_fee", {"on": 1}), ("collect", {}), ("repair", {"amount_a": 1})):
        assert world.govern(name, pool="AA/BB", **fields) == Code.POOL_NOT_FOUND
    assert world.govern("repair", pool="AA/BB") == Code.ZERO_AMOUNT
    assert world.govern("repair", amount_a=1) == Code.INSUFFICIENT_FUNDS
    late = world.now + POOL_WITHDRAW_OFF_S_MAX + 1
    assert world.govern("set_switches", pool="AA/BB", withdraw_until=late) == Code.PARAM_OUT_OF_RANGE
    assert world.govern("set_switches", pool="AA/BB") == Code.POOL_NOT_FOUND


_USES: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("swap_in", {"amount_in": 1_000}, 0),
    ("swap_out", {"amount_out": 1_000}, 0),
    ("add", {"max_a": 1_000, "max_b": 8_000}, 1),
    ("add_single", {"amount": 1_000}, 1),
    ("add_single", {"amount": 1_000}, 0),
    ("remove", {"shares": 1_000}, 2),
    ("remove_single", {"shares": 1_000}, 2),
    ("remove_single", {"shares": 1_000}, 0),
    ("close", {}, 2),
)


@pytest.mark.parametrize("pool", ["EUR/QNX", ""])
@pytest.mark.parametrize(("name", "fields", "function"), _USES)
def test_each_function_has_its_switch(world: AmmWorld, name: str, fields: dict[str, Any], function: int, pool: str) -> None:
    names = ("trade_until", "deposit_until", "withdraw_until")
    until = world.now + 100
    assert world.govern("set_switches", pool=pool, **{names[function]: until}) == Code.OK
    assert world.amm("alice", name, **fields).code == Code.MODULE_PAUSED
    for other in range(3):
        for use, args, needed in _USES[:3] + _USES[5:6]:
            if other == needed and needed != function:
                assert world.amm("alice", use, **args).code == Code.OK
    world.now = until
    assert world.amm("alice", name, **fields).code == Code.OK  # the switch has ended by itself


def test_restricted_pools_serve_their_members_and_never_keep_anybodys_money() -> None:
    world = AmmWorld()
    members = tuple(sorted((ADDRESS["bank"], ADDRESS["carol"])))
    assert world.amm("bank", "create", amount_a=A, amount_b=B, members=members).code == Code.OK
    for name, fields in (("swap_in", {"amount_in": 10**6}), ("add", {"max_a": 10**6, "max_b": 10**7})):
        assert world.amm("bob", name, **fields).code == Code.CREDENTIAL_MISSING
        assert world.amm("carol", name, **fields).code == Code.OK
    assert world.amm("carol", "set_members", members=members).code == Code.NO_PERMISSION
    assert world.amm("bank", "set_members", members=(b"n" * 32,)).code == Code.ACCOUNT_NOT_FOUND
    assert world.amm("bank", "set_members", members=(ADDRESS["bank"],)).code == Code.OK
    assert world.amm("carol", "swap_in", amount_in=1_000).code == Code.CREDENTIAL_MISSING
    assert world.amm("carol", "remove_single", shares=1_000).code == Code.CREDENTIAL_MISSING
    assert world.amm("carol", "remove", shares=world.position("carol").shares).code == Code.OK
    assert world.amm("bank", "close").code == Code.OK
    assert world.amm("bob", "create", amount_a=A, amount_b=B).code == Code.OK
    assert world.amm("carol", "swap_in", amount_in=1_000).code == Code.OK


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_without_its_signer_is_refused(world: AmmWorld, row: Any) -> None:
    """Every row: in another's name, signed by the sender alone."""
    op = list(amm_op(row.name.partition(".")[2], **{name: _SOME[name] for name, _ in row.fields if name in _SOME}))
    op[1] = ADDRESS["alice"]
    assert world.check(world.raw("bob", op)).code == Code.QUORUM_NOT_MET


_SOME: dict[str, Any] = {
    "amount_in": 5, "amount_out": 5, "max_a": 5, "max_b": 5, "amount": 5, "shares": 5, "on": 1, "members": (b"n" * 32,),
}  # fmt: skip


def test_simulating_gives_what_applying_gives(world: AmmWorld) -> None:
    """I13."""
    for op in (amm_op("swap_in", amount_in=777), amm_op("swap_out", amount_out=777), amm_op("add_single", amount=12_345)):
        tx = world.tx("bob", op)
        assert simulate(world.db, world.context(), tx) == world.apply(tx)[0]


# Incidents of the ledger rules, section 2


def test_xrpl_amm_2024_no_swap_drains_a_side_and_a_broken_pool_can_be_repaired(world: AmmWorld) -> None:
    """XRPL, March 2024: offers too large drained one side of pools, which nothing can repair to this day."""
    for share in (10, 100, 1_000):
        world.amm("bob", "swap_out", amount_out=world.pool().reserve_b * (share - 1) // share)
        assert world.pool().reserve_b >= 10_000
    assert world.amm("bob", "swap_out", amount_out=world.pool().reserve_b - 9_999).code == Code.BELOW_MIN_RESERVES
    world.govern("set_protocol_fee", on=1)
    world.amm("alice", "remove", shares=world.pool().supply // 2)
    for code in ("EUR", "QNX"):  # a treasury that has something
        world.db[b" h" + TREASURY_ADDRESS + code.encode()] = b"\x91\xc4\x03\x0f\x42\x40"
        key = supply_key(code)
        supply = world.supply(code) + 1_000_000
        world.db[key] = b"\x91\xc4" + bytes([n := (supply.bit_length() + 7) // 8]) + supply.to_bytes(n, "big")
    worth, shares = world.worth(), world.pool().supply
    assert world.govern("repair", amount_b=900_000, plan_hash=b"p" * 32) == Code.OK
    assert (world.worth() > worth, world.balance(TREASURY_ADDRESS, "QNX")) == (True, 100_000)
    assert world.pool().supply == shares + world.position("treasury").shares
    held = world.position("treasury").shares
    world.amm("alice", "remove", shares=100)
    assert world.position("treasury").shares == held  # no protocol fee on what was given


def test_uranium_the_runtime_check_counts_the_fee_in_the_units_of_the_record(world: AmmWorld) -> None:
    """Uranium, 2021: one constant in the quote, another in the check."""
    for fee_ppm in (0, 1, 3_000, 100_000):
        world = AmmWorld()
        world.amm("alice", "create", amount_a=A, amount_b=B, fee_ppm=fee_ppm)
        k = A * B * PPM * PPM
        world.amm("bob", "swap_in", amount_in=10**7)
        a, b = world.pool()[:2]
        assert k <= (a * PPM - 10**7 * fee_ppm) * b * PPM < k + (a * PPM) * PPM


def test_balancer_a_pool_never_gets_so_small_that_rounding_matters(world: AmmWorld) -> None:
    """Balancer, November 2025: 65 micro swaps in one batch against reserves of a few units."""
    assert world.amm("alice", "remove", shares=2 * 10**9 - 1_000 - 4_001).code == Code.BELOW_MIN_RESERVES
    left = 2 * 20_000
    assert world.amm("alice", "remove", shares=2 * 10**9 - 1_000 - left).code == Code.OK
    worth = world.worth()
    ops = [amm_op("swap_out", path=("QNX", "EUR"), amount_out=1) for _ in range(60)]
    held = world.balance("bob", "EUR"), world.balance("bob", "QNX")
    assert world.do("bob", *ops).code == Code.OK
    world.audit()
    assert world.worth() > worth
    gained, paid = world.balance("bob", "EUR") - held[0], held[1] - world.balance("bob", "QNX")
    assert gained == 60
    assert paid >= 60 * 4


def test_first_depositors_cannot_inflate_a_share(world: AmmWorld) -> None:
    """ERC-4626 and Hundred Finance: a donation makes one share worth more than the next deposit. Here nothing can be donated."""
    assert world.do("bob", pay(AMM_ADDRESS, 10**24)).code == Code.RECIPIENT_IS_MODULE
    world.amm("alice", "remove", shares=2 * 10**9 - 1_000 - 20_000)
    worth = world.worth()
    assert world.amm("carol", "add", max_a=900_000, max_b=3_600_000).code == Code.OK
    assert world.amm("carol", "remove", shares=world.position("carol").shares).code == Code.OK
    assert world.balance("carol", "EUR") >= RICH - 1
    assert worth <= world.worth()


def test_sifchain_and_nolus_depth_is_what_is_held_and_prices_name_both_assets(world: AmmWorld) -> None:
    """Sifchain, 2022: liabilities counted as depth. Nolus, 2023: an inverse price. `a` is always the smaller code."""
    for _ in range(5):
        world.amm("bob", "swap_in", amount_in=10**7)
        world.amm("bob", "swap_in", path=("QNX", "EUR"), amount_in=10**7)
    pool = world.pool()
    assert (pool.reserve_a, pool.reserve_b) == (world.held("EUR"), world.held("QNX"))
    assert pool.price_a > pool.price_b  # four QNX units for a EUR unit
    event = dict(world.amm("bob", "swap_in", amount_in=1_000).events[0].attributes)
    assert (event["pool"], event["asset_in"], event["asset_out"]) == ("EUR/QNX", "EUR", "QNX")


def test_stellar_2017_one_transaction_sees_its_own_changes(world: AmmWorld) -> None:
    """Stellar, April 2017: a stale copy of the state inside one transaction minted two billion units."""
    shares = world.position("alice").shares
    half = shares // 2 + 1
    assert world.do("alice", amm_op("remove", shares=half), amm_op("remove", shares=half)).code == Code.INSUFFICIENT_FUNDS
    assert world.position("alice").shares == shares
    assert world.do("alice", *(amm_op("swap_in", amount_in=10**6) for _ in range(10))).code == Code.OK
    world.audit()


def test_every_row_is_in_the_table() -> None:
    assert {row.name for row in OPERATIONS} == {name for name in BY_NAME if name.startswith("amm.")}
    assert len(OPERATIONS) == 14
