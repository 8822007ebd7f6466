"""Measuring operations in the state machine, signatures left out: a ledger in memory, one transaction after another. Nothing is stored.

Two passes over the same transactions. The first times each whole `deliver` (admission, fee, operation, invariants), which is what a
block pays. The second takes it apart. Garbage is collected between blocks, as a node does. What is measured is the caller's.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Final

from state.admission import key_binding
from state.initial import GenesisAccount, GenesisAsset, GenesisHolding, GenesisState, GenesisValidator, genesis_changes
from state.invariants import check_operation
from state.machine import BlockContext, BlockExecution, make_gate
from state.modules.operation import OpContext
from state.modules.table import BY_NAME
from state.primitives.codec import Value
from state.primitives.errors import ConfigError, OperationFailed
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.schema import asset_key
from state.transaction import Transaction, build, sign
from state.view import View, encode_changes

NOW_S: Final = 1_800_000_000
CHAIN: Final = sha256(b"qenex/bench/amm")
HOLDING: Final = 10**36
WARM_TXS: Final = 500
_US: Final = 1_000

Database = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Microseconds per operation, as percentiles and by stage (median)."""

    operations: int
    failed: int
    p50_us: float
    p99_us: float
    max_us: float
    per_second: int
    stages_us: dict[str, float]
    by_operation: dict[str, dict[str, float]]  # name -> count, p50_us, p99_us

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {name: getattr(self, name) for name in self.__slots__}


class Actor:
    """One account with one key, whose signatures are known to be good."""

    def __init__(self) -> None:
        self.key = PrivateKey.from_seed(KeyKind.ED25519, sha256(b"trader"))
        self.account = GenesisAccount(((0, int(KeyKind.ED25519), self.key.public_key.data, 1),))
        self.address = self.account.address
        self._binding = key_binding(self.key.public_key.data)

    def get(self, tx_hash: bytes, /) -> bytes | None:
        """The binding, whatever the hash."""
        return self._binding

    def sign(self, number: int, op: Sequence[Value]) -> bytes:
        """A transaction of one operation."""
        draft = build(chain_id=CHAIN, sender=self.address, seq=number, valid_until=NOW_S + 3_600, ops=[op])
        return sign(draft, [(self.address, 0, self.key)])


def make_ledger(
    actor: Actor,
    codes: Sequence[str],
    flags: int,
    first: Sequence[tuple[str, tuple[Any, ...]]],
    key_kinds: tuple[int, ...] = (),
) -> Database:
    """A ledger on which the actor holds `HOLDING` of each asset, after the operations `first` of his. Raises `ConfigError`."""
    owner = actor.address
    ed25519, pq = PrivateKey.from_seed(KeyKind.ED25519, sha256(b"v")), PrivateKey.from_seed(KeyKind.MLDSA87, sha256(b"v"))
    state = GenesisState(
        accounts=(actor.account,),
        assets=(GenesisAsset("QNX", owner, 6), *(GenesisAsset(code, owner, 18) for code in codes)),
        holdings=tuple(GenesisHolding(owner, code, HOLDING) for code in ("QNX", *codes)),
        validators=(GenesisValidator(ed25519.public_key.data, KeyKind.MLDSA87, pq.public_key.data, owner, 1_000),),
    )
    db = {key: value for key, value in genesis_changes(state) if value is not None}
    view = View(db)
    for code in codes:
        record = view.get(asset_key(code))
        view.put(asset_key(code), (*record[:2], flags, *record[3:]))
    context = OpContext(view, 1, NOW_S, key_kinds)
    for name, args in first:
        try:
            BY_NAME[name].handler(context, owner, args)
        except OperationFailed as failure:
            raise ConfigError(f"the ledger of the measurement could not be made: {failure.message}") from failure
    view.settle()
    _apply(db, encode_changes(view.changed_records()))
    return db


