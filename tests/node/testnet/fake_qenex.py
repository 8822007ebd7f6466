"""Stands for `qenex start --home DIR` in tests of the process manager: answers the few RPC questions the manager asks.

It makes a block every 0.1 s. A file in the home changes its manners: `dies` ends it at once with exit code 3 and a line on
standard error, `mute` keeps it from answering, `stubborn` makes it ignore SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from node.config import Home, load_config, split_listen
from node.testnet.processes import claim_home

STARTED = time.monotonic()


def height() -> int:
    return int((time.monotonic() - STARTED) * 10)


def header(number: int) -> dict[str, Any]:
    return {
        "height": str(number),
        "time": "2026-01-01T00:00:00Z",
        "app_hash": sha256(b"%d" % number).hexdigest().upper(),
        "proposer_address": "AB" * 20,
    }


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    top = height()
    if method == "status":
        sync = {"latest_block_height": str(top), "latest_app_hash": header(top)["app_hash"], "catching_up": False}
        return {"node_info": {"id": "ab" * 20}, "sync_info": sync}
    if method == "net_info":
        return {"n_peers": "3"}
    if method == "header":
        return {"header": header(int(params["height"]))}
    low, high = int(params["minHeight"]), int(params["maxHeight"])
    return {"block_metas": [{"header": header(number), "num_txs": "0"} for number in range(high, low - 1, -1)]}


class Handler(BaseHTTPRequestHandler):
    """One JSON-RPC call per POST."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = answer(request["method"], request.get("params") or {})
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def main() -> int:
    home = Path(sys.argv[3])
    if (home / "dies").exists():
        print("error 2210 STORAGE: the disk is on fire", file=sys.stderr)
        return 3
    if (home / "stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with claim_home(home):
        if (home / "mute").exists():
            time.sleep(60)
        ThreadingHTTPServer(split_listen(load_config(Home(home).config_file).rpc.listen), Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
