"""Canonical msgpack: one value, one byte string.

Arrays only (never maps, floats or extension types), integers in their shortest form, text as UTF-8. A decoder of msgpack
accepts many spellings of a value, so `decode` encodes again and compares. It also makes what the bytes only promise, before anybody can
count it, so `decode` counts first. What a record means is not decided here.
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

LOOKED_OVER_ABOVE_BYTES: Final = 512  # shorter ones cannot promise more than 0.7 MB, and most transactions are: they pay nothing


def _head_sizes() -> tuple[int, ...]:
    """Of each first byte: the bytes of a value of fixed size, head included; minus the bytes of a length; 0 for all else."""
    sizes = [1] * 0x80 + [0] * 0x20 + [1 + length for length in range(0x20)] + [0] * 0x20 + [1] * 0x20
    for heads, size in ((b"\xc0\xc2\xc3", 1), (b"\xcc\xd0", 2), (b"\xcd\xd1", 3), (b"\xce\xd2", 5), (b"\xcf\xd3", 9)):
        for head in heads:
            sizes[head] = size
    for heads, length in ((b"\xc4\xd9", 1), (b"\xc5\xda", 2), (b"\xc6\xdb", 4)):
        for head in heads:
            sizes[head] = -length
    return tuple(sizes)


_HEAD_SIZES: Final = _head_sizes()


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

    Whatever the bytes are, this takes at most 80 B for each item, of which there are no more than bytes and no more than `items_max`,
    8 B for each byte, and 1 MB: with the bounds of `limits` 82 MiB, and a fifth of a second.
    """
    is_long = LOOKED_OVER_ABOVE_BYTES < len(data) <= bytes_max
    if is_long:
        _check_heads(data, depth_max, items_max)
    value = unpack(data, bytes_max=bytes_max)
    if not is_long:
        _check_shape(value, depth_max, [items_max])
    if encode_trusted(value) != data:
        raise MalformedError("bytes are not in canonical form")
    return value


def unpack(data: bytes, *, bytes_max: int = DECODE_BYTES_MAX) -> Value:
    """Decode without the canonical check and without a bound on what comes of it: for bytes that our own code has made."""
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


def decode_first(data: bytes, place: int) -> Value:
    """The number, or whatever else takes nine bytes at most, that begins at a place: to choose by before the rest is looked at.

    Raises `MalformedError` if there is none. That the spelling is canonical shows when the whole is decoded.
    """
    unpacker = msgpack.Unpacker(use_list=False, raw=False, max_buffer_size=9, max_map_len=0, max_ext_len=0)
    try:
        unpacker.feed(data[place : place + 9])
        return unpacker.unpack()
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise MalformedError(f"not msgpack: {error}") from error


def _check_heads(data: bytes, depth_max: int, items_left: int) -> None:
    """What `_check_shape` checks, of bytes: from head to head, nothing is made of what they promise."""
    place, left, outer = 0, 1, list[int]()  # items to come in the innermost array, and in those around it
    try:
        while True:
            while left:
                left -= 1
                head = data[place]
                size = _HEAD_SIZES[head]
                if size > 0:
                    place += size
                elif size == -1:
                    place += 2 + data[place + 1]
                elif size == -2:
                    place += 3 + (data[place + 1] << 8 | data[place + 2])
                elif size == -4:
                    place += 5 + int.from_bytes(data[place + 1 : place + 5], "big")
                else:
                    count, place = _read_array_head(data, place)
                    items_left -= count
                    if items_left < 0:
                        raise TooLargeError("too many items")
                    if len(outer) >= depth_max:
                        raise TooLargeError("nested too deeply")
                    outer.append(left)
                    left = count
            if not outer:
                break
            left = outer.pop()
    except IndexError:
        raise MalformedError("not msgpack: the bytes end within a value") from None
    if place != len(data):
        raise MalformedError("not msgpack: the bytes do not end where the value does")


def _read_array_head(data: bytes, place: int) -> tuple[int, int]:
    """(items, where the first one begins) of an array. Raises `MalformedError` if it is something else."""
    head = data[place]
    if 0x90 <= head <= 0x9F:
        return head & 15, place + 1
    if head == 0xDC:
        return data[place + 1] << 8 | data[place + 2], place + 3
    if head == 0xDD:
        return int.from_bytes(data[place + 1 : place + 5], "big"), place + 5
    raise MalformedError(f"no canonical encoding begins with the byte {head:#04x}")


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
