"""What a node and its signer say to each other. Sans-I/O: messages to bytes, bytes to messages, frames.

Each side begins with `QXSIGN1`, so this is never mistaken for a link between peers (`p2p.handshake`) and no peer can be mistaken for a
signer; then frames of `length u32 big-endian | canonical msgpack array`. The length is checked before anything is kept. The node sends
`NodeHello`, then requests with a number; the signer sends `SignerHello`, one answer to each request in order, and `Keys` when its keys
change or its record is not what the node thought.

A request does not carry bytes to sign but the vote or proposal itself: the signer makes the sign bytes, for its own chain, so a node that
was broken into cannot have the height that is recorded differ from the height that is signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from consensus.block_id import BlockID
from consensus.fields import (
    read_bytes,
    read_height,
    read_int,
    read_pol_round,
    read_round,
    read_time,
    read_tuple,
    write_time,
)
from consensus.vote import PQ_SIGNATURE_LENGTHS, Proposal, Vote, VoteType
from node.signer_record import SignerRecord
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import BadFrameError, KeyFormatError, MalformedError
from state.primitives.hashing import HASH_BYTES, VALIDATOR_ADDRESS_BYTES, validator_address
from state.primitives.keys import (
    ED25519_KEY_BYTES,
    ED25519_SIGNATURE_BYTES,
    MLDSA_KEY_BYTES,
    MLDSA_SIGNATURE_BYTES,
    KeyKind,
    PublicKey,
)
from state.primitives.limits import HEIGHT_MAX, ROUND_MAX

VERSION: Final = 1
MAGIC: Final = b"QXSIGN1"
KEYS_MAX: Final = 2  # the key that votes and the next one
TEXT_CHARS_MAX: Final = 300
REQUEST_BYTES_MAX: Final = 1024  # a proposal with two locks takes 250 bytes
_KEY_BYTES: Final = ED25519_KEY_BYTES + max(MLDSA_KEY_BYTES.values()) + ED25519_SIGNATURE_BYTES + 128
ANSWER_BYTES_MAX: Final = max(  # an ML-DSA-87 signature has 4,627 bytes, two keys of that kind 5,184
    max(MLDSA_SIGNATURE_BYTES.values()) + ED25519_SIGNATURE_BYTES + 64, KEYS_MAX * _KEY_BYTES + 128, 4 * 2 * TEXT_CHARS_MAX + 64
)
_LENGTH_BYTES: Final = 4
_NUMBER_MAX: Final = (1 << 62) - 1
_POSITION_MAX: Final = (1 << 62) - 1
_CODE_MAX: Final = 9_999
_KINDS: Final = {int(kind): kind for kind in MLDSA_KEY_BYTES}


@dataclass(frozen=True, slots=True)
class NodeHello:
    """Who asks: protocol version and the network's genesis hash."""

    version: int
    genesis_hash: bytes


@dataclass(frozen=True, slots=True)
class HeldKey:
    """One key of the signer and where its record stands. The record's signed bytes and ML-DSA signature are not told."""

    key: bytes
    pq_key: PublicKey
    record: SignerRecord

    @property
    def address(self) -> bytes:
        """The validator address, 20 bytes."""
        return self.record.address


