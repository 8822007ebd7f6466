"""Operations on an account's keys: change, wait, confirm, veto, recover, revoke; and the rules that its keys are held to.

A change by the owners waits for the delay of the account's policy, then anybody may confirm it: it was authorised when it was proposed.
Until then owners and recovery keys may veto it. It is a difference, not a copy, and is judged again against the keys of the day when
it is confirmed, so what was revoked meanwhile does not come back. Recovery keys replace all keys but themselves, after the longer
delay; what old keys had granted then ends. A parent's owners do for a sub-account what recovery keys do. Taking a key away is done at
once. No change may leave an account that nobody could act for. Source: ledger rules, section 5 (accounts).
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_accounts import (
    KEY_REVOKED,
    KEYS_LAPSED,
    KEYS_PROPOSED,
    KEYS_RECOVERED,
    KEYS_VETOED,
    POLICY_SET,
)
from state.marks import ALLOW_LISTED, GOVERNED_KEYS
from state.modules.account_grants import end_grants
from state.modules.account_policy import (
    DUAL_OFF,
    PLAIN,
    compute_change,
    compute_recovery_weight,
    find_gap,
    read_account,
    read_policy,
    require_key_kinds,
)
from state.modules.calendar import schedule
from state.modules.fields import malformed
from state.modules.operation import OpContext
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.limits import (
    ACCOUNT_KEYS_MAX,
    KEY_CHANGE_KEEP_S,
    KEY_DELAY_S_MAX,
    KEY_WEIGHT_MAX,
    RECOVERY_DELAY_S,
)
from state.receipts import KEYS_UPDATED
from state.schema import account_key
from state.schema_accounts import (
    OWNER,
    AccountPolicy,
    KeyChange,
    allowlist_key,
    change_key,
    grant_key,
    policy_key,
    session_name,
)

EXPIRY_CHANGE: Final = 1  # kind of the calendar
_MARKS: Final = 4


def check_update(args: tuple[Any, ...]) -> None:
    """Refuse (101) an update that does nothing, or adds what it removes."""
    add, remove, thresholds = args
    if not add and not remove and not thresholds:
        raise malformed("the update changes nothing")
    if not {key[0] for key in add}.isdisjoint(remove):
        raise malformed("a key is both added and removed")


def update_keys(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.update_keys: replace by id (its rule stays), add (owners' keys), remove, set thresholds. 303, 204, 306, 508, 305.

    At once, or after the delay of the account's policy. 508: a removed id is not there, a public key would count twice, an id is
    that of a session key, or there would be too many keys.
    """
    add, remove, thresholds = args
    _propose(context, account, KeyChange(0, add, remove, thresholds, (), (), 0, 0))


def check_policy(args: tuple[Any, ...]) -> None:
    """Refuse (101) a policy whose parts contradict each other or are out of range."""
    add, remove, _, rules, rotation_delay_s, recovery_delay_s, recovery_weight, dual_from = args
    removed = set(remove)
    if not removed.isdisjoint(key[0] for key in add):
        raise malformed("a key is both added and removed")
    if not removed.isdisjoint(rule.key_id for rule in rules):
        raise malformed("a rule is for a key that is removed")
    if rotation_delay_s > KEY_DELAY_S_MAX or recovery_delay_s > KEY_DELAY_S_MAX:
        raise malformed(f"a delay is at most {KEY_DELAY_S_MAX} s")
    if recovery_weight > ACCOUNT_KEYS_MAX * KEY_WEIGHT_MAX or dual_from > DUAL_OFF:
        raise malformed("a recovery weight or a level is out of range")
    if recovery_weight and recovery_delay_s <= rotation_delay_s:
        raise malformed("recovery waits longer than a change by the owners")


