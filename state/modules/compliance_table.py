"""The rows of compliance rules, recovery and views. The handlers are in `rules`, `recovery` and `views`; nothing else goes in here."""

from __future__ import annotations

from typing import Final

from state.codes import Code
from state.modules import recovery, rules, views
from state.modules.fields import ADDRESS, AMOUNT, CODE, KEYS, NUMBER, OPTIONAL_ADDRESS, SMALL
from state.modules.kyc_fields import CODES, EVIDENCE, JURISDICTION, JURISDICTIONS, LEI, OPTIONAL_CODE, TIER
from state.modules.operation import Level, Operation
from state.schema import ACCOUNT, ASSET, HOLDING
from state.schema_kyc import OVERSIGHT, RULE, WINDOW

_ROLE: Final = (Code.ASSET_NOT_FOUND, Code.NO_PERMISSION)
_SCOPE: Final = (("scope", SMALL), ("account", OPTIONAL_ADDRESS), ("asset", CODE), ("tier", TIER))
_VIEW: Final = (
    ("regulator", ADDRESS),
    ("scope", SMALL),
    ("account", OPTIONAL_ADDRESS),
    ("asset", OPTIONAL_CODE),
)
_RULES: Final = frozenset({RULE, ASSET, OVERSIGHT})

OPERATIONS: Final = (
    Operation(
        code=rules.SET_LIMITS,
        name="comp.set_limits",
        module="limits",
        fields=(
            *_SCOPE,
            ("per_tx", AMOUNT),
            ("window_s", NUMBER),
            ("in_max", AMOUNT),
            ("out_max", AMOUNT),
            ("max_balance", AMOUNT),
        ),
        level=Level.STATUTORY,
        handler=rules.set_limits,
        codes=(
            *_ROLE,
            Code.PARAM_OUT_OF_RANGE,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.ASSERT_FAILED,
        ),
        writes=_RULES | {HOLDING},
        check=rules.check_limits,
        is_governed=True,
    ),
    Operation(
        code=rules.CLEAR_LIMITS,
        name="comp.clear_limits",
        module="limits",
        fields=_SCOPE,
        level=Level.STATUTORY,
        handler=rules.clear_limits,
        codes=(*_ROLE, Code.PENDING_NOT_FOUND),
        writes=_RULES | {HOLDING, WINDOW},
        check=rules.check_scope,
        is_governed=True,
    ),
    Operation(
        code=rules.SET_JURISDICTIONS,
        name="comp.set_jurisdictions",
        module="limits",
        fields=(("asset", CODE), ("only", SMALL), ("jurisdictions", JURISDICTIONS)),
        level=Level.STATUTORY,
        handler=rules.set_jurisdictions,
        codes=_ROLE,
        writes=_RULES,
        check=rules.check_jurisdictions,
        is_governed=True,
    ),
    Operation(
        code=rules.SET_TRAVEL_THRESHOLD,
        name="comp.set_travel_threshold",
        module="limits",
        fields=(("jurisdiction", JURISDICTION), ("asset", CODE), ("amount", AMOUNT)),
        level=Level.STATUTORY,
        handler=rules.set_travel_threshold,
        codes=_ROLE,
        writes=_RULES,
        is_governed=True,
    ),
    Operation(
        code=rules.CLEAR_TRAVEL_THRESHOLD,
        name="comp.clear_travel_threshold",
        module="limits",
        fields=(("jurisdiction", JURISDICTION), ("asset", CODE)),
        level=Level.STATUTORY,
        handler=rules.clear_travel_threshold,
        codes=(*_ROLE, Code.PENDING_NOT_FOUND),
        writes=_RULES,
        is_governed=True,
    ),
    Operation(
        code=rules.REGISTER_VASP,
        name="comp.register_vasp",
        module="limits",
        fields=(("institution", ADDRESS), ("lei", LEI), ("keys", KEYS)),
        level=Level.HIGH,
        handler=rules.register_vasp,
        codes=(
            Code.NO_PERMISSION,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.ASSERT_FAILED,
            Code.ACCOUNT_EXISTS,
        ),
        writes=frozenset({RULE, OVERSIGHT}),
        check=rules.check_vasp,
        is_governed=True,
    ),
    Operation(
        code=recovery.RECOVER_HOLDER,
        name="comp.recover_holder",
        module="limits",
        fields=(("old", ADDRESS), ("new", ADDRESS), ("evidence_hash", EVIDENCE), ("assets", CODES)),
        level=Level.STATUTORY,
        handler=recovery.recover,
        codes=(
            Code.NO_PERMISSION,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.ACCOUNT_CLOSED,
            Code.ACCOUNT_SANCTIONED,
            Code.ACCOUNT_DEEP_FROZEN,
            Code.ASSET_NOT_FOUND,
            Code.ASSERT_FAILED,
            Code.OVERFLOW_MAX,
        ),
        writes=frozenset({HOLDING, ACCOUNT, OVERSIGHT}) | recovery.POLICY_LETTERS,
        marks=recovery.POLICY_MARKS,
        work=64,
        check=recovery.check_recovery,
        authorities=recovery.new_must_sign,
        forces=True,
    ),
    Operation(
        code=views.GRANT_VIEW,
        name="comp.grant_view",
        module="limits",
        fields=(*_VIEW, ("until", NUMBER)),
        level=Level.HIGH,
        handler=views.grant,
        codes=(
            Code.ASSET_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.TOO_LATE,
        ),
        writes=frozenset({OVERSIGHT}),
        check=views.check_view,
        is_governed=True,
    ),
    Operation(
        code=views.REVOKE_VIEW,
        name="comp.revoke_view",
        module="limits",
        fields=_VIEW,
        level=Level.HIGH,
        handler=views.revoke,
        codes=(Code.ASSET_NOT_FOUND, Code.NO_PERMISSION, Code.PENDING_NOT_FOUND),
        writes=frozenset({OVERSIGHT}),
        check=views.check_view,
        is_governed=True,
    ),
)
