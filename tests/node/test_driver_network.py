"""Four real nodes in one process on virtual time: agreement, stopped nodes, restarts, lost messages, partitions."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from node.simulator.cluster import Cluster, Witness
from state.params import ConsensusParams

BUSY = ConsensusParams(block_interval_ms=100)


async def test_four_nodes_decide(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(20)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert [str(report[2]) for report in cluster.network.reports] == []
