"""Rebuilding blocks from the transactions we already have: the pure half of block propagation.

A proposer announces a block as its name, header, last commit, evidence and transaction *hashes*. Everyone else takes the bodies from
its own mempool and asks only for what it lacks: first the peer that announced, then others that said they have the block, then
anyone. Time and messages come in as arguments; what to send, finished blocks and complaints come out as values.

Blocks are known and asked for by their whole name. A header's hash is not enough: it covers neither the round of the last commit nor the
bytes of evidence, so that a proposer can give two blocks one header, and who has one of them must not be blamed by who wants the other.

What a hostile peer can do here, and what stops it: a list of hashes that is not the header's is refused before anything is
fetched (`data_hash` is the Merkle root of exactly these hashes); a body with another hash is refused; what is withheld is asked
of the next peer after a deadline; only blocks that consensus wants are assembled, `ASSEMBLIES_MAX` at a time, one early
announcement kept for each peer; bodies are held up to the size that the block's name states, and none that no block may have; a
rebuilt block counts only if its name is the announced one; and what costs work to answer is answered once in a while to each peer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.block import Block, Header
from consensus.block_id import BlockID
from consensus.commit import Commit
from consensus.evidence import Evidence, evidence_from_wire, evidence_hash, evidence_to_wire
from state.primitives import merkle
from state.primitives.codec import Value
from state.primitives.errors import InvalidBlockError, MalformedError, QenexError
from state.primitives.hashing import HASH_BYTES, sha256
from state.primitives.limits import (
    ASSEMBLIES_MAX,
    BLOCK_BATCH_BYTES,
    BLOCK_PART_BYTES,
    BLOCK_TXS_HARD_MAX,
    BLOCKS_SERVED_MAX,
    EVIDENCE_PER_BLOCK_MAX,
    TX_BYTES_MAX,
)

MS: Final = 1_000_000
COMPACT_GRACE_NS: Final = 100 * MS  # the announcement follows the proposal; ask only if it does not
ANSWER_TIMEOUT_NS: Final = 1_000 * MS  # then the next peer is asked
REPEAT_NS: Final = 500 * MS  # the same answer to the same peer: sooner than it asks again
RETRY_NS: Final = 500 * MS  # when everybody was asked in vain

# message kinds of the block channel
COMPACT: Final = 1
WANT_TXS: Final = 2
TXS: Final = 3
LACK: Final = 4
WANT_BLOCK: Final = 5
HAVE: Final = 6


@dataclass(frozen=True, slots=True)
class CompactBlock:
    """A block with hashes in place of transactions, under the name that its sender claims for it."""

    block_id: BlockID
    header: Header
    last_commit: Commit
    evidence: tuple[Evidence, ...]
    tx_hashes: tuple[bytes, ...]

    @classmethod
    def of(cls, block: Block) -> CompactBlock:
        """The compact form of a block."""
        hashes = tuple(sha256(tx) for tx in block.txs)
        return cls(block.block_id(), block.header, block.last_commit, tuple(block.evidence), hashes)

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array; the hashes travel as one byte string."""
        evidence = tuple(evidence_to_wire(item) for item in self.evidence)
        return self.block_id.to_wire(), self.header.to_wire(), self.last_commit.to_wire(), evidence, b"".join(self.tx_hashes)

    @classmethod
    def from_wire(cls, value: Value) -> CompactBlock:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        if type(value) is not tuple or len(value) != 5:
            raise MalformedError("a compact block has five parts")
        block_id, header, commit, evidence, hashes = value
        if type(evidence) is not tuple or len(evidence) > EVIDENCE_PER_BLOCK_MAX or type(hashes) is not bytes:
            raise MalformedError("a compact block has a wrong shape")
        if len(hashes) % HASH_BYTES or len(hashes) > BLOCK_TXS_HARD_MAX * HASH_BYTES:
            raise MalformedError("a compact block has a wrong list of hashes")
        return cls(
            BlockID.from_wire(block_id),
            Header.from_wire(header),
            Commit.from_wire(commit),
            tuple(evidence_from_wire(item) for item in evidence),
            tuple(hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)),
        )

    def to_block(self, txs: Iterable[bytes]) -> Block:
        """The block with its bodies back."""
        return Block(header=self.header, txs=tuple(txs), evidence=self.evidence, last_commit=self.last_commit)


@dataclass(frozen=True, slots=True)
class Send:
    """A message for one peer."""

    peer: str
    message: tuple[Value, ...]


