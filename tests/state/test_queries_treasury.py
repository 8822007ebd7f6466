"""Reads of central banks: records as JSON, supplies that add up, what is owed to the second."""

from __future__ import annotations

from typing import Any

import pytest

from state.modules.treasury_moves import UNIT
from state.paths import resolve_path
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.primitives.limits import PPM
from state.queries import describe_record
from state.queries_treasury import (
    get_credit_line,
    get_credit_lines,
    get_dealer_of,
    get_dealers_of,
    get_rate,
    get_redemption,
    get_redemptions,
    get_supply_parts,
    read_request,
)
from state.schema import decode_record, encode_record
from state.schema_treasury import NO_BANK, Bank, CreditLine, Dealer, bank_key, dealer_key, dealers_key, line_key
from tests.state.ledger_world import ADDRESS, pay
from tests.state.treasury_world import RICH, TreasuryWorld

ALICE, CAROL = ADDRESS["alice"], ADDRESS["carol"]


@pytest.fixture(scope="module")
def world() -> TreasuryWorld:
    world = TreasuryWorld()
    world.set_up(rate_ppm=PPM)
    world.cb("issue", amount=1_000)
    world.cb("set_reserve_requirement", tier=1, ratio_ppm=100_000)
    world.cb("report_liabilities", "alice", amount=777)
    world.cb("redeem_request", "bob", amount=400, ref="r")
    world.cb("redeem_request", "bob", amount=300)
    world.cb("redeem_confirm", request=0)
    world.cb("overdraft", account="carol", limit=500, collateral=(("GLD", 9),))
    world.do("carol", pay("alice", RICH + 300, "EUR"))
    world.now += 1_000
    world.cb("accrue", period=1)
    return world


def test_a_supply_is_what_it_is_made_of(world: TreasuryWorld) -> None:
    found: Any = get_supply_parts(world.db, "EUR")
    parts = {name: int(found[name]) for name in ("issued", "redeemed", "accrued", "drawn", "other")}
    assert parts["issued"] - parts["redeemed"] + parts["accrued"] + parts["drawn"] + parts["other"] == int(found["supply"])
    assert (parts["issued"], parts["redeemed"], parts["drawn"], parts["other"]) == (1_000, 400, 300, 4 * RICH)
    assert (int(found["supply"]), found["issuer"]) == (world.supply("EUR"), format_address(ADDRESS["bank"]))
    plain: Any = get_supply_parts(world.db, "BND")
    assert (plain["supply"], plain["other"], plain["max_supply"]) == ("500", "500", "1000")
    assert (get_supply_parts(world.db, "NONE"), get_rate(world.db, "NONE", 0)) == (None, None)


def test_a_dealer_is_shown_with_what_he_must_keep_and_is_owed(world: TreasuryWorld) -> None:
    found: Any = get_dealer_of(world.db, ALICE, "EUR", world.now + 1_000)
    balance = world.balance("alice", "EUR")
    assert (found["required"], found["available"], found["balance"]) == ("78", str(balance - 78), str(balance))
    record = world.dealer("alice")
    expected = (record.owed + balance * PPM * (world.now + 1_000 - world.bank().acc_s)) // UNIT
    assert found["interest_owed"] == str(expected)
    assert get_dealer_of(world.db, CAROL, "EUR", world.now) is None
    assert [row["account"] for row in get_dealers_of(world.db, "EUR", world.now)] == [
        format_address(one) for one in world.read(dealers_key("EUR"))
    ]


def test_the_rate_in_force_and_the_one_announced() -> None:
    world = TreasuryWorld()
    world.set_up()
    start = world.now + 100
    world.cb("set_rate", rate_ppm=5, effective_from=start)
    before: Any = get_rate(world.db, "EUR", start - 1)
    after: Any = get_rate(world.db, "EUR", start)
    assert (before["rate_ppm"], before["next_rate_ppm"], before["next_rate_from"]) == (0, 5, start)
    assert (after["rate_ppm"], after["next_rate_ppm"], after["next_rate_from"]) == (5, None, 0)
    later: Any = get_rate(world.db, "EUR", start + 365 * 24 * 3_600)
    assert later["owed"] == str(2 * (RICH * 5 // PPM))
    world.now = start + 365 * 24 * 3_600
    world.cb("accrue", period=1)
    assert str(world.bank().accrued) == later["owed"]


def test_redemptions_and_credit_lines(world: TreasuryWorld) -> None:
    assert get_redemption(world.db, "EUR", 0) is None
    found: Any = get_redemptions(world.db, "EUR", 0, 10)
    assert (found["requests"], [row["request"] for row in found["redemptions"]]) == (2, [1])
    assert get_redemptions(world.db, "EUR", 2, 10)["redemptions"] == []
    line: Any = get_credit_line(world.db, CAROL, "EUR")
    assert (line["limit"], line["debt"], line["left"]) == ("500", "300", "200")
    assert line["collateral"] == [{"asset": "GLD", "amount": "9"}]
    assert get_credit_line(world.db, ALICE, "EUR") is None
    assert get_credit_lines(world.db, "EUR") == [line]
    assert get_credit_lines(world.db, "GLD") == []


def test_records_have_paths_and_a_json_form(world: TreasuryWorld) -> None:
    alice, carol = format_address(ALICE), format_address(CAROL)
    for path, name, value in (
        ("/bank/EUR", "redeemed", "400"),
        (f"/dealer/{alice}/EUR", "liabilities", "777"),
        ("/redemption/EUR/1", "amount", "300"),
        (f"/credit-line/{carol}/EUR", "debt", "300"),
    ):
        key = resolve_path(path)
        assert describe_record(key, world.db[key])[name] == value
    for path, name, count in (("/dealers/EUR", "dealers", 2), ("/credit-lines/EUR", "accounts", 1)):
        key = resolve_path(path)
        assert len(describe_record(key, world.db[key])[name]) == count  # type: ignore[arg-type]
    for wrong in ("/bank/eur", "/dealer/x/EUR", "/redemption/EUR/x", "/redemption/EUR/01", "/redemption/EUR/" + "9" * 19):
        with pytest.raises(MalformedError):
            resolve_path(wrong)
    assert read_request("0") == 0


@pytest.mark.parametrize(
    ("key", "record"),
    [
        (bank_key("EUR"), NO_BANK),
        (bank_key("EUR"), Bank(1 << 700, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ((0, 1), (15, PPM)))),
        (dealers_key("EUR"), (ALICE,)),
        (dealers_key("EUR"), tuple(bytes([n]) * 32 for n in range(13))),
        (dealer_key(ALICE, "EUR"), Dealer(1, 2, 3, 4, 1 << 639, 1 << 80, 1 << 900, 5, 6, 7, 8, True)),
        (line_key(ALICE, "EUR"), CreditLine((1 << 640) - 1, 0, 1, 0, (("BND", 1 << 639), ("GLD", 1)))),
        (line_key(ALICE, "EUR"), CreditLine(0, 1, 1, 1, ())),
    ],
)
def test_records_survive_their_encoding(key: bytes, record: Any) -> None:
    found = decode_record(key, encode_record(key, record))
    assert (found, type(found)) == (record, type(record))
