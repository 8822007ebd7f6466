"""`qenex bench load`: real signed transfers through RPC, from many accounts over several connections.

Everything is signed before the clock starts (`node.bench.signing`). Accounts come from the local network's genesis if it was made with
`qenex testnet up --accounts K`; otherwise they are opened and funded by real transactions of one rich key before the measurement.
A transaction counts as committed when a block that contains it was read from a node; failures inside blocks are counted after
the clock has stopped. At most `in_flight` transactions are on their way at once: the generator measures the network and not
the length of its own queue.
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio

from node.bench.signing import LoadAccount, Signed, TransferPlan, sign_transfers
from node.bench.tally import LoadReport, Tally
from node.rpc.client import Client
from state.codes import RETRY, Code
from state.primitives.errors import ClientError, QenexError
from state.primitives.hashing import sha256

VALID_FOR_S: Final = 3_600
STALL_S_MAX: Final = 60  # no block of ours for so long: what is left is reported as unconfirmed
CATCH_UP_S_MAX: Final = 30
_PAUSE_S: Final = 0.02
_BACK_OFF_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What to send. `nodes` are RPC addresses; connections are spread over them in turn."""

    nodes: tuple[str, ...]
    txs: int = 10_000
    connections: int = 4
    batch: int = 250
    in_flight: int = 4_000
    asset: str = "QNX"
    compared_nodes: tuple[str, ...] = ()  # further nodes whose app hash must be equal


@dataclass(frozen=True, slots=True)
class LoadContext:
    """The chain and the accounts that send, ready to be used."""

    chain_id: bytes
    accounts: tuple[LoadAccount, ...]
    max_fee: int = 0


Note = Callable[[str], None]


