"""Earlier states, read through undo pages: what a key was, what a shard's root was, and how its leaves were.

An undo page holds what one height changed in one shard: the root before, then (raw key, value before or nil) of each key. A key's value at
a height is what the first page above that height says, else the latest value. Writing pages and choosing what is kept is the store's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from node.storage.rows import LEAF, STATE, after, undo_range
from node.storage.trees import Past
from state.primitives.codec import encode_trusted, unpack
from state.primitives.errors import MalformedError, StorageCorruptError
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import UNDO_PAGE_BYTES_MAX
from state.tree import SHARDS, shards_around
from state.tree_hash import key_hash, leaf_hash

_NO_ROOT = bytes(HASH_BYTES)


def encode_undo(root_before: bytes | None, changes: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    """The undo page of one shard and height."""
    return (root_before or _NO_ROOT) + encode_trusted(changes)


def _root_of(page: bytes) -> bytes | None:
    root = page[:HASH_BYTES]
    return None if root == _NO_ROOT else root


def page_changes(page: bytes) -> Iterable[tuple[bytes, bytes | None]]:
    """(raw key, value before) of everything in an undo page. Raises `StorageCorruptError`."""
    try:
        changes: Iterable[tuple[bytes, bytes | None]] = unpack(page[HASH_BYTES:], bytes_max=UNDO_PAGE_BYTES_MAX)
        return changes
    except MalformedError as error:
        raise StorageCorruptError(f"an undo page cannot be read: {error.message}") from error


class RowReader(Protocol):
    """What is read of a database, or of one moment of it. See `node.storage.leveldb.Database`."""

    def get(self, key: bytes) -> bytes | None:
        """See `Database`."""
        ...

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `Database`."""
        ...

    def scan_ranges(self, ranges: Iterable[tuple[bytes, bytes]], *, rows_max: int = 0) -> Iterator[list[tuple[bytes, bytes]]]:
        """See `Database`."""
        ...


class History:
    """The undo pages of a database, as seen from its tip."""

    def __init__(self, database: RowReader) -> None:
        self._db = database

    def _pages(self, shard: int, height: int, tip: int) -> Iterator[bytes]:
        """Pages of a shard above a height, lowest first. Those above the tip belong to a batch that is being written."""
        for _, page in self._db.scan(*undo_range(shard, height, tip)):
            yield page

    def find(self, key: bytes, height: int, tip: int) -> tuple[bool, bytes | None]:
        """(True, the key's value at a height) if a page tells, else (False, None): it is as it is at the tip."""
        for page in self._pages(key_hash(key)[0], height, tip):
            for changed, before in page_changes(page):
                if changed == key:
                    return True, before
        return False, None

    def changes_of(self, height: int) -> dict[bytes, bytes | None]:
        """What one height changed: raw key to its value before."""
        found: dict[bytes, bytes | None] = {}
        ranges = [undo_range(shard, height - 1, height) for shard in range(SHARDS)]
        for rows in self._db.scan_ranges(ranges):
            for _, page in rows:
                found.update(page_changes(page))
        return found

    def roots_at(self, height: int, tip: int, latest: Sequence[bytes | None]) -> list[bytes | None]:
        """The root of each shard at a height."""
        roots = list(latest)
        ranges = [undo_range(shard, height, tip) for shard in range(SHARDS)]
        for shard, rows in enumerate(self._db.scan_ranges(ranges, rows_max=1)):
            if rows:
                roots[shard] = _root_of(rows[0][1])
        return roots

    def shard_rows(self, shard: int, height: int, tip: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        """(kh, raw key, value) of everything in a shard at a height, in the tree's order. Not while a height is being written."""
        then: dict[bytes, tuple[bytes, bytes | None]] = {}
        for page in self._pages(shard, height, tip):
            for changed, before in page_changes(page):
                then.setdefault(key_hash(changed), (changed, before))
        gone = iter(sorted(then.items()))
        waiting = next(gone, None)
        start = LEAF + shard.to_bytes(1, "big")
        for row, leaf in self._db.scan(start, after(LEAF) if shard == SHARDS - 1 else after(start)):
            kh = row[1:]
            while waiting is not None and waiting[0] <= kh:
                key, before = waiting[1]
                if before is not None:
                    yield waiting[0], key, before
                waiting = next(gone, None)
            if kh not in then:
                key = leaf[HASH_BYTES:]
                value = self._db.get(STATE + key)
                if value is None or key_hash(key) != kh:
                    raise StorageCorruptError(f"the tree has a leaf {kh.hex()} but the state has no value for it")
                yield kh, key, value
        while waiting is not None:
            key, before = waiting[1]
            if before is not None:
                yield waiting[0], key, before
            waiting = next(gone, None)

    def rewind(
        self, kh: bytes, is_present: bool, height: int, tip: int, latest: Sequence[bytes | None]
    ) -> tuple[Past, dict[bytes, tuple[bytes, bytes | None]]]:
        """What the tree needs to show the path of a key, or of its neighbours if it was absent, at a height.

        And kh to (raw key, value then) of every key of those shards that has changed since.
        """
        past = Past(self.roots_at(height, tip, latest))
        values: dict[bytes, tuple[bytes, bytes | None]] = {}
        for shard in [kh[0]] if is_present else shards_around(past.roots, kh[0]):
            own: dict[bytes, bytes | None] = {}
            for page in self._pages(shard, height, tip):
                for changed, before in page_changes(page):
                    own.setdefault(changed, before)
            changes = past.changes[shard] = []
            for changed, value in own.items():
                other = key_hash(changed)
                values[other] = changed, value
                changes.append((other, None if value is None else leaf_hash(other, value)))
        return past, values
