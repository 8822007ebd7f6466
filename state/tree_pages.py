"""A page: one small crit-bit subtree as one byte string, so that millions of leaves cost a hundred bytes each and no garbage collection.

Nodes stand in pre-order. All functions are pure: a change gives a new page and hashes only the path it is on. Layout of a node:

    leaf    00 | hash (32) | kh (32)
    inner   bit (1) | hash (32) | size of the left subtree (4, big-endian) | left subtree | right subtree

`bit` is the number of the first bit in which the two sides differ; it is never 0, because every page lies below the first levels. The
empty page is `b""`. Which page a key belongs to is not known here. The layout is our own; the hashes are `state.tree_hash`'s.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, TypeAlias

from state.tree_hash import INNER_PREFIX, Leaves, Step, split_bits

LEAF_BYTES: Final = 65
INNER_BYTES: Final = 37
ADDED_BYTES: Final = LEAF_BYTES + INNER_BYTES  # what a page grows by with each leaf after the first
_LEAF: Final = b"\x00"

# From the root down: offset of an inner node, of the child that is not on the path, whether the path goes right, where the node ends
Turn: TypeAlias = tuple[int, int, bool, int]


def page_hash(page: bytes) -> bytes:
    """Hash of a page's topmost node."""
    return page[1:33]


def count_leaves(page: bytes) -> int:
    """Leaves of a page, from its size."""
    return (len(page) + INNER_BYTES) // ADDED_BYTES


def build_page(leaves: Leaves) -> bytes:
    """The page of leaves sorted by kh, without doubles."""
    return _build(leaves, split_bits(leaves), 0, len(leaves)) if leaves else b""


def _build(leaves: Leaves, bits: list[int], start: int, end: int) -> bytes:
    if end - start == 1:
        kh, node_hash = leaves[start]
        return _LEAF + node_hash + kh
    bit = min(bits[start : end - 1])
    middle = bits.index(bit, start) + 1
    return _join(bit, _build(leaves, bits, start, middle), _build(leaves, bits, middle, end))


def _join(bit: int, left: bytes, right: bytes) -> bytes:
    node_hash = sha256(INNER_PREFIX + left[1:33] + right[1:33]).digest()
    return bit.to_bytes(1, "big") + node_hash + len(left).to_bytes(4, "big") + left + right


def set_leaf(page: bytes, kh: bytes, new_hash: bytes) -> bytes:
    """The page with a leaf put in or its hash replaced."""
    if not page:
        return _LEAF + new_hash + kh
    number = int.from_bytes(kh, "big")
    path: list[tuple[int, int, bool]] = []
    place = 0
    bit = page[0]
    while bit:  # as `_descend`, written out: this is where a block's time goes
        left = place + INNER_BYTES
        right = left + int.from_bytes(page[place + 33 : left], "big")
        if number >> (255 - bit) & 1:
            path.append((place, left, True))
            place = right
        else:
            path.append((place, right, False))
            place = left
        bit = page[place]
    if page[place + 33 : place + LEAF_BYTES] != kh:
        return _insert(page, kh, new_hash)
    out = bytearray(page)
    out[place + 1 : place + 33] = new_hash
    while path:
        place, sibling, is_right = path.pop()
        other = page[sibling + 1 : sibling + 33]
        new_hash = sha256(INNER_PREFIX + other + new_hash if is_right else INNER_PREFIX + new_hash + other).digest()
        out[place + 1 : place + 33] = new_hash
    return bytes(out)


def _insert(page: bytes, kh: bytes, new_hash: bytes) -> bytes:
    turns, place = _descend(page, kh)
    difference = int.from_bytes(kh, "big") ^ int.from_bytes(page[place + 33 : place + LEAF_BYTES], "big")
    bit = 256 - difference.bit_length()
    end = place + LEAF_BYTES
    while turns and page[turns[-1][0]] > bit:  # the new branching point stands above these
        place, _, _, end = turns.pop()
    leaf, old = _LEAF + new_hash + kh, page[place:end]
    is_right = kh[bit >> 3] >> (7 - (bit & 7)) & 1
    return _splice(page, turns, place, end, _join(bit, old, leaf) if is_right else _join(bit, leaf, old))


def remove_leaf(page: bytes, kh: bytes) -> bytes:
    """The page without a leaf; the same page if it has none of that key."""
    if not page:
        return page
    turns, place = _descend(page, kh)
    if page[place + 33 : place + LEAF_BYTES] != kh:
        return page
    if not turns:
        return b""
    parent, sibling, is_right, end = turns.pop()
    return _splice(page, turns, parent, end, page[sibling:place] if is_right else page[sibling:end])


def _descend(page: bytes, kh: bytes) -> tuple[list[Turn], int]:
    """The turns to the only leaf that can be `kh`, and that leaf's place. The page is not empty."""
    number = int.from_bytes(kh, "big")
    turns: list[Turn] = []
    place, end = 0, len(page)
    while bit := page[place]:
        left = place + INNER_BYTES
        right = left + int.from_bytes(page[place + 33 : left], "big")
        if number >> (255 - bit) & 1:
            turns.append((place, left, True, end))
            place = right
        else:
            turns.append((place, right, False, end))
            place, end = left, right
    return turns, place


def _splice(page: bytes, turns: list[Turn], start: int, end: int, subtree: bytes) -> bytes:
    """The page with `subtree` in place of the node at start to end; the nodes above it get their new hashes and sizes."""
    grown = len(subtree) - (end - start)
    out = bytearray(page[:start] + subtree + page[end:])
    node_hash = subtree[1:33]
    for place, sibling, is_right, _ in reversed(turns):
        other = page[sibling + 1 : sibling + 33]
        if is_right:
            node_hash = sha256(INNER_PREFIX + other + node_hash).digest()
        else:
            node_hash = sha256(INNER_PREFIX + node_hash + other).digest()
            size = int.from_bytes(page[place + 33 : place + INNER_BYTES], "big") + grown
            out[place + 33 : place + INNER_BYTES] = size.to_bytes(4, "big")
        out[place + 1 : place + 33] = node_hash
    return bytes(out)


def page_path(page: bytes, kh: bytes) -> list[Step] | None:
    """Siblings from the leaf of `kh` up to the page's top, or None if it is absent."""
    if not page:
        return None
    turns, place = _descend(page, kh)
    if page[place + 33 : place + LEAF_BYTES] != kh:
        return None
    return [(is_right, page[sibling + 1 : sibling + 33]) for _, sibling, is_right, _ in reversed(turns)]


def page_leaves(page: bytes) -> list[tuple[bytes, bytes]]:
    """(kh, leaf hash) of all leaves, sorted."""
    leaves: list[tuple[bytes, bytes]] = []
    place = 0
    while place < len(page):
        if page[place]:
            place += INNER_BYTES
        else:
            leaves.append((page[place + 33 : place + LEAF_BYTES], page[place + 1 : place + 33]))
            place += LEAF_BYTES
    return leaves
