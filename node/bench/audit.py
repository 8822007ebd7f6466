"""The audit log measured: one entry with its own fsync, groups as a busy node writes them, and the check of the whole file."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.audit.journal import Journal, make_fact
from node.audit.verify import verify
from node.audit.writer import GROUP_MAX
from node.config import Home
from state.primitives.errors import LocalError

SINGLE: Final = 200  # entries with an fsync each: more would measure nothing else


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was measured; rates are entries per second. `verify_grown_kib` is by how much the process grew while it checked the log."""

    entries: int
    bytes: int
    single_per_second: int
    single_p50_us: int
    group: int
    group_per_second: int
    verify_per_second: int
    verify_seconds: float
    verify_cpu_seconds: float
    verify_grown_kib: int

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {name: getattr(self, name) for name in self.__slots__}


def run_audit(entries: int, folder: Path) -> AuditReport:
    """Write `entries` and `SINGLE` more into a log in this folder, and check it. Raises `LocalError` if the log is not good then."""
    journal = Journal.open(Home(folder))
    detail = {
        "role": "regulator", "method": "comp_account", "params_sha256": "0" * 64, "accounts": "qx1" + "q" * 58, "assets": "",
        "request": "0" * 16, "address": "10.0.0.7",
    }  # fmt: skip
    times: list[float] = []
    for _ in range(SINGLE):
        began = time.perf_counter()
        journal.record("token:supervisor", "rpc.request", **detail)
        times.append(time.perf_counter() - began)
    began = time.perf_counter()
    for start in range(0, entries, GROUP_MAX):
        count = min(GROUP_MAX, entries - start)
        journal.record_facts([make_fact("token:supervisor", "rpc.request", detail) for _ in range(count)])
    appended_s = time.perf_counter() - began
    journal.close()
    began, began_cpu, peak = time.perf_counter(), time.process_time(), _peak_kib()
    found = verify(journal.path)
    verified_s, verified_cpu_s, grown = time.perf_counter() - began, time.process_time() - began_cpu, _peak_kib() - peak
    if found.problems or found.head.entries != entries + SINGLE + 1:
        raise LocalError(f"the log that was written is not good: {found.problems}")
    return AuditReport(
        entries=entries,
        bytes=journal.path.stat().st_size,
        single_per_second=round(SINGLE / sum(times)),
        single_p50_us=round(1e6 * sorted(times)[SINGLE // 2]),
        group=GROUP_MAX,
        group_per_second=round(entries / appended_s),
        verify_per_second=round(found.head.entries / verified_s),
        verify_seconds=round(verified_s, 2),
        verify_cpu_seconds=round(verified_cpu_s, 2),
        verify_grown_kib=grown,
    )


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
