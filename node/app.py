"""The process: one home, one nursery. Opens it (`node.opening`), has the parts made (`node.wiring`), runs them, ends them in order.

A part that fails cancels all others and the process ends with a non-zero exit: no RPC goes on answering for a dead consensus. No part's
work is done here.
"""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from node.config import Overrides, split_listen
from node.gc_tuning import tune_gc
from node.opening import VERSION, Opened, open_home
from node.peer_scores import keep_scores
from node.rpc.access import open_access
from node.rpc.server import serve_rpc
from node.rpc.tls import open_tls
from node.signing.key_watch import KeyWatch
from node.signing.remote import RemoteSigner
from node.stop_deadline import StopDeadline
from node.telemetry.logs import configure_logs
from node.telemetry.metrics import NodeMetrics, serve_metrics
from node.wiring import wire
from node.workers import WorkerPool
from state.primitives.errors import (
    ConfigError,
    PortInUseError,
    QenexError,
    UpgradeRequiredError,
)

EXIT_OPERATOR: Final = 2
EXIT_FAILURE: Final = 1
GRACE_SECONDS: Final = 1.5  # of an orderly stop; supervisors wait longer, operators do not


def run(root: Path, *, overrides: Overrides) -> int:
    """Run the node of a home until SIGTERM or Ctrl-C. Returns the exit code; raises `QenexError` for an operator's mistake."""
    deadline = StopDeadline(GRACE_SECONDS)
    with ExitStack() as stack:
        stack.callback(deadline.cancel)  # after everything is closed
        opened = open_home(root, overrides, stack)
        configure_logs(
            level=opened.config.log.level,
            as_json=opened.config.log.format == "json",
            moniker=opened.config.moniker,
        )
        try:
            return trio.run(_run, opened, deadline)
        except BaseExceptionGroup as group:
            return _report(group)


async def _run(opened: Opened, deadline: StopDeadline) -> int:
    log = structlog.get_logger()
    async with trio.open_nursery() as nursery:
        await nursery.start(run_opened, opened)
        log.info("node started", home=str(opened.home.root), height=opened.state.height, version=VERSION)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                deadline.start()
                break
        nursery.cancel_scope.cancel()
    return 0


async def run_opened(opened: Opened, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Wire everything and run it until cancelled."""
    log = structlog.get_logger()
    config = opened.config
    parts = wire(opened, log)
    access, tls = open_access(opened.home.tokens_file, config.rpc, trio.current_time, log), open_tls(opened.home.root, config.rpc)
    async with trio.open_nursery() as nursery:
        if isinstance(parts.checker, WorkerPool):
            await nursery.start(parts.checker.run)
        if parts.signing is not None:
            signer_address = await _start_signing(nursery, parts.signing, config.signer.listen)
            log.info("voting keys", signer=signer_address or "in this home")
        await nursery.start(parts.engine.run)
        await nursery.start(parts.gossip.run)
        await nursery.start(parts.evidence_gossip.run)
        await nursery.start(parts.snapshots.run)
        await nursery.start(parts.pruner.run)
        if parts.index is not None:
            await nursery.start(parts.index.indexer.run)
        p2p_address = await nursery.start(parts.switch.run)
        await nursery.start(keep_scores, opened.home.peer_scores_file, parts.switch.scores, parts.clock, parts.warn)
        serve = partial(serve_rpc, access=access, tls=tls)
        rpc_address = await nursery.start(serve, parts.backend, config.rpc, log)
        log.info("listening", p2p=p2p_address, rpc=rpc_address, node_id=parts.switch.id)
        await nursery.start(parts.monitor.run)
        if config.metrics.listen:
            await _start_metrics(nursery, parts.metrics, config.metrics.listen)
        tune_gc()
        task_status.started()


async def _start_signing(nursery: trio.Nursery, signing: KeyWatch | RemoteSigner, listen: str) -> str:
    """Where a signer elsewhere may call, "" for keys of our own. Before consensus, so that what it asks for is heard."""
    try:
        address: str = await nursery.start(signing.run)
    except* OSError as group:
        error = group.exceptions[0]
        raise PortInUseError(
            f"cannot listen for the signer on {listen}: {getattr(error, 'strerror', None) or error}",
            hint="stop the program that uses the port, or change [signer] listen in config.toml",
        ) from error
    return address


async def _start_metrics(nursery: trio.Nursery, metrics: NodeMetrics, listen: str) -> None:
    try:
        await nursery.start(serve_metrics, metrics, *split_listen(listen))
    except* OSError as group:
        error = group.exceptions[0]
        raise PortInUseError(
            f"cannot serve metrics on {listen}: {getattr(error, 'strerror', None) or error}",
            hint='stop the program that uses the port, or set [metrics] listen = "" in config.toml',
        ) from error


def _report(group: BaseExceptionGroup[BaseException]) -> int:
    """The exit code for what ended the node; an operator's mistake is raised again as itself."""
    leaves = _leaves(group)
    for error in leaves:
        if isinstance(error, PortInUseError | ConfigError | UpgradeRequiredError):
            raise error from None
    if all(isinstance(error, KeyboardInterrupt | trio.Cancelled) for error in leaves):
        return 0
    structlog.get_logger().error("node failed", errors=[f"{type(e).__name__}: {e}" for e in leaves])
    for error in leaves:
        if not isinstance(error, QenexError):
            sys.excepthook(type(error), error, error.__traceback__)
    return EXIT_FAILURE


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