def measure(db: Database, raws: Sequence[bytes], actor: Actor, block_txs: int) -> Measurement:
    """Execute signed transactions in blocks of so many, a second apart."""
    execute(db, [Transaction.decode(raw) for raw in raws[: min(len(raws), block_txs, WARM_TXS)]], actor)
    gc.collect()
    times: list[int] = []
    names: list[str] = []
    failed = total_ns = 0
    now = dict(db)
    decode_ns: list[int] = []
    for first in range(0, len(raws), block_txs):
        txs = []
        for raw in raws[first : first + block_txs]:
            start = perf_counter_ns()
            txs.append(Transaction.decode(raw))
            decode_ns.append(perf_counter_ns() - start)
        names += [tx.calls[0].operation.name for tx in txs]
        gc.collect()
        gc.disable()
        try:
            started = perf_counter_ns()
            block_times, block_failed, changes = execute(now, txs, actor, first // block_txs)
            total_ns += perf_counter_ns() - started
        finally:
            gc.enable()
        times += block_times
        failed += block_failed
        _apply(now, changes)
    stages = {"decode": _percentile(decode_ns, 50), **_take_apart(db, raws, actor, block_txs)}
    return Measurement(
        operations=len(raws),
        failed=failed,
        p50_us=_percentile(times, 50),
        p99_us=_percentile(times, 99),
        max_us=max(times) / _US,
        per_second=len(raws) * 1_000_000_000 // max(1, total_ns),
        stages_us=stages,
        by_operation=_by_operation(names, times),
    )


def _by_operation(names: Sequence[str], times: Sequence[int]) -> dict[str, dict[str, float]]:
    found: dict[str, list[int]] = {}
    for name, time_ns in zip(names, times, strict=True):
        found.setdefault(name, []).append(time_ns)
    return {
        name: {"count": len(own), "p50_us": _percentile(own, 50), "p99_us": _percentile(own, 99)}
        for name, own in sorted(found.items())
    }


def execute(
    db: Database, txs: Sequence[Transaction], actor: Actor, block: int = 0
) -> tuple[list[int], int, tuple[tuple[bytes, bytes | None], ...]]:
    """One block: nanoseconds of each transaction, how many failed, the changes."""
    execution = BlockExecution(db, BlockContext(2 + block, (NOW_S + 1 + block) * 1_000_000_000, CHAIN), actor)
    times, failed, receipts = [], 0, []
    deliver = execution.deliver
    for tx in txs:
        start = perf_counter_ns()
        receipt = deliver(tx)
        times.append(perf_counter_ns() - start)
        receipts.append(receipt)
        failed += receipt.code != 0
    return times, failed, execution.finish(receipts).changes


def _apply(db: Database, changes: tuple[tuple[bytes, bytes | None], ...]) -> None:
    for key, value in changes:
        if value is None:
            db.pop(key, None)
        else:
            db[key] = value


_PART_TXS: Final = 5_000


def _take_apart(db: Database, raws: Sequence[bytes], actor: Actor, block_txs: int) -> dict[str, float]:
    view = View(db)
    gate = make_gate(view, BlockContext(2, (NOW_S + 1) * 1_000_000_000, CHAIN))
    context = OpContext(view, 2, NOW_S + 1, ())
    found: dict[str, list[int]] = {"admission": [], "operation": [], "invariants": []}

    def timed(name: str, act: Callable[[], object]) -> None:
        start = perf_counter_ns()
        act()
        found[name].append(perf_counter_ns() - start)

    for index, raw in enumerate(raws[:_PART_TXS]):
        tx = Transaction.decode(raw)
        (operation,) = tx.calls
        context.events = []
        context.time_s = NOW_S + 1 + index // block_txs
        timed("admission", lambda tx=tx: gate.check(view, tx, verified=actor, expected_seq=tx.seq))  # type: ignore[misc]
        timed("operation", lambda c=operation: c.operation.handler(context, c.account, c.args))  # type: ignore[misc]
        timed("invariants", lambda c=operation: check_operation(view, 0, c))  # type: ignore[misc]
        view.settle()
    return {name: _percentile(times, 50) for name, times in found.items()}


def _percentile(times: Sequence[int], percent: int) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] / _US
