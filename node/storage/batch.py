"""What goes into the store and in which bounds: its options, the rows of one height, a height that is being staged. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.storage.leveldb import MIB
from node.storage.rows import Row


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Bounds of memory, and where the tree is kept.

    `cache_bytes` is LevelDB's block cache, `tables_bytes_max` what it keeps mapped of its files; `values_max` and `values_bytes_max` bound
    the state values kept in front of it; `leaves_max` the leaves of the tree, about 110 bytes each. `tree_worker` hashes in a process
    of its own.
    """

    cache_bytes: int = 32 * MIB
    values_max: int = 200_000
    leaves_max: int = 1_500_000
    values_bytes_max: int = 64 * MIB
    tables_bytes_max: int = 192 * MIB
    tree_worker: bool = False


@dataclass(frozen=True, slots=True)
class HeightBatch:
    """What one height leaves behind, encoded. `height_rows` are (letter of b c p e f v, height, bytes); `tip` is for `Store.tip`.

    `offences` are the names of what its evidence proves.
    """

    height: int
    tip: bytes
    block_hash: bytes = b""
    height_rows: tuple[tuple[str, int, bytes], ...] = ()
    tx_hashes: tuple[bytes, ...] = ()
    index_rows: Sequence[tuple[bytes, bytes]] = field(default=())
    offences: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Staged:
    """A height between `stage` and `finish`: its changes, what readers still see, and the rows so far."""

    height: int
    changes: list[tuple[bytes, bytes | None]]
    before: dict[bytes, bytes | None]
    rows: list[Row]
    root: bytes = b""
    is_prepared: bool = False
