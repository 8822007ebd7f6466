"""`qenex query`: what a node knows. The JSON answers are the RPC's own records; text is for reading only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.anchors import anchors
from node.cli.options import home_option, node_option, resolve_address
from node.cli.output import answer, json_option, table
from node.cli.query_accounts import COMMANDS as ACCOUNT_COMMANDS
from node.cli.query_amm import COMMANDS as AMM_COMMANDS
from node.cli.query_compliance import COMMANDS as COMPLIANCE_COMMANDS
from node.cli.query_farm import COMMANDS as FARM_COMMANDS
from node.cli.query_gov import COMMANDS as GOV_COMMANDS
from node.cli.query_history import COMMANDS as HISTORY_COMMANDS
from node.cli.query_kyc import COMMANDS as KYC_COMMANDS
from node.cli.query_pending import COMMANDS as PENDING_COMMANDS
from node.cli.query_treasury import COMMANDS as TREASURY_COMMANDS
from node.cli.values import POSITIVE
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.rpc.client import Client

_HOME_HELP = "Directory whose keys/ gives names to accounts (default: yours, then the local network's)."


@click.group()
def query() -> None:
    """Ask a node."""


for _command in (
    *AMM_COMMANDS,
    *COMPLIANCE_COMMANDS,
    *FARM_COMMANDS,
    *KYC_COMMANDS,
    *GOV_COMMANDS,
    *PENDING_COMMANDS,
    *TREASURY_COMMANDS,
    *ACCOUNT_COMMANDS,
    *HISTORY_COMMANDS,
    anchors,
):
    query.add_command(_command)


@query.command()
@click.argument("account")
@node_option
@home_option(_HOME_HELP)
@json_option
def account(account: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show ACCOUNT (an address or a key's name): keys, sequences, holdings."""
    address = resolve_address(account, home)

    async def ask(client: Client) -> tuple[dict[str, Any], dict[str, int]]:
        found = await client.account(address)
        if found is None:
            raise ConfigError(f"there is no account {account} on this chain", hint="qenex tx create-account opens one")
        scales = {}
        for code in found["holdings"]:
            asset = await client.asset(code)
            scales[code] = int(asset["scale"]) if asset is not None else 0
        return found, scales

    found, scales = _run(node, ask)
    answer(as_json, found, () if as_json else _account_lines(found, scales))


@query.command()
@click.argument("code")
@node_option
@json_option
def asset(code: str, node: str, as_json: bool) -> None:
    """Show the asset CODE: scale, supply, issuer."""

    async def ask(client: Client) -> dict[str, Any]:
        found = await client.asset(code)
        if found is None:
            raise ConfigError(f"there is no asset {code}", hint="asset codes are upper case, such as QNX")
        return found

    _show(as_json, _run(node, ask))


@query.command()
@click.argument("tx_hash", metavar="HASH")
@node_option
@json_option
def tx(tx_hash: str, node: str, as_json: bool) -> None:
    """Show what became of the transaction HASH: unknown, pending, committed, rejected or expired."""
    from node.cli.asking import base64_of_hash

    text = base64_of_hash(tx_hash)

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("tx_status", hash=text)
        return {**found, "height": int(found["height"])}

    _show(as_json, _run(node, ask))


@query.command()
@click.argument("height", type=POSITIVE, required=False)
@node_option
@json_option
def block(height: int | None, node: str, as_json: bool) -> None:
    """Show the block at HEIGHT, or the latest."""

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call("block", **({} if height is None else {"height": str(height)}))
        return found

    found = _run(node, ask)
    if as_json:
        answer(True, found, ())
        return
    header = found["block"]["header"]
    wanted = ("height", "time", "chain_id", "proposer_address", "app_hash", "validators_hash", "data_hash")
    lines = [f"hash: {found['block_id']['hash']}", *(f"{name}: {header[name]}" for name in wanted)]
    answer(False, None, [*lines, f"transactions: {len(found['block']['data']['txs'] or [])}"])


@query.command()
@click.option("--height", type=POSITIVE, help="Only who voted at this height, and with how much power.")
@node_option
@json_option
def validators(height: int | None, node: str, as_json: bool) -> None:
    """Show the voting set of a height [default: the latest], and every registered validator."""

    async def ask(client: Client) -> dict[str, Any]:
        found = await _read_voters(client, height)
        if height is None:
            found["registered"] = (await client.call("stake_validators"))["validators"]
        return found

    found = _run(node, ask)
    cells = [[row["address"], row["voting_power"], row["pq_pub_key"]["type"]] for row in found["validators"]]
    lines = [f"height {found['block_height']}", *table(cells, ("address", "power", "second key"))]
    if height is None:
        fields = ("validator", "moniker", "status", "tokens", "power", "wanted_power", "commission_ppm", "missed_votes")
        cells = [[str(row[name]) for name in fields] for row in found["registered"]]
        lines += ["", *table(cells, fields)]
    answer(as_json, found, lines)


