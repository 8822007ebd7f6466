"""Checks of limits, credentials, domains, compliance rules and privileged acts; they know nothing of the handlers.

I27: after every debit and credit the counters are within the limits they are counted by, nothing that a limit concerns moved without
being counted, balances are within theirs; every privileged act left its entry, and no entry changes. I24: credentials change by
their issuer or their subject, are accepted by their subject, and domains change by their owner. A rule's marks and counts are what the
records say. Source: ledger rules, section 3. Nothing here may change a record, and no arithmetic is shared with the handlers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from state.marks import GUARDED, HOLDING_LIMITED, TRAVEL_RULE
from state.modules.operation import MODULE_ACCOUNTS
from state.primitives.codec import Value
from state.primitives.limits import CREDENTIALS_MAX, GROUP_DEPTH_MAX, LIMIT_WINDOW_BUCKETS
from state.schema import ACCOUNT, ASSET, CALENDAR, HOLDING, HOLDING_ADDRESS, HOLDING_CODE_START
from state.schema_accounts import ALLOWLIST, GRANT, OWNER, POLICY
from state.schema_kyc import (
    ACTS_KEY,
    CREDENTIAL,
    CREDENTIAL_ISSUER,
    CREDENTIAL_LIST_KEY_BYTES,
    CREDENTIAL_TYPE_START,
    DOMAIN,
    NO_RULES,
    OVERSIGHT,
    RULE,
    RULE_ACCOUNT,
    RULE_ACCOUNT_CODE_START,
    SUBJECT,
    WINDOW,
    Limits,
    Window,
)
from state.view import View

# What the gate itself writes down: allowed to every operation and action that may write holdings. Counters of limits and used
# attestations (WINDOW), and the calendar's entry that forgets an attestation.
GATE_LETTERS: Final = frozenset({WINDOW, CALENDAR})
_RECOVERY: Final = 171
_REQUIRE_FLAGS: Final = 64 | 128  # authorisation or acceptance by the holder: they guard an asset too


class _Moves:
    """What an operation moved of each limited holding and group: (key of the counter) -> change of balances."""

    def __init__(self, view: View, first: Mapping[bytes, Value]) -> None:
        self._values = view.values
        self.by_counter: dict[bytes, int] = {}
        self.limited: dict[bytes, int] = {}
        for key, before in first.items():
            if key[1] == HOLDING and key[HOLDING_ADDRESS] not in MODULE_ACCOUNTS:
                self._add(key, before, self._values[key])

    def _add(self, key: bytes, before: Value, after: Value) -> None:
        address, code = key[HOLDING_ADDRESS], key[HOLDING_CODE_START:]
        if address == self._values[b" A" + code][3]:
            return
        delta = (after[0] if after is not None else 0) - (before[0] if before is not None else 0)
        head = self._find_head(address)
        for counter in (b" ZH" + address + code, b" ZA" + head + code):
            self.by_counter[counter] = self.by_counter.get(counter, 0) + delta
        if after is not None and len(after) > 1 and after[2] & HOLDING_LIMITED:
            self.limited[b" ZH" + address + code] = delta

    def _find_head(self, address: bytes) -> bytes:
        for _ in range(GROUP_DEPTH_MAX + 1):
            record = self._values[b" a" + address]
            if record is None or not record[1]:
                break
            address = record[1]
        return address


def check_limits(view: View, first: Mapping[bytes, Value], is_forced: bool) -> str:
    """I27 over the records before (`first`) and now; the empty string if it holds. Acts of authority need not be counted."""
    values = view.values
    moves = _Moves(view, first)
    for key, before in first.items():
        if key[1] == WINDOW and key[2:3] != b"T":
            after: Window | None = values[key]
            problem = "" if after is None else _check_window(view, key, before, after, moves.by_counter.get(key, 0), is_forced)
            if problem:
                return problem
    if is_forced:
        return ""
    for counter, delta in moves.limited.items():
        limits: Limits = values[b" UH" + counter[3:]]
        if delta < 0 and limits.out_max and counter not in first:
            return "I27: a debit of a limited holding was not counted"
        if delta > 0 and limits.max_balance and values[b" h" + counter[3:]][0] > limits.max_balance:
            return "I27: a holding is above its limit"
    return ""


def _check_window(view: View, key: bytes, before: Window | None, after: Window, delta: int, is_forced: bool) -> str:
    """A counter after a movement: its form, its sums, and that a net debit is in it."""
    values = view.values
    limits: Limits | None = values[after.rule]
    if limits is None or not after.rule.endswith(key[RULE_ACCOUNT_CODE_START:]):
        return "I27: something is counted by limits that there are not"
    if after.rule[2:3] in (b"A", b"H") and after.rule[RULE_ACCOUNT] != key[RULE_ACCOUNT]:
        return "I27: something is counted by somebody else's limits"
    if not is_window_sound(after, limits):
        return "I27: a counter has a wrong form"
    kept: tuple[tuple[int, int, int], ...] = ()
    if before is not None and before.bucket_s == after.bucket_s and after.buckets:
        kept = tuple(bucket for bucket in before.buckets if bucket.number >= after.buckets[-1].number - LIMIT_WINDOW_BUCKETS)
    elif before is not None:
        kept = before.buckets
    old_in, old_out = sum(bucket[1] for bucket in kept), sum(bucket[2] for bucket in kept)
    new_in, new_out = sum(bucket[1] for bucket in after.buckets), sum(bucket[2] for bucket in after.buckets)
    if (new_in > old_in and limits.in_max < new_in) or (new_out > old_out and limits.out_max < new_out):
        return "I27: a window is above its limit"
    grew_in = before is None or before.tx != after.tx or after.tx_in > before.tx_in
    grew_out = before is None or before.tx != after.tx or after.tx_out > before.tx_out
    if (grew_in and after.tx_in > limits.per_tx) or (grew_out and after.tx_out > limits.per_tx):
        return "I27: a transaction moved more than its limit"
    if is_forced:
        return ""
    is_comparable = before is None or before.bucket_s == after.bucket_s
    if limits.out_max and delta < 0 and is_comparable and new_out - old_out < -delta:
        return "I27: a debit was not counted"
    if limits.max_balance and delta > 0 and _sum_balances(view, key, after) > limits.max_balance:
        return "I27: a balance is above its limit"
    return ""


def _sum_balances(view: View, key: bytes, window: Window) -> int:
    code = key[RULE_ACCOUNT_CODE_START:]
    held = [view.values[b" h" + owner + code] for owner in (key[RULE_ACCOUNT], *window.members)]
    return sum(holding[0] for holding in held if holding is not None)


def is_window_sound(window: Window, limits: Limits) -> bool:
    """Parts in order, each once, together no longer than the window and one part; no sum below zero; members in order."""
    numbers = [bucket.number for bucket in window.buckets]
    return (
        window.bucket_s == (limits.window_s + LIMIT_WINDOW_BUCKETS - 1) // LIMIT_WINDOW_BUCKETS
        and numbers == sorted(set(numbers))
        and (not numbers or numbers[-1] - numbers[0] <= LIMIT_WINDOW_BUCKETS)
        and all(min(bucket) >= 0 for bucket in window.buckets)
        and min(window.tx_in, window.tx_out) >= 0
        and list(window.members) == sorted(set(window.members))
    )


def check_kyc(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I24 of credentials and domains; the empty string if it holds. `account` acts, or None."""
    values = view.values
    for key, before in first.items():
        after = values[key]
        problem = ""
        if key[1] == DOMAIN:
            if (before is not None and before.owner != account) or after is None or after.owner != account:
                problem = "I24: somebody else's domain was touched"
        elif key[1] == CREDENTIAL and len(key) == CREDENTIAL_LIST_KEY_BYTES:
            if len(after or ()) > CREDENTIALS_MAX or list(after or ()) != sorted(set(after or ())):
                problem = "I24: a list of credentials has a wrong form"
            elif any(not _is_accepted(values[b" y" + key[SUBJECT] + one + kind.encode("ascii")]) for one, kind in after or ()):
                problem = "I24: a list has a credential that its subject has not accepted"
        elif key[1] == CREDENTIAL:
            problem = _check_credential(view, key, before, after, account)
        if problem:
            return problem
    return ""


