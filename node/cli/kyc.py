"""`qenex tx kyc` and `qenex tx domain`: credentials, and names for whoever bears one of several. What an operation means is the ledger's.

Personal data stays off the ledger: what a credential rests on is named by the SHA-256 of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.comp import read_time
from node.cli.sending import common
from state.primitives.errors import ConfigError, MalformedError

if TYPE_CHECKING:
    from node.cli.session import Session

_type = click.option("--type", "kind", required=True, help="Type of the credential, such as kyc.")
_subject = click.option("--subject", required=True, metavar="ACCOUNT", help="Whom it is about.")
_domain = click.option("--domain", required=True, help="Name of the domain.")


@click.group(name="kyc")
def kyc() -> None:
    """Credentials: issue, accept, revoke."""


@click.group(name="domain")
def domain() -> None:
    """Domains: whoever bears one of several credentials."""


def send(sending: Any, operation: str, fields: dict[str, Any]) -> Any:
    """Send one operation whose fields need nothing from the node."""
    from state.transaction import call

    async def operations(_session: Session) -> list[Any]:
        return [call(operation, **fields)]

    return sending.run(operations)


def checked(check: Callable[[str], str], text: str) -> str:
    """A name that the ledger would take. Raises `ConfigError`."""
    try:
        return check(text)
    except MalformedError as error:
        raise ConfigError(f"{text!r}: {error.message}") from None


def read_hash_32(text: str, option: str) -> bytes:
    """SHA-256 of something as 64 hex digits. Raises `ConfigError`."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise ConfigError(f"{option} has 64 hex digits", hint="sha256sum of the file")
    return found


def _kind(text: str) -> str:
    from state.modules.kyc_fields import check_credential_type

    return checked(check_credential_type, text)


def domain_name(text: str) -> str:
    """The name of a domain as written."""
    from state.modules.kyc_fields import check_domain_name

    return checked(check_domain_name, text)


def jurisdiction_name(text: str) -> str:
    """A jurisdiction as written, or nothing."""
    from state.modules.kyc_fields import check_jurisdiction

    return checked(check_jurisdiction, text) if text else ""


@kyc.command()
@_subject
@_type
@click.option("--tier", type=click.IntRange(0, 255), default=0, show_default=True, help="How well the subject is known.")
@click.option("--jurisdiction", default="", help="Two letters, such as CH.")
@click.option("--expires", required=True, help="2027-01-31T12:00:00Z or Unix seconds.")
@click.option("--evidence-hash", required=True, help="SHA-256 of what it rests on, 64 hex digits.")
@common
def issue(sending: Any, subject: str, kind: str, tier: int, jurisdiction: str, expires: str, evidence_hash: str) -> Any:
    """Issue or renew a credential; it counts when its subject accepts it."""
    from node.cli.options import resolve_address

    fields = {
        "subject": resolve_address(subject, sending.home),
        "type": _kind(kind),
        "tier": tier,
        "jurisdiction": jurisdiction_name(jurisdiction),
        "expires": read_time(expires),
        "evidence_hash": read_hash_32(evidence_hash, "--evidence-hash"),
    }
    return send(sending, "kyc.issue", fields)


@kyc.command()
@click.option("--issuer", required=True, metavar="ACCOUNT", help="Who issued it.")
@_type
@common
def accept(sending: Any, issuer: str, kind: str) -> Any:
    """Accept a credential that was issued to the sender."""
    from node.cli.options import resolve_address

    return send(sending, "kyc.accept", {"issuer": resolve_address(issuer, sending.home), "type": _kind(kind)})


@kyc.command()
@_subject
@click.option("--issuer", required=True, metavar="ACCOUNT", help="Who issued it.")
@_type
@common
def revoke(sending: Any, subject: str, issuer: str, kind: str) -> Any:
    """Revoke a credential; the sender is its issuer or its subject."""
    from node.cli.options import resolve_address

    who = {"subject": resolve_address(subject, sending.home), "issuer": resolve_address(issuer, sending.home)}
    return send(sending, "kyc.revoke", {**who, "type": _kind(kind)})


@domain.command(name="set")
@_domain
@click.option("--accept", "accepted", multiple=True, required=True, metavar="ISSUER:TYPE[:TIER]", help="What makes a member; repeated.")
@common
def set_command(sending: Any, domain: str, accepted: tuple[str, ...]) -> Any:
    """Make a domain, or replace what the sender's own accepts."""
    rows = tuple(sorted(_read_accepted(text, sending) for text in accepted))
    return send(sending, "domain.set", {"domain": domain_name(domain), "credentials": rows})


def _read_accepted(text: str, sending: Any) -> tuple[bytes, str, int]:
    from node.cli.options import resolve_address

    issuer, _, rest = text.partition(":")
    kind, _, tier = rest.partition(":")
    if not rest or not (tier or "0").isdecimal() or int(tier or "0") > 255:
        raise ConfigError(f"--accept {text} is not of the form ISSUER:TYPE or ISSUER:TYPE:TIER", hint="such as carol:kyc:2")
    return resolve_address(issuer, sending.home), _kind(kind), int(tier or "0")


@domain.command()
@_domain
@common
def delete(sending: Any, domain: str) -> Any:
    """Delete the sender's domain: nobody is a member any more, and nobody else can take the name."""
    return send(sending, "domain.delete", {"domain": domain_name(domain)})


GROUPS: Final = (kyc, domain)
