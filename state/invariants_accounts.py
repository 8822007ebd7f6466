"""Checks of what accounts let others do and of their keys; they know nothing of the handlers, of `state.signers` or `state.authority`.

I24: who acts for an account was let to: its own keys that signed have the weight, or the operation stands in a grant that has not ended,
or recovery keys or a parent do the little that they may; what left the account is what the grant counted, and within its limits.
Nobody's policy, grants or list are touched by another, but for the confirmation of a change that waited its time. I25: a fee that is
paid by a grant is counted and within it. The bits of an account's record say exactly what further records there are. Source: ledger
rules, section 3. Nothing here may change a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from state.authority import Authority
from state.marks import ALLOW_LISTED, DELEGATING, GOVERNED_KEYS, STATUTORY_ONLY
from state.modules.operation import Level
from state.primitives.codec import Value
from state.schema import ACCOUNT, ACCOUNT_PREFIX, HOLDING
from state.schema_accounts import (
    ALLOWLIST,
    GRANT,
    NAME_START,
    OWN_KEY_BYTES,
    OWNER,
    POLICY,
    AccountPolicy,
    Grant,
    KeyChange,
    Usage,
    allowlist_key,
    grants_key,
    policy_key,
    usage_key,
)
from state.schema_treasury import line_key
from state.transaction import Call, Transaction
from state.view import View

_MARKS: Final = 4
_REGULATOR: Final = 5
_OWNER_CLASS: Final = 1
_RECOVERY_CLASS: Final = 4
_CLASSES_AT: Final = {0: (1, 2, 5), 1: (1, 2, 5), 2: (1, 5), 3: (1, 5)}  # level -> the classes whose weight counts
_BY_RECOVERY: Final = (5, 6)  # veto and recover


def check_authority(view: View, tx: Transaction, authority: Authority, fee: int, time_s: int) -> str:
    """I24 and I25 before the first operation: a count of its own of who signed; the empty string if it agrees."""
    for account, level in tx.required:
        if account in authority.scopes:
            continue
        record = view.values[ACCOUNT_PREFIX + account]
        if account in authority.recovering:
            parent = record[1]
            is_parents = bool(parent) and _weigh(view, tx, parent, Level.HIGH, time_s) >= view.values[ACCOUNT_PREFIX + parent][3][2]
            policy: AccountPolicy | None = view.values[policy_key(account)]
            needed = policy.recovery_weight if policy is not None else 0
            if not is_parents and not 0 < needed <= _weigh(view, tx, account, -1, time_s):
                return "I24: an account was to be recovered by others than those who may"
        elif _weigh(view, tx, account, level, time_s) < record[3][level]:
            return "I24: an account's own keys did not authorise the transaction"
    scope = authority.fee_scope
    if scope is not None and fee:
        usage: Usage | None = view.values[usage_key(scope.key)]
        if usage is None or not fee <= usage.fees <= scope.grant.fee_limit:
            return "I25: a fee is beyond what was granted for it"
    return ""


def _weigh(view: View, tx: Transaction, account: bytes, level: int, time_s: int) -> int:
    """Weight of an account's signatures at a level; -1: of its recovery keys."""
    record = view.values[ACCOUNT_PREFIX + account]
    policy: AccountPolicy | None = view.values[policy_key(account)]
    rules = {rule.key_id: rule for rule in policy.rules} if policy is not None else {}
    weight = 0
    for signer, key_id, _ in tx.auth:
        if signer != account:
            continue
        rule = rules.get(key_id)
        key_class = _OWNER_CLASS if rule is None else rule.key_class
        is_running = rule is None or (rule.valid_from <= time_s and (rule.valid_until == 0 or rule.valid_until >= time_s))
        if is_running and key_class in _CLASSES_AT.get(level, (_RECOVERY_CLASS,)):
            weight += sum(key[3] for key in record[2] if key[0] == key_id)
    return weight


def check_scopes(view: View, start: int, call: Call, authority: Authority, time_s: int) -> str:
    """I24 after one operation: what was done by grants stands in them; the empty string if so."""
    operation, account, args = call
    levels = {account: int(operation.level)}
    for other, asked in operation.authorities(account, args) if operation.authorities is not None else ():
        levels[other] = max(int(asked), levels.get(other, 0))
    first = dict(reversed(view.undo[start:]))
    for owner, level in levels.items():
        if owner in authority.recovering and operation.code not in _BY_RECOVERY:
            return "I24: recovery keys did what they may not"
        scope = authority.scopes.get(owner)
        if scope is None:
            continue
        grant: Grant | None = view.values[scope.key]
        if scope.key[OWNER] != owner or grant is None or grant.until_s < time_s:
            return "I24: somebody acted by a grant that is not there"
        if operation.code not in grant.ops or level > Level.MEDIUM or operation.module == "account":
            return "I24: somebody acted beyond what was granted"
        counted = _counted(view, first, usage_key(scope.key))
        for key, before in first.items():
            if key[1] == HOLDING and key[OWNER] == owner:
                asset = key[NAME_START:].decode("ascii")
                spent = _available(before) - _available(view.values[key]) + _owed(view, first, owner, asset)
                limit = next((limit for limit in grant.limits if limit.asset == asset), None)
                if spent > 0 and (limit is None or spent > limit.per_tx or counted.get(asset, (0, 0))[0] != spent):
                    return "I24: more was spent by a grant than it says"
                if spent > 0 and limit is not None and counted[asset][1] > limit.per_window:
                    return "I24: more was spent by a grant in a window than it says"
    return ""


