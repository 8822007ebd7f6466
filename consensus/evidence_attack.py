"""Proof that validators signed a header that is not the chain's, to deceive light clients: CometBFT's `LightClientAttackEvidence`.

Three attacks, as its light client specification has them. *Lunatic*: the header's derived hashes are false; guilty is who signed it and
was in our set at the common height. *Equivocation*: a correctly derived second block in the same round; guilty is who signed both.
*Amnesia*: the same in another round; nobody can be named, and nobody is punished. Stricter than CometBFT in three points: every signature
is checked; a lunatic header has a common height below its own, the other two have their own; and the accused must have signed with their
ML-DSA keys as well, since whoever breaks Ed25519 must not be able to have the whole set punished.

Inner bytes and `hash` are CometBFT's, priorities included. Bounds: one commit of at most 200 validators and as many ML-DSA signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consensus import quorum
from consensus.commit import ABSENT, Commit, Flag, Verifier
from consensus.evidence_common import name_offence, require
from consensus.fields import read_bytes, read_height, read_int, read_list, read_time, read_tuple, write_time
from consensus.header import Header
from consensus.history import ChainHistory
from consensus.light import LightBlock
from consensus.vote import PQ_SIGNATURE_LENGTHS
from state.misbehavior import Misbehavior, MisbehaviorKind
from state.primitives import merkle
from state.primitives.canonical import bytes_field, message_field, timestamp, uvarint, varint_field
from state.primitives.codec import Value
from state.primitives.errors import InvalidEvidenceError, MalformedError, UnknownHistoryError
from state.primitives.hashing import sha256, validator_address
from state.primitives.keys import ED25519_KEY_BYTES, MLDSA_KEY_BYTES, KeyKind
from state.primitives.limits import POWER_TOTAL_MAX, VALIDATORS_MAX
from state.validators import Validator, ValidatorSet

TRUST_NUMERATOR: Final = 1  # CometBFT's default trust level: more than a third of the common set signed
TRUST_DENOMINATOR: Final = 3
_PRIORITY_MAX: Final = (1 << 63) - 1
_BLANK_KIND: Final = KeyKind.MLDSA44
_HASH_COPIED: Final = 31  # CometBFT copies one byte less than a hash has, and now it must stay so


@dataclass(frozen=True, slots=True)
class LightValidator:
    """A member of a set as a light block names it: without its ML-DSA key, and with a priority that means nothing here."""

    ed25519_key: bytes
    power: int
    priority: int = 0

    @property
    def address(self) -> bytes:
        """20 bytes."""
        return validator_address(self.ed25519_key)

    def proto(self) -> bytes:
        """Protobuf `Validator`."""
        return (
            bytes_field(1, self.address)
            + message_field(2, bytes_field(1, self.ed25519_key))
            + varint_field(3, self.power)
            + varint_field(4, self.priority)
        )

    def hash_bytes(self) -> bytes:
        """The leaf of the validators' hash."""
        return message_field(1, bytes_field(1, self.ed25519_key)) + varint_field(2, self.power)

    def to_validator(self) -> Validator:
        """For `Verifier.verify_classic`, which looks at the Ed25519 key alone; the second key is blank."""
        return Validator(self.ed25519_key, _BLANK_KIND, bytes(MLDSA_KEY_BYTES[_BLANK_KIND]), self.power)

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return self.ed25519_key, self.power, self.priority

    @classmethod
    def from_wire(cls, value: Value) -> LightValidator:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        key, power, priority = read_tuple(value, 3, "a validator of a light block")
        return cls(
            read_bytes(key, (ED25519_KEY_BYTES,), "an Ed25519 key"),
            read_int(power, 1, POWER_TOTAL_MAX, "a voting power"),
            read_int(priority, -_PRIORITY_MAX - 1, _PRIORITY_MAX, "a proposer priority"),
        )


