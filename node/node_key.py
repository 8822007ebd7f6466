"""The files of a node's own key, by which its peers know it, while it is changed. A signer's own key has the same files.

    keys/node.json              what a start takes
    keys/node.next.json         what will be taken; made by `qenex keys rotate-node`, `qenex signer rotate-identity`
    keys/node.json.retired-ID   what was taken before, under its node id, until it is forgotten

Taking over (`activate`) gives the old key a second name, then renames the next one over it: at every instant `node.json` is a whole key,
the old one or the new one. Killed between any two steps, the same call goes on. Whether the network admits a key is the ledger's to say; it
is asked elsewhere, as is whether a node runs.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.config import Home
from node.files import MACHINE, Files
from node.keystore import (
    KeySet,
    Passphrase,
    Role,
    new_seed,
    read_key_file,
    read_key_info,
    unfinished_file,
)
from p2p.identity import node_id_of
from state.primitives.errors import KeyFileError, KeyRotationError
from state.primitives.keys import KeyKind, PrivateKey

RETIRED: Final = ".retired-"
_NODE_ID: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """Node ids of a home: of the key in use, of the next one or "", and of those that were in use before, the latest first."""

    id: str
    next_id: str
    retired: tuple[str, ...]


def read_node_keys(home: Home) -> NodeKeys:
    """What the key files say without a passphrase. Raises `KeyFileError`."""
    own = _id_of(home.node_key_file)
    next_id = _id_of(home.next_node_key_file) if os.path.lexists(home.next_node_key_file) else ""
    kept = [path for path in home.keys_dir.glob(f"{home.node_key_file.name}{RETIRED}*") if _NODE_ID.fullmatch(_name_id(path))]
    kept.sort(key=lambda path: path.lstat().st_ctime_ns, reverse=True)
    return NodeKeys(own, next_id, tuple(node_id for node_id in map(_name_id, kept) if node_id != own))


def draw_next(home: Home, passphrase: Passphrase) -> tuple[KeySet, bytes | None]:
    """A next key that is on no disk yet, and the passphrase for it: that of the present one, None if it is not encrypted.

    Raises `KeyRotationError` if there is a next key already, `KeyFileError`, `WrongPassphraseError`.
    """
    if os.path.lexists(home.next_node_key_file):
        raise KeyRotationError(
            f"{home.next_node_key_file} exists already: a change of the node's key is under way",
            hint="go on with it (--resume, --activate), or delete it (--discard)",
        )
    asked: list[bytes] = []

    def ask(path: Path) -> bytes:
        asked.append(passphrase(path))
        return asked[-1]

    present = read_key_file(home.node_key_file, ask, role=Role.NODE)
    key = PrivateKey.from_seed(KeyKind.MLDSA87, new_seed())
    return KeySet(Role.NODE, present.name, (key,)), asked[0] if asked else None


def open_next(home: Home, passphrase: Passphrase) -> str:
    """The node id of the next key, opened as a start would. Raises `KeyRotationError`, `KeyFileError`, `WrongPassphraseError`."""
    if not os.path.lexists(home.next_node_key_file):
        raise KeyRotationError(f"there is no {home.next_node_key_file}", hint="the command without a step makes it")
    return node_id_of(read_key_file(home.next_node_key_file, passphrase, role=Role.NODE).key.public_key.data)


def retired_file(home: Home, node_id: str) -> Path:
    """Where a key is kept that was in use."""
    return home.node_key_file.with_name(f"{home.node_key_file.name}{RETIRED}{node_id}")


def activate(home: Home, files: Files = MACHINE) -> None:
    """The next key takes the place of the one in use, which is kept. Raises `KeyRotationError`, `KeyFileError`."""
    keys = read_node_keys(home)
    if keys.next_id == keys.id:
        raise KeyRotationError(f"the next key is the one in use, {keys.id}", hint="--discard deletes the copy; then make a next key")
    kept = retired_file(home, keys.id)
    try:
        if not os.path.lexists(kept):
            files.link(home.node_key_file, kept)
            files.sync_folder(home.keys_dir)
        elif _id_of(kept) != keys.id:
            raise KeyRotationError(f"{kept} is another key than its name says", hint="move it out of the folder, then activate again")
        files.rename(home.next_node_key_file, home.node_key_file)
        files.remove(unfinished_file(home.next_node_key_file))
        files.sync_folder(home.keys_dir)
    except OSError as error:
        raise _failure(home, error) from error


def leftovers(home: Home) -> list[Path]:
    """The next key, and what is left of an attempt to make or to activate it. Raises `KeyRotationError` for nothing, `KeyFileError`."""
    own = retired_file(home, _id_of(home.node_key_file))  # a second name of the key in use
    left = [path for path in (own, unfinished_file(home.next_node_key_file), home.next_node_key_file) if os.path.lexists(path)]
    if not left:
        raise KeyRotationError(f"there is no {home.next_node_key_file}", hint="there is nothing to discard")
    return left


def discard_next(home: Home, files: Files = MACHINE) -> None:
    """Delete the next key; the one in use stays. Raises as `leftovers`."""
    _remove(home, leftovers(home), files)


def forget(home: Home, node_id: str, files: Files = MACHINE) -> None:
    """Delete a key that was in use. Raises `KeyRotationError`."""
    _remove(home, [retired_file(home, node_id)], files)


def _remove(home: Home, paths: list[Path], files: Files) -> None:
    try:
        for path in paths:
            files.remove(path)
        files.sync_folder(home.keys_dir)
    except OSError as error:
        raise _failure(home, error) from error


def _failure(home: Home, error: OSError) -> KeyRotationError:
    return KeyRotationError(
        f"cannot change the files in {home.keys_dir}: {error.strerror or error}",
        hint="check the disk and the owner of the folder, then give the same command again: it goes on",
    )


def _id_of(path: Path) -> str:
    info = read_key_info(path)
    if info.role is not Role.NODE:
        raise KeyFileError(f"{path} is a {info.role.value} key, a node key is needed", hint="put the right file there")
    return node_id_of(info.keys[0].data)


def _name_id(path: Path) -> str:
    return path.name.rpartition(RETIRED)[2]
