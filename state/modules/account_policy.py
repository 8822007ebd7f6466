"""What the keys of an account can do: classes, times, two-person control, and whether anybody could still act for it.

`state.signers` asks it at admission, the operations on keys ask it before they change anything. A key without a rule is an owner's,
without end, which is what every account starts with. No operation goes in here, and nothing that writes. Source: ledger rules,
section 5 (accounts).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from state.codes import Code
from state.marks import CLOSED, GOVERNED_KEYS
from state.modules.operation import Level, OpContext
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.limits import ACCOUNT_KEYS_MAX
from state.schema import account_key
from state.schema_accounts import AccountPolicy, KeyChange, KeyRule, policy_key
from state.view import View


class KeyClass(IntEnum):
    """What a key is for; stable numbers. Session keys are grants and do not stand among an account's keys."""

    OWNER = 1  # everything
    OPERATOR = 2  # payments, trades, claims, votes
    SESSION = 3  # what its grant says
    RECOVERY = 4  # nothing but `account.recover` and the veto of a change
    CHECKER = 5  # everything, as the second of two where dual control is asked for


DUAL_OFF: Final = 4  # no level is that high
NOTHING: Final = -1
# class -> the highest level at which its weight counts
HIGHEST_LEVEL: Final[dict[int, int]] = {
    KeyClass.OWNER: Level.STATUTORY,
    KeyClass.OPERATOR: Level.MEDIUM,
    KeyClass.RECOVERY: NOTHING,
    KeyClass.CHECKER: Level.STATUTORY,
}
PLAIN: Final = AccountPolicy(0, 0, 0, DUAL_OFF, 1, 0, 0, ())


def read_account(context: OpContext, account: bytes) -> Value:
    """The record of an account that is open: 301, 303."""
    record = context.view.get(account_key(account))
    if record is None:
        raise OperationFailed(Code.ACCOUNT_NOT_FOUND, "there is no such account")
    if record[4] & CLOSED:
        raise OperationFailed(Code.ACCOUNT_CLOSED, "the account is closed")
    return record


def require_key_kinds(context: OpContext, keys: Value) -> None:
    """Fail with 204 unless the network admits the kinds of these keys."""
    if any(key[1] not in context.key_kinds for key in keys):
        raise OperationFailed(Code.NO_PERMISSION, "this network does not admit that kind of key")


def read_policy(view: View, account: bytes, marks: int) -> AccountPolicy:
    """The policy of an account whose record has these marks."""
    if not marks & GOVERNED_KEYS:
        return PLAIN
    policy: AccountPolicy = view.values[policy_key(account)]
    return policy


def find_rule(policy: AccountPolicy, key_id: int) -> KeyRule:
    """The rule of a key."""
    for rule in policy.rules:
        if rule.key_id == key_id:
            return rule
    return KeyRule(key_id, KeyClass.OWNER, 0, 0)


def is_in_time(rule: KeyRule, time_s: int) -> bool:
    """Whether a key signs at this time."""
    return rule.valid_from <= time_s and (not rule.valid_until or time_s <= rule.valid_until)


def compute_weight(policy: AccountPolicy, keys: Iterable[Value], level: int) -> int:
    """The weight that these keys have together at a level."""
    return sum(key[3] for key in keys if level <= HIGHEST_LEVEL[find_rule(policy, key[0]).key_class])


def compute_recovery_weight(policy: AccountPolicy, keys: Iterable[Value]) -> int:
    """The weight that the recovery keys among these have together."""
    return sum(key[3] for key in keys if find_rule(policy, key[0]).key_class == KeyClass.RECOVERY)


def has_both(policy: AccountPolicy, keys: Iterable[Value], level: int) -> bool:
    """Whether a checker's key and another that counts at this level are among these."""
    classes = [find_rule(policy, key[0]).key_class for key in keys]
    return KeyClass.CHECKER in classes and any(one != KeyClass.CHECKER and level <= HIGHEST_LEVEL[one] for one in classes)


def find_gap(keys: Value, thresholds: Value, policy: AccountPolicy, time_s: int) -> str:
    """Why nobody could act for an account with this policy, now or once keys have run out; the empty string if somebody can."""
    now = [key for key in keys if is_in_time(find_rule(policy, key[0]), time_s)]
    for level, threshold in enumerate(thresholds):
        if compute_weight(policy, now, level) < threshold:
            return f"the keys together would not reach the {Level(level).name.lower()} threshold"
        if level >= policy.dual_from and not has_both(policy, now, level):
            return "dual control needs a checker's key and another"
    lasting = [key for key in now if not find_rule(policy, key[0]).valid_until]
    is_lasting = compute_weight(policy, lasting, Level.HIGH) >= thresholds[Level.HIGH]
    if policy.dual_from <= Level.HIGH:
        is_lasting = is_lasting and has_both(policy, lasting, Level.HIGH)
    if is_lasting or 0 < policy.recovery_weight <= compute_recovery_weight(policy, lasting):
        return ""
    return "once keys have run out, those left could not change them"


def compute_change(
    keys: Value, thresholds: Value, policy: AccountPolicy, change: KeyChange
) -> tuple[Value, Value, AccountPolicy]:
    """(keys, thresholds, policy) after a change, the waiting ones of the policy left as they are. 508 if it does not fit the keys."""
    by_id = {key[0]: key for key in keys}
    if change.is_recovery:
        by_id = {key_id: key for key_id, key in by_id.items() if find_rule(policy, key_id).key_class == KeyClass.RECOVERY}
        if not by_id.keys().isdisjoint(key[0] for key in change.add):
            raise OperationFailed(Code.ASSERT_FAILED, "a new key has the number of a recovery key")
        policy = policy._replace(dual_from=DUAL_OFF)
    for key_id in change.remove:
        if by_id.pop(key_id, None) is None:
            raise OperationFailed(Code.ASSERT_FAILED, f"there is no key {key_id} to remove")
    by_id.update((key[0], key) for key in change.add)
    new_keys = tuple(by_id[key_id] for key_id in sorted(by_id))
    if len(new_keys) > ACCOUNT_KEYS_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"an account has at most {ACCOUNT_KEYS_MAX} keys")
    if len({key[2] for key in new_keys}) != len(new_keys):
        raise OperationFailed(Code.ASSERT_FAILED, "one public key may not count twice")
    rules = change.rules if change.settings else tuple(rule for rule in policy.rules if rule.key_id in by_id)
    if any(rule.key_id not in by_id for rule in rules):
        raise OperationFailed(Code.ASSERT_FAILED, "a rule names a key that is not there")
    if change.settings:
        rotation_delay_s, recovery_delay_s, recovery_weight, dual_from = change.settings
        policy = policy._replace(
            rotation_delay_s=rotation_delay_s,
            recovery_delay_s=recovery_delay_s,
            recovery_weight=recovery_weight,
            dual_from=dual_from,
        )
    return new_keys, change.thresholds or thresholds, policy._replace(rules=rules)
