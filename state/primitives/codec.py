"""Canonical msgpack: one value, one byte string.

Arrays only (never maps, floats or extension types), integers in their shortest form, text as UTF-8. A decoder of msgpack
accepts many spellings of a value, so `decode` encodes again and compares. What a record means is not decided here.
Source: the msgpack specification; lenience seen in libraries is listed in docs/encodings.md.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, cast

import msgpack

from state.primitives.errors import MalformedError, TooLargeError
from state.primitives.limits import (
    AMOUNT_BYTES_MAX,
    DECODE_BYTES_MAX,
    DECODE_DEPTH_MAX,
    DECODE_ITEMS_MAX,
)

# nil, bool, int, bytes, str, or a tuple of them; `Any` because mypy cannot check recursive tuples usefully
Value: TypeAlias = Any

_LEAVES: Final = (bytes, int, str, bool, type(None))


def encode(value: Value) -> bytes:
    """Canonical bytes of a value made of None, bool, int, bytes, str, list and tuple.

    Raises `MalformedError` for anything else, for integers outside [-2^63, 2^64) and for text that is not UTF-8.
    """
    _check_shape(value, DECODE_DEPTH_MAX, [DECODE_ITEMS_MAX])
    return encode_trusted(value)


def encode_trusted(value: Value) -> bytes:
    """As `encode`, for values built by our own code: skips the walk that refuses maps and floats."""
    try:
        return cast(bytes, msgpack.packb(value, use_bin_type=True))
    except (TypeError, ValueError, OverflowError, UnicodeEncodeError) as error:
        raise MalformedError(f"value has no canonical encoding: {error}") from error


def decode(
    data: bytes,
    *,
    bytes_max: int = DECODE_BYTES_MAX,
    depth_max: int = DECODE_DEPTH_MAX,
    items_max: int = DECODE_ITEMS_MAX,
) -> Value:
    """The value of canonical bytes; arrays come back as tuples.

    Raises `TooLargeError` beyond a bound and `MalformedError` for any other spelling, trailing bytes, maps, floats.
    """
    value = unpack(data, bytes_max=bytes_max)
    _check_shape(value, depth_max, [items_max])
    if encode_trusted(value) != data:
        raise MalformedError("bytes are not in canonical form")
    return value


def unpack(data: bytes, *, bytes_max: int = DECODE_BYTES_MAX) -> Value:
    """Decode without the canonical check: for callers that check every leaf's type and encode again themselves."""
    if len(data) > bytes_max:
        raise TooLargeError(f"{len(data)} bytes, at most {bytes_max} are allowed")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            use_list=False,
            strict_map_key=True,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise MalformedError(f"not msgpack: {error}") from error


def _check_shape(value: Value, depth_left: int, items_left: list[int]) -> None:
    kind = type(value)
    if kind is tuple or kind is list:
        if depth_left == 0:
            raise TooLargeError("nested too deeply")
        items_left[0] -= len(value)
        if items_left[0] < 0:
            raise TooLargeError("too many items")
        for item in value:
            if type(item) not in _LEAVES:
                _check_shape(item, depth_left - 1, items_left)
    elif kind not in _LEAVES:
        raise MalformedError(f"type {kind.__name__} has no canonical encoding")


def encode_amount(amount: int) -> bytes:
    """Minimal big-endian bytes of an amount in base units, 0 <= amount < 2^640; zero is empty."""
    if amount < 0:
        raise MalformedError("an amount cannot be negative")
    size = (amount.bit_length() + 7) >> 3
    if size > AMOUNT_BYTES_MAX:
        raise TooLargeError("an amount is below 2^640")
    return amount.to_bytes(size, "big")


def decode_amount(data: Value) -> int:
    """The amount of minimal big-endian bytes. Raises `MalformedError` for leading zeros, `TooLargeError` past 80 bytes."""
    if type(data) is not bytes:
        raise MalformedError("an amount is a byte string")
    if len(data) > AMOUNT_BYTES_MAX:
        raise TooLargeError("an amount is below 2^640")
    if data[:1] == b"\x00":
        raise MalformedError("an amount has no leading zero byte")
    return int.from_bytes(data, "big")
