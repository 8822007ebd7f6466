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
from node.failing import Failures
from node.gc_tuning import tune_gc
from node.listening import listens_of, require_listens
from node.opening import VERSION, Opened, open_home
from node.peer_scores import keep_scores
from node.places import close_to_others
from node.rpc.access import open_access
from node.rpc.server import serve_rpc
from node.stop_deadline import StopDeadline
from node.telemetry.levels import levels_of
from node.telemetry.logs import configure_logs, get_log, set_levels
from node.telemetry.metrics import serve_metrics
from node.wiring import Parts, wire
from node.workers import WorkerPool

GRACE_SECONDS: Final = 1.5  # to stop in order; supervisors wait longer, operators do not


def run(root: Path, *, overrides: Overrides) -> int:
    """Run the node of a home until SIGTERM or Ctrl-C. Returns the exit code; raises `QenexError` for an operator's mistake."""
    deadline = StopDeadline(GRACE_SECONDS)
    terminal = Terminal()
    with ExitStack() as stack:
        stack.callback(terminal.restore)
        stack.callback(deadline.cancel)  # after everything is closed
        failures = Failures(Home(root), deadline)
        _prepare_home(Home(root), overrides)
        opened = open_home(root, overrides, stack)
        try:
            return trio.run(_run, opened, deadline, terminal, failures)
        except BaseExceptionGroup as group:
            return failures.report(group)


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
    require_listens(listens_of(config))
    configure_logs(level=config.log.level, as_json=config.log.format == "json", moniker=config.moniker)
    set_levels(levels_of(config.log))
    for line in close_to_others((home.root, home.keys_dir, home.data_dir)):
        get_log("app").warning("folder was open to others", what=line)


async def _run(opened: Opened, deadline: StopDeadline, terminal: Terminal, failures: Failures) -> int:
    log = get_log("app")
    async with trio.open_nursery() as nursery:
        parts = await nursery.start(run_opened, opened, failures)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            log.info("node started", home=str(opened.home.root), height=opened.state.height, version=VERSION)
            async for number in signals:
                if number == signal.SIGHUP and not terminal.is_gone():
                    nursery.start_soon(failures.watch, parts.reloader.reload_or_say)
                    continue
                log.info("stopping", signal=signal.Signals(number).name)
                deadline.start()
                break
        nursery.cancel_scope.cancel()
    return 0


async def run_opened(
    opened: Opened, failures: Failures | None = None, *, task_status: trio.TaskStatus[Parts] = trio.TASK_STATUS_IGNORED
) -> None:
    """Wire everything and run it until cancelled. The audit log hears of the beginning before anybody is answered, and of the end.

    `failures` hears of a part that has failed while the others still end; without it (a node within a longer program) nobody does.
    """
    parts = wire(opened)
    note_start(parts.audit, opened.config, VERSION, opened.state.height)
    try:
        await _run_parts(opened, parts, failures, task_status)
    except BaseException as error:
        _end_audit(parts, error)
        raise
    _end_audit(parts, None)


def _end_audit(parts: Parts, error: BaseException | None) -> None:
    parts.requests.flush(is_last=True)
    note_end(parts.audit, parts.backend.height, error)
    parts.audit.close()


async def _run_parts(opened: Opened, parts: Parts, failures: Failures | None, task_status: trio.TaskStatus[Parts]) -> None:
    log, config = get_log("app"), opened.config
    access = open_access(opened.home.tokens_file, config.rpc, trio.current_time, get_log("rpc"))
    async with trio.open_nursery() as nursery:
        start = nursery.start if failures is None else partial(nursery.start, failures.watch)
        await start(parts.audit.run)
        await start(parts.requests.run)
        if isinstance(parts.checker, WorkerPool):
            await start(parts.checker.run)
        if parts.signing is not None:
            signer_address = await start(parts.signing.run)
            log.info("voting keys", signer=signer_address or "in this home")
        await start(parts.engine.run)
        await start(parts.gossip.run)
        await start(parts.evidence_gossip.run)
        await start(parts.snapshots.run)
        await start(parts.pruner.run)
        await start(parts.snapshot_maker.run)
        if parts.index is not None:
            await start(parts.index.indexer.run)
        p2p_address = await start(parts.switch.run)
        await start(keep_scores, opened.home.peer_scores_file, parts.switch.scores, parts.clock, parts.warn)
        serve = partial(serve_rpc, access=access, live=parts.reloader.targets.live, requests=parts.requests)
        rpc_address = await start(serve, parts.backend, config.rpc, get_log("rpc"))
        log.info("listening", p2p=p2p_address, rpc=rpc_address, node_id=parts.switch.id)
        await start(parts.monitor.run)
        if config.metrics.listen:
            await start(serve_metrics, parts.metrics, *split_listen(config.metrics.listen))
        if parts.anchorer is not None:
            await start(parts.anchorer.run)
        await start(parts.reloader.targets.levels.run)
        tune_gc()
        task_status.started(parts)
