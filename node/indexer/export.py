"""Writing a table of the index to a file for other programs: CSV, JSON Lines, Parquet. Row by row, so size does not matter.

Amounts are decimal strings of base units (they may have 193 digits), addresses and hashes as everywhere, times RFC 3339. A file appears
under its name when it is whole.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from node.indexer.amounts import decode_amount
from node.indexer.database import IndexDatabase
from node.indexer.rows_of_block import decode_event
from node.indexer.schema import TABLES, columns_of
from node.rpc.shapes import time_text
from state.primitives.errors import ConfigError, HomeError
from state.primitives.ids import format_address

EXPORTED: Final = ("movements", "txs", "events", "swaps", "evidence", "supplies", "holdings", "blocks")
FORMATS: Final = ("csv", "jsonl", "parquet")
_ROWS_AT_ONCE: Final = 10_000
_AMOUNTS: Final = ("amount", "amount_a", "amount_b", "fee", "supply", "power")
_ADDRESSES: Final = ("account", "counterparty", "sender", "payer")
_HASHES: Final = ("hash", "proposer", "validator")
_DIRECTIONS: Final = {1: "in", -1: "out", 0: "none"}
_NAMES: Final = {"idx": "index", "seq": "sequence"}

Writer = Callable[[Path, tuple[str, ...], Iterator[tuple[Any, ...]]], int]


def export(database: IndexDatabase, table: str, kind: str, file: Path, heights: tuple[int, int]) -> int:
    """Write the rows of a table from one height to another, in order; how many. Raises `HomeError`, `ConfigError`."""
    columns = columns_of(table)
    key = TABLES[table][1]
    where = "WHERE height BETWEEN ? AND ?" if "height" in columns else ""
    names = tuple(_NAMES.get(column, column).removesuffix("_ns") for column in columns)
    part = file.with_name(file.name + ".part")
    try:
        with database.transaction():
            rows = database.rows(f"SELECT {', '.join(columns)} FROM {table} {where} ORDER BY {key}", heights if where else ())
            count = _WRITERS[kind](part, names, _shown(columns, rows))
        part.replace(file)
    except OSError as error:
        raise HomeError(f"cannot write {file}: {error.strerror}", hint="check the folder and its free space") from error
    finally:
        with suppress(OSError):  # what went wrong first is what the operator must hear of
            part.unlink(missing_ok=True)
    return count


def _shown(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    shows = [_show_of(column) for column in columns]
    kind = columns.index("kind") if "data" in columns else -1
    for row in rows:
        shown = [show(value) for show, value in zip(shows, row, strict=True)]
        if kind >= 0:
            shown[-1] = json.dumps(decode_event(row[kind], row[-1]), ensure_ascii=False)  # `data` is the last column
        yield tuple(shown)


def _show_of(column: str) -> Callable[[Any], Any]:
    if column in _AMOUNTS:
        return lambda value: str(decode_amount(bytes(value)))
    if column in _ADDRESSES:
        return lambda value: format_address(bytes(value)) if value else ""
    if column in _HASHES:
        return lambda value: bytes(value).hex().upper()
    if column.endswith("time_ns"):
        return time_text
    if column == "direction":
        return lambda value: _DIRECTIONS[value]
    return lambda value: value


def _write_csv(file: Path, names: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> int:
    count = 0
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(names)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count


def _write_jsonl(file: Path, names: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> int:
    count = 0
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            found = dict(zip(names, row, strict=True))
            if "data" in found:
                found["data"] = json.loads(found["data"])
            out.write(json.dumps(found, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_parquet(file: Path, names: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigError("Parquet needs the package pyarrow", hint="pip install 'qenex-node[parquet]', or --format csv") from error
    count = 0
    schema = pa.schema([(name, pa.int64() if name in _NUMBERS else pa.string()) for name in names])
    with pq.ParquetWriter(file, schema) as out:
        while piece := list(islice(rows, _ROWS_AT_ONCE)):
            columns = [pa.array(column, type=field.type) for column, field in zip(zip(*piece, strict=True), schema, strict=True)]
            out.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(piece)
    return count


_NUMBERS: Final = ("height", "index", "sequence", "code", "events", "txs", "sells_a", "offence_height")
_WRITERS: Final[dict[str, Writer]] = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}
