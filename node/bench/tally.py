"""The books of a load run: what was sent when, what was seen in a block when, what was refused. Pure; times are arguments.

Latency is from handing a transaction to a node until a block with it was seen; percentiles are nearest-rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Tally:
    """Counts of one run. Hashes are forgotten once they are settled, so memory is bounded by what is in flight."""

    submitted: int = 0
    committed: int = 0
    failed: int = 0  # in a block, with a code that is not 0
    refused: int = 0  # never in a block
    first_ns: int = 0
    last_ns: int = 0
    latencies_ns: list[int] = field(default_factory=list)
    in_flight: dict[bytes, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)

    def on_sent(self, tx_hash: bytes, now_ns: int) -> None:
        """A transaction leaves for a node for the first time."""
        self.submitted += 1
        self.first_ns = self.first_ns or now_ns
        self.in_flight[tx_hash] = now_ns

    def on_refused(self, tx_hash: bytes, reason: str) -> None:
        """A node refused it for good."""
        if self.in_flight.pop(tx_hash, None) is not None:
            self.refused += 1
            self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def on_block(self, tx_hashes: Sequence[bytes], now_ns: int) -> int:
        """A block was seen; returns how many of its transactions are ours."""
        ours = 0
        for tx_hash in tx_hashes:
            sent_ns = self.in_flight.pop(tx_hash, None)
            if sent_ns is not None:
                ours += 1
                self.latencies_ns.append(now_ns - sent_ns)
        if ours:
            self.committed += ours
            self.last_ns = now_ns
        return ours

    @property
    def elapsed_ns(self) -> int:
        """From the first transaction sent to the last one seen in a block."""
        return max(0, self.last_ns - self.first_ns)


def percentile_ns(sorted_values: Sequence[int], percent: int) -> int:
    """Nearest rank; 0 of nothing."""
    if not sorted_values:
        return 0
    rank = -(-percent * len(sorted_values) // 100)
    return sorted_values[max(1, rank) - 1]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The outcome; `to_json` is stable."""

    submitted: int
    committed: int
    rejected: int
    unconfirmed: int
    seconds: float
    tps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    app_hashes_equal: bool
    heights: tuple[int, int]
    rejections: dict[str, int]

    @classmethod
    def from_tally(cls, tally: Tally, *, app_hashes_equal: bool, heights: tuple[int, int]) -> LoadReport:
        """The report of a finished run; transactions that failed inside a block count as rejected, not as committed."""
        values = sorted(tally.latencies_ns)
        seconds = tally.elapsed_ns / 1e9
        committed = tally.committed - tally.failed
        return cls(
            submitted=tally.submitted,
            committed=committed,
            rejected=tally.refused + tally.failed,
            unconfirmed=len(tally.in_flight),
            seconds=round(seconds, 3),
            tps=round(committed / seconds, 1) if seconds else 0.0,
            p50_ms=round(percentile_ns(values, 50) / NS_PER_MS, 1),
            p95_ms=round(percentile_ns(values, 95) / NS_PER_MS, 1),
            p99_ms=round(percentile_ns(values, 99) / NS_PER_MS, 1),
            app_hashes_equal=app_hashes_equal,
            heights=heights,
            rejections=dict(sorted(tally.refusals.items())),
        )

    def to_json(self) -> dict[str, object]:
        """The machine-readable form."""
        return {
            "submitted": self.submitted,
            "committed": self.committed,
            "rejected": self.rejected,
            "seconds": self.seconds,
            "tps": self.tps,
            "latency_ms": {"p50": self.p50_ms, "p95": self.p95_ms, "p99": self.p99_ms},
            "app_hashes_equal": self.app_hashes_equal,
            "unconfirmed": self.unconfirmed,
            "heights": list(self.heights),
            "rejections": self.rejections,
        }
