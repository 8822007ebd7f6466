"""What the operations of a transaction are held to beyond signatures: scopes with their limits, two-person control, ends of accounts.

`state.signers` makes an `Authority` for a transaction that concerns an account with special rules; plain ones have none. The machine
asks `require` before each operation (303, 603, 204, 205) and `spend` after it (204, 609, 610), which counts what really left an account
within a scope, whatever the operation: not what its fields say. Windows are fixed: they begin when a grant was given. Source: ledger
rules, section 5 (accounts). Nothing that decides about signatures goes in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from state.codes import Code
from state.marks import CLOSED, SANCTIONED, STATUTORY_ONLY
from state.modules.gate import read_holding
from state.modules.operation import Level, OpContext
from state.primitives.errors import OperationFailed
from state.schema import ACCOUNT_PREFIX, HOLDING, HOLDING_ADDRESS, HOLDING_CODE_START
from state.schema_accounts import Grant, Usage, usage_key
from state.schema_treasury import LINE_PREFIX, OF_ADDRESS, OF_ASSET_START, PREFIX_BYTES
from state.view import View

if TYPE_CHECKING:
    from state.transaction import Call

_MARKS: Final = 4


class Scope(NamedTuple):
    """A grant in use, and the key of its record."""

    key: bytes
    grant: Grant


class Authority:
    """What one transaction is held to. `lacking`: accounts of which only one of two persons signs -> the level from which both must."""

    __slots__ = ("fee_scope", "lacking", "recovering", "scopes", "sender", "spent")

    def __init__(self, sender: bytes) -> None:
        self.sender = sender
        self.lacking: dict[bytes, int] = {}
        self.scopes: dict[bytes, Scope] = {}  # account -> by what it authorises
        self.recovering: tuple[bytes, ...] = ()  # accounts for which recovery keys or a parent act
        self.fee_scope: Scope | None = None  # by what the fee payer consents, if not by keys of its own
        self.spent: dict[tuple[bytes, str], int] = {}  # by account and asset, in this transaction

    def require(self, context: OpContext, call: Call) -> None:
        """Before an operation: 303, 603, 204, 205."""
        values = context.view.values
        required = required_of(call)
        for account in (*required, self.sender):
            record = values[ACCOUNT_PREFIX + account]
            if record is not None and record[_MARKS] & CLOSED:
                raise OperationFailed(Code.ACCOUNT_CLOSED, "the account is closed")
            if record is not None and record[_MARKS] & SANCTIONED:
                raise OperationFailed(Code.ACCOUNT_SANCTIONED, "the account is sanctioned, and acts for nobody")
        for account, level in required.items():
            record = values[ACCOUNT_PREFIX + account]
            is_regulator = record is not None and bool(record[_MARKS] & STATUTORY_ONLY)
            if is_regulator and level != Level.STATUTORY and call.operation.module != "account":
                raise OperationFailed(Code.NO_PERMISSION, "a regulator's account acts by statutory operations only")
            scope = self.scopes.get(account)
            if scope is not None and values[scope.key] != scope.grant:
                raise OperationFailed(Code.NO_PERMISSION, "the grant has ended in this transaction")
        for account, level in required.items():
            if level >= self.lacking.get(account, Level.STATUTORY + 1):
                raise OperationFailed(Code.SAME_KEY_MAKER_CHECKER, "a maker's and a checker's key must sign")

    def require_counterparty(self, payer: bytes, payee: bytes) -> None:
        """Whether a scope lets its account pay another: 614."""
        scope = self.scopes.get(payer)
        if scope is not None and scope.grant.counterparties and payee not in scope.grant.counterparties:
            raise OperationFailed(Code.COUNTERPARTY_NOT_ALLOWED, "the scope does not name this counterparty")

    def spend(self, context: OpContext, start: int, call: Call) -> None:
        """After an operation: what it took from accounts that authorised it within a scope, against the limits. 204, 609, 610."""
        for account in required_of(call):
            scope = self.scopes.get(account)
            if scope is None:
                continue
            for asset, amount in compute_spent(context.view, start, account):
                self._count(context, scope, account, asset, amount)

    def _count(self, context: OpContext, scope: Scope, account: bytes, asset: str, amount: int) -> None:
        limit = next((limit for limit in scope.grant.limits if limit.asset == asset), None)
        if limit is None:
            raise OperationFailed(Code.NO_PERMISSION, f"the scope does not let {asset} be spent")
        total = self.spent.get((account, asset), 0) + amount
        if total > limit.per_tx:
            raise OperationFailed(Code.LIMIT_PER_TX, f"the scope lets {limit.per_tx} of {asset} be spent in one transaction")
        self.spent[(account, asset)] = total
        usage = read_usage(context.view, scope, context.time_s)
        spent = dict(usage.spent)
        spent[asset] = spent.get(asset, 0) + amount
        if spent[asset] > limit.per_window:
            raise OperationFailed(Code.LIMIT_WINDOW, f"the scope lets {limit.per_window} of {asset} be spent in one window")
        context.view.put(usage_key(scope.key), usage._replace(spent=tuple(sorted(spent.items()))))

    def charge_fee(self, view: View, fee: int, time_s: int) -> None:
        """Count a fee against the grant by which its payer consents, if it is one."""
        if self.fee_scope is not None and fee:
            usage = read_usage(view, self.fee_scope, time_s)
            view.put(usage_key(self.fee_scope.key), usage._replace(fees=usage.fees + fee))


def required_of(call: Call) -> dict[bytes, int]:
    """The accounts that must authorise one operation, each with its level."""
    operation, account, args = call
    required = {account: int(operation.level)}
    if operation.authorities is not None:
        for other, level in operation.authorities(account, args):
            required[other] = max(required.get(other, 0), int(level))
    return required


def read_usage(view: View, scope: Scope, time_s: int) -> Usage:
    """What was used of a grant in the window that is running."""
    window = (time_s - scope.grant.granted_s) // scope.grant.window_s
    usage: Usage | None = view.get(usage_key(scope.key))
    return usage if usage is not None and usage.window == window else Usage(window, 0, ())


def compute_left(view: View, scope: Scope, time_s: int) -> int:
    """How much of a grant's fees is left in the window that is running."""
    return scope.grant.fee_limit - read_usage(view, scope, time_s).fees


def compute_spent(view: View, start: int, account: bytes) -> list[tuple[str, int]]:
    """(asset, amount) that an account can spend less, or owes more on its credit line, than before what was written since `start`."""
    first = dict(reversed(view.undo[start:]))  # the earliest entry of a key wins
    spent: dict[str, int] = {}
    for key, before in first.items():
        after = view.values[key]
        if key[1] == HOLDING and key[HOLDING_ADDRESS] == account:
            balance, held, _ = read_holding(after)
            balance_before, held_before, _ = read_holding(before)
            asset, amount = key[HOLDING_CODE_START:], balance_before - held_before - balance + held
        elif key[:PREFIX_BYTES] == LINE_PREFIX and key[OF_ADDRESS] == account:
            debt = after.debt if after is not None else 0
            asset, amount = key[OF_ASSET_START:], debt - (before.debt if before is not None else 0)
        else:
            continue
        spent[asset.decode("ascii")] = spent.get(asset.decode("ascii"), 0) + amount
    return sorted((asset, amount) for asset, amount in spent.items() if amount > 0)
