"""`qenex config`: a home's settings and where they come from, a check of all of them, reading them again in a running node."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import HOME_HELP, home_option, node_option, parse_settings, user_root
from node.cli.output import EXIT_OK, answer, json_option, table
from node.cli.values import FilePath
from state.primitives.errors import ConfigError, HomeError

if TYPE_CHECKING:
    from node.config import Home, Settings
    from node.rpc.client import Client

_settings_option = click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="As for qenex start.")


@click.group()
def config() -> None:
    """Settings: what holds, whether it is right, read it again."""


@config.command()
@home_option(HOME_HELP)
@_settings_option
@json_option
def show(home: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Show every setting that a start would use, and where it comes from. Secrets are not shown."""
    from node.config import setting_keys, show_value

    _, found = _load(home, settings)
    rows = [(key, show_value(found.config, key), found.origins.get(key, "default")) for key in setting_keys()]
    data = {"settings": [{"setting": key, "value": value, "from": origin} for key, value, origin in rows]}
    answer(as_json, data, table(rows, ("SETTING", "VALUE", "FROM")))


@config.command()
@home_option(HOME_HELP)
@_settings_option
@json_option
def check(home: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Check a home's settings, and the files they name, as a start would; nothing is started or changed."""
    from node.clock import SystemClock
    from node.config import setting_keys
    from node.reload import check_settings

    root, found = _load(home, settings)
    check_settings(root, found, SystemClock())
    named = sum(key in found.origins for key in setting_keys())
    data = {"home": str(root.root), "settings": len(setting_keys()), "given": named}
    answer(as_json, data, [f"{root.config_file}: no mistake; {named} of {len(setting_keys())} settings are given, the others are defaults"])


@config.command()
@click.option(
    "--home", type=FilePath(file_okay=False), help="Tell the process that runs this home, by SIGHUP; its log answers."
)
@node_option
@json_option
def reload(home: Path | None, node: str, as_json: bool) -> None:
    """Have a running node read its settings again: what changed at once, and what needs a restart. A mistake changes nothing.

    Over the RPC an operator's token is needed (QENEX_TOKEN); with --home the rights of the node's user.
    """
    if home is not None:
        _tell_process(home, as_json)
        return
    from node.cli.asking import ask_node

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("config_reload")
        return found

    outcome = ask_node(node, ask)
    rows = [[row["setting"], row["old"], row["new"], "applied"] for row in outcome["applied"]]
    rows += [[row["setting"], row["old"], row["new"], "needs a restart"] for row in outcome["needs_restart"]]
    lines = table(rows, ("SETTING", "OLD", "NEW", "")) if rows else []
    lines += [f"read again: the file of {name}" for name in outcome["files"]]
    answer(as_json, outcome, [*lines, f"{outcome['unchanged']} settings are as they were"])


@config.command()
@json_option
def where(as_json: bool) -> None:
    """Show where this user's homes, keys and local networks lie, and why there."""
    from node.places import describe_move, find_place

    place = find_place()
    why = {"QENEX_HOME": "QENEX_HOME says so", "old": "it was there before", "platform": "the platform's place for data"}[place.because]
    move = describe_move()
    data = {"folder": str(place.folder), "because": place.because, "move": move}
    answer(as_json, data, [f"{place.folder} ({why})", *([move] if move else [])])


@config.command()
def reference() -> int:
    """Print docs/configuration.md: every setting and every variable of the environment."""
    from node.config_page import render_page

    click.echo(render_page(), nl=False)
    return EXIT_OK


def _load(home: Path | None, settings: tuple[str, ...]) -> tuple[Home, Settings]:
    from node.config import Home, load_settings

    root = Home(home or user_root() / "node")
    root.require()
    return root, load_settings(root.config_file, overrides=parse_settings(settings))


def _tell_process(home: Path, as_json: bool) -> None:
    from node.clock import SystemClock
    from node.config import Home, load_settings
    from node.reload import check_settings
    from node.testnet.processes import find_node

    root = Home(home)
    root.require()
    check_settings(root, load_settings(root.config_file), SystemClock())  # a mistake is answered here, not in the log
    process = find_node(home)
    if process is None:
        raise HomeError(f"no node runs {home}", hint=f"start it with: qenex start --home {home}")
    try:
        os.kill(process.pid, signal.SIGHUP)
    except PermissionError as error:
        raise ConfigError(f"process {process.pid} belongs to another user", hint="ask as that user, or over the RPC") from error
    answer(as_json, {"home": str(home), "pid": process.pid}, [f"told process {process.pid}; its log says what changed"])
