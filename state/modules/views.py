"""What a regulator may see: granted until a date by the network's authority, an asset's issuer, or an account for itself.

The ledger keeps who was granted what by whom, and can prove it; whoever serves data asks `may_view`. Source: ledger rules, section 6.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from state.codes import Code
from state.events_kyc import VIEW_GRANTED, VIEW_REVOKED
from state.modules.acts import record_act
from state.modules.fields import malformed
from state.modules.operation import OpContext
from state.modules.standing import is_authority
from state.primitives.errors import OperationFailed
from state.schema import ASSET_PREFIX
from state.schema_kyc import View as ViewRecord
from state.schema_kyc import view_key
from state.view import View

GRANT_VIEW: Final = 172
REVOKE_VIEW: Final = 173


class ViewScope(IntEnum):
    """Of what; stable numbers."""

    NETWORK = 0  # everything
    ACCOUNT = 1  # one account: its holdings, positions, payments
    ASSET = 2  # one asset: its holders and movements


def target_of(account: bytes, asset: str) -> bytes:
    """What a view is of, as its key has it."""
    return account or asset.encode("ascii")


def check_view(args: tuple[Any, ...]) -> None:
    """Each scope has its target, and no other (101)."""
    _, scope, account, asset = args[:4]
    if scope not in tuple(ViewScope):
        raise malformed("the scope of a view is 0 (network), 1 (account) or 2 (asset)")
    if bool(account) != (scope == ViewScope.ACCOUNT) or bool(asset) != (scope == ViewScope.ASSET):
        raise malformed("a view of an account names the account, one of an asset the asset, and one of the network neither")


def _require_owner(context: OpContext, account: bytes, subject: bytes, asset: str) -> None:
    """Fail unless the account may show this: 401, 204."""
    record = context.view.get(ASSET_PREFIX + asset.encode("ascii")) if asset else None
    if asset and record is None:
        raise OperationFailed(Code.ASSET_NOT_FOUND, f"there is no asset {asset}")
    if is_authority(context.view, account) or (subject and account == subject):
        return
    if record is None or account != record[3]:
        raise OperationFailed(Code.NO_PERMISSION, "the authority, an asset's issuer, or an account for itself grants a view")


def grant(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.grant_view, or another date for one: 401, 204, 506, 301, 708 (a date that is over)."""
    regulator, scope, subject, asset, until_s = args
    _require_owner(context, account, subject, asset)
    context.require_recipient(regulator)
    if subject:
        context.require_recipient(subject)
    if until_s <= context.time_s:
        raise OperationFailed(Code.TOO_LATE, "the view would be over already")
    context.view.put(view_key(regulator, scope, target_of(subject, asset)), ViewRecord(account, context.time_s, until_s))
    record_act(context, GRANT_VIEW, account, subject=regulator, asset=asset)
    context.emit(VIEW_GRANTED, regulator, ViewScope(scope).name.lower(), subject, asset, until_s, account)


def revoke(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.revoke_view by who could grant it: 401, 204, 701."""
    regulator, scope, subject, asset = args
    _require_owner(context, account, subject, asset)
    key = view_key(regulator, scope, target_of(subject, asset))
    if context.view.get(key) is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, "there is no such view")
    context.view.put(key, None)
    record_act(context, REVOKE_VIEW, account, subject=regulator, asset=asset)
    context.emit(VIEW_REVOKED, regulator, ViewScope(scope).name.lower(), subject, asset, account)


def may_view(view: View, regulator: bytes, time_s: int, *, account: bytes = b"", asset: str = "") -> bool:
    """Whether a regulator may see an account or an asset (or, naming neither, everything) now."""
    asked = [(ViewScope.NETWORK, b"")]
    if account:
        asked.append((ViewScope.ACCOUNT, account))
    if asset:
        asked.append((ViewScope.ASSET, asset.encode("ascii")))
    for scope, target in asked:
        record: ViewRecord | None = view.get(view_key(regulator, scope, target))
        if record is not None and record.until_s > time_s:
            return True
    return False
