"""One connected peer: a reader task, a writer task, a heartbeat, and bounded queues between.

The writer takes the most urgent channel's oldest message and sends one fragment of it at a time. The reader waits while an inbound queue is
full, and so does the peer's socket. Whatever a peer does ends its own two tasks and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from p2p.channels import CHANNELS, CONTROL
from p2p.events import Inbound, PeerInfo
from p2p.frames import FRAGMENT_BYTES, FrameReader, encode_frame
from p2p.limits import (
    BYTES_PER_SECOND,
    MESSAGES_PER_SECOND,
    PING_SECONDS,
    SILENCE_SECONDS_MAX,
    TokenBucket,
)
from p2p.tls import TlsStream
from state.primitives.errors import PeerTimeoutError

_PING: Final = b"\x01"
_PONG: Final = b"\x02"
_BY_PRIORITY: Final = sorted(CHANNELS.values(), key=lambda channel: channel.priority)
_WRITE_BYTES: Final = 128 * 1024  # fragments handed to TLS at once


@dataclass(slots=True)
class ChannelCounts:
    """Traffic of one channel with one peer, payload only."""

    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    dropped: int = 0


@dataclass(slots=True)
class _Queue:
    messages: deque[bytes] = field(default_factory=deque)
    bytes: int = 0
    offset: int = 0  # of the first message, when it is partly sent


class Peer:
    """A peer after its greeting. `run` it until it ends; `send` never waits."""

    def __init__(
        self,
        info: PeerInfo,
        stream: TlsStream,
        deliver: Callable[[int], trio.MemorySendChannel[Inbound]],
        now_ns: Callable[[], int],
    ) -> None:
        self.info = info
        self.reason = "closed"
        self.counts = {number: ChannelCounts() for number in CHANNELS}
        self.scope = trio.CancelScope()
        self._stream = stream
        self._deliver = deliver
        self._now_ns = now_ns
        self._queues = {number: _Queue() for number in CHANNELS}
        self._work = trio.Event()
        self._heard_at = trio.current_time()
        self._is_delivering = False

    def send(self, channel: int, payload: bytes) -> bool:
        """Queue a message. False if the queue is full."""
        queue, row = self._queues[channel], CHANNELS[channel]
        if len(payload) > row.message_bytes_max:
            raise ValueError(f"a message of {len(payload)} bytes on channel {row.name}")
        if len(queue.messages) >= row.outbound_messages_max or queue.bytes + len(payload) > row.outbound_bytes_max:
            self.counts[channel].dropped += 1
            return False
        queue.messages.append(payload)
        queue.bytes += len(payload)
        self._work.set()
        return True

    def close(self, reason: str) -> None:
        """End both tasks."""
        self.reason = reason
        self.scope.cancel()

    async def run(self, rest: FrameReader, early: list[tuple[int, bytes]]) -> None:
        """Serve until the connection ends. `rest` and `early` are what came behind the greeting. Raises what ended it."""
        with self.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._beat)
                await self._read(rest, early)
                self.reason = "the peer closed the connection"
                nursery.cancel_scope.cancel()

    async def _read(self, frames: FrameReader, messages: list[tuple[int, bytes]]) -> None:
        now = trio.current_time()
        byte_bucket, message_bucket = TokenBucket(BYTES_PER_SECOND, now), TokenBucket(MESSAGES_PER_SECOND, now)
        while True:
            for channel, payload in messages:
                await self._on_message(channel, payload)
            data = await self._stream.receive_some()
            if not data:
                return
            now = self._heard_at = trio.current_time()
            messages = frames.feed(data)
            delay = max(byte_bucket.take(len(data), now), message_bucket.take(len(messages), now))
            if delay > 0:
                await trio.sleep(delay)

    async def _on_message(self, channel: int, payload: bytes) -> None:
        counts = self.counts[channel]
        counts.messages_in += 1
        counts.bytes_in += len(payload)
        if channel == CONTROL:
            if payload == _PING:
                self.send(CONTROL, _PONG)
            return
        event = Inbound(self.info.id, channel, payload, self._now_ns())
        target = self._deliver(channel)
        try:
            target.send_nowait(event)
        except trio.WouldBlock:
            self._is_delivering = True  # our own handlers are slow: not the peer's silence
            await target.send(event)
            self._is_delivering = False
            self._heard_at = trio.current_time()

    async def _write(self) -> None:
        while True:
            chunk = self._take()
            if chunk:
                await self._stream.send_all(chunk)
            else:
                self._work = trio.Event()
                await self._work.wait()

    def _take(self) -> bytes:
        """Up to `_WRITE_BYTES` of frames, the most urgent first."""
        out: list[bytes] = []
        size = 0
        for row in _BY_PRIORITY:
            queue = self._queues[row.number]
            while queue.messages and size < _WRITE_BYTES:
                message = queue.messages[0]
                fragment = memoryview(message)[queue.offset : queue.offset + FRAGMENT_BYTES]
                queue.offset += len(fragment)
                is_last = queue.offset >= len(message)
                out.append(encode_frame(row.number, fragment, is_last=is_last))
                size += len(fragment) + 1
                if is_last:
                    queue.messages.popleft()
                    queue.bytes -= len(message)
                    queue.offset = 0
                    counts = self.counts[row.number]
                    counts.messages_out += 1
                    counts.bytes_out += len(message)
        return b"".join(out)

    async def _beat(self) -> None:
        while True:
            await trio.sleep(PING_SECONDS)
            silence = trio.current_time() - self._heard_at
            if silence > SILENCE_SECONDS_MAX and not self._is_delivering:
                raise PeerTimeoutError(f"the peer has been silent for {silence:.0f} s")
            self.send(CONTROL, _PING)
