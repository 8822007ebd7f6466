"""Pure reads of central banks for the RPC and the command line: supplies and what they are made of, rates, dealers, redemptions, lines.

Amounts are decimal strings of base units; what a dealer is owed is counted to the second that is asked for. Nothing here writes. See
`state.queries` for the forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from state.modules.gate import read_holding
from state.modules.treasury_books import get_bank, get_dealers
from state.modules.treasury_credit import show_collateral
from state.modules.treasury_moves import UNIT, compute_index, compute_required, compute_settled, get_available
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import check_asset_code, format_address, parse_address
from state.schema import asset_key, holding_key, supply_key
from state.schema_treasury import (
    BANK,
    BANK_PREFIX,
    DEALER_PREFIX,
    DEALERS_PREFIX,
    OF_ADDRESS,
    OF_ASSET_START,
    PREFIX_BYTES,
    REDEMPTION_ASSET_START,
    REDEMPTION_NUMBER,
    REDEMPTION_PREFIX,
    TREASURY,
    Bank,
    CreditLine,
    Dealer,
    Redemption,
    bank_key,
    dealer_key,
    dealers_key,
    line_key,
    lines_key,
    redemption_key,
)
from state.view import Reader, View

Json = dict[str, object]

NUMBER_DIGITS_MAX: Final = 18  # of a redemption's number as text: below 2^63


def read_request(text: str) -> int:
    """The number of a redemption. Raises `MalformedError`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > NUMBER_DIGITS_MAX or (text[0] == "0" and text != "0"):
        raise MalformedError("a redemption has a number, from 0 in each asset")
    return int(text)


def show_bank(key: bytes, record: Value) -> Json:
    """JSON form of a central bank's books, or of its list of dealers or of accounts with a credit line."""
    asset = key[PREFIX_BYTES:].decode("ascii")
    if key[:PREFIX_BYTES] != BANK_PREFIX:
        name = "dealers" if key[:PREFIX_BYTES] == DEALERS_PREFIX else "accounts"
        return {"asset": asset, name: [format_address(address) for address in record]}
    bank: Bank = record
    return {
        "asset": asset,
        "issued": str(bank.issued),
        "redeemed": str(bank.redeemed),
        "accrued": str(bank.accrued),
        "drawn": str(bank.drawn),
        "rate_ppm": bank.rate_ppm,
        "next_rate_ppm": bank.next_ppm if bank.next_s else None,
        "next_rate_from": bank.next_s,
        "index": str(bank.acc),
        "index_time": bank.acc_s,
        "period": bank.period,
        "period_time": bank.period_s,
        "requests": bank.requests,
        "reserve_ratios": [{"tier": tier, "ratio_ppm": ppm} for tier, ppm in bank.ratios],
    }


def show_treasury(key: bytes, record: Value) -> Json:
    """JSON form of a dealer, a redemption or a credit line."""
    kind = key[:PREFIX_BYTES]
    if kind == REDEMPTION_PREFIX:
        number = int.from_bytes(key[REDEMPTION_NUMBER], "big")
        return _show_redemption(number, key[REDEMPTION_ASSET_START:].decode("ascii"), record)
    who = {"account": format_address(key[OF_ADDRESS]), "asset": key[OF_ASSET_START:].decode("ascii")}
    return {**who, **(_show_dealer(record) if kind == DEALER_PREFIX else _show_line(record))}


TREASURY_PATHS: Final[dict[tuple[str, int], Callable[..., bytes]]] = {
    ("bank", 1): lambda code: bank_key(check_asset_code(code)),
    ("dealers", 1): lambda code: dealers_key(check_asset_code(code)),
    ("dealer", 2): lambda address, code: dealer_key(parse_address(address), check_asset_code(code)),
    ("redemption", 2): lambda code, number: redemption_key(read_request(number), check_asset_code(code)),
    ("credit-lines", 1): lambda code: lines_key(check_asset_code(code)),
    ("credit-line", 2): lambda address, code: line_key(parse_address(address), check_asset_code(code)),
}
TREASURY_SHOW: Final[dict[int, Callable[[bytes, Value], Json]]] = {BANK: show_bank, TREASURY: show_treasury}


def _show_dealer(dealer: Dealer) -> Json:
    return {
        "active": dealer.is_active,
        "tier": dealer.tier,
        "issue_max": str(dealer.issue_max),
        "window_max": str(dealer.window_max),
        "window_s": dealer.window_s,
        "window_start": dealer.window_start_s,
        "window_used": str(dealer.used),
        "liabilities": str(dealer.liabilities),
        "reported": dealer.reported_s,
        "interest_base": str(dealer.base),
        "interest_index": str(dealer.ref),
        "interest_parts": str(dealer.owed),
    }


def _show_redemption(number: int, asset: str, record: Redemption) -> Json:
    return {
        "asset": asset,
        "request": number,
        "dealer": format_address(record.dealer),
        "amount": str(record.amount),
        "ref": record.ref,
        "since": record.since_s,
        "expires": record.until_s,
    }


