"""Accounts: policy objects whose address does not change when their keys do.

An address is derived from the whole first policy (kind, parent, keys, thresholds), so nobody can open a victim's address
with a policy of his own. A policy that its own keys could not satisfy is refused, at creation and at every update.
Source: ledger rules, section 5 (accounts). The rows of all operations on accounts are here; what they do to keys, to grants and to
lists is in `account_keys`, `account_grants` and `account_lists`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from state.codes import Code
from state.marks import STATUTORY_ONLY
from state.modules import account_grants, account_keys, account_lists
from state.modules.account_policy import require_key_kinds
from state.modules.fields import (
    ADDRESS,
    AMOUNT,
    KEY_IDS,
    KEYS,
    NUMBER,
    OPTIONAL_ADDRESS,
    OPTIONAL_THRESHOLDS,
    SMALL,
    THRESHOLDS,
    malformed,
)
from state.modules.fields_accounts import ALLOWED, COUNTERPARTIES, KEY_ID, LIMITS, OPS, RULES
from state.modules.operation import MODULE_ACCOUNTS, Level, OpContext, Operation
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.ids import account_address
from state.receipts import ACCOUNT_CREATED
from state.schema import ACCOUNT, CALENDAR, HOLDING, account_key
from state.schema_accounts import ALLOWLIST, GRANT, POLICY


class AccountKind(IntEnum):
    """What an account is, for people and for compliance; stable numbers."""

    CUSTOMER = 1
    INSTITUTION = 2
    SUB_ACCOUNT = 3  # has a parent, which must authorise its creation
    OMNIBUS = 4
    REGULATOR = 5  # reads; acts by statutory operations only
    VALIDATOR = 6
    GROUP = 7  # no keys: it acts by its members' approvals, and only `group.create` makes one


_KINDS: Final = frozenset(int(kind) for kind in AccountKind if kind is not AccountKind.GROUP)


def new_account_address(
    keys: Value, thresholds: Value, *, kind: int = AccountKind.CUSTOMER, parent: bytes = b""
) -> bytes:
    """Address of the account that starts with this policy: 32 bytes. Known before the account exists."""
    return account_address((int(kind), parent, tuple(map(tuple, keys)), tuple(thresholds)))


def first_marks(kind: int) -> int:
    """The marks that an account starts with."""
    return STATUTORY_ONLY if kind == AccountKind.REGULATOR else 0


def is_satisfiable(keys: Value, thresholds: Value) -> bool:
    """Whether all keys together reach every threshold."""
    return bool(keys) and sum(key[3] for key in keys) >= max(thresholds)


def check_new_account(address: bytes, kind: int, parent: bytes, keys: Value, thresholds: Value) -> None:
    """Refuse (101) what no state can make right: unknown kind, parent and kind at odds, an address of another policy."""
    if kind not in _KINDS:
        raise malformed("an unknown kind of account")
    if (kind == AccountKind.SUB_ACCOUNT) != bool(parent):
        raise malformed("a sub-account, and nothing else, has a parent")
    if not keys:
        raise malformed("an account has at least one key")
    if address != new_account_address(keys, thresholds, kind=kind, parent=parent):
        raise malformed("the address is not that of the policy")


def _check_create(args: tuple[Any, ...]) -> None:
    check_new_account(*args)


def _create_authorities(account: bytes, args: tuple[Any, ...]) -> tuple[tuple[bytes, Level], ...]:
    """A sub-account's parent at high."""
    parent: bytes = args[2]
    return ((parent, Level.HIGH),) if parent else ()


