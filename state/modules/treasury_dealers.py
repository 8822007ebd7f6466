"""Dealers of a central bank: who may be issued money and how much of it, and what of it must stay in reserve.

A dealer's limits are on one issue and on a window of time that begins with the first issue in it. A new appointment replaces tier and
limits and keeps what was used. Who is dismissed keeps what he holds and what he has earned. Source: ledger rules, section 6 (treasury).
"""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.events_treasury import (
    DEALER_APPOINTED,
    DEALER_DISMISSED,
    ISSUED,
    LIABILITIES_REPORTED,
    LIQUIDITY_INJECTED,
    RESERVE_RATIO_SET,
)
from state.marks import RESERVE
from state.modules.assets import get_asset
from state.modules.fields import malformed
from state.modules.gate import read_holding
from state.modules.operation import OpContext
from state.modules.treasury_books import (
    get_bank,
    get_dealers,
    mint_allowed,
    require_amount,
    require_dealer,
    require_issuer,
    require_minting,
)
from state.modules.treasury_moves import UNIT, compute_index, compute_required, compute_settled, set_mark
from state.primitives.errors import OperationFailed
from state.primitives.limits import DEALER_TIERS_MAX, DEALER_WINDOW_S_MAX, DEALERS_MAX
from state.schema import holding_key
from state.schema_treasury import Dealer, bank_key, dealer_key, dealers_key


def check_appoint(args: tuple[Any, ...]) -> None:
    """A tier within bounds; a window exactly when there is a limit on it (101)."""
    _, _, tier, _, window_max, window_s = args
    if tier >= DEALER_TIERS_MAX:
        raise malformed(f"a tier is 0 to {DEALER_TIERS_MAX - 1}")
    if bool(window_max) != bool(window_s) or window_s > DEALER_WINDOW_S_MAX:
        raise malformed("a limit on a window has a window of at most a year, and none has none")


