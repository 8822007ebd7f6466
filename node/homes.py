"""Making a node's home: keys, config.toml, the genesis document, and the signer's record that belongs to the key.

The record is made in the same step that binds a new key to a network; a key that has a network already is never given a second
record. Nothing here runs a node.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis.document import Document, compute_node_id, parse
from node.config import Home, render_config
from node.config_sections import Config
from node.keystore import KeySet, Passphrase, Role, new_seed, read_key_file, write_key_file, write_private_file
from node.places import close_to_others
from node.signer import Signer
from state.primitives.errors import HomeError
from state.primitives.hashing import validator_address
from state.primitives.keys import KeyKind, PrivateKey

MODE_DIRECTORY: Final = 0o700


@dataclass(frozen=True, slots=True)
class MadeHome:
    """What others need to know of a new home; `validator_address` is "" without voting keys."""

    node_id: str
    validator_address: str


def create_home(
    root: Path,
    *,
    moniker: str,
    vote_kind: KeyKind | None,
    passphrase: bytes | None,
    config: Config | None = None,
    node_key: PrivateKey | None = None,
    validator_keys: tuple[PrivateKey, PrivateKey] | None = None,
) -> MadeHome:
    """Make keys and config.toml in an empty or missing directory. `passphrase` None: unencrypted and marked so.

    Without `vote_kind` there are no voting keys. Given keys are used instead of new ones. Raises `HomeError`.
    """
    home = Home(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise HomeError(f"{root} is there already and not empty", hint="choose another --home; an existing home is never changed")
    try:
        root.mkdir(mode=MODE_DIRECTORY, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(f"cannot make {root}: {error.strerror}", hint="choose another --home, or check its owner and its disk") from error
    close_to_others((root,))  # it may have been there, empty
    identity = node_key or PrivateKey.from_seed(KeyKind.MLDSA87, new_seed())
    write_key_file(home.node_key_file, KeySet(Role.NODE, moniker, (identity,)), passphrase)
    address = ""
    if vote_kind is not None:
        keys = validator_keys or (
            PrivateKey.from_seed(KeyKind.ED25519, new_seed()),
            PrivateKey.from_seed(vote_kind, new_seed()),
        )
        write_key_file(home.validator_key_file, KeySet(Role.VALIDATOR, moniker, keys), passphrase)
        address = validator_address(keys[0].public_key.data).hex().upper()
    settings = config or Config(moniker=moniker)
    write_private_file(home.config_file, render_config(settings).encode())
    return MadeHome(compute_node_id(identity.public_key), address)


def install_genesis(root: Path, data: bytes, passphrase: Passphrase) -> Document:
    """Put a genesis document into a home that has none, and make the signer's record of its voting keys.

    Raises `GenesisError` for a document that does not hold, `HomeError` if the home has one already.
    """
    document = parse(data)
    home = Home(root)
    if not home.config_file.is_file():
        raise HomeError(f"{root} is not a home: config.toml is missing", hint=f"make one with: qenex init --home {root}")
    if home.genesis_file.exists():
        raise HomeError(
            f"{home.genesis_file} exists already", hint="a home belongs to one network; make another home for another network"
        )
    if home.validator_key_file.exists():
        keys = read_key_file(home.validator_key_file, passphrase, role=Role.VALIDATOR)
        if home.signer_file.exists():  # an earlier attempt ended between the two files
            Signer.open(home.signer_file, document.hash, keys.key, keys.pq_key).close()
        else:
            Signer.create(home.signer_file, document.hash, keys.key, keys.pq_key).close()
    write_private_file(home.genesis_file, document.to_json())
    return document
