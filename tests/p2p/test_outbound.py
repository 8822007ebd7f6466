"""What leaves first, how much at a time, and never more than was granted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.channels import BLOCK, CHANNELS, CONSENSUS, CONTROL, MEMPOOL, PROTOCOL_CHANNELS, SYNC
from p2p.frames import FRAGMENT_BYTES, GRANT, PING, PONG, FrameReader, decode_control
from p2p.outbound import CHUNK_BYTES, Outbound
from state.primitives.errors import BadFrameError
from tests.p2p.harness import FUZZ


def drain(outbound: Outbound, reader: FrameReader, chunks: int = 1 << 30) -> list[tuple[int, bytes]]:
    """Send until nothing is left; the handler takes everything at once."""
    got: list[tuple[int, bytes]] = []
    while chunks and (chunk := outbound.take()):
        chunks -= 1
        for channel, message, cost in reader.feed(chunk):
            got.append((channel, message))
            if channel != CONTROL and (size := reader.release(channel, cost)):
                outbound.on_grant(channel, size)
    return got


def test_urgent_channels_go_first() -> None:
    outbound = Outbound()
    for channel in (SYNC, MEMPOOL, BLOCK, CONSENSUS):
        outbound.push(channel, bytes([channel]))
    outbound.ping(1)
    channels = [channel for channel, _ in drain(outbound, FrameReader())]
    assert channels == [CONTROL, CONSENSUS, BLOCK, MEMPOOL, SYNC]


def test_a_vote_waits_for_one_chunk_of_a_block() -> None:
    outbound, reader = Outbound(), FrameReader()
    outbound.push(BLOCK, bytes(4 * 1024 * 1024))
    before = outbound.take()
    assert len(before) < 2 * CHUNK_BYTES
    reader.feed(before)
    outbound.push(CONSENSUS, b"vote")
    chunk = outbound.take()
    assert reader.feed(chunk)[0][:2] == (CONSENSUS, b"vote")
    assert len(drain(outbound, reader)) == 1


@FUZZ
@given(
    st.lists(
        st.tuples(st.sampled_from(PROTOCOL_CHANNELS), st.integers(0, 3 * FRAGMENT_BYTES), st.integers(0, 3)),
        max_size=30,
    )
)
def test_each_channel_keeps_its_order_whatever_is_pushed_when(plan: list[tuple[int, int, int]]) -> None:
    outbound, reader = Outbound(), FrameReader()
    sent: dict[int, list[bytes]] = {channel: [] for channel in PROTOCOL_CHANNELS}
    got: list[tuple[int, bytes]] = []
    for number, (channel, size, chunks) in enumerate(plan):
        message = (b"%d:" % number).ljust(size, b".")[: CHANNELS[channel].message_bytes_max]
        if outbound.push(channel, message):
            sent[channel].append(message)
        got += drain(outbound, reader, chunks)
    got += drain(outbound, reader)
    for channel in PROTOCOL_CHANNELS:
        assert [message for number, message in got if number == channel] == sent[channel]
        assert outbound.counts[channel].messages_out == len(sent[channel])
        assert outbound.counts[channel].bytes_out == sum(map(len, sent[channel]))
        assert outbound.queued(channel) == (0, 0)


@pytest.mark.parametrize("channel", PROTOCOL_CHANNELS)
def test_a_full_queue_refuses(channel: int) -> None:
    outbound, row = Outbound(), CHANNELS[channel]
    accepted = 0
    while outbound.push(channel, bytes(row.message_bytes_max)):
        accepted += 1
    assert accepted == min(row.outbound_messages_max, row.outbound_bytes_max // row.message_bytes_max)
    assert outbound.counts[channel].dropped == 1
    outbound = Outbound()
    for _ in range(row.outbound_messages_max):
        assert outbound.push(channel, b"")
    assert not outbound.push(channel, b"")


@pytest.mark.parametrize("channel", PROTOCOL_CHANNELS)
def test_nothing_beyond_the_window_leaves_and_others_pass(channel: int) -> None:
    outbound, reader, row = Outbound(), FrameReader(), CHANNELS[channel]
    other = CONSENSUS if channel != CONSENSUS else SYNC
    unreleased: list[tuple[int, int]] = []
    pushed = 0
    for _ in range(200_000):
        while outbound.push(channel, bytes(min(row.message_bytes_max, 100_000))):
            pushed += 1
        chunk = outbound.take()
        if not chunk:
            break
        unreleased += [(number, cost) for number, _, cost in reader.feed(chunk)]
    assert sum(cost for _, cost in unreleased) <= row.window_bytes
    assert outbound.queued(channel)[0] > 0
    outbound.push(other, b"passes")
    outbound.ping(3)
    assert [message[1] for message in reader.feed(outbound.take())][1:] == [b"passes"]
    granted = [reader.release(number, cost) for number, cost in unreleased]
    for size in filter(None, granted):
        outbound.on_grant(channel, size)
    assert len(drain(outbound, reader)) == pushed - len(unreleased)


def test_a_grant_for_what_was_never_sent() -> None:
    outbound = Outbound()
    outbound.push(BLOCK, b"x")
    outbound.take()
    outbound.on_grant(BLOCK, 100)
    with pytest.raises(BadFrameError):
        outbound.on_grant(BLOCK, 1000)
    with pytest.raises(BadFrameError):
        outbound.on_grant(SYNC, 1)


def test_control_messages_do_not_pile_up() -> None:
    outbound = Outbound()
    for nonce in range(1000):
        outbound.ping(nonce)
        outbound.pong(nonce)
        outbound.grant(BLOCK, 1)
    got = [decode_control(payload) for _, payload, _ in FrameReader().feed(outbound.take())]
    assert sorted(got) == [(PING, 999), (PONG, 999), (GRANT, BLOCK, 1000)]
    assert outbound.take() == b""
