"""Real networks for the tests of signers: four nodes in this process, `qenex` commands, and a signer in a process of its own."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from genesis.testnet import NetworkOptions
from node.cli.main import run
from node.config import load_config, render_config
from node.config_sections import MetricsConfig, RemoteSignerConfig, WorkersConfig
from node.keystore import Role, read_key_file
from node.rpc.client import Client
from node.testnet.files import create_network, read_manifest
from state.params import ConsensusParams
from state.primitives.ids import parse_address
from state.primitives.keys import KeyKind
from tests.node.ports import free_base_port
from tests.node.rpc.live import Live, no_passphrase, run_node

QENEX = [sys.executable, "-P", "-m", "node.cli.main"]
WAIT_S = 400.0
INTERVAL_MS = 300
LAST = 3
POLL_S = 0.1  # each question costs the four nodes of this process some of their time


class Network:
    """Four homes; the last validator is the one whose keys are moved and changed."""

    def __init__(self, root: Path, interval_ms: int = INTERVAL_MS) -> None:
        base = free_base_port()
        self.root = root
        self.signer_home = root / "signer"
        self.signer_place = f"127.0.0.1:{base + 50}"
        params = ConsensusParams(block_interval_ms=interval_ms)
        options = NetworkOptions(
            validators=4,
            base_port=base,
            time_ns=int(time.time()) * 10**9,
            vote_key_kind=KeyKind.MLDSA44,
            block_interval_ms=interval_ms,
            params=params,
        )
        create_network(root, options)
        self.manifest = read_manifest(root)
        for number in range(4):
            self.change(number, workers=WorkersConfig(signatures=0), metrics=MetricsConfig(listen=""))
        self._running: dict[int, tuple[trio.CancelScope, trio.Event]] = {}
        self.nursery: trio.Nursery | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def home(self, number: int = LAST) -> Path:
        return self.root / f"node{number}"

    def url(self, number: int = 0) -> str:
        return f"http://{self.manifest.nodes[number].rpc}"

    @property
    def live(self) -> Live:
        keys = [read_key_file(self.root / "keys" / f"{name}.json", no_passphrase, role=Role.USER) for name in ("alice", "bob")]
        return Live(self.root, self.url(), keys[0].key, *(parse_address(key.account) for key in keys))

    def change(self, number: int, **sections: Any) -> None:
        path = self.home(number) / "config.toml"
        config = msgspec.structs.replace(load_config(path, environment={}), **sections)
        path.write_text(render_config(config))

    def move_keys(self) -> dict[str, Any]:
        """The last validator's keys into a signer's home; its node waits for the signer."""
        node = f"{self.manifest.nodes[LAST].node_id}@{self.signer_place}"
        made = command(
            "signer", "init", "--home", self.signer_home, "--node", node, "--from-home", self.home(), "--no-encrypt"
        )
        self.change(LAST, signer=RemoteSignerConfig(listen=self.signer_place, id=made["id"], validator=made["validator"]))
        return made

    def start_signer(self) -> None:
        log = (self.root / "signer.log").open("ab")
        self.process = subprocess.Popen([*QENEX, "signer", "start", "--home", str(self.signer_home)], stdout=log, stderr=log)
        log.close()

    def kill_signer(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def start(self, number: int) -> None:
        scope, ended = self._running[number] = trio.CancelScope(), trio.Event()
        assert self.nursery is not None

        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            with scope:
                await run_node(self.home(number), task_status=task_status)
            ended.set()

        await self.nursery.start(serve)

    async def stop(self, number: int) -> None:
        scope, ended = self._running[number]
        scope.cancel()
        await ended.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Client]:
        with trio.fail_after(WAIT_S):
            try:
                async with trio.open_nursery() as self.nursery:
                    for number in range(4):
                        await self.start(number)
                    async with Client(self.url()) as client:
                        yield client
                    self.nursery.cancel_scope.cancel()
            finally:
                if self.process is not None and self.process.poll() is None:
                    self.kill_signer()

    async def load(self) -> None:
        """A transfer whenever the one before is in a block, until cancelled."""
        live = self.live
        async with Client(self.url()) as client:
            while True:
                await client.send(await live.transfer(client, 1))
                height = await client.height()
                while await client.height() == height:
                    await trio.sleep(POLL_S)


def command(*words: object, code: int = 0) -> dict[str, Any]:
    """A `qenex` command in this process, which a new one would take seconds for, and its answer."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        found = run([*map(str, words), "--json"])
    assert found == code, errors.getvalue()
    answer: dict[str, Any] = json.loads(errors.getvalue().splitlines()[-1] if code == 2 else out.getvalue())
    return answer


async def run_command(*words: object, code: int = 0) -> dict[str, Any]:
    """The same while nodes run in this process."""
    return await trio.to_thread.run_sync(partial(command, *words, code=code))


async def voters(client: Client, height: int) -> set[str]:
    """The addresses that are in the commit of a height, as the next block holds it."""
    block = (await client.call("block", height=str(height + 1)))["block"]
    return {part["validator_address"] for part in block["last_commit"]["signatures"] if part["block_id_flag"] == 2}


async def wait_for_vote(client: Client, address: str, *, after: int = 0) -> int:
    """The first height above `after` whose commit has the address."""
    height = after
    while True:
        height += 1
        while await client.height() < height + 1:
            await trio.sleep(POLL_S)
        if address in await voters(client, height):
            return height


async def wait_for_calm(client: Client, heights: int, seconds_max: float) -> None:
    """Until every validator is in the commits of so many heights in a row, or the time is over: other work may keep the machine busy."""
    with trio.move_on_after(seconds_max):
        row, height = 0, await client.height()
        while row < heights:
            height += 1
            while await client.height() < height + 1:
                await trio.sleep(POLL_S)
            row = row + 1 if len(await voters(client, height)) == 4 else 0


async def set_of(client: Client, height: int) -> set[str]:
    return {row["address"] for row in (await client.call("validators", height=str(height)))["validators"]}
