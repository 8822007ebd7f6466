"""`qenex query history|holders|top|candles|supply-history|transactions|index`: what was, as a node's index knows it.

Text shows display units; JSON is the RPC's own, with all pages that were asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.amm import read_pool
from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import answer, json_option, table
from node.cli.query_amm import amount_text, ask_node_for, percent_text
from node.cli.values import POSITIVE

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP: Final = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."
_PAGE: Final = 100
_LIMIT: Final = click.option("--limit", type=click.IntRange(1, 100_000), default=30, show_default=True, help="Lines at most.")
_START: Final = click.option("--start", default="", help="The `next` of an earlier answer.")
_SINCE: Final = click.option("--since", default="", help="Unix seconds, or a time such as 2030-01-31T12:00:00Z.")
_UNTIL: Final = click.option("--until", default="", help="Before this time.")


async def _pages(client: Client, method: str, limit: int, start: str, **params: Any) -> dict[str, Any]:
    """At most `limit` items, page by page; the answer of the last page with all items."""
    items: list[dict[str, Any]] = []
    while True:
        asked = str(min(_PAGE, limit - len(items)))
        found: dict[str, Any] = await client.call(method, start=start, limit=asked, **params)
        items += found["items"]
        start = found["next"]
        if not start or len(items) >= limit:
            return {**found, "items": items}


async def _scales(client: Client, codes: set[str]) -> dict[str, int]:
    found = {code: await client.asset(code) for code in sorted(codes) if code}
    return {code: 0 if asset is None else int(asset["scale"]) for code, asset in found.items()}


def _more(found: dict[str, Any]) -> list[str]:
    return [f"more with --start {found['next']}"] if found["next"] else []


@click.command()
@click.argument("account")
@_LIMIT
@_START
@click.option("--order", type=click.Choice(["desc", "asc"]), default="desc", show_default=True, help="Latest or oldest first.")
@click.option("--asset", default="", help="Only of this asset.")
@click.option("--with", "counterparty", default="", help="Only with this account.")
@_SINCE
@_UNTIL
@click.option("--min", "min_amount", default="", help="Least amount, in base units.")
@click.option("--max", "max_amount", default="", help="Largest amount, in base units.")
@click.option("--code", default="", help='Only with this result code, or "failed".')
@node_option
@home_option(_HOME_HELP)
@json_option
def history(account: str, counterparty: str, limit: int, start: str, node: str, home: Path | None, as_json: bool, **filters: str) -> None:
    """Show what happened to ACCOUNT: amounts in and out, fees, and events that name it."""
    from state.primitives.ids import format_address

    address = format_address(resolve_address(account, home))
    other = format_address(resolve_address(counterparty, home)) if counterparty else ""

    async def ask(client: Client) -> tuple[dict[str, Any], dict[str, int]]:
        found = await _pages(client, "account_history", limit, start, account=address, counterparty=other, **filters)
        return found, await _scales(client, {item["asset"] for item in found["items"]})

    found, scales = ask_node_for(node, ask)
    cells = [
        [
            item["time"][:19], item["height"], item["kind"], _signed(item, scales), item["counterparty"] or "-",
            str(item["code"]), item["hash"][:16] or "-",
        ]
        for item in found["items"]
    ]  # fmt: skip
    header = ("time", "height", "kind", "amount", "with", "code", "transaction")
    answer(as_json, found, [*table(cells, header), *_more(found)])


def _signed(item: dict[str, Any], scales: dict[str, int]) -> str:
    if not item["asset"]:
        return "-"
    text = amount_text(item["amount"], scales[item["asset"]], item["asset"])
    return {"in": "+", "out": "-", "none": "("}[item["direction"]] + text + (")" if item["direction"] == "none" else "")


@click.command()
@click.argument("asset")
@_LIMIT
@_START
@node_option
@json_option
def holders(asset: str, limit: int, start: str, node: str, as_json: bool) -> None:
    """Show who holds ASSET, the largest first."""

    async def ask(client: Client) -> tuple[dict[str, Any], dict[str, int]]:
        return await _pages(client, "asset_holders", limit, start, asset=asset), await _scales(client, {asset})

    found, scales = ask_node_for(node, ask)
    cells = [[item["account"], amount_text(item["amount"], scales[asset], asset)] for item in found["items"]]
    answer(as_json, found, [*table(cells, ("account", "amount")), *_more(found)])


@click.command()
@click.argument("asset")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True)
@node_option
@json_option
def top(asset: str, limit: int, node: str, as_json: bool) -> None:
    """Show the largest holders of ASSET and their parts of the supply."""

    async def ask(client: Client) -> tuple[dict[str, Any], dict[str, int]]:
        return await client.call("top_accounts", asset=asset, limit=str(limit)), await _scales(client, {asset})

    found, scales = ask_node_for(node, ask)
    cells = [
        [item["account"], amount_text(item["amount"], scales[asset], asset), percent_text(item["share_ppm"])] for item in found["items"]
    ]
    answer(as_json, found, table(cells, ("account", "amount", "of the supply")))


@click.command()
@click.argument("name", metavar="POOL")
@click.option("--interval", "interval_s", type=POSITIVE, default=3_600, show_default=True, help="Seconds of one candle.")
@_SINCE
@_UNTIL
@node_option
@json_option
def candles(name: str, interval_s: int, since: str, until: str, node: str, as_json: bool) -> None:
    """Show prices and volumes of POOL over time: base units of its second asset for one of its first."""
    pool = read_pool(name)
    one, other = pool.split("/")

    async def ask(client: Client) -> tuple[dict[str, Any], dict[str, int]]:
        found = await client.call("pool_candles", pool=pool, interval_s=str(interval_s), since=since, until=until)
        return found, await _scales(client, {one, other})

    found, scales = ask_node_for(node, ask)
    cells = [
        [
            item["time"], item["open"], item["high"], item["low"], item["close"],
            amount_text(item["volume_a"], scales[one], one), amount_text(item["volume_b"], scales[other], other), str(item["swaps"]),
        ]
        for item in found["items"]
    ]  # fmt: skip
    answer(as_json, found, table(cells, ("time", "open", "high", "low", "close", "volume", "volume", "swaps")))


@click.command("supply-history")
@click.argument("asset")
@_SINCE
@_UNTIL
@click.option("--points", type=click.IntRange(1, 500), default=20, show_default=True, help="Moments, evenly spread.")
@node_option
@json_option
def supply_history(asset: str, since: str, until: str, points: int, node: str, as_json: bool) -> None:
    """Show the supply of ASSET over time."""

    async def ask(client: Client) -> tuple[dict[str, Any], dict[str, int]]:
        found = await client.call("asset_supply_history", asset=asset, since=since, until=until, points=str(points))
        return found, await _scales(client, {asset})

    found, scales = ask_node_for(node, ask)
    cells = [[item["time"], item["height"], amount_text(item["supply"], scales[asset], asset)] for item in found["items"]]
    answer(as_json, found, table(cells, ("time", "height", "supply")))


@click.command()
@_LIMIT
@_START
@node_option
@json_option
def transactions(limit: int, start: str, node: str, as_json: bool) -> None:
    """Show the latest transactions."""

    async def ask(client: Client) -> dict[str, Any]:
        return await _pages(client, "recent_txs", limit, start)

    found = ask_node_for(node, ask)
    cells = [[item["time"][:19], item["height"], item["hash"], item["sender"], str(item["code"])] for item in found["items"]]
    answer(as_json, found, [*table(cells, ("time", "height", "transaction", "sender", "code")), *_more(found)])


@click.command("index")
@node_option
@json_option
def index_status(node: str, as_json: bool) -> None:
    """Show how far a node's index is, and what keeps it."""

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("index_status")
        return found

    found = ask_node_for(node, ask)
    lines = [f"{name.replace('_', ' ')}: {found[name]}" for name in ("backend", "indexed_height", "chain_height", "earliest")]
    lines += [f"blocks {gap['first']} to {gap['last']} were never here" for gap in found["gaps"]]
    if found["problem"]:
        lines.append("problem: {code} {name}: {message} - {hint}".format(**found["problem"]))
    answer(as_json, found, lines)


COMMANDS: Final = (history, holders, top, candles, supply_history, transactions, index_status)
