"""`qenex signer rotate-identity`: a new key by which the node knows its signer. What is done to the files is `node.node_key`'s.

As `qenex keys rotate-node`, without the ledger: only the node that is served has to be told.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import SIGNER_HOME_HELP, PassphraseReader, home_option, passphrase_option, user_root
from node.cli.output import EXIT_OK, answer, json_option
from state.primitives.errors import ConfigError, HomeError, KeyRotationError

if TYPE_CHECKING:
    from node.config import Home


@click.command(name="rotate-identity")
@home_option(SIGNER_HOME_HELP)
@click.option("--activate", is_flag=True, help="The next key takes the place of the one in use; the signer is stopped.")
@click.option("--discard", is_flag=True, help="Delete the next key.")
@click.option("--forget", is_flag=True, help="Delete the keys that were in use before.")
@passphrase_option
@json_option
def rotate_identity(
    home: Path | None, activate: bool, discard: bool, forget: bool, passphrase_file: Path | None, as_json: bool
) -> int:
    """Make the next key by which the node knows this signer, or show the one that was made; then activate it, and forget the old one.

    The signer goes on with the old key until --activate. The voting keys are not touched.
    """
    from node.signing.home import read_signer_home

    if activate + discard + forget > 1:
        raise ConfigError("--activate, --discard and --forget are steps of their own", hint="give one of them, or none")
    found = read_signer_home(home or user_root() / "signer")
    passphrase = PassphraseReader(passphrase_file)
    if activate:
        data, lines = _activate(found.home, passphrase)
    elif discard:
        data, lines = _discard(found.home)
    elif forget:
        data, lines = _forget(found.home)
    else:
        data, lines = _prepare(found.home, passphrase)
    answer(as_json, {"home": str(found.home.root), "node": found.config.node, **data}, lines)
    return EXIT_OK


def _prepare(files: Home, passphrase: PassphraseReader) -> tuple[dict[str, Any], list[str]]:
    from node.keystore import write_key_file
    from node.node_key import draw_next, open_next, read_node_keys
    from p2p.identity import node_id_of

    old = read_node_keys(files).id
    if read_node_keys(files).next_id:
        new = open_next(files, passphrase)
    else:
        keys, secret = draw_next(files, passphrase)
        new = node_id_of(keys.key.public_key.data)
        with _noted(files, "prepared", new, old):
            write_key_file(files.next_node_key_file, keys, secret)
    data = {"step": "prepared", "old": old, "new": new, "file": str(files.next_node_key_file)}
    lines = [f"signer id {old}", f"next signer id {new}", f"next key in {files.next_node_key_file}; the signer goes on with the old one"]
    return data, [*lines, f"next: stop the signer, then: qenex signer rotate-identity --home {files.root} --activate"]


def _activate(files: Home, passphrase: PassphraseReader) -> tuple[dict[str, Any], list[str]]:
    """Started again after a kill it goes on; when all was done it says so, and shows the same."""
    from node.node_key import activate, open_next, read_node_keys, retired_file
    from node.signing.rotation import is_running

    if is_running(files):
        raise HomeError(f"{files.root} is in use by another process", hint="stop the signer first")
    keys = read_node_keys(files)
    was_done = not keys.next_id and bool(keys.retired)
    old, new = (keys.retired[0], keys.id) if was_done else (keys.id, open_next(files, passphrase))
    if not was_done:
        with _noted(files, "activated", new, old):
            activate(files)
    kept = retired_file(files, old)
    data = {"step": "activated", "old": old, "new": new, "kept": str(kept)}
    lines = [f"signer {old} is {new}{' already; there is no next key' if was_done else ' from now on'}", f"the old key is kept in {kept}"]
    lines.append(f'the node: id = "{new}" in [signer] of its config.toml, and start it again; it lets no other key in')
    done = f"qenex signer rotate-identity --home {files.root} --forget"
    return data, [*lines, f"next: qenex signer start --home {files.root}; when the validator votes again: {done}"]


def _discard(files: Home) -> tuple[dict[str, Any], list[str]]:
    from node.node_key import discard_next, leftovers, read_node_keys

    keys = read_node_keys(files)
    leftovers(files)
    with _noted(files, "discarded", keys.next_id, keys.id):
        discard_next(files)
    gone = f"the next key {keys.next_id} is deleted" if keys.next_id else "what was left of an attempt is deleted"
    return {"step": "discarded", "old": keys.id, "new": keys.next_id}, [f"signer id {keys.id}", gone]


def _forget(files: Home) -> tuple[dict[str, Any], list[str]]:
    from node.node_key import forget, read_node_keys

    keys = read_node_keys(files)
    if not keys.retired:
        raise KeyRotationError(f"no old key is kept in {files.keys_dir}", hint="there is nothing to forget")
    for old in keys.retired:
        with _noted(files, "forgotten", keys.id, old):
            forget(files, old)
    lines = [f"signer id {keys.id}", *(f"the key {old} is deleted" for old in keys.retired)]
    return {"step": "forgotten", "old": list(keys.retired), "new": keys.id}, lines


def _noted(files: Home, step: str, new: str, old: str) -> Any:
    from node.audit.commands import recorded

    return recorded(files, "key.rotate", role="signer", step=step, address=new, old_address=old)
