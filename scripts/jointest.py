"""Joining a real network both ways. Five validators; the fifth loses its database and comes back, first from block 1, then from a snapshot.

The fourth serves forged blocks and chunks. What is checked: both ways end at the same block and app hash as the others, and the log of the
one that joins names the forger each time. Only processes of its own network are signalled, by their process id.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chaos import Nodes
from killtest import QENEX, bring_up, end_on_signals, height_of, rpc

WAIT_S_MAX = 600.0
FORGERIES = "INVALID_COMMIT|INVALID_BLOCK|PROOF|MALFORMED"  # names of the errors for which a forger is blamed


def wait(what: str, condition: Any, seconds: float = WAIT_S_MAX) -> float:
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            if condition():
                return time.monotonic() - started
        except (OSError, RuntimeError):
            pass
        time.sleep(0.1)
    raise SystemExit(f"{what}: not within {seconds:.0f} s")


def start(nodes: Nodes, index: int, *arguments: str, forges: bool = False) -> None:
    home = nodes.home / f"node{index}"
    program = [str(Path(__file__).with_name("forging_node.py"))] if forges else ["-m", "node.cli.main"]
    command = [sys.executable, *program, "start", "--home", str(home), *arguments]
    with (home / "chaos.log").open("wb") as log:
        nodes.running[index] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def come_back(nodes: Nodes, victim: int, forger: str, *arguments: str) -> dict[str, Any]:
    """The victim without a database: seconds until it is at the tip, and what it says of the forger."""
    home = nodes.home / f"node{victim}"
    nodes.end(victim)
    shutil.rmtree(home / "data" / "db")
    start(nodes, victim, *arguments)
    url, others = nodes.urls[victim], nodes.urls[:victim]
    seconds = wait("joining", lambda: height_of(url) >= max(map(height_of, others)) - 1)
    status = rpc(url, "status")["sync_info"]
    height = str(int(status["latest_block_height"]) - 1)
    hashes = {rpc(each, "header", height=height)["header"]["app_hash"] for each in nodes.urls}
    text = (home / "chaos.log").read_text(errors="replace")
    named = sum(1 for line in text.splitlines() if forger in line and re.search(FORGERIES, line))
    received = re.search(r"(\d+) chunks, (\d+) bytes", text)
    return {
        "seconds": round(seconds, 1), "height": int(height), "earliest": int(status["earliest_block_height"]),
        "hashes_equal": len(hashes) == 1, "forger_named": named,
        **({"chunks": int(received[1]), "bytes": int(received[2])} if received else {}),
    }  # fmt: skip


def run(nodes: Nodes, blocks: int) -> dict[str, Any]:
    for index in range(5):
        start(nodes, index, forges=index == 3)
    made = wait("the network", lambda: min(map(height_of, nodes.urls)) >= blocks, 3600)
    print(f"{blocks} blocks after {made:.0f} s", file=sys.stderr)
    forger = rpc(nodes.urls[3], "status")["node_info"]["id"]
    known = rpc(nodes.urls[0], "commit", height="2")["signed_header"]["commit"]["block_id"]["hash"]
    by_blocks = come_back(nodes, 4, forger)
    print(f"by blocks: {by_blocks}", file=sys.stderr)
    by_snapshot = come_back(nodes, 4, forger, "--state-sync", "--trust-height", "2", "--trust-hash", known)
    print(f"by snapshot: {by_snapshot}", file=sys.stderr)
    parts = (by_blocks, by_snapshot)
    is_ok = all(part["hashes_equal"] and part["forger_named"] for part in parts) and by_blocks["earliest"] == 1 < by_snapshot["earliest"]
    return {"blocks": blocks, "by_blocks": by_blocks, "by_snapshot": by_snapshot, "ok": is_ok}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=2000)
    parser.add_argument("--base-port", type=int, default=28656)
    options = parser.parse_args()
    end_on_signals()
    with tempfile.TemporaryDirectory(prefix="qenex-jointest-") as folder:
        home = Path(folder) / "net"
        bring_up(home, "--validators", "5", "--base-port", str(options.base_port), "--block-interval", "0")
        status = subprocess.run([*QENEX, "testnet", "status", "--home", str(home), "--json"], check=True, capture_output=True)
        subprocess.run([*QENEX, "testnet", "down", "--home", str(home)], check=True, stdout=sys.stderr)
        nodes = Nodes(home, 5)
        nodes.urls = [node["rpc"] for node in json.loads(status.stdout)["nodes"]]
        try:
            verdict = run(nodes, options.blocks)
        finally:
            nodes.end_all()
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
