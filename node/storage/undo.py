"""The rows that take the last height back: everything that `Store.prepare` wrote for it, the other way round. Nothing is written here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.storage import rows as names
from node.storage.rows import Row, height_bytes
from node.storage.trees import TreeUpdate
from state.tree import SHARDS


def undo_rows(
    height: int, changes: Sequence[tuple[bytes, bytes | None]], update: TreeUpdate, doomed: Iterable[bytes]
) -> list[Row]:
    """`changes` are (raw key, value before), `update` what they do to the tree, `doomed` further rows that go."""
    rows: list[Row] = [(names.STATE + key, value) for key, value in changes]
    for (key, _), (kh, leaf) in zip(changes, update.leaves, strict=True):
        rows.append((names.LEAF + kh, None if leaf is None else leaf + key))
    rows += [(names.bucket_key(bucket), found) for bucket, found in update.touched.buckets.items()]
    place = height_bytes(height)
    rows += [(names.UNDO + shard.to_bytes(1, "big") + place, None) for shard in range(SHARDS)]
    rows += [(letter.encode() + place, None) for letter in names.HEIGHT_LETTERS_PRUNED]
    return [*rows, (names.ROOT + place, None), *((key, None) for key in doomed)]
