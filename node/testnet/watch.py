"""What the nodes of a local network say about themselves, asked over RPC.

A snapshot is taken at one height: nodes in step differ by a block while one is being decided, and hashes of different heights
cannot be compared. A node that does not answer is shown as not running. Nothing is started or changed here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import trio

from node.rpc.client import Client
from node.testnet.files import Manifest, NodeEntry
from node.testnet.processes import find_node
from state.primitives.errors import ClientError

ANSWER_S_MAX: Final = 2.0  # while a network comes up: it is asked again
PATIENCE_S: Final = 15.0  # for what is shown: a node whose process is there may be busy
IN_STEP_BLOCKS: Final = 5  # a node further behind is catching up and is shown at its own height
_FOLLOW_PAUSE_S: Final = 0.1
_PAGE_BLOCKS: Final = 20  # what `blockchain` gives at once


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node at one moment; `height` 0 and an empty hash if it does not answer."""

    index: int
    rpc: str
    p2p: str
    height: int
    app_hash: str
    catching_up: bool
    peers: int
    pid: int | None
    running: bool

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form, stable."""
        return {
            "index": self.index,
            "rpc": self.rpc,
            "p2p": self.p2p,
            "height": self.height,
            "app_hash": self.app_hash,
            "catching_up": self.catching_up,
            "peers": self.peers,
            "pid": self.pid,
            "running": self.running,
        }


async def take_snapshot(root: Path, manifest: Manifest) -> tuple[NodeStatus, ...]:
    """Every node, those in step at the lowest height among them; `app_hash` is the one that height's header carries."""
    found: dict[int, NodeStatus] = {}

    async def ask_one(entry: NodeEntry) -> None:
        found[entry.index] = await ask(entry, root, PATIENCE_S)

    async with trio.open_nursery() as nursery:
        for entry in manifest.nodes:
            nursery.start_soon(ask_one, entry)
    top = max(status.height for status in found.values())
    in_step = [s for s in found.values() if s.running and not s.catching_up and top - s.height <= IN_STEP_BLOCKS]
    common = min((status.height for status in in_step), default=0)
    async with trio.open_nursery() as nursery:
        for status in list(found.values()):
            if status.running and status.height:
                nursery.start_soon(_read_app_hash, found, status, common if status in in_step else status.height)
    return tuple(found[entry.index] for entry in manifest.nodes)


async def ask(entry: NodeEntry, root: Path, patience_s: float = ANSWER_S_MAX) -> NodeStatus:
    """One node's own view, without an app hash. Nobody waits for a node whose process is not there."""
    process = find_node(root / entry.home)
    absent = NodeStatus(
        index=entry.index,
        rpc=f"http://{entry.rpc}",
        p2p=f"{entry.node_id}@{entry.p2p}",
        height=0,
        app_hash="",
        catching_up=False,
        peers=0,
        pid=None if process is None else process.pid,
        running=False,
    )
    with trio.move_on_after(patience_s if process is not None else ANSWER_S_MAX):
        try:
            async with Client(absent.rpc) as client:
                status = await client.call("status")
                net_info = await client.call("net_info")
        except ClientError:
            return absent
        sync = status["sync_info"]
        return replace(
            absent,
            p2p=f"{status['node_info']['id']}@{entry.p2p}",  # not the manifest's id: its key may have been rotated
            height=int(sync["latest_block_height"]),
            catching_up=bool(sync["catching_up"]),
            peers=int(net_info["n_peers"]),
            running=True,
        )
    return absent


async def _read_app_hash(found: dict[int, NodeStatus], status: NodeStatus, height: int) -> None:
    """Put the app hash of one height into a node's status; a node that goes meanwhile is not running."""
    header: dict[str, Any] | None = None
    with trio.move_on_after(PATIENCE_S):
        try:
            async with Client(status.rpc) as client:
                header = (await client.call("header", height=str(height)))["header"]
        except ClientError:
            header = None
    if header is None:
        found[status.index] = replace(status, height=0, app_hash="", peers=0, running=False)
    else:
        found[status.index] = replace(status, height=height, app_hash=header["app_hash"])


@dataclass(frozen=True, slots=True)
class BlockLine:
    """A block, for one line on the screen."""

    height: int
    time: str
    txs: int
    app_hash: str
    proposer: str


async def follow_blocks(manifest: Manifest) -> AsyncIterator[BlockLine]:
    """Every new block from now on, asked of the first node that answers. Never ends by itself."""
    shown = 0
    names = {entry.validator: entry.moniker for entry in manifest.nodes}
    while True:
        for entry in manifest.nodes:
            try:
                async with Client(f"http://{entry.rpc}") as client:
                    while True:
                        lines = await _blocks_after(client, shown, names)
                        for line in lines:
                            shown = line.height
                            yield line
                        await trio.sleep(_FOLLOW_PAUSE_S)
            except ClientError:
                continue  # this node is gone or busy; the next one knows the same chain
        await trio.sleep(_FOLLOW_PAUSE_S)


async def _blocks_after(client: Client, shown: int, names: dict[str, str]) -> list[BlockLine]:
    """Blocks above `shown`, oldest first, at most one page; the newest only when nothing was shown yet."""
    top = int((await client.call("status"))["sync_info"]["latest_block_height"])
    if top <= shown:
        return []
    low = shown + 1 if shown else top
    high = min(top, low + _PAGE_BLOCKS - 1)
    answer = await client.call("blockchain", minHeight=str(low), maxHeight=str(high))
    return sorted((_block_line(meta, names) for meta in answer["block_metas"]), key=lambda line: line.height)


def _block_line(meta: dict[str, Any], names: dict[str, str]) -> BlockLine:
    header = meta["header"]
    return BlockLine(
        height=int(header["height"]),
        time=header["time"],
        txs=int(meta["num_txs"]),
        app_hash=header["app_hash"],
        proposer=names.get(header["proposer_address"], header["proposer_address"][:8]),
    )
