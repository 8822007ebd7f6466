"""`qenex tx settle`, `pay` and `claim`: what several agree on, and what waits for its owner. What an operation means is the ledger's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from node.cli.asset import asset_option, ground_options
from node.cli.promising import WHEN_HELP, act, make, parse_hex, parse_name, parse_ref, parse_when, read_open, ref_option
from node.cli.sending import base_units_option, common
from node.cli.values import NUMBER
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.cli.session import Session

_terms = click.option(
    "--terms", help="What is agreed to, 64 hex digits, as qenex query shows it [default: what the node says now]."
)


class PaymentText(NamedTuple):
    """One leg as written: `alice:bob:EUR:1.5`."""

    sender: str
    recipient: str
    asset: str
    amount: str


def parse_payment(text: str) -> PaymentText:
    """`FROM:TO:ASSET:AMOUNT`. Raises `ConfigError`."""
    parts = text.split(":")
    if len(parts) != 4 or not all(parts):
        raise ConfigError(f"--leg {text} is not of the form FROM:TO:ASSET:AMOUNT", hint="such as alice:bob:EUR:1.5")
    return PaymentText(*parts)


def parse_side(text: str | None, what: str) -> tuple[str, str]:
    """`ASSET:AMOUNT` of one side of an offer; two empty texts for none. Raises `ConfigError`."""
    if text is None:
        return "", ""
    asset, colon, amount = text.partition(":")
    if not (asset and colon and amount):
        raise ConfigError(f"{what} {text} is not of the form ASSET:AMOUNT", hint="such as EUR:1.5")
    return asset, amount


@click.group(name="settle")
def settle() -> None:
    """Settlements: payments of several accounts, all at once or not at all."""


@settle.command()
@click.option("--leg", "legs", multiple=True, required=True, metavar="FROM:TO:ASSET:AMOUNT", help="One payment; may be repeated.")
@click.option("--deadline", required=True, metavar="WHEN", help=f"From when everything is free again: {WHEN_HELP}.")
@click.option("--agent", metavar="ACCOUNT", help="The only one who executes it [default: anybody].")
@ref_option
@base_units_option
@common
def create(
    sending: Any, legs: tuple[str, ...], deadline: str, agent: str | None, ref: str | None, base_units: bool
) -> Any:
    """Write a settlement down; each paying account then sets its part aside."""
    from node.cli.options import resolve_address

    parsed = [parse_payment(text) for text in legs]
    ends = [(resolve_address(leg.sender, sending.home), resolve_address(leg.recipient, sending.home)) for leg in parsed]
    who = resolve_address(agent, sending.home) if agent else b""
    deadline_s = parse_when(deadline)

    async def build(session: Session) -> dict[str, Any]:
        rows = []
        for (sender, recipient), leg in zip(ends, parsed, strict=True):
            units = await session.parse_amount(leg.amount, leg.asset, base_units=base_units)
            rows.append((sender, recipient, leg.asset, units))
        return {"legs": tuple(rows), "agent": who, "deadline": deadline_s}

    return make(sending, "settlement", parse_ref(ref), build, "settle.create")


@settle.command()
@click.argument("name", metavar="SETTLEMENT")
@_terms
@common
def allocate(sending: Any, name: str, terms: str | None) -> Any:
    """Agree to SETTLEMENT: set aside everything that the sender pays in it, until its deadline."""
    return _agree(sending, "settlement", "settle.allocate", parse_name(name), terms)


@settle.command()
@click.argument("name", metavar="SETTLEMENT")
@common
def execute(sending: Any, name: str) -> Any:
    """Make all payments of SETTLEMENT, which every paying account has agreed to."""
    return act(sending, "settle.execute", settlement=parse_name(name))


@settle.command(name="cancel")
@click.argument("name", metavar="SETTLEMENT")
@common
def cancel_settlement(sending: Any, name: str) -> Any:
    """End SETTLEMENT: its agent, or a party that has set nothing aside."""
    return act(sending, "settle.cancel", settlement=parse_name(name))


@click.group(name="pay")
def pay() -> None:
    """Offers between two accounts: one thing for another, a request, or a gift."""


@pay.command()
@click.option("--to", required=True, metavar="ACCOUNT", help="Who may accept: address, or name of a key.")
@click.option("--give", metavar="ASSET:AMOUNT", help="What the sender gives; it is held until then [default: nothing].")
@click.option("--want", metavar="ASSET:AMOUNT", help="What the sender wants for it [default: nothing].")
@click.option("--expires", required=True, metavar="WHEN", help=f"From when it cannot be accepted: {WHEN_HELP}.")
@ref_option
@base_units_option
@common
def offer(
    sending: Any, to: str, give: str | None, want: str | None, expires: str, ref: str | None, base_units: bool
) -> Any:
    """Offer an account what the sender gives for what it wants; the answer names the offer."""
    from node.cli.options import resolve_address

    recipient = resolve_address(to, sending.home)
    sides = {"give": parse_side(give, "--give"), "want": parse_side(want, "--want")}
    if give is None and want is None:
        raise ConfigError("an offer gives something, wants something, or both", hint="--give EUR:5 --want QNX:20")
    expires_s = parse_when(expires)

    async def build(session: Session) -> dict[str, Any]:
        fields: dict[str, Any] = {"to": recipient, "expires": expires_s}
        for side, (asset, amount) in sides.items():
            units = await session.parse_amount(amount, asset, base_units=base_units) if asset else 0
            fields |= {f"{side}_asset": asset, f"{side}_amount": units}
            if asset and not units:
                raise ConfigError(f"--{side} is of nothing", hint="leave it out for an offer that has nothing on that side")
        return fields

    return make(sending, "offer", parse_ref(ref), build, "pay.offer")


@pay.command()
@click.argument("name", metavar="OFFER")
@_terms
@common
def accept(sending: Any, name: str, terms: str | None) -> Any:
    """Accept OFFER: both sides move at once."""
    return _agree(sending, "offer", "pay.accept", parse_name(name), terms)


@pay.command()
@click.argument("name", metavar="OFFER")
@common
def cancel(sending: Any, name: str) -> Any:
    """End OFFER: either side may."""
    return act(sending, "pay.cancel", offer=parse_name(name))


def _agree(sending: Any, kind: str, operation: str, name: bytes, terms: str | None) -> Any:
    given = parse_hex(terms, 32, "--terms") if terms is not None else None

    async def operations(session: Session) -> list[Any]:
        from state.transaction import call

        agreed = given if given is not None else bytes.fromhex((await read_open(session, kind, name))["terms"])
        return [call(operation, **{kind: name, "terms": agreed})]

    return sending.run(operations)


@click.group(name="claim")
def claim() -> None:
    """Claims: what a freeze or another rule has kept from its owner."""


@claim.command()
@click.argument("number", type=NUMBER)
@common
def take(sending: Any, number: int) -> Any:
    """Take the claim NUMBER of the sender's: qenex query claims lists them."""
    return act(sending, "claim.take", claim=number)


@claim.command()
@click.argument("number", type=NUMBER)
@asset_option
@click.option("--holder", required=True, metavar="ACCOUNT", help="Whose claim it is.")
@ground_options
@common
def clawback(sending: Any, number: int, asset: str, holder: str, reason: str, legal_ref: str) -> Any:
    """Burn the claim NUMBER of a holder; the sender has the role clawback of its asset."""
    from node.cli.options import resolve_address

    who = resolve_address(holder, sending.home)
    return act(sending, "claim.clawback", asset=asset, holder=who, claim=number, reason=reason, legal_ref=legal_ref)
