"""`qenex reindex` and `qenex index`: making the index of history anew, how far it is, and carrying its tables away."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.options import HOME_HELP, home_option, user_root
from node.cli.output import answer, json_option
from node.cli.values import NUMBER, NUMBER_MAX, FilePath

if TYPE_CHECKING:
    from node.config import Home
    from node.config_sections import Config

TABLES: Final = ("movements", "txs", "events", "swaps", "evidence", "supplies", "holdings", "blocks")


@click.command()
@home_option(HOME_HELP)
@json_option
def reindex(home: Path | None, as_json: bool) -> None:
    """Delete a stopped node's index of history and make it again from its blocks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from node.audit.commands import recorded
    from node.config import load_config
    from node.indexer.access import forget, opener
    from node.indexer.queries import first_height
    from node.indexer.writer import IndexWriter
    from node.maintenance.opening import open_stopped

    root = home or user_root() / "node"
    with open_stopped(root, read_only=True) as node:
        settings = load_config(node.home.config_file).index
        open_index = opener(node.home, settings, read_only=False)
        with recorded(node.home, "index.remake", backend=settings.backend):
            forget(node.home, settings)
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with (
                closing(open_index()) as database,
                closing(node.store.snapshot()) as snapshot,
                Progress(*columns, console=Console(stderr=True), disable=as_json) as progress,
            ):
                task = progress.add_task("indexing", total=node.store.height)
                writer = IndexWriter(database, node.document.hash.hex())
                height = writer.follow(snapshot, lambda: None, lambda done, of: progress.update(task, completed=done))
                progress.update(task, completed=height)
                earliest = first_height(database)
                counts = {table: int(database.execute(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in ("txs", "events", "movements")}
    data = {"backend": settings.backend, "indexed_height": str(height), "earliest": str(earliest), **counts}
    lines = [f"indexed up to height {height}" + (f", from block {earliest} on" if earliest > 1 else "")]
    answer(as_json, data, [*lines, *(f"{count} {table}" for table, count in counts.items())])


@click.group()
def index() -> None:
    """The index of history beside a node's chain. For a running node's own answers: qenex query history."""


@index.command()
@home_option(HOME_HELP)
@json_option
def status(home: Path | None, as_json: bool) -> None:
    """Show how far the index of a home is, whether its node runs or not."""
    from node.indexer.access import opener
    from node.indexer.queries import first_height, gaps, indexed_height

    at, config = _read_home(home)
    with closing(opener(at, config.index, read_only=True)()) as database, database.transaction():
        height, earliest, missing = indexed_height(database), first_height(database), gaps(database)
    data = {
        "backend": config.index.backend,
        "indexed_height": str(max(0, height)),
        "earliest": str(earliest),
        "gaps": [{"first": str(first), "last": str(last)} for first, last in missing],
    }
    lines = [f"indexed up to height {max(0, height)}, from block {earliest} on"]
    answer(as_json, data, [*lines, *(f"blocks {first} to {last} were never here" for first, last in missing)])


@index.command("export")
@home_option(HOME_HELP)
@click.option("--table", type=click.Choice(TABLES), required=True)
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv", show_default=True)
@click.option("--out", "file", type=FilePath(dir_okay=False), required=True, help="The file to write.")
@click.option("--from", "first", type=NUMBER, default=0, help="The first height.")
@click.option("--to", "last", type=NUMBER, default=NUMBER_MAX, help="The last height [default: all].", show_default=False)
@json_option
def export_command(home: Path | None, table: str, kind: str, file: Path, first: int, last: int, as_json: bool) -> None:
    """Write a table of a home's index into a file, whether its node runs or not."""
    from node.indexer.access import opener
    from node.indexer.export import export

    at, config = _read_home(home)
    with closing(opener(at, config.index, read_only=True, unhurried=True)()) as database:
        count = export(database, table, kind, file, (first, last))
    data: dict[str, Any] = {"table": table, "format": kind, "file": str(file), "rows": count, "bytes": file.stat().st_size}
    answer(as_json, data, [f"{count} rows of {table} written to {file}"])


def _read_home(home: Path | None) -> tuple[Home, Config]:
    from node.config import Home, load_config

    at = Home(home or user_root() / "node")
    at.require()
    return at, load_config(at.config_file)
