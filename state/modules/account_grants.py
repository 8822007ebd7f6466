"""What an account lets others do: session keys and delegates within a scope, and fees that it pays for somebody.

A scope names operations, assets with limits, and counterparties; it never holds anything above payments and trades, and nothing of
this module, so whoever acts within one can neither change keys nor give scopes. `state.authority` holds them to it. Every grant has
an end. Source: ledger rules, section 5 (accounts). Only giving and taking back go in here.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_accounts import (
    DELEGATION_ENDED,
    DELEGATION_GRANTED,
    SESSION_ENDED,
    SESSION_GRANTED,
    SPONSORSHIP_ENDED,
    SPONSORSHIP_GRANTED,
)
from state.marks import DELEGATING
from state.modules.account_policy import read_account, require_key_kinds
from state.modules.calendar import schedule
from state.modules.fields import malformed
from state.modules.operation import Level, OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import GRANT_S_MAX, GRANT_WINDOW_S_MAX, GRANT_WINDOW_S_MIN, GRANTS_MAX
from state.schema import account_key
from state.schema_accounts import (
    DELEGATION,
    NAME_START,
    OWNER,
    SESSION,
    SPONSORSHIP,
    Grant,
    grant_key,
    grants_key,
    session_name,
    usage_key,
)

EXPIRY_GRANT: Final = 2  # kind of the calendar
_MARKS: Final = 4
_NEVER: Final = frozenset({"account", "gov", "group"})  # keys, roles and scopes can be changed by these, if in several steps


def _check_window(window_s: int) -> None:
    if not GRANT_WINDOW_S_MIN <= window_s <= GRANT_WINDOW_S_MAX:
        raise malformed(f"a window is {GRANT_WINDOW_S_MIN} s to {GRANT_WINDOW_S_MAX} s")


def check_session(args: tuple[Any, ...]) -> None:
    """Refuse (101) a session without exactly one key of weight one, or without operations."""
    key, ops, _, _, _, window_s, _ = args
    if len(key) != 1 or key[0][3] != 1:
        raise malformed("a session has one key, and its weight is 1")
    if not ops:
        raise malformed("a scope names operations")
    _check_window(window_s)


def grant_session(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.grant_session: a key that signs for the account within a scope; replaces one of the same id. 303, 204, 508, 307, 708.

    508: the id or the public key is that of one of the account's keys, or there are too many grants.
    """
    key, ops, limits, counterparties, fee_limit, window_s, valid_until = args
    ((key_id, kind, public_key, _),) = key
    record = read_account(context, account)
    require_key_kinds(context, key)
    if any(own[0] == key_id or own[2] == public_key for own in record[2]):
        raise OperationFailed(Code.ASSERT_FAILED, "a key of the account has this number or is this very key")
    _require_narrow(context, ops, valid_until)
    grant = Grant(kind, public_key, ops, limits, counterparties, fee_limit, window_s, context.time_s, valid_until)
    _put_listed(context, account, session_name(key_id), grant)
    context.emit(SESSION_GRANTED, account, key_id, valid_until)


def check_delegation(args: tuple[Any, ...]) -> None:
    """Refuse (101) a delegation without operations."""
    _, ops, _, _, window_s, _ = args
    if not ops:
        raise malformed("a scope names operations")
    _check_window(window_s)


