"""The driver of `scripts/tour`: a network, people with keys, steps with expected codes, and what the chain says in the end.

What is done stands in `tour_story.py` and `tour_rest.py`. Which operations were reached is read from the blocks of the network, not from
the steps. Only processes of the tour's own network are started and ended.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tour_rest
import tour_story
from killtest import QENEX, end_on_signals, rpc

from node.cli.main import run
from node.places import HOME_VARIABLE
from node.rpc.client import SyncClient
from state.modules.table import BY_NAME
from state.transaction import Call, Transaction

STOP_S_MAX = 60.0
# in which the four nodes run: hash seed, time zone, locale
ENVIRONMENTS = (
    ("0", "UTC", "C"),
    ("77", "Asia/Kathmandu", "tr_TR.UTF-8"),
    ("4242", "America/St_Johns", "de_DE.UTF-8"),
    ("1", "Asia/Tokyo", "C.UTF-8"),
)
METAS = 20  # that a node gives at once
CARRIED = ("operations of governance", "operations of a group")


class Wrong(Exception):
    """A step that did not give what it should."""


class Tour:
    """A running network and the people on it."""

    def __init__(self, home: Path, urls: Sequence[str], say: Callable[[str], None]) -> None:
        os.environ[HOME_VARIABLE] = str(home)  # whose keys/ names are looked up in, also by queries
        self.home = home
        self.urls = tuple(urls)
        self.say = say
        self.steps = 0
        self.seconds: list[float] = []
        self.height = 0  # of the newest receipt
        self._turn = 0

    @property
    def node(self) -> str:
        """Another validator for each step, once it knows what the steps before have done."""
        self._turn += 1
        url = self.urls[self._turn % len(self.urls)]
        self._wait(lambda: int(rpc(url, "status")["sync_info"]["latest_block_height"]) >= self.height, f"{url} reaches {self.height}")
        return url

    def qenex(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command, as a person types it, in this process: starting Python for each would take longer than the network does."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(list(arguments))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def tx(self, title: str, sender: str, *arguments: str, code: int = 0) -> dict[str, Any]:
        """One transaction, its receipt shown; what the command answered. Raises `Wrong` unless it ends with this code."""
        base = ["tx", *arguments, "--from", sender, "--home", str(self.home), "--node", self.node, "--wait"]
        started = time.monotonic()
        done = self.qenex(*base, "--json")
        self.seconds.append(time.monotonic() - started)
        self.steps += 1
        self.say(f"\n{self.steps}. {title}\n   $ qenex tx {' '.join(arguments)} --from {sender}")
        if done.returncode == 2 or not done.stdout.strip():
            raise Wrong(f"{title}: {done.stderr.strip()}")
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        self.height = max(self.height, int(answer["height"]))
        for line in self.receipt(answer):
            self.say(f"   {line}")
        if answer["code"] != code:
            raise Wrong(f"{title}: code {answer['code']} {answer['code_name']} {answer['log']}, expected {code}")
        return answer

    def receipt(self, answer: dict[str, Any]) -> list[str]:
        """What became of a transaction, in lines."""
        if answer["code"]:
            return [f"{answer['code']} {answer['code_name']} in block {answer['height']} {answer['log']}".rstrip()]
        lines = [f"final in block {answer['height']}, {answer['hash'][:16]}..."]
        for event in answer["events"]:
            words = ", ".join(f"{name} {value if len(value) < 40 else value[:14] + '...'}" for name, value in event["attributes"].items())
            lines.append(f"- {event['type']}: {words}")
        return lines

    def query(self, *arguments: str) -> Any:
        """What a query answers. Raises `Wrong` if it answers nothing."""
        done = self.qenex("query", *arguments, "--node", self.node, "--json")
        if done.returncode:
            raise Wrong(f"query {' '.join(arguments)}: {done.stderr.strip()}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    def read(self, title: str, *arguments: str) -> Any:
        """A query, its answer shown."""
        found = self.query(*arguments)
        text = json.dumps(found)
        self.steps += 1
        self.say(f"\n{self.steps}. {title}\n   $ qenex query {' '.join(arguments)}\n   {text if len(text) < 400 else text[:400] + '...'}")
        return found

    def key(self, name: str, *options: str) -> str:
        """A new key; the address of its own account."""
        done = self.qenex("keys", "new", name, "--no-encrypt", "--home", str(self.home), "--json", *options)
        if done.returncode:
            raise Wrong(f"keys new {name}: {done.stderr.strip()}")
        address: str = json.loads(done.stdout)["account"]
        return address

    def event(self, answer: dict[str, Any], kind: str) -> dict[str, str]:
        """The values of the first event of a kind."""
        for event in answer["events"]:
            if event["type"] == kind:
                values: dict[str, str] = event["attributes"]
                return values
        raise Wrong(f"no event {kind} in {answer['events']}")

    def wait_until(self, what: str, condition: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait for something that the ledger does by itself."""
        self.say(f"\n   ... until {what}")
        self._wait(condition, what, seconds)

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float = 180.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {seconds:.0f} s")
            time.sleep(0.3)

    def decide(self, title: str, *ops: dict[str, Any]) -> None:
        """A proposal of governance carried through: proposed, voted on by three of four owners, executed."""
        texts = [text for op in ops for text in ("--op", json.dumps(op))]
        made = self.tx(f"{title}: proposed", "owner0", "gov", "propose", *texts, "--title", title, "--expedited")
        number = self.event(made, "proposal_created")["proposal"]
        for owner in ("owner0", "owner1", "owner2"):
            self.tx(f"{title}: {owner} votes", owner, "gov", "vote", number, "--option", "yes")
        self.wait_until("the vote has ended", lambda: self.query("proposal", number)["status"] == "passed")
        ready = int(self.query("proposal", number)["ready"])
        self.wait_until("the delay is over", lambda: self.time_s() >= ready)
        self.tx(f"{title}: executed", "alice", "gov", "execute", number)
        status = self.query("proposal", number)
        if status["status"] != "executed":
            raise Wrong(f"{title}: {status}")

    def time_s(self) -> float:
        """The time of the last block."""
        text: str = rpc(self.urls[0], "status")["sync_info"]["latest_block_time"]
        return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


