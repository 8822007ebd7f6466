"""A home's database from snapshots: the newest state at or below a height, then the archived blocks up to it, executed and verified.

The database is filled beside its place and renamed at the end: there is none, or a whole one. No key, setting or signer's record is read
or written; consensus logs of later heights are set aside, as after going back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from genesis.document import Document
from node.backup.archive import read_blocks
from node.backup.manifest import BLOCKS, STATE, Manifest, Watch, check_files, read_manifest, whole_snapshots
from node.backup.replay import replay
from node.config import Home
from node.maintenance.export import ExportReader, check_head, fill_store, hash_of, sync_directory
from node.maintenance.rollback import set_logs_aside
from node.opening import write_first_state
from node.places import require_folders
from node.storage.store import Store
from node.sync.messages import CertifiedBlock
from state.primitives.errors import ExportFileError, HomeError, SnapshotError
from state.tree import SHARDS

BESIDE: Final = ".restoring"

Snapshot = tuple[Path, Manifest]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore takes: a state (None: that of genesis), then blocks. `archives` cover every height above the state up to `target`."""

    target: int
    state: Snapshot | None
    archives: tuple[Snapshot, ...]

    @property
    def start(self) -> int:
        """The height of the state that is brought in; -1: genesis."""
        return -1 if self.state is None else self.state[1].height


@dataclass(frozen=True, slots=True)
class Restored:
    """What a home's database is now. `fixed_by` is the hash of the block after `height`, which carries the app hash."""

    height: int
    app_hash: bytes
    fixed_by: bytes
    state_height: int
    blocks: int
    logs_aside: tuple[Path, ...]


# planning


def plan_restore(path: Path, document: Document, *, height: int | None = None, time_ns: int | None = None) -> Plan:
    """How to come to a height, or to the last block not after a time, from a snapshot and its neighbours in the same folder.

    Without either, the snapshot's own height. Raises `SnapshotError` if the snapshots do not lead there.
    """
    given = read_manifest(path)
    if given.genesis_hash != document.hash.hex() or given.chain_id != document.chain_id:
        raise SnapshotError(
            f"{path} is of chain {given.chain_id} with genesis hash {given.genesis_hash}, not of {document.hash.hex()}",
            hint="the home's genesis.json is another network's",
        )
    if height is None and time_ns is None:
        return Plan(given.height, (path, given), ())
    # the folder itself, resolved: a path such as "." has no parent to look into
    around = dict(whole_snapshots(path.resolve().parent, given.genesis_hash))
    around[path.resolve()] = given
    snapshots = sorted(around.items(), key=lambda item: item[1].height)
    if time_ns is not None:
        height = _height_at(snapshots, time_ns, document.initial_height)
    return _plan(snapshots, document, height or 0)


def _plan(snapshots: Sequence[Snapshot], document: Document, target: int) -> Plan:
    state = next((item for item in reversed(snapshots) if item[1].height <= target), None)
    start = document.initial_height - 1 if state is None else state[1].height
    hint = _ranges(snapshots, document.initial_height)
    archives: list[Snapshot] = []
    reached = start
    while reached < target:
        found = next((item for item in snapshots if item[1].covers(reached + 1)), None)
        if found is None:
            raise SnapshotError(f"height {target} cannot be restored: block {reached + 1} is in no archive here", hint=hint)
        archives.append(found)
        reached = found[1].height
    if state is None and target < document.initial_height:
        raise SnapshotError(f"height {target} is before the first block", hint=hint)
    return Plan(target, state, tuple(archives))


def _ranges(snapshots: Sequence[Snapshot], initial_height: int) -> str:
    """Which heights these snapshots lead to, as a hint."""
    ranges: list[list[int]] = []
    for _, manifest in snapshots:
        height, first = manifest.height, manifest.first_block
        if first and ranges and first <= ranges[-1][1] + 1:
            ranges[-1][1] = height
        else:
            ranges.append([first if first == initial_height else height, height])
    said = ", ".join(f"{low} to {high}" if low != high else f"{low}" for low, high in ranges)
    return f"these snapshots lead to heights {said}"