def _owed(view: View, first: Mapping[bytes, Value], owner: bytes, asset: str) -> int:
    """How much more an account owes on its credit line of an asset than before."""
    key = line_key(owner, asset)
    if key not in first:
        return 0
    before, after = first[key], view.values[key]
    return int(after.debt if after is not None else 0) - int(before.debt if before is not None else 0)


def _available(holding: Value) -> int:
    if holding is None:
        return 0
    return int(holding[0]) - (int(holding[1]) if len(holding) > 1 else 0)


def _counted(view: View, first: Mapping[bytes, Value], key: bytes) -> dict[str, tuple[int, int]]:
    """By asset: what the record of usage grew by, what it says now."""
    after: Usage | None = view.values[key]
    if after is None or key not in first:
        return {}
    before: Usage | None = first[key]
    old = dict(before.spent) if before is not None and before.window == after.window else {}
    return {asset: (amount - old.get(asset, 0), amount) for asset, amount in after.spent}


def is_confirmed_change(view: View, first: Mapping[bytes, Value], account: bytes, time_s: int | None) -> bool:
    """Whether one of an account's waiting changes of keys was taken off, and its time had come (None: no time is asked)."""
    return any(
        key[1] == POLICY
        and key[OWNER] == account
        and isinstance(before, KeyChange)
        and view.values[key] is None
        and (time_s is None or before.ready_s <= time_s <= before.until_s)
        for key, before in first.items()
    )


def check_accounts(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I24 over the further records of accounts, before (`first`) and now; the empty string if it holds. `account` acts, or None."""
    values = view.values
    recovered = [
        key[OWNER]
        for key, before in first.items()
        if key[1] == POLICY and isinstance(before, KeyChange) and before.is_recovery and values[key] is None
    ]  # by whom and whether its time had come is asked with the policy itself
    touched: dict[bytes, None] = {}
    for key, before in first.items():
        tag = key[1]
        if tag not in (POLICY, GRANT, ALLOWLIST, ACCOUNT):
            continue
        owner = key[OWNER]
        if account is None:
            if values[key] is not None and before is None:
                return "I24: an automatic action gave something in an account's name"
        elif tag in (GRANT, ALLOWLIST) and owner != account and (tag == ALLOWLIST or owner not in recovered):
            return "I24: an account's grants or list were changed by another"
        touched[owner] = None
    for owner in touched:
        problem = _check_marks(values, owner)
        if problem:
            return problem
    return ""


def _check_marks(values: Mapping[bytes, Value], owner: bytes) -> str:
    """Whether the bits of an account's record say what further records there are, and its policy fits its keys."""
    record = values[ACCOUNT_PREFIX + owner]
    if record is None:
        return "I24: something is kept for an account that is not there"
    policy: AccountPolicy | None = values[policy_key(owner)]
    further = (
        (GOVERNED_KEYS, policy),
        (DELEGATING, values[grants_key(owner)]),
        (ALLOW_LISTED, values[allowlist_key(owner)]),
    )
    is_regulator = record[0] == _REGULATOR
    if any(bool(record[_MARKS] & bit) != (found is not None) for bit, found in further) or is_regulator != bool(
        record[_MARKS] & STATUTORY_ONLY
    ):
        return "I24: an account's marks do not say what there is"
    return "" if policy is None else _check_policy(record, policy)


def _check_policy(record: Value, policy: AccountPolicy) -> str:
    ids = [rule.key_id for rule in policy.rules]
    if ids != sorted(set(ids)) or not set(ids) <= {key[0] for key in record[2]}:
        return "I24: an account has rules for keys that it does not have"
    classes = {rule.key_id: rule.key_class for rule in policy.rules}
    for level, threshold in enumerate(record[3]):
        weight = sum(key[3] for key in record[2] if classes.get(key[0], _OWNER_CLASS) in _CLASSES_AT[level])
        if weight < threshold:
            return "I24: an account's policy can no longer be satisfied"
    return ""


def audit_accounts(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """The whole state: every account's marks against its further records, every list of grants against the grants."""
    state = _Records(records)
    problems = []
    for key in sorted(state):
        tag = key[1]
        if tag in (ACCOUNT, POLICY, ALLOWLIST) and len(key) == OWN_KEY_BYTES:
            problems.append(_check_marks(state, key[OWNER]))
        elif tag == POLICY:
            policy = state[policy_key(key[OWNER])]
            number = int.from_bytes(key[OWN_KEY_BYTES:], "big")
            if policy is None or number not in (policy.rotation, policy.recovery):
                problems.append("I24: a change of keys waits that its account does not know of")
        elif tag == GRANT and len(key) == OWN_KEY_BYTES:
            missing = [name for name in state[key] if not isinstance(state[key + name], Grant)]
            problems += ["I24: a grant is listed that is not there"] * len(missing)
        elif tag == GRANT and key[NAME_START : NAME_START + 1] in (b"S", b"D"):
            names = state[key[:OWN_KEY_BYTES]]
            if names is None or key[NAME_START:] not in names:
                problems.append("I24: a grant is not listed")
    return tuple(problem for problem in problems if problem)


class _Records(dict[bytes, Value]):
    """A whole state; what is not in it is None, as in a view."""

    def __missing__(self, key: bytes) -> Value:
        return None
