"""`qenex query hold|escrow|settlement|offer|pending|claims`, as a node knows them. Text shows display units; JSON is the RPC's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import answer, json_option
from node.cli.promising import parse_name
from node.cli.values import NUMBER
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."
_DATES: Final = ("expires", "finish_after", "cancel_after", "deadline", "forgotten", "since")


class _Scales:
    """Decimals of assets, asked for once each."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, int] = {}

    async def show(self, text: str, code: str) -> str:
        """`1.25 EUR`."""
        from node.cli.amounts import format_amount

        if code not in self._known:
            found = await self._client.asset(code)
            self._known[code] = int(found["scale"]) if found is not None else 0
        return f"{format_amount(int(text), self._known[code])} {code}"


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat().replace('+00:00', 'Z')} ({seconds})" if seconds else "any time"


async def _lines(scales: _Scales, found: dict[str, Any]) -> list[str]:
    lines = []
    for key, value in found.items():
        if key in ("asset", "give_asset", "want_asset", "reason"):
            continue
        if key == "legs":
            for leg in value:
                state = "set aside" if leg["allocated"] else "waits"
                lines.append(f"leg: {leg['from']} pays {leg['to']} {await scales.show(leg['amount'], leg['asset'])}, {state}")
        elif key == "amount":
            lines.append(f"amount: {await scales.show(value, found['asset'])}")
        elif key in ("give_amount", "want_amount"):
            asset = found[key.replace("amount", "asset")]
            lines.append(f"{key[:4]}s: {await scales.show(value, asset) if asset else 'nothing'}")
        elif key == "paid":
            lines.append(f"paid: {value} base units")
        elif key in _DATES:
            lines.append(f"{key}: {_date(value)}")
        elif value not in ("", None):
            lines.append(f"{key}: {value}")
    return lines


def _ask(node: str, ask: Any) -> Any:
    from node.cli.asking import ask_node

    return ask_node(node, ask)


def _show_one(kind: str, name: str, node: str, as_json: bool) -> None:
    wanted = parse_name(name)

    async def ask(client: Client) -> tuple[dict[str, Any], list[str]]:
        found: dict[str, Any] | None = (await client.call(kind, **{kind: wanted.hex()}))[kind]
        if found is None:
            raise ConfigError(f"there is no {kind} {name}", hint="what is settled is forgotten after a day")
        return found, await _lines(_Scales(client), found)

    found, lines = _ask(node, ask)
    answer(as_json, found, lines)


@click.command()
@click.argument("name", metavar="HOLD")
@node_option
@json_option
def hold(name: str, node: str, as_json: bool) -> None:
    """Show HOLD: who pays whom how much, until when, or how it ended."""
    _show_one("hold", name, node, as_json)


@click.command()
@click.argument("name", metavar="ESCROW")
@node_option
@json_option
def escrow(name: str, node: str, as_json: bool) -> None:
    """Show ESCROW: amount, times and hash, or how it ended."""
    _show_one("escrow", name, node, as_json)


@click.command()
@click.argument("name", metavar="SETTLEMENT")
@node_option
@json_option
def settlement(name: str, node: str, as_json: bool) -> None:
    """Show SETTLEMENT: its legs, who has set them aside, its terms, or how it ended."""
    _show_one("settlement", name, node, as_json)


@click.command()
@click.argument("name", metavar="OFFER")
@node_option
@json_option
def offer(name: str, node: str, as_json: bool) -> None:
    """Show OFFER: what is given for what, its terms, or how it ended."""
    _show_one("offer", name, node, as_json)


@click.command()
@click.argument("account")
@click.option("--start", default="", help='Entry to go on from, such as "hold/..." [default: the newest].')
@click.option("--limit", type=click.IntRange(1, 100), default=30, show_default=True)
@node_option
@home_option(_HOME_HELP)
@json_option
def pending(account: str, start: str, limit: int, node: str, home: Path | None, as_json: bool) -> None:
    """Show what is open and concerns ACCOUNT, newest first: holds, escrows, settlements, offers."""
    _show_list("pending", account, {"start": start, "limit": str(limit)}, node, home, as_json)


@click.command()
@click.argument("account")
@click.option("--start", type=NUMBER, default=0, show_default=True, help="Number to go on from.")
@click.option("--limit", type=click.IntRange(1, 100), default=30, show_default=True)
@node_option
@home_option(_HOME_HELP)
@json_option
def claims(account: str, start: int, limit: int, node: str, home: Path | None, as_json: bool) -> None:
    """Show what waits for ACCOUNT because a rule kept it from it, and which: qenex tx claim take gets it."""
    _show_list("claims", account, {"start": str(start), "limit": str(limit)}, node, home, as_json)


def _show_list(method: str, account: str, params: dict[str, str], node: str, home: Path | None, as_json: bool) -> None:
    from state.primitives.ids import format_address

    address = resolve_address(account, home)

    async def ask(client: Client) -> tuple[dict[str, Any], list[str]]:
        found: dict[str, Any] = await client.call(method, account=format_address(address), **params)
        scales = _Scales(client)
        lines = [line for row in found[method] for line in (*await _lines(scales, row), "")]
        return found, [*lines, f"next: {found['next']}"] if found["next"] not in ("", None) else lines[:-1]

    found, lines = _ask(node, ask)
    answer(as_json, found, lines)


COMMANDS: Final = (hold, escrow, settlement, offer, pending, claims)
