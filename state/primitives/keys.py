"""Keys and signatures: Ed25519, ML-DSA, and both at once.

One rule decides each verdict. Ed25519 is decided by libsodium alone (libraries disagree on malformed points, and a
disagreement is a fork); ML-DSA (FIPS 204) by `cryptography`; a hybrid signature is valid only if both halves are. Verifying
never raises. Seeds come from outside: no randomness lives here. ML-DSA signing is hedged by its library, so two signatures of
one message differ: never hash a signature into an identifier.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa
from nacl import bindings as sodium
from nacl.exceptions import BadSignatureError, CryptoError

from state.primitives.errors import KeyFormatError
from state.primitives.hashing import sha256

CONTEXT_TX: Final = b"qenex/tx/1"
CONTEXT_VOTE: Final = b"qenex/vote/1"
CONTEXT_NODE: Final = b"qenex/node/1"

SEED_BYTES: Final = 32
ED25519_KEY_BYTES: Final = 32
ED25519_SIGNATURE_BYTES: Final = 64


class KeyKind(IntEnum):
    """Stable numbers of key kinds; they are part of the state."""

    ED25519 = 1
    MLDSA87 = 2
    HYBRID = 3  # Ed25519 and ML-DSA-87
    MLDSA65 = 4
    MLDSA44 = 5


MLDSA_KEY_BYTES: Final = {KeyKind.MLDSA44: 1312, KeyKind.MLDSA65: 1952, KeyKind.MLDSA87: 2592}
MLDSA_SIGNATURE_BYTES: Final = {KeyKind.MLDSA44: 2420, KeyKind.MLDSA65: 3309, KeyKind.MLDSA87: 4627}

PUBLIC_KEY_BYTES: Final = {
    KeyKind.ED25519: ED25519_KEY_BYTES,
    KeyKind.HYBRID: ED25519_KEY_BYTES + MLDSA_KEY_BYTES[KeyKind.MLDSA87],
    **MLDSA_KEY_BYTES,
}
SIGNATURE_BYTES: Final = {
    KeyKind.ED25519: ED25519_SIGNATURE_BYTES,
    KeyKind.HYBRID: ED25519_SIGNATURE_BYTES + MLDSA_SIGNATURE_BYTES[KeyKind.MLDSA87],
    **MLDSA_SIGNATURE_BYTES,
}

_MldsaPublic: TypeAlias = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
_MldsaPrivate: TypeAlias = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
_PUBLIC: Final[dict[KeyKind, type[mldsa.MLDSA44PublicKey] | type[mldsa.MLDSA65PublicKey] | type[mldsa.MLDSA87PublicKey]]] = {
    KeyKind.MLDSA44: mldsa.MLDSA44PublicKey,
    KeyKind.MLDSA65: mldsa.MLDSA65PublicKey,
    KeyKind.MLDSA87: mldsa.MLDSA87PublicKey,
}
_PRIVATE: Final[dict[KeyKind, type[mldsa.MLDSA44PrivateKey] | type[mldsa.MLDSA65PrivateKey] | type[mldsa.MLDSA87PrivateKey]]] = {
    KeyKind.MLDSA44: mldsa.MLDSA44PrivateKey,
    KeyKind.MLDSA65: mldsa.MLDSA65PrivateKey,
    KeyKind.MLDSA87: mldsa.MLDSA87PrivateKey,
}


def verify_ed25519(key: bytes, message: bytes, signature: bytes) -> bool:
    """The one Ed25519 verdict: key 32 bytes, signature 64 bytes. Never raises."""
    if len(key) != ED25519_KEY_BYTES or len(signature) != ED25519_SIGNATURE_BYTES:
        return False
    try:
        sodium.crypto_sign_open(signature + message, key)
    except (BadSignatureError, CryptoError, ValueError):
        return False
    return True


def verify_mldsa(kind: KeyKind, key: bytes, message: bytes, signature: bytes, context: bytes) -> bool:
    """The one ML-DSA verdict. Never raises."""
    if len(key) != MLDSA_KEY_BYTES.get(kind, -1) or len(signature) != MLDSA_SIGNATURE_BYTES[kind]:
        return False
    try:
        _load_mldsa(kind, key).verify(signature, message, context)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=1024)  # parsing a key costs a tenth of a verification; a validator set is at most 200
def _load_mldsa(kind: KeyKind, key: bytes) -> _MldsaPublic:
    return _PUBLIC[kind].from_public_bytes(key)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: its kind and its raw bytes (hybrid: Ed25519 key, then ML-DSA-87 key)."""

    kind: KeyKind
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != PUBLIC_KEY_BYTES[self.kind]:
            raise KeyFormatError(
                f"a key of kind {self.kind.name} has {PUBLIC_KEY_BYTES[self.kind]} bytes, not {len(self.data)}"
            )

    def verify(self, message: bytes, signature: bytes, context: bytes) -> bool:
        """Whether `signature` is this key's over `message`; `context` separates uses of ML-DSA. Never raises."""
        if self.kind is KeyKind.ED25519:
            return verify_ed25519(self.data, message, signature)
        if self.kind is KeyKind.HYBRID:
            if len(signature) != SIGNATURE_BYTES[KeyKind.HYBRID]:
                return False
            return verify_ed25519(
                self.data[:ED25519_KEY_BYTES], message, signature[:ED25519_SIGNATURE_BYTES]
            ) and verify_mldsa(
                KeyKind.MLDSA87,
                self.data[ED25519_KEY_BYTES:],
                message,
                signature[ED25519_SIGNATURE_BYTES:],
                context,
            )
        return verify_mldsa(self.kind, self.data, message, signature, context)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key, made from a 32-byte seed. Its text form never shows the secret."""

    kind: KeyKind
    seed: bytes = field(repr=False)
    public_key: PublicKey
    _ed25519: bytes = field(repr=False, compare=False)  # libsodium's 64-byte form, or empty
    _mldsa: _MldsaPrivate | None = field(repr=False, compare=False)

    @classmethod
    def from_seed(cls, kind: KeyKind, seed: bytes) -> PrivateKey:
        """The key of a seed of 32 random bytes. A hybrid key derives one seed for each half."""
        if len(seed) != SEED_BYTES:
            raise KeyFormatError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        if kind is KeyKind.ED25519:
            public, secret = sodium.crypto_sign_seed_keypair(seed)
            return cls(kind, seed, PublicKey(kind, public), secret, None)
        if kind is KeyKind.HYBRID:
            public, secret = sodium.crypto_sign_seed_keypair(sha256(b"qenex/hybrid/ed25519" + seed))
            pq = mldsa.MLDSA87PrivateKey.from_seed_bytes(sha256(b"qenex/hybrid/mldsa87" + seed))
            public_key = PublicKey(kind, public + pq.public_key().public_bytes_raw())
            return cls(kind, seed, public_key, secret, pq)
        key = _PRIVATE[kind].from_seed_bytes(seed)
        return cls(kind, seed, PublicKey(kind, key.public_key().public_bytes_raw()), b"", key)

    def sign(self, message: bytes, context: bytes) -> bytes:
        """A signature over `message`; hybrid: the Ed25519 half, then the ML-DSA half."""
        signature = b""
        if self._ed25519:
            signature = sodium.crypto_sign(message, self._ed25519)[:ED25519_SIGNATURE_BYTES]
        if self._mldsa is not None:
            signature += self._mldsa.sign(message, context)
        return signature
