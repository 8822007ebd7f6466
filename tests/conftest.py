"""What all tests share: the one way to leave a test out, which says why in the summary."""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marked `needs(program, how)`: left out where the program is not installed; marked `root`: left out for others than root."""
    for item in items:
        for marker in item.iter_markers("needs"):
            program, how = marker.args
            if shutil.which(program) is None:
                item.add_marker(pytest.mark.skip(reason=f"{program} is not installed: {how}"))
        if item.get_closest_marker("root") is not None and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="only root may mount a small disk"))
