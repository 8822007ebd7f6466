"""`qenex tx asset`: what the issuer and those he appointed do to an asset and its holders. What an operation means is the ledger's.

Amounts are in display units of the asset. Acts upon holders name a reason and a legal reference; both stand in a public event, so neither
may hold personal data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from node.cli.sending import base_units_option, common
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])

ROLE_NAMES: Final = ("issuer", "minter", "freezer", "unfreezer", "clawback", "compliance", "metadata")
FREEDOMS: Final = ("transferable", "tradable", "lockable", "escrowable", "stakeable")
POWERS: Final = ("clawback", "require_auth", "require_accept", "pausable", "freezable", "remunerated")

asset_option = click.option("--asset", required=True, help="Asset code, such as QNX.")
_amount = click.option("--amount", required=True, help='Decimal amount in display units, such as "1.25".')


def ground_options(function: F) -> F:
    """Why, and on what legal ground."""
    for option in (
        click.option("--legal-ref", required=True, help="Legal ground: a file number; public, at most 128 characters."),
        click.option("--reason", required=True, help="Why; public, at most 128 characters."),
    ):
        function = option(function)
    return function


def flag_options(function: F) -> F:
    """Which flags a new asset has."""
    for option in (
        click.option("--without", multiple=True, type=click.Choice(FREEDOMS), help="A freedom that holders do not have; may be repeated."),
        click.option("--with", "powers", multiple=True, type=click.Choice(POWERS), help="A power of the issuer; may be repeated."),
    ):
        function = option(function)
    return function


def read_flags(powers: tuple[str, ...], without: tuple[str, ...]) -> int:
    """The flags of an asset that is open to its holders but for `without`, with these powers of its issuer."""
    from state.modules.assets import FLAGS

    return sum(FLAGS[name] for name in FLAGS if name in powers or (name in FREEDOMS and name not in without))


@click.group(name="asset")
def asset() -> None:
    """Roles, powers and restrictions of an asset."""


def _send(sending: Any, operation: str, **fields: Any) -> Any:
    from state.transaction import call

    async def operations(_session: Session) -> list[Any]:
        return [call(f"asset.{operation}", **fields)]

    return sending.run(operations)


@asset.command(name="set-role")
@asset_option
@click.option("--role", type=click.Choice(ROLE_NAMES), required=True)
@click.option("--account", metavar="ACCOUNT", help="Who gets it [default: nobody]. A new issuer must sign too (--signer).")
@click.option("--allowance", help="Of a minter: how much he may mint in all, what he has minted included.")
@base_units_option
@common
def set_role(sending: Any, asset: str, role: str, account: str | None, allowance: str | None, base_units: bool) -> Any:
    """Appoint who may use a power; the sender is the issuer, who may not appoint himself."""
    from node.cli.options import resolve_address
    from state.transaction import call

    if (role == "minter") != (allowance is not None):
        raise ConfigError("a minter, and nobody else, has an --allowance", hint="--allowance 0 stops one")
    who = resolve_address(account, sending.home) if account else b""
    if role in ("issuer", "minter") and not who:
        raise ConfigError(f"--role {role} needs an --account")

    async def operations(session: Session) -> list[Any]:
        units = await session.parse_amount(allowance, asset, base_units=base_units) if allowance is not None else 0
        return [call("asset.set_role", asset=asset, role=ROLE_NAMES.index(role), account=who, allowance=units)]

    return sending.run(operations)


@asset.command(name="renounce-flag")
@asset_option
@click.option("--flag", type=click.Choice((*FREEDOMS, *POWERS)), required=True)
@common
def renounce_flag(sending: Any, asset: str, flag: str) -> Any:
    """Give a power up, for ever. Holders' freedoms can be taken away only while there is no holder."""
    from state.modules.assets import FLAGS

    return _send(sending, "renounce_flag", asset=asset, flag=FLAGS[flag])


@asset.command()
@asset_option
@click.option("--off", is_flag=True, help="Take the acceptance back.")
@common
def accept(sending: Any, asset: str, off: bool) -> Any:
    """Agree to hold an asset that asks for it."""
    return _send(sending, "accept", asset=asset, on=0 if off else 1)


