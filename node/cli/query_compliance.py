"""`qenex query restrictions|powers`: what restricts an account or its holding, and who has the roles of an asset. JSON is the RPC's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import answer, json_option
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."


def _ask(node: str, method: str, hint: str, **params: str) -> Any:
    from node.cli.asking import ask_node

    async def ask(client: Client) -> Any:
        found = (await client.call(method, **params))["found"]
        if found is None:
            raise ConfigError(f"there is no {hint}")
        return found

    return ask_node(node, ask)


def _freeze_line(name: str, found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    end = f"until {found['until']} (Unix seconds)" if found["until"] else "until it is released"
    state = "" if found["in_force"] else ", which is over"
    return [f"{name}: {found['level']} by {found['by']}, {end}{state}: {found['reason']} ({found['legal_ref']})"]


@click.command()
@click.argument("account")
@click.option("--asset", help="Its holding of this asset, instead of the account as a whole.")
@node_option
@home_option(_HOME_HELP)
@json_option
def restrictions(account: str, asset: str | None, node: str, home: Path | None, as_json: bool) -> None:
    """Show what restricts ACCOUNT, or its holding of an asset: freezes, sanction, authorisation."""
    from state.primitives.ids import format_address

    address = format_address(resolve_address(account, home))
    if asset is None:
        found = _ask(node, "comp_account", f"account {account} on this chain", account=address)
    else:
        found = _ask(node, "comp_holding", f"asset {asset}", account=address, asset=asset)
    lines = [f"{name}: {value}" for name, value in found.items() if name not in ("freeze", "sanction")]
    lines += _freeze_line("freeze", found["freeze"])
    sanction = found.get("sanction")
    if sanction is not None:
        lines.append(f"sanction: {sanction['list']} by {sanction['by']}: {sanction['reason']} ({sanction['legal_ref']})")
    answer(as_json, found, lines)


@click.command()
@click.argument("code")
@node_option
@json_option
def powers(code: str, node: str, as_json: bool) -> None:
    """Show who may do what to the asset CODE: flags, roles, pause."""
    found = _ask(node, "comp_asset", f"asset {code}", asset=code)
    lines = [f"issuer: {found['issuer']}", "flags: " + ", ".join(found["flags"])]
    lines += [f"{role}: {who or 'nobody'}" for role, who in found["roles"].items()]
    answer(as_json, found, [*lines, *_freeze_line("pause", found["pause"])])


COMMANDS: Final = (restrictions, powers)
