"""Dates and times as queries write them: `2026-01-31` and RFC 3339. Nanoseconds since 1970 in UTC; what is neither is None."""

from __future__ import annotations

import datetime
import re
from typing import Final

from state.primitives.canonical import NS_PER_S

_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME: Final = re.compile(
    _DATE.pattern + r"T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9})[0-9]*)?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH: Final = datetime.datetime(1970, 1, 1)
_SECOND: Final = datetime.timedelta(seconds=1)


def parse_date(text: str) -> int | None:
    """The start of a day."""
    match = _DATE.fullmatch(text)
    seconds = None if match is None else _seconds(*match.groups())
    return None if seconds is None else seconds * NS_PER_S


def parse_time(text: str) -> int | None:
    """A moment; digits beyond the ninth of a second are dropped."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    *fields, fraction, sign, hours, minutes = match.groups()
    seconds = _seconds(*fields)
    if seconds is None:
        return None
    if sign is not None:
        if int(hours) > 23 or int(minutes) > 59:
            return None
        away = int(hours) * 3_600 + int(minutes) * 60
        seconds -= away if sign == "+" else -away
    return seconds * NS_PER_S + int((fraction or "0").ljust(9, "0"))


def _seconds(*fields: str) -> int | None:
    year, month, day, *clock = map(int, fields)
    hour, minute, second = clock or (0, 0, 0)
    try:
        return (datetime.datetime(year, month, day, hour, minute, second) - _EPOCH) // _SECOND
    except ValueError:
        return None
