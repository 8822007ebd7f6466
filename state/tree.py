"""The authenticated tree: one root for the whole state, and the paths that prove what is in it.

A binary trie over `kh = sha256(raw key)`, most significant bit first, left 0. A level with one child passes that child's hash
through, so only branching points are hashed:

    leaf(kh, value) = sha256(00 20 kh 20 sha256(value))      inner(l, r) = sha256(01 l r)      empty = sha256("")

which ICS-23's `tendermintSpec` verifies with kh as key. The root depends on the set of (key, value) alone.

Nodes are immutable, so an update gives a new root and old ones stay readable. Below `BUCKET_BITS` levels the trie is cut into
buckets that are loaded when touched and forgotten when many are loaded; loading is a callable that is passed in. Node forms:
leaf `(hash, kh)`, inner `(hash, left, right)` with at most one child None. No disk and no ledger in here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias

from state.primitives.errors import StorageCorruptError
from state.primitives.hashing import EMPTY_HASH

BUCKET_BITS: Final = 16
BUCKETS: Final = 1 << BUCKET_BITS
_LEAF_PREFIX: Final = b"\x00\x20"
_VALUE_PREFIX: Final = b"\x20"
_INNER_PREFIX: Final = b"\x01"

# mypy has no recursive tuples of two shapes that it could narrow by length
Node: TypeAlias = Any
Leaves: TypeAlias = Sequence[tuple[bytes, bytes]]  # (kh, leaf hash), sorted by kh
Step: TypeAlias = tuple[bool, bytes]  # (whether the node is the right child, hash of its sibling)


def key_hash(key: bytes) -> bytes:
    """Where a raw key lives."""
    return sha256(key).digest()


def leaf_hash(kh: bytes, value: bytes) -> bytes:
    """Hash of a leaf."""
    return sha256(_LEAF_PREFIX + kh + _VALUE_PREFIX + sha256(value).digest()).digest()


def inner_hash(left: bytes, right: bytes) -> bytes:
    """Hash of a branching point."""
    return sha256(_INNER_PREFIX + left + right).digest()


class Bucket:
    """The subtree of one 16-bit prefix: its hash, and its nodes when they are loaded."""

    __slots__ = ("hash", "leaves", "node", "prefix")

    def __init__(self, prefix: int, node_hash: bytes, node: Node, leaves: int) -> None:
        self.prefix = prefix
        self.hash = node_hash
        self.node = node  # None: not loaded
        self.leaves = leaves  # loaded leaves, for the bound


class Tree:
    """The tree of the latest state. `load(prefix)` gives the leaves of a bucket, sorted; `roots` are the buckets' hashes at the start.

    `update` moves to a new root. `leaves_max` bounds how many leaves stay loaded; older versions are not kept.
    """

    def __init__(
        self, roots: Iterable[tuple[int, bytes]], load: Callable[[int], Leaves], leaves_max: int
    ) -> None:
        self._load = load
        self._leaves_max = leaves_max
        self._loaded: OrderedDict[int, None] = OrderedDict()
        self._loaded_leaves = 0
        self._buckets: list[Bucket | None] = [None] * BUCKETS
        # levels[d] holds the hashes at depth d, None where nothing is below
        self._levels: list[list[bytes | None]] = [[None] * (1 << depth) for depth in range(BUCKET_BITS + 1)]
        for prefix, node_hash in roots:
            self._buckets[prefix] = Bucket(prefix, node_hash, None, 0)
            self._levels[BUCKET_BITS][prefix] = node_hash
        for depth in range(BUCKET_BITS - 1, -1, -1):
            below = self._levels[depth + 1]
            level = self._levels[depth]
            for index in range(len(level)):
                level[index] = _join(below[2 * index], below[2 * index + 1])

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._levels[0][0] or EMPTY_HASH

    @property
    def loaded_leaves(self) -> int:
        """Leaves in memory."""
        return self._loaded_leaves

    def update(self, changes: Iterable[tuple[bytes, bytes | None]]) -> dict[int, bytes | None]:
        """Apply (kh, new leaf hash or None to delete), any order, each kh once. Returns the new hash of every touched bucket."""
        by_bucket: dict[int, list[tuple[bytes, bytes | None]]] = {}
        for change in changes:
            prefix = int.from_bytes(change[0][:2], "big")
            if prefix in by_bucket:
                by_bucket[prefix].append(change)
            else:
                by_bucket[prefix] = [change]
        touched: dict[int, bytes | None] = {}
        for prefix, items in by_bucket.items():
            touched[prefix] = self._update_bucket(prefix, items)
        self._update_top(touched)
        self._evict()
        return touched

    def _update_bucket(self, prefix: int, items: list[tuple[bytes, bytes | None]]) -> bytes | None:
        bucket = self._open(prefix)
        node, grown = (None, 0) if bucket is None else (bucket.node, -bucket.leaves)
        self._loaded_leaves += grown
        counter = [-grown]
        for kh, new_hash in items:
            if new_hash is None:
                node = _delete(node, kh, BUCKET_BITS, counter)
            else:
                node = _insert(node, kh, new_hash, BUCKET_BITS, counter)
        (count,) = counter
        self._loaded_leaves += count
        if node is None:
            self._buckets[prefix] = None
            self._loaded.pop(prefix, None)
            return None
        self._buckets[prefix] = Bucket(prefix, node[0], node, count)
        self._loaded[prefix] = None
        self._loaded.move_to_end(prefix)
        node_hash: bytes = node[0]
        return node_hash

    def _update_top(self, touched: dict[int, bytes | None]) -> None:
        level = self._levels[BUCKET_BITS]
        for prefix, node_hash in touched.items():
            level[prefix] = node_hash
        indexes = {prefix >> 1: None for prefix in touched}
        for depth in range(BUCKET_BITS - 1, -1, -1):
            below, level = level, self._levels[depth]
            for index in indexes:
                left, right = below[2 * index], below[2 * index + 1]
                if left is None:
                    level[index] = right
                elif right is None:
                    level[index] = left
                else:
                    level[index] = sha256(_INNER_PREFIX + left + right).digest()
            indexes = {index >> 1: None for index in indexes}

    def _open(self, prefix: int) -> Bucket | None:
        bucket = self._buckets[prefix]
        if bucket is not None and bucket.node is None:
            leaves = self._load(prefix)
            node = _build(leaves, 0, len(leaves), BUCKET_BITS)
            if node is None or node[0] != bucket.hash:
                raise StorageCorruptError(
                    f"tree bucket {prefix:04x} does not have the hash that was stored for it",
                    hint="the database is damaged: restore it from a snapshot or join again as a new node",
                )
            bucket.node = node
            bucket.leaves = len(leaves)
            self._loaded_leaves += len(leaves)
            self._loaded[prefix] = None
        return bucket

    def _evict(self) -> None:
        while self._loaded_leaves > self._leaves_max and len(self._loaded) > 1:
            prefix, _ = self._loaded.popitem(last=False)
            bucket = self._buckets[prefix]
            if bucket is not None:
                self._loaded_leaves -= bucket.leaves
                bucket.node = None
                bucket.leaves = 0

    # paths

    def path(self, kh: bytes) -> list[Step] | None:
        """Siblings from the leaf of `kh` up to the root, or None if it is absent."""
        prefix = int.from_bytes(kh[:2], "big")
        bucket = self._open(prefix)
        if bucket is None:
            return None
        steps: list[Step] = []
        node, depth = bucket.node, BUCKET_BITS
        while len(node) == 3:
            _, left, right = node
            is_right = bool(_bit(kh, depth))
            child, sibling = (right, left) if is_right else (left, right)
            if child is None:
                return None
            if sibling is not None:
                steps.append((is_right, sibling[0]))
            node, depth = child, depth + 1
        if node[1] != kh:
            return None
        steps.reverse()
        index = prefix
        for depth in range(BUCKET_BITS, 0, -1):
            sibling_hash = self._levels[depth][index ^ 1]
            if sibling_hash is not None:
                steps.append((bool(index & 1), sibling_hash))
            index >>= 1
        return steps

    def neighbours(self, kh: bytes) -> tuple[bytes | None, bytes | None]:
        """The nearest keys below and above `kh` that are in the tree."""
        return self._neighbour(kh, -1), self._neighbour(kh, 1)

    def _neighbour(self, kh: bytes, direction: int) -> bytes | None:
        prefix = int.from_bytes(kh[:2], "big")
        bucket = self._open(prefix)
        if bucket is not None:
            found = [other for other in _keys(bucket.node) if (other < kh if direction < 0 else other > kh)]
            if found:
                return max(found) if direction < 0 else min(found)
        prefix += direction
        hashes = self._levels[BUCKET_BITS]
        while 0 <= prefix < BUCKETS:
            if hashes[prefix] is not None:
                bucket = self._open(prefix)
                if bucket is not None:
                    keys = _keys(bucket.node)
                    return max(keys) if direction < 0 else min(keys)
            prefix += direction
        return None


def compute_root(leaves: Leaves) -> bytes:
    """The root over all leaves at once, sorted by kh: what an incremental tree must equal."""
    node = _build(leaves, 0, len(leaves), 0)
    return EMPTY_HASH if node is None else node[0]


def bucket_hash(leaves: Leaves) -> bytes:
    """Hash of one bucket's leaves, sorted; at least one."""
    return _build(leaves, 0, len(leaves), BUCKET_BITS)[0]  # type: ignore[no-any-return]


