"""What kinds of events there are made of: how a value is stored and shown, and what one row of the event table says.

The rows stand in `state.receipts` and in the events file of a module that has many. No row goes in here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from state.primitives.errors import MalformedError
from state.primitives.ids import format_address

EventValue = bytes | int | str

_address_text = lru_cache(maxsize=16_384)(format_address)  # 30 us each; a page of events repeats a few addresses


def _account_text(value: EventValue) -> str:
    if type(value) is not bytes:
        raise MalformedError("an event has a wrong value for an account")
    return _address_text(value) if value else ""


def _hex_text(value: EventValue) -> str:
    if type(value) is not bytes:
        raise MalformedError("an event has a wrong value for bytes")
    return value.hex()


# How an event's value is shown, and whether it travels as an amount (msgpack integers end at 64 bits)
class ValueKind(NamedTuple):
    """One kind of event value."""

    text: Callable[[EventValue], str]
    is_amount: bool = False


ACCOUNT: Final = ValueKind(_account_text)
BYTES: Final = ValueKind(_hex_text)
TEXT: Final = ValueKind(str)
NUMBER: Final = ValueKind(str)
AMOUNT: Final = ValueKind(str, True)


class EventKind(NamedTuple):
    """One row of the event table. `number` is stored and never reused."""

    number: int
    name: str
    fields: tuple[tuple[str, ValueKind], ...]
