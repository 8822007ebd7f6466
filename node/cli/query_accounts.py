"""`qenex query policy|grants|sponsorship|sponsorships`: what accounts have beside their keys, as a node knows it. Amounts: base units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import answer, json_option, table
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."


def _ask(node: str, method: str, **params: str) -> dict[str, Any]:
    from node.cli.asking import ask_node

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call(method, **params)
        return found

    return ask_node(node, ask)


def _address(name: str, home: Path | None) -> str:
    from state.primitives.ids import format_address

    return format_address(resolve_address(name, home))


@click.command()
@click.argument("account")
@node_option
@home_option(_HOME_HELP)
@json_option
def policy(account: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ACCOUNT asks of its keys: classes, times, delays, waiting changes, allow-list."""
    found = _ask(node, "account_policy", account=_address(account, home))["policy"]
    if found is None:
        raise ConfigError(f"there is no account {account} on this chain", hint="qenex tx create-account opens one")
    fields = ("key_id", "class", "weight", "kind", "valid_from", "valid_until")
    lines = table([[str(key[name]) for name in fields] for key in found["keys"]], fields)
    lines.append("thresholds: " + ", ".join(f"{name} {value}" for name, value in found["thresholds"].items()))
    settings = ("rotation_delay_s", "recovery_delay_s", "recovery_weight", "dual_from")
    lines += [f"{name}: {found[name] or ('off' if name == 'dual_from' else 0)}" for name in settings]
    for change in found["waiting"]:
        lines.append(f"{change['kind']} {change['change']} waits: to be confirmed from {change['ready']} to {change['until']}")
    if found["allowlist"] is not None:
        listed = found["allowlist"]
        lines.append("pays only: " + (", ".join(listed["counterparties"]) or "nobody"))
        lines.append(f"cosigner: {listed['cosigner'] or 'none'}")
    answer(as_json, found, lines)


@click.command()
@click.argument("account")
@node_option
@home_option(_HOME_HELP)
@json_option
def grants(account: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show the session keys and delegations of ACCOUNT, and what is used of them."""
    found = _ask(node, "account_grants", account=_address(account, home))["grants"]
    lines: list[str] = []
    for grant in found:
        lines += _grant_lines(grant)
    answer(as_json, {"account": _address(account, home), "grants": found}, lines or ["none"])


@click.command()
@click.argument("account")
@click.argument("who")
@node_option
@home_option(_HOME_HELP)
@json_option
def sponsorship(account: str, who: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ACCOUNT pays of WHO's fees."""
    asked = {"account": _address(account, home), "who": _address(who, home)}
    found = _ask(node, "account_sponsorship", **asked)["sponsorship"]
    if found is None:
        raise ConfigError(f"{account} pays no fees of {who}", hint="qenex tx account sponsor")
    answer(as_json, found, _grant_lines(found))


@click.command()
@click.argument("account")
@node_option
@home_option(_HOME_HELP)
@json_option
def sponsorships(account: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show whose fees ACCOUNT pays, and what is used of it."""
    address, found, start = _address(account, home), [], ""
    while True:
        page = _ask(node, "account_sponsorships", account=address, start=start, limit="100")
        found += page["sponsorships"]
        start = page["next"]
        if not start:
            break
    answer(as_json, {"account": address, "sponsorships": found}, [line for one in found for line in _grant_lines(one)] or ["none"])


def _grant_lines(grant: dict[str, Any]) -> list[str]:
    name = f"session key {grant['key_id']}" if grant["kind"] == "session" else f"{grant['kind']} {grant['who']}"
    lines = [f"{name}{' (has run out)' if grant['has_ended'] else ''}: until {grant['until']}, windows of {grant['window_s']} s"]
    lines.append("  operations: " + (", ".join(grant["operations"]) or "any"))
    for limit in grant["limits"]:
        spent = grant["used"]["spent"].get(limit["asset"], "0")
        lines.append(f"  {limit['asset']}: {limit['per_tx']} a transaction, {limit['per_window']} a window, of which {spent} spent")
    if grant["counterparties"]:
        lines.append("  pays: " + ", ".join(grant["counterparties"]))
    if grant["fee_limit"] != "0":
        lines.append(f"  fees: {grant['fee_limit']} a window, of which {grant['used']['fees']} spent")
    return lines


COMMANDS: Final = (policy, grants, sponsorship, sponsorships)
