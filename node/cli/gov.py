"""`qenex tx gov` and `qenex tx group`: propose, vote, execute; trip and reset breakers; act in groups.

A proposal carries operations, written as JSON (`node.cli.op_json`). Deposits are in display units of the staked asset. What an operation
means is the ledger's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from node.cli.op_json import Writer, read_ops, stake_asset
from node.cli.sending import base_units_option, common
from node.cli.values import NUMBER, POSITIVE, FilePath
from state.primitives.errors import ConfigError
from state.primitives.limits import BREAKER_S_MAX, GROUP_DELAY_S_MAX

if TYPE_CHECKING:
    from node.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Final = ("yes", "no", "abstain", "veto")
_PPM: Final = 1_000_000
_number = click.argument("number", metavar="PROPOSAL", type=NUMBER)
_group = click.option("--group", "group_text", required=True, metavar="ADDRESS", help="The group's account.")
_proposal = click.option("--proposal", "number", type=NUMBER, required=True, help="Its number in the group.")


def _ops_options(function: F) -> F:
    for option in (
        click.option("--title", default="", help="What it is about; only the SHA-256 of the text goes into the proposal."),
        click.option("--file", "file", type=FilePath(dir_okay=False), help="File with a list of operations as JSON."),
        click.option("--op", "texts", multiple=True, metavar="JSON", help="An operation; may be repeated, done in this order."),
    ):
        function = option(function)
    return function


@click.group()
def gov() -> None:
    """Propose, vote, execute."""


@gov.command()
@_ops_options
@click.option("--deposit", help="In the staked asset [default: all that a proposal needs].")
@click.option("--expedited", is_flag=True, help="A shorter vote that needs more to pass.")
@base_units_option
@common
def propose(
    sending: Any, texts: tuple[str, ...], file: Path | None, title: str, deposit: str | None, expedited: bool, base_units: bool
) -> Any:
    """Propose operations that governance is to do; the answer has the proposal's number with --wait."""
    items = read_ops(texts, file)

    async def operations(session: Session) -> list[Any]:
        writer = Writer(session, sending.home, base_units=base_units)
        fields = {
            "ops": tuple([await writer.write(item) for item in items]),
            "title_hash": _hash(title),
            "deposit": await _deposit(session, deposit, base_units),
            "expedited": int(expedited),
        }
        return [_call("gov.propose", fields)]

    return _with_number(sending.run(operations), "proposal_created")


@gov.command()
@_number
@click.option("--amount", required=True, help="In the staked asset.")
@base_units_option
@common
def deposit(sending: Any, number: int, amount: str, base_units: bool) -> Any:
    """Add to the deposit of PROPOSAL."""

    async def operations(session: Session) -> list[Any]:
        return [_call("gov.deposit", {"proposal": number, "amount": await _deposit(session, amount, base_units)})]

    return sending.run(operations)


@gov.command()
@_number
@click.option("--option", "choice", type=click.Choice(_OPTIONS), help="The whole power for one option.")
@click.option("--weights", metavar="OPTION=PPM,...", help="The power divided, in parts per million, such as yes=600000,no=400000.")
@common
def vote(sending: Any, number: int, choice: str | None, weights: str | None) -> Any:
    """Vote on PROPOSAL; the last vote counts."""
    parts = read_weights(choice, weights)
    return _send(sending, "gov.vote", {"proposal": number, "weights": parts})


@gov.command()
@_number
@common
def execute(sending: Any, number: int) -> Any:
    """Have the operations of PROPOSAL done, which has passed and waited."""
    return _send(sending, "gov.execute", {"proposal": number})


@gov.command()
@_number
@common
def cancel(sending: Any, number: int) -> Any:
    """Withdraw the sender's own PROPOSAL before its vote ends."""
    return _send(sending, "gov.cancel", {"proposal": number})


def _breaker_options(function: F) -> F:
    for option in (
        click.option("--second", required=True, metavar="KEY", help="The key of another member, which signs too."),
        click.option("--function", "function", default="", help="Only this operation, such as amm.swap_in [default: the whole module]."),
        click.option("--module", required=True, help="Such as amm."),
    ):
        function = option(function)
    return function


@gov.command()
@_breaker_options
@click.option(
    "--for", "seconds", type=click.IntRange(1, BREAKER_S_MAX), default=3_600, show_default=True, help="Seconds; at most three days."
)
@common
def trip(sending: Any, module: str, function: str, second: str, seconds: int) -> Any:
    """Stop a module for a while: the sender and another member of the emergency committee."""
    sending, address = _with_second(sending, second)
    fields = {"module": module, "function": function, "until": int(time.time()) + seconds, "second": address}
    return _send(sending, "gov.trip", fields)


@gov.command()
@_breaker_options
@common
def reset(sending: Any, module: str, function: str, second: str) -> Any:
    """Let a module run again that the committee has stopped."""
    sending, address = _with_second(sending, second)
    return _send(sending, "gov.reset", {"module": module, "function": function, "second": address})


@click.group()
def group() -> None:
    """Make groups, and act in them."""


