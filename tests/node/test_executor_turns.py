"""A block is executed a few transactions at a time (M8): whoever answers pings, counts votes or serves clients has turns in between."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from node.executor import TURN_TXS, LedgerExecutor
from state.machine import Steps
from state.primitives.errors import InvalidBlockError

STEPS = 1_000


def steps(count: int, result: str) -> Steps[str]:
    for _ in range(count):
        yield
    return result


def executor_at(height: int) -> Any:
    found = object.__new__(LedgerExecutor)
    found.state = SimpleNamespace(height=height)  # type: ignore[assignment]
    return found


async def test_others_have_turns() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        assert await executor_at(6)._in_turns(steps(STEPS, "done"), 7) == "done"
        assert turns >= STEPS // TURN_TXS - 1
        nursery.cancel_scope.cancel()


async def test_a_job_that_is_given_up_ends_at_its_next_turn() -> None:
    left = steps(10**9, "never")
    with trio.move_on_after(0.05) as scope:
        await executor_at(6)._in_turns(left, 7)
    assert scope.cancelled_caught


async def test_a_height_that_was_decided_in_between_is_not_executed_on() -> None:
    executor = executor_at(6)

    async def decide() -> None:
        executor.state = SimpleNamespace(height=7)

    with pytest.RaisesGroup(InvalidBlockError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(decide)
            await executor._in_turns(steps(STEPS, "too late"), 7)
