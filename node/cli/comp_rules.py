"""`qenex tx comp set-limits ... revoke-view`: rules for assets, recovery of a holder, views. What an operation means is the ledger's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from node.cli.comp import read_time
from node.cli.kyc import checked, jurisdiction_name, read_hash_32, send
from node.cli.parts import parse_key_rows
from node.cli.sending import base_units_option, common
from state.primitives.errors import ConfigError
from state.primitives.limits import LIMIT_WINDOW_S_MAX

if TYPE_CHECKING:
    from node.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])

SCOPES: Final = ("account", "holding", "asset", "tier")
VIEW_SCOPES: Final = ("network", "account", "asset")
_asset = click.option("--asset", required=True, help="Asset code, such as QNX.")
_jurisdiction = click.option("--jurisdiction", default="", help="Two letters [default: all that have none of their own].")


def _scope_options(function: F) -> F:
    for option in (
        click.option("--tier", type=click.IntRange(0, 255), help="With --scope tier."),
        click.option("--account", metavar="ACCOUNT", help="With --scope account (and its sub-accounts) or holding (alone)."),
        _asset,
        click.option("--scope", type=click.Choice(SCOPES), required=True, help="Whose limits."),
    ):
        function = option(function)
    return function


def _view_options(function: F) -> F:
    for option in (
        click.option("--asset", help="A view of this asset."),
        click.option("--account", metavar="ACCOUNT", help="A view of this account."),
        click.option("--regulator", required=True, metavar="ACCOUNT", help="Who may see it."),
    ):
        function = option(function)
    return function


def _scope(sending: Any, scope: str, account: str | None, asset: str, tier: int | None) -> dict[str, Any]:
    from node.cli.options import resolve_address

    if (account is None) == (scope in ("account", "holding")):
        raise ConfigError(f"--scope {scope} and --account do not fit", hint="account and holding need one, asset and tier none")
    if (tier is None) == (scope == "tier"):
        raise ConfigError(f"--scope {scope} and --tier do not fit", hint="tier needs one, the others none")
    who = resolve_address(account, sending.home) if account else b""
    return {"scope": 1 + SCOPES.index(scope), "account": who, "asset": asset, "tier": tier or 0}


@click.command(name="set-limits")
@_scope_options
@click.option("--per-tx", default="0", help="Most in one transaction, each way.")
@click.option("--window", "window_s", type=click.IntRange(0, LIMIT_WINDOW_S_MAX), default=0, help="Seconds of the window.")
@click.option("--in", "in_max", default="0", help="Most that comes in within the window.")
@click.option("--out", "out_max", default="0", help="Most that goes out within it.")
@click.option("--max-balance", default="0", help="Most that may be held.")
@base_units_option
@common
def set_limits(
    sending: Any,
    scope: str,
    asset: str,
    account: str | None,
    tier: int | None,
    per_tx: str,
    window_s: int,
    in_max: str,
    out_max: str,
    max_balance: str,
    base_units: bool,
) -> Any:
    """Limit what is moved and held of an asset; zero means no such limit. By its issuer, or the compliance authority."""
    from state.transaction import call

    fields = _scope(sending, scope, account, asset, tier)
    texts = {"per_tx": per_tx, "in_max": in_max, "out_max": out_max, "max_balance": max_balance}

    async def operations(session: Session) -> list[Any]:
        amounts: dict[str, Any] = {
            name: await session.parse_amount(text, asset, base_units=base_units) for name, text in texts.items()
        }
        if not any(amounts.values()) or bool(window_s) != bool(amounts["in_max"] or amounts["out_max"]):
            raise ConfigError("limits need --per-tx, --max-balance, or --window with --in or --out")
        return [call("comp.set_limits", **fields, window_s=window_s, **amounts)]

    return sending.run(operations)


@click.command(name="clear-limits")
@_scope_options
@common
def clear_limits(sending: Any, scope: str, asset: str, account: str | None, tier: int | None) -> Any:
    """Take limits away."""
    return send(sending, "comp.clear_limits", _scope(sending, scope, account, asset, tier))


@click.command(name="set-jurisdictions")
@_asset
@click.option("--block", multiple=True, metavar="XX", help="Who may not hold it; repeated. ZZ: of no known jurisdiction.")
@click.option("--only", multiple=True, metavar="XX", help="The only ones that may hold it; repeated.")
@common
def set_jurisdictions(sending: Any, asset: str, block: tuple[str, ...], only: tuple[str, ...]) -> Any:
    """Say who may hold an asset by jurisdiction; with neither option, everybody."""
    if block and only:
        raise ConfigError("--block and --only exclude each other")
    names = tuple(sorted({jurisdiction_name(name) for name in block or only}))
    return send(sending, "comp.set_jurisdictions", {"asset": asset, "only": int(bool(only)), "jurisdictions": names})


@click.command(name="set-travel-threshold")
@_asset
@_jurisdiction
@click.option("--amount", required=True, help="From this amount on; 0: every payment.")
@base_units_option
@common
def set_travel_threshold(sending: Any, asset: str, jurisdiction: str, amount: str, base_units: bool) -> Any:
    """Have payments between institutions carry travel data from an amount on."""
    from state.transaction import call

    where = jurisdiction_name(jurisdiction)

    async def operations(session: Session) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return [call("comp.set_travel_threshold", jurisdiction=where, asset=asset, amount=units)]

    return sending.run(operations)


@click.command(name="clear-travel-threshold")
@_asset
@_jurisdiction
@common
def clear_travel_threshold(sending: Any, asset: str, jurisdiction: str) -> Any:
    """Take a threshold away."""
    return send(sending, "comp.clear_travel_threshold", {"asset": asset, "jurisdiction": jurisdiction_name(jurisdiction)})


@click.command(name="register-vasp")
@click.option("--institution", required=True, metavar="ACCOUNT", help="The institution's account, not a sub-account.")
@click.option("--lei", required=True, help="Its legal entity identifier, 20 characters.")
@click.option("--key", "keys", multiple=True, required=True, metavar="KEY", help="A key that attests: NAME or KIND=HEX; repeated.")
@common
def register_vasp(sending: Any, institution: str, lei: str, keys: tuple[str, ...]) -> Any:
    """Register who attests for an institution; keys are numbered from 0. By the compliance authority; later by itself."""
    from node.cli.options import resolve_address
    from state.modules.kyc_fields import check_lei

    rows = parse_key_rows(keys, sending.home)
    fields = {"institution": resolve_address(institution, sending.home), "lei": checked(check_lei, lei), "keys": rows}
    return send(sending, "comp.register_vasp", fields)


@click.command(name="recover-holder")
@click.option("--old", required=True, metavar="ACCOUNT", help="Whose keys are lost or stolen.")
@click.option("--new", required=True, metavar="ACCOUNT", help="The holder's new account; it signs too (--signer).")
@click.option("--evidence-hash", required=True, help="SHA-256 of the evidence, 64 hex digits.")
@click.option("--asset", "assets", multiple=True, help="Only this asset; may be repeated [default: all].")
@common
def recover_holder(sending: Any, old: str, new: str, evidence_hash: str, assets: tuple[str, ...]) -> Any:
    """Give a holder his assets in a new account, and the old account the new one's keys. By the compliance authority."""
    from node.cli.options import resolve_address

    who = {"old": resolve_address(old, sending.home), "new": resolve_address(new, sending.home)}
    rest = {"evidence_hash": read_hash_32(evidence_hash, "--evidence-hash"), "assets": tuple(sorted(set(assets)))}
    if who["old"] == who["new"]:
        raise ConfigError("--old and --new are one account")
    return send(sending, "comp.recover_holder", {**who, **rest})


