"""Penalties, decay, bans, and what is remembered across restarts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.scores import (
    BAN_MEMORY_SECONDS,
    BAN_SCORE,
    BAN_SECONDS,
    BAN_SECONDS_MAX,
    HALF_LIFE_SECONDS,
    PEERS_MAX,
    PENALTIES,
    Scores,
    get_penalty,
)
from state.primitives.errors import (
    BadFrameError,
    ConfigError,
    ConnectionLostError,
    InvalidVoteError,
    LocalError,
    MalformedError,
    ProtocolVersionError,
    QenexError,
    WrongChainError,
)
from tests.p2p.harness import FUZZ

BAD = BadFrameError("bad")
VOTE = InvalidVoteError("bad vote")


def leaves(kind: type[QenexError]) -> list[type[QenexError]]:
    below = kind.__subclasses__()
    return [kind, *(leaf for child in below for leaf in leaves(child))]


def test_every_error_of_links_has_a_penalty() -> None:
    codes = {
        kind.code
        for kind in leaves(QenexError)
        if 2400 <= kind.code < 2500 and not issubclass(kind, LocalError)
    }
    assert codes
    assert codes <= set(PENALTIES)


def test_our_own_faults_cost_nobody() -> None:
    assert get_penalty(ConfigError("ours")) == 0
    assert not any(Scores().penalise("a", ConfigError("ours"), 0.0) for _ in range(100))


def test_scores_decay_by_half() -> None:
    scores = Scores()
    scores.penalise("a", MalformedError("bad"), 0.0)
    full = scores.score("a", 0.0)
    assert full == PENALTIES[MalformedError.code]
    assert scores.score("a", HALF_LIFE_SECONDS) == full / 2
    assert scores.score("a", 20 * HALF_LIFE_SECONDS) < 0.001
    assert scores.score("b", 0.0) == 0


def test_a_grave_offence_bans_at_once_and_longer_each_time() -> None:
    scores, now = Scores(), 0.0
    expected = BAN_SECONDS
    for _ in range(10):
        assert scores.penalise("a", BAD, now)
        assert scores.banned_for("a", now) == expected
        now += expected
        assert scores.banned_for("a", now) == 0
        expected = min(2 * expected, BAN_SECONDS_MAX)
    now += BAN_MEMORY_SECONDS + 1
    assert scores.penalise("a", BAD, now)
    assert scores.banned_for("a", now) == BAN_SECONDS
    assert scores.banned_for("b", now) == 0


def test_small_offences_add_up_only_when_they_are_frequent() -> None:
    scores = Scores()
    assert [scores.penalise("a", VOTE, 0.0) for _ in range(5)] == [False] * 4 + [True]
    assert not any(scores.penalise("b", VOTE, minute * 60.0) for minute in range(1000))


def test_settings_that_are_wrong_for_a_while() -> None:
    """A node of another chain is banned after a few tries; one that is being upgraded never is."""
    scores = Scores()
    assert any(scores.penalise("a", WrongChainError("x"), tries * 10.0) for tries in range(5))
    assert not any(scores.penalise("b", ProtocolVersionError("x"), tries * 10.0) for tries in range(1000))
    assert not any(scores.penalise("c", ConnectionLostError("x"), 0.0) for _ in range(1000))
    assert len(scores.to_wire(0.0)) == 2


def test_records_are_bounded_and_the_latest_stay() -> None:
    scores = Scores()
    for number in range(PEERS_MAX + 10):
        scores.penalise(str(number), BAD, 0.0)
    assert len(scores.to_wire(0.0)) == PEERS_MAX
    assert scores.banned_for("0", 0.0) == 0
    assert scores.banned_for(str(PEERS_MAX + 9), 0.0) == BAN_SECONDS


def test_pardon() -> None:
    scores = Scores()
    scores.penalise("a", BAD, 0.0)
    scores.pardon("a")
    scores.pardon("never heard of")
    assert scores.banned_for("a", 0.0) == 0


@FUZZ
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([BAD, VOTE, MalformedError("x")]), st.integers(0, 300))),
    st.integers(0, 500),
)
def test_what_is_remembered_is_what_was(offences: list[tuple[str, QenexError, int]], elapsed: int) -> None:
    scores, now = Scores(), 1000.0
    for peer, error, pause in offences:
        now += pause
        scores.penalise(peer, error, now)
    restored = Scores.from_wire(scores.to_wire(now), 5.0, float(elapsed))  # another clock
    for peer in "abc":
        assert restored.score(peer, 5.0) == pytest.approx(scores.score(peer, now + elapsed), abs=0.01)
        assert restored.banned_for(peer, 5.0) == pytest.approx(scores.banned_for(peer, now + elapsed), abs=0.01)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        [1],
        [("a",)],
        [("a", 1.0, 0, 0)],
        [("a", -1, 0, 0)],
        [("a", BAN_SCORE * 1000 + 1, 0, 0)],
        [("a", 0, 1 << 60, 0)],
        [("a", 0, 0, -1)],
        [(1, 0, 0, 0)],
        [("a", True, 0, 0)],
        [("a", 0, 0, 0)] * (PEERS_MAX + 1),
    ],
)
def test_stored_scores_that_make_no_sense(value: object) -> None:
    with pytest.raises(MalformedError):
        Scores.from_wire(value, 0.0)


def test_a_stored_ban_cannot_be_longer_than_any_ban() -> None:
    scores = Scores.from_wire([("a", 0, 1 << 50, 1)], 0.0)
    assert scores.banned_for("a", 0.0) == BAN_SECONDS_MAX
