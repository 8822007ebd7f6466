"""Frames on a link: how messages are cut, interleaved and put together again. Sans-I/O.

A frame is `channel u8 | last u8 | length u32 big-endian | payload`. A message is cut into fragments of at most `FRAGMENT_BYTES`, so that a
block of 4 MiB never delays a vote by more than one fragment. Fragments of one channel are in order and never mixed.
"""

from __future__ import annotations

from typing import Final

from p2p.channels import CHANNELS
from state.primitives.errors import BadFrameError, FrameTooLargeError

HEADER_BYTES: Final = 6
FRAGMENT_BYTES: Final = 32 * 1024


def encode_frame(channel: int, payload: bytes | memoryview, *, is_last: bool) -> bytes:
    """One frame."""
    return bytes((channel, is_last)) + len(payload).to_bytes(4, "big") + payload


class FrameReader:
    """Bytes in, whole messages out. After an error it must not be used again."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._partial: dict[int, bytearray] = {}

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(channel, message) for every message that is now complete.

        Raises `BadFrameError` for what is no frame, `FrameTooLargeError` for a fragment or message beyond its bound, before it is kept.
        """
        self._buffer += data
        out: list[tuple[int, bytes]] = []
        offset = 0
        while len(self._buffer) - offset >= HEADER_BYTES:
            number, last = self._buffer[offset], self._buffer[offset + 1]
            size = int.from_bytes(self._buffer[offset + 2 : offset + HEADER_BYTES], "big")
            channel = CHANNELS.get(number)
            if channel is None or last > 1:
                raise BadFrameError(f"a frame of unknown channel {number:#04x} or with an unknown flag")
            if size > FRAGMENT_BYTES:
                raise FrameTooLargeError(f"a frame of {size} bytes; at most {FRAGMENT_BYTES} are allowed")
            if size == 0 and not last:
                raise BadFrameError("an empty fragment")
            end = offset + HEADER_BYTES + size
            if len(self._buffer) < end:
                break
            partial = self._partial.get(number)
            if len(partial or b"") + size > channel.message_bytes_max:
                raise FrameTooLargeError(
                    f"a message on channel {channel.name} of more than {channel.message_bytes_max} bytes"
                )
            payload = bytes(self._buffer[offset + HEADER_BYTES : end])
            offset = end
            if partial is not None:
                partial += payload
                if last:
                    out.append((number, bytes(partial)))
                    del self._partial[number]
            elif last:
                out.append((number, payload))
            else:
                self._partial[number] = bytearray(payload)
        del self._buffer[:offset]
        return out
