"""Every built-in alert rule fires on a running network because its condition was brought about, and clears because it is over.

Only that of a node left alone is part of every test run; the others are drills (`scripts/test --drill`). Real homes, stores, links and
RPC, in one process. The rules are the built-in ones with shorter waits, and smaller thresholds where the built-in one would take minutes; a
network that is well fires none of them.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from consensus.vote import Vote
from genesis import testnet
from genesis.testnet import NetworkOptions, NetworkPlan, plan_network
from node.app import run_opened
from node.audit import writer
from node.cli.main import main
from node.config import Home, Overrides
from node.config_sections import AlertsConfig, Config, MempoolConfig, MetricsConfig, P2pConfig, RpcConfig, WorkersConfig
from node.consensus_gossip import encode_messages
from node.engine import Engine
from node.homes import create_home, install_genesis
from node.keystore import KeySet, Role, write_key_file
from node.network import CONSENSUS
from node.opening import open_home
from node.rpc.client import Client
from node.telemetry import observer
from node.telemetry.audit_note import AuditNote, write_audit_note
from node.telemetry.metrics import NodeMetrics
from node.telemetry.rules import DEFAULT_RULES
from state.codes import Code
from state.modules.table import BY_NAME
from state.params import ConsensusParams
from state.primitives.errors import DoubleSignError
from state.primitives.hashing import sha256
from state.primitives.ids import parse_address
from state.primitives.keys import CONTEXT_VOTE, KeyKind
from state.primitives.limits import LANE_UNORDERED
from state.transaction import build, call, sign
from tests.node.ports import free_base_port

WAIT_S = 500.0
PARAMS = ConsensusParams(
    timeout_propose_ms=1_000, timeout_prevote_ms=300, timeout_precommit_ms=300, timeout_delta_ms=300, block_interval_ms=200
)
SMALLER: dict[str, dict[str, float]] = {
    "ChainStopped": {"threshold": 3, "clear": 1},
    "HealthLow": {"threshold": 90, "clear": 92},
    "NodeBehind": {"threshold": 5, "clear": 1, "for_s": 0},  # a hundred blocks are caught up with in a second
    "VotesMissed": {"threshold": 0.7, "clear": 0.75},  # four nodes in one process on a busy machine miss a vote now and then
    "DiskFullSoon": {"threshold": 100, "clear": 1_000},
}
RULES = tuple(msgspec.structs.replace(rule, **{"for_s": min(rule.for_s, 1), **SMALLER.get(rule.name, {})}) for rule in DEFAULT_RULES)


class Net:
    """A network in this process: `start` and `stop` its nodes, ask one what fires."""

    def __init__(self, root: Path, plan: NetworkPlan, nursery: trio.Nursery) -> None:
        self.root, self.plan = root, plan
        self.seen: dict[tuple[str, str], None] = {}
        self._nursery = nursery
        self._scopes: dict[int, trio.CancelScope] = {}
        self._ended: dict[int, trio.Event] = {}

    async def start(self, *indexes: int) -> None:
        for index in indexes:
            await self._nursery.start(self._run, index)

    async def _run(self, index: int, *, task_status: trio.TaskStatus[None]) -> None:
        scope, ended = trio.CancelScope(), trio.Event()
        self._scopes[index], self._ended[index] = scope, ended
        with ExitStack() as stack, scope:
            opened = open_home(self.root / f"node{index}", Overrides(), stack)
            try:
                await run_opened(opened, task_status=task_status)
            except* DoubleSignError:
                pass
        ended.set()

    async def stop(self, *indexes: int) -> None:
        for index in indexes:
            self._scopes[index].cancel()
            await self._ended[index].wait()

    async def ask(self, index: int, method: str, **params: str) -> Any:
        async with Client(f"http://{self.plan.nodes[index].rpc}") as client:
            return await client.call(method, **params)

    async def firing(self, index: int) -> list[str]:
        return [row["alert"] for row in (await self.ask(index, "node_alerts"))["firing"]]

    async def fires(self, index: int, *names: str) -> None:
        await self._history(index, "firing", names)

    async def clears(self, index: int, *names: str) -> None:
        await self._history(index, "resolved", names)
        while set(names) & set(await self.firing(index)):
            await trio.sleep(0.1)

    async def _history(self, index: int, state: str, names: tuple[str, ...]) -> None:
        """Until a node's history has them all."""
        while True:
            found = {row["alert"] for row in (await self.ask(index, "node_alerts"))["history"] if row["state"] == state}
            if set(names) <= found:
                self.seen |= dict.fromkeys((name, state) for name in names)
                return
            await trio.sleep(0.1)

    async def until(self, condition: Callable[[Any], bool], index: int, method: str, **params: str) -> None:
        while not condition(await self.ask(index, method, **params)):
            await trio.sleep(0.1)

    async def grow(self, blocks: int) -> None:
        """Until node 0 has so many more."""
        height = int((await self.ask(0, "status"))["sync_info"]["latest_block_height"])
        await self.until(lambda found: int(found["sync_info"]["latest_block_height"]) >= height + blocks, 0, "status")

    async def command(self, *arguments: str) -> None:
        code = await trio.to_thread.run_sync(
            main, [*arguments, "--home", str(self.root), "--node", f"http://{self.plan.nodes[0].rpc}", "--wait", "--json"]
        )
        assert code == 0


