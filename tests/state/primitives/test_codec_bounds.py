"""What a message costs before it is refused: hostile shapes stay within the bound that `codec.decode` states."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest

from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import MalformedError, TooLargeError
from state.primitives.limits import DECODE_DEPTH_MAX, DECODE_ITEMS_MAX

MIB = 1 << 20
BYTES_PER_ITEM, BYTES_PER_BYTE, BYTES_ALWAYS = 80, 8, MIB  # of the docstring of `decode`


def array(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big")


def filled(unit: bytes, size: int) -> bytes:
    count = max(1, (size - 5) // len(unit))
    return array(count) + unit * count


SHAPES: dict[str, Callable[[int], bytes]] = {
    "nested deeply": lambda size: filled(b"\x91" * 1000 + b"\x90", size),
    "nested as deeply as allowed": lambda size: filled(b"\x91" * (DECODE_DEPTH_MAX - 2) + b"\x90", size),
    "heads that promise more than there is": lambda size: (array(size) * 1000)[: size // 2].ljust(size, b"\xc0"),
    "short heads that promise": lambda size: (b"\xdc" + min(size, 65_535).to_bytes(2, "big")) * (size // 3),
    "empty arrays": lambda size: filled(b"\x90", size),
    "pairs": lambda size: filled(b"\x92\x00\x00", size),
    "small integers": lambda size: filled(b"\x00", size),
    "integers": lambda size: filled(b"\xcd\x7f\xff", size),
    "short byte strings": lambda size: filled(b"\xc4\x02ab", size),
    "wide texts": lambda size: filled(b"\xa2\xc4\x80", size),
    "one wide text": lambda size: b"\xdb" + (size - 4).to_bytes(4, "big") + b"a" * (size - 8) + "\U0001f600".encode(),
    "maps": lambda size: filled(b"\x81\x00\x00", size),
    "empty maps": lambda size: filled(b"\x80", size),
    "extensions": lambda size: filled(b"\xd4\x01\x00", size),
    "one byte string": lambda size: b"\xc6" + size.to_bytes(4, "big") + bytes(size),
}


def peak_of(data: bytes) -> int:
    tracemalloc.start()
    with suppress(MalformedError):
        decode(data, bytes_max=len(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("size", [100, 500, 4_000, 64 * 1024, MIB, 15 * MIB])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_peak_of_a_decode_is_bounded(shape: str, size: int) -> None:
    data = SHAPES[shape](size)
    peak = peak_of(data)
    assert peak <= BYTES_PER_ITEM * min(len(data), DECODE_ITEMS_MAX) + BYTES_PER_BYTE * len(data) + BYTES_ALWAYS
    if size >= 4 * MIB:
        assert peak <= 20 * len(data)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_time_of_a_decode_is_bounded(shape: str) -> None:
    """15 MiB: a fifth of a second on a machine that has nothing else to do, and most of it is refused much sooner."""
    data = SHAPES[shape](15 * MIB)
    best = 10.0
    for _ in range(3):
        began = time.process_time()
        with suppress(MalformedError):
            decode(data, bytes_max=len(data))
        best = min(best, time.process_time() - began)
    assert best < 0.5


@pytest.mark.parametrize("size", [0, 600])  # taken apart first; looked over first
def test_both_ways_of_looking_refuse_the_same(size: int) -> None:
    long = b"x" * size

    def nest(depth: int, inner: object) -> object:
        for _ in range(depth):
            inner = (inner, 1)
        return inner

    def packed(*items: object) -> bytes:
        return encode_trusted((long, *items))

    numbers = (-1, -33, -200, -70_000, -(1 << 40), 1, 200, 70_000, 1 << 40)
    good = packed(None, True, False, *numbers, "a" * 31, "a" * 40, "é" * 300, b"", b"a" * 300)
    assert encode_trusted(decode(good)) == good
    assert encode_trusted(decode(packed("a" * 70_000, b"a" * 70_000), items_max=3)) != b""
    assert decode(packed(tuple(range(20)), (0,) * 70_000))[2] == (0,) * 70_000
    decode(packed(nest(4, ())), depth_max=6)
    with pytest.raises(TooLargeError, match="nested too deeply"):
        decode(packed(nest(5, ())), depth_max=6)
    decode(packed(1, (2, 3), ()), items_max=6)
    with pytest.raises(TooLargeError, match="too many items"):
        decode(packed(1, (2, 3), ()), items_max=5)
    head = b"\x92" + encode_trusted(long)
    maps = b"\x80", b"\x81\x01\x02", b"\xde\x00\x00", b"\xdf" + bytes(4)
    floats = b"\xca" + bytes(4), b"\xcb" + bytes(8)
    extensions = b"\xd4\x01\x00", b"\xc7\x00\x01", b"\xd8\x01" + bytes(16)
    for bad in (*maps, *floats, *extensions, b"\xc1"):
        with pytest.raises(MalformedError):
            decode(head + bad)
    integers = b"\xcc\x01", b"\xd0\x01"
    strings = b"\xd9\x01a", b"\xc5\x00\x01a", b"\xc6\x00\x00\x00\x01a", b"\xda\x00\x01a"
    for spelling in (*integers, *strings, b"\xdc\x00\x00", b"\xdd" + bytes(4)):
        with pytest.raises(MalformedError, match="canonical"):
            decode(head + spelling)
    with pytest.raises(MalformedError):
        decode(good + b"\x00")
    for cut in range(len(good)):
        with pytest.raises(MalformedError):
            decode(good[:cut])
