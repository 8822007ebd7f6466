"""Reads of farms: records as JSON and as proofs' paths, rewards pending that equal what a claim pays, yields as exact fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from state.modules.farm_assets import codes_of
from state.paths import resolve_path
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.queries import describe_record
from state.queries_amm import YEAR_S
from state.queries_farm import get_farm, get_farm_position, get_farm_positions, get_farms, read_number
from state.schema import decode_record, encode_record
from state.schema_farm import FARM_LETTERS, staker_key
from tests.state.farm_world import ONE, TIERS, FarmWorld, farm_op
from tests.state.ledger_world import ADDRESS

BOB = ADDRESS["bob"]


@pytest.fixture(scope="module")
def world() -> FarmWorld:
    """Farm 0: EUR for QNX; bob has 100 in tier 0 and 50 in tier 1, carol 100. Farm 1: pool shares for BTC. Farm 2: QNX for QNX."""
    world = FarmWorld()
    start = world.now + 1
    world.start(lock_tiers=TIERS)
    world.at(0, start)
    world.do("bob", farm_op("stake", amount=100), farm_op("stake", amount=50, tier=1))
    world.do("carol", farm_op("stake", amount=100))
    world.amm("bob", "create", amount_a=10**9, amount_b=10**9)
    world.start(stake_asset="EUR/QNX", reward_asset="BTC")
    world.do("bob", farm_op("stake", farm=1, amount=10**6))
    world.start(stake_asset="QNX", budget=1_000)
    world.do("bob", farm_op("stake", farm=2, amount=10**4))
    world.at(50, start)
    return world


def exact(fraction: Any) -> Fraction:
    return Fraction(int(fraction["numerator"]), int(fraction["denominator"]))


def test_records_have_paths_and_a_json_form(world: FarmWorld) -> None:
    bob = format_address(BOB)
    for path, name, value in (
        ("/farms", "farms", 3),
        ("/farm/0", "stake_asset", "EUR"),
        ("/farm/0", "staked", "250"),
        ("/farm/0/QNX", "budget", "1000000"),
        ("/farm/1/BTC", "farm", "1"),
        (f"/farm-positions/{bob}", "positions", ["0", "1", "2", "3"]),
        (f"/farm-position/{bob}/1", "weight", "75000000"),
        (f"/farm-position/{bob}/2", "basis_a", str(world.own("bob", 2).lot[0])),
    ):
        key = resolve_path(path)
        assert describe_record(key, world.db[key])[name] == value, path
    key = staker_key(0, BOB)
    assert describe_record(key, world.db[key]) == {"farm": "0", "account": bob, "positions": 2}


@pytest.mark.parametrize("path", ["/farm/x", "/farm/01", "/farm/-1", "/farm/0/qnx", "/farm", f"/farm/{1 << 63}", "/farm-position/x/1"])
def test_wrong_paths_are_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        resolve_path(path)


def test_numbers_are_read_strictly() -> None:
    assert (read_number("0"), read_number(str((1 << 63) - 1))) == (0, (1 << 63) - 1)


def test_every_record_has_one_form(world: FarmWorld) -> None:
    found = {key: raw for key, raw in world.db.items() if key[1] in FARM_LETTERS}
    assert {key[1] for key in found} == FARM_LETTERS
    for key, raw in found.items():
        assert encode_record(key, decode_record(key, raw)) == raw


def test_pending_rewards_are_what_a_claim_pays(world: FarmWorld) -> None:
    for second in (1, 60, 500, 5_000):
        copy = FarmWorld()
        copy.db, copy.height, copy.now = dict(world.db), world.height, world.now + second
        for name in ("bob", "carol"):
            for row in get_farm_positions(copy.db, ADDRESS[name], copy.now):
                if row["is_locked"]:
                    continue
                (reward,) = row["rewards"]  # type: ignore[misc]
                before = copy.balance(name, reward["reward_asset"])
                receipt = copy.farm(name, "claim", farm=int(str(row["farm"])), positions=(int(str(row["position"])),))
                copy.now -= 1
                paid = copy.balance(name, reward["reward_asset"]) - before
                assert receipt.code == (0 if reward["pending"] != "0" else 906)
                assert str(paid) == reward["pending"]
                assert int(reward["pending_q640"]) // ONE == paid


def test_yields_are_exact_fractions_of_base_units(world: FarmWorld) -> None:
    shown = get_farm(world.db, 0, world.now)
    assert shown is not None
    weight = 275_000_000
    (reward,) = shown["rewards"]  # type: ignore[misc]
    for tier, found in zip(TIERS, reward["yields_per_year"], strict=True):
        assert exact(found) == Fraction(1_000 * YEAR_S * tier[1], weight)
    mine = get_farm_position(world.db, BOB, 1, world.now)
    assert mine is not None
    assert (mine["share_ppm"], mine["is_locked"], mine["locked_until"]) == (75_000_000 * 10**6 // weight, True, world.now + 50)
    (reward,) = mine["rewards"]  # type: ignore[misc]
    assert exact(reward["per_year"]) == Fraction(1_000 * YEAR_S * 75_000_000, weight)
    assert exact(reward["yield_per_year"]) == Fraction(1_000 * YEAR_S * 1_500_000, weight)
    alone = get_farm_position(world.db, BOB, 3, world.now)
    assert alone is not None
    (reward,) = alone["rewards"]  # type: ignore[misc]
    assert exact(reward["yield_per_year"]) == Fraction(YEAR_S, 10**4)  # one unit a second


def test_a_farm_without_stakes_before_and_after_its_time_has_no_yield() -> None:
    world = FarmWorld()
    world.start(start=world.now + 100, end=world.now + 200)
    for second, staked in ((50, False), (150, False), (250, True)):
        if staked:
            world.now -= 100
            world.do("bob", farm_op("stake", amount=1))
            world.now += 100
        found = get_farm(world.db, 0, 1_800_000_000 + second)
        assert found is not None
        assert found["rewards"][0]["yields_per_year"] == [None]  # type: ignore[index]
    position = get_farm_position(world.db, BOB, 0, world.now + 10**6)
    assert position is not None
    assert position["rewards"][0]["per_year"] is None  # type: ignore[index]


def test_what_is_not_there(world: FarmWorld) -> None:
    assert get_farm(world.db, 9, world.now) is None
    assert get_farm_position(world.db, BOB, 9, world.now) is None
    assert get_farm_positions(world.db, ADDRESS["alice"], world.now) == []
    assert [row["farm"] for row in get_farms(world.db, 1, 5, world.now)] == ["1", "2"]
    assert get_farms(world.db, 3, 5, world.now) == []


def test_reading_changes_nothing(world: FarmWorld) -> None:
    before = dict(world.db)
    get_farms(world.db, 0, 10, world.now + 10**9)
    get_farm_positions(world.db, BOB, world.now + 10**9)
    assert world.db == before
    assert codes_of("EUR/QNX") == ("EUR", "QNX")
