"""Acts of authority upon an asset and its holders: pause, clawback, forced transfer. Each says why and on what legal ground.

They are asked for by the role that the issuer appointed, never by the issuer himself, and ask no rule of the holder: frozen, sanctioned
and closed accounts are within reach, and so are holdings of a paused asset. What is promised elsewhere (held amounts, pools, farms,
stakes, escrows) is brought back first (`state.modules.recall`): until then 502. A clawback is exact or fails, or takes explicitly all
that is available; one of nothing fails (503). What is clawed back is burned. Source: ledger rules, 1.5 and section 6, incident 6.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_assets import CLAWED_BACK, FORCED_TRANSFER
from state.modules.acts import ground_hash, record_act
from state.modules.asset_roles import get_roles
from state.modules.assets import burn_taken, get_asset
from state.modules.fields import ADDRESS, AMOUNT, CODE, REASON, SMALL, malformed
from state.modules.freezes import Scope, Subject, get_freeze, lift_freeze, put_freeze
from state.modules.gate import (
    FLAG_CLAWBACK,
    FLAG_PAUSABLE,
    read_holding,
    require_admitted_holder,
    require_open_to,
)
from state.modules.operation import Level, OpContext, Operation
from state.primitives.errors import OperationFailed
from state.schema import ASSET, CALENDAR, HOLDING, SUPPLY, holding_key
from state.schema_freezes import FREEZES, LEVEL_DEBIT
from state.schema_kyc import OVERSIGHT

# the numbers of the operations, for the list of privileged acts
PAUSE: Final = 29
UNPAUSE: Final = 30
CLAWBACK: Final = 31
FORCE_TRANSFER: Final = 32


def require_freezer(context: OpContext, account: bytes, code: str, flag: int) -> None:
    """Fail unless the account may freeze, and the issuer reserved it: 401, 204."""
    asset = get_asset(context, code)
    roles = get_roles(context, code)
    if account not in (roles.freezer, roles.compliance) or not asset[2] & flag:
        raise OperationFailed(Code.NO_PERMISSION, f"the account may not freeze {code}")


def require_releaser(context: OpContext, account: bytes, subject: Subject) -> None:
    """Fail unless the account may release what is frozen of an asset: 401, 204, 508 (nothing is), 205 (it froze it itself)."""
    get_asset(context, subject.asset)
    roles = get_roles(context, subject.asset)
    may = (roles.unfreezer,) if roles.unfreezer else (roles.freezer, roles.compliance)
    if account not in may:
        raise OperationFailed(Code.NO_PERMISSION, f"the account may not release {subject.asset}")
    freeze = get_freeze(context, subject)
    if freeze is None:
        raise OperationFailed(Code.ASSERT_FAILED, "it is not frozen")
    if roles.unfreezer and freeze.by == account:
        raise OperationFailed(Code.SAME_KEY_MAKER_CHECKER, "who froze does not release")


def pause(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.pause without an end: 401, 204."""
    code, reason, legal_ref = args
    require_freezer(context, account, code, FLAG_PAUSABLE)
    put_freeze(context, Subject(Scope.ASSET, b"", code), account, LEVEL_DEBIT, reason, legal_ref, 0)
    record_act(context, PAUSE, account, asset=code, evidence=ground_hash(legal_ref))


