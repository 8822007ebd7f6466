"""The floor: codec, protobuf subset, Merkle lists, addresses and keys against vectors and properties."""

from __future__ import annotations

import hashlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.primitives import canonical, codec, errors, ids, merkle
from state.primitives.errors import KeyFormatError, MalformedError, QenexError, TooLargeError
from state.primitives.keys import (
    CONTEXT_TX,
    CONTEXT_VOTE,
    SIGNATURE_BYTES,
    KeyKind,
    PrivateKey,
    PublicKey,
    verify_ed25519,
)
from state.primitives.limits import AMOUNT_MAX

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.binary(max_size=40)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=5).map(tuple),
    max_leaves=20,
)


@given(values)
def test_codec_round_trip(value: object) -> None:
    data = codec.encode(value)
    assert codec.decode(data) == value
    assert codec.encode(codec.decode(data)) == data


@given(st.binary(max_size=60))
def test_codec_accepts_only_its_own_spelling(data: bytes) -> None:
    try:
        value = codec.decode(data)
    except MalformedError:
        return
    assert codec.encode(value) == data


@pytest.mark.parametrize(
    "spelling",
    [
        bytes.fromhex("cf0000000000000001"),  # 1 in nine bytes
        bytes.fromhex("cc01"),
        bytes.fromhex("d00a"),
        bytes.fromhex("d90161"),  # "a" with a one-byte length
        bytes.fromhex("c40161") + b"\x00",  # trailing byte
        bytes.fromhex("dc000101"),  # array of one with a two-byte length
        b"\x80",  # an empty map
        b"\x81\x01\x02",
        b"\xcb" + bytes(8),  # a float
        b"\xca" + bytes(4),
        b"\xd4\x01\x00",  # an extension
        b"\xa1\xff",  # not UTF-8
        b"\xc1",
        b"",
        b"\xdd\xff\xff\xff\xff",  # four billion items that are not there
        b"\x91" * 17 + b"\x01",
        b"\x91" * 100_000 + b"\x01",
    ],
)
def test_codec_refuses_other_spellings(spelling: bytes) -> None:
    with pytest.raises(MalformedError):
        codec.decode(spelling)


@pytest.mark.parametrize("value", [1.0, {}, {1: 2}, [1.5], object(), 1 << 64, -(1 << 63) - 1, "\ud800", {1}])
def test_codec_refuses_values_without_a_spelling(value: object) -> None:
    with pytest.raises(MalformedError):
        codec.encode(value)


def test_codec_bounds() -> None:
    with pytest.raises(TooLargeError):
        codec.decode(codec.encode(b"x" * 100), bytes_max=50)
    with pytest.raises(TooLargeError):
        codec.decode(codec.encode([0] * 11), items_max=10)
    with pytest.raises(TooLargeError):
        codec.decode(codec.encode([[[0]]]), depth_max=2)
    # many empty arrays in few bytes are refused after decoding at most bytes_max items
    with pytest.raises(TooLargeError):
        codec.decode(msgpack.packb([[] for _ in range(1000)]), items_max=500)


@given(st.integers(0, AMOUNT_MAX))
def test_amounts(amount: int) -> None:
    data = codec.encode_amount(amount)
    assert codec.decode_amount(data) == amount
    assert len(data) <= 80


def test_amount_edges() -> None:
    assert codec.encode_amount(0) == b""
    assert codec.encode_amount(256) == b"\x01\x00"
    for bad in (b"\x00", b"\x00\x01", 5, "5", None):
        with pytest.raises(MalformedError):
            codec.decode_amount(bad)
    with pytest.raises(TooLargeError):
        codec.decode_amount(b"\x01" + bytes(80))
    with pytest.raises(TooLargeError):
        codec.encode_amount(AMOUNT_MAX + 1)
    with pytest.raises(MalformedError):
        codec.encode_amount(-1)


def test_protobuf_subset_vectors() -> None:
    assert canonical.uvarint(300).hex() == "ac02"
    assert canonical.varint_field(4, -1).hex() == "20ffffffffffffffffff01"
    assert canonical.varint_field(1, 0) == b""
    assert canonical.sfixed64_field(2, 1).hex() == "110100000000000000"
    assert canonical.message_field(2, b"").hex() == "1200"
    assert canonical.bytes_field(2, b"") == b""
    assert canonical.timestamp(canonical.GO_ZERO_TIME_NS).hex() == "088092b8c398feffffff01"
    assert canonical.timestamp(-1).hex() == "08ffffffffffffffffff01" + "10ff93ebdc03"
    with pytest.raises(MalformedError):
        canonical.uvarint(1 << 64)