@asset.command(name="set-metadata")
@asset_option
@click.option("--hash", "metadata_hash", required=True, help="SHA-256 of the description, 64 hex digits.")
@common
def set_metadata(sending: Any, asset: str, metadata_hash: str) -> Any:
    """Set the hash of an asset's description; the sender has the role metadata."""
    return _send(sending, "set_metadata", asset=asset, metadata_hash=read_hash(metadata_hash, "--hash"))


def read_hash(text: str, option: str) -> bytes:
    """32 bytes of hex, or none. Raises `ConfigError`."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b"?"
    if len(data) not in (0, 32):
        raise ConfigError(f"{option} has 64 hex digits")
    return data


@asset.command()
@asset_option
@ground_options
@common
def pause(sending: Any, asset: str, reason: str, legal_ref: str) -> Any:
    """Let nothing of an asset move; the sender has the role freezer or compliance."""
    return _send(sending, "pause", asset=asset, reason=reason, legal_ref=legal_ref)


@asset.command()
@asset_option
@ground_options
@common
def unpause(sending: Any, asset: str, reason: str, legal_ref: str) -> Any:
    """End a pause; the sender has the role unfreezer, or, if there is none, one that pauses."""
    return _send(sending, "unpause", asset=asset, reason=reason, legal_ref=legal_ref)


@asset.command()
@asset_option
@click.option("--holder", required=True, metavar="ACCOUNT", help="From whom.")
@click.option("--amount", required=True, help='Exactly this, or fail; or "all" that is available.')
@ground_options
@base_units_option
@common
def clawback(sending: Any, asset: str, holder: str, amount: str, reason: str, legal_ref: str, base_units: bool) -> Any:
    """Take back from a holder and burn it; the sender has the role clawback."""
    from node.cli.options import resolve_address
    from state.transaction import call

    who, takes_all = resolve_address(holder, sending.home), amount == "all"

    async def operations(session: Session) -> list[Any]:
        units = 0 if takes_all else await session.parse_amount(amount, asset, base_units=base_units)
        fields: dict[str, Any] = {"asset": asset, "holder": who, "amount": units, "all": int(takes_all)}
        return [call("asset.clawback", **fields, reason=reason, legal_ref=legal_ref)]

    return sending.run(operations)


@asset.command()
@asset_option
@click.option("--holder", required=True, metavar="ACCOUNT", help="Of whom.")
@click.option(
    "--place",
    required=True,
    metavar="KIND/NAME",
    help="What is ended: hold/ID, escrow/ID, settlement/ID, offer/ID, pool/A/B, farm/POSITION or stake/VALIDATOR.",
)
@ground_options
@common
def recall(sending: Any, asset: str, holder: str, place: str, reason: str, legal_ref: str) -> Any:
    """Bring back to a holder what is not in his holding, so that it can be clawed back; the sender has the role clawback."""
    from node.cli.options import resolve_address
    from state.modules.recall import read_place
    from state.primitives.errors import TransactionError

    try:
        found = read_place(place)
    except TransactionError as error:
        raise ConfigError(f"--place {place}: {error.message}", hint="such as pool/EUR/USD, farm/3 or hold/ followed by its id") from error
    return _send(
        sending, "recall", asset=asset, holder=resolve_address(holder, sending.home), place=found, reason=reason, legal_ref=legal_ref
    )


@asset.command(name="forced-transfer")
@asset_option
@click.option("--holder", required=True, metavar="ACCOUNT", help="From whom.")
@click.option("--to", required=True, metavar="ACCOUNT", help="To whom.")
@_amount
@ground_options
@base_units_option
@common
def forced_transfer(
    sending: Any, asset: str, holder: str, to: str, amount: str, reason: str, legal_ref: str, base_units: bool
) -> Any:
    """Move an amount from one holder to another; the sender has the role clawback."""
    from node.cli.options import resolve_address
    from state.transaction import call

    source, target = resolve_address(holder, sending.home), resolve_address(to, sending.home)

    async def operations(session: Session) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        fields: dict[str, Any] = {"asset": asset, "holder": source, "to": target, "amount": units}
        return [call("asset.forced_transfer", **fields, reason=reason, legal_ref=legal_ref)]

    return sending.run(operations)


@asset.command()
@asset_option
@common
def destroy(sending: Any, asset: str) -> Any:
    """End an asset of which nothing is left; its code is never used again."""
    return _send(sending, "destroy", asset=asset)
