"""`qenex query credential|credentials|domain|limits|view|acts`: compliance as a node knows it. JSON is the RPC's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.kyc import domain_name
from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option, table
from node.cli.values import NUMBER
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."
_AMOUNTS: Final = ("per_tx", "in_max", "in", "in_left", "out_max", "out", "out_left", "max_balance")


def _ask(node: str, method: str, **params: str) -> dict[str, Any]:
    from node.cli.asking import ask_node

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call(method, **params)
        return found

    asked: dict[str, Any] = ask_node(node, ask)
    return asked


def _address(text: str, home: Path | None) -> str:
    from state.primitives.ids import format_address

    return format_address(resolve_address(text, home))


@click.command()
@click.argument("account")
@node_option
@home_option(_HOME_HELP)
@json_option
def credentials(account: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ACCOUNT bears: credentials, tier, jurisdiction."""
    found = _ask(node, "kyc_credentials", account=_address(account, home))
    fields = ("issuer", "type", "tier", "jurisdiction", "expires", "valid")
    lines = [f"tier: {found['tier']}", f"jurisdiction: {found['jurisdiction'] or 'none known'}", f"head: {found['head']}"]
    lines += table([[str(row[name]) for name in fields] for row in found["credentials"]], fields)
    answer(as_json, found, lines)


@click.command()
@click.argument("subject")
@click.argument("issuer")
@click.argument("kind", metavar="TYPE")
@node_option
@home_option(_HOME_HELP)
@json_option
def credential(subject: str, issuer: str, kind: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ISSUER says of SUBJECT in a credential of TYPE, accepted or not."""
    who = {"subject": _address(subject, home), "issuer": _address(issuer, home)}
    found = _ask(node, "kyc_credential", **who, type=kind)["credential"]
    if found is None:
        raise ConfigError(f"{issuer} has issued no credential {kind} to {subject}", hint="qenex tx kyc issue")
    answer(as_json, found, [f"{name}: {value}" for name, value in found.items()])


@click.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--member", default="", metavar="ACCOUNT", help="Ask whether this account is a member now.")
@node_option
@home_option(_HOME_HELP)
@json_option
def domain(name: str, member: str, node: str, home: Path | None, as_json: bool) -> int:
    """Show what DOMAIN accepts; with --member exit 0 only for a member."""
    who = _address(member, home) if member else ""
    found = _ask(node, "kyc_domain", domain=domain_name(name), account=who)
    if found["domain"] is None:
        raise ConfigError(f"there is no domain {name}", hint="qenex tx domain set")
    rows = found["domain"]["credentials"]
    fields = ("issuer", "type", "min_tier")
    lines = [f"owner: {found['domain']['owner']}", *table([[str(row[n]) for n in fields] for row in rows], fields)]
    membership = found["membership"]
    if membership is not None:
        word = "is a member" if membership["member"] else f"is no member: {membership['code']} {membership['code_name']}"
        lines.append(f"{member} {word}")
    answer(as_json, found, lines)
    return EXIT_OK if membership is None or membership["member"] else EXIT_FAILED


@click.command()
@click.argument("account")
@click.argument("asset")
@node_option
@home_option(_HOME_HELP)
@json_option
def limits(account: str, asset: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show the limits that count for what ACCOUNT moves of ASSET, and what is left of them."""
    from node.cli.amounts import format_amount

    found = _ask(node, "comp_limits", account=_address(account, home), asset=asset)["limits"]
    if found is None:
        raise ConfigError(f"there is no asset {asset}", hint="asset codes are upper case, such as QNX")
    lines = [found["problem"]] if found["problem"] else []
    for row in found["limits"]:
        lines.append(f"of the {row['scope']}, counted on {row['counted_on']}, window {row['window_s']} s")
        lines += [f"  {name}: {format_amount(int(row[name]), found['scale'])} {asset}" for name in _AMOUNTS if row[name]]
    answer(as_json, found, lines or ["no limits"])


@click.command()
@click.argument("regulator")
@click.option("--account", default="", metavar="ACCOUNT", help="May it see this account?")
@click.option("--asset", default="", help="May it see this asset?")
@node_option
@home_option(_HOME_HELP)
@json_option
def view(regulator: str, account: str, asset: str, node: str, home: Path | None, as_json: bool) -> int:
    """Say whether REGULATOR may see an account, an asset, or everything; exit 0 only if so."""
    who = _address(account, home) if account else ""
    found = _ask(node, "comp_view", regulator=_address(regulator, home), account=who, asset=asset)
    what = account or asset or "everything"
    answer(as_json, found, [f"{regulator} {'may' if found['may_view'] else 'may not'} see {what}"])
    return EXIT_OK if found["may_view"] else EXIT_FAILED


@click.command()
@click.option("--start", type=NUMBER, default=0, show_default=True, help="Number of the first one.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@node_option
@json_option
def acts(start: int, limit: int, node: str, as_json: bool) -> None:
    """Show the privileged acts in order."""
    found = _ask(node, "comp_acts", start=str(start), limit=str(limit))
    fields = ("act", "operation", "actor", "subject", "asset", "height")
    answer(as_json, found, table([[str(row[name]) for name in fields] for row in found["acts"]], fields))


COMMANDS: Final = (credential, credentials, domain, limits, view, acts)
