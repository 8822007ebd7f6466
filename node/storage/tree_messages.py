"""What a store and its tree worker say to each other: frames on a pipe, strictly a question and then its answer.

A frame is its size (4 bytes, big-endian) and a msgpack array whose first item is the message's name:

    store to worker   open, update, settle (no answer), paths; leaves: the answer to `need`
    worker to store   done: the answer; need: buckets whose leaves must be sent first; damaged: what does not fit together

Both ends run the same version, so the contents are trusted; only sizes and the end of the pipe are checked.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from typing import Any, Final

from node.storage.trees import Past, Paths, TreeUpdate
from state.primitives.codec import encode_trusted, unpack
from state.primitives.errors import MalformedError, StorageError, TreeWorkerError
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import TREE_FRAME_BYTES_MAX
from state.tree import Touched
from state.tree_hash import Leaves

OPEN: Final = "open"
UPDATE: Final = "update"
SETTLE: Final = "settle"
PATHS: Final = "paths"
LEAVES: Final = "leaves"
DONE: Final = "done"
NEED: Final = "need"
DAMAGED: Final = "damaged"
_PIPE_READ_BYTES: Final = 1 << 20


def send_message(fd: int, message: Sequence[Any]) -> None:
    """Write one frame. Raises `TreeWorkerError`."""
    body = encode_trusted(message)
    if len(body) > TREE_FRAME_BYTES_MAX:
        raise StorageError(
            f"a message of {len(body)} bytes to the tree worker, at most {TREE_FRAME_BYTES_MAX} are possible"
        )
    rest = memoryview(len(body).to_bytes(4, "big") + body)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError as error:
        raise TreeWorkerError(f"the tree worker's pipe is closed: {error}", hint="start the node again") from error


def receive_message(fd: int, seconds_max: int | None) -> Any:
    """Read one frame, within a time if one is given. Raises `TreeWorkerError`."""
    size = int.from_bytes(_read(fd, 4, seconds_max), "big")
    if size > TREE_FRAME_BYTES_MAX:
        raise TreeWorkerError(
            f"a message of {size} bytes from the tree worker, at most {TREE_FRAME_BYTES_MAX} are possible"
        )
    try:
        return unpack(_read(fd, size, seconds_max), bytes_max=TREE_FRAME_BYTES_MAX)
    except MalformedError as error:
        raise TreeWorkerError(f"the tree worker's pipe carries no message: {error.message}") from error


def _read(fd: int, size: int, seconds_max: int | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            if seconds_max is not None:
                waiter = select.poll()
                waiter.register(fd, select.POLLIN)
                if not waiter.poll(seconds_max * 1000):
                    raise TreeWorkerError(
                        f"the tree worker was silent for {seconds_max} s", hint="start the node again"
                    )
            chunk = os.read(fd, min(size - len(data), _PIPE_READ_BYTES))
        except OSError as error:
            raise TreeWorkerError(f"the tree worker's pipe failed: {error}", hint="start the node again") from error
        if not chunk:
            raise TreeWorkerError("the tree worker died", hint="see its last words above, then start the node again")
        data += chunk
    return bytes(data)


# contents


def pack_hashes(hashes: Sequence[tuple[int, bytes]]) -> bytes:
    """The hashes of buckets."""
    return b"".join(bucket.to_bytes(3, "big") + node_hash for bucket, node_hash in hashes)


def unpack_hashes(data: bytes) -> list[tuple[int, bytes]]:
    """See `pack_hashes`."""
    return [
        (int.from_bytes(data[place : place + 3], "big"), data[place + 3 : place + 35])
        for place in range(0, len(data), 35)
    ]


def pack_leaves(leaves: Leaves) -> bytes:
    """The leaves of one bucket."""
    return b"".join(kh + node_hash for kh, node_hash in leaves)


def unpack_leaves(data: bytes) -> list[tuple[bytes, bytes]]:
    """See `pack_leaves`."""
    step = 2 * HASH_BYTES
    return [
        (data[place : place + HASH_BYTES], data[place + HASH_BYTES : place + step])
        for place in range(0, len(data), step)
    ]


def pack_update(update: TreeUpdate) -> list[Any]:
    """What staging gave."""
    shards = [(shard, *roots) for shard, roots in update.touched.shards.items()]
    return [update.root, update.leaves, list(update.touched.buckets.items()), shards]


def unpack_update(value: Sequence[Any]) -> TreeUpdate:
    """See `pack_update`."""
    root, leaves, buckets, shards = value
    return TreeUpdate(root, leaves, Touched(dict(buckets), {shard: (old, new) for shard, old, new in shards}))


def pack_past(past: Past | None) -> list[Any] | None:
    """An earlier state."""
    return None if past is None else [past.roots, list(past.changes.items())]


def unpack_past(value: Sequence[Any] | None) -> Past | None:
    """See `pack_past`."""
    return None if value is None else Past(value[0], dict(value[1]))


def unpack_paths(value: Sequence[Any]) -> Paths:
    """Paths, as they were sent."""
    return tuple((kh, list(steps)) for kh, steps in value)