def _is_accepted(record: Value) -> bool:
    return record is not None and record.accepted_s > 0


def _check_credential(view: View, key: bytes, before: Value, after: Value, account: bytes | None) -> str:
    subject, issuer, kind = key[SUBJECT], key[CREDENTIAL_ISSUER], key[CREDENTIAL_TYPE_START:].decode("ascii")
    if account not in (subject, issuer):
        return "I24: somebody else's credential was touched"
    if _is_accepted(after) and not _is_accepted(before) and account != subject:
        return "I24: a credential was accepted without its subject"
    if after is not None and account != issuer and (before is None or after[:5] != before[:5]):
        return "I24: a credential changed without its issuer"
    if _is_accepted(after) != ((issuer, kind) in (view.values[b" y" + subject] or ())):
        return "I24: the credentials that are accepted are not those that are listed"
    return ""


def check_acts(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I27: a privileged act wrote one entry, its own, under the next number; the empty string if it holds. `account` acts."""
    values = view.values
    new = [key for key in first if key[:3] == ACTS_KEY and len(key) > len(ACTS_KEY)]
    if len(new) != 1 or first[new[0]] is not None or values[new[0]] is None or values[new[0]].actor != account:
        return "I27: a privileged act without its entry"
    count = values[ACTS_KEY][0]
    if new[0] != ACTS_KEY + (count - 1).to_bytes(8, "big") or count != (first[ACTS_KEY] or (0,))[0] + 1:
        return "I27: the entries of privileged acts are not numbered"
    return ""


def check_rules(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I27 of acts, and I24 of what they may change; the empty string if they hold. `account` acts, or None."""
    values = view.values
    if account is None:
        touched = any(key[1] == RULE or key[:3] == ACTS_KEY for key in first)
        return "I27: a rule changed by itself" if touched else ""
    problem = check_acts(view, first, account)
    if problem:
        return problem
    act = values[ACTS_KEY + (values[ACTS_KEY][0] - 1).to_bytes(8, "big")]
    counts: dict[bytes, list[int]] = {}
    for key, before in first.items():
        after, tag = values[key], key[1]
        if tag in (POLICY, GRANT, ALLOWLIST) and (act.code != _RECOVERY or key[OWNER] != act.subject or _is_new(tag, before, after)):
            return "I24: an account's policy changed without a recovery"
        if tag == ACCOUNT and (act.code != _RECOVERY or key[2:] != act.subject or after[:2] != before[:2]):
            return "I24: an account changed without a recovery"
        if tag == HOLDING and act.code != _RECOVERY and (after or (0,))[:1] != (before or (0,))[:1]:
            return "I24: a rule moved value"
        if tag == ASSET and (after[:5] != before[:5] or (after[5] ^ before[5]) & ~(GUARDED | TRAVEL_RULE)):
            return "I4: an asset's definition changed"
        if tag == RULE:
            _count_rule(counts, key, before, -1)
            _count_rule(counts, key, after, 1)
    for code, sums in counts.items():
        if any(sums):
            return "I27: an asset's rules are not those that there are"
        if not _is_marked(values[b" UR" + code], values[b" A" + code]):
            return "I27: an asset is not marked as its rules ask"
    return ""


def _is_new(tag: int, before: Value, after: Value) -> bool:
    """Whether a grant or a list of whom an account may pay appeared: a recovery only ends them."""
    return tag != POLICY and after is not None and (before is None or len(after) >= len(before))


def _count_rule(counts: dict[bytes, list[int]], key: bytes, record: Value, sign: int) -> None:
    """Limits and thresholds less what the asset's rules say of their number; `sign` -1 takes a record away."""
    part = key[2:3]
    if record is None or part in (b"H", b"I", b"L"):
        return
    if part == b"R":
        sums = counts.setdefault(key[3:], [0, 0, 0])
        sums[0] -= sign * record.limits
        sums[1] -= sign * record.thresholds
        sums[2] -= sign * sum(record.tiers)
    elif part == b"V":
        counts.setdefault(key.partition(b"/")[2], [0, 0, 0])[1] += sign
    else:
        start = {b"A": RULE_ACCOUNT_CODE_START, b"D": 3, b"T": 4}[part]
        sums = counts.setdefault(key[start:], [0, 0, 0])
        sums[0] += sign
        sums[2] += sign * key[3] if part == b"T" else 0


def _is_marked(rules: Value, asset: Value) -> bool:
    found = rules or NO_RULES
    is_guarded = bool(asset[5] & GUARDED) or not (found.limits or found.jurisdictions or asset[2] & _REQUIRE_FLAGS)
    return is_guarded and bool(asset[5] & TRAVEL_RULE) == bool(found.thresholds)


def audit_kyc(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit: credentials are listed, rules are counted and marked, counters are sound, acts are numbered."""
    known = {key: record for key, record in records if key[1] in (CREDENTIAL, RULE, WINDOW, OVERSIGHT, ASSET, HOLDING)}
    problems = []
    counts: dict[bytes, list[int]] = {}
    acts = 0
    for key in sorted(known):
        record, tag, problem = known[key], key[1], ""
        if tag == RULE:
            _count_rule(counts, key, record, 1)
            problem = _audit_rule(known, key, record)
        elif tag == CREDENTIAL and len(key) > CREDENTIAL_LIST_KEY_BYTES:
            listed = known.get(b" y" + key[SUBJECT], ())
            if _is_accepted(record) != ((key[CREDENTIAL_ISSUER], key[CREDENTIAL_TYPE_START:].decode("ascii")) in listed):
                problem = "I24: a credential is accepted and not listed, or the other way round"
        elif tag == CREDENTIAL:
            if any(b" y" + key[SUBJECT] + issuer + kind.encode("ascii") not in known for issuer, kind in record):
                problem = "I24: a listed credential is missing"
        elif tag == WINDOW and key[2:3] != b"T":
            numbers = [bucket.number for bucket in record.buckets]
            if numbers != sorted(set(numbers)) or len(numbers) > LIMIT_WINDOW_BUCKETS + 1:
                problem = "I27: a counter has a wrong form"
        elif tag == HOLDING:
            is_limited = len(record) > 1 and bool(record[2] & HOLDING_LIMITED)
            if is_limited != (b" UH" + key[2:] in known):
                problem = "I27: a holding is marked as limited and is not, or the other way round"
        elif tag == ASSET and not _is_marked(known.get(b" UR" + key[2:]), record):
            problem = "I27: an asset is not marked as its rules ask"
        elif key[:3] == ACTS_KEY:
            acts += 1
        if problem:
            problems.append(f"{problem} ({key.hex()})")
    problems += [f"I27: an asset's rules are not those that there are ({code.decode()})" for code in sorted(counts) if any(counts[code])]
    if acts != (known[ACTS_KEY][0] + 1 if ACTS_KEY in known else 0):
        problems.append("I27: the entries of privileged acts are not numbered")
    return tuple(problems)


def _audit_rule(known: Mapping[bytes, Value], key: bytes, record: Value) -> str:
    part = key[2:3]
    if part == b"I" and known.get(b" UL" + record.lei.encode("ascii")) != (key[3:],):
        return "I24: an institution's identifier is not its own"
    if part == b"L" and b" UI" + record[0] not in known:
        return "I24: an identifier without its institution"
    if part == b"H" and b" h" + key[3:] not in known:
        return "I27: limits of a holding that bears no mark"
    return ""