def make_net(root: Path, validators: int, mempool: MempoolConfig) -> NetworkPlan:
    options = NetworkOptions(
        validators=validators, base_port=free_base_port(), block_interval_ms=200, time_ns=int(time.time()) * 10**9,
        vote_key_kind=KeyKind.MLDSA44, params=PARAMS,
    )  # fmt: skip
    plan = plan_network(options, lambda label: sha256(b"rules" + label.encode()))
    for user in (*plan.users, *plan.owners):
        write_key_file(root / "keys" / f"{user.name}.json", KeySet(Role.USER, user.name, (user.key,), user.address), None)
    for node in plan.nodes:
        config = Config(
            moniker=node.moniker, rpc=RpcConfig(listen=node.rpc, client_units_per_s=0), p2p=P2pConfig(listen=node.p2p, peers=node.peers),
            workers=WorkersConfig(signatures=0), metrics=MetricsConfig(listen=""), mempool=mempool,
            # two are watched; looking is not free for four nodes in one process
            alerts=AlertsConfig(interval_ms={0: 400, 3: 50}.get(node.index, 0), rules="rules.json"),
        )  # fmt: skip
        home = root / node.moniker
        create_home(
            home, moniker=node.moniker, vote_kind=KeyKind.MLDSA44, passphrase=None, config=config, node_key=node.node_key,
            validator_keys=node.validator_keys,
        )  # fmt: skip
        install_genesis(home, plan.document.to_json(), lambda path: b"")
        (home / "rules.json").write_bytes(msgspec.json.encode(RULES))
    return plan


