"""A rule set that this software does not know: the node stops before its first block, says so, and goes on with software that knows it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from genesis.build import build_changes
from node import opening
from node.cli.output import EXIT_UPGRADE
from node.config import Home
from node.crash import leaf_of
from node.failing import Failures
from node.simulator.cluster import Cluster, SimExecutor
from node.stop_deadline import StopDeadline
from state import upgrades
from state.modules.gov_params import NARROW
from state.params import _PARAM_RANGES as RANGES
from state.params import ConsensusParams
from state.primitives.errors import UpgradeRequiredError
from state.schema import encode_record
from state.schema_gov import UPGRADES_KEY
from tests.node.maintenance.chain import Chain, make_network, qenex

HEIGHT = 4  # of the first block of rule set 2


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose chain comes to rule set 2 at `HEIGHT`, as if governance had decided it."""

    def with_plan(document: Any) -> tuple[tuple[bytes, bytes | None], ...]:
        record = encode_record(UPGRADES_KEY, ((2, HEIGHT, "second", b""),))
        return tuple(sorted([*build_changes(document), (UPGRADES_KEY, record)]))

    monkeypatch.setattr(opening, "build_changes", with_plan)
    return make_network(tmp_path / "net")


async def test_the_node_stops_at_the_height_and_goes_on_with_the_release(planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(planned)
    await chain.grow(HEIGHT - 2)
    with pytest.raises(UpgradeRequiredError, match="rule set 2") as stopped:
        await chain.grow(1)
    assert "install the release" in stopped.value.hint
    assert chain.store.height == HEIGHT - 1  # what was decided is durable
    chain.close()
    for _ in range(2):
        refused = qenex("start", "--home", planned, "--json")
        assert (refused.code, refused.error["name"]) == (EXIT_UPGRADE, "UPGRADE_REQUIRED")
    monkeypatch.setattr(upgrades, "VERSION_MAX", 2)
    chain = Chain(planned)
    assert chain.opened.state.tip.params.app_version == 2
    await chain.grow(3)
    assert chain.executor.state.tip.height == HEIGHT + 2
    chain.close()


def test_the_node_ends_with_the_error_itself(tmp_path: Path) -> None:
    error = UpgradeRequiredError("the next block follows rule set 2")
    with pytest.raises(UpgradeRequiredError):
        Failures(Home(tmp_path), StopDeadline(60)).report(ExceptionGroup("nursery", [ExceptionGroup("driver", [error])]))


async def test_a_stop_for_an_upgrade_is_no_crash(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)
    honest = SimExecutor.commit

    async def commit(self: SimExecutor, *args: Any) -> Any:
        state = await honest(self, *args)
        if state.height == 5:
            raise UpgradeRequiredError("the next block follows rule set 2")
        return state

    monkeypatch.setattr(SimExecutor, "commit", commit)
    cluster = Cluster(tmp_path, params=ConsensusParams(block_interval_ms=100))
    with pytest.raises(BaseExceptionGroup) as stopped:
        async with trio.open_nursery() as nursery:
            await cluster.start(nursery)
            await cluster.until_height(6)
    assert isinstance(leaf_of(stopped.value), UpgradeRequiredError)
    assert max(node.height for node in cluster.nodes) == 5
    assert not [path for node in cluster.nodes for path in node.directory.glob("crash-*")]


def _ends(end: int) -> ConsensusParams:
    """Every parameter at one end of what a proposal may set it to."""
    values: dict[str, Any] = {}
    for name, (low, high) in RANGES.items():
        narrow = NARROW.get(("consensus", name), (low, high))
        values[name] = (max(low, narrow[0]), min(high, narrow[1]))[end]
    usual = ConsensusParams()
    kept = {"vote_key_kind": usual.vote_key_kind, "app_version": usual.app_version, "empty_blocks": True}
    return ConsensusParams(**{**values, **kept})


@pytest.mark.parametrize("end", [0, 1])
async def test_rounds_end_at_both_ends_of_what_a_proposal_may_set(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, end: int
) -> None:
    """Also with a validator away, so that rounds without a proposer must end, too."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)
    cluster = Cluster(tmp_path, params=_ends(end))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(4, timeout_s=3_600)
        await cluster.nodes[3].kill()
        await cluster.until_height(cluster.nodes[0].height + 8, 0, 1, 2, timeout_s=24 * 3_600)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
