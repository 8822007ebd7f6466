"""The driver of `scripts/screenshots`: the tour's story on a real network, some more trade, then a picture of each main page.

Only processes of this script's own network, and its own browser, are started and ended.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tour_story
import trio
from chromium import PROGRAMS, Browser, open_browser
from killtest import QENEX, end_on_signals
from tour import STOP_S_MAX, Tour, Wrong, are_there, start_apart

ROOT = Path(__file__).parent.parent
BASE_PORT = 28_756
DESKTOP = (1280, 900)
PHONE = (390, 844)
HEIGHT_MAX = 1_500
SWAPS = 14
CHECK = "document.querySelector('main button').click()"
CHECKED = "document.querySelector('.checklist')"
DRAWN_S = 1.5  # a chart takes its width from its place, and then draws


class Picture(NamedTuple):
    """One file: the place it shows, the window, the colours, and whether the page's first button (a check) is pressed before."""

    name: str
    place: str
    size: tuple[int, int] = DESKTOP
    theme: str = "light"
    is_checked: bool = False


def trade(tour: Tour) -> dict[str, str]:
    """More of everything that the pages show; names of what was made."""
    tour.say("\nVI. Some more trade, for the pictures")
    farm = ("--stake", "EUR/QNX", "--reward", "QNX", "--budget", "900", "--duration", "2h", "--tier", "0:1", "--tier", "1m:2")
    tour.tx("another farm", "bank2", "farm", "create", *farm)
    tour.tx("bank1 stakes", "bank1", "farm", "stake", "--farm", "1", "--amount", "90000000", "--tier", "1")
    hashes = []
    for number in range(SWAPS):
        who = ("fund", "bank1")[number % 2]
        path, amount = (("EUR,QNX", 150 + 90 * number), ("QNX,EUR", 9 + 5 * number))[number % 3 == 0]
        done = tour.tx("a swap", who, "amm", "swap-in", "--path", path, "--amount", str(amount), "--min-out", "0")
        hashes.append(done["hash"])
    operation = json.dumps({"op": "gov.set_param", "group": "stake", "key": "jail_s", "value": "30"})
    made = tour.tx("a proposal", "owner0", "gov", "propose", "--op", operation, "--title", "longer jail")
    proposal = tour.event(made, "proposal_created")["proposal"]
    for owner, option in (("owner0", "yes"), ("owner1", "yes"), ("owner2", "no")):
        tour.tx(f"{owner} votes", owner, "gov", "vote", proposal, "--option", option)
    account = tour.query("account", "bank1")["address"]
    return {"tx": hashes[-1], "account": account, "proposal": proposal}


def pictures(made: dict[str, str], height: int) -> Sequence[Picture]:
    """The main pages, and two on a phone."""
    return (
        Picture("overview", "#/"),
        Picture("block", f"#/block/{height}", is_checked=True),
        Picture("transaction", f"#/tx/{made['tx']}", is_checked=True),
        Picture("account", f"#/account/{made['account']}"),
        Picture("validators", "#/validators"),
        Picture("pool", "#/pool/EUR%2FQNX", theme="dark"),
        Picture("farm", "#/farm/1"),
        Picture("proposal", f"#/proposal/{made['proposal']}"),
        Picture("compliance", "#/compliance"),
        Picture("network", "#/network"),
        Picture("health", "#/health", theme="dark"),
        Picture("phone-overview", "#/", PHONE, "dark"),
        Picture("phone-proof", f"#/tx/{made['tx']}", PHONE, is_checked=True),
    )


async def take_all(program: str, url: str, wanted: Sequence[Picture], folder: Path) -> list[str]:
    """Every picture; what the pages complained of."""
    async with open_browser(program) as browser:
        for picture in wanted:
            await take(browser, url, picture, folder / f"{picture.name}.png")
        return browser.complaints


async def take(browser: Browser, url: str, picture: Picture, file: Path) -> None:
    """One picture."""
    await browser.look(*picture.size, picture.theme)
    await browser.open("about:blank")
    await browser.open(f"{url}/{picture.place}")
    await browser.settle()
    if picture.is_checked:
        await browser.evaluate(CHECK)
        await browser.wait_for(CHECKED)
    await trio.sleep(DRAWN_S)
    await browser.picture(file, picture.size[0], HEIGHT_MAX)
    print(f"{file.name}: {file.stat().st_size // 1024} kB", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--base-port", type=int, default=BASE_PORT)
    options = parser.parse_args()
    end_on_signals()
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        print("error: Chromium is needed (Debian: apt install chromium)", file=sys.stderr)
        return 2
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="qenex-pictures-") as folder:
        return _run(Path(folder) / "net", program, options)


def _run(home: Path, program: str, options: Any) -> int:
    command = [*QENEX, "testnet", "init", "--home", str(home), "--base-port", str(options.base_port), "--block-interval", "0.5", "--json"]
    nodes = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["nodes"]
    tour = Tour(home, [node["rpc"] for node in nodes], lambda text: print(text, flush=True))
    running: list[subprocess.Popen[bytes]] = []
    try:
        start_apart(home, running)
        tour.wait_until("four nodes are there", lambda: are_there(tour.urls))
        tour_story.run(tour)
        made = trade(tour)
        complaints = trio.run(take_all, program, tour.urls[0], pictures(made, tour.height), options.to)
        for complaint in complaints:
            print(f"a page complained: {complaint}", file=sys.stderr)
        if options.keep:
            print(f"the network stays until Ctrl-C: {tour.urls[0]}", flush=True)
            signal.pause()
        return 1 if complaints else 0
    except Wrong as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 1
    finally:
        for node in running:
            node.send_signal(signal.SIGTERM)
        for node in running:
            node.wait(STOP_S_MAX)


if __name__ == "__main__":
    code: int | str = "screenshots: stopped by a signal; its network is down and its files are removed"
    try:
        code = main()
    except* KeyboardInterrupt:  # bare, or in the group that an event loop makes of it
        pass
    sys.exit(code)
