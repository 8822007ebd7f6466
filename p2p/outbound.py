"""What goes out next to one peer: a queue for each channel, the peer's windows, and the link's own pings and
grants. Sans-I/O.

`take` gives one chunk of at most two fragments, the most urgent first. Control messages have no queue: there is
at most one ping, one pong and one grant for each channel waiting, whatever the peer does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from p2p.channels import CHANNELS, CONTROL, PROTOCOL_CHANNELS, Channel
from p2p.frames import FRAGMENT_BYTES, FRAME_COST_BYTES, GRANT, PING, PONG, encode_control, encode_frame
from state.primitives.errors import BadFrameError

CHUNK_BYTES: Final = FRAGMENT_BYTES  # a chunk ends with the frame that reaches this; an urgent message waits for one chunk
_BY_PRIORITY: Final = tuple(sorted((CHANNELS[number] for number in PROTOCOL_CHANNELS), key=lambda row: row.priority))


@dataclass(slots=True)
class ChannelCounts:
    """Traffic of one channel with one peer, payload only. `dropped`: refused by `send` because the queue was full."""

    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    dropped: int = 0


@dataclass(slots=True)
class _Queue:
    row: Channel
    credit: int  # what the peer's window has left
    counts: ChannelCounts
    messages: deque[bytes] = field(default_factory=deque)
    bytes: int = 0
    offset: int = 0  # of the first message, when it is partly sent


class Outbound:
    """The sending end of a link. Nothing here waits."""

    def __init__(self) -> None:
        self.counts = {number: ChannelCounts() for number in CHANNELS}
        self._queues = {row.number: _Queue(row, row.window_bytes, self.counts[row.number]) for row in _BY_PRIORITY}
        self._ping: int | None = None
        self._pong: int | None = None
        self._grants: dict[int, int] = {}

    def push(self, channel: int, payload: bytes) -> bool:
        """Queue a message within its channel's bound. False if the queue is full: nothing is queued."""
        queue = self._queues[channel]
        size, row = len(payload), queue.row
        if len(queue.messages) >= row.outbound_messages_max or queue.bytes + size > row.outbound_bytes_max:
            queue.counts.dropped += 1
            return False
        queue.messages.append(payload)
        queue.bytes += size
        return True

    def ping(self, nonce: int) -> None:
        """Ask for a sign of life; replaces one that has not left yet."""
        self._ping = nonce

    def pong(self, nonce: int) -> None:
        """Answer a ping; of several pings only the last needs an answer."""
        self._pong = nonce

    def grant(self, channel: int, size: int) -> None:
        """Let the peer send more."""
        self._grants[channel] = self._grants.get(channel, 0) + size

    def on_grant(self, channel: int, size: int) -> None:
        """The peer lets us send more. Raises `BadFrameError` if that is more than it ever took."""
        queue = self._queues[channel]
        if queue.credit + size > queue.row.window_bytes:
            raise BadFrameError(f"a grant on channel {queue.row.name} for what was never sent")
        queue.credit += size

    def queued(self, channel: int) -> tuple[int, int]:
        """(messages, bytes) waiting."""
        queue = self._queues[channel]
        return len(queue.messages), queue.bytes

    def take(self) -> bytes:
        """The next chunk; empty if there is nothing that may be sent now."""
        out = self._take_control() if self._grants or self._ping is not None or self._pong is not None else []
        size = 0
        for queue in self._queues.values():
            messages = queue.messages
            while messages and size < CHUNK_BYTES:
                message = messages[0]
                if queue.offset or len(message) > FRAGMENT_BYTES:
                    fragment: bytes | memoryview = memoryview(message)[queue.offset : queue.offset + FRAGMENT_BYTES]
                else:
                    fragment = message
                length = len(fragment)
                if length + FRAME_COST_BYTES > queue.credit:
                    break  # the peer's handler is slow: this channel waits, the next may go
                queue.credit -= length + FRAME_COST_BYTES
                queue.offset += length
                is_last = queue.offset >= len(message)
                out.append(encode_frame(queue.row.number, fragment, is_last=is_last))
                size += length + 1
                if is_last:
                    messages.popleft()
                    queue.bytes -= len(message)
                    queue.offset = 0
                    queue.counts.messages_out += 1
                    queue.counts.bytes_out += len(message)
        return b"".join(out)

    def _take_control(self) -> list[bytes]:
        out = [encode_control(GRANT, channel, size) for channel, size in self._grants.items()]
        self._grants.clear()
        if self._pong is not None:
            out.append(encode_control(PONG, self._pong))
            self._pong = None
        if self._ping is not None:
            out.append(encode_control(PING, self._ping))
            self._ping = None
        self.counts[CONTROL].messages_out += len(out)
        return out
