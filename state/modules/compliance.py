"""Freezes, sanctions and authorisations: who may be restricted, by whom, and who releases.

Accounts are frozen and sanctioned by the network's compliance authority, which genesis names and governance changes; holdings and assets by
the roles that their issuer appointed. Authorities and other root accounts, modules and the issuer's own holding are never frozen. With
`separate_release` an authority does not release what it froze itself. What a restriction does is in
`state.modules.gate`. Source: ledger rules, sections 1.5 and 6.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_assets import AUTHORISED as AUTHORISED_EVENT
from state.events_assets import AUTHORITIES_SET, UNSANCTIONED
from state.events_assets import SANCTIONED as SANCTIONED_EVENT
from state.marks import AUTHORISED, DEBIT_FROZEN, DEEP_FROZEN, MAINTAINED, SANCTIONED, UNFREEZABLE
from state.modules.acts import ground_hash, record_act
from state.modules.asset_force import require_freezer, require_releaser
from state.modules.asset_roles import get_roles
from state.modules.assets import count_marked, get_asset
from state.modules.fields import (
    ADDRESS,
    AUTHORITIES,
    CODE,
    NUMBER,
    OPTIONAL_ADDRESS,
    OPTIONAL_CODE,
    REASON,
    SMALL,
    malformed,
)
from state.modules.freezes import Scope, Subject, get_freeze, lift_freeze, put_freeze
from state.modules.gate import (
    FLAG_FREEZABLE,
    FLAG_PAUSABLE,
    FLAG_REQUIRE_AUTH,
    account_marks,
    put_holding,
    read_holding,
)
from state.modules.operation import Level, OpContext, Operation, require_governance
from state.params_compliance import ComplianceParams
from state.primitives.errors import MalformedError, OperationFailed
from state.schema import ACCOUNT, ASSET, CALENDAR, COMPLIANCE_PARAMS_KEY, HOLDING, PARAMS, account_key, holding_key
from state.schema_freezes import FREEZES, LEVEL_DEBIT, LEVEL_DEEP, Sanction, sanction_key
from state.schema_kyc import OVERSIGHT
from state.view import View

STATES: Final = ("unauthorised", "maintained", "authorised")
_STATE_MARKS: Final = (0, MAINTAINED, AUTHORISED)


# the numbers of the operations, for the list of privileged acts
FREEZE: Final = 180
UNFREEZE: Final = 181
AUTHORISE: Final = 182
SANCTION: Final = 183
UNSANCTION: Final = 184
SET_AUTHORITIES: Final = 185


def read_compliance_params(view: View) -> ComplianceParams:
    """The compliance group; nobody is the authority if none was ever stored."""
    record = view.get(COMPLIANCE_PARAMS_KEY)
    return ComplianceParams() if record is None else ComplianceParams.from_record(record)


def require_authority(context: OpContext, account: bytes) -> ComplianceParams:
    """Fail with 204 unless the account acts for the network's compliance authority."""
    params = read_compliance_params(context.view)
    if account not in params.authorities:
        raise OperationFailed(Code.NO_PERMISSION, "the account does not act for the compliance authority")
    return params


def _require_freezable(context: OpContext, account: bytes) -> None:
    """506, 301, 204: a root account."""
    context.require_recipient(account)
    if context.view.get(account_key(account))[4] & UNFREEZABLE:
        raise OperationFailed(Code.NO_PERMISSION, "a root account cannot be frozen")


def _require_other(params: ComplianceParams, account: bytes, by: bytes) -> None:
    if params.separate_release and account == by:
        raise OperationFailed(Code.SAME_KEY_MAKER_CHECKER, "who restricted does not release")


def _check_subject(scope: int, account: bytes, asset: str) -> None:
    if scope not in (Scope.ACCOUNT, Scope.HOLDING, Scope.ASSET):
        raise malformed("a scope is 1 (account), 2 (holding) or 3 (asset)")
    if bool(account) != (scope != Scope.ASSET) or bool(asset) != (scope != Scope.ACCOUNT):
        raise malformed("an account is named by its address, a holding by both, an asset by its code")


def _check_freeze(args: tuple[Any, ...]) -> None:
    scope, account, asset, level, *_ = args
    _check_subject(scope, account, asset)
    if level not in (LEVEL_DEBIT, LEVEL_DEEP) or (scope == Scope.ASSET and level != LEVEL_DEBIT):
        raise malformed("a level is 1 (pays nothing) or 2 (deep: receives nothing either); an asset's is 1")


