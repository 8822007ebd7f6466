"""A verifying RPC proxy: CometBFT's calls answered from one node, each answer made of what a verified header proves.

What can be proved is: headers, commits, validators, blocks, the results of their transactions, transactions, records of the state, also
their absence. Nothing of the node's own text is handed on: answers are written from values that were verified (`node.light.proving`), and
what no hash covers, the log and the events of a transaction, is left out. Whatever cannot be proved is not in the table, and asking for it
is an error. The node's word alone is: that it has no later block, what it says of a broadcast, and that it has not what was asked for.
"""

from __future__ import annotations

from typing import Any, Final

import trio

from consensus.header import Header
from consensus.light import LightBlock
from node.clock import SystemClock
from node.light.client import LightClient
from node.light.proving import TxResult, codespace_of, prove_block, prove_results, read_tx
from node.light.reading import understanding
from node.rpc import shapes
from node.rpc.backend import describe_age, describe_node
from node.rpc.client import Client
from node.rpc.errors import failed, invalid_params
from node.rpc.events import EventBus, HeightEvents
from node.rpc.method import Method
from node.rpc.paging import page_of
from node.rpc.params import Kind, Param
from state.paths import resolve_path
from state.primitives.errors import MalformedError, ProofError
from state.primitives.hashing import sha256
from state.proofs import verify_proof
from state.queries import describe_record

Json = Any


class LightBackend:
    """What the methods need. `version` and the rest are for the server."""

    def __init__(self, client: LightClient, rpc: Client, version: str) -> None:
        self.client = client
        self.rpc = rpc
        self.version = version
        self.bus = EventBus()
        self._turn = trio.Lock()  # one verification at a time: concurrent calls would fetch the same blocks

    @property
    def chain_id(self) -> str:
        """The chain's name."""
        return self.client.chain_id

    @property
    def height(self) -> int:
        """The last verified height."""
        latest = self.client.store.latest()
        return 0 if latest is None else latest.header.height

    def base_height(self) -> int:
        """There are no events to tell of."""
        return self.height

    def load_events(self, height: int) -> HeightEvents:
        """There are no events to tell of."""
        raise failed(f"a light client has no events of block {height}")

    def why_not_ready(self, age_s_max: int) -> str:
        """See `RpcBackend`."""
        latest = self.client.store.latest()
        if latest is None:
            return "nothing is verified yet"
        return describe_age(SystemClock().now_ns() - latest.header.time_ns, age_s_max)

    async def light_block(self, height: int) -> LightBlock:
        """The verified block of a height, 0 for the latest."""
        async with self._turn:
            return await self.client.verify_to(height)

    async def header(self, height: int) -> Header:
        """Its header."""
        return (await self.light_block(height)).header


async def health(_backend: LightBackend) -> Json:
    """Empty when it answers."""
    return {}


async def status(backend: LightBackend) -> Json:
    """The proxy's own: the chain's tip as verified here, and a node without keys. What the primary says of itself nothing proves."""
    latest = await backend.header(0)
    lowest = backend.client.store.lowest()
    first = latest if lowest is None else lowest.header
    node = describe_node("00" * 20, backend.chain_id, "light client", latest.app_version, backend.version)
    return {
        "node_info": node | {"other": node["other"] | {"tx_index": "off"}},
        "sync_info": _describe("latest", latest) | _describe("earliest", first) | {"catching_up": False},
        "validator_info": {
            "address": shapes.hexed(sha256(bytes(32))[:20]),
            "pub_key": shapes.public_key(bytes(32)),
            "voting_power": "0",
        },
    }


def _describe(which: str, header: Header) -> dict[str, Any]:
    return {
        f"{which}_block_hash": shapes.hexed(header.hash()),
        f"{which}_app_hash": shapes.hexed(header.app_hash),
        f"{which}_block_height": str(header.height),
        f"{which}_block_time": shapes.time_text(header.time_ns),
    }


async def header(backend: LightBackend, height: int) -> Json:
    """One header."""
    return {"header": shapes.header(await backend.header(height))}


async def commit(backend: LightBackend, height: int) -> Json:
    """A header and the commit that it was verified with; `canonical` if the next header is known to have the same."""
    found = await backend.light_block(height)
    following = backend.client.store.get(found.header.height + 1)
    is_canonical = following is not None and following.header.last_commit_hash == found.commit.hash()
    signed = {"header": shapes.header(found.header), "commit": shapes.commit(found.commit)}
    return {"signed_header": signed, "canonical": is_canonical}


async def validators(backend: LightBackend, height: int, page: int, per_page: int) -> Json:
    """The set that a header commits to. Priorities are not proved, and are 0; ML-DSA keys are where their signatures were checked."""
    found = await backend.light_block(height)
    rows = [shapes.validator(validator, 0) for validator in found.validators.validators]
    if found.pq_commit is None:
        for row in rows:
            del row["pq_pub_key"]
    start, end = page_of(page, per_page, len(rows))
    shown = rows[start:end]
    return {"block_height": str(found.header.height), "validators": shown, "count": str(len(shown)), "total": str(len(rows))}


