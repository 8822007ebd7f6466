"""What the metrics are told of a running node: after each block, and before each reading. Reading only; nothing here is awaited.

Figures that cost a walk (bytes of the data directory, supplies, pools) are read at most once in `WALK_S`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any, Final

from consensus.block import Block
from node.audit.anchoring import Anchorer
from node.audit.writer import AuditWriter
from node.config import Home
from node.engine import Engine
from node.evidence.pool import EvidencePool
from node.executor import CommittedBlock, LedgerExecutor
from node.insight.trend import Trend
from node.mempool.mempool import Mempool
from node.signing.key_ring import KeyRing
from node.signing.remote import RemoteSigner
from node.signing.voter import choose_address
from node.storage.store import Store
from node.telemetry.audit_note import read_audit_time
from node.telemetry.health import Health, compute_health
from node.telemetry.metrics import NodeMetrics
from p2p.switch import Switch
from state.codes import Code
from state.queries import get_supply
from state.queries_amm import get_pool_names
from state.schema import ASSET_LIST_KEY, BREAKERS_KEY, asset_number_key, decode_record
from state.schema_amm import pool_key
from state.validators import ValidatorSet

NS_PER_S: Final = 1_000_000_000
WALK_S: Final = 30.0
SAMPLE_S: Final = 60.0  # between samples of what is forecast
FORECAST_S: Final = 900.0
SIGNED_BLOCKS: Final = 100
RECENT_BLOCKS: Final = 1_000
SHOWN_MAX: Final = 200  # assets and pools; a chain with more is to be asked, not scraped
PEERS_WANTED: Final = 3
NEVER_S: Final = 1e9


class Observer:
    """Fills the metrics of one node. `audited_at` answers when this home's state was last audited, in seconds, or None."""

    def __init__(
        self,
        metrics: NodeMetrics,
        home: Home,
        store: Store,
        executor: LedgerExecutor,
        mempool: Mempool,
        engine: Engine,
        switch: Switch,
        evidence: EvidencePool,
        signer: KeyRing | RemoteSigner | None,
        now_ns: Callable[[], int],
    ) -> None:
        self.metrics = metrics
        self.health: Health | None = None
        self.audit: AuditWriter | None = None  # set once there is one
        self.anchorer: Anchorer | None = None
        self._home = home
        self._store = store
        self._executor = executor
        self._mempool = mempool
        self._engine = engine
        self._switch = switch
        self._evidence = evidence
        self._signer = signer
        self._now_ns = now_ns
        self._started_ns = now_ns()
        self._signed: deque[bool] = deque(maxlen=SIGNED_BLOCKS)
        self._offences: deque[int] = deque()  # heights at which one was punished
        self._violations: deque[int] = deque()  # heights at which an invariant did not hold
        self._voters: ValidatorSet | None = None  # on the block before; the first block that is seen does not say
        self._validators: ValidatorSet = executor.state.tip.validators  # of the block that comes
        self._params = executor.state.tip.params
        self._last_time_ns = executor.state.tip.last_block_time_ns
        self._missed = self._total_txs = 0
        self._missing_share = 0.0
        self._walked_at = -1e9
        self._walk: dict[str, float] = {}
        self._counted = {"refused": 0, "dropped": 0}
        self._disk, self._lag = Trend(SAMPLE_S, FORECAST_S), Trend(SAMPLE_S, FORECAST_S)
        metrics.validators.set(len(self._validators))
        metrics.validators_power.set(self._validators.total_power)
        metrics.on_scrape(self.refresh)

    # blocks

    def measure_block(self, committed: CommittedBlock) -> None:
        """A block was committed."""
        metrics, header, tip = self.metrics, committed.block.header, self._executor.state.tip
        voters, members = self._voters, self._validators
        self._voters, self._validators = members, tip.validators
        metrics.height.set(header.height)
        metrics.latest_height.set(header.height)
        metrics.rounds.set(committed.commit.round)
        metrics.validators.set(len(tip.validators))
        metrics.validators_power.set(tip.validators.total_power)
        if voters is not None:
            self._measure_votes(committed.block, voters)
        self._measure_offences(committed, members)
        self._total_txs += len(committed.txs)
        metrics.num_txs.set(len(committed.txs))
        metrics.total_txs.set(self._total_txs)
        metrics.block_size_bytes.set(sum(len(tx.raw) for tx in committed.txs))
        for tx in committed.txs:
            metrics.tx_size.observe(len(tx.raw))
        for stage, seconds in committed.seconds.items():
            metrics.observe_stage(stage, seconds)
        metrics.block_processing.observe(1000 * sum(committed.seconds.values()))
        if self._last_time_ns:
            metrics.block_interval.observe(max(0, header.time_ns - self._last_time_ns) / NS_PER_S)
        self._last_time_ns = header.time_ns
        if header.next_validators_hash != header.validators_hash:
            metrics.validator_updates.inc()
        if tip.params != self._params:
            self._params = tip.params
            metrics.param_updates.inc()
        metrics.invariant_checks.inc(sum(len(tx.calls) for tx in committed.txs) + 1)

    def _measure_votes(self, block: Block, voters: ValidatorSet) -> None:
        """Who is in the commit that this block fixes for the one before, late votes included. `voters` voted on that."""
        metrics, parts = self.metrics, block.last_commit.signatures
        missing = [index for index, part in enumerate(parts) if not part.signature]
        power = sum(voters.validators[index].power for index in missing)
        metrics.missing_validators.set(len(missing))
        metrics.missing_power.set(power)
        self._missing_share = power / voters.total_power
        place = self._place_in(voters)
        metrics.own_power.set(voters.validators[place].power if place >= 0 else 0)
        if place < 0:
            self._signed.clear()  # whoever does not vote misses nothing; that it does not is another figure
        else:
            has_signed = bool(parts[place].signature)
            self._signed.append(has_signed)
            if has_signed:
                metrics.own_last_signed.set(block.last_commit.height)
            else:
                self._missed += 1
                metrics.own_missed.set(self._missed)

    def _place_in(self, voters: ValidatorSet) -> int:
        """Our place, whichever of our keys is in the set; -1 for none."""
        addresses = () if self._signer is None else self._signer.addresses
        return voters.index_of(choose_address(addresses, voters, b""))

    def _measure_offences(self, committed: CommittedBlock, members: ValidatorSet) -> None:
        height = committed.block.header.height
        accused = {offence.address: None for item in committed.block.evidence for offence in item.misbehavior()}
        found = [members.by_address(address) for address in accused]
        self.metrics.byzantine_validators.set(len(accused))
        self.metrics.byzantine_power.set(sum(member.power for member in found if member is not None))
        self._offences.extend([height] * len(committed.block.evidence))
        violations = sum(receipt.code == Code.INVARIANT_VIOLATION for receipt in committed.receipts)
        self._violations.extend([height] * violations)
        self.metrics.invariant_violations.inc(violations)
        for heights in (self._offences, self._violations):
            while heights and heights[0] <= height - RECENT_BLOCKS:
                heights.popleft()

    # readings

    def refresh(self) -> None:
        """Somebody reads."""
        metrics, pool = self.metrics, self._mempool.pool
        metrics.mempool_size.set(len(pool))
        metrics.mempool_bytes.set(pool.bytes)
        metrics.set_lanes(pool.count_lanes())
        for name, counter in (("refused", metrics.failed_txs), ("dropped", metrics.evicted_txs)):
            now = self._mempool.counts[name]
            counter.inc(now - self._counted[name])
            self._counted[name] = now
        peers = self._switch.peers()
        metrics.peers.set(len(peers))
        metrics.catching_up.set(int(self._engine.catching_up))
        for what, number in self._switch.gauges().items():
            metrics.set_link(what, number)
        for code, times in self._switch.refusals().items():
            metrics.set_refusals(code, times)
        traffic = {
            (peer, f"{channel:#x}"): (counts.bytes_in, counts.bytes_out)
            for peer, channels in self._switch.statistics().items()
            for channel, counts in channels.items()
        }
        metrics.set_peers(traffic, self._switch.round_trips())
        figures = {**self._read_chain(len(peers)), **self._read_disk(), **self._read_audit_log()}
        self.health = compute_health({f"qenex_{name}": value for name, value in figures.items()})
        figures["health_score"] = self.health.score
        for name, value in figures.items():
            metrics.set(name, value)

    def _read_chain(self, peers: int) -> dict[str, float]:
        now_ns, tip = self._now_ns(), self._executor.state.tip
        params, pool = tip.params, self._mempool.pool
        age_s = max(0, now_ns - max(tip.last_block_time_ns, self._started_ns)) / NS_PER_S
        is_busy = params.empty_blocks or len(pool) > 0
        target_s = (params.block_interval_ms if is_busy else params.heartbeat_interval_ms) / 1000
        behind = max(0, self._engine.sync.best_height - self._store.height)
        self._lag.add(now_ns / NS_PER_S, behind)
        is_validator = self._place_in(tip.validators) >= 0
        expected = min(PEERS_WANTED, len(tip.validators) - is_validator)
        catch_up_s = self._lag.seconds_until(-behind)
        lag_error = self._lag.mean_error()
        return {
            "tip_age_seconds": age_s,
            "tip_overdue_seconds": max(0.0, age_s - target_s),
            "block_interval_target_seconds": target_s,
            "blocks_behind": behind,
            "peers_expected": expected,
            "peers_share": min(1.0, peers / expected) if expected else 1.0,
            "signed_share": sum(self._signed) / len(self._signed) if self._signed else 1.0,
            "missing_power_share": self._missing_share,
            "signer_connected": int(self._signer is not None and self._signer.is_connected),
            "validator_jailed": int(self._signer is not None and not is_validator),
            "offences_recent": len(self._offences),
            "violations_recent": len(self._violations),
            "breakers_open": self._count_breakers(now_ns // NS_PER_S),
            "evidence_pending": self._evidence.statistics()["pending"],
            "mempool_fill_share": pool.fill_share(),
            "catch_up_seconds": NEVER_S if catch_up_s is None else catch_up_s,
            "lag_forecast_error": -1.0 if lag_error is None else lag_error,
        }

    def _count_breakers(self, time_s: int) -> int:
        raw = self._store.get(BREAKERS_KEY)
        entries: Any = () if raw is None else decode_record(BREAKERS_KEY, raw)
        return sum(1 for entry in entries or () if not entry[4] or entry[4] > time_s)

    def _read_disk(self) -> dict[str, float]:
        now_s = time.monotonic()
        if now_s - self._walked_at < WALK_S:
            return self._walk
        self._walked_at = now_s
        self._read_ledger()
        usage = shutil.disk_usage(self._home.data_dir)
        data = _count_bytes(self._home.data_dir)
        self._disk.add(self._now_ns() / NS_PER_S, data)
        full_s = self._disk.seconds_until(usage.free)
        error = self._disk.relative_error()
        audited_s = read_audit_time(self._home)
        self._walk = {
            "disk_free_bytes": usage.free,
            "disk_free_share": usage.free / usage.total if usage.total else 0.0,
            "data_bytes": data,
            "disk_full_seconds": NEVER_S if full_s is None else min(NEVER_S, full_s),
            "disk_forecast_error": -1.0 if error is None else error,
            "audit_age_seconds": -1.0 if audited_s is None else max(0.0, self._now_ns() / NS_PER_S - audited_s),
        }
        return self._walk

    def _read_audit_log(self) -> dict[str, float]:
        return {
            "audit_log_failing": int(self.audit is not None and self.audit.is_failing),
            "audit_log_entries": 0 if self.audit is None else self.audit.head.entries,
            "audit_anchored_entries": -1 if self.anchorer is None else self.anchorer.anchored,
        }

    def _read_ledger(self) -> None:
        store = self._store
        raw = store.get(ASSET_LIST_KEY)
        count: Any = 0 if raw is None else decode_record(ASSET_LIST_KEY, raw)[0]
        supplies: dict[str, int] = {}
        for number in range(min(count, SHOWN_MAX)):
            key = asset_number_key(number)
            code = store.get(key)
            if code is not None:
                name: Any = decode_record(key, code)[0]
                supplies[name] = get_supply(store, name)
        pools: dict[str, float] = {}
        for pool in get_pool_names(store, 0, SHOWN_MAX):
            raw = store.get(pool_key(pool))
            record: Any = None if raw is None else decode_record(pool_key(pool), raw)
            if record is not None and record.reserve_a:
                pools[pool] = log2(record.reserve_a) + log2(record.reserve_b)
        self.metrics.set_ledger(supplies, pools)


def _count_bytes(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue  # LevelDB removes files while we look
    return total
