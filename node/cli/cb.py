"""`qenex tx cb`: what central banks and their dealers do. What an operation means is the ledger's.

Amounts are in display units of their asset, rates and ratios in parts per million; a time is in Unix seconds, or as many seconds from
now with a plus: `+3600`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from node.cli.sending import base_units_option, common
from node.cli.values import NUMBER, POSITIVE
from state.primitives.errors import ConfigError
from state.primitives.limits import DEALER_WINDOW_S_MAX

if TYPE_CHECKING:
    from node.cli.session import Session

_WINDOW = click.IntRange(0, DEALER_WINDOW_S_MAX)
_asset = click.option("--asset", required=True, help="Asset code, such as EUR.")
_account = click.option("--account", required=True, metavar="ACCOUNT", help="Address, or name of a key.")
_amount = click.option("--amount", required=True, help='Decimal amount in display units, such as "1.25".')
_facility = click.option("--facility", default="", help="Which facility, such as standing; at most 64 bytes.")
_ref = click.option("--ref", default="", help="Reference, at most 64 bytes.")
_request = click.option("--request", type=NUMBER, required=True, metavar="NUMBER", help="Number of the redemption.")


@click.group(name="cb")
def cb() -> None:
    """Central banks: dealers, issue, redemption, policy rate, reserves, credit."""


@cb.command(name="appoint-dealer")
@_asset
@_account
@click.option("--tier", type=click.IntRange(0, 15), default=0, show_default=True, help="His group: reserve ratios are by tier.")
@click.option("--issue-max", default="0", help="Most of one issue [default: no limit].")
@click.option("--window-max", default="0", help="Most within a window [default: no limit].")
@click.option("--window", "window_s", type=_WINDOW, default=0, help="Seconds of a window [default: a day if there is a limit].")
@base_units_option
@common
def appoint_dealer(
    sending: Any, asset: str, account: str, tier: int, issue_max: str, window_max: str, window_s: int, base_units: bool
) -> Any:
    """Make ACCOUNT a dealer of the sender's asset, or set new terms."""
    from node.cli.options import resolve_address

    address = resolve_address(account, sending.home)

    async def operations(session: Session) -> list[Any]:
        most = await session.parse_amount(window_max, asset, base_units=base_units)
        fields = {
            "asset": asset,
            "account": address,
            "tier": tier,
            "issue_max": await session.parse_amount(issue_max, asset, base_units=base_units),
            "window_max": most,
            "window_s": window_s or (86_400 if most else 0),
        }
        return [_call("appoint_dealer", fields)]

    return sending.run(operations)


@cb.command(name="dismiss-dealer")
@_asset
@_account
@common
def dismiss_dealer(sending: Any, asset: str, account: str) -> Any:
    """End a dealership; interest earned is paid with the next accrual."""
    from node.cli.options import resolve_address

    address = resolve_address(account, sending.home)

    async def operations(_session: Session) -> list[Any]:
        return [_call("dismiss_dealer", {"asset": asset, "account": address})]

    return sending.run(operations)


@cb.command()
@_asset
@click.option("--dealer", required=True, metavar="ACCOUNT", help="Who gets it.")
@_amount
@_facility
@_ref
@base_units_option
@common
def issue(sending: Any, asset: str, dealer: str, amount: str, facility: str, ref: str, base_units: bool) -> Any:
    """Issue money to a dealer."""
    from node.cli.options import resolve_address

    address = resolve_address(dealer, sending.home)

    async def operations(session: Session) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return [_call("issue", {"asset": asset, "dealer": address, "amount": units, "facility": facility, "ref": ref})]

    return sending.run(operations)


@cb.command()
@_asset
@click.option("--leg", "legs", multiple=True, required=True, metavar="ACCOUNT:AMOUNT", help="A dealer and what he gets; repeated.")
@_facility
@_ref
@base_units_option
@common
def inject(sending: Any, asset: str, legs: tuple[str, ...], facility: str, ref: str, base_units: bool) -> Any:
    """Issue money to several dealers at once, all or nothing."""
    from node.cli.options import resolve_address

    parsed = [(resolve_address(name, sending.home), amount) for name, amount in (_split(leg, "--leg alice:100") for leg in legs)]

    async def operations(session: Session) -> list[Any]:
        given = [(dealer, await session.parse_amount(amount, asset, base_units=base_units)) for dealer, amount in parsed]
        return [_call("inject", {"asset": asset, "legs": tuple(sorted(given)), "facility": facility, "ref": ref})]

    return sending.run(operations)


@cb.command(name="redeem-request")
@_asset
@_amount
@click.option("--expires", default="+604800", show_default=True, metavar="TIME", help="Until when the central bank may answer.")
@_ref
@base_units_option
@common
def redeem_request(sending: Any, asset: str, amount: str, expires: str, ref: str, base_units: bool) -> Any:
    """Ask to redeem an amount; it is held until the central bank answers."""
    until = read_time(expires)

    async def operations(session: Session) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return [_call("redeem_request", {"asset": asset, "amount": units, "expires": until, "ref": ref})]

    return sending.run(operations)


