"""What the kinds of evidence share: the name of an offence, and how a proof is refused. No kind is known here."""

from __future__ import annotations

from consensus.commit import Verifier
from state.misbehavior import MisbehaviorKind
from state.primitives.codec import Value, encode_trusted
from state.primitives.errors import InvalidEvidenceError
from state.primitives.hashing import sha256
from state.validators import Validator, ValidatorSet


def name_offence(kind: MisbehaviorKind, *fields: Value) -> bytes:
    """The name that every proof of one offence shares, so that it is punished once: 32 bytes."""
    return sha256(b"qenex/offence/1" + encode_trusted((int(kind), *fields)))


def require(holds: bool, otherwise: str) -> None:
    """Raise `InvalidEvidenceError` unless a condition holds."""
    if not holds:
        raise InvalidEvidenceError(otherwise)


def get_accused(validators: ValidatorSet, address: bytes) -> Validator:
    """The member that is accused. Raises `InvalidEvidenceError`."""
    validator = validators.by_address(address)
    if validator is None:
        raise InvalidEvidenceError("the accused was not a validator at that height")
    return validator


def require_signed(
    verifier: Verifier, accused: Validator, sign_bytes: bytes, signature: bytes, pq_signature: bytes
) -> None:
    """Both signatures, because only both together bind a validator here. Raises `InvalidEvidenceError`."""
    if not verifier.verify(accused, sign_bytes, signature, pq_signature):
        raise InvalidEvidenceError("a message of the evidence is not signed by the accused with both keys")
