"""Checks of anchors on what an operation touched, and of the whole state; they know nothing of the handler.

I32: an anchor is added by its account, under the next number and with more entries than the one before, and never changes or goes. Nothing
here may change a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from state.primitives.codec import Value
from state.primitives.limits import ANCHORED_LOGS_MAX
from state.schema_audit import (
    ANCHOR,
    ANCHOR_ACCOUNT,
    ANCHOR_LIST_KEY_BYTES,
    anchor_key,
    anchored_log_key,
    anchors_key,
    split_anchor_key,
)
from state.view import View


def check_anchors(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I32 over the records before (`first`) and now; the empty string if it holds. `account` acts, or None."""
    values = view.values
    for key, before in first.items():
        if key[1] != ANCHOR:
            continue
        after = values[key]
        if account is None or key[ANCHOR_ACCOUNT] != account:
            return "I32: an account's anchors changed without it"
        if after is None:
            return "I32: an anchor is gone"
        if len(key) == ANCHOR_LIST_KEY_BYTES:
            if after[:-1] != (before or ()) or len(after) > ANCHORED_LOGS_MAX or values[anchored_log_key(account, after[-1])] is None:
                return "I32: the list of logs is wrong"
            continue
        log, number = split_anchor_key(key)
        summary = values[anchored_log_key(account, log)]
        if number is not None:
            if before is not None or summary != (number + 1, after.entries):
                return "I32: an anchor was changed, or is not the last"
        elif after.anchors != (before.anchors if before else 0) + 1 or after.entries <= (before.entries if before else 0):
            return "I32: a log has not grown by one anchor"
        elif values[anchor_key(account, log, after.anchors - 1)] is None or log not in (values[anchors_key(account)] or ()):
            return "I32: a log without its anchor or its name"
    return ""


def audit_anchors(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit of I32 over all (key, record); what is wrong."""
    known = {key: record for key, record in records if key[1] == ANCHOR}
    problems = []
    counts: dict[bytes, int] = {}
    listed = {anchored_log_key(key[ANCHOR_ACCOUNT], log) for key in known if len(key) == ANCHOR_LIST_KEY_BYTES for log in known[key]}
    for key in sorted(known):
        if len(key) == ANCHOR_LIST_KEY_BYTES:
            continue
        log, number = split_anchor_key(key)
        own = anchored_log_key(key[ANCHOR_ACCOUNT], log)
        if number is None:
            counts.setdefault(key, 0)
            continue
        if number != counts.get(own, 0):
            problems.append(f"I32: anchors are not numbered ({key.hex()})")
        before = known.get(anchor_key(key[ANCHOR_ACCOUNT], log, number - 1)) if number else None
        if before is not None and (before.entries >= known[key].entries or before.height > known[key].height):
            problems.append(f"I32: an anchor is behind the one before ({key.hex()})")
        counts[own] = counts.get(own, 0) + 1
    for key, count in sorted(counts.items()):
        log, _ = split_anchor_key(key)
        last = known.get(anchor_key(key[ANCHOR_ACCOUNT], log, count - 1)) if count else None
        if last is None or known.get(key) != (count, last.entries):
            problems.append(f"I32: a log does not have the anchors that it counts ({key.hex()})")
    if listed != counts.keys():
        problems.append("I32: the lists of logs are not those that there are")
    return tuple(problems)
