"""`qenex keys rotate-node`: a new key by which peers know a node. What is done to the files is `node.node_key`'s.

Four steps, each a call of its own: make the next key, have the ledger admit it, activate it while the node is stopped, forget the old one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.options import HOME_HELP, NODE_VARIABLE, PassphraseReader, home_option, passphrase_option, user_root
from node.cli.output import EXIT_OK, answer, json_option
from node.cli.values import FilePath
from state.primitives.errors import ConfigError, HomeError, KeyFileError, KeyRotationError

if TYPE_CHECKING:
    from node.config import Home
    from node.rpc.client import Client

_OUT_BYTES_MAX: Final = 64 * 1024
_ANY_PLACE: Final = ("", "0.0.0.0", "::")


@click.command(name="rotate-node")
@home_option(HOME_HELP)
@click.option("--resume", is_flag=True, help="Use the next key that is there already.")
@click.option("--activate", is_flag=True, help="The next key takes the place of the one in use; the node is stopped.")
@click.option("--discard", is_flag=True, help="Delete the next key.")
@click.option("--forget", is_flag=True, help="Delete the keys that were in use before.")
@click.option("--out", type=FilePath(dir_okay=False), help="Write the operation that governance has to decide.")
@click.option("--node", envvar=NODE_VARIABLE, help="RPC address of a node: ask it whether the key is admitted [default: this home's data].")
@passphrase_option
@json_option
def rotate_node(
    home: Path | None,
    resume: bool,
    activate: bool,
    discard: bool,
    forget: bool,
    out: Path | None,
    node: str | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Make the next key by which peers know this node, and show the operation that admits it; then activate it, and forget the old one.

    The node goes on with the old key until --activate. Its name among the peers, the node id, changes with the key.
    """
    from node.config import Home

    if resume + activate + discard + forget > 1:
        raise ConfigError("--resume, --activate, --discard and --forget are steps of their own", hint="give one of them, or none")
    if forget and out is not None:
        raise ConfigError("--forget has no operation to write", hint="leave --out out; --activate writes the one that removes the old key")
    files = Home(home or user_root() / "node")
    files.require()
    passphrase = PassphraseReader(passphrase_file)
    if activate:
        data, lines = _activate(files, passphrase, node, out)
    elif discard:
        data, lines = _discard(files, out)
    elif forget:
        data, lines = _forget(files, node)
    else:
        data, lines = _prepare(files, passphrase, out, is_resumed=resume)
    answer(as_json, {"home": str(files.root), **data}, lines)
    return EXIT_OK


def _prepare(files: Home, passphrase: PassphraseReader, out: Path | None, *, is_resumed: bool) -> tuple[dict[str, Any], list[str]]:
    from node.audit.commands import recorded
    from node.keystore import write_key_file
    from node.node_key import draw_next, open_next, read_node_keys
    from p2p.identity import node_id_of

    if is_resumed:
        new = open_next(files, passphrase)
        operation = _write_operation(out, "gov.admit", new)
    else:
        if out is not None and out.exists():
            raise _taken(out)
        keys, secret = draw_next(files, passphrase)
        new = node_id_of(keys.key.public_key.data)
        with recorded(files, "key.rotate", role="node", step="prepared", address=new, old_address=read_node_keys(files).id):
            write_key_file(files.next_node_key_file, keys, secret)
        operation = _write_operation(out, "gov.admit", new)
    old = read_node_keys(files).id
    data = {"step": "prepared", "old": old, "new": new, "operation": operation, "file": str(files.next_node_key_file)}
    lines = [f"node id {old}", f"next node id {new}", f"next key in {files.next_node_key_file}; the node goes on with the old one"]
    lines += _describe_operation(operation, out)
    return data, [*lines, f"next: when it is executed, stop the node, then: qenex keys rotate-node --home {files.root} --activate"]


