"""What the scripts that watch real networks look for is what the node says: otherwise they could not fail."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from consensus.block_id import BlockID
from consensus.vote import Vote, VoteType
from node.cli.main import qenex
from state.catalogue import describe_all
from state.codes import Code
from state.modules.table import BY_NAME
from state.receipts import EVENT_KINDS
from tests.node.ports import free_base_port

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    tours = ("tour", "tour_story", "tour_rest")
    for name in ("killtest", "clients", "chaos", "chaos_relay", "crash_node", "crashmatrix", "double_signing_node", *tours):
        sys.modules.pop(name, None)


def test_every_script_finds_what_it_imports() -> None:
    """Some run for hours and are not part of any test: what they take from the product must at least be there."""
    names = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
    code = "import importlib, sys; sys.path.insert(0, sys.argv[1]); [importlib.import_module(name) for name in sys.argv[2:]]"
    done = subprocess.run([sys.executable, "-c", code, str(ROOT / "scripts"), *names], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(names) > 10


def test_the_line_of_a_double_signature() -> None:
    import killtest  # type: ignore[import-not-found]

    assert killtest.DOUBLE_SIGNATURE_LINE in (ROOT / "node" / "executor.py").read_text()
    assert '"DOUBLE_SIGN"' in (ROOT / "state" / "primitives" / "errors.py").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_script_that_is_stopped_cleans_up(number: signal.Signals) -> None:
    """Also in the background, where a shell has SIGINT ignored."""
    code = f"import sys, time; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import killtest; killtest.end_on_signals()\n"
    code += "try:\n    print('up', flush=True); time.sleep(600)\nfinally:\n    print('clean', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(number)
        assert child.stdout.readline() == "clean\n"


def test_a_planted_double_signer_says_something_else() -> None:
    import double_signing_node  # type: ignore[import-not-found]

    vote = Vote(VoteType.PREVOTE, 5, 0, BlockID(b"h" * 32, 1, b"p" * 32), 7, b"a" * 20, 0)
    other = double_signing_node.contradict("votes", vote)
    assert other.block_id is None and (other.height, other.round, other.type) == (5, 0, VoteType.PREVOTE)
    assert double_signing_node.contradict("votes", other) is None
    assert double_signing_node.contradict("proposals", vote) is None


def test_every_persistence_step_is_found() -> None:
    """The crash matrix counts by wrapping functions; they must still be there, and be all that writes."""
    import crash_node  # type: ignore[import-not-found]

    assert crash_node.missing_targets() == []


def test_a_step_is_named_by_its_number_or_among_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    import crash_node

    def end(self: object, name: str) -> None:
        raise InterruptedError(name)

    monkeypatch.setattr(crash_node.FailPoint, "end", end)

    def run(step: str) -> str:
        point = crash_node.FailPoint.parse(step, "before")
        steps = {name: point.wrap(f"file {name}", lambda: None, None) for name in ("write", "sync")}
        for number, name in enumerate(("write", "sync", "write", "sync", "sync"), 1):
            try:
                steps[name]()
            except InterruptedError as error:
                return f"{number} {error}"
        return ""

    assert run("2") == "2 file sync"
    assert run("file write:2") == "3 file write"
    assert run("file sync:3") == "5 file sync"
    assert run("file rename:1") == run("0") == ""
    assert "database batch" in crash_node.kinds() and "file truncate" in crash_node.kinds()


class Found(str):
    """An answer of a node that is not there: whatever is asked of it."""

    def __getitem__(self, key: Any) -> Found:
        return Found("executed" if key == "status" else "1")

    def __iter__(self) -> Iterator[Found]:
        return iter((Found("1"),))


def read_command(words: Sequence[str]) -> None:
    """Have the command line read what a step types. Raises `click.UsageError` for what it does not know."""
    command: click.Command = qenex
    rest = list(words)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"there is no command {name}: {' '.join(words)}"
        command = found
    command.make_context(" ".join(words), rest)


def test_the_steps_of_the_tour_are_commands_and_operations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a network: every command is read, every operation that a proposal carries is in the table."""
    import tour  # type: ignore[import-not-found]

    carried: set[str] = set()
    commands: set[tuple[str, ...]] = set()

    class Dry(tour.Tour):  # type: ignore[misc]
        def tx(self, title: str, sender: str, *arguments: str, code: int = 0) -> Found:
            assert title
            assert code in set(Code), f"{title}: there is no code {code}"
            read_command(("tx", *arguments, "--from", sender))
            commands.add(tuple(arguments[:2]))
            for name, text in itertools.pairwise(arguments):
                if name == "--op" and text.startswith("{"):
                    item = json.loads(text)
                    fields = {field for field, _ in BY_NAME[item["op"]].fields}
                    assert fields == item.keys() - {"op"}, item
                    carried.add(item["op"])
            return Found("1")

        def query(self, *arguments: str) -> Found:
            read_command(("query", *arguments))
            return Found("1")

        def key(self, name: str, *options: str) -> str:
            read_command(("keys", "new", name, *options))
            return "1"

        def event(self, answer: Found, kind: str) -> Found:
            assert kind in {row.name for row in EVENT_KINDS.values()}, f"there is no event {kind}"
            return answer

        def wait_until(self, what: str, condition: Callable[[], bool], seconds: float = 0) -> None:
            condition()

        def time_s(self) -> float:
            return 0.0

    monkeypatch.setenv("QENEX_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess((), 0))
    dry = Dry(tmp_path, ("http://127.0.0.1:1",), lambda _: None)
    tour.tour_story.run(dry)
    tour.tour_rest.run(dry)
    alone = {entry.name for entry in describe_all() if entry.signers == ("governance, by a proposal",)}
    assert len(alone) > 5
    assert alone | {"group.update"} <= carried
    assert len(commands) > 100


@pytest.mark.parametrize(
    "moment", [b"keys and genesis", b"... until", b"final in block"], ids=["at once", "while its nodes start", "in a step"]
)
def test_a_tour_that_is_stopped_says_so_and_leaves_no_node(tmp_path: Path, moment: bytes) -> None:
    """Failed before: SIGTERM printed the traceback of a KeyboardInterrupt; while the network was being made its nodes stayed."""
    said = tmp_path / "said"
    port = free_base_port()
    with said.open("wb") as out:
        tour = subprocess.Popen([sys.executable, str(ROOT / "scripts" / "tour.py"), "--base-port", str(port)], stdout=out, stderr=out)
        deadline = time.monotonic() + 120
        while moment not in said.read_bytes() and tour.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        tour.send_signal(signal.SIGTERM)
        assert tour.wait(60) == 1
    text = said.read_text()
    assert moment.decode() in text
    assert "Traceback" not in text
    assert "stopped by a signal" in text
    assert find_listener(port) == ""


def test_a_script_that_is_stopped_while_its_network_comes_up_leaves_no_node(tmp_path: Path) -> None:
    """Failed before: the command was killed, and the nodes that it had put into the background stayed."""
    port, said = free_base_port(), tmp_path / "said"
    code = (
        "import sys; from pathlib import Path; from killtest import bring_up, end_on_signals; end_on_signals(); "
        f"bring_up(Path({str(tmp_path / 'net')!r}), '--base-port', '{port}')"
    )
    with said.open("wb") as out:
        script = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT / "scripts", stdout=out, stderr=out)
        deadline = time.monotonic() + 120
        while b"started 4 nodes" not in said.read_bytes() and script.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        script.send_signal(signal.SIGTERM)
        assert script.wait(60)
    assert "every process was ended" in said.read_text()
    assert find_listener(port) == ""


def find_listener(port: int) -> str:
    """The first RPC address of a network of four at which somebody still listens."""
    for offset in range(0, 40, 10):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port + offset + 1)) == 0:
                return f"127.0.0.1:{port + offset + 1}"
    return ""
