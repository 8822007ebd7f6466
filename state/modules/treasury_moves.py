"""What a central bank has to say when value moves in or out of a holding that bears its mark: interest, reserves, credit.

`OpContext` comes here for holdings with the marks RESERVE and OVERDRAWN and for no others. A dealer's interest is settled before
his balance changes, so it is exact to the second; what he may spend leaves his required reserve where it is; a payment that runs short
draws on the account's credit line, and what comes in repays it first. Drawing mints, repaying burns, the same amount in the line's
debt, in the bank's `drawn` and in the supply. No operation goes in here. Source: ledger rules, section 6 (treasury).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from state.codes import Code
from state.events_treasury import CREDIT_DRAWN, CREDIT_REPAID
from state.marks import OVERDRAWN, RESERVE
from state.modules.gate import put_holding
from state.primitives.errors import OperationFailed
from state.primitives.limits import AMOUNT_MAX, PPM
from state.schema_treasury import (
    BANK_PREFIX,
    DEALER_PREFIX,
    LINE_PREFIX,
    Bank,
    CreditLine,
    Dealer,
)
from state.view import View

if TYPE_CHECKING:
    from state.modules.operation import OpContext

YEAR_S: Final = 365 * 24 * 3_600
UNIT: Final = PPM * YEAR_S  # interest is counted in this fraction of a base unit, in which nothing has to be rounded
_HOLDING: Final = b" h"
_SUPPLY: Final = b" s"
_ASSET: Final = b" A"


def compute_index(bank: Bank, time_s: int) -> int:
    """What one unit held since the beginning has earned up to `time_s`, in parts of `UNIT`; an announced change counts from its second."""
    acc, since_s, rate = bank.acc, bank.acc_s, bank.rate_ppm
    if bank.next_s and bank.next_s <= time_s:
        acc += rate * (bank.next_s - since_s)
        since_s, rate = bank.next_s, bank.next_ppm
    return acc + rate * (time_s - since_s)


def compute_settled(bank: Bank, dealer: Dealer, time_s: int) -> Dealer:
    """A dealer with what he has earned up to `time_s`."""
    acc = compute_index(bank, time_s)
    return dealer._replace(ref=acc, owed=dealer.owed + dealer.base * (acc - dealer.ref))


def compute_required(bank: Bank, dealer: Dealer) -> int:
    """What a dealer must keep: his tier's part of the liabilities he reports, rounded up."""
    ratio = next((ppm for tier, ppm in bank.ratios if tier == dealer.tier), 0)
    return -(-dealer.liabilities * ratio // PPM)


def follow(context: OpContext, address: bytes, code: bytes, balance: int) -> None:
    """Settle a dealer's interest, whose holding is now `balance`."""
    values = context.view.values
    key = DEALER_PREFIX + address + code
    dealer = compute_settled(values[BANK_PREFIX + code], values[key], context.time_s)
    context.view.put(key, dealer._replace(base=balance))


def get_available(view: View, address: bytes, code: bytes) -> tuple[int, int]:
    """(what a marked holding can spend, what of it must stay as reserve); neither counts what is held."""
    balance, held, marks = view.values[_HOLDING + address + code]
    if not marks & RESERVE:
        return balance - held, 0
    required = compute_required(view.values[BANK_PREFIX + code], view.values[DEALER_PREFIX + address + code])
    return max(0, balance - held - required), required


def prepare_debit(context: OpContext, address: bytes, code: bytes, amount: int) -> None:
    """Before `amount` > 0 leaves a marked holding: draw what is missing, 501; or, without a credit line, keep the reserve, 502.

    Neither is asked of what the account promised before and somebody else takes now (a hold that is posted, a settlement).
    """
    if not context.is_authorised_by(address):
        return
    view = context.view
    balance, held, marks = view.values[_HOLDING + address + code]
    available, required = get_available(view, address, code)
    if amount <= available:
        return
    if marks & OVERDRAWN:
        _draw(context, address, code, amount - available)
    elif required and amount <= balance:
        message = f"{available} available, {held} held, {required} required as reserve, {amount} needed"
        raise OperationFailed(Code.INSUFFICIENT_AVAILABLE, message)


def _draw(context: OpContext, address: bytes, code: bytes, shortfall: int) -> None:
    view = context.view
    values = view.values
    key, supply_key, bank_key = LINE_PREFIX + address + code, _SUPPLY + code, BANK_PREFIX + code
    line: CreditLine = values[key]
    if line.debt + shortfall > line.limit:
        left = max(0, line.limit - line.debt)
        raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{shortfall} short, {left} left of the credit line")
    supply = (values[supply_key] or (0,))[0] + shortfall
    if supply > (values[_ASSET + code][1] or AMOUNT_MAX):
        raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{shortfall} short, and the supply has reached its maximum")
    debt = line.debt + shortfall
    bank: Bank = values[bank_key]
    view.put(supply_key, (supply,))
    view.put(bank_key, bank._replace(drawn=bank.drawn + shortfall))
    view.put(key, line._replace(debt=debt, drawn_s=line.drawn_s or context.time_s))
    context.give(address, code, shortfall)
    context.emit(CREDIT_DRAWN, code.decode("ascii"), address, shortfall, debt)


def repay_from(context: OpContext, address: bytes, code: bytes, amount: int) -> None:
    """Repay up to `amount`, which has just come in, of what an account owes."""
    line: CreditLine = context.view.values[LINE_PREFIX + address + code]
    if line.debt:
        repay_debt(context, address, code, min(amount, line.debt))


def repay_debt(context: OpContext, address: bytes, code: bytes, amount: int) -> None:
    """Burn `amount`, more than zero and at most the debt, of what an account can spend: 502, 501."""
    view = context.view
    key, bank_key = LINE_PREFIX + address + code, BANK_PREFIX + code
    line: CreditLine = view.values[key]
    bank: Bank = view.values[bank_key]
    debt = line.debt - amount
    context.take(address, code, amount)
    burn_supply(view, code, amount)
    view.put(bank_key, bank._replace(drawn=bank.drawn - amount))
    view.put(key, line._replace(debt=debt, drawn_s=line.drawn_s if debt else 0))
    context.emit(CREDIT_REPAID, code.decode("ascii"), address, amount, debt)


def burn_supply(view: View, code: bytes, amount: int) -> None:
    """Lower a supply by what was taken out of a holding."""
    supply = view.values[_SUPPLY + code][0] - amount
    view.put(_SUPPLY + code, (supply,) if supply else None)


def set_mark(view: View, address: bytes, code: bytes, mark: int, *, on: bool) -> None:
    """Set or clear one of the marks of a holding."""
    key = _HOLDING + address + code
    record = view.values[key]
    balance, held, marks = record if record is not None and len(record) > 1 else ((record or (0,))[0], 0, 0)
    put_holding(view, key, balance, held, marks | mark if on else marks & ~mark)