def _activate(files: Home, passphrase: PassphraseReader, node: str | None, out: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Started again after a kill it goes on; when all was done it says so, and shows the same."""
    from node.audit.commands import recorded
    from node.maintenance.opening import read_home
    from node.maintenance.shadow import hold_database
    from node.node_key import activate, open_next, read_node_keys, retired_file
    from node.signing.rotation import is_running

    _, document = read_home(files.root)
    if is_running(files):
        raise HomeError(f"{files.root} is in use by another process", hint="stop the node first")
    keys = read_node_keys(files)
    was_done = not keys.next_id and bool(keys.retired)
    old, new = (keys.retired[0], keys.id) if was_done else (keys.id, keys.next_id or open_next(files, passphrase))
    peers, lines_of_peers = _describe_peers(files, old, new)
    operation = _write_operation(out, "gov.remove", old, is_dry=True)
    admitted: bool | None = None
    if not was_done:
        open_next(files, passphrase)  # what a start will find
        admitted = _require_admitted(files, document.hash, new, node)
        with hold_database(files.db_dir), recorded(files, "key.rotate", role="node", step="activated", address=new, old_address=old):
            activate(files)
    _write_operation(out, "gov.remove", old)
    kept = retired_file(files, old)
    data = {"step": "activated", "old": old, "new": new, "admitted": admitted, "kept": str(kept), "peers": peers, "operation": operation}
    lines = [f"node {old} is {new}{' already; there is no next key' if was_done else ' from now on'}", f"the old key is kept in {kept}"]
    if admitted is None and not was_done:
        lines.append("nobody was asked whether the network admits it: there is no chain in this home yet, and no --node was given")
    lines += [*lines_of_peers, *_describe_operation(operation, out)]
    done = f"qenex keys rotate-node --home {files.root} --forget"
    return data, [*lines, f"next: qenex start --home {files.root}; when peers are connected and the old id is removed: {done}"]


def _discard(files: Home, out: Path | None) -> tuple[dict[str, Any], list[str]]:
    from node.audit.commands import recorded
    from node.node_key import discard_next, leftovers, read_node_keys

    keys = read_node_keys(files)
    new = keys.next_id
    leftovers(files)
    operation = _write_operation(out, "gov.remove", new, is_dry=True) if new else None
    with recorded(files, "key.rotate", role="node", step="discarded", address=new, old_address=keys.id):
        discard_next(files)
    lines = [f"node id {keys.id}", f"the next key {new} is deleted" if new else "what was left of an attempt is deleted"]
    if operation is not None:
        _write_operation(out, "gov.remove", new)
        lines += ["if the network admits it already, governance has to remove it:", *_describe_operation(operation, out)]
    return {"step": "discarded", "old": keys.id, "new": new, "operation": operation}, lines


def _forget(files: Home, node: str | None) -> tuple[dict[str, Any], list[str]]:
    from node.audit.commands import recorded
    from node.node_key import forget, read_node_keys

    keys = read_node_keys(files)
    if not keys.retired:
        raise KeyRotationError(f"no old key is kept in {files.keys_dir}", hint="there is nothing to forget")
    if node is not None:
        _require_admitted(files, _read_document(files).hash, keys.id, node)
    for old in keys.retired:
        with recorded(files, "key.rotate", role="node", step="forgotten", address=keys.id, old_address=old):
            forget(files, old)
    lines = [f"node id {keys.id}", *(f"the key {old} is deleted" for old in keys.retired)]
    return {"step": "forgotten", "old": list(keys.retired), "new": keys.id}, lines


def _require_admitted(files: Home, chain: bytes, node_id: str, node: str | None) -> bool | None:
    """Whether the ledger admits a key: as a node says, else as this home's own data say; None if there are none.

    Raises `KeyRotationError` if it does not: no peer would let the node in.
    """
    if node is not None:
        is_admitted, where = _ask(node, chain, node_id), node
    elif not files.db_dir.is_dir():
        return None
    else:
        from node.executor import read_admitted
        from node.maintenance.shadow import open_shadow

        with open_shadow(files.db_dir) as store:
            is_admitted, where = node_id in read_admitted(store), f"block {max(0, store.height)} in this home"
    if not is_admitted:
        raise KeyRotationError(
            f"the network does not admit the node id {node_id}, says {where}",
            hint="have the operation executed that --resume shows; --node URL asks a node that is further. Nothing was changed",
        )
    return True


def _ask(node: str, chain: bytes, node_id: str) -> bool:
    from node.cli.asking import ask_node

    async def ask(client: Client) -> bool:
        if await client.chain_id() != chain:
            raise ConfigError(f"{node} is of another network than this home", hint="check --node")
        return (await client.call("record", path=f"/admission/node/{node_id}"))["record"] is not None

    return ask_node(node, ask)


def _read_document(files: Home) -> Any:
    from genesis.document import parse

    try:
        return parse(files.genesis_file.read_bytes())
    except OSError as error:
        raise HomeError(f"cannot read {files.genesis_file}: {error.strerror}", hint="get the document from another operator") from error


def _describe_peers(files: Home, old: str, new: str) -> tuple[dict[str, Any], list[str]]:
    """What others have to change, and this home's own settings, where they name the old id."""
    from node.config import load_config, split_listen

    config = load_config(files.config_file)
    host, _ = split_listen(config.p2p.listen)
    place = "HOST:PORT" if host in _ANY_PLACE else config.p2p.listen
    peers: dict[str, Any] = {"setting": "p2p.peers", "old": f"{old}@{place}", "new": f"{new}@{place}", "signer": "", "own": False}
    lines = [
        f"peers: where [p2p] peers of their config.toml has {peers['old']}, write {peers['new']}; then qenex config reload, no restart"
    ]
    if config.signer.listen:
        peers["signer"] = f"{new}@{config.signer.listen}"
        lines.append(f'the signer of this node: node = "{peers["signer"]}" in its signer.toml, and start it again')
    if any(address.startswith(f"{old}@") for address in config.p2p.peers):
        peers["own"] = True
        lines.append(f"this home: [p2p] peers of {files.config_file} has the old id too")
    return peers, lines


def _write_operation(out: Path | None, name: str, node_id: str, *, is_dry: bool = False) -> dict[str, str]:
    """The operation; also in a file, which may be there already if it is the same. Raises `ConfigError`."""
    from node.keystore import write_private_file

    operation = {"op": name, "kind": "node", "identity": node_id}
    if out is None:
        return operation
    text = json.dumps(operation).encode() + b"\n"
    if out.exists():
        if _read_start(out) != text:
            raise _taken(out)
    elif not is_dry:
        try:
            write_private_file(out, text)
        except KeyFileError as error:
            raise ConfigError(error.message, hint="give the same command again with another --out; to make a key, with --resume") from error
    return operation


def _read_start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_OUT_BYTES_MAX)
    except OSError:
        return b""  # something else than our file


def _taken(out: Path) -> ConfigError:
    return ConfigError(f"{out} exists already", hint="choose another --out")


def _describe_operation(operation: dict[str, str], out: Path | None) -> list[str]:
    text = json.dumps(operation)
    given = f"--op '{text}'" if out is None else f"--file {out}"
    where = [] if out is None else [f"in {out}"]
    return [" ".join(["operation", text, *where]), f"governance decides: qenex tx gov propose {given} --from KEY --wait"]