@cb.command(name="redeem-confirm")
@_asset
@_request
@common
def redeem_confirm(sending: Any, asset: str, request: int) -> Any:
    """Burn what a dealer asked to redeem."""
    return _send(sending, "redeem_confirm", {"asset": asset, "request": request})


@cb.command(name="redeem-cancel")
@_asset
@_request
@common
def redeem_cancel(sending: Any, asset: str, request: int) -> Any:
    """Free what a dealer asked to redeem; by the central bank or by him."""
    return _send(sending, "redeem_cancel", {"asset": asset, "request": request})


@cb.command(name="set-rate")
@_asset
@click.option("--rate-ppm", type=click.IntRange(0, 1_000_000), required=True, help="Parts per million a year: 3.25 % is 32500.")
@click.option("--from-time", "start", required=True, metavar="TIME", help="When it takes effect; not now and not in the past.")
@common
def set_rate(sending: Any, asset: str, rate_ppm: int, start: str) -> Any:
    """Announce a policy rate."""
    return _send(sending, "set_rate", {"asset": asset, "rate_ppm": rate_ppm, "effective_from": read_time(start)})


@cb.command()
@_asset
@click.option("--period", type=POSITIVE, required=True, metavar="NUMBER", help="The next one: qenex query rate tells.")
@common
def accrue(sending: Any, asset: str, period: int) -> Any:
    """End a period and pay every dealer the interest he has earned."""
    return _send(sending, "accrue", {"asset": asset, "period": period})


@cb.command(name="set-reserve-requirement")
@_asset
@click.option("--tier", type=click.IntRange(0, 15), required=True, help="Dealers of which tier.")
@click.option("--ratio-ppm", type=click.IntRange(0, 1_000_000), required=True, help="Parts per million of their liabilities; 0 ends it.")
@common
def set_reserve_requirement(sending: Any, asset: str, tier: int, ratio_ppm: int) -> Any:
    """Set what part of their liabilities dealers of a tier must hold."""
    return _send(sending, "set_reserve_requirement", {"asset": asset, "tier": tier, "ratio_ppm": ratio_ppm})


@cb.command(name="report-liabilities")
@_asset
@_amount
@base_units_option
@common
def report_liabilities(sending: Any, asset: str, amount: str, base_units: bool) -> Any:
    """Report the sender's liabilities, of which his reserve is a part."""

    async def operations(session: Session) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return [_call("report_liabilities", {"asset": asset, "amount": units})]

    return sending.run(operations)


@cb.command()
@_asset
@_account
@click.option("--limit", required=True, help="Most to be owed at once.")
@click.option("--collateral", multiple=True, metavar="ASSET:AMOUNT", help="What the account pledges; may be repeated.")
@base_units_option
@common
def overdraft(sending: Any, asset: str, account: str, limit: str, collateral: tuple[str, ...], base_units: bool) -> Any:
    """Give ACCOUNT, which must sign too (--signer), a credit line, or new terms."""
    from node.cli.options import resolve_address

    address = resolve_address(account, sending.home)
    pledges = [_split(text, "--collateral BND:100") for text in collateral]

    async def operations(session: Session) -> list[Any]:
        pledged = [(code, await session.parse_amount(amount, code, base_units=base_units)) for code, amount in pledges]
        units = await session.parse_amount(limit, asset, base_units=base_units)
        fields = {"asset": asset, "account": address, "limit": units, "collateral": tuple(sorted(pledged))}
        return [_call("overdraft", fields)]

    return sending.run(operations)


@cb.command(name="close-overdraft")
@_asset
@_account
@common
def close_overdraft(sending: Any, asset: str, account: str) -> Any:
    """End a credit line; by the central bank or by the account."""
    from node.cli.options import resolve_address

    return _send(sending, "close_overdraft", {"asset": asset, "account": resolve_address(account, sending.home)})


@cb.command()
@_asset
@_amount
@base_units_option
@common
def repay(sending: Any, asset: str, amount: str, base_units: bool) -> Any:
    """Repay what the sender has drawn on its credit line."""

    async def operations(session: Session) -> list[Any]:
        return [_call("repay", {"asset": asset, "amount": await session.parse_amount(amount, asset, base_units=base_units)})]

    return sending.run(operations)


def read_time(text: str) -> int:
    """Unix seconds, or with a plus as many from now. Raises `ConfigError`."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 12:
        raise ConfigError(f"{text} is not a time", hint="Unix seconds, or seconds from now: +3600")
    return int(digits) + (int(time.time()) if text.startswith("+") else 0)


def _split(text: str, example: str) -> tuple[str, str]:
    name, colon, amount = text.rpartition(":")
    if not colon or not name or not amount:
        raise ConfigError(f"{text} is not a name and an amount", hint=f"such as {example}")
    return name, amount


def _call(operation: str, fields: dict[str, Any]) -> Any:
    from state.transaction import call

    return call(f"cb.{operation}", **fields)


def _send(sending: Any, operation: str, fields: dict[str, Any]) -> Any:
    async def operations(_session: Session) -> list[Any]:
        return [_call(operation, fields)]

    return sending.run(operations)
