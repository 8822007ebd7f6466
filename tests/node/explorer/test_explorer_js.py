"""The explorer's modules under Node's own test runner, against bytes and proofs that the node has made."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from node.explorer.routes import STATIC_DIR
from tests.node.explorer.fixture import make_fixture
from tests.node.explorer.tools import find_node

TESTS = Path(__file__).parent / "js"
TESTS_MIN = 30


async def test_modules(tmp_path: Path) -> None:
    node = find_node()
    shutil.copytree(STATIC_DIR / "js", tmp_path / "js")
    shutil.copytree(TESTS, tmp_path / "tests")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "fixture.json").write_text(json.dumps(await make_fixture(tmp_path)))
    command = [node, "--no-warnings", "--test", *sorted(str(path) for path in (tmp_path / "tests").glob("*.test.js"))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^\W*pass (\d+)", done.stdout, re.MULTILINE)
    assert passed is not None and int(passed.group(1)) >= TESTS_MIN, done.stdout


FORBIDDEN = {
    "HTML made of data": re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc"),
    "code made of text": re.compile(r"\beval\(|new Function|setTimeout\(\s*[\"'`]|javascript:"),
    "another host": re.compile(r"https?://(?!www\.w3\.org/2000/svg)"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_sources_have_no(what: str) -> None:
    ours = [path for path in STATIC_DIR.rglob("*") if path.suffix in (".js", ".html", ".css") and "vendor" not in path.parts]
    assert len(ours) > 30
    wrong = [
        f"{path.name}:{number} {line.strip()[:80]}"
        for path in ours
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert wrong == []


def test_page_has_nothing_inline() -> None:
    page = (STATIC_DIR / "index.html").read_text(encoding="utf-8")
    assert re.search(r"<script(?![^>]*\bsrc=)", page) is None
    assert re.search(r"<style|\sstyle=|\son[a-z]+=", page) is None


def test_files_stay_short_and_say_what_they_are_for() -> None:
    for path in sorted((STATIC_DIR / "js").rglob("*.js")):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("// "), path.name
        assert len(lines) <= 400, f"{path.name} has {len(lines)} lines"
