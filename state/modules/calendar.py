"""What falls due at a time: a calendar of minutes in the state, swept by every block in bounded work, oldest first.

An entry is a kind (`state.expiry_actions` knows what to do for each) and the key of the record that falls due. Whoever uses that
record looks at its own date, so it makes no difference when the sweep arrives; it only frees what would otherwise wait for
somebody. Entries cannot be taken out: what was settled before is found gone and skipped. Source: ledger rules, invariant I31.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from state.primitives.limits import CALENDAR_MINUTES_MAX
from state.schema import CALENDAR_KEY, calendar_entry_key, calendar_minute_key

if TYPE_CHECKING:
    from state.modules.operation import OpContext

_MINUTE_S: Final = 60


def schedule(context: OpContext, kind: int, due_s: int, key: bytes) -> None:
    """Have `kind` done with the record under `key` soon after `due_s` (Unix seconds)."""
    view = context.view
    now = context.time_s // _MINUTE_S
    at, number, waiting = view.get(CALENDAR_KEY) or (now, 0, 0)
    minute = max(at, due_s // _MINUTE_S + 1)
    record = view.get(calendar_minute_key(minute))
    count = record[0] if record is not None else 0
    view.put(calendar_entry_key(minute, count), (kind, key))
    view.put(calendar_minute_key(minute), (count + 1,))
    view.put(CALENDAR_KEY, (at, number, waiting + 1))


def take_due(context: OpContext) -> tuple[int, bytes] | None:
    """Take the oldest entry that is due off the calendar: (kind, key); None if none is, or the walk has gone far enough."""
    view = context.view
    record = view.get(CALENDAR_KEY)
    if record is None:
        return None
    at, number, waiting = record
    now = context.time_s // _MINUTE_S
    walked = 0
    while at <= now and walked < CALENDAR_MINUTES_MAX:
        minute_key = calendar_minute_key(at)
        count = view.get(minute_key)
        if count is not None and number < count[0]:
            entry_key = calendar_entry_key(at, number)
            kind, key = view.get(entry_key)
            view.put(entry_key, None)
            view.put(CALENDAR_KEY, (at, number + 1, waiting - 1) if waiting > 1 else None)
            if waiting == 1:
                view.put(minute_key, None)
            return kind, key
        if count is not None:
            view.put(minute_key, None)
        at, number, walked = at + 1, 0, walked + 1
    view.put(CALENDAR_KEY, (at, number, waiting))
    return None