def _view(sending: Any, regulator: str, account: str | None, asset: str | None) -> dict[str, Any]:
    from node.cli.options import resolve_address

    if account and asset:
        raise ConfigError("a view is of an account or of an asset, not of both", hint="neither: of the network")
    scope = "account" if account else "asset" if asset else "network"
    who = {"regulator": resolve_address(regulator, sending.home), "scope": VIEW_SCOPES.index(scope)}
    return {**who, "account": resolve_address(account, sending.home) if account else b"", "asset": asset or ""}


@click.command(name="grant-view")
@_view_options
@click.option("--until", required=True, help="2027-01-31T12:00:00Z or Unix seconds.")
@common
def grant_view(sending: Any, regulator: str, account: str | None, asset: str | None, until: str) -> Any:
    """Let a regulator see the network, an account or an asset until a date."""
    return send(sending, "comp.grant_view", {**_view(sending, regulator, account, asset), "until": read_time(until)})


@click.command(name="revoke-view")
@_view_options
@common
def revoke_view(sending: Any, regulator: str, account: str | None, asset: str | None) -> Any:
    """End a view."""
    return send(sending, "comp.revoke_view", _view(sending, regulator, account, asset))


COMMANDS: Final = (
    set_limits,
    clear_limits,
    set_jurisdictions,
    set_travel_threshold,
    clear_travel_threshold,
    register_vasp,
    recover_holder,
    grant_view,
    revoke_view,
)
