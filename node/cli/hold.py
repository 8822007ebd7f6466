"""`qenex tx hold` and `qenex tx escrow`: set amounts aside and pay them later. What an operation means is the ledger's."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.promising import WHEN_HELP, act, make, parse_hex, parse_name, parse_ref, parse_when, read_open, ref_option
from node.cli.sending import base_units_option, common
from state.primitives.errors import ConfigError
from state.primitives.limits import PREIMAGE_BYTES_MAX

if TYPE_CHECKING:
    from node.cli.session import Session

_SECRET_BYTES: Final = 32
_asset = click.option("--asset", required=True, help="Asset code, such as QNX.")
_amount = click.option("--amount", required=True, help='Decimal amount in display units, such as "1.25".')
_to = click.option("--to", required=True, metavar="ACCOUNT", help="Who gets it: address, or name of a key.")


@click.group(name="hold")
def hold() -> None:
    """Holds: an amount set aside for somebody, who takes all or a part of it in time."""


@hold.command()
@_to
@_amount
@_asset
@click.option("--expires", required=True, metavar="WHEN", help=f"From when it is free again: {WHEN_HELP}.")
@click.option("--agent", metavar="ACCOUNT", help="Who may post or void it beside the beneficiary.")
@ref_option
@base_units_option
@common
def create(
    sending: Any, to: str, amount: str, asset: str, expires: str, agent: str | None, ref: str | None, base_units: bool
) -> Any:
    """Hold an amount of the sender's for an account; the answer names the hold."""
    from node.cli.options import resolve_address

    beneficiary = resolve_address(to, sending.home)
    third = resolve_address(agent, sending.home) if agent else b""
    expires_s = parse_when(expires)

    async def build(session: Session) -> dict[str, Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return {"asset": asset, "amount": units, "beneficiary": beneficiary, "agent": third, "expires": expires_s}

    return make(sending, "hold", parse_ref(ref), build, "hold.create")


@hold.command()
@click.argument("name", metavar="HOLD")
@click.option("--amount", help="How much of it; the rest is free again [default: all].")
@base_units_option
@common
def post(sending: Any, name: str, amount: str | None, base_units: bool) -> Any:
    """Pay HOLD to its beneficiary."""
    from state.transaction import call

    wanted = parse_name(name)

    async def operations(session: Session) -> list[Any]:
        found = await read_open(session, "hold", wanted)
        units = int(found["amount"])
        if amount is not None:
            units = await session.parse_amount(amount, found["asset"], base_units=base_units)
        return [call("hold.post", hold=wanted, amount=units)]

    return sending.run(operations)


@hold.command()
@click.argument("name", metavar="HOLD")
@common
def void(sending: Any, name: str) -> Any:
    """Give HOLD up: by beneficiary or agent, or by the payer once it has expired."""
    return act(sending, "hold.void", hold=parse_name(name))


@click.group(name="escrow")
def escrow() -> None:
    """Escrows: an amount that arrives at a time, against a secret, or both, else goes back."""


@escrow.command(name="create")
@_to
@_amount
@_asset
@click.option("--after", metavar="WHEN", help=f"From when it can be finished: {WHEN_HELP} [default: at once].")
@click.option("--until", required=True, metavar="WHEN", help="From when it goes back instead.")
@click.option("--hash", "hash_text", help="SHA-256 of a secret, 64 hex digits: it is finished only with that.")
@click.option("--new-secret", is_flag=True, help="Make a secret; the answer says it, and nobody else knows it.")
@ref_option
@base_units_option
@common
def create_escrow(
    sending: Any,
    to: str,
    amount: str,
    asset: str,
    after: str | None,
    until: str,
    hash_text: str | None,
    new_secret: bool,
    ref: str | None,
    base_units: bool,
) -> Any:
    """Put an amount of the sender's in escrow; the answer names the escrow."""
    from node.cli.options import resolve_address
    from state.primitives.hashing import sha256

    recipient = resolve_address(to, sending.home)
    after_s, until_s = (parse_when(after) if after else 0), parse_when(until)
    if new_secret and hash_text:
        raise ConfigError("--new-secret makes a secret and its hash, so --hash cannot stand beside it")
    secret = secrets.token_bytes(_SECRET_BYTES) if new_secret else b""
    locked = sha256(secret) if new_secret else parse_hex(hash_text, 32, "--hash") if hash_text else b""
    if not after_s and not locked:
        raise ConfigError("an escrow waits for a time, a secret, or both", hint="--after, --hash or --new-secret")
    if after_s >= until_s:
        raise ConfigError("--after is before --until, else it could never be finished")

    async def build(session: Session) -> dict[str, Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        times = {"finish_after": after_s, "cancel_after": until_s}
        return {"to": recipient, "asset": asset, "amount": units, "hash": locked, **times}

    outcome = make(sending, "escrow", parse_ref(ref), build, "escrow.create")
    return replace(outcome, made={**outcome.made, "secret": secret.hex()}) if new_secret and outcome.made else outcome


@escrow.command()
@click.argument("name", metavar="ESCROW")
@click.option("--secret", default="", help="The secret, in hex; everybody can read it afterwards.")
@common
def finish(sending: Any, name: str, secret: str) -> Any:
    """Pay ESCROW to its recipient: anybody may, in time and with the secret."""
    if len(secret) > 2 * PREIMAGE_BYTES_MAX or len(secret) % 2:
        raise ConfigError(f"--secret has at most {2 * PREIMAGE_BYTES_MAX} hex digits, two for a byte")
    return act(sending, "escrow.finish", escrow=parse_name(name), secret=parse_hex(secret, len(secret) // 2, "--secret"))


@escrow.command()
@click.argument("name", metavar="ESCROW")
@common
def cancel(sending: Any, name: str) -> Any:
    """Give ESCROW back to its owner: the recipient at any time, anybody once it is late."""
    return act(sending, "escrow.cancel", escrow=parse_name(name))
