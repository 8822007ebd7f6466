"""`qenex tx stake`: delegate, undelegate, move, claim; and for owners: register, edit, replace keys, leave jail.

A validator is named by its id or any address its keys have had (40 hex digits), or by its moniker. Amounts are in display units of
the staked asset. What an operation means is the ledger's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.sending import base_units_option, common
from node.cli.values import NUMBER, FilePath
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.cli.session import Session

# name of the command -> (operation, names of the validators, has an amount, line of help)
_MOVES: Final[dict[str, tuple[str, tuple[str, ...], bool, str]]] = {
    "delegate": ("stake.delegate", ("validator",), True, "Put stake behind a validator."),
    "undelegate": ("stake.undelegate", ("validator",), True, "Take stake back; it is free after the unbonding time."),
    "redelegate": ("stake.redelegate", ("source", "destination"), True, "Move stake to another validator at once."),
    "claim": ("stake.claim", ("validator",), False, "Get rewards, commission, and unbondings that are due."),
    "unjail": ("stake.unjail", ("validator",), False, "Bring the sender's validator back when its jail time is over."),
}
_KEYS_FILE = click.option(
    "--keys",
    "keys_file",
    type=FilePath(dir_okay=False),
    required=True,
    help="The validator's voting keys: keys/validator.json of its home. Only public keys are used.",
)


@click.group(name="stake")
def stake() -> None:
    """Stake, and run a validator."""


def _add_move(name: str) -> None:
    operation, validators, has_amount, text = _MOVES[name]

    def command(sending: Any, **options: Any) -> Any:
        from state.transaction import call

        async def operations(session: Session) -> list[Any]:
            fields: dict[str, Any] = {role: await find_validator(session.client, options[role]) for role in validators}
            if has_amount:
                fields["amount"] = await _parse_stake(session, options["amount"], options["base_units"])
            return [call(operation, **fields)]

        return sending.run(operations)

    command.__doc__ = text
    wrapped = common(command)
    if has_amount:
        wrapped = base_units_option(wrapped)
        wrapped = click.option("--amount", required=True, help='Decimal amount in display units, such as "1.25".')(wrapped)
    for role in reversed(validators):
        wrapped = click.option(f"--{role}", required=True, metavar="VALIDATOR", help="Id, address or moniker.")(wrapped)
    stake.command(name=name, help=text)(wrapped)


for _name in _MOVES:
    _add_move(_name)


@stake.command(name="cancel-unbond")
@click.option("--validator", required=True, metavar="VALIDATOR", help="Id, address or moniker.")
@click.option("--entry", type=NUMBER, required=True, help="Number of the unbonding: qenex query delegations.")
@common
def cancel_unbond(sending: Any, validator: str, entry: int) -> Any:
    """Put an unbonding back behind its validator."""
    from state.transaction import call

    async def operations(session: Session) -> list[Any]:
        found = await find_validator(session.client, validator)
        return [call("stake.cancel_unbond", validator=found, entry=entry)]

    return sending.run(operations)


@stake.command()
@_KEYS_FILE
@click.option("--amount", required=True, help="The first bond, in display units.")
@click.option("--moniker", required=True, help="Name for people, at most 64 characters.")
@click.option("--details", default="", help="A line about the validator, at most 256 characters.")
@click.option("--commission-ppm", type=click.IntRange(0, 1_000_000), default=0, show_default=True, help="Parts per million.")
@click.option("--min-self-bond", default="0", show_default=True, help="Below this bond of the owner the validator leaves the set.")
@base_units_option
@common
def register(
    sending: Any,
    keys_file: Path,
    amount: str,
    moniker: str,
    details: str,
    commission_ppm: int,
    min_self_bond: str,
    base_units: bool,
) -> Any:
    """Register a validator owned by the sender, who must be admitted by governance."""
    from state.transaction import call

    keys = _read_vote_keys(keys_file)

    async def operations(session: Session) -> list[Any]:
        fields: dict[str, Any] = {
            **keys,
            "commission_ppm": commission_ppm,
            "min_self_bond": await _parse_stake(session, min_self_bond, base_units),
            "amount": await _parse_stake(session, amount, base_units),
            "moniker": moniker,
            "details": details,
        }
        return [call("stake.register", **fields)]

    return sending.run(operations)


@stake.command()
@click.option("--validator", required=True, metavar="VALIDATOR", help="Id, address or moniker.")
@click.option("--moniker", help="New name [default: as it is].")
@click.option("--details", help="New line about the validator [default: as it is].")
@click.option("--commission-ppm", type=click.IntRange(0, 1_000_000), help="Parts per million [default: as it is].")
@click.option("--min-self-bond", help="New minimum; it never falls [default: as it is].")
@base_units_option
@common
def edit(
    sending: Any,
    validator: str,
    moniker: str | None,
    details: str | None,
    commission_ppm: int | None,
    min_self_bond: str | None,
    base_units: bool,
) -> Any:
    """Change what the sender's validator says of itself."""
    from state.transaction import call

    async def operations(session: Session) -> list[Any]:
        old = await read_validator(session.client, validator)
        bond = int(old["min_self_bond"]) if min_self_bond is None else await _parse_stake(session, min_self_bond, base_units)
        fields: dict[str, Any] = {
            "validator": bytes.fromhex(old["validator"]),
            "commission_ppm": old["commission_ppm"] if commission_ppm is None else commission_ppm,
            "min_self_bond": bond,
            "moniker": moniker or old["moniker"],
            "details": old["details"] if details is None else details,
        }
        return [call("stake.edit", **fields)]

    return sending.run(operations)


