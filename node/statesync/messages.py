"""The snapshot channel: questions and their answers as canonical arrays, bounded before they are taken apart. No decision in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from consensus.block import Block
from consensus.commit import Commit, PqCommit
from consensus.fields import read_bytes, read_height, read_int, read_list, read_tuple
from consensus.header import Header
from consensus.light import LightBlock
from node.sync.messages import CertifiedBlock
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import (
    DECODE_ITEMS_MAX,
    SNAPSHOT_ITEMS_MAX,
    SNAPSHOT_MESSAGE_BYTES_MAX,
    SNAPSHOT_QUESTION_BYTES_MAX,
    SNAPSHOT_ROWS_MAX,
    STATE_KEY_BYTES_MAX,
    TIP_BYTES_MAX,
)
from state.tree import SHARDS
from state.validators import ValidatorSet

OFFER, CHUNK, LIGHT, PROOF, BLOCK = range(1, 6)
_ANSWER: Final = 16  # an answer's kind is its question's plus this
_MISSING: Final = 32
_CHUNK_HEAD: Final = bytes((0x95, CHUNK + _ANSWER))  # an array of five that begins with the kind

Rows: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for: `height` 0 means the newest (offers), `shard` is for chunks, `key` for proofs."""

    kind: int
    height: int = 0
    shard: int = 0
    key: bytes = b""

    def encode(self) -> bytes:
        """Bytes."""
        return encode_trusted((self.kind, self.height, self.shard, self.key))


@dataclass(frozen=True, slots=True)
class Offer:
    """A snapshot: the tip after `height`, and the root of each shard, None for an empty one."""

    height: int
    tip: bytes
    shard_roots: tuple[bytes | None, ...]
    latest: int  # how far the peer says it is


Content: TypeAlias = Offer | Rows | LightBlock | CertifiedBlock | tuple[bytes | None, bytes] | None


def encode_offer(question: Question, offer: Offer) -> bytes:
    """An answer."""
    roots = b"".join((root or bytes(HASH_BYTES)) for root in offer.shard_roots)
    return _encode(question, (offer.height, offer.tip, roots, offer.latest))


def encode_chunk(question: Question, rows: Rows) -> bytes:
    """An answer. Whether it `is_chunk_small_enough` is for the caller to see."""
    return _encode(question, rows)


def is_chunk_small_enough(rows: Rows, answer: bytes) -> bool:
    """Whether whoever asks for these rows can take the answer: the bounds of `decode_message`."""
    return len(rows) <= SNAPSHOT_ROWS_MAX and len(answer) <= SNAPSHOT_MESSAGE_BYTES_MAX


def decode_rows(data: bytes) -> Rows:
    """The rows alone, as they were encoded for keeping. Raises `MalformedError`."""
    return _read_rows(decode(data, bytes_max=SNAPSHOT_MESSAGE_BYTES_MAX, items_max=SNAPSHOT_ITEMS_MAX))


def encode_light(question: Question, block: LightBlock) -> bytes:
    """An answer."""
    pq = () if block.pq_commit is None else block.pq_commit.to_wire()
    return _encode(question, (block.header.to_wire(), block.commit.to_wire(), pq, block.validators.to_wire()))


def encode_proof(question: Question, value: bytes | None, proof: bytes) -> bytes:
    """An answer."""
    return _encode(question, (value is not None, value or b"", proof))


def encode_certified(question: Question, certified: CertifiedBlock) -> bytes:
    """An answer."""
    return _encode(question, (certified.block.to_wire(), certified.commit.to_wire(), certified.pq_commit.to_wire()))


def encode_missing(question: Question) -> bytes:
    """The answer to what we do not have."""
    return encode_trusted((question.kind + _MISSING, question.height, question.shard, question.key, ()))


def _encode(question: Question, content: Value) -> bytes:
    return encode_trusted((question.kind + _ANSWER, question.height, question.shard, question.key, content))


def decode_question(payload: bytes) -> Question:
    """What a peer asks; an answer is not looked into. Raises `MalformedError`."""
    message = decode_message(payload) if len(payload) <= SNAPSHOT_QUESTION_BYTES_MAX else None
    if not isinstance(message, Question):
        raise MalformedError("an answer that nobody asked for")
    return message


def decode_message(payload: bytes) -> Question | tuple[Question, Content]:
    """A question, or (the question it answers, content; None: the peer does not have it). Raises `MalformedError`."""
    items_max = SNAPSHOT_ITEMS_MAX if payload.startswith(_CHUNK_HEAD) else DECODE_ITEMS_MAX
    value = decode(payload, bytes_max=SNAPSHOT_MESSAGE_BYTES_MAX, items_max=items_max)
    if type(value) is not tuple or len(value) not in (4, 5):
        raise MalformedError("not a message of the snapshot channel")
    kind = read_int(value[0], OFFER, BLOCK + _MISSING, "a kind of message")
    height = read_int(value[1], 0, (1 << 63) - 1, "a height")
    shard = read_int(value[2], 0, SHARDS - 1, "a shard")
    if type(value[3]) is not bytes or len(value[3]) > STATE_KEY_BYTES_MAX:
        raise MalformedError("a key is at most 255 bytes")
    question = Question(kind % _ANSWER, height, shard, value[3])
    if not OFFER <= question.kind <= BLOCK:
        raise MalformedError("an unknown kind of message")
    if len(value) == 4:
        if kind != question.kind:
            raise MalformedError("a question has four fields")
        return question
    if kind == question.kind + _MISSING and value[4] == ():
        return question, None
    if kind != question.kind + _ANSWER:
        raise MalformedError("an answer has five fields")
    return question, _read_content(question.kind, value[4])


def _read_content(kind: int, value: Value) -> Content:
    if kind == OFFER:
        return _read_offer(value)
    if kind == CHUNK:
        return _read_rows(value)
    if kind == LIGHT:
        header, commit, pq, validators = read_tuple(value, 4, "a light block")
        pq_commit = None if pq == () else PqCommit.from_wire(pq)
        return LightBlock(Header.from_wire(header), Commit.from_wire(commit), pq_commit, ValidatorSet.from_wire(validators))
    if kind == PROOF:
        is_there, item, proof = read_tuple(value, 3, "a proof")
        if type(is_there) is not bool or type(item) is not bytes or type(proof) is not bytes:
            raise MalformedError("a proof has a value and its path")
        return (item if is_there else None), proof
    block, commit, pq = read_tuple(value, 3, "a certified block")
    return CertifiedBlock(Block.from_wire(block), Commit.from_wire(commit), PqCommit.from_wire(pq))


def _read_rows(value: Value) -> Rows:
    rows = tuple(read_tuple(row, 2, "a row") for row in read_list(value, SNAPSHOT_ROWS_MAX, "a chunk"))
    if any(type(key) is not bytes or not 0 < len(key) <= STATE_KEY_BYTES_MAX or type(item) is not bytes for key, item in rows):
        raise MalformedError("a row is a key and a value")
    return rows


def _read_offer(value: Value) -> Offer:
    height, tip, roots, latest = read_tuple(value, 4, "an offer")
    if type(tip) is not bytes or len(tip) > TIP_BYTES_MAX:
        raise MalformedError("an offer has a tip")
    data = read_bytes(roots, (SHARDS * HASH_BYTES,), "the roots of the shards")
    parts = (data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES))
    return Offer(read_height(height), tip, tuple(part if any(part) else None for part in parts), read_height(latest))
