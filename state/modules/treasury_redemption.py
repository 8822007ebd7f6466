"""Redemption in two steps: a dealer asks, the amount is held in his own holding; the central bank burns it, or it is freed.

What is held still earns interest, counts as his and can be frozen, in which case it is not burned either, but he cannot spend it. A
request that nobody answers is free again from its date on, whether the calendar has come to it or not: nobody can burn it after that.
Source: ledger rules, sections 1.4 and 6.
"""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.events_treasury import REDEEMED, REDEMPTION_FREED, REDEMPTION_REQUESTED
from state.modules.assets import get_asset
from state.modules.calendar import schedule
from state.modules.gate import require_debit, require_position
from state.modules.operation import OpContext
from state.modules.treasury_books import (
    free_held,
    get_bank,
    hold_in_place,
    require_amount,
    require_dealer,
    require_minting,
)
from state.modules.treasury_moves import burn_supply
from state.primitives.errors import OperationFailed
from state.primitives.limits import REDEMPTION_S_MAX
from state.schema_treasury import (
    REDEMPTION_ASSET_START,
    REDEMPTION_NUMBER,
    Redemption,
    bank_key,
    redemption_key,
)

REDEMPTION_DUE = 60  # the kind of its entry in the calendar


def redeem_request(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.redeem_request by a dealer: 503, 401, 1202, 708, 1107, then the gate's; 502, 501."""
    asset, amount, expires, ref = args
    require_amount(amount)
    get_asset(context, asset)
    require_dealer(context, account, asset)
    if expires <= context.time_s:
        raise OperationFailed(Code.TOO_LATE, f"it would expire at {expires}, which is past")
    if expires > context.time_s + REDEMPTION_S_MAX:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"a request waits for {REDEMPTION_S_MAX} s at most")
    require_debit(context, account, asset.encode("ascii"), 0, b"")
    hold_in_place(context, account, asset, amount)
    view = context.view
    bank = get_bank(view, asset)
    number = bank.requests
    key = redemption_key(number, asset)
    view.put(bank_key(asset), bank._replace(requests=number + 1))
    view.put(key, Redemption(amount, account, ref, context.time_s, expires))
    schedule(context, REDEMPTION_DUE, expires, key)
    context.emit(REDEMPTION_REQUESTED, asset, account, number, amount, expires, ref)


def redeem_confirm(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.redeem_confirm by the issuer or a minter of his, burning the amount: 401, 1201, 1205, 704, then the gate's."""
    asset, number = args
    require_minting(context, account, asset)
    record = _get_redemption(context, asset, number)
    if context.time_s >= record.until_s:
        raise OperationFailed(Code.PENDING_EXPIRED, f"the request expired at {record.until_s}")
    view, code = context.view, asset.encode("ascii")
    free_held(context, record.dealer, asset, record.amount)
    require_debit(context, record.dealer, code, record.amount, b"")
    context.take(record.dealer, code, record.amount)
    burn_supply(view, code, record.amount)
    bank = get_bank(view, asset)
    view.put(bank_key(asset), bank._replace(redeemed=bank.redeemed + record.amount))
    view.put(redemption_key(number, asset), None)
    context.emit(REDEEMED, asset, record.dealer, number, record.amount, record.ref)


def redeem_cancel(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.redeem_cancel by the issuer or by who has asked: 401, 1205, 204, then for the latter the gate's."""
    asset, number = args
    issuer = get_asset(context, asset)[3]
    record = _get_redemption(context, asset, number)
    if account not in (issuer, record.dealer):
        raise OperationFailed(Code.NO_PERMISSION, "only the central bank and who has asked may cancel it")
    if account == record.dealer:
        require_position(context, account, asset.encode("ascii"), is_exit=True)
    _free(context, asset, number, record, "cancelled")


def settle_redemption(context: OpContext, key: bytes) -> None:
    """The calendar's part: free what nobody has answered."""
    record: Redemption | None = context.view.get(key)
    if record is not None:
        number = int.from_bytes(key[REDEMPTION_NUMBER], "big")
        _free(context, key[REDEMPTION_ASSET_START:].decode("ascii"), number, record, "expired")


def _get_redemption(context: OpContext, asset: str, number: int) -> Redemption:
    record: Redemption | None = context.view.get(redemption_key(number, asset))
    if record is None:
        raise OperationFailed(Code.REDEMPTION_NOT_FOUND, f"there is no open redemption {number} of {asset}")
    return record


def _free(context: OpContext, asset: str, number: int, record: Redemption, reason: str) -> None:
    free_held(context, record.dealer, asset, record.amount)
    context.view.put(redemption_key(number, asset), None)
    context.emit(REDEMPTION_FREED, asset, record.dealer, number, record.amount, reason)
