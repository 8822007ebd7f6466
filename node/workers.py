"""Signature checks, in worker processes or inline, behind one call.

With processor cores to spare, batches go to worker processes over pipes and the event loop stays free; without, the same
checks run inline in slices, so that votes and pings are answered in between. Which of the two is a setting, never a
difference in verdict. A helper *thread* is no third way: beside a busy Python thread its many short calls starve.
Nothing about transactions or blocks may be known here: a job is a key, a message, a signature and a context.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import trio

from state.primitives.codec import encode_trusted, unpack
from state.primitives.errors import ConsensusFailure
from state.primitives.keys import KeyKind, PublicKey, verify_ed25519

# (key, message, signature, ML-DSA context)
SignatureJob: TypeAlias = tuple[PublicKey, bytes, bytes, bytes]

INLINE_SLICE_JOBS: Final = 64  # about 3 ms of Ed25519 between two turns of the event loop
BATCH_JOBS_MAX: Final = 512  # per message to a worker: 20 ms of work, so that several workers share one block
PIPE_BYTES: Final = 1024 * 1024  # most that Linux gives without privileges; about 6,000 jobs
FRAME_BYTES_MAX: Final = 64 * 1024 * 1024


class SignatureChecker(Protocol):
    """Checks signatures; one verdict for each job, in order."""

    async def verify(self, jobs: Sequence[SignatureJob]) -> list[bool]:
        """One bool for each job. Never raises for bad signatures."""
        ...


def verify_now(jobs: Sequence[SignatureJob]) -> list[bool]:
    """Check all jobs in the calling thread."""
    ed25519 = KeyKind.ED25519
    return [
        verify_ed25519(key.data, message, signature)
        if key.kind is ed25519
        else key.verify(message, signature, context)
        for key, message, signature, context in jobs
    ]


class InlineChecker:
    """Checks on the event loop, in slices."""

    async def verify(self, jobs: Sequence[SignatureJob]) -> list[bool]:
        """See `SignatureChecker`."""
        verdicts: list[bool] = []
        for start in range(0, len(jobs), INLINE_SLICE_JOBS):
            if start:
                await trio.lowlevel.checkpoint()
            verdicts += verify_now(jobs[start : start + INLINE_SLICE_JOBS])
        return verdicts


class WorkerPool:
    """Checks in `count` processes. `run` must be running; a worker that dies stops the node, as a wrong verdict might.

    A request is in its worker's pipe before `verify` first waits, so the workers are busy while this process executes a block.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._workers: list[_Worker] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the processes, serve until cancelled, end them."""
        async with trio.open_nursery() as nursery:
            for _ in range(self.count):
                worker = await nursery.start(_serve_one)
                self._workers.append(worker)
            task_status.started()

    async def verify(self, jobs: Sequence[SignatureJob]) -> list[bool]:
        """See `SignatureChecker`."""
        size = min(BATCH_JOBS_MAX, max(1, math.ceil(len(jobs) / self.count)))
        batches = [_Batch(jobs[start : start + size]) for start in range(0, len(jobs), size)]
        for batch in batches:
            min(self._workers, key=lambda worker: worker.jobs_waiting).give(batch)
        await trio.lowlevel.checkpoint()
        for batch in batches:
            await batch.done.wait()
        return [verdict for batch in batches for verdict in batch.verdicts]


class _Batch:
    __slots__ = ("done", "jobs", "verdicts")

    def __init__(self, jobs: Sequence[SignatureJob]) -> None:
        self.jobs = jobs
        self.verdicts: list[bool] = []
        self.done = trio.Event()


class _Worker:
    """One process's pipes: requests out, as far as they fit at once, and answers in, in the same order."""

    def __init__(self, stdin: trio.lowlevel.FdStream, stdout: trio.abc.ReceiveStream) -> None:
        self.jobs_waiting = 0
        self._fd = stdin.fileno()
        self._stdout = stdout
        self._frames: deque[memoryview] = deque()
        self._asked: deque[_Batch] = deque()
        self._to_send = trio.Event()
        self._to_receive = trio.Event()
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # the default length works too, with more pauses
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def give(self, batch: _Batch) -> None:
        """Ask for a batch; `batch.done` tells when it is answered."""
        request = encode_trusted([(int(key.kind), key.data, *rest) for key, *rest in batch.jobs])
        self.jobs_waiting += len(batch.jobs)
        self._asked.append(batch)
        self._frames.append(memoryview(len(request).to_bytes(4, "big") + request))
        if len(self._frames) == 1:
            self._push()
        self._to_send.set()
        self._to_receive.set()

    def _push(self) -> None:
        try:
            while self._frames:
                frame = self._frames[0]
                sent = os.write(self._fd, frame)
                if sent < len(frame):
                    self._frames[0] = frame[sent:]
                else:
                    self._frames.popleft()
        except BlockingIOError:
            return  # the pipe is full: `send` goes on
        except OSError as error:
            raise ConsensusFailure("a signature worker process died") from error

    async def send(self) -> None:
        """Write what did not fit, until cancelled."""
        while True:
            await self._to_send.wait()
            self._to_send = trio.Event()
            while self._frames:
                await trio.lowlevel.wait_writable(self._fd)
                self._push()

    async def receive(self) -> None:
        """Read answers, until cancelled."""
        while True:
            await self._to_receive.wait()
            self._to_receive = trio.Event()
            while self._asked:
                batch = self._asked[0]
                try:
                    answer = await _receive_exactly(self._stdout, len(batch.jobs))
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    raise ConsensusFailure("a signature worker process died") from error
                self._asked.popleft()
                self.jobs_waiting -= len(batch.jobs)
                batch.verdicts = [verdict == 1 for verdict in answer]
                batch.done.set()


async def _serve_one(*, task_status: trio.TaskStatus[_Worker] = trio.TASK_STATUS_IGNORED) -> None:
    process: trio.Process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "node.worker_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    stdin, stdout = process.stdin, process.stdout
    try:
        if not isinstance(stdin, trio.lowlevel.FdStream) or stdout is None:
            raise ConsensusFailure("a signature worker has no pipes")
        worker = _Worker(stdin, stdout)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.send)
            nursery.start_soon(worker.receive)
            task_status.started(worker)
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            if stdin is not None:
                await stdin.aclose()
            if stdout is not None:
                await stdout.aclose()


async def _receive_exactly(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = await stream.receive_some(size - len(data))
        if not chunk:
            raise trio.BrokenResourceError("end of the worker's answers")
        data += chunk
    return bytes(data)


def answer_request(request: bytes) -> bytes:
    """What a worker process replies to one request: a byte 1 or 0 for each job."""
    jobs = [
        (PublicKey(KeyKind(kind), key), message, signature, context)
        for kind, key, message, signature, context in unpack(request, bytes_max=FRAME_BYTES_MAX)
    ]
    return bytes(verify_now(jobs))


def make_checker(count: int) -> InlineChecker | WorkerPool:
    """The checker of a setting: 0 is inline, n is n processes."""
    return WorkerPool(count) if count else InlineChecker()


def default_worker_count(validators_on_this_host: int = 1) -> int:
    """Cores that are free beside the event loop of each node on this host, at most 4."""
    return max(0, min(4, len(os.sched_getaffinity(0)) - validators_on_this_host))


__all__ = [
    "InlineChecker",
    "SignatureChecker",
    "SignatureJob",
    "WorkerPool",
    "answer_request",
    "default_worker_count",
    "make_checker",
    "verify_now",
]
