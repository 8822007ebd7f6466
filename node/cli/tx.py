"""`qenex tx`: build, sign and send a transaction, and with --wait say what became of it.

Amounts are decimal strings in display units of their asset ("1.25"); --base-units counts base units instead. The answer with
--json is `{"hash","height","code","code_name","log","op_index","fee","events"}`; exit code 0 only if the code is 0. What a
transaction means is the ledger's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from node.cli.account import account
from node.cli.amm import amm
from node.cli.anchors import audit
from node.cli.asset import asset, flag_options, read_flags, read_hash
from node.cli.cb import cb
from node.cli.comp import comp
from node.cli.comp_rules import COMMANDS as RULE_COMMANDS
from node.cli.farm import farm
from node.cli.gov import gov, group
from node.cli.hold import escrow, hold
from node.cli.kyc import GROUPS as KYC_GROUPS
from node.cli.sending import base_units_option, common
from node.cli.settle import claim, pay, settle
from node.cli.stake import stake
from node.cli.values import FilePath


@click.group()
def tx() -> None:
    """Sign and send transactions."""


for _command in RULE_COMMANDS:
    comp.add_command(_command)
for _group in (account, asset, stake, hold, escrow, settle, pay, claim, amm, farm, *KYC_GROUPS, comp, cb, gov, group, audit):
    tx.add_command(_group)

_asset = click.option("--asset", required=True, help="Asset code, such as QNX.")
_amount = click.option("--amount", required=True, help='Decimal amount in display units, such as "1.25".')


@tx.command()
@click.option("--to", required=True, metavar="ACCOUNT", help="Address, or name of a key.")
@_amount
@_asset
@click.option("--tag", default="", help="Destination tag, at most 64 bytes.")
@click.option("--travel", type=FilePath(), help="File of travel data, as qenex attest makes it; its date counts.")
@base_units_option
@common
def transfer(sending: Any, to: str, amount: str, asset: str, tag: str, travel: Path | None, base_units: bool) -> Any:
    """Send an amount to an account."""
    from node.cli.options import resolve_address
    from node.cli.travel import read_travel
    from state.transaction import call

    recipient = resolve_address(to, sending.home)
    if travel is not None:
        data, until = read_travel(travel)
        sending = replace(sending, travel=data, valid_until=until)

    async def operations(session: Any) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return [call("asset.transfer", asset=asset, to=recipient, amount=units, tag=tag)]

    return sending.run(operations)


@tx.command()
@click.option("--to", metavar="ACCOUNT", help="Who receives it [default: the sender].")
@_amount
@_asset
@click.option("--ref", default="", help="Reference, at most 64 bytes.")
@base_units_option
@common
def mint(sending: Any, to: str | None, amount: str, asset: str, ref: str, base_units: bool) -> Any:
    """Create an amount of an asset, within the sender's allowance."""
    from node.cli.options import resolve_address
    from state.transaction import call

    recipient = resolve_address(to, sending.home) if to else sending.acting_address()

    async def operations(session: Any) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return [call("asset.mint", asset=asset, to=recipient, amount=units, ref=ref)]

    return sending.run(operations)


@tx.command()
@_amount
@_asset
@base_units_option
@common
def burn(sending: Any, amount: str, asset: str, base_units: bool) -> Any:
    """Destroy an amount that the sender, issuer or minter of the asset, holds."""
    from state.transaction import call

    async def operations(session: Any) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return [call("asset.burn", asset=asset, amount=units)]

    return sending.run(operations)


@tx.command(name="create-asset")
@click.argument("code")
@click.option("--scale", type=click.IntRange(0, 128), required=True, help="Decimals.")
@click.option("--max-supply", help="Most there may ever be [default: only the global bound].")
@click.option("--mint-allowance", help="How much the sender may mint [default: the maximum supply].")
@click.option("--not-transferable", is_flag=True, help="It moves only to and from its issuer: --without transferable.")
@flag_options
@click.option("--metadata-hash", default="", help="SHA-256 of a description, 64 hex digits.")
@base_units_option
@common
def create_asset(
    sending: Any,
    code: str,
    scale: int,
    max_supply: str | None,
    mint_allowance: str | None,
    not_transferable: bool,
    powers: tuple[str, ...],
    without: tuple[str, ...],
    metadata_hash: str,
    base_units: bool,
) -> Any:
    """Create the asset CODE; the sender becomes its issuer and may mint it. What --with reserves can only be given up later."""
    from node.cli.amounts import parse_amount
    from state.primitives.limits import AMOUNT_MAX
    from state.transaction import call

    metadata = read_hash(metadata_hash, "--metadata-hash")
    supply = parse_amount(max_supply, scale, code, base_units=base_units) if max_supply else 0
    allowance = parse_amount(mint_allowance, scale, code, base_units=base_units) if mint_allowance else supply or AMOUNT_MAX

    async def operations(session: Any) -> list[Any]:
        flags = read_flags(powers, (*without, "transferable") if not_transferable else without)
        minters = ((session.acting, allowance),) if allowance else ()
        return [
            call(
                "asset.create",
                code=code,
                scale=scale,
                max_supply=supply,
                flags=flags,
                minters=minters,
                metadata_hash=metadata,
            )
        ]

    return sending.run(operations)


