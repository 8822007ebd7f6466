"""`qenex bench`: measurements. What they do and mean is `node.bench`'s."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from node.cli.options import NODE_VARIABLE, home_option
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option
from node.cli.values import COUNT, COUNT_MAX, SOME, FilePath
from state.primitives.errors import ConfigError


@click.group()
def bench() -> None:
    """Measure."""


@bench.command()
@click.option("--node", "nodes", multiple=True, envvar=NODE_VARIABLE, help="RPC address; repeat it to spread the load [default: http://127.0.0.1:26657].")
@click.option("--txs", type=click.IntRange(1, 10_000_000), default=10_000, show_default=True, help="Transfers to send.")
@click.option("--accounts", type=click.IntRange(2, 100_000), default=100, show_default=True, help="Accounts that send.")
@click.option("--connections", type=click.IntRange(1, 256), default=4, show_default=True)
@click.option("--batch", type=click.IntRange(1, 5_000), default=250, show_default=True, help="Transfers per call.")
@click.option("--in-flight", type=click.IntRange(1, 1_000_000), default=4_000, show_default=True, help="Most on their way at once.")
@click.option("--asset", default="QNX", show_default=True)
@click.option("--from", "funder", default="alice", show_default=True, help="Key that opens and funds the accounts.")
@home_option("Directory of the local network [default: the one whose genesis the node has].")
@json_option
def load(
    nodes: tuple[str, ...],
    txs: int,
    accounts: int,
    connections: int,
    batch: int,
    in_flight: int,
    asset: str,
    funder: str,
    home: Path | None,
    as_json: bool,
) -> int:
    """Send signed transfers through RPC; show how many were committed, how fast, and how late.

    The accounts that send are the funded ones of `testnet up --accounts K`, or are opened and funded first by the key --from.
    """
    import trio

    from node.bench.funding import run_with_accounts
    from node.bench.load import LoadOptions
    from node.cli.asking import check_url
    from node.cli.options import DEFAULT_NODE

    options = LoadOptions(
        nodes=tuple(check_url(node) for node in nodes or (DEFAULT_NODE,)),
        txs=txs,
        connections=min(connections, accounts),
        batch=min(batch, in_flight),
        in_flight=in_flight,
        asset=asset,
    )

    def note(text: str) -> None:
        if not as_json:
            click.echo(text, err=True)

    report = trio.run(run_with_accounts, options, accounts, funder, home, note)
    data = report.to_json()
    lines = [
        f"committed {report.committed} of {report.submitted} transfers in {report.seconds} s: {report.tps} per second",
        f"latency p50 {report.p50_ms} ms, p95 {report.p95_ms} ms, p99 {report.p99_ms} ms",
        f"rejected {report.rejected}, unconfirmed {report.unconfirmed}, blocks {report.heights[0]} to {report.heights[1]}",
        f"app hashes {'equal' if report.app_hashes_equal else 'NOT EQUAL'}",
        *(f"  {name}: {count}" for name, count in report.rejections.items()),
    ]
    answer(as_json, data, lines)
    return EXIT_OK if report.committed == report.submitted and report.app_hashes_equal else EXIT_FAILED


@bench.command()
@click.option("--transactions", "--txs", "txs", type=SOME, default=40_000, show_default=True, help="Transfers.")
@click.option("--accounts", type=click.IntRange(2, COUNT_MAX), default=10_000, show_default=True)
@click.option("--block", "--block-txs", "block_txs", type=click.IntRange(1, 20_000), default=5_000, show_default=True, help="In a block.")
@click.option("--workers", default="auto", show_default=True, help="Processes for signatures: auto (as the node would), 0 or more.")
@click.option(
    "--directory",
    type=FilePath(file_okay=False, exists=True),
    help="Where the temporary database goes; the disk matters [default: the system's temporary directory].",
)
@json_option
def pipeline(txs: int, accounts: int, block_txs: int, workers: str, directory: Path | None, as_json: bool) -> None:
    """Measure one node in process: decode, verify, execute, tree, durable commit."""
    from node.bench.pipeline import PipelineOptions, run_pipeline

    if workers != "auto" and not (workers.isascii() and workers.isdecimal()):
        raise ConfigError(f'--workers {workers}: "auto" or a number')
    count = None if workers == "auto" else int(workers)
    options = PipelineOptions(txs=txs, accounts=accounts, block_txs=block_txs, workers=count)
    with tempfile.TemporaryDirectory(prefix="qenex-bench-", dir=directory) as scratch:
        data = run_pipeline(options, Path(scratch)).to_json()
    stages = data["stages_us"]
    lines = [f"{data['transactions']} transfers in {data['seconds']} s: {data['tps']} per second"]
    if isinstance(stages, dict):
        lines += [f"  {name:<12} {value:>8} us" for name, value in stages.items()]
    answer(as_json, data, lines)


@bench.command()
@click.option("--swaps", type=SOME, default=50_000, show_default=True)
@json_option
def amm(swaps: int, as_json: bool) -> None:
    """Measure swaps in the state machine, signatures left out."""
    from node.bench.amm import run_amm

    data = run_amm(swaps).to_json()
    lines = [f"{swaps} swaps, {data['failed']} failed: {data['per_second']} per second, p50 {data['p50_us']} us, p99 {data['p99_us']} us"]
    answer(as_json, data, [*lines, *(f"  {name:<12} {value:>8} us" for name, value in data["stages_us"].items())])


@bench.command()
@click.option("--transactions", type=SOME, default=100_000, show_default=True)
@json_option
def ledger(transactions: int, as_json: bool) -> None:
    """Measure a mixture of operations in the state machine, each kind by itself, signatures left out."""
    from node.bench.ledger import run_ledger

    data = run_ledger(transactions).to_json()
    times = f"p50 {data['p50_us']} us, p99 {data['p99_us']} us"
    lines = [f"{transactions} transactions, {data['failed']} failed: {data['per_second']} per second, {times}"]
    lines += [f"  {name:<12} {value:>8} us" for name, value in data["stages_us"].items()]
    for name, row in data["by_operation"].items():
        lines.append(f"  {name:<22} {row['count']:>8}  p50 {row['p50_us']:>8} us  p99 {row['p99_us']:>8} us")
    answer(as_json, data, lines)


@bench.command()
@click.option("--operations", type=SOME, default=20_000, show_default=True)
@json_option
def farm(operations: int, as_json: bool) -> None:
    """Measure stakes, claims, withdrawals and exits of farms in the state machine, signatures left out."""
    from node.bench.farm import run_farm

    data = run_farm(operations).to_json()
    times = f"p50 {data['p50_us']} us, p99 {data['p99_us']} us"
    lines = [f"{operations} operations, {data['failed']} failed: {data['per_second']} per second, {times}"]
    answer(as_json, data, [*lines, *(f"  {name:<12} {value:>8} us" for name, value in data["stages_us"].items())])


@bench.command()
@click.option("--txs", type=SOME, default=20_000, show_default=True, help="Transfers to index.")
@click.option(
    "--directory",
    type=FilePath(file_okay=False, exists=True),
    help="Where the temporary databases go; the disk matters [default: the system's temporary directory].",
)
@click.option("--dsn", default="", help="Also in this PostgreSQL database, which must have no index in it that you need.")
@json_option
def index(txs: int, directory: Path | None, dsn: str, as_json: bool) -> None:
    """Measure the index of history: taking blocks in, a page of an account's history, a search by hash."""
    from node.bench.index import run_index

    with tempfile.TemporaryDirectory(prefix="qenex-bench-", dir=directory) as scratch:
        reports = {name: report.to_json() for name, report in run_index(txs, Path(scratch), dsn).items()}
    lines = []
    for name, data in reports.items():
        lines.append(
            f"{name}: {txs} transactions, {data['rows']} rows in {data['seconds']} s: "
            f"{data['transactions_per_second']} transactions per second"
        )
        lines.append(f"  a page of history: p50 {data['history_p50_us']} us, p99 {data['history_p99_us']} us")
        lines.append(f"  a search by hash: p50 {data['search_p50_us']} us, p99 {data['search_p99_us']} us")
        lines.append(f"  {data['bytes']} bytes")
    answer(as_json, reports["sqlite"] if not dsn else reports, lines)


