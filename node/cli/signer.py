"""`qenex signer`: voting keys and their record in a process of their own. What it does is `node.signing`'s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from node.cli.options import SIGNER_HOME_HELP, PassphraseReader, home_option, passphrase_option, user_root
from node.cli.output import answer, json_option
from node.cli.rotate_identity import rotate_identity
from node.cli.values import FilePath
from state.primitives.errors import ConfigError

_FILE = FilePath(dir_okay=False)


@click.group()
def signer() -> None:
    """Voting keys in a process of their own, which serves one node."""


@signer.command()
@home_option(SIGNER_HOME_HELP)
@click.option("--node", required=True, metavar="ID@HOST:PORT", help="The node to serve, and where it will listen for the signer.")
@click.option("--genesis", type=_FILE, help="The network's genesis document; not with --from-home.")
@click.option(
    "--from-home",
    type=FilePath(file_okay=False),
    help="Move the voting keys and the record out of this stopped node's home; new keys without it.",
)
@click.option("--vote-kind", type=click.Choice(["mldsa87", "mldsa65", "mldsa44"]), default="mldsa87", show_default=True)
@click.option("--no-encrypt", is_flag=True, help="Store the keys unencrypted: for local test networks only.")
@passphrase_option
@json_option
def init(
    home: Path | None,
    node: str,
    genesis: Path | None,
    from_home: Path | None,
    vote_kind: str,
    no_encrypt: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make a signer's home: signer.toml, an identity, voting keys and their record."""
    from node.audit.commands import record_command
    from node.config import Home
    from node.keystore import parse_key_kind
    from node.signing.home import make_signer_home, move_keys

    root = home or user_root() / "signer"
    reader = PassphraseReader(passphrase_file)
    if (genesis is None) == (from_home is None):
        raise ConfigError("either --genesis or --from-home is needed", hint="--from-home takes the keys and the genesis document of a node")
    passphrase = None if no_encrypt else reader.for_new_file()
    if from_home is not None:
        made = move_keys(from_home, root, node=node, passphrase=reader, new_passphrase=passphrase)
    elif genesis is not None:
        made = make_signer_home(root, node=node, genesis=_read(genesis), vote_kind=parse_key_kind(vote_kind), passphrase=passphrase)
    record_command(Home(root), "signer.init", node=node, validator_address=made[1].hex().upper())
    data = {"home": str(root), "id": made[0], "validator": made[1].hex().upper(), "node": node}
    lines = [f"home {root}", f"signer id {data['id']}", f"validator address {data['validator']}", "", *_section(data)]
    answer(as_json, data, [*lines, "", f"next: put this section into the node's config.toml, then qenex signer start --home {root}"])


@signer.command()
@home_option(SIGNER_HOME_HELP)
@passphrase_option
@json_option
def start(home: Path | None, passphrase_file: Path | None, as_json: bool) -> int:
    """Serve the node until SIGTERM or Ctrl-C."""
    from node.signing.service import run_signer

    return run_signer(home or user_root() / "signer", PassphraseReader(passphrase_file))


@signer.command()
@home_option(SIGNER_HOME_HELP)
@json_option
def show(home: Path | None, as_json: bool) -> None:
    """Show whom a signer serves, its keys, how far it has signed, and what the node's config.toml has to say."""
    from genesis.document import compute_node_id
    from node.keystore import read_key_info
    from node.signer_record import peek_record
    from node.signing.home import read_signer_home
    from node.signing.key_files import address_of

    found = read_signer_home(home or user_root() / "signer")
    files = found.home
    keys: list[dict[str, Any]] = []
    for key_file, record_file in ((files.validator_key_file, files.signer_file), (files.next_key_file, files.next_signer_file)):
        if key_file.exists():
            info, record = read_key_info(key_file), peek_record(record_file)
            keys.append(
                {
                    "address": address_of(info).hex().upper(),
                    "kinds": [key.kind.name.lower() for key in info.keys],
                    "height": record.height,
                    "round": record.round,
                    "step": record.step,
                    "file": str(key_file),
                }
            )
    identity = compute_node_id(read_key_info(files.node_key_file).keys[0])
    validator = str(keys[0]["address"]) if keys else ""
    data = {"home": str(files.root), "id": identity, "node": found.config.node, "chain_id": found.document.chain_id, "keys": keys}
    lines = [f"signer id {identity}", f"serves {found.config.node} of {found.document.chain_id}"]
    lines += [f"key {key['address']} ({'+'.join(key['kinds'])}), signed up to height {key['height']}" for key in keys]
    answer(as_json, data, [*lines, "", *_section({"node": found.config.node, "id": identity, "validator": validator})])


signer.add_command(rotate_identity)


def _section(data: dict[str, Any]) -> list[str]:
    listen = str(data["node"]).partition("@")[2]
    return ["[signer]", f'listen = "{listen}"', f'id = "{data["id"]}"', f'validator = "{data["validator"]}"']


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
