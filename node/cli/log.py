"""`qenex log level`: what each module of a running node logs, and changing it while it runs. A token of an operator is needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import node_option
from node.cli.output import answer, json_option, table
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_UNITS = {"s": 1, "m": 60, "h": 3_600}


@click.group()
def log() -> None:
    """What a running node logs."""


@log.command()
@click.argument("module", required=False)
@click.argument("level", required=False)
@click.option("--for", "duration", help="Go back by itself after this time, such as 90s, 10m or 2h.")
@node_option
@json_option
def level(module: str | None, level: str | None, duration: str | None, node: str, as_json: bool) -> None:
    """Show the levels, or change the LEVEL of a MODULE (or of all); the level "default" is what the settings say."""
    from node.cli.asking import ask_node
    from node.telemetry.levels import ALL, AS_SET, check_level

    for_s = 0 if duration is None else parse_duration(duration)
    check_level(ALL if module is None else module, AS_SET if level is None else level, for_s)
    if level is None and duration is not None:
        raise ConfigError("--for needs a MODULE and a LEVEL", hint="such as: qenex log level consensus debug --for 10m")

    async def ask(client: Client) -> list[dict[str, Any]]:
        if level is None:
            found = await client.call("log_levels")
        else:
            found = await client.call("set_log_level", module=module, level=level, for_s=str(for_s))
        rows: list[dict[str, Any]] = found["levels"]
        return rows

    rows = [row for row in ask_node(node, ask) if module in (None, ALL, row["module"])]
    shown = [[str(row[name]) for name in ("module", "level", "by", "until", "about")] for row in rows]
    answer(as_json, {"levels": rows}, table(shown, ("MODULE", "LEVEL", "BY", "UNTIL", "WHAT")))


def parse_duration(text: str) -> int:
    """Seconds of `90s`, `10m`, `2h`. Raises `ConfigError`."""
    match = re.fullmatch(r"([0-9]{1,6})([smh])", text)
    if match is None or int(match.group(1)) == 0:
        raise ConfigError(f"--for {text}: a whole number and s, m or h is needed", hint="such as 90s, 10m or 2h")
    return int(match.group(1)) * _UNITS[match.group(2)]
