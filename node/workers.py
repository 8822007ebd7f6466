"""Signature checks, in worker processes or inline, behind one call.

With processor cores to spare, batches go to worker processes over pipes and the event loop stays free; without, the same
checks run inline in slices, so that votes and pings are answered in between. Which of the two is a setting, never a
difference in verdict. A helper *thread* is no third way: beside a busy Python thread its many short calls starve.
Nothing about transactions or blocks may be known here: a job is a key, a message, a signature and a context.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
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
    """Checks in `count` processes. `run` must be running; a worker that dies stops the node, as a wrong verdict might."""

    def __init__(self, count: int) -> None:
        self._send, self._receive = trio.open_memory_channel[_Batch](0)
        self.count = count

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the processes, serve until cancelled, end them."""
        async with trio.open_nursery() as nursery:
            for _ in range(self.count):
                await nursery.start(self._serve_one)
            task_status.started()

    async def verify(self, jobs: Sequence[SignatureJob]) -> list[bool]:
        """See `SignatureChecker`."""
        size = min(BATCH_JOBS_MAX, max(1, math.ceil(len(jobs) / self.count)))
        batches = [_Batch(jobs[start : start + size]) for start in range(0, len(jobs), size)]
        async with trio.open_nursery() as nursery:
            for batch in batches:
                nursery.start_soon(self._send.send, batch)
            for batch in batches:
                await batch.done.wait()
        return [verdict for batch in batches for verdict in batch.verdicts]

    async def _serve_one(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        process: trio.Process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "node.worker_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        try:
            task_status.started()
            async for batch in self._receive.clone():
                await self._check(process, batch)
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
                if process.stdin is not None:
                    await process.stdin.aclose()
                if process.stdout is not None:
                    await process.stdout.aclose()

    async def _check(self, process: trio.Process, batch: _Batch) -> None:
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise ConsensusFailure("a signature worker has no pipes")
        request = encode_trusted([(int(key.kind), key.data, *rest) for key, *rest in batch.jobs])
        try:
            await stdin.send_all(len(request).to_bytes(4, "big") + request)
            answer = await _receive_exactly(stdout, len(batch.jobs))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConsensusFailure("a signature worker process died") from error
        batch.verdicts = [verdict == 1 for verdict in answer]
        batch.done.set()


class _Batch:
    __slots__ = ("done", "jobs", "verdicts")

    def __init__(self, jobs: Sequence[SignatureJob]) -> None:
        self.jobs = jobs
        self.verdicts: list[bool] = []
        self.done = trio.Event()


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
