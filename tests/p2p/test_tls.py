"""TLS between two ends in memory: what is agreed on, and everything else refused on both sides."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from trio.testing import memory_stream_pair

from p2p.tls import GROUP, TlsStream, make_context
from state.primitives.errors import InsecureLinkError
from tests.p2p.harness import IDENTITIES

FIRST, SECOND = IDENTITIES[:2]


class LaxTls(TlsStream):
    """The other side of an attack: it accepts any session, so that ours has to refuse."""

    def _check_session(self) -> bytes:
        return b""


class Outcome:
    """What one end made of its handshake."""

    def __init__(self) -> None:
        self.key = b""
        self.error: Exception | None = None


async def shake(tls: TlsStream, outcome: Outcome) -> None:
    try:
        outcome.key = await tls.handshake()
        await tls.send_all(b"x")  # in TLS 1.3 a client learns only after its handshake that the server refused it
        if not await tls.receive_some():
            raise trio.BrokenResourceError("the other side has gone")
    except (InsecureLinkError, trio.BrokenResourceError) as error:
        outcome.error = error
        await tls.aclose()


async def meet(client: SSL.Context, server: SSL.Context) -> tuple[Outcome, Outcome]:
    """Two honest ends."""
    left, right = memory_stream_pair()
    return await _shake_both(TlsStream(left, client, is_server=False), TlsStream(right, server, is_server=True))


async def attack(theirs: SSL.Context, *, is_server: bool) -> tuple[Outcome, Outcome]:
    """Our end against one that is lax: (ours, theirs). `is_server`: they are."""
    left, right = memory_stream_pair()
    ours = TlsStream(left, make_context(FIRST), is_server=not is_server)
    return await _shake_both(ours, LaxTls(right, theirs, is_server=is_server))


async def _shake_both(first: TlsStream, second: TlsStream) -> tuple[Outcome, Outcome]:
    outcomes = Outcome(), Outcome()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake, first, outcomes[0])
            nursery.start_soon(shake, second, outcomes[1])
    return outcomes


def context_with(key: object, certificate: bytes) -> SSL.Context:
    """Our context but for its key and certificate (DER)."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    pem = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_ASN1, certificate))
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, pem))
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    return context


def self_signed(key: object) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, FIRST.id)])
    digest = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[attr-defined]
        .serial_number(1)
        .not_valid_before(datetime.datetime(2000, 1, 1))
        .not_valid_after(datetime.datetime(2001, 1, 1))
        .sign(key, digest)  # type: ignore[arg-type]
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def set_groups(context: SSL.Context, groups: bytes) -> SSL.Context:
    assert SSL._lib.SSL_CTX_set1_curves_list(context._context, groups) == 1
    return context


async def test_both_ends_learn_the_other_key() -> None:
    client, server = await meet(make_context(FIRST), make_context(SECOND))
    assert (client.error, server.error) == (None, None)
    assert client.key == SECOND.public_key
    assert server.key == FIRST.public_key


