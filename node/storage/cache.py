"""A bounded cache of raw state values in two generations: as cheap as a dictionary, and old entries leave without bookkeeping."""

from __future__ import annotations

from typing import Final

ENTRY_BYTES: Final = (
    180  # what an entry takes beside its key and value: two object headers and its place in a dictionary
)


class ValueCache:
    """Remembers up to about `entries_max` keys in `bytes_max` bytes; a value of None is remembered too."""

    MISS: Final = object()

    def __init__(self, entries_max: int, bytes_max: int = 64 * 1024 * 1024) -> None:
        self._entries_half = max(1, entries_max // 2)
        self._bytes_half = bytes_max // 2
        self._new: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}
        self._new_bytes = 0

    def get(self, key: bytes) -> object:
        """The value, or `MISS`."""
        found: object = self._new.get(key, self.MISS)
        if found is self.MISS:
            found = self._old.get(key, self.MISS)
            if found is not self.MISS:
                self.put(key, self._old[key])
        return found

    def peek(self, key: bytes) -> object:
        """As `get`, for a value that is about to be put again: it is not moved to the newer generation."""
        found: object = self._new.get(key, self.MISS)
        return self._old.get(key, self.MISS) if found is self.MISS else found

    def replace(self, key: bytes, value: bytes | None) -> object:
        """The value so far, or `MISS`; `value` is remembered from now on. `get` and `put` in one."""
        found = self.peek(key)
        self.put(key, value)
        return found

    def put(self, key: bytes, value: bytes | None) -> None:
        """Remember a value. One that is put again counts again, so the bound errs to the small side."""
        self._new[key] = value
        self._new_bytes += len(key) + ENTRY_BYTES + (0 if value is None else len(value))
        if len(self._new) >= self._entries_half or self._new_bytes >= self._bytes_half:
            self._old, self._new, self._new_bytes = self._new, {}, 0
