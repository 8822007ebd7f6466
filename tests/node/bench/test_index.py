"""The bench of the index does what it says."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.bench.index import run_index


@pytest.fixture(autouse=True)
def own_gc() -> Iterator[None]:
    """The bench tunes the collector of its process, which here is the tests'."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_every_transfer_is_indexed(tmp_path: Path) -> None:
    data = run_index(50, tmp_path)["sqlite"].to_json()
    # a transaction, its event and a line for each of the two; before that what the accounts had
    assert data["transactions"] == 50 and isinstance(data["rows"], int) and data["rows"] >= 50 * 4 + 50
    assert all(isinstance(value, int | float) and value > 0 for value in data.values())
