"""The store of one node: blocks, state, proofs of it, receipts and index, one height at a time in one synchronous batch.

A height's rows are written together: after a kill at any instant the store is at height H or at H+1. A height goes through four
steps: `stage` (the new root, in memory), `prepare` (its rows), `write_prepared` (durable; may run in a thread), `finish`. Until then
every reader sees the height before, whatever the disk already holds. Opening reads the buckets' hashes, which stand in the same batch, and
compares the root they give with the stored one; leaves load when touched. The names of rows are in `node.storage.rows`.

No ledger type is known here: everything arrives encoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.storage import rows as names
from node.storage.batch import HeightBatch as HeightBatch  # callers know the store
from node.storage.batch import Staged
from node.storage.batch import StoreOptions as StoreOptions
from node.storage.bulk import fill_database
from node.storage.cache import ValueCache
from node.storage.history import History, encode_undo
from node.storage.leveldb import Database, LevelDb, Snapshot
from node.storage.proving import absence_from, existence_from
from node.storage.prune import DerivedRows, compaction_steps, no_rows, prune_heights
from node.storage.rows import Row, after, height_bytes
from node.storage.tree_client import WorkerTree
from node.storage.trees import InlineTree, TreeService
from node.storage.undo import undo_rows
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import (
    HomeError,
    MalformedError,
    ProofError,
    QenexError,
    StorageCorruptError,
    StorageError,
)
from state.primitives.hashing import EMPTY_HASH, HASH_BYTES
from state.tree_hash import Leaves, key_hash

_RESTORE: Final = "restore the database from a snapshot, or empty the data folder's db and let the node catch up again"


class Store:
    """Made by `Store.create` or `Store.open`. One owner; not thread-safe but for `write_prepared`."""

    def __init__(self, database: Database, options: StoreOptions) -> None:
        self._db = database
        self._options = options
        self._values = ValueCache(options.values_max, options.values_bytes_max)
        self._history = History(database)
        self._staged: Staged | None = None
        self.height = -1
        self.tip = b""
        self._base = next((int.from_bytes(key[1:], "big") for key, _ in database.scan(b"b", b"c", values=False)), 0)
        self._kept_from = 0  # heights below are pruned, or are being pruned
        self._trees = self._open_trees()

    @classmethod
    def create(cls, path: Path, options: StoreOptions | None = None) -> Store:
        """A new, empty store. The folder above `path` must exist."""
        options = options or StoreOptions()
        database = LevelDb(
            path, cache_bytes=options.cache_bytes, tables_bytes_max=options.tables_bytes_max, create=True
        )
        database.write([(names.FORMAT_KEY, names.FORMAT)])
        return cls(database, options)

    @classmethod
    def open(cls, path: Path, options: StoreOptions | None = None) -> Store:
        """The store of an existing home. Raises `StorageError`, `StorageCorruptError`, `HomeError`."""
        options = options or StoreOptions()
        if not path.is_dir():
            raise HomeError(f"there is no database in {path}", hint="a node makes one at its first start")
        database = LevelDb(path, cache_bytes=options.cache_bytes, tables_bytes_max=options.tables_bytes_max)
        store = None
        try:
            found = database.get(names.FORMAT_KEY)
            if database.get(names.FILLING_KEY) is not None:
                raise HomeError(f"the database in {path} was not filled completely", hint="delete it and fill it again")
            if found != names.FORMAT:
                raise HomeError(
                    f"the database in {path} has format {found!r}, this version reads {names.FORMAT!r}",
                    hint="start it with the version that made it",
                )
            store = cls(database, options)
            store._check_root()
        except QenexError:
            if store is not None:
                store._trees.close()
            database.close()
            raise
        return store

    def close(self) -> None:
        """Release the folder, and the worker if there is one."""
        self._trees.close()
        self._db.close()

    def _open_trees(self) -> TreeService:
        found = self._db.scan(names.BUCKET, after(names.BUCKET))
        hashes = [(int.from_bytes(key[1:], "big"), value) for key, value in found]
        kind = WorkerTree if self._options.tree_worker else InlineTree
        return kind(hashes, self._load_leaves, self._options.leaves_max)

    def _load_leaves(self, buckets: Sequence[int]) -> Iterator[Leaves]:
        for rows in self._db.scan_ranges(names.leaf_range(bucket) for bucket in buckets):
            yield [(key[1:], value[:HASH_BYTES]) for key, value in rows]

    def _check_root(self) -> None:
        tip = self._db.get(names.TIP_KEY)
        if tip is None:
            if self._trees.root != EMPTY_HASH or self._base:
                raise StorageCorruptError("the database has state or blocks, but its tip is missing", hint=_RESTORE)
            return  # created, and killed before genesis was written
        try:
            height, root, payload = decode(tip)
        except (MalformedError, ValueError, TypeError) as error:
            raise StorageCorruptError(f"the tip in the database cannot be read: {error}", hint=_RESTORE) from error
        if root != self._trees.root or self._db.get(names.ROOT + height_bytes(height)) != root:
            raise StorageCorruptError(
                f"the state's root at height {height} is not the one that was stored", hint=_RESTORE
            )
        self.height, self.tip = height, payload

    # state

    @property
    def root(self) -> bytes:
        """The app hash of the latest state."""
        return self._trees.root

    def get(self, key: bytes) -> bytes | None:
        """The latest value of a raw key."""
        if self._staged is not None and key in self._staged.before:
            return self._staged.before[key]
        found = self._values.get(key)
        if found is ValueCache.MISS:
            value = self._db.get(names.STATE + key)
            self._values.put(key, value)
            return value
        return found  # type: ignore[return-value]

    def state_keys(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """(raw key, value) of every key that starts with `prefix`, in order, from `start` on if that is given.

        As they are on disk: while a height is being written they may be of that one.
        """
        for key, value in self._db.scan(names.STATE + max(prefix, start), names.STATE + after(prefix)):
            yield key[1:], value

    # one height

    def stage(self, height: int, changes: Iterable[tuple[bytes, bytes | None]]) -> bytes:
        """Apply a height's changes of the state in memory and prepare their rows; returns the new root. `prepare` comes next."""
        self.stage_start(height, changes)
        return self.stage_result()

    def stage_start(self, height: int, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """The first half of `stage`: with a tree worker, the root is computed there while this process does other things."""
        if self._staged is not None and self._staged.is_prepared:
            raise StorageError(f"height {self._staged.height} is being written, {height} cannot be staged yet")
        self._staged = None
        given = list(changes)
        with self._fatal():
            self._trees.start(given)
        # what a value was is asked once, and `finish` puts its successor into the cache: no need to remember it there
        cached, miss, read = self._values.peek, ValueCache.MISS, self._db.get
        before: dict[bytes, bytes | None] = {}
        for key, _ in given:
            found = cached(key)
            before[key] = read(names.STATE + key) if found is miss else found  # type: ignore[assignment]
        self._staged = Staged(height, given, before, [(names.STATE + key, value) for key, value in given])

    def stage_result(self) -> bytes:
        """The second half of `stage`."""
        staged = self._staging()
        with self._fatal():
            update = self._trees.result()
        rows, before = staged.rows, staged.before
        shards: dict[int, list[tuple[bytes, bytes | None]]] = {shard: [] for shard in update.touched.shards}
        for (key, _), (kh, leaf) in zip(staged.changes, update.leaves, strict=True):
            shards[kh[0]].append((key, before[key]))
            rows.append((names.LEAF + kh, None if leaf is None else leaf + key))
        rows += [(names.bucket_key(bucket), found) for bucket, found in update.touched.buckets.items()]
        place = height_bytes(staged.height)
        for shard, page in shards.items():
            root_before = update.touched.shards[shard][0]
            rows.append((names.UNDO + shard.to_bytes(1, "big") + place, encode_undo(root_before, page)))
        rows.append((names.ROOT + place, update.root))
        staged.root = update.root
        return update.root

    def prepare(self, batch: HeightBatch) -> list[Row]:
        """Every row of the height whose changes were staged last, for `write_prepared`."""
        staged = self._staging()
        staged.is_prepared = True
        rows = staged.rows
        for letter, height, data in batch.height_rows:
            rows.append((letter.encode() + height_bytes(height), data))
        place = height_bytes(batch.height)
        if batch.block_hash:
            rows.append((names.BLOCK_HASH + batch.block_hash, place))
        for index, tx_hash in enumerate(batch.tx_hashes):
            rows.append((names.TX + tx_hash, place + index.to_bytes(4, "big")))
        rows += [(names.OFFENCE + offence, place) for offence in batch.offences]
        rows += [(names.INDEX + key, value) for key, value in batch.index_rows]
        rows.append((names.TIP_AT + place, batch.tip))
        rows.append((names.TIP_KEY, encode_trusted((batch.height, staged.root, batch.tip))))
        return rows

    def write_prepared(self, rows: list[Row]) -> None:
        """One synchronous batch. May run in a thread, as long as nothing else writes."""
        self._db.write(rows)

    def finish(self, batch: HeightBatch) -> None:
        """The batch is durable: readers see the new height."""
        staged = self._staging()
        self._staged = None
        for key, value in staged.changes:
            self._values.put(key, value)
        with self._fatal():
            self._trees.settle()
        self.height, self.tip = batch.height, batch.tip
        if self._base == 0 and any(letter == "b" for letter, _, _ in batch.height_rows):
            self._base = batch.height

    def commit(self, batch: HeightBatch, changes: Iterable[tuple[bytes, bytes | None]] = ()) -> bytes:
        """`stage`, `prepare`, `write_prepared` and `finish` in one; returns the root."""
        root = self.stage(batch.height, changes)
        self.write_prepared(self.prepare(batch))
        self.finish(batch)
        return root

    def _staging(self) -> Staged:
        if self._staged is None:
            raise StorageError("no height is staged")
        return self._staged

    @contextmanager
    def _fatal(self) -> Iterator[None]:
        """After a failure of the tree nothing is written any more."""
        try:
            yield
        except (StorageError, StorageCorruptError):
            self._db.poison()
            raise

    # proofs and history

    def prove(self, key: bytes, height: int | None = None) -> tuple[bytes | None, bytes]:
        """(value or None, ICS-23 commitment proof of it or of its absence) against the root after a height, the latest by default.

        Raises `ProofError` if that height is not kept, or its state is empty.
        """
        kh = key_hash(key)
        past, earlier = None, dict[bytes, tuple[bytes, bytes | None]]()
        if height is None or height == self.height:
            value, root = self.get(key), self.root
        else:
            value, root = self.get_at(key, height), self.root_at(height) or b""
            latest = self._trees.shard_roots()
            past, earlier = self._history.rewind(kh, value is not None, height, self.height, latest)
        paths = self._trees.paths(kh, past)
        if value is not None:
            return value, existence_from(kh, value, paths, root)

        def leaf_value(side: bytes) -> bytes | None:
            return earlier[side][1] if side in earlier else self._value_at(side)

        return None, absence_from(kh, paths, leaf_value, root)

    def _value_at(self, kh: bytes) -> bytes | None:
        row = self._db.get(names.LEAF + kh)
        if row is not None:
            return self.get(row[HASH_BYTES:])
        # a height that deletes it may be on disk already, while readers still see the one before
        before = {} if self._staged is None else self._staged.before
        return next((value for key, value in before.items() if key_hash(key) == kh), None)

    def get_at(self, key: bytes, height: int) -> bytes | None:
        """The value of a raw key after `height`, through the undo pages above it. Raises `ProofError` if they were pruned."""
        if self.root_at(height) is None:
            raise ProofError(f"the state of height {height} is not kept")
        is_found, value = self._history.find(key, height, self.height)
        return value if is_found else self.get(key)

    def shard_roots_at(self, height: int) -> list[bytes | None]:
        """The root of each shard after a height that is kept."""
        return self._history.roots_at(height, self.height, self._trees.shard_roots())

    def root_at(self, height: int) -> bytes | None:
        """The root after a height, or None if it is not kept."""
        return self._db.get(names.ROOT + height_bytes(height)) if self._kept_from <= height <= self.height else None

    def shard_rows(self, shard: int, height: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        """(kh, raw key, value) of everything in a shard after a height that is kept, in the tree's order; see `History.shard_rows`."""
        return self._history.shard_rows(shard, height, self.height)

    # blocks and index

    def height_row(self, letter: str, height: int) -> bytes | None:
        """The row of a height: b block, c commit, p post-quantum commit, e receipts, v validators."""
        if height < self._kept_from and letter != "v":
            return None
        return self._db.get(letter.encode() + height_bytes(height))

    def latest_row(self, letter: str, height: int) -> tuple[int, bytes] | None:
        """The row at a height or the nearest one below it."""
        prefix = letter.encode()
        for key, value in self._db.scan(prefix, prefix + height_bytes(height + 1), reverse=True):
            return int.from_bytes(key[1:], "big"), value
        return None

    def height_of_block(self, block_hash: bytes) -> int | None:
        """The height of a block hash."""
        found = self._db.get(names.BLOCK_HASH + block_hash)
        return None if found is None else int.from_bytes(found, "big")

    def tx_location(self, tx_hash: bytes) -> tuple[int, int] | None:
        """(height, index) of a committed transaction."""
        found = self._db.get(names.TX + tx_hash)
        return None if found is None else (int.from_bytes(found[:8], "big"), int.from_bytes(found[8:], "big"))

    def offence_height(self, offence: bytes) -> int | None:
        """The height of the block that carries a proof of this offence."""
        found = self._db.get(names.OFFENCE + offence)
        return None if found is None else int.from_bytes(found, "big")

    def base_height(self) -> int:
        """The lowest height whose block is kept; 0 if there is none."""
        return self._base

    def scan_index(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Index rows with start <= key < stop."""
        for key, value in self._db.scan(names.INDEX + start, names.INDEX + stop, reverse=reverse):
            yield key[1:], value

    def snapshot(self, *, fill_cache: bool = True) -> Snapshot:
        """Every row as it is on disk now, which may be one height beyond what readers see. See `Database`."""
        return self._db.snapshot(fill_cache=fill_cache)

    # housekeeping

    def bulk_load(
        self, rows: Iterable[tuple[bytes, bytes]], height: int, tip: bytes, height_rows: Iterable[tuple[str, int, bytes]] = ()
    ) -> bytes:
        """Fill an empty store with state, streaming: for homes with millions of accounts. Returns the root."""
        if self.height >= 0 or next(self._db.scan(names.STATE, after(names.STATE), values=False), None) is not None:
            raise StorageError("only an empty store can be filled", hint="choose another folder")
        fill_database(self._db, rows)
        self._trees.close()
        self._trees = self._open_trees()
        root = self.root
        place = height_bytes(height)
        final: list[Row] = [(names.ROOT + place, root), (names.TIP_AT + place, tip), (names.FILLING_KEY, None)]
        final += [(letter.encode() + height_bytes(number), data) for letter, number, data in height_rows]
        self._db.write([*final, (names.TIP_KEY, encode_trusted((height, root, tip)))])
        self.height, self.tip = height, tip
        self._base = height if self._db.get(b"b" + place) is not None else 0
        return root

    def tip_at(self, height: int) -> bytes | None:
        """The tip after an earlier height, or None if it is not kept."""
        return self._db.get(names.TIP_AT + height_bytes(height)) if height >= 0 else None

    def changed_at(self, height: int) -> dict[bytes, bytes | None]:
        """What the last height changed: raw key to its value before."""
        return self._history.changes_of(height)

    def roll_back(self, doomed: Iterable[bytes]) -> bytes:
        """Undo the last height in one batch: state, tree, rows of the height. `doomed` are rows that the caller knows of (index,
        transactions, block hash, validators, offences). Returns the root. Raises `StorageError` if it cannot be undone."""
        height = self.height
        tip, wanted = self.tip_at(height - 1), self.root_at(height - 1)
        if tip is None or wanted is None or self._staged is not None:
            raise StorageError(f"height {height} cannot be undone: height {height - 1} is not kept")
        before = self.changed_at(height)
        changes = sorted(before.items())
        with self._fatal():
            self._trees.start(changes)
            update = self._trees.result()
        if update.root != wanted:
            self._db.poison()
            raise StorageCorruptError(f"undoing height {height} does not give the root of height {height - 1}", hint=_RESTORE)
        rows = undo_rows(height, changes, update, doomed)
        rows.append((names.TIP_KEY, encode_trusted((height - 1, wanted, tip))))
        self._db.write(rows)
        with self._fatal():
            self._trees.settle()
        self._values = ValueCache(self._options.values_max, self._options.values_bytes_max)
        self.height, self.tip = height - 1, tip
        self._base = 0 if self._base == height else self._base
        return wanted

    def prune(self, retain_height: int, limit: int = 1000, derived: DerivedRows = no_rows) -> int:
        """Delete blocks and history below `retain_height`, at most `limit` heights a call; returns how many."""
        heights = self.begin_prune(retain_height, limit)
        self.delete_pruned(heights, derived)
        return len(heights)

    def begin_prune(self, retain_height: int, limit: int) -> range:
        """The heights that go now, at most `limit`. From here on no reader finds them; `delete_pruned` comes next."""
        stop = min(retain_height, self.height, self._base + limit)
        heights = range(self._base, stop) if 0 < self._base < stop else range(0)
        if heights:
            self._base = self._kept_from = stop
        return heights

    def delete_pruned(self, heights: range, derived: DerivedRows = no_rows) -> int:
        """Delete them, with the rows that `derived` names for each; how many rows. May run in a thread beside everything else."""
        return prune_heights(self._db, heights, derived) if heights else 0

    def compaction_steps(self, *, is_whole: bool = False) -> list[tuple[bytes, bytes]]:
        """Ranges for `compact_range`, one after the other: below the lowest height that is kept, or the whole database."""
        return list(compaction_steps(None if is_whole else self._base))

    def compact_range(self, start: bytes, stop: bytes) -> None:
        """Give the space of deleted rows in a range back. Takes long; may run in a thread beside everything else."""
        self._db.compact(start, stop)

    def compact(self) -> None:
        """Give the space of all deleted rows back."""
        for start, stop in self.compaction_steps(is_whole=True):
            self.compact_range(start, stop)
