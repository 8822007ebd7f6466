"""Files of frames under one running checksum. What the frames say is `node.maintenance.export`'s and `node.backup.archive`'s.

    file  = 51 45 58 53 54 41 54 45 00 00 00 01 ("QEXSTATE", version 1) or "QEXBLOCK" likewise, frame, frame, ..., END frame
    frame = kind u8 | length u32 | payload | the first 8 bytes of SHA-256 over the file up to here
    END   = the same with an empty payload and all 32 bytes of the checksum; nothing follows it

So a changed, missing or added byte anywhere is found, and found before the frame that it is in is used. Big-endian. A checksum proves
nothing about who made the file: that is what the header and commit inside are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import BinaryIO, Final

from state.primitives.errors import ExportFileError
from state.primitives.limits import EXPORT_FRAME_BYTES_MAX

MAGIC: Final = b"QEXSTATE\x00\x00\x00\x01"
BLOCKS_MAGIC: Final = b"QEXBLOCK\x00\x00\x00\x01"
END: Final = 0
_TAG_BYTES: Final = 8


def do_nothing() -> None:
    """For who need not hear of frames."""


class FrameWriter:
    """Writes to an open binary file. `OSError` rises. `on_frame` is called before each frame, and may raise to end it all."""

    def __init__(self, file: BinaryIO, magic: bytes = MAGIC, on_frame: Callable[[], None] = do_nothing) -> None:
        self._file = file
        self._hash = sha256()
        self._on_frame = on_frame
        self.size = 0
        self._put(magic)

    def write(self, kind: int, payload: bytes) -> None:
        """One frame."""
        self._on_frame()
        self._put(bytes((kind,)) + len(payload).to_bytes(4, "big"))
        self._put(payload)
        self._put(self._hash.digest()[:_TAG_BYTES])

    def finish(self) -> bytes:
        """The END frame; returns the file's checksum."""
        self._put(bytes(5))
        digest = self._hash.digest()
        self._put(digest)
        return digest

    @property
    def digest(self) -> bytes:
        """SHA-256 of everything written so far: after `finish`, the file's."""
        return self._hash.digest()

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.size += len(data)


def read_frames(file: BinaryIO, magic_wanted: bytes = MAGIC) -> Iterator[tuple[int, bytes]]:
    """(kind, payload) of every frame, checked; ends after a good END. Raises `ExportFileError` for anything else, `OSError`."""
    running = sha256()

    def take(count: int) -> bytes:
        data = file.read(count)
        if len(data) != count:
            raise ExportFileError("the file ends too early", hint="it was not written or not copied to its end: get it again")
        return data

    magic = file.read(len(MAGIC))
    if magic[:8] != magic_wanted[:8]:
        what, how = ("exported state", "export") if magic_wanted == MAGIC else ("archive of blocks", "snapshot create")
        raise ExportFileError(f"this is no {what}", hint=f"qenex {how} makes one")
    if magic != magic_wanted:
        raise ExportFileError("the file has a format of another version", hint="read it with the version that made it")
    running.update(magic)
    while True:
        head = take(5)
        kind, size = head[0], int.from_bytes(head[1:], "big")
        if size > EXPORT_FRAME_BYTES_MAX:
            raise _damaged()
        payload = take(size)
        running.update(head)
        running.update(payload)
        expected = running.digest()
        if kind == END:
            if size or take(len(expected)) != expected or file.read(1):
                raise _damaged()
            return
        tag = take(_TAG_BYTES)
        if tag != expected[:_TAG_BYTES]:
            raise _damaged()
        running.update(tag)
        yield kind, payload


def _damaged() -> ExportFileError:
    return ExportFileError("the file is damaged: its checksum does not hold", hint="get the file again")
