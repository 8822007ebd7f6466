"""Freezes of accounts and holdings and pauses of assets as records, with the marks that tell of them; their end by the calendar.

A freeze is a record that says by whom, why, on what ground and until when, and a mark that makes `state.modules.gate` look. The two
change together and only here. Whoever looks at a mark looks at the record's own date too, so a late sweep has no effect. Who may freeze
is decided in `compliance` and `asset_force`; no operation goes in here. Source: ledger rules, section 1.5.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from state.codes import Code
from state.events_assets import FREEZE_ENDED, FROZEN, UNFROZEN
from state.marks import (
    DEBIT_FROZEN,
    FREEZE_MARKS,
    HOLDING_FREEZE_MARKS,
    HOLDING_FROZEN,
    PAUSED,
)
from state.modules.assets import count_marked
from state.modules.calendar import schedule
from state.modules.gate import put_holding, read_holding
from state.modules.operation import OpContext
from state.primitives.errors import OperationFailed
from state.schema import ACCOUNT, ASSET, CALENDAR, HOLDING, account_key, asset_key, holding_key
from state.schema_freezes import (
    FREEZES,
    LEVEL_DEBIT,
    LEVEL_DEEP,
    OF_ACCOUNT,
    OF_HOLDING,
    SUBJECT_CODE_START,
    SUBJECT_START,
    Freeze,
    account_freeze_key,
    holding_freeze_key,
    pause_key,
)

FREEZE_ENDS: Final = 10  # the kind of entry in the calendar
FREEZE_LETTERS: Final = frozenset({FREEZES, ACCOUNT, HOLDING, ASSET, CALENDAR})
# a deep freeze is a freeze too
_ACCOUNT_MARKS: Final = {0: 0, LEVEL_DEBIT: DEBIT_FROZEN, LEVEL_DEEP: FREEZE_MARKS}
_HOLDING_MARKS: Final = {0: 0, LEVEL_DEBIT: HOLDING_FROZEN, LEVEL_DEEP: HOLDING_FREEZE_MARKS}


class Scope(IntEnum):
    """What is frozen; stable numbers."""

    ACCOUNT = 1
    HOLDING = 2
    ASSET = 3


class Subject(NamedTuple):
    """What is frozen: an account, its holding of an asset, or an asset."""

    scope: Scope
    account: bytes
    asset: str

    @property
    def key(self) -> bytes:
        """Key of its freeze."""
        code = self.asset.encode("ascii")
        if self.scope is Scope.ACCOUNT:
            return account_freeze_key(self.account)
        return holding_freeze_key(self.account, code) if self.scope is Scope.HOLDING else pause_key(code)

    @classmethod
    def from_key(cls, key: bytes) -> Subject:
        """Inverse of `key`."""
        if key[2] == OF_ACCOUNT:
            return cls(Scope.ACCOUNT, key[SUBJECT_START:], "")
        if key[2] == OF_HOLDING:
            return cls(Scope.HOLDING, key[SUBJECT_START:SUBJECT_CODE_START], key[SUBJECT_CODE_START:].decode("ascii"))
        return cls(Scope.ASSET, b"", key[SUBJECT_START:].decode("ascii"))


def get_freeze(context: OpContext, subject: Subject) -> Freeze | None:
    """The freeze in force, or None."""
    found: Freeze | None = context.view.get(subject.key)
    return None if found is None or found.is_over(context.time_s) else found


def put_freeze(
    context: OpContext, subject: Subject, by: bytes, level: int, reason: str, legal_ref: str, until_s: int
) -> None:
    """Freeze, or make a freeze stricter: 708 (over already), 508 (weaker than the one in force: that is a release)."""
    if 0 < until_s <= context.time_s:
        raise OperationFailed(Code.TOO_LATE, "the freeze would be over already")
    old = get_freeze(context, subject)
    if old is not None and (level < old.level or (until_s and (not old.until_s or until_s < old.until_s))):
        raise OperationFailed(Code.ASSERT_FAILED, "the freeze in force is stricter; release it first")
    view = context.view
    if view.get(subject.key) is None:
        count_marked(view, 1)
    view.put(subject.key, Freeze(level, by, reason, legal_ref, context.time_s, until_s))
    _set_marks(context, subject, level)
    if until_s:
        schedule(context, FREEZE_ENDS, until_s, subject.key)
    context.emit(FROZEN, *_name(subject), level, by, reason, legal_ref, until_s)


def lift_freeze(context: OpContext, subject: Subject, by: bytes, reason: str, legal_ref: str) -> None:
    """End a freeze that there is."""
    _remove(context, subject)
    context.emit(UNFROZEN, *_name(subject), by, reason, legal_ref)


def end_freeze(context: OpContext, key: bytes) -> None:
    """What the calendar does: end the freeze under `key` if it is the one that is over."""
    freeze: Freeze | None = context.view.get(key)
    if freeze is None or not freeze.is_over(context.time_s):
        return
    subject = Subject.from_key(key)
    _remove(context, subject)
    context.emit(FREEZE_ENDED, *_name(subject))


def _remove(context: OpContext, subject: Subject) -> None:
    context.view.put(subject.key, None)
    count_marked(context.view, -1)
    _set_marks(context, subject, 0)


def _set_marks(context: OpContext, subject: Subject, level: int) -> None:
    view = context.view
    if subject.scope is Scope.ACCOUNT:
        record = view.get(account_key(subject.account))
        view.put(account_key(subject.account), (*record[:4], record[4] & ~FREEZE_MARKS | _ACCOUNT_MARKS[level], *record[5:]))
    elif subject.scope is Scope.HOLDING:
        key = holding_key(subject.account, subject.asset)
        balance, held, marks = read_holding(view.get(key))
        put_holding(view, key, balance, held, marks & ~HOLDING_FREEZE_MARKS | _HOLDING_MARKS[level])
    else:
        record = view.get(asset_key(subject.asset))
        marks = record[5] | PAUSED if level else record[5] & ~PAUSED
        view.put(asset_key(subject.asset), (*record[:5], marks, *record[6:]))


def _name(subject: Subject) -> tuple[str, bytes, str]:
    return subject.scope.name.lower(), subject.account, subject.asset
