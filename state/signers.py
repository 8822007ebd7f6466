"""Who authorises a transaction when more than one plain key does: several accounts, classes and times of keys, grants, parents.

Every named key must be one of an account that the transaction concerns (111), within its time (113), and named once (114); an account
that must authorise does so by the weight of its own keys, or within a scope: a session key that it granted, its recovery keys, its
parent, or the sender it has delegated to (112 otherwise). Scopes do not add up, neither with weights nor with each other, and they do
not chain: who acts for another signs with keys of its own. What can only be said while executing (limits, two-person control, closed
accounts) goes into the `Authority` that `state.machine` holds the operations to. Nothing here writes. `state.admission` asks it unless
one key of a plain account suffices. Source: ledger rules, section 5 (accounts), incident 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from state.authority import Authority, Scope, compute_left, required_of
from state.codes import Code
from state.marks import CLOSED, DELEGATING, GOVERNED_KEYS, STATUTORY_ONLY
from state.modules.account_policy import (
    compute_recovery_weight,
    compute_weight,
    find_rule,
    has_both,
    is_in_time,
    read_policy,
)
from state.modules.operation import Level
from state.primitives.codec import Value
from state.schema import ACCOUNT_PREFIX
from state.schema_accounts import DELEGATION, SPONSORSHIP, AccountPolicy, Grant, grant_key, session_name
from state.transaction import Call, Transaction
from state.view import View

SPECIAL: Final = CLOSED | GOVERNED_KEYS | DELEGATING | STATUTORY_ONLY  # of an account whose keys' weight is not all
RECOVERY_OPERATIONS: Final = ("account.recover", "account.veto_keys")
_MARKS: Final = 4


class Refusal(NamedTuple):
    """Why signers do not suffice."""

    code: int
    log: str


class Signers(NamedTuple):
    """Key entries in the order of `auth`, and what the operations are held to; None: to nothing more."""

    keys: tuple[Value, ...]
    authority: Authority | None


class _Signing:
    """What one account's signatures say."""

    __slots__ = ("keys", "policy", "record", "session")

    def __init__(self, record: Value, policy: AccountPolicy) -> None:
        self.record = record
        self.policy = policy
        self.keys: list[Value] = []
        self.session: Scope | None = None

    def reaches(self, level: int) -> bool:
        """Whether the account's own keys that sign have the weight that a level asks for."""
        return compute_weight(self.policy, self.keys, level) >= int(self.record[3][level])


def find_signers(view: View, tx: Transaction, time_s: int | None) -> Signers | Refusal:
    """Whether the named keys, were their signatures good, suffice: 114, 111, 113, 112. Without a time no time is asked."""
    for one, other in zip(tx.auth, tx.auth[1:], strict=False):
        if one[0] == other[0] and one[1] == other[1]:
            return Refusal(Code.DUPLICATE_SIGNATURE, f"key {one[1]} signs twice")
    signing: dict[bytes, _Signing] = {}
    is_special = False
    for account in (*[account for account, _ in tx.required], tx.fee_payer):
        record = view.get(ACCOUNT_PREFIX + account)
        if record is not None and account not in signing:
            signing[account] = _Signing(record, read_policy(view, account, record[_MARKS]))
            is_special = is_special or bool(record[_MARKS] & SPECIAL)
    keys = _collect(view, tx, signing, time_s)
    if isinstance(keys, Refusal):
        return keys
    authority = Authority(tx.sender)
    for account, level in tx.required:
        refusal = _authorise(view, tx, signing, account, level, authority, time_s)
        if refusal is not None:
            return refusal
    is_held = is_special or bool(authority.scopes or authority.recovering)
    return Signers(keys, authority if is_held else None)


def _collect(view: View, tx: Transaction, signing: dict[bytes, _Signing], time_s: int | None) -> tuple[Value, ...] | Refusal:
    """The key entries of `auth`, noted with their accounts; or 111, 113."""
    found: list[Value] = []
    for account, key_id, _ in tx.auth:
        mine = signing.get(account)
        key = None if mine is None else next((entry for entry in mine.record[2] if entry[0] == key_id), None)
        if mine is not None and key is not None:
            if time_s is not None and not is_in_time(find_rule(mine.policy, key_id), time_s):
                return Refusal(Code.KEY_EXPIRED, f"key {key_id} does not sign at this time")
            mine.keys.append(key)
            found.append(key)
            continue
        name = grant_key(account, session_name(key_id))
        grant: Grant | None = view.get(name) if mine is not None and mine.record[_MARKS] & DELEGATING else None
        if mine is None or grant is None:
            return Refusal(Code.UNKNOWN_SIGNER, f"no key {key_id} of an account that this transaction concerns")
        if time_s is not None and grant.until_s < time_s:
            return Refusal(Code.KEY_EXPIRED, f"session key {key_id} has run out")
        if mine.session is not None:
            return Refusal(Code.QUORUM_NOT_MET, "of an account's session keys one signs, since their scopes do not add up")
        mine.session = Scope(name, grant)
        found.append((key_id, grant.key_kind, grant.public_key, 0))
    return tuple(found)


