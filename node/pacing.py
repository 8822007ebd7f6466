"""When the next height begins: the block interval, idle networks, and who waits for whom. Pure.

A height begins on each node when its driver gives `StartHeight` to the core; `timeout_propose` of round 0 runs from there. So a
node that waits for work has no timeout running, and "the proposer waits for a transaction" needs no case in the core.
After block H a node begins H+1
- never before block H's time plus the block interval. The time in the block, not the moment of the commit, is the reference:
  all nodes then begin at about the same moment, and one that was late at H is back in step at H+1;
- at that moment if transactions wait in its mempool, or a proposal or vote for H+1 has come from a peer;
- with nothing to do, at block H's time plus the idle interval: if empty blocks are on, the block interval (`IDLE_INTERVAL_NS` if that is
  0), else the heartbeat interval (0: no heartbeat); but after a block with transactions always as if empty blocks were on,
  since the state they left is provable only with the next header.

Why this is sound. A transaction that one node has starts that node; gossip brings it to the proposer in far less than
`timeout_propose`, and starts the proposer. Should gossip fail, the node's nil prevote after the timeout starts the others, so
rounds go on as in the paper. A peer that sends messages for H+1 without need can only end a wait for work, never shorten the
block interval. The wall clock is read once a height and only bounds a wait, within [0, interval]: a clock that jumps cannot hold
the node longer than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from state.params import ConsensusParams

MS: Final = 1_000_000
IDLE_INTERVAL_NS: Final = 1_000 * MS  # empty blocks without a block interval: one a second, not as many as fit

EMPTY_RETRY_NS: Final = 50 * MS  # "work" that ended in an empty block was none: do not spin on it


@dataclass(frozen=True, slots=True)
class Pace:
    """Delays from now until the next height begins: with something to do, and with nothing to do (None: not at all)."""

    busy_delay_ns: int
    idle_delay_ns: int | None


def compute_pace(params: ConsensusParams, block_time_ns: int, had_txs: bool, now_ns: int) -> Pace:
    """The pace after a block of wall time `block_time_ns`, at wall time `now_ns`."""
    interval = params.block_interval_ms * MS
    idle: int | None = interval or IDLE_INTERVAL_NS
    if not params.empty_blocks and not had_txs:
        heartbeat = params.heartbeat_interval_ms * MS
        idle = max(interval, heartbeat) if heartbeat else None
    busy = interval if had_txs else max(interval, EMPTY_RETRY_NS)
    return Pace(
        compute_remaining(busy, block_time_ns, now_ns),
        None if idle is None else compute_remaining(idle, block_time_ns, now_ns),
    )


def compute_remaining(interval_ns: int, block_time_ns: int, now_ns: int) -> int:
    """What is left of an interval that began at `block_time_ns`, within [0, interval]."""
    return min(interval_ns, max(0, block_time_ns + interval_ns - now_ns))
