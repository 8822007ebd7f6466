"""How long each step waits, by round: a start, a growth for each round, and a cap (consensus.md E6). Integers, nanoseconds.

Also the two bounds of proposer-based timestamps, which grow with the round for the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from state.params import ConsensusParams

_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Delays of one height, from the consensus parameters in force."""

    propose_ns: int
    prevote_ns: int
    precommit_ns: int
    delta_ns: int
    max_ns: int
    precision_ns: int
    message_delay_ns: int
    message_delay_max_ns: int

    @classmethod
    def of(cls, params: ConsensusParams) -> Timeouts:
        """The delays of a set of parameters."""
        return cls(
            params.timeout_propose_ms * _MS,
            params.timeout_prevote_ms * _MS,
            params.timeout_precommit_ms * _MS,
            params.timeout_delta_ms * _MS,
            params.timeout_max_ms * _MS,
            params.precision_ms * _MS,
            params.message_delay_ms * _MS,
            params.message_delay_max_ms * _MS,
        )

    def compute_delay(self, start_ns: int, round_: int) -> int:
        """`start_ns` plus the growth of `round_`, at most the cap (a start above the cap stays)."""
        return max(start_ns, min(start_ns + self.delta_ns * round_, self.max_ns))

    def compute_message_delay(self, round_: int) -> int:
        """MESSAGE_DELAY x 1.1^round in integers, capped; the loop ends at the cap, so a huge round costs nothing."""
        delay = self.message_delay_ns
        for _ in range(round_):
            if delay >= self.message_delay_max_ns:
                return self.message_delay_max_ns
            delay += delay // 10
        return min(delay, self.message_delay_max_ns)

    def is_timely(self, time_ns: int, received_ns: int, round_: int) -> bool:
        """ts - PRECISION <= received <= ts + DELAY + PRECISION (consensus.md F2)."""
        late = time_ns + self.compute_message_delay(round_) + self.precision_ns
        return time_ns - self.precision_ns <= received_ns <= late
