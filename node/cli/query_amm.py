"""`qenex query pool|pools|position|positions|quote`: pools as a node knows them. Text shows display units; JSON is the RPC's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.amm import read_path, read_pool
from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option, table
from node.cli.values import NUMBER
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."
_PPM_DIGITS: Final = 4  # a millionth as a percentage has four decimals


def percent_text(ppm: int) -> str:
    """Parts per million as a percentage."""
    from node.cli.amounts import format_amount

    return ("-" if ppm < 0 else "") + format_amount(abs(ppm), _PPM_DIGITS) + " %"


def amount_text(text: str, scale: int, code: str) -> str:
    """Base units as an amount of an asset in display units."""
    from node.cli.amounts import format_amount

    return f"{format_amount(int(text), scale)} {code}"


def ask_node_for(node: str, ask: Any) -> Any:
    """What `ask` finds at a node."""
    from node.cli.asking import ask_node

    return ask_node(node, ask)


async def _read_pool(client: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = (await client.call("amm_pool", pool=name))["pool"]
    if found is None:
        raise ConfigError(f"there is no pool {name}", hint="qenex query pools lists them")
    return found


def _reserves(pool: dict[str, Any]) -> tuple[str, str]:
    return (
        amount_text(pool["reserve_a"], pool["scale_a"], pool["asset_a"]),
        amount_text(pool["reserve_b"], pool["scale_b"], pool["asset_b"]),
    )


@click.command()
@click.argument("name", metavar="POOL")
@node_option
@json_option
def pool(name: str, node: str, as_json: bool) -> None:
    """Show POOL, such as EUR/QNX: reserves, shares, fee, switches, accumulated prices."""
    wanted = read_pool(name)

    async def ask(client: Client) -> dict[str, Any]:
        return await _read_pool(client, wanted)

    found = ask_node_for(node, ask)
    lines = [f"pool: {found['pool']}", *(f"holds {text}" for text in _reserves(found))]
    rest = ("shares", "fee_ppm", "protocol_fee", "creator", "members", "trade_until", "deposit_until", "withdraw_until")
    answer(as_json, found, [*lines, *(f"{key}: {found[key]}" for key in rest)])


@click.command()
@click.option("--start", type=NUMBER, default=0, show_default=True, help="Number of the first one.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@node_option
@json_option
def pools(start: int, limit: int, node: str, as_json: bool) -> None:
    """Show the pools in order of creation."""

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("amm_pools", start=str(start), limit=str(limit))
        return found

    found = ask_node_for(node, ask)
    cells = [[row["pool"], *_reserves(row), row["shares"], str(row["fee_ppm"])] for row in found["pools"]]
    answer(as_json, found, table(cells, ("pool", "reserve", "reserve", "shares", "fee_ppm")))


def _position_lines(found: dict[str, Any], pool: dict[str, Any]) -> list[str]:
    sides = (("a", pool["scale_a"], pool["asset_a"]), ("b", pool["scale_b"], pool["asset_b"]))
    lines = [f"pool: {found['pool']}", f"shares: {found['shares']} ({percent_text(found['share_ppm'])} of the pool)"]
    for title, name in (("worth", "amount"), ("paid in", "basis"), ("fees earned", "fees")):
        if f"{name}_a" in found:
            lines.append(f"{title}: " + ", ".join(amount_text(found[f"{name}_{side}"], scale, code) for side, scale, code in sides))
    words = (
        ("growth by fees", "growth"),
        ("yield per year", "yield_per_year"),
        ("impermanent loss", "impermanent_loss"),
        ("loss to holding", "loss_to_holding"),
    )
    lines += [f"{title}: {percent_text(found[name]['ppm'])}" for title, name in words if name in found]
    return lines


@click.command()
@click.argument("account")
@click.argument("name", metavar="POOL")
@node_option
@home_option(_HOME_HELP)
@json_option
def position(account: str, name: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ACCOUNT has in POOL: worth, fees earned, impermanent loss, yield."""
    from state.primitives.ids import format_address

    wanted, address = read_pool(name), resolve_address(account, home)

    async def ask(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
        found = await _read_pool(client, wanted)
        asked = await client.call("amm_position", account=format_address(address), pool=wanted)
        if asked["position"] is None:
            raise ConfigError(f"{account} has no shares of {wanted}", hint="qenex tx amm add")
        return asked["position"], found

    found, of_pool = ask_node_for(node, ask)
    answer(as_json, found, _position_lines(found, of_pool))


@click.command()
@click.argument("account")
@node_option
@home_option(_HOME_HELP)
@json_option
def positions(account: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ACCOUNT has in every pool."""
    from state.primitives.ids import format_address

    address = resolve_address(account, home)

    async def ask(client: Client) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        found: dict[str, Any] = await client.call("amm_positions", account=format_address(address))
        return found, [await _read_pool(client, row["pool"]) for row in found["positions"]]

    found, of_pools = ask_node_for(node, ask)
    lines = [line for row, of_pool in zip(found["positions"], of_pools, strict=True) for line in (*_position_lines(row, of_pool), "")]
    answer(as_json, found, lines[:-1])


@click.command()
@click.argument("operation", type=click.Choice(["swap-in", "swap-out", "add", "add-single", "remove", "remove-single"]))
@click.option("--path", help="Assets of a swap, such as EUR,QNX.")
@click.option("--pool", "name", help="The pool, for everything else.")
@click.option("--amount", help="What goes in; with swap-out what comes out.")
@click.option("--amount-b", default="0", help="With add: most to give of the pool's second asset.")
@click.option("--shares", help="With remove and remove-single.")
@click.option("--asset", default="", help="With add-single and remove-single.")
@click.option("--account", default="", help="Who asks; matters for restricted pools.")
@click.option("--base-units", is_flag=True, help="Amounts count base units, not display units.")
@node_option
@home_option(_HOME_HELP)
@json_option
def quote(
    operation: str,
    path: str | None,
    name: str | None,
    amount: str | None,
    amount_b: str,
    shares: str | None,
    asset: str,
    account: str,
    base_units: bool,
    node: str,
    home: Path | None,
    as_json: bool,
) -> int:
    """Show what an operation would pay and get now, and at what price: what executing it would do."""
    from state.primitives.ids import format_address

    is_swap = operation.startswith("swap")
    given = shares if operation.startswith("remove") else amount
    target = path if is_swap else name
    if given is None or target is None:
        raise ConfigError(f"a quote of {operation} needs {'--path' if is_swap else '--pool'} and an amount or --shares")
    who = format_address(resolve_address(account, home)) if account else ""
    codes = read_path(target) if is_swap else tuple(read_pool(target).split("/"))
    counted = {"swap-in": codes[0], "swap-out": codes[-1], "add": codes[0], "add-single": asset}.get(operation)

    async def ask(client: Client) -> tuple[dict[str, Any], dict[str, int]]:
        scales = {code: await _scale_of(client, code) for code in dict.fromkeys(codes)}
        first = _units(given, scales, counted, base_units)
        second = _units(amount_b, scales, codes[1] if operation == "add" else None, base_units)
        params = {"target": ",".join(codes) if is_swap else "/".join(codes), "asset": asset, "account": who}
        call = {"operation": operation.replace("-", "_"), "amount": str(first), "amount_b": str(second), **params}
        found: dict[str, Any] = (await client.call("amm_quote", **call))["quote"]
        return found, scales

    found, scales = ask_node_for(node, ask)
    answer(as_json, found, _quote_lines(found, scales))
    return EXIT_OK if found["code"] == 0 else EXIT_FAILED


def _quote_lines(found: dict[str, Any], scales: dict[str, int]) -> list[str]:
    if found["code"]:
        return [f"it would fail: {found['code']} {found['code_name']} {found['log']}"]
    lines = [f"pays {amount_text(text, scales[code], code)}" for code, text in found["pays"].items()]
    lines += [f"gets {amount_text(text, scales[code], code)}" for code, text in found["gets"].items()]
    if found["shares"] != "0":
        lines.append(f"shares: {found['shares']}")
    words = (("price impact", "price_impact"), ("cost with fees", "cost"))
    return lines + [f"{title}: {percent_text(found[name]['ppm'])}" for title, name in words if name in found]


async def _scale_of(client: Client, code: str) -> int:
    found = await client.asset(code)
    if found is None:
        raise ConfigError(f"there is no asset {code}", hint="asset codes are upper case, such as QNX")
    return int(found["scale"])


def _units(text: str, scales: dict[str, int], code: str | None, base_units: bool) -> int:
    from node.cli.amounts import parse_amount

    if code is None:
        return parse_amount(text, 0, "shares", base_units=True)
    if code not in scales:
        raise ConfigError(f"{code or 'no asset'} is not in the pool", hint="--asset names one of its two assets")
    return parse_amount(text, scales[code], code, base_units=base_units)


COMMANDS: Final = (pool, pools, position, positions, quote)
