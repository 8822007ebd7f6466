"""Validators killed under load: a real network, real SIGKILL, and a comparison of every block on every node at the end.

What is checked: every transfer that a node reported as committed is in the same block on all nodes; all nodes have the same block hash at
every height; the restarted validator is at the tip again (seconds are measured); no node has seen a double vote, and none refused to
sign as if it had. Only processes of its own network are signalled, by their process id.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

QENEX = [sys.executable, "-m", "node.cli.main"]
AT_TIP_SECONDS_MAX = 60.0
NO_EVIDENCE = hashlib.sha256(b"").hexdigest().upper()  # what a header says of a block without
DOUBLE_SIGNATURE_LINE = "double signature seen"  # what node.executor logs


def rpc(url: str, method: str, **params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error']}")
    return answer["result"]


def height_of(url: str) -> int:
    return int(rpc(url, "status")["sync_info"]["latest_block_height"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--txs", type=int, default=2000, help="transfers of each round's load")
    parser.add_argument("--minutes", type=float, default=0, help="begin no further round after so long; 0: all rounds")
    parser.add_argument("--base-port", type=int, default=29656)
    options = parser.parse_args()
    end_on_signals()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="qenex-killtest-") as folder:
        home = Path(folder) / "net"
        bring_up(home, "--accounts", "200", "--base-port", str(options.base_port))
        try:
            verdict = run_rounds(home, options.rounds, options.txs, chance, options.minutes * 60 or float("inf"))
        finally:
            for file in home.glob("node*/killtest.pid"):
                stop(int(file.read_text()), signal.SIGKILL)
            subprocess.run([*QENEX, "testnet", "down", "--home", str(home)], check=False, stdout=sys.stderr)
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


def run_rounds(home: Path, rounds: int, txs: int, chance: random.Random, seconds_max: float) -> dict[str, Any]:
    nodes = json.loads(
        subprocess.run(
            [*QENEX, "testnet", "status", "--home", str(home), "--json"], check=True, capture_output=True
        ).stdout
    )["nodes"]
    urls = [node["rpc"] for node in nodes]
    pids = [node["pid"] for node in nodes]
    children: dict[int, subprocess.Popen[bytes]] = {}
    committed = rejected = 0
    recoveries: list[float] = []
    started = time.monotonic()
    for number in range(rounds):
        if time.monotonic() - started > seconds_max:
            break
        victim = chance.randrange(len(nodes))
        others = [url for index, url in enumerate(urls) if index != victim]
        load = subprocess.Popen(
            [*QENEX, "bench", "load", "--home", str(home), "--txs", str(txs), "--accounts", "200", "--json"]
            + [word for url in others for word in ("--node", url)],
            stdout=subprocess.PIPE,
        )
        time.sleep(chance.uniform(0.5, 3.0))
        stop(pids[victim], signal.SIGKILL)
        if victim in children:
            children.pop(victim).wait()
        time.sleep(chance.uniform(0.0, 3.0))
        log = (home / f"node{victim}" / "killtest.log").open("ab")
        child = subprocess.Popen(
            [*QENEX, "start", "--home", str(home / f"node{victim}")], stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        children[victim], pids[victim] = child, child.pid
        (home / f"node{victim}" / "killtest.pid").write_text(str(child.pid))
        recoveries.append(wait_at_tip(urls, victim))
        result = json.loads(load.communicate()[0])
        committed += result["committed"]
        rejected += result["rejected"]
        show = f"round {number + 1}/{rounds}: node{victim} killed, at the tip after {recoveries[-1]:.1f} s"
        print(f"{show}, {result['committed']} committed, {result['rejected']} rejected", file=sys.stderr)
        if result["committed"] != txs or not result["app_hashes_equal"]:
            return {"ok": False, "why": "the load was not committed in full", "round": number, **result}
    verdict = compare(urls, home)
    recoveries.sort()
    return {
        "rounds": len(recoveries),
        "committed": committed,
        "rejected": rejected,
        "recovery_s": {"p50": round(recoveries[len(recoveries) // 2], 2), "max": round(recoveries[-1], 2)},
        **verdict,
    }


def end_on_signals() -> None:
    """Whoever stops a script stops its nodes as well: what stands in `finally` is done, also when it runs in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # by way of the one that an event loop knows how to end by
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


def bring_up(home: Path, *options: str) -> None:
    """A network in the background. A signal meanwhile ends it by `up`'s own way out, which leaves no node. Raises CalledProcessError."""
    command = [*QENEX, "testnet", "up", "--detach", "--home", str(home), *options]
    with subprocess.Popen(command, stdout=sys.stderr) as child:
        try:
            code = child.wait()
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            raise
    if code:
        raise subprocess.CalledProcessError(code, command)


def stop(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wait_at_tip(urls: list[str], victim: int) -> float:
    """Seconds until the restarted node is within one block of the best of the others."""
    started = time.monotonic()
    while time.monotonic() - started < AT_TIP_SECONDS_MAX:
        try:
            best = max(height_of(url) for index, url in enumerate(urls) if index != victim)
            if height_of(urls[victim]) >= best - 1:
                return time.monotonic() - started
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"node{victim} did not come back to the tip within {AT_TIP_SECONDS_MAX} s")


def compare(urls: list[str], home: Path) -> dict[str, Any]:
    """Every block of every node against the first node's; what the logs say of double votes."""
    top = min(height_of(url) for url in urls)
    transfers = differing = double = 0
    for low in range(1, top + 1, 20):
        high = min(low + 19, top)
        pages = [
            {
                meta["header"]["height"]: meta["block_id"]["hash"]
                for meta in rpc(url, "blockchain", minHeight=str(low), maxHeight=str(high))["block_metas"]
            }
            for url in urls
        ]
        differing += sum(1 for height in pages[0] if len({page.get(height) for page in pages}) != 1)
        metas = rpc(urls[0], "blockchain", minHeight=str(low), maxHeight=str(high))["block_metas"]
        transfers += sum(int(meta["num_txs"]) for meta in metas)
        double += sum(1 for meta in metas if meta["header"]["evidence_hash"] != NO_EVIDENCE)
    for file in home.glob("node*/*.log"):
        text = file.read_text(errors="replace")
        double += text.count(DOUBLE_SIGNATURE_LINE) + text.count("DOUBLE_SIGN")
    return {
        "heights": top,
        "transactions_in_chain": transfers,
        "differing_blocks": differing,
        "double_votes": double,
        "ok": differing == 0 and double == 0,
    }


if __name__ == "__main__":
    sys.exit(main())
