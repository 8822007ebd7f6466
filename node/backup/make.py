"""Making a snapshot from one moment of a store: the state of a height, the decided blocks before it, the manifest.

Works for a running node (in a thread, `node.backup.task`) and a stopped one alike. Everything is written into a folder beside and renamed
when it is whole and durable, so a kill at any moment leaves a folder that is no snapshot. Memory is one frame and what has changed in one
shard. Some room on the disk is never touched: a snapshot must not stop the node whose disk it is on.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.block import Block
from genesis.document import Document
from node.backup.archive import write_blocks
from node.backup.manifest import (
    BLOCKS,
    DELETING_PREFIX,
    FORMAT,
    PARTIAL_PREFIX,
    STATE,
    Manifest,
    SnapshotFile,
    Watch,
    sync_file,
    whole_snapshots,
    write_manifest,
)
from node.maintenance.export import ExportHead, check_head, export_state, hash_of, make_head_of, sync_directory
from node.statesync.restore import fold_shards
from node.storage.frozen import FrozenStore
from state.primitives.codec import decode
from state.primitives.errors import ExportFileError, HomeError, SnapshotError
from state.tree import SHARDS

NEWEST: Final = -1  # as a base: the newest snapshot that is in the folder already
RESERVE_BYTES: Final = 1024 * 1024 * 1024
RESERVE_SHARE: Final = 20  # of a small disk: a twentieth
COMPRESSED: Final = 2  # the database compresses, a snapshot does not: at most about this much


@dataclass(frozen=True, slots=True)
class Made:
    """A new snapshot. Blocks `missing_from` to `missing_to` should have been archived but are pruned; 0 if all are there."""

    path: Path
    manifest: Manifest
    missing_from: int = 0
    missing_to: int = 0


def make_snapshot(
    store: FrozenStore, document: Document, folder: Path, version: str, watch: Watch, *, height: int | None = None, base: int = NEWEST
) -> Made:
    """Make `folder/<chain id>-<height>`. `height` None is the newest that a block fixes; blocks above `base` are archived with it.

    A base at or above the height: no blocks. Raises `SnapshotError`, `StorageError`, and what reading the store raises; then nothing is
    left.
    """
    head = make_head_of(store, document, height)
    if head.next_header is None:
        raise SnapshotError(
            f"no block carries the app hash of height {head.height} yet", hint="take a lower height, or wait for the next block"
        )
    if head.height < document.initial_height:
        raise SnapshotError("there is no block yet", hint="wait for the second one")
    if fold_shards(head.shard_roots) != head.app_hash:
        raise SnapshotError(f"the roots of the shards do not give the app hash of height {head.height}", hint="run: qenex doctor --deep")
    check_head(head, document, b"")
    target = folder / f"{head.chain_id}-{head.height}"
    with locked(folder):
        if os.path.lexists(target):
            raise SnapshotError(f"{target} exists already", hint="wait for a new block, or move the old one away first")
        if base == NEWEST:
            found = [item.height for _, item in whole_snapshots(folder, document.hash.hex()) if item.height < head.height]
            base = max(found, default=head.height)
        wanted = max(base + 1, document.initial_height)
        first = max(wanted, store.base_height())
        missing_to = min(first - 1, head.height)
        first = 0 if first > head.height else first
        room = _Room(folder, COMPRESSED * (store.state_bytes() + (store.block_bytes(first, head.height) if first else 0)))
        manifest = _write(store, head, first, target, version, room, watch)
    return Made(target, manifest, *((wanted, missing_to) if wanted <= missing_to else (0, 0)))


def _write(store: FrozenStore, head: ExportHead, first: int, target: Path, version: str, room: _Room, watch: Watch) -> Manifest:
    beside = target.with_name(PARTIAL_PREFIX + target.name)
    try:
        beside.mkdir(mode=0o700)
        shards = 0

        def progress(done: int, _records: int) -> None:
            nonlocal shards
            shards = done
            on_frame()

        def on_frame() -> None:
            room.require()
            watch("state", shards, SHARDS)

        def on_block(height: int) -> None:
            room.require()
            watch("blocks", height - first, head.height - first + 1)

        done = export_state(store, head, beside / STATE, progress, on_frame)
        files = [SnapshotFile(name=STATE, bytes=done.size, sha256=done.digest.hex())]
        if first:
            size, digest = write_blocks(store, first, head.height, beside / BLOCKS, on_block)
            sync_file(beside / BLOCKS)
            files.append(SnapshotFile(name=BLOCKS, bytes=size, sha256=digest.hex()))
        manifest = Manifest(
            format=FORMAT,
            chain_id=head.chain_id,
            genesis_hash=head.genesis_hash.hex(),
            height=head.height,
            app_hash=head.app_hash.hex(),
            fixed_by=hash_of(head).hex(),
            block_time_ns=Block.from_wire(decode(head.block)).header.time_ns,
            first_block=first,
            records=done.records,
            made_at_s=int(time.time()),
            version=version,
            files=tuple(files),
        )
        write_manifest(beside, manifest)
        beside.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise SnapshotError(f"cannot write {beside}: {error.strerror or error}", hint="check the folder and its free space") from error
    except (HomeError, ExportFileError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise SnapshotError(error.message, hint=error.hint) from error
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return manifest


class _Room:
    """The free space of a folder's disk. Raises `SnapshotError` if what is needed, and the reserve, is not there."""

    def __init__(self, folder: Path, needed: int) -> None:
        self._folder = folder
        self.require(needed)

    def require(self, needed: int = 0) -> None:
        """See the class."""
        try:
            usage = shutil.disk_usage(self._folder)
        except OSError as error:
            raise SnapshotError(f"cannot look at the disk of {self._folder}: {error.strerror}", hint="is it mounted?") from error
        reserve = min(RESERVE_BYTES, usage.total // RESERVE_SHARE)
        if usage.free < needed + reserve:
            raise SnapshotError(
                f"the disk of {self._folder} has {usage.free} bytes free, {needed + reserve} are needed: {needed} for the snapshot, and a "
                f"reserve of {reserve} that is not touched",
                hint="free some space (qenex snapshot prune), or make the folder a link to a larger disk",
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One at a time in a folder, which is made if only it itself is missing. What a kill left there unfinished goes."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        hint = "is its disk mounted, and may this user write there?"
        raise SnapshotError(f"cannot use the folder {folder}: {error.strerror}", hint=hint) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SnapshotError(f"another snapshot is being written into {folder}", hint="wait until it is done") from None
        for prefix in (PARTIAL_PREFIX, DELETING_PREFIX):
            for path in folder.glob(f"{prefix}*"):
                shutil.rmtree(path, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)
