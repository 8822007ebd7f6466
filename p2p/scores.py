"""What misbehaving costs: one table from error code to penalty, a score that decays, a ban when it is too high.

Time comes in as an argument, in seconds of any clock that does not go back. What is remembered across restarts
is plain values with durations, never times of a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from state.primitives.errors import (
    BadFrameError,
    ConnectionLostError,
    DuplicatePeerError,
    FrameTooLargeError,
    HandlingError,
    HandshakeTimeoutError,
    InsecureLinkError,
    InvalidBlockError,
    InvalidCommitError,
    InvalidEvidenceError,
    InvalidVoteError,
    LocalError,
    MalformedError,
    NotAdmittedError,
    OperationFailed,
    PeerBannedError,
    PeerTimeoutError,
    ProofError,
    ProtocolVersionError,
    QenexError,
    RefusedByPeerError,
    TooLargeError,
    TooManyPeersError,
    TransactionError,
    UnreachableError,
    WrongChainError,
)

PENALTIES: Final[dict[int, int]] = {
    kind.code: penalty
    for kind, penalty in (
        # cannot happen between honest nodes of one version
        (BadFrameError, 100),
        (FrameTooLargeError, 100),
        (MalformedError, 60),
        (TooLargeError, 60),
        (InvalidCommitError, 60),
        (InvalidEvidenceError, 60),
        (ProofError, 60),
        # may be honest for a moment: a set of validators that changed, a proposer that is wrong
        (InvalidBlockError, 25),
        (InvalidVoteError, 20),
        (TransactionError, 20),
        (HandlingError, 20),  # a defect of ours; whoever knows how to bring it about must not go on
        (OperationFailed, 5),
        # a wrong setting: four tries in a minute are one ban
        (WrongChainError, 30),
        (ProtocolVersionError, 5),  # a node that is being upgraded: refused each time, never banned for dialling every 10 s
        (InsecureLinkError, 30),
        # the network's fault, or our own choice
        (HandshakeTimeoutError, 0),
        (NotAdmittedError, 0),
        (PeerBannedError, 0),
        (DuplicatePeerError, 0),
        (PeerTimeoutError, 0),
        (ConnectionLostError, 0),
        (TooManyPeersError, 0),
        (RefusedByPeerError, 0),
        (UnreachableError, 0),
    )
}
PENALTY_DEFAULT: Final = 10
BAN_SCORE: Final = 100
BAN_SECONDS: Final = 60.0
BAN_SECONDS_MAX: Final = 3600.0
BAN_MEMORY_SECONDS: Final = 24 * 3600.0  # without another ban, the next one is short again
HALF_LIFE_SECONDS: Final = 60.0
PEERS_MAX: Final = 4096  # records; only admitted keys get one


def get_penalty(error: QenexError) -> int:
    """What an error costs the peer that caused it; what we broke ourselves costs nobody."""
    if isinstance(error, LocalError):
        return 0
    return PENALTIES.get(error.code, PENALTY_DEFAULT)


@dataclass(slots=True)
class _Record:
    score: float = 0.0
    scored_at: float = 0.0
    banned_until: float = 0.0
    bans: int = 0

    def score_at(self, now: float) -> float:
        if self.score == 0.0:
            return 0.0
        return float(self.score * 0.5 ** ((now - self.scored_at) / HALF_LIFE_SECONDS))


class Scores:
    """Penalties of every peer that has earned some, at most `PEERS_MAX`."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}  # least recently punished first

    def penalise(self, node_id: str, error: QenexError, now: float) -> bool:
        """Count an offence. True if the peer is banned from now on; each further ban is twice as long."""
        penalty = get_penalty(error)
        if not penalty:
            return False
        record = self._records.pop(node_id, None) or _Record()
        if len(self._records) >= PEERS_MAX:
            del self._records[next(iter(self._records))]
        self._records[node_id] = record
        record.score, record.scored_at = record.score_at(now) + penalty, now
        if record.score < BAN_SCORE:
            return False
        if record.bans and now - record.banned_until > BAN_MEMORY_SECONDS:
            record.bans = 0
        seconds = BAN_SECONDS * 2 ** min(record.bans, 16)
        record.banned_until = now + min(seconds, BAN_SECONDS_MAX)
        record.bans += 1
        record.score = 0.0
        return True

    def score(self, node_id: str, now: float) -> float:
        """The score as it has decayed."""
        record = self._records.get(node_id)
        return 0.0 if record is None else record.score_at(now)

    def banned_for(self, node_id: str, now: float) -> float:
        """Seconds until the ban ends; 0 if there is none."""
        record = self._records.get(node_id)
        return 0.0 if record is None or not record.bans else max(0.0, record.banned_until - now)

    def pardon(self, node_id: str) -> None:
        """Forget everything about a peer: an operator's decision."""
        self._records.pop(node_id, None)

    def to_wire(self, now: float) -> tuple[tuple[str, int, int, int], ...]:
        """(peer, score in thousandths, milliseconds until or, negative, since the end of the ban, bans), to be
        stored."""
        return tuple(
            (node_id, round(record.score_at(now) * 1000), round((record.banned_until - now) * 1000), record.bans)
            for node_id, record in self._records.items()
        )

    @classmethod
    def from_wire(cls, value: Any, now: float, elapsed_seconds: float = 0.0) -> Scores:
        """What `to_wire` gave `elapsed_seconds` ago. Raises `MalformedError`."""
        scores = cls()
        if not isinstance(value, tuple | list) or len(value) > PEERS_MAX:
            raise MalformedError("stored scores are a list of records")
        elapsed = max(0.0, elapsed_seconds)
        for row in value:
            if not isinstance(row, tuple | list) or [type(field) for field in row] != [str, int, int, int]:
                raise MalformedError("a stored score is a peer and three numbers")
            node_id, score, ban, bans = row
            if not 0 <= score <= BAN_SCORE * 1000 or abs(ban) > 1 << 53 or not 0 <= bans <= 1 << 31:
                raise MalformedError("a stored score is out of range")
            until = now + min(ban / 1000, BAN_SECONDS_MAX) - elapsed
            scores._records[node_id] = _Record(score / 1000, now - elapsed, until, bans)
        return scores
