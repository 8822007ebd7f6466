"""Joining by a snapshot: from a block hash one trusts to a store that can follow the chain, with peers that may lie.

Offers come from all peers. A header is verified by the light client (every signature, both kinds, compared between peers), the shard roots
of an offer must fold to its app hash, each chunk must give its shard's root. The tip is made here, from headers, state and genesis, and the
peer's must be the same: only the proposer priorities are read from it, because the state has no more than their hash. Whoever sends
something false is blamed and asked no more; one honest peer is enough. No disk layout and no message format in here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from consensus.commit import Verifier
from consensus.fields import read_list, read_tuple
from consensus.light import LightBlock, Trust, verify_light_block
from consensus.proposer import hash_priorities
from consensus.validation import ChainTip
from node.clock import Clock
from node.light.attack import make_attack_evidence
from node.light.client import LightClient, TrustedStart
from node.light.trusted import TrustedStore
from node.roles import ChainState
from node.statesync import messages as m
from node.statesync.desk import Desk, PeerProvider
from node.statesync.restore import ChunkFolder, fold_shards
from node.sync.messages import CertifiedBlock
from node.tips import encode_tip
from state.params import ConsensusParams
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import ClientError, InvalidCommitError, MalformedError, ProofError, QenexError
from state.primitives.limits import TIP_BYTES_MAX, VALIDATORS_MAX
from state.schema import CONSENSUS_PARAMS_KEY, PRIORITIES_KEY, decode_record
from state.tree_hash import key_hash

ROUNDS_OF_ASKING: Final = 20
ASK_AGAIN_S: Final = 1.0

Warn = Callable[[str, QenexError], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A verified offer, its chunks fetched: everything a store begins with."""

    offer: m.Offer
    app_hash: bytes
    block: CertifiedBlock
    sets: tuple[LightBlock, ...]  # of the offer's height and the two after it
    folder: ChunkFolder

    def height_rows(self) -> list[tuple[str, int, bytes]]:
        """Rows of heights for the store."""
        height, block = self.offer.height, self.block
        rows = [("v", light.header.height, encode_trusted(light.validators.to_wire())) for light in self.sets]
        return [
            *rows,
            ("b", height, encode_trusted(block.block.to_wire())),
            ("c", height, encode_trusted(block.commit.to_wire())),
            ("p", height, encode_trusted(block.pq_commit.to_wire())),
        ]


