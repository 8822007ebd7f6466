"""A verifying RPC proxy: CometBFT's calls answered from one node, each answer checked against a verified header first.

What can be proved is: headers, commits, validators, blocks, the results of their transactions, transactions, records of the state, also
their absence. Broadcasts are handed on, since nothing is believed of their answer. Whatever cannot be proved is not in the
table, and asking for it is an error; the log and the events of a transaction are not part of any hash and are left out.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import trio

from consensus.block import Header, data_hash, results_hash
from consensus.evidence import evidence_hash
from node.clock import SystemClock
from node.light.client import LightClient
from node.light.reading import read_commit, read_header, understanding
from node.rpc import shapes
from node.rpc.backend import describe_age
from node.rpc.client import Client
from node.rpc.errors import failed, invalid_params
from node.rpc.events import EventBus, HeightEvents
from node.rpc.method import Method
from node.rpc.paging import page_of
from node.rpc.params import Kind, Param
from state.paths import resolve_path
from state.primitives.errors import MalformedError, ProofError
from state.primitives.hashing import sha256
from state.primitives.merkle import Proof
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

    async def header(self, height: int) -> Header:
        """The verified header of a height, 0 for the latest."""
        async with self._turn:
            return (await self.client.verify_to(height)).header


async def health(_backend: LightBackend) -> Json:
    """Empty when it answers."""
    return {}


async def status(backend: LightBackend) -> Json:
    """The node's own words about itself, with the chain's tip as verified here."""
    found = await backend.rpc.call("status")
    header = await backend.header(0)
    with understanding(backend.rpc.url, "status"):
        found["sync_info"].update(
            latest_block_hash=shapes.hexed(header.hash()),
            latest_block_height=str(header.height),
            latest_block_time=shapes.time_text(header.time_ns),
            latest_app_hash=shapes.hexed(header.app_hash),
        )
    return found


async def header(backend: LightBackend, height: int) -> Json:
    """One header."""
    return {"header": shapes.header(await backend.header(height))}


async def commit(backend: LightBackend, height: int) -> Json:
    """A header and the commit that it was verified with."""
    found = await backend.header(height)
    block = backend.client.store.get(found.height)
    if block is None:
        raise failed(f"block {found.height} is not kept any more")
    signed = {"header": shapes.header(block.header), "commit": shapes.commit(block.commit)}
    return {"signed_header": signed, "canonical": True}


async def validators(backend: LightBackend, height: int, page: int, per_page: int) -> Json:
    """The set that a header commits to. Proposer priorities are not proved, and are 0."""
    found = await backend.header(height)
    block = backend.client.store.get(found.height)
    if block is None:
        raise failed(f"block {found.height} is not kept any more")
    rows = [shapes.validator(validator, 0) for validator in block.validators.validators]
    start, end = page_of(page, per_page, len(rows))
    shown = rows[start:end]
    return {"block_height": str(found.height), "validators": shown, "count": str(len(shown)), "total": str(len(rows))}


async def block(backend: LightBackend, height: int) -> Json:
    """A block whose parts are all committed to by the verified header."""
    verified = await backend.header(height)
    answer = await backend.rpc.call("block", height=str(verified.height))
    with understanding(backend.rpc.url, f"block {verified.height}"):
        found = answer["block"]
        txs = _bodies(found["data"]["txs"] or [])
        if read_header(found["header"]).hash() != verified.hash():
            raise MalformedError("its header is not the verified one")
        if data_hash(txs) != verified.data_hash:
            raise MalformedError("its transactions are not those of the header")
        if read_commit(found["last_commit"]).hash() != verified.last_commit_hash:
            raise MalformedError("its last commit is not that of the header")
        if found["evidence"]["evidence"] or evidence_hash(()) != verified.evidence_hash:
            raise failed(f"block {verified.height} carries evidence, which has no verifiable form in JSON")
        if answer["block_id"]["hash"] != shapes.hexed(verified.hash()):
            raise MalformedError("it is named by another hash")
    return {"block_id": answer["block_id"], "block": found}


async def block_results(backend: LightBackend, height: int) -> Json:
    """Codes, data and work of a block's transactions, proved by the next header."""
    if height == 0:
        height = (await backend.header(0)).height - 1
    return {"height": str(height), "txs_results": await _results(backend, height)}


async def tx(backend: LightBackend, tx_hash: bytes, prove: bool) -> Json:
    """A transaction with the proof that its block has it, and its result proved by the next header."""
    answer = await backend.rpc.call("tx", hash=base64.b64encode(tx_hash).decode("ascii"), prove=True)
    with understanding(backend.rpc.url, "a transaction"):
        raw, height, index = _bodies([answer["tx"]])[0], int(answer["height"]), int(answer["index"])
        leaf = sha256(raw)
        if leaf != tx_hash:
            raise MalformedError("it is another transaction")
        verified = await backend.header(height)
        given = answer["proof"]["proof"]
        aunts = tuple(_bodies(given["aunts"]))
        path = Proof(int(given["total"]), int(given["index"]), base64.b64decode(given["leaf_hash"], validate=True), aunts)
        if path.index != index or not path.verify(verified.data_hash, leaf):
            raise MalformedError(f"block {height} does not have it at place {index}")
        results = await _results(backend, height)
        shown = {"hash": shapes.hexed(tx_hash), "height": str(height), "index": index, "tx_result": results[index], "tx": answer["tx"]}
        return {**shown, "proof": answer["proof"]} if prove else shown


async def _results(backend: LightBackend, height: int) -> list[Json]:
    following = await backend.header(height + 1)
    answer = await backend.rpc.call("block_results", height=str(height))
    with understanding(backend.rpc.url, f"the results of block {height}"):
        found = answer["txs_results"] or []
        facts = [
            (int(item["code"]), _bodies([item["data"] or ""])[0], int(item["gas_wanted"]), int(item["gas_used"])) for item in found
        ]
        if results_hash(facts) != following.last_results_hash:
            raise MalformedError("they are not those that the next header commits to")
        return [{**item, "log": "", "info": "", "events": []} for item in found]


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
    """Handed on."""
    return await backend.rpc.call("broadcast_tx_sync", tx=shapes.b64(tx))


async def broadcast_tx_async(backend: LightBackend, tx: bytes) -> Json:
    """Handed on."""
    return await backend.rpc.call("broadcast_tx_async", tx=shapes.b64(tx))


def _bodies(texts: list[str]) -> list[bytes]:
    return [base64.b64decode(text, validate=True) for text in texts]


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
