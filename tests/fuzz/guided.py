"""One target as an atheris (libFuzzer) program: `python -m tests.fuzz.guided TARGET COUNTS_FILE [libFuzzer options]`.

Needs the `atheris` package, which is not among the locked dependencies: `scripts/fuzz --engine atheris` installs it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import atheris  # type: ignore[import-not-found, unused-ignore]

with atheris.instrument_imports(include=["state", "consensus", "p2p", "node", "genesis"]):
    from tests.fuzz.engine import Report, _memory_kib
    from tests.fuzz.targets import by_name

WRITE_EVERY = 2_000


def main() -> None:
    name, counts = sys.argv[1], Path(sys.argv[2])
    target, report = by_name()[name], Report(name)
    started, base = time.process_time(), 0

    def one(data: bytes) -> None:
        nonlocal base
        report.inputs += 1
        begun = time.process_time()
        try:
            target.run(data)
        except target.refusals:
            report.refused += 1
        report.slowest_ms = max(report.slowest_ms, (time.process_time() - begun) * 1000)
        if report.inputs == WRITE_EVERY:
            base = _memory_kib()
        if report.inputs % WRITE_EVERY == 0:
            report.seconds = time.process_time() - started
            report.grown_kib = max(0, _memory_kib() - base)
            counts.write_text(json.dumps(report.to_json()))

    atheris.Setup([sys.argv[0], *sys.argv[3:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
