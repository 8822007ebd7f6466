"""The index is killed at random moments, and equals the chain after each; `tests.node.indexer.kills` does it a hundred times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.indexer.kills import kill_again_and_again


@pytest.mark.parametrize("seed", [1, 2])
def test_the_index_equals_the_chain_after_every_kill(tmp_path: Path, seed: int) -> None:
    kill_again_and_again(tmp_path, 25, seed)
