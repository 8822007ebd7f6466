"""`qenex testnet`: a local network of real validator processes. The work is `node.testnet`'s."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import NETWORK_HELP, default_testnet_home, home_option, remember_network
from node.cli.output import answer, json_option
from state.primitives.errors import ConfigError
from state.primitives.limits import GENESIS_ACCOUNTS_MAX, VALIDATORS_MAX

if TYPE_CHECKING:
    from node.testnet.network import UpResult

_ACCOUNTS = click.IntRange(0, GENESIS_ACCOUNTS_MAX)
_NODES = click.IntRange(0, VALIDATORS_MAX)  # fewer may be allowed: the network's maker says so
_PORT = click.IntRange(0, 65_535)


@click.group()
def testnet() -> None:
    """A local network of real validator processes."""


def network_options(command: Callable[..., None]) -> Callable[..., None]:
    """What a network is made with, as options of a command."""
    for option in (
        click.option("--fresh", is_flag=True, help="Remove the network that is in the directory first."),
        click.option("--accounts", type=_ACCOUNTS, help="Funded accounts for `qenex bench load` [default: 0]."),
        click.option("--block-interval", help="Seconds between blocks, 0 to 60, such as 0.2 [default: 1]."),
        click.option("--base-port", type=_PORT, help="Port of node 0; others follow in steps of 10 [default: 26656]."),
        home_option(NETWORK_HELP),
        click.option("--full-nodes", type=_NODES, help="How many nodes that follow and do not vote [default: 0]."),
        click.option("--validators", type=_NODES, help="How many validators [default: 4]."),
    ):
        command = option(command)
    return command


@testnet.command()
@network_options
@click.option("--hosts", help="Names of the hosts that the nodes will run on, one each, with commas: validators first, then full nodes.")
@json_option
def init(home: Path | None, fresh: bool, as_json: bool, hosts: str | None, **named: Any) -> None:
    """Make the homes, keys and genesis of a network and start nothing; `qenex testnet up` or `qenex start --home` does."""
    from node.testnet.network import make
    from node.testnet.screen import RichScreen, SilentScreen

    root = home or default_testnet_home()
    requested = _requested(**named) | ({} if hosts is None else {"hosts": tuple(hosts.split(","))})
    manifest = make(root, requested, SilentScreen() if as_json else RichScreen(), fresh=fresh)
    remember_network(manifest.genesis_hash, root)
    nodes = [{"home": str(root / entry.home), "rpc": f"http://{entry.rpc}", "node_id": entry.node_id} for entry in manifest.nodes]
    data = {"home": str(root), "chain_id": manifest.chain_id, "genesis_hash": manifest.genesis_hash, "nodes": nodes}
    answer(as_json, data, [f"{node['home']}  {node['rpc']}" for node in nodes])


@testnet.command()
@network_options
@click.option("--detach", is_flag=True, help="Leave the nodes running and return.")
@json_option
def up(home: Path | None, fresh: bool, detach: bool, as_json: bool, **named: Any) -> None:
    """Start a network and follow it; Ctrl-C stops every process. A network that exists is started again."""
    from node.testnet.network import up as bring_up
    from node.testnet.screen import RichScreen, SilentScreen

    root = home or default_testnet_home()
    screen = SilentScreen() if as_json else RichScreen()

    def on_up(result: UpResult) -> None:
        remember_network(result.manifest.genesis_hash, root)
        if as_json:
            answer(True, _to_json(root, result), ())
        elif detach:
            screen.note(f"running in the background; stop it with: qenex testnet down{_home_text(home)}")
        else:
            screen.note("Ctrl-C stops the network")

    try:
        bring_up(root, _requested(**named), screen, detach=detach, fresh=fresh, on_up=on_up)
    finally:
        screen.close()
    if not detach and not as_json:
        click.echo("every node was stopped")


@testnet.command()
@home_option(NETWORK_HELP)
@json_option
def status(home: Path | None, as_json: bool) -> None:
    """Show the nodes, those in step at one common height."""
    from node.testnet.network import status as get_status

    statuses = get_status(home or default_testnet_home())
    if as_json:
        answer(True, {"nodes": [one.to_json() for one in statuses]}, ())
        return
    from node.testnet.screen import make_console, status_table

    make_console().print(status_table(statuses))


@testnet.command()
@home_option(NETWORK_HELP)
@json_option
def down(home: Path | None, as_json: bool) -> None:
    """Stop every node of the network; its data stays."""
    from node.testnet.network import down as take_down

    stopped = take_down(home or default_testnet_home())
    answer(as_json, {"stopped": stopped}, [f"stopped {len(stopped)} nodes" if stopped else "no node was running"])


def _requested(
    validators: int | None, full_nodes: int | None, base_port: int | None, accounts: int | None, block_interval: str | None
) -> dict[str, Any]:
    """The fields of `NetworkOptions` that were named."""
    fields = {
        "validators": validators,
        "full_nodes": full_nodes,
        "base_port": base_port,
        "accounts": accounts,
        "block_interval_ms": None if block_interval is None else _milliseconds(block_interval),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _milliseconds(text: str) -> int:
    """Decimal seconds as whole milliseconds, exactly."""
    from node.cli.amounts import parse_amount

    try:
        interval_ms = parse_amount(text, 3, "seconds")
    except ConfigError:
        interval_ms = -1
    if not 0 <= interval_ms <= 60_000:
        raise ConfigError(f"--block-interval {text}: 0 to 60 seconds, at most three decimals")
    return interval_ms


def _home_text(home: Path | None) -> str:
    return "" if home is None else f" --home {home}"


def _to_json(root: Path, result: UpResult) -> dict[str, Any]:
    return {
        "home": str(root),
        "chain_id": result.manifest.chain_id,
        "genesis_hash": result.manifest.genesis_hash,
        "nodes": [one.to_json() for one in result.statuses],
        "demonstration": None if result.demonstration is None else result.demonstration.to_json(),
    }