def appoint_dealer(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.appoint_dealer, or new terms for one: 401, 1201, 504, 506, 301, 508 (too many)."""
    asset, address, tier, issue_max, window_max, window_s = args
    require_issuer(context, account, asset)
    if address == account:
        raise OperationFailed(Code.SELF_TRANSFER, "the central bank is no dealer of its own")
    context.require_recipient(address)
    view = context.view
    bank = get_bank(view, asset)
    dealers = get_dealers(view, asset)
    dealer: Dealer | None = view.get(dealer_key(address, asset))
    if dealer is None:
        if len(dealers) >= DEALERS_MAX:
            raise OperationFailed(Code.ASSERT_FAILED, f"an asset has at most {DEALERS_MAX} dealers")
        view.put(dealers_key(asset), tuple(sorted((*dealers, address))))
        dealer = Dealer(0, 0, 0, 0, 0, compute_index(bank, context.time_s), 0, 0, 0, 0, 0, False)
    dealer = compute_settled(bank, dealer, context.time_s)
    if not dealer.is_active:
        set_mark(view, address, asset.encode("ascii"), RESERVE, on=True)
        balance = read_holding(view.get(holding_key(address, asset)))[0]
        dealer = dealer._replace(base=balance, is_active=True, used=0, window_start_s=0)
    terms = {"tier": tier, "issue_max": issue_max, "window_max": window_max, "window_s": window_s}
    view.put(dealer_key(address, asset), dealer._replace(**terms))
    view.put(bank_key(asset), bank)
    context.emit(DEALER_APPOINTED, asset, address, tier, issue_max, window_max, window_s)


def dismiss_dealer(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.dismiss_dealer: 401, 1201, 1202. A whole unit of interest that he has earned is paid with the next accrual."""
    asset, address = args
    require_issuer(context, account, asset)
    dealer = require_dealer(context, address, asset)
    view = context.view
    dealer = compute_settled(get_bank(view, asset), dealer, context.time_s)
    set_mark(view, address, asset.encode("ascii"), RESERVE, on=False)
    if dealer.owed >= UNIT:
        view.put(dealer_key(address, asset), dealer._replace(base=0, is_active=False, liabilities=0, reported_s=0))
    else:
        remove_dealer(context, address, asset)
    context.emit(DEALER_DISMISSED, asset, address)


def remove_dealer(context: OpContext, address: bytes, asset: str) -> None:
    """Forget a dismissed dealer who is owed less than one unit."""
    view = context.view
    view.put(dealer_key(address, asset), None)
    view.put(dealers_key(asset), tuple(other for other in get_dealers(view, asset) if other != address) or None)


def issue(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.issue: 503, 401, 1201, 1202, 609, 610, 204, 405, 404."""
    asset, dealer, amount, facility, ref = args
    require_amount(amount)
    require_minting(context, account, asset)
    _use_limits(context, dealer, asset, amount)
    mint_allowed(context, account, asset, amount)
    _give(context, account, asset, dealer, amount, facility, ref)


def inject(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.inject, every leg or none: 503, 401, 1201, then leg by leg 1202, 609, 610; 204, 405, 404."""
    asset, legs, facility, ref = args
    total = 0
    for _, amount in legs:
        require_amount(amount)
        total += amount
    require_minting(context, account, asset)
    for dealer, amount in legs:
        _use_limits(context, dealer, asset, amount)
    mint_allowed(context, account, asset, total)
    for dealer, amount in legs:
        _give(context, account, asset, dealer, amount, facility, ref)
    context.emit(LIQUIDITY_INJECTED, asset, account, total, len(legs), facility, ref)


def check_inject(args: tuple[Any, ...]) -> None:
    """At least one leg (101)."""
    if not args[1]:
        raise malformed("an injection has at least one leg")


def _use_limits(context: OpContext, address: bytes, asset: str, amount: int) -> None:
    dealer = require_dealer(context, address, asset)
    if dealer.issue_max and amount > dealer.issue_max:
        raise OperationFailed(Code.LIMIT_PER_TX, f"a dealer of this kind gets at most {dealer.issue_max} at once")
    if not dealer.window_max:
        return
    if context.time_s >= dealer.window_start_s + dealer.window_s:
        dealer = dealer._replace(used=0, window_start_s=context.time_s)
    used = dealer.used + amount
    if used > dealer.window_max:
        left = max(0, dealer.window_max - dealer.used)
        until_s = dealer.window_start_s + dealer.window_s
        raise OperationFailed(Code.LIMIT_WINDOW, f"{left} of the dealer's limit is left until {until_s}")
    context.view.put(dealer_key(address, asset), dealer._replace(used=used))


def _give(
    context: OpContext, account: bytes, asset: str, dealer: bytes, amount: int, facility: str, ref: str
) -> None:
    """Give a dealer what was minted for him; a debt of his is repaid from it first."""
    context.credit(dealer, asset.encode("ascii"), amount)
    bank = get_bank(context.view, asset)
    context.view.put(bank_key(asset), bank._replace(issued=bank.issued + amount))
    context.emit(ISSUED, asset, account, dealer, amount, facility, ref)


def check_ratio(args: tuple[Any, ...]) -> None:
    """A tier within bounds (101)."""
    if args[1] >= DEALER_TIERS_MAX:
        raise malformed(f"a tier is 0 to {DEALER_TIERS_MAX - 1}")


def set_reserve_requirement(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.set_reserve_requirement of a tier, in force at once; zero ends it: 401, 1201."""
    asset, tier, ratio_ppm = args
    require_issuer(context, account, asset)
    bank = get_bank(context.view, asset)
    ratios = dict(bank.ratios)
    ratios.pop(tier, None)
    if ratio_ppm:
        ratios[tier] = ratio_ppm
    context.view.put(bank_key(asset), bank._replace(ratios=tuple(sorted(ratios.items()))))
    context.emit(RESERVE_RATIO_SET, asset, tier, ratio_ppm)


def report_liabilities(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.report_liabilities by a dealer: 401, 1202. Zero is a report too."""
    asset, amount = args
    get_asset(context, asset)
    dealer = require_dealer(context, account, asset)._replace(liabilities=amount, reported_s=context.time_s)
    context.view.put(dealer_key(account, asset), dealer)
    required = compute_required(get_bank(context.view, asset), dealer)
    context.emit(LIABILITIES_REPORTED, asset, account, amount, required)
