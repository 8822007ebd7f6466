"""Keeps a running process's keys in step with its home: a next key is taken when its file appears, the old one is set aside when its time
is over. Used by a node that holds its own keys and by a signer. When the time is over is said by whoever sees the chain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from node.config import Home
from node.signing.key_files import ReadKeys, open_next, promote
from node.signing.key_ring import KeyRing
from state.primitives.errors import QenexError

POLL_SECONDS: Final = 0.5  # one look for one name


class KeyWatch:
    """`run` it; `retire_old` is called from the same thread. `on_changed` is awaited when the keys have changed."""

    def __init__(self, home: Home, chain: bytes, ring: KeyRing, read_keys: ReadKeys, log: Any) -> None:
        self.on_changed: Callable[[], Awaitable[None]] | None = None
        self._home = home
        self._chain = chain
        self._ring = ring
        self._read_keys = read_keys
        self._log = log
        self._is_over = False
        self._is_behind = False  # the old key is out of the ring, its files are not set aside yet
        self._last_trouble = ""

    def retire_old(self) -> None:
        """The validator set has left the oldest key behind. What cannot be done now is tried again."""
        self._is_over = True

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started("")
        while True:
            try:
                if self._is_behind:
                    await self._promote()
                elif self._is_over and len(self._ring.signers) > 1:
                    await self._retire()
                elif len(self._ring.signers) == 1 and self._home.next_key_file.exists():
                    await self._take()
            except QenexError as error:
                self._tell(error)
            await trio.sleep(POLL_SECONDS)

    async def _take(self) -> None:
        """Opening an encrypted key takes a third of a second: not in the loop's thread."""
        signer = await trio.to_thread.run_sync(open_next, self._home, self._chain, self._read_keys)
        try:
            self._ring.add(signer)
        except BaseException:
            signer.close()
            raise
        self._is_over = False
        self._last_trouble = ""
        self._log.info("the next voting keys are here", address=signer.address)
        await self._change()

    async def _retire(self) -> None:
        old = self._ring.retire()
        self._is_over, self._is_behind = False, True
        self._log.info("the old voting keys are not used any more", address=old.address)
        await self._promote()

    async def _promote(self) -> None:
        await trio.to_thread.run_sync(promote, self._home)
        self._is_behind = False
        await self._change()

    async def _change(self) -> None:
        if self.on_changed is not None:
            await self.on_changed()

    def _tell(self, error: QenexError) -> None:
        if error.message != self._last_trouble:
            self._last_trouble = error.message
            self._log.warning("voting keys", error=error.name, code=error.code, reason=error.message, hint=error.hint)