class Counting(trio.abc.Stream):
    """A stream that knows how much it was given."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.sent = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += len(data)
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.stream.aclose()


async def test_the_session_is_tls_1_3_with_the_hybrid_group_and_is_never_resumed() -> None:
    """OpenSSL sends tickets whatever it is told, so what must hold is that none is honoured: each session proves the keys anew."""
    contexts = make_context(FIRST), make_context(SECOND)
    flights, session = [], None
    for _ in range(3):
        left, right = memory_stream_pair()
        counted = Counting(right)
        client = TlsStream(left, contexts[0], is_server=False)
        server = TlsStream(counted, contexts[1], is_server=True)
        if session is not None:
            client._connection.set_session(session)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.handshake)
            nursery.start_soon(server.handshake)
        for end in (client, server):
            assert end._connection.get_group_name() == GROUP
            assert end._connection.get_protocol_version_name() == "TLSv1.3"
        await server.send_all(b"x")
        assert await client.receive_some() == b"x"
        session = client._connection.get_session()
        flights.append(counted.sent)
    # a key and two signatures of ML-DSA-87 are 11.8 kB: each server's flight has them
    assert min(flights) > 11_000


async def test_bytes_pass_in_both_directions_at_once() -> None:
    left, right = memory_stream_pair()
    client = TlsStream(left, make_context(FIRST), is_server=False)
    server = TlsStream(right, make_context(SECOND), is_server=True)
    data = bytes(range(256)) * 20_000

    async def work(end: TlsStream, got: list[bytes]) -> None:
        await end.handshake()

        async def receive() -> None:
            while sum(map(len, got)) < len(data):
                got.append(await end.receive_some())

        async with trio.open_nursery() as inner:
            inner.start_soon(receive)
            await end.send_all(b"")
            await end.send_all(data)

    gots: tuple[list[bytes], list[bytes]] = ([], [])
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, client, gots[0])
            nursery.start_soon(work, server, gots[1])
    assert b"".join(gots[0]) == b"".join(gots[1]) == data
    await client.aclose()
    assert await server.receive_some() == b""


WRONG_KEYS: dict[str, Callable[[], object]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "mldsa44": mldsa.MLDSA44PrivateKey.generate,
    "mldsa65": mldsa.MLDSA65PrivateKey.generate,
}


@pytest.mark.parametrize("kind", WRONG_KEYS)
@pytest.mark.parametrize("is_server", [False, True])
async def test_a_certificate_on_another_kind_of_key_is_refused(kind: str, is_server: bool) -> None:
    key = WRONG_KEYS[kind]()
    ours, theirs = await attack(context_with(key, self_signed(key)), is_server=is_server)
    assert isinstance(ours.error, InsecureLinkError)
    assert theirs.error is not None


@pytest.mark.parametrize("is_server", [False, True])
async def test_a_certificate_that_openssl_reads_and_our_parser_does_not(is_server: bool) -> None:
    """A version number that does not exist: the key is ours, its proof is valid, and the parser raises something of its own."""
    der = bytearray(SECOND.make_certificate().public_bytes(serialization.Encoding.DER))
    where = der.index(b"\xa0\x03\x02\x01\x02") + 4
    der[where] = 9
    ours, theirs = await attack(context_with(SECOND.private_key, bytes(der)), is_server=is_server)
    assert isinstance(ours.error, InsecureLinkError)
    assert "cannot be read" in ours.error.message
    assert theirs.error is not None


@pytest.mark.parametrize("offset", range(0, 160, 3))
async def test_a_damaged_certificate_ends_the_session_and_nothing_else(offset: int) -> None:
    """Every third byte in front of the key, set to what is likely to mean something else."""
    der = bytearray(SECOND.make_certificate().public_bytes(serialization.Encoding.DER))
    der[offset] ^= 0x15
    try:
        wrong = context_with(SECOND.private_key, bytes(der))
    except (crypto.Error, SSL.Error):
        return  # OpenSSL does not read it either
    for is_server in (False, True):
        await attack(wrong, is_server=is_server)  # neither outcome matters, as long as it is one


async def test_a_client_without_a_certificate_is_refused() -> None:
    ours, theirs = await attack(SSL.Context(SSL.TLS_METHOD), is_server=False)
    assert isinstance(ours.error, InsecureLinkError)
    assert theirs.error is not None


@pytest.mark.parametrize("groups", [b"X25519", b"P-256", b"MLKEM768", b"SecP256r1MLKEM768", b"MLKEM1024"])
@pytest.mark.parametrize("is_server", [False, True])
async def test_another_key_exchange_is_refused(groups: bytes, is_server: bool) -> None:
    ours, theirs = await attack(set_groups(make_context(SECOND), groups), is_server=is_server)
    assert isinstance(ours.error, InsecureLinkError)
    assert ours.key == b""
    assert theirs.error is not None


async def test_a_peer_that_prefers_a_classical_group_but_has_the_hybrid_one_is_not_downgraded() -> None:
    """Its key share is for X25519: the server asks for the hybrid one or refuses, and never settles for the classical one."""
    ours, _ = await attack(set_groups(make_context(SECOND), b"X25519:X25519MLKEM768"), is_server=False)
    assert (ours.key == SECOND.public_key and ours.error is None) or isinstance(ours.error, InsecureLinkError)


@pytest.mark.parametrize("is_server", [False, True])
async def test_tls_1_2_is_refused(is_server: bool) -> None:
    old = SSL.Context(SSL.TLS_METHOD)
    old.set_max_proto_version(SSL.TLS1_2_VERSION)
    key = ec.generate_private_key(ec.SECP256R1())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.use_certificate(crypto.load_certificate(crypto.FILETYPE_ASN1, self_signed(key)))
    old.use_privatekey(key)
    ours, _ = await attack(old, is_server=is_server)
    assert isinstance(ours.error, InsecureLinkError)


GARBAGE = (bytes(600), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"\xff" * 512, b"\x15\x03\x03\x00\x02\x02\x28")


@pytest.mark.parametrize("garbage", GARBAGE, ids=["zeros", "http", "hello", "alert"])
@pytest.mark.parametrize("is_server", [False, True])
async def test_garbage_instead_of_a_handshake(garbage: bytes, is_server: bool) -> None:
    left, right = memory_stream_pair()
    with trio.fail_after(5):
        await right.send_all(garbage)
        with pytest.raises(InsecureLinkError):
            await TlsStream(left, make_context(FIRST), is_server=is_server).handshake()


async def test_a_peer_that_hangs_up_in_the_handshake() -> None:
    left, right = memory_stream_pair()
    await right.aclose()
    with pytest.raises((trio.BrokenResourceError, InsecureLinkError)), trio.fail_after(5):
        await TlsStream(left, make_context(FIRST), is_server=True).handshake()


@pytest.mark.parametrize("position", [0, 3, 5, 20, -1])
async def test_a_flipped_bit_breaks_the_stream(position: int) -> None:
    left, right = memory_stream_pair()
    client = TlsStream(left, make_context(FIRST), is_server=False)
    server = TlsStream(right, make_context(SECOND), is_server=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.handshake)
        nursery.start_soon(server.handshake)
    await client.send_all(b"one vote")
    record = bytearray(await right.receive_some())
    record[position] ^= 1
    feeder, server._stream = memory_stream_pair()
    await feeder.send_all(record)
    await feeder.aclose()
    got = b""
    try:
        with trio.fail_after(5):
            got = await server.receive_some()
    except trio.BrokenResourceError:
        pass
    assert got == b""  # a length that grew makes it wait for more, and the end comes first


async def test_a_failed_session_leaves_no_error_for_another() -> None:
    """OpenSSL keeps errors for each thread, and all sessions share one: a leftover would break a healthy link."""
    left, right = memory_stream_pair()
    client = TlsStream(left, make_context(FIRST), is_server=False)
    server = TlsStream(right, make_context(SECOND), is_server=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.handshake)
        nursery.start_soon(server.handshake)
    for number in range(20):
        bad, other = memory_stream_pair()
        await other.send_all(b"\x16\x03\x01\x02\x00" + bytes([number]) * 512)
        await other.aclose()
        with pytest.raises((InsecureLinkError, trio.BrokenResourceError)):
            await TlsStream(bad, make_context(FIRST), is_server=True).handshake()
        await client.send_all(b"still here")
        assert await server.receive_some() == b"still here"
