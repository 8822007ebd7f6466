"""The introduction: both directions, every refusal, and bytes that are none."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.handshake import (
    CAPABILITIES_MAX,
    MAGIC,
    MESSAGE_BYTES_MAX,
    TEXT_CHARS_MAX,
    Greeting,
    Introduction,
    check_greeting,
    decode_message,
    encode_greeting,
    encode_verdict,
)
from state.primitives.codec import encode
from state.primitives.errors import (
    BadFrameError,
    MalformedError,
    NotAdmittedError,
    ProtocolVersionError,
    RefusedByPeerError,
    RemoteError,
    WrongChainError,
)
from state.primitives.limits import HEIGHT_MAX
from tests.p2p.harness import FUZZ, greeting

OURS = greeting()


def frame(value: object) -> bytes:
    data = encode(value)
    return len(data).to_bytes(2, "big") + data


@FUZZ
@given(st.integers(1, 50), st.integers(1, 50))
def test_both_sides_meet_however_the_bytes_arrive(first_step: int, second_step: int) -> None:
    sides = Introduction(OURS), Introduction(replace(OURS, moniker="other"))
    queues = [sides[0].open(), sides[1].open()]  # what each has sent
    answered = [False, False]
    while not (sides[0].is_accepted and sides[1].is_accepted):
        for mine, theirs, step in ((0, 1, first_step), (1, 0, second_step)):
            sides[mine].feed(queues[theirs][:step])
            queues[theirs] = queues[theirs][step:]
            if sides[mine].greeting is not None and not answered[mine]:
                answered[mine] = True
                queues[mine] += sides[mine].accept()
    assert sides[0].greeting == replace(OURS, moniker="other")
    assert sides[1].greeting == OURS


def test_what_comes_behind_the_verdict_is_kept() -> None:
    side = Introduction(OURS)
    side.feed(MAGIC + encode_greeting(OURS))
    assert not side.is_accepted
    assert side.rest == b""
    side.feed(encode_verdict(0) + b"first frame")
    assert side.is_accepted
    assert side.rest == b"first frame"


@pytest.mark.parametrize("head", [b"", encode_greeting(OURS)])
def test_a_refusal_says_why(head: bytes) -> None:
    side = Introduction(OURS)
    with pytest.raises(RefusedByPeerError, match="NOT_ADMITTED"):
        side.feed(MAGIC + head + encode_verdict(NotAdmittedError.code))
    with pytest.raises(RefusedByPeerError, match="9999"):
        Introduction(OURS).feed(MAGIC + encode_verdict(9999))


def test_a_stranger_learns_only_the_reason() -> None:
    words = Introduction(OURS).refuse(NotAdmittedError("secret detail"))
    assert words == MAGIC + encode_verdict(NotAdmittedError.code)
    assert OURS.genesis_hash not in words


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"QENEX0",
        b"X",
        MAGIC + b"\xff\xff",
        MAGIC + (MESSAGE_BYTES_MAX + 1).to_bytes(2, "big"),
        MAGIC + encode_verdict(0),
        MAGIC + encode_greeting(OURS) * 2,
    ],
)
def test_words_out_of_place(data: bytes) -> None:
    with pytest.raises(BadFrameError):
        Introduction(OURS).feed(data)


FIELDS = list(OURS.to_wire())


@pytest.mark.parametrize(
    "value",
    [
        None,
        (),
        (1,),
        (1, *FIELDS, 0),
        (1, *FIELDS[:-1]),
        (3, *FIELDS),
        ("1", *FIELDS),
        (2,),
        (2, -1),
        (2, 10_000),
        (2, True),
        (2, "0"),
        (2, 0, 0),
        *[
            (1, *FIELDS[:index], wrong, *FIELDS[index + 1 :])
            for index, wrongs in {
                0: (True, "2", None),
                1: (b"", bytes(31), bytes(33), "x" * 32),
                2: (1, b"x", "x" * (TEXT_CHARS_MAX + 1), "a\nb", "\x1b[2J", "\x00", "\u202e"),
                3: (None, "a\x7f"),
                4: ((), "\t"),
                5: ("", ("x",) * (CAPABILITIES_MAX + 1), (1,), (("x",),), ("\n",)),
                6: (-1, HEIGHT_MAX + 1, True, "1", None),
            }.items()
            for wrong in wrongs
        ],
    ],
)
def test_other_values_are_malformed(value: object) -> None:
    with pytest.raises(MalformedError):
        Introduction(OURS).feed(MAGIC + frame(value))


def test_the_longest_greeting_fits() -> None:
    text = "\U0001f3e6" * TEXT_CHARS_MAX
    longest = Greeting((1 << 64) - 1, bytes(32), text, text, text, (text,) * CAPABILITIES_MAX, HEIGHT_MAX)
    side = Introduction(OURS)
    side.feed(MAGIC + encode_greeting(longest))
    assert side.greeting == longest


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_raise_only_remote_errors(data: bytes) -> None:
    for start in (b"", MAGIC, MAGIC + len(data).to_bytes(2, "big")):
        with contextlib.suppress(RemoteError):
            Introduction(OURS).feed(start + data)
    with contextlib.suppress(RemoteError):
        decode_message(data)


@FUZZ
@given(st.data())
def test_damaged_greetings_raise_only_remote_errors(data: st.DataObject) -> None:
    words = bytearray(MAGIC + encode_greeting(OURS) + encode_verdict(0))
    words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.integers(0, 255))
    side = Introduction(OURS)
    try:
        side.feed(bytes(words))
    except RemoteError:
        return
    assert side.greeting is None or len(side.greeting.genesis_hash) == 32


def test_who_can_talk() -> None:
    check_greeting(OURS, replace(OURS, version="9", moniker="x", capabilities=(), height=0))
    with pytest.raises(ProtocolVersionError):
        check_greeting(OURS, replace(OURS, protocol=OURS.protocol + 1))
    with pytest.raises(WrongChainError):
        check_greeting(OURS, replace(OURS, genesis_hash=bytes(32)))
