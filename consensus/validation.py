"""Chain rules: what a block must be, given the chain below it, and what the chain is after it.

Everything here needs only chain data; whether the ledger accepts the transactions is not known here. Rules K1-K5 of consensus.md:
the header of H carries the app hash and results hash after H-1; a validator update of H is in force at H+2; parameters at H+1;
the last commit is checked against the set of H-1 with all its signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from consensus import proposer
from consensus.block import Block, Header, compute_consensus_hash, data_hash
from consensus.block_id import EMPTY, BlockID
from consensus.commit import EMPTY_COMMIT, Commit, Verifier, verify_commit
from consensus.evidence import Evidence, evidence_hash, size_of, verify_list
from consensus.history import ChainHistory, NoHistory
from state.params import ConsensusParams
from state.primitives.errors import (
    ConsensusFailure,
    InvalidBlockError,
    InvalidCommitError,
    InvalidEvidenceError,
    UnknownHistoryError,
)
from state.primitives.hashing import EMPTY_HASH
from state.validators import ValidatorSet, ValidatorUpdate

GAS_MAX = -1  # work is bounded by bytes and number of transactions; CometBFT writes "no bound" so
NO_HISTORY: Final = NoHistory()


@dataclass(frozen=True, slots=True)
class ChainTip:
    """The chain after `height` (0: genesis). `validators` vote on `height + 1`, `next_validators` on `height + 2`.

    `priorities` are the proposer priorities before the first turn of `height + 1`.
    """

    chain_id: str
    initial_height: int
    height: int
    last_block_id: BlockID
    last_block_time_ns: int
    last_validators: ValidatorSet | None
    validators: ValidatorSet
    next_validators: ValidatorSet
    priorities: tuple[int, ...]
    app_hash: bytes
    last_results_hash: bytes
    params: ConsensusParams

    @classmethod
    def at_genesis(
        cls,
        chain_id: str,
        initial_height: int,
        time_ns: int,
        validators: ValidatorSet,
        app_hash: bytes,
        params: ConsensusParams,
    ) -> ChainTip:
        """The chain before its first block, whose height will be `initial_height`."""
        return cls(
            chain_id,
            initial_height,
            initial_height - 1,
            EMPTY,
            time_ns,
            None,
            validators,
            validators,
            proposer.initial_priorities(validators),
            app_hash,
            EMPTY_HASH,
            params,
        )

    @property
    def consensus_hash(self) -> bytes:
        """Hash of the parameters that headers carry."""
        return compute_consensus_hash(self.params.block_bytes_max, GAS_MAX)

    def compute_next_priorities(self) -> tuple[int, ...]:
        """The proposer priorities after the next block. What is in that block does not matter: its set and the one after are known."""
        priorities = proposer.advance(self.validators, self.priorities, 1)
        return proposer.update_priorities(self.validators, priorities, self.next_validators)

    def advance(
        self,
        block: Block,
        app_hash: bytes,
        results_hash: bytes,
        updates: Sequence[ValidatorUpdate],
        params: ConsensusParams | None,
    ) -> ChainTip:
        """The chain after `block`, whose execution gave the rest. Raises `MalformedError` for updates that break the set."""
        return replace(
            self,
            height=block.header.height,
            last_block_id=block.block_id(),
            last_block_time_ns=block.header.time_ns,
            last_validators=self.validators,
            validators=self.next_validators,
            next_validators=self.next_validators.update(updates),
            priorities=self.compute_next_priorities(),
            app_hash=app_hash,
            last_results_hash=results_hash,
            params=self.params if params is None else params,
        )


def make_block(
    tip: ChainTip,
    time_ns: int,
    txs: Sequence[bytes],
    last_commit: Commit,
    evidence: Sequence[Evidence],
    proposer_address: bytes,
) -> Block:
    """The next block on `tip`. `time_ns` must be later than the last block's; who builds waits for that (consensus.md F1)."""
    if time_ns <= tip.last_block_time_ns:
        raise ConsensusFailure(f"block {tip.height + 1} would not be later than the block before it")
    header = Header(
        app_version=tip.params.app_version,
        chain_id=tip.chain_id,
        height=tip.height + 1,
        time_ns=time_ns,
        last_block_id=tip.last_block_id,
        last_commit_hash=last_commit.hash(),
        data_hash=data_hash(txs),
        validators_hash=tip.validators.hash(),
        next_validators_hash=tip.next_validators.hash(),
        consensus_hash=tip.consensus_hash,
        app_hash=tip.app_hash,
        last_results_hash=tip.last_results_hash,
        evidence_hash=evidence_hash(evidence),
        proposer_address=proposer_address,
    )
    return Block(header, tuple(txs), tuple(evidence), last_commit)


