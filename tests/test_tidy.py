"""House rules read from the syntax trees, so that nobody has to remember them in review.

A rule that must give way names the place here, with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("state", "consensus", "p2p", "genesis", "node")
PURE = ("state", "consensus")
FILE_LINES_MAX = 440  # about 400, and a little for a long docstring
FUNCTION_LINES_MAX = 80  # about 70, and a little for a long signature

# The supervisors: the command line's; that of consensus, which records and raises again; those of strangers, whose link ends alone.
SUPERVISORS = ("node/cli/main.py", "node/driver.py", "p2p/defects.py", "node/rpc/connections.py")
# Tests that need what a machine may not have; each says why it is skipped.
SKIPS = (
    "tests/conftest.py",  # the markers `needs` and `root`
    "tests/node/explorer/tools.py",  # Node.js, Chromium
    "tests/node/indexer/conftest.py",  # PostgreSQL's own server
    "tests/node/indexer/test_export.py",  # the optional package for Parquet
)
CLOCKS = ("time", "datetime", "random", "secrets", "uuid", "locale")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


SOURCES = python_files(*PACKAGES)
TESTS = python_files("tests")
EVERYTHING = SOURCES + TESTS + python_files("scripts")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def place(path: Path, node: ast.AST | None = None) -> str:
    line = f":{node.lineno}" if node is not None and hasattr(node, "lineno") else ""
    return f"{path.relative_to(ROOT)}{line}"


def findings(paths: list[Path], kinds: tuple[type[ast.AST], ...]) -> Iterator[tuple[Path, ast.AST]]:
    for path in paths:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, kinds):
                yield path, node


def test_every_module_says_what_it_is_for() -> None:
    missing = [place(path) for path in EVERYTHING if len(ast.get_docstring(tree_of(path)) or "") < 10]
    assert missing == []


def test_public_names_are_explained() -> None:
    missing = []
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.Module | ast.ClassDef):
                continue
            if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
                continue
            for item in node.body:
                if not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or item.name.startswith("_"):
                    continue
                is_overload = any(ast.unparse(decorator).endswith("setter") for decorator in item.decorator_list)
                if ast.get_docstring(item) is None and not is_overload:
                    missing.append(f"{place(path, item)} {item.name}")
    assert missing == []


def test_package_files_hold_a_docstring_only() -> None:
    assert [place(path) for path in SOURCES if path.name == "__init__.py" and len(tree_of(path).body) != 1] == []


def test_files_and_functions_stay_short() -> None:
    long = []
    for path in SOURCES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES_MAX:
            long.append(f"{place(path)} has {lines} lines, at most {FILE_LINES_MAX}")
    for path, node in findings(SOURCES, (ast.FunctionDef, ast.AsyncFunctionDef)):
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            long.append(f"{place(path, node)} {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}")
    assert long == []


def test_pure_packages_have_no_float_division_async_assert_or_clock() -> None:
    wrong = []
    for path, node in findings(python_files(*PURE), (ast.AST,)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            wrong.append(f"{place(path, node)} a float")
        elif isinstance(node, ast.Name) and node.id in ("float", "complex", "print", "open", "input", "eval", "exec"):
            wrong.append(f"{place(path, node)} {node.id}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            wrong.append(f"{place(path, node)} true division")
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            wrong.append(f"{place(path, node)} async")
        elif isinstance(node, ast.Global):
            wrong.append(f"{place(path, node)} global")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if any(module.partition(".")[0] in CLOCKS for module in modules):
                wrong.append(f"{place(path, node)} {ast.unparse(node)}")
    assert wrong == []


def test_pure_packages_do_not_iterate_sets() -> None:
    """The order of a set of bytes differs from process to process; sorting or counting it is fine."""
    wrong = []
    for path, node in findings(python_files(*PURE), (ast.For, ast.comprehension)):
        assert isinstance(node, ast.For | ast.comprehension)
        source = node.iter
        is_set = isinstance(source, ast.Set | ast.SetComp) or (
            isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.func.id in ("set", "frozenset")
        )
        if is_set:
            wrong.append(place(path, source))
    assert wrong == []


def test_no_assert_outside_tests() -> None:
    assert [place(path, node) for path, node in findings(SOURCES, (ast.Assert,))] == []


def test_exceptions_are_caught_narrowly() -> None:
    wrong = []
    for path, node in findings(SOURCES, (ast.ExceptHandler,)):
        assert isinstance(node, ast.ExceptHandler)
        names = [] if node.type is None else [ast.unparse(item) for item in _caught(node.type)]
        relative = path.relative_to(ROOT).as_posix()
        if node.type is None or ("Exception" in names and relative not in SUPERVISORS):
            wrong.append(f"{place(path, node)} except {', '.join(names)}")
        if "BaseException" in names and not isinstance(node.body[-1], ast.Raise):
            wrong.append(f"{place(path, node)} swallows BaseException")
    assert wrong == []


def _caught(kind: ast.expr) -> list[ast.expr]:
    return list(kind.elts) if isinstance(kind, ast.Tuple) else [kind]


UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|work|Users|workspace|mnt|opt)/\w")


@pytest.mark.parametrize("pattern", [UNFINISHED, MACHINE_PATH], ids=["unfinished", "machine path"])
def test_text_has_no(pattern: re.Pattern[str]) -> None:
    files = [path for path in EVERYTHING if path != Path(__file__)]
    files += [path for folder in ("scripts", ".ci", "docs") for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [*sorted(ROOT.glob("*.md")), ROOT / "pyproject.toml"]
    wrong = []
    for path in dict.fromkeys(files):
        if path.suffix in (".pyc", ".png", ".svg", ".ico"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line):
                wrong.append(f"{place(path)}:{number} {line.strip()[:80]}")
    assert wrong == []


def test_tests_are_not_skipped_and_do_not_sleep_for_luck() -> None:
    wrong = []
    for path, node in findings(TESTS, (ast.Attribute, ast.Call)):
        text = ast.unparse(node)
        is_skip = isinstance(node, ast.Attribute) and text in ("pytest.mark.skip", "pytest.mark.skipif", "pytest.skip")
        if is_skip and path.relative_to(ROOT).as_posix() not in SKIPS:
            wrong.append(f"{place(path, node)} {text}")
        if isinstance(node, ast.Call) and re.match(r"(time|trio)\.sleep\((\d+\.?\d*)\)", text):
            seconds = float(text.partition("(")[2].rstrip(")"))
            if 0.1 < seconds < 30:  # short: polling; long: a task that never ends by itself
                wrong.append(f"{place(path, node)} {text}")
    assert wrong == []


def test_error_codes_are_unique_and_in_their_range() -> None:
    from state.primitives.errors import QenexError

    leaves: dict[int, str] = {}
    waiting: list[type[QenexError]] = [QenexError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if "code" in vars(kind):
            assert kind.code not in leaves, f"{kind.__name__} and {leaves.get(kind.code)} share code {kind.code}"
            leaves[kind.code] = kind.__name__
            assert 2000 <= kind.code < 3000
    assert len(leaves) > 10


def test_the_lock_file_knows_no_machine() -> None:
    """Whoever makes it has an index and folders of his own, which the tool writes into it if nobody looks."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if re.match(r"-|https?:", line.strip()) and not line.strip().startswith("--hash=")] == []
