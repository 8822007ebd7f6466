"""Spreading proofs of offences: each goes once to every peer that is high enough to judge it and did not send it to us.

One message on the EVIDENCE channel: one proof, a canonical array. It is verified before it is kept or passed on, so a bad one gets no
further than the peer that made it up, which is reported; what honest nodes may disagree about for a moment (a height that one has not
decided, a proof that has just expired) costs nobody. A proof that still waits after `RESEND_S` is sent again: the peer may have been at
another height than it said, or may have restarted. Bounds: what the pool holds; a full link waits for the next turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from consensus.evidence import Evidence, evidence_from_wire, evidence_to_wire
from node.blame import blamed
from node.evidence.pool import EvidencePool
from node.network import Inbound, Network, NetworkEvent, PeerDown, PeerUp
from p2p.channels import EVIDENCE
from state.primitives.codec import decode, encode_trusted
from state.primitives.limits import EVIDENCE_BYTES_MAX

TURN_S: Final = 1.0  # without anything new: peers have grown, links have room again
RESEND_S: Final = 30.0
MESSAGE_BYTES_MAX: Final = EVIDENCE_BYTES_MAX


class EvidenceGossip:
    """`run` it for the life of the node. `height_of` is what a peer says it has decided."""

    def __init__(
        self,
        network: Network,
        inbound: trio.MemoryReceiveChannel[NetworkEvent],
        pool: EvidencePool,
        height_of: Callable[[str], int],
    ) -> None:
        self._network = network
        self._inbound = inbound
        self._pool = pool
        self._height_of = height_of
        self._told: dict[str, dict[bytes, float]] = {}  # peer -> offence -> when it was sent or came
        self._wake = trio.Event()
        pool.on_added.append(self._on_added)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send, take, verify, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all)
            task_status.started()
            async for event in self._inbound:
                if isinstance(event, PeerUp):
                    self._told[event.peer.id] = {}
                    self._wake.set()
                elif isinstance(event, PeerDown):
                    self._told.pop(event.peer_id, None)
                else:
                    with blamed(self._network, event.peer_id):
                        self._on_message(event)
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    def _on_added(self, item: Evidence) -> None:
        self._wake.set()

    def _on_message(self, event: Inbound) -> None:
        item = evidence_from_wire(decode(event.payload, bytes_max=MESSAGE_BYTES_MAX))
        told = self._told.get(event.peer_id)
        if self._pool.get(item.offence) is None:
            self._pool.add(item)
        if told is not None and self._pool.get(item.offence) is not None:
            told[item.offence] = trio.current_time()

    async def _send_all(self) -> None:
        while True:
            with trio.move_on_after(TURN_S):
                await self._wake.wait()
            self._wake = trio.Event()
            self._turn(trio.current_time())

    def _turn(self, now: float) -> None:
        waiting = self._pool.pending()
        names = {item.offence for item in waiting}
        for peer, told in self._told.items():
            for gone in [offence for offence in told if offence not in names]:
                del told[gone]
            height = self._height_of(peer)
            for item in waiting:
                when = told.get(item.offence)
                if item.height > height or (when is not None and now < when + RESEND_S):
                    continue
                if not self._network.send(peer, EVIDENCE, encode_trusted(evidence_to_wire(item))):
                    break
                told[item.offence] = now