def _reference_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + _reference_root(leaves[:split]) + _reference_root(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_merkle_lists_follow_rfc_6962(leaves: list[bytes]) -> None:
    root, proofs = merkle.proofs(leaves)
    assert root == merkle.root(leaves) == _reference_root(leaves)
    for i, proof in enumerate(proofs):
        assert proof.verify(root, leaves[i])
        assert not proof.verify(root, leaves[i] + b"x")
        distinct = len(set(leaves)) == len(leaves)
        moved = merkle.Proof(proof.total, proof.index + 1, proof.leaf_hash, proof.aunts)
        assert not (distinct and moved.verify(root, leaves[i]))
        if proof.aunts:
            cut = merkle.Proof(proof.total, proof.index, proof.leaf_hash, proof.aunts[:-1])
            assert not cut.verify(root, leaves[i])
        longer = merkle.Proof(proof.total, proof.index, proof.leaf_hash, (*proof.aunts, bytes(32)))
        assert not longer.verify(root, leaves[i])


@given(st.binary(min_size=32, max_size=32), st.integers(0, 61), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_addresses_catch_every_single_typing_mistake(address: bytes, place: int, char: str) -> None:
    text = ids.format_address(address)
    assert ids.parse_address(text) == address
    wrong = text[:place] + char + text[place + 1 :]
    if wrong != text:
        with pytest.raises(MalformedError):
            ids.parse_address(wrong)


@pytest.mark.parametrize("text", ["", "qx1", "qx1q", "bc1qqqq", "qx1" + "b" * 58, "qx1" + "q" * 58, "QX1" + "Q" * 58])
def test_malformed_addresses(text: str) -> None:
    with pytest.raises(MalformedError):
        ids.parse_address(text)


@pytest.mark.parametrize("code", ["QNX", "EUR", "US.D", "A1", "ABCDEFGHIJKLMNOP"])
def test_asset_codes(code: str) -> None:
    assert ids.check_asset_code(code) == code


@pytest.mark.parametrize("code", ["", "Q", "qnx", "1AB", "A B", "A" * 17, "É1", "AB\n", 5, None, b"QNX"])
def test_bad_asset_codes(code: object) -> None:
    with pytest.raises(MalformedError):
        ids.check_asset_code(code)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_keys_sign_and_verify(kind: KeyKind) -> None:
    key = PrivateKey.from_seed(kind, bytes(range(32)))
    again = PrivateKey.from_seed(kind, bytes(range(32)))
    assert key.public_key == again.public_key
    assert bytes(range(32)).hex() not in repr(key)
    signature = key.sign(b"message", CONTEXT_TX)
    assert len(signature) == SIGNATURE_BYTES[kind]
    assert key.public_key.verify(b"message", signature, CONTEXT_TX)
    assert not key.public_key.verify(b"messagf", signature, CONTEXT_TX)
    if kind is not KeyKind.ED25519:
        assert not key.public_key.verify(b"message", signature, CONTEXT_VOTE)
    for place in (0, len(signature) // 2, len(signature) - 1):
        broken = signature[:place] + bytes((signature[place] ^ 1,)) + signature[place + 1 :]
        assert not key.public_key.verify(b"message", broken, CONTEXT_TX)
    for length in (0, 63, 64, len(signature) - 1, len(signature) + 1):
        if length != len(signature):
            assert not key.public_key.verify(b"message", (signature * 2)[:length], CONTEXT_TX)


def test_hybrid_needs_both_halves() -> None:
    key, other = (PrivateKey.from_seed(KeyKind.HYBRID, bytes([i]) * 32) for i in (1, 2))
    good, bad = key.sign(b"m", CONTEXT_TX), other.sign(b"m", CONTEXT_TX)
    assert not key.public_key.verify(b"m", good[:64] + bad[64:], CONTEXT_TX)
    assert not key.public_key.verify(b"m", bad[:64] + good[64:], CONTEXT_TX)
    assert not key.public_key.verify(b"m", good[64:] + good[:64], CONTEXT_TX)


def test_ed25519_against_rfc_8032() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = PrivateKey.from_seed(KeyKind.ED25519, seed)
    assert key.public_key.data.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72", b"").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@pytest.mark.parametrize(
    ("message", "key", "signature"),
    [
        # "Taming the many EdDSAs", cases 0, 1, 2 and 11: small-order or non-canonical points, which the rule refuses
        (
            "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a" + "00" * 32,
        ),
        (
            "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43"
            "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        ),
        # the all-zero key and signature verify everything in lax libraries
        ("00", "00" * 32, "00" * 64),
        ("00", "01" + "00" * 31, "01" + "00" * 63),
    ],
)
def test_ed25519_refuses_malleable_points(message: str, key: str, signature: str) -> None:
    assert not verify_ed25519(bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature))


def test_key_lengths() -> None:
    for kind in KeyKind:
        with pytest.raises(KeyFormatError):
            PublicKey(kind, b"short")
        with pytest.raises(KeyFormatError):
            PrivateKey.from_seed(kind, b"short")


def test_error_codes_are_unique_and_stable() -> None:
    leaves: list[type[QenexError]] = []
    todo: list[type[QenexError]] = [QenexError]
    while todo:
        kind = todo.pop()
        if "code" in vars(kind):  # a private refinement of a leaf answers with that leaf's code
            leaves.append(kind)
        todo.extend(kind.__subclasses__())
    codes = [kind.code for kind in leaves]
    names = [kind.name for kind in leaves]
    assert len(set(codes)) == len(codes)
    assert len(set(names)) == len(names)
    assert errors.MalformedError.code == 2710
    assert errors.MalformedError("x", hint="y").to_json() == {
        "code": 2710, "name": "MALFORMED", "message": "x", "hint": "y",
    }  # fmt: skip
