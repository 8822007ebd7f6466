"""The proof that a block was decided: one entry for each validator, in the order of its set; and its post-quantum side-car.

Bytes are CometBFT's `CommitSig` and `Commit`. The ML-DSA signatures over the same sign bytes travel and are stored beside it, index by
index. Verifying checks *every* signature, not just two thirds of them: what nobody checked must not enter the chain
(consensus.md K3). Which commit is needed when does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from consensus import quorum
from consensus.block_id import EMPTY, BlockID
from consensus.fields import (
    read_bytes,
    read_int,
    read_list,
    read_round,
    read_time,
    read_tuple,
    write_time,
)
from consensus.vote import PQ_SIGNATURE_LENGTHS, VoteType, vote_sign_bytes
from state.primitives import merkle
from state.primitives.canonical import (
    GO_ZERO_TIME_NS,
    bytes_field,
    message_field,
    timestamp,
    varint_field,
)
from state.primitives.codec import Value
from state.primitives.errors import InvalidCommitError, MalformedError
from state.primitives.hashing import VALIDATOR_ADDRESS_BYTES
from state.primitives.keys import CONTEXT_VOTE, ED25519_SIGNATURE_BYTES, verify_ed25519, verify_mldsa
from state.primitives.limits import HEIGHT_MAX, VALIDATORS_MAX
from state.validators import Validator, ValidatorSet


class Verifier(Protocol):
    """Checks a validator's two signatures; the simulator has a second one."""

    def verify(self, validator: Validator, sign_bytes: bytes, signature: bytes, pq_signature: bytes) -> bool:
        """Whether both signatures are the validator's over the bytes. Never raises."""
        ...

    def verify_classic(self, validator: Validator, sign_bytes: bytes, signature: bytes) -> bool:
        """Whether the Ed25519 signature alone is. Never raises."""
        ...


class HybridVerifier:
    """The real one: a vote counts only if its Ed25519 and its ML-DSA signature both verify."""

    def verify(self, validator: Validator, sign_bytes: bytes, signature: bytes, pq_signature: bytes) -> bool:
        """See `Verifier`."""
        return verify_ed25519(validator.ed25519_key, sign_bytes, signature) and verify_mldsa(
            validator.pq_kind, validator.pq_key, sign_bytes, pq_signature, CONTEXT_VOTE
        )

    def verify_classic(self, validator: Validator, sign_bytes: bytes, signature: bytes) -> bool:
        """See `Verifier`."""
        return verify_ed25519(validator.ed25519_key, sign_bytes, signature)


class Flag(IntEnum):
    """BlockIDFlag of CometBFT."""

    ABSENT = 1
    COMMIT = 2
    NIL = 3


@dataclass(frozen=True, slots=True)
class CommitSig:
    """One validator's part: absent, for the block, or for nil."""

    flag: Flag
    validator_address: bytes = b""
    time_ns: int = GO_ZERO_TIME_NS
    signature: bytes = b""

    def proto(self) -> bytes:
        """Protobuf bytes, which are also the leaf of the commit's hash."""
        return (
            varint_field(1, self.flag)
            + bytes_field(2, self.validator_address)
            + message_field(3, timestamp(self.time_ns))
            + bytes_field(4, self.signature)
        )

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        if self.flag is Flag.ABSENT:
            return (int(self.flag),)
        return int(self.flag), self.validator_address, write_time(self.time_ns), self.signature

    @classmethod
    def from_wire(cls, value: Value) -> CommitSig:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        if value == (1,) and type(value[0]) is int:
            return ABSENT
        flag, address, time, signature = read_tuple(value, 4, "a commit signature")
        return cls(
            Flag(read_int(flag, 2, 3, "a commit flag")),
            read_bytes(address, (VALIDATOR_ADDRESS_BYTES,), "a validator address"),
            read_time(time),
            read_bytes(signature, (ED25519_SIGNATURE_BYTES,), "an Ed25519 signature"),
        )


ABSENT: Final = CommitSig(Flag.ABSENT)


