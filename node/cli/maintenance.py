"""Commands for a stopped node's data: going back. What they do is in `node.maintenance`; words, questions and progress are here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from node.cli.options import home_option, user_root
from node.cli.output import answer, json_option
from state.primitives.errors import ConfigError

HOME_HELP: Final = "The node's home directory (default: $QENEX_HOME/node or ~/.qenex/node)."


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal unless the operator said yes already. Raises `ConfigError` if there is nobody to ask, or the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} was not confirmed", hint="read the warnings, then give --yes")
    if not click.confirm(question, err=True):
        raise ConfigError("nothing was changed")


@click.command()
@home_option(HOME_HELP)
@click.option("--to", "target", type=click.IntRange(min=0), help="The height that is the last afterwards (default: one less).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def rollback(home: Path | None, target: int | None, yes: bool, as_json: bool) -> None:
    """Undo the last height of a stopped node, or every height above --to. The signer's record is never lowered."""
    from node.maintenance.opening import open_stopped
    from node.maintenance.rollback import plan_rollback, roll_back, set_logs_aside

    root = home or user_root() / "node"
    with open_stopped(root, read_only=False) as node:
        plan = plan_rollback(node, target)
        if not as_json:
            for warning in plan.warnings:
                click.echo(f"warning: {warning}", err=True)
        confirm(f"going back from height {plan.before} to {plan.target}", yes=yes)

        def show(height: int) -> None:
            if not as_json and height % 100 == 0:
                click.echo(f"height {height}", err=True)

        done = roll_back(node.store, plan.target, node.document.initial_height, show)
        aside = set_logs_aside(node.home.wal_dir, done.height)
    with open_stopped(root, read_only=True) as node:  # opening compares the root with the stored one
        if (node.store.height, node.store.root) != (plan.target, plan.app_hash):
            raise ConfigError(f"the database is at height {node.store.height} after all", hint="run: qenex doctor --deep")
    data = {
        "home": str(root),
        "from": str(done.before),
        "height": str(done.height),
        "app_hash": done.app_hash.hex().upper(),
        "logs_set_aside": [str(path) for path in aside],
        "warnings": list(plan.warnings),
    }
    lines = [f"height {done.height}, app hash {done.app_hash.hex().upper()} (was at {done.before})"]
    lines += [f"set aside: {path}" for path in aside]
    lines.append(f"next: qenex start --home {root}; the undone heights come again from its peers")
    answer(as_json, data, lines)