def _bit(kh: bytes, depth: int) -> int:
    return kh[depth >> 3] >> (7 - (depth & 7)) & 1


def _join(left: bytes | None, right: bytes | None) -> bytes | None:
    if left is None:
        return right
    return left if right is None else sha256(_INNER_PREFIX + left + right).digest()


def _inner(left: Node, right: Node) -> Node:
    """An inner node, or what is left of it."""
    if left is None:
        return right if right is None or len(right) == 2 else (right[0], None, right)
    if right is None:
        return left if len(left) == 2 else (left[0], left, None)
    return sha256(_INNER_PREFIX + left[0] + right[0]).digest(), left, right


def _insert(node: Node, kh: bytes, new_hash: bytes, depth: int, counter: list[int]) -> Node:
    """The node with a leaf set; `counter[0]` grows if it is new."""
    if node is None:
        counter[0] += 1
        return new_hash, kh
    if len(node) == 2:
        if node[1] == kh:
            return new_hash, kh
        counter[0] += 1
        return _fork(node, (new_hash, kh), depth)
    _, left, right = node
    if kh[depth >> 3] >> (7 - (depth & 7)) & 1:
        right = _insert(right, kh, new_hash, depth + 1, counter)
    else:
        left = _insert(left, kh, new_hash, depth + 1, counter)
    return _inner(left, right)