@dataclass(frozen=True, slots=True)
class LightClientAttackEvidence:
    """A conflicting light block. `byzantine` are the accused, strongest first, `pq_signatures` theirs over the conflicting commit.

    Height and time of the offence are those of the common height, where the accused were bonded for certain.
    """

    header: Header
    commit: Commit
    validators: tuple[LightValidator, ...]
    common_height: int
    byzantine: tuple[LightValidator, ...]
    total_power: int
    time_ns: int
    pq_signatures: tuple[bytes, ...]

    @classmethod
    def of(cls, block: LightBlock, common_height: int, history: ChainHistory) -> LightClientAttackEvidence:
        """Evidence of a light block that contradicts our chain. Raises `UnknownHistoryError`."""
        common = _Common.at(history, common_height)
        members = tuple(LightValidator(member.ed25519_key, member.power) for member in block.validators.validators)
        bare = cls(
            block.header, block.commit, members, common_height, (), common.set.total_power, common.header.time_ns, ()
        )
        accused = bare.find_byzantine(history)
        places = {validator.address: index for index, validator in enumerate(block.validators.validators)}
        pq_commit = block.pq_commit
        signatures = tuple(
            b"" if pq_commit is None else pq_commit.signatures[places[validator.address]] for validator in accused
        )
        named = tuple(LightValidator(validator.ed25519_key, validator.power) for validator in accused)
        return cls(
            block.header, block.commit, members, common_height, named, bare.total_power, bare.time_ns, signatures
        )

    @property
    def height(self) -> int:
        """The common height."""
        return self.common_height

    @property
    def offence(self) -> bytes:
        """Name of what this proves: which header was forged, and by whom. Another common height is no other offence."""
        accused = tuple(member.address for member in self.byzantine)
        return name_offence(MisbehaviorKind.LIGHT_CLIENT_ATTACK, self.header.hash(), accused)

    @property
    def offences(self) -> tuple[bytes, ...]:
        """One for each of the accused, so that a proof against a few of the guilty does not cover for the others."""
        kind, name = MisbehaviorKind.LIGHT_CLIENT_ATTACK, self.header.hash()
        return tuple(name_offence(kind, name, member.address) for member in self.byzantine) or (
            name_offence(kind, name),
        )

    def misbehavior(self) -> tuple[Misbehavior, ...]:
        """For the ledger: one for each of the accused."""
        kind = MisbehaviorKind.LIGHT_CLIENT_ATTACK
        return tuple(
            Misbehavior(kind, member.address, self.common_height, self.time_ns, member.power, self.total_power)
            for member in self.byzantine
        )

    # judging

    def verify(self, chain_id: str, history: ChainHistory, verifier: Verifier) -> None:
        """Check it against the chain. Raises `InvalidEvidenceError`, or `UnknownHistoryError` if it cannot be judged here."""
        header, commit = self.header, self.commit
        require(1 <= self.common_height <= header.height, "the common height is above the conflicting block")
        require(header.chain_id == chain_id, "the conflicting header is of another chain")
        require(commit.height == header.height, "the conflicting commit is of another height")
        require(commit.block_id.hash == header.hash(), "the conflicting commit is for another header")
        require(len(commit.signatures) == len(self.validators), "the conflicting commit is not of its set's size")
        require(self._is_canonical_set(), "the conflicting set is not in canonical order")
        leaves = [member.hash_bytes() for member in self.validators]
        require(header.validators_hash == merkle.root(leaves), "the validators are not the conflicting header's")
        common = _Common.at(history, self.common_height)
        require(self.time_ns == common.header.time_ns, "the evidence states another time than the block of its height")
        require(self.total_power == common.set.total_power, "the evidence states a wrong voting power")
        accused = self.find_byzantine(history)
        named = [(member.address, member.power) for member in self.byzantine]
        require(
            named == [(validator.address, validator.power) for validator in accused],
            "the accused are not those that the chain shows",
        )
        # the accused first: a stranger can sign for any number of strangers, but not for them
        self._verify_accused(chain_id, accused, verifier)
        self._verify_commit(chain_id, verifier)

    def find_byzantine(self, history: ChainHistory) -> tuple[Validator, ...]:
        """Who can be punished, strongest first. Raises `InvalidEvidenceError` if this is no attack, `UnknownHistoryError`."""
        common = _Common.at(history, self.common_height)
        header, is_forward = self.header, self.header.height > history.height
        trusted = history.header(min(header.height, history.height))
        if trusted is None:
            raise UnknownHistoryError(f"height {header.height} is not kept")
        if is_forward:
            # no block of that height yet; an honest one would be later than ours
            require(header.time_ns <= trusted.time_ns, "the conflicting block is later than the chain: it may be its next")
        else:
            require(trusted.hash() != header.hash(), "the conflicting header is the chain's")
        if is_forward or _derived(trusted) != _derived(header):
            require(self.common_height < header.height, "a header of the common height has false hashes: name a lower one")
            signed = self._signers()
            accused = tuple(member for member in common.set.validators if member.address in signed)
            power = sum(member.power for member in accused)
            require(
                power * TRUST_DENOMINATOR > common.set.total_power * TRUST_NUMERATOR,
                "too little of the common set's power signed the conflicting header",
            )
            return accused
        require(self.common_height == header.height, "a header with true hashes has its own height in common")
        canonical = history.commit(header.height)
        if canonical is None:
            raise UnknownHistoryError(f"the commit of height {header.height} is not on the chain yet")
        if canonical.round != self.commit.round:
            return ()  # amnesia: who of them unlocked is not to be seen
        return tuple(
            member
            for member, ours, theirs in zip(
                common.set.validators, canonical.signatures, self.commit.signatures, strict=True
            )
            if ours.flag is Flag.COMMIT and theirs.flag is Flag.COMMIT
        )

    def _signers(self) -> dict[bytes, int]:
        """Address to place of everyone who signed the conflicting header, by the keys that its hash covers."""
        return {
            member.address: index
            for index, (member, part) in enumerate(zip(self.validators, self.commit.signatures, strict=True))
            if part.flag is Flag.COMMIT
        }

    def _is_canonical_set(self) -> bool:
        keys = [(-member.power, member.address) for member in self.validators]
        distinct = {member.address for member in self.validators}
        return keys == sorted(keys) and len(distinct) == len(keys) > 0

    def _verify_commit(self, chain_id: str, verifier: Verifier) -> None:
        """More than 2/3 of the conflicting set, and no signature that does not verify."""
        power = total = 0
        for index, (member, part) in enumerate(zip(self.validators, self.commit.signatures, strict=True)):
            total += member.power
            if part.flag is Flag.ABSENT:
                require(part == ABSENT, "an entry of the conflicting commit is absent and yet signed")
                continue
            require(part.validator_address == member.address, "an entry of the conflicting commit is of another validator")
            sign_bytes = self.commit.sign_bytes(chain_id, index)
            valid = verifier.verify_classic(member.to_validator(), sign_bytes, part.signature)
            require(valid, "a signature of the conflicting commit does not verify")
            power += member.power if part.flag is Flag.COMMIT else 0
        require(quorum.is_quorum(power, total), "the conflicting commit has too little power")

    def _verify_accused(self, chain_id: str, accused: Sequence[Validator], verifier: Verifier) -> None:
        require(len(accused) == len(self.pq_signatures), "each of the accused has one post-quantum signature")
        places = self._signers()
        for validator, pq_signature in zip(accused, self.pq_signatures, strict=True):
            index = places[validator.address]
            sign_bytes, signature = self.commit.sign_bytes(chain_id, index), self.commit.signatures[index].signature
            if not verifier.verify(validator, sign_bytes, signature, pq_signature):
                raise InvalidEvidenceError("the conflicting commit is not signed by the accused with both keys")

    # bytes

    @property
    def proposer(self) -> LightValidator:
        """Whose turn the priorities say it is, as CometBFT finds it; it proves nothing."""
        return min(self.validators, key=lambda member: (-member.priority, member.address))

    def proto(self) -> bytes:
        """Protobuf bytes of the inner message."""
        members = b"".join(message_field(1, member.proto()) for member in self.validators)
        signed_header = message_field(1, self.header.proto()) + message_field(2, self.commit.proto())
        block = message_field(1, signed_header) + message_field(2, members + message_field(2, self.proposer.proto()))
        return (
            message_field(1, block)
            + varint_field(2, self.common_height)
            + b"".join(message_field(3, member.proto()) for member in self.byzantine)
            + varint_field(4, self.total_power)
            + message_field(5, timestamp(self.time_ns))
        )

    def hash(self) -> bytes:
        """CometBFT's name: over the header's hash, of which it copies 31 bytes, and the common height as a zigzag varint."""
        return sha256(self.header.hash()[:_HASH_COPIED] + b"\0" + uvarint(self.common_height << 1))

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return (
            self.header.to_wire(),
            self.commit.to_wire(),
            tuple(member.to_wire() for member in self.validators),
            self.common_height,
            tuple(member.to_wire() for member in self.byzantine),
            self.total_power,
            write_time(self.time_ns),
            self.pq_signatures,
        )

    @classmethod
    def from_wire(cls, value: Value) -> LightClientAttackEvidence:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        header, commit, members, common, accused, total, time, signatures = read_tuple(
            value, 8, "evidence of a light client attack"
        )
        found = cls(
            Header.from_wire(header),
            Commit.from_wire(commit),
            _read_members(members),
            read_height(common),
            _read_members(accused),
            read_int(total, 1, POWER_TOTAL_MAX, "a total power"),
            read_time(time),
            tuple(
                read_bytes(item, PQ_SIGNATURE_LENGTHS, "an ML-DSA signature")
                for item in read_list(signatures, VALIDATORS_MAX, "a list of post-quantum signatures")
            ),
        )
        if not found.validators:
            raise MalformedError("a light block has validators")
        return found


@dataclass(frozen=True, slots=True)
class _Common:
    """Our chain at the common height."""

    header: Header
    set: ValidatorSet

    @classmethod
    def at(cls, history: ChainHistory, height: int) -> _Common:
        header, validators = history.header(height), history.validators(height)
        if header is None or validators is None:
            raise UnknownHistoryError(f"height {height} is not kept, or not decided")
        return cls(header, validators)


def _derived(header: Header) -> tuple[bytes, ...]:
    """What the chain below a block dictates: false values make a lunatic header."""
    return (
        header.validators_hash,
        header.next_validators_hash,
        header.consensus_hash,
        header.app_hash,
        header.last_results_hash,
    )


def _read_members(value: Value) -> tuple[LightValidator, ...]:
    return tuple(LightValidator.from_wire(item) for item in read_list(value, VALIDATORS_MAX, "a light block's set"))
