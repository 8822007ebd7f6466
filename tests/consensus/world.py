"""What the tests of consensus share: validators whose signatures are hashes, blocks named by letters, a core that signs at once.

`Scene` is one core under test among validators v0, v1, ... (places in the set; with equal powers also the order of proposing).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeVar

from consensus import messages as m
from consensus import proposer
from consensus.block import Block, BlockID, Header, data_hash
from consensus.block_id import EMPTY
from consensus.commit import ABSENT, EMPTY_COMMIT, EMPTY_PQ_COMMIT, Commit, CommitSig, Flag, PqCommit
from consensus.core import Core
from consensus.evidence import evidence_hash
from consensus.timeouts import Timeouts
from consensus.vote import Proposal, Vote, VoteType
from state.params import ConsensusParams
from state.primitives.hashing import sha256
from state.primitives.keys import MLDSA_KEY_BYTES, MLDSA_SIGNATURE_BYTES, KeyKind
from state.validators import Validator, ValidatorSet

CHAIN = "test-1"
BASE_NS = 1_700_000_000 * 1_000_000_000  # time of the block before the height under test
MS = 1_000_000
PREVOTE, PRECOMMIT = VoteType.PREVOTE, VoteType.PRECOMMIT
_PQ_KEY_BYTES = MLDSA_KEY_BYTES[KeyKind.MLDSA44]
_PQ_BYTES = MLDSA_SIGNATURE_BYTES[KeyKind.MLDSA44]


@lru_cache(maxsize=4096)
def fake_signatures(key: bytes, sign_bytes: bytes) -> tuple[bytes, bytes]:
    """Both signatures of a validator that is known by its Ed25519 key."""
    digest = sha256(key + sign_bytes)
    return digest * 2, (digest * (_PQ_BYTES // 32 + 1))[:_PQ_BYTES]


class FakeVerifier:
    """Accepts `fake_signatures`; counts what it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def verify(self, validator: Validator, sign_bytes: bytes, signature: bytes, pq_signature: bytes) -> bool:
        self.calls += 1
        return (signature, pq_signature) == fake_signatures(validator.ed25519_key, sign_bytes)

    def verify_classic(self, validator: Validator, sign_bytes: bytes, signature: bytes) -> bool:
        return signature == fake_signatures(validator.ed25519_key, sign_bytes)[0]


def make_validator(name: object, power: int = 1) -> Validator:
    return Validator(sha256(f"validator {name}".encode()), KeyKind.MLDSA44, bytes(_PQ_KEY_BYTES), power)


def make_set(powers: Sequence[int]) -> ValidatorSet:
    return ValidatorSet(make_validator(index, power) for index, power in enumerate(powers))


def sign_vote(vote: Vote, validator: Validator) -> Vote:
    return vote.with_signatures(*fake_signatures(validator.ed25519_key, vote.sign_bytes(CHAIN)))


def sign_proposal(proposal: Proposal, validator: Validator) -> Proposal:
    return proposal.with_signatures(*fake_signatures(validator.ed25519_key, proposal.sign_bytes(CHAIN)))


def make_block(name: str, height: int, time_ns: int, validators: ValidatorSet, last_commit: Commit = EMPTY_COMMIT) -> Block:
    """A block told apart by one transaction. The core does not look inside."""
    txs = (name.encode(),)
    blank = sha256(b"blank")
    header = Header(
        1, CHAIN, height, time_ns, last_commit.block_id, last_commit.hash(), data_hash(txs), validators.hash(),
        validators.hash(), blank, blank, blank, evidence_hash(()), validators.validators[0].address,
    )  # fmt: skip
    return Block(header, txs, (), last_commit)


def make_commit(
    validators: ValidatorSet,
    height: int,
    round_: int,
    block_id: BlockID,
    voters: Iterable[int],
    nil: Iterable[int] = (),
    time_ns: int = BASE_NS,
) -> tuple[Commit, PqCommit]:
    """A commit signed by the named places."""
    parts, pq_parts = [ABSENT] * len(validators), [b""] * len(validators)
    for flag, places in ((Flag.COMMIT, voters), (Flag.NIL, nil)):
        for index in places:
            validator = validators.validators[index]
            value = block_id if flag is Flag.COMMIT else None
            vote = Vote(PRECOMMIT, height, round_, value, time_ns, validator.address, index)
            signed = sign_vote(vote, validator)
            parts[index] = CommitSig(flag, validator.address, time_ns, signed.signature)
            pq_parts[index] = signed.pq_signature
    return Commit(height, round_, block_id, tuple(parts)), PqCommit(height, round_, tuple(pq_parts))


