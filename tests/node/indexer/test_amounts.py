"""Stored amounts: the order of the bytes is the order of the numbers, up to 2^640."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.indexer.amounts import decode_amount, encode_amount
from state.primitives.errors import IndexDamagedError
from state.primitives.limits import AMOUNT_MAX

AMOUNTS = st.one_of(st.integers(0, AMOUNT_MAX), st.integers(0, 639).map(lambda bit: (1 << bit) - 1), st.integers(0, 70_000))


@given(AMOUNTS, AMOUNTS)
def test_order_and_round_trip(one: int, other: int) -> None:
    assert decode_amount(encode_amount(one)) == one
    assert (encode_amount(one) < encode_amount(other)) == (one < other)


def test_edges() -> None:
    assert encode_amount(0) == b"\0"
    assert len(encode_amount(AMOUNT_MAX)) == 81
    for amount in (-1, AMOUNT_MAX + 1):
        with pytest.raises(IndexDamagedError):
            encode_amount(amount)
    for data in (b"", b"\x02\x01", b"\x00\x01"):
        with pytest.raises(IndexDamagedError):
            decode_amount(data)
