"""Options that every command of `qenex tx` has: who signs, at which node, for how long. What is sent is not decided here."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from node.cli.options import PassphraseReader, home_option, node_option, passphrase_option
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option

F = TypeVar("F", bound=Callable[..., Any])

WAIT_S: Final = 60
_HOME_HELP = "Directory whose keys/ holds the keys (default: yours, then the local network's)."

base_units_option = click.option("--base-units", is_flag=True, help="Amounts count base units, not display units.")


def common(function: F) -> F:
    """Options of every transaction; the command gets them as one `Sending`."""

    @wraps(function)
    def command(
        sender: str,
        signer: tuple[str, ...],
        memo: str,
        max_fee: str | None,
        valid_for: int,
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
        click.option("--max-fee", help="Most to pay, in base units of the fee asset [default: what the fee table says]."),
        click.option("--memo", default="", help="Public text, at most 256 bytes."),
        click.option("--signer", multiple=True, metavar="KEY", help="A further key that signs; may be repeated."),
        click.option("--from", "sender", required=True, metavar="KEY", help="Key of the sending account."),
    ):
        command = option(command)
    return command  # type: ignore[return-value]
