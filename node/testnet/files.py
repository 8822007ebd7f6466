"""The files of a local network: one home for each node, users' keys, and `network.json` that says what is where.

Written once from `genesis.testnet`'s plan; a network that exists is used again as it is. Keys are unencrypted and marked so, as
the network is a toy on one host. Nothing is started here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from genesis.testnet import HOST, FollowerPlan, NetworkOptions, NetworkPlan, NodePlan, plan_network
from node.config import Home, split_listen
from node.config_sections import Config, LogConfig, MetricsConfig, P2pConfig, RpcConfig, WorkersConfig
from node.homes import create_home, install_genesis
from node.keystore import KeySet, Role, new_seed, read_private_file, write_key_file, write_private_file
from state.primitives.errors import ConfigError, HomeError
from state.primitives.hashing import sha256, validator_address

MANIFEST: Final = "network.json"
LOAD_SEED: Final = "load_seed"
LOCK: Final = ".lock"
_MANIFEST_BYTES_MAX: Final = 1024 * 1024


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class NodeEntry(_Strict, frozen=True):
    """One node of the network; `home` is relative to the network's directory."""

    index: Annotated[int, Meta(ge=0, le=1_000)]
    moniker: str
    home: str
    rpc: str
    p2p: str
    metrics: str
    node_id: str
    validator: str  # address, upper-case hex; "" of a full node

    @property
    def is_here(self) -> bool:
        """Whether it was made for this host."""
        return split_listen(self.rpc)[0] == HOST


class Manifest(_Strict, frozen=True):
    """What `network.json` says. `load_accounts` of the funded accounts derive from keys/load_seed."""

    format: Literal[1]
    chain_id: str
    genesis_hash: str
    base_port: int
    block_interval_ms: int
    load_accounts: int
    nodes: Annotated[tuple[NodeEntry, ...], Meta(min_length=1)]


def create_network(root: Path, options: NetworkOptions) -> Manifest:
    """Make every file of a new network in a missing or empty directory. Raises `HomeError`, `GenesisError`.

    `network.json` is written last: without it the rest is an unfinished attempt, and is removed if making it fails.
    """
    if root.exists() and (not root.is_dir() or any(not _is_nothing(path) for path in root.iterdir())):
        raise HomeError(f"{root} is there already and holds no network", hint="choose another --home")
    load_seed = new_seed()
    plan = plan_network(options, _SeedSource(load_seed))
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        manifest = _write_plan(root, plan, options, load_seed)
    except OSError as error:
        _remove_contents(root)
        raise HomeError(
            f"cannot make a network in {root}: {error.strerror or error}", hint="choose a --home on a disk with free space"
        ) from error
    except BaseException:
        _remove_contents(root)
        raise
    return manifest


def _is_nothing(path: Path) -> bool:
    """Our lock, or an empty folder: the place of a disk or volume that a node's home will lie on."""
    return path.name == LOCK or (path.is_dir() and not path.is_symlink() and not any(path.iterdir()))


def read_manifest(root: Path) -> Manifest:
    """What is in a network's directory. Raises `HomeError` if there is none."""
    path = root / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(_MANIFEST_BYTES_MAX + 1)
    except FileNotFoundError:
        raise HomeError(f"there is no local network in {root}", hint="start one with: qenex testnet up") from None
    except OSError as error:
        raise HomeError(f"cannot read {path}: {error.strerror}", hint="check --home and the owner of its files") from error
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HomeError(f"{path} is not a network's manifest: {error}", hint="choose another --home") from None


@contextmanager
def lock_network(root: Path) -> Iterator[None]:
    """Keep others from making or starting the network of this directory meanwhile. Raises `HomeError`."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HomeError(f"cannot use {root}: {error.strerror}", hint="choose another --home") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise HomeError(
            f"the network in {root} is in use by another qenex testnet up", hint="qenex testnet status shows it"
        ) from None
    finally:
        os.close(descriptor)


def has_network(root: Path) -> bool:
    """Whether a finished network is in this directory."""
    return (root / MANIFEST).is_file()


def remove_network(root: Path) -> None:
    """Delete a network's directory. Only a directory with a readable `network.json` is ever deleted."""
    manifest = read_manifest(root)
    homes = {entry.home for entry in manifest.nodes}
    for name in sorted(os.listdir(root)):
        if name in homes or name in (MANIFEST, "keys"):
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def load_account_seed(load_seed: bytes, label: str) -> bytes:
    """The seed of one load account."""
    return sha256(b"qenex/testnet/load/1" + load_seed + label.encode())