def freeze(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.freeze: 401, 204, 506, 301, 204 (a root account), 708, 508."""
    scope, who, asset, level, reason, legal_ref, until_s = args
    subject = Subject(Scope(scope), who, asset)
    if subject.scope is Scope.ACCOUNT:
        require_authority(context, account)
        _require_freezable(context, who)
    elif subject.scope is Scope.HOLDING:
        require_freezer(context, account, asset, FLAG_FREEZABLE)
        context.require_recipient(who)
        if get_asset(context, asset)[3] == who:
            raise OperationFailed(Code.NO_PERMISSION, f"the issuer's own holding of {asset} cannot be frozen")
    else:
        require_freezer(context, account, asset, FLAG_PAUSABLE)
    put_freeze(context, subject, account, level, reason, legal_ref, until_s)
    record_act(context, FREEZE, account, subject=who, asset=asset, evidence=ground_hash(legal_ref))


def _check_unfreeze(args: tuple[Any, ...]) -> None:
    _check_subject(*args[:3])


def unfreeze(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.unfreeze: 401, 204, 508 (not frozen), 205."""
    scope, who, asset, reason, legal_ref = args
    subject = Subject(Scope(scope), who, asset)
    if subject.scope is Scope.ACCOUNT:
        params = require_authority(context, account)
        found = get_freeze(context, subject)
        if found is None:
            raise OperationFailed(Code.ASSERT_FAILED, "the account is not frozen")
        _require_other(params, account, found.by)
    else:
        require_releaser(context, account, subject)
    lift_freeze(context, subject, account, reason, legal_ref)
    record_act(context, UNFREEZE, account, subject=who, asset=asset, evidence=ground_hash(legal_ref))


def sanction(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.sanction: 204, 506, 301, 204 (a root account), 508 (is already)."""
    who, list_id, reason, legal_ref = args
    require_authority(context, account)
    _require_freezable(context, who)
    view = context.view
    if view.get(sanction_key(who)) is not None:
        raise OperationFailed(Code.ASSERT_FAILED, "the account is sanctioned already")
    view.put(sanction_key(who), Sanction(list_id, account, reason, legal_ref, context.time_s))
    count_marked(view, 1)
    _change_marks(context, who, SANCTIONED, is_set=True)
    record_act(context, SANCTION, account, subject=who, evidence=ground_hash(legal_ref))
    context.emit(SANCTIONED_EVENT, who, list_id, account, reason, legal_ref)


def unsanction(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.unsanction: 204, 508 (is not), 205."""
    who, reason, legal_ref = args
    params = require_authority(context, account)
    view = context.view
    found: Sanction | None = view.get(sanction_key(who))
    if found is None:
        raise OperationFailed(Code.ASSERT_FAILED, "the account is not sanctioned")
    _require_other(params, account, found.by)
    view.put(sanction_key(who), None)
    count_marked(view, -1)
    _change_marks(context, who, SANCTIONED, is_set=False)
    record_act(context, UNSANCTION, account, subject=who, evidence=ground_hash(legal_ref))
    context.emit(UNSANCTIONED, who, found.list_id, account, reason, legal_ref)


def _change_marks(context: OpContext, account: bytes, bit: int, *, is_set: bool) -> None:
    record = context.view.get(account_key(account))
    marks = record[4] | bit if is_set else record[4] & ~bit
    context.view.put(account_key(account), (*record[:4], marks, *record[5:]))


def _check_authorise(args: tuple[Any, ...]) -> None:
    if args[2] >= len(STATES):
        raise malformed("a state is 0 (unauthorised), 1 (maintained) or 2 (authorised)")


def authorise(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.authorise by the asset's compliance role: 401, 204, 506, 301."""
    code, who, state, reason, legal_ref = args
    if not get_asset(context, code)[2] & FLAG_REQUIRE_AUTH or get_roles(context, code).compliance != account:
        raise OperationFailed(Code.NO_PERMISSION, f"the account does not authorise holders of {code}")
    context.require_recipient(who)
    key = holding_key(who, code)
    balance, held, marks = read_holding(context.view.get(key))
    put_holding(context.view, key, balance, held, marks & ~(AUTHORISED | MAINTAINED) | _STATE_MARKS[state])
    record_act(context, AUTHORISE, account, subject=who, asset=code, evidence=ground_hash(legal_ref))
    context.emit(AUTHORISED_EVENT, code, who, STATES[state], account, reason, legal_ref)


def set_authorities(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.set_authorities by governance: 204, 1107, 506, 301, 603, 602, 601 (a restricted account is no authority)."""
    accounts, is_separate = args
    require_governance(account)
    view = context.view
    try:
        params = ComplianceParams.from_record((accounts, bool(is_separate)))
    except MalformedError as error:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, error.message) from error
    for who in accounts:
        context.require_recipient(who)
        marks = account_marks(context, who, view.get(account_key(who))[4])
        for bit, code in _BARRED:
            if marks & bit:
                raise OperationFailed(code, "a restricted account cannot be an authority")
    for who in read_compliance_params(view).authorities:
        _change_marks(context, who, UNFREEZABLE, is_set=False)
    for who in accounts:
        _change_marks(context, who, UNFREEZABLE, is_set=True)
    view.put(COMPLIANCE_PARAMS_KEY, params.to_record())
    record_act(context, SET_AUTHORITIES, account)
    context.emit(AUTHORITIES_SET, len(accounts), is_separate)


_BARRED: Final = (
    (SANCTIONED, Code.ACCOUNT_SANCTIONED),
    (DEEP_FROZEN, Code.ACCOUNT_DEEP_FROZEN),
    (DEBIT_FROZEN, Code.ACCOUNT_FROZEN),
)


def _check_authorities(args: tuple[Any, ...]) -> None:
    if args[1] > 1:
        raise malformed("separate_release is 0 or 1")


_SUBJECT: Final = (("scope", SMALL), ("account", OPTIONAL_ADDRESS), ("asset", OPTIONAL_CODE))
_GROUND: Final = (("reason", REASON), ("legal_ref", REASON))
_FREEZE_WRITES: Final = frozenset({ACCOUNT, HOLDING, ASSET, FREEZES, CALENDAR, OVERSIGHT})
_FREEZE_BITS: Final = DEBIT_FROZEN | DEEP_FROZEN

OPERATIONS: Final = (
    Operation(
        code=180,
        name="comp.freeze",
        module="comp",
        fields=(*_SUBJECT, ("level", SMALL), *_GROUND, ("until", NUMBER)),
        level=Level.STATUTORY,
        handler=freeze,
        codes=(
            Code.ASSET_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.TOO_LATE,
            Code.ASSERT_FAILED,
        ),
        writes=_FREEZE_WRITES,
        check=_check_freeze,
        marks=_FREEZE_BITS,
    ),
    Operation(
        code=181,
        name="comp.unfreeze",
        module="comp",
        fields=(*_SUBJECT, *_GROUND),
        level=Level.STATUTORY,
        handler=unfreeze,
        codes=(Code.ASSET_NOT_FOUND, Code.NO_PERMISSION, Code.ASSERT_FAILED, Code.SAME_KEY_MAKER_CHECKER),
        writes=_FREEZE_WRITES,
        check=_check_unfreeze,
        marks=_FREEZE_BITS,
    ),
    Operation(
        code=182,
        name="comp.authorise",
        module="comp",
        fields=(("asset", CODE), ("account", ADDRESS), ("state", SMALL), *_GROUND),
        level=Level.STATUTORY,
        handler=authorise,
        codes=(Code.ASSET_NOT_FOUND, Code.NO_PERMISSION, Code.RECIPIENT_IS_MODULE, Code.ACCOUNT_NOT_FOUND),
        writes=frozenset({HOLDING, OVERSIGHT}),
        check=_check_authorise,
    ),
    Operation(
        code=183,
        name="comp.sanction",
        module="comp",
        fields=(("account", ADDRESS), ("list_id", REASON), *_GROUND),
        level=Level.STATUTORY,
        handler=sanction,
        codes=(Code.NO_PERMISSION, Code.RECIPIENT_IS_MODULE, Code.ACCOUNT_NOT_FOUND, Code.ASSERT_FAILED),
        writes=frozenset({ACCOUNT, FREEZES, OVERSIGHT}),
        marks=SANCTIONED,
    ),
    Operation(
        code=184,
        name="comp.unsanction",
        module="comp",
        fields=(("account", ADDRESS), *_GROUND),
        level=Level.STATUTORY,
        handler=unsanction,
        codes=(Code.NO_PERMISSION, Code.ASSERT_FAILED, Code.SAME_KEY_MAKER_CHECKER),
        writes=frozenset({ACCOUNT, FREEZES, OVERSIGHT}),
        marks=SANCTIONED,
    ),
    Operation(
        code=185,
        name="comp.set_authorities",
        module="comp",
        fields=(("accounts", AUTHORITIES), ("separate_release", SMALL)),
        level=Level.STATUTORY,
        handler=set_authorities,
        codes=(
            Code.NO_PERMISSION,
            Code.PARAM_OUT_OF_RANGE,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.ACCOUNT_SANCTIONED,
            Code.ACCOUNT_DEEP_FROZEN,
            Code.ACCOUNT_FROZEN,
        ),
        writes=frozenset({ACCOUNT, PARAMS, OVERSIGHT}),
        check=_check_authorities,
        marks=UNFREEZABLE,
        is_governed=True,
    ),
)