async def run_load(options: LoadOptions, context: LoadContext, note: Note) -> LoadReport:
    """Sign, send, watch, compare."""
    note(f"signing {options.txs} transfers of {len(context.accounts)} accounts")
    plan = TransferPlan(
        chain_id=context.chain_id,
        asset=options.asset,
        amount=1,
        valid_until=int(time.time()) + VALID_FOR_S,
        max_fee=context.max_fee,
        recipients=tuple(account.address for account in context.accounts),
    )
    signed = await trio.to_thread.run_sync(sign_transfers, plan, context.accounts, options.txs)
    run = _Run(options, signed)
    async with Client(options.nodes[0]) as watcher:
        run.seen_height = await _height(watcher)
        note(f"sending over {options.connections} connections to {', '.join(options.nodes)}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.watch, watcher, nursery.cancel_scope)
            for number in range(options.connections):
                nursery.start_soon(run.send, number)
        first = run.first_height
        run.tally.failed = await _count_failures(watcher, run)
        nodes = tuple(dict.fromkeys((*options.nodes, *options.compared_nodes)))
        equal, height = await _compare_app_hashes(nodes, run.seen_height)
    return LoadReport.from_tally(run.tally, app_hashes_equal=equal, heights=(first, height))


class _Run:
    """The state of one measurement."""

    def __init__(self, options: LoadOptions, signed: Sequence[Sequence[Signed]]) -> None:
        self.tally = Tally()
        self.options = options
        self.seen_height = 0
        self.first_height = 0
        self.our_heights: list[int] = []
        self.hashes = {one.hash for of_account in signed for one in of_account}
        self._queues = [_interleave(signed[number :: options.connections]) for number in range(options.connections)]
        self._sending = options.connections
        self._room = trio.Condition()

    async def send(self, number: int) -> None:
        """One connection: batches of its own accounts' transfers, in sequence, as there is room."""
        queue = self._queues[number]
        async with Client(self.options.nodes[number % len(self.options.nodes)]) as client:
            while queue:
                await self._wait_for_room()
                batch = [queue.popleft() for _ in range(min(self.options.batch, len(queue)))]
                now_ns = time.monotonic_ns()
                for one in batch:
                    if one.hash not in self.tally.in_flight:
                        self.tally.on_sent(one.hash, now_ns)
                again = await self._submit(client, batch)
                if again:
                    queue.extendleft(reversed(again))
                    await trio.sleep(_BACK_OFF_S)
        self._sending -= 1

    async def watch(self, client: Client, cancel_scope: trio.CancelScope) -> None:
        """Read every new block; ends the run when everything is settled or nothing moves any more."""
        moved_at = trio.current_time()
        while self._sending or self.tally.in_flight:
            height = await _height(client)
            while self.seen_height < height:
                block = await client.call("block", height=str(self.seen_height + 1))
                now_ns = time.monotonic_ns()
                hashes = [sha256(base64.b64decode(text)) for text in block["block"]["data"]["txs"] or ()]
                self.seen_height += 1
                if self.tally.on_block(hashes, now_ns):
                    moved_at = trio.current_time()
                    self.first_height = self.first_height or self.seen_height
                    self.our_heights.append(self.seen_height)
                    async with self._room:
                        self._room.notify_all()
            if trio.current_time() - moved_at > STALL_S_MAX:
                break
            await trio.sleep(_PAUSE_S)
        cancel_scope.cancel()

    async def _wait_for_room(self) -> None:
        async with self._room:
            while len(self.tally.in_flight) + self.options.batch > self.options.in_flight and self.tally.in_flight:
                await self._room.wait()

    async def _submit(self, client: Client, batch: Sequence[Signed]) -> list[Signed]:
        """Hand over a batch; returns what is worth sending again later, in order."""
        try:
            results = await client.call(
                "broadcast_tx_batch", txs=[base64.b64encode(one.raw).decode("ascii") for one in batch]
            )
        except ClientError:
            return list(batch)  # busy or gone for a moment; what it took already is refused as seen
        again: list[Signed] = []
        for one, result in zip(batch, results["results"], strict=True):
            code = int(result["code"])
            if code in _TAKEN:
                continue
            if code in _RETRY:
                again.append(one)
            else:
                self.tally.on_refused(one.hash, _code_name(code))
        return again


_TAKEN: Final = frozenset({int(Code.OK), int(Code.TX_SEEN)})
_RETRY: Final = frozenset(int(code) for code in RETRY)


def _interleave(of_accounts: Sequence[Sequence[Signed]]) -> deque[Signed]:
    """The accounts in turn, each in sequence."""
    longest = max((len(of_account) for of_account in of_accounts), default=0)
    return deque(of_account[i] for i in range(longest) for of_account in of_accounts if i < len(of_account))


def _code_name(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return f"CODE_{code}"


async def _height(client: Client) -> int:
    return int((await client.call("status"))["sync_info"]["latest_block_height"])


async def _count_failures(client: Client, run: _Run) -> int:
    """Transactions of ours that are in a block with a code other than 0."""
    failed = 0
    for height in run.our_heights:
        results: list[Any] = (await client.call("block_results", height=str(height)))["txs_results"] or []
        if any(int(result["code"]) for result in results):
            txs = (await client.call("block", height=str(height)))["block"]["data"]["txs"]
            for text, result in zip(txs, results, strict=True):
                if int(result["code"]) and sha256(base64.b64decode(text)) in run.hashes:
                    failed += 1
                    name = _code_name(int(result["code"]))
                    run.tally.refusals[name] = run.tally.refusals.get(name, 0) + 1
    return failed


async def _compare_app_hashes(nodes: Sequence[str], height: int) -> tuple[bool, int]:
    """Whether all nodes give one app hash for the state after `height`; waits a little for the block that carries it."""
    found: list[str] = []
    for node in nodes:
        async with Client(node) as client:
            deadline = trio.current_time() + CATCH_UP_S_MAX
            while True:
                try:
                    if await _height(client) > height:
                        header = (await client.call("header", height=str(height + 1)))["header"]
                        found.append(header["app_hash"])
                        break
                except QenexError:
                    pass
                if trio.current_time() > deadline:
                    found.append("")
                    break
                await trio.sleep(_BACK_OFF_S)
    return len(set(found)) == 1 and "" not in found, height
