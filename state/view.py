"""A copy-on-write overlay of the state: read through, write on top, roll back to any mark, list what changed.

Records are kept decoded for the whole block and encoded once at its end. Rolling back is an undo log, not a stack of
overlays, so a read is one dictionary look-up however deep the nesting. No rule of the ledger goes in here; nothing else in this
project may hold a second copy of a record (a stale copy inside one transaction once minted two billion units elsewhere).
"""

from __future__ import annotations

from typing import Protocol

from state.primitives.codec import Value
from state.schema import DECODE, ENCODE, decode_record


class Reader(Protocol):
    """Where a view starts from: a store, a cache, a dictionary."""

    def get(self, key: bytes, /) -> bytes | None:
        """The raw value under a raw key, or None."""
        ...


class View:
    """Records over a reader. `values` and `undo` are open to the hot path for reading only.

    `undo` holds (key, record before) of every write since the last `settle`: the invariants read what a transaction did from it.
    """

    __slots__ = ("_dirty", "_raw", "_read", "undo", "values")

    def __init__(self, reader: Reader) -> None:
        self._read = reader.get
        self._raw: dict[bytes, bytes | None] = {}
        self._dirty: dict[bytes, Value] = {}
        self.values: dict[bytes, Value] = {}
        self.undo: list[tuple[bytes, Value]] = []

    def get(self, key: bytes) -> Value:
        """The record under a key, or None. Raises `StorageCorruptError` if the reader gives bytes that are not a record."""
        try:
            return self.values[key]
        except KeyError:
            raw = self._raw[key] = self._read(key)
            record = self.values[key] = None if raw is None else decode_record(key, raw)
            return record

    def put(self, key: bytes, record: Value) -> None:
        """Write a record; None deletes."""
        self.undo.append((key, self.get(key)))
        self.values[key] = record

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

    def dirty_keys(self) -> list[bytes]:
        """Every key that was written and settled, sorted."""
        return sorted(self._dirty)

    def original(self, key: bytes) -> Value:
        """The record the reader had under a key that this view has read, or None."""
        raw = self._raw[key]
        return None if raw is None else DECODE[key[1]](raw)

    def changes(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """(key, raw value or None for deleted) of every settled key whose bytes differ from the reader's, sorted by key."""
        values, originals = self.values, self._raw
        out: list[tuple[bytes, bytes | None]] = []
        for key in sorted(self._dirty):
            record = values[key]
            raw = None if record is None else ENCODE[key[1]](record)
            if raw != originals[key]:
                out.append((key, raw))
        return tuple(out)