class Joiner:
    """`join` once."""

    def __init__(
        self,
        desk: Desk,
        start: TrustedStart,
        trust: Trust,
        store: TrustedStore,
        make_folder: Callable[[int, tuple[bytes | None, ...]], ChunkFolder],
        verifier: Verifier,
        clock: Clock,
        warn: Warn,
        say: Callable[[str], None],
        *,
        initial_height: int,
    ) -> None:
        self._desk = desk
        self._start = start
        self._trust = trust
        self._store = store
        self._make_folder = make_folder
        self._verifier = verifier
        self._clock = clock
        self._warn = warn
        self._say = say
        self._initial_height = initial_height
        self.chunks = 0
        self._resting: dict[str, None] = {}  # peers that did not give a chunk, while others may

    async def join(self) -> Snapshot:
        """A verified snapshot. Raises `ClientError` when no peer gives a good one."""
        for _ in range(ROUNDS_OF_ASKING):
            offers = await self._collect_offers()
            for peer, offer in sorted(offers.items(), key=lambda item: (-item[1].height, item[0])):
                if peer not in self._desk.peers:
                    continue
                try:
                    return await self._take(peer, offer, [other for other in offers if other != peer])
                except (MalformedError, ProofError, InvalidCommitError) as error:
                    self._warn(peer, error)
                    self._desk.blame(peer, error)
                except ClientError as error:
                    self._warn(peer, error)
            await trio.sleep(ASK_AGAIN_S)
        raise ClientError("no peer gives a snapshot that holds", hint="are the peers up to date, and do they make snapshots?")

    async def _collect_offers(self) -> dict[str, m.Offer]:
        offers: dict[str, m.Offer] = {}

        async def ask(peer: str) -> None:
            try:
                found = await self._desk.ask(peer, m.Question(m.OFFER))
            except ClientError as error:
                self._warn(peer, error)
                return
            if isinstance(found, m.Offer):
                offers[peer] = found

        async with trio.open_nursery() as nursery:
            for peer in list(self._desk.peers):
                nursery.start_soon(ask, peer)
        return offers

    async def _take(self, peer: str, offer: m.Offer, others: list[str]) -> Snapshot:
        if offer.height < self._initial_height or offer.latest < offer.height + 2:
            raise MalformedError("a snapshot is of a block with two blocks after it at least")
        witnesses = [PeerProvider(self._desk, other, offer.latest) for other in others if other in self._desk.peers]
        primary = PeerProvider(self._desk, peer, offer.latest)
        client = LightClient(
            primary, witnesses, self._store, self._trust, self._verifier, self._clock, self._warn, make_attack_evidence,
            needs_agreement=False,  # five peers that say nothing must not keep out who has one honest one
        )  # fmt: skip
        await client.start(self._start if self._store.get(self._start.height) is None else None)
        following = await client.verify_to(offer.height + 1)
        if fold_shards(offer.shard_roots) != following.header.app_hash:
            raise ProofError("the shard roots of a snapshot do not give the app hash")
        sets = (await client.verify_to(offer.height), following, await client.verify_to(offer.height + 2))
        block = await primary.certified(offer.height)
        self._check_block(block, sets[0], client.chain_id)
        self._say(f"snapshot of height {offer.height}, app hash {following.header.app_hash.hex()[:16]}, from {1 + len(others)} peers")
        folder = self._make_folder(offer.height, offer.shard_roots)
        shards = dict.fromkeys(key_hash(key)[0] for key in (CONSENSUS_PARAMS_KEY, PRIORITIES_KEY))
        await self._fetch(offer, folder, [shard for shard in folder.missing if shard in shards])
        # before the rest, so that who lies about the tip is found out after two chunks
        self._check_tip(offer, folder, block, sets)
        await self._fetch(offer, folder, [shard for shard in folder.missing if shard not in shards])
        return Snapshot(offer, following.header.app_hash, block, sets, folder)

    def _check_block(self, block: CertifiedBlock, light: LightBlock, chain_id: str) -> None:
        """The block of the snapshot's height with the commit it was decided with. Raises `InvalidCommitError`."""
        if block.block.block_id() != light.commit.block_id:
            raise InvalidCommitError("a snapshot comes with another block")
        proof = LightBlock(block.block.header, block.commit, block.pq_commit, light.validators)
        verify_light_block(proof, chain_id, self._verifier)

    def _check_tip(self, offer: m.Offer, folder: ChunkFolder, block: CertifiedBlock, sets: tuple[LightBlock, ...]) -> None:
        """The tip, field by field as verified headers, the block and records of the state have it. Raises `ProofError`."""
        priorities = _read_priorities(offer.tip)
        if _read_record(folder, PRIORITIES_KEY) != (hash_priorities(priorities),):
            raise ProofError("a snapshot's priorities are not those that its state has the hash of")
        stored = _read_record(folder, CONSENSUS_PARAMS_KEY)
        header, following = sets[0].header, sets[1].header
        tip = ChainTip(
            chain_id=following.chain_id,
            initial_height=self._initial_height,
            height=header.height,
            last_block_id=following.last_block_id,
            last_block_time_ns=header.time_ns,
            last_validators=sets[0].validators,
            validators=sets[1].validators,
            next_validators=sets[2].validators,
            priorities=priorities,
            app_hash=following.app_hash,
            last_results_hash=following.last_results_hash,
            params=ConsensusParams() if stored is None else ConsensusParams.from_record(stored),
        )
        if offer.tip != encode_tip(ChainState(tip, block.commit, block.pq_commit, had_txs=bool(block.block.txs))):
            raise ProofError("a snapshot's tip is not what headers, state and genesis say")

    async def _fetch(self, offer: m.Offer, folder: ChunkFolder, shards: list[int]) -> None:
        """These chunks, from all peers at once. Raises `ClientError` when nobody is left.

        Who did not give one waits until all others are done: a silent peer would take the last chunks from those that have them.
        """
        waiting = shards[::-1]
        total = len(waiting)

        async def serve(peer: str) -> None:
            while waiting and peer in self._desk.peers:
                shard = waiting.pop()
                try:
                    rows = await self._desk.ask(peer, m.Question(m.CHUNK, offer.height, shard))
                    if not isinstance(rows, tuple):
                        raise MalformedError("a chunk is a list of rows")
                    folder.put(shard, rows)  # type: ignore[arg-type]
                    self.chunks += 1
                    if self.chunks % 32 == 0:
                        self._say(f"{total - len(waiting)} of {total} chunks")
                except (ProofError, MalformedError) as error:
                    waiting.append(shard)
                    self._warn(peer, error)
                    self._desk.blame(peer, error)
                    return
                except ClientError as error:
                    waiting.append(shard)
                    self._resting[peer] = None
                    self._warn(peer, error)
                    return

        while waiting:
            before = len(waiting)
            asked = [peer for peer in self._desk.peers if peer not in self._resting]
            if not asked:
                self._resting.clear()
                asked = list(self._desk.peers)
            async with trio.open_nursery() as nursery:
                for peer in asked:
                    nursery.start_soon(serve, peer)
            is_anybody_left = any(peer not in self._resting for peer in self._desk.peers)
            if waiting and not is_anybody_left and (not self._desk.peers or len(waiting) >= before):
                raise ClientError(f"{len(waiting)} chunks of the snapshot are missing and no peer gives them")


def _read_record(folder: ChunkFolder, key: bytes) -> Value:
    """A record of a chunk that was fetched, None if the state has none."""
    raw = dict(folder.read(key_hash(key)[0])).get(key)
    return None if raw is None else decode_record(key, raw)


def _read_priorities(tip: bytes) -> tuple[int, ...]:
    priorities = read_list(read_tuple(decode(tip, bytes_max=TIP_BYTES_MAX), 10, "a tip")[5], VALIDATORS_MAX, "priorities")
    if any(type(item) is not int for item in priorities):
        raise MalformedError("priorities are numbers")
    return tuple(priorities)
