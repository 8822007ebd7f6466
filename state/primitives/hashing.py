"""SHA-256 and what is derived from it. Nothing else may hash in this project.

Source: CometBFT addresses are the first 20 bytes of SHA-256 of the Ed25519 key.
"""

from __future__ import annotations

import hashlib

HASH_BYTES = 32
VALIDATOR_ADDRESS_BYTES = 20
EMPTY_HASH = hashlib.sha256(b"").digest()


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


def validator_address(ed25519_key: bytes) -> bytes:
    """CometBFT address of a validator: 20 bytes."""
    return hashlib.sha256(ed25519_key).digest()[:VALIDATOR_ADDRESS_BYTES]