async def block(backend: LightBackend, height: int) -> Json:
    """A block, whose every byte the signed name covers."""
    verified = await backend.light_block(height)
    answer = await backend.rpc.call("block", height=str(verified.header.height))
    with understanding(backend.rpc.url, f"block {verified.header.height}"):
        found = prove_block(answer, verified)
    return {"block_id": shapes.block_id(found.block_id()), "block": shapes.block(found)}


async def block_results(backend: LightBackend, height: int) -> Json:
    """Codes, data and work of a block's transactions, proved by the next header."""
    if height == 0:
        height = (await backend.header(0)).height - 1
    return {"height": str(height), "txs_results": [item.show() for item in await _results(backend, height)]}


async def tx(backend: LightBackend, tx_hash: bytes, prove: bool) -> Json:
    """A transaction with the proof that its block has it, and its result proved by the next header."""
    answer = await backend.rpc.call("tx", hash=shapes.b64(tx_hash), prove=True)
    with understanding(backend.rpc.url, "a transaction"):
        found = read_tx(answer, tx_hash)
    verified = await backend.header(found.height)
    results = await _results(backend, found.height)
    with understanding(backend.rpc.url, "a transaction"):
        return found.show(verified, results, prove=prove)


async def _results(backend: LightBackend, height: int) -> list[TxResult]:
    if height < 1:
        raise failed("no header proves results of that height")
    following = await backend.header(height + 1)
    answer = await backend.rpc.call("block_results", height=str(height))
    with understanding(backend.rpc.url, f"the results of block {height}"):
        return prove_results(answer, following)


async def abci_query(backend: LightBackend, path: str, data: bytes, height: int, prove: bool) -> Json:
    """A record of the state, or its absence, proved against the app hash of the next header."""
    try:
        key = resolve_path(path, data)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    value, proof, height = await _proven(backend, key, height)
    ops = [{"type": "ics23:qenex", "key": shapes.b64(sha256(key)), "data": shapes.b64(proof)}]
    response = {
        "code": 0,
        "log": "" if value is not None else "absent",
        "info": "",
        "index": "0",
        "key": shapes.b64(key),
        "value": shapes.b64(value or b""),
        "proofOps": {"ops": ops} if prove else None,
        "height": str(height),
        "codespace": "",
    }
    return {"response": response}


async def record(backend: LightBackend, path: str) -> Json:
    """A record of the state by path, in words, or null: proved. Ours."""
    try:
        key = resolve_path(path)
        value, _, height = await _proven(backend, key, 0)
        shown = None if value is None else describe_record(key, value)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"record": shown, "height": str(height)}


async def _proven(backend: LightBackend, key: bytes, height: int) -> tuple[bytes | None, bytes, int]:
    if height < 0:
        raise invalid_params("heights are 0 or more")
    following = await backend.header(height + 1 if height else 0)
    height = following.height - 1
    value, proof, found = await backend.client.primary.state("/store/key", key, height)
    if found != height:
        raise failed(f"the node proves the state of {found} instead of {height}")
    try:
        verify_proof(following.app_hash, key, value, proof)
    except ProofError as error:
        raise failed(f"the node's proof is wrong: {error.message}") from error
    return value, proof, height


async def broadcast_tx_sync(backend: LightBackend, tx: bytes) -> Json:
    """Handed on. Whether it was admitted, and why not, is the node's word: `code` and `log`."""
    return await _broadcast(backend, "broadcast_tx_sync", tx)


async def broadcast_tx_async(backend: LightBackend, tx: bytes) -> Json:
    """Handed on, as `broadcast_tx_sync`."""
    return await _broadcast(backend, "broadcast_tx_async", tx)


async def _broadcast(backend: LightBackend, method: str, tx: bytes) -> Json:
    answer = await backend.rpc.call(method, tx=shapes.b64(tx))
    with understanding(backend.rpc.url, method):
        code, log = answer["code"], answer["log"]
        if type(code) is not int or not isinstance(log, str):
            raise MalformedError("a code is a number, a log is text")
    return {"code": code, "data": "", "log": log, "codespace": codespace_of(code), "hash": shapes.hexed(sha256(tx))}


_HEIGHT: Final = Param("height", Kind.INT, 0)
_TX: Final = Param("tx", Kind.BYTES)

METHODS: Final[dict[str, Method]] = {
    "health": Method(health),
    "status": Method(status),
    "header": Method(header, (_HEIGHT,)),
    "commit": Method(commit, (_HEIGHT,)),
    "validators": Method(validators, (_HEIGHT, Param("page", Kind.INT, 1), Param("per_page", Kind.INT, 30))),
    "block": Method(block, (_HEIGHT,), cost=5),
    "block_results": Method(block_results, (_HEIGHT,), cost=5),
    "tx": Method(tx, (Param("hash", Kind.BYTES), Param("prove", Kind.BOOL, False)), cost=5),
    "abci_query": Method(
        abci_query,
        (Param("path", Kind.TEXT, ""), Param("data", Kind.HEX, b""), _HEIGHT, Param("prove", Kind.BOOL, False)),
        cost=5,
    ),
    "record": Method(record, (Param("path", Kind.TEXT),), cost=5),
    "broadcast_tx_sync": Method(broadcast_tx_sync, (_TX,)),
    "broadcast_tx_async": Method(broadcast_tx_async, (_TX,)),
}
