"""The locking rules against an adversary made for them; and that it is one: planted bugs are caught.

`python -m tests.consensus.test_lockstep FIRST LAST` plays a longer range, about 600 scenarios a second.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from consensus import core, votes
from consensus import round as table
from consensus.round import Change, Facts, RoundState
from consensus.vote import Vote
from consensus.votes import Added, VoteBook
from tests.consensus.lockstep import Game

KNOWN_SEEDS: tuple[int, ...] = ()


def play(seed: int) -> Game:
    """Two games of three have a pair of twins."""
    game = Game(seed, twins=seed % 3 > 0)
    game.play()
    return game


@pytest.mark.parametrize("hundred", range(8))
def test_no_fork_and_no_stall(hundred: int) -> None:
    for seed in (*KNOWN_SEEDS, *range(100 * hundred, 100 * hundred + 100)):
        play(seed)


def test_sometimes_the_hard_parts_are_reached() -> None:
    games = [play(seed) for seed in range(60)]
    for what in ("some decided early, not all", "proposed again", "decided in a later round"):
        assert any(game.seen.get(what) for game in games), what


def test_planted_forgotten_lock_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(state: RoundState, facts: Facts) -> Change | None:
        change = table.lock_l36(state, facts)
        if change is None:
            return None
        return replace(change[0], lock=replace(change[0].lock, locked_value=None, locked_round=-1)), change[1]

    monkeypatch.setattr(core, "ROWS", tuple(forgetful if row is table.lock_l36 else row for row in table.ROWS))
    with pytest.raises(AssertionError, match="fork"):
        for seed in range(600, 1700):
            play(seed)


def test_planted_first_vote_wins_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    honest_add = VoteBook.add

    def add(self: VoteBook, vote: Vote, current_round: int) -> tuple[Added, Vote | None]:
        tally = self.tally(vote.round, vote.type)
        if tally is not None and tally.by_validator.get(vote.validator_index):
            return Added.DUPLICATE, None
        return honest_add(self, vote, current_round)

    monkeypatch.setattr(votes.VoteBook, "add", add)
    with pytest.raises(AssertionError, match="stall"):
        for seed in range(300):
            play(seed)


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        try:
            play(number)
        except AssertionError as error:
            print(f"seed {number}: {error}")
