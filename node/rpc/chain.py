"""Methods that read the chain: status, blocks, commits, transactions, state. Each is a function of the backend."""

from __future__ import annotations

from typing import Any, Final

import trio

from consensus.block import Block
from consensus.block_id import EMPTY
from node.rpc import shapes
from node.rpc.backend import NodeBackend
from node.rpc.errors import failed, invalid_params
from node.rpc.paging import page_of
from node.rpc.query import Query, parse_query
from node.rpc.search import find_blocks, find_transactions
from state.paths import resolve_path
from state.primitives.errors import MalformedError, ProofError
from state.primitives.hashing import HASH_BYTES, sha256
from state.primitives.ids import parse_address
from state.primitives.merkle import proofs
from state.queries import describe_record, get_account, get_asset
from state.tree import key_hash

Json = Any
BLOCKS_LISTED_MAX: Final = 20
PROOF_TYPE: Final = "ics23:qenex"


async def health(_backend: NodeBackend) -> Json:
    """Empty when the node answers at all."""
    return {}


async def status(backend: NodeBackend) -> Json:
    """Who the node is and how far it is."""
    store, tip = backend.store, backend.executor.state.tip
    first = store.base_height()
    latest = backend.block_at(backend.height) if backend.has_blocks() else None
    earliest = backend.block_at(first) if first else None
    own = tip.validators.by_address(backend.signer.address) if backend.signer is not None else None
    key = backend.signer.public_key if backend.signer is not None else bytes(32)
    return {
        "node_info": backend.node_info(),
        "sync_info": {
            "latest_block_hash": shapes.hexed(tip.last_block_id.hash if latest else tip.app_hash),
            "latest_app_hash": shapes.hexed(tip.app_hash),
            "latest_block_height": str(max(0, backend.height)),
            "latest_block_time": shapes.time_text(tip.last_block_time_ns),
            "earliest_block_hash": shapes.hexed(earliest.header.hash() if earliest else tip.app_hash),
            "earliest_app_hash": shapes.hexed(earliest.header.app_hash if earliest else tip.app_hash),
            "earliest_block_height": str(first),
            "earliest_block_time": shapes.time_text(earliest.header.time_ns if earliest else tip.last_block_time_ns),
            "catching_up": backend.engine.catching_up,
        },
        "validator_info": {
            "address": shapes.hexed(backend.signer.address if backend.signer is not None else sha256(key)[:20]),
            "pub_key": shapes.public_key(key),
            "voting_power": str(own.power if own is not None else 0),
        },
    }


async def blockchain(backend: NodeBackend, min_height: int, max_height: int) -> Json:
    """Block metas from the highest down, at most 20; 0 as a bound is none."""
    if min_height < 0 or max_height < 0:
        raise invalid_params("heights are 0 or more")
    last = max(0, backend.height)
    top = min(max_height or last, last)
    low = max(min_height or 1, backend.store.base_height(), top - BLOCKS_LISTED_MAX + 1)
    if low > top and backend.has_blocks():
        raise invalid_params(f"min height {low} is above max height {top}")
    metas = []
    for height in range(top, low - 1, -1):
        await trio.lowlevel.checkpoint()
        value = backend.block_at(height)
        metas.append(shapes.block_meta(value, len(value.proto())))
    return {"last_height": str(last), "block_metas": metas}


async def header(backend: NodeBackend, height: int | None) -> Json:
    """One header, by default the latest."""
    return {"header": shapes.header(backend.block_at(backend.resolve_height(height)).header)}


async def header_by_hash(backend: NodeBackend, block_hash: bytes) -> Json:
    """The header of a hash, or null."""
    height = _height_of(backend, block_hash)
    return {"header": None if height is None else shapes.header(backend.block_at(height).header)}


async def block(backend: NodeBackend, height: int | None) -> Json:
    """One block, by default the latest."""
    return _show_block(backend.block_at(backend.resolve_height(height)))


async def block_by_hash(backend: NodeBackend, block_hash: bytes) -> Json:
    """The block of a header hash, or an empty answer."""
    height = _height_of(backend, block_hash)
    if height is None:
        return {"block_id": shapes.block_id(EMPTY), "block": None}
    return _show_block(backend.block_at(height))


def _height_of(backend: NodeBackend, block_hash: bytes) -> int | None:
    return backend.store.height_of_block(block_hash) if len(block_hash) == HASH_BYTES else None


def _show_block(value: Block) -> Json:
    return {"block_id": shapes.block_id(value.block_id()), "block": shapes.block(value)}


async def block_results(backend: NodeBackend, height: int | None) -> Json:
    """What executing a block gave: results, validators from the next height but one, parameters from the next."""
    height = backend.resolve_height(height)
    root = backend.store.root_at(height) or b""
    validator_updates, param_updates = backend.updates_at(height)
    return {
        "height": str(height),
        "txs_results": [shapes.tx_result(receipt) for receipt in backend.receipts_at(height)],
        "finalize_block_events": [],
        "validator_updates": validator_updates,
        "consensus_param_updates": param_updates,
        "app_hash": shapes.b64(root),
    }


async def commit(backend: NodeBackend, height: int | None) -> Json:
    """A header and the commit that decided it."""
    height = backend.resolve_height(height)
    found, is_canonical = backend.commit_at(height)
    signed = {"header": shapes.header(backend.block_at(height).header), "commit": shapes.commit(found)}
    return {"signed_header": signed, "canonical": is_canonical}


