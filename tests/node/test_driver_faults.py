"""Killed at every step of persisting, signing, sending and deciding: never two signatures, never stuck, never forked."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from node.signer import Signer
from node.simulator.cluster import Cluster, SimNode, Witness
from node.wal import Wal
from state.params import ConsensusParams
from state.primitives.errors import SignerRecordError

BUSY = ConsensusParams(block_interval_ms=50)


@pytest.fixture(autouse=True)
def _disk_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies loses nothing that it has written; only a machine does, and none dies here."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


TORN = "torn write"


class Crash(BaseException):
    """A planted kill: nothing may take it for an error and go on."""


class CrashPlan:
    """Raises `Crash` at the n-th point where a node touches its disk or the network, or the n-th one of that name."""

    def __init__(self, countdown: int, label: str = "", rng: random.Random | None = None) -> None:
        self.countdown = countdown
        self.label = label
        self.rng = rng
        self.where = ""
        self.after_crash: Callable[[SimNode], None] | None = None
        self.damaged: list[bool] = []  # whether the log was found damaged at the start of each life

    def point(self, where: str) -> None:
        if self.label not in ("", where):
            return
        self.countdown -= 1
        if self.countdown == 0:
            self.where = where
            raise Crash(where)

    def wrap(self, owner: Any, name: str, label: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def outer(*args: Any, **kwargs: Any) -> Any:
            self.point(f"before {label}")
            result = inner(*args, **kwargs)
            self.point(f"after {label}")
            return result

        setattr(owner, name, outer)

    def plant(self, node: SimNode, wal: Wal, signer: Signer) -> None:
        self.damaged.append(wal.damaged)
        if self.rng is not None:
            self.plant_torn_write(wal)
        self.wrap(wal, "append", "append")
        self.wrap(wal, "sync", "sync")
        self.wrap(wal, "start_height", "rotation")
        self.wrap(signer, "sign", "sign")
        self.wrap(node.cluster.network, "observe", f"send of {node.name}")

    def plant_torn_write(self, wal: Wal) -> None:
        """The crash at a `sync` leaves a part of the frame."""
        inner, rng = wal.sync, self.rng
        assert rng is not None

        def sync() -> None:
            is_pending = wal.pending_count > 0
            if is_pending and self.countdown == 1 and self.label == TORN:
                before = wal.path.stat().st_size if wal.path.exists() else 0
                inner()
                after = wal.path.read_bytes()
                wal.path.write_bytes(after[: rng.randint(before, len(after) - 1)])
            if is_pending:
                self.point(TORN)
            inner()

        wal.sync = sync  # type: ignore[method-assign]


async def run_with_crashes(tmp_path: Path, plans: list[CrashPlan], seed: int = 0) -> set[str]:
    """Node 0 is killed at the given point of each of its lives; the network must get ten heights further afterwards."""
    cluster = Cluster(tmp_path, params=BUSY, seed=seed)
    cluster.tolerated = (BaseExceptionGroup,)
    Witness(cluster.network)
    places: set[str] = set()
    node = cluster.nodes[0]
    observe = cluster.network.observe
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, 1, 2, 3)
        for plan in plans:
            cluster.network.observe = observe

            def prepare(node: SimNode, wal: Wal, signer: Signer, plan: CrashPlan = plan) -> None:
                original = observe
                plan.plant(node, wal, signer)
                planted = cluster.network.observe

                def only_ours(source: str, channel: int, payload: bytes) -> None:
                    (planted if source == node.name else original)(source, channel, payload)

                cluster.network.observe = only_ours

            node.prepare = prepare
            nursery.start_soon(_run_until_crash, node)
            await cluster.until(lambda plan=plan: bool(plan.where) and not node.running, 60)  # type: ignore[misc]
            places.add(plan.where)
            if plan.after_crash is not None:
                plan.after_crash(node)
            assert isinstance(node.failure, BaseExceptionGroup), node.failure
            assert node.failure.subgroup(Crash) is not None
            assert not [error for _, error in node.warnings if isinstance(error, SignerRecordError)]
        cluster.network.observe = observe
        node.prepare = None
        await cluster.restart(0)
        await cluster.until_height(max(n.height for n in cluster.nodes) + 5, timeout_s=60)
        assert node.signer is not None
        last = node.store.blocks[node.height].block.last_commit
        index = cluster.genesis.tip.validators.index_of(node.signer.address)
        assert last.signatures[index].signature  # it is a validator again
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    for path in node.directory.glob("crash-*"):
        assert (path / "error.txt").stat().st_size > 0
    return places


async def _run_until_crash(node: SimNode) -> None:
    try:
        await node.run()
    except RuntimeError as error:  # it ended before it was up
        if "task_status.started" not in str(error):
            raise


LABELS = ("append", "sync", "rotation", "sign", "send of node0")


@pytest.mark.parametrize("label", LABELS)
async def test_killed_at_every_point(tmp_path: Path, autojump_clock: trio.testing.MockClock, label: str) -> None:
    """Each kind of point, the first to the sixth time that it is reached in a life."""
    points = [f"{when} {label}" for when in ("before", "after")]
    plans = [CrashPlan(count, point) for count in range(1, 7) for point in points]
    assert await run_with_crashes(tmp_path, plans) == set(points)


async def test_killed_a_little_later_each_time(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    await run_with_crashes(tmp_path, [CrashPlan(count) for count in range(1, 50)])


@pytest.mark.parametrize("seed", range(3))
async def test_killed_in_the_middle_of_a_write(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    rng = random.Random(seed)
    plans = [CrashPlan(rng.randint(1, 15), TORN, rng) for _ in range(25)]
    assert await run_with_crashes(tmp_path, plans, seed) == {TORN}


def delete_log(log: Path, rng: random.Random) -> None:
    for path in log.glob("*.log"):
        path.unlink()


def truncate_log(log: Path, rng: random.Random) -> None:
    for path in log.glob("*.log"):
        os.truncate(path, rng.randint(0, path.stat().st_size))


def flip_a_byte(log: Path, rng: random.Random) -> None:
    for path in log.glob("*.log"):
        data = bytearray(path.read_bytes())
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)


@pytest.mark.parametrize("damage", [delete_log, truncate_log, flip_a_byte])
async def test_killed_and_its_log_damaged(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, damage: Callable[[Path, random.Random], None]
) -> None:
    """A node that lost its lock signs nothing more in that height; it is a validator again in a later one."""
    rng = random.Random(5)
    damaged: list[bool] = []

    def after_crash(node: SimNode) -> None:
        damage(node.log, rng)

    plans = [CrashPlan(rng.randint(1, 100)) for _ in range(30)]
    for plan in plans:
        plan.after_crash = after_crash
        plan.damaged = damaged
    await run_with_crashes(tmp_path, plans)
    assert any(damaged)
    assert not all(damaged)
