"""`qenex bench`: measurements. The work is `node.bench`'s."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from node.cli.options import home_option
from node.cli.output import answer, json_option
from state.primitives.errors import ConfigError


@click.group()
def bench() -> None:
    """Measure: load through RPC, one node's pipeline."""


@bench.command()
@click.option("--transactions", type=int, default=40_000, show_default=True, help="Signed transfers to run.")
@click.option("--accounts", type=int, default=10_000, show_default=True, help="Funded accounts in the state.")
@click.option("--block", type=int, default=5_000, show_default=True, help="Transfers in a block.")
@click.option("--workers", default="auto", show_default=True, help="Signature processes: auto, 0 (inline) or more.")
@json_option
def pipeline(transactions: int, accounts: int, block: int, workers: str, as_json: bool) -> None:
    """One node without network: decode, verify, execute, tree, durable store."""
    from node.bench.pipeline import PipelineOptions, run_pipeline

    if workers != "auto" and not (workers.isascii() and workers.isdecimal()):
        raise ConfigError(f'--workers {workers}: "auto" or a number is possible')
    count = None if workers == "auto" else int(workers)
    with tempfile.TemporaryDirectory(prefix="qenex-bench-") as folder:
        report = run_pipeline(PipelineOptions(transactions, accounts, block, count), Path(folder)).to_json()
    answer(as_json, report, (json.dumps(report, indent=2),))


@bench.command()
@home_option("The home to make; missing or empty.", required=True)
@click.option("--accounts", type=int, required=True, help="Funded accounts beside the document's own.")
@json_option
def seed(home: Path, accounts: int, as_json: bool) -> None:
    """Make a home of one validator whose state holds many accounts."""
    from node.bench.seed import seed_home

    report = seed_home(home, accounts).to_json()
    answer(as_json, {"home": str(home), **report}, (f"home {home}", *(f"{name} {value}" for name, value in report.items())))
