"""The store of one node: blocks, state, proofs of it, receipts and index, one height at a time in one synchronous batch.

| prefix | key after it | value |
|---|---|---|
| s | raw key | the state's value |
| k | kh | leaf hash (32), raw key |
| r | bucket (2) | hash of the tree's bucket |
| u | shard (1), height (8) | undo page: ((raw key, value before or nil), ...) |
| t | height | root |
| b c p e v | height | block, commit, post-quantum commit, receipts, validators from that height on |
| x | transaction hash | height (8), index (4) |
| h | block hash | height |
| i | as the indexer made it | as the indexer made it |
| m | name | format, tip, ... |

Heights are big-endian, so ranges are in order. A height's rows are written together: after a kill at any instant the store is at height
H or at H+1. Opening reads the buckets' hashes (65,536 at most) and compares the root they give with the stored one; leaves load
when touched. No ledger type is known here: everything arrives encoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.storage.cache import ValueCache
from node.storage.leveldb import MIB, Database, LevelDb
from state import tree
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import HomeError, ProofError, StorageCorruptError
from state.primitives.hashing import HASH_BYTES
from state.proofs import absence_proof, existence_proof
from state.tree import Tree, key_hash, leaf_hash

FORMAT: Final = b"1"
_FORMAT_KEY: Final = b"mformat"
_TIP_KEY: Final = b"mtip"
_TX: Final = b"x"
_INDEX: Final = b"i"
_PRUNED: Final = b"bcpe"


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Bounds of memory. `cache_bytes` is LevelDB's block cache; the others count state values and tree leaves."""

    cache_bytes: int = 64 * MIB
    values_max: int = 200_000
    leaves_max: int = 400_000


@dataclass(frozen=True, slots=True)
class HeightBatch:
    """What one height leaves behind, encoded. `height_rows` are (letter of b c p e v, height, bytes); `tip` is for `Store.tip`."""

    height: int
    tip: bytes
    block_hash: bytes = b""
    height_rows: tuple[tuple[str, int, bytes], ...] = ()
    tx_hashes: tuple[bytes, ...] = ()
    index_rows: Sequence[tuple[bytes, bytes]] = field(default=())


