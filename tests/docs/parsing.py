"""Whether a command could be typed: the command line reads it, a script has its options. Nothing is run here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

import click

from node.cli.main import qenex
from tests.docs.blocks import ROOT

OPERATORS: Final = frozenset({"&&", "||", "|", ";", "&"})
REDIRECTIONS: Final = frozenset({">", ">>", "<", "2>"})


def split(text: str) -> list[list[str]]:
    """The simple commands of a line, as the shell separates them; redirections and settings of variables are left out."""
    text = re.sub(r"\$\(\(.*?\)\)(?!\))|\$\([^()]*\)", "1", text)  # what the shell works out
    reader = shlex.shlex(text, posix=True, punctuation_chars="&|;<>")
    reader.whitespace_split = True
    found: list[list[str]] = [[]]
    skip = False
    for word in reader:
        if skip:
            skip = False
        elif word in OPERATORS:
            found.append([])
        elif word in REDIRECTIONS:
            skip = True
        elif not found[-1] and "=" in word.partition(" ")[0] and word.partition("=")[0].isidentifier():
            continue
        else:
            found[-1].append(word)
    return [words for words in found if words]


def problem_of(text: str, *, is_whole: bool = True) -> str:
    """Why a line could not be typed, or nothing. Not `is_whole`: arguments may be missing, as in a sentence."""
    for words in split(text):
        program, rest = words[0], words[1:]
        program = "qenex" if program.endswith("/bin/qenex") else program.removeprefix(".venv/bin/")
        if program == "qenex":
            found = _qenex(rest, is_whole)
        elif program.startswith("scripts/"):
            found = _script(program, rest)
        elif program.startswith("python"):
            found = _python(rest)
        else:
            found = ""
        if found:
            return found
    return ""


def _qenex(words: Sequence[str], is_whole: bool) -> str:
    command: click.Command = qenex
    rest, path = list(words), "qenex"
    context = click.Context(command, info_name="qenex")
    while isinstance(command, click.Group):
        if not rest or rest[0].startswith("-"):
            return "" if not is_whole or rest == ["--help"] else f"{path} needs a command"
        name = rest.pop(0)
        if not is_whole and (name in ("...", "X") or "|" in name):
            return ""
        found = command.get_command(context, name)
        if found is None:
            return f"{path} has no command {name}"
        command, path = found, f"{path} {name}"
    if "--help" in rest:
        return ""
    try:
        command.make_context(path, rest)
    except click.exceptions.Exit:
        return ""
    except click.BadParameter as error:
        is_missing = isinstance(error, click.MissingParameter)
        told = error.format_message()
        is_placeholder = re.search(r"'[A-Z-]+' is not a valid", told) is not None  # PROPOSAL, HEIGHT
        if "does not exist" in told or is_placeholder or (not is_whole and is_missing):
            return ""
        return f"{path}: {told}"
    except click.UsageError as error:
        return f"{path}: {error.format_message()}"
    return ""


def _script(program: str, words: Sequence[str]) -> str:
    files = [path for path in (ROOT / program, ROOT / f"{program}.py") if path.is_file()]
    if not files:
        return f"there is no {program}"
    if program == "scripts/testnet":
        return _qenex(["testnet", "up", *words], True)
    return _options(program, words, "\n".join(path.read_text(encoding="utf-8") for path in files))


def _python(words: Sequence[str]) -> str:
    if not words:
        return ""
    name = words[1].replace(".", "/") + ".py" if words[0] == "-m" else words[0]
    if words[0] == "-m" and words[1] in ("venv", "pip", "pytest", "json.tool", "http.server"):
        return ""
    if not name.endswith(".py"):
        return ""
    if words[0] == "-m" and not (ROOT / name).is_file():
        name = name.removesuffix(".py") + "/__main__.py"
    if not (ROOT / name).is_file():
        return f"there is no {name}"
    return _options(name, words[1:], (ROOT / name).read_text(encoding="utf-8"))


def _options(program: str, words: Sequence[str], source: str) -> str:
    for word in words:
        if word.startswith("--") and word.partition("=")[0] not in source:
            return f"{program} has no option {word}"
    return ""
