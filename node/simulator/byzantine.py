"""Validators that cheat: a production node whose messages are changed on their way out, signed with its own keys and nobody else's.

Each kind is one function of what is about to be sent to one peer; it answers what goes out instead. Blocks that are wrong from the
start come from `spoil_block`. `acted` counts how often a cheat changed something, so that a test can see that it did.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from consensus.block import Block
from consensus.block_id import BlockID
from consensus.vote import Proposal, Vote, VoteType
from node.clock import VirtualClock
from node.consensus_gossip import decode_message, encode_messages
from node.network import BLOCK, CONSENSUS, SYNC
from node.simulator.keys import SimKeys
from node.simulator.wires import Wires, WireSwitch
from node.sync.messages import BlockAnswer, Status, decode_block, encode_block, encode_message
from node.sync.messages import decode_message as decode_sync
from p2p.channels import EVIDENCE
from state.primitives.hashing import sha256
from state.primitives.limits import FUTURE_PROPOSALS_MAX

CHAIN_ID: Final = "sim-1"


class Cheat(WireSwitch):
    """A switch that cheats. `kind` names how."""

    def __init__(
        self, wires: Wires, name: str, clock: VirtualClock, incarnation: int, keys: SimKeys, index: int, kind: str, chance: random.Random
    ) -> None:
        super().__init__(wires, name, clock, incarnation)
        self.kind = kind
        self.acted = 0
        self.validators = len(keys.validators)
        self.turn: int | None = None  # (height + round) modulo the number of validators where we propose, once that is known
        self.address = keys.validators.validators[index].address
        self._key, self._pq_key = keys.pair(index)
        self._chance = chance

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        """See `WireSwitch`."""
        changed = _KINDS[self.kind](self, peer_id, channel, payload)
        if changed != [payload]:
            self.acted += 1
        is_sent = True
        for item in changed:
            is_sent = super().send(peer_id, channel, item) and is_sent
        return is_sent

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        """See `WireSwitch`."""
        for peer in list(self.peers):
            if peer not in except_:
                self.send(peer, channel, payload)

    def own(self, payload: bytes) -> Vote | Proposal | None:
        """Our own message, if that is what a payload of the consensus channel is."""
        message = decode_message(payload)
        if isinstance(message, Proposal):
            return message
        if isinstance(message, list) and len(message) == 1 and message[0].validator_address == self.address:
            return message[0]
        return None

    def sign(self, message: Vote | Proposal) -> bytes:
        """A message of ours, signed and encoded."""
        sign_bytes = message.sign_bytes(CHAIN_ID)
        return encode_messages([message.with_signatures(self._key.sign(sign_bytes, b""), self._pq_key.sign(sign_bytes, b""))])[0]

    def is_for_other_half(self, peer_id: str) -> bool:
        """Half of the peers, always the same."""
        return sha256(peer_id.encode() + self.name.encode())[0] & 1 == 1

    @property
    def chance(self) -> random.Random:
        """This cheat's own generator."""
        return self._chance


def _silent(_cheat: Cheat, _peer: str, channel: int, payload: bytes) -> list[bytes]:
    return [] if channel in (CONSENSUS, BLOCK, SYNC, EVIDENCE) else [payload]


def _withhold(_cheat: Cheat, _peer: str, channel: int, payload: bytes) -> list[bytes]:
    return [] if channel == BLOCK else [payload]


def _equivocate(cheat: Cheat, peer: str, channel: int, payload: bytes) -> list[bytes]:
    message = cheat.own(payload) if channel == CONSENSUS and cheat.is_for_other_half(peer) else None
    if isinstance(message, Vote):
        other = None if message.block_id is not None else BlockID(sha256(b"other"), 1, sha256(b"parts"))
        return [cheat.sign(replace(message, block_id=other))]
    if isinstance(message, Proposal):
        return [cheat.sign(replace(message, block_id=BlockID(sha256(b"other" + message.block_id.hash), 1, sha256(b"parts"))))]
    return [payload]


def _both(cheat: Cheat, peer: str, channel: int, payload: bytes) -> list[bytes]:
    return [payload] if channel != CONSENSUS else [payload, *(i for i in _equivocate(cheat, peer, channel, payload) if i != payload)]


def _nil_spam(cheat: Cheat, _peer: str, channel: int, payload: bytes) -> list[bytes]:
    message = cheat.own(payload) if channel == CONSENSUS else None
    if isinstance(message, Vote) and message.block_id is not None:
        return [cheat.sign(replace(message, block_id=None))]
    return [payload]


