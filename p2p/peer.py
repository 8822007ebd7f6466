"""One connected peer: a reader task, a writer task, a heartbeat.

The reader never waits for a handler: messages go to the inboxes within the peer's windows (`p2p.channels`), so
pings are answered and votes delivered however slow another channel's handler is; it waits only when the peer
exceeds its budget of bytes and messages a second. The writer sends one chunk at a time, the most urgent first
(`p2p.outbound`). The heartbeat ends a peer that has been silent, or has not taken a chunk, for too long; time
during which our own process stood still is not held against it. Whatever a peer does ends its own three tasks
and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio

from p2p.channels import CHANNELS, CONTROL
from p2p.defects import LINK_ENDS, unforeseen_is_offence
from p2p.events import Inbound, PeerInfo
from p2p.frames import GRANT, NONCE_MAX, PING, FrameReader, decode_control
from p2p.inbox import Inbox
from p2p.limits import LinkLimits, TokenBucket
from p2p.outbound import ChannelCounts, Outbound
from p2p.transport import SecureStream
from state.primitives.errors import PeerTimeoutError, RemoteError


class Peer:
    """A peer after its introduction. `run` it until it ends; `send` never waits."""

    def __init__(
        self,
        info: PeerInfo,
        stream: SecureStream,
        inboxes: Mapping[int, Inbox],
        now_ns: Callable[[], int],
        limits: LinkLimits,
    ) -> None:
        self.info = info
        self.reason = "closed"
        self.round_trip_seconds: float | None = None
        self.connected_at = trio.current_time()
        self._scope = trio.CancelScope()
        self._stream = stream
        self._inboxes = inboxes
        self._now_ns = now_ns
        self._limits = limits
        self._outbound = Outbound()
        self._frames = FrameReader()
        self._work = trio.Event()
        self._heard_at = trio.current_time()
        self._writing_since: float | None = None
        self._nonce = 0
        self._pinged_at: float | None = None
        self._probe = trio.Event()

    @property
    def counts(self) -> dict[int, ChannelCounts]:
        """Traffic by channel."""
        return self._outbound.counts

    def send(self, channel: int, payload: bytes) -> bool:
        """Queue a message within its channel's bound. False if the queue is full."""
        if not self._outbound.push(channel, payload):
            return False
        self._work.set()
        return True

    def queued(self, channel: int) -> tuple[int, int]:
        """(messages, bytes) waiting to be sent."""
        return self._outbound.queued(channel)

    def close(self, reason: str) -> None:
        """End the tasks."""
        if not self._scope.cancel_called:
            self.reason = reason
            self._scope.cancel()

    def probe(self) -> None:
        """Somebody claims to be this peer: end it if it does not answer a ping soon."""
        self._probe.set()

    def on_delivered(self, channel: int, cost: int) -> None:
        """A handler's queue has a message of ours: its window opens again."""
        size = self._frames.release(channel, cost)
        if size:
            self._outbound.grant(channel, size)
            self._work.set()

    async def run(self, first: bytes) -> RemoteError | None:
        """Serve until the connection ends; `first` is what came behind the introduction. The rule that the peer
        broke, if any."""
        offence: RemoteError | None = None
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._beat)
                    nursery.start_soon(self._watch_probe)
                    with unforeseen_is_offence():
                        await self._read(first)
                    self.reason = "the peer closed the connection"
                    nursery.cancel_scope.cancel()
        except* LINK_ENDS:
            self.reason = "the connection broke"
        except* RemoteError as group:
            offence = next(error for error in group.exceptions if isinstance(error, RemoteError))
        if offence is not None:
            self.reason = offence.message
        return offence

    async def _read(self, data: bytes) -> None:
        limits, now = self._limits, trio.current_time()
        byte_bucket = TokenBucket(limits.bytes_per_second, now)
        message_bucket = TokenBucket(limits.messages_per_second, now)
        peer_id, counts, inboxes = self.info.id, self.counts, self._inboxes
        while True:
            received_ns = self._now_ns()
            messages = self._frames.feed(data)
            for channel, payload, cost in messages:
                count = counts[channel]
                count.messages_in += 1
                count.bytes_in += len(payload)
                if channel == CONTROL:
                    self._on_control(payload)
                else:
                    inboxes[channel].put(peer_id, Inbound(peer_id, channel, payload, received_ns), self, cost)
            now = trio.current_time()
            delay = max(byte_bucket.take(len(data), now), message_bucket.take(len(messages), now))
            if delay > 0:
                await trio.sleep(delay)
            data = await self._stream.receive_some()
            if not data:
                return
            self._heard_at = trio.current_time()

    def _on_control(self, payload: bytes) -> None:
        message = decode_control(payload)
        if message[0] == GRANT:
            self._outbound.on_grant(message[1], message[2])
            self._work.set()
        elif message[0] == PING:
            self._outbound.pong(message[1])
            self._work.set()
        elif self._pinged_at is not None and message[1] == self._nonce:
            self.round_trip_seconds = trio.current_time() - self._pinged_at
            self._pinged_at = None

    async def _write(self) -> None:
        while True:
            chunk = self._outbound.take()
            if chunk:
                self._writing_since = trio.current_time()
                await self._stream.send_all(chunk)
                self._writing_since = None
            else:
                self._work = trio.Event()
                await self._work.wait()

    async def _beat(self) -> None:
        limits = self._limits
        while True:
            self._ping()
            due = trio.current_time() + limits.ping_seconds
            await trio.sleep_until(due)
            now = trio.current_time()
            overslept = now - due  # then nothing could be read either: the silence was ours
            if overslept > limits.ping_seconds:
                self._heard_at = now
                self._writing_since = now if self._writing_since is not None else None
            silence = now - self._heard_at
            if silence > limits.silence_seconds_max:
                raise PeerTimeoutError(f"the peer has been silent for {silence:.0f} s")
            if self._writing_since is not None and now - self._writing_since > limits.stall_seconds_max:
                raise PeerTimeoutError(f"the peer has read nothing for {now - self._writing_since:.0f} s")

    async def _watch_probe(self) -> None:
        while True:
            await self._probe.wait()
            asked_at = trio.current_time()
            self._ping()
            await trio.sleep(self._limits.probe_seconds_max)
            if self._heard_at < asked_at:
                raise PeerTimeoutError("the peer does not answer, and another connection claims to be it")
            self._probe = trio.Event()

    def _ping(self) -> None:
        self._nonce = (self._nonce + 1) & NONCE_MAX
        self._pinged_at = trio.current_time()
        self._outbound.ping(self._nonce)
        self._work.set()


def is_sendable(channel: int, payload: bytes) -> bool:
    """Whether a message is within its channel's bound."""
    return len(payload) <= CHANNELS[channel].message_bytes_max
