"""`qenex tx audit anchor` and `qenex query anchors`: anchors of audit logs on the chain. JSON is the RPC's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.kyc import checked, read_hash_32, send
from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import answer, json_option, table
from node.cli.sending import common
from node.cli.values import NUMBER, POSITIVE

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."


@click.group(name="audit")
def audit() -> None:
    """Anchors of audit logs."""


@audit.command()
@click.option("--log", required=True, metavar="NAME", help="Name of the log; the account has its own names.")
@click.option("--entries", type=POSITIVE, required=True, help="How many entries it has: more than before.")
@click.option("--head", required=True, metavar="HEX", help="Hash of the last one, 64 hex digits.")
@common
def anchor(sending: Any, log: str, entries: int, head: str) -> Any:
    """Write down in the ledger what a log's last hash is; qenex audit anchor does it for a node's own log."""
    from state.modules.audit import check_log_name

    return send(sending, "audit.anchor", {"log": checked(check_log_name, log), "entries": entries, "head": read_hash_32(head, "--head")})


@click.command()
@click.argument("account")
@click.option("--log", default="", metavar="NAME", help="The anchors of this log [default: which logs there are].")
@click.option("--start", type=NUMBER, default=0, show_default=True, help="Number of the first anchor.")
@click.option("--limit", type=click.IntRange(1, 100), default=30, show_default=True)
@node_option
@home_option(_HOME_HELP)
@json_option
def anchors(account: str, log: str, start: int, limit: int, node: str, home: Path | None, as_json: bool) -> None:
    """Show which audit logs ACCOUNT has anchored, and with --log the anchors of one."""
    from node.cli.asking import ask_node
    from state.primitives.ids import format_address

    params = {"account": format_address(resolve_address(account, home)), "log": log, "start": str(start), "limit": str(limit)}

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("audit_anchors", **params)
        return found

    found = ask_node(node, ask)
    fields = ("number", "entries", "head", "height", "time") if log else ("log", "anchors", "entries")
    rows = found["anchors"] if log else found["logs"]
    answer(as_json, found, table([[str(row[name]) for name in fields] for row in rows], fields))
