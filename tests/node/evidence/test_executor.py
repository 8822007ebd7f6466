"""Evidence through the real ledger and the real store: built in, judged alike, punished once, remembered; with and without the history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import Commit, CommitSig, Flag, HybridVerifier, PqCommit
from consensus.evidence import DuplicateVoteEvidence, misbehavior_of
from consensus.messages import ReportEvidence
from consensus.validation import ChainTip
from consensus.vote import Vote, VoteType
from genesis.build import build_changes, build_params, build_validators
from genesis.testnet import NetworkOptions, NetworkPlan, plan_network
from node.clock import SystemClock
from node.evidence.history import StoreHistory
from node.evidence.pool import EvidencePool
from node.executor import LedgerExecutor, load_state, write_genesis
from node.mempool.mempool import Mempool
from node.mempool.pool import Pool
from node.storage.store import Store
from node.workers import InlineChecker
from state.primitives.errors import StateDivergenceError
from state.primitives.hashing import sha256, validator_address
from state.primitives.keys import CONTEXT_VOTE, KeyKind
from state.schema_staking import Pool as Stake
from state.schema_staking import address_owner_key, pool_key
from state.view import RecordCache, View

OTHER = BlockID(b"\x11" * 32, 1, b"\x22" * 32)


@pytest.fixture(scope="module")
def plan() -> NetworkPlan:
    options = NetworkOptions(time_ns=(int(time.time()) - 100) * 10**9, vote_key_kind=KeyKind.MLDSA44)
    return plan_network(options, lambda label: sha256(label.encode()))


class Node:
    """A ledger, a store and a pool; blocks are decided by hand."""

    def __init__(self, plan: NetworkPlan, path: Path, index: int) -> None:
        document = plan.document
        self.plan = plan
        self.path = path
        self.address = address_at(plan, index)
        self.store = Store.open(path) if path.exists() else Store.create(path)
        if not self.store.tip:
            validators, params = build_validators(document), build_params(document).consensus
            tip = ChainTip.at_genesis(document.chain_id, 1, document.time_ns, validators, b"", params)
            write_genesis(self.store, tip, build_changes(document), validators)
        state = load_state(self.store)
        records = RecordCache(self.store, state.height)
        verifier = HybridVerifier()
        executor = LedgerExecutor(self.store, document.hash, records, state, self.address, verifier, SystemClock())
        mempool = Mempool(
            Pool(10, 10**6, 10), records, document.hash, InlineChecker(), SystemClock(),
            lambda tx_hash: False, lambda hashes, source: None,
        )  # fmt: skip
        executor.attach(mempool)
        self.warnings: list[Any] = []
        self.pool = EvidencePool(
            path.with_name(f"{path.name}-evidence"), document.chain_id, self.address, executor.history,
            lambda: executor.state.tip, verifier, lambda who, error: self.warnings.append(error),
        )  # fmt: skip
        executor.attach_evidence(self.pool)
        self.executor = executor

    @property
    def height(self) -> int:
        return self.executor.state.height

    async def build(self) -> Block:
        return await self.executor.build_value(self.height + 1, 0, self.executor.state.last_commit)

    async def decide(self, block: Block) -> None:
        await self.executor.commit(block, *commit_of(self.plan, self.executor.state.tip, block))

    def stake(self, index: int) -> Stake:
        view = View(RecordCache(self.store, self.store.height))
        found: Stake = view.get(pool_key(view.get(address_owner_key(address_at(self.plan, index)))[0]))
        return found


def address_at(plan: NetworkPlan, index: int) -> bytes:
    return validator_address(plan.nodes[index].validator_keys[0].public_key.data)


def signed(plan: NetworkPlan, index: int, vote: Vote) -> Vote:
    key, pq_key = plan.nodes[index].validator_keys
    data = vote.sign_bytes(plan.document.chain_id)
    return vote.with_signatures(key.sign(data, CONTEXT_VOTE), pq_key.sign(data, CONTEXT_VOTE))


def commit_of(plan: NetworkPlan, tip: ChainTip, block: Block) -> tuple[Commit, PqCommit]:
    """Everybody's precommit."""
    height, name, time_ns = block.header.height, block.block_id(), block.header.time_ns
    places = {address_at(plan, index): index for index in range(4)}
    votes = [
        signed(plan, places[v.address], Vote(VoteType.PRECOMMIT, height, 0, name, time_ns, v.address, place))
        for place, v in enumerate(tip.validators.validators)
    ]
    parts = tuple(CommitSig(Flag.COMMIT, v.validator_address, time_ns, v.signature) for v in votes)
    return Commit(height, 0, name, parts), PqCommit(height, 0, tuple(v.pq_signature for v in votes))


def report(node: Node, index: int, height: int, round_: int = 0) -> ReportEvidence:
    """Two prevotes of a validator."""
    address = address_at(node.plan, index)
    place = node.executor.state.tip.validators.index_of(address)
    votes = [
        signed(node.plan, index, Vote(VoteType.PREVOTE, height, round_, value, 1, address, place))
        for value in (OTHER, None)
    ]
    return ReportEvidence(votes[0], votes[1], address)


