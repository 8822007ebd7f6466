"""Undoing the last height: every row is as it was, and going on gives what it gave before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from node.storage.leveldb import LevelDb
from node.storage.store import HeightBatch, Store
from state.primitives.errors import StorageError

HEIGHTS = 12


def changes_at(height: int) -> list[tuple[bytes, bytes | None]]:
    chance = random.Random(height)
    keys = {b" k%d" % chance.randrange(60) for _ in range(25)}
    return [(key, None if chance.random() < 0.3 else b"%d at %d" % (len(key), height)) for key in sorted(keys)]


def commit(store: Store, height: int) -> None:
    present = {key for key, _ in store.state_keys(b" ")}
    changes = [(key, value) for key, value in changes_at(height) if value is not None or key in present]
    rows = (("b", height, b"block %d" % height), ("e", height, b"receipts"))
    store.commit(HeightBatch(height, b"tip %d" % height, b"hash %d" % height, rows), changes)


def rows_of(path: Path) -> dict[bytes, bytes]:
    database = LevelDb(path)
    found = dict(database.scan(b"", b"\xff"))
    database.close()
    return found


def test_every_row_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = Store.create(path)
    kept: dict[int, tuple[bytes, dict[bytes, bytes]]] = {}
    for height in range(HEIGHTS):
        commit(store, height)
        store.close()
        kept[height] = store.root, rows_of(path)
        store = Store.open(path)
    for height in range(HEIGHTS - 2, 0, -1):
        assert store.roll_back([b"hhash %d" % (height + 1)]) == kept[height][0]
        assert (store.height, store.tip) == (height, b"tip %d" % height)
        store.close()
        assert rows_of(path) == kept[height][1]
        store = Store.open(path)
    for height in range(store.height + 1, HEIGHTS):
        commit(store, height)
        assert store.root == kept[height][0]
    store.close()
    assert rows_of(path) == kept[HEIGHTS - 1][1]


def test_what_is_not_kept_cannot_be_undone(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db")
    commit(store, 0)
    with pytest.raises(StorageError, match="cannot be undone"):
        store.roll_back([])
    for height in range(1, 6):
        commit(store, height)
    store.prune(5)
    with pytest.raises(StorageError, match="cannot be undone"):
        store.roll_back([])
    assert store.height == 5
    store.close()
