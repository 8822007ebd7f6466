"""A stopped node's database, readable without a single change to it.

LevelDB has no way to open without writing: it replays its log, starts a new manifest and deletes what is no longer needed. So it is
opened in a temporary folder of symbolic links: it reads the home's files through them, writes only files of its own beside them, and
deletes only links. Meanwhile the home's own lock is held, so that no node starts and moves the files. Nothing is interpreted here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from node.storage.store import Store, StoreOptions
from state.primitives.errors import HomeError

SHADOW_PREFIX: Final = "qenex-shadow-"
LOCK: Final = "LOCK"
_OWN: Final = (LOCK, "LOG", "LOG.old")  # LevelDB makes these itself
_COPIED: Final = "CURRENT"  # a few bytes that it replaces


@contextmanager
def open_shadow(path: Path, options: StoreOptions | None = None) -> Iterator[Store]:
    """The store of a database folder, read only. Raises `HomeError` if a node uses it, and what `Store.open` raises."""
    if not path.is_dir():
        raise HomeError(f"there is no database in {path}", hint="a node that has never been started has none")
    with hold_database(path), _linked(path) as shadow:
        store = Store.open(shadow, options)
        try:
            yield store
        finally:
            store.close()


def is_database_in_use(path: Path) -> bool:
    """Whether another process has this database open."""
    try:
        with hold_database(path):
            return False
    except HomeError:
        return True


@contextmanager
def hold_database(path: Path) -> Iterator[None]:
    """Hold LevelDB's own lock of a folder: no node runs meanwhile. Raises `HomeError` if one does.

    A folder that cannot be written to, or has no lock file, has no user either.
    """
    descriptor = -1
    with suppress(OSError):
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    if descriptor < 0:
        yield
        return
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HomeError(
                f"the database in {path} is in use by another process", hint="stop the node of this home first"
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _linked(path: Path) -> Iterator[Path]:
    try:
        folder = Path(tempfile.mkdtemp(prefix=SHADOW_PREFIX))
    except OSError as error:
        raise HomeError(f"cannot make a temporary folder: {error.strerror}", hint="set TMPDIR to a folder with free space") from error
    try:
        try:
            for entry in sorted(path.iterdir()):
                if entry.name == _COPIED:
                    shutil.copyfile(entry, folder / entry.name)
                elif entry.name not in _OWN:
                    (folder / entry.name).symlink_to(entry.resolve())
        except OSError as error:
            raise HomeError(f"cannot read {path}: {error.strerror}", hint="check the owner of its files") from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
