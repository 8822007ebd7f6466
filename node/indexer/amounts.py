"""Amounts as the index stores them: bytes whose order is the order of the numbers, exact up to 2^640.

One byte says how many bytes follow, then the number big-endian without leading zeros. A longer number is a larger one, so comparing
bytes compares numbers, in SQLite and in PostgreSQL alike, and a small amount takes a few bytes. Nothing else goes in here.
"""

from __future__ import annotations

from typing import Final

from state.primitives.errors import IndexDamagedError
from state.primitives.limits import AMOUNT_MAX

_SIZES: Final = tuple(bytes((size,)) for size in range(256))


def encode_amount(amount: int) -> bytes:
    """The stored form of an amount from 0 to 2^640 - 1. Raises `IndexDamagedError` for any other number."""
    if not 0 <= amount <= AMOUNT_MAX:
        raise IndexDamagedError(f"{amount} is no amount", hint="make it again with: qenex reindex")
    size = (amount.bit_length() + 7) >> 3
    return _SIZES[size] + amount.to_bytes(size, "big")


def decode_amount(data: bytes) -> int:
    """Inverse of `encode_amount`. Raises `IndexDamagedError`."""
    if not data or len(data) != data[0] + 1:
        raise IndexDamagedError("the index has an amount that cannot be read", hint="make it again with: qenex reindex")
    return int.from_bytes(data[1:], "big")
