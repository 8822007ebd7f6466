"""Strict readers of wire fields that the consensus types share. Each raises `MalformedError`; none decides a rule."""

from __future__ import annotations

from state.primitives.canonical import GO_ZERO_TIME_NS
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.limits import HEIGHT_MAX, ROUND_MAX, TIME_NS_MAX, VALIDATORS_MAX


def read_tuple(value: Value, length: int, what: str) -> tuple[Value, ...]:
    """An array of exactly `length` items."""
    if type(value) is not tuple or len(value) != length:
        raise MalformedError(f"{what} has {length} fields")
    return value


def read_list(value: Value, length_max: int, what: str) -> tuple[Value, ...]:
    """An array of at most `length_max` items."""
    if type(value) is not tuple or len(value) > length_max:
        raise MalformedError(f"{what} is a list of at most {length_max} items")
    return value


def read_int(value: Value, low: int, high: int, what: str) -> int:
    """An integer within bounds; a bool is none."""
    if type(value) is not int or not low <= value <= high:
        raise MalformedError(f"{what} is within {low}..{high}")
    return value


def read_bytes(value: Value, lengths: tuple[int, ...], what: str) -> bytes:
    """Bytes of one of the given lengths."""
    if type(value) is not bytes or len(value) not in lengths:
        raise MalformedError(f"{what} has a wrong length")
    return value


def read_height(value: Value) -> int:
    """A block height, 1 or more."""
    return read_int(value, 1, HEIGHT_MAX, "a height")


def read_round(value: Value) -> int:
    """A round, 0 or more."""
    return read_int(value, 0, ROUND_MAX, "a round")


def read_pol_round(value: Value) -> int:
    """A proof-of-lock round, -1 for none."""
    return read_int(value, -1, ROUND_MAX, "a proof-of-lock round")


def read_index(value: Value) -> int:
    """A validator's place in its set."""
    return read_int(value, 0, VALIDATORS_MAX - 1, "a validator index")


def read_time(value: Value) -> int:
    """Nanoseconds since the Unix epoch within the years 1 to 9999.

    Stored as (seconds, nanoseconds), because nanoseconds of the year 1 do not fit 64 bits.
    """
    seconds, nanos = read_tuple(value, 2, "a time")
    time_ns = read_int(seconds, -(1 << 40), 1 << 40, "seconds") * 1_000_000_000
    time_ns += read_int(nanos, 0, 999_999_999, "nanoseconds")
    return read_int(time_ns, GO_ZERO_TIME_NS, TIME_NS_MAX, "a time")


def write_time(time_ns: int) -> tuple[int, int]:
    """Inverse of `read_time`."""
    return divmod(time_ns, 1_000_000_000)
