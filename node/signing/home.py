"""The home of a signer: `signer.toml`, genesis.json, its identity, the voting keys and their records. Made, read and checked here.

The same folders and names as in a node's home, so that one can be moved into the other; but a signer's home has no config.toml and a
node's no signer.toml, so neither program starts on the other's.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from genesis.document import Document, compute_node_id, parse
from node.config import Home
from node.config_sections import LogConfig, PeerAddress, Section
from node.config_text import to_toml
from node.files import MACHINE
from node.keystore import (
    KeySet,
    Passphrase,
    Role,
    new_seed,
    read_key_file,
    read_key_info,
    write_key_file,
    write_private_file,
)
from node.signer import Signer
from node.signing.key_files import address_of
from state.primitives.errors import ConfigError, GenesisError, HomeError, KeyRotationError
from state.primitives.keys import KeyKind, PrivateKey
from state.primitives.limits import GENESIS_BYTES_MAX

CONFIG_FILE: Final = "signer.toml"
MOVED: Final = ".moved-"
_CONFIG_BYTES_MAX: Final = 64 * 1024


class SignerConfig(Section, frozen=True):
    """`signer.toml`: `node` is whom the signer serves and where it listens; `redial_ms_max` the longest wait between two attempts."""

    node: PeerAddress
    redial_ms_max: Annotated[int, Meta(ge=100, le=600_000)] = 1_000
    log: LogConfig = LogConfig()


@dataclass(frozen=True, slots=True)
class SignerHome:
    """A home that was read and checked; nothing is open yet."""

    home: Home
    config: SignerConfig
    document: Document


def read_signer_home(root: Path) -> SignerHome:
    """Raises `HomeError`, `ConfigError`, `GenesisError`."""
    path = root / CONFIG_FILE
    if not path.is_file():
        raise HomeError(f"{root} is no home of a signer: {CONFIG_FILE} is missing", hint="make one with: qenex signer init")
    home = Home(root)
    return SignerHome(home, _read_config(path), _read_genesis(home.genesis_file))


def make_signer_home(
    root: Path, *, node: str, genesis: bytes, vote_kind: KeyKind, passphrase: bytes | None
) -> tuple[str, bytes]:
    """A home with a new identity, new voting keys and their record; (the signer's id, the validator's address).

    `signer.toml` is written last: without it no signer starts. Raises `HomeError`, `ConfigError`, `GenesisError`.
    """
    document = parse(genesis)
    _parse_config({"node": node}, "--node")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise HomeError(f"{root} is there already and not empty", hint="choose another --home; an existing home is never changed")
    pair = PrivateKey.from_seed(KeyKind.ED25519, new_seed()), PrivateKey.from_seed(vote_kind, new_seed())
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    Signer.create(Home(root).signer_file, document.hash, *pair).close()
    return _fill(root, node, document, passphrase, KeySet(Role.VALIDATOR, "signer", pair))


def _fill(root: Path, node: str, document: Document, passphrase: bytes | None, keys: KeySet) -> tuple[str, bytes]:
    """What belongs beside the record: identity, voting keys, genesis and, last, the settings."""
    home = Home(root)
    identity = PrivateKey.from_seed(KeyKind.MLDSA87, new_seed())
    write_key_file(home.node_key_file, KeySet(Role.NODE, "signer", (identity,)), passphrase)
    write_key_file(home.validator_key_file, keys, passphrase)
    write_private_file(home.genesis_file, document.to_json())
    write_private_file(root / CONFIG_FILE, render_signer_config(_parse_config({"node": node}, "--node")).encode())
    return compute_node_id(identity.public_key), address_of(read_key_info(home.validator_key_file))


def move_keys(source: Path, root: Path, *, node: str, passphrase: Passphrase, new_passphrase: bytes | None) -> tuple[str, bytes]:
    """As `make_signer_home`, with the voting keys and the record of a stopped node's home, which are set aside there first.

    So at no instant two homes hold the keys: killed in between, they lie in the old home as `*.moved-1`, to be put back or moved again.
    Raises as `make_signer_home`, and `KeyFileError`, `SignerRecordError`, `KeyRotationError`.
    """
    old = Home(source)
    old.require()
    if os.path.lexists(old.next_key_file):
        raise KeyRotationError(f"{old.next_key_file} exists: the keys are being changed", hint="move them when that is over")
    genesis = _read_genesis(old.genesis_file)
    keys = read_key_file(old.validator_key_file, passphrase, role=Role.VALIDATOR)
    held = Signer.open(old.signer_file, genesis.hash, keys.key, keys.pq_key)  # whole, its own, and not in use
    try:
        record = old.signer_file.read_bytes()
        _parse_config({"node": node}, "--node")
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise HomeError(f"{root} is there already and not empty", hint="choose another --home")
        for path in (old.validator_key_file, old.signer_file):
            number = 1
            while os.path.lexists(aside := path.with_name(f"{path.name}{MOVED}{number}")):
                number += 1
            MACHINE.rename(path, aside)
            MACHINE.sync_folder(path.parent)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_file(Home(root).signer_file, record)
        return _fill(root, node, genesis, new_passphrase, keys)
    except OSError as error:
        raise HomeError(f"cannot move the keys of {source}: {error.strerror or error}", hint="see docs/signer.md, Moving") from error
    finally:
        held.close()


def render_signer_config(config: SignerConfig) -> str:
    """TOML text with every setting."""
    return "\n".join(
        (
            "# Settings of this signer: whom it serves, and where that node listens for it ([signer] listen of its config.toml).",
            f"node = {to_toml(config.node)}",
            "# longest wait between two attempts to reach the node, in milliseconds",
            f"redial_ms_max = {to_toml(config.redial_ms_max)}",
            "",
            "[log]",
            f"level = {to_toml(config.log.level)}",
            f"format = {to_toml(config.log.format)}",
            "",
        )
    )


def open_identity(home: Home, passphrase: Passphrase) -> bytes:
    """The seed of the signer's own key. Raises `KeyFileError`, `WrongPassphraseError`."""
    return read_key_file(home.node_key_file, passphrase, role=Role.NODE).key.seed


def _read_config(path: Path) -> SignerConfig:
    try:
        with path.open("rb") as file:
            text = file.read(_CONFIG_BYTES_MAX).decode("utf-8")
        return _parse_config(tomllib.loads(text), str(path))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="check its owner and mode") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})", hint="see docs/signer.md") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error or 'nested too deeply'}", hint="see docs/signer.md") from None


def _parse_config(tree: object, source: str) -> SignerConfig:
    try:
        return msgspec.convert(tree, SignerConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}", hint="node is ID@HOST:PORT, with 40 lower-case hex digits; see docs/signer.md") from None


def _read_genesis(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            return parse(file.read(GENESIS_BYTES_MAX + 1))
    except OSError as error:
        raise GenesisError(f"cannot read {path}: {error.strerror}", hint="copy the node's genesis.json there") from error
