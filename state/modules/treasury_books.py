"""What every operation of a central bank needs: who it is, its books, its dealers, minting within its allowance, holding in place.

The central bank of an asset is its issuer. Money is made for good (issues, injections, interest) by the issuer or a minter whom it has
appointed, each within his own allowance, so nothing is made that was not allowed before. Books are read and written in one step: a credit
in between may repay a debt and so change them. No operation goes in here. Source: ledger rules, section 6 (treasury).
"""

from __future__ import annotations

from state.codes import Code
from state.marks import TREASURY_MARKS
from state.modules.assets import get_asset
from state.modules.gate import put_holding, read_holding
from state.modules.operation import OpContext
from state.modules.treasury_moves import get_available
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.limits import AMOUNT_MAX
from state.schema import HOLDING_PREFIX, minter_key, supply_key
from state.schema_treasury import NO_BANK, Bank, Dealer, bank_key, dealer_key, dealers_key
from state.view import View


def get_bank(view: View, asset: str) -> Bank:
    """The books of an asset's central bank; empty ones if it has done nothing yet."""
    bank: Bank = view.get(bank_key(asset)) or NO_BANK
    return bank


def get_dealers(view: View, asset: str) -> tuple[bytes, ...]:
    """Addresses of an asset's dealers, sorted; the dismissed ones who are still owed interest too."""
    dealers: tuple[bytes, ...] = view.get(dealers_key(asset)) or ()
    return dealers


def require_issuer(context: OpContext, account: bytes, asset: str) -> Value:
    """The asset's record if the account issues it: 401, 1201."""
    record = get_asset(context, asset)
    if record[3] != account:
        raise OperationFailed(Code.NOT_ISSUER, f"the account is not the issuer of {asset}")
    return record


def require_minting(context: OpContext, account: bytes, asset: str) -> Value:
    """The asset's record if the account issues it or is a minter of it: 401, 1201."""
    record = get_asset(context, asset)
    if record[3] != account and context.view.get(minter_key(account, asset)) is None:
        raise OperationFailed(Code.NOT_ISSUER, f"the account is neither the issuer nor a minter of {asset}")
    return record


def require_dealer(context: OpContext, account: bytes, asset: str) -> Dealer:
    """An active dealer of an asset, or fail with 1202."""
    dealer: Dealer | None = context.view.get(dealer_key(account, asset))
    if dealer is None or not dealer.is_active:
        raise OperationFailed(Code.NOT_DEALER, f"the account is not a dealer of {asset}")
    return dealer


def require_amount(amount: int) -> None:
    """Fail with 503 if an amount is zero."""
    if amount == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")


def mint_allowed(context: OpContext, account: bytes, asset: str, amount: int) -> None:
    """Raise the supply by `amount` > 0 that is given out in the same operation: 204, 405, 404."""
    view = context.view
    minter = view.get(minter_key(account, asset))
    if minter is None:
        raise OperationFailed(Code.NO_PERMISSION, f"the account has no allowance to mint {asset}")
    allowance, minted = minter[:2]
    if minted + amount > allowance:
        raise OperationFailed(Code.MINT_ALLOWANCE, f"{allowance - minted} of the allowance is left")
    supply = (view.get(supply_key(asset)) or (0,))[0] + amount
    if supply > (get_asset(context, asset)[1] or AMOUNT_MAX):
        raise OperationFailed(Code.MAX_SUPPLY, "the supply would exceed its maximum")
    view.put(minter_key(account, asset), (allowance, minted + amount, *minter[2:]))
    view.put(supply_key(asset), (supply,))


def hold_in_place(context: OpContext, owner: bytes, asset: str, amount: int) -> None:
    """Hold `amount` of what an account may spend in its own holding: 502, 501."""
    code = asset.encode("ascii")
    key = HOLDING_PREFIX + owner + code
    balance, held, marks = read_holding(context.view.values[key])
    required = get_available(context.view, owner, code)[1] if marks & TREASURY_MARKS else 0
    if balance - held - required < amount:
        if amount <= balance:
            available = max(0, balance - held - required)
            raise OperationFailed(Code.INSUFFICIENT_AVAILABLE, f"{available} available, {held} held, {amount} needed")
        raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{balance} held, {amount} needed")
    put_holding(context.view, key, balance, held + amount, marks)


def free_held(context: OpContext, owner: bytes, asset: str, amount: int) -> None:
    """Let an account have back what was held in its holding; it never left it, so no rule can keep it from it."""
    key = HOLDING_PREFIX + owner + asset.encode("ascii")
    balance, held, marks = read_holding(context.view.values[key])
    put_holding(context.view, key, balance, held - amount, marks)
