"""Checks of freezes, sanctions, authorisations and acts of authority on what an operation touched, and of the whole state.

I26: nothing reaches or leaves a sanctioned or closed account, nothing reaches one that is deep-frozen or not authorised, nothing leaves a
frozen one but to the issuer; an act of authority takes more than nothing from exactly one holder of an asset and gives it to at most one.
A mark stands exactly where its record says, and the number of restrictions, which tells the gate whether to look at all, is right. I4,
I24: an asset's scale and maximum never change, its flags only fall. They know nothing of the handlers nor of the gate; nothing here may
change a record. Source: ledger rules, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from state.marks import (
    AUTHORISED,
    CLOSED,
    DEBIT_FROZEN,
    DEEP_FROZEN,
    HOLDING_DEEP_FROZEN,
    HOLDING_FROZEN,
    MAINTAINED,
    PAUSED,
    SANCTIONED,
)
from state.modules.gate import FLAG_REQUIRE_AUTH
from state.modules.operation import MODULE_ACCOUNTS, Operation
from state.primitives.codec import Value
from state.schema import ACCOUNT, ASSET, HOLDING, HOLDING_ADDRESS, HOLDING_CODE_START, account_key, asset_key
from state.schema_freezes import (
    FREEZES,
    LEVEL_DEBIT,
    LEVEL_DEEP,
    MARKED_KEY,
    OF_ROLES,
    SUBJECT_START,
    account_freeze_key,
    holding_freeze_key,
    pause_key,
    roles_key,
    sanction_key,
)
from state.view import View

_ACCOUNT_BITS: Final = {0: 0, LEVEL_DEBIT: DEBIT_FROZEN, LEVEL_DEEP: DEBIT_FROZEN | DEEP_FROZEN}
_HOLDING_BITS: Final = {0: 0, LEVEL_DEBIT: HOLDING_FROZEN, LEVEL_DEEP: HOLDING_FROZEN | HOLDING_DEEP_FROZEN}
_NOTHING: Final = (0,)
_Records = Mapping[bytes, Value]


def check_compliance(view: View, first: _Records, operation: Operation | None, time_s: int | None) -> str:
    """I26 over the records before (`first`) and now; the empty string if it holds. No operation: an automatic action.

    Without a time, freezes that have an end are not held against anybody.
    """
    values = view.values
    moved: dict[bytes, dict[bytes, int]] = {}  # asset -> account -> by how much its balance changed
    counted = 0
    for key, before in first.items():
        after = values[key]
        tag = key[1]
        if tag == HOLDING:
            delta = (after or _NOTHING)[0] - (before or _NOTHING)[0]
            if delta:
                moved.setdefault(key[HOLDING_CODE_START:], {})[key[HOLDING_ADDRESS]] = delta
        if tag in (ACCOUNT, HOLDING, ASSET, FREEZES) and key != MARKED_KEY:
            problem = _check_marks(values, key)
            if problem:
                return problem
            counted += _counts(key, after) - _counts(key, before)
    count_before = first[MARKED_KEY] if MARKED_KEY in first else values[MARKED_KEY]
    if (values[MARKED_KEY] or _NOTHING)[0] - (count_before or _NOTHING)[0] != counted:
        return "I26: the number of restrictions is wrong"
    is_forced = operation is not None and operation.forces
    for code, deltas in moved.items():
        problem = _check_forced(deltas) if is_forced else ""
        problem = problem or _check_moved(values, first, code, deltas, is_forced, time_s)
        if problem:
            return problem
    return ""


def _counts(key: bytes, record: Value) -> int:
    """How many restrictions a record is."""
    if record is None:
        return 0
    if key[1] == ASSET:
        return 1 if record[2] & FLAG_REQUIRE_AUTH else 0
    return 1 if key[1] == FREEZES and key[2] != OF_ROLES else 0


def _level(records: _Records, key: bytes) -> int:
    record = records[key]
    return 0 if record is None else int(record.level)


def _check_marks(records: _Records, key: bytes) -> str:
    """That the marks of what `key` is about are those of its freezes and sanctions. `records` gives None for what is not there."""
    tag, subject = key[1], key[2:]
    if tag == FREEZES:
        tag, subject = {b"a": ACCOUNT, b"s": ACCOUNT, b"h": HOLDING, b"p": ASSET}.get(key[2:3], 0), key[SUBJECT_START:]
    if tag == ACCOUNT:
        account = records[account_key(subject)]
        marks = account[4] if account is not None else 0
        wanted = _ACCOUNT_BITS[_level(records, account_freeze_key(subject))]
        wanted |= SANCTIONED if records[sanction_key(subject)] is not None else 0
        if marks & (DEBIT_FROZEN | DEEP_FROZEN | SANCTIONED) != wanted:
            return "I26: an account's marks are not those of its freeze or sanction"
    elif tag == HOLDING:
        record = records[b" h" + subject]
        marks = record[2] if record is not None and len(record) > 1 else 0
        if marks & (HOLDING_FROZEN | HOLDING_DEEP_FROZEN) != _HOLDING_BITS[_level(records, holding_freeze_key(subject[:32], subject[32:]))]:
            return "I26: a holding's marks are not those of its freeze"
    elif tag == ASSET:
        asset = records[b" A" + subject]
        if bool(asset is not None and asset[5] & PAUSED) != (records[pause_key(subject)] is not None):
            return "I26: an asset's mark is not that of its pause"
    return ""


def _check_forced(deltas: Mapping[bytes, int]) -> str:
    """An act of authority takes from one and gives to one at most."""
    losers = [address for address, delta in deltas.items() if delta < 0]
    if len(losers) != 1 or len(deltas) > 2:
        return "I26: an act of authority took from other than one holder"
    return "I26: an act of authority took from a module" if losers[0] in MODULE_ACCOUNTS else ""


def _check_moved(
    values: _Records, first: _Records, code: bytes, deltas: Mapping[bytes, int], is_forced: bool, time_s: int | None
) -> str:
    asset = values[asset_key(code.decode("ascii"))]
    issuer = asset[3]
    to_issuer = deltas.get(issuer, 0)
    returned = -sum(delta for address, delta in deltas.items() if delta < 0 and address in MODULE_ACCOUNTS)
    owed = 0
    for address, delta in deltas.items():
        if address in MODULE_ACCOUNTS:
            continue
        if asset[5] & PAUSED and not is_forced and _counts_now(values[pause_key(code)], time_s):
            return "I26: a paused asset moved"
        marks = _marks_that_count(values, first, address, delta)
        shut, no_entry, no_exit = _limits(values, address, marks, code, asset, time_s)
        if shut and not (is_forced and delta < 0):
            return "I26: a sanctioned or closed account's holding changed"
        if no_entry and delta > 0:
            if no_entry == MAINTAINED and delta <= returned:
                continue  # its own, coming back
            return "I26: something reached a frozen or unauthorised holder"
        if no_exit and delta < 0 and not is_forced:
            owed -= delta
    return "I26: something left a frozen or unauthorised holder, and not to the issuer" if owed > max(0, to_issuer) else ""


def _marks_that_count(values: _Records, first: _Records, address: bytes, delta: int) -> int:
    """An account's marks; one that pays out and is closed by this very operation is not closed yet."""
    marks: int = values[account_key(address)][4]
    before = first.get(account_key(address))
    return marks & ~CLOSED if delta < 0 and before is not None and not before[4] & CLOSED else marks


