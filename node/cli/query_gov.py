"""`qenex query proposal|proposals|group|governance`: governance as a node knows it. Text shows display units; JSON is the RPC's own."""

from __future__ import annotations

import json
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
_OPTIONS: Final = ("yes", "no", "abstain", "veto")
_PPM_SQUARED_DIGITS: Final = 6  # a tally is power times parts per million


def _ask(node: str, ask: Any) -> Any:
    from node.cli.asking import ask_node

    return ask_node(node, ask)


def _date(seconds: int) -> str:
    from genesis.document import format_time
    from state.primitives.limits import TIME_NS_MAX

    if seconds * 1_000_000_000 > TIME_NS_MAX:
        return "for ever"
    return format_time(seconds * 1_000_000_000) if seconds else "-"


def _percent(ppm: int) -> str:
    from node.cli.amounts import format_amount

    return format_amount(ppm, 4) + " %"


def _power(text: str) -> str:
    from node.cli.amounts import format_amount

    return format_amount(int(text), _PPM_SQUARED_DIGITS)


async def _read_unit(client: Client) -> tuple[str, int]:
    """The staked asset and its scale."""
    code = str((await client.call("record", path="/params/stake"))["record"]["asset"])
    asset = await client.asset(code)
    return code, int(asset["scale"]) if asset is not None else 0


def _describe_op(item: dict[str, Any]) -> str:
    texts = {name: value if isinstance(value, str | int) else json.dumps(value) for name, value in item.items() if name != "op"}
    rest = " ".join(f"{name}={text}" for name, text in texts.items())
    return f"  {item['op']} {rest}".rstrip()


@click.command()
@click.argument("number", metavar="NUMBER", type=NUMBER)
@node_option
@json_option
def proposal(number: int, node: str, as_json: bool) -> None:
    """Show proposal NUMBER: operations, deposit, votes, what they would come to, dates."""
    from node.cli.amounts import format_amount

    async def ask(client: Client) -> tuple[dict[str, Any], tuple[str, int]]:
        found = (await client.call("gov_proposal", proposal=str(number)))["proposal"]
        if found is None:
            raise ConfigError(f"there is no proposal {number}", hint="qenex query proposals lists them")
        return found, await _read_unit(client)

    found, (code, scale) = _ask(node, ask)
    lines = [f"proposal {found['proposal']}: {found['status']}{', expedited' if found['expedited'] else ''}"]
    lines += [f"proposer: {found['proposer']}", *(_describe_op(item) for item in found["ops"])]
    if found["title_hash"]:
        lines.append(f"title hash: {found['title_hash']}")
    lines += [f"deposit of {row['account']}: {format_amount(int(row['amount']), scale)} {code}" for row in found["deposits"]]
    lines += _vote_lines(found)
    lines += [f"{name}: {_date(found[name])}" for name in ("start", "due", "ready", "done") if found[name]]
    if "failure" in found:
        lines.append(f"operation {found['failure']['operation']} failed: {found['failure']['code']} {found['failure']['code_name']}")
    answer(as_json, found, lines)


def _vote_lines(found: dict[str, Any]) -> list[str]:
    vote = found.get("vote")
    if vote is None:
        return []
    tally = ", ".join(f"{name} {_power(vote[name])}" for name in _OPTIONS)
    lines = [
        f"power {vote['power']} after block {vote['snapshot_height']}; voted {_percent(vote['turnout_ppm'])}, "
        f"quorum {_percent(vote['quorum_ppm'])}",
        f"{tally}; yes is {_percent(vote['yes_ppm'])}, more than {_percent(vote['threshold_ppm'])} is needed",
    ]
    if found["status"] == "voting":
        lines.append(f"would be {vote['would']}")
    for row in found["votes"]:
        parts = ", ".join(f"{name} {_percent(row[f'{name}_ppm'])}" for name in _OPTIONS if row[f"{name}_ppm"])
        lines.append(f"  {row['account']} with {row['power']}: {parts}")
    return lines


@click.command()
@click.option("--start", type=NUMBER, default=0, show_default=True, help="Number of the first one.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@node_option
@json_option
def proposals(start: int, limit: int, node: str, as_json: bool) -> None:
    """List proposals in order."""

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("gov_proposals", start=str(start), limit=str(limit))
        return found

    found = _ask(node, ask)
    cells = [
        [row["proposal"], row["status"], ", ".join(item["op"] for item in row["ops"]), _date(row["due"]), _date(row["ready"])]
        for row in found["proposals"]
    ]
    answer(as_json, found, table(cells, ("proposal", "status", "operations", "phase ends", "ready")))


@click.command()
@click.argument("account", metavar="GROUP")
@click.option("--proposal", "number", type=NUMBER, help="One of its proposals, also one that is over.")
@node_option
@home_option(_HOME_HELP)
@json_option
def group(account: str, number: int | None, node: str, home: Path | None, as_json: bool) -> None:
    """Show GROUP: members, threshold, open proposals."""
    from state.primitives.ids import format_address

    address = format_address(resolve_address(account, home))

    async def ask(client: Client) -> dict[str, Any]:
        asked = await client.call("gov_group", group=address, proposal=str(-1 if number is None else number))
        if asked["group"] is None:
            what = "group" if number is None else f"proposal {number} of the group"
            raise ConfigError(f"there is no {what} {account}", hint="qenex tx group create")
        shown: dict[str, Any] = asked["group"]
        return shown

    found = _ask(node, ask)
    rows = [found] if number is not None else found["open"]
    lines = [f"group: {found['group']}"]
    if number is None:
        lines += [f"member {row['account']} weight {row['weight']}" for row in found["members"]]
        lines.append(f"threshold {found['threshold']}, delay {found['min_delay_s']} s")
    for row in rows:
        lines.append(f"proposal {row['proposal']}: {row['status']}, approved by {len(row['approvals'])}, ready {_date(row['ready'])}")
        lines += [_describe_op(item) for item in row["ops"]]
    answer(as_json, found, lines)


@click.command()
@node_option
@json_option
def governance(node: str, as_json: bool) -> None:
    """Show parameters, open proposals, tripped breakers, rule sets, what became of deposits."""
    from node.cli.amounts import format_amount

    async def ask(client: Client) -> tuple[dict[str, Any], tuple[str, int]]:
        found: dict[str, Any] = await client.call("gov_overview")
        return found, await _read_unit(client)

    found, (code, scale) = _ask(node, ask)
    lines = [f"{name}: {value}" for name, value in found["params"].items() if name != "deposit_min"]
    lines.insert(0, f"deposit_min: {format_amount(int(found['params']['deposit_min']), scale)} {code}")
    amounts = (f"{name} {format_amount(int(found['totals'][name]), scale)}" for name in ("deposited", "held", "refunded", "burned"))
    lines.append(f"proposals: {found['totals']['proposals']}; {', '.join(amounts)} {code}")
    lines += [f"proposal {row['proposal']} is open until {_date(row['due'])}" for row in found["open"]]
    for row in found["breakers"]:
        lines.append(f"stopped: {row['function'] or row['module']} since block {row['since']}, until {_date(row['until'])}")
    for row in found["rule_sets"]:
        lines.append(f"rule set {row['version']} from block {row['height']} on: {row['release']} {row['build_hash']}".rstrip())
    answer(as_json, found, lines)


COMMANDS: Final = (proposal, proposals, group, governance)