@bench.command(name="signer")
@click.option("--signatures", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True, help="Votes signed each way.")
@click.option("--vote-kind", type=click.Choice(["mldsa87", "mldsa65", "mldsa44"]), default="mldsa87", show_default=True)
@click.option(
    "--directory",
    type=FilePath(file_okay=False, exists=True),
    help="Where the temporary records go; the disk matters [default: the system's temporary directory].",
)
@json_option
def signer_(signatures: int, vote_kind: str, directory: Path | None, as_json: bool) -> None:
    """Measure a signature: by a signer in this process, and by one in a process of its own over TLS."""
    from node.bench.signer import run_signer_bench
    from node.keystore import parse_key_kind

    with tempfile.TemporaryDirectory(prefix="qenex-bench-", dir=directory) as scratch:
        data = run_signer_bench(signatures, parse_key_kind(vote_kind), Path(scratch)).to_json()
    lines = [
        f"{way}: p50 {data[way]['p50_us']} us, p99 {data[way]['p99_us']} us, max {data[way]['max_us']} us" for way in ("local", "remote")
    ]
    answer(as_json, data, lines)


@bench.command()
@click.option("--accounts", type=COUNT, required=True, help="How many accounts the home's state holds.")
@home_option("The home to make.", required=True)
@json_option
def seed(accounts: int, home: Path, as_json: bool) -> None:
    """Make a home with many accounts, for measurements of starting and of memory."""
    from node.bench.seed import seed_home

    data = seed_home(home, accounts).to_json()
    answer(as_json, data, [f"{name}: {value}" for name, value in data.items()])


@bench.command()
@click.option("--entries", type=click.IntRange(1, 100_000_000), default=100_000, show_default=True)
@click.option(
    "--directory",
    type=FilePath(file_okay=False, exists=True),
    help="Where the temporary log goes; the disk matters [default: the system's temporary directory].",
)
@json_option
def audit(entries: int, directory: Path | None, as_json: bool) -> None:
    """Measure the audit log: entries one by one, in groups, and the check of all of them."""
    from node.bench.audit import run_audit

    with tempfile.TemporaryDirectory(prefix="qenex-bench-", dir=directory) as scratch:
        data = run_audit(entries, Path(scratch)).to_json()
    lines = [
        f"one by one: {data['single_per_second']} entries per second, p50 {data['single_p50_us']} us",
        f"in groups of {data['group']}: {data['group_per_second']} entries per second",
        f"checked: {data['verify_per_second']} entries per second, {data['verify_seconds']} s ({data['verify_cpu_seconds']} s processor)",
    ]
    answer(as_json, data, [*lines, f"{data['bytes']} bytes"])
