"""What the commands on holds, escrows, settlements and offers share: names, references, dates. No operation goes in here."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from state.primitives.errors import ConfigError, MalformedError
from state.primitives.limits import PENDING_REF_BYTES

if TYPE_CHECKING:
    from node.cli.session import Outcome, Session

WHEN_HELP: Final = 'when, such as "90s", "30m", "12h", "7d", "2027-01-31T12:00:00Z" or Unix seconds'
_SPAN: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_UNIX: Final = re.compile(r"[0-9]{9,12}", re.ASCII)

ref_option = click.option("--ref", help="Your own reference, 32 hex digits or a UUID [default: a random one]; the name follows from it.")


def parse_when(text: str) -> int:
    """Unix seconds of a span from now, a date with its zone, or Unix seconds. Raises `ConfigError`."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        return int(time.time()) + int(span.group(1)) * _UNITS_S[span.group(2)]
    if _UNIX.fullmatch(text) is not None:
        return int(text)
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return int(found.astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        pass
    raise ConfigError(f"{text!r} is no time", hint=WHEN_HELP)


def parse_ref(text: str | None) -> bytes:
    """The 16 bytes of a reference; random ones for none. Raises `ConfigError`."""
    if text is None:
        return secrets.token_bytes(PENDING_REF_BYTES)
    return parse_hex(text.replace("-", ""), PENDING_REF_BYTES, "--ref")


def parse_hex(text: str, length: int, what: str) -> bytes:
    """So many bytes of hex digits. Raises `ConfigError`."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != length:
        raise ConfigError(f"{what} has {2 * length} hex digits")
    return found


def parse_name(text: str) -> bytes:
    """The 20 bytes that name a hold, an escrow, a settlement or an offer. Raises `ConfigError`."""
    from state.queries_pending import read_id

    try:
        return read_id(text)
    except MalformedError as error:
        raise ConfigError(error.message, hint="qenex query pending ACCOUNT lists what is open") from None


def make(sending: Any, kind: str, ref: bytes, build: Callable[[Session], Awaitable[dict[str, Any]]], operation: str) -> Outcome:
    """Send one operation that makes something, and say its name in the answer."""
    names: dict[str, str] = {}

    async def operations(session: Session) -> list[Any]:
        from state.modules.pending import compute_id
        from state.queries_pending import KINDS
        from state.transaction import call

        names[kind] = compute_id(KINDS[kind], session.acting, ref).hex()
        return [call(operation, ref=ref, **await build(session))]

    outcome: Outcome = sending.run(operations)
    return outcome if outcome.code else replace(outcome, made={**names, "ref": ref.hex()})


def act(sending: Any, operation: str, **fields: Any) -> Outcome:
    """Send one operation."""

    async def operations(_session: Session) -> list[Any]:
        from state.transaction import call

        return [call(operation, **fields)]

    outcome: Outcome = sending.run(operations)
    return outcome


async def read_open(session: Session, kind: str, name: bytes) -> dict[str, Any]:
    """Something that must still be open. Raises `ConfigError`."""
    found: dict[str, Any] | None = (await session.client.call(kind, **{kind: name.hex()}))[kind]
    if found is None:
        raise ConfigError(f"there is no {kind} {name.hex()}", hint="what is settled is forgotten after a day")
    if "ref" not in found:
        raise ConfigError(f"the {kind} is {found['status'].replace('_', ' ')}")
    return found
