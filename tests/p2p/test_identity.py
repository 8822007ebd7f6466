"""Identifiers, certificates and addresses."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.identity import NodeIdentity, PeerAddress, node_id_of
from state.primitives.errors import KeyFormatError, MalformedError
from state.primitives.keys import KeyKind, PrivateKey
from tests.p2p.harness import FUZZ, IDENTITIES

ID = "0123456789abcdef0123456789abcdef01234567"


def test_an_identity_is_the_key_of_its_seed() -> None:
    identity = NodeIdentity(b"\x05" * 32)
    key = PrivateKey.from_seed(KeyKind.MLDSA87, b"\x05" * 32).public_key.data
    assert identity.public_key == key
    assert identity.id == node_id_of(key) == hashlib.sha256(key).digest()[:20].hex()
    assert identity.id != IDENTITIES[0].id
    assert "05" not in repr(identity)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(KeyFormatError):
        NodeIdentity(bytes(size))


def test_the_certificate_carries_the_key() -> None:
    certificate = IDENTITIES[0].make_certificate()
    assert certificate.public_key().public_bytes_raw() == IDENTITIES[0].public_key  # type: ignore[union-attr,call-arg]
    certificate.verify_directly_issued_by(certificate)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (f"{ID}@127.0.0.1:26656", "127.0.0.1", 26656),
        (f"{ID}@node-1.example.com:1", "node-1.example.com", 1),
        (f"{ID}@[::1]:65535", "::1", 65535),
    ],
)
def test_addresses_read_and_write(text: str, host: str, port: int) -> None:
    address = PeerAddress.parse(text)
    assert (address.id, address.host, address.port) == (ID, host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ID,
        f"{ID}@",
        f"{ID}@host",
        f"{ID}@:1",
        f"{ID}@host:",
        f"{ID}@host:0",
        f"{ID}@host:65536",
        f"{ID}@host:-1",
        f"{ID}@host:+1",
        f"{ID}@host:١",
        f"{ID}@host:" + "9" * 10_000,
        f"{ID}@ho st:1",
        f"{ID}@h\xf6st:1",
        f"{ID}@host\n:1",
        f"{ID}@" + "h" * 254 + ":1",
        f"{ID.upper()}@host:1",
        f"{ID[:-1]}@host:1",
        f"{ID}0@host:1",
        f"{ID[:-1]}g@host:1",
    ],
)
def test_other_texts_are_no_address(text: str) -> None:
    with pytest.raises(MalformedError):
        PeerAddress.parse(text)


@FUZZ
@given(st.text() | st.builds(lambda host, port: f"{ID}@{host}:{port}", st.text(), st.integers() | st.text()))
def test_any_text_is_an_address_or_malformed(text: str) -> None:
    try:
        address = PeerAddress.parse(text)
    except MalformedError:
        return
    assert PeerAddress.parse(str(address)) == address
