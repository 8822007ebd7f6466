"""A copy-on-write overlay of the state: read through, write on top, roll back to any mark, list what changed.

Records are kept decoded for the whole block and encoded once at its end. Rolling back is an undo log, not a stack of
overlays, so a read is one dictionary look-up however deep the nesting. No rule of the ledger goes in here; nothing else in this
project may hold a second copy of a record (a stale copy inside one transaction once minted two billion units elsewhere).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from state.primitives.codec import Value
from state.primitives.errors import ConsensusFailure
from state.primitives.limits import RECORD_CACHE_RECORDS_MAX
from state.schema import ENCODE, decode_record


class Reader(Protocol):
    """Where a view starts from: a store, a cache, a dictionary."""

    def get(self, key: bytes, /) -> bytes | None:
        """The raw value under a raw key, or None."""
        ...


class _Committed(dict[bytes, Value]):
    """Decoded records of a reader, kept when first asked for."""

    __slots__ = ("read", "records_max")

    def __init__(self, reader: Reader, records_max: int) -> None:
        super().__init__()
        self.read = reader.get
        self.records_max = records_max

    def __missing__(self, key: bytes) -> Value:
        raw = self.read(key)
        record = self[key] = None if raw is None else decode_record(key, raw)
        if len(self) > self.records_max:
            del self[next(iter(self))]
        return record


class _Overlay(dict[bytes, Value]):
    """What a view sees: its own writes, and what it has read of the committed records. To be subscripted, not `get`."""

    __slots__ = ("committed",)

    def __init__(self, committed: _Committed) -> None:
        super().__init__()
        self.committed = committed

    def __missing__(self, key: bytes) -> Value:
        record = self[key] = self.committed[key]
        return record


class RecordCache:
    """Decoded records of the committed state over a slower reader, at most `records_max`; itself a reader.

    It must be told of every commit with `commit`, in order and before the next block is executed; `height` says how far it is, and
    a block of any other height than the next is refused. When full it forgets the oldest entries.
    """

    __slots__ = ("committed", "get", "height")

    def __init__(self, reader: Reader, height: int, records_max: int = RECORD_CACHE_RECORDS_MAX) -> None:
        self.get = reader.get
        self.height = height
        self.committed = _Committed(reader, records_max)

    def commit(self, height: int, records: Iterable[tuple[bytes, Value]]) -> None:
        """Take over the records that the block at `height` changed. Raises `ConsensusFailure` if it is not the next one."""
        if height != self.height + 1:
            raise ConsensusFailure(f"the record cache is at height {self.height} and was given {height}")
        self.height = height
        committed = self.committed
        committed.update(records)
        while len(committed) > committed.records_max:
            del committed[next(iter(committed))]


class View:
    """Records over a reader.

    `values[key]` is the record under a key, or None. `undo` holds (key, record before) of every write since the last `settle`:
    the invariants read what a transaction did from it. Both are open for reading; only the methods write.
    """

    __slots__ = ("_dirty", "undo", "values")

    def __init__(self, reader: Reader) -> None:
        self._dirty: dict[bytes, Value] = {}
        self.values = _Overlay(
            reader.committed if isinstance(reader, RecordCache) else _Committed(reader, RECORD_CACHE_RECORDS_MAX)
        )
        self.undo: list[tuple[bytes, Value]] = []

    def get(self, key: bytes) -> Value:
        """The record under a key, or None. Raises `StorageCorruptError` if the reader gives bytes that are not a record."""
        return self.values[key]

    def put(self, key: bytes, record: Value) -> None:
        """Write a record; None deletes."""
        values = self.values
        self.undo.append((key, values[key]))
        values[key] = record

    def mark(self) -> int:
        """A point to roll back to; marks nest."""
        return len(self.undo)

    def rollback(self, mark: int) -> None:
        """Undo every write since `mark`."""
        undo, values = self.undo, self.values
        while len(undo) > mark:
            key, before = undo.pop()
            values[key] = before

    def settle(self) -> None:
        """Keep what was written so far: it can no longer be rolled back."""
        self._dirty.update(self.undo)
        self.undo.clear()

    def original(self, key: bytes) -> Value:
        """The committed record under a key, or None: what it was before any write of this view."""
        return self.values.committed[key]

    def changed_records(self) -> tuple[tuple[bytes, Value], ...]:
        """(key, record or None for deleted) of every settled key whose record differs from the reader's, sorted by key."""
        values, committed = self.values, self.values.committed
        return tuple([(key, values[key]) for key in sorted(self._dirty) if values[key] != committed[key]])


def encode_changes(records: Iterable[tuple[bytes, Value]]) -> tuple[tuple[bytes, bytes | None], ...]:
    """The stored form of changed records."""
    return tuple([(key, None if record is None else ENCODE[key[1]](record)) for key, record in records])
