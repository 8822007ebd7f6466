"""A node that computes something else than the others stops, says so, and leaves what is needed to find out why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from consensus import messages as m
from consensus.commit import HybridVerifier
from node import executor as executor_module
from node.clock import SystemClock
from node.crash import write_bundle
from node.driver import Driver
from node.maintenance.divergence import Divergence
from node.sync.messages import CertifiedBlock
from state.machine import BlockResult, Steps, apply_block
from state.primitives.errors import QenexError, StateDivergenceError
from state.receipts import Receipt
from state.schema import HOLDING, decode_record, encode_record
from tests.node.maintenance.chain import Chain, make_home

TXS = 3


@pytest.fixture
async def pair(tmp_path: Path) -> tuple[Chain, Chain]:
    """Two nodes at height 3."""
    home = await make_home(tmp_path / "one" / "net", 3)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    return Chain(home), Chain(tmp_path / "two" / "net" / "node0")


def plant(patch: pytest.MonkeyPatch, alter: Callable[[BlockResult], BlockResult]) -> None:
    """From now on the first execution of a block gives something else."""

    def applied(*arguments: Any, **options: Any) -> Steps[BlockResult]:
        yield
        return alter(apply_block(*arguments, **options))

    patch.setattr(executor_module, "apply_block_in_steps", applied)


def more_money(result: BlockResult) -> BlockResult:
    changes = dict(result.changes)
    key = next(key for key in changes if key[1] == HOLDING)
    (amount,) = decode_record(key, changes[key] or b"")
    changes[key] = encode_record(key, (amount + 7,))
    return replace(result, changes=tuple(changes.items()))


def other_results(result: BlockResult) -> BlockResult:
    first = result.receipts[0]
    return replace(result, receipts=(Receipt(201, 0, first.fee, first.data, (), log="no"), *result.receipts[1:]))


async def diverge(
    pair: tuple[Chain, Chain], patch: pytest.MonkeyPatch, alter: Callable[[BlockResult], BlockResult]
) -> CertifiedBlock:
    """Node two executes height 4 wrongly; the block of height 5 as the network decided it."""
    one, two = pair
    block = await one.build(TXS)
    decided = CertifiedBlock(block, *one.sign(block))
    await one.executor.commit(decided.block, decided.commit, decided.pq_commit)
    one.wal.start_height(5)
    with patch.context() as planted:
        plant(planted, alter)
        await two.executor.commit(decided.block, decided.commit, decided.pq_commit)
    two.wal.start_height(5)
    following = await one.build(1)
    return CertifiedBlock(following, *one.sign(following))


async def test_another_app_hash(pair: tuple[Chain, Chain], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, two = pair
    decided = await diverge(pair, monkeypatch, more_money)
    root = two.store.root
    assert not await two.executor.validate(decided.block)
    with pytest.raises(StateDivergenceError, match="wrong app hash") as caught:
        await two.executor.commit(decided.block, decided.commit, decided.pq_commit)
    assert (two.store.height, two.store.root) == (4, root)
    bundle = write_bundle(tmp_path / "bundle", 5, ExceptionGroup("nursery", [caught.value]), {}, ())
    assert bundle is not None
    head = json.loads((bundle / "divergence.json").read_text())
    assert (head["height"], head["decided_height"]) == (4, 5)
    assert [row["field"] for row in head["fields"] if row["differs"]] == ["app hash"]
    row = next(row for row in head["fields"] if row["differs"])
    assert (row["decided"], row["here"]) == (decided.block.header.app_hash.hex(), root.hex())
    assert len(head["shard_roots"]) == 256
    second = json.loads((bundle / "second_execution.json").read_text())
    assert (second["same_changes"], second["same_results"]) == (False, True)
    assert "not deterministic" in second["verdict"]
    (wrong,) = second["differing"]
    assert wrong["kind"] == "holding"
    assert int(wrong["first"]["balance"]) == int(wrong["second"]["balance"]) + 7
    writes = [json.loads(line) for line in (bundle / "write_sets.jsonl").read_text().splitlines()]
    assert [one["index"] for one in writes] == [*range(TXS), -1]
    assert {item["kind"] for item in writes[0]["writes"]} == {"sequences", "holding"}
    assert len((bundle / "receipts.jsonl").read_text().splitlines()) == TXS
    changed = [json.loads(line) for line in (bundle / "changes.jsonl").read_text().splitlines()]
    assert wrong["key"] in {item["key"] for item in changed}
    assert (bundle / "decided_block.bin").stat().st_size > 0
    assert (bundle / "executed_block.bin").stat().st_size > 0


async def test_other_results(pair: tuple[Chain, Chain], monkeypatch: pytest.MonkeyPatch) -> None:
    _, two = pair
    decided = await diverge(pair, monkeypatch, other_results)
    with pytest.raises(Divergence, match="wrong last results hash") as caught:
        await two.executor.commit(decided.block, decided.commit, decided.pq_commit)
    files = dict(caught.value.files())
    second = json.loads(files["second_execution.json"])
    assert (second["same_changes"], second["same_results"]) == (True, False)


async def test_the_same_again_means_another_version(pair: tuple[Chain, Chain], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = pair
    block = await one.build(TXS)
    await one.decide(block)
    following = await one.build(1)
    forged = replace(following, header=replace(following.header, app_hash=bytes(32)))
    with pytest.raises(Divergence) as caught:
        await one.executor.commit(forged, *one.sign(following))
    second = json.loads(dict(caught.value.files())["second_execution.json"])
    assert (second["same_changes"], second["same_results"], second["differing"]) == (True, True, [])


class Outbox:
    """Nobody is out there."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, QenexError]] = []

    def report(self, peer: str, error: QenexError) -> None:
        self.reports.append((peer, error))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


@pytest.mark.parametrize("through_peer", [True, False], ids=["gossip", "catching up"])
async def test_the_node_stops(
    pair: tuple[Chain, Chain], monkeypatch: pytest.MonkeyPatch, through_peer: bool, tmp_path: Path
) -> None:
    """The fault is ours: neither the peer that brought the block is blamed, nor does the node go on without consensus."""
    _, two = pair
    decided = await diverge(pair, monkeypatch, more_money)
    outbox: Any = Outbox()
    warnings: list[str] = []
    driver = Driver(
        two.executor.state, two.wal, None, two.executor, outbox, SystemClock(), HybridVerifier(), tmp_path / "data",
        lambda who, error: warnings.append(error.name),
    )  # fmt: skip
    with pytest.raises(BaseExceptionGroup) as caught, trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            await nursery.start(driver.run)
            if through_peer:
                await driver.submit(m.CertificateReceived(decided.block, decided.commit, decided.pq_commit), "peer")
                await trio.sleep_forever()
            await driver.decide_certified(decided)
    assert caught.value.subgroup(StateDivergenceError) is not None
    assert outbox.reports == []
    assert (tmp_path / "data" / "crash-5" / "divergence.json").exists()
    assert "STATE_DIVERGENCE" in warnings
