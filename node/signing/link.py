"""A link between a node and its signer: frames over a secured stream, sent whole, received one by one. Nothing is decided here."""

from __future__ import annotations

from collections import deque

import trio

from node.signing.messages import MAGIC, Frames
from p2p.transport import SecureStream
from state.primitives.errors import ConnectionLostError


class Link:
    """One end, after the handshake. One task may receive; `send` may be called by several. `bytes_max` bounds what is received."""

    def __init__(self, stream: SecureStream, bytes_max: int) -> None:
        self._stream = stream
        self._frames = Frames(bytes_max)
        self._received: deque[bytes] = deque()
        self._sending = trio.Lock()
        self._has_begun = False

    async def send(self, frame: bytes) -> None:
        """Send a frame. A send that is cancelled leaves the link unusable. Raises `ConnectionLostError`."""
        async with self._sending:
            data = frame if self._has_begun else MAGIC + frame
            self._has_begun = True
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionLostError("the connection broke") from error

    async def receive(self) -> bytes:
        """The content of the next frame. Raises `ConnectionLostError`, `BadFrameError`."""
        while not self._received:
            try:
                data = await self._stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionLostError("the connection broke") from error
            if not data:
                raise ConnectionLostError("the other side closed the connection")
            self._received.extend(self._frames.feed(data))
        return self._received.popleft()

    async def aclose(self) -> None:
        """Close at once."""
        await self._stream.aclose()