def delegate(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.delegate: another account that acts for this one within a scope, by `as`; replaces its last.

    303, 504, 506, 301, 307, 708, 508 (too many grants).
    """
    to, ops, limits, counterparties, window_s, valid_until = args
    read_account(context, account)
    if to == account:
        raise OperationFailed(Code.SELF_TRANSFER, "an account needs no delegation to itself")
    context.require_recipient(to)
    _require_narrow(context, ops, valid_until)
    grant = Grant(0, b"", ops, limits, counterparties, 0, window_s, context.time_s, valid_until)
    _put_listed(context, account, DELEGATION + to, grant)
    context.emit(DELEGATION_GRANTED, account, to, valid_until)


def check_sponsorship(args: tuple[Any, ...]) -> None:
    """Refuse (101) a sponsorship of nothing."""
    _, _, limit, window_s, _ = args
    if not limit:
        raise malformed("a sponsorship pays something")
    _check_window(window_s)


def sponsor(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.sponsor: fees of another account's transactions, without a signature for each; replaces its last.

    303, 504, 506, 301, 307, 708. No operations named means any.
    """
    who, ops, limit, window_s, valid_until = args
    read_account(context, account)
    if who == account:
        raise OperationFailed(Code.SELF_TRANSFER, "an account pays its own fees")
    context.require_recipient(who)
    _require_end(context, valid_until)
    if any(_find_row(number) is None for number in ops):
        raise OperationFailed(Code.SCOPE_TOO_WIDE, "a scope names operations that there are")
    grant = Grant(0, b"", ops, (), (), limit, window_s, context.time_s, valid_until)
    _put(context, account, SPONSORSHIP + who, grant)
    context.emit(SPONSORSHIP_GRANTED, account, who, limit, valid_until)


def revoke_session(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.revoke_session, at once: 701."""
    _revoke(context, account, session_name(args[0]))


def revoke_delegation(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.revoke_delegation, at once: 701."""
    _revoke(context, account, DELEGATION + args[0])


def revoke_sponsor(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.revoke_sponsor, at once: 701."""
    _revoke(context, account, SPONSORSHIP + args[0])


def _revoke(context: OpContext, account: bytes, name: bytes) -> None:
    if context.view.get(grant_key(account, name)) is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, "nothing of the kind is granted")
    _drop(context, account, name, "revoked")


def _find_row(number: int) -> Any:
    from state.modules.table import OPERATIONS  # which is made of this module's rows, among others

    return OPERATIONS.get(number)


def _require_narrow(context: OpContext, ops: tuple[int, ...], valid_until: int) -> None:
    _require_end(context, valid_until)
    for number in ops:
        row = _find_row(number)
        if row is None:
            raise OperationFailed(Code.SCOPE_TOO_WIDE, f"there is no operation {number}")
        if row.level > Level.MEDIUM or row.module in _NEVER or row.forces or row.is_governed:
            raise OperationFailed(Code.SCOPE_TOO_WIDE, f"{row.name} cannot be given to others")


def _require_end(context: OpContext, valid_until: int) -> None:
    if valid_until > context.time_s + GRANT_S_MAX:
        raise OperationFailed(Code.SCOPE_TOO_WIDE, f"a grant ends within {GRANT_S_MAX} s")
    if valid_until < context.time_s:
        raise OperationFailed(Code.TOO_LATE, "the grant would have ended already")


def _put(context: OpContext, account: bytes, name: bytes, grant: Grant) -> None:
    key = grant_key(account, name)
    view = context.view
    view.put(key, grant)
    if view.get(usage_key(key)) is not None:
        view.put(usage_key(key), None)
    schedule(context, EXPIRY_GRANT, grant.until_s, key)


def _put_listed(context: OpContext, account: bytes, name: bytes, grant: Grant) -> None:
    view = context.view
    names = view.get(grants_key(account)) or ()
    if name not in names:
        if len(names) == GRANTS_MAX:
            raise OperationFailed(Code.ASSERT_FAILED, f"an account has at most {GRANTS_MAX} session keys and delegations")
        view.put(grants_key(account), tuple(sorted((*names, name))))
        record = view.get(account_key(account))
        if not record[_MARKS] & DELEGATING:
            view.put(account_key(account), (*record[:_MARKS], record[_MARKS] | DELEGATING))
    _put(context, account, name, grant)


def _drop(context: OpContext, account: bytes, name: bytes, reason: str) -> None:
    view = context.view
    key = grant_key(account, name)
    view.put(key, None)
    if view.get(usage_key(key)) is not None:
        view.put(usage_key(key), None)
    if name[:1] != SPONSORSHIP:
        names = tuple(other for other in view.get(grants_key(account)) if other != name)
        view.put(grants_key(account), names or None)
        if not names:
            record = view.get(account_key(account))
            view.put(account_key(account), (*record[:_MARKS], record[_MARKS] & ~DELEGATING))
    if name[:1] == SESSION:
        context.emit(SESSION_ENDED, account, int.from_bytes(name[1:], "big"), reason)
    else:
        context.emit(DELEGATION_ENDED if name[:1] == DELEGATION else SPONSORSHIP_ENDED, account, name[1:], reason)


def end_grants(context: OpContext, account: bytes) -> None:
    """End every session and delegation of an account."""
    for name in context.view.get(grants_key(account)) or ():
        _drop(context, account, name, "recovered")


def lapse_grant(context: OpContext, key: bytes) -> None:
    """What the calendar does with a grant whose time is over; one that was given anew meanwhile stays."""
    grant: Grant | None = context.view.get(key)
    if grant is not None and grant.until_s < context.time_s:
        _drop(context, key[OWNER], key[NAME_START:], "expired")
