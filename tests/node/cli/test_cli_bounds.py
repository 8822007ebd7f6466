"""Every option of every command, by walking the tree: whole numbers have bounds, fractions are numbers, and no path is empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from node.cli.main import qenex
from state.primitives.limits import AMOUNT_MAX, HEIGHT_MAX
from tests.node.maintenance.chain import qenex as run

NUMBERS = (click.types.IntParamType, click.types.FloatParamType)
TOO_LARGE = (2**63, 2**64, 2**70, AMOUNT_MAX)


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for part in command.list_commands(context):
            found = command.get_command(context, part)
            assert found is not None
            yield from walk(found, f"{name} {part}")
    else:
        yield name, command


def parameters() -> Iterator[tuple[str, click.Parameter, Any]]:
    for name, command in walk(qenex, "qenex"):
        for parameter in command.params:
            types = parameter.type.types if isinstance(parameter.type, click.Tuple) else [parameter.type]
            for type_ in types:
                yield f"{name} {parameter.opts[0]}", parameter, type_


def test_the_whole_tree_is_walked() -> None:
    found = [name for name, _, _ in parameters()]
    assert len(found) > 1_000
    assert {"qenex export file", "qenex simulate --lockstep", "qenex tx gov vote number"} <= set(found)


def is_refused(type_: Any, value: str, parameter: click.Parameter) -> bool:
    try:
        type_.convert(value, parameter, None)
    except click.BadParameter:
        return True
    return False


def test_every_number_has_bounds() -> None:
    """A number that no encoding holds is the operator's mistake, wherever it is typed: not the store's, and not a defect."""
    numbers = [(name, parameter, type_) for name, parameter, type_ in parameters() if isinstance(type_, NUMBERS)]
    assert len(numbers) > 300
    loose = [name for name, _, type_ in numbers if getattr(type_, "min", None) is None or getattr(type_, "max", None) is None]
    assert loose == []
    for name, parameter, type_ in numbers:
        assert type_.min >= 0, name
        assert type_.max <= HEIGHT_MAX, name
        for value in (*TOO_LARGE, -1, -HEIGHT_MAX):
            assert is_refused(type_, str(value), parameter), (name, value)
        assert not is_refused(type_, str(type_.min), parameter), name
        assert not is_refused(type_, str(type_.max), parameter), name


def test_what_is_not_a_number_is_no_fraction() -> None:
    fractions = [(name, parameter, type_) for name, parameter, type_ in parameters() if isinstance(type_, click.types.FloatParamType)]
    assert fractions
    for name, parameter, type_ in fractions:
        for value in ("nan", "inf", "-inf"):
            assert is_refused(type_, value, parameter), (name, value)


def test_no_path_is_empty() -> None:
    """A variable of the shell that is not set would name the current directory."""
    paths = [(name, parameter, type_) for name, parameter, type_ in parameters() if isinstance(type_, click.Path)]
    assert len(paths) > 300
    assert [name for name, parameter, type_ in paths if not is_refused(type_, "", parameter)] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "state.qx", "--height", 2**70),
        ("rollback", "--to", 2**63),
        ("prune", "--retain", 2**63),
        ("export", ""),
        ("import", ""),
        ("snapshot", "create", "--to", ""),
        ("snapshot", "restore", ""),
        ("index", "export", "--table", "blocks", "--out", ""),
        ("doctor", "--home", ""),
    ],
)
def test_a_mistake_in_an_option_is_said_and_nothing_is_made(
    arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = () if "--home" in arguments else ("--home", tmp_path / "home")
    done = run(*arguments, *home, "--json")
    assert done.code == 2
    assert done.error["name"] == "CONFIG"
    assert "Invalid value for" in done.error["message"]
    assert done.error["hint"].startswith("see: qenex ")
    assert list(tmp_path.iterdir()) == []