def _limits(
    values: _Records, address: bytes, marks: int, code: bytes, asset: Value, time_s: int | None
) -> tuple[bool, int, bool]:
    """(nothing at all, nothing in, nothing out but to the issuer); nothing in is MAINTAINED if his own may come back."""
    if marks & (SANCTIONED | CLOSED):
        return True, 1, True
    level = 0
    if marks & (DEBIT_FROZEN | DEEP_FROZEN) and _counts_now(values[account_freeze_key(address)], time_s):
        level = LEVEL_DEEP if marks & DEEP_FROZEN else LEVEL_DEBIT
    no_entry, no_exit = int(level == LEVEL_DEEP), level > 0
    if address == asset[3]:
        return False, no_entry, no_exit
    holding = values[b" h" + address + code]
    own = holding[2] if holding is not None and len(holding) > 1 else 0
    if own & (HOLDING_FROZEN | HOLDING_DEEP_FROZEN) and _counts_now(values[holding_freeze_key(address, code)], time_s):
        no_exit = True
        no_entry = no_entry or int(bool(own & HOLDING_DEEP_FROZEN))
    if asset[2] & FLAG_REQUIRE_AUTH and not own & AUTHORISED:
        no_exit = True
        no_entry = no_entry or (MAINTAINED if own & MAINTAINED else 1)
    return False, no_entry, no_exit


def _counts_now(freeze: Value, time_s: int | None) -> bool:
    """Whether a freeze is in force; a mark without a record always is."""
    if freeze is None or not freeze.until_s:
        return True
    return time_s is not None and bool(freeze.until_s > time_s)


def check_definition(view: View, key: bytes, before: Value, after: Value, authorised: tuple[bytes, ...]) -> str:
    """I4 and I24 of an asset that there was before: what may change of it, and who must have signed."""
    if after is None or after[:2] != before[:2]:
        return "I4: an asset's definition changed"
    if after[2] & ~before[2]:
        return "I26: an issuer got a power that was not reserved"
    if after[2:4] != before[2:4] and before[3] not in authorised:
        return "I24: an asset changed without its issuer's authorisation"
    if after[3] != before[3] and after[3] not in authorised:
        return "I24: an asset was handed to an issuer who did not sign"
    roles = view.values[roles_key(key[2:])]
    if after[4] != before[4] and (roles is None or roles.metadata not in authorised):
        return "I24: an asset's description changed without its role"
    return ""


class _Known(dict[bytes, Value]):
    def __missing__(self, key: bytes) -> Value:
        return None


def audit_compliance(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit: every mark has its record, every record its mark, and all are counted; what is wrong, in a stated order."""
    known = _Known((key, record) for key, record in records if key[1] in (ACCOUNT, HOLDING, ASSET, FREEZES))
    problems = []
    count = 0
    for key in sorted(known):
        if key[1] == HOLDING and key[HOLDING_ADDRESS] in MODULE_ACCOUNTS:
            continue
        if key == MARKED_KEY:
            continue
        problem = _check_marks(known, key)
        if problem:
            problems.append(f"{problem} ({key.hex()})")
        count += _counts(key, known[key])
    if count != (known[MARKED_KEY] or _NOTHING)[0]:
        problems.append("I26: the number of restrictions is wrong")
    return tuple(problems)
