"""`qenex start` of a validator that contradicts itself once: `double_signing_node.py votes|proposals HEIGHT start --home HOME`.

The first vote for a block, or the first proposal, that it sends at HEIGHT or later is followed by another one that its signer never
saw. The switch is here and not in the product.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from consensus.block_id import BlockID
from consensus.vote import Proposal, Vote
from node.cli.main import main
from node.consensus_gossip import encode_messages
from node.engine import Engine
from node.network import CONSENSUS
from state.primitives.keys import CONTEXT_VOTE

KINDS = ("votes", "proposals")
honest_broadcast = Engine.broadcast


def contradict(kind: str, message: Vote | Proposal) -> Vote | Proposal | None:
    """Something else for the same height, round and step; None if this message is of the other kind."""
    if kind == "votes" and isinstance(message, Vote) and message.block_id is not None:
        return replace(message, block_id=None, time_ns=message.time_ns - 1)
    if kind == "proposals" and isinstance(message, Proposal):
        return replace(message, block_id=BlockID(b"\x11" * 32, 1, b"\x22" * 32))
    return None


def install(kind: str, height: int) -> None:
    """Plant it."""
    done: list[int] = []

    def broadcast(self: Engine, message: Vote | Proposal) -> None:
        honest_broadcast(self, message)
        other = None if done or message.height < height else contradict(kind, message)
        signer = self.driver._signer
        if other is None or signer is None:
            return
        held = signer.current
        sign_bytes = other.sign_bytes(self.driver.state.tip.chain_id)
        signed = other.with_signatures(held._key.sign(sign_bytes, b""), held._pq_key.sign(sign_bytes, CONTEXT_VOTE))
        self._network.broadcast(CONSENSUS, encode_messages([signed])[0])
        done.append(message.height)
        os.write(2, f"\nplanted {kind} {message.height}\n".encode())

    Engine.broadcast = broadcast  # type: ignore[method-assign]


if __name__ == "__main__":
    install(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
