"""Proofs that a key has a value, or has none, under an app hash: ICS-23 commitment proofs with the stock `tendermintSpec`.

The proven key is `kh = sha256(raw key)`. Existence is the leaf and its path; absence is the nearest leaf below and above, which must be
neighbours in the tree (one of them missing at an edge). Building needs a path from `state.tree`; verifying needs nothing but bytes, raises
`ProofError` and nothing else, and is as strict as the strictest ICS-23 library tried. Source: ICS-23, encoding rules in docs/encodings.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from state.primitives.canonical import bytes_field, message_field, uvarint, varint_field
from state.primitives.errors import ProofError
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import STATE_VALUE_BYTES_MAX
from state.tree_hash import Step, inner_hash, key_hash, leaf_hash

# LeafOp{1 hash SHA256, 2 prehash_key NO_HASH, 3 prehash_value SHA256, 4 length VAR_PROTO, 5 prefix 00}
_LEAF_OP: Final = varint_field(1, 1) + varint_field(3, 1) + varint_field(4, 1) + bytes_field(5, b"\x00")
_INNER_PREFIX: Final = b"\x01"
PATH_STEPS_MAX: Final = 128  # what the strictest ICS-23 library reads; more needs keys whose hashes share 128 bits
PROOF_BYTES_MAX: Final = 2 * (STATE_VALUE_BYTES_MAX + PATH_STEPS_MAX * 80 + 1024)


@dataclass(frozen=True, slots=True)
class Existence:
    """A leaf and the siblings from it up to the root."""

    kh: bytes
    value: bytes
    path: tuple[Step, ...]

    def root(self) -> bytes:
        """The root that this proves against."""
        node = leaf_hash(self.kh, self.value)
        for is_right, sibling in self.path:
            node = inner_hash(sibling, node) if is_right else inner_hash(node, sibling)
        return node

    def proto(self) -> bytes:
        """`ExistenceProof{1 key, 2 value, 3 leaf, 4 path}`."""
        out = bytes_field(1, self.kh) + bytes_field(2, self.value) + message_field(3, _LEAF_OP)
        for is_right, sibling in self.path:
            prefix, suffix = (_INNER_PREFIX + sibling, b"") if is_right else (_INNER_PREFIX, sibling)
            out += message_field(4, varint_field(1, 1) + bytes_field(2, prefix) + bytes_field(3, suffix))
        return out

    def encode(self) -> bytes:
        """`CommitmentProof{1 exist}`."""
        return message_field(1, self.proto())


@dataclass(frozen=True, slots=True)
class Absence:
    """The neighbours of a key that is not there; None beyond an edge."""

    kh: bytes
    left: Existence | None
    right: Existence | None

    def encode(self) -> bytes:
        """`CommitmentProof{2 nonexist NonExistenceProof{1 key, 2 left, 3 right}}`."""
        out = bytes_field(1, self.kh)
        out += b"" if self.left is None else message_field(2, self.left.proto())
        out += b"" if self.right is None else message_field(3, self.right.proto())
        return message_field(2, out)


def existence_proof(kh: bytes, value: bytes, path: Sequence[Step]) -> Existence:
    """The proof of a leaf whose path was read from the tree."""
    return Existence(kh, value, tuple(path))


def absence_proof(kh: bytes, left: Existence | None, right: Existence | None) -> Absence:
    """The proof that nothing lies between two neighbours."""
    return Absence(kh, left, right)


def verify_proof(root: bytes, key: bytes, value: bytes | None, proof: bytes) -> None:
    """Check that under `root` the raw `key` has `value`, or is absent if that is None. Raises `ProofError`."""
    kh = key_hash(key)
    found = decode_proof(proof)
    if isinstance(found, Existence):
        if value is None:
            raise ProofError("the proof is of existence, but no value was given")
        if found.kh != kh or found.value != value:
            raise ProofError("the proof is of another key or value")
        if found.root() != root:
            raise ProofError("the proof leads to another app hash")
        return
    if value is not None:
        raise ProofError("the proof is of absence, but a value was given")
    if found.kh != kh:
        raise ProofError("the proof is of another key")
    _verify_absence(root, found)


def _verify_absence(root: bytes, proof: Absence) -> None:
    left, right = proof.left, proof.right
    for side in (left, right):
        if side is not None and side.root() != root:
            raise ProofError("a neighbour's proof leads to another app hash")
    if (left is not None and left.kh >= proof.kh) or (right is not None and right.kh <= proof.kh):
        raise ProofError("the neighbours do not enclose the key")
    if left is None and right is None:
        raise ProofError("a proof of absence names a neighbour")
    if left is None and right is not None:
        adjacent = all(not is_right for is_right, _ in right.path)
    elif right is None and left is not None:
        adjacent = all(is_right for is_right, _ in left.path)
    else:
        adjacent = left is not None and right is not None and _are_neighbours(left.path, right.path)
    if not adjacent:
        raise ProofError("the two leaves are not neighbours")


def _are_neighbours(left: Sequence[Step], right: Sequence[Step]) -> bool:
    """Strip what the two paths share from the root down; then left goes left and ever right, right goes right and ever left."""
    depth = 0
    while depth < min(len(left), len(right)) and left[-1 - depth] == right[-1 - depth]:
        depth += 1
    left, right = left[: len(left) - depth], right[: len(right) - depth]
    if not left or not right or left[-1][0] or not right[-1][0]:
        return False
    return all(is_right for is_right, _ in left[:-1]) and all(not is_right for is_right, _ in right[:-1])


# decoding: a strict reader of just these messages


def decode_proof(data: bytes) -> Existence | Absence:
    """The proof in a `CommitmentProof`. Raises `ProofError` for anything that is not in its one canonical form."""
    if len(data) > PROOF_BYTES_MAX:
        raise ProofError(f"a proof has at most {PROOF_BYTES_MAX} bytes")
    fields = _read_fields(data)
    if len(fields) != 1 or fields[0][0] not in (1, 2):
        raise ProofError("a commitment proof holds one proof of existence or absence")
    number, body = fields[0]
    found = _read_existence(body) if number == 1 else _read_absence(body)
    if found.encode() != data:
        raise ProofError("the proof is not in canonical form")
    return found


def _read_absence(data: bytes) -> Absence:
    kh, sides = b"", {2: None, 3: None}  # type: tuple[bytes, dict[int, Existence | None]]
    for number, body in _read_fields(data):
        if number == 1:
            kh = body
        elif number in sides:
            sides[number] = _read_existence(body)
        else:
            raise ProofError("a proof of absence has an unknown field")
    if len(kh) != HASH_BYTES:
        raise ProofError("a proof's key is a hash")
    return Absence(kh, sides[2], sides[3])


def _read_existence(data: bytes) -> Existence:
    kh = value = b""
    path: list[Step] = []
    for number, body in _read_fields(data):
        if number == 1:
            kh = body
        elif number == 2:
            value = body
        elif number == 3:
            if body != _LEAF_OP:
                raise ProofError("a proof has another leaf operation")
        elif number == 4 and len(path) < PATH_STEPS_MAX:
            path.append(_read_inner(body))
        else:
            raise ProofError("a proof of existence has an unknown field or too many steps")
    if len(kh) != HASH_BYTES or not value or len(value) > STATE_VALUE_BYTES_MAX:
        raise ProofError("a proof has a key or value of a wrong length")
    return Existence(kh, value, tuple(path))


def _read_inner(data: bytes) -> Step:
    head = varint_field(1, 1)
    if data[: len(head)] != head:
        raise ProofError("a step of a proof is not SHA-256")
    parts = dict(_read_fields(data[len(head) :]))
    prefix, suffix = parts.get(2, b""), parts.get(3, b"")
    if prefix[:1] == _INNER_PREFIX:
        if len(prefix) == 1 + HASH_BYTES and not suffix:
            return True, prefix[1:]
        if len(prefix) == 1 and len(suffix) == HASH_BYTES:
            return False, suffix
    raise ProofError("a step of a proof has a wrong prefix or suffix")


def _read_fields(data: bytes) -> list[tuple[int, bytes]]:
    """Length-delimited fields. The caller encodes again and compares, so spelling is not checked here."""
    fields: list[tuple[int, bytes]] = []
    place = 0
    while place < len(data):
        tag, place = _read_uvarint(data, place)
        size, place = _read_uvarint(data, place)
        if tag & 7 != 2 or place + size > len(data):
            raise ProofError("a proof is cut off or has a field of a wrong type")
        fields.append((tag >> 3, data[place : place + size]))
        place += size
    return fields


def _read_uvarint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(data) and shift <= 28:
        byte = data[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            if data[place - len(uvarint(number)) : place] != uvarint(number):
                raise ProofError("a length in the proof is not minimal")
            return number, place
    raise ProofError("a length in the proof is cut off or too large")
