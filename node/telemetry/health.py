"""The health score: 0 to 100, a sum of parts of which each is points for one figure. `docs/monitoring.md` explains it with this table.

A part gives all its points at `good`, none at `bad`, and in between as many as the straight line says. Pure: figures in, score out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Part:
    """Points for one metric. `good` may be above or below `bad`."""

    name: str
    metric: str
    points: int
    good: float
    bad: float
    text: str


PARTS: Final = (
    Part("chain", "qenex_tip_overdue_seconds", 30, 5.0, 60.0, "seconds that the next block is late"),
    Part("step", "qenex_blocks_behind", 20, 1.0, 20.0, "blocks that peers have and this node does not"),
    Part("votes", "qenex_signed_share", 20, 0.99, 0.5, "part of the last 100 commits with this node's vote"),
    Part("peers", "qenex_peers_share", 10, 1.0, 0.0, "connected peers, of those that are expected"),
    Part("disk", "qenex_disk_free_share", 10, 0.2, 0.05, "free part of the disk"),
    Part("safety", "qenex_breakers_open", 5, 0.0, 1.0, "modules that stand still"),
    Part("audit", "qenex_audit_log_failing", 5, 0.0, 1.0, "1 while the audit log cannot be written"),
)


@dataclass(frozen=True, slots=True)
class Points:
    """What a part came to."""

    part: Part
    value: float
    points: float


@dataclass(frozen=True, slots=True)
class Health:
    """A score with its parts."""

    score: float
    parts: tuple[Points, ...]

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        parts = [
            {
                "name": found.part.name,
                "metric": found.part.metric,
                "value": round(found.value, 4),
                "points": round(found.points, 1),
                "of": found.part.points,
                "text": found.part.text,
            }
            for found in self.parts
        ]
        return {"score": round(self.score, 1), "parts": parts}


def compute_health(figures: Mapping[str, float]) -> Health:
    """The score of these figures, by the names of their metrics. Raises KeyError if one is missing."""
    parts = tuple(Points(part, figures[part.metric], _grade(part, figures[part.metric])) for part in PARTS)
    return Health(sum(found.points for found in parts), parts)


def _grade(part: Part, value: float) -> float:
    share = (value - part.bad) / (part.good - part.bad)
    return part.points * min(1.0, max(0.0, share))
