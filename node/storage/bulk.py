"""Filling an empty database with state: rows as they come, then one pass in tree order for the buckets' hashes.

Memory stays bounded: a few thousand rows at a time, then one bucket at a time. Nothing is durable before the end, and a database that was
left half filled says so. What the rows mean, and the tip, are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from node.storage.leveldb import Database
from node.storage.rows import FILLING_KEY, LEAF, STATE, Row, after, bucket_key
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import BULK_ROWS_MAX
from state.tree import bucket_hash, bucket_of
from state.tree_hash import key_hash, leaf_hash


def fill_database(database: Database, rows: Iterable[tuple[bytes, bytes]]) -> None:
    """Write (raw key, value) rows, each key once, their leaves, and the hashes of the buckets."""
    database.write([(FILLING_KEY, b"")])
    _write_all(database, _state_rows(rows))
    _write_all(database, _bucket_rows(database))


def _state_rows(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Row]:
    for key, value in rows:
        kh = key_hash(key)
        yield STATE + key, value
        yield LEAF + kh, leaf_hash(kh, value) + key


def _bucket_rows(database: Database) -> Iterator[Row]:
    last = -1
    leaves: list[tuple[bytes, bytes]] = []
    for key, value in database.scan(LEAF, after(LEAF)):
        kh = key[1:]
        bucket = bucket_of(kh)
        if bucket != last:
            if leaves:
                yield bucket_key(last), bucket_hash(leaves)
            last, leaves = bucket, []
        leaves.append((kh, value[:HASH_BYTES]))
    if leaves:
        yield bucket_key(last), bucket_hash(leaves)


def _write_all(database: Database, rows: Iterator[Row]) -> None:
    pending: list[Row] = []
    for row in rows:
        pending.append(row)
        if len(pending) >= BULK_ROWS_MAX:
            database.write_unsynced(pending)
            pending = []
    database.write_unsynced(pending)
