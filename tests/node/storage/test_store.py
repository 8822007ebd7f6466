"""One height is one batch: what is there after a close, a kill, a flipped bit; history and bulk loading."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.storage.leveldb import LevelDb
from node.storage.store import HeightBatch, Store, StoreOptions
from state.primitives.errors import CorruptError, HomeError, ProofError, QenexError, StorageError
from state.tree_hash import compute_root, key_hash, leaf_hash

SMALL = StoreOptions(values_max=16, leaves_max=50)


def root_of(state: dict[bytes, bytes]) -> bytes:
    return compute_root(sorted((key_hash(k), leaf_hash(key_hash(k), v)) for k, v in state.items()))


def test_random_heights_reopened_at_random(tmp_path: Path) -> None:
    chance = random.Random(7)
    store = Store.create(tmp_path / "db", SMALL)
    state: dict[bytes, bytes] = {}
    history: list[dict[bytes, bytes]] = [{}]
    store.commit(HeightBatch(0, b"genesis"))
    for height in range(1, 60):
        changes: dict[bytes, bytes | None] = {}
        for _ in range(chance.randrange(20)):
            key = b" k%d" % chance.randrange(60)
            changes[key] = None if chance.random() < 0.3 and key in state else chance.randbytes(5)
        rows = (("b", height, b"block %d" % height),)
        store.commit(HeightBatch(height, b"tip%d" % height, bytes([height]) * 32, rows), sorted(changes.items()))
        for key, value in changes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        history.append(dict(state))
        assert store.root == root_of(state)
        if chance.random() < 0.2:
            store.close()
            store = Store.open(tmp_path / "db", SMALL)
            assert (store.height, store.tip) == (height, b"tip%d" % height)
            assert store.root == root_of(state)
    for height, past in enumerate(history):
        assert store.root_at(height) == root_of(past)
        for key in (b" k%d" % i for i in range(60)):
            assert store.get_at(key, height) == past.get(key)
    assert store.height_row("b", 30) == b"block 30"
    assert store.height_of_block(bytes([30]) * 32) == 30
    assert store.prune(40) == 39
    assert store.base_height() == 40
    with pytest.raises(ProofError):
        store.get_at(b" k1", 20)
    store.compact()
    store.close()
    assert Store.open(tmp_path / "db", SMALL).root == root_of(state)


def test_bulk_load_equals_commits(tmp_path: Path) -> None:
    rows = [(b" a%d" % i, b"value %d" % i) for i in range(5000)]
    first, second = Store.create(tmp_path / "one"), Store.create(tmp_path / "two")
    assert first.bulk_load(iter(rows), 0, b"tip") == second.commit(HeightBatch(0, b"tip"), rows) == root_of(dict(rows))
    first.close()
    again = Store.open(tmp_path / "one")
    assert again.root == second.root
    assert again.prove(b" a7")[0] == b"value 7"


def test_index_and_locations(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db")
    hashes = (b"\1" * 32, b"\2" * 32)
    store.commit(HeightBatch(5, b"", tx_hashes=hashes, index_rows=[(b"a1", b"x"), (b"a2", b"y"), (b"b1", b"z")]))
    assert store.tx_location(hashes[1]) == (5, 1)
    assert store.tx_location(bytes(32)) is None
    assert list(store.scan_index(b"a", b"b")) == [(b"a1", b"x"), (b"a2", b"y")]
    assert next(iter(store.scan_index(b"a", b"b", reverse=True)))[0] == b"a2"


def test_operator_mistakes(tmp_path: Path) -> None:
    with pytest.raises(HomeError):
        Store.open(tmp_path / "nothing")
    store = Store.create(tmp_path / "db")
    with pytest.raises(StorageError, match="in use"):
        Store.open(tmp_path / "db")
    with pytest.raises(StorageError):
        Store.create(tmp_path / "db")
    store.close()
    with pytest.raises(StorageError):
        store.get(b" x")
    database = LevelDb(tmp_path / "db")
    database.write([(b"mformat", b"99")])
    database.close()
    with pytest.raises(HomeError, match="format"):
        Store.open(tmp_path / "db")


def test_flipped_bits_are_never_believed(tmp_path: Path) -> None:
    chance = random.Random(3)
    store = Store.create(tmp_path / "db")
    rows = [(b" a%d" % i, chance.randbytes(40)) for i in range(4000)]
    store.bulk_load(iter(rows), 0, b"tip")
    store.compact()
    store.close()
    expected = dict(rows)
    tables = sorted((tmp_path / "db").glob("*.ldb"))
    assert tables
    noticed = 0
    for _ in range(25):
        table = chance.choice(tables)
        good = table.read_bytes()
        place = chance.randrange(len(good))
        table.write_bytes(good[:place] + bytes((good[place] ^ 1 << chance.randrange(8),)) + good[place + 1 :])
        try:
            subject = Store.open(tmp_path / "db", SMALL)
            try:
                for key, value in rows:
                    assert subject.get(key) == value == expected[key]
            finally:
                subject.close()
        except (CorruptError, QenexError) as error:
            noticed += 1
            assert error.hint
        table.write_bytes(good)
    assert noticed > 0
    assert Store.open(tmp_path / "db").root == root_of(expected)


WRITER = """
import sys
from pathlib import Path
from node.storage.store import HeightBatch, Store
store = Store.open(Path(sys.argv[1]))
height = store.height
while True:
    height += 1
    changes = sorted((b" k%d" % (i * height % 97), b"%d" % height) for i in range(40))
    store.commit(HeightBatch(height, b"%d" % height, height_rows=(("b", height, b"x" * 2000),)), dict(changes).items())
    print(height, flush=True)
"""


def test_killed_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = Store.create(path)
    store.commit(HeightBatch(0, b"0"))
    store.close()
    acknowledged = 0
    for round_ in range(8):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(3 + 7 * round_):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        store = Store.open(path)  # compares the root
        assert store.height in (acknowledged, acknowledged + 1)
        assert store.height_row("b", store.height) is not None
        assert store.height_row("b", store.height + 1) is None
        assert store.root == compute_root(
            sorted((key_hash(k), leaf_hash(key_hash(k), v)) for k, v in store.state_keys(b" "))
        )
        store.close()