@dataclass(frozen=True, slots=True)
class SignerHello:
    """Who signs: protocol version, the genesis hash of its records, its keys, the oldest first."""

    version: int
    genesis_hash: bytes
    keys: tuple[HeldKey, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """The signer's keys have changed."""

    keys: tuple[HeldKey, ...]


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign this with the key of `address`. Locked and valid value with their rounds as in `SignRequest`."""

    number: int
    address: bytes
    message: Vote | Proposal  # without signatures
    locked_value: bytes
    locked_round: int
    valid_value: bytes
    valid_round: int
    log_position: int


@dataclass(frozen=True, slots=True)
class Abstain:
    """Sign nothing any more up to this height."""

    number: int
    height: int


@dataclass(frozen=True, slots=True)
class Retire:
    """The key of `address` has left the validator set for ever."""

    number: int
    address: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""

    number: int


@dataclass(frozen=True, slots=True)
class Signatures:
    """Both signatures."""

    number: int
    signature: bytes
    pq_signature: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """An `Abstain`, a `Retire` or a `Ping` was heard and done."""

    number: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """It was not done; the code of the error says why. Number 0: the connection itself is refused."""

    number: int
    code: int
    text: str
    hint: str


ToSigner: TypeAlias = NodeHello | Sign | Abstain | Retire | Ping | Refusal
ToNode: TypeAlias = SignerHello | Keys | Signatures | Done | Refusal


class _Kind(IntEnum):
    NODE_HELLO = 1
    SIGN = 2
    ABSTAIN = 3
    RETIRE = 4
    PING = 5
    SIGNER_HELLO = 6
    KEYS = 7
    SIGNATURES = 8
    DONE = 9
    REFUSAL = 10



def make_refusal(number: int, code: int, text: str, hint: str) -> Refusal:
    """A refusal whose texts fit: cut, and printable."""
    return Refusal(number, code, _cut(text), _cut(hint))


def encode_to_signer(message: ToSigner) -> bytes:
    """The frame of a node's message."""
    match message:
        case NodeHello(version, genesis_hash):
            return _frame((_Kind.NODE_HELLO, version, genesis_hash))
        case Sign():
            locks = message.locked_value, message.locked_round, message.valid_value, message.valid_round
            return _frame((_Kind.SIGN, message.number, message.address, _write_message(message.message), *locks, message.log_position))
        case Abstain(number, height):
            return _frame((_Kind.ABSTAIN, number, height))
        case Retire(number, address):
            return _frame((_Kind.RETIRE, number, address))
        case Ping(number):
            return _frame((_Kind.PING, number))
        case Refusal(number, code, text, hint):
            return _frame((_Kind.REFUSAL, number, code, text, hint))


def encode_to_node(message: ToNode) -> bytes:
    """The frame of a signer's message."""
    match message:
        case SignerHello(version, genesis_hash, keys):
            return _frame((_Kind.SIGNER_HELLO, version, genesis_hash, tuple(_write_key(key) for key in keys)))
        case Keys(keys):
            return _frame((_Kind.KEYS, tuple(_write_key(key) for key in keys)))
        case Signatures(number, signature, pq_signature):
            return _frame((_Kind.SIGNATURES, number, signature, pq_signature))
        case Done(number):
            return _frame((_Kind.DONE, number))
        case Refusal(number, code, text, hint):
            return _frame((_Kind.REFUSAL, number, code, text, hint))


def decode_to_signer(data: bytes) -> ToSigner:
    """What a node said, from a frame's content. Raises `MalformedError`."""
    kind, fields = _open(data, REQUEST_BYTES_MAX)
    match kind:
        case _Kind.NODE_HELLO:
            version, genesis_hash = read_tuple(fields, 2, "a node's hello")
            return NodeHello(read_int(version, 0, _CODE_MAX, "a version"), read_bytes(genesis_hash, (HASH_BYTES,), "a genesis hash"))
        case _Kind.SIGN:
            number, address, message, locked, locked_round, valid, valid_round, position = read_tuple(fields, 8, "a request")
            locked, valid = _read_value(locked, locked_round), _read_value(valid, valid_round)
            return Sign(
                _read_number(number),
                _read_address(address),
                _read_message(message),
                locked,
                read_pol_round(locked_round),
                valid,
                read_pol_round(valid_round),
                read_int(position, 0, _POSITION_MAX, "a position"),
            )
        case _Kind.ABSTAIN:
            number, height = read_tuple(fields, 2, "an abstention")
            return Abstain(_read_number(number), read_height(height))
        case _Kind.RETIRE:
            number, address = read_tuple(fields, 2, "a retirement")
            return Retire(_read_number(number), _read_address(address))
        case _Kind.PING:
            return Ping(_read_number(read_tuple(fields, 1, "a ping")[0]))
        case _Kind.REFUSAL:
            return _read_refusal(fields)
    raise MalformedError(f"no message of a node: kind {kind}")


def decode_to_node(data: bytes) -> ToNode:
    """What a signer said, from a frame's content. Raises `MalformedError`."""
    kind, fields = _open(data, ANSWER_BYTES_MAX)
    match kind:
        case _Kind.SIGNER_HELLO:
            version, genesis_hash, keys = read_tuple(fields, 3, "a signer's hello")
            chain = read_bytes(genesis_hash, (HASH_BYTES,), "a genesis hash")
            return SignerHello(read_int(version, 0, _CODE_MAX, "a version"), chain, _read_keys(keys, chain))
        case _Kind.KEYS:
            return Keys(_read_keys(read_tuple(fields, 1, "a list of keys")[0], bytes(HASH_BYTES)))
        case _Kind.SIGNATURES:
            number, signature, pq_signature = read_tuple(fields, 3, "signatures")
            return Signatures(
                _read_number(number),
                read_bytes(signature, (ED25519_SIGNATURE_BYTES,), "an Ed25519 signature"),
                read_bytes(pq_signature, PQ_SIGNATURE_LENGTHS, "an ML-DSA signature"),
            )
        case _Kind.DONE:
            return Done(_read_number(read_tuple(fields, 1, "an answer")[0]))
        case _Kind.REFUSAL:
            return _read_refusal(fields)
    raise MalformedError(f"no message of a signer: kind {kind}")


class Frames:
    """Bytes of the other side to the contents of its frames, behind its `MAGIC`. Raises `BadFrameError` for what is none."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._buffer = b""
        self._has_magic = False

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now."""
        self._buffer += data
        if not self._has_magic:
            if not MAGIC.startswith(self._buffer[: len(MAGIC)]):
                raise BadFrameError("this is no link between a node and its signer")
            if len(self._buffer) < len(MAGIC):
                return []
            self._buffer = self._buffer[len(MAGIC) :]
            self._has_magic = True
        found: list[bytes] = []
        while len(self._buffer) >= _LENGTH_BYTES:
            size = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if not 0 < size <= self._bytes_max:
                raise BadFrameError(f"a frame of {size} bytes; at most {self._bytes_max} are possible")
            if len(self._buffer) < _LENGTH_BYTES + size:
                break
            found.append(self._buffer[_LENGTH_BYTES : _LENGTH_BYTES + size])
            self._buffer = self._buffer[_LENGTH_BYTES + size :]
        return found


def _frame(fields: tuple[Value, ...]) -> bytes:
    data = encode_trusted(fields)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _open(data: bytes, bytes_max: int) -> tuple[int, tuple[Value, ...]]:
    value = decode(data, bytes_max=bytes_max, depth_max=5)
    if type(value) is not tuple or not value or type(value[0]) is not int:
        raise MalformedError("a message is an array that starts with its kind")
    return value[0], value[1:]


def _write_message(message: Vote | Proposal) -> tuple[Value, ...]:
    time = write_time(message.time_ns)
    if isinstance(message, Proposal):
        return message.height, message.round, message.pol_round, message.block_id.to_wire(), time
    block_id = None if message.block_id is None else message.block_id.to_wire()
    return int(message.type), message.height, message.round, block_id, time, message.validator_address


def _read_message(value: Value) -> Vote | Proposal:
    """Six fields are a vote, five a proposal. The place in the validator set is not signed, and so is not told."""
    if type(value) is tuple and len(value) == 6:
        kind, height, round_, block_id, time, address = value
        block = None if block_id is None else _read_block_id(block_id)
        vote_type = VoteType(read_int(kind, 1, 2, "a vote's type"))
        return Vote(vote_type, read_height(height), read_round(round_), block, read_time(time), _read_address(address), 0)
    height, round_, pol_round, block_id, time = read_tuple(value, 5, "a proposal")
    found = Proposal(read_height(height), read_round(round_), read_pol_round(pol_round), _read_block_id(block_id), read_time(time))
    if found.pol_round >= found.round:
        raise MalformedError("a proposal names an earlier proof-of-lock round")
    return found


def _read_block_id(value: Value) -> BlockID:
    block_id = BlockID.from_wire(value)
    if block_id.is_empty:
        raise MalformedError("a block id that names no block")
    return block_id


def _write_key(held: HeldKey) -> tuple[Value, ...]:
    record = held.record
    state = record.height, record.round, record.step, record.signature, record.log_position
    return held.key, int(held.pq_key.kind), held.pq_key.data, *state


def _read_keys(value: Value, chain: bytes) -> tuple[HeldKey, ...]:
    if type(value) is not tuple or not 1 <= len(value) <= KEYS_MAX:
        raise MalformedError(f"a signer has 1 to {KEYS_MAX} keys")
    return tuple(_read_key(item, chain) for item in value)


def _read_key(value: Value, chain: bytes) -> HeldKey:
    key, kind, pq_key, height, round_, step, signature, position = read_tuple(value, 8, "a signer's key")
    found = _KINDS.get(kind) if type(kind) is int else None
    if found is None or type(pq_key) is not bytes:
        raise MalformedError("a signer's key is of an unknown kind")
    key = read_bytes(key, (ED25519_KEY_BYTES,), "an Ed25519 key")
    try:
        public = PublicKey(KeyKind(found), pq_key)
    except KeyFormatError as error:
        raise MalformedError(error.message) from None
    record = SignerRecord(
        chain,
        validator_address(key),
        read_int(height, 0, HEIGHT_MAX, "a height"),
        read_int(round_, 0, ROUND_MAX, "a round"),
        read_int(step, 0, 3, "a step"),
        signature=read_bytes(signature, (0, ED25519_SIGNATURE_BYTES), "an Ed25519 signature"),
        log_position=read_int(position, 0, _POSITION_MAX, "a position"),
    )
    return HeldKey(key, public, record)


def _read_value(value: Value, round_: Value) -> bytes:
    """A block hash with the round it belongs to, or nothing with round -1."""
    return read_bytes(value, (0,) if round_ == -1 else (HASH_BYTES,), "a locked or valid value")


def _read_number(value: Value) -> int:
    return read_int(value, 1, _NUMBER_MAX, "a number")


def _read_address(value: Value) -> bytes:
    return read_bytes(value, (VALIDATOR_ADDRESS_BYTES,), "a validator address")


def _read_refusal(fields: tuple[Value, ...]) -> Refusal:
    number, code, text, hint = read_tuple(fields, 4, "a refusal")
    if type(text) is not str or type(hint) is not str or _cut(text) != text or _cut(hint) != hint:
        raise MalformedError(f"a refusal's texts are printable and have at most {TEXT_CHARS_MAX} characters")
    return Refusal(read_int(number, 0, _NUMBER_MAX, "a number"), read_int(code, 0, _CODE_MAX, "a code"), text, hint)


def _cut(text: str) -> str:
    # both end up in logs and on terminals
    return "".join(letter if letter.isprintable() else "?" for letter in text[:TEXT_CHARS_MAX])