def _height_at(snapshots: Sequence[Snapshot], time_ns: int, initial_height: int) -> int:
    """The last archived height whose block is not later than a time. Raises `SnapshotError` if no archive tells."""
    hint = _ranges(snapshots, initial_height)
    last = snapshots[-1][1]
    if time_ns > last.block_time_ns:
        raise SnapshotError(
            f"that time is after the last block here, {last.height}: what was decided later is not archived",
            hint=f"give --to-height {last.height} for the last, or take a newer snapshot",
        )
    best = max((item.height for _, item in snapshots if item.block_time_ns <= time_ns), default=initial_height - 1)
    if best == last.height:
        return best
    archive = next((item for item in snapshots if item[1].covers(best + 1)), None)
    if archive is None:
        raise SnapshotError(f"the blocks around that time are in no archive: block {best + 1} is missing", hint=hint)
    for certified in read_blocks(archive[0] / BLOCKS, archive[1].first_block, best):
        if certified.block.header.time_ns > time_ns:
            break
        best = certified.height
    if best < initial_height:
        raise SnapshotError("that time is before the first block", hint=hint)
    return best


# restoring


def restore(home: Home, document: Document, plan: Plan, trusted_hash: bytes, watch: Watch) -> Restored:
    """Make the database of a home that has none. Raises `SnapshotError`, `HomeError`, `UpgradeRequiredError`; then nothing is there.

    `trusted_hash` is the hash that the block after the height must have, b"" if nobody said.
    """
    require_folders(home.data_dir, home.db_dir)
    if home.db_dir.exists():
        raise HomeError(f"{home.db_dir} exists already", hint="restore into a home without a database; move data/db away if it is lost")
    beside = home.db_dir.with_name(home.db_dir.name + BESIDE)
    try:
        # what is damaged is said before anything is made
        for path, manifest in {item[0]: item[1] for item in (*((plan.state,) if plan.state else ()), *plan.archives)}.items():
            check_files(path, manifest, watch)
        home.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        fixed_by = _bring_in(beside, document, plan, watch)
        store = Store.create(beside) if not beside.exists() else Store.open(beside)
        try:
            if not store.tip:
                write_first_state(store, document)
            following = trio.run(replay, store, document, _blocks(plan, watch), plan.target)
            height, app_hash = store.height, store.root
        finally:
            store.close()
        if following is not None:
            fixed_by = following.block.header.hash()
        _check_end(plan, height, fixed_by, trusted_hash)
        aside = set_logs_aside(home.wal_dir, height)
        beside.rename(home.db_dir)
        sync_directory(home.data_dir)
    except OSError as error:
        raise HomeError(f"cannot restore into {home.data_dir}: {error.strerror or error}", hint="check its owner and free space") from error
    except ExportFileError as error:
        raise SnapshotError(error.message, hint=error.hint) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    start = max(plan.start, document.initial_height - 1)
    return Restored(height, app_hash, fixed_by, start, height - start, aside)


def _bring_in(beside: Path, document: Document, plan: Plan, watch: Watch) -> bytes:
    """Fill a database from the state, if there is one; the hash of the block that fixes it."""
    if plan.state is None:
        return b""
    path, manifest = plan.state
    reader = ExportReader(path / STATE)
    try:
        head = reader.head
        check_head(head, document, b"")
        if (head.height, head.app_hash.hex(), hash_of(head).hex()) != (manifest.height, manifest.app_hash, manifest.fixed_by):
            raise SnapshotError(f"{path}: the manifest says something else than the state", hint="take another snapshot")
        fill_store(beside, reader, document, lambda shards, _records: watch("state", shards, SHARDS))
        return hash_of(head)
    finally:
        reader.close()


def _blocks(plan: Plan, watch: Watch) -> Iterator[CertifiedBlock]:
    """The archived blocks above the state, one beyond the target if the last archive has it."""
    reached = plan.start
    first = max(reached, 0)
    for path, manifest in plan.archives:
        for certified in read_blocks(path / BLOCKS, manifest.first_block, reached):
            watch("blocks", min(certified.height, plan.target) - first, plan.target - first)
            yield certified
            reached = certified.height
            if reached > plan.target:
                return
        if reached != manifest.height:
            raise SnapshotError(f"{path / BLOCKS} ends at block {reached}, not {manifest.height}", hint="take another snapshot")


def _check_end(plan: Plan, height: int, fixed_by: bytes, trusted_hash: bytes) -> None:
    if height != plan.target or not fixed_by:
        raise SnapshotError(f"the archives end at height {height}, and no block after it fixes the app hash", hint="take another snapshot")
    if trusted_hash and fixed_by != trusted_hash:
        raise SnapshotError(
            f"block {height + 1} of the snapshot is {fixed_by.hex().upper()}, not the trusted one", hint="get the snapshot from elsewhere"
        )
