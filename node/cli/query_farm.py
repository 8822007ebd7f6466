"""`qenex query farm|farms|farm-position|farm-positions`: farms as a node knows them. Text shows display units; JSON is the RPC's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import answer, json_option, table
from node.cli.query_amm import amount_text, ask_node_for, percent_text
from node.cli.values import NUMBER
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."
_NUMBER = NUMBER


def _yield_text(found: dict[str, Any] | None, reward: dict[str, Any], stake: dict[str, Any]) -> str:
    """A yield as a percentage when it is of the asset that is staked, else as an amount for one display unit of the stake."""
    from node.cli.amounts import format_amount

    if found is None:
        return "nothing at present"
    if reward["reward_asset"] == stake["stake_asset"]:
        return percent_text(int(found["ppm"]))
    units = int(found["numerator"]) * 10 ** int(stake["scale"]) // int(found["denominator"])
    unit = "share" if "/" in stake["stake_asset"] else stake["stake_asset"]
    return f"{format_amount(units, int(reward['scale']))} {reward['reward_asset']} for one {unit}"


def _farm_lines(found: dict[str, Any]) -> list[str]:
    staked = amount_text(found["staked"], found["scale"], found["stake_asset"])
    lines = [f"farm {found['farm']}: {staked} staked by {found['stakers']}", f"sponsor: {found['sponsor']}"]
    lines.append(f"ends: {found['end']}" + (" (it has ended)" if found["has_ended"] else ""))
    if found["domain"]:
        lines.append(f"for members of the domain {found['domain']}")
    for number, tier in enumerate(found["lock_tiers"]):
        lines.append(f"tier {number}: locked for {tier['seconds']} s, weight {percent_text(tier['weight_ppm'])}")
    for reward in found["rewards"]:
        words = ("funded", "paid", "unreleased", "unallocated", "refunded")
        amounts = ", ".join(f"{word} {amount_text(reward[word], reward['scale'], reward['reward_asset'])}" for word in words)
        lines.append(f"reward {reward['reward_asset']} from {reward['start']} to {reward['end']}: {amounts}")
        for number, one in enumerate(reward["yields_per_year"]):
            lines.append(f"  a year in tier {number}: {_yield_text(one, reward, found)}")
    return lines


def _position_lines(found: dict[str, Any]) -> list[str]:
    staked = amount_text(found["amount"], found["scale"], found["stake_asset"])
    lock = f"locked until {found['locked_until']}" if found["is_locked"] else "not locked"
    share = percent_text(found["share_ppm"])
    lines = [f"position {found['position']} in farm {found['farm']}: {staked}, {share} of the weight, {lock}"]
    for reward in found["rewards"]:
        pending = amount_text(reward["pending"], reward["scale"], reward["reward_asset"])
        lines.append(f"  {pending} pending; a year: {_yield_text(reward['yield_per_year'], reward, found)}")
    return lines


@click.command()
@click.argument("number", metavar="FARM", type=_NUMBER)
@node_option
@json_option
def farm(number: int, node: str, as_json: bool) -> None:
    """Show FARM, by its number: stakes, tiers, rewards, yields."""

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] | None = (await client.call("farm", farm=str(number)))["farm"]
        if found is None:
            raise ConfigError(f"there is no farm {number}", hint="qenex query farms lists them")
        return found

    found = ask_node_for(node, ask)
    answer(as_json, found, _farm_lines(found))


@click.command()
@click.option("--start", type=NUMBER, default=0, show_default=True, help="Number of the first one.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@node_option
@json_option
def farms(start: int, limit: int, node: str, as_json: bool) -> None:
    """Show the farms in order of creation."""

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("farms", start=str(start), limit=str(limit))
        return found

    found = ask_node_for(node, ask)
    cells = [
        [
            row["farm"],
            amount_text(row["staked"], row["scale"], row["stake_asset"]),
            str(row["stakers"]),
            ", ".join(row["reward_assets"]),
            f"{row['end']}{' (ended)' if row['has_ended'] else ''}",
        ]
        for row in found["farms"]
    ]
    answer(as_json, found, table(cells, ("farm", "staked", "stakers", "rewards", "end")))


@click.command(name="farm-position")
@click.argument("account")
@click.argument("number", metavar="POSITION", type=_NUMBER)
@node_option
@home_option(_HOME_HELP)
@json_option
def farm_position(account: str, number: int, node: str, home: Path | None, as_json: bool) -> None:
    """Show POSITION of ACCOUNT: stake, lock, rewards pending now, yield."""
    from state.primitives.ids import format_address

    address = resolve_address(account, home)

    async def ask(client: Client) -> dict[str, Any]:
        asked = await client.call("farm_position", account=format_address(address), position=str(number))
        found: dict[str, Any] | None = asked["position"]
        if found is None:
            raise ConfigError(f"{account} has no position {number} in a farm", hint="qenex query farm-positions lists them")
        return found

    found = ask_node_for(node, ask)
    answer(as_json, found, _position_lines(found))


@click.command(name="farm-positions")
@click.argument("account")
@node_option
@home_option(_HOME_HELP)
@json_option
def farm_positions(account: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ACCOUNT has in every farm."""
    from state.primitives.ids import format_address

    address = resolve_address(account, home)

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("farm_positions", account=format_address(address))
        return found

    found = ask_node_for(node, ask)
    answer(as_json, found, [line for row in found["positions"] for line in _position_lines(row)])


COMMANDS: Final = (farm, farms, farm_position, farm_positions)
