"""Intraday credit: what an account may overdraw, behind collateral that is held in its own holdings.

A payment that runs short draws by itself, and what comes in repays by itself (`state.modules.treasury_moves`); the central bank sees by
query who owes what and since when. The account signs for its line, because its collateral is held; the central bank alone, or the account
alone, can end it: then nothing more is drawn, and with the last of the debt gone the collateral is free. Penalties are not the
ledger's. Source: ledger rules, section 6 (treasury).
"""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.events_treasury import CREDIT_LINE_CLOSED, CREDIT_LINE_SET
from state.marks import OVERDRAWN
from state.modules.assets import get_asset
from state.modules.fields import malformed
from state.modules.gate import FLAG_LOCKABLE, require_debit, require_flag
from state.modules.operation import Level, OpContext
from state.modules.treasury_books import free_held, get_bank, hold_in_place, require_amount, require_issuer
from state.modules.treasury_moves import repay_debt, set_mark
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.limits import CREDIT_LINES_MAX
from state.schema_treasury import CreditLine, bank_key, line_key, lines_key

_SHORT = (Code.INSUFFICIENT_AVAILABLE, Code.INSUFFICIENT_FUNDS)


def check_overdraft(args: tuple[Any, ...]) -> None:
    """Collateral is of other assets than the credit, and something (101)."""
    asset, _, _, collateral = args
    if any(code == asset or not amount for code, amount in collateral):
        raise malformed("collateral is an amount above zero of another asset")


def overdraft_authorities(account: bytes, args: tuple[Any, ...]) -> tuple[tuple[bytes, Level], ...]:
    """The account signs beside the central bank."""
    return ((args[1], Level.HIGH),)


def overdraft(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.overdraft, a new line or new terms: 503, 401, 1201, 504, 508 (too many), then for collateral 401, 615, the gate's,
    1206.
    """
    asset, address, limit, collateral = args
    require_amount(limit)
    require_issuer(context, account, asset)
    if address == account:
        raise OperationFailed(Code.SELF_TRANSFER, "the central bank needs no credit of its own")
    view = context.view
    line: CreditLine | None = view.get(line_key(address, asset))
    if line is None:
        _enlist(context, address, asset)
        line = CreditLine(0, 0, context.time_s, 0, ())
    _free_collateral(context, address, line)
    for code, amount in collateral:
        _pledge(context, address, code, amount)
    view.put(line_key(address, asset), line._replace(limit=limit, collateral=collateral))
    view.put(bank_key(asset), get_bank(view, asset))
    set_mark(view, address, asset.encode("ascii"), OVERDRAWN, on=True)
    context.emit(CREDIT_LINE_SET, asset, address, limit, " ".join(f"{amount}:{code}" for code, amount in collateral))


def close_overdraft(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.close_overdraft by the central bank or by the account: 401, 701, 204, 406 (ended already, and a debt is left).

    While there is a debt the line stays, with a limit of zero and its collateral; closing it again then frees that.
    """
    asset, address = args
    issuer = get_asset(context, asset)[3]
    line = _get_line(context, address, asset)
    if account not in (issuer, address):
        raise OperationFailed(Code.NO_PERMISSION, "only the central bank and the account may end its credit line")
    view = context.view
    if line.debt:
        if not line.limit:
            raise OperationFailed(Code.SUPPLY_NOT_ZERO, f"{line.debt} is still owed")
        view.put(line_key(address, asset), line._replace(limit=0))
    else:
        _free_collateral(context, address, line)
        view.put(line_key(address, asset), None)
        others = tuple(other for other in view.get(lines_key(asset)) if other != address)
        view.put(lines_key(asset), others or None)
        set_mark(view, address, asset.encode("ascii"), OVERDRAWN, on=False)
    context.emit(CREDIT_LINE_CLOSED, asset, address, line.debt)


def repay(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """cb.repay of one's own debt: 503, 401, 701, 705, then the gate's; 502, 501.

    A dealer may repay from his required reserve.
    """
    asset, amount = args
    require_amount(amount)
    get_asset(context, asset)
    line = _get_line(context, account, asset)
    if amount > line.debt:
        raise OperationFailed(Code.EXCEEDS_PENDING, f"{line.debt} is owed")
    code = asset.encode("ascii")
    require_debit(context, account, code, amount, b"")
    repay_debt(context, account, code, amount)


def _enlist(context: OpContext, address: bytes, asset: str) -> None:
    view = context.view
    known: tuple[bytes, ...] = view.get(lines_key(asset)) or ()
    if len(known) >= CREDIT_LINES_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"an asset has at most {CREDIT_LINES_MAX} credit lines")
    view.put(lines_key(asset), tuple(sorted((*known, address))))


def _get_line(context: OpContext, address: bytes, asset: str) -> CreditLine:
    line: CreditLine | None = context.view.get(line_key(address, asset))
    if line is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"the account has no credit line in {asset}")
    return line


def _pledge(context: OpContext, address: bytes, asset: str, amount: int) -> None:
    require_flag(context, asset, FLAG_LOCKABLE, Code.NOT_TRANSFERABLE, "amounts of it to be held")
    require_debit(context, address, asset.encode("ascii"), 0, b"")
    try:
        hold_in_place(context, address, asset, amount)
    except OperationFailed as failure:
        if failure.result not in _SHORT:
            raise
        raise OperationFailed(Code.COLLATERAL_SHORT, f"{asset}: {failure.message}") from failure


def _free_collateral(context: OpContext, address: bytes, line: CreditLine) -> None:
    for code, amount in line.collateral:
        free_held(context, address, code, amount)


def show_collateral(collateral: Value) -> list[dict[str, str]]:
    """JSON form of collateral."""
    return [{"asset": code, "amount": str(amount)} for code, amount in collateral]
