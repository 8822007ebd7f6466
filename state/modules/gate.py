"""The one gate through which value leaves and enters an account: freezes, pauses, authorisations, acceptance, limits, holds.

`OpContext.debit` and `credit` come here when an account, an asset or a holding bears a mark, whatever the operation: payment, hold,
escrow, pool, farm, stake. `require_payment` is what two accounts must satisfy between them. Codes are given in the order in which
they stand in the functions' texts. Module accounts are not asked: every movement has an account of somebody on its other side.
Who is frozen may not act upon what he has in a module either: `require_acting` is asked for every operation of a marked account,
`require_position` by each module for the holdings concerned. A freeze whose time is over counts no more, swept or not.
No operation goes in here, and nothing that moves value. Source: ledger rules, section 1.5 and invariants I3, I26, I27.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from state.codes import Code
from state.marks import (
    ACCEPTED,
    ALLOW_LISTED,
    AUTHORISED,
    CLOSED,
    DEBIT_FROZEN,
    DEEP_FROZEN,
    DELEGATING,
    FREEZE_MARKS,
    GUARDED,
    HOLDING_DEEP_FROZEN,
    HOLDING_FREEZE_MARKS,
    HOLDING_LIMITED,
    MAINTAINED,
    PAUSED,
    SANCTIONED,
    TRAVEL_RULE,
)
from state.modules.standing import UNKNOWN, find_jurisdiction
from state.modules.travel import is_travel_needed, require_travel
from state.modules.velocity import count_credit, count_debit
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.schema import ACCOUNT_PREFIX, ASSET_PREFIX, HOLDING_PREFIX
from state.schema_accounts import allowlist_key
from state.schema_freezes import Freeze, account_freeze_key, holding_freeze_key, pause_key
from state.schema_kyc import AssetRules, asset_rules_key
from state.view import View

if TYPE_CHECKING:
    from state.modules.operation import OpContext, Operation

# what the issuer of an asset may allow or reserve; set when it is created
FLAG_TRANSFERABLE: Final = 1
FLAG_TRADABLE: Final = 2  # pools may hold it
FLAG_LOCKABLE: Final = 4  # holds and allocations may be made of it
FLAG_ESCROWABLE: Final = 8
FLAG_STAKEABLE: Final = 16  # farms may take or pay it
FLAG_CLAWBACK: Final = 32
FLAG_REQUIRE_AUTH: Final = 64
FLAG_REQUIRE_ACCEPT: Final = 128
FLAG_PAUSABLE: Final = 256
FLAG_FREEZABLE: Final = 512
FLAG_REMUNERATED: Final = 1024  # its central bank may pay interest on it
FLAGS_OPEN: Final = FLAG_TRANSFERABLE | FLAG_TRADABLE | FLAG_LOCKABLE | FLAG_ESCROWABLE | FLAG_STAKEABLE  # what holders may do
FLAGS_GUARDED: Final = FLAG_REQUIRE_AUTH | FLAG_REQUIRE_ACCEPT  # each holder's own marks are asked

_NOTHING: Final[tuple[int, int, int]] = (0, 0, 0)


def read_holding(holding: Value) -> tuple[int, int, int]:
    """(balance, held, marks) of a holding's record, or of None."""
    if holding is None:
        return _NOTHING
    return holding if len(holding) > 1 else (holding[0], 0, 0)


def put_holding(view: View, key: bytes, balance: int, held: int, marks: int) -> None:
    """Write a holding in the shortest of its forms; one of nothing is deleted."""
    if held or marks:
        view.put(key, (balance, held, marks))
    else:
        view.put(key, (balance,) if balance else None)


def account_marks(context: OpContext, address: bytes, marks: int) -> int:
    """The marks of an account as they count now."""
    if marks & FREEZE_MARKS and _is_over(context, account_freeze_key(address)):
        return marks & ~FREEZE_MARKS
    return marks


