"""What pages need before their commands make sense: people with keys and money, assets, pools. And how a page is played through.

A scene is a table from the beginning of a command to what has to be there before it is typed for the first time; "" is the beginning of
the page.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from node.keystore import Role, read_key_file
from node.rpc.client import SyncClient
from state.primitives.ids import parse_address
from state.transaction import call
from tests.docs.blocks import Command, blocks_of
from tests.docs.compare import is_like
from tests.docs.plan import Page
from tests.docs.stage import Stage, programs_of

ASSETS: Final = re.compile(r"(?<![A-Za-z])(EUR|BTC|BOND|BND)(?![A-Za-z])")
FIRST_QNX: Final = 50_000


class Scene:
    """One page on its stage. `names` are words of the page and what they stand for here."""

    def __init__(self, stage: Stage, page: str, plan: Page) -> None:
        self.stage = stage
        self.page = page
        self.plan = plan
        self.names: dict[str, str] = {}
        self.home: Path | None = None
        if plan.letter:  # keys of its own, so that two pages may both have a bob
            self.home = stage.folder / "homes" / page.rpartition("/")[2]
            self.home.mkdir(parents=True)
            (self.home / "testnet").symlink_to(stage.testnet)

    def words(self, text: str) -> str:
        """A command or an output in the words of this page."""
        text = ASSETS.sub(rf"\1{self.plan.letter}", text) if self.plan.letter else text
        return self.stage.fill(text, self.names)

    def run(self, text: str) -> str:
        """A command that must succeed."""
        return self.stage.type(self.words(text), home=self.home)

    def tx(self, text: str) -> None:
        """A transaction that must succeed."""
        self.run(f"qenex tx {text} --wait")

    def ask(self, text: str) -> Any:
        """The JSON answer of a command."""
        return self.stage.ask(self.words(text), home=self.home)

    def key(self, name: str, *options: str) -> str:
        """A key; the address of its own account."""
        account: str = self.ask(f"qenex keys new {name} --no-encrypt {' '.join(options)}")["account"]
        return account

    def people(self, *names: str, qnx: int = FIRST_QNX) -> None:
        """Keys with accounts and money, opened by the network's alice in one transaction."""
        assert self.home is not None
        alice = read_key_file(self.stage.testnet / "keys" / "alice.json", lambda _: b"", role=Role.USER)
        sender, ops = parse_address(alice.account), []
        for name in names:
            account = parse_address(self.key(name))
            key = read_key_file(self.home / "keys" / f"{name}.json", lambda _: b"", role=Role.USER).key.public_key
            keys = [[0, int(key.kind), key.data, 1]]
            ops.append(call("account.create", address=account, kind=1, parent=b"", keys=keys, thresholds=[1, 1, 1, 1]))
            ops.append(call("asset.transfer", asset="QNX", to=account, amount=qnx * 10**6, tag=""))
        client = SyncClient(self.stage.url())
        for first in range(0, len(ops), 16):
            raw = client.sign_operations(ops[first : first + 16], sender, [(sender, 0, alice.key)])
            outcome = client.send(raw, wait_s=60)
            assert outcome.code == 0, outcome

    def address(self, name: str) -> str:
        """The account of a key."""
        found: str = self.ask(f"qenex keys show {name}")["account"]
        return found

    def wait_until_chain_time(self, seconds: float) -> None:
        """Until a block's time is so much later than now; blocks come by themselves."""
        until = time.time() + seconds
        while time.time() < until:
            time.sleep(0.05)


Steps = Mapping[str, Callable[[Scene], None]]


def play(stage: Stage, page: str, plan: Page, steps: Steps) -> list[str]:
    """Type everything that a page says, in order; what was not as the page says."""
    stage.end_background()  # a page before it may have failed
    stage.variables.clear()
    scene = Scene(stage, page, plan)
    todo = dict(steps)
    wrong: list[str] = []
    blocks = blocks_of(page)
    programs = [block for block in blocks if block.label == "python" and not plan.unrun.get(f"python {block.line}")]
    for block in blocks:
        if programs and block is programs[-1] and "python" not in plan.unrun:
            for start in [start for start in todo if start == "python"]:
                todo.pop(start)(scene)
            code, said = stage.run_program(scene.words(programs_of([block.lines for block in programs])), home=scene.home)
            wrong += [f"{page}:{block.line} the Python blocks: exit code {code}\n{said}"] if code else []
        for command in block.commands():
            for start in [start for start in todo if command.text.startswith(start)]:
                todo.pop(start)(scene)
            if not plan.reason(command):
                problem = _type(scene, command)
                wrong += [problem] if problem else []
    stage.end_background()
    return wrong + [f"{page}: no command begins with {start!r}" for start in todo if start != "python"]


def _type(scene: Scene, command: Command) -> str:
    text = scene.words(command.text)
    plan = scene.plan
    for start, until in plan.ends.items():
        if command.text.startswith(start):
            return scene.stage.begin(text, until, home=scene.home, has_own_ports=plan.has_own_network)
    scene.stage.end_background()
    expected = next((codes for start, codes in plan.codes.items() if command.text.startswith(start)), (0,))
    code, said = scene.stage.run(text, home=scene.home)
    if code not in expected:
        return f"{command.place} $ {text}\nexit code {code}\n{said}"
    scene.stage.learn(said)
    if command.output is not None and not is_like([scene.words(line) for line in command.output], said.splitlines()):
        return f"{command.place} $ {text}\nthe page shows\n" + "\n".join(command.output) + f"\nit printed\n{said}"
    return ""