@pytest.fixture
def nodes(plan: NetworkPlan, tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    found = Node(plan, tmp_path / "a", 0), Node(plan, tmp_path / "b", 1)
    yield found
    for node in found:
        node.store.close()


async def grow(count: int, *nodes: Node) -> None:
    for _ in range(count):
        block = await nodes[0].build()
        for node in nodes:
            await node.decide(block)


async def test_builder_and_judge_give_the_ledger_the_same_and_it_is_punished_once(nodes: tuple[Node, Node]) -> None:
    builder, judge = nodes
    await grow(3, *nodes)
    bonded = builder.stake(3).tokens
    builder.executor.add_evidence(report(builder, 3, 3))
    block = await builder.build()
    (item,) = block.evidence
    assert isinstance(item, DuplicateVoteEvidence)
    assert await judge.executor.validate(block)
    for node in nodes:
        await node.decide(block)
    assert builder.store.root == judge.store.root
    for node in nodes:
        assert node.stake(3).is_tombstoned
        assert node.stake(3).tokens < bonded
        assert len(node.pool) == 0
        assert node.executor.history.is_punished(item.offence)
        assert node.store.offence_height(item.offence) == 4
    (found,) = misbehavior_of(block.evidence)
    assert (found.address, found.height) == (address_at(builder.plan, 3), 3)
    assert found.time_ns == builder.executor.history.header(3).time_ns  # type: ignore[union-attr]
    builder.executor.add_evidence(report(builder, 3, 3))
    assert (await builder.build()).evidence == ()
    await grow(3, *nodes)
    assert builder.executor.state.tip.validators.by_address(found.address) is None


async def test_a_block_that_was_not_judged_before_its_decision_is_applied(nodes: tuple[Node, Node]) -> None:
    """Catching up: the decision is the first that the node hears of the block."""
    builder, follower = nodes
    await grow(2, *nodes)
    builder.executor.add_evidence(report(builder, 2, 2))
    await grow(1, *nodes)
    assert follower.stake(2).is_tombstoned
    assert follower.store.root == builder.store.root


async def test_a_block_that_repeats_an_offence_is_refused(nodes: tuple[Node, Node]) -> None:
    builder, judge = nodes
    await grow(2, *nodes)
    builder.executor.add_evidence(report(builder, 3, 2))
    block = await builder.build()
    for node in nodes:
        await node.decide(block)
    builder.pool._keep(block.evidence[0])
    builder.executor.history.is_punished = lambda offence: False  # type: ignore[method-assign]  # a proposer that does not care
    again = await builder.build()
    assert len(again.evidence) == 1
    assert not await judge.executor.validate(again)
    with pytest.raises(StateDivergenceError, match="punished before"):
        await judge.decide(again)


async def test_after_a_restart_everything_is_known(plan: NetworkPlan, tmp_path: Path) -> None:
    node = Node(plan, tmp_path / "a", 0)
    await grow(3, node)
    node.executor.add_evidence(report(node, 3, 2))
    await grow(1, node)
    node.executor.add_evidence(report(node, 2, 5))  # the height in progress
    node.executor.add_evidence(report(node, 1, 4))
    node.store.close()
    again = Node(plan, tmp_path / "a", 0)
    assert again.warnings == []
    assert again.pool.statistics()["reports"] == 1
    (waiting,) = again.pool.pending()
    assert waiting.height == 4
    again.executor.add_evidence(report(again, 3, 2))
    assert again.pool.pending() == [waiting]
    await grow(2, again)
    assert again.stake(1).is_tombstoned and again.stake(2).is_tombstoned
    again.store.close()


async def test_a_node_without_the_old_heights_does_not_vote_but_follows(nodes: tuple[Node, Node]) -> None:
    builder, judge = nodes
    await grow(5, *nodes)
    judge.store.prune(4)
    builder.executor.add_evidence(report(builder, 3, 2))
    block = await builder.build()
    judge.executor.history._blocks.clear()
    assert len(block.evidence) == 1
    assert not await judge.executor.validate(block)
    for node in nodes:
        await node.decide(block)
    assert judge.stake(3).is_tombstoned


async def test_the_history_is_the_stored_chain(nodes: tuple[Node, Node]) -> None:
    node = nodes[0]
    history = StoreHistory(node.store)
    assert (history.height, history.base, history.header(0), history.commit(0)) == (0, 1, None, None)
    await grow(3, node)
    assert (history.height, history.base) == (3, 1)
    for height in (1, 2, 3):
        found = history.header(height)
        assert found is not None
        assert found.height == height
        assert history.validators(height) == node.executor.state.tip.validators
    first = history.commit(1)
    assert first is not None
    assert first.height == 1
    assert [history.commit(height) for height in (3, 4)] == [None, None]  # only the next block fixes it
    assert [history.header(height) for height in (-1, 0, 4)] == [None, None, None]
    assert [history.validators(height) for height in (-1, 0, 4)] == [None, None, None]
    assert not history.is_punished(bytes(32))