def read_load_seed(root: Path) -> bytes:
    """The seed that the load accounts of a local network derive from. Raises `KeyFileError`, `ConfigError`."""
    path = root / "keys" / LOAD_SEED
    try:
        seed = bytes.fromhex(read_private_file(path, 1_024).decode("ascii"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} does not hold hex digits") from error
    return seed


def now_ns() -> int:
    """Genesis time of a network that starts now, whole seconds."""
    return int(time.time()) * 1_000_000_000


class _SeedSource:
    """New random seeds, the same for the same label; load accounts derive from one seed so that it alone is stored."""

    def __init__(self, load_seed: bytes) -> None:
        self._load_seed = load_seed
        self._known: dict[str, bytes] = {}

    def __call__(self, label: str) -> bytes:
        if label.startswith("bench/"):
            return load_account_seed(self._load_seed, label)
        return self._known.setdefault(label, new_seed())


def _write_plan(root: Path, plan: NetworkPlan, options: NetworkOptions, load_seed: bytes) -> Manifest:
    for user in (*plan.users, *plan.owners):
        path = root / "keys" / f"{user.name}.json"
        write_key_file(path, KeySet(Role.USER, user.name, (user.key,), user.address), None)
    write_private_file(root / "keys" / LOAD_SEED, load_seed.hex().encode())
    data = plan.document.to_json()
    is_crowded = not options.hosts and 2 * len(plan.nodes) > (os.cpu_count() or 1)
    for node in plan.nodes:
        home = root / node.moniker
        create_home(
            home,
            moniker=node.moniker,
            vote_kind=options.vote_key_kind,
            passphrase=None,
            config=_config(node, is_crowded),
            node_key=node.node_key,
            validator_keys=node.validator_keys,
        )
        install_genesis(home, data, _no_passphrase)
    for follower in plan.full_nodes:
        home = root / follower.moniker
        config = _config(follower, is_crowded)
        create_home(home, moniker=follower.moniker, vote_kind=None, passphrase=None, config=config, node_key=follower.node_key)
        install_genesis(home, data, _no_passphrase)
    manifest = Manifest(
        format=1,
        chain_id=plan.document.chain_id,
        genesis_hash=plan.document.hash.hex(),
        base_port=options.base_port,
        block_interval_ms=options.block_interval_ms,
        load_accounts=options.accounts,
        nodes=tuple(_entry(node) for node in (*plan.nodes, *plan.full_nodes)),
    )
    write_private_file(root / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def _entry(node: FollowerPlan) -> NodeEntry:
    key = node.validator_keys[0].public_key if isinstance(node, NodePlan) else None
    return NodeEntry(
        index=node.index,
        moniker=node.moniker,
        home=node.moniker,
        rpc=node.rpc,
        p2p=node.p2p,
        metrics=node.metrics,
        node_id=node.node_id,
        validator="" if key is None else validator_address(key.data).hex().upper(),
    )


def _config(node: FollowerPlan, is_crowded: bool) -> Config:
    """Settings of one node; on a host with fewer cores than processes, helper processes only get in the way."""
    rpc, p2p, metrics = (f"{node.listen_host}:{split_listen(place)[1]}" for place in (node.rpc, node.p2p, node.metrics))
    return Config(
        moniker=node.moniker,
        rpc=RpcConfig(listen=rpc),
        p2p=P2pConfig(listen=p2p, peers=node.peers),
        workers=WorkersConfig(signatures=0 if is_crowded else "auto"),
        log=LogConfig(format="json"),
        metrics=MetricsConfig(listen=metrics),
    )


def _no_passphrase(path: Path) -> bytes:
    raise HomeError(f"{path} is encrypted, and a local network's keys are not")


def _remove_contents(root: Path) -> None:
    """Best effort, on the way out of a failure: what was made in a directory that was empty before."""
    if root.is_dir():
        for path in [path for path in root.iterdir() if path.name != LOCK]:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def node_home(root: Path, entry: NodeEntry) -> Home:
    """Paths of one node of the network."""
    return Home(root / entry.home)