def _far_rounds(cheat: Cheat, _peer: str, channel: int, payload: bytes) -> list[bytes]:
    message = cheat.own(payload) if channel == CONSENSUS else None
    if isinstance(message, Vote):
        far = [replace(message, round=message.round + cheat.chance.randrange(1, 1_000)) for _ in range(3)]
        return [payload, *(cheat.sign(item) for item in far)]
    return [payload]


def _mutate(cheat: Cheat, _peer: str, channel: int, payload: bytes) -> list[bytes]:
    """One field of an otherwise honest message is a little off."""
    message = cheat.own(payload) if channel == CONSENSUS and cheat.chance.random() < 0.4 else None
    if isinstance(message, Vote):
        field = cheat.chance.choice(("round", "height", "time_ns", "validator_index"))
        return [cheat.sign(replace(message, **{field: max(0, getattr(message, field) + cheat.chance.choice((-1, 1)))}))]
    if isinstance(message, Proposal):
        field = cheat.chance.choice(("round", "height", "time_ns", "pol_round"))
        low = -1 if field == "pol_round" else 0
        return [cheat.sign(replace(message, **{field: max(low, getattr(message, field) + cheat.chance.choice((-1, 1)))}))]
    return [payload]


def _name_twice(cheat: Cheat, peer: str, channel: int, payload: bytes) -> list[bytes]:
    """Half of the peers hear of another block with the same header: a header covers not all of a block's bytes."""
    message = cheat.own(payload) if channel == CONSENSUS and cheat.is_for_other_half(peer) else None
    if isinstance(message, Proposal):
        return [cheat.sign(replace(message, block_id=replace(message.block_id, parts_hash=sha256(b"twin"))))]
    return [payload]


def _crowd_out(cheat: Cheat, _peer: str, channel: int, payload: bytes) -> list[bytes]:
    """Blocks that do not exist, two for each of our coming rounds, before every prevote: powers are equal, so turns come round."""
    message = cheat.own(payload) if channel == CONSENSUS else None
    if isinstance(message, Proposal):
        cheat.turn = (message.height + message.round) % cheat.validators
    if not isinstance(message, Vote) or message.type is not VoteType.PREVOTE or cheat.turn is None:
        return [payload]
    rounds = range(message.round + 1, message.round + FUTURE_PROPOSALS_MAX)
    ours = [round_ for round_ in rounds if (message.height + round_) % cheat.validators == cheat.turn]
    names = [(round_, sha256(b"%d %d %d" % (message.height, round_, number))) for round_ in ours for number in range(2)]
    inventions = [Proposal(message.height, round_, -1, BlockID(name, 1, name), message.time_ns) for round_, name in names]
    return [*map(cheat.sign, inventions), payload]


def _forge_certificates(_cheat: Cheat, _peer: str, channel: int, payload: bytes) -> list[bytes]:
    if channel != SYNC:
        return [payload]
    message = decode_sync(payload)
    if isinstance(message, Status):
        return [encode_message(Status(message.base, message.height + 7))]
    if isinstance(message, BlockAnswer):
        certified = decode_block(message)
        header = replace(certified.block.header, app_hash=sha256(b"forged"))
        return [encode_block(replace(certified, block=replace(certified.block, header=header)))]
    return [payload]


def _honest(_cheat: Cheat, _peer: str, _channel: int, payload: bytes) -> list[bytes]:
    return [payload]


def spoil_block(block: Block, chance: random.Random) -> Block:
    """A block that breaks one rule."""
    header = block.header
    spoiled = chance.choice(
        (
            replace(header, app_hash=sha256(b"wrong")),
            replace(header, last_results_hash=sha256(b"wrong")),
            replace(header, next_validators_hash=sha256(b"wrong")),
            replace(header, time_ns=header.time_ns + 3_600 * 10**9),
            replace(header, height=header.height + 1),
            replace(header, chain_id="other-1"),
        )
    )
    return replace(block, header=spoiled)


# twins are two honest nodes; amnesiacs and inventors cheat elsewhere
_KINDS: Final[dict[str, Callable[[Cheat, str, int, bytes], list[bytes]]]] = {
    "silent": _silent,
    "withholding": _withhold,
    "equivocating": _equivocate,
    "saying both": _both,
    "nil spam": _nil_spam,
    "far rounds": _far_rounds,
    "mutating": _mutate,
    "naming twice": _name_twice,
    "crowding out": _crowd_out,
    "forging": _forge_certificates,
    "inventing blocks": _honest,
    "forgetting locks": _honest,
    "twins": _honest,
}
KINDS: Final = tuple(_KINDS)
