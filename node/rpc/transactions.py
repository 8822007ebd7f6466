"""Methods that take something in: transactions in four ways, check, simulate, what became of one; and proofs of offences."""

from __future__ import annotations

from typing import Any, Final

import trio

from consensus.evidence import evidence_from_wire
from node.evidence.pool import Added
from node.mempool.mempool import Submitted
from node.rpc import shapes
from node.rpc.backend import NodeBackend
from node.rpc.errors import failed, invalid_params
from node.rpc.paging import clamp_per_page
from state.codes import Code
from state.machine import BlockContext
from state.primitives.codec import decode
from state.primitives.errors import InvalidEvidenceError, MalformedError, TransactionError
from state.primitives.hashing import sha256
from state.primitives.limits import EVIDENCE_BYTES_MAX, RPC_COMMIT_WAITERS_MAX
from state.queries import describe_receipt
from state.queries import simulate as simulate_transaction
from state.receipts import NO_OPERATION, Receipt
from state.transaction import Transaction

Json = Any
BATCH_TXS_MAX: Final = 5_000
COMMIT_WAIT_SECONDS: Final = 10.0
_EVIDENCE_REFUSED: Final = {
    Added.PUNISHED: "this offence was punished before",
    Added.EXPIRED: "it has expired",
    Added.EARLY: "its height is not decided yet",
    Added.UNKNOWN: "this node does not keep the heights that are needed to judge it: ask another",
    Added.OWN: "it accuses this node: give it to another",
    Added.FULL: "too many proofs are waiting: try again after the next block",
}


async def broadcast_tx_sync(backend: NodeBackend, tx: bytes) -> Json:
    """Admit it and say so."""
    (result,) = await backend.mempool.submit([tx])
    return _show(result)


async def broadcast_tx_async(backend: NodeBackend, tx: bytes) -> Json:
    """As sync: admission takes less than a millisecond, so nothing is gained by not telling its result."""
    return await broadcast_tx_sync(backend, tx)


async def broadcast_tx_batch(backend: NodeBackend, txs: list[bytes]) -> Json:
    """Admit up to 5,000, in order; a result for each. Ours."""
    if len(txs) > BATCH_TXS_MAX:
        raise invalid_params(f"a batch has at most {BATCH_TXS_MAX} transactions")
    results = await backend.mempool.submit(txs)
    return {
        "results": [
            {"hash": shapes.hexed(result.hash), "code": int(result.code), "code_name": result.code_name, "log": result.log}
            for result in results
        ]
    }


async def broadcast_tx_commit(backend: NodeBackend, tx: bytes) -> Json:
    """Admit it and wait until it is in a block."""
    bus, tx_hash = backend.bus, sha256(tx)
    if bus.waiters >= RPC_COMMIT_WAITERS_MAX:
        raise failed(f"{RPC_COMMIT_WAITERS_MAX} calls wait for their blocks already: use broadcast_tx_sync and ask tx_status")
    with bus.waiting_for(tx_hash) as committed:
        (result,) = await backend.mempool.submit([tx])
        hexed = shapes.hexed(result.hash)
        if result.code:
            return {"check_tx": _check_result(result), "tx_result": _empty_result(), "hash": hexed, "height": "0"}
        with trio.move_on_after(COMMIT_WAIT_SECONDS):
            await committed.wait()
    place = backend.store.tx_location(result.hash)
    if place is None:
        raise failed(f"timed out waiting for tx {hexed} to be included in a block; it still may be: ask tx_status")
    height, index = place
    receipt = backend.receipts_at(height)[index]
    return {
        "check_tx": _check_result(result),
        "tx_result": shapes.tx_result(receipt),
        "hash": hexed,
        "height": str(height),
    }


async def check_tx(backend: NodeBackend, tx: bytes) -> Json:
    """What admission would say, without admitting it."""
    try:
        decoded = Transaction.decode(tx)
    except TransactionError as error:
        return _check_result(Submitted(sha256(tx), error.result, error.message))
    receipt = _simulate(backend, decoded)
    code = receipt.code if receipt.code in range(100, 200) else Code.OK
    return _check_result(Submitted(decoded.hash, code, receipt.log))


