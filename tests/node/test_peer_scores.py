"""Peers' scores over a restart: a ban goes on, time counts, and a file that is gone or damaged is a warning at most."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from node.clock import VirtualClock
from node.peer_scores import keep_scores, load_scores, save_scores
from p2p.scores import Scores
from state.primitives.errors import BadFrameError, QenexError

DAY_NS = 24 * 3600 * 10**9


def ignore(who: str, error: QenexError) -> None:
    raise AssertionError(f"{who}: {error.message}")


def banned() -> Scores:
    scores = Scores()
    assert scores.penalise("a" * 40, BadFrameError("nonsense"), 100.0)
    return scores


@pytest.mark.parametrize(("later_s", "left_s"), [(0, 60), (20, 40), (100, 0)])
def test_a_ban_goes_on_over_a_restart(tmp_path: Path, later_s: int, left_s: float) -> None:
    path = tmp_path / "scores"
    save_scores(path, banned(), 100.0, DAY_NS, ignore)
    again = load_scores(path, 5.0, DAY_NS + later_s * 10**9, ignore)
    assert again.banned_for("a" * 40, 5.0) == pytest.approx(left_s, abs=1)


def test_a_clock_that_went_back_does_not_lengthen_a_ban(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    save_scores(path, banned(), 100.0, DAY_NS, ignore)
    assert load_scores(path, 5.0, 0, ignore).banned_for("a" * 40, 5.0) <= 60


def test_no_file_is_no_news(tmp_path: Path) -> None:
    assert load_scores(tmp_path / "none", 0.0, 0, ignore).to_wire(0.0) == ()


def test_every_damage_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    save_scores(path, banned(), 100.0, DAY_NS, ignore)
    good = path.read_bytes()
    warnings: list[str] = []
    for place in range(len(good)):
        for data in (good[:place], good[:place] + bytes((good[place] ^ 0xFF,)) + good[place + 1 :]):
            path.write_bytes(data)
            load_scores(path, 0.0, DAY_NS, lambda who, error: warnings.append(error.name))
    assert len(warnings) >= len(good)
    path.unlink()
    path.mkdir()
    load_scores(path, 0.0, 0, lambda who, error: warnings.append(error.name))
    save_scores(path, banned(), 0.0, 0, lambda who, error: warnings.append(error.name))
    assert set(warnings) == {"HOME"}


async def test_they_are_written_every_minute_and_at_the_end(tmp_path: Path, autojump_clock: object) -> None:
    path, scores = tmp_path / "scores", Scores()
    async with trio.open_nursery() as nursery:
        await nursery.start(keep_scores, path, scores, VirtualClock(DAY_NS), ignore)
        await trio.sleep(61)
        assert path.exists()
        scores.penalise("a" * 40, BadFrameError("nonsense"), trio.current_time())
        nursery.cancel_scope.cancel()
    assert load_scores(path, 0.0, DAY_NS, ignore).banned_for("a" * 40, 0.0) > 0
