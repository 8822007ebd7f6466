"""Inline and worker-process signature checks: the same verdicts, and no process left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from node.workers import InlineChecker, SignatureJob, WorkerPool, default_worker_count, make_checker
from state.primitives.errors import ConsensusFailure
from state.primitives.keys import CONTEXT_TX, KeyKind, PrivateKey


def make_jobs() -> tuple[list[SignatureJob], list[bool]]:
    jobs: list[SignatureJob] = []
    verdicts: list[bool] = []
    for number in range(300):
        kind = KeyKind.HYBRID if number % 50 == 0 else KeyKind.ED25519
        key = PrivateKey.from_seed(kind, number.to_bytes(32, "big"))
        message = b"message %d" % number
        signature = key.sign(message, CONTEXT_TX)
        good = number % 7 != 0
        jobs.append((key.public_key, message if good else message + b"!", signature, CONTEXT_TX))
        verdicts.append(good)
    jobs.append((jobs[1][0], b"short", b"", CONTEXT_TX))
    verdicts.append(False)
    return jobs, verdicts


async def test_inline_verdicts() -> None:
    jobs, expected = make_jobs()
    assert await InlineChecker().verify(jobs) == expected
    assert await InlineChecker().verify([]) == []


async def test_worker_verdicts_and_clean_end() -> None:
    jobs, expected = make_jobs()
    before = _children()  # another test's, if it shares this process
    pool = WorkerPool(2)
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            assert await pool.verify(jobs) == expected
            assert await pool.verify([]) == []
            results: list[list[bool]] = []

            async def ask() -> None:
                results.append(await pool.verify(jobs))

            async with trio.open_nursery() as inner:
                for _ in range(3):
                    inner.start_soon(ask)
            assert results == [expected] * 3
            children = [pid for pid in _children() if pid not in before]
            assert len(children) == 2
            nursery.cancel_scope.cancel()
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]


async def test_dead_worker_is_fatal() -> None:
    jobs, _ = make_jobs()
    before = _children()
    pool = WorkerPool(1)
    with trio.fail_after(120), pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            await pool.verify(jobs)
            for pid in _children():
                if pid not in before:
                    os.kill(pid, 9)
            await pool.verify(jobs)
    assert caught.group_contains(ConsensusFailure)


def test_setting() -> None:
    assert isinstance(make_checker(0), InlineChecker)
    assert isinstance(make_checker(1), WorkerPool)
    assert default_worker_count(1000) == 0


def _children() -> list[int]:
    """Processes that this one started, whichever of its threads did."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text(encoding="ascii").split()]
    return found
