"""The authenticated tree: one root for the whole state, and the paths that prove what is in it.

The crit-bit tree of `state.tree_hash`, cut at two depths. The first `SHARD_BITS` bits of kh choose a shard, `BUCKET_BITS` bits a bucket.
Above the buckets stand hashes in two layers of heaps (node i has children 2i and 2i+1; a node with one child has that child's hash,
a node without any is None); a bucket is a page of `state.tree_pages`, or just its hash while the page is not loaded.

A `Tree` does not change: `update` gives a new one that shares what is the same. Pages are loaded through a callable that is passed in, only
by `update` and for paths, and forgotten by `forget_pages`, which no reader can notice. No disk and no ledger in here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from state.primitives.errors import LocalError, StorageCorruptError
from state.primitives.hashing import EMPTY_HASH, HASH_BYTES
from state.tree_hash import INNER_PREFIX, Leaves, Step, compute_root
from state.tree_hash import key_hash as key_hash  # callers know the tree, not how it hashes
from state.tree_pages import build_page, page_hash, page_leaves, page_path, remove_leaf, set_leaf

SHARD_BITS: Final = 8
BUCKET_BITS: Final = 18  # 11 leaves each at 3 million; 16 is as fast, but loading a page takes three times as long
SHARDS: Final = 1 << SHARD_BITS
BUCKETS: Final = 1 << BUCKET_BITS
SHARD_BUCKETS: Final = BUCKETS // SHARDS
_SHIFT: Final = 24 - BUCKET_BITS

Change: TypeAlias = tuple[bytes, bytes | None]  # (kh, new leaf hash, or None to delete)
Heap: TypeAlias = list[bytes | None]
Load: TypeAlias = Callable[[int], Leaves]


def bucket_of(kh: bytes) -> int:
    """The bucket of a hashed key."""
    return int.from_bytes(kh[:3], "big") >> _SHIFT


def bucket_range(bucket: int) -> tuple[bytes, bytes | None]:
    """First hashed key of a bucket, as a prefix, and of the next one (None after the last)."""
    after = bucket + 1 << _SHIFT
    return (bucket << _SHIFT).to_bytes(3, "big"), None if bucket + 1 == BUCKETS else after.to_bytes(3, "big")


def bucket_hash(leaves: Leaves) -> bytes:
    """Hash of one bucket's leaves, sorted; at least one."""
    return compute_root(leaves)


@dataclass(frozen=True, slots=True)
class Touched:
    """What an update changed: new hashes of buckets (None: empty now); the roots of their shards, before and after."""

    buckets: dict[int, bytes | None]
    shards: dict[int, tuple[bytes | None, bytes | None]]


