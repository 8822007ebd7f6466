"""The long fuzzing run: all targets on all cores, each in processes of its own, with progress and one JSON object at the end.

A finding is written to `tests/fuzz/findings/TARGET/HASH.bin`, where the ordinary tests replay it. Used through `scripts/fuzz`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from state.primitives.hashing import sha256
from tests.fuzz.engine import Report, fuzz, run_one
from tests.fuzz.targets import by_name

FINDINGS = Path(__file__).parent / "findings"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--target", choices=["all", *by_name()], default="all")
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time, summed over the targets")
    parser.add_argument("--seed", type=int, default=0, help="0: another one in each run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--engine", choices=["mutation", "atheris"], default="mutation")
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print("\n".join(by_name()))
        return 0
    seed = options.seed or int.from_bytes(os.urandom(4), "big")
    if options.one:
        return run_here(options.one, options.engine, seed, options.seconds)
    names = list(by_name()) if options.target == "all" else [options.target]
    return run_all(names, options.engine, seed, options.seconds, options.jobs, quiet=options.json)


def run_all(names: list[str], engine: str, seed: int, seconds: float, jobs: int, *, quiet: bool) -> int:
    """Each target in a process of its own, `jobs` at once."""
    share = seconds / len(names)
    started = time.monotonic()
    waiting, running, reports = list(names), {}, []
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            command = [sys.executable, "-m", "tests.fuzz.run", "--one", name, "--engine", engine]
            command += ["--seconds", str(share), "--seed", str(seed)]
            running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[name]
            output, errors = process.communicate()
            report = json.loads(output.splitlines()[-1]) if output.strip() else crashed(name, process.returncode, errors)
            reports.append(report)
            if not quiet:
                show(report, len(reports), len(names))
        time.sleep(0.05)
    total = {
        "engine": engine,
        "seed": seed,
        "targets": len(reports),
        "inputs": sum(report["inputs"] for report in reports),
        "processor_s": round(sum(report["seconds"] for report in reports), 1),
        "wall_s": round(time.monotonic() - started, 1),
        "findings": sum(len(report["findings"]) for report in reports),
        "grown_kib_max": max(report["grown_kib"] for report in reports),
        "slowest_ms": max(report["slowest_ms"] for report in reports),
        "reports": reports,
    }
    print(json.dumps(total))
    return 1 if total["findings"] else 0


def crashed(name: str, code: int, errors: str) -> dict[str, Any]:
    """A process that died without a word is a finding too."""
    report = Report(name).to_json()
    report["findings"] = [{"input": "", "error": f"the process ended with {code}: {errors.strip()[-300:]}"}]
    return report


def show(report: dict[str, Any], done: int, count: int) -> None:
    line = f"[{done}/{count}] {report['target']:18} {report['inputs']:>10,} inputs  {report['inputs_per_s']:>7,}/s"
    line += f"  refused {report['refused']:,}  slowest {report['slowest_ms']} ms  grown {report['grown_kib']} KiB"
    print(line + (f"  FINDINGS {len(report['findings'])}" if report["findings"] else ""), file=sys.stderr)
    for finding in report["findings"]:
        print(f"    {finding['error']}  {finding['input'][:120]}", file=sys.stderr)


def run_here(name: str, engine: str, seed: int, seconds: float) -> int:
    """One target in this process; its report on the last line of the output."""
    target = by_name()[name]
    report = fuzz(target, seed, seconds=seconds) if engine == "mutation" else run_atheris(name, seed, seconds)
    for data, _ in report.findings:
        folder = FINDINGS / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sha256(data).hex()[:24]}.bin").write_bytes(data)
    print(json.dumps(report.to_json()))
    return 0


def run_atheris(name: str, seed: int, seconds: float) -> Report:
    """The same target under libFuzzer's coverage guidance. It ends its process itself, so the report comes from a child's counts."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, counts = Path(folder) / "corpus", Path(folder) / "counts.json"
        corpus.mkdir()
        for number, data in enumerate(by_name()[name].seeds()):
            (corpus / f"{number}.bin").write_bytes(data)
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(counts), str(corpus)]
        command += [f"-max_total_time={int(seconds)}", f"-seed={seed % (1 << 31)}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"]
        command += [f"-artifact_prefix={folder}/finding-"]
        code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        report = Report(name)
        if counts.exists():
            found = json.loads(counts.read_text())
            report.inputs, report.refused, report.seconds = found["inputs"], found["refused"], found["seconds"]
            report.grown_kib, report.slowest_ms = found["grown_kib"], found["slowest_ms"]
        for path in Path(folder).glob("finding-*"):
            again = Report(name)
            run_one(by_name()[name], path.read_bytes(), again)
            error = again.findings[0][1] if again.findings else f"libFuzzer: {path.name}, exit code {code}"
            report.findings.append((path.read_bytes(), error))
    return report


if __name__ == "__main__":
    sys.exit(main())
