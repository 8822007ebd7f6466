"""What the pages about looking after a node take for granted: a log with something in it, a lost home, an operator's token.

The homes are those of `scenes_nodes.py`: four validators run, or three and a copy of the fourth's home.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Final

from node.audit.commands import command_actor
from node.audit.verify import read_log_name
from tests.docs.scene import Scene, Steps
from tests.docs.scenes_nodes import link_genesis, stop_last_node

DAY_S: Final = 86_400
LOG: Final = "audit-5f1d2c3b4a596877"  # as docs/audit.md calls it
BLOCKS_BETWEEN: Final = 8
HEIGHT: Final = re.compile(r'"height": (\d+), .*"event": "block committed"')


def catch_up(scene: Scene) -> None:
    """The node that was started is where the network is."""
    target = int(scene.ask("qenex query block")["block"]["header"]["height"])

    def is_there() -> bool:
        return int(HEIGHT.findall(scene.stage.begun.read_text())[-1]) >= target

    scene.stage.wait_until("the node is at the tip", is_there)


# audit.md


def keep_a_log(scene: Scene) -> None:
    """A full node has run with an account for its anchors; a supervisor has asked it something, somebody without a token too."""
    stop_last_node(scene)
    stage, home = scene.stage, scene.stage.srv / "qenex"
    assert scene.home is not None
    scene.people("audit", "alice")
    (home / "keys" / "validator.json").unlink()
    shutil.copy(scene.home / "keys" / "audit.json", home / "keys")
    settings = (home / "config.toml").read_text()
    for old, new in (('anchor_key = ""', 'anchor_key = "keys/audit.json"'), ("interval_s = 3600", "interval_s = 1")):
        assert old in settings
        settings = settings.replace(old, new)
    (home / "config.toml").write_text(settings)
    token = scene.ask("qenex rpc token new --home /srv/qenex --role regulator --name supervisor")["token"]
    address = f"127.0.0.1:{stage.base + 96}"
    start = f"qenex start --home /srv/qenex --set rpc.access=tokens --set rpc.listen={address}"
    problem = stage.begin(start, "block committed", has_own_ports=True)
    assert problem == "", problem
    catch_up(scene)
    stage.run(f"curl -s http://{address}/status")  # has no token
    stage.variables["QENEX_TOKEN"] = token
    scene.run(f"qenex query restrictions alice --node http://{address}")
    stage.variables.clear()
    stage.wait_for("an anchor", f"qenex query anchors {scene.address('audit')}", lambda answer: answer["logs"])
    stage.end_background()
    days = [time.strftime("%Y-%m-%d", time.gmtime(time.time() + day * DAY_S)) for day in (-1, 1)]
    scene.names |= {"2026-01-01": days[0], "2026-03-31": days[1], "qx1...": scene.address("audit"), "os:qenex": command_actor()}
    scene.names[LOG] = read_log_name(home / "data" / "audit_log")


def change_an_entry(scene: Scene) -> None:
    """Somebody has made the supervisor another one."""
    log = scene.stage.srv / "qenex" / "data" / "audit_log"
    log.write_bytes(log.read_bytes().replace(b"token:supervisor", b"token:superviser"))


# backup.md


def begin_backups(scene: Scene) -> None:
    """The first node's home is the page's; there is a snapshot of it already, and blocks since then."""
    stage, home = scene.stage, scene.stage.srv / "qenex"
    shutil.rmtree(home, ignore_errors=True)
    home.symlink_to(stage.testnet / "node0")
    link_genesis(scene)
    made = scene.ask("qenex snapshot create --home /srv/qenex --to /srv/backup")
    name, height = Path(made["path"]).name, int(made["height"])
    until = height + BLOCKS_BETWEEN
    stage.wait_for("blocks come", "qenex query block", lambda answer: int(answer["block"]["header"]["height"]) > until)
    scene.names |= {"/srv/backup/settlement-1-51": f"/srv/backup/{name}", "71": str(height + BLOCKS_BETWEEN // 2)}
    scene.names |= dict.fromkeys(("settlement-1-51", "settlement-1-99"), name)  # in a table, where one number is like another


def lose_a_home(scene: Scene) -> None:
    """The page's home is the fourth's, of which the settings, the genesis and the keys are left."""
    stage, home = scene.stage, scene.stage.srv / "qenex"
    home.unlink()
    stop_last_node(scene)
    shutil.rmtree(home / "data")
    newest = scene.ask("qenex snapshot list --from /srv/backup")["snapshots"][-1]
    scene.names |= {"/srv/backup/settlement-1-99": newest["path"], "7A0C...": stage.names["FIXED"]}


# configuration.md


def have_a_token(scene: Scene) -> None:
    """An operator's, for the first node, in the reader's environment."""
    home = scene.stage.testnet / "node0"
    token = scene.ask(f"qenex rpc token new --home {home} --role operator --name operator")["token"]
    scene.stage.variables["QENEX_TOKEN"] = token


SCENES: Final[dict[str, Steps]] = {
    "docs/audit.md": {"": keep_a_log, "qenex audit verify --home": change_an_entry},
    "docs/backup.md": {"": begin_backups, "qenex snapshot restore": lose_a_home, "mv /srv/validator.json": catch_up},
    "docs/configuration.md": {"": have_a_token},
}
