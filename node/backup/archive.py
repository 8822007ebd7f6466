"""The file of decided blocks in a snapshot: one frame for each height, ascending without gap, as the sync channel carries them.

    frame kind 1 = a certified block (`node.sync.messages.encode_block`): block, commit, post-quantum commit

Frames and their running checksum are `node.maintenance.frames`'. Whether a block follows from a state is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from node.maintenance.export import open_private
from node.maintenance.frames import BLOCKS_MAGIC, FrameWriter, read_frames
from node.source import StoreSource
from node.storage.frozen import StateReader
from node.sync.messages import BlockAnswer, CertifiedBlock, decode_block, decode_message, encode_block
from state.primitives.errors import ExportFileError, MalformedError, StorageError

BLOCK: Final = 1
_WRONG: Final = "copy the snapshot again, or take another"


def write_blocks(store: StateReader, first: int, last: int, path: Path, on_block: Callable[[int], None]) -> tuple[int, bytes]:
    """Write these blocks; returns size and SHA-256 of the file, whose bytes are not yet durable. Raises `OSError`, `StorageError`."""
    source = StoreSource(store)
    with open_private(path) as file:
        writer = FrameWriter(file, BLOCKS_MAGIC)
        for height in range(first, last + 1):
            on_block(height)
            certified = source.certified(height)
            if certified is None:
                raise StorageError(f"block {height} is not kept", hint=f"blocks {store.base_height()} to {store.height} are")
            writer.write(BLOCK, encode_block(certified))
        writer.finish()
        return writer.size, writer.digest


def read_blocks(path: Path, first: int, above: int = 0) -> Iterator[CertifiedBlock]:
    """The blocks of a file that begins with height `first`, those above a height. Raises `ExportFileError`.

    The checksum of a frame is verified before its block is given out; heights must be in sequence.
    """
    height = first
    try:
        with path.open("rb") as file:
            for kind, payload in read_frames(file, BLOCKS_MAGIC):
                certified = _read(path, kind, payload, height, is_wanted=height > above)
                if certified is not None:
                    yield certified
                height += 1
    except OSError as error:
        raise ExportFileError(f"cannot read {path}: {error.strerror}", hint=_WRONG) from error


def _read(path: Path, kind: int, payload: bytes, height: int, *, is_wanted: bool) -> CertifiedBlock | None:
    try:
        answer = decode_message(payload) if kind == BLOCK else None
        if isinstance(answer, BlockAnswer) and answer.height == height:
            return decode_block(answer) if is_wanted else None
    except (MalformedError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ExportFileError(f"block {height} in {path} cannot be read: {error}", hint=_WRONG) from error
    raise ExportFileError(f"{path} does not hold block {height} in its place", hint=_WRONG)
