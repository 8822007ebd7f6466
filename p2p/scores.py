"""What misbehaving costs: one table from error to penalty, a score that decays, a ban when it is too high."""

from __future__ import annotations

from typing import Final

from state.primitives.errors import (
    BadFrameError,
    FrameTooLargeError,
    InvalidBlockError,
    InvalidCommitError,
    InvalidVoteError,
    MalformedError,
    ProofError,
    QenexError,
    TooLargeError,
)

PENALTIES: Final[dict[type[QenexError], int]] = {
    BadFrameError: 100,
    FrameTooLargeError: 100,
    MalformedError: 60,
    TooLargeError: 60,
    InvalidVoteError: 20,  # may be honest for a moment: a set that changed
    InvalidBlockError: 25,
    InvalidCommitError: 60,
    ProofError: 60,
}
PENALTY_DEFAULT: Final = 10
BAN_SCORE: Final = 100
BAN_SECONDS: Final = 60.0
BAN_SECONDS_MAX: Final = 3600.0
HALF_LIFE_SECONDS: Final = 60.0


class Scores:
    """Penalties of every peer that has earned some. Bounded by the number of admitted nodes, since only those get here."""

    def __init__(self) -> None:
        self._scores: dict[str, tuple[float, float]] = {}
        self._bans: dict[str, float] = {}
        self._ban_counts: dict[str, int] = {}

    def penalise(self, node_id: str, error: QenexError, now: float) -> bool:
        """Count an offence. True if the peer is banned from now on; each further ban is twice as long."""
        score = self.score(node_id, now) + PENALTIES.get(type(error), PENALTY_DEFAULT)
        self._scores[node_id] = (score, now)
        if score < BAN_SCORE:
            return False
        count = self._ban_counts.get(node_id, 0)
        self._ban_counts[node_id] = count + 1
        self._bans[node_id] = now + min(BAN_SECONDS * 2**count, BAN_SECONDS_MAX)
        del self._scores[node_id]
        return True

    def score(self, node_id: str, now: float) -> float:
        """The score as it has decayed."""
        score, since = self._scores.get(node_id, (0.0, now))
        return float(score * 0.5 ** ((now - since) / HALF_LIFE_SECONDS))

    def banned_for(self, node_id: str, now: float) -> float:
        """Seconds until the ban ends; 0 if there is none."""
        return max(0.0, self._bans.get(node_id, 0.0) - now)
