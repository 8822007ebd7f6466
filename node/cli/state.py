"""`qenex state diff`: which records of two states differ. Comparing is `node.maintenance.diff`'s."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option
from node.cli.values import NUMBER, POSITIVE, FilePath

RECORDS_SHOWN: Final = 1_000


@click.group()
def state() -> None:
    """Compare the states of two nodes."""


@state.command()
@click.argument("a", type=FilePath(exists=True))
@click.argument("b", type=FilePath(exists=True))
@click.option("--height", type=NUMBER, help="Of which height databases are read (default: that of the other, or the last).")
@click.option("--max", "records_max", type=POSITIVE, default=RECORDS_SHOWN, show_default=True, help="Records to show at most.")
@json_option
def diff(a: Path, b: Path, height: int | None, records_max: int, as_json: bool) -> int:
    """Show the records in which two states differ: homes of stopped nodes, databases, exported states, bundles of a divergence.

    Exit code 0: the same, 1: different.
    """
    from node.maintenance.diff import compare, height_of, open_side

    def show(shard: int) -> None:
        if not as_json:
            click.echo(f"shard {shard:02x} differs", err=True)

    with ExitStack() as stack:
        one = open_side(a, height_of(b) if height is None else height, stack)
        other = open_side(b, height_of(a) if height is None else height, stack)
        outcome = compare(one, other, records_max, show)
        lines = [
            f"{name}: {side.name}, height {side.height}, app hash {side.app_hash.hex().upper()}"
            for name, side in (("a", one), ("b", other))
        ]
        if one.height != other.height:
            lines.append(f"the heights differ: {one.height} and {other.height}")
        lines += [difference.line() for difference in outcome.records]
        if outcome.is_cut:
            lines.append(f"and more; --max shows more than {records_max}")
        count = len(outcome.shards)
        lines.append("the same" if outcome.is_same else f"different: {len(outcome.records)} records shown, {count} of 256 shards")
        data = {
            "same": outcome.is_same,
            "a": one.to_json(),
            "b": other.to_json(),
            "shards": [f"{shard:02x}" for shard in outcome.shards],
            "records": [difference.to_json() for difference in outcome.records],
            "truncated": outcome.is_cut,
        }
    answer(as_json, data, lines)
    return EXIT_OK if outcome.is_same else EXIT_FAILED
