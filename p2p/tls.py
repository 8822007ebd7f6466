"""TLS 1.3 over a trio stream, mutual, with hybrid key exchange and ML-DSA-87 certificates on both sides.

pyOpenSSL on memory buffers, since the standard library's OpenSSL has no ML-DSA. Which key may connect is the
caller's decision; that the other side has a key of this kind, proved it in this session, and that the key
exchange was X25519MLKEM768 is settled here: a session of another group is refused, so a downgrade to classical
key exchange cannot pass. No early data, no resumption (OpenSSL announces tickets whatever it is told, but nothing
is kept that could honour one). Names and dates in a certificate mean nothing: it is only the form in which the key
travels.

A `Connection` is not safe for two tasks, but every call into it is synchronous and trio has one thread; what
must not interleave is moving its output to the socket, which `_send_lock` guards.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Final

import trio
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import mldsa
from OpenSSL import SSL, crypto

from p2p.identity import NodeIdentity
from p2p.limits import SETUP_BYTES_MAX
from state.primitives.errors import InsecureLinkError

GROUP: Final = "X25519MLKEM768"
PROTOCOL: Final = "TLSv1.3"
READ_BYTES: Final = 64 * 1024
_WRITE_BYTES: Final = 256 * 1024


def make_context(identity: NodeIdentity) -> SSL.Context:
    """One context serves both directions."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate(identity.make_certificate())
    key = crypto.load_privatekey(crypto.FILETYPE_PEM, identity.private_pem())
    with warnings.catch_warnings():
        # pyOpenSSL asks for the key object of `cryptography` here and then refuses ML-DSA ones; its own object is the only way in
        warnings.simplefilter("ignore", DeprecationWarning)
        context.use_privatekey(key)
    # any certificate that proves its own key: the key is pinned by the caller, no authority is trusted
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    return context


class TlsStream:
    """A secured stream. One task may send and one may receive at a time; a cancelled send leaves it unusable,
    so close it then."""

    def __init__(self, stream: trio.abc.Stream, context: SSL.Context, *, is_server: bool) -> None:
        self._stream = stream
        self._connection = SSL.Connection(context, None)
        if is_server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
        self._send_lock = trio.Lock()

    async def handshake(self) -> bytes:
        """Do it; the peer's public key, 2,592 bytes. Raises `InsecureLinkError`, `trio.BrokenResourceError`."""
        fed = 0
        while True:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                await self._flush()
                size = await self._feed()
                fed += size
                if not size:
                    raise trio.BrokenResourceError("the peer closed the connection") from None
                if fed > SETUP_BYTES_MAX:
                    raise InsecureLinkError(f"a TLS handshake of more than {SETUP_BYTES_MAX} bytes") from None
            except SSL.Error as error:
                refusal = InsecureLinkError(f"the TLS handshake failed: {_reason(error)}")
                with suppress(trio.BrokenResourceError):  # it may have gone already
                    await self._flush()  # the alert, for the peer's log
                raise refusal from error
            else:
                break
        await self._flush()
        return self._check_session()

    def _check_session(self) -> bytes:
        protocol, group = self._connection.get_protocol_version_name(), self._connection.get_group_name()
        if protocol != PROTOCOL or group != GROUP:
            raise InsecureLinkError(f"the link is {protocol} with key exchange {group}, not {PROTOCOL} with {GROUP}")
        try:
            certificate = self._connection.get_peer_certificate(as_cryptography=True)
            key = None if certificate is None else certificate.public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            # OpenSSL reads certificates that `cryptography` does not
            raise InsecureLinkError("the peer's certificate cannot be read") from error
        if not isinstance(key, mldsa.MLDSA87PublicKey):
            raise InsecureLinkError("the peer's certificate is not on an ML-DSA-87 key")
        return key.public_bytes_raw()

    async def send_all(self, data: bytes) -> None:
        """Encrypt and send. Raises `trio.BrokenResourceError`."""
        async with self._send_lock:
            view = memoryview(data)
            while view:
                try:
                    sent = self._connection.send(view[:_WRITE_BYTES])
                except SSL.Error as error:
                    raise trio.BrokenResourceError(_reason(error)) from error
                view = view[sent:]
                await self._flush_locked()

    async def receive_some(self) -> bytes:
        """Decrypted bytes, about `READ_BYTES` at most; empty at the end of the stream. Raises
        `trio.BrokenResourceError`."""
        chunks: list[bytes] = []
        size = fed = 0
        while size < READ_BYTES:
            try:
                chunk = self._connection.recv(READ_BYTES)
            except SSL.WantReadError:
                if chunks:
                    break
                fed_now = await self._feed()
                fed += fed_now
                if not fed_now:
                    break
                if fed > SETUP_BYTES_MAX:
                    raise trio.BrokenResourceError("TLS records without data") from None
            except SSL.ZeroReturnError:
                break
            except SSL.Error as error:
                if chunks:
                    break  # what came before is whole; the error comes again
                raise trio.BrokenResourceError(_reason(error)) from error
            else:
                chunks.append(chunk)
                size += len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def aclose(self) -> None:
        """Close at once; TLS's farewell adds nothing to framed messages."""
        await trio.aclose_forcefully(self._stream)

    async def _feed(self) -> int:
        data = await self._stream.receive_some(READ_BYTES)
        if data:
            self._connection.bio_write(bytes(data))
        return len(data)

    async def _flush(self) -> None:
        async with self._send_lock:
            await self._flush_locked()

    async def _flush_locked(self) -> None:
        size = READ_BYTES
        while size == READ_BYTES:  # a shorter piece was the last
            try:
                data = self._connection.bio_read(READ_BYTES)
            except SSL.WantReadError:
                return
            size = len(data)
            await self._stream.send_all(data)


def _reason(error: SSL.Error) -> str:
    details = error.args[0] if error.args else ""
    if isinstance(details, list) and details:
        return str(details[0][-1])
    return str(details) or type(error).__name__