async def simulate(backend: NodeBackend, tx: bytes, assume_signed: bool) -> Json:
    """The receipt it would get as the first transaction of the next block. Ours."""
    try:
        decoded = Transaction.decode(tx)
    except TransactionError as error:
        raise invalid_params(f"{Code(error.result).name}: {error.message}") from error
    return {"receipt": describe_receipt(_simulate(backend, decoded, assume_signed))}


def _simulate(backend: NodeBackend, tx: Transaction, assume_signed: bool = False) -> Any:
    tip = backend.executor.state.tip
    time_ns = max(backend.clock.now_ns(), tip.last_block_time_ns + 1)
    context = BlockContext(tip.height + 1, time_ns, backend.document.hash)
    return simulate_transaction(backend.store, context, tx, assume_signed=assume_signed)


_NO_RECEIPT: Final = Receipt(Code.OK, NO_OPERATION, 0, b"", ())  # of what is in no block


async def tx_status(backend: NodeBackend, tx_hash: bytes) -> Json:
    """unknown, pending, committed, rejected or expired. Ours."""
    place = backend.store.tx_location(tx_hash)
    if place is not None:
        height, index = place
        receipt = backend.receipts_at(height)[index]
        return {
            "status": "committed",
            "hash": shapes.hexed(tx_hash),
            "height": str(height),
            "index": index,
            **describe_receipt(receipt),
        }
    answer = {"hash": shapes.hexed(tx_hash), "height": "0", "index": 0, **describe_receipt(_NO_RECEIPT)}
    if tx_hash in backend.mempool.pool:
        return {"status": "pending", **answer}
    code = backend.mempool.dropped.get(tx_hash)
    if code is None:
        return {"status": "unknown", **answer}
    shown = "expired" if code == Code.EXPIRED else "rejected"
    return {"status": shown, **answer, "code": int(code), "code_name": Code(code).name}


async def num_unconfirmed_txs(backend: NodeBackend) -> Json:
    """How many wait."""
    pool = backend.mempool.pool
    return {"n_txs": str(len(pool)), "total": str(len(pool)), "total_bytes": str(pool.bytes), "txs": None}


async def unconfirmed_txs(backend: NodeBackend, limit: int) -> Json:
    """The first that wait."""
    pool = backend.mempool.pool
    hashes = pool.hashes(clamp_per_page(limit))
    raws = [raw for tx_hash in hashes if (raw := pool.get(tx_hash)) is not None]
    return {
        "n_txs": str(len(raws)),
        "total": str(len(pool)),
        "total_bytes": str(pool.bytes),
        "txs": [shapes.b64(raw) for raw in raws],
    }


async def broadcast_evidence(backend: NodeBackend, evidence: bytes) -> Json:
    """Take a proof of an offence, in our canonical encoding, for a coming block."""
    try:
        item = evidence_from_wire(decode(evidence, bytes_max=EVIDENCE_BYTES_MAX))
        added = backend.executor.evidence.add(item)
    except (MalformedError, InvalidEvidenceError) as error:
        raise invalid_params(f"{error.name}: {error.message}") from error
    if added in _EVIDENCE_REFUSED:
        raise failed(f"the evidence was not taken: {_EVIDENCE_REFUSED[added]}")
    return {"hash": shapes.b64(item.hash())}


def _show(result: Submitted) -> Json:
    return {
        "code": int(result.code),
        "data": "",
        "log": result.log,
        "codespace": "" if result.code == 0 else "qenex",
        "hash": shapes.hexed(result.hash),
    }


def _check_result(result: Submitted) -> Json:
    return {
        "code": int(result.code),
        "data": "",
        "log": result.log,
        "info": result.code_name,
        "gas_wanted": "0",
        "gas_used": "0",
        "events": [],
        "codespace": "" if result.code == 0 else "qenex",
    }


def _empty_result() -> Json:
    return {
        "code": 0,
        "data": "",
        "log": "",
        "info": "",
        "gas_wanted": "0",
        "gas_used": "0",
        "events": [],
        "codespace": "",
    }