def _show_line(line: CreditLine) -> Json:
    return {
        "limit": str(line.limit),
        "debt": str(line.debt),
        "left": str(max(0, line.limit - line.debt)),
        "since": line.since_s,
        "owes_since": line.drawn_s,
        "collateral": show_collateral(line.collateral),
    }


def get_supply_parts(reader: Reader, asset: str) -> Json | None:
    """A supply and what it is made of; None if there is no such asset.

    issued - redeemed + accrued + drawn + other = supply; `other` is what was there at the start or came and went by mint and burn, and may
    be below zero.
    """
    view = View(reader)
    record = view.get(asset_key(check_asset_code(asset)))
    if record is None:
        return None
    bank = get_bank(view, asset)
    supply: int = (view.get(supply_key(asset)) or (0,))[0]
    known = bank.issued - bank.redeemed + bank.accrued + bank.drawn
    return {
        "asset": asset,
        "scale": record[0],
        "issuer": format_address(record[3]),
        "max_supply": str(record[1]) if record[1] else "",
        "supply": str(supply),
        "issued": str(bank.issued),
        "redeemed": str(bank.redeemed),
        "accrued": str(bank.accrued),
        "drawn": str(bank.drawn),
        "other": str(supply - known),
    }


def get_rate(reader: Reader, asset: str, time_s: int) -> Json | None:
    """The policy rate at a time, what is announced, and what all dealers are owed; None if there is no such asset."""
    view = View(reader)
    if view.get(asset_key(check_asset_code(asset))) is None:
        return None
    bank = get_bank(view, asset)
    in_force = bool(bank.next_s) and bank.next_s <= time_s
    announced = bool(bank.next_s) and not in_force
    owed = 0
    for address in get_dealers(view, asset):
        owed += compute_settled(bank, view.get(dealer_key(address, asset)), time_s).owed // UNIT
    return {
        "asset": asset,
        "rate_ppm": bank.next_ppm if in_force else bank.rate_ppm,
        "next_rate_ppm": bank.next_ppm if announced else None,
        "next_rate_from": bank.next_s if announced else 0,
        "index": str(compute_index(bank, time_s)),
        "period": bank.period,
        "period_time": bank.period_s,
        "owed": str(owed),
        "accrued": str(bank.accrued),
        "reserve_ratios": [{"tier": tier, "ratio_ppm": ppm} for tier, ppm in bank.ratios],
    }


def get_dealer_of(reader: Reader, address: bytes, asset: str, time_s: int) -> Json | None:
    """A dealer: terms, what he holds and must keep, what he is owed; None if he is none."""
    view = View(reader)
    dealer: Dealer | None = view.get(dealer_key(address, check_asset_code(asset)))
    if dealer is None:
        return None
    bank = get_bank(view, asset)
    code = asset.encode("ascii")
    balance, held, _ = read_holding(view.get(holding_key(address, asset)))
    available = get_available(view, address, code)[0] if dealer.is_active else balance - held
    return {
        **show_treasury(dealer_key(address, asset), dealer),
        "balance": str(balance),
        "held": str(held),
        "required": str(compute_required(bank, dealer)),
        "available": str(available),
        "interest_owed": str(compute_settled(bank, dealer, time_s).owed // UNIT),
    }


def get_dealers_of(reader: Reader, asset: str, time_s: int) -> list[Json]:
    """Every dealer of an asset."""
    dealers = get_dealers(View(reader), check_asset_code(asset))
    return [found for address in dealers if (found := get_dealer_of(reader, address, asset, time_s)) is not None]


def get_redemption(reader: Reader, asset: str, number: int) -> Json | None:
    """An open redemption; None if there is none, or no longer."""
    key = redemption_key(number, check_asset_code(asset))
    record = View(reader).get(key)
    return None if record is None else show_treasury(key, record)


def get_redemptions(reader: Reader, asset: str, start: int, limit: int) -> Json:
    """The open ones of `limit` redemptions from number `start`, and how many were ever asked for."""
    count = get_bank(View(reader), check_asset_code(asset)).requests
    numbers = range(start, min(count, start + limit))
    found = [shown for number in numbers if (shown := get_redemption(reader, asset, number)) is not None]
    return {"asset": asset, "requests": count, "redemptions": found}


def get_credit_line(reader: Reader, address: bytes, asset: str) -> Json | None:
    """An account's credit line; None if it has none."""
    key = line_key(address, check_asset_code(asset))
    record = View(reader).get(key)
    return None if record is None else show_treasury(key, record)


def get_credit_lines(reader: Reader, asset: str) -> list[Json]:
    """Every credit line in an asset: who owes what, and since when."""
    accounts: tuple[bytes, ...] = View(reader).get(lines_key(check_asset_code(asset))) or ()
    return [found for address in accounts if (found := get_credit_line(reader, address, asset)) is not None]