@dataclass(slots=True)
class _Assembly:
    block_id: BlockID
    height: int
    compact: CompactBlock | None = None
    source: str = ""  # who sent the compact block
    txs: list[bytes] = field(default_factory=list)  # b"" where it is missing: no transaction is empty
    missing: dict[int, None] = field(default_factory=dict)  # their places, in order
    held_bytes: int = 0
    asked: str = ""
    deadline_ns: int = 0
    tried: dict[str, None] = field(default_factory=dict)
    holders: dict[str, None] = field(default_factory=dict)  # peers that said they have it, in order

    def put(self, index: int, tx: bytes) -> None:
        """A body in its place, if it is missing."""
        if index in self.missing:
            del self.missing[index]
            self.txs[index] = tx
            self.held_bytes += len(tx)

    def clear(self) -> None:
        """Without an announcement, as in the beginning."""
        self.compact, self.txs, self.missing, self.held_bytes = None, [], {}, 0


@dataclass(slots=True)
class _Served:
    block: Block
    compact: CompactBlock | None
    announced_ns: dict[str, int] = field(default_factory=dict)  # when it was last sent to each peer that asked

    def announcement(self) -> tuple[Value, ...]:
        """The message. Hashing the transactions of a full block takes a tenth of a second, and is done once."""
        if self.compact is None:
            self.compact = CompactBlock.of(self.block)
        return COMPACT, *self.compact.to_wire()


