"""Opening a home: settings, genesis, keys, store, signer record, log, in this order, each checked before the next.

What an operator can mend is a `QenexError` with a hint. Nothing runs yet; parts are made in `node.wiring`.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from consensus.validation import ChainTip
from genesis.build import build_changes, build_params, build_validators
from genesis.document import Document, parse
from node.config import Home, Overrides, StateSync, load_config, split_listen
from node.config_sections import Config
from node.executor import load_state, require_known_rules, write_genesis
from node.keystore import KeySet, Role, read_key_file
from node.look_back import check_record_against_chain
from node.places import require_folders
from node.roles import ChainState
from node.signing.key_files import ReadKeys, open_ring
from node.signing.key_ring import KeyRing
from node.signing.remote import RemoteSettings, RemoteSigner
from node.statesync.run import join_network
from node.storage.store import Store, StoreOptions
from node.telemetry.logs import get_log
from node.tips import find_commit, require_genesis
from node.wal import Wal
from p2p.handshake import PROTOCOL_VERSION, Greeting
from p2p.identity import NodeIdentity
from p2p.transport import TcpTransport
from state.primitives.errors import (
    ConfigError,
    HomeError,
    KeyFileError,
    QenexError,
)
from state.primitives.hashing import validator_address
from state.primitives.limits import GENESIS_BYTES_MAX
from state.schema_staking import address_owner_key, validator_key
from state.view import View

VERSION: Final = metadata.version("qenex-node")


@dataclass(frozen=True)
class Opened:
    """A home with everything in it open and checked."""

    home: Home
    config: Config
    document: Document
    identity: NodeIdentity
    store: Store
    state: ChainState
    signer: KeyRing | RemoteSigner | None
    read_keys: ReadKeys
    wal: Wal
    anchor_key: KeySet | None = None  # of the account that anchors the audit log
    overrides: Overrides = field(default_factory=Overrides)


def open_home(root: Path, overrides: Overrides, stack: ExitStack) -> Opened:
    """Open a home; what is opened is closed by `stack`. Raises `QenexError` with a hint for everything an operator can mend."""
    home = Home(root)
    home.require()
    require_folders(home.data_dir, home.db_dir, home.wal_dir)  # what else is there is not to be taken for a node's first start
    config = load_config(home.config_file, overrides=overrides.settings)
    document = parse(_read_genesis(home.genesis_file))
    anchor_key = _read_anchor_key(home, config, overrides)
    identity = NodeIdentity(_read_keys(home.node_key_file, Role.NODE, overrides).key.seed)
    if overrides.state_sync is not None and not home.db_dir.exists():
        _join(home, config, document, identity, overrides.state_sync)
    store = open_store(home, config, document)
    stack.callback(store.close)
    state = load_state(store)
    require_genesis(state, document, home.db_dir)
    require_known_rules(state.tip)

    def read_keys(path: Path) -> KeySet:
        return _read_keys(path, Role.VALIDATOR, overrides)

    abstain_through = state.height + 1 if overrides.accept_empty_signer_record else None
    ring = open_ring(home, document.hash, read_keys, abstain_through=abstain_through)
    position = 0
    if ring is not None:
        stack.callback(ring.close)
        for signer in ring.signers:
            check_record_against_chain(signer, state.height, lambda height: find_commit(store, height))
        ring.select(state.tip.validators)
        if ring.record.height == state.height + 1:
            position = ring.record.log_position
    remote = _make_remote(home, config, document, identity, store, ring)
    wal = Wal.open(home.wal_dir, document.hash, state.height + 1, signed_position=position)
    stack.callback(wal.close)
    return Opened(home, config, document, identity, store, state, ring or remote, read_keys, wal, anchor_key, overrides)


def _read_genesis(path: Path) -> bytes:
    """The bytes of genesis.json, which is no secret: any mode will do."""
    try:
        with path.open("rb") as file:
            return file.read(GENESIS_BYTES_MAX + 1)
    except OSError as error:
        raise HomeError(f"cannot read {path}: {error.strerror}", hint="get the document from another operator") from error


def _join(home: Home, config: Config, document: Document, identity: NodeIdentity, wanted: StateSync) -> None:
    """Make the database from peers' snapshots."""
    log = get_log("statesync")
    greeting = make_greeting(config, document, 0)
    join_network(home, config, document, identity, greeting, store_options(config), wanted, _warn, lambda text: log.info(text))


