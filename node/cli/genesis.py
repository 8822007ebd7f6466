"""`qenex genesis`: how several operators start one network.

1. Each makes a home (`qenex init`) and an account key (`qenex keys new`), and sends the coordinator a signed entry (`genesis entry`).
2. The coordinator collects the entries into one document (`genesis collect`) and gives it to everybody.
3. Each compares the printed hash with the others and installs it (`genesis install`), then runs `qenex start`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import PassphraseReader, home_option, passphrase_option
from node.cli.output import answer, json_option
from node.cli.values import FilePath
from state.primitives.errors import ConfigError, HomeError

if TYPE_CHECKING:
    from genesis.document import Document

_FILE = FilePath(dir_okay=False)


@click.group()
def genesis() -> None:
    """The ceremony that starts a network of several operators."""


@genesis.command()
@click.argument("file", type=_FILE)
@json_option
def check(file: Path, as_json: bool) -> None:
    """Check a genesis document and show its hash, the chain id of every transaction."""
    from genesis.document import parse

    document = parse(_read(file))
    answer(as_json, _summary(document), _lines(document))


@genesis.command()
@home_option("The validator's home.", required=True)
@click.option("--chain-id", required=True, help="Text chain id of the network, the same for everybody.")
@click.option("--owner", required=True, help="Address of the account that owns the bond.")
@click.option("--bonded", required=True, help="The bond, in base units of the stake asset.")
@click.option("--out", type=_FILE, required=True, help="Where to write the signed entry.")
@passphrase_option
@json_option
def entry(
    home: Path, chain_id: str, owner: str, bonded: str, out: Path, passphrase_file: Path | None, as_json: bool
) -> None:
    """Write this home's validator entry, signed with its three keys, for the coordinator."""
    from genesis.ceremony import render_entry, sign_entry
    from genesis.entries import validator_entry
    from node.cli.amounts import parse_amount
    from node.cli.options import resolve_address
    from node.config import Home, load_config
    from node.keystore import Role, read_key_file
    from state.primitives.ids import format_address

    paths = Home(home)
    if not paths.validator_key_file.exists():
        raise HomeError(f"{home} has no voting keys", hint=f"make a validator's home with: qenex init --home {home}")
    passphrase = PassphraseReader(passphrase_file)
    votes = read_key_file(paths.validator_key_file, passphrase, role=Role.VALIDATOR)
    node = read_key_file(paths.node_key_file, passphrase, role=Role.NODE)
    made = validator_entry(
        moniker=load_config(paths.config_file).moniker,
        ed25519_key=votes.key.public_key,
        pq_key=votes.pq_key.public_key,
        node_key=node.key.public_key,
        owner=format_address(resolve_address(owner, None)),
        bonded=parse_amount(bonded, 0, "the stake asset", base_units=True),
    )
    signed = sign_entry(chain_id, made, ed25519_key=votes.key, pq_key=votes.pq_key, node_key=node.key)
    _write(out, render_entry(signed))
    answer(as_json, {"file": str(out), "moniker": made.moniker, "node_id": made.node_id}, [f"entry of {made.moniker} in {out}"])


@genesis.command()
@click.option("--draft", type=_FILE, required=True, help="The document without validators.")
@click.option("--out", type=_FILE, required=True, help="Where to write the finished document.")
@click.argument("entries", type=_FILE, nargs=-1, required=True)
@json_option
def collect(draft: Path, out: Path, entries: tuple[Path, ...], as_json: bool) -> None:
    """Put the signed ENTRIES of all validators into a document; every signature is checked."""
    from genesis import ceremony
    from genesis.document import parse

    document = ceremony.collect(parse(_read(draft), is_draft=True), [ceremony.parse_entry(_read(path)) for path in entries])
    _write(out, document.to_json())
    answer(as_json, {"file": str(out), **_summary(document)}, [f"document in {out}", *_lines(document)])


@genesis.command()
@home_option("The home to install it in.", required=True)
@click.option("--genesis", "file", type=_FILE, required=True, help="The finished document.")
@passphrase_option
@json_option
def install(home: Path, file: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Put the finished document into a home and make the signer's record of its voting keys."""
    from node.audit.commands import record_command
    from node.config import Home
    from node.homes import install_genesis

    document = install_genesis(home, _read(file), PassphraseReader(passphrase_file))
    record_command(Home(home), "genesis.install", chain_id=document.chain_id, genesis_sha256=document.hash.hex())
    answer(as_json, {"home": str(home), **_summary(document)}, [*_lines(document), f"next: qenex start --home {home}"])


def _summary(document: Document) -> dict[str, Any]:
    return {
        "chain_id": document.chain_id,
        "hash": document.hash.hex(),
        "genesis_time": document.genesis_time,
        "validators": len(document.validators),
        "accounts": len(document.accounts),
    }


def _lines(document: Document) -> list[str]:
    return [f"{name}: {value}" for name, value in _summary(document).items()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise ConfigError(f"{path} exists already", hint="choose another --out") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