def holding_marks(context: OpContext, address: bytes, code: bytes, marks: int) -> int:
    """The marks of a holding as they count now."""
    if marks & HOLDING_FREEZE_MARKS and _is_over(context, holding_freeze_key(address, code)):
        return marks & ~HOLDING_FREEZE_MARKS
    return marks


def _is_over(context: OpContext, key: bytes) -> bool:
    freeze: Freeze | None = context.view.values[key]
    return freeze is not None and freeze.is_over(context.time_s)


def require_acting(context: OpContext, operation: Operation, address: bytes) -> None:
    """Whether an account, which bears a mark, may act at all: 303, 603, 602, 601."""
    marks = context.view.values[ACCOUNT_PREFIX + address][4]
    _require_open(marks)
    if marks & FREEZE_MARKS and operation.is_stopped_by_freeze:
        _require_free(account_marks(context, address, marks))


def require_position(context: OpContext, address: bytes, code: bytes, *, is_exit: bool) -> None:
    """Whether an account may act upon what it has of an asset in a module: 604, 606, 605, 507.

    Every module asks this for each asset of a position before its owner enlarges, changes or leaves it; `is_exit`: he gets his own back.
    """
    values = context.view.values
    asset, holding = values[ASSET_PREFIX + code], values[HOLDING_PREFIX + address + code]
    if asset is None or not (asset[5] or (holding is not None and len(holding) > 1)):
        return
    require_running(context, code, asset)
    if address == asset[3]:
        return
    marks = holding_marks(context, address, code, read_holding(holding)[2])
    if marks & HOLDING_FREEZE_MARKS:
        raise OperationFailed(Code.HOLDING_FROZEN, f"the holding of {code.decode('ascii')} is frozen")
    _require_admitted(asset, marks, is_exit)


def is_unrestricted(context: OpContext, address: bytes, code: bytes) -> bool:
    """Whether `require_movable` and `require_position` have nothing to ask of an account for an asset, as is mostly so."""
    values = context.view.values
    asset, holding = values[ASSET_PREFIX + code], values[HOLDING_PREFIX + address + code]
    return bool(asset is not None and asset[2] & FLAG_TRANSFERABLE and not asset[5]) and (holding is None or len(holding) == 1)


def require_debit(context: OpContext, address: bytes, code: bytes, amount: int, to: bytes) -> None:
    """Whether an account's rules let `amount` out, to the account `to` (empty: to a module).

    303, 603, 614, 602, 601, 604, 606, 605, 617, 609, 610. What is limited is counted here, so this is asked once for each debit; with
    an amount of zero, what a promise does, nothing is counted.
    """
    values = context.view.values
    account, asset = values[ACCOUNT_PREFIX + address], values[ASSET_PREFIX + code]
    issuer: bytes = asset[3]
    _require_open(account[4])
    if to and account[4] & (ALLOW_LISTED | DELEGATING):
        require_counterparty(context, address, to)
    if issuer != to:
        _require_free(account_marks(context, address, account[4]))
    require_running(context, code, asset)
    if address == issuer:
        return
    marks = read_holding(values[HOLDING_PREFIX + address + code])[2]
    if issuer != to:
        if holding_marks(context, address, code, marks) & HOLDING_FREEZE_MARKS:
            raise OperationFailed(Code.HOLDING_FROZEN, "the holding is frozen: it pays to the issuer only")
        if asset[5] & GUARDED:
            if asset[2] & FLAG_REQUIRE_AUTH and not marks & AUTHORISED:
                raise OperationFailed(Code.NOT_AUTHORISED_FOR_ASSET, "the issuer has not authorised the payer for this asset")
            _require_jurisdiction(context, address, code)
    if asset[5] & GUARDED or marks & HOLDING_LIMITED:
        count_debit(context, address, code, asset, marks, amount)


