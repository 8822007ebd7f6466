"""What the tests of evidence share: a chain in memory of real headers, commits and sets, with fake signatures, and offences against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import EMPTY_COMMIT, Commit, PqCommit
from consensus.evidence import DuplicateProposalEvidence, DuplicateVoteEvidence, Evidence
from consensus.header import Header
from consensus.light import LightBlock
from consensus.validation import ChainTip, make_block
from consensus.vote import Proposal, Vote, VoteType
from state.params import ConsensusParams
from state.primitives.hashing import sha256
from state.validators import ValidatorSet, ValidatorUpdate
from tests.consensus.world import BASE_NS, CHAIN, make_commit, make_set, make_validator, sign_proposal, sign_vote

S = 1_000_000_000
A, B = BlockID(b"\xaa" * 32, 1, b"\xa1" * 32), BlockID(b"\xbb" * 32, 1, b"\xb1" * 32)


@dataclass
class Chain:
    """`ChainHistory` of a chain that grows by one block a second; `tip` is what the next block stands on."""

    powers: Sequence[int] = (3, 2, 1, 1)
    params: ConsensusParams = field(default_factory=ConsensusParams)
    base: int = 1

    def __post_init__(self) -> None:
        self.set = make_set(self.powers)
        self.tip = ChainTip.at_genesis(CHAIN, 1, BASE_NS, self.set, sha256(b"app"), self.params)
        self.blocks: dict[int, Block] = {}
        self.sets: dict[int, ValidatorSet] = {}
        self.punished: dict[bytes, int] = {}

    @property
    def height(self) -> int:
        return self.tip.height

    def header(self, height: int) -> Header | None:
        found = self.blocks.get(height)
        return found.header if found is not None and height >= self.base else None

    def validators(self, height: int) -> ValidatorSet | None:
        return self.sets.get(height)

    def commit(self, height: int) -> Commit | None:
        found = self.blocks.get(height + 1)
        return None if found is None else found.last_commit

    def is_punished(self, offence: bytes) -> bool:
        return offence in self.punished

    # growing

    def last_commit(self) -> Commit:
        """What the next block carries: everybody signed, in round 0."""
        tip = self.tip
        if tip.last_validators is None:
            return EMPTY_COMMIT
        everybody = range(len(tip.last_validators))
        return make_commit(
            tip.last_validators, tip.height, 0, tip.last_block_id, everybody, (), tip.last_block_time_ns
        )[0]

    def next_block(self, *evidence: Evidence, after_ns: int = S) -> Block:
        tip = self.tip
        proposer = tip.validators.validators[0].address
        return make_block(tip, tip.last_block_time_ns + after_ns, (b"tx",), self.last_commit(), evidence, proposer)

    def grow(self, count: int = 1, *, updates: tuple[ValidatorUpdate, ...] = (), after_ns: int = S) -> Chain:
        for _ in range(count):
            block = self.next_block(after_ns=after_ns)
            self.add(block, updates)
        return self

    def add(self, block: Block, updates: tuple[ValidatorUpdate, ...] = ()) -> None:
        self.blocks[block.header.height] = block
        self.sets[block.header.height] = self.tip.validators
        for item in block.evidence:
            self.punished |= dict.fromkeys(item.offences, block.header.height)
        self.tip = self.tip.advance(block, sha256(self.tip.app_hash), sha256(b"results"), updates, None)

    # offences

    def vote(self, height: int, index: int, value: BlockID | None, kind: VoteType = VoteType.PREVOTE, round_: int = 0) -> Vote:
        validator = self.sets[height].validators[index]
        return sign_vote(Vote(kind, height, round_, value, BASE_NS, validator.address, index), validator)

    def double_vote(
        self, height: int, index: int = 1, *, values: tuple[BlockID | None, BlockID | None] = (A, B), round_: int = 0
    ) -> DuplicateVoteEvidence:
        first, second = (self.vote(height, index, value, round_=round_) for value in values)
        header = self.blocks[height].header
        return DuplicateVoteEvidence.of(first, second, self.sets[height], header.time_ns)

    def proposal(self, height: int, index: int, value: BlockID, **fields: Any) -> Proposal:
        proposal = replace(Proposal(height, 1, -1, value, BASE_NS), **fields)
        return sign_proposal(proposal, self.sets[height].validators[index])

    def double_proposal(self, height: int, index: int = 1) -> DuplicateProposalEvidence:
        first, second = (self.proposal(height, index, value) for value in (B, A))
        accused = self.sets[height].validators[index].address
        header = self.blocks[height].header
        return DuplicateProposalEvidence.of(first, second, accused, self.sets[height], header.time_ns)

    def forged(
        self,
        height: int,
        *,
        signers: Sequence[int] = (0, 1, 2),
        round_: int = 0,
        members: ValidatorSet | None = None,
        **changes: Any,
    ) -> LightBlock:
        """A light block that is not the chain's, signed by these places of `members` (else of the set of its height)."""
        model = self.blocks.get(height) or self.blocks[self.height]
        validators = members or self.sets.get(height) or self.tip.validators
        header = replace(model.header, height=height, validators_hash=validators.hash(), **changes)
        commit, pq_commit = sign_header(validators, header, signers, round_)
        return LightBlock(header, commit, pq_commit, validators)


def sign_header(
    validators: ValidatorSet, header: Header, signers: Sequence[int], round_: int = 0
) -> tuple[Commit, PqCommit]:
    """A commit for a header that these places signed."""
    name = BlockID(header.hash(), 1, sha256(header.hash()))
    return make_commit(validators, header.height, round_, name, signers, (), header.time_ns)


def strangers(count: int, power: int = 5) -> list[Any]:
    """Validators that our chain has never seen."""
    return [make_validator(f"stranger {number}", power) for number in range(count)]