def _authorise(
    view: View,
    tx: Transaction,
    signing: dict[bytes, _Signing],
    account: bytes,
    level: int,
    authority: Authority,
    time_s: int | None,
) -> Refusal | None:
    mine = signing.get(account)
    if mine is None:
        return Refusal(Code.QUORUM_NOT_MET, "an account that must authorise does not exist")
    if mine.reaches(level):
        if level >= mine.policy.dual_from and not has_both(mine.policy, mine.keys, level):
            authority.lacking[account] = mine.policy.dual_from
        return None
    calls = [call for call in tx.calls if account in required_of(call)]
    if mine.session is not None and _is_within(mine.session.grant, calls, account):
        authority.scopes[account] = mine.session
        return None
    if calls and all(call.operation.name in RECOVERY_OPERATIONS for call in calls):
        weight = compute_recovery_weight(mine.policy, mine.keys)
        if 0 < mine.policy.recovery_weight <= weight or _has_parent(signing, mine.record[1]):
            authority.recovering += (account,)
            return None
    scope = _find_delegation(view, tx, signing, account, calls, time_s)
    if scope is not None:
        authority.scopes[account] = scope
        return None
    return Refusal(Code.QUORUM_NOT_MET, "the signatures' weight is below an account's threshold")


def _is_within(grant: Grant, calls: Sequence[Call], account: bytes) -> bool:
    """Whether there is something to do for an account, and a grant names all of it."""
    return bool(calls) and all(
        call.operation.code in grant.ops and required_of(call)[account] <= Level.MEDIUM for call in calls
    )


def _has_parent(signing: dict[bytes, _Signing], parent: bytes) -> bool:
    theirs = signing.get(parent) if parent else None
    if theirs is None or not theirs.reaches(Level.HIGH):
        return False
    return theirs.policy.dual_from > Level.HIGH or has_both(theirs.policy, theirs.keys, Level.HIGH)


def _find_delegation(
    view: View, tx: Transaction, signing: dict[bytes, _Signing], account: bytes, calls: Sequence[Call], time_s: int | None
) -> Scope | None:
    """The sender's delegation from an account, if the sender's own keys and its scope suffice for all that is done for it."""
    if account == tx.sender or not signing[account].record[_MARKS] & DELEGATING:
        return None
    key = grant_key(account, DELEGATION + tx.sender)
    grant: Grant | None = view.get(key)
    sender = signing.get(tx.sender)
    if grant is None or sender is None or (time_s is not None and grant.until_s < time_s):
        return None
    if not _is_within(grant, calls, account):
        return None
    level = max(required_of(call)[account] for call in calls)
    if not sender.reaches(level) or (level >= sender.policy.dual_from and not has_both(sender.policy, sender.keys, level)):
        return None
    return Scope(key, grant)


def find_fee_scope(
    view: View, tx: Transaction, keys: Sequence[Value], authority: Authority | None, time_s: int
) -> Scope | str | None:
    """By what the fee payer consents: None for its own keys, a scope for a session key or a sponsorship, else why it does not."""
    payer = tx.fee_payer
    if payer == tx.sender:
        return None if authority is None else authority.scopes.get(payer)
    record = view.get(ACCOUNT_PREFIX + payer)
    if record is None:
        return "the fee payer has no account"
    policy = read_policy(view, payer, record[_MARKS])
    own = [key for entry, key in zip(tx.auth, keys, strict=True) if entry[0] == payer and key[3]]
    if compute_weight(policy, own, Level.MEDIUM) >= record[3][Level.MEDIUM]:
        return None
    key = grant_key(payer, SPONSORSHIP + tx.sender)
    grant: Grant | None = view.get(key)
    if grant is None or grant.until_s < time_s or record[_MARKS] & CLOSED:
        return "the fee payer has not signed with enough weight and sponsors no fees of the sender"
    if grant.ops and not all(call.operation.code in grant.ops for call in tx.calls):
        return "the fee payer does not sponsor these operations"
    return Scope(key, grant)


def is_affordable(view: View, scope: Scope, fee: int, time_s: int) -> bool:
    """Whether a grant's running window has room for a fee."""
    return fee <= compute_left(view, scope, time_s)
