"""How a tool opens a stopped node's home: to change its data, or only to read them. Refuses a running node; judges nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genesis.document import Document, parse
from node.config import Home
from node.maintenance.shadow import open_shadow
from node.places import require_folders
from node.roles import ChainState
from node.storage.store import Store
from node.testnet.processes import find_node
from node.tips import decode_tip, require_genesis
from state.primitives.errors import HomeError
from state.primitives.limits import GENESIS_BYTES_MAX


@dataclass(frozen=True, slots=True)
class StoppedNode:
    """A home whose node does not run, with its store open; the store is locked meanwhile."""

    home: Home
    document: Document
    store: Store
    state: ChainState


@contextmanager
def open_stopped(root: Path, *, read_only: bool) -> Iterator[StoppedNode]:
    """The node of a home. Raises `HomeError`, `GenesisError`, `ConfigError`, and what opening a store raises."""
    home, document = read_home(root)
    require_folders(home.data_dir, home.db_dir)
    if read_only:
        with open_shadow(home.db_dir) as store:
            yield _open(home, document, store)
        return
    require_folders(home.wal_dir)
    store = Store.open(home.db_dir)
    try:
        yield _open(home, document, store)
    finally:
        store.close()


def read_home(root: Path) -> tuple[Home, Document]:
    """A home with its genesis document. Raises `HomeError` if its node runs."""
    home = Home(root)
    home.require()
    process = find_node(root)
    if process is not None:
        raise HomeError(f"{root} is run by process {process.pid}", hint=f"stop it first: kill {process.pid}")
    try:
        with home.genesis_file.open("rb") as file:
            document = parse(file.read(GENESIS_BYTES_MAX + 1))
    except OSError as error:
        raise HomeError(f"cannot read {home.genesis_file}: {error.strerror}", hint="get the document from another operator") from error
    return home, document


def _open(home: Home, document: Document, store: Store) -> StoppedNode:
    if not store.tip:
        raise HomeError(f"the database in {home.db_dir} is empty", hint="start the node once")
    state = decode_tip(store)
    require_genesis(state, document, home.db_dir)
    return StoppedNode(home, document, store, state)
