"""TLS 1.3 over a trio stream, mutual, with hybrid key exchange and ML-DSA-87 certificates on both sides.

pyOpenSSL on memory buffers, since the standard library's OpenSSL has no ML-DSA. Which key may connect is the caller's decision; that the
other side has a key of this kind, proved it in this session, and that the key exchange was X25519MLKEM768 is settled here: a session of
another group is refused, so a downgrade to classical key exchange cannot pass. No tickets, no resumption.
"""

from __future__ import annotations

import warnings
from typing import Final

import trio
from cryptography.hazmat.primitives.asymmetric import mldsa
from OpenSSL import SSL, crypto

from p2p.identity import NodeIdentity
from state.primitives.errors import InsecureLinkError

GROUP: Final = "X25519MLKEM768"
READ_BYTES: Final = 64 * 1024
_OP_NO_TICKET: Final = SSL.OP_NO_TICKET


def make_context(identity: NodeIdentity) -> SSL.Context:
    """One context serves both directions."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(_OP_NO_TICKET)
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
    """A secured stream. One task may send and one may receive at a time."""

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
        while True:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                await self._flush()
                await self._feed()
            except SSL.Error as error:
                await self._flush()
                raise InsecureLinkError(f"the TLS handshake failed: {_reason(error)}") from error
            else:
                break
        await self._flush()
        group = self._connection.get_group_name()
        if group != GROUP:
            raise InsecureLinkError(f"the link's key exchange is {group}, not {GROUP}")
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        key = None if certificate is None else certificate.public_key()
        if not isinstance(key, mldsa.MLDSA87PublicKey):
            raise InsecureLinkError("the peer's certificate is not on an ML-DSA-87 key")
        return key.public_bytes_raw()

    async def send_all(self, data: bytes) -> None:
        """Encrypt and send."""
        view = memoryview(data)
        async with self._send_lock:
            while view:
                try:
                    sent = self._connection.send(view[: 256 * 1024])
                except SSL.Error as error:
                    raise trio.BrokenResourceError(_reason(error)) from error
                view = view[sent:]
                await self._flush_locked()

    async def receive_some(self) -> bytes:
        """Decrypted bytes; empty at the end of the stream."""
        while True:
            try:
                return self._connection.recv(READ_BYTES)
            except SSL.WantReadError:
                if not await self._feed(at_end_ok=True):
                    return b""
            except SSL.ZeroReturnError:
                return b""
            except SSL.Error as error:
                raise trio.BrokenResourceError(_reason(error)) from error

    async def aclose(self) -> None:
        """Close at once; TLS's farewell adds nothing to framed messages."""
        await trio.aclose_forcefully(self._stream)

    async def _feed(self, *, at_end_ok: bool = False) -> bool:
        data = await self._stream.receive_some(READ_BYTES)
        if not data:
            if at_end_ok:
                return False
            raise trio.BrokenResourceError("the peer closed the connection")
        self._connection.bio_write(bytes(data))
        return True

    async def _flush(self) -> None:
        async with self._send_lock:
            await self._flush_locked()

    async def _flush_locked(self) -> None:
        while True:
            try:
                data = self._connection.bio_read(READ_BYTES * 4)
            except SSL.WantReadError:
                return
            await self._stream.send_all(data)


def _reason(error: SSL.Error) -> str:
    details = error.args[0] if error.args else ""
    if isinstance(details, list) and details:
        return str(details[0][-1])
    return str(details) or type(error).__name__