@tx.command(name="create-account")
@click.option("--key", "keys", multiple=True, required=True, metavar="KEY", help="NAME, NAME:WEIGHT or KIND=HEX:WEIGHT; may be repeated.")
@click.option("--thresholds", default="1,1,1,1", show_default=True, help="low,medium,high,statutory.")
@click.option(
    "--kind",
    type=click.Choice(["customer", "institution", "sub_account", "omnibus", "regulator", "validator"]),
    default="customer",
    show_default=True,
)
@click.option("--parent", metavar="ACCOUNT", help="Parent of a sub-account; it must sign too.")
@common
def create_account(sending: Any, keys: tuple[str, ...], thresholds: str, kind: str, parent: str | None) -> Any:
    """Open an account for one or more keys."""
    from node.cli.options import resolve_address
    from node.cli.parts import parse_key_rows, parse_thresholds
    from state.modules.accounts import AccountKind, new_account_address
    from state.transaction import call

    rows, limits = parse_key_rows(keys, sending.home), parse_thresholds(thresholds)
    parent_address = resolve_address(parent, sending.home) if parent else b""
    kind_number = int(AccountKind[kind.upper()])
    address = new_account_address(rows, limits, kind=kind_number, parent=parent_address)

    async def operations(session: Any) -> list[Any]:
        return [
            call(
                "account.create",
                address=address,
                kind=kind_number,
                parent=parent_address,
                keys=rows,
                thresholds=limits,
            )
        ]

    return sending.run(operations)


@tx.command(name="update-keys")
@click.option("--add", multiple=True, metavar="KEY", help="NAME, NAME:WEIGHT or KIND=HEX:WEIGHT; may be repeated.")
@click.option("--remove", multiple=True, type=click.IntRange(0, 2**32 - 1), metavar="ID", help="Number of a key; may be repeated.")
@click.option("--thresholds", help="low,medium,high,statutory.")
@common
def update_keys(sending: Any, add: tuple[str, ...], remove: tuple[int, ...], thresholds: str | None) -> Any:
    """Add and remove keys of the sending account, at once; its address stays."""
    from node.cli.parts import parse_key_rows, parse_thresholds
    from state.transaction import call

    limits = parse_thresholds(thresholds) if thresholds else ()

    async def operations(session: Any) -> list[Any]:
        rows = parse_key_rows(add, sending.home, 1 + max(key["key_id"] for key in (await session.acting_account())["keys"]))
        return [call("account.update_keys", add=rows, remove=tuple(sorted(set(remove))), thresholds=limits)]

    return sending.run(operations)


@tx.command(name="multi-transfer")
@click.option("--leg", "legs", multiple=True, required=True, metavar="ACCOUNT:ASSET:AMOUNT", help="Negative for who pays; repeated.")
@base_units_option
@common
def multi_transfer(sending: Any, legs: tuple[str, ...], base_units: bool) -> Any:
    """Move several amounts at once, all or nothing; every paying account must sign (--signer)."""
    from node.cli.parts import parse_leg, resolve_legs
    from state.transaction import call

    parsed = [parse_leg(text) for text in legs]

    async def operations(session: Any) -> list[Any]:
        scales = {leg.asset: await session.scale_of(leg.asset) for leg in parsed}
        resolved = resolve_legs(parsed, scales, sending.home, base_units=base_units)
        return [call("asset.multi_transfer", legs=resolved)]

    return sending.run(operations)


account.add_command(create_account, name="create")
account.add_command(update_keys, name="update-keys")
