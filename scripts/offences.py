"""Offences on a real network of six, one after the other: two votes, two proposals, absence; and the way back from jail.

What is checked: the proof of a double signature is in a block within `BLOCKS_MAX` of the offence; every node says that the validator
is tombstoned and has lost the same part of its stake; who is switched off is jailed on every node, and after `qenex tx stake unjail`
votes again. Only processes of its own network are signalled, by their process id.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos import Nodes
from killtest import NO_EVIDENCE, QENEX, bring_up, end_on_signals, height_of, rpc

BLOCKS_MAX = 5
WAIT_S_MAX = 300.0
FIRST_HEIGHT = 8
COUNT = 6
CHEATS = {"votes": 5, "proposals": 4}  # who does what; each waits until the one before is punished
ABSENT = 3


def wait(what: str, condition: Callable[[], Any]) -> Any:
    """What a condition says once it says something."""
    started = time.monotonic()
    while time.monotonic() - started < WAIT_S_MAX:
        try:
            found = condition()
            if found:
                return found
        except (OSError, RuntimeError, LookupError):
            pass
        time.sleep(0.1)
    raise SystemExit(f"{what}: not within {WAIT_S_MAX:.0f} s")


def start(nodes: Nodes, index: int, *program: str) -> None:
    home = nodes.home / f"node{index}"
    command = [sys.executable, *(program or ("-m", "node.cli.main")), "start", "--home", str(home)]
    with (home / "offences.log").open("ab") as log:
        nodes.running[index] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def standing(url: str, index: int) -> dict[str, Any]:
    """What a node's ledger says of a validator."""
    rows = rpc(url, "stake_validators")["validators"]
    found: dict[str, Any] = next(row for row in rows if row["moniker"] == f"node{index}")
    return found


def first_proof(url: str, after: int) -> int:
    """The first height after `after` whose block carries evidence; 0 if there is none yet."""
    top = height_of(url)
    for low in range(after + 1, top + 1, 20):
        metas = rpc(url, "blockchain", minHeight=str(low), maxHeight=str(min(low + 19, top)))["block_metas"]
        heights = [int(meta["header"]["height"]) for meta in metas if meta["header"]["evidence_hash"] != NO_EVIDENCE]
        if heights:
            return min(heights)
    return 0


def double_sign(nodes: Nodes, kind: str) -> dict[str, Any]:
    """Start a cheat and see what every other node says of it."""
    index = CHEATS[kind]
    others = [url for number, url in enumerate(nodes.urls) if number != index]
    begun = max(map(height_of, others))
    before = int(standing(others[0], index)["tokens"])
    nodes.end(index, signal.SIGTERM)
    start(nodes, index, str(Path(__file__).with_name("double_signing_node.py")), kind, str(begun + FIRST_HEIGHT))
    log = nodes.home / f"node{index}" / "offences.log"
    offence = int(wait(f"an offence by {kind}", lambda: re.search(rf"planted {kind} (\d+)", log.read_text()))[1])
    proofs = [wait(f"a proof of two {kind}", lambda url=url: first_proof(url, begun)) for url in others]
    for url in others:
        wait("the block after", lambda url=url: height_of(url) > max(proofs))
    rows = [standing(url, index) for url in others]
    tokens = {int(row["tokens"]) for row in rows}
    return {
        "offence_height": offence, "punished_heights": sorted(set(proofs)), "blocks": max(proofs) - offence, "nodes_asked": len(rows),
        "tombstoned_on": sum(row["tombstoned"] for row in rows), "jailed_on": sum(row["jailed"] for row in rows),
        "slashed_ppm": [1_000_000 - left * 1_000_000 // before for left in sorted(tokens)],
        "ok": len(set(proofs)) == 1 and max(proofs) - offence <= BLOCKS_MAX and all(row["tombstoned"] for row in rows)
        and len(tokens) == 1 and max(tokens) < before,
    }  # fmt: skip


def switch_off(nodes: Nodes) -> dict[str, Any]:
    """Absence, jail, and the way back."""
    others = [url for number, url in enumerate(nodes.urls) if number not in (ABSENT, *CHEATS.values())]
    before, stopped = standing(others[0], ABSENT), height_of(others[0])
    nodes.end(ABSENT, signal.SIGTERM)
    rows = [wait("jail", lambda url=url: standing(url, ABSENT)["jailed"] and standing(url, ABSENT)) for url in others]
    jailed = max(map(height_of, others))
    start(nodes, ABSENT)
    url = nodes.urls[ABSENT]
    wait("the one that was off", lambda: height_of(url) >= max(map(height_of, others)) - 1)
    wait("the end of the jail", lambda: time.time() > standing(others[0], ABSENT)["jailed_until"] + 1)
    command = [*QENEX, "tx", "stake", "unjail", "--from", f"owner{ABSENT}", "--validator", f"node{ABSENT}", "--wait", "--json"]
    sent = subprocess.run([*command, "--home", str(nodes.home), "--node", others[0]], check=True, capture_output=True)
    outcome = json.loads(sent.stdout)
    back = [wait("the way back", lambda each=each: standing(each, ABSENT)["status"] == "bonded") for each in [*others, url]]
    address = rpc(url, "status")["validator_info"]["address"]
    voted = wait("a vote after it", lambda: find_vote(others[0], address, int(outcome["height"]) + 2))
    return {
        "stopped_height": stopped, "jailed_by_height": jailed, "jailed_on": sum(row["jailed"] for row in rows),
        "slashed_ppm": 1_000_000 - int(rows[0]["tokens"]) * 1_000_000 // int(before["tokens"]),
        "unjail": outcome["code_name"], "bonded_on": sum(back), "votes_again_height": voted,
        "ok": all(row["jailed"] and not row["tombstoned"] for row in rows) and outcome["code"] == 0 and all(back),
    }  # fmt: skip


def find_vote(url: str, address: str, first: int) -> int:
    """The first height from `first` on whose commit holds this validator's signature for the block; 0 if there is none yet."""
    for height in range(first, height_of(url)):
        parts = rpc(url, "commit", height=str(height))["signed_header"]["commit"]["signatures"]
        if any(part["validator_address"] == address and part["block_id_flag"] == 2 for part in parts):
            return height
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-port", type=int, default=27656)
    options = parser.parse_args()
    end_on_signals()
    with tempfile.TemporaryDirectory(prefix="qenex-offences-") as folder:
        home = Path(folder) / "net"
        bring_up(home, "--validators", str(COUNT), "--base-port", str(options.base_port), "--block-interval", "0.3")
        status = subprocess.run([*QENEX, "testnet", "status", "--home", str(home), "--json"], check=True, capture_output=True)
        subprocess.run([*QENEX, "testnet", "down", "--home", str(home)], check=True, stdout=sys.stderr)
        nodes = Nodes(home, COUNT)
        nodes.urls = [node["rpc"] for node in json.loads(status.stdout)["nodes"]]
        try:
            for index in range(COUNT):
                start(nodes, index)
            wait("the network", lambda: min(map(height_of, nodes.urls)) >= 3)
            verdict: dict[str, Any] = {kind: double_sign(nodes, kind) for kind in CHEATS}
            verdict["absence"] = switch_off(nodes)
        finally:
            nodes.end_all()
    verdict["ok"] = all(part["ok"] for part in verdict.values())
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