def validate_block(
    block: Block,
    tip: ChainTip,
    verifier: Verifier,
    history: ChainHistory = NO_HISTORY,
    *,
    is_decided: bool = False,
) -> None:
    """Check every rule that needs only the chain. Raises `InvalidBlockError`.

    `history` is the chain up to `tip`, which evidence is judged by; without it a block with evidence is refused. `is_decided`: a quorum
    has accepted the block already, so that evidence from heights that are not kept here need not be judged again.
    """
    header = block.header
    for what, found, wanted in compare_header(block, tip):
        if found != wanted:
            raise InvalidBlockError(f"block {header.height} has a wrong {what}: {_show(found)}, not {_show(wanted)}")
    if header.time_ns <= tip.last_block_time_ns:
        raise InvalidBlockError(f"block {header.height} is not later than the block before it")
    if tip.validators.by_address(header.proposer_address) is None:
        raise InvalidBlockError(f"block {header.height} names a proposer that is no validator")
    if len(block.txs) > tip.params.block_txs_max:
        raise InvalidBlockError(f"block {header.height} has more transactions than allowed")
    if sum(map(len, block.txs)) + sum(map(size_of, block.evidence)) > tip.params.block_bytes_max:
        raise InvalidBlockError(f"block {header.height} has more bytes of transactions and evidence than allowed")
    _validate_evidence(block, tip, verifier, history, is_decided=is_decided)
    _validate_last_commit(block, tip, verifier)


def compare_header(block: Block, tip: ChainTip) -> tuple[tuple[str, object, object], ...]:
    """(what, found, wanted) of every field of the header that follows from the chain or from the block's own parts."""
    header = block.header
    return (
        ("app version", header.app_version, tip.params.app_version),
        ("chain id", header.chain_id, tip.chain_id),
        ("height", header.height, tip.height + 1),
        ("last block id", header.last_block_id, tip.last_block_id),
        ("last commit hash", header.last_commit_hash, block.last_commit.hash()),
        ("data hash", header.data_hash, data_hash(block.txs)),
        ("validators hash", header.validators_hash, tip.validators.hash()),
        ("next validators hash", header.next_validators_hash, tip.next_validators.hash()),
        ("consensus hash", header.consensus_hash, tip.consensus_hash),
        ("app hash", header.app_hash, tip.app_hash),
        ("last results hash", header.last_results_hash, tip.last_results_hash),
        ("evidence hash", header.evidence_hash, evidence_hash(block.evidence)),
    )


def _validate_last_commit(block: Block, tip: ChainTip, verifier: Verifier) -> None:
    if tip.last_validators is None:
        if block.last_commit != EMPTY_COMMIT:
            raise InvalidBlockError("the first block has no last commit")
        return
    try:
        verify_commit(
            tip.chain_id, tip.last_validators, tip.height, tip.last_block_id, block.last_commit, None, verifier
        )
    except InvalidCommitError as error:
        raise InvalidBlockError(f"block {block.header.height} has a bad last commit: {error.message}") from error


def _validate_evidence(
    block: Block, tip: ChainTip, verifier: Verifier, history: ChainHistory, *, is_decided: bool
) -> None:
    if not block.evidence:
        return
    header = block.header
    try:
        verify_list(
            block.evidence,
            tip.chain_id,
            tip.params,
            header.height,
            header.time_ns,
            history,
            verifier,
            is_decided=is_decided,
        )
    except (InvalidEvidenceError, UnknownHistoryError) as error:
        raise InvalidBlockError(f"block {header.height} carries bad evidence: {error.message}") from error


def _show(value: object) -> str:
    return value.hex().upper() if isinstance(value, bytes) else str(value)