def unpause(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.unpause: 401, 204, 508, 205."""
    code, reason, legal_ref = args
    subject = Subject(Scope.ASSET, b"", code)
    require_releaser(context, account, subject)
    lift_freeze(context, subject, account, reason, legal_ref)
    record_act(context, UNPAUSE, account, asset=code, evidence=ground_hash(legal_ref))


def _check_clawback(args: tuple[Any, ...]) -> None:
    _, _, amount, takes_all, *_ = args
    if takes_all > 1 or (takes_all and amount):
        raise malformed("either an amount is named, or all is 1")


def require_power(context: OpContext, account: bytes, code: str) -> None:
    """Fail unless the account may claw an asset back, and the issuer reserved it: 401, 616, 204."""
    if not get_asset(context, code)[2] & FLAG_CLAWBACK:
        raise OperationFailed(Code.CLAWBACK_NOT_ENABLED, f"the issuer of {code} has not reserved clawback")
    if get_roles(context, code).clawback != account:
        raise OperationFailed(Code.NO_PERMISSION, f"the account may not claw {code} back")


def clawback(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.clawback: 503, 401, 616, 204, 506, 301, 502 (held), 501."""
    code, holder, amount, takes_all, reason, legal_ref = args
    _require_amount(amount or takes_all)
    require_power(context, account, code)
    context.require_recipient(holder)
    view = context.view
    balance, held, _ = read_holding(view.get(holding_key(holder, code)))
    if takes_all:
        amount = balance - held
        if held and not amount:
            raise OperationFailed(Code.INSUFFICIENT_AVAILABLE, f"all of {balance} is held")
        _require_amount(amount)
    context.take(holder, code.encode("ascii"), amount)
    burn_taken(context, code, amount)
    record_act(context, CLAWBACK, account, subject=holder, asset=code, evidence=ground_hash(legal_ref))
    context.emit(CLAWED_BACK, code, holder, amount, held, account, reason, legal_ref)


def forced_transfer(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.forced_transfer: 503, 504, 401, 616, 204, 506, 301, what the recipient's rules say, 502, 501, 505."""
    code, holder, to, amount, reason, legal_ref = args
    _require_amount(amount)
    if holder == to:
        raise OperationFailed(Code.SELF_TRANSFER, "holder and recipient are one account")
    require_power(context, account, code)
    context.require_recipient(holder)
    context.require_recipient(to)
    raw = code.encode("ascii")
    require_open_to(context, to)
    require_admitted_holder(context, to, raw, is_return=False)
    context.take(holder, raw, amount)
    context.give(to, raw, amount)
    record_act(context, FORCE_TRANSFER, account, subject=holder, asset=code, evidence=ground_hash(legal_ref))
    context.emit(FORCED_TRANSFER, code, holder, to, amount, account, reason, legal_ref)


def _require_amount(amount: int) -> None:
    if amount == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")


_GROUND: Final = (("reason", REASON), ("legal_ref", REASON))
_PAUSE_WRITES: Final = frozenset({ASSET, FREEZES, CALENDAR, OVERSIGHT})

OPERATIONS: Final = (
    Operation(
        code=29,
        name="asset.pause",
        module="asset",
        fields=(("asset", CODE), *_GROUND),
        level=Level.STATUTORY,
        handler=pause,
        codes=(Code.ASSET_NOT_FOUND, Code.NO_PERMISSION),
        writes=_PAUSE_WRITES,
    ),
    Operation(
        code=30,
        name="asset.unpause",
        module="asset",
        fields=(("asset", CODE), *_GROUND),
        level=Level.STATUTORY,
        handler=unpause,
        codes=(Code.ASSET_NOT_FOUND, Code.NO_PERMISSION, Code.ASSERT_FAILED, Code.SAME_KEY_MAKER_CHECKER),
        writes=_PAUSE_WRITES,
    ),
    Operation(
        code=31,
        name="asset.clawback",
        module="asset",
        fields=(("asset", CODE), ("holder", ADDRESS), ("amount", AMOUNT), ("all", SMALL), *_GROUND),
        level=Level.STATUTORY,
        handler=clawback,
        codes=(
            Code.ZERO_AMOUNT,
            Code.ASSET_NOT_FOUND,
            Code.CLAWBACK_NOT_ENABLED,
            Code.NO_PERMISSION,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.INSUFFICIENT_AVAILABLE,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=frozenset({HOLDING, SUPPLY, OVERSIGHT}),
        moves_value=True,
        check=_check_clawback,
        forces=True,
    ),
    Operation(
        code=32,
        name="asset.forced_transfer",
        module="asset",
        fields=(("asset", CODE), ("holder", ADDRESS), ("to", ADDRESS), ("amount", AMOUNT), *_GROUND),
        level=Level.STATUTORY,
        handler=forced_transfer,
        codes=(
            Code.ZERO_AMOUNT,
            Code.SELF_TRANSFER,
            Code.ASSET_NOT_FOUND,
            Code.CLAWBACK_NOT_ENABLED,
            Code.NO_PERMISSION,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.INSUFFICIENT_AVAILABLE,
            Code.INSUFFICIENT_FUNDS,
            Code.OVERFLOW_MAX,
        ),
        writes=frozenset({HOLDING, OVERSIGHT}),
        moves_value=True,
        forces=True,
    ),
)
