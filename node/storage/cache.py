"""A bounded cache of raw state values in two generations: as cheap as a dictionary, and old entries leave without bookkeeping."""

from __future__ import annotations

from typing import Final


class ValueCache:
    """Remembers up to about `entries_max` keys; a value of None is remembered too."""

    MISS: Final = object()

    def __init__(self, entries_max: int) -> None:
        self._half = max(1, entries_max // 2)
        self._new: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> object:
        """The value, or `MISS`."""
        found: object = self._new.get(key, self.MISS)
        if found is self.MISS:
            found = self._old.get(key, self.MISS)
            if found is not self.MISS:
                self.put(key, self._old[key])
        return found

    def replace(self, key: bytes, value: bytes | None) -> object:
        """The value so far, or `MISS`; `value` is remembered from now on. `get` and `put` in one."""
        found: object = self._new.get(key, self.MISS)
        if found is self.MISS:
            found = self._old.get(key, self.MISS)
        self.put(key, value)
        return found

    def put(self, key: bytes, value: bytes | None) -> None:
        """Remember a value."""
        self._new[key] = value
        if len(self._new) >= self._half:
            self._old, self._new = self._new, {}
