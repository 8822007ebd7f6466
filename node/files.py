"""The system calls behind the consensus log and the signer's record, so that a simulated disk can stand where the machine's was.

Both files live by what is durable when, so this is as thin as possible: each method is one call of `os`, with its errors (`OSError`).
Nothing may be remembered or decided here. The simulator's double is `node.simulator.disk`.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Final, Protocol

READ_WRITE: Final = os.O_RDWR | os.O_CLOEXEC
APPEND: Final = READ_WRITE | os.O_APPEND
CREATE: Final = os.O_CREAT | os.O_EXCL
NO_LINK: Final = os.O_NOFOLLOW


class Files(Protocol):
    """Files by descriptor, folders by path."""

    def make_folder(self, folder: Path) -> None:
        """Create it with its parents, for this user alone, if it is missing."""
        ...

    def names(self, folder: Path) -> list[str]:
        """What is in a folder, sorted."""
        ...

    def exists(self, path: Path) -> bool:
        """Whether a file is there."""
        ...

    def read(self, path: Path) -> bytes:
        """A whole file."""
        ...

    def open(self, path: Path, flags: int) -> int:
        """A descriptor; a new file is for this user alone."""
        ...

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        """At most `size` bytes."""
        ...

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        """How many bytes were written."""
        ...

    def write(self, descriptor: int, data: bytes) -> None:
        """All of it; at the end, for a file opened with `APPEND`."""
        ...

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file off."""
        ...

    def sync(self, descriptor: int) -> None:
        """Wait until a file and its length are durable."""
        ...

    def sync_data(self, descriptor: int) -> None:
        """Wait until what is needed to read a file's content is durable."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Wait until the names in a folder are durable."""
        ...

    def close(self, descriptor: int) -> None:
        """Release it, with its lock."""
        ...

    def lock(self, descriptor: int) -> None:
        """Take the file's exclusive lock. Raises `BlockingIOError` if another process has it."""
        ...

    def is_file(self, descriptor: int) -> bool:
        """Whether it is a regular file."""
        ...

    def is_private(self, descriptor: int) -> bool:
        """Whether it is a regular file of this user that nobody else can write."""
        ...

    def rename(self, path: Path, new: Path) -> None:
        """Another name for a file."""
        ...

    def link(self, path: Path, new: Path) -> None:
        """A second name for a file. Raises `FileExistsError`."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a name; a missing one is no error."""
        ...


class RealFiles:
    """The machine's."""

    def make_folder(self, folder: Path) -> None:
        """See `Files`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self, folder: Path) -> list[str]:
        """See `Files`."""
        return sorted(os.listdir(folder))

    def exists(self, path: Path) -> bool:
        """See `Files`."""
        return path.exists()

    def read(self, path: Path) -> bytes:
        """See `Files`."""
        return path.read_bytes()

    def open(self, path: Path, flags: int) -> int:
        """See `Files`."""
        return os.open(path, flags, 0o600)

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        """See `Files`."""
        return os.pread(descriptor, size, offset)

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        """See `Files`."""
        return os.pwrite(descriptor, data, offset)

    def write(self, descriptor: int, data: bytes) -> None:
        """See `Files`."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def truncate(self, descriptor: int, size: int) -> None:
        """See `Files`."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """See `Files`."""
        os.fsync(descriptor)

    def sync_data(self, descriptor: int) -> None:
        """See `Files`."""
        os.fdatasync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """See `Files`."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """See `Files`."""
        os.close(descriptor)

    def lock(self, descriptor: int) -> None:
        """See `Files`."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_file(self, descriptor: int) -> bool:
        """See `Files`."""
        return stat.S_ISREG(os.fstat(descriptor).st_mode)

    def is_private(self, descriptor: int) -> bool:
        """See `Files`."""
        status = os.fstat(descriptor)
        return stat.S_ISREG(status.st_mode) and not status.st_mode & 0o022 and status.st_uid == os.geteuid()

    def rename(self, path: Path, new: Path) -> None:
        """See `Files`."""
        path.rename(new)

    def link(self, path: Path, new: Path) -> None:
        """See `Files`."""
        os.link(path, new)

    def remove(self, path: Path) -> None:
        """See `Files`."""
        path.unlink(missing_ok=True)


MACHINE: Final[Files] = RealFiles()