def reached(url: str) -> dict[str, int]:
    """How often each operation succeeded, from every block of the chain; those of a proposal when it was executed."""
    client = SyncClient(url)
    counts = dict.fromkeys(BY_NAME, 0)
    waiting: dict[tuple[str, str], list[str]] = {}
    for height in _full(url, client.height()):
        block = rpc(url, "block", height=str(height))["block"]
        results = rpc(url, "block_results", height=str(height))["txs_results"]
        for text, result in zip(block["data"]["txs"], results, strict=True):
            if result["code"] == 0:
                calls = Transaction.decode(base64.b64decode(text)).calls
                for name in (*(call.operation.name for call in calls), *_executed(calls, result["events"], waiting)):
                    counts[name] += 1
    return counts


def _full(url: str, top: int) -> list[int]:
    """The heights of the blocks that have transactions."""
    found: list[int] = []
    for first in range(1, top + 1, METAS):
        metas = rpc(url, "blockchain", minHeight=str(first), maxHeight=str(min(top, first + METAS - 1)))["block_metas"]
        found += [int(meta["header"]["height"]) for meta in metas if int(meta["num_txs"])]
    return sorted(found)


def _executed(calls: Sequence[Call], events: Sequence[Any], waiting: dict[tuple[str, str], list[str]]) -> list[str]:
    """The operations of proposals that a transaction has carried out; what it proposes is noted in `waiting`."""
    done: list[str] = []
    for event in events:
        values = {row["key"]: row["value"] for row in event["attributes"]}
        proposal = (values.get("group", ""), values.get("proposal", ""))
        if event["type"] in ("proposal_created", "group_proposed"):
            waiting[proposal] = [name for call in calls for name in _carried(call)]
        elif event["type"] == "proposal_executed" or (event["type"] == "group_executed" and values["code"] == "0"):
            done += waiting.pop(proposal)
    return done


def _carried(call: Call) -> list[str]:
    """The operations that a proposal carries."""
    fields = zip(call.operation.fields, call.args, strict=True)
    return [str(row["op"]) for (_, kind), value in fields if kind.name in CARRIED for row in kind.show(value)]


