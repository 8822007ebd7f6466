"""The tree inline and in a worker process: the same roots, rows and proofs; a lost worker ends the store, a lost store ends the worker."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.storage.store import HeightBatch, Store, StoreOptions
from node.storage.tree_client import WorkerTree
from state.primitives.errors import StorageCorruptError, StorageError, TreeWorkerError
from state.primitives.limits import TREE_ASK_BUCKETS_MAX
from state.proofs import verify_proof
from state.tree import bucket_of
from state.tree_hash import key_hash

INLINE = StoreOptions(values_max=16, leaves_max=50)
WORKER = StoreOptions(values_max=16, leaves_max=50, tree_worker=True)
DEADLINE_S = 20


def changes_of(chance: random.Random, count: int = 40) -> list[tuple[bytes, bytes | None]]:
    picked = {
        b" k%d" % chance.randrange(300): None if chance.random() < 0.2 else chance.randbytes(5) for _ in range(count)
    }
    return sorted(picked.items())


def rows_of(store: Store) -> list[tuple[bytes, bytes]]:
    return list(store._db.scan(b"\0", b"\xff"))


def test_worker_equals_inline(tmp_path: Path) -> None:
    chance = random.Random(5)
    one, two = Store.create(tmp_path / "one", INLINE), Store.create(tmp_path / "two", WORKER)
    for height in range(25):
        changes = changes_of(chance)
        assert one.stage(height, changes) == two.stage(height, changes)
        batch = HeightBatch(height, b"tip%d" % height)
        for store in (one, two):
            store.write_prepared(store.prepare(batch))
            store.finish(batch)
        assert one.root == two.root
        for number in range(0, 300, 37):
            key = b" k%d" % number
            assert one.prove(key) == two.prove(key)
            assert one.prove(key, height // 2) == two.prove(key, height // 2)
        if height % 8 == 7:
            two.close()
            two = Store.open(tmp_path / "two", WORKER)
    assert rows_of(one) == rows_of(two)
    one.close()
    two.close()
    for options in (INLINE, WORKER):
        again = Store.open(tmp_path / "two", options)
        assert again.height == 24
        again.close()


def test_a_large_cold_block_asks_more_than_once(tmp_path: Path) -> None:
    rows = [(b" a%d" % number, b"v") for number in range(6000)]
    assert len({bucket_of(key_hash(key)) for key, _ in rows}) > TREE_ASK_BUCKETS_MAX
    store = Store.create(tmp_path / "db", WORKER)
    store.bulk_load(iter(rows), 0, b"")
    expected = Store.create(tmp_path / "other", INLINE)
    expected.bulk_load(iter(rows), 0, b"")
    changes = [(key, b"w") for key, _ in rows]
    assert store.stage(1, changes) == expected.stage(1, changes)
    store.close()
    expected.close()


@pytest.mark.parametrize("options", [INLINE, WORKER], ids=["inline", "worker"])
def test_readers_see_one_height_until_the_next_is_durable(tmp_path: Path, options: StoreOptions) -> None:
    chance = random.Random(8)
    store = Store.create(tmp_path / "db", options)
    state: dict[bytes, bytes | None] = {}
    for height in range(12):
        changes = changes_of(chance)
        root, keys = store.root, sorted({*state, *(key for key, _ in changes)})

        def check_before(height: int = height, root: bytes = root, keys: list[bytes] = keys) -> None:
            assert (store.height, store.root) == (height - 1, root)
            assert store.root_at(height) is None
            for key in keys:
                assert store.get(key) == state.get(key)
                if height > 0:
                    assert store.get_at(key, height - 1) == state.get(key)
                if any(value is not None for value in state.values()):
                    value, proof = store.prove(key)
                    assert value == state.get(key)
                    verify_proof(root, key, value, proof)

        store.stage(height, changes_of(chance))  # speculative: another block is decided
        check_before()
        store.stage_start(height, changes)
        check_before()
        after = store.stage_result()
        check_before()
        batch = HeightBatch(height, b"")
        rows = store.prepare(batch)
        with pytest.raises(StorageError, match="being written"):
            store.stage(height, changes)
        check_before()
        store.write_prepared(rows)
        check_before()  # it is on disk, but not yet announced
        store.finish(batch)
        state.update(changes)
        assert (store.height, store.root) == (height, after)
        assert all(store.get(key) == value for key, value in state.items())
    store.close()


def test_a_dead_worker_is_fatal(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", WORKER)
    store.commit(HeightBatch(0, b"0"), [(b" a", b"1")])
    assert isinstance(store._trees, WorkerTree)
    os.kill(store._trees.pid, signal.SIGKILL)
    with pytest.raises(TreeWorkerError) as caught:
        store.commit(HeightBatch(1, b"1"), [(b" a", b"2")])
    assert caught.value.hint
    with pytest.raises(StorageError):
        store.write_prepared([(b"x", b"y")])
    with pytest.raises(StorageError):
        store.get(b" b")
    store.close()
    again = Store.open(tmp_path / "db", WORKER)
    assert (again.height, again.get(b" a")) == (0, b"1")
    again.close()


def test_damage_is_told_by_the_worker_too(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", WORKER)
    store.commit(HeightBatch(0, b"0"), [(b" a%d" % number, b"1") for number in range(20)])
    for key, value in list(store._db.scan(b"k", b"l")):
        store._db.write([(key, bytes(32) + value[32:])])
    store.close()
    store = Store.open(tmp_path / "db", WORKER)  # the top is intact
    with pytest.raises(StorageCorruptError, match="bucket"):
        store.stage(1, [(b" a3", b"2")])
    with pytest.raises(StorageError):
        store.write_prepared([])
    store.close()


OWNER = """
import sys
from pathlib import Path
from node.storage.store import Store, StoreOptions
store = Store.open(Path(sys.argv[1]), StoreOptions(tree_worker=True))
print(store._trees.pid, flush=True)
sys.stdin.read()
"""


def test_the_worker_dies_with_its_store(tmp_path: Path) -> None:
    Store.create(tmp_path / "db").close()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdin is not None
    worker = int(owner.stdout.readline())
    assert is_running(worker)
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    deadline = time.monotonic() + DEADLINE_S
    while is_running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
