"""Programs that the node does not need and these tests do: Node.js for the modules, Chromium for the pages.

A test that lacks its program is skipped with a sentence that names it; this is the only place in the tests that may skip.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NODE_MAJOR_MIN = 20  # Ed25519 in WebCrypto, the test runner


def find_node() -> str:
    """The path of Node.js; skips without it."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed (apt install nodejs): the explorer's JavaScript was not tested")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < NODE_MAJOR_MIN:
        pytest.skip(f"Node.js {version} is older than {NODE_MAJOR_MIN}: the explorer's JavaScript was not tested")
    return found


def find_chromium() -> str:
    """The path of a Chromium; skips without one."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("Chromium is not installed (apt install chromium): the explorer's pages were not tested in a browser")
    return found
