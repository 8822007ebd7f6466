"""The index in a running node: it follows, nothing of it stops the node, and it mends itself when its trouble ends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.config import Home
from node.config_sections import IndexConfig
from node.indexer.access import INDEX_FILE, opener
from node.indexer.database import IndexDatabase, SqliteIndex, delete_file
from node.indexer.task import Indexer, make_index
from node.indexer.writer import IndexWriter
from node.storage.leveldb import Snapshot
from state.primitives.errors import ConfigError, IndexUnavailableError, StorageError
from tests.node.indexer.ledger_chain import LedgerChain, assert_equal_to_chain
from tests.state.random_ledger import CHAIN

SLOW = 60  # seconds, of a machine that is shared


class Log:
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, text: str, **facts: Any) -> None:
        self.lines.append((text, facts))

    info = warning


@pytest.fixture
def chain(tmp_path: Path) -> LedgerChain:
    return LedgerChain(tmp_path)


@pytest.fixture(autouse=True)
def _transactions_of_the_ledger(chain: LedgerChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.indexer.task.IndexWriter", lambda database, name: IndexWriter(database, name, chain.decode))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.indexer.task.INDEX_RETRY_S", 0.01)


def make(chain: LedgerChain, open_database: Callable[[], IndexDatabase], log: Log | None = None) -> Indexer:
    return Indexer(open_database, chain.store.snapshot, CHAIN.hex(), log or Log())


async def reach(indexer: Indexer, height: int) -> None:
    with trio.fail_after(SLOW):
        while indexer.height < height:
            await trio.sleep(0.005)


async def test_it_follows_what_it_is_told(chain: LedgerChain, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    indexer = make(chain, lambda: SqliteIndex(path))
    chain.grow(3)
    async with trio.open_nursery() as nursery:
        await nursery.start(indexer.run)
        await reach(indexer, 3)
        for height in (5, 9):
            chain.grow(height - chain.store.height)
            indexer.notify()
            await reach(indexer, height)
        nursery.cancel_scope.cancel()
    database = SqliteIndex(path)
    assert_equal_to_chain(database, chain)
    assert indexer.problem is None


async def test_ending_the_node_does_not_wait_for_a_long_way_to_go(chain: LedgerChain, tmp_path: Path) -> None:
    chain.grow(30)
    begun = trio.Event()
    steps = 0

    class Slow(SqliteIndex):
        def put(self, table: str, rows: Any) -> None:
            nonlocal steps
            steps += 1
            if steps == 1:
                trio.from_thread.run_sync(begun.set)
            super().put(table, rows)

    indexer = make(chain, lambda: Slow(tmp_path / "index.sqlite"))
    with trio.fail_after(SLOW):
        async with trio.open_nursery() as nursery:
            await nursery.start(indexer.run)
            await begun.wait()
            nursery.cancel_scope.cancel()
    database = SqliteIndex(tmp_path / "index.sqlite")
    assert chain.follow(database) == 30
    assert_equal_to_chain(database, chain)


async def test_a_full_disk_leaves_it_behind_and_is_said(chain: LedgerChain, tmp_path: Path, quick: None) -> None:
    path, log, pages = tmp_path / "index.sqlite", Log(), 60
    indexer = make(chain, lambda: SqliteIndex(path, pages_max=pages), log)
    chain.grow(20, 60)
    async with trio.open_nursery() as nursery:
        await nursery.start(indexer.run)
        with trio.fail_after(SLOW):
            while indexer.failures < 3:
                await trio.sleep(0.005)
        assert indexer.problem is not None and indexer.problem.code == 2220 and "full" in indexer.problem.message
        assert indexer.height < 20
        pages = 100_000  # somebody made room
        await reach(indexer, 20)
        with trio.fail_after(SLOW):
            while indexer.problem is not None:
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    said = [text for text, _ in log.lines]
    assert said == ["the index is behind", "the index follows again"]  # once, however often it was tried
    assert log.lines[0][1]["code"] == 2220 and "free space" in log.lines[0][1]["hint"]
    assert_equal_to_chain(SqliteIndex(path), chain)


@pytest.mark.parametrize("damage", ["foreign", "torn"])
async def test_a_damaged_file_is_said_and_can_be_made_again(chain: LedgerChain, tmp_path: Path, quick: None, damage: str) -> None:
    path, log = tmp_path / "index.sqlite", Log()
    chain.grow(20, 60)
    if damage == "foreign":
        path.write_bytes(b"this is no database" * 1_000)
    else:
        database = SqliteIndex(path)
        chain.follow(database)
        database.close()
        data = bytearray(path.read_bytes())
        for place in range(4096, len(data), 4096):
            data[place : place + 2_000] = b"\xff" * 2_000
        path.write_bytes(data)
        chain.grow(1, 60)
    indexer = make(chain, lambda: SqliteIndex(path), log)
    async with trio.open_nursery() as nursery:
        await nursery.start(indexer.run)
        with trio.fail_after(SLOW):
            while not indexer.failures:
                await trio.sleep(0.005)
        assert indexer.problem is not None and indexer.problem.code == 2221
        assert "qenex reindex" in indexer.problem.hint
        delete_file(path)
        await reach(indexer, chain.store.height)
        nursery.cancel_scope.cancel()
    assert_equal_to_chain(SqliteIndex(path), chain)


async def test_a_store_that_fails_ends_nothing_here(chain: LedgerChain, tmp_path: Path, quick: None) -> None:
    is_broken = True

    def snapshot() -> Snapshot:
        if is_broken:
            raise StorageError("the store cannot be read")
        return chain.store.snapshot()

    indexer = Indexer(lambda: SqliteIndex(tmp_path / "index.sqlite"), snapshot, CHAIN.hex(), Log())
    chain.grow(2)
    async with trio.open_nursery() as nursery:
        await nursery.start(indexer.run)
        with trio.fail_after(SLOW):
            while not indexer.failures:
                await trio.sleep(0.005)
        is_broken = False
        await reach(indexer, 2)
        nursery.cancel_scope.cancel()


async def test_it_tries_again_more_and_more_slowly(
    chain: LedgerChain, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def fail() -> IndexDatabase:
        tried.append(trio.current_time())
        raise IndexUnavailableError("no server")

    async def run_here(work: Callable[[], None], *, limiter: trio.CapacityLimiter) -> None:
        await trio.lowlevel.checkpoint()
        work()

    monkeypatch.setattr(trio.to_thread, "run_sync", run_here)  # the clock jumps while a thread works

    indexer = make(chain, fail)
    with trio.move_on_after(1_000):
        await indexer.run()
    waits = [round(later - earlier) for earlier, later in pairwise(tried)]
    assert waits[:4] == [5, 10, 15, 20] and max(waits) == 60


def test_settings(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.data_dir.mkdir()
    made = make_index(home, IndexConfig(), lambda: None, "00", Log())  # type: ignore[arg-type,return-value]
    assert made is not None and made.backend == "sqlite"
    assert make_index(home, IndexConfig(backend="off"), lambda: None, "00", Log()) is None  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigError, match="no index"):
        opener(home, IndexConfig(backend="off"), read_only=False)
    opener(home, IndexConfig(), read_only=False)().close()
    assert (home.data_dir / INDEX_FILE).exists()
