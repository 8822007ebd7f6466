"""Frames: any cutting of any stream, bounds before memory, windows, and bytes that are no frames."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.channels import BLOCK, CHANNELS, CONSENSUS, CONTROL, MEMPOOL, PROTOCOL_CHANNELS, SYNC
from p2p.frames import (
    FRAGMENT_BYTES,
    FRAME_COST_BYTES,
    GRANT,
    GRANT_PART,
    HEADER_BYTES,
    NONCE_MAX,
    PING,
    PONG,
    FrameReader,
    compute_cost,
    compute_message_cost,
    decode_control,
    encode_control,
    encode_frame,
)
from state.primitives.codec import encode
from state.primitives.errors import BadFrameError, FrameTooLargeError, RemoteError
from tests.p2p.harness import FUZZ

messages = st.lists(
    st.tuples(
        st.sampled_from(PROTOCOL_CHANNELS),
        st.binary(max_size=300) | st.sampled_from([bytes(FRAGMENT_BYTES + extra) for extra in (-1, 0, 1, 20_000, FRAGMENT_BYTES)]),
    ),
    max_size=12,
)


def cut(channel: int, message: bytes) -> bytes:
    """A message in frames, by the book."""
    out, offset = b"", 0
    while True:
        fragment = message[offset : offset + FRAGMENT_BYTES]
        offset += len(fragment)
        out += encode_frame(channel, fragment, is_last=offset >= len(message))
        if offset >= len(message):
            return out


@FUZZ
@given(messages, st.lists(st.integers(1, 70_000), min_size=1, max_size=5))
def test_messages_survive_any_division_of_the_stream(sent: list[tuple[int, bytes]], steps: list[int]) -> None:
    sent = [(channel, message) for channel, message in sent if len(message) <= CHANNELS[channel].message_bytes_max]
    stream = b"".join(cut(channel, message) for channel, message in sent)
    reader, got, offset, turn = FrameReader(), [], 0, 0
    while offset < len(stream):
        step = steps[turn % len(steps)]
        for channel, message, cost in reader.feed(stream[offset : offset + step]):
            assert cost == compute_message_cost(len(message))
            reader.release(channel, cost)
            got.append((channel, message))
        offset, turn = offset + step, turn + 1
    assert got == sent


def test_fragments_of_several_channels_interleave() -> None:
    block, vote = bytes(FRAGMENT_BYTES) + b"end", b"vote"
    reader = FrameReader()
    frames = cut(BLOCK, block)
    middle = HEADER_BYTES + FRAGMENT_BYTES
    assert reader.feed(frames[:middle]) == []
    assert reader.feed(cut(CONSENSUS, vote)) == [(CONSENSUS, vote, compute_cost(4))]
    assert reader.feed(frames[middle:]) == [(BLOCK, block, compute_message_cost(len(block)))]


@FUZZ
@given(st.binary(max_size=2000))
def test_garbage_raises_only_remote_errors(data: bytes) -> None:
    reader = FrameReader()
    try:
        for channel, payload, _ in reader.feed(data):
            if channel == CONTROL:
                decode_control(payload)
    except RemoteError:
        pass


@FUZZ
@given(messages, st.data())
def test_damaged_streams_raise_only_remote_errors(sent: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = bytearray(b"".join(cut(channel, message) for channel, message in sent) + encode_control(PING, 7))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    reader = FrameReader()
    try:
        for channel, payload, _ in reader.feed(bytes(stream)):
            if channel == CONTROL:
                decode_control(payload)
    except RemoteError:
        pass


@pytest.mark.parametrize("number", [0, 2, 0x11, 0x22, 0xFF])
def test_unknown_channels(number: int) -> None:
    with pytest.raises(BadFrameError):
        FrameReader().feed(encode_frame(number, b"", is_last=True))


@pytest.mark.parametrize("size", [FRAGMENT_BYTES + 1, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize("channel", PROTOCOL_CHANNELS)
def test_a_frame_beyond_the_fragment_size_is_refused_by_its_head(channel: int, size: int) -> None:
    with pytest.raises(FrameTooLargeError):
        FrameReader().feed(bytes((channel, 1)) + size.to_bytes(4, "big"))


@pytest.mark.parametrize("channel", PROTOCOL_CHANNELS)
def test_a_message_at_its_bound_passes_and_one_byte_more_does_not(channel: int) -> None:
    bound = CHANNELS[channel].message_bytes_max
    assert len(FrameReader().feed(cut(channel, bytes(bound)))[0][1]) == bound
    with pytest.raises(FrameTooLargeError):
        FrameReader().feed(cut(channel, bytes(bound + 1)))


def test_a_message_has_one_way_to_be_cut() -> None:
    for wrong in (
        encode_frame(BLOCK, b"x", is_last=False),
        encode_frame(BLOCK, b"", is_last=False),
        encode_frame(BLOCK, bytes(FRAGMENT_BYTES), is_last=False) + encode_frame(BLOCK, b"", is_last=True),
        encode_frame(CONTROL, bytes(8), is_last=False),
        bytes((BLOCK, 2)) + bytes(4),
    ):
        with pytest.raises(BadFrameError):
            FrameReader().feed(wrong)


def test_memory_stays_near_what_was_sent() -> None:
    """Announcing much and sending little must not cost anything."""
    tracemalloc.start()
    try:
        readers = [FrameReader() for _ in range(100)]
        for reader in readers:
            reader.feed(bytes((SYNC, 0)) + FRAGMENT_BYTES.to_bytes(4, "big") + b"x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * 4096


@pytest.mark.parametrize("channel", PROTOCOL_CHANNELS)
def test_a_window_holds_so_much_and_opens_again(channel: int) -> None:
    reader, window = FrameReader(), CHANNELS[channel].window_bytes
    full = encode_frame(channel, bytes(FRAGMENT_BYTES), is_last=True)
    fits = window // compute_cost(FRAGMENT_BYTES)
    costs = [cost for _ in range(fits) for _, _, cost in reader.feed(full)]
    assert len(costs) == fits
    granted = sum(reader.release(channel, cost) for cost in costs)
    assert window - window // GRANT_PART <= granted <= sum(costs)
    for _ in range(granted // compute_cost(FRAGMENT_BYTES)):
        reader.feed(full)
    with pytest.raises(BadFrameError):
        for _ in range(fits):
            reader.feed(full)


def test_empty_messages_are_not_free() -> None:
    reader, accepted = FrameReader(), 0
    with pytest.raises(BadFrameError):
        while True:
            reader.feed(encode_frame(MEMPOOL, b"", is_last=True))
            accepted += 1
    assert accepted == CHANNELS[MEMPOOL].window_bytes // FRAME_COST_BYTES


@pytest.mark.parametrize("channel", PROTOCOL_CHANNELS)
def test_the_largest_message_always_fits_once_everything_is_released(channel: int) -> None:
    """Else a sender could wait for a grant that is only given when more has come."""
    row = CHANNELS[channel]
    assert row.window_bytes - row.window_bytes // GRANT_PART >= compute_message_cost(row.message_bytes_max)
    assert row.outbound_bytes_max >= row.message_bytes_max


@pytest.mark.parametrize("message", [(PING, 0), (PONG, NONCE_MAX), (GRANT, BLOCK, 1), (GRANT, SYNC, CHANNELS[SYNC].window_bytes)])
def test_control_messages(message: tuple[int, ...]) -> None:
    frame = encode_control(*message)
    assert FrameReader().feed(frame) == [(CONTROL, frame[HEADER_BYTES:], 0)]
    assert decode_control(frame[HEADER_BYTES:]) == message


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        b"",
        (),
        (PING,),
        (True, 1),
        (PING, True),
        (PING, -1),
        (PING, NONCE_MAX + 1),
        (PING, 1, 1),
        (4, 1),
        (GRANT, BLOCK),
        (GRANT, BLOCK, 0),
        (GRANT, BLOCK, -1),
        (GRANT, BLOCK, CHANNELS[BLOCK].window_bytes + 1),
        (GRANT, CONTROL, 1),
        (GRANT, 0x99, 1),
        (GRANT, "x", 1),
        ((PING,), 1),
    ],
)
def test_other_control_messages_are_refused(value: object) -> None:
    with pytest.raises(RemoteError):
        decode_control(encode(value))


@FUZZ
@given(st.binary(max_size=80))
def test_any_control_bytes_raise_only_remote_errors(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        decode_control(data)
