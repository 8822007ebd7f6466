"""Reads of pools: records as JSON, positions with what they earned, quotes that equal execution."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.modules.operation import AMM_ADDRESS
from state.paths import resolve_path
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.queries import describe_record
from state.queries_amm import get_pool, get_pools, get_position_of, get_positions, quote, read_pool_name
from tests.state.amm_world import RICH, AmmWorld, amm_op
from tests.state.ledger_world import ADDRESS

A, B = 10**9, 4 * 10**9
ALL = (1 << 640) - 1
NO_PRICE = (0, 0)


def make_world(a: int = A, b: int = B) -> AmmWorld:
    world = AmmWorld()
    assert world.amm("alice", "create", amount_a=a, amount_b=b).code == 0
    return world


def text(fraction: Any) -> Fraction:
    return Fraction(int(fraction["numerator"]), int(fraction["denominator"]))


def test_records_have_paths_and_a_json_form() -> None:
    world = make_world()
    alice = format_address(ADDRESS["alice"])
    for path, name, value in (
        ("/pool/EUR/QNX", "reserve_b", str(B)),
        ("/pools", "pools", 1),
        (f"/position/{alice}/EUR/QNX", "shares", str(2 * 10**9 - 1_000)),
    ):
        key = resolve_path(path)
        assert describe_record(key, world.db[key])[name] == value
    assert resolve_path("/members/EUR/QNX") not in world.db
    for wrong in ("/pool/QNX/EUR", "/pool/EUR/EUR", "/members/EUR/x"):
        with pytest.raises(MalformedError):
            resolve_path(wrong)
    world.govern("set_switches", pool="", trade_until=5)
    assert describe_record(b" l", world.db[b" l"]) == {"trade_until": 5, "deposit_until": 0, "withdraw_until": 0}
    assert (read_pool_name("QNX/EUR"), get_pool(world.db, "AA/BB")) == ("EUR/QNX", None)
    (listed,) = get_pools(world.db, 0, 10)
    assert (listed["scale_a"], listed["scale_b"], listed["members"], listed["fee_ppm"]) == (2, 6, None, 3_000)
    assert get_pools(world.db, 1, 10) == []


def test_members_are_shown() -> None:
    world = AmmWorld()
    members = tuple(sorted((ADDRESS["bank"], ADDRESS["bob"])))
    world.amm("bank", "create", amount_a=A, amount_b=B, members=members)
    key = resolve_path("/members/EUR/QNX")
    shown = [format_address(member) for member in members]
    assert describe_record(key, world.db[key])["members"] == shown == (get_pool(world.db, "EUR/QNX") or {})["members"]


def test_a_position_earns_what_the_swaps_paid_and_loses_to_holding_without_them() -> None:
    world = make_world()
    world.amm("carol", "add", max_a=10**8, max_b=10**12)
    start = world.now
    fresh: Any = get_position_of(world.db, ADDRESS["carol"], "EUR/QNX", world.now)
    assert (fresh["fees_a"], text(fresh["growth"]), abs(text(fresh["impermanent_loss"])) < Fraction(1, 10**7)) == ("0", 0, True)
    for _ in range(20):  # there and back: fees, and the price where it was
        world.amm("bob", "swap_in", amount_in=10**8)
        sold = world.balance("bob", "QNX") - RICH
        world.amm("bob", "swap_in", path=("QNX", "EUR"), amount_in=sold)
    earned: Any = get_position_of(world.db, ADDRESS["carol"], "EUR/QNX", start + 365 * 24 * 3600 - 1)
    growth = text(earned["growth"])
    # 40 swaps of a tenth of the pool at 0.3 %: about 0.014 % of the product's root each
    assert Fraction(45, 10_000) < growth < Fraction(60, 10_000)
    assert abs(text(earned["yield_per_year"]) - growth) < Fraction(1, 10**6)
    assert text(earned["loss_to_holding"]) < 0 <= text(earned["impermanent_loss"]) < Fraction(1, 1_000)
    for side in ("a", "b"):
        assert int(earned[f"fees_{side}"]) == int(earned[f"amount_{side}"]) * growth // (1 + growth)


def test_impermanent_loss_of_a_fourfold_price_is_a_fifth() -> None:
    world = make_world(10**15, 10**15)
    world.amm("alice", "swap_out", path=("QNX", "EUR"), amount_out=5 * 10**14)  # half of a side: the price is fourfold
    found: Any = get_position_of(world.db, ADDRESS["alice"], "EUR/QNX", world.now)
    loss = text(found["impermanent_loss"])
    assert abs(loss - Fraction(1, 5)) < Fraction(1, 1_000)
    assert text(found["loss_to_holding"]) < loss
    assert 199_000 < found["impermanent_loss"]["ppm"] < 201_000


def test_positions_of_an_account_and_of_nobody() -> None:
    world = make_world()
    world.amm("alice", "create", a="BTC", b="BIG", amount_a=10**6, amount_b=10**25)
    assert [row["pool"] for row in get_positions(world.db, ADDRESS["alice"], world.now)] == ["EUR/QNX", "BIG/BTC"]
    assert get_positions(world.db, ADDRESS["bob"], world.now) == []
    assert get_position_of(world.db, ADDRESS["alice"], "AA/BB", world.now) is None


def test_the_protocols_shares_that_are_due_are_counted() -> None:
    world = make_world()
    world.govern("set_protocol_fee", on=1)
    world.amm("alice", "remove", shares=1_000)
    for _ in range(5):
        world.amm("bob", "swap_in", amount_in=10**8)
    shown: Any = get_position_of(world.db, ADDRESS["alice"], "EUR/QNX", world.now)
    shares = world.position("alice").shares
    before = world.balance("alice", "EUR")
    assert world.amm("alice", "remove", shares=shares - 10**7).code == 0
    got = world.balance("alice", "EUR") - before
    assert got == int(shown["amount_a"]) * (shares - 10**7) // shares or abs(got - int(shown["amount_a"])) < 10**7


AMOUNTS = st.one_of(st.integers(0, 5), st.integers(1, 10**10), st.integers(1, RICH))


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["swap_in", "swap_out", "add", "add_single", "remove", "remove_single"]),
    amount=AMOUNTS,
    is_back=st.booleans(),
    protocol=st.booleans(),
)
def test_i13_a_quote_is_what_executing_gives(name: str, amount: int, is_back: bool, protocol: bool) -> None:
    world = make_world()
    world.govern("set_protocol_fee", on=int(protocol))
    world.amm("bob", "add", max_a=10**9, max_b=10**10)
    world.amm("carol", "swap_in", amount_in=10**7)
    path = ("QNX", "EUR") if is_back else ("EUR", "QNX")
    shares = min(amount, world.position("bob").shares)
    fields: dict[str, Any] = {
        "swap_in": {"path": path, "amount_in": amount, "min_out": 0},
        "swap_out": {"path": path, "amount_out": amount, "max_in": ALL},
        "add": {"pool": "EUR/QNX", "max_a": amount, "max_b": 8 * amount, "min_shares": 0, "min_price": NO_PRICE, "max_price": NO_PRICE},
        "add_single": {"pool": "EUR/QNX", "asset": path[0], "amount": amount, "min_shares": 0},
        "remove": {"pool": "EUR/QNX", "shares": shares, "min_a": 0, "min_b": 0},
        "remove_single": {"pool": "EUR/QNX", "shares": shares, "asset": path[0], "min_out": 0},
    }[name]
    before = {code: world.balance("bob", code) for code in path}
    held = world.position("bob").shares
    asked: Any = quote(world.db, world.height + 1, world.now, name, fields, ADDRESS["bob"])
    stranger = quote(world.db, world.height + 1, world.now, name, fields)
    assert stranger == asked
    receipt = world.do("bob", amm_op(name, **fields))
    if receipt.code == 501:
        return  # a quote does not ask whether the account has it
    assert (asked["code"], asked["log"]) == (receipt.code, receipt.log)
    if receipt.code:
        return
    moved = {code: world.balance("bob", code) - before[code] for code in path}
    assert {code: -int(asked["pays"].get(code, 0)) + int(asked["gets"].get(code, 0)) for code in path} == moved
    assert int(asked["shares"]) == world.position("bob").shares - held
    if name.startswith("swap"):
        assert [asked["amounts"][0], asked["amounts"][-1]] == [asked["pays"][path[0]], asked["gets"][path[1]]]
        assert 0 <= text(asked["price_impact"]) <= text(asked["cost"]) < 1


def test_quotes_respect_members_and_refuse_what_no_transaction_can_have() -> None:
    world = AmmWorld()
    world.amm("bank", "create", amount_a=A, amount_b=B, members=(ADDRESS["bank"],))
    fields: dict[str, Any] = {"path": ("EUR", "QNX"), "amount_in": 10, "min_out": 0}
    assert quote(world.db, 2, world.now, "swap_in", fields)["code_name"] == "CREDENTIAL_MISSING"
    assert quote(world.db, 2, world.now, "swap_in", fields, ADDRESS["bank"])["code"] == 0
    for name, wrong in (("close", {"pool": "EUR/QNX"}), ("swap_in", {}), ("swap_in", {**fields, "amount_in": 1 << 641})):
        with pytest.raises(MalformedError):
            quote(world.db, 2, world.now, name, wrong)
    assert world.balance(AMM_ADDRESS, "EUR") == A
