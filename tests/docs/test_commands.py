"""Every page is in the plan, every block is known for what it is, every command could be typed. Nothing is run here."""

from __future__ import annotations

import re
import tomllib

import pytest

from node.config import parse_config
from node.telemetry.rules import DEFAULT_RULES
from tests.docs import scenes_joining, scenes_ledger, scenes_nodes, scenes_upkeep
from tests.docs.blocks import ROOT, Block, Command, blocks_of, commands_of, inline_commands, pages, prose_of, text_of
from tests.docs.compare import is_like
from tests.docs.parsing import problem_of
from tests.docs.plan import PAGES
from tests.docs.report import count, describe

SCENES = scenes_ledger.SCENES | scenes_nodes.SCENES | scenes_upkeep.SCENES | scenes_joining.SCENES
HOW = "add a row to PAGES in tests/docs/plan.py; its words say how"


def test_every_page_with_commands_is_in_the_plan() -> None:
    missing = [page for page in pages() if page not in PAGES and any(blocks_of(page))]
    assert missing == [], HOW
    assert [page for page in PAGES if page not in pages()] == []
    assert [page for page in SCENES if page not in PAGES] == []


@pytest.mark.parametrize("page", pages())
def test_every_block_says_what_it_is(page: str) -> None:
    unknown = [f"{page}:{block.line} {block.label or 'no label'}: {block.lines[:1]}" for block in blocks_of(page) if not block.is_known()]
    assert unknown == [], "label it sh, console, text, toml, json, python or javascript"


@pytest.mark.parametrize("page", pages())
def test_every_command_could_be_typed(page: str) -> None:
    found = [f"{command.place} {command.text}: {problem_of(command.text)}" for command in commands_of(page) if problem_of(command.text)]
    for command in inline_commands(page):
        problem = problem_of(command.text, is_whole=False)
        found += [f"{command.place} `{command.text}`: {problem}"] if problem else []
    assert found == []


@pytest.mark.parametrize("page", list(PAGES))
def test_no_row_of_the_plan_is_left_over(page: str) -> None:
    plan, commands = PAGES[page], commands_of(page)
    rows = [start for table in (plan.unrun, plan.codes, plan.ends) for start in table if start not in ("", "python")]
    rows += [start for start in SCENES.get(page, {}) if start not in ("", "python")]
    assert [start for start in rows if not any(command.text.startswith(start) for command in commands)] == []


def test_most_commands_are_run() -> None:
    """The figures that the page for readers promises: `python -m tests.docs` prints them."""
    found = count()
    is_run = found["run"] + found["run and compared"]
    assert is_run >= 200, describe()
    assert found["parsed only"] + found["neither run nor parsed"] <= is_run // 4, describe()


@pytest.mark.parametrize("page", pages())
def test_settings_in_pages_are_settings(page: str) -> None:
    for block in blocks_of(page):
        if block.label == "toml":
            text = "\n".join(block.lines)
            tomllib.loads(text)
            parse_config(text, source=f"{page}:{block.line}", environment={})


@pytest.mark.parametrize("page", pages())
def test_python_compiles(page: str) -> None:
    for block in blocks_of(page):
        if block.label == "python":
            compile("\n".join(block.lines), f"{page}:{block.line}", "exec", 0x2000)  # PyCF_ALLOW_TOP_LEVEL_AWAIT


def test_commands_that_messages_name_are_there() -> None:
    """Failed before: two alert rules told the operator to type commands that do not exist."""
    wrong = []
    named = re.compile(r'(?:with|run|see): (qenex [a-z-]+(?: [a-z-]+)?)|hint="(qenex [a-z-]+(?: [a-z-]+)?)')
    for path in sorted((ROOT / "node").rglob("*.py")):
        texts = {"".join(match) for match in named.findall(path.read_text(encoding="utf-8"))}
        wrong += [f"{path.relative_to(ROOT)}: {text}" for text in sorted(texts) if _is_wrong(text)]
    wrong += [f"{rule.name}: {text}" for rule in DEFAULT_RULES for text in re.findall(r"qenex \w+(?: \w+)?", rule.text) if _is_wrong(text)]
    assert wrong == []