class Tree:
    """One version of the tree. Made by `Tree.from_hashes`, then by `update`."""

    __slots__ = ("_load", "_shards", "_top", "pages_bytes")

    def __init__(self, top: Heap, shards: list[Heap | None], load: Load, pages_bytes: int) -> None:
        self._top = top
        self._shards = shards
        self._load = load
        self.pages_bytes = pages_bytes  # of loaded pages

    @classmethod
    def from_hashes(cls, hashes: Iterable[tuple[int, bytes]], load: Load) -> Tree:
        """The tree whose buckets have these hashes; `load(bucket)` gives a bucket's leaves when they are needed."""
        shards: list[Heap | None] = [None] * SHARDS
        for bucket, node_hash in hashes:
            shard, place = divmod(bucket, SHARD_BUCKETS)
            heap = shards[shard]
            if heap is None:
                heap = shards[shard] = [None] * (2 * SHARD_BUCKETS)
            heap[SHARD_BUCKETS + place] = node_hash
        top: Heap = [None] * (2 * SHARDS)
        for shard, heap in enumerate(shards):
            if heap is not None:
                _rehash(heap, range(SHARD_BUCKETS, 2 * SHARD_BUCKETS))
                top[SHARDS + shard] = heap[1]
        _rehash(top, range(SHARDS, 2 * SHARDS))
        return cls(top, shards, load, 0)

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._top[1] or EMPTY_HASH

    @property
    def shard_roots(self) -> Sequence[bytes | None]:
        """The root of each shard, None for an empty one."""
        return self._top[SHARDS:]

    # updates

    def missing_buckets(self, hashed_keys: Iterable[bytes]) -> list[int]:
        """The buckets that an update of these keys would load, sorted."""
        missing = []
        for bucket in sorted({bucket_of(kh) for kh in hashed_keys}):
            shard = self._shards[bucket // SHARD_BUCKETS]
            slot = None if shard is None else shard[SHARD_BUCKETS + bucket % SHARD_BUCKETS]
            if slot is not None and len(slot) == HASH_BYTES:
                missing.append(bucket)
        return missing

    def update(self, changes: Iterable[Change]) -> tuple[Tree, Touched]:
        """The tree with changes applied, in any order, each kh once; and what they touched.

        Missing pages are loaded in the order of `missing_buckets`, and this version keeps them too: it stays readable without its source.
        """
        by_shard: list[tuple[int, list[tuple[int, bytes, bytes | None]]]] = []
        last = -1
        for kh, new_hash in sorted(changes, key=_first):
            shard = kh[0]
            if shard != last:
                by_shard.append((shard, []))
                last = shard
            by_shard[-1][1].append((SHARD_BUCKETS + (bucket_of(kh) & SHARD_BUCKETS - 1), kh, new_hash))
        top, shards = self._top.copy(), self._shards.copy()
        touched = Touched({}, {})
        grown = 0
        for shard, items in by_shard:
            heap, more = self._update_shard(shard, items, touched.buckets)
            grown += more
            touched.shards[shard] = top[SHARDS + shard], heap[1]
            top[SHARDS + shard] = heap[1]
            shards[shard] = heap if heap[1] is not None else None
        _rehash(top, [SHARDS + shard for shard, _ in by_shard])
        return Tree(top, shards, self._load, self.pages_bytes + grown), touched

    def _update_shard(
        self, shard: int, items: list[tuple[int, bytes, bytes | None]], touched: dict[int, bytes | None]
    ) -> tuple[Heap, int]:
        """A shard's heap with its changes, sorted, applied; and by how many bytes its pages grew."""
        before = self._shards[shard]
        if before is None:
            before = _EMPTY_HEAP
        heap = before.copy()
        first = shard * SHARD_BUCKETS - SHARD_BUCKETS
        grown = last = 0
        page = b""
        places: list[int] = []
        for place, kh, new_hash in items:
            if place != last:
                if last:
                    heap[last] = page or None
                    grown += len(page)
                slot = heap[place]
                if slot is None:
                    page = b""
                elif len(slot) == HASH_BYTES:
                    page = before[place] = self._load_page(first + place, slot)
                    self.pages_bytes += len(page)
                else:
                    page = slot
                grown -= len(page)
                places.append(place)
                last = place
            page = remove_leaf(page, kh) if new_hash is None else set_leaf(page, kh, new_hash)
        heap[last] = page or None
        grown += len(page)
        for place in places:
            slot = heap[place]
            touched[first + place] = None if slot is None else slot[1:33]
        _rehash(heap, places)
        return heap, grown

    def _load_page(self, bucket: int, node_hash: bytes) -> bytes:
        page = build_page(self._load(bucket))
        if page_hash(page) != node_hash:
            raise StorageCorruptError(
                f"tree bucket {bucket:05x} does not have the hash that was stored for it",
                hint="the database is damaged: restore it from a snapshot or join again as a new node",
            )
        return page

    def forget_pages(self, buckets: Iterable[int]) -> None:
        """Keep only the hash of these buckets' pages; they load again when needed. Shared with other versions, and harmless there."""
        for bucket in buckets:
            heap = self._shards[bucket // SHARD_BUCKETS]
            place = SHARD_BUCKETS + bucket % SHARD_BUCKETS
            slot = None if heap is None else heap[place]
            if heap is not None and slot is not None and len(slot) > HASH_BYTES:
                heap[place] = slot[1:33]
                self.pages_bytes -= len(slot)

    def loaded_buckets(self) -> Iterator[int]:
        """Buckets whose page is loaded, in order."""
        for shard, heap in enumerate(self._shards):
            if heap is not None:
                for place in range(SHARD_BUCKETS, 2 * SHARD_BUCKETS):
                    slot = heap[place]
                    if slot is not None and len(slot) > HASH_BYTES:
                        yield shard * SHARD_BUCKETS + place - SHARD_BUCKETS

    # earlier versions

    def rolled_back(self, roots: Sequence[bytes | None], changes: Mapping[int, Sequence[Change]]) -> Tree:
        """An earlier version with these shard roots, of which only the shards in `changes` can be read: those are rolled back.

        Raises `StorageCorruptError` if a shard does not come out with its root.
        """
        top: Heap = [*([None] * SHARDS), *roots]
        _rehash(top, range(SHARDS, 2 * SHARDS))
        shards: list[Heap | None] = [None] * SHARDS
        for shard, items in changes.items():
            latest = Tree([None] * (2 * SHARDS), self._shards, self._load, 0)
            found = latest.update(items)[0]._shards[shard]
            if (None if found is None else found[1]) != roots[shard]:
                raise StorageCorruptError(f"history does not lead back to the root that shard {shard} had")
            shards[shard] = found
        return Tree(top, shards, self._load, 0)

    # paths

    def path(self, kh: bytes) -> list[Step] | None:
        """Siblings from the leaf of `kh` up to the root, or None if it is absent."""
        bucket = bucket_of(kh)
        steps = page_path(self._page(bucket), kh)
        if steps is None:
            return None
        heap = self._heap(bucket // SHARD_BUCKETS)
        _climb(heap, SHARD_BUCKETS + bucket % SHARD_BUCKETS, steps)
        _climb(self._top, SHARDS + bucket // SHARD_BUCKETS, steps)
        return steps

    def neighbours(self, kh: bytes) -> tuple[bytes | None, bytes | None]:
        """The nearest keys below and above `kh` that are in the tree."""
        keys = [other for other, _ in page_leaves(self._page(bucket_of(kh)))]
        below = [other for other in keys if other < kh]
        above = [other for other in keys if other > kh]
        return below[-1] if below else self._edge(kh, 0), above[0] if above else self._edge(kh, 1)

    def _edge(self, kh: bytes, side: int) -> bytes | None:
        """The nearest key outside the bucket of `kh`: below it for side 0, above it for side 1."""
        bucket = bucket_of(kh)
        shard, place = bucket // SHARD_BUCKETS, SHARD_BUCKETS + bucket % SHARD_BUCKETS
        heap = self._heap(shard)
        found = _beside(heap, place, side)
        if found is None:
            other = _beside(self._top, SHARDS + shard, side)
            if other is None:
                return None
            shard = other - SHARDS
            heap = self._heap(shard)
            found = _outermost(heap, 1, 1 - side)
        leaves = page_leaves(self._page(shard * SHARD_BUCKETS + found - SHARD_BUCKETS))
        return leaves[0 if side else -1][0]

    def _heap(self, shard: int) -> Heap:
        heap = self._shards[shard]
        if heap is None:
            if self._top[SHARDS + shard] is not None:
                raise LocalError(f"shard {shard} of an earlier state was not rolled back")
            return _EMPTY_HEAP
        return heap

    def _page(self, bucket: int) -> bytes:
        slot = self._heap(bucket // SHARD_BUCKETS)[SHARD_BUCKETS + bucket % SHARD_BUCKETS]
        if slot is None:
            return b""
        return slot if len(slot) > HASH_BYTES else self._load_page(bucket, slot)


def shards_around(roots: Sequence[bytes | None], shard: int) -> list[int]:
    """The shard itself and the nearest ones on both sides that are not empty: all that `Tree.neighbours` reads."""
    left = next((other for other in range(shard - 1, -1, -1) if roots[other] is not None), None)
    right = next((other for other in range(shard + 1, SHARDS) if roots[other] is not None), None)
    return [shard, *(other for other in (left, right) if other is not None)]


_EMPTY_HEAP: Final[Heap] = [None] * (2 * SHARD_BUCKETS)


def _first(change: Change) -> bytes:
    return change[0]


def _slot_hash(slot: bytes | None) -> bytes | None:
    return slot if slot is None or len(slot) == HASH_BYTES else slot[1:33]


def _rehash(heap: Heap, places: Sequence[int]) -> None:
    """Bring the nodes above these leaf slots, sorted, up to date; slots may hold pages."""
    row: list[int] = []
    for place in places:
        parent = place >> 1
        if not row or row[-1] != parent:
            row.append(parent)
    for parent in row:
        left, right = _slot_hash(heap[2 * parent]), _slot_hash(heap[2 * parent + 1])
        if left is None or right is None:
            heap[parent] = right if left is None else left
        else:
            heap[parent] = sha256(INNER_PREFIX + left + right).digest()
    while row and row[0] > 1:
        above: list[int] = []
        last = 0
        for place in row:
            parent = place >> 1
            if parent == last:
                continue
            last = parent
            above.append(parent)
            left, right = heap[2 * parent], heap[2 * parent + 1]
            if left is None or right is None:
                heap[parent] = right if left is None else left
            else:
                heap[parent] = sha256(INNER_PREFIX + left + right).digest()
        row = above


def _climb(heap: Heap, place: int, steps: list[Step]) -> None:
    while place > 1:
        sibling = _slot_hash(heap[place ^ 1])
        if sibling is not None:
            steps.append((bool(place & 1), sibling))
        place >>= 1


def _beside(heap: Heap, place: int, side: int) -> int | None:
    """The nearest leaf slot in use, left of `place` for side 0, right of it for side 1."""
    while place > 1:
        sibling = place ^ 1
        if place & 1 != side and heap[sibling] is not None:
            return _outermost(heap, sibling, 1 - side)
        place >>= 1
    return None


def _outermost(heap: Heap, place: int, side: int) -> int:
    """The leaf slot in use that is farthest to one side (0 left, 1 right) below a node in use."""
    while place < len(heap) >> 1:
        child = 2 * place + side
        place = child if heap[child] is not None else child ^ 1
    return place