@pytest.fixture
async def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Net]:
    for module, name, value in (
        (observer, "WALK_S", 0.5), (observer, "RECENT_BLOCKS", 20), (observer, "SIGNED_BLOCKS", 20), (testnet, "DOWNTIME_BLOCKS", 60),
        (testnet, "JAIL_S", 2), (testnet, "VOTING_EXPEDITED_S", 20),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            found = Net(tmp_path, make_net(tmp_path, 4, MempoolConfig(txs_max=5)), nursery)
            await found.start(0, 1, 2, 3)
            yield found
            nursery.cancel_scope.cancel()


@contextmanager
def planted_bug() -> Iterator[None]:
    """A transfer that gives the recipient a unit of its own."""
    operation = BY_NAME["asset.transfer"]
    honest = operation.handler

    def handler(context: Any, account: bytes, args: tuple[Any, ...]) -> None:
        honest(context, account, args)
        context.give(args[1], b"QNX", 1)

    object.__setattr__(operation, "handler", handler)
    try:
        yield
    finally:
        object.__setattr__(operation, "handler", honest)


def contradict_once(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next vote of validator 3 for a block is followed by one for nil."""
    key, pq_key = net.plan.nodes[3].validator_keys
    honest = Engine.broadcast
    done: list[Vote] = []

    def broadcast(self: Engine, message: Any) -> None:
        honest(self, message)
        if isinstance(message, Vote) and message.block_id is not None and self._is_of(key) and not done:
            other = replace(message, block_id=None)
            sign_bytes = other.sign_bytes(net.plan.document.chain_id)
            signed = other.with_signatures(key.sign(sign_bytes, b""), pq_key.sign(sign_bytes, CONTEXT_VOTE))
            done.append(signed)
            for peer in net.plan.nodes[:3]:
                self._network.send(peer.node_id, CONSENSUS, encode_messages([signed])[0])

    def is_of(self: Engine, voter: Any) -> bool:
        signer = self.driver._signer
        return signer is not None and signer.address == sha256(voter.public_key.data)[:20]

    monkeypatch.setattr(Engine, "_is_of", is_of, raising=False)
    monkeypatch.setattr(Engine, "broadcast", broadcast)


# test -> the rules that it shows to fire and to clear
SHOWN = {
    "absence": ("PowerMissing", "NodeBehind", "Jailed"),
    "missed": ("VotesMissed",),
    "alone": ("ChainStopped", "FewPeers", "NoPeers", "HealthLow", "MempoolFull"),
    "wrong": ("AuditOld", "InvariantBroken", "ModuleStopped", "OffenceSeen"),
    "disk": ("DiskLow", "DiskFullSoon"),
    "audit": ("AuditLogFailing",),
}


def test_every_rule_is_shown() -> None:
    assert sorted(name for names in SHOWN.values() for name in names) == sorted(rule.name for rule in DEFAULT_RULES)


def has_shown(net: Net, what: str) -> bool:
    return net.seen.keys() == {(name, state) for name in SHOWN[what] for state in ("firing", "resolved")}


async def all_well(net: Net) -> None:
    """No alert, and all points; the first blocks may have come before the last node had started."""
    for index in (0, 3):
        await net.until(lambda found: found["score"] > 99 and not found["firing"], index, "node_health")


@pytest.mark.drill
async def test_a_validator_that_is_away(net: Net) -> None:
    await all_well(net)
    await net.stop(3)  # a quarter of the power
    await net.fires(0, "PowerMissing")
    await net.until(lambda found: found["total"] == "3", 0, "validators")  # jailed: it is not missed any more
    await net.clears(0, "PowerMissing")
    await net.grow(60)
    await net.start(3)
    await net.fires(3, "NodeBehind", "Jailed")
    await net.clears(3, "NodeBehind")
    rows = (await net.ask(0, "stake_validators"))["validators"]
    while time.time() <= max(int(row["jailed_until"]) for row in rows) + 1:
        await trio.sleep(0.1)
    await net.command("tx", "stake", "unjail", "--from", "owner3", "--validator", "node3")
    await net.clears(3, "Jailed")
    assert has_shown(net, "absence")


@pytest.mark.drill
async def test_a_validator_that_was_away_for_a_moment(net: Net) -> None:
    await all_well(net)
    await net.stop(3)
    await net.grow(5)
    await net.start(3)
    await net.fires(3, "VotesMissed")
    await net.clears(3, "VotesMissed")
    assert has_shown(net, "missed")


async def test_a_node_that_is_left_alone(net: Net) -> None:
    await all_well(net)
    await net.stop(1, 2, 3)
    await fill_mempool(net)
    await net.fires(0, *SHOWN["alone"])
    await net.start(1, 2, 3)
    await net.clears(0, *SHOWN["alone"])
    assert has_shown(net, "alone")
    read = (await net.ask(0, "node_metrics"))["metrics"]
    names = {family.name for family in NodeMetrics("c").registry.collect()}
    without = {name for name in names if not any(found.startswith(name) for found in read)}
    assert without <= {"qenex_pool_k_log2", "qenex_alert_deliveries", "qenex_p2p_refusals"}  # no pool here, nobody to send to or to refuse
    assert read['qenex_supply{asset="QNX"}'] > 0
    assert read["cometbft_consensus_height"] > 0 and read["cometbft_consensus_block_interval_seconds_count"] > 0
    assert read["cometbft_mempool_failed_txs_total"] > 0 and read["qenex_invariant_checks_total"] > 0


@pytest.mark.drill
async def test_things_that_are_wrong(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    await all_well(net)
    home = Home(net.root / "node0")
    for age_s, wait in ((40 * 86_400, net.fires), (0, net.clears)):
        write_audit_note(home, AuditNote(time_s=int(time.time()) - age_s, height="1", app_hash="", clean=True))
        await wait(0, "AuditOld")
    with planted_bug():
        async with Client(f"http://{net.plan.nodes[0].rpc}") as client:
            alice, bob = net.plan.users[0], net.plan.users[1]
            addresses = parse_address(alice.address), parse_address(bob.address)
            outcome = await client.transfer(alice.key, *addresses, 5, "QNX", wait_s=60)
        assert outcome.code == Code.INVARIANT_VIOLATION
        await net.fires(0, "InvariantBroken", "ModuleStopped")
    await govern(net, {"op": "gov.reset", "module": "asset", "function": ""})
    await net.clears(0, "ModuleStopped", "InvariantBroken")
    contradict_once(net, monkeypatch)
    await net.fires(0, "OffenceSeen")
    await net.clears(0, "OffenceSeen")
    assert has_shown(net, "wrong")


async def govern(net: Net, op: dict[str, str]) -> None:
    """A proposal carried through."""
    arguments = ("--op", json.dumps(op), "--title", "repair", "--expedited")
    await net.command("tx", "gov", "propose", *arguments, "--from", "alice")
    (proposal,) = (await net.ask(0, "gov_proposals"))["proposals"]
    number = str(proposal["proposal"])
    async with trio.open_nursery() as nursery:
        for owner in ("owner0", "owner1", "owner2"):
            nursery.start_soon(net.command, "tx", "gov", "vote", number, "--option", "yes", "--from", owner)
    await net.until(lambda found: found["proposal"]["status"] == "passed", 0, "gov_proposal", proposal=number)
    ready_s = int((await net.ask(0, "gov_proposal", proposal=number))["proposal"]["ready"])
    while time.time() < ready_s + 1:
        await trio.sleep(0.1)
    await net.command("tx", "gov", "execute", number, "--from", "alice")


async def fill_mempool(net: Net) -> None:
    alice, bob = net.plan.users[0].key, parse_address(net.plan.users[1].address)
    address = parse_address(net.plan.users[0].address)
    while True:
        number = time.monotonic_ns()
        draft = build(
            chain_id=net.plan.document.hash, sender=address, lane=LANE_UNORDERED, seq=0, max_fee=0, memo=str(number),
            valid_until=int(time.time()) + 300, ops=[call("asset.transfer", asset="QNX", to=bob, amount=1, tag="")],
        )  # fmt: skip
        async with Client(f"http://{net.plan.nodes[0].rpc}") as client:
            answer = await client.send(sign(draft, [(address, 0, alice)]))
        if answer.code == Code.QUOTA_EXCEEDED:
            return


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
@pytest.mark.drill
async def test_the_rules_of_the_disk_fire_and_clear(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "WALK_S", 0.05)
    monkeypatch.setattr(observer, "SAMPLE_S", 0.1)
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            net = Net(small_disk, make_net(small_disk, 1, MempoolConfig()), nursery)
            await net.start(0)
            await net.grow(3)
            filler = small_disk / "node0" / "data" / "filler"
            with filler.open("wb") as file:
                while "DiskFullSoon" not in await net.firing(0):  # by growing
                    file.write(bytes(1024 * 1024))
                    file.flush()
                    await trio.sleep(0.1)
                await net.fires(0, "DiskFullSoon")
                while "DiskLow" not in await net.firing(0):  # by being large
                    file.write(bytes(1024 * 1024))
                    file.flush()
                    await trio.sleep(0.1)
            await net.fires(0, "DiskLow")
            filler.unlink()
            await net.clears(0, "DiskLow", "DiskFullSoon")
            nursery.cancel_scope.cancel()
    assert has_shown(net, "disk")


@pytest.mark.drill
async def test_an_audit_log_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PROBE_S", 0.2)
    monkeypatch.setattr(writer, "RETRY_S", 0.2)
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            net = Net(tmp_path, make_net(tmp_path, 1, MempoolConfig()), nursery)
            await net.start(0)
            await net.grow(3)
            log = tmp_path / "node0" / "data" / "audit_log"
            kept = log.rename(log.with_name("kept"))
            log.mkdir()
            await net.fires(0, "AuditLogFailing")
            await net.grow(3)  # the chain goes on
            log.rmdir()
            kept.rename(log)
            await net.clears(0, "AuditLogFailing")
            nursery.cancel_scope.cancel()
    assert has_shown(net, "audit")