async def _read_voters(client: Client, height: int | None) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    while True:
        params = {"page": str(len(rows) // 100 + 1), "per_page": "100"}
        if height is not None:
            params["height"] = str(height)
        page = await client.call("validators", **params)
        rows += page["validators"]
        if len(rows) >= int(page["total"]) or not page["validators"]:
            return {"block_height": int(page["block_height"]), "validators": rows}


@query.command()
@click.argument("name", metavar="VALIDATOR")
@node_option
@json_option
def validator(name: str, node: str, as_json: bool) -> None:
    """Show VALIDATOR (id, address or moniker): keys, stake, power, commission, jail."""
    from node.cli.stake import read_validator

    async def ask(client: Client) -> dict[str, Any]:
        found = await read_validator(client, name)
        whole: dict[str, Any] = (await client.call("stake_validator", validator=found["validator"]))["validator"]
        return whole

    found = _run(node, ask)
    answer(as_json, found, [f"{key}: {value if len(str(value)) <= 80 else str(value)[:64] + '...'}" for key, value in found.items()])


@query.command()
@click.argument("account")
@click.argument("name", metavar="VALIDATOR")
@node_option
@home_option(_HOME_HELP)
@json_option
def delegation(account: str, name: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ACCOUNT has with VALIDATOR: stake, rewards, unbondings."""
    from node.cli.stake import read_validator
    from state.primitives.ids import format_address

    address = resolve_address(account, home)

    async def ask(client: Client) -> dict[str, Any]:
        found = (await read_validator(client, name))["validator"]
        asked = await client.call("stake_delegation", validator=found, delegator=format_address(address))
        if asked["delegation"] is None:
            raise ConfigError(f"{account} has nothing with validator {name}", hint="qenex tx stake delegate")
        shown: dict[str, Any] = asked["delegation"]
        return shown

    _show(as_json, _run(node, ask))


@query.command()
@click.argument("account")
@node_option
@home_option(_HOME_HELP)
@json_option
def delegations(account: str, node: str, home: Path | None, as_json: bool) -> None:
    """Show what ACCOUNT has with every validator; amounts in base units."""
    from state.primitives.ids import format_address

    address = resolve_address(account, home)

    async def ask(client: Client) -> dict[str, Any]:
        asked = await client.call("stake_delegations", delegator=format_address(address))
        return {"delegator": format_address(address), "delegations": asked["delegations"]}

    found = _run(node, ask)
    fields = ("validator", "moniker", "tokens", "rewards", "commission")
    lines = table([[row[name] for name in fields] for row in found["delegations"]], fields)
    lines += [
        f"unbonding {entry['entry']} from {row['validator']}: {entry['balance']}, free at {entry['until']} (Unix seconds)"
        for row in found["delegations"]
        for entry in row["unbonding"]
    ]
    answer(as_json, found, lines)


@query.command()
@click.argument("path")
@node_option
@json_option
def proof(path: str, node: str, as_json: bool) -> None:
    """Read the record PATH with its proof and verify it, such as /holding/qx1.../QNX or /account/qx1... .

    The proof is checked here against the app hash in the next block's header.
    """
    from state.paths import resolve_path
    from state.primitives.errors import MalformedError
    from state.queries import describe_record

    try:
        resolve_path(path)
    except MalformedError as error:
        raise ConfigError(f"{path}: {error.message}") from None

    async def ask(client: Client) -> dict[str, Any]:
        proven = await client.prove(path)
        return {
            "path": path,
            "height": proven.height,
            "app_hash": proven.app_hash.hex().upper(),
            "exists": proven.value is not None,
            "proof_ok": True,
            "record": None if proven.value is None else describe_record(proven.key, proven.value),
        }

    found = _run(node, ask)
    what = "exists" if found["exists"] else "does not exist"
    line = f"proof ok: {path} {what} after block {found['height']} under app hash {found['app_hash']}"
    answer(as_json, found, [line, *(f"{k}: {v}" for k, v in (found["record"] or {}).items())])


def _run(node: str, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    from node.cli.asking import ask_node

    return ask_node(node, ask)


def _show(as_json: bool, found: dict[str, Any]) -> None:
    answer(as_json, found, [f"{name}: {value}" for name, value in found.items()])


def _account_lines(found: dict[str, Any], scales: dict[str, int]) -> list[str]:
    from node.cli.amounts import format_amount

    lines = [f"address: {found['address']}", f"kind: {found['kind']}"]
    if found["parent"]:
        lines.append(f"parent: {found['parent']}")
    lines.append("thresholds: " + ", ".join(f"{name} {value}" for name, value in found["thresholds"].items()))
    lines += [f"key {k['key_id']}: {k['kind']} weight {k['weight']} {k['public_key'][:32]}..." for k in found["keys"]]
    lines += [f"next sequence of lane {lane}: {value}" for lane, value in found["next_sequence"].items()]
    lines += [f"holds {format_amount(int(amount), scales[code])} {code}" for code, amount in found["holdings"].items()]
    return lines