def require_credit(context: OpContext, address: bytes, code: bytes, amount: int, is_return: bool) -> None:
    """Whether an account's rules let `amount` in; `is_return`: its own value coming back.

    303, 603, 602, 604, 606, 605, 507, 617, 609, 610, 611. What is limited is counted here, so this is asked once for each credit.
    """
    values = context.view.values
    asset = values[ASSET_PREFIX + code]
    require_open_to(context, address)
    require_running(context, code, asset)
    require_admitted_holder(context, address, code, is_return)
    marks = read_holding(values[HOLDING_PREFIX + address + code])[2]
    if asset[5] & GUARDED or marks & HOLDING_LIMITED:
        count_credit(context, address, code, asset, marks, amount, is_return)


def require_open_to(context: OpContext, address: bytes) -> None:
    """Whether anything may be given to an account: 303, 603, 602."""
    marks: int = context.view.values[ACCOUNT_PREFIX + address][4]
    _require_open(marks)
    if account_marks(context, address, marks) & DEEP_FROZEN:
        raise OperationFailed(Code.ACCOUNT_DEEP_FROZEN, "the account is deep-frozen")


def require_admitted_holder(context: OpContext, address: bytes, code: bytes, is_return: bool) -> None:
    """Whether an account may be given of an asset, paused or not: 606, 605, 507, 617."""
    values = context.view.values
    asset = values[ASSET_PREFIX + code]
    if address == asset[3]:
        return
    marks = holding_marks(context, address, code, read_holding(values[HOLDING_PREFIX + address + code])[2])
    if marks & HOLDING_DEEP_FROZEN:
        raise OperationFailed(Code.HOLDING_FROZEN, "the holding is deep-frozen")
    _require_admitted(asset, marks, is_return)
    if asset[5] & GUARDED and not is_return:
        _require_jurisdiction(context, address, code)


def _require_jurisdiction(context: OpContext, address: bytes, code: bytes) -> None:
    rules: AssetRules | None = context.view.values[asset_rules_key(code)]
    if rules is None or not rules.jurisdictions:
        return
    jurisdiction = find_jurisdiction(context.view, address, context.time_s)
    if (jurisdiction in rules.jurisdictions) != rules.is_only:
        where = "of no known jurisdiction" if jurisdiction == UNKNOWN else f"of {jurisdiction}"
        raise OperationFailed(Code.JURISDICTION_BLOCKED, f"the asset is not for accounts {where}: they pay it to its issuer only")


def _require_admitted(asset: Value, marks: int, is_return: bool) -> None:
    if asset[5] & GUARDED:
        if asset[2] & FLAG_REQUIRE_AUTH and not marks & (AUTHORISED | (MAINTAINED if is_return else 0)):
            raise OperationFailed(Code.NOT_AUTHORISED_FOR_ASSET, "the issuer has not authorised the account for this asset")
        if asset[2] & FLAG_REQUIRE_ACCEPT and not is_return and not marks & ACCEPTED:
            raise OperationFailed(Code.RECIPIENT_MUST_ACCEPT, "the account has not accepted this asset")


def _require_open(marks: int) -> None:
    if marks & CLOSED:
        raise OperationFailed(Code.ACCOUNT_CLOSED, "the account is closed")
    if marks & SANCTIONED:
        raise OperationFailed(Code.ACCOUNT_SANCTIONED, "the account is sanctioned")


def _require_free(marks: int) -> None:
    if marks & DEEP_FROZEN:
        raise OperationFailed(Code.ACCOUNT_DEEP_FROZEN, "the account is deep-frozen: it pays to the issuer only")
    if marks & DEBIT_FROZEN:
        raise OperationFailed(Code.ACCOUNT_FROZEN, "the account is frozen: it pays to the issuer only")


def require_running(context: OpContext, code: bytes, asset: Value) -> None:
    """Fail with 604 while an asset is paused."""
    if asset[5] & PAUSED and not _is_over(context, pause_key(code)):
        raise OperationFailed(Code.ASSET_PAUSED, f"{code.decode('ascii')} is paused")


