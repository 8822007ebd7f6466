"""Signatures for simulations: fast, deterministic, and not to be forged by the code under test.

A signature is a hash with a secret that only the world holds; node code sees a signer's object and a verifier. Ed25519 and ML-DSA cost
a thousand times as much and prove nothing more here. Never used outside the simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from state.primitives.hashing import sha256
from state.primitives.keys import MLDSA_KEY_BYTES, MLDSA_SIGNATURE_BYTES, KeyKind, PublicKey
from state.validators import Validator, ValidatorSet

PQ_KIND: Final = KeyKind.MLDSA44
_KEY_BYTES: Final = MLDSA_KEY_BYTES[PQ_KIND]
_SIGNATURE_BYTES: Final = MLDSA_SIGNATURE_BYTES[PQ_KIND]
_TAIL: Final = bytes(_SIGNATURE_BYTES - 64)


class SimKey:
    """One half of a validator's key, with the methods of `PrivateKey` that a signer uses. `fresh`: no two signatures are equal."""

    def __init__(self, secret: bytes, kind: KeyKind, public: bytes, *, fresh: bool) -> None:
        self.kind = kind
        self.public_key = PublicKey(kind, public)
        self._secret = secret
        self._fresh = fresh
        self._count = 0

    def sign(self, message: bytes, _context: bytes) -> bytes:
        """A signature of the kind's length. ML-DSA is randomised: signing twice is visible."""
        if not self._fresh:
            return sha256(self._secret + message) * 2
        self._count += 1
        nonce = sha256(self._secret + message + self._count.to_bytes(4, "big"))
        return nonce + sha256(self._secret + message + nonce) + _TAIL


class SimKeys:
    """The keys of `powers`, in the order of the set, and who verifies what they sign."""

    def __init__(self, powers: Sequence[int], *, salt: bytes = b"") -> None:
        self._secrets: dict[bytes, bytes] = {}  # Ed25519 public key to secret
        pairs: dict[bytes, tuple[bytes, bytes]] = {}
        members = []
        for index, power in enumerate(powers):
            secret = sha256(b"secret" + salt + index.to_bytes(4, "big"))
            public = sha256(b"public" + salt + index.to_bytes(4, "big"))
            member = Validator(public, PQ_KIND, public * (_KEY_BYTES // 32), power)
            self._secrets[public] = secret
            pairs[member.address] = secret, public
            members.append(member)
        self.validators = ValidatorSet(members)
        self._pairs = [pairs[member.address] for member in self.validators.validators]

    def pair(self, index: int) -> tuple[SimKey, SimKey]:
        """Both keys of the validator at a place; new objects, so that twins count for themselves."""
        secret, public = self._pairs[index]
        classic = SimKey(secret, KeyKind.ED25519, public, fresh=False)
        return classic, SimKey(secret, PQ_KIND, public * (_KEY_BYTES // 32), fresh=True)

    # the verifier

    def verify(self, validator: Validator, sign_bytes: bytes, signature: bytes, pq_signature: bytes) -> bool:
        """See `consensus.commit.Verifier`."""
        secret = self._secrets.get(validator.ed25519_key)
        if secret is None or len(pq_signature) != _SIGNATURE_BYTES:
            return False
        nonce, proof = pq_signature[:32], pq_signature[32:64]
        return signature[:32] == sha256(secret + sign_bytes) and proof == sha256(secret + sign_bytes + nonce)

    def verify_classic(self, validator: Validator, sign_bytes: bytes, signature: bytes) -> bool:
        """See `consensus.commit.Verifier`."""
        secret = self._secrets.get(validator.ed25519_key)
        return secret is not None and signature[:32] == sha256(secret + sign_bytes)
