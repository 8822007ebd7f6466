"""The value cache against a dictionary: never a wrong value, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.storage.cache import ValueCache

KEYS = st.integers(0, 9).map(lambda number: b"%d" % number)
STEPS = st.lists(st.tuples(st.sampled_from(("get", "put", "replace")), KEYS, st.none() | st.binary(max_size=2)), max_size=60)


@given(steps=STEPS, entries_max=st.integers(1, 12))
def test_what_it_remembers_is_what_was_put_last(steps: list[tuple[str, bytes, bytes | None]], entries_max: int) -> None:
    cache, model = ValueCache(entries_max), dict[bytes, bytes | None]()
    for action, key, value in steps:
        found: object = ValueCache.MISS
        if action == "get":
            found = cache.get(key)
        elif action == "replace":
            found = cache.replace(key, value)
        else:
            cache.put(key, value)
        assert found is ValueCache.MISS or found == model[key]
        if action != "get":
            model[key] = value
            if entries_max > 1:
                assert cache.get(key) == value
        assert len(cache._new) + len(cache._old) <= 2 * max(1, entries_max // 2)


def test_none_is_remembered_and_a_missing_key_is_a_miss() -> None:
    cache = ValueCache(10)
    assert cache.replace(b"a", None) is ValueCache.MISS
    assert cache.get(b"a") is None
    assert cache.replace(b"a", b"1") is None
    assert cache.replace(b"a", b"2") == b"1"
    assert cache.get(b"a") == b"2"
