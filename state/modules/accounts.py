"""Accounts: policy objects whose address does not change when their keys do.

An address is derived from the whole first policy (kind, parent, keys, thresholds), so nobody can open a victim's address
with a policy of his own. A policy that its own keys could not satisfy is refused, at creation and at every update.
Source: ledger rules, section 5 (accounts). Only operations on accounts' policies go in here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from state.codes import Code
from state.modules.fields import (
    ADDRESS,
    KEY_IDS,
    KEYS,
    OPTIONAL_ADDRESS,
    OPTIONAL_THRESHOLDS,
    SMALL,
    THRESHOLDS,
    malformed,
)
from state.modules.operation import MODULE_ACCOUNTS, Level, OpContext, Operation
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.ids import account_address
from state.primitives.limits import ACCOUNT_KEYS_MAX
from state.receipts import ACCOUNT_CREATED, KEYS_UPDATED
from state.schema import ACCOUNT, account_key


class AccountKind(IntEnum):
    """What an account is, for people and for compliance; stable numbers."""

    CUSTOMER = 1
    INSTITUTION = 2
    SUB_ACCOUNT = 3  # has a parent, which must authorise its creation
    OMNIBUS = 4
    REGULATOR = 5
    VALIDATOR = 6
    GROUP = 7  # no keys: it acts by its members' approvals, and only `group.create` makes one


_KINDS: Final = frozenset(int(kind) for kind in AccountKind if kind is not AccountKind.GROUP)


def new_account_address(
    keys: Value, thresholds: Value, *, kind: int = AccountKind.CUSTOMER, parent: bytes = b""
) -> bytes:
    """Address of the account that starts with this policy: 32 bytes. Known before the account exists."""
    return account_address((int(kind), parent, tuple(map(tuple, keys)), tuple(thresholds)))


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
    _require_key_kinds(context, keys)
    if not is_satisfiable(keys, thresholds):
        raise OperationFailed(Code.WOULD_LOCK_OUT, "the keys together do not reach every threshold")
    context.view.put(account_key(address), (kind, parent, keys, thresholds, 0))
    context.emit(ACCOUNT_CREATED, address, account, parent, kind)


def _check_update(args: tuple[Any, ...]) -> None:
    add, remove, thresholds = args
    if not add and not remove and not thresholds:
        raise malformed("the update changes nothing")
    if not {key[0] for key in add}.isdisjoint(remove):
        raise malformed("a key is both added and removed")


def update_keys(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.update_keys: replace by id, add, remove, set thresholds, at once. 204, 508, 305.

    508: a removed id is not there, a public key would count twice, or there would be too many keys.
    """
    add, remove, new_thresholds = args
    kind, parent, keys, thresholds, marks = context.view.get(account_key(account))
    _require_key_kinds(context, add)
    by_id = {key[0]: key for key in keys}
    for key_id in remove:
        if by_id.pop(key_id, None) is None:
            raise OperationFailed(Code.ASSERT_FAILED, f"there is no key {key_id} to remove")
    by_id.update((key[0], key) for key in add)
    new_keys = tuple(by_id[key_id] for key_id in sorted(by_id))
    if len(new_keys) > ACCOUNT_KEYS_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"an account has at most {ACCOUNT_KEYS_MAX} keys")
    if len({key[2] for key in new_keys}) != len(new_keys):
        raise OperationFailed(Code.ASSERT_FAILED, "one public key may not count twice")
    new_thresholds = new_thresholds or thresholds
    if not is_satisfiable(new_keys, new_thresholds):
        raise OperationFailed(Code.WOULD_LOCK_OUT, "the keys together would not reach every threshold")
    context.view.put(account_key(account), (kind, parent, new_keys, new_thresholds, marks))
    context.emit(KEYS_UPDATED, account, len(add), len(remove))


def _require_key_kinds(context: OpContext, keys: Value) -> None:
    if any(key[1] not in context.key_kinds for key in keys):
        raise OperationFailed(Code.NO_PERMISSION, "this network does not admit that kind of key")


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
        handler=update_keys,
        codes=(Code.NO_PERMISSION, Code.ASSERT_FAILED, Code.WOULD_LOCK_OUT),
        writes=frozenset({ACCOUNT}),
        check=_check_update,
    ),
)
