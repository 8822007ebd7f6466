"""The stored form of the chain's tip. Validator sets stand in rows of their own, from the height they begin."""

from __future__ import annotations

from pathlib import Path

from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import EMPTY_COMMIT, EMPTY_PQ_COMMIT, Commit, PqCommit
from consensus.fields import read_time, write_time
from consensus.proposer import hash_priorities, initial_priorities
from consensus.validation import ChainTip
from genesis.document import Document
from node.roles import ChainState
from node.storage.frozen import StateReader
from node.storage.store import Store
from state.params import ConsensusParams
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import ConfigError, MalformedError, StorageCorruptError
from state.schema import CONSENSUS_PARAMS_KEY, PRIORITIES_KEY, encode_record
from state.validators import ValidatorSet


def encode_tip(state: ChainState) -> bytes:
    """Canonical bytes."""
    tip = state.tip
    return encode_trusted(
        (
            tip.chain_id,
            tip.initial_height,
            tip.height,
            tip.last_block_id.to_wire(),
            write_time(tip.last_block_time_ns),
            tip.priorities,
            tip.app_hash,
            tip.last_results_hash,
            tip.params.to_record(),
            state.had_txs,
        )
    )


def decode_tip(store: Store) -> ChainState:
    """The state after the store's last height. Raises `StorageCorruptError`."""
    try:
        (
            chain_id,
            initial_height,
            height,
            last_block_id,
            time,
            priorities,
            app_hash,
            results_hash,
            params,
            had_txs,
        ) = decode(store.tip)
        is_first = height < initial_height
        tip = ChainTip(
            chain_id,
            initial_height,
            height,
            BlockID.from_wire(last_block_id),
            read_time(time),
            None if is_first else validators_at(store, height),
            validators_at(store, height + 1),
            validators_at(store, height + 2),
            priorities,
            app_hash,
            results_hash,
            ConsensusParams.from_record(params),
        )
        commit, pq_commit = (EMPTY_COMMIT, EMPTY_PQ_COMMIT) if is_first else commits_at(store, height)
    except (MalformedError, ValueError, TypeError) as error:
        raise StorageCorruptError(
            f"the chain's tip in the database cannot be read: {error}",
            hint="restore the database from a snapshot, or empty the data folder's db and let the node catch up again",
        ) from error
    return ChainState(tip, commit, pq_commit, had_txs)


def require_genesis(state: ChainState, document: Document, where: Path) -> None:
    """Whether a database is of the network of a genesis document. Raises `ConfigError`; `where` is its folder."""
    facts: tuple[tuple[str, object, object], ...] = (
        ("of chain", state.tip.chain_id, document.chain_id),
        ("from height", state.tip.initial_height, document.initial_height),
    )
    for what, found, wanted in facts:
        if found != wanted:
            raise ConfigError(f"the database in {where} is {what} {found}, not {wanted}", hint="genesis.json is another network's")


def find_contradiction(store: Store, state: ChainState) -> str:
    """What the tip says otherwise than the last block or a record of the state, "" for nothing: the part that no next header has."""
    tip = state.tip
    if tip.height < tip.initial_height:
        priorities, wanted = initial_priorities(tip.validators), None
    else:
        priorities, wanted = tip.priorities, encode_record(PRIORITIES_KEY, (hash_priorities(tip.priorities),))
    if tip.priorities != priorities or store.get(PRIORITIES_KEY) != wanted:
        return "proposer priorities"
    if (params := store.get(CONSENSUS_PARAMS_KEY)) is not None and params != encode_record(CONSENSUS_PARAMS_KEY, tip.params.to_record()):
        return "parameters"
    raw = store.height_row("b", tip.height)
    if raw is None:
        return ""
    block = Block.from_wire(decode(raw))
    if block.header.hash() != tip.last_block_id.hash or block.header.height != tip.height:
        return "last block"
    if block.header.time_ns != tip.last_block_time_ns:
        return "time"
    return "" if state.had_txs == bool(block.txs) else "whether the last block had transactions"


def validators_at(store: StateReader, height: int) -> ValidatorSet:
    """The set that votes on a height. Raises `StorageCorruptError` if it is not there."""
    found = store.latest_row("v", height)
    if found is None:
        raise StorageCorruptError(f"the validators of height {height} are missing in the database")
    return ValidatorSet.from_wire(decode(found[1]))


def commits_at(store: StateReader, height: int) -> tuple[Commit, PqCommit]:
    """The commit that this node decided a height with, and its side-car. Raises `StorageCorruptError`."""
    commit, pq_commit = store.height_row("c", height), store.height_row("p", height)
    if commit is None or pq_commit is None:
        raise StorageCorruptError(f"the commit of height {height} is missing in the database")
    return Commit.from_wire(decode(commit)), PqCommit.from_wire(decode(pq_commit))


def find_commit(store: Store, height: int) -> Commit | None:
    """The commit that this node decided a height with, or None if it has none: pruned, or no block."""
    row = store.height_row("c", height) if height > 0 else None
    return None if row is None else Commit.from_wire(decode(row))