class Assembler:
    """Blocks wanted, blocks served. `take_blocks` and `take_complaints` empty what has come out since the last call."""

    def __init__(self, find_tx: Callable[[bytes], bytes | None]) -> None:
        self._find_tx = find_tx
        self._wanted: dict[BlockID, _Assembly] = {}
        self._early: dict[str, CompactBlock] = {}
        self._peers: dict[str, None] = {}
        self._blocks: dict[BlockID, _Served] = {}
        self._done: list[Block] = []
        self._complaints: list[tuple[str, QenexError]] = []

    # what consensus says

    def want(self, block_id: BlockID, height: int, peer: str, now_ns: int) -> list[Send]:
        """Consensus needs this block; `peer` (or "") told us of it and so should have it. If every place is taken, `keep_only` decides."""
        served = self._blocks.get(block_id)
        if served is not None:
            self._done.append(served.block)  # consensus had let it go
        if served is not None or block_id in self._wanted or len(self._wanted) >= ASSEMBLIES_MAX:
            return []
        assembly = self._wanted[block_id] = _Assembly(block_id, height, deadline_ns=now_ns + COMPACT_GRACE_NS)
        if peer:
            assembly.holders[peer] = None
        for name, compact in list(self._early.items()):
            if compact.block_id == block_id:
                del self._early[name]
                return self._on_wanted_compact(assembly, name, compact, now_ns)
        return []

    def keep_only(self, block_ids: Sequence[BlockID]) -> None:
        """What consensus lacks now, the most important first: places are for the first of them, others make room."""
        places = dict.fromkeys(block_ids[:ASSEMBLIES_MAX])
        for block_id in [known for known in self._wanted if known not in places]:
            del self._wanted[block_id]

    def add_block(self, block: Block, compact: CompactBlock | None = None) -> None:
        """A whole block that peers may ask us for: our own proposal, or one just rebuilt, of `compact`."""
        block_id = block.block_id()
        self._wanted.pop(block_id, None)
        self._blocks.pop(block_id, None)
        while len(self._blocks) >= BLOCKS_SERVED_MAX:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[block_id] = _Served(block, compact)

    def announcement(self, block_id: BlockID) -> tuple[Value, ...] | None:
        """The message that announces a block that is still kept."""
        served = self._blocks.get(block_id)
        return None if served is None else served.announcement()

    def get_block(self, block_id: BlockID) -> Block | None:
        """A whole block that is still kept."""
        served = self._blocks.get(block_id)
        return None if served is None else served.block

    def forget_below(self, height: int) -> None:
        """Heights below are decided. The last decided block is still served, to those that are a moment behind."""
        for block_id in [known for known, assembly in self._wanted.items() if assembly.height < height]:
            del self._wanted[block_id]
        for block_id in [known for known, served in self._blocks.items() if served.block.header.height < height - 1]:
            del self._blocks[block_id]
        for peer in [name for name, compact in self._early.items() if compact.header.height < height]:
            del self._early[peer]

    # what peers say

    def add_peer(self, peer: str) -> None:
        """It is connected."""
        self._peers[peer] = None

    def remove_peer(self, peer: str, now_ns: int) -> list[Send]:
        """It has gone; what it owed is asked of others."""
        self._peers.pop(peer, None)
        self._early.pop(peer, None)
        for served in self._blocks.values():
            served.announced_ns.pop(peer, None)
        sends: list[Send] = []
        for assembly in self._wanted.values():
            assembly.holders.pop(peer, None)
            if assembly.asked == peer:
                sends += self._ask_next(assembly, now_ns)
        return sends

    def on_compact(self, peer: str, compact: CompactBlock, now_ns: int) -> list[Send]:
        """An announcement. Its hash lists are checked against its header before anything else."""
        if compact.block_id in self._blocks:
            return []
        problem = find_mismatch(compact)
        if problem:
            self._complain(peer, problem)
            return []
        assembly = self._wanted.get(compact.block_id)
        if assembly is None:
            self._early[peer] = compact
            return []
        assembly.holders[peer] = None
        if assembly.compact is not None:
            return []
        return self._on_wanted_compact(assembly, peer, compact, now_ns)

    def on_have(self, peer: str, block_id: BlockID) -> None:
        """A peer has rebuilt the block."""
        assembly = self._wanted.get(block_id)
        if assembly is not None:
            assembly.holders[peer] = None

    def on_txs(
        self, peer: str, block_id: BlockID, indices: tuple[int, ...], txs: tuple[bytes, ...], now_ns: int
    ) -> list[Send]:
        """Bodies that we asked for, perhaps a part of them."""
        assembly = self._wanted.get(block_id)
        if assembly is None or assembly.compact is None:
            return []
        problem = "" if txs else "answered with no transaction"
        hashes = assembly.compact.tx_hashes
        for index, tx in zip(indices, txs, strict=True):
            if not 0 <= index < len(hashes) or sha256(tx) != hashes[index]:
                problem = "sent a transaction that is not the block's"
            elif not 0 < len(tx) <= TX_BYTES_MAX:  # whoever rebuilt such a block could not read it back from its own log
                problem = "sent a transaction of a size that no block has"
            if problem:
                break
            assembly.put(index, tx)
        if problem:
            self._complain(peer, problem)
            return self._ask_next(assembly, now_ns) if assembly.asked == peer else []
        if assembly.asked == peer:
            assembly.deadline_ns = now_ns + ANSWER_TIMEOUT_NS
        return self._finish(assembly, now_ns)

    def on_lack(self, peer: str, block_id: BlockID, now_ns: int) -> list[Send]:
        """A peer does not have what we asked it for."""
        assembly = self._wanted.get(block_id)
        if assembly is None or assembly.asked != peer:
            return []
        assembly.holders.pop(peer, None)
        return self._ask_next(assembly, now_ns)

    def on_want_txs(self, peer: str, block_id: BlockID, indices: tuple[int, ...]) -> list[Send]:
        """A peer asks for bodies: answers in batches of about `BLOCK_BATCH_BYTES`."""
        block = self.get_block(block_id)
        if block is None:
            return [Send(peer, (LACK, block_id.to_wire()))]
        last = -1
        for index in indices:
            if not last < index < len(block.txs):  # rising, so that a short question has no endless answer
                self._complain(peer, "asked for a transaction twice or beyond the block's end")
                return []
            last = index
        sends: list[Send] = []
        chosen: list[int] = []
        size = 0
        for index in indices:
            if chosen and size + len(block.txs[index]) > BLOCK_BATCH_BYTES:
                sends.append(_txs_message(peer, block, chosen))
                chosen, size = [], 0
            chosen.append(index)
            size += len(block.txs[index])
        if chosen:
            sends.append(_txs_message(peer, block, chosen))
        return sends

    def on_want_block(self, peer: str, block_id: BlockID, now_ns: int) -> list[Send]:
        """A peer asks for the announcement of a block: sent to each at most once in `REPEAT_NS`."""
        served = self._blocks.get(block_id)
        if served is None:
            return [Send(peer, (LACK, block_id.to_wire()))]
        if now_ns - served.announced_ns.get(peer, now_ns - REPEAT_NS) < REPEAT_NS:
            return []
        served.announced_ns[peer] = now_ns
        return [Send(peer, served.announcement())]

    def tick(self, now_ns: int) -> list[Send]:
        """Ask the next peer for whatever is overdue."""
        sends: list[Send] = []
        for assembly in list(self._wanted.values()):
            if assembly.deadline_ns <= now_ns:
                sends += self._fill(assembly, now_ns)
                if assembly.block_id in self._wanted and assembly.deadline_ns <= now_ns:
                    sends += self._ask_next(assembly, now_ns)
        return sends

    # what comes out

    def take_blocks(self) -> list[Block]:
        """Blocks completed since the last call; each is served to peers from now on."""
        done, self._done = self._done, []
        return done

    def take_complaints(self) -> list[tuple[str, QenexError]]:
        """(peer, what it did) since the last call."""
        complaints, self._complaints = self._complaints, []
        return complaints

    def statistics(self) -> dict[str, int]:
        """Gauges: blocks being assembled, blocks served, bodies still missing."""
        missing = sum(len(assembly.missing) for assembly in self._wanted.values())
        return {"wanted": len(self._wanted), "served": len(self._blocks), "missing_txs": missing}

    # within

    def _on_wanted_compact(self, assembly: _Assembly, peer: str, compact: CompactBlock, now_ns: int) -> list[Send]:
        assembly.clear()
        assembly.compact = compact
        assembly.source = peer
        assembly.holders[peer] = None
        assembly.tried.clear()
        assembly.asked = ""
        assembly.txs = [b""] * len(compact.tx_hashes)
        assembly.missing = dict.fromkeys(range(len(compact.tx_hashes)))
        sends = self._fill(assembly, now_ns)
        if assembly.block_id in self._wanted and not assembly.asked:
            sends += self._ask(assembly, peer, now_ns)
        return sends

    def _fill(self, assembly: _Assembly, now_ns: int) -> list[Send]:
        """Fill the gaps from the mempool."""
        if assembly.compact is None:
            return []
        hashes = assembly.compact.tx_hashes
        for index in tuple(assembly.missing):
            found = self._find_tx(hashes[index])
            if found is not None:
                assembly.put(index, found)
        return self._finish(assembly, now_ns)

    def _finish(self, assembly: _Assembly, now_ns: int) -> list[Send]:
        """Without gaps, check the whole block's identity."""
        compact = assembly.compact
        if compact is None:
            return []
        if assembly.held_bytes > assembly.block_id.parts_total * BLOCK_PART_BYTES:
            return self._give_up(assembly, now_ns)
        if assembly.missing:
            return []
        block = compact.to_block(assembly.txs)
        if block.block_id() != assembly.block_id:
            return self._give_up(assembly, now_ns)
        self.add_block(block, compact)
        self._done.append(block)
        return [Send(peer, (HAVE, assembly.block_id.to_wire())) for peer in self._peers if peer != assembly.source]

    def _give_up(self, assembly: _Assembly, now_ns: int) -> list[Send]:
        """These parts are not the block's that its announcement names: who announced it knew, since whoever relays has rebuilt it first."""
        self._complain(assembly.source, "announced a block under another identity")
        assembly.clear()
        assembly.holders.pop(assembly.source, None)
        assembly.tried[assembly.source] = None  # it has nothing else to offer: the others first
        return self._ask_next(assembly, now_ns)

    def _ask_next(self, assembly: _Assembly, now_ns: int) -> list[Send]:
        """The next peer that was not asked yet: those that have the block first. After the last one, wait and start over."""
        for peer in (*assembly.holders, *self._peers):
            if peer not in assembly.tried and peer in self._peers:
                return self._ask(assembly, peer, now_ns)
        assembly.tried.clear()
        assembly.asked = ""
        assembly.deadline_ns = now_ns + RETRY_NS
        return []

    def _ask(self, assembly: _Assembly, peer: str, now_ns: int) -> list[Send]:
        assembly.tried[peer] = None
        assembly.asked = peer
        assembly.deadline_ns = now_ns + ANSWER_TIMEOUT_NS
        if assembly.compact is None:
            return [Send(peer, (WANT_BLOCK, assembly.block_id.to_wire()))]
        return [Send(peer, (WANT_TXS, assembly.block_id.to_wire(), tuple(assembly.missing)))]

    def _complain(self, peer: str, what: str) -> None:
        self._complaints.append((peer, InvalidBlockError(f"peer {what}")))


def find_mismatch(compact: CompactBlock) -> str:
    """How the parts of an announcement contradict its header, or nothing."""
    header = compact.header
    if header.hash() != compact.block_id.hash:
        return "announced a header under another name"
    if merkle.root(compact.tx_hashes) != header.data_hash:
        return "announced a list of transactions that is not the header's"
    if compact.last_commit.hash() != header.last_commit_hash:
        return "announced a last commit that is not the header's"
    if evidence_hash(compact.evidence) != header.evidence_hash:
        return "announced evidence that is not the header's"
    return ""


def _txs_message(peer: str, block: Block, indices: list[int]) -> Send:
    return Send(peer, (TXS, block.block_id().to_wire(), tuple(indices), tuple(block.txs[index] for index in indices)))
