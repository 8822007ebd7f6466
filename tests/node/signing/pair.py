"""A node's side and a signer's process, joined by a network in memory: real protocol, real records, virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
import trio

from node.signing.key_ring import KeyRing
from node.signing.remote import RemoteSettings, RemoteSigner
from node.signing.service import SignerService
from p2p.identity import NodeIdentity, PeerAddress
from p2p.memory import MemoryNetwork
from state.primitives.errors import QenexError
from tests.node.signing.keys import CHAIN, CHAIN_ID, NODE, SIGNER, make_ring

PLACE = ("node", 1)


class Pair:
    """`running` both; `start_signer` another process, `stop_signer` as kill -9 does."""

    def __init__(self, folder: Path, ring: KeyRing | None = None, *, chain: bytes = CHAIN, seconds_max: float = 2.0) -> None:
        self.ring = make_ring(folder, "old") if ring is None else ring
        self.network = MemoryNetwork()
        self.warnings: list[QenexError] = []
        self.notes: list[str] = []
        self.refusals: list[int] = []
        settings = RemoteSettings(*PLACE, SIGNER.id, chain, self.ring.addresses[:1], seconds_max)
        self.remote = RemoteSigner(settings, self.network.transport(NODE), lambda who, error: self.warnings.append(error))
        self.remote.on_here = lambda: self.notes.append("the signer is here")
        self.remote.count_refusal = self.refusals.append
        self.nursery: trio.Nursery | None = None
        self.failures: list[BaseException] = []
        self._scopes: list[trio.CancelScope] = []

    @property
    def address(self) -> bytes:
        return self.ring.address

    def make_service(self, ring: KeyRing | None = None, identity: NodeIdentity = SIGNER, chain: bytes = CHAIN) -> SignerService:
        log: Any = structlog.get_logger()
        node = PeerAddress(NODE.id, *PLACE)
        return SignerService(self.ring if ring is None else ring, CHAIN_ID, chain, self.network.transport(identity), node, log)

    def start_signer(self, service: SignerService | None = None) -> None:
        assert self.nursery is not None
        scope = trio.CancelScope()
        self._scopes.append(scope)
        self.nursery.start_soon(self._run, self.make_service() if service is None else service, scope)

    def stop_signer(self) -> None:
        """Every process that was started: its connection breaks, and what it was doing is not finished."""
        for scope in self._scopes:
            scope.cancel()
        self._scopes.clear()
        self.network.cut(SIGNER.id, NODE.id)

    async def _run(self, service: SignerService, scope: trio.CancelScope) -> None:
        with scope:
            try:
                await service.run()
            except (QenexError, Exception) as error:  # noqa: BLE001  (what ends a process is looked at by the test)
                self.failures.append(error)
                self.network.cut(SIGNER.id, NODE.id)

    @asynccontextmanager
    async def running(self, *, with_signer: bool = True) -> AsyncIterator[RemoteSigner]:
        with trio.fail_after(600):
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                await nursery.start(self.remote.run)
                if with_signer:
                    self.start_signer()
                    await self.remote.wait_ready()
                yield self.remote
                nursery.cancel_scope.cancel()
        self.ring.close()
