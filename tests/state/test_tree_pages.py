"""Pages against sorted dictionaries: a page changed step by step is the page built at once, byte for byte."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from state.tree_hash import compute_root, inner_hash
from state.tree_pages import build_page, count_leaves, page_hash, page_leaves, page_path, remove_leaf, set_leaf

HEAD = b"\x12\x34\x56"  # pages lie below the first levels, so their keys share a beginning
keys = st.builds(
    lambda head, tail: HEAD + head + tail,
    st.sampled_from([b"\0", b"\1", b"\x80", b"\xff"]),
    st.binary(min_size=28, max_size=28) | st.sampled_from([bytes(28), bytes(27) + b"\1", b"\xff" * 28]),
)
node_hashes = st.binary(min_size=32, max_size=32)


@given(st.lists(st.tuples(keys, st.none() | node_hashes), max_size=40))
@settings(max_examples=200, deadline=None)
def test_step_by_step_equals_built_at_once(changes: list[tuple[bytes, bytes | None]]) -> None:
    page, leaves = b"", {}  # type: tuple[bytes, dict[bytes, bytes]]
    for kh, node_hash in changes:
        before = page
        if node_hash is None:
            page = remove_leaf(page, kh)
            assert (page is before) == (kh not in leaves)
            leaves.pop(kh, None)
        else:
            page = set_leaf(page, kh, node_hash)
            leaves[kh] = node_hash
        ordered = sorted(leaves.items())
        assert page == build_page(ordered)
        assert page_leaves(page) == ordered
        assert count_leaves(page) == len(leaves)
        if leaves:
            assert page_hash(page) == compute_root(ordered)
    for kh, _ in changes:
        path = page_path(page, kh)
        assert (path is None) == (kh not in leaves)
        if path is not None:
            node = leaves[kh]
            for is_right, sibling in path:
                node = inner_hash(sibling, node) if is_right else inner_hash(node, sibling)
            assert node == page_hash(page)


def test_a_page_may_grow_past_64_kib() -> None:
    """Keys that share 18 bits can be ground, so no size may be taken for granted."""
    leaves = sorted(
        (HEAD + number.to_bytes(2, "big") * 14 + b"\0", number.to_bytes(32, "big")) for number in range(2000)
    )
    page = b""
    for kh, node_hash in leaves:
        page = set_leaf(page, kh, node_hash)
    assert len(page) > 200_000
    assert page == build_page(leaves)
    for kh, _ in leaves[::2]:
        page = remove_leaf(page, kh)
    assert page == build_page(leaves[1::2])
