"""Where things lie: the variable, the folder of before, the platform's place; and folders that are closed to others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.cli import options
from node.cli.main import main
from node.places import close_to_others, describe_move, find_place
from state.primitives.errors import ConfigError, HomeError


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("QENEX_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "platform", "expected", "because"),
    [
        ({}, "linux", "{user}/.local/share/qenex", "platform"),
        ({"XDG_DATA_HOME": "/data"}, "linux", "/data/qenex", "platform"),
        ({"XDG_DATA_HOME": "data"}, "linux", "{user}/.local/share/qenex", "platform"),
        ({"XDG_DATA_HOME": ""}, "freebsd14", "{user}/.local/share/qenex", "platform"),
        ({"XDG_DATA_HOME": "/data"}, "darwin", "{user}/Library/Application Support/qenex", "platform"),
        ({"QENEX_HOME": "/here", "XDG_DATA_HOME": "/data"}, "linux", "/here", "QENEX_HOME"),
        ({"QENEX_HOME": ""}, "linux", "{user}/.local/share/qenex", "platform"),
    ],
)
def test_places(user: Path, environment: dict[str, str], platform: str, expected: str, because: str) -> None:
    place = find_place(environment, platform)
    assert (str(place.folder), place.because) == (expected.format(user=user), because)
    assert describe_move(environment, platform) == ""


def test_a_folder_of_before_goes_on_being_used(user: Path) -> None:
    (user / ".qenex").mkdir()
    assert find_place({"XDG_DATA_HOME": "/data"}).folder == user / ".qenex"
    assert f"mv '{user}/.qenex' '/data/qenex'" in describe_move({"XDG_DATA_HOME": "/data"}, "linux")
    assert find_place({"QENEX_HOME": "/here"}).folder == Path("/here")


def test_the_note_comes_once_and_only_to_a_terminal(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (user / ".qenex").mkdir()
    assert options.user_root() == user / ".qenex"
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert options.user_root() == options.user_root() == user / ".qenex"
    assert capsys.readouterr().err.count("mv ") == 1


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(ConfigError, match="no home directory"):
        find_place({})


def test_where(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "where"]) == 0
    assert capsys.readouterr().out == f"{user}/.local/share/qenex (the platform's place for data)\n"
    assert main(["keys", "new", "alice", "--no-encrypt"]) == 0
    assert (user / ".local" / "share" / "qenex" / "keys" / "alice.json").exists()
    assert (user / ".local" / "share" / "qenex" / "keys").stat().st_mode & 0o777 == 0o700


def test_folders_are_closed(tmp_path: Path) -> None:
    for number, mode in enumerate((0o755, 0o700, 0o777, 0o710)):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number)).chmod(mode)
    lines = close_to_others([tmp_path / name for name in ("0", "1", "2", "3", "missing")])
    assert [line.split(" ")[0] for line in lines] == [str(tmp_path / name) for name in ("0", "2", "3")]
    assert "had mode 0777" in lines[1]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o700}


def test_folders_that_cannot_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of another user, or on a disk that is read-only."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, os.strerror(1))

    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refuse)
    (line,) = close_to_others((tmp_path,))
    assert "cannot be closed" in line
    os.chmod(tmp_path, 0o775)
    with pytest.raises(HomeError, match="others may write to it") as caught:
        close_to_others((tmp_path,))
    assert "chmod 700" in caught.value.hint
    os.chmod(tmp_path, 0o700)
