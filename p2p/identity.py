"""Who a node is on the network: an ML-DSA-87 key. Its identifier is the first 20 bytes of SHA-256 of the public
key, in hex.

The certificate is only the form in which TLS carries the key: self-signed, its names and dates mean nothing,
the key is pinned.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.x509.oid import NameOID

from state.primitives.errors import KeyFormatError, MalformedError
from state.primitives.hashing import sha256
from state.primitives.keys import SEED_BYTES

NODE_ID_BYTES = 20
_HOST_CHARS_MAX = 253  # of a name in the DNS


def node_id_of(public_key: bytes) -> str:
    """Identifier of a node's public key: 40 hex digits."""
    return sha256(public_key)[:NODE_ID_BYTES].hex()


@dataclass(frozen=True)
class NodeIdentity:
    """A node's own key, from its 32-byte seed. Raises `KeyFormatError` for a seed of another length."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise KeyFormatError(f"a seed has {SEED_BYTES} bytes, not {len(self.seed)}")

    @cached_property
    def private_key(self) -> mldsa.MLDSA87PrivateKey:
        """The ML-DSA-87 key."""
        return mldsa.MLDSA87PrivateKey.from_seed_bytes(self.seed)

    @cached_property
    def public_key(self) -> bytes:
        """2,592 bytes."""
        return self.private_key.public_key().public_bytes_raw()

    @cached_property
    def id(self) -> str:
        """40 hex digits."""
        return node_id_of(self.public_key)

    def make_certificate(self) -> x509.Certificate:
        """Self-signed, valid for ever as far as X.509 can say."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.id)])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.private_key.public_key())
            .serial_number(1)
            .not_valid_before(datetime.datetime(2000, 1, 1))
            .not_valid_after(datetime.datetime(9999, 12, 31))
            .sign(self.private_key, None)
        )

    def private_pem(self) -> bytes:
        """PKCS#8, for OpenSSL; never written to disk here."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens and who must answer there: `id@host:port`."""

    id: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> PeerAddress:
        """Raises `MalformedError`."""
        node_id, at, place = text.partition("@")
        host, colon, port = place.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        valid_id = len(node_id) == 2 * NODE_ID_BYTES and all(char in "0123456789abcdef" for char in node_id)
        valid_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
        valid_host = 0 < len(host) <= _HOST_CHARS_MAX and host.isascii() and host.isprintable() and not set(host) & set("[]@/ ")
        if not (at and colon and valid_id and valid_port and valid_host):
            raise MalformedError(f"{text[:400]!r} is not a peer address: 40 lower-case hex digits, @, host, :, port")
        return cls(node_id, host, int(port))

    @property
    def place(self) -> str:
        """`host:port`, with brackets around an IPv6 host."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.id}@{self.place}"
