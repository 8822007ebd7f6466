"""The validator set: who votes with how much power, in which order, and the hash of it that headers carry.

Order and hash are CometBFT's: power descending, then address ascending; the hash is the RFC 6962 root over
`SimpleValidator{1 PublicKey{1 ed25519}, 2 voting_power}`. The ML-DSA key is not part of that hash, because light clients
recompute it from the fields they know; it is part of the state. Whose turn it is does not belong here (`consensus.proposer`),
nor how power comes from stake (`state.modules`). Bounds: consensus.md K6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from state.primitives import merkle
from state.primitives.canonical import bytes_field, message_field, varint_field
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.hashing import validator_address
from state.primitives.keys import ED25519_KEY_BYTES, MLDSA_KEY_BYTES, KeyKind
from state.primitives.limits import POWER_TOTAL_MAX, VALIDATORS_MAX

_VOTE_KINDS: Final = tuple(MLDSA_KEY_BYTES)


@dataclass(frozen=True, slots=True)
class ValidatorUpdate:
    """A change of the set: the power a validator has from now on; 0 removes it. The keys are repeated in full."""

    ed25519_key: bytes
    pq_kind: KeyKind
    pq_key: bytes
    power: int


@dataclass(frozen=True, slots=True)
class Validator:
    """One member: its two public keys and its voting power (1 or more). The address follows from the Ed25519 key."""

    ed25519_key: bytes
    pq_kind: KeyKind
    pq_key: bytes
    power: int
    address: bytes = field(init=False)

    def __post_init__(self) -> None:
        if len(self.ed25519_key) != ED25519_KEY_BYTES:
            raise MalformedError(f"a validator's Ed25519 key has {ED25519_KEY_BYTES} bytes")
        if self.pq_kind not in _VOTE_KINDS or len(self.pq_key) != MLDSA_KEY_BYTES[self.pq_kind]:
            raise MalformedError("a validator's second key is an ML-DSA key")
        if not 0 < self.power <= POWER_TOTAL_MAX:
            raise MalformedError(f"voting power is within 1..{POWER_TOTAL_MAX}")
        object.__setattr__(self, "address", validator_address(self.ed25519_key))

    def hash_bytes(self) -> bytes:
        """The leaf of the validators' hash."""
        return message_field(1, bytes_field(1, self.ed25519_key)) + varint_field(2, self.power)

    def to_wire(self) -> tuple[Value, ...]:
        """Stored form."""
        return self.ed25519_key, int(self.pq_kind), self.pq_key, self.power

    @classmethod
    def from_wire(cls, value: Value) -> Validator:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        if type(value) is not tuple or len(value) != 4:
            raise MalformedError("a validator has four fields")
        ed25519_key, kind, pq_key, power = value
        if type(ed25519_key) is not bytes or type(pq_key) is not bytes or type(power) is not int:
            raise MalformedError("a validator has a field of a wrong type")
        if type(kind) is not int or kind not in (int(known) for known in _VOTE_KINDS):
            raise MalformedError("a validator has an unknown kind of second key")
        return cls(ed25519_key, KeyKind(kind), pq_key, power)


class ValidatorSet:
    """An immutable set of 1 to 200 validators in canonical order."""

    __slots__ = ("_by_address", "_hash", "total_power", "validators")

    def __init__(self, validators: Iterable[Validator]) -> None:
        ordered = tuple(sorted(validators, key=lambda v: (-v.power, v.address)))
        if not ordered:
            raise MalformedError("a validator set is never empty")
        if len(ordered) > VALIDATORS_MAX:
            raise MalformedError(f"a validator set has at most {VALIDATORS_MAX} members")
        self.validators: Final = ordered
        self._by_address: Final = {validator.address: index for index, validator in enumerate(ordered)}
        if len(self._by_address) != len(ordered):
            raise MalformedError("a validator is in the set twice")
        self.total_power: Final = sum(validator.power for validator in ordered)
        if self.total_power > POWER_TOTAL_MAX:
            raise MalformedError(f"the total voting power is above {POWER_TOTAL_MAX}")
        self._hash: bytes | None = None

    def __len__(self) -> int:
        return len(self.validators)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ValidatorSet) and self.validators == other.validators

    def __hash__(self) -> int:
        return hash(self.hash())

    def __repr__(self) -> str:
        return f"ValidatorSet({len(self.validators)} validators, power {self.total_power})"

    def hash(self) -> bytes:
        """What headers carry: 32 bytes."""
        if self._hash is None:
            self._hash = merkle.root([validator.hash_bytes() for validator in self.validators])
        return self._hash

    def index_of(self, address: bytes) -> int:
        """The place of a validator, or -1."""
        return self._by_address.get(address, -1)

    def by_address(self, address: bytes) -> Validator | None:
        """The validator of an address, or None."""
        index = self._by_address.get(address)
        return None if index is None else self.validators[index]

    def by_index(self, index: int) -> Validator | None:
        """The validator at a place, or None when there is none (also for negative numbers)."""
        return self.validators[index] if 0 <= index < len(self.validators) else None

    def update(self, updates: Iterable[ValidatorUpdate]) -> ValidatorSet:
        """The set after the updates.

        Raises `MalformedError`, changing nothing, for a key named twice, a removal of a stranger, a negative or too large power,
        or an empty result (consensus.md K6).
        """
        members = {validator.address: validator for validator in self.validators}
        named: dict[bytes, None] = {}
        for change in updates:
            address = validator_address(change.ed25519_key)
            if address in named:
                raise MalformedError("a validator is updated twice at one height")
            named[address] = None
            if change.power == 0:
                if address not in members:
                    raise MalformedError("a validator that is not in the set cannot be removed")
                del members[address]
            else:
                members[address] = Validator(change.ed25519_key, change.pq_kind, change.pq_key, change.power)
        return ValidatorSet(members.values()) if named else self

    def to_wire(self) -> tuple[Value, ...]:
        """Stored form."""
        return tuple(validator.to_wire() for validator in self.validators)

    @classmethod
    def from_wire(cls, value: Value) -> ValidatorSet:
        """Inverse of `to_wire`; the order must be the canonical one. Raises `MalformedError`."""
        if type(value) is not tuple or len(value) > VALIDATORS_MAX:
            raise MalformedError("a validator set is a list of at most 200 validators")
        validators = tuple(Validator.from_wire(item) for item in value)
        found = cls(validators)
        if found.validators != validators:
            raise MalformedError("a validator set is sorted by power, then address")
        return found
