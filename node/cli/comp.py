"""`qenex tx comp`: freeze, release, sanction, authorise. What an operation means is the ledger's.

`--account` alone names an account as a whole (the network's compliance authority acts), `--account` and `--asset` its holding of an asset,
`--asset` alone the asset (the asset's own roles act). Reason and legal reference stand in a public event: no personal data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from node.cli.asset import asset_option, ground_options
from node.cli.sending import common
from state.primitives.errors import ConfigError, GenesisError

if TYPE_CHECKING:
    from node.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])

LEVEL_NAMES: Final = ("freeze", "deep")
STATE_NAMES: Final = ("unauthorised", "maintained", "authorised")
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_account = click.option("--account", required=True, metavar="ACCOUNT", help="Address, or name of a key.")


def _subject_options(function: F) -> F:
    for option in (
        click.option("--asset", help="Asset code."),
        click.option("--account", metavar="ACCOUNT", help="Address, or name of a key."),
    ):
        function = option(function)
    return function


@click.group(name="comp")
def comp() -> None:
    """Freezes, sanctions, authorisations."""


def _subject(sending: Any, account: str | None, asset: str | None) -> dict[str, Any]:
    from node.cli.options import resolve_address

    if account is None and asset is None:
        raise ConfigError("what is meant needs --account, --asset, or both", hint="both: the account's holding of the asset")
    scope = 3 if account is None else 1 if asset is None else 2
    return {"scope": scope, "account": resolve_address(account, sending.home) if account else b"", "asset": asset or ""}


def _send(sending: Any, operation: str, fields: dict[str, Any]) -> Any:
    from state.transaction import call

    async def operations(_session: Session) -> list[Any]:
        return [call(f"comp.{operation}", **fields)]

    return sending.run(operations)


def read_time(text: str) -> int:
    """Unix seconds of `2027-01-31T12:00:00Z` or of a number of seconds. Raises `ConfigError`."""
    from genesis.document import parse_time

    if _SECONDS.fullmatch(text):
        return int(text)
    try:
        return parse_time(text) // 1_000_000_000
    except GenesisError:
        raise ConfigError(f"{text} is not a time", hint="such as 2027-01-31T12:00:00Z, or Unix seconds") from None


@comp.command()
@_subject_options
@click.option("--level", type=click.Choice(LEVEL_NAMES), default="freeze", show_default=True, help="deep: receives nothing either.")
@click.option("--until", help="2027-01-31T12:00:00Z or Unix seconds [default: until it is released].")
@ground_options
@common
def freeze(
    sending: Any, account: str | None, asset: str | None, level: str, until: str | None, reason: str, legal_ref: str
) -> Any:
    """Freeze an account, a holding or an asset."""
    subject = _subject(sending, account, asset)
    ground = {"reason": reason, "legal_ref": legal_ref}
    ends = read_time(until) if until else 0
    return _send(sending, "freeze", {**subject, "level": 1 + LEVEL_NAMES.index(level), "until": ends, **ground})


@comp.command()
@_subject_options
@ground_options
@common
def unfreeze(sending: Any, account: str | None, asset: str | None, reason: str, legal_ref: str) -> Any:
    """Release what is frozen."""
    return _send(sending, "unfreeze", {**_subject(sending, account, asset), "reason": reason, "legal_ref": legal_ref})


@comp.command()
@asset_option
@_account
@click.option("--state", type=click.Choice(STATE_NAMES), required=True, help="maintained: only his own comes back to him.")
@ground_options
@common
def authorise(sending: Any, asset: str, account: str, state: str, reason: str, legal_ref: str) -> Any:
    """Say whether an account may hold an asset; the sender has the asset's role compliance."""
    from node.cli.options import resolve_address

    who, ground = resolve_address(account, sending.home), {"reason": reason, "legal_ref": legal_ref}
    return _send(sending, "authorise", {"asset": asset, "account": who, "state": STATE_NAMES.index(state), **ground})


@comp.command()
@_account
@click.option("--list", "list_id", required=True, help="Which list of sanctions.")
@ground_options
@common
def sanction(sending: Any, account: str, list_id: str, reason: str, legal_ref: str) -> Any:
    """Let an account do nothing at all; the sender acts for the compliance authority."""
    from node.cli.options import resolve_address

    who = resolve_address(account, sending.home)
    return _send(sending, "sanction", {"account": who, "list_id": list_id, "reason": reason, "legal_ref": legal_ref})


@comp.command()
@_account
@ground_options
@common
def unsanction(sending: Any, account: str, reason: str, legal_ref: str) -> Any:
    """End a sanction."""
    from node.cli.options import resolve_address

    who = resolve_address(account, sending.home)
    return _send(sending, "unsanction", {"account": who, "reason": reason, "legal_ref": legal_ref})