def require_payment(
    context: OpContext, payer: bytes, payee: bytes, code: str, amount: int, is_direct: bool = False
) -> None:
    """Whether one account may pay another, apart from what each side's own rules say: 401, 615, 506, 301, 614, 612, 613.

    Every operation by which value goes from one account to another asks this: transfers, posted holds, escrows, settlements, offers.
    An attestation is used up here, so this is asked once for each payment. `is_direct`: a debit follows that names the payee, and asks
    the payer's list itself, so that a plain transfer does not look for it.
    """
    asset = context.view.values[ASSET_PREFIX + code.encode("ascii")]
    if asset is None or not asset[2] & FLAG_TRANSFERABLE:
        require_movable(context, code, payer, payee)
    context.require_recipient(payee)
    if not is_direct and is_bound(context, payer):
        require_counterparty(context, payer, payee)
    if asset[5] & TRAVEL_RULE:
        require_travel(context, payer, payee, code.encode("ascii"), amount)


def require_exempt(context: OpContext, legs: Value, payee: bytes, code: str) -> None:
    """Fail with 612 if what an account gets by legs (account, asset, 1 for a credit, amount) would need travel data.

    Legs do not say who pays whom, and an attestation is for one payer and one payee.
    """
    raw = code.encode("ascii")
    if not context.view.values[ASSET_PREFIX + raw][5] & TRAVEL_RULE:
        return
    of_asset = [leg for leg in legs if leg[1] == code]
    amount = sum(leg[3] for leg in of_asset if leg[2] and leg[0] == payee)
    if any(not leg[2] and is_travel_needed(context, leg[0], payee, raw, amount) for leg in of_asset):
        raise OperationFailed(Code.TRAVEL_DATA_REQUIRED, "a payment that needs travel data is made by a transfer of its own")


def is_bound(context: OpContext, payer: bytes) -> bool:
    """Whether it must be asked whom an account may pay."""
    account = context.view.values[ACCOUNT_PREFIX + payer]
    return account is not None and bool(account[4] & (ALLOW_LISTED | DELEGATING))


def require_counterparty(context: OpContext, payer: bytes, payee: bytes) -> None:
    """Whether an account's list, and the scope within which it acts, let it pay another account: 614."""
    values = context.view.values
    account = values[ACCOUNT_PREFIX + payer]
    if account is None:
        return
    if account[4] & ALLOW_LISTED:
        allowed = values[allowlist_key(payer)].counterparties
        at = bisect_left(allowed, payee)
        if at == len(allowed) or allowed[at] != payee:
            raise OperationFailed(Code.COUNTERPARTY_NOT_ALLOWED, "the payer's list does not name the payee")
    if context.authority is not None:
        context.authority.require_counterparty(payer, payee)


def require_movable(context: OpContext, code: str, sender: bytes, recipient: bytes) -> None:
    """Fail unless an asset may go from one account, or module, to another: 401, 615."""
    asset = context.view.values[ASSET_PREFIX + code.encode("ascii")]
    if asset is None:
        raise OperationFailed(Code.ASSET_NOT_FOUND, f"there is no asset {code}")
    if not asset[2] & FLAG_TRANSFERABLE and asset[3] not in (sender, recipient):
        raise OperationFailed(Code.NOT_TRANSFERABLE, f"{code} moves only to and from its issuer")


def require_flag(context: OpContext, code: str, flag: int, failure: Code, what: str) -> Value:
    """The asset's record if its issuer allows something: 401, else `failure`."""
    asset = context.view.values[ASSET_PREFIX + code.encode("ascii")]
    if asset is None:
        raise OperationFailed(Code.ASSET_NOT_FOUND, f"there is no asset {code}")
    if not asset[2] & flag:
        raise OperationFailed(failure, f"the issuer of {code} does not allow {what}")
    return asset
