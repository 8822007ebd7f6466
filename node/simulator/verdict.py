"""What one simulated run came to. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verdict:
    """One seed, one verdict: equal for equal arguments, byte for byte.

    `violations` are broken safety rules, `liveness_failures` what did not go on after the network was healed, `sometimes` how often the
    hard parts were reached. `faults_drawn` is the number of faults that the seed drew, whether or not a mask left some out;
    `validators` is how many the cluster had.
    """

    seed: int
    scenarios: int
    violations: tuple[str, ...]
    liveness_failures: tuple[str, ...]
    sometimes: dict[str, int]
    trace_hash: str
    heights: int
    faults_drawn: int
    figures: dict[str, int] = field(default_factory=dict)
    validators: int = 0

    @property
    def is_ok(self) -> bool:
        """Whether nothing went wrong."""
        return not self.violations and not self.liveness_failures
