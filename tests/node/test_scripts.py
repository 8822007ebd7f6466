"""What the scripts that watch real networks look for is what the node says: otherwise they could not fail."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consensus.block_id import BlockID
from consensus.vote import Vote, VoteType

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in ("killtest", "chaos", "chaos_relay", "crash_node", "crashmatrix", "double_signing_node"):
        sys.modules.pop(name, None)


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
