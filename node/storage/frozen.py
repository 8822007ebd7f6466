"""A store as it was at one moment, read from a snapshot of its rows: in a thread, while the node goes on.

It answers what `Store` answers about the states and blocks that are kept, from the rows alone: no cache, no tree, nothing staged. Memory is
what a question needs. What comes out is for who asks to check: whether the shards' roots give the app hash. No ledger type is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from node.storage import rows as names
from node.storage.history import History
from node.storage.leveldb import Snapshot
from node.storage.rows import after, bucket_key, height_bytes
from state.primitives.codec import decode
from state.primitives.errors import MalformedError, StorageCorruptError, StorageError
from state.tree import SHARD_BUCKETS, SHARDS, Tree
from state.tree_hash import Leaves


class StateReader(Protocol):
    """What `Store` and `FrozenStore` both answer; see `Store`."""

    @property
    def height(self) -> int:
        """The last height."""
        ...

    @property
    def tip(self) -> bytes:
        """The tip after it."""
        ...

    def base_height(self) -> int:
        """See `Store`."""
        ...

    def tip_at(self, height: int) -> bytes | None:
        """See `Store`."""
        ...

    def root_at(self, height: int) -> bytes | None:
        """See `Store`."""
        ...

    def height_row(self, letter: str, height: int) -> bytes | None:
        """See `Store`."""
        ...

    def latest_row(self, letter: str, height: int) -> tuple[int, bytes] | None:
        """See `Store`."""
        ...

    def shard_roots_at(self, height: int) -> list[bytes | None]:
        """See `Store`."""
        ...

    def shard_rows(self, shard: int, height: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        """See `Store`."""
        ...


class FrozenStore:
    """See `StateReader`. Errors are those of the snapshot, which the caller closes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._rows = _Rows(snapshot)
        tip = snapshot.get(names.TIP_KEY)
        if tip is None:
            raise StorageError("there is no chain here yet", hint="start the node once")
        try:
            height, _, payload = decode(tip)
        except (MalformedError, ValueError, TypeError) as error:
            raise StorageCorruptError(f"the tip in the database cannot be read: {error}") from error
        self.height: int = height
        self.tip: bytes = payload
        self._history = History(self._rows)
        self._snapshot = snapshot
        self._shard_roots: list[bytes | None] = []  # of the last height, once they are asked for
        self._base = next((int.from_bytes(key[1:], "big") for key, _ in snapshot.scan(b"b", b"c", values=False)), 0)

    def base_height(self) -> int:
        """See `StateReader`."""
        return self._base

    def tip_at(self, height: int) -> bytes | None:
        """See `StateReader`."""
        return self._rows.get(names.TIP_AT + height_bytes(height)) if height >= 0 else None

    def root_at(self, height: int) -> bytes | None:
        """See `StateReader`."""
        return self._rows.get(names.ROOT + height_bytes(height)) if 0 <= height <= self.height else None

    def height_row(self, letter: str, height: int) -> bytes | None:
        """See `StateReader`."""
        return self._rows.get(letter.encode() + height_bytes(height))

    def latest_row(self, letter: str, height: int) -> tuple[int, bytes] | None:
        """See `StateReader`."""
        prefix = letter.encode()
        for key, value in self._snapshot.scan(prefix, prefix + height_bytes(height + 1), reverse=True):
            return int.from_bytes(key[1:], "big"), value
        return None

    def shard_roots_at(self, height: int) -> list[bytes | None]:
        """See `StateReader`."""
        if not self._shard_roots:
            self._shard_roots = [self._shard_root(shard) for shard in range(SHARDS)]
        return self._history.roots_at(height, self.height, self._shard_roots)

    def _shard_root(self, shard: int) -> bytes | None:
        """From the hashes of its buckets; one shard at a time, so that the whole tree is never in memory twice."""
        first = shard * SHARD_BUCKETS
        stop = after(names.BUCKET) if shard == SHARDS - 1 else bucket_key(first + SHARD_BUCKETS)
        found = self._snapshot.scan(bucket_key(first), stop)
        tree = Tree.from_hashes(((int.from_bytes(key[1:], "big"), value) for key, value in found), _no_leaves)
        return tree.shard_roots[shard]

    def shard_rows(self, shard: int, height: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        """See `StateReader`."""
        return self._history.shard_rows(shard, height, self.height)

    def state_bytes(self) -> int:
        """About how much the latest state takes on the disk."""
        return self._snapshot.size_of(names.STATE, after(names.STATE))

    def block_bytes(self, first: int, last: int) -> int:
        """About how much these blocks with their commits take on the disk."""
        places = height_bytes(first), height_bytes(last + 1)
        return sum(self._snapshot.size_of(letter + places[0], letter + places[1]) for letter in (b"b", b"c", b"p"))


class _Rows:
    """See `node.storage.history.RowReader`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def get(self, key: bytes) -> bytes | None:
        """See `RowReader`."""
        return self._snapshot.get(key)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `RowReader`."""
        return self._snapshot.scan(start, stop)

    def scan_ranges(self, ranges: Iterable[tuple[bytes, bytes]], *, rows_max: int = 0) -> Iterator[list[tuple[bytes, bytes]]]:
        """See `RowReader`."""
        for start, stop in ranges:
            yield list(islice(self._snapshot.scan(start, stop), rows_max or None))


def _no_leaves(bucket: int) -> Leaves:
    raise StorageError(f"the leaves of bucket {bucket:05x} were asked for, but only roots are read here")
