"""Exported tables: Parquet read back is what the index has; without its package there is a clear line."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from node.indexer.database import SqliteIndex
from node.indexer.export import EXPORTED, export
from node.indexer.schema import TABLES
from state.primitives.errors import ConfigError, HomeError
from tests.node.indexer.ledger_chain import LedgerChain

EVERYTHING = (0, (1 << 63) - 1)


@pytest.fixture
def database(tmp_path: Path) -> SqliteIndex:
    chain = LedgerChain(tmp_path, 5)
    chain.grow(20, 60)
    found = SqliteIndex(tmp_path / "index.sqlite")
    chain.follow(found)
    return found


def test_parquet(database: SqliteIndex, tmp_path: Path) -> None:
    if find_spec("pyarrow") is None:
        pytest.skip("the optional package pyarrow is not installed")
    import pyarrow.parquet as pq

    for table in EXPORTED:
        file = tmp_path / f"{table}.parquet"
        count = export(database, table, "parquet", file, EVERYTHING)
        found: Any = pq.read_table(file)
        assert found.num_rows == count == database.execute(f"SELECT COUNT(*) FROM {table}")[0][0]
        assert found.num_columns == len(TABLES[table][0])
    found = pq.read_table(tmp_path / "movements.parquet").to_pylist()
    assert {type(found[0]["height"]), type(found[0]["amount"])} == {int, str}


def test_without_the_package(database: SqliteIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="needs the package pyarrow"):
        export(database, "txs", "parquet", tmp_path / "txs.parquet", EVERYTHING)


def test_a_file_appears_when_it_is_whole(database: SqliteIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_time_ns: int) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("node.indexer.export.time_text", fail)
    with pytest.raises(HomeError, match="No space left"):
        export(database, "txs", "csv", tmp_path / "txs.csv", EVERYTHING)
    assert not list(tmp_path.glob("txs.csv*"))
