"""A signature worker: frames of jobs on standard input, a verdict byte for each job on standard output.

Ends when its parent closes the pipe, so that no worker outlives its node. Started by `node.workers` only.
"""

from __future__ import annotations

import signal
import sys

from node.workers import FRAME_BYTES_MAX, answer_request


def main() -> int:
    """Serve until the pipe closes; 1 if a frame is impossible."""
    # Ctrl-C reaches the whole process group; the parent decides when its workers end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while header := source.read(4):
        size = int.from_bytes(header, "big")
        if len(header) < 4 or size > FRAME_BYTES_MAX:
            return 1
        request = source.read(size)
        if len(request) < size:
            return 0  # the parent died in the middle of a frame
        sink.write(answer_request(request))
        sink.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
