"""Schemathesis asks a node what its own `/openapi.json` allows, and what it does not. Opt-in: `scripts/test --openapi`.

Installed from its own lock file into a folder of the test, so that nothing of the node depends on it. Every run of the suite has a
sample of the same, `tests/node/rpc/test_openapi.py`.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
import trio

from node.rpc.client import Client
from node.rpc.roles import Role
from node.rpc.tokens import add_token
from tests.node.rpc.live import make_live, running, wait_for_height

LOCK = Path(__file__).parent / "schemathesis.lock"
# JSON-RPC says what is wrong with a call in an answer of status 200, so a refusal cannot be told from its status
NOT_ASKED = "negative_data_rejection"
EXAMPLES = 5
SEED = 38


def install(folder: Path) -> Path:
    """The command, in an environment of its own."""
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", LOCK], check=True, timeout=300)
    return folder / "bin" / "schemathesis"


@pytest.mark.openapi
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("role", [None, Role.OPERATOR], ids=["nobody", "operator"])
async def test_the_server_is_what_its_document_says(tmp_path: Path, role: Role | None) -> None:
    command = await trio.to_thread.run_sync(install, tmp_path / "venv")
    live = make_live(tmp_path / "net", 1, client_units_per_s=0)
    token = add_token(live.root / "node0" / "rpc_tokens.json", "ops", Role.OPERATOR, "2026-01-31")
    async with running(live, 1), Client(live.url) as client:
        await wait_for_height(client, 2)
        asked = [command, "run", f"{live.url}/openapi.json", "--phases", "coverage,fuzzing", "--continue-on-failure", "--no-color"]
        left_out = NOT_ASKED
        if role is not None:
            asked += ["--header", f"Authorization: Bearer {token}"]
            left_out += ",ignored_auth"  # it takes the token away again, which is what the other case asks
        asked += ["--max-examples", str(EXAMPLES), "--seed", str(SEED), "--exclude-checks", left_out]
        done = await trio.run_process(asked, capture_stdout=True, capture_stderr=True, check=False, cwd=tmp_path)
        said = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0, said[-20_000:] + done.stderr.decode("utf-8", "replace")
        sys.stdout.write(said[-2_000:])
        await wait_for_height(client, 3)  # it is there, and goes on
