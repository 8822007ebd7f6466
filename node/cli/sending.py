"""Options that every command of `qenex tx` has: who signs, at which node, for how long. What is sent is not decided here."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from node.cli.options import PassphraseReader, home_option, node_option, passphrase_option
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option
from state.primitives.errors import ConfigError
from state.primitives.limits import CLIENT_REF_BYTES, LANE_ORDERED_MAX, LANE_UNORDERED

F = TypeVar("F", bound=Callable[..., Any])

WAIT_S: Final = 60
_HOME_HELP = "Directory whose keys/ holds the keys (default: yours, then the local network's)."

base_units_option = click.option("--base-units", is_flag=True, help="Amounts count base units, not display units.")


def read_client_ref(text: str) -> bytes:
    """The 16 bytes of a client reference, or none. Raises `ConfigError`."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b"?"
    if len(data) not in (0, CLIENT_REF_BYTES):
        raise ConfigError(f"--client-ref {text}: 32 hex digits are needed")
    return data


def common(function: F) -> F:
    """Options of every transaction; the command gets them as one `Sending`."""

    @wraps(function)
    def command(
        sender: str,
        signer: tuple[str, ...],
        memo: str,
        max_fee: str | None,
        valid_for: int,
        acts_as: str | None,
        fee_payer: str | None,
        lane: int,
        unordered: bool,
        client_ref: str,
        wait: bool,
        node: str,
        home: Path | None,
        passphrase_file: Path | None,
        as_json: bool,
        **own: Any,
    ) -> int:
        from node.cli.session import Sending

        sending = Sending(
            node=node,
            home=home,
            passphrase=PassphraseReader(passphrase_file),
            sender=sender,
            signers=signer,
            memo=memo,
            max_fee=max_fee,
            valid_for_s=valid_for,
            wait_s=WAIT_S if wait else 0,
            acts_as=acts_as,
            fee_payer=fee_payer,
            lane=LANE_UNORDERED if unordered else lane,
            client_ref=read_client_ref(client_ref),
        )
        outcome = function(sending, **own)
        answer(as_json, outcome.to_json(), outcome.describe())
        return EXIT_OK if outcome.code == 0 else EXIT_FAILED

    for option in (
        json_option,
        passphrase_option,
        home_option(_HOME_HELP),
        node_option,
        click.option("--wait", is_flag=True, help="Wait until it is in a block, and say what became of it."),
        click.option(
            "--valid-for", type=click.IntRange(1, 86_400), default=600, show_default=True, help="Seconds until it expires."
        ),
        click.option(
            "--client-ref", default="", metavar="HEX", help="32 hex digits: the same request with them is done once in 7 days."
        ),
        click.option("--unordered", is_flag=True, help="Use no sequence; it expires within 10 minutes."),
        click.option("--lane", type=click.IntRange(0, LANE_ORDERED_MAX), default=0, help="Sequence to use, 0 to 63 [default: 0]."),
        click.option("--fee-payer", metavar="ACCOUNT", help="Who pays the fee: it signs too, or sponsors the sender."),
        click.option("--as", "acts_as", metavar="ACCOUNT", help="Act in its name: it signs too, or has delegated to the sender."),
        click.option("--max-fee", help="Most to pay, in base units of the fee asset [default: what the fee table says]."),
        click.option("--memo", default="", help="Public text, at most 256 bytes."),
        click.option("--signer", multiple=True, metavar="KEY", help="A further key that signs, or KEY@ACCOUNT; may be repeated."),
        click.option("--from", "sender", required=True, metavar="KEY", help="Key of the sending account, or KEY@ACCOUNT."),
    ):
        command = option(command)
    return command  # type: ignore[return-value]
