"""Frames on a link: how messages are cut, interleaved, counted and put together again. Sans-I/O.

A frame is `channel u8 | last u8 | length u32 big-endian | payload`. The head is fixed-width because it is read
before anything is trusted; what it carries is canonical msgpack, on protocol channels the protocol's own, on
the control channel one of the messages below. A message is cut into fragments of exactly `FRAGMENT_BYTES` and a
last one that is shorter or equal, so a block of 4 MiB never delays a vote by more than a fragment or two, and
there is one way to cut a message. Fragments of one channel are in order and never mixed.

Windows: each frame costs its payload and `FRAME_COST_BYTES`, which stands for the memory of an object, so that
a million empty messages are not free. Control frames cost nothing; they leave nothing behind. Which message
goes first is `p2p.outbound`'s matter.
"""

from __future__ import annotations

from typing import Final

from p2p.channels import CHANNELS, CONTROL, PROTOCOL_CHANNELS
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import BadFrameError, FrameTooLargeError

HEADER_BYTES: Final = 6
FRAGMENT_BYTES: Final = 32 * 1024
FRAME_COST_BYTES: Final = 256  # an event, a bytes object and its place in a queue take about 200
GRANT_PART: Final = 4  # grants are sent by the quarter of a window: few frames, and the sender never runs dry

PING: Final = 1  # [PING, nonce]
PONG: Final = 2  # [PONG, nonce]
GRANT: Final = 3  # [GRANT, channel, bytes]
NONCE_MAX: Final = (1 << 32) - 1


def encode_frame(channel: int, payload: bytes | memoryview, *, is_last: bool) -> bytes:
    """One frame."""
    return bytes((channel, is_last)) + len(payload).to_bytes(4, "big") + payload


def compute_cost(payload_bytes: int) -> int:
    """What one frame takes of its channel's window."""
    return payload_bytes + FRAME_COST_BYTES


def compute_message_cost(message_bytes: int) -> int:
    """What a whole message takes."""
    return message_bytes + FRAME_COST_BYTES * max(1, -(-message_bytes // FRAGMENT_BYTES))


def encode_control(*fields: int) -> bytes:
    """One control frame."""
    return encode_frame(CONTROL, encode_trusted(fields), is_last=True)


def decode_control(payload: bytes) -> tuple[int, ...]:
    """A control message whose fields are in range. Raises `MalformedError`, `BadFrameError`."""
    value = decode(payload, bytes_max=CHANNELS[CONTROL].message_bytes_max, depth_max=1, items_max=3)
    if type(value) is tuple and all(type(field) is int for field in value):
        if len(value) == 2 and value[0] in (PING, PONG) and 0 <= value[1] <= NONCE_MAX:
            return value
        is_grant = len(value) == 3 and value[0] == GRANT and value[1] in PROTOCOL_CHANNELS
        if is_grant and 0 < value[2] <= CHANNELS[value[1]].window_bytes:
            return value
    raise BadFrameError("an unknown control message")


class FrameReader:
    """Bytes in, whole messages out; and the receiving end of the windows. After an error it must not be used again."""

    def __init__(self) -> None:
        self._rest = b""
        self._parts: dict[int, list[bytes]] = {}
        self._cost = dict.fromkeys(CHANNELS, 0)  # of the fragments of an unfinished message
        self._window = {number: channel.window_bytes for number, channel in CHANNELS.items()}
        self._owed = dict.fromkeys(CHANNELS, 0)  # released and not yet granted again

    def feed(self, data: bytes) -> list[tuple[int, bytes, int]]:
        """(channel, message, cost) for every message that is now complete. The cost is to be released when the
        message is gone.

        Raises `BadFrameError` for what is no frame and for more than the window holds, `FrameTooLargeError` for
        a fragment or message beyond its bound; always before it is kept.
        """
        buffer = self._rest + data if self._rest else data
        out: list[tuple[int, bytes, int]] = []
        offset, end_of_data = 0, len(buffer)
        while end_of_data - offset >= HEADER_BYTES:
            number, last = buffer[offset], buffer[offset + 1]
            size = int.from_bytes(buffer[offset + 2 : offset + HEADER_BYTES], "big")
            self._check(number, last, size)
            end = offset + HEADER_BYTES + size
            if end_of_data < end:
                break
            payload = buffer[offset + HEADER_BYTES : end]
            offset = end
            if number == CONTROL:
                out.append((CONTROL, payload, 0))
                continue
            cost = size + FRAME_COST_BYTES
            self._window[number] -= cost
            parts = self._parts.get(number)
            if not last:
                self._cost[number] += cost
                if parts is None:
                    self._parts[number] = [payload]
                else:
                    parts.append(payload)
            elif parts is None:
                out.append((number, payload, cost))
            else:
                parts.append(payload)
                out.append((number, b"".join(parts), self._cost[number] + cost))
                self._cost[number] = 0
                del self._parts[number]
        self._rest = buffer[offset:]
        return out

    def _check(self, number: int, last: int, size: int) -> None:
        channel = CHANNELS.get(number)
        if channel is None or last > 1:
            raise BadFrameError(f"a frame of unknown channel {number:#04x} or with an unknown flag")
        if size > FRAGMENT_BYTES:
            raise FrameTooLargeError(f"a frame of {size} bytes; at most {FRAGMENT_BYTES} are allowed")
        parts = self._parts.get(number)
        before = FRAGMENT_BYTES * len(parts) if parts is not None else 0
        if before + size > channel.message_bytes_max:
            raise FrameTooLargeError(f"a message on channel {channel.name} of more than {channel.message_bytes_max} bytes")
        if (not last and (size != FRAGMENT_BYTES or number == CONTROL)) or (before and not size):
            raise BadFrameError(f"a message on channel {channel.name} is cut in the wrong place")
        if number != CONTROL and size + FRAME_COST_BYTES > self._window[number]:
            raise BadFrameError(f"more on channel {channel.name} than was granted")

    def release(self, channel: int, cost: int) -> int:
        """A message is gone from our memory. The bytes to grant the peer now, 0 as long as they are few."""
        owed = self._owed[channel] + cost
        if owed * GRANT_PART < CHANNELS[channel].window_bytes:
            self._owed[channel] = owed
            return 0
        self._owed[channel] = 0
        self._window[channel] += owed
        return owed
