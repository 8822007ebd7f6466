"""The greeting: what two nodes tell each other inside TLS before either counts as a peer. Sans-I/O.

TLS has already proved both keys in this very session, so the greeting needs no signature of its own. Both sides send first and judge then;
the chain is compared by genesis hash, so two networks that share a name never mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from state.primitives.codec import decode, encode
from state.primitives.errors import MalformedError, ProtocolVersionError, WrongChainError
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import HEIGHT_MAX

PROTOCOL_VERSION: Final = 1
GREETING_BYTES_MAX: Final = 1024
_TEXT_MAX: Final = 128
_CAPABILITIES_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a node says of itself. `height` is its last decided height; it is only a hint."""

    protocol: int
    genesis_hash: bytes
    version: str
    moniker: str
    address: str
    capabilities: tuple[str, ...]
    height: int

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode(
            (
                self.protocol,
                self.genesis_hash,
                self.version,
                self.moniker,
                self.address,
                self.capabilities,
                self.height,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Greeting:
        """Inverse of `encode`. Raises `MalformedError`."""
        value = decode(data, bytes_max=GREETING_BYTES_MAX, depth_max=2)
        if type(value) is not tuple or len(value) != 7:
            raise MalformedError("a greeting has seven fields")
        protocol, genesis_hash, version, moniker, address, capabilities, height = value
        if type(protocol) is not int or type(genesis_hash) is not bytes or len(genesis_hash) != HASH_BYTES:
            raise MalformedError("a greeting names a protocol and a genesis hash")
        if type(capabilities) is not tuple or len(capabilities) > _CAPABILITIES_MAX:
            raise MalformedError("a greeting lists at most 16 capabilities")
        for text in (version, moniker, address, *capabilities):
            if type(text) is not str or len(text) > _TEXT_MAX:
                raise MalformedError("a greeting's texts are short")
        if type(height) is not int or not 0 <= height <= HEIGHT_MAX:
            raise MalformedError("a greeting's height is a height")
        return cls(protocol, genesis_hash, version, moniker, address, capabilities, height)


def check_greeting(ours: Greeting, theirs: Greeting) -> None:
    """Whether we can talk. Raises `ProtocolVersionError`, `WrongChainError`."""
    if theirs.protocol != ours.protocol:
        raise ProtocolVersionError(f"the peer speaks protocol {theirs.protocol}, we speak {ours.protocol}")
    if theirs.genesis_hash != ours.genesis_hash:
        raise WrongChainError(f"the peer is of another chain, genesis {theirs.genesis_hash.hex()[:16]}")
