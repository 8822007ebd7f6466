"""The ceremony: each future validator signs its own entry, a coordinator collects them into one document.

A signed entry is JSON `{"entry": {...}, "ed25519_signature": hex, "pq_signature": hex, "node_signature": hex}`. All three keys sign
the same bytes - text chain id and the canonical form of the entry - so nobody can enter a key that he does not hold, and an
entry made for one network is useless in another. The bond is part of the entry; the accounts, assets and rules come from the
coordinator's draft. No private key may go in here other than as an argument of `sign_entry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from genesis.document import Document, HexText, Strict, ValidatorEntry, compute_node_id, key_kind, validator_to_wire
from genesis.rules import check
from state.primitives.codec import encode
from state.primitives.errors import GenesisError, QenexError
from state.primitives.keys import CONTEXT_NODE, CONTEXT_VOTE, KeyKind, PrivateKey, PublicKey

ENTRY_BYTES_MAX: Final = 64 * 1024  # keys 10 kB, signatures 19 kB as hex
_DOMAIN: Final = b"qenex/ceremony/1"

LongHex = Annotated[str, Meta(pattern=r"^([0-9a-f]{2})+\Z", max_length=10_000)]


class SignedEntry(Strict, frozen=True):
    """A validator's entry with the proofs that it holds its three keys."""

    entry: ValidatorEntry
    node_key: HexText
    ed25519_signature: HexText
    pq_signature: LongHex
    node_signature: LongHex


def sign_entry(
    chain_id: str, entry: ValidatorEntry, *, ed25519_key: PrivateKey, pq_key: PrivateKey, node_key: PrivateKey
) -> SignedEntry:
    """The entry signed by its own keys. Raises `GenesisError` if a key is not the entry's."""
    message = _message(chain_id, entry)
    signed = SignedEntry(
        entry=entry,
        node_key=node_key.public_key.data.hex(),
        ed25519_signature=ed25519_key.sign(message, b"").hex(),
        pq_signature=pq_key.sign(message, CONTEXT_VOTE).hex(),
        node_signature=node_key.sign(message, CONTEXT_NODE).hex(),
    )
    verify_entry(chain_id, signed)
    return signed


def verify_entry(chain_id: str, signed: SignedEntry) -> None:
    """Raise `GenesisError` unless all three signatures are the entry's own for this network."""
    entry = signed.entry
    place = f"entry of {entry.moniker}"
    message = _message(chain_id, entry)
    try:
        identity = PublicKey(KeyKind.MLDSA87, bytes.fromhex(signed.node_key))
        checks = (
            ("ed25519_signature", PublicKey(KeyKind.ED25519, bytes.fromhex(entry.ed25519_key)), signed.ed25519_signature, b""),
            (
                "pq_signature",
                PublicKey(key_kind(entry.pq_kind), bytes.fromhex(entry.pq_key)),
                signed.pq_signature,
                CONTEXT_VOTE,
            ),
            ("node_signature", identity, signed.node_signature, CONTEXT_NODE),
        )
    except QenexError as error:
        raise GenesisError(f"{place}: {error.message}") from None
    if compute_node_id(identity) != entry.node_id:
        raise GenesisError(f"{place}: node_key is not the key of node_id {entry.node_id}")
    for name, key, signature, context in checks:
        if not key.verify(message, bytes.fromhex(signature), context):
            raise GenesisError(
                f"{place}: {name} does not verify for network {chain_id}",
                hint="the validator signs its entry again, for exactly this chain id",
            )


def parse_entry(data: bytes) -> SignedEntry:
    """A signed entry from JSON bytes, not yet verified. Raises `GenesisError`."""
    if len(data) > ENTRY_BYTES_MAX:
        raise GenesisError(f"a validator entry has at most {ENTRY_BYTES_MAX} bytes, not {len(data)}")
    try:
        return msgspec.json.decode(data, type=SignedEntry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GenesisError(f"validator entry: {error}") from None


def render_entry(signed: SignedEntry) -> bytes:
    """JSON text of a signed entry."""
    return msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n"


def collect(draft: Document, signed_entries: Sequence[SignedEntry]) -> Document:
    """The draft with exactly these validators, in order of moniker; every signature checked. Raises `GenesisError`."""
    for signed in signed_entries:
        verify_entry(draft.chain_id, signed)
    entries = tuple(sorted((signed.entry for signed in signed_entries), key=lambda entry: entry.moniker))
    document = msgspec.structs.replace(draft, validators=entries)
    check(document)
    return document


def _message(chain_id: str, entry: ValidatorEntry) -> bytes:
    return _DOMAIN + encode([chain_id, validator_to_wire(entry)])
