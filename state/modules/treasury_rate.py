"""The policy rate: announced, never retroactive, paid by an operation that says how much it mints.

Remunerated are the dealers of an asset whose issuer has reserved it at creation (FLAG_REMUNERATED), for all they hold, what is held in
place included, by the second. Their number is bounded, so one operation pays them all. A rate is in parts per million of a year of 365
days and interest is counted in `UNIT`s, of which a base unit has a whole number: nothing is rounded, and what is less than one unit
stays owed. Source: ledger rules, sections 1.2 and 6 (treasury).
"""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.events_treasury import ACCRUED, INTEREST_PAID, RATE_ANNOUNCED
from state.modules.claims import park
from state.modules.gate import FLAG_REMUNERATED, require_running
from state.modules.operation import OpContext
from state.modules.treasury_books import get_bank, get_dealers, mint_allowed, require_issuer, require_minting
from state.modules.treasury_dealers import remove_dealer
from state.modules.treasury_moves import UNIT, compute_index, compute_settled
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.limits import RATE_PPM_MAX
from state.schema_treasury import Bank, Dealer, bank_key, dealer_key


def compute_rolled(bank: Bank, time_s: int) -> Bank:
    """The books with the index at `time_s` and, from its time on, the announced rate in force."""
    rolled = bank._replace(acc=compute_index(bank, time_s), acc_s=time_s)
    if bank.next_s and bank.next_s <= time_s:
        rolled = rolled._replace(rate_ppm=bank.next_ppm, next_ppm=0, next_s=0)
    return rolled


def set_rate(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.set_rate, from a time to come on; it replaces a change that is not in force yet: 401, 1201, 204, 1203, 708."""
    asset, rate_ppm, effective_from = args
    _require_remunerated(require_issuer(context, account, asset), asset)
    if rate_ppm > RATE_PPM_MAX:
        raise OperationFailed(Code.RATE_OUT_OF_RANGE, f"a rate is 0 to {RATE_PPM_MAX} parts per million a year")
    if effective_from <= context.time_s:
        raise OperationFailed(Code.TOO_LATE, f"a rate is announced before it takes effect; the block is at {context.time_s}")
    bank = compute_rolled(get_bank(context.view, asset), context.time_s)
    context.view.put(bank_key(asset), bank._replace(next_ppm=rate_ppm, next_s=effective_from))
    context.emit(RATE_ANNOUNCED, asset, rate_ppm, effective_from)


def accrue(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.accrue of the next period, which ends now: 401, 1201, 204, 604, 1204, 707, 906 (nothing is owed), 204, 405, 404.

    Whoever may not receive his interest finds it as a claim.
    """
    asset, period = args
    record = require_minting(context, account, asset)
    _require_remunerated(record, asset)
    view, code = context.view, asset.encode("ascii")
    require_running(context, code, record)
    bank = get_bank(view, asset)
    if period <= bank.period:
        raise OperationFailed(Code.PERIOD_ALREADY_ACCRUED, f"{bank.period} periods are accrued")
    if period != bank.period + 1:
        raise OperationFailed(Code.TOO_EARLY, f"the next period is {bank.period + 1}")
    payments: list[tuple[bytes, int]] = []
    for address in get_dealers(view, asset):
        whole = _settle(context, bank, address, asset)
        if whole:
            payments.append((address, whole))
    total = sum(amount for _, amount in payments)
    if not total:
        raise OperationFailed(Code.NOTHING_TO_CLAIM, "no dealer is owed a whole unit of interest")
    mint_allowed(context, account, asset, total)
    rolled = compute_rolled(bank, context.time_s)
    view.put(
        bank_key(asset), rolled._replace(accrued=bank.accrued + total, period=period, period_s=context.time_s)
    )
    for address, amount in payments:
        try:
            context.credit(address, code, amount)
        except OperationFailed as failure:
            park(context, address, code, amount, failure.result)
        context.emit(INTEREST_PAID, asset, address, period, amount)
    context.emit(ACCRUED, asset, period, total, len(payments), context.time_s)


def _settle(context: OpContext, bank: Bank, address: bytes, asset: str) -> int:
    """Take the whole units that a dealer is owed off his record; a dismissed one is forgotten with it."""
    dealer: Dealer = context.view.get(dealer_key(address, asset))
    dealer = compute_settled(bank, dealer, context.time_s)
    whole, rest = divmod(dealer.owed, UNIT)
    context.view.put(dealer_key(address, asset), dealer._replace(owed=rest))
    if not dealer.is_active:
        remove_dealer(context, address, asset)
    return whole


def _require_remunerated(record: Value, asset: str) -> None:
    if not record[2] & FLAG_REMUNERATED:
        raise OperationFailed(Code.NO_PERMISSION, f"{asset} was created without interest")
