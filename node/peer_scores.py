"""What peers have earned, kept over a restart: otherwise a banned peer would only have to wait for ours.

Written every minute and at the end, beside and renamed. Bans are a convenience, not safety: a file that cannot be read or written is
a warning and no more. What a score means is `p2p.scores`'.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from node.clock import NS_PER_S, Clock
from p2p.scores import Scores
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import HomeError, MalformedError, QenexError
from state.primitives.limits import PEER_SCORES_BYTES_MAX

SAVE_SECONDS: Final = 60.0

Warn = Callable[[str, QenexError], None]


def load_scores(path: Path, now_s: float, wall_ns: int, warn: Warn) -> Scores:
    """The scores of the last run, decayed by the time since; empty ones if there are none. `now_s` is trio's time."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Scores()
    except OSError as error:
        warn(str(path), HomeError(f"peer scores cannot be read: {error.strerror}"))
        return Scores()
    try:
        saved_s, rows = decode(data, bytes_max=PEER_SCORES_BYTES_MAX)
        if type(saved_s) is not int:
            raise MalformedError("not the time of saving")
        return Scores.from_wire(rows, now_s, max(0.0, wall_ns / NS_PER_S - saved_s))
    except (MalformedError, ValueError, TypeError) as error:
        warn(str(path), HomeError(f"peer scores are damaged and begin anew: {error}"))
        return Scores()


def save_scores(path: Path, scores: Scores, now_s: float, wall_ns: int, warn: Warn) -> None:
    """Write them."""
    data = encode_trusted((wall_ns // NS_PER_S, scores.to_wire(now_s)))
    beside = path.with_suffix(".new")
    try:
        beside.write_bytes(data)
        beside.rename(path)
    except OSError as error:
        warn(str(path), HomeError(f"peer scores cannot be written: {error.strerror}"))


async def keep_scores(
    path: Path, scores: Scores, clock: Clock, warn: Warn, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Save them every minute, and when cancelled."""
    task_status.started()
    try:
        while True:
            await trio.sleep(SAVE_SECONDS)
            save_scores(path, scores, trio.current_time(), clock.now_ns(), warn)
    finally:
        save_scores(path, scores, trio.current_time(), clock.now_ns(), warn)
