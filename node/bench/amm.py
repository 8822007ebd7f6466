"""How long a swap takes in the state machine, signatures left out: a ledger in memory, a few pools, one swap after another.

Two passes over the same swaps. The first times each whole `deliver` (admission, fee, operation, invariants), which is what a block
pays. The second takes it apart. Garbage is collected between the passes, as a node does between blocks. Nothing is stored.
"""

from __future__ import annotations

import gc
import random
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
from state.primitives.errors import ConfigError, OperationFailed
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.transaction import Transaction, build, call, sign
from state.view import View, encode_changes

NOW_S: Final = 1_800_000_000
CHAIN: Final = sha256(b"qenex/bench/amm")
ASSETS: Final = ("AAA", "BBB", "CCC")
PATHS: Final = (("AAA", "BBB"), ("BBB", "AAA"), ("BBB", "CCC"), ("CCC", "BBB"))
RESERVE: Final = 10**24
HOLDING: Final = 10**36
BLOCK_SWAPS: Final = 5_000
_US: Final = 1_000


@dataclass(frozen=True, slots=True)
class AmmReport:
    """Microseconds per swap, as percentiles and by stage (median)."""

    swaps: int
    failed: int
    p50_us: float
    p99_us: float
    max_us: float
    per_second: int
    stages_us: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {name: getattr(self, name) for name in self.__slots__}


class _Known:
    """All signatures are known to be good."""

    def __init__(self, binding: bytes) -> None:
        self._binding = binding

    def get(self, tx_hash: bytes, /) -> bytes | None:
        """The binding, whatever the hash."""
        return self._binding


def run_amm(swaps: int, seed: int = 1) -> AmmReport:
    """Measure `swaps` swaps of one and two hops, half of them with exact outputs."""
    rng = random.Random(seed)
    key = PrivateKey.from_seed(KeyKind.ED25519, sha256(b"trader"))
    entry = (0, int(KeyKind.ED25519), key.public_key.data, 1)
    account = GenesisAccount((entry,))
    db = _make_ledger(account)
    known = _Known(key_binding(key.public_key.data))
    raws = [_make_swap(rng, account.address, key, number) for number in range(swaps)]
    _execute(db, [Transaction.decode(raw) for raw in raws[: min(swaps, 500)]], known)  # warm
    gc.collect()
    times, failed = [], 0
    total_ns = 0
    view_db = dict(db)
    decode_ns: list[int] = []
    for first in range(0, swaps, BLOCK_SWAPS):
        txs = []
        for raw in raws[first : first + BLOCK_SWAPS]:
            start = perf_counter_ns()
            txs.append(Transaction.decode(raw))
            decode_ns.append(perf_counter_ns() - start)
        gc.collect()
        gc.disable()
        try:
            started = perf_counter_ns()
            block_times, block_failed, changes = _execute(view_db, txs, known, first // BLOCK_SWAPS)
            total_ns += perf_counter_ns() - started
        finally:
            gc.enable()
        times += block_times
        failed += block_failed
        _apply(view_db, changes)
    stages = {"decode": _percentile(decode_ns, 50), **_take_apart(db, raws[: min(swaps, BLOCK_SWAPS)], known)}
    return AmmReport(
        swaps=swaps,
        failed=failed,
        p50_us=_percentile(times, 50),
        p99_us=_percentile(times, 99),
        max_us=max(times) / _US,
        per_second=swaps * 1_000_000_000 // max(1, total_ns),
        stages_us=stages,
    )


def _make_ledger(account: GenesisAccount) -> dict[bytes, bytes]:
    owner = account.address
    ed25519, pq = PrivateKey.from_seed(KeyKind.ED25519, sha256(b"v")), PrivateKey.from_seed(KeyKind.MLDSA87, sha256(b"v"))
    state = GenesisState(
        accounts=(account,),
        assets=(GenesisAsset("QNX", owner, 6), *(GenesisAsset(code, owner, 18) for code in ASSETS)),
        holdings=tuple(GenesisHolding(owner, code, HOLDING) for code in ("QNX", *ASSETS)),
        validators=(GenesisValidator(ed25519.public_key.data, KeyKind.MLDSA87, pq.public_key.data, owner, 1_000),),
    )
    db = {key: value for key, value in genesis_changes(state) if value is not None}
    view = View(db)
    context = OpContext(view, 1, NOW_S, ())
    for a, b in (("AAA", "BBB"), ("BBB", "CCC")):
        _run(context, owner, "amm.create", (a, b, 3_000, RESERVE, RESERVE, ()))
    view.settle()
    _apply(db, encode_changes(view.changed_records()))
    return db


def _run(context: OpContext, account: bytes, name: str, args: tuple[Any, ...]) -> None:
    try:
        BY_NAME[name].handler(context, account, args)
    except OperationFailed as failure:
        raise ConfigError(f"the ledger of the measurement could not be made: {failure.message}") from failure


def _make_swap(rng: random.Random, sender: bytes, key: PrivateKey, number: int) -> bytes:
    path = rng.choice((*PATHS, ("AAA", "BBB", "CCC"), ("CCC", "BBB", "AAA")))
    amount = rng.randrange(1, RESERVE // 10_000)
    if rng.random() < 0.5:
        op = call("amm.swap_in", path=path, amount_in=amount, min_out=0)
    else:
        op = call("amm.swap_out", path=path, amount_out=amount, max_in=RESERVE)
    draft = build(chain_id=CHAIN, sender=sender, seq=number, valid_until=NOW_S + 600, ops=[op])
    return sign(draft, [(sender, 0, key)])


def _execute(
    db: dict[bytes, bytes], txs: Sequence[Transaction], known: _Known, block: int = 0
) -> tuple[list[int], int, tuple[tuple[bytes, bytes | None], ...]]:
    execution = BlockExecution(db, BlockContext(2 + block, (NOW_S + 1 + block) * 1_000_000_000, CHAIN), known)
    times, failed, receipts = [], 0, []
    deliver = execution.deliver
    for tx in txs:
        start = perf_counter_ns()
        receipt = deliver(tx)
        times.append(perf_counter_ns() - start)
        receipts.append(receipt)
        failed += receipt.code != 0
    return times, failed, execution.finish(receipts).changes


def _apply(db: dict[bytes, bytes], changes: tuple[tuple[bytes, bytes | None], ...]) -> None:
    for key, value in changes:
        if value is None:
            db.pop(key, None)
        else:
            db[key] = value


def _take_apart(db: dict[bytes, bytes], raws: Sequence[bytes], known: _Known) -> dict[str, float]:
    view = View(db)
    gate = make_gate(view, BlockContext(2, (NOW_S + 1) * 1_000_000_000, CHAIN))
    context = OpContext(view, 2, NOW_S + 1, ())
    found: dict[str, list[int]] = {"admission": [], "operation": [], "invariants": []}

    def timed(name: str, act: Callable[[], object]) -> None:
        start = perf_counter_ns()
        act()
        found[name].append(perf_counter_ns() - start)

    for raw in raws:
        tx = Transaction.decode(raw)
        (operation,) = tx.calls
        context.events = []
        timed("admission", lambda tx=tx: gate.check(view, tx, verified=known, expected_seq=tx.seq))  # type: ignore[misc]
        timed("operation", lambda c=operation: c.operation.handler(context, c.account, c.args))  # type: ignore[misc]
        timed("invariants", lambda c=operation: check_operation(view, 0, c))  # type: ignore[misc]
        view.settle()
    return {name: _percentile(times, 50) for name, times in found.items()}


def _percentile(times: Sequence[int], percent: int) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] / _US
