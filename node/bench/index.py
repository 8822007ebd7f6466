"""`qenex bench index`: how fast the index takes blocks in, and how long a page of history and a search by hash take.

Blocks of signed transfers come from the pipeline bench, off the clock; the index then reads them from the store, as in a
node. SQLite in a folder, and a PostgreSQL if one is named.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from node.bench.pipeline import PipelineOptions, run_pipeline
from node.indexer.database import IndexDatabase, SqliteIndex
from node.indexer.postgres import PostgresIndex, drop_tables
from node.indexer.queries import find_history, find_tx
from node.indexer.writer import IndexWriter
from node.storage.store import Store

ACCOUNTS: Final = 10_000
BLOCK_TXS: Final = 1_000
QUESTIONS: Final = 2_000
PAGE: Final = 30

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The outcome; `to_json` is stable. Times of questions are microseconds: (p50, p99)."""

    transactions: int
    rows: int
    seconds: float
    size: int
    history_us: tuple[float, float]
    search_us: tuple[float, float]

    def to_json(self) -> dict[str, object]:
        """The machine-readable form."""
        return {
            "transactions": self.transactions,
            "rows": self.rows,
            "seconds": round(self.seconds, 3),
            "transactions_per_second": round(self.transactions / self.seconds, 1),
            "rows_per_second": round(self.rows / self.seconds, 1),
            "bytes": self.size,
            "history_p50_us": self.history_us[0],
            "history_p99_us": self.history_us[1],
            "search_p50_us": self.search_us[0],
            "search_p99_us": self.search_us[1],
        }


def run_index(txs: int, directory: Path, dsn: str = "") -> dict[str, IndexReport]:
    """Measure in an empty directory: "sqlite", and with a `dsn` also "postgresql", whose index is made and dropped again."""
    run_pipeline(PipelineOptions(txs, min(ACCOUNTS, max(2, txs)), min(BLOCK_TXS, txs), 0), directory)
    path = directory / "index.sqlite"
    reports = {"sqlite": _measure_database(txs, directory, partial(SqliteIndex, path), lambda: path.stat().st_size)}
    if dsn:
        drop_tables(dsn)
        try:
            reports["postgresql"] = _measure_database(txs, directory, partial(PostgresIndex, dsn), partial(_size_of_postgres, dsn))
        finally:
            drop_tables(dsn)
    return reports


def _size_of_postgres(dsn: str) -> int:
    with closing(PostgresIndex(dsn, read_only=True)) as database:
        return int(database.execute("SELECT pg_database_size(current_database())")[0][0])


def _measure_database(txs: int, directory: Path, open_index: Callable[..., IndexDatabase], measure_size: Callable[[], int]) -> IndexReport:
    with closing(Store.open(directory / "db")) as store, closing(open_index()) as database:
        writer = IndexWriter(database, "bench")
        with closing(store.snapshot()) as snapshot:
            started = time.perf_counter()
            writer.follow(snapshot, lambda: None)
            seconds = time.perf_counter() - started
        count = sum(int(database.execute(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in ("txs", "events", "movements"))
        accounts = [bytes(row[0]) for row in database.execute("SELECT DISTINCT sender FROM txs LIMIT 10000")]
        hashes = [bytes(row[0]) for row in database.execute("SELECT hash FROM txs")]
    with closing(open_index(read_only=True)) as reader:
        histories = _measure(accounts, lambda account: find_history(reader, account, None, PAGE, descending=True))
        searches = _measure(hashes, lambda tx_hash: find_tx(reader, tx_hash))
    return IndexReport(txs, count, seconds, measure_size(), histories, searches)


def _measure(things: Sequence[bytes], ask: Callable[[bytes], T]) -> tuple[float, float]:
    """p50 and p99 of asking for things drawn at random."""
    rng = random.Random(1)
    times = []
    for _ in range(QUESTIONS):
        thing = rng.choice(things)
        started = time.perf_counter()
        ask(thing)
        times.append(time.perf_counter() - started)
    times.sort()
    return round(times[QUESTIONS // 2] * 1e6, 1), round(times[QUESTIONS * 99 // 100] * 1e6, 1)