@group.command()
@click.option("--member", "members", multiple=True, required=True, metavar="ACCOUNT[:WEIGHT]", help="May be repeated.")
@click.option("--threshold", type=POSITIVE, required=True, help="The weight that approves.")
@click.option(
    "--min-delay",
    type=click.IntRange(0, GROUP_DELAY_S_MAX),
    default=0,
    show_default=True,
    help="Seconds that an approved proposal waits.",
)
@common
def create(sending: Any, members: tuple[str, ...], threshold: int, min_delay: int) -> Any:
    """Make a group; the answer has its address with --wait."""
    rows = tuple(sorted(_member(text, sending.home) for text in members))
    fields = {"members": rows, "threshold": threshold, "min_delay_s": min_delay}
    return _with_number(_send(sending, "group.create", fields), "group_set")


@group.command(name="propose")
@_group
@_ops_options
@base_units_option
@common
def group_propose(sending: Any, group_text: str, texts: tuple[str, ...], file: Path | None, title: str, base_units: bool) -> Any:
    """Propose operations that the group is to do, and approve them."""
    from node.cli.options import resolve_address

    items, address = read_ops(texts, file), resolve_address(group_text, sending.home)

    async def operations(session: Session) -> list[Any]:
        writer = Writer(session, sending.home, base_units=base_units)
        ops = tuple([await writer.write(item) for item in items])
        return [_call("group.propose", {"group": address, "ops": ops, "title_hash": _hash(title)})]

    return _with_number(sending.run(operations), "group_proposed")


@group.command()
@_group
@_proposal
@click.option("--revoke", is_flag=True, help="Take the sender's approval back.")
@common
def approve(sending: Any, group_text: str, number: int, revoke: bool) -> Any:
    """Approve a proposal of a group."""
    from node.cli.options import resolve_address

    address = resolve_address(group_text, sending.home)
    return _send(sending, "group.approve", {"group": address, "proposal": number, "on": int(not revoke)})


@group.command(name="execute")
@_group
@_proposal
@common
def group_execute(sending: Any, group_text: str, number: int) -> Any:
    """Have the operations of an approved proposal done."""
    from node.cli.options import resolve_address

    address = resolve_address(group_text, sending.home)
    return _send(sending, "group.execute", {"group": address, "proposal": number})


@dataclass(frozen=True)
class Numbered:
    """An outcome and what its event names: the new proposal, the new group."""

    outcome: Any
    name: str
    value: str

    @property
    def code(self) -> int:
        """The transaction's code."""
        return int(self.outcome.code)

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {**self.outcome.to_json(), self.name: self.value}

    def describe(self) -> list[str]:
        """What happened, a line for each event."""
        return list(self.outcome.describe())


def _with_number(outcome: Any, event: str) -> Any:
    """The outcome with the proposal or the group of its event, once it is in a block."""
    name = "group" if event == "group_set" else "proposal"
    for found, values in outcome.found.events:
        if found == event:
            return Numbered(outcome, name, values[name])
    return outcome


def read_weights(choice: str | None, weights: str | None) -> tuple[int, int, int, int]:
    """A vote's parts per million: yes, no, abstain, veto. Raises `ConfigError`."""
    if (choice is None) == (weights is None):
        raise ConfigError("say --option or --weights", hint="--option yes, or --weights yes=600000,no=400000")
    parts = dict.fromkeys(_OPTIONS, 0)
    for item in [f"{choice}={_PPM}"] if weights is None else weights.split(","):
        name, _, text = item.partition("=")
        if name not in parts or not text.isascii() or not text.isdecimal() or len(text) > 7:
            raise ConfigError(f"{item} is no part of a vote", hint="such as yes=600000,no=400000")
        parts[name] += int(text)
    if sum(parts.values()) != _PPM:
        raise ConfigError(f"the parts of a vote sum to {sum(parts.values())}, not to 1,000,000")
    return parts["yes"], parts["no"], parts["abstain"], parts["veto"]


def _member(text: str, home: Path | None) -> tuple[bytes, int]:
    from node.cli.options import resolve_address

    name, _, weight = text.partition(":")
    if weight and not (weight.isascii() and weight.isdecimal() and len(weight) <= 5):
        raise ConfigError(f"{text}: a member's weight is a whole number", hint="ACCOUNT or ACCOUNT:WEIGHT")
    return resolve_address(name, home), int(weight or 1)


def _with_second(sending: Any, second: str) -> tuple[Any, bytes]:
    from node.cli.options import resolve_address

    return replace(sending, signers=(*sending.signers, second)), resolve_address(second, sending.home)


def _hash(title: str) -> bytes:
    return hashlib.sha256(title.encode()).digest() if title else b""


async def _deposit(session: Session, text: str | None, base_units: bool) -> int:
    if text is None:
        return int((await session.client.call("record", path="/params/gov"))["record"]["deposit_min"])
    return await session.parse_amount(text, await stake_asset(session), base_units=base_units)


def _call(operation: str, fields: dict[str, Any]) -> Any:
    from state.transaction import call

    return call(operation, **fields)


def _send(sending: Any, operation: str, fields: dict[str, Any]) -> Any:
    async def operations(_session: Session) -> list[Any]:
        return [_call(operation, fields)]

    return sending.run(operations)
