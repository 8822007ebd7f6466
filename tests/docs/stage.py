"""Where a page is played: a network of its own, a home, a folder that looks like the clone, and a shell that types the commands.

What is changed in a command before it is typed, and nothing else:

- `127.0.0.1:26657` (and 26656, 26660) become the ports that this run was given; a network that a page starts gets them, and short
  intervals.
- `/srv/...` becomes a folder of this run; `http://node-a:26657`, `-b`, `-c` are three of the network's nodes.
- The codes of assets of ledger pages get a letter at their end, so that two pages of one network may both issue EUR.
- A placeholder in capitals (HOLD, ESCROW, HEX, ACCOUNT) is what an earlier command has printed under that name, or what the scene says.

A line without shell syntax that begins with `qenex` is run by `tests.docs.warm`; any other by `sh`, with `.venv/bin` first in PATH.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from tests.docs.blocks import ROOT
from tests.node.ports import free_base_port

COMMAND_S: Final = 90
STOP_S: Final = 60
SHELL: Final = re.compile(r"[|<>&;$`*]|(^|\s)#|^[A-Z_]+=")
# what an output names, and the placeholder for it
PRINTED: Final = (
    (re.compile(r"^(\w+): +(?:[0-9a-f]{32,64}|qx1[a-z0-9]+)$", re.MULTILINE), ""),
    (re.compile(r"^node id ([0-9a-f]{40})$", re.MULTILINE), "NODE-ID"),
    (re.compile(r"^account (qx1\w+)$", re.MULTILINE), "ACCOUNT"),
    (re.compile(r"^ed25519: ([0-9a-f]{64})$", re.MULTILINE), "PUBLIC-KEY"),
    (re.compile(r"^  proposal_created: proposal (\d+)", re.MULTILINE), "PROPOSAL"),
    (re.compile(r"^  group_set: group (qx1\w+)", re.MULTILINE), "GROUP"),
    (re.compile(r"^fixed by block \d+ (\w+)$", re.MULTILINE), "FIXED"),
)


class Stage:
    """A network of so many validators, once it is brought up, and everything that its pages leave behind. A context manager."""

    def __init__(self, folder: Path, validators: int, *, block_interval: str) -> None:
        self.folder = folder
        self.clone = folder / "clone"
        self.user = folder / "user"
        self.srv = folder / "srv"
        self.place = folder  # where a person's homes, keys and networks lie; `qenex` says it
        self.base = free_base_port()
        self.names: dict[str, str] = {}
        self.variables: dict[str, str] = {}  # what the page's reader has set in his environment
        self.begun = folder  # the output of the line that was begun last
        self._validators = validators
        self._interval = block_interval
        self._background: list[subprocess.Popen[bytes]] = []
        self._outputs = 0
        self._warm: subprocess.Popen[str] | None = None

    @property
    def testnet(self) -> Path:
        """The network's directory, where `qenex testnet up` puts it."""
        return self.place / "testnet"

    def url(self, node: int = 0) -> str:
        """The RPC address of a node of the network."""
        return f"http://127.0.0.1:{self.base + 10 * node + 1}"

    def __enter__(self) -> Self:
        self._make_clone()
        self.user.mkdir()
        self.srv.mkdir()
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.warm"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.place = Path(self.ask("qenex config where")["folder"])
        return self

    def bring_up(self) -> None:
        """Have the network run; again, if a page has stopped it."""
        self.type(f"qenex testnet up --detach --validators {self._validators}")

    def __exit__(self, *error: object) -> None:
        self.end_background()
        if self.testnet.exists():
            self.run("qenex testnet down")
        if self._warm is not None and self._warm.stdin is not None:
            self._warm.stdin.close()
            self._warm.wait(STOP_S)
            if self._warm.stdout is not None:
                self._warm.stdout.close()

    def _make_clone(self) -> None:
        """A folder with everything the repository has, and a `.venv` whose programs are those of this run."""
        programs = self.clone / ".venv" / "bin"
        programs.mkdir(parents=True)
        for path in ROOT.iterdir():
            if not path.name.startswith(".") and not path.name.endswith(".egg-info"):
                (self.clone / path.name).symlink_to(path)
        for name, words in (("python", ""), ("qenex", "-m node.cli.main ")):
            file = programs / name
            file.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} {words}"$@"\n')
            file.chmod(0o755)
        library = (ROOT / "scripts" / "lib.sh").read_text(encoding="utf-8")
        code = library.partition("stamp_of() {")[2].partition("-c '")[2].partition("\n'")[0]
        stamp = subprocess.run([sys.executable, "-c", code, str(self.clone)], check=True, capture_output=True, text=True)
        (self.clone / ".venv" / ".qenex-stamp").write_text(stamp.stdout)

    def environment(self, home: Path | None = None) -> dict[str, str]:
        """That of a person who works in the clone. `home`: another $QENEX_HOME than the platform's."""
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ", "TMPDIR") if name in os.environ}
        own = {
            "PATH": f"{self.clone / '.venv' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.user),
            "QENEX_NODE": self.url(),
            "QENEX_PASSPHRASE": "a passphrase for these pages",
            "QENEX_VENV": str(self.clone / ".venv"),
            "COLUMNS": "200",
        }
        return {**kept, **own, **self.variables} | ({"QENEX_HOME": str(home)} if home else {})

    def fill(self, text: str, names: Mapping[str, str] | None = None) -> str:
        """A command with what is known put into its places."""
        known = self.names | dict(names or {})
        for name in sorted(known, key=len, reverse=True):
            text = re.sub(rf"(?<![\w/.-]){re.escape(name)}(?![\w.-])", lambda _, name=name: known[name], text)
        for number, letter in enumerate("abc"):
            text = text.replace(f"http://node-{letter}:26657", self.url(number))
        for port, offset in ((26656, 0), (26657, 1), (26660, 4)):
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.base + offset}")
        text = text.replace("localhost:26657", f"127.0.0.1:{self.base + 1}")
        text = re.sub(r"(?<![\w.])/srv/", f"{self.srv}/", text)
        if re.search(r"scripts/testnet\b|testnet (up|init)\b", text) and "--base-port" not in text and "--help" not in text:
            pace = f"--base-port {self.base} --block-interval {self._interval}"
            text = re.sub(r"(scripts/testnet|testnet up|testnet init)", rf"\1 {pace}", text, count=1)
        return text

    def run(self, text: str, *, home: Path | None = None, extra: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Type a line as it is after `fill`; its exit code, and what it printed on both channels."""
        text = self.fill(text)
        words = [] if SHELL.search(text) else shlex.split(text)
        environment = self.environment(home) | dict(extra or {})
        if words and words[0] in ("qenex", ".venv/bin/qenex"):
            return self._ask_warm({"argv": words[1:], "env": environment})
        done = subprocess.run(
            ["sh", "-c", text], cwd=self.clone, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def run_program(self, source: str, *, home: Path | None = None) -> tuple[int, str]:
        """A Python program, in the clone."""
        return self._ask_warm({"program": source, "env": self.environment(home)})

    def _ask_warm(self, asked: dict[str, Any]) -> tuple[int, str]:
        self._outputs += 1
        output = self.folder / f"output-{self._outputs}"
        assert self._warm is not None and self._warm.stdin is not None and self._warm.stdout is not None
        asked |= {"cwd": str(self.clone), "output": str(output), "seconds": COMMAND_S}
        self._warm.stdin.write(json.dumps(asked) + "\n")
        self._warm.stdin.flush()
        code = int(self._warm.stdout.readline())
        return code, output.read_text(encoding="utf-8", errors="replace")

    def type(self, text: str, *, home: Path | None = None) -> str:
        """A line that must succeed; what it printed. What it names is remembered."""
        code, said = self.run(text, home=home)
        assert code == 0, f"$ {text}\nexit code {code}\n{said}"
        self.learn(said)
        return said

    def learn(self, said: str) -> None:
        """Remember what an output names: `hold: 9f86...` is HOLD from now on."""
        for pattern, name in PRINTED:
            for match in pattern.finditer(said):
                key, _, value = match.group(0).partition(": ")
                self.names[name or key.upper()] = match.group(1) if name else value.strip()

    def ask(self, text: str, *, home: Path | None = None) -> Any:
        """The JSON that a `qenex` command answers."""
        return json.loads(self.type(f"{text} --json", home=home).strip().splitlines()[-1])

    def begin(self, text: str, until: str, *, home: Path | None = None, has_own_ports: bool = False) -> str:
        """Type a line that does not end by itself, and wait until it has said something; what went wrong."""
        listen = dict.fromkeys(("QENEX_RPC_LISTEN", "QENEX_P2P_LISTEN", "QENEX_METRICS_LISTEN"), "127.0.0.1:0") if has_own_ports else {}
        self._outputs += 1
        output = self.folder / f"output-{self._outputs}"
        with output.open("wb") as file:
            words = ["sh", "-c", f"exec {self.fill(text)}"]
            environment = self.environment(home) | listen
            child = subprocess.Popen(words, cwd=self.clone, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self._background.append(child)
        self.begun = output
        deadline = time.monotonic() + COMMAND_S
        while until not in output.read_text(encoding="utf-8", errors="replace"):
            if child.poll() is not None or time.monotonic() > deadline:
                return f"$ {text}\n{output.read_text()}"
            time.sleep(0.05)
        return ""

    def end_background(self) -> None:
        """Press Ctrl-C in every other terminal."""
        for child in self._background:
            child.terminate()
        for child in self._background:
            child.wait(STOP_S)
        self._background.clear()

    def wait_for(self, what: str, text: str, condition: Any, *, home: Path | None = None) -> None:
        """Ask until the JSON answer of a command is as it should be."""
        self.wait_until(what, lambda: bool(condition(self.ask(text, home=home))))

    def wait_until(self, what: str, condition: Callable[[], bool]) -> None:
        """Look until it is so."""
        deadline = time.monotonic() + COMMAND_S
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.1)


def programs_of(sources: Sequence[Sequence[str]]) -> str:
    """The Python blocks of a page: one program, so that a later block may use what an earlier one has made."""
    return "\n\n".join("\n".join(lines) for lines in sources)
