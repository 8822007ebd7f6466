"""The recovery drill: backup, destroy, restore, catch up; timed. Four validators under load from the first block to the last.

The fourth is snapshotted twice while it runs, then killed, and everything in its data folder is deleted. What is checked: the restored
node comes to the same app hashes and votes again; heights between the snapshots come back with the chain's app hash, by height and by time;
every transfer that any node reported as committed is on all of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from drill_network import Network, Stages, judge, report, run_on, say, seconds_of, under_load
from killtest import QENEX, end_on_signals, height_of, rpc

VICTIM = 3
GAP_S_MAX = 20.0  # between two blocks, on a busy machine and with one of four away


async def qenex(*arguments: str | Path) -> dict[str, Any]:
    """A command with --json; its answer."""
    done = await trio.run_process([*QENEX, *map(str, arguments), "--json"], capture_stdout=True, capture_stderr=True, check=False)
    if done.returncode:
        raise SystemExit(f"qenex {arguments[0]} {arguments[1]}: {done.stderr.decode(errors='replace').strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def drill(network: Network, backup: Path, seconds: float, stages: Stages) -> dict[str, Any]:
    home = network.home_of(VICTIM)
    problems: list[str] = []
    async with under_load(network, seed=1) as load:
        await trio.sleep(seconds)
        made = []
        for number in (1, 2):
            started = time.monotonic()
            made.append(await qenex("snapshot", "create", "--home", home, "--to", backup))
            first = f"blocks from {made[-1]['first_block']}" if made[-1]["first_block"] != "0" else "no blocks"
            stages.add(f"snapshot {number} of the running node", time.monotonic() - started, f"height {made[-1]['height']}, {first}")
            await trio.sleep(seconds)
        listed = await qenex("snapshot", "list", "--from", backup, "--verify")
        if [item["is_whole"] for item in listed["snapshots"]] != [True, True]:
            problems.append("a snapshot is not whole")
        destroyed = time.monotonic()
        network.end(VICTIM)
        shutil.rmtree(home / "data")
        say(f"destroyed: {home / 'data'}")
        await recover(network, made[-1], stages)
        stages.add("from the loss to voting again", time.monotonic() - destroyed)
        await trio.sleep(seconds)
        problems += await restore_between(network, made, backup, stages)
    verdict = await judge(network, load, GAP_S_MAX)
    return {"snapshots": [item["height"] for item in made], **verdict, "problems": problems, "ok": verdict["ok"] and not problems}


async def recover(network: Network, newest: dict[str, Any], stages: Stages) -> None:
    """Bring the database back, catch up without the voting key, then vote again: the record of what was signed is lost."""
    home = network.home_of(VICTIM)
    key, aside = home / "keys" / "validator.json", network.home / "validator.json.aside"
    started = time.monotonic()
    back = await qenex("snapshot", "restore", newest["path"], "--home", home, "--trust-hash", newest["fixed_by_block"])
    stages.add("restored", time.monotonic() - started, f"height {back['height']}, app hash {back['app_hash'][:16]}")
    key.rename(aside)
    network.begin(VICTIM)
    seconds = await network.wait("catching up", lambda: network.is_at_tip(VICTIM))
    stages.add("at the tip, without the voting key", seconds, f"height {height_of(network.urls[VICTIM])}")
    network.quit(VICTIM)
    aside.rename(key)
    before = height_of(network.urls[0])
    network.begin(VICTIM, "--accept-empty-signer-record")
    seconds = await network.wait("starting with the key", lambda: network.is_at_tip(VICTIM))
    stages.add("started with the key and a new record", seconds)
    await leave_jail(network, stages)
    seconds = await network.wait("voting again", lambda: network.signs(VICTIM, before))
    stages.add("voting again", seconds)


async def leave_jail(network: Network, stages: Stages) -> None:
    """Who was away for half of the last 100 blocks of this network was jailed meanwhile, as its rules say: the owner ends that."""
    url = network.urls[0]
    names = {row["moniker"]: row for row in (await trio.to_thread.run_sync(rpc, url, "stake_validators"))["validators"]}
    found = names[f"node{VICTIM}"]
    if not found["jailed"]:
        return
    started = time.monotonic()
    await network.wait("the end of the jail", lambda: time.time() > int(found["jailed_until"]) + 1)
    owner = ("--from", f"owner{VICTIM}", "--validator", f"node{VICTIM}")
    await qenex("tx", "stake", "unjail", *owner, "--wait", "--home", network.home, "--node", url)
    stages.add("out of jail, for having been away", time.monotonic() - started)


async def restore_between(network: Network, made: list[dict[str, Any]], backup: Path, stages: Stages) -> list[str]:
    """To a height and to a time between the two snapshots, each in a home of its own. What did not come back."""
    first, last = (int(item["height"]) for item in made)
    middle = (first + last) // 2
    headers = await trio.to_thread.run_sync(network.headers, network.urls[0], first, last + 1)
    moment = next(header["time"][:19] + "Z" for header in headers if int(header["height"]) == middle)
    wanted_height = max(int(header["height"]) for header in headers if seconds_of(header) <= seconds_of({"time": moment}))
    problems = []
    for what, options, height in (
        ("to a height", ("--to-height", str(middle)), middle),
        ("to a time", ("--to-time", moment), wanted_height),
    ):
        home = network.home / f"restored {what}"
        home.mkdir()
        for name in ("config.toml", "genesis.json"):
            shutil.copy(network.home_of(VICTIM) / name, home / name)
        started = time.monotonic()
        back = await qenex("snapshot", "restore", made[1]["path"], "--home", home, *options)
        note = f"height {back['height']}, {back['blocks_executed']} blocks executed"
        stages.add(f"restored {what} between them", time.monotonic() - started, note)
        header = rpc(network.urls[0], "header", height=str(int(back["height"]) + 1))["header"]
        if int(back["height"]) != height or header["app_hash"] != back["app_hash"]:
            problems.append(f"{what}: height {back['height']} has app hash {back['app_hash']}, the chain {header['app_hash']}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of load between two stages")
    parser.add_argument("--base-port", type=int, default=27656)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    end_on_signals()
    stages = Stages()
    with tempfile.TemporaryDirectory(prefix="qenex-drill-") as folder:
        network = Network(Path(folder) / "net", options.base_port, 0.5)
        verdict = run_on(network, drill, Path(folder) / "backup", options.seconds, stages)
    return report(stages, verdict, options.json)


if __name__ == "__main__":
    sys.exit(main())
