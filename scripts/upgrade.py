"""A rolling upgrade under load: four validators, two releases of the program, one node at a time.

The second release is this tree with a later version, built and installed into a virtual environment of its own; the locked dependencies are
those of the first. So for a while two installed releases really run together. The rules of the chain are the same in both: a release with
other rules comes into force at a height that governance decides (docs/governance.md, tests/node/test_upgrade.py).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import trio
from drill_network import VALIDATORS, Network, Stages, judge, report, run_on, say, under_load
from killtest import end_on_signals, height_of, rpc

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("node", "consensus", "state", "p2p", "genesis", "pyproject.toml", "README.md", "LICENSE")
GAP_S_MAX = 20.0  # between two blocks, on a busy machine; a node that proposes and is away costs a round


def next_version(version: str) -> str:
    """The same with its last number one higher."""
    head, _, last = version.rpartition(".")
    return f"{head}.{int(re.match(r'[0-9]+', last)[0]) + 1}"  # type: ignore[index]


def build_release(folder: Path, version: str) -> list[str]:
    """This tree as another version, installed; the command that runs it."""
    tree, place = folder / "tree", folder / "release"
    tree.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    project = tree / "pyproject.toml"
    text, count = re.subn(r'(?m)^version = "[^"]+"$', f'version = "{version}"', project.read_text())
    if count != 1:
        raise SystemExit("pyproject.toml does not say its version in one line")
    project.write_text(text)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin" / "python"
    packages = Path(subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True
    ).stdout.strip())  # fmt: skip
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "--ignore-installed", str(tree)], check=True, stdout=sys.stderr)
    shutil.rmtree(tree)
    said = subprocess.run([place / "bin" / "qenex", "version"], check=True, capture_output=True, text=True, cwd=folder).stdout
    if version not in said:
        raise SystemExit(f"the release says that it is {said.strip()}, not {version}")
    return [str(place / "bin" / "qenex")]


async def upgrade(network: Network, command: list[str], old: str, new: str, seconds: float, stages: Stages) -> dict[str, Any]:
    mixed: list[list[str]] = []
    problems: list[str] = []
    async with under_load(network, seed=2) as load:
        await trio.sleep(seconds)
        for index in range(VALIDATORS):
            network.quit(index)
            started = time.monotonic()
            before = height_of(network.urls[(index + 1) % VALIDATORS])
            network.commands[index] = command
            network.begin(index)
            at_tip = await network.wait("catching up", lambda index=index: network.is_at_tip(index))  # type: ignore[misc]
            await network.wait("voting again", lambda index=index, before=before: network.signs(index, before))  # type: ignore[misc]
            stages.add(f"node{index} upgraded, voting again", time.monotonic() - started, f"at the tip after {at_tip:.1f} s")
            mixed.append([await trio.to_thread.run_sync(network.version_of, each) for each in range(VALIDATORS)])
            await trio.sleep(seconds)
        peers = rpc(network.urls[0], "net_info")["peers"]
        if {peer["node_info"]["other"]["qenex_version"] for peer in peers} != {new} or len(peers) != VALIDATORS - 1:
            problems.append("the peers of the first node do not all say that they are the new version")
    verdict = await judge(network, load, GAP_S_MAX)
    expected = [[new] * (done + 1) + [old] * (VALIDATORS - done - 1) for done in range(VALIDATORS)]
    if mixed != expected:
        problems.append(f"versions after each step: {mixed}")
    return {"from": old, "to": new, "versions": mixed[-1], **verdict, "problems": problems, "ok": verdict["ok"] and not problems}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of load between two nodes")
    parser.add_argument("--base-port", type=int, default=26156)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    end_on_signals()
    stages = Stages()
    old = metadata.version("qenex-node")
    new = next_version(old)
    with tempfile.TemporaryDirectory(prefix="qenex-upgrade-") as folder:
        started = time.monotonic()
        command = build_release(Path(folder), new)
        stages.add(f"release {new} built and installed", time.monotonic() - started)
        network = Network(Path(folder) / "net", options.base_port, 1.0)
        say(f"four nodes of version {old}")
        verdict = run_on(network, upgrade, command, old, new, options.seconds, stages)
    return report(stages, verdict, options.json)


if __name__ == "__main__":
    sys.exit(main())