def _warn(who: str, error: QenexError) -> None:
    log = get_log("signer" if who == "signer" else "statesync")
    log.warning("refused", who=who, error=error.name, code=error.code, reason=error.message, hint=error.hint)


def store_options(config: Config) -> StoreOptions:
    """The store's bounds as the operator set them."""
    settings = config.storage
    return StoreOptions(settings.cache_bytes, settings.values_max, settings.leaves_max, tree_worker=config.workers.tree)


def open_store(home: Home, config: Config, document: Document) -> Store:
    """The store of a home; a new one gets the first state of its genesis document."""
    options = store_options(config)
    home.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store.open(home.db_dir, options) if home.db_dir.exists() else Store.create(home.db_dir, options)
    if not store.tip:
        write_first_state(store, document)
    return store


def write_first_state(store: Store, document: Document) -> None:
    """Fill an empty store with what a genesis document says."""
    validators = build_validators(document)
    tip = ChainTip.at_genesis(
        document.chain_id,
        document.initial_height,
        document.time_ns,
        validators,
        b"",
        build_params(document).consensus,
    )
    write_genesis(store, tip, build_changes(document), validators)


def _read_keys(path: Path, role: Role, overrides: Overrides) -> KeySet:
    def passphrase(file: Path) -> bytes:
        if overrides.passphrase is None:
            raise KeyFileError(f"{file} is encrypted", hint="give --passphrase-file or set QENEX_PASSPHRASE")
        return overrides.passphrase(file)

    return read_key_file(path, passphrase, role=role)


def _read_anchor_key(home: Home, config: Config, overrides: Overrides) -> KeySet | None:
    if not config.audit.anchor_key:
        return None
    keys = _read_keys(home.root / config.audit.anchor_key, Role.USER, overrides)
    if not keys.account:
        raise ConfigError(f"[audit] anchor_key: the key {keys.name} names no account", hint="qenex keys import --account says which")
    return keys


def _make_remote(
    home: Home, config: Config, document: Document, identity: NodeIdentity, store: Store, ring: KeyRing | None
) -> RemoteSigner | None:
    """The signer elsewhere that the settings name. Raises `ConfigError` if there are voting keys here as well."""
    settings = config.signer
    if not settings.listen:
        return None
    if ring is not None:
        raise ConfigError(
            f"[signer] names a signer elsewhere, and {home.validator_key_file} is here as well",
            hint='keys live in one place: qenex signer init --from-home moves them, or set [signer] listen = ""',
        )
    host, port = split_listen(settings.listen)
    known = find_vote_addresses(store, bytes.fromhex(settings.validator))
    place = RemoteSettings(host, port, settings.id, document.hash, known, settings.timeout_ms / 1000)
    return RemoteSigner(place, TcpTransport(identity), _warn)


def find_vote_addresses(store: Store, address: bytes) -> tuple[bytes, ...]:
    """The addresses that a validator votes with now and next, the older first, by any address it ever had.

    So settings that name the address of before a change of keys go on being right.
    """
    values = View(store).values
    owner: Any = values[address_owner_key(address)]
    record: Any = None if owner is None else values[validator_key(owner[0])]
    if record is None:
        return (address,)
    told = (record.told_keys[0],) if record.told_keys else ()
    return tuple(validator_address(key) for key in (*told, record.ed25519_key))


def make_greeting(config: Config, document: Document, height: int) -> Greeting:
    """What this node says of itself to a peer."""
    listen = config.p2p.listen if split_listen(config.p2p.listen)[1] else ""
    return Greeting(PROTOCOL_VERSION, document.hash, VERSION, config.moniker, listen, (), height)