def _fork(old: Node, new: Node, depth: int) -> Node:
    """Two leaves below one place: pass-through levels down to where they part."""
    old_bit, new_bit = _bit(old[1], depth), _bit(new[1], depth)
    if old_bit != new_bit:
        return _inner(old, new) if new_bit else _inner(new, old)
    below = _fork(old, new, depth + 1)
    return _inner(None, below) if new_bit else _inner(below, None)


def _delete(node: Node, kh: bytes, depth: int, counter: list[int]) -> Node:
    """The node without a leaf; `counter[0]` falls if it was there."""
    if node is None:
        return None
    if len(node) == 2:
        if node[1] != kh:
            return node
        counter[0] -= 1
        return None
    _, left, right = node
    if _bit(kh, depth):
        right = _delete(right, kh, depth + 1, counter)
    else:
        left = _delete(left, kh, depth + 1, counter)
    return _inner(left, right)


def _build(leaves: Leaves, start: int, end: int, depth: int) -> Node:
    if start == end:
        return None
    if end - start == 1:
        kh, node_hash = leaves[start]
        return node_hash, kh
    low, high = start, end
    while low < high:  # the first leaf with a 1 at this depth
        middle = (low + high) >> 1
        if _bit(leaves[middle][0], depth):
            high = middle
        else:
            low = middle + 1
    return _inner(_build(leaves, start, low, depth + 1), _build(leaves, low, end, depth + 1))


def _keys(node: Node) -> list[bytes]:
    if node is None:
        return []
    return [node[1]] if len(node) == 2 else _keys(node[1]) + _keys(node[2])