def set_policy(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.set_policy: keys, thresholds, all rules and all settings in one change. 303, 204, 306, 508, 305.

    At once for an account whose policy has no delay yet, else after the delay that is in force.
    """
    add, remove, thresholds, rules, *settings = args
    _propose(context, account, KeyChange(0, add, remove, thresholds, tuple(settings), rules, 0, 0))


def _propose(context: OpContext, account: bytes, change: KeyChange) -> None:
    record = read_account(context, account)
    require_key_kinds(context, change.add)
    policy = read_policy(context.view, account, record[_MARKS])
    if policy.rotation:
        raise OperationFailed(Code.ROTATION_PENDING, f"change {policy.rotation} of this account's keys waits")
    _, _, planned = _judge(context, account, record, policy, change)
    if planned.recovery_weight and change.settings and not _is_recoverable(record, policy, change):
        raise OperationFailed(Code.WOULD_LOCK_OUT, "the recovery keys together would not reach their weight")
    if not policy.rotation_delay_s:
        _commit(context, account, record, policy, change)
        return
    number = policy.next_change
    _wait(context, account, policy._replace(rotation=number), number, change, policy.rotation_delay_s)


def _is_recoverable(record: Value, policy: AccountPolicy, change: KeyChange) -> bool:
    keys, _, planned = compute_change(record[2], record[3], policy, change)
    return compute_recovery_weight(planned, keys) >= planned.recovery_weight


def _judge(
    context: OpContext, account: bytes, record: Value, policy: AccountPolicy, change: KeyChange
) -> tuple[Value, Value, AccountPolicy]:
    """What a change makes of an account, or 508, 305."""
    if any(context.view.get(grant_key(account, session_name(key[0]))) is not None for key in change.add):
        raise OperationFailed(Code.ASSERT_FAILED, "a new key has the number of a session key")
    keys, thresholds, planned = compute_change(record[2], record[3], policy, change)
    gap = find_gap(keys, thresholds, planned, context.time_s)
    if gap:
        raise OperationFailed(Code.WOULD_LOCK_OUT, gap)
    return keys, thresholds, planned


def _wait(
    context: OpContext, account: bytes, policy: AccountPolicy, number: int, change: KeyChange, delay_s: int
) -> None:
    ready_s = context.time_s + delay_s
    until_s = ready_s + KEY_CHANGE_KEEP_S
    view = context.view
    view.put(change_key(account, number), change._replace(ready_s=ready_s, until_s=until_s))
    view.put(policy_key(account), policy._replace(next_change=number + 1))
    record = view.get(account_key(account))
    if not record[_MARKS] & GOVERNED_KEYS:
        view.put(account_key(account), (*record[:_MARKS], record[_MARKS] | GOVERNED_KEYS))
    schedule(context, EXPIRY_CHANGE, until_s, change_key(account, number))
    context.emit(KEYS_PROPOSED, account, number, change.is_recovery, ready_s, until_s)


def _commit(context: OpContext, account: bytes, record: Value, policy: AccountPolicy, change: KeyChange) -> None:
    """Make a change the account's policy: 508, 305."""
    keys, thresholds, planned = _judge(context, account, record, policy, change)
    view = context.view
    kind, parent, _, _, marks = record
    if marks & GOVERNED_KEYS or planned != PLAIN:
        marks |= GOVERNED_KEYS
        view.put(policy_key(account), planned)
    view.put(account_key(account), (kind, parent, keys, thresholds, marks))
    context.emit(KEYS_UPDATED, account, len(change.add), len(record[2]) + len(change.add) - len(keys))
    if change.settings:
        context.emit(POLICY_SET, account, *change.settings)


def confirm_keys(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.confirm_keys: a change that has waited long enough, by anybody. 301, 303, 701, 707, 708, 204, 508, 305."""
    target, number = args
    record = read_account(context, target)
    policy, change = _find_change(context, target, record, number)
    if context.time_s < change.ready_s:
        raise OperationFailed(Code.TOO_EARLY, f"the change may be confirmed from {change.ready_s}")
    if context.time_s > change.until_s:
        raise OperationFailed(Code.TOO_LATE, f"the change could be confirmed until {change.until_s}")
    require_key_kinds(context, change.add)
    view = context.view
    view.put(change_key(target, number), None)
    if not change.is_recovery:
        _commit(context, target, record, policy._replace(rotation=0), change)
        return
    if policy.rotation:
        view.put(change_key(target, policy.rotation), None)
    _commit(context, target, record, policy._replace(rotation=0, recovery=0), change)
    end_grants(context, target)
    context.emit(KEYS_RECOVERED, target, number)


def veto_keys(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.veto_keys: a change that waits, by owners, recovery keys, or a sub-account's parent. 303, 701."""
    (number,) = args
    record = read_account(context, account)
    policy, _ = _find_change(context, account, record, number)
    _forget(context, account, policy, number)
    context.emit(KEYS_VETOED, account, number)


def check_recover(args: tuple[Any, ...]) -> None:
    """Refuse (101) a recovery without new keys."""
    if not args[0]:
        raise malformed("an account has at least one key")


def recover(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.recover: replace all keys but those for recovery, after the recovery delay. 303, 204, 306, 508, 305.

    204: owners cannot use it; recovery keys of the account sign, or the owners of a sub-account's parent.
    """
    keys, thresholds = args
    record = read_account(context, account)
    if context.authority is None or account not in context.authority.recovering:
        raise OperationFailed(Code.NO_PERMISSION, "recovery keys recover an account; owners update its keys")
    require_key_kinds(context, keys)
    policy = read_policy(context.view, account, record[_MARKS])
    if policy.recovery:
        raise OperationFailed(Code.ROTATION_PENDING, f"recovery {policy.recovery} of this account waits")
    change = KeyChange(1, keys, (), thresholds, (), (), 0, 0)
    _judge(context, account, record, policy, change)
    number = policy.next_change
    delay_s = policy.recovery_delay_s or RECOVERY_DELAY_S
    _wait(context, account, policy._replace(recovery=number), number, change, delay_s)


def revoke_key(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.revoke_key: one key, at once; waiting changes that would bring it back are dropped. 303, 508, 305."""
    (key_id,) = args
    record = read_account(context, account)
    policy = read_policy(context.view, account, record[_MARKS])
    revoked = next((key[2] for key in record[2] if key[0] == key_id), b"")
    _commit(context, account, record, policy, KeyChange(0, (), (key_id,), (), (), (), 0, 0))
    for number in (policy.rotation, policy.recovery):
        change = context.view.get(change_key(account, number)) if number else None
        if change is not None and any(key[2] == revoked for key in change.add):
            _forget(context, account, read_policy(context.view, account, GOVERNED_KEYS), number)
            context.emit(KEYS_VETOED, account, number)
    context.emit(KEY_REVOKED, account, key_id)


def _find_change(context: OpContext, account: bytes, record: Value, number: int) -> tuple[AccountPolicy, KeyChange]:
    policy = read_policy(context.view, account, record[_MARKS])
    change: KeyChange | None = context.view.get(change_key(account, number))
    if change is None or number not in (policy.rotation, policy.recovery):
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"no change {number} of this account's keys waits")
    return policy, change


def _forget(context: OpContext, account: bytes, policy: AccountPolicy, number: int) -> None:
    view = context.view
    view.put(change_key(account, number), None)
    left = policy._replace(rotation=0) if policy.rotation == number else policy._replace(recovery=0)
    view.put(policy_key(account), left)


def lapse_change(context: OpContext, key: bytes) -> None:
    """What the calendar does with a change that nobody confirmed in time."""
    change: KeyChange | None = context.view.get(key)
    if change is None or change.until_s >= context.time_s:
        return
    account, number = key[OWNER], int.from_bytes(key[OWNER.stop :], "big")
    _forget(context, account, context.view.get(policy_key(account)), number)
    context.emit(KEYS_LAPSED, account, number)


def adopt_keys(context: OpContext, account: bytes, source: bytes) -> None:
    """Give an account the keys of another with their classes, and end what its old keys had under way, granted and listed.

    For recovery by an authority (`state.modules.recovery`), which answers for who asks it.
    """
    view = context.view
    end_grants(context, account)
    record, model = view.get(account_key(account)), view.get(account_key(source))
    old = read_policy(view, account, record[_MARKS])
    for number in (old.rotation, old.recovery):
        if number:
            view.put(change_key(account, number), None)
    policy = read_policy(view, source, model[_MARKS])._replace(next_change=old.next_change, rotation=0, recovery=0)
    is_governed = policy != PLAIN
    if is_governed or record[_MARKS] & GOVERNED_KEYS:
        view.put(policy_key(account), policy if is_governed else None)
    if record[_MARKS] & ALLOW_LISTED:
        view.put(allowlist_key(account), None)
    marks = record[_MARKS] & ~(ALLOW_LISTED | GOVERNED_KEYS) | (GOVERNED_KEYS if is_governed else 0)
    view.put(account_key(account), (*record[:2], *model[2:4], marks, *record[5:]))
