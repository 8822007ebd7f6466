"""`qenex init`, `qenex start`, `qenex version`: one node's home and its process."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import HOME_HELP, PassphraseReader, home_option, passphrase_option, user_root
from node.cli.options import parse_settings as _parse_settings
from node.cli.output import answer, json_option
from node.cli.values import POSITIVE, TRUST_HOURS, FilePath
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.config import StateSync


@click.command()
@home_option(HOME_HELP)
@click.option("--moniker", default="node", show_default=True, help="Name of the node, for people.")
@click.option(
    "--genesis", "genesis_file", type=FilePath(dir_okay=False), help="The network's genesis document."
)
@click.option(
    "--vote-kind",
    type=click.Choice(["mldsa87", "mldsa65", "mldsa44"]),
    default="mldsa87",
    show_default=True,
    help="Post-quantum half of the voting keys; the network's genesis says which.",
)
@click.option("--no-validator", is_flag=True, help="Make no voting keys: a node that only follows.")
@click.option("--no-encrypt", is_flag=True, help="Store the keys unencrypted: for local test networks only.")
@passphrase_option
@json_option
def init(
    home: Path | None,
    moniker: str,
    genesis_file: Path | None,
    vote_kind: str,
    no_validator: bool,
    no_encrypt: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make a home: keys, config.toml, and the genesis document if given."""
    from node.audit.commands import record_command
    from node.config import Home
    from node.homes import create_home, install_genesis
    from node.keystore import parse_key_kind

    root = home or user_root() / "node"
    passphrase = PassphraseReader(passphrase_file)
    made = create_home(
        root,
        moniker=moniker,
        vote_kind=None if no_validator else parse_key_kind(vote_kind),
        passphrase=None if no_encrypt else passphrase.for_new_file(),
    )
    chain = ""
    if genesis_file is not None:
        chain = install_genesis(root, _read(genesis_file), passphrase).chain_id
    facts = {"moniker": moniker, "node_id": made.node_id, "validator_address": made.validator_address}
    record_command(Home(root), "home.init", **facts, chain_id=chain)
    data = {"home": str(root), **facts}
    lines = [f"home {root}", f"node id {made.node_id}"]
    if made.validator_address:
        lines.append(f"validator address {made.validator_address}")
    if genesis_file is None:
        lines.append(f"next: qenex genesis install --home {root} --genesis FILE, then qenex start --home {root}")
    else:
        lines.append(f"next: qenex start --home {root}")
    answer(as_json, {**data, "chain_id": chain}, lines)


@click.command()
@home_option(HOME_HELP)
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting for this run.")
@click.option(
    "--accept-empty-signer-record",
    is_flag=True,
    help="The signer's record is lost and this key runs nowhere else: begin a new record.",
)
@click.option("--state-sync", is_flag=True, help="A node without a database begins with a snapshot of its peers, not with block 1.")
@click.option("--trust-height", type=POSITIVE, help="With --state-sync: a height whose block hash you know.")
@click.option("--trust-hash", help="With --state-sync: the hash of that block's header, 64 hex digits.")
@click.option("--trust-period", type=TRUST_HOURS, default=24, show_default=True, help="Hours for which a header is trusted.")
@passphrase_option
@json_option
def start(
    home: Path | None,
    settings: tuple[str, ...],
    accept_empty_signer_record: bool,
    state_sync: bool,
    trust_height: int | None,
    trust_hash: str | None,
    trust_period: int,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Run the node of a home until SIGTERM or Ctrl-C."""
    from node.config import Home, Overrides
    from node.testnet.processes import claim_home

    root = home or user_root() / "node"
    Home(root).require()
    from node.app import run  # after the check: a wrong --home is answered at once

    overrides = Overrides(
        settings=_parse_settings(settings),
        passphrase=PassphraseReader(passphrase_file),
        accept_empty_signer_record=accept_empty_signer_record,
        state_sync=_parse_state_sync(state_sync, trust_height, trust_hash, trust_period),
    )
    with claim_home(root):
        return run(root, overrides=overrides)


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show versions."""
    import platform

    own = metadata.version("qenex-node")
    data = {"version": own, "python": platform.python_version(), "block_protocol": 11, "abci": "2.0.0"}
    answer(as_json, data, [f"qenex {own} (Python {data['python']}, block protocol {data['block_protocol']})"])


def _parse_state_sync(is_wanted: bool, height: int | None, text: str | None, period: int) -> StateSync | None:
    from node.config import StateSync

    try:
        found = bytes.fromhex(text or "")
    except ValueError:
        found = b""
    if not is_wanted and height is None and text is None:
        return None
    if not is_wanted or height is None or len(found) != 32:
        raise ConfigError("--state-sync, --trust-height and --trust-hash belong together; the hash has 64 hex digits")
    return StateSync(height, found, period * 3_600)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
