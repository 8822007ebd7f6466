"""The process: one home, one nursery. Opens it (`node.opening`), has the parts made (`node.wiring`), runs them, ends them in order.

A part that fails cancels all others and the process ends with a non-zero exit: no RPC goes on answering for a dead consensus. SIGTERM and
Ctrl-C end the process, SIGHUP makes it read its settings again (`node.reload`). No part's work is done here.
"""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import trio

from node.audit.life import note_end, note_start
from node.config import Home, Overrides, load_config, split_listen
from node.gc_tuning import tune_gc
from node.opening import VERSION, Opened, open_home
from node.peer_scores import keep_scores
from node.places import close_to_others
from node.rpc.access import open_access
from node.rpc.server import serve_rpc
from node.signing.key_watch import KeyWatch
from node.signing.remote import RemoteSigner
from node.stop_deadline import StopDeadline
from node.telemetry.levels import levels_of
from node.telemetry.logs import configure_logs, get_log, set_levels
from node.telemetry.metrics import NodeMetrics, serve_metrics
from node.wiring import Parts, wire
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
    terminal = Terminal()
    with ExitStack() as stack:
        stack.callback(terminal.restore)
        stack.callback(deadline.cancel)  # after everything is closed
        _prepare_home(Home(root), overrides)
        opened = open_home(root, overrides, stack)
        try:
            return trio.run(_run, opened, deadline, terminal)
        except BaseExceptionGroup as group:
            return _report(group)


class Terminal:
    """The terminal that the process was started from, if it was. SIGHUP of one that was closed means: stop."""

    def __init__(self) -> None:
        self._was_there = sys.stderr.isatty()
        self._before = signal.getsignal(signal.SIGHUP)
        if not self._was_there:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # while the home is opened there is nothing to read again

    def restore(self) -> None:
        """What SIGHUP did before; for a process that goes on without a node."""
        signal.signal(signal.SIGHUP, self._before)

    def is_gone(self) -> bool:
        """Whether there was one and is none any more."""
        return self._was_there and not sys.stderr.isatty()


def _prepare_home(home: Home, overrides: Overrides) -> None:
    """Logs as the settings say, and folders that are this user's alone, before anything in the home is opened."""
    home.require()
    config = load_config(home.config_file, overrides=overrides.settings)
    configure_logs(level=config.log.level, as_json=config.log.format == "json", moniker=config.moniker)
    set_levels(levels_of(config.log))
    for line in close_to_others((home.root, home.keys_dir, home.data_dir)):
        get_log("app").warning("folder was open to others", what=line)


async def _run(opened: Opened, deadline: StopDeadline, terminal: Terminal) -> int:
    log = get_log("app")
    async with trio.open_nursery() as nursery:
        parts = await nursery.start(run_opened, opened)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            log.info("node started", home=str(opened.home.root), height=opened.state.height, version=VERSION)
            async for number in signals:
                if number == signal.SIGHUP and not terminal.is_gone():
                    nursery.start_soon(parts.reloader.reload_or_say)
                    continue
                log.info("stopping", signal=signal.Signals(number).name)
                deadline.start()
                break
        nursery.cancel_scope.cancel()
    return 0


async def run_opened(opened: Opened, *, task_status: trio.TaskStatus[Parts] = trio.TASK_STATUS_IGNORED) -> None:
    """Wire everything and run it until cancelled. The audit log hears of the beginning before anybody is answered, and of the end."""
    parts = wire(opened)
    note_start(parts.audit, opened.config, VERSION, opened.state.height)
    try:
        await _run_parts(opened, parts, task_status)
    except BaseException as error:
        _end_audit(parts, error)
        raise
    _end_audit(parts, None)


def _end_audit(parts: Parts, error: BaseException | None) -> None:
    parts.requests.flush(is_last=True)
    note_end(parts.audit, parts.backend.height, error)
    parts.audit.close()


async def _run_parts(opened: Opened, parts: Parts, task_status: trio.TaskStatus[Parts]) -> None:
    log, config = get_log("app"), opened.config
    access = open_access(opened.home.tokens_file, config.rpc, trio.current_time, get_log("rpc"))
    async with trio.open_nursery() as nursery:
        await nursery.start(parts.audit.run)
        await nursery.start(parts.requests.run)
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
        await nursery.start(parts.snapshot_maker.run)
        if parts.index is not None:
            await nursery.start(parts.index.indexer.run)
        p2p_address = await nursery.start(parts.switch.run)
        await nursery.start(keep_scores, opened.home.peer_scores_file, parts.switch.scores, parts.clock, parts.warn)
        serve = partial(serve_rpc, access=access, live=parts.reloader.targets.live, requests=parts.requests)
        rpc_address = await nursery.start(serve, parts.backend, config.rpc, get_log("rpc"))
        log.info("listening", p2p=p2p_address, rpc=rpc_address, node_id=parts.switch.id)
        await nursery.start(parts.monitor.run)
        if config.metrics.listen:
            await _start_metrics(nursery, parts.metrics, config.metrics.listen)
        if parts.anchorer is not None:
            await nursery.start(parts.anchorer.run)
        await nursery.start(parts.reloader.targets.levels.run)
        tune_gc()
        task_status.started(parts)


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
    get_log("app").error("node failed", errors=[f"{type(e).__name__}: {e}" for e in leaves])
    for error in leaves:
        if not isinstance(error, QenexError):
            sys.excepthook(type(error), error, error.__traceback__)
    return EXIT_FAILURE


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
