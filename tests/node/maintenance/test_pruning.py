"""Old blocks go, all that belongs to them goes, and nothing that is still needed; the disk gives the space back."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from consensus.validation import ChainTip
from node.maintenance import pruning
from node.maintenance.opening import open_stopped
from node.maintenance.pruning import Pruner, Retention, find_stop
from node.source import StoreSource
from node.storage.leveldb import LevelDb
from state.params import ConsensusParams
from state.primitives.errors import ProofError
from tests.node.maintenance.chain import Chain, make_home, qenex

HEIGHT = 40
SHORT = ConsensusParams(evidence_blocks_max=1, evidence_age_s_max=3_600)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern")
    trio.run(lambda: make_home(root / "net", HEIGHT, 1, params=SHORT))
    return root


@pytest.fixture
def home(pattern: Path, tmp_path: Path) -> Path:
    shutil.copytree(pattern, tmp_path / "all")
    return tmp_path / "all" / "net" / "node0"


def letters(home: Path) -> Counter[str]:
    database = LevelDb(home / "data" / "db")
    found = Counter(chr(key[0]) for key, _ in database.scan(b"", b"\xff", values=False))
    database.close()
    return found


def later(tip: ChainTip, seconds: int = 10) -> ChainTip:
    from dataclasses import replace

    return replace(tip, last_block_time_ns=tip.last_block_time_ns + seconds * 10**9)


def test_all_that_belongs_to_a_height_goes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = letters(home)
    monkeypatch.setattr(pruning, "_is_expired", lambda history, tip, height: True)
    done = qenex("prune", "--home", home, "--retain", 20, "--json")
    assert done.code == 0, done.err
    # two snapshots of the configured 100 blocks would be needed: nothing may go
    assert done.data["pruned"] == 0
    text = (home / "config.toml").read_text()
    (home / "config.toml").write_text(text.replace("snapshot_interval = 100", "snapshot_interval = 0"))
    done = qenex("prune", "--home", home, "--retain", 20, "--json")
    assert (done.data["pruned"], done.data["base_height"]) == (HEIGHT - 20, str(HEIGHT - 19))
    after = letters(home)
    for letter in "bcpetg":
        assert after[letter] == 20, letter
    for letter in "xih":
        assert after[letter] * HEIGHT == before[letter] * 20, letter
    for letter in "skrvm":
        assert after[letter] == before[letter], letter
    database = LevelDb(home / "data" / "db")
    heights = {int.from_bytes(key[2:], "big") for key, _ in database.scan(b"u", b"v", values=False)}
    database.close()
    assert heights == set(range(HEIGHT - 19, HEIGHT + 1))
    assert qenex("doctor", "--home", home, "--deep").code == 0
    assert qenex("rollback", "--home", home, "--to", HEIGHT - 15, "--yes").code == 0


def test_evidence_keeps_its_heights(home: Path) -> None:
    with open_stopped(home, read_only=True) as node:
        store, tip = node.store, node.state.tip
        retention = Retention(10)
        assert find_stop(store, later(tip, 10**6), retention, 1_000) == HEIGHT - 9
        assert find_stop(store, tip, retention, 1_000) == 1  # the last hour is kept, however few blocks are wanted
        assert find_stop(store, later(tip, 10**6), retention, 7) == 8
        assert find_stop(store, later(tip, 10**6), Retention(0), 1_000) == 1
        assert find_stop(store, later(tip, 10**6), Retention(10, 5), 1_000) == HEIGHT + 1 - 20
        assert find_stop(store, later(tip, 10**6), Retention(1_000), 1_000) == 1


def test_readers_see_a_height_whole_or_not_at_all(home: Path) -> None:
    """What a thread is deleting is gone for everybody else at once."""
    with open_stopped(home, read_only=False) as node:
        store = node.store
        source = StoreSource(store)
        assert source.certified(5) is not None
        heights = store.begin_prune(30, 20)
        assert heights == range(1, 21)
        assert (source.base, source.certified(20), store.root_at(20), store.height_row("c", 20)) == (21, None, None, None)
        with pytest.raises(ProofError):
            store.get_at(b" pfees", 20)
        assert source.certified(21) is not None
        assert store.latest_row("v", 20) is not None
        store.delete_pruned(heights, pruning.derived_rows)
        assert store.begin_prune(21, 20) == range(0)


def test_a_kill_between_two_pieces_leaves_nothing_behind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_is_expired", lambda history, tip, height: True)
    with open_stopped(home, read_only=False) as node:
        store = node.store
        written: list[Any] = []

        def write(rows: Any) -> None:
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(rows)
            original(rows)

        original = store._db.write_unsynced
        monkeypatch.setattr(store._db, "write_unsynced", write)
        monkeypatch.setattr("node.storage.prune.PRUNE_ROWS_MAX", 20)
        with pytest.raises(KeyboardInterrupt):
            store.delete_pruned(store.begin_prune(9, 8), pruning.derived_rows)
    monkeypatch.undo()
    monkeypatch.setattr(pruning, "_is_expired", lambda history, tip, height: True)
    with open_stopped(home, read_only=False) as node:
        assert node.store.base_height() == 1
        pruning.prune_stopped(node.store, node.state.tip, Retention(20), lambda done, of: None)
    after = letters(home)
    assert {after[letter] for letter in "bcpetgxh"} == {20}


async def test_beside_a_running_chain(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_is_expired", lambda history, tip, height: True)
    for name, value in (("COMPACT_ROWS", 500), ("REST_FACTOR", 0), ("REST_MIN_S", 0), ("CHECK_S", 0.01)):
        monkeypatch.setattr(pruning, name, value)
    chain = Chain(home)
    pruner = Pruner(chain.store, Retention(15), lambda: chain.executor.state.tip, structlog.get_logger())
    async with trio.open_nursery() as nursery:
        await nursery.start(pruner.run)
        await chain.grow(30, 1)
        with trio.fail_after(120):
            while chain.store.base_height() < HEIGHT + 30 - 14 or not pruner.compactions:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert chain.store.base_height() == HEIGHT + 30 - 14
    assert pruner.compactions == 1
    chain.close()
    assert letters(home)["b"] == 15
    assert qenex("doctor", "--home", home, "--deep").code == 0


def test_mistakes(home: Path, tmp_path: Path) -> None:
    assert "is not said" in qenex("prune", "--home", home, "--json").error["message"]
    assert qenex("prune", "--home", tmp_path / "none", "--retain", 5, "--json").error["name"] == "HOME"
    assert qenex("prune", "--home", home, "--retain", 0, "--json").error["name"] == "CONFIG"
    shutil.rmtree(home / "data" / "db")
    assert "no database" in qenex("prune", "--home", home, "--retain", 5, "--json").error["message"]
