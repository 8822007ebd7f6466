"""`qenex query supply|rate|dealer|dealers|redemption|redemptions|credit-line|credit-lines`: central banks as a node knows them.

Text shows display units; JSON is the RPC's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import answer, json_option, table
from node.cli.values import NUMBER
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."
_PPM_DIGITS: Final = 4  # a millionth as a percentage has four decimals


def _ask(node: str, ask: Any) -> Any:
    from node.cli.asking import ask_node

    return ask_node(node, ask)


async def _read_scale(client: Client, asset: str) -> int:
    found = await client.asset(asset)
    if found is None:
        raise ConfigError(f"there is no asset {asset}", hint="asset codes are upper case, such as EUR")
    return int(found["scale"])


def _units(found: dict[str, Any], names: tuple[str, ...], scale: int, asset: str) -> list[str]:
    from node.cli.amounts import format_amount

    lines = []
    for name in names:
        amount = int(found[name])
        sign = "-" if amount < 0 else ""
        lines.append(f"{name.replace('_', ' ')}: {sign}{format_amount(abs(amount), scale)} {asset}")
    return lines


def _percent(ppm: int) -> str:
    from node.cli.amounts import format_amount

    return format_amount(ppm, _PPM_DIGITS) + " %"


def _fetch(node: str, asset: str, method: str, name: str, missing: str, hint: str, **params: str) -> tuple[Any, int]:
    """What a method knows, and the asset's scale. Raises `ConfigError` if it knows nothing."""

    async def ask(client: Client) -> tuple[Any, int]:
        scale = await _read_scale(client, asset)
        found = (await client.call(method, asset=asset, **params))[name]
        if found is None:
            raise ConfigError(missing, hint=hint)
        return found, scale

    asked: tuple[Any, int] = _ask(node, ask)
    return asked


@click.command()
@click.argument("asset")
@node_option
@json_option
def supply(asset: str, node: str, as_json: bool) -> None:
    """Show the supply of ASSET and what it is made of."""
    found, scale = _fetch(node, asset, "cb_supply", "supply", f"there is no asset {asset}", "")
    names = ("supply", "issued", "redeemed", "accrued", "drawn", "other")
    answer(as_json, found, [*_units(found, names, scale, asset), f"issuer: {found['issuer']}"])


@click.command()
@click.argument("asset")
@node_option
@json_option
def rate(asset: str, node: str, as_json: bool) -> None:
    """Show the policy rate of ASSET, what is announced, what dealers are owed."""
    found, scale = _fetch(node, asset, "cb_rate", "rate", f"there is no asset {asset}", "")
    lines = [f"rate: {_percent(found['rate_ppm'])} a year"]
    if found["next_rate_ppm"] is not None:
        lines.append(f"announced: {_percent(found['next_rate_ppm'])} from {found['next_rate_from']} (Unix seconds)")
    lines += [f"periods accrued: {found['period']}", *_units(found, ("owed", "accrued"), scale, asset)]
    lines += [f"reserve ratio of tier {row['tier']}: {_percent(row['ratio_ppm'])}" for row in found["reserve_ratios"]]
    answer(as_json, found, lines)


_DEALER_AMOUNTS: Final = (
    *("balance", "held", "required", "available", "liabilities", "interest_owed"),
    *("issue_max", "window_max", "window_used"),
)


@click.command()
@click.argument("account")
@click.argument("asset")
@node_option
@home_option(_HOME_HELP)
@json_option
def dealer(account: str, asset: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show ACCOUNT as a dealer of ASSET: terms, reserve, interest."""
    from state.primitives.ids import format_address

    address = format_address(resolve_address(account, home))
    missing, hint = f"{account} is not a dealer of {asset}", "qenex query dealers lists them"
    found, scale = _fetch(node, asset, "cb_dealer", "dealer", missing, hint, account=address)
    lines = [f"dealer: {found['account']}", f"active: {found['active']}", f"tier: {found['tier']}"]
    answer(as_json, found, [*lines, *_units(found, _DEALER_AMOUNTS, scale, asset), f"window: {found['window_s']} s"])


@click.command()
@click.argument("asset")
@node_option
@json_option
def dealers(asset: str, node: str, as_json: bool) -> None:
    """Show the dealers of ASSET; amounts in base units."""
    found, _ = _fetch(node, asset, "cb_dealers", "dealers", "", "")
    fields = ("account", "tier", "active", "balance", "required", "interest_owed")
    answer(as_json, {"asset": asset, "dealers": found}, table([[str(row[name]) for name in fields] for row in found], fields))


@click.command()
@click.argument("asset")
@click.argument("request", type=NUMBER)
@node_option
@json_option
def redemption(asset: str, request: int, node: str, as_json: bool) -> None:
    """Show the open redemption number REQUEST of ASSET."""
    missing, hint = f"there is no open redemption {request} of {asset}", "qenex query redemptions lists them"
    found, scale = _fetch(node, asset, "cb_redemption", "redemption", missing, hint, request=str(request))
    rest = ("dealer", "ref", "since", "expires")
    answer(as_json, found, [*_units(found, ("amount",), scale, asset), *(f"{name}: {found[name]}" for name in rest)])


@click.command()
@click.argument("asset")
@click.option("--start", type=NUMBER, default=0, show_default=True, help="Number of the first one.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@node_option
@json_option
def redemptions(asset: str, start: int, limit: int, node: str, as_json: bool) -> None:
    """Show the open redemptions of ASSET; amounts in base units."""
    found, _ = _fetch(node, asset, "cb_redemptions", "redemptions", "", "", start=str(start), limit=str(limit))
    fields = ("request", "dealer", "amount", "expires", "ref")
    lines = table([[str(row[name]) for name in fields] for row in found["redemptions"]], fields)
    answer(as_json, found, [*lines, f"asked for in all: {found['requests']}"])


@click.command(name="credit-line")
@click.argument("account")
@click.argument("asset")
@node_option
@home_option(_HOME_HELP)
@json_option
def credit_line(account: str, asset: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show the credit line of ACCOUNT in ASSET: limit, debt, since when, collateral."""
    from state.primitives.ids import format_address

    address = format_address(resolve_address(account, home))
    missing, hint = f"{account} has no credit line in {asset}", "qenex tx cb overdraft"
    found, scale = _fetch(node, asset, "cb_credit_line", "credit_line", missing, hint, account=address)
    lines = [*_units(found, ("limit", "debt", "left"), scale, asset)]
    if found["owes_since"]:
        lines.append(f"owes since: {found['owes_since']} (Unix seconds)")
    lines += [f"collateral: {row['amount']} base units of {row['asset']}" for row in found["collateral"]]
    answer(as_json, found, lines)


@click.command(name="credit-lines")
@click.argument("asset")
@node_option
@json_option
def credit_lines(asset: str, node: str, as_json: bool) -> None:
    """Show every credit line in ASSET, who owes and since when; amounts in base units."""
    found, _ = _fetch(node, asset, "cb_credit_lines", "credit_lines", "", "")
    fields = ("account", "limit", "debt", "owes_since")
    lines = table([[str(row[name]) for name in fields] for row in found], fields)
    answer(as_json, {"asset": asset, "credit_lines": found}, lines)


COMMANDS: Final = (supply, rate, dealer, dealers, redemption, redemptions, credit_line, credit_lines)