@stake.command(name="rotate-key")
@click.option("--validator", metavar="VALIDATOR", help="Id, address or moniker; with --keys.")
@click.option(
    "--keys",
    "keys_file",
    type=FilePath(dir_okay=False),
    help="The new voting keys: keys/validator.next.json, or the validator.json of another home. Only public keys are used.",
)
@click.option(
    "--operation",
    type=FilePath(dir_okay=False),
    help="What `qenex keys rotate-validator --out` wrote, in place of those two.",
)
@common
def rotate_key(sending: Any, validator: str | None, keys_file: Path | None, operation: Path | None) -> Any:
    """Let the sender's validator vote with new keys, from two blocks on."""
    from state.transaction import call

    if operation is not None and validator is None and keys_file is None:
        data = _read_operation(operation)
        return sending.run(lambda session: rotation_call(session, data))
    if operation is not None or validator is None or keys_file is None:
        raise ConfigError("either --validator and --keys, or --operation is needed")
    keys = _read_vote_keys(keys_file)

    async def operations(session: Session) -> list[Any]:
        found = await find_validator(session.client, validator)
        return [call("stake.rotate_consensus_key", validator=found, **keys)]

    return sending.run(operations)


async def rotation_call(session: Session, data: Any) -> list[Any]:
    """The operation of a change of keys as `node.signing.rotation` writes it, its proof checked. Raises `ConfigError`."""
    from node.signing.rotation import check_operation
    from state.transaction import call

    fields = check_operation(data, await session.client.chain_id())
    validator = await find_validator(session.client, fields.pop("validator").hex())
    return [call("stake.rotate_consensus_key", validator=validator, **fields)]


def _read_operation(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return json.loads(file.read(64 * 1024))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}", hint="qenex keys rotate-validator --out writes it") from error


async def find_validator(client: Any, name: str) -> bytes:
    """The id of a validator by its id, an address of its keys or its moniker. Raises `ConfigError`."""
    return bytes.fromhex((await read_validator(client, name))["validator"])


async def read_validator(client: Any, name: str) -> dict[str, Any]:
    """A validator, as the node describes it. Raises `ConfigError` if there is none or the moniker is not unique."""
    found: dict[str, Any] | None = None
    if len(name) == 40 and all(digit in "0123456789abcdefABCDEF" for digit in name):
        found = (await client.call("stake_validator", validator=name))["validator"]
    else:
        listed = (await client.call("stake_validators"))["validators"]
        same = [item for item in listed if item["moniker"] == name]
        if len(same) > 1:
            raise ConfigError(f"{len(same)} validators are called {name}", hint="name it by its id: qenex query validators")
        found = same[0] if same else None
    if found is None:
        raise ConfigError(f"there is no validator {name}", hint="qenex query validators lists them")
    return found


async def _parse_stake(session: Session, text: str, base_units: bool) -> int:
    record = (await session.client.call("record", path="/params/stake"))["record"]
    return await session.parse_amount(text, record["asset"], base_units=base_units)


def _read_vote_keys(path: Path) -> dict[str, Any]:
    from node.keystore import Role, read_key_info

    info = read_key_info(path)
    if info.role is not Role.VALIDATOR:
        raise ConfigError(f"{path} holds a {info.role.value} key, not voting keys", hint="keys/validator.json of the validator's home")
    first, second = info.keys
    return {"ed25519_key": first.data, "pq_kind": int(second.kind), "pq_key": second.data}