class Store:
    """Made by `Store.create` or `Store.open`. One owner; not thread-safe but for `write_prepared`."""

    def __init__(self, database: Database, options: StoreOptions) -> None:
        self._db = database
        self._options = options
        self._values = ValueCache(options.values_max)
        self._pending: list[tuple[bytes, bytes | None]] = []
        self.height = -1
        self.tip = b""
        roots = ((int.from_bytes(key[1:], "big"), value) for key, value in database.scan(b"r", b"s"))
        self._tree = Tree(roots, self._load_bucket, options.leaves_max)

    @classmethod
    def create(cls, path: Path, options: StoreOptions | None = None) -> Store:
        """A new, empty store. The folder above `path` must exist."""
        options = options or StoreOptions()
        database = LevelDb(path, cache_bytes=options.cache_bytes, create=True)
        database.write([(_FORMAT_KEY, FORMAT)])
        return cls(database, options)

    @classmethod
    def open(cls, path: Path, options: StoreOptions | None = None) -> Store:
        """The store of an existing home. Raises `StorageError`, `StorageCorruptError`, `HomeError`."""
        options = options or StoreOptions()
        if not path.is_dir():
            raise HomeError(f"there is no database in {path}", hint="create the home with `qenex init`")
        database = LevelDb(path, cache_bytes=options.cache_bytes)
        found = database.get(_FORMAT_KEY)
        if found != FORMAT:
            database.close()
            raise HomeError(
                f"the database in {path} has format {found!r}, this version reads {FORMAT!r}",
                hint="start it with the version that made it",
            )
        store = cls(database, options)
        store._check_root()
        return store

    def close(self) -> None:
        """Release the folder."""
        self._db.close()

    def _check_root(self) -> None:
        tip = self._db.get(_TIP_KEY)
        if tip is None:
            return  # created, and killed before genesis was written
        height, root, payload = decode(tip)
        if root != self._tree.root or self._db.get(b"t" + _height(height)) != root:
            raise StorageCorruptError(
                f"the state's root at height {height} is not the one that was stored",
                hint="restore the database from a snapshot, or empty the data folder's db and let the node catch up again",
            )
        self.height, self.tip = height, payload

    # state

    @property
    def root(self) -> bytes:
        """The app hash of the latest state."""
        return self._tree.root

    def get(self, key: bytes) -> bytes | None:
        """The latest value of a raw key."""
        found = self._values.get(key)
        if found is ValueCache.MISS:
            value = self._db.get(b"s" + key)
            self._values.put(key, value)
            return value
        return found  # type: ignore[return-value]

    def stage(self, height: int, changes: Iterable[tuple[bytes, bytes | None]]) -> bytes:
        """Apply a height's changes of the state in memory and prepare their rows; returns the new root. `prepare` comes next."""
        rows: list[tuple[bytes, bytes | None]] = []
        leaves: list[tuple[bytes, bytes | None]] = []
        shards: dict[int, list[tuple[bytes, object]]] = {}
        replace, miss = self._values.replace, ValueCache.MISS
        for key, value in changes:
            kh = key_hash(key)
            before = replace(key, value)
            if before is miss:
                before = self._db.get(b"s" + key)
            page = shards.get(kh[0])
            if page is None:
                shards[kh[0]] = [(key, before)]
            else:
                page.append((key, before))
            if value is None:
                leaves.append((kh, None))
                rows.append((b"k" + kh, None))
            else:
                leaf = leaf_hash(kh, value)
                leaves.append((kh, leaf))
                rows.append((b"k" + kh, leaf + key))
            rows.append((b"s" + key, value))
        for prefix, node_hash in self._tree.update(leaves).items():
            rows.append((b"r" + prefix.to_bytes(2, "big"), node_hash))
        for shard, page in shards.items():
            rows.append((b"u" + bytes((shard,)) + _height(height), encode_trusted(page)))
        root = self._tree.root
        rows.append((b"t" + _height(height), root))
        self._pending = rows
        return root

    def prepare(self, batch: HeightBatch) -> list[tuple[bytes, bytes | None]]:
        """Every row of the height whose changes were staged last, for `write_prepared`."""
        rows, self._pending = self._pending, []
        for letter, height, data in batch.height_rows:
            rows.append((letter.encode() + _height(height), data))
        if batch.block_hash:
            rows.append((b"h" + batch.block_hash, _height(batch.height)))
        place = _height(batch.height)
        for index, tx_hash in enumerate(batch.tx_hashes):
            rows.append((_TX + tx_hash, place + index.to_bytes(4, "big")))
        rows += [(_INDEX + key, value) for key, value in batch.index_rows]
        rows.append((_TIP_KEY, encode_trusted((batch.height, self.root, batch.tip))))
        return rows

    def write_prepared(self, rows: list[tuple[bytes, bytes | None]]) -> None:
        """One synchronous batch. May run in a thread, as long as nothing else writes."""
        self._db.write(rows)

    def finish(self, batch: HeightBatch) -> None:
        """The batch is durable: readers see the new height."""
        self.height, self.tip = batch.height, batch.tip

    def commit(self, batch: HeightBatch, changes: Iterable[tuple[bytes, bytes | None]] = ()) -> bytes:
        """`stage`, `prepare`, `write_prepared` and `finish` in one; returns the root."""
        root = self.stage(batch.height, changes)
        self.write_prepared(self.prepare(batch))
        self.finish(batch)
        return root

    # proofs and history

    def prove(self, key: bytes) -> tuple[bytes | None, bytes]:
        """(value or None, ICS-23 commitment proof of it or of its absence) against the latest root."""
        kh, value = key_hash(key), self.get(key)
        if value is not None:
            return value, existence_proof(kh, value, self._path(kh)).encode()
        below, above = self._tree.neighbours(kh)
        if below is None and above is None:
            raise ProofError("the state is empty: there is nothing to prove against")
        sides = [None if side is None else existence_proof(side, self._value_at(side), self._path(side)) for side in (below, above)]
        return None, absence_proof(kh, sides[0], sides[1]).encode()

    def _path(self, kh: bytes) -> list[tree.Step]:
        path = self._tree.path(kh)
        if path is None:
            raise StorageCorruptError(f"the state has a value for {kh.hex()} but the tree does not")
        return path

    def _value_at(self, kh: bytes) -> bytes:
        row = self._db.get(b"k" + kh)
        value = None if row is None else self.get(row[HASH_BYTES:])
        if value is None:
            raise StorageCorruptError(f"the tree has a leaf {kh.hex()} but the state has no value")
        return value

    def get_at(self, key: bytes, height: int) -> bytes | None:
        """The value of a raw key after `height`, through the undo pages above it. Raises `ProofError` if they were pruned."""
        if self._db.get(b"t" + _height(height)) is None:
            raise ProofError(f"the state of height {height} is not kept")
        prefix = b"u" + key_hash(key)[:1]
        for _, page in self._db.scan(prefix + _height(height + 1), prefix + b"\xff" * 8 + b"\0"):
            for changed, before in decode(page):
                if changed == key:
                    return before  # type: ignore[no-any-return]
        return self.get(key)

    def root_at(self, height: int) -> bytes | None:
        """The root after a height, or None if it is not kept."""
        return self._db.get(b"t" + _height(height))

    def _load_bucket(self, prefix: int) -> list[tuple[bytes, bytes]]:
        start = b"k" + prefix.to_bytes(2, "big")
        stop = b"k" + (prefix + 1).to_bytes(2, "big") if prefix + 1 < tree.BUCKETS else b"l"
        return [(key[1:], value[:HASH_BYTES]) for key, value in self._db.scan(start, stop)]

    def state_keys(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(raw key, value) of every key that starts with `prefix`, in order."""
        for key, value in self._db.scan(b"s" + prefix, b"s" + _after(prefix)):
            yield key[1:], value

    # blocks and index

    def height_row(self, letter: str, height: int) -> bytes | None:
        """The row of a height: b block, c commit, p post-quantum commit, e receipts, v validators."""
        return self._db.get(letter.encode() + _height(height))

    def latest_row(self, letter: str, height: int) -> tuple[int, bytes] | None:
        """The row at a height or the nearest one below it."""
        prefix = letter.encode()
        for key, value in self._db.scan(prefix, prefix + _height(height + 1), reverse=True):
            return int.from_bytes(key[1:], "big"), value
        return None

    def height_of_block(self, block_hash: bytes) -> int | None:
        """The height of a block hash."""
        found = self._db.get(b"h" + block_hash)
        return None if found is None else int.from_bytes(found, "big")

    def tx_location(self, tx_hash: bytes) -> tuple[int, int] | None:
        """(height, index) of a committed transaction."""
        found = self._db.get(_TX + tx_hash)
        return None if found is None else (int.from_bytes(found[:8], "big"), int.from_bytes(found[8:], "big"))

    def base_height(self) -> int:
        """The lowest height whose block is kept; 0 if there is none."""
        for key, _ in self._db.scan(b"b", b"c", values=False):
            return int.from_bytes(key[1:], "big")
        return 0

    def scan_index(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Index rows with start <= key < stop."""
        for key, value in self._db.scan(_INDEX + start, _INDEX + stop, reverse=reverse):
            yield key[1:], value

    # bulk loading

    def bulk_load(self, rows: Iterable[tuple[bytes, bytes]], height: int, tip: bytes) -> bytes:
        """Fill an empty store with state, streaming: for homes with millions of accounts. Returns the root."""
        pending: list[tuple[bytes, bytes | None]] = []
        for key, value in rows:
            kh = key_hash(key)
            pending.append((b"s" + key, value))
            pending.append((b"k" + kh, leaf_hash(kh, value) + key))
            if len(pending) >= 20_000:
                self._db.write_unsynced(pending)
                pending.clear()
        self._db.write(pending)
        roots: list[tuple[int, bytes]] = []
        for prefix in range(tree.BUCKETS):
            leaves = self._load_bucket(prefix)
            if leaves:
                roots.append((prefix, tree.bucket_hash(leaves)))
        self._tree = Tree(roots, self._load_bucket, self._options.leaves_max)
        final: list[tuple[bytes, bytes | None]] = [(b"r" + p.to_bytes(2, "big"), h) for p, h in roots]
        final.append((b"t" + _height(height), self.root))
        final.append((_TIP_KEY, encode_trusted((height, self.root, tip))))
        self._db.write(final)
        self.height, self.tip = height, tip
        return self.root

    # pruning

    def prune(self, retain_height: int, limit: int = 1000) -> int:
        """Delete blocks and history below `retain_height`, at most `limit` heights a call; returns how many. Index rows stay."""
        base = self.base_height()
        stop = min(retain_height, self.height, base + limit)
        if base == 0 or stop <= base:
            return 0
        for height in range(base, stop):
            rows: list[tuple[bytes, bytes | None]] = [(bytes((letter,)) + _height(height), None) for letter in _PRUNED]
            rows.append((b"t" + _height(height), None))
            rows += [(b"u" + bytes((shard,)) + _height(height), None) for shard in range(256)]
            self._db.write_unsynced(rows)
        return stop - base

    def compact(self) -> None:
        """Give the space of deleted rows back."""
        self._db.compact(b"\0", b"\xff")


def _height(height: int) -> bytes:
    return height.to_bytes(8, "big")


def _after(prefix: bytes) -> bytes:
    """The first key after all keys with this prefix, for prefixes that do not end in ff."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
