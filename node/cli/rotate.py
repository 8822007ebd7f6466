"""`qenex keys rotate-validator`: new voting keys for a validator that goes on voting. What is done is `node.signing.rotation`'s."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.options import PassphraseReader, home_option, node_option, passphrase_option
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option
from node.cli.values import FilePath
from state.primitives.errors import ConfigError, KeyRotationError

if TYPE_CHECKING:
    from node.config import Home
    from node.rpc.client import Client

TAKEN_S_MAX: Final = 30.0  # a process looks twice a second; opening an encrypted key takes a third of one
WAIT_S: Final = 60


@click.command(name="rotate-validator")
@home_option("The home that holds the voting keys: a node's or a signer's.", required=True)
@click.option("--from", "sender", metavar="KEY", help="Key of the validator's owner, or KEY@ACCOUNT: send the operation.")
@click.option(
    "--keys-home", type=FilePath(file_okay=False), help="Directory whose keys/ holds that key (default: yours)."
)
@click.option("--out", type=FilePath(dir_okay=False), help="Write the operation, for the owner to send.")
@click.option("--resume", is_flag=True, help="Use the next keys that are there already.")
@click.option("--discard", is_flag=True, help="Delete the next keys; the ledger must not know them, and no process have taken them.")
@click.option("--max-fee", help="Most to pay, in base units of the fee asset [default: what the fee table says].")
@node_option
@passphrase_option
@json_option
def rotate_validator(
    home: Path,
    sender: str | None,
    keys_home: Path | None,
    out: Path | None,
    resume: bool,
    discard: bool,
    max_fee: str | None,
    node: str,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Make the next voting keys, have the running process take them, and send the operation that puts them into force.

    The validator votes with the old keys until the ledger says so, and with the new ones from that height on; nothing is stopped.
    """
    from genesis.document import parse
    from node.audit.commands import record_command
    from node.config import Home
    from node.signing.rotation import is_running, prepare_next, wait_until_taken
    from state.primitives.hashing import validator_address

    files = Home(home)
    passphrase = PassphraseReader(passphrase_file)
    if discard:
        if sender is not None or out is not None or resume:
            raise ConfigError("--discard is a step of its own", hint="leave --from, --out and --resume out")
        return _discard(files, node, as_json)
    if sender is None and out is None:
        raise ConfigError("--from or --out is needed", hint="--from KEY sends the operation, --out FILE writes it for the owner")
    document = parse(_read(files.genesis_file))
    next_keys = prepare_next(files, document.hash, passphrase, is_resumed=resume)
    operation = next_keys.to_operation()
    new = validator_address(next_keys.keys.key.public_key.data).hex().upper()
    record_command(files, "key.rotate", role="validator", step="prepared", address=new, old_address=next_keys.address.hex().upper())
    data: dict[str, Any] = {"home": str(home), "old": next_keys.address.hex().upper(), "new": new, "operation": operation}
    lines = [f"the validator {data['old']} will vote as {new}", f"next keys in {files.next_key_file}"]
    data["running"] = is_running(files)
    if data["running"]:
        click.echo("waiting for the running process to take the next keys", err=True)
        wait_until_taken(files, TAKEN_S_MAX)
        lines.append("the running process has taken them")
    if out is not None:
        _write(out, json.dumps(operation))
        lines.append(f"operation in {out}; its owner sends it: qenex tx stake rotate-key --operation {out} --from KEY --wait")
    if sender is None:
        answer(as_json, data, lines)
        return EXIT_OK
    outcome = _send(operation, sender, keys_home, node, max_fee, passphrase)
    if outcome.code:
        lines.append("nothing has changed; the next keys stay: mend it and go on with --resume")
    answer(as_json, {**data, **outcome.to_json()}, [*lines, *outcome.describe()])
    return EXIT_FAILED if outcome.code else EXIT_OK


def _discard(files: Home, node: str, as_json: bool) -> int:
    from genesis.document import parse
    from node.audit.commands import recorded
    from node.cli.asking import ask_node
    from node.keystore import read_key_info
    from node.signing.key_files import address_of
    from node.signing.rotation import discard_next, hold_next

    chain = parse(_read(files.genesis_file)).hash
    old = address_of(read_key_info(files.validator_key_file)).hex().upper()
    with hold_next(files):
        new = address_of(read_key_info(files.next_key_file)).hex().upper() if files.next_key_file.exists() else ""

        async def ask(client: Client) -> None:
            if await client.chain_id() != chain:
                raise ConfigError(f"{node} is of another network than this home", hint="check --node")
            if (await client.call("status"))["sync_info"]["catching_up"]:
                raise ConfigError(f"{node} is catching up and may not know of a change yet", hint="ask again when it is at the tip")
            if (await client.call("stake_validator", validator=new))["validator"] is not None:
                raise KeyRotationError(
                    f"the ledger has the keys of {new}: the validator votes with them, or soon will", hint="leave them where they are"
                )

        if new:
            ask_node(node, ask)
        with recorded(files, "key.rotate", role="validator", step="discarded", address=new, old_address=old):
            discard_next(files)
    what = f"the next keys {new} are deleted" if new else "what was left of an attempt is deleted"
    lines = [f"the validator goes on voting as {old}", what]
    if new:
        lines.append("destroy every file with their operation: sent now, it would give the validator keys that nobody has")
    answer(as_json, {"home": str(files.root), "old": old, "new": new, "discarded": True}, lines)
    return EXIT_OK


def _send(operation: dict[str, Any], sender: str, keys_home: Path | None, node: str, max_fee: str | None, passphrase: Any) -> Any:
    from node.cli.session import Sending
    from node.cli.stake import rotation_call

    sending = Sending(
        node=node,
        home=keys_home,
        passphrase=passphrase,
        sender=sender,
        signers=(),
        memo="",
        max_fee=max_fee,
        valid_for_s=600,
        wait_s=WAIT_S,
    )
    return sending.run(lambda session: rotation_call(session, operation))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="--home is the home of a node or of a signer") from error


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise ConfigError(f"{path} exists already", hint="choose another --out; --resume uses the keys that were made") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", hint="choose another --out; --resume uses the keys") from error
