"""Names and arguments whose bytes are no text: shown with escapes, by whatever the terminal takes, and never a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.output import printable
from tests.node.maintenance.chain import qenex

BYTES = os.fsdecode(b"\xff")


def test_escapes() -> None:
    assert printable("plain \u00e9 \U0001f600") == "plain \u00e9 \U0001f600"
    assert printable(os.fsdecode(b"a\xff\x80b")) == "a\\xff\\x80b"
    assert printable("\ud800") == "\\ud800"


def test_a_message_names_them(tmp_path: Path) -> None:
    done = qenex("doctor", "--home", tmp_path / f"n{BYTES}")
    assert f"there is no home directory {tmp_path}/n\\xff" in done.out
    told = qenex("snapshot", "list", "--from", tmp_path / f"n{BYTES}")
    assert (told.code, f"there is no folder {tmp_path}/n\\xff" in told.err) == (2, True)


def test_json_stays_json_for_everybody(tmp_path: Path) -> None:
    """A lone surrogate is no text for other languages' parsers."""
    for done in (
        qenex("doctor", "--home", tmp_path / f"n{BYTES}", "--json"),
        qenex("snapshot", "list", "--from", tmp_path / f"n{BYTES}", "--json"),
    ):
        text = done.out or done.err
        assert "\\udc" not in text
        assert f"{tmp_path}/n\\xff" in json.dumps(json.loads(text)).replace("\\\\", "\\")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_whatever_the_terminal_takes(tmp_path: Path, encoding: str) -> None:
    """Standard output is strict where standard error is not."""
    done = subprocess.run(
        [sys.executable, "-m", "node.cli.main", "doctor", "--home", os.fsencode(tmp_path) + b"/n\xff\xe2\x82\xac"],
        capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"/n\\xff" in done.stdout


def test_text_that_is_none_is_the_operators_mistake(tmp_path: Path) -> None:
    done = qenex("init", "--no-encrypt", "--home", tmp_path / "home", "--moniker", f"a{BYTES}b", "--json")
    assert (done.code, done.error["name"]) == (2, "CONFIG")
    assert "a\\xffb" in done.error["message"]
