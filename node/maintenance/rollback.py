"""Going back: the last heights of a stopped node are undone, one atomic batch each.

For a node whose software computed a wrong state: undo, install the right version, start, and the heights come again from the peers. What
this validator has signed stays signed: its record is never lowered, so it signs nothing at heights it had reached. Consensus logs of
heights beyond the next are set aside: what was decided upon them is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from consensus.block import Block
from node.config import Home
from node.maintenance.block_rows import block_rows
from node.maintenance.opening import StoppedNode
from node.signer import peek_record
from node.storage import rows as names
from node.storage.rows import height_bytes
from node.storage.store import Store
from node.wal import SUFFIX
from state.primitives.codec import decode
from state.primitives.errors import HomeError, SignerRecordError, StorageCorruptError, StorageError


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Where it was, where it is, and the app hash there."""

    before: int
    height: int
    app_hash: bytes


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What would be undone, and what the operator has to know before."""

    before: int
    target: int
    app_hash: bytes
    warnings: tuple[str, ...]


def plan_rollback(node: StoppedNode, target: int | None) -> RollbackPlan:
    """What going back to `target` means; None is one height. Raises `StorageError` if it is not possible."""
    store, before = node.store, node.store.height
    target = before - 1 if target is None else target
    app_hash = _check_target(store, target, node.document.initial_height)
    count = before - target
    which = f"height {before}" if count == 1 else f"{count} heights ({target + 1} to {before})"
    warnings = [f"{which} will be undone; the blocks must come again from peers"]
    if node.home.validator_key_file.exists():
        signed = _signed_height(node.home)
        warnings.append(
            f"this validator has signed up to height {signed}; its record stays as it is, and nothing is signed up to that height again"
        )
        warnings.append("if validators with 1/3 of the power or more go back together, the undone heights can never be decided again")
    return RollbackPlan(before, target, app_hash, tuple(warnings))


def _signed_height(home: Home) -> str:
    try:
        return str(peek_record(home.signer_file).height)
    except SignerRecordError:
        return "unknown"


def set_logs_aside(directory: Path, height: int) -> tuple[Path, ...]:
    """Rename the consensus logs of heights above one; returns their new names. Raises `HomeError`."""
    moved = []
    try:
        for path in sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else ():
            if path.name > f"{height:020d}{SUFFIX}":
                number = 1
                while (aside := path.with_name(f"{path.name}.rolled-back-{number}")).exists():
                    number += 1
                moved.append(path.rename(aside))
    except OSError as error:
        raise HomeError(f"cannot rename in {directory}: {error.strerror}", hint="check the owner of its files") from error
    return tuple(moved)


def lowest_target(store: Store) -> int:
    """The lowest height that can be gone back to; the tip itself if none."""
    height = store.height
    while store.tip_at(height - 1) is not None and store.root_at(height - 1) is not None and store.height_row("b", height) is not None:
        height -= 1
    return height


def roll_back(
    store: Store, target: int, initial_height: int, progress: Callable[[int], None] = lambda height: None
) -> RolledBack:
    """Undo heights until `target` is the last. Raises `StorageError` before anything is changed if that is not possible."""
    before = store.height
    _check_target(store, target, initial_height)
    while store.height > target:
        store.roll_back(list(_rows_of(store, store.height)))
        progress(store.height)
    return RolledBack(before, store.height, store.root)


def _check_target(store: Store, target: int, initial_height: int) -> bytes:
    """The app hash after `target`. Raises `StorageError`."""
    before = store.height
    lowest = max(initial_height - 1, lowest_target(store))
    if lowest == before:
        raise StorageError(f"height {before} cannot be undone: nothing before it is kept", hint="join again as a new node instead")
    app_hash = store.root_at(target)
    if not lowest <= target < before or app_hash is None:
        raise StorageError(f"cannot go back from height {before} to {target}", hint=f"heights {lowest} to {before - 1} are possible")
    return app_hash


def _rows_of(store: Store, height: int) -> Iterator[bytes]:
    """The rows that only the ledger's types can name."""
    raw, receipts = store.height_row("b", height), store.height_row("e", height)
    if raw is None or receipts is None:
        raise StorageError(f"block {height} is not kept")
    block = Block.from_wire(decode(raw))
    if block.header.app_hash != store.root_at(height - 1):
        raise StorageCorruptError(
            f"block {height} was made on another state than the one of height {height - 1} here",
            hint="move data/db away and let the node catch up again",
        )
    yield from block_rows(block, receipts)
    for item in block.evidence:
        for offence in item.offences:
            yield names.OFFENCE + offence
    if store.height_row("v", height + 2) is not None:
        yield b"v" + height_bytes(height + 2)
