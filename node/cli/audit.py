"""`qenex audit state`: the audit of states that stand still. Auditing is `state.audit`'s, reading `node.maintenance.diff`'s.

The other commands of the group are about the audit log: `node.cli.audit_log`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.audit_log import COMMANDS as LOG_COMMANDS
from node.cli.options import user_root
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option
from node.cli.values import NUMBER, FilePath
from state.primitives.codec import Value
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.maintenance.diff import Side

PROBLEMS_SHOWN: Final = 100
_SHARDS_STEP: Final = 64


@click.group()
def audit() -> None:
    """The audit log of a node, and whole states against the rules of the ledger."""


for _command in LOG_COMMANDS:
    audit.add_command(_command)


@audit.command()
@click.argument("paths", nargs=-1, type=FilePath(exists=True))
@click.option("--height", type=NUMBER, help="Of which height databases are read (default: the last).")
@json_option
def state(paths: tuple[Path, ...], height: int | None, as_json: bool) -> int:
    """Find every unit of every asset again, and check every module's sums: homes of stopped nodes, databases, exported states.

    Several states of one height must also have one app hash. Exit code 0: clean, 1: something is wrong.
    """
    from node.maintenance.diff import open_side

    states: list[dict[str, Any]] = []
    lines: list[str] = []
    for path in paths or (user_root() / "node",):
        with ExitStack() as stack:
            found, said = _audit(open_side(path, height, stack), as_json)
        states.append(found)
        lines += said
    hashes: dict[str, set[str]] = {}
    for found in states:
        hashes.setdefault(found["height"], set()).add(found["app_hash"])
    differing = sorted((at for at, names in hashes.items() if len(names) > 1), key=int)
    lines += [f"height {at}: the app hashes differ" for at in differing]
    is_clean = not differing and not any(found["problems"] for found in states)
    lines.append("clean" if is_clean else "not clean")
    answer(as_json, {"clean": is_clean, "states": states, "differing_heights": differing}, lines)
    if height is None:  # the audit of an older height says nothing of the state that the node goes on from
        for path, found in zip(paths or (user_root() / "node",), states, strict=True):
            _note(path, found)
    return EXIT_OK if is_clean else EXIT_FAILED


def _note(path: Path, found: dict[str, Any]) -> None:
    """Leave a word in a home, from which its node says how old its last audit is. Raises `KeyFileError` if it cannot be written."""
    from node.audit.commands import record_command
    from node.config import Home
    from node.telemetry.audit_note import AuditNote, write_audit_note

    home = Home(path)
    if home.config_file.is_file() and home.data_dir.is_dir():
        clean = not found["problems"]
        record_command(home, "state.audit", height=int(found["height"]), app_hash=found["app_hash"], clean=clean)
        write_audit_note(home, AuditNote(time_s=int(time.time()), height=found["height"], app_hash=found["app_hash"], clean=clean))


def _audit(side: Side, as_json: bool) -> tuple[dict[str, Any], list[str]]:
    """One state as JSON and as lines."""
    from state.audit import audit_state

    if side.is_partial:
        raise ConfigError(f"{side.name} holds only the records that its height changed", hint="audit the home it came from")
    done = audit_state(_records(side, as_json))
    lines = [f"{side.name}: height {side.height}, app hash {side.app_hash.hex().upper()}, {done.records} records"]
    lines += [f"  {code}: supply {supply}, found {done.holdings.get(code, 0)}" for code, supply in done.supplies.items()]
    lines += [f"  {problem}" for problem in done.problems[:PROBLEMS_SHOWN]]
    if len(done.problems) > PROBLEMS_SHOWN:
        lines.append(f"  and {len(done.problems) - PROBLEMS_SHOWN} more")
    data = {
        **side.to_json(),
        "records": done.records,
        "supplies": {code: str(supply) for code, supply in done.supplies.items()},
        "holdings": {code: str(total) for code, total in done.holdings.items()},
        "problems": list(done.problems),
    }
    return data, lines


def _records(side: Side, as_json: bool) -> Iterator[tuple[bytes, Value]]:
    from state.schema import decode_record
    from state.tree import SHARDS

    for shard in range(SHARDS):
        if shard % _SHARDS_STEP == 0 and not as_json:
            click.echo(f"{side.name}: {shard * 100 // SHARDS} %", err=True)
        for key, value in side.read(shard).items():
            if value is not None:
                yield key, decode_record(key, value)
