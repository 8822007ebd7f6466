"""The store as `consensus.history.ChainHistory`: what evidence is judged by. Reading and decoding of stored rows only."""

from __future__ import annotations

from typing import Final

from consensus.commit import Commit
from consensus.header import Header
from node.storage.store import Store
from state.primitives.codec import decode, unpack
from state.primitives.errors import MalformedError, StorageCorruptError
from state.primitives.limits import DECODE_BYTES_MAX
from state.validators import ValidatorSet

BLOCKS_CACHED_MAX: Final = 64  # headers and commits: 200 signatures take about 50 kB
SETS_CACHED_MAX: Final = 4


class StoreHistory:
    """See `ChainHistory`. Rows of a height that is being written are not seen before it is finished."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._blocks: dict[int, tuple[Header, Commit]] = {}
        self._sets: dict[int, ValidatorSet] = {}

    @property
    def height(self) -> int:
        """See `ChainHistory`."""
        return self._store.height

    @property
    def base(self) -> int:
        """See `ChainHistory`."""
        return self._store.base_height() or self._store.height + 1

    def header(self, height: int) -> Header | None:
        """See `ChainHistory`."""
        found = self._block(height)
        return None if found is None else found[0]

    def commit(self, height: int) -> Commit | None:
        """See `ChainHistory`."""
        found = self._block(height + 1)
        return None if found is None else found[1]

    def validators(self, height: int) -> ValidatorSet | None:
        """See `ChainHistory`."""
        if not 0 < height <= self._store.height:
            return None
        row = self._store.latest_row("v", height)
        if row is None:
            return None
        began, data = row
        known = self._sets.get(began)
        if known is None:
            while len(self._sets) >= SETS_CACHED_MAX:
                del self._sets[next(iter(self._sets))]
            known = self._sets[began] = _read_set(data, began)
        return known

    def is_punished(self, offence: bytes) -> bool:
        """See `ChainHistory`."""
        found = self._store.offence_height(offence)
        return found is not None and found <= self._store.height

    def _block(self, height: int) -> tuple[Header, Commit] | None:
        """Header and last commit of a decided block, without looking at its transactions."""
        if not 0 < height <= self._store.height:
            return None
        known = self._blocks.get(height)
        if known is not None:
            return known
        row = self._store.height_row("b", height)
        if row is None:
            return None
        try:
            header, _, _, commit = unpack(row, bytes_max=DECODE_BYTES_MAX)
            found = Header.from_wire(header), Commit.from_wire(commit)
        except (MalformedError, ValueError, TypeError) as error:
            raise StorageCorruptError(f"the block of height {height} in the database cannot be read: {error}") from error
        while len(self._blocks) >= BLOCKS_CACHED_MAX:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[height] = found
        return found


def _read_set(data: bytes, height: int) -> ValidatorSet:
    try:
        return ValidatorSet.from_wire(decode(data))
    except MalformedError as error:
        raise StorageCorruptError(f"the validators of height {height} in the database cannot be read: {error}") from error