def _is_wrong(text: str) -> bool:
    """Whether neither these words nor all but the last are a command: "qenex monitor health shows"."""
    shorter = text.rpartition(" ")[0]
    return bool(problem_of(text, is_whole=False)) and (shorter == "qenex" or "no command" in problem_of(text, is_whole=False))


def test_every_alert_has_its_row_in_the_page_for_incidents() -> None:
    section = text_of("docs/incidents.md").partition("## Alert by alert")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in rows] == [rule.name for rule in DEFAULT_RULES]


def test_words_of_the_glossary_are_in_order() -> None:
    words = [line.split("|")[1].strip() for _, line in prose_of("docs/glossary.md") if line.startswith("| ") and "meaning" not in line]
    assert words == sorted(words, key=str.lower)
    assert len(words) > 50


def test_the_index_by_reader_names_every_page() -> None:
    named = set(re.findall(r"\]\(([\w-]+\.md)", text_of("docs/README.md")))
    there = {page.removeprefix("docs/") for page in pages() if page.startswith("docs/") and page.count("/") == 1}
    assert there - named - {"README.md"} == set(), "docs/README.md says who reads it"


# The harness itself


def block(label: str, *lines: str) -> Block:
    return Block("page.md", 1, label, list(lines))


def test_commands_are_found() -> None:
    console = block("", "$ qenex query pools", "one", "$ qenex query farms \\", "    --json")
    assert [(command.text, command.output) for command in console.commands()] == [
        ("qenex query pools", ("one",)),
        ("qenex query farms --json", None),
    ]
    plain = block("indented", "qenex query pools  # all", "", "# words", "scripts/tour --story")
    assert [command.text for command in plain.commands()] == ["qenex query pools  # all", "scripts/tour --story"]
    assert not block("", "some words").is_known()
    text = "words\n\n    qenex query pools\n\n```toml\n[rpc]\n```\n- a point\n    that goes on\n"
    assert [(found.label, found.line) for found in blocks_of("page.md", text)] == [("indented", 2), ("toml", 5)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("qenex query pools", ""),
        ("qenex query pool", "Missing"),
        ("qenex query ponds", "no command"),
        ("qenex tx transfer --form alice", "No such option"),
        ("cd x && qenex query ponds > file", "no command"),
        ("qenex query pools --node http://127.0.0.1:1 extra", "unexpected extra"),
        ("qenex-0.1.1/bin/qenex doctor --home /srv/qenex", ""),
        ("qenex-0.1.1/bin/qenex docter --home /srv/qenex", "no command"),
        ("scripts/tour --story", ""),
        ("scripts/tour --sotry", "no option"),
        ("scripts/nothing", "there is no"),
        ("python -m tests.state.random_ledger --operations 5", ""),
        ("python tests/state/nothing.py", "there is no"),
    ],
)
def test_mistakes_are_found(text: str, problem: str) -> None:
    assert problem in problem_of(text)
    assert bool(problem) == bool(problem_of(text))


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (("height 14, app hash 14820A2D4212C934",), ("height 7, app hash 00FF0A2D4212C934",), True),
        (("bob has 12.5 QNX",), ("bob has 12.5 QNX",), True),
        (("bob has 12.5 QNX",), ("bob has 13.5 QNX",), False),
        (("error 2011 HOME: /srv/qenex is run by process 20031",), ("error 2011 HOME: /tmp/x is run by process 5",), True),
        (("error 2011 HOME: it runs",), ("error 2012 HOME: it runs",), False),
        (("a", "...", "b"), ("a", "x", "y", "b"), True),
        (("a", "...", "b"), ("a", "x"), False),
        (("sender qx1qam..., amount 1 QNX",), ("sender qx1zzz9, amount 1 QNX",), True),
        (("qxt_Zm9v...",), ("qxt_abcDEF-1",), True),
        (("clean",), ("50 %, 38 records", "clean"), True),
        (("clean",), ("clean", "1 finding"), False),
    ],
)
def test_outputs_are_compared(shown: tuple[str, ...], printed: tuple[str, ...], same: bool) -> None:
    assert is_like(shown, printed) is same


def test_a_reason_is_found_by_the_beginning() -> None:
    plan = PAGES["README.md"]
    assert plan.reason(Command("README.md", 1, "scripts/test"))
    assert not plan.reason(Command("README.md", 1, "curl x"))
