"""A primary in memory: what a node's RPC answers of a short chain with transactions, and a way to make it lie. No test is in here."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

from consensus.block import Block, results_hash
from consensus.commit import EMPTY_COMMIT
from consensus.light import LightBlock
from consensus.validation import ChainTip, make_block
from node.light.proving import TxResult
from node.rpc import shapes
from node.storage.store import HeightBatch, Store
from state.params import ConsensusParams, FeeParams
from state.paths import resolve_path
from state.primitives.codec import encode_trusted
from state.primitives.errors import ClientError
from state.primitives.hashing import sha256
from state.primitives.merkle import proofs
from state.schema import FEE_PARAMS_KEY
from state.schema_staking import address_owner_key, pq_owner_key
from state.validators import ValidatorSet
from tests.consensus.world import BASE_NS, CHAIN, make_commit
from tests.node.light.test_light_client import S, member

Json = Any
HEIGHTS = 6
RESULTS = tuple(TxResult(201 if index == 1 else 0, bytes(index), 100 + index, 90 + index) for index in range(5))
MEMBERS = tuple(member(name) for name in range(4))


def txs_of(height: int) -> tuple[bytes, ...]:
    """The transactions of a block."""
    return tuple(f"transaction {index} of {height}".encode() for index in range(len(RESULTS)))


@cache
def state() -> tuple[bytes, dict[bytes, tuple[bytes | None, bytes]]]:
    """(app hash, key -> (value, proof)) of the only state of the chain."""
    rows = [(FEE_PARAMS_KEY, encode_trusted(FeeParams().to_record()))]
    for validator in MEMBERS:
        owner = encode_trusted((validator.address,))
        rows += [(address_owner_key(validator.address), owner), (pq_owner_key(sha256(validator.pq_key)), owner)]
    with TemporaryDirectory() as folder:
        store = Store.create(f"{folder}/db")
        store.commit(HeightBatch(1, b"tip"), rows)
        found = {key: store.prove(key) for key in (*(key for key, _ in rows), resolve_path("/params/gov"))}
        root = store.root
        store.close()
    return root, found


@cache
def chain() -> tuple[tuple[Block, LightBlock], ...]:
    """Blocks of five transactions each; height 3 is decided in round 1, with one validator absent."""
    root, _ = state()
    results = results_hash([(item.code, item.data, item.gas_wanted, item.gas_used) for item in RESULTS])
    tip = ChainTip.at_genesis(CHAIN, 1, BASE_NS, ValidatorSet(MEMBERS), root, ConsensusParams())
    blocks, last_commit = [], EMPTY_COMMIT
    for height in range(1, HEIGHTS + 1):
        time_ns = BASE_NS + height * S
        block = make_block(tip, time_ns, txs_of(height), last_commit, (), tip.validators.validators[0].address)
        voters = (0, 1, 3) if height == 3 else range(4)
        commit, pq = make_commit(tip.validators, height, int(height == 3), block.block_id(), voters, (), time_ns)
        blocks.append((block, LightBlock(block.header, commit, pq, tip.validators)))
        tip = tip.advance(block, root, results, (), None)
        last_commit = commit
    return tuple(blocks)


class Primary:
    """See `node.rpc.client.Client`: only its `url` and its `call`. `change` gets what is about to be answered to a call."""

    def __init__(self, url: str = "http://primary") -> None:
        self.url = url
        self.change: Callable[[str, Json], Json] = lambda _call, answer: answer
        self.answers: dict[str, Json] = {}  # by the call in words: what was asked, and what would be true

    async def call(self, method: str, **params: Json) -> Json:
        """Answer, or raise `ClientError`."""
        made: Json = getattr(self, f"_{method}")(**params)
        call = " ".join((method, *(str(value) for value in params.values())))
        self.answers[call] = made
        return self.change(call, json.loads(json.dumps(made)))

    @staticmethod
    def _at(height: str) -> tuple[Block, LightBlock]:
        if not 1 <= int(height) <= HEIGHTS:
            raise ClientError(f"there is no block {height}")
        return chain()[int(height) - 1]

    def _status(self) -> Json:
        return {"node_info": {"moniker": "primary"}, "sync_info": {"latest_block_height": str(HEIGHTS), "catching_up": False}}

    def _header(self, height: str) -> Json:
        return {"header": shapes.header(self._at(height)[0].header)}

    def _pq_commit(self, height: str) -> Json:
        _, light = self._at(height)
        return {
            "commit": shapes.commit(light.commit),
            "pq_signatures": [shapes.b64(item) if item else None for item in light.pq_commit.signatures] if light.pq_commit else [],
            "validators": [shapes.validator(validator, 0) for validator in light.validators.validators],
        }

    def _block(self, height: str) -> Json:
        block, _ = self._at(height)
        return {"block_id": shapes.block_id(block.block_id()), "block": shapes.block(block)}

    def _block_results(self, height: str) -> Json:
        self._at(height)
        return {"height": height, "txs_results": [item.show() | {"log": "spent"} for item in RESULTS], "app_hash": ""}

    def _tx(self, hash: str, prove: bool) -> Json:
        places = {sha256(raw): (height, index) for height in range(1, HEIGHTS + 1) for index, raw in enumerate(txs_of(height))}
        tx_hash = base64.b64decode(hash)
        height, index = places[tx_hash]
        root, paths = proofs([sha256(raw) for raw in txs_of(height)])
        raw = shapes.b64(txs_of(height)[index])
        proof = {"root_hash": shapes.hexed(root), "data": raw, "proof": shapes.proof(paths[index])}
        named = {"hash": shapes.hexed(tx_hash), "height": str(height), "index": index}
        return named | {"tx_result": RESULTS[index].show(), "tx": raw, "proof": proof}

    def _abci_query(self, path: str, data: str, height: str, prove: bool) -> Json:
        key = resolve_path(path, bytes.fromhex(data))
        if key not in state()[1]:
            raise ClientError("this key is not in the test's state")
        value, proof = state()[1][key]
        ops = [{"type": "ics23:qenex", "key": shapes.b64(sha256(bytes.fromhex(data))), "data": shapes.b64(proof)}]
        fields = {"code": 0, "log": "", "info": "", "index": "0", "key": data, "codespace": "", "height": height}
        return {"response": fields | {"value": shapes.b64(value or b""), "proofOps": {"ops": ops}}}

    def _broadcast_tx_sync(self, tx: str) -> Json:
        return {"code": 0, "data": "", "log": "", "codespace": "", "hash": shapes.hexed(sha256(base64.b64decode(tx)))}

    _broadcast_tx_async = _broadcast_tx_sync


def lies_about(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """(where, what instead) for every leaf, list and object of an answer. `DROPPED` takes it away; a place that is not there is added."""
    if isinstance(value, dict):
        yield (*path, "unknown"), "1"
        for key, item in value.items():
            yield (*path, key), DROPPED
            yield from lies_about(item, (*path, key))
    elif isinstance(value, list):
        yield path, [*value, *value[-1:]] if value else ["AAAA"]
        if value:
            yield path, value[:-1]
            yield path, value[::-1]
            yield path, []
        for index, item in enumerate(value):
            yield from lies_about(item, (*path, index))
    else:
        for instead in _other_leaves(value):
            yield path, instead


DROPPED = object()


def _other_leaves(value: Json) -> Iterator[Json]:
    yield {"unknown": value}
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, None, str(value))
    elif value is None:
        yield "AAAA"
    else:
        yield from (None, value + "A", ("B" if value[:1] == "A" else "A") + value[1:], value.swapcase())
        if value:
            yield from (value[:-1] + ("B" if value[-1] == "A" else "A"), value[:-2] + "R=", "")
        if value.isdecimal():
            yield from (str(int(value) + 1), str(int(value) - 1), int(value), "0" + value)


def put(answer: Json, path: tuple[str | int, ...], value: Json) -> Json:
    """The answer with one place changed."""
    if not path:
        return value
    place = answer
    for key in path[:-1]:
        place = place[key]
    if value is DROPPED:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return answer
