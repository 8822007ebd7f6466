"""The overlay: reading through, nested rollback, changes by content, and the cache between blocks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.primitives.codec import decode, encode, encode_amount
from state.primitives.errors import ConsensusFailure, StorageCorruptError
from state.schema import decode_record, encode_record, holding_key, supply_key
from state.view import RecordCache, View, encode_changes

A, B, C = (supply_key(code) for code in ("AA", "BB", "CC"))


class CountingReader:
    def __init__(self, data: dict[bytes, bytes]) -> None:
        self.data = data
        self.reads: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        self.reads.append(key)
        return self.data.get(key)


def raw(amount: int) -> bytes:
    return encode_record(A, (amount,))


def test_reads_through_once() -> None:
    reader = CountingReader({A: raw(5)})
    view = View(reader)
    assert [view.get(A), view.get(A), view.get(B), view.get(B)] == [(5,), (5,), None, None]
    assert reader.reads == [A, B]


def test_nested_rollback() -> None:
    view = View({A: raw(1)})
    view.put(A, (2,))
    outer = view.mark()
    view.put(A, (3,))
    view.put(B, (9,))
    inner = view.mark()
    view.put(A, None)
    view.put(B, (10,))
    view.rollback(inner)
    assert (view.get(A), view.get(B)) == ((3,), (9,))
    view.rollback(outer)
    assert (view.get(A), view.get(B)) == ((2,), None)
    view.settle()
    view.rollback(0)
    assert view.get(A) == (2,)


def test_changes_are_sorted_and_by_content() -> None:
    view = View({A: raw(1), B: raw(2)})
    view.put(C, (3,))
    view.put(B, None)
    view.put(A, (7,))
    view.put(A, (1,))  # back to what it was: no change
    view.settle()
    records = view.changed_records()
    assert records == ((B, None), (C, (3,)))
    assert encode_changes(records) == ((B, None), (C, raw(3)))
    assert (view.original(B), view.original(C)) == ((2,), None)


def test_unsettled_writes_are_no_changes() -> None:
    view = View({})
    view.put(A, (1,))
    assert view.changed_records() == ()


def test_created_and_deleted_again_is_no_change() -> None:
    view = View({})
    view.put(A, (1,))
    view.put(A, None)
    view.settle()
    assert view.changed_records() == ()


@pytest.mark.parametrize("stored", [b"", b"\xc1", b"\x91", b"\x91\xc4\x05a", b"\x92\xc4\x01\x05\x01", b"\x80"])
def test_unreadable_records_stop_us(stored: bytes) -> None:
    for key in (A, b" A" + b"QNX", b" v" + bytes(20), b" n" + bytes(32)):
        if key[1:2] == b"n" and stored in (b"\x80", b"\x92\xc4\x01\x05\x01"):
            continue  # a readable value of another kind
        with pytest.raises(StorageCorruptError):
            View({key: stored}).get(key)
    with pytest.raises(StorageCorruptError):
        View({b" Z": b"\x90"}).get(b" Z")


Actions = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([A, B, C]), st.one_of(st.none(), st.integers(0, 3))),
        st.tuples(st.just("mark")),
        st.tuples(st.just("rollback")),
        st.tuples(st.just("settle")),
    ),
    max_size=40,
)


@given(st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 3)), Actions)
def test_behaves_like_a_stack_of_copies(start: dict[bytes, int], actions: list[Any]) -> None:
    view = View({key: raw(value) for key, value in start.items()})
    model: dict[bytes, int | None] = dict(start)
    stack: list[tuple[int, dict[bytes, int | None]]] = []
    for action, *args in actions:
        if action == "put":
            key, value = args
            view.put(key, None if value is None else (value,))
            model[key] = value
        elif action == "mark":
            stack.append((view.mark(), dict(model)))
        elif action == "rollback" and stack:
            mark, model = stack.pop()
            view.rollback(mark)
        elif action == "settle":
            view.settle()
            stack.clear()
    view.settle()
    for key in (A, B, C):
        value = model.get(key)
        assert view.get(key) == (None if value is None else (value,))
    expected = [
        (key, None if model.get(key) is None else (model[key],)) for key in (A, B, C) if model.get(key) != start.get(key)
    ]
    assert list(view.changed_records()) == expected


Leaves = st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=300), st.text(max_size=50), st.booleans())
Arrays = st.lists(st.recursive(Leaves, lambda inner: st.lists(inner, max_size=20).map(tuple), max_leaves=30), max_size=20).map(tuple)


@given(Arrays)
def test_records_are_stored_in_the_canonical_form(record: tuple[Any, ...]) -> None:
    """The record encoder is another library than the codec: equal bytes for every value a record can hold."""
    stored = encode_record(b" a", record)
    assert stored == encode(record)
    assert decode_record(b" a", stored) == record == decode(stored)


@given(st.integers(0, (1 << 640) - 1))
def test_holdings_are_stored_in_the_canonical_form(amount: int) -> None:
    assert encode_record(A, (amount,)) == encode((encode_amount(amount),))
    assert decode_record(A, encode_record(A, (amount,))) == (amount,)


def test_cache_keeps_records_between_views_and_takes_commits() -> None:
    reader = CountingReader({A: raw(1)})
    cache = RecordCache(reader, height=4)
    view = View(cache)
    view.put(A, (2,))
    view.settle()
    assert View(cache).get(A) == (1,)  # nothing leaks before the commit
    with pytest.raises(ConsensusFailure):
        cache.commit(6, view.changed_records())
    cache.commit(5, view.changed_records())
    assert cache.height == 5
    assert View(cache).get(A) == (2,)
    assert reader.reads == [A]
    assert cache.get(A) == raw(1)  # raw reads go to the store


def test_cache_is_bounded() -> None:
    data = {holding_key(bytes([i]) * 32, "QNX"): encode_record(b" h", (i + 1,)) for i in range(50)}
    cache = RecordCache(CountingReader(data), height=0, records_max=10)
    view = View(cache)
    for key, value in data.items():
        assert view.get(key) == decode_record(key, value)
    assert len(cache.committed) == 10
    for key in data:
        view.put(key, (1_000,))
    view.settle()
    assert len(view.changed_records()) == 50  # what was forgotten is read again to compare
    cache.commit(1, view.changed_records())
    assert len(cache.committed) == 10