def create(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.create: 302, 204 (key kind not admitted), 305."""
    address, kind, parent, keys, thresholds = args
    if context.view.get(account_key(address)) is not None or address in MODULE_ACCOUNTS:
        raise OperationFailed(Code.ACCOUNT_EXISTS, "the address is taken")
    require_key_kinds(context, keys)
    if not is_satisfiable(keys, thresholds):
        raise OperationFailed(Code.WOULD_LOCK_OUT, "the keys together do not reach every threshold")
    context.view.put(account_key(address), (kind, parent, keys, thresholds, first_marks(kind)))
    context.emit(ACCOUNT_CREATED, address, account, parent, kind)


_CHANGE_CODES: Final = (
    Code.ACCOUNT_CLOSED,
    Code.NO_PERMISSION,
    Code.ROTATION_PENDING,
    Code.ASSERT_FAILED,
    Code.WOULD_LOCK_OUT,
)
_CHANGE_WRITES: Final = frozenset({ACCOUNT, POLICY, CALENDAR})
_GRANT_WRITES: Final = frozenset({ACCOUNT, GRANT, CALENDAR})

OPERATIONS: Final = (
    Operation(
        code=1,
        name="account.create",
        module="account",
        fields=(
            ("address", ADDRESS),
            ("kind", SMALL),
            ("parent", OPTIONAL_ADDRESS),
            ("keys", KEYS),
            ("thresholds", THRESHOLDS),
        ),
        level=Level.MEDIUM,
        handler=create,
        codes=(Code.ACCOUNT_EXISTS, Code.NO_PERMISSION, Code.WOULD_LOCK_OUT),
        writes=frozenset({ACCOUNT}),
        check=_check_create,
        authorities=_create_authorities,
    ),
    Operation(
        code=2,
        name="account.update_keys",
        module="account",
        fields=(("add", KEYS), ("remove", KEY_IDS), ("thresholds", OPTIONAL_THRESHOLDS)),
        level=Level.HIGH,
        handler=account_keys.update_keys,
        codes=_CHANGE_CODES,
        writes=_CHANGE_WRITES,
        check=account_keys.check_update,
    ),
    Operation(
        code=3,
        name="account.set_policy",
        module="account",
        fields=(
            ("add", KEYS),
            ("remove", KEY_IDS),
            ("thresholds", OPTIONAL_THRESHOLDS),
            ("rules", RULES),
            ("rotation_delay_s", NUMBER),
            ("recovery_delay_s", NUMBER),
            ("recovery_weight", NUMBER),
            ("dual_from", SMALL),
        ),
        level=Level.HIGH,
        handler=account_keys.set_policy,
        codes=_CHANGE_CODES,
        writes=_CHANGE_WRITES,
        check=account_keys.check_policy,
    ),
    Operation(
        code=4,
        name="account.confirm_keys",
        module="account",
        fields=(("account", ADDRESS), ("change", NUMBER)),
        level=Level.LOW,
        handler=account_keys.confirm_keys,
        codes=(
            Code.ACCOUNT_NOT_FOUND,
            Code.ACCOUNT_CLOSED,
            Code.PENDING_NOT_FOUND,
            Code.TOO_EARLY,
            Code.TOO_LATE,
            Code.NO_PERMISSION,
            Code.ASSERT_FAILED,
            Code.WOULD_LOCK_OUT,
        ),
        writes=_CHANGE_WRITES | {GRANT},
    ),
    Operation(
        code=5,
        name="account.veto_keys",
        module="account",
        fields=(("change", NUMBER),),
        level=Level.HIGH,
        handler=account_keys.veto_keys,
        codes=(Code.ACCOUNT_CLOSED, Code.PENDING_NOT_FOUND),
        writes=frozenset({POLICY}),
    ),
    Operation(
        code=6,
        name="account.recover",
        module="account",
        fields=(("keys", KEYS), ("thresholds", THRESHOLDS)),
        level=Level.HIGH,
        handler=account_keys.recover,
        codes=_CHANGE_CODES,
        writes=_CHANGE_WRITES,
        check=account_keys.check_recover,
    ),
    Operation(
        code=7,
        name="account.revoke_key",
        module="account",
        fields=(("key_id", KEY_ID),),
        level=Level.HIGH,
        handler=account_keys.revoke_key,
        codes=(Code.ACCOUNT_CLOSED, Code.ASSERT_FAILED, Code.WOULD_LOCK_OUT),
        writes=frozenset({ACCOUNT, POLICY}),
    ),
    Operation(
        code=8,
        name="account.grant_session",
        module="account",
        fields=(
            ("key", KEYS),
            ("ops", OPS),
            ("limits", LIMITS),
            ("counterparties", COUNTERPARTIES),
            ("fee_limit", AMOUNT),
            ("window_s", NUMBER),
            ("valid_until", NUMBER),
        ),
        level=Level.HIGH,
        handler=account_grants.grant_session,
        codes=(
            Code.ACCOUNT_CLOSED,
            Code.NO_PERMISSION,
            Code.ASSERT_FAILED,
            Code.SCOPE_TOO_WIDE,
            Code.TOO_LATE,
        ),
        writes=_GRANT_WRITES,
        check=account_grants.check_session,
    ),
    Operation(
        code=9,
        name="account.revoke_session",
        module="account",
        fields=(("key_id", KEY_ID),),
        level=Level.MEDIUM,
        handler=account_grants.revoke_session,
        codes=(Code.PENDING_NOT_FOUND,),
        writes=_GRANT_WRITES,
    ),
    Operation(
        code=10,
        name="account.delegate",
        module="account",
        fields=(
            ("to", ADDRESS),
            ("ops", OPS),
            ("limits", LIMITS),
            ("counterparties", COUNTERPARTIES),
            ("window_s", NUMBER),
            ("valid_until", NUMBER),
        ),
        level=Level.HIGH,
        handler=account_grants.delegate,
        codes=(
            Code.ACCOUNT_CLOSED,
            Code.SELF_TRANSFER,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.SCOPE_TOO_WIDE,
            Code.TOO_LATE,
            Code.ASSERT_FAILED,
        ),
        writes=_GRANT_WRITES,
        check=account_grants.check_delegation,
    ),
    Operation(
        code=11,
        name="account.revoke_delegation",
        module="account",
        fields=(("to", ADDRESS),),
        level=Level.MEDIUM,
        handler=account_grants.revoke_delegation,
        codes=(Code.PENDING_NOT_FOUND,),
        writes=_GRANT_WRITES,
    ),
    Operation(
        code=12,
        name="account.sponsor",
        module="account",
        fields=(("who", ADDRESS), ("ops", OPS), ("limit", AMOUNT), ("window_s", NUMBER), ("valid_until", NUMBER)),
        level=Level.HIGH,
        handler=account_grants.sponsor,
        codes=(
            Code.ACCOUNT_CLOSED,
            Code.SELF_TRANSFER,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.SCOPE_TOO_WIDE,
            Code.TOO_LATE,
        ),
        writes=frozenset({GRANT, CALENDAR}),
        check=account_grants.check_sponsorship,
    ),
    Operation(
        code=13,
        name="account.revoke_sponsor",
        module="account",
        fields=(("who", ADDRESS),),
        level=Level.MEDIUM,
        handler=account_grants.revoke_sponsor,
        codes=(Code.PENDING_NOT_FOUND,),
        writes=frozenset({GRANT}),
    ),
    Operation(
        code=14,
        name="account.set_allowlist",
        module="account",
        fields=(("counterparties", ALLOWED), ("cosigner", OPTIONAL_ADDRESS), ("approver", OPTIONAL_ADDRESS)),
        level=Level.HIGH,
        handler=account_lists.set_allowlist,
        codes=(
            Code.ACCOUNT_CLOSED,
            Code.NO_PERMISSION,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.SELF_TRANSFER,
        ),
        writes=frozenset({ACCOUNT, ALLOWLIST}),
        authorities=account_lists.allowlist_authorities,
    ),
    Operation(
        code=15,
        name="account.close",
        module="account",
        fields=(("beneficiary", OPTIONAL_ADDRESS),),
        level=Level.HIGH,
        handler=account_lists.close,
        codes=(
            Code.ACCOUNT_CLOSED,
            Code.SELF_TRANSFER,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.ROTATION_PENDING,
            Code.ACCOUNT_NOT_EMPTY,
            Code.NOT_TRANSFERABLE,
        ),
        writes=frozenset({ACCOUNT, HOLDING, GRANT}),
        work=100,
        frozen_may=False,
    ),
)
