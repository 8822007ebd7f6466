"""What the scripts that watch real networks look for is what the node says: otherwise they could not fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in ("killtest", "chaos", "chaos_relay", "crash_node", "crashmatrix"):
        sys.modules.pop(name, None)


def test_the_line_of_a_double_signature() -> None:
    import killtest  # type: ignore[import-not-found]

    assert killtest.DOUBLE_SIGNATURE_LINE in (ROOT / "node" / "executor.py").read_text()
    assert '"DOUBLE_SIGN"' in (ROOT / "state" / "primitives" / "errors.py").read_text()


def test_every_persistence_step_is_found() -> None:
    """The crash matrix counts by wrapping functions; they must still be there, and be all that writes."""
    import crash_node  # type: ignore[import-not-found]

    assert crash_node.missing_targets() == []
