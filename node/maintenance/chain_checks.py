"""Whether the parts of a node's data belong together: genesis, database, signer's record, consensus log.

Each part may be whole and the home still wrong, because a folder was swapped, restored from a backup or deleted. Reading only; what is
wrong becomes a finding, and damage of the database that a look meets is raised.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis.build import build_changes
from genesis.document import Document
from node.config import Home
from node.look_back import find_unknown_commit
from node.maintenance.findings import Finding, make_finding
from node.places import find_obstacle
from node.roles import ChainState
from node.signer import SignerRecord, peek_record
from node.storage.store import Store
from node.tips import decode_tip, find_commit, find_contradiction
from node.wal import SUFFIX, VERSION, read_frames
from state.primitives.codec import Value
from state.primitives.errors import SignerRecordError
from state.tree_hash import compute_root, key_hash, leaf_hash

_FILES_HINT: Final = "the folder was mixed up with another one's: put back the files of this node"
_ABSTAIN: Final = "the node follows without signing until height {} is decided"


@dataclass(frozen=True, slots=True)
class ChainData:
    """An opened store with its tip decoded."""

    store: Store
    state: ChainState

    @classmethod
    def load(cls, store: Store) -> ChainData | None:
        """None for a store that was made and not filled. Raises `StorageCorruptError`."""
        return cls(store, decode_tip(store)) if store.tip else None


def check_chain(
    home: Home, document: Document, data: ChainData | None, validator: bytes, is_validator: bool
) -> Iterator[Finding]:
    """Everything that the parts say about each other. `validator` is the address of the key, b"" if it cannot be read."""
    if data is None:
        yield make_finding("NO_DATABASE", f"there is no chain in {home.db_dir}", "the node begins at genesis and catches up")
    else:
        yield from _check_genesis(document, data)
        yield from _check_tip(document, data)
    height = document.initial_height - 1 if data is None else data.state.height
    position = 0
    if is_validator:
        record, trouble = _read_record(home, document, validator)
        yield from trouble
        if record is not None:
            yield from _check_record(record, data, height)
            position = record.log_position if record.height == height + 1 else 0
    yield from _check_logs(home.wal_dir, document, height + 1, position)


def _check_genesis(document: Document, data: ChainData) -> Iterator[Finding]:
    tip = data.state.tip
    wanted = (document.chain_id, document.initial_height)
    if (tip.chain_id, tip.initial_height) != wanted:
        yield make_finding("GENESIS_MISMATCH", f"the database is of chain {tip.chain_id}, genesis.json of {document.chain_id}", _FILES_HINT)
        return
    first = data.store.root_at(document.initial_height - 1)
    if first is None:
        return  # pruned, or brought in from a later height
    leaves = sorted((key_hash(key), leaf_hash(key_hash(key), value)) for key, value in build_changes(document) if value is not None)
    if compute_root(leaves) != first:
        yield make_finding(
            "GENESIS_MISMATCH", f"genesis.json does not give the state that chain {tip.chain_id} of the database began with", _FILES_HINT
        )


def _check_tip(document: Document, data: ChainData) -> Iterator[Finding]:
    store, tip = data.store, data.state.tip
    height, base = tip.height, store.base_height()
    if tip.app_hash != store.root:
        yield make_finding("TIP_MISMATCH", f"the tip's app hash at height {height} is not the root of the state", _restore())
    if height < document.initial_height:
        return
    if base and store.height_row("b", height) is None:
        yield make_finding("BLOCK_MISSING", f"block {height} is missing in the database", _restore())
    problem = find_contradiction(store, data.state)
    if problem:
        text = f"block {height} and the state in the database do not belong to its tip: {problem}"
        yield make_finding("TIP_MISMATCH", text, _restore())
    if data.state.last_commit.block_id != tip.last_block_id or data.state.last_commit.height != height:
        yield make_finding("TIP_MISMATCH", f"the commit of height {height} in the database is for another block", _restore())
    if base > document.initial_height:
        yield make_finding("PRUNED", f"blocks {base} to {height} are kept, earlier ones are not")


def _restore() -> str:
    return "move data/db away and let the node catch up again; leave data/signer_record where it is"


# the signer's record


def _read_record(home: Home, document: Document, validator: bytes) -> tuple[SignerRecord | None, list[Finding]]:
    path = home.signer_file
    if not os.path.lexists(path):
        text = f"the signer record {path} is missing, but its key is present"
        hint = "if it is lost for good and this key runs nowhere else, start once with --accept-empty-signer-record"
        return None, [make_finding("SIGNER_RECORD", text, hint)]
    try:
        record = peek_record(path)
    except SignerRecordError as error:
        return None, [make_finding("SIGNER_RECORD", error.message, error.hint)]
    if validator and record.address != validator:
        text = f"{path} belongs to validator {record.address.hex().upper()}, the key is {validator.hex().upper()}"
        return None, [make_finding("SIGNER_RECORD", text, _FILES_HINT)]
    if record.chain_id != document.hash:
        text = f"{path} belongs to the network with genesis hash {record.chain_id.hex()}, genesis.json has {document.hash.hex()}"
        return None, [make_finding("SIGNER_RECORD", text, _FILES_HINT)]
    return record, []


def _check_record(record: SignerRecord, data: ChainData | None, height: int) -> Iterator[Finding]:
    if record.height > height + 1:
        yield make_finding(
            "SIGNER_AHEAD",
            f"this validator has signed height {record.height}, but the database ends at {height}: it was lost, restored or rolled back",
            _ABSTAIN.format(record.height) + "; never change the record",
        )
    if data is None:
        return
    commit = find_unknown_commit(record, height, lambda below: find_commit(data.store, below))
    if commit is not None:
        yield make_finding(
            "SIGNER_BEHIND",
            f"the chain holds this validator's signature of height {commit.height}, but its record ends at height {record.height}",
            "the record is older than the last signature; if it is lost for good and the key runs nowhere else, move it away and "
            "start once with --accept-empty-signer-record",
        )


# the consensus log


def _check_logs(directory: Path, document: Document, height: int, position: int) -> Iterator[Finding]:
    """`height` is the one in progress, `position` how long its log was when something in it was signed (0: nothing was)."""
    if find_obstacle(directory) is not None:
        return  # the look at the home's files says so
    names = sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else []
    current = f"{height:020d}{SUFFIX}"
    for path in names:
        if path.name > current:
            yield make_finding(
                "LOG_AHEAD",
                f"{path} is of a later height than {height}, the next of the database, which was lost, restored or rolled back",
                "nothing to do: the node sets it aside when it gets there",
            )
        elif path.name == current:
            yield from _check_log(path, document, height, position)
    if position and directory / current not in names:
        yield make_finding(
            "LOG_MISSING", f"the consensus log {directory / current} is missing, but its height was signed in", _ABSTAIN.format(height)
        )


def _check_log(path: Path, document: Document, height: int, position: int) -> Iterator[Finding]:
    try:
        data = path.read_bytes()
    except OSError as error:
        yield make_finding("LOG_DAMAGED", f"cannot read {path}: {error.strerror}", "check its owner and the disk")
        return
    entries, length, is_intact = read_frames(data)
    title = entries[0] if entries else ()
    problem = ""
    if entries and not _is_title(title, height):
        problem = "has no title of its height"
    elif entries and title[1] != document.hash:
        yield make_finding("LOG_OF_OTHER_CHAIN", f"{path} belongs to another network", _FILES_HINT)
        return
    elif not is_intact:
        problem = f"is damaged after byte {length}"
    elif length < position:
        problem = f"ends at byte {length}, but had {position} when its height was signed in"
    elif title and title[3] is True:
        problem = "is marked as damaged"
    if problem:
        yield make_finding("LOG_DAMAGED", f"{path} {problem}", _ABSTAIN.format(height))
    elif length < len(data):
        torn = len(data) - length
        yield make_finding("LOG_TORN", f"the last {torn} bytes of {path} are half a line", "nothing to do: they are cut off at start")


def _is_title(frame: tuple[Value, ...], height: int) -> bool:
    return len(frame) == 4 and frame[0] == VERSION and frame[2] == height and type(frame[3]) is bool

