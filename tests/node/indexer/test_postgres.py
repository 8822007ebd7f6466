"""PostgreSQL in particular: one writer, a server that goes away, what it says about mistakes."""

from __future__ import annotations

import gc
from pathlib import Path
from threading import Timer

import pytest

from node.bench.index import run_index
from node.config import Home
from node.config_sections import IndexConfig
from node.indexer.access import forget, opener
from node.indexer.postgres import PostgresIndex
from node.indexer.queries import indexed_height
from state.primitives.errors import ConfigError, IndexUnavailableError
from tests.node.indexer.ledger_chain import LedgerChain, assert_equal_to_chain
from tests.node.indexer.postgres_server import PostgresServer


def test_one_writer_many_readers(postgres: PostgresServer, tmp_path: Path) -> None:
    dsn = postgres.new_database()
    chain = LedgerChain(tmp_path)
    chain.grow(5)
    writer = PostgresIndex(dsn)
    with pytest.raises(IndexUnavailableError, match="another node"):
        PostgresIndex(dsn)
    reader = PostgresIndex(dsn, read_only=True)
    chain.follow(writer)
    with reader.transaction():
        assert indexed_height(reader) == 5
        chain.grow(2)
        chain.follow(writer)
        assert indexed_height(reader) == 5  # one moment
    with pytest.raises(IndexUnavailableError, match="read-only"):
        reader.execute("DELETE FROM holdings")
    writer.close()
    reader.close()
    again = PostgresIndex(dsn)
    assert_equal_to_chain(again, chain)
    again.close()


def test_a_question_that_takes_too_long_is_ended(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.indexer.postgres.QUERY_S_MAX", 0.05)
    reader = PostgresIndex(postgres.new_database(), read_only=True)
    with pytest.raises(IndexUnavailableError, match="longer than"), reader.transaction():
        reader.execute("SELECT pg_sleep(30)")
    assert reader.execute("SELECT 1") == [(1,)]
    reader.close()


def test_a_connection_that_is_lost_leaves_what_was_committed(postgres: PostgresServer, tmp_path: Path) -> None:
    dsn = postgres.new_database()
    chain = LedgerChain(tmp_path)
    chain.grow(4)
    doomed = PostgresIndex(dsn)
    chain.follow(doomed)
    chain.grow(4)
    pid = doomed.execute("SELECT pg_backend_pid()")[0][0]
    killer = PostgresIndex(dsn, read_only=True)
    killer.execute("SELECT pg_terminate_backend(?, 10000)", (pid,))
    killer.close()
    with pytest.raises(IndexUnavailableError, match="PostgreSQL cannot be used"):
        chain.follow(doomed)
    doomed.close()
    again = PostgresIndex(dsn)
    assert chain.follow(again) == 8
    assert_equal_to_chain(again, chain)
    again.close()


def test_a_writer_that_has_just_gone_is_waited_for(postgres: PostgresServer) -> None:
    """The server keeps a lock for a moment after its owner is gone, in which a new writer once was refused."""
    dsn = postgres.new_database()
    going = PostgresIndex(dsn)
    last = Timer(0.3, going.close)
    last.start()
    PostgresIndex(dsn).close()
    last.join()


def test_settings_and_making_it_again(postgres: PostgresServer, tmp_path: Path) -> None:
    home, config = Home(tmp_path), IndexConfig(backend="postgresql", dsn=postgres.new_database())
    chain = LedgerChain(tmp_path)
    database = opener(home, config, read_only=False)()
    chain.follow(database)
    database.close()
    forget(home, config)
    database = opener(home, config, read_only=False)()
    assert indexed_height(database) == -1
    chain.follow(database)
    assert_equal_to_chain(database, chain)
    database.close()


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(IndexUnavailableError, match="PostgreSQL cannot be used"):
        PostgresIndex("host=/nonexistent dbname=qenex")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(ConfigError, match="needs the package psycopg"):
        PostgresIndex("")


def test_the_bench_measures_it_beside_sqlite(postgres: PostgresServer, tmp_path: Path) -> None:
    dsn = postgres.new_database()
    threshold = gc.get_threshold()
    try:
        reports = run_index(50, tmp_path, dsn)
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
    assert reports["postgresql"].rows == reports["sqlite"].rows >= 250
    assert min(reports["postgresql"].history_us) > 0
    left = PostgresIndex(dsn, read_only=True)
    assert left.execute("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'txs'") == [(0,)]
    left.close()