def start_apart(home: Path, running: list[subprocess.Popen[bytes]]) -> None:
    """Add the nodes to `running`, each in an environment of its own: what they compute must not depend on it."""
    for index, (seed, zone, locale) in enumerate(ENVIRONMENTS):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale, "LANG": locale}
        command = [*QENEX, "start", "--home", str(home / f"node{index}")]
        with (home / f"node{index}" / "tour.log").open("wb") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True))


def are_there(urls: Sequence[str]) -> bool:
    """Whether every node answers and has gone on."""
    try:
        return all(int(rpc(url, "status")["sync_info"]["latest_block_height"]) > 1 for url in urls)
    except OSError:
        return False


def carry_over(tour: Tour, home: Path) -> str:
    """The state of the first node, exported, audited, imported into a new home: the app hash must stay. What is wrong, or nothing."""
    old, new, file = home / "node0", home / "imported", home / "state"
    for arguments in (
        ("export", str(file), "--home", str(old)),
        ("init", "--home", str(new), "--genesis", str(old / "genesis.json"), "--no-validator", "--no-encrypt"),
        ("import", str(file), "--home", str(new)),
    ):
        done = tour.qenex(*arguments)
        if done.returncode:
            return f"{' '.join(arguments[:1])}: {done.stderr.strip()}"
    done = tour.qenex("audit", "state", str(file), str(new), "--json")
    answer = json.loads(done.stdout) if done.stdout.strip() else {"clean": False, "states": [{"app_hash": ""}]}
    tour.say(f"\nexported and imported: app hash {answer['states'][0]['app_hash']}, {'the same' if answer['clean'] else 'NOT the same'}")
    return "" if answer["clean"] else f"export and import: {done.stdout} {done.stderr}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--story", action="store_true", help="only the story")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base-port", type=int, default=28656)
    options = parser.parse_args()
    end_on_signals()

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    say("keys and genesis of four validators")
    with tempfile.TemporaryDirectory(prefix="qenex-tour-") as folder:
        home = Path(folder) / "net"
        command = [*QENEX, "testnet", "init", "--home", str(home), "--base-port", str(options.base_port)]
        made = subprocess.run([*command, "--block-interval", "0.25", "--json"], check=True, stdout=subprocess.PIPE)
        nodes = json.loads(made.stdout)["nodes"]
        tour = Tour(home, [node["rpc"] for node in nodes], say)
        problems: list[str] = []
        counts: dict[str, int] = {}
        running: list[subprocess.Popen[bytes]] = []
        try:
            start_apart(home, running)
            tour.wait_until("four nodes with other hash seeds, time zones and locales are there", lambda: are_there(tour.urls))
            tour_story.run(tour)
            if not options.story:
                tour_rest.run(tour)
            counts = reached(tour.urls[0])
        except Wrong as wrong:
            problems.append(str(wrong))
        finally:
            for node in running:
                node.send_signal(signal.SIGTERM)
            for node in running:
                node.wait(STOP_S_MAX)
        homes = [str(home / f"node{index}") for index in range(4)]
        carried = carry_over(tour, home)
        if carried:
            problems.append(carried)
        audit = tour.qenex("audit", "state", *homes, "--json")
        audited = json.loads(audit.stdout) if audit.stdout.strip() else {"clean": False, "states": []}
        say(f"\nqenex audit state on {len(homes)} homes: {'clean' if audited['clean'] else audit.stdout + audit.stderr}")
    missing = [] if options.story else sorted(name for name, count in counts.items() if not count)
    verdict = {
        "steps": tour.steps,
        "seconds": round(sum(tour.seconds), 1),
        "operations": len(BY_NAME),
        "operations_reached": sum(1 for count in counts.values() if count),
        "missing": missing,
        "audit_clean": audited["clean"],
        "heights": [state["height"] for state in audited["states"]],
        "problems": problems,
        "ok": not problems and not missing and audited["clean"],
    }
    say(f"{verdict['operations_reached']} of {verdict['operations']} operations, {verdict['steps']} steps")
    for problem in (*problems, *(f"not reached: {name}" for name in missing)):
        say(problem)
    if options.json:
        print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    code: int | str = "tour: stopped by a signal; its network is down and its files are removed"
    try:
        code = main()
    except* KeyboardInterrupt:  # bare, or in the group that an event loop makes of it
        pass
    sys.exit(code)
