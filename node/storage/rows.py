"""How rows are named in the store's one LevelDB. Letters and encodings of keys only.

| prefix | key after it | value |
|---|---|---|
| s | raw key | the state's value |
| k | kh | leaf hash (32), raw key |
| r | bucket (3) | hash of the tree's bucket |
| u | shard (1), height (8) | undo page: root of the shard before (32, zeros if empty), ((raw key, value before or nil), ...) |
| t | height | root |
| b c p e v | height | block, commit, post-quantum commit, receipts, validators from that height on |
| f | height | events of the block itself, beside those of its transactions; absent if there were none |
| g | height | the tip after that height, for going back to it |
| o | offence | height of the block that carries the proof |
| x | transaction hash | height (8), index (4) |
| h | block hash | height |
| i | as the indexer made it | as the indexer made it |
| m | name | format, tip, ... |

Heights are big-endian, so that ranges are in order.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from state.tree import bucket_range

FORMAT: Final = b"4"
FORMAT_KEY: Final = b"mformat"
TIP_KEY: Final = b"mtip"
FILLING_KEY: Final = b"mfilling"  # there while `bulk` works: such a store is no store
STATE: Final = b"s"
LEAF: Final = b"k"
BUCKET: Final = b"r"
UNDO: Final = b"u"
ROOT: Final = b"t"
BLOCK_HASH: Final = b"h"
TX: Final = b"x"
OFFENCE: Final = b"o"
TIP_AT: Final = b"g"
INDEX: Final = b"i"
HEIGHT_LETTERS_PRUNED: Final = ("b", "c", "p", "e", "f", "g")  # validators stay: a set may begin long before it is asked for

Row: TypeAlias = tuple[bytes, bytes | None]  # None deletes


def height_bytes(height: int) -> bytes:
    """A height as it stands in keys."""
    return height.to_bytes(8, "big")


def bucket_key(bucket: int) -> bytes:
    """The row of a bucket's hash."""
    return BUCKET + bucket.to_bytes(3, "big")


def leaf_range(bucket: int) -> tuple[bytes, bytes]:
    """Where the leaves of a bucket stand."""
    start, stop = bucket_range(bucket)
    return LEAF + start, after(LEAF) if stop is None else LEAF + stop


def shard_range(shard: int) -> tuple[bytes, bytes]:
    """Where the leaves of a shard stand."""
    return LEAF + bytes((shard,)), LEAF + bytes((shard + 1,)) if shard < 255 else after(LEAF)


def undo_range(shard: int, above: int, to: int) -> tuple[bytes, bytes]:
    """Where the undo pages of a shard stand for heights above one and up to another."""
    prefix = UNDO + shard.to_bytes(1, "big")
    return prefix + height_bytes(above + 1), prefix + height_bytes(to + 1)


def after(prefix: bytes) -> bytes:
    """The first key after all keys with this prefix, for prefixes that do not end in ff."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