@dataclass(frozen=True, slots=True)
class Commit:
    """Precommits of one height and round, one entry for each validator of that height's set; `EMPTY_COMMIT` before the first."""

    height: int
    round: int
    block_id: BlockID
    signatures: tuple[CommitSig, ...]

    def hash(self) -> bytes:
        """`last_commit_hash`: SHA-256 of nothing for the empty commit."""
        return merkle.root([signature.proto() for signature in self.signatures])

    def proto(self) -> bytes:
        """Protobuf bytes."""
        head = varint_field(1, self.height) + varint_field(2, self.round) + message_field(3, self.block_id.proto())
        return head + b"".join(message_field(4, signature.proto()) for signature in self.signatures)

    def sign_bytes(self, chain_id: str, index: int) -> bytes:
        """What the validator at `index` signed; it must not be absent."""
        part = self.signatures[index]
        block_id = self.block_id if part.flag is Flag.COMMIT else None
        return vote_sign_bytes(chain_id, VoteType.PRECOMMIT, self.height, self.round, block_id, part.time_ns)

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        signatures = tuple(signature.to_wire() for signature in self.signatures)
        return self.height, self.round, self.block_id.to_wire(), signatures

    @classmethod
    def from_wire(cls, value: Value) -> Commit:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        height, round_, block_id, signatures = read_tuple(value, 4, "a commit")
        commit = cls(
            read_int(height, 0, HEIGHT_MAX, "a height"),
            read_round(round_),
            BlockID.from_wire(block_id),
            tuple(CommitSig.from_wire(item) for item in read_list(signatures, VALIDATORS_MAX, "a commit")),
        )
        if commit.height == 0 and commit != EMPTY_COMMIT:
            raise MalformedError("a commit of height 0 is empty")
        if commit.height > 0 and (commit.block_id.is_empty or not commit.signatures):
            raise MalformedError("a commit names a block and has signatures")
        return commit


EMPTY_COMMIT: Final = Commit(0, 0, EMPTY, ())


@dataclass(frozen=True, slots=True)
class PqCommit:
    """The ML-DSA signatures of a commit, index by index; empty where the validator is absent."""

    height: int
    round: int
    signatures: tuple[bytes, ...]

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return self.height, self.round, self.signatures

    @classmethod
    def from_wire(cls, value: Value) -> PqCommit:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        height, round_, signatures = read_tuple(value, 3, "a post-quantum commit")
        return cls(
            read_int(height, 0, HEIGHT_MAX, "a height"),
            read_round(round_),
            tuple(
                read_bytes(item, (0, *PQ_SIGNATURE_LENGTHS), "an ML-DSA signature")
                for item in read_list(signatures, VALIDATORS_MAX, "a post-quantum commit")
            ),
        )


EMPTY_PQ_COMMIT: Final = PqCommit(0, 0, ())


def verify_commit(
    chain_id: str,
    validators: ValidatorSet,
    height: int,
    block_id: BlockID,
    commit: Commit,
    pq_commit: PqCommit | None,
    verifier: Verifier,
) -> None:
    """Check that `commit` proves `block_id` at `height` under `validators`: every signature, in its place, and > 2/3 of the power.

    With `pq_commit` each present signature must have its ML-DSA half; with None only Ed25519 is checked, as a CometBFT light
    client would. Raises `InvalidCommitError`.
    """
    if commit.height != height or commit.block_id != block_id:
        raise InvalidCommitError("the commit is for another block")
    if len(commit.signatures) != len(validators):
        raise InvalidCommitError(
            f"the commit has {len(commit.signatures)} entries for {len(validators)} validators"
        )
    if pq_commit is not None and (
        pq_commit.height != height
        or pq_commit.round != commit.round
        or len(pq_commit.signatures) != len(commit.signatures)
    ):
        raise InvalidCommitError("the post-quantum signatures are of another commit")
    power = 0
    for index, part in enumerate(commit.signatures):
        pq_signature = b"" if pq_commit is None else pq_commit.signatures[index]
        if part.flag is Flag.ABSENT:
            if part != ABSENT or pq_signature:
                raise InvalidCommitError(f"entry {index} is absent and yet signed")
            continue
        validator = validators.validators[index]
        if part.validator_address != validator.address:
            raise InvalidCommitError(f"entry {index} is not of the validator at that place")
        sign_bytes = commit.sign_bytes(chain_id, index)
        if pq_commit is None:
            valid = verifier.verify_classic(validator, sign_bytes, part.signature)
        else:
            valid = verifier.verify(validator, sign_bytes, part.signature, pq_signature)
        if not valid:
            raise InvalidCommitError(f"the signature of entry {index} does not verify")
        if part.flag is Flag.COMMIT:
            power += validator.power
    if not quorum.is_quorum(power, validators.total_power):
        raise InvalidCommitError(f"the commit has power {power} of {validators.total_power}; more than 2/3 are needed")
