"""A stopped node's database is read without a change to it, and nobody else may use it meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.maintenance.shadow import is_database_in_use, open_shadow
from state.primitives.errors import HomeError
from tests.node.maintenance.chain import contents, make_home

HOLD = "import plyvel, sys; db = plyvel.DB(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


async def test_nothing_changes(tmp_path: Path) -> None:
    home = await make_home(tmp_path / "net", 5)
    before = contents(home)
    with open_shadow(home / "data" / "db") as store:
        assert store.height == 5
        assert store.height_row("b", 5) is not None
    assert contents(home) == before


async def test_a_database_in_use_is_refused(tmp_path: Path) -> None:
    home = await make_home(tmp_path / "net", 1)
    path = home / "data" / "db"
    assert not is_database_in_use(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        assert is_database_in_use(path)
        with pytest.raises(HomeError, match="in use"), open_shadow(path):
            pass
        other.stdin.close()
    assert not is_database_in_use(path)


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="there is no database"), open_shadow(tmp_path / "db"):
        pass