@dataclass
class Scene:
    """A core at `height`, with everybody else's keys at hand. `own` None is an observer."""

    powers: Sequence[int] = (1, 1, 1, 1)
    own: int | None = 1
    height: int = 1
    signs: bool = True  # answer SignVote and SignProposal at once
    params: ConsensusParams = field(default_factory=ConsensusParams)

    def __post_init__(self) -> None:
        self.validators = make_set(self.powers)
        self.priorities = proposer.initial_priorities(self.validators)
        self.verifier = FakeVerifier()
        address = None if self.own is None else self.validators.validators[self.own].address
        self.core = Core(CHAIN, address, self.verifier)
        self.blocks: dict[str, Block] = {}
        self.names: dict[BlockID, str] = {}
        self.log: list[m.Output] = []
        self.inputs: list[m.Input] = []

    # making things

    def block(self, name: str) -> Block:
        """The block of this letter: A is one second after the last block, the next letters a millisecond later each."""
        known = self.blocks.get(name)
        if known is None:
            time_ns = BASE_NS + (1000 + ord(name[0]) - ord("A")) * MS
            known = self.blocks[name] = make_block(name, self.height, time_ns, self.validators)
            self.names[known.block_id()] = name
        return known

    def block_id(self, name: str) -> BlockID:
        return self.block(name).block_id()

    def vote(self, index: int, vote_type: VoteType, round_: int, value: str | None, height: int | None = None) -> Vote:
        time_ns = BASE_NS if value is None else self.block(value).header.time_ns
        validator = self.validators.validators[index]
        block_id = None if value is None else self.block_id(value)
        vote = Vote(vote_type, height or self.height, round_, block_id, time_ns, validator.address, index)
        return sign_vote(vote, validator)

    def proposal(self, round_: int, value: str, pol_round: int = -1, who: int | None = None) -> Proposal:
        block = self.block(value)
        sender = proposer.proposer_of(self.validators, self.priorities, round_)
        if who is not None:
            sender = self.validators.validators[who]
        proposal = Proposal(self.height, round_, pol_round, block.block_id(), block.header.time_ns)
        return sign_proposal(proposal, sender)

    def start_input(self, *, abstain: bool = False) -> m.StartHeight:
        return m.StartHeight(
            self.height, self.validators, self.priorities, None, EMPTY, BASE_NS, EMPTY_COMMIT, EMPTY_PQ_COMMIT,
            Timeouts.of(self.params), abstain,
        )  # fmt: skip

    # giving inputs

    def step(self, item: m.Input) -> list[m.Output]:
        """One input, and our signer's answers to what it asks for."""
        self.inputs.append(item)
        outputs = self.core.step(item)
        self.log += outputs
        found = list(outputs)
        if self.signs:
            for output in outputs:
                if isinstance(output, m.SignVote | m.SignProposal):
                    found += self.step(m.Signed(self.sign(output)))
        return found

    def sign(self, request: m.SignVote | m.SignProposal) -> Vote | Proposal:
        validator = self.validators.validators[self.own or 0]
        if isinstance(request, m.SignVote):
            return sign_vote(request.vote, validator)
        return sign_proposal(request.proposal, validator)

    def start(self, *, abstain: bool = False) -> list[m.Output]:
        return self.step(self.start_input(abstain=abstain))

    def propose(self, round_: int, value: str, pol_round: int = -1, delay_ns: int = 10 * MS) -> list[m.Output]:
        """A proposal of the round's proposer arrives, this long after the time of its block."""
        item = m.ProposalReceived(self.proposal(round_, value, pol_round), self.block(value).header.time_ns + delay_ns)
        return self.step(item)

    def give_block(self, value: str, valid: bool | None = True) -> list[m.Output]:
        """The block's bytes arrive, and the verdict, unless it is None."""
        out = self.step(m.BlockReceived(self.block(value)))
        return out if valid is None else out + self.verdict(value, valid)

    def verdict(self, value: str, valid: bool) -> list[m.Output]:
        return self.step(m.BlockValidity(self.block_id(value), valid))

    def votes(self, voters: Iterable[int], vote_type: VoteType, round_: int, value: str | None) -> list[m.Output]:
        out: list[m.Output] = []
        for index in voters:
            out += self.step(m.VoteReceived(self.vote(index, vote_type, round_, value)))
        return out

    def timeout(self, round_: int, step: m.Step) -> list[m.Output]:
        return self.step(m.TimeoutFired(self.height, round_, step))

    # reading

    def cast(self, outputs: Sequence[m.Output]) -> list[tuple[VoteType, int, str | None]]:
        """The votes that these outputs ask our signer for: (type, round, block letter or None)."""
        return [
            (o.vote.type, o.vote.round, None if o.vote.block_id is None else self.names[o.vote.block_id])
            for o in outputs
            if isinstance(o, m.SignVote)
        ]

    @property
    def lock(self) -> tuple[str | None, int, str | None, int]:
        """(locked letter, round, valid letter, round)."""
        lock = self.core.state.lock
        locked, valid = lock.locked_value, lock.valid_value
        return (
            None if locked is None else self.names[locked], lock.locked_round,
            None if valid is None else self.names[valid], lock.valid_round,
        )  # fmt: skip

    @property
    def place(self) -> tuple[int, m.Step]:
        """(round, step)."""
        return self.core.state.round, self.core.state.step


T = TypeVar("T")


def of_kind(outputs: Sequence[m.Output], kind: type[T]) -> list[T]:
    """The outputs of one kind."""
    return [output for output in outputs if isinstance(output, kind)]


def spoil(vote: Vote) -> Vote:
    """A vote whose Ed25519 signature is wrong by one bit."""
    return replace(vote, signature=bytes((vote.signature[0] ^ 1,)) + vote.signature[1:])