async def pq_commit(backend: NodeBackend, height: int | None) -> Json:
    """The commit this node decided a height with, its ML-DSA signatures beside it. Ours."""
    height = backend.resolve_height(height)
    found, pq = backend.seen_commit_at(height)
    return {
        "commit": shapes.commit(found),
        "pq_signatures": [shapes.b64(item) if item else None for item in pq.signatures],
        "validators": [
            shapes.validator(validator, 0) for validator in backend.validators_at(height).validators
        ],
    }


async def tx(backend: NodeBackend, tx_hash: bytes, prove: bool) -> Json:
    """A committed transaction by its hash."""
    place = backend.store.tx_location(tx_hash)
    if place is None:
        raise failed(f"tx ({shapes.hexed(tx_hash)}) not found")
    return _show_tx(backend, *place, prove)


def _show_tx(backend: NodeBackend, height: int, index: int, prove: bool) -> Json:
    found = backend.block_at(height)
    raw = found.txs[index]
    out = {
        "hash": shapes.hexed(sha256(raw)),
        "height": str(height),
        "index": index,
        "tx_result": shapes.tx_result(backend.receipts_at(height)[index]),
        "tx": shapes.b64(raw),
    }
    if prove:
        root, all_proofs = proofs([sha256(item) for item in found.txs])
        out["proof"] = {"root_hash": shapes.hexed(root), "data": shapes.b64(raw), "proof": shapes.proof(all_proofs[index])}
    return out


async def tx_search(backend: NodeBackend, query: str, prove: bool, page: int, per_page: int, order_by: str) -> Json:
    """Committed transactions whose events match a query."""
    places = await find_transactions(backend, _parse(query, order_by))
    places.sort(reverse=order_by == "desc")
    start, end = page_of(page, per_page, len(places))
    txs = []
    for height, index in places[start:end]:
        await trio.lowlevel.checkpoint()
        txs.append(_show_tx(backend, height, index, prove))
    return {"txs": txs, "total_count": str(len(places))}


async def block_search(backend: NodeBackend, query: str, page: int, per_page: int, order_by: str) -> Json:
    """Blocks by `block.height`: blocks have no other events yet."""
    heights = await find_blocks(backend, _parse(query, order_by))
    start, end = page_of(page, per_page, len(heights))
    blocks = []
    for height in (heights if order_by == "asc" else heights[::-1])[start:end]:
        await trio.lowlevel.checkpoint()
        blocks.append(_show_block(backend.block_at(height)))
    return {"blocks": blocks, "total_count": str(len(heights))}


def _parse(query: str, order_by: str) -> Query:
    if order_by not in ("", "asc", "desc"):
        raise invalid_params('order_by is "asc" or "desc"')
    return parse_query(query)


async def abci_info(backend: NodeBackend) -> Json:
    """The ledger behind the chain."""
    return {
        "response": {
            "data": "qenex",
            "version": backend.version,
            "app_version": str(backend.executor.state.tip.params.app_version),
            "last_block_height": str(max(0, backend.height)),
            "last_block_app_hash": shapes.b64(backend.store.root),
        }
    }


async def abci_query(backend: NodeBackend, path: str, data: bytes, height: int, prove: bool) -> Json:
    """A record of the state by path, with an ICS-23 proof against the app hash of the next header if asked."""
    try:
        key = resolve_path(path, data)
        latest = max(0, backend.height)
        height = height or latest
        ops = []
        if prove:
            value, encoded = backend.store.prove(key, height)
            ops = [{"type": PROOF_TYPE, "key": shapes.b64(key_hash(key)), "data": shapes.b64(encoded)}]
        else:
            value = backend.record(key) if height == latest else backend.store.get_at(key, height)
    except (MalformedError, ProofError) as error:
        return _query_response(error.code, error.message, b"", b"", None, height)
    return _query_response(0, "" if value is not None else "absent", key, value or b"", ops, height)


def _query_response(code: int, log: str, key: bytes, value: bytes, ops: list[Json] | None, height: int) -> Json:
    return {
        "response": {
            "code": code,
            "log": log,
            "info": "",
            "index": "0",
            "key": shapes.b64(key),
            "value": shapes.b64(value),
            "proofOps": {"ops": ops} if ops else None,
            "height": str(height),
            "codespace": "" if code == 0 else "qenex",
        }
    }


async def account(backend: NodeBackend, address: str) -> Json:
    """An account with its keys, sequences and holdings, or null. Ours."""
    try:
        return {"account": get_account(backend.store, parse_address(address)), "height": str(max(0, backend.height))}
    except MalformedError as error:
        raise invalid_params(error.message) from error


async def asset(backend: NodeBackend, code: str) -> Json:
    """An asset with its supply, or null. Ours."""
    return {"asset": get_asset(backend.store, code), "height": str(max(0, backend.height))}


async def record(backend: NodeBackend, path: str) -> Json:
    """A record of the state by path, in words, or null. Ours."""
    try:
        key = resolve_path(path)
        raw = backend.record(key)
        shown = None if raw is None else describe_record(key, raw)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"record": shown, "height": str(max(0, backend.height))}
