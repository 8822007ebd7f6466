"""The tree as the store uses it: staged with a height's changes, settled once they are durable, asked for paths in between.

`InlineTree` works in this process; `node.storage.tree_client` has the same in a worker process. Which of the two is a setting, never a
difference in a root. Where leaves are stored is not known here: they come through a callable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol, TypeAlias

from state.primitives.errors import StorageError
from state.tree import BUCKETS, Change, Touched, Tree
from state.tree_hash import Leaves, Step, leaf_hash
from state.tree_pages import ADDED_BYTES

# For buckets in ascending order, the leaves of each, one after the other
LoadMany: TypeAlias = Callable[[Sequence[int]], Iterator[Leaves]]
Paths: TypeAlias = tuple[tuple[bytes, list[Step]], ...]


@dataclass(frozen=True, slots=True)
class TreeUpdate:
    """What staging gave: the new root, (kh, leaf hash or None) of each change in its order, and what they touched."""

    root: bytes
    leaves: list[Change]
    touched: Touched


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier state: the root that each shard had, and for the shards that will be read, how their leaves were."""

    roots: Sequence[bytes | None]
    changes: dict[int, list[Change]] = field(default_factory=dict)


class TreeService(Protocol):
    """One tree that follows the store. Reads see the settled version; staging again replaces what was staged."""

    @property
    def root(self) -> bytes:
        """The settled root."""
        ...

    def shard_roots(self) -> list[bytes | None]:
        """The settled root of each shard."""
        ...

    def start(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Begin to stage (raw key, value or None) on the settled version; `result` comes next."""
        ...

    def result(self) -> TreeUpdate:
        """What staging gave. Raises `StorageError`, `StorageCorruptError`."""
        ...

    def settle(self) -> None:
        """What was staged is durable."""
        ...

    def paths(self, kh: bytes, past: Past | None) -> Paths:
        """(kh, its path) if it is in the tree, else (key, path) of its neighbours: both, one, or none in an empty tree."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


def hash_changes(changes: Iterable[tuple[bytes, bytes | None]]) -> list[Change]:
    """(kh, leaf hash or None) of raw changes, in order."""
    hashed: list[Change] = []
    for key, value in changes:
        kh = sha256(key).digest()
        hashed.append((kh, None if value is None else leaf_hash(kh, value)))
    return hashed


class InlineTree:
    """See `TreeService`. Pages of at most about `leaves_max` leaves stay loaded; the least used leave when a height settles."""

    def __init__(self, hashes: Iterable[tuple[int, bytes]], load: LoadMany, leaves_max: int) -> None:
        self._tree = Tree.from_hashes(hashes, self._load_one)
        self._load = load
        self._ahead: Iterator[Leaves] | None = None
        self._bytes_max = leaves_max * ADDED_BYTES
        self._used = bytearray(BUCKETS)  # 1: touched since the sweep that makes room last came by
        self._hand = 0
        self._staged: tuple[Tree, Touched] | None = None
        self._update: TreeUpdate | None = None

    @property
    def root(self) -> bytes:
        """See `TreeService`."""
        return self._tree.root

    @property
    def pages_bytes(self) -> int:
        """Size of the loaded pages."""
        return self._tree.pages_bytes

    def shard_roots(self) -> list[bytes | None]:
        """See `TreeService`."""
        return list(self._tree.shard_roots)

    def start(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """See `TreeService`."""
        leaves = hash_changes(changes)
        self._ahead = iter(self._load(self._tree.missing_buckets([kh for kh, _ in leaves])))
        try:
            staged, touched = self._tree.update(leaves)
        finally:
            self._ahead = None
        self._staged = staged, touched
        self._update = TreeUpdate(staged.root, leaves, touched)

    def result(self) -> TreeUpdate:
        """See `TreeService`."""
        update, self._update = self._update, None
        if update is None:
            raise StorageError("the tree was asked for a result, but nothing was staged")
        return update

    def settle(self) -> None:
        """See `TreeService`."""
        if self._staged is not None:
            self._tree, touched = self._staged
            self._staged = None
            for bucket in touched.buckets:
                self._used[bucket] = 1
        if self._tree.pages_bytes > self._bytes_max:
            self._make_room()

    def paths(self, kh: bytes, past: Past | None) -> Paths:
        """See `TreeService`."""
        tree = self._tree if past is None else self._tree.rolled_back(past.roots, past.changes)
        own = tree.path(kh)
        if own is not None:
            return ((kh, own),)
        found = []
        for side in tree.neighbours(kh):
            path = None if side is None else tree.path(side)
            if side is not None and path is not None:
                found.append((side, path))
        return tuple(found)

    def close(self) -> None:
        """See `TreeService`."""

    def _load_one(self, bucket: int) -> Leaves:
        # an update asks in the order in which `start` looked ahead
        return next(self._load([bucket]) if self._ahead is None else self._ahead, ())

    def _make_room(self) -> None:
        """Second chance: pages not touched since the hand last came by leave, until an eighth of the room is free."""
        goal = self._bytes_max - self._bytes_max // 8
        for _ in range(2):
            loaded = list(self._tree.loaded_buckets())
            split = next((place for place, bucket in enumerate(loaded) if bucket >= self._hand), 0)
            for bucket in loaded[split:] + loaded[:split]:
                if self._tree.pages_bytes <= goal:
                    self._hand = bucket
                    return
                if self._used[bucket]:
                    self._used[bucket] = 0
                else:
                    self._tree.forget_pages((bucket,))
