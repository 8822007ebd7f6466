"""Putting a verified snapshot together: chunks checked against their shard's root, kept on disk until all are there, then a store.

A chunk's file holds what the peer sent and is checked again when it is read, so a kill at any moment costs at most the chunks under way.
The new database is filled beside the place where it belongs and renamed at the end: there is none, or a whole one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from node.statesync.messages import Rows, decode_rows
from node.storage.store import Store, StoreOptions
from state.primitives.codec import encode_trusted
from state.primitives.errors import HomeError, MalformedError, ProofError, StorageCorruptError
from state.primitives.hashing import EMPTY_HASH
from state.tree import SHARDS
from state.tree_hash import compute_root, inner_hash, key_hash, leaf_hash


def fold_shards(roots: Sequence[bytes | None]) -> bytes:
    """The app hash that 256 shard roots make: a level with one child passes its hash through."""
    level = list(roots)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [inner_hash(left, right) if left and right else left or right for left, right in pairs]
    return level[0] or EMPTY_HASH


def check_chunk(shard: int, rows: Rows, root: bytes | None) -> None:
    """Whether these rows are the whole shard, and nothing else. Raises `ProofError`."""
    leaves = []
    last = b""
    for key, value in rows:
        kh = key_hash(key)
        if kh[0] != shard or kh <= last or not value:
            raise ProofError("a chunk has a row of another shard, or rows out of order")
        leaves.append((kh, leaf_hash(kh, value)))
        last = kh
    if (compute_root(leaves) if leaves else None) != root:
        raise ProofError("a chunk does not give the root of its shard")


class ChunkFolder:
    """Verified chunks of one snapshot on disk."""

    def __init__(self, folder: Path, height: int, roots: Sequence[bytes | None]) -> None:
        self._folder = folder / f"{height:020}-{fold_shards(roots).hex()[:16]}"
        self._roots = roots
        try:
            for other in folder.glob("*") if folder.is_dir() else ():
                if other != self._folder:
                    shutil.rmtree(other)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(f"cannot use {folder}: {error.strerror}", hint="is the disk full?") from error
        self.missing = [shard for shard in range(SHARDS) if not self._is_there(shard)]

    def _path(self, shard: int) -> Path:
        return self._folder / f"{shard:03}.rows"

    def _is_there(self, shard: int) -> bool:
        if self._roots[shard] is None:
            return True
        try:
            check_chunk(shard, self.read(shard), self._roots[shard])
        except (ProofError, StorageCorruptError):
            return False
        return True

    def read(self, shard: int) -> Rows:
        """The rows of a shard. Raises `StorageCorruptError` if its file is not there or damaged."""
        if self._roots[shard] is None:
            return ()
        try:
            return decode_rows(self._path(shard).read_bytes())
        except (OSError, MalformedError) as error:
            raise StorageCorruptError(f"chunk {shard} of the snapshot cannot be read: {error}") from error

    def put(self, shard: int, rows: Rows) -> None:
        """Keep a chunk. Raises `ProofError` if it is not the shard's."""
        check_chunk(shard, rows, self._roots[shard])
        beside = self._path(shard).with_suffix(".new")
        try:
            with beside.open("wb") as file:
                file.write(encode_trusted(rows))
                file.flush()
                os.fsync(file.fileno())
            beside.rename(self._path(shard))
        except OSError as error:
            raise HomeError(f"cannot write to {self._folder}: {error.strerror}", hint="is the disk full?") from error

    def all_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Every row of the state, shard by shard."""
        for shard in range(SHARDS):
            yield from self.read(shard)

    def remove(self) -> None:
        """The snapshot is in the store."""
        shutil.rmtree(self._folder.parent, ignore_errors=True)


def build_store(
    db_dir: Path, options: StoreOptions, folder: ChunkFolder, height: int, tip: bytes, height_rows: Sequence[tuple[str, int, bytes]],
    app_hash: bytes,
) -> None:  # fmt: skip
    """Make the database of a home that has none. Raises `StorageCorruptError` if the rows do not give the app hash."""
    beside = db_dir.with_name(db_dir.name + ".joining")
    shutil.rmtree(beside, ignore_errors=True)
    store = Store.create(beside, options)
    try:
        root = store.bulk_load(folder.all_rows(), height, tip, height_rows)
    finally:
        store.close()
    if root != app_hash:
        raise StorageCorruptError("the snapshot does not give the app hash", hint="delete the data folder and join again")
    beside.rename(db_dir)
    descriptor = os.open(db_dir.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
