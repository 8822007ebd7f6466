"""What each page about nodes takes for granted: addresses of peers, a stopped node's home, a draft of a genesis. Four validators run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from node.config import Home
from node.signer import peek_record
from node.testnet.processes import find_node
from tests.docs.scene import Scene, Steps
from tests.docs.scenes_joining import let_the_vote_end


def know_the_home(scene: Scene) -> None:
    """HOME of the page is the first node's, the node has answered, and an account is the regulator's."""
    scene.names |= {"HOME": str(scene.stage.testnet / "node0"), "https://node.example:26657": scene.stage.url()}
    scene.names["qx1fma..."] = scene.address("bob")


def be_the_default_home(scene: Scene) -> None:
    """The first node's home is where `qenex` looks without --home."""
    (scene.stage.place / "node").symlink_to(scene.stage.testnet / "node0")


def trade(scene: Scene) -> None:
    """What the page's histories show, and a stopped node for what needs one."""
    scene.people("issuer", "alice", "bob")
    scene.tx("create-asset EUR --scale 2 --mint-allowance 100000000 --from issuer")
    scene.tx("mint --asset EUR --amount 500000 --to alice --from issuer")
    scene.tx("amm create --from alice --a EUR --b QNX --amount-a 1000.50 --amount-b 4000")
    scene.tx("transfer --from alice --to bob --amount 1000 --asset EUR")
    scene.tx("amm swap-in --from bob --path EUR,QNX --amount 10 --min-out 1")
    height = int(scene.ask("qenex query block")["block"]["header"]["height"])
    scene.stage.wait_for("the index has it", "qenex query index", lambda answer: int(answer["indexed_height"]) >= height)


def trust_a_block(scene: Scene) -> None:
    """The hash of block 2, and a port for the proxy."""
    found: dict[str, Any] = scene.ask("qenex query block 2")
    scene.names |= {"36D61C0E...": found["block_id"]["hash"], "127.0.0.1:8888": f"127.0.0.1:{scene.stage.base + 98}", "500": "5"}


def own_a_validator(scene: Scene) -> None:
    """The owner of the page and his validator are the network's first."""
    scene.names |= {"owner": "owner0", "north": "node0"}


def begin_proposals(scene: Scene) -> None:
    """Owners with something to deposit, a pool that can be stopped, and the number of the page's proposal."""
    for name in ("owner0", "owner1"):
        scene.tx(f"transfer --from alice --to {name} --amount 5000 --asset QNX")


def number_the_proposal(scene: Scene) -> None:
    """The first proposal of this network has the number 0; one that has less than its deposit waits for the rest."""
    number = scene.stage.names["PROPOSAL"]
    for start in ("gov deposit", "gov vote   ", "gov execute", "gov cancel ", "query proposal"):
        scene.names[f"{start} 3"] = f"{start} {number}"
    scene.names["/proposal/3"] = f"/proposal/{number}"


def admit(scene: Scene) -> None:
    """Whom the page admits."""
    scene.names |= {"NODE-ID": "ab" * 20, "qx1...": scene.address("carol")}


def act_as_group(scene: Scene) -> None:
    """The group that the page has made."""
    scene.names["qx1..."] = scene.stage.names["GROUP"]


def stop_last_node(scene: Scene) -> None:
    """The fourth node is stopped; a copy of its home is the page's, and its only one from now on. Three go on."""
    stage = scene.stage
    home = stage.testnet / "node3"
    if home.is_dir():
        nodes = stage.ask("qenex testnet status")["nodes"]
        if nodes[3]["running"]:
            stop_within_a_height(scene, home, nodes)
    copy(home, stage.srv / "qenex")


def stop_within_a_height(scene: Scene, home: Path, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Stop the fourth node when it has signed in a height that is not decided: two others are held for so long.

    The pages show what such a node leaves. Stopped at any moment, it left it only most of the time.
    """
    held = [node["pid"] for node in nodes[1:3]]
    seen = [0, 0]

    def has_signed_more() -> bool:
        block = scene.stage.ask(f"qenex query block --node {scene.stage.url(3)}")["block"]
        seen.append(int(block["header"]["height"]))
        is_still = seen[-1] == seen[-2] == seen[-3]  # what was on its way when the others were held has come
        return is_still and peek_record(Home(home).signer_file).height > seen[-1]

    try:
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        scene.stage.wait_until("node3 has signed in a height that is not decided", has_signed_more)
        os.kill(nodes[3]["pid"], signal.SIGTERM)
        scene.stage.wait_until("node3 has stopped", lambda: find_node(home) is None)
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)


def copy(home: Path, target: Path) -> None:
    """A home under another name; the older one under that name goes."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(home, target)


def keep_house(scene: Scene) -> None:
    """Two stopped homes, one that runs, and a genesis."""
    stop_last_node(scene)
    stage = scene.stage
    for name in ("qenex0", "qenex1"):
        copy(stage.srv / "qenex", stage.srv / name)
    (stage.srv / "running").symlink_to(stage.testnet / "node0")
    scene.names["127.0.0.1:26657"] = f"127.0.0.1:{stage.base + 97}"
    link_genesis(scene)
    for log in (stage.srv / "qenex" / "data" / "wal").iterdir():
        log.unlink()  # what the page's `qenex doctor` finds


def link_genesis(scene: Scene) -> None:
    """`genesis.json` in the folder where commands are typed."""
    shutil.rmtree(scene.stage.srv / "new", ignore_errors=True)
    target = scene.stage.clone / "genesis.json"
    target.unlink(missing_ok=True)
    shutil.copy(scene.stage.testnet / "node0" / "genesis.json", target)


def trust_the_export(scene: Scene) -> None:
    """The hash of the block that fixes the exported state, as the export has printed it."""
    scene.names["9EAC4527F7D9F5703BE20075F63F131C37A56F106DB3176A2F2003D3F988C180"] = scene.stage.names["FIXED"]


def have_a_certificate(scene: Scene) -> None:
    """One that ends."""
    scene.run("openssl req -x509 -newkey rsa:2048 -nodes -keyout /srv/qenex/key.pem -out /srv/qenex/cert.pem -days 30 -subj /CN=node 2>&1")


def begin_incident(scene: Scene) -> None:
    """A stopped node with a chain that can go back."""
    stop_last_node(scene)


def write_draft(scene: Scene) -> None:
    """A genesis document without validators, in which the treasury has the bond and more."""
    document = json.loads((scene.stage.testnet / "node0" / "genesis.json").read_text())
    account = scene.address("treasury")
    key = scene.ask("qenex keys show treasury")["keys"][0]
    entry = {"key_id": 0, "kind": "ed25519", "public_key": key["public_key"], "weight": 1}
    ones = dict.fromkeys(("low", "medium", "high", "statutory"), 1)
    document |= {"chain_id": "settlement-1", "validators": []}
    document["accounts"].append({"address": account, "kind": "customer", "parent": "", "keys": [entry], "thresholds": ones})
    document["genesis_time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 5))
    (scene.stage.clone / "draft.json").write_text(json.dumps(document))


def begin_ceremony(scene: Scene) -> None:
    """No home and no document yet."""
    (scene.stage.clone / "genesis.json").unlink(missing_ok=True)
    shutil.rmtree(scene.stage.srv / "qenex", ignore_errors=True)


SCENES: Final[dict[str, Steps]] = {
    "docs/rpc.md": {"": know_the_home},
    "docs/monitoring.md": {"": be_the_default_home},
    "docs/index.md": {"": trade, "qenex reindex": stop_last_node},
    "docs/light-client.md": {"": trust_a_block},
    "docs/governance.md": {
        "": begin_proposals,
        "qenex tx gov deposit": number_the_proposal,
        "qenex tx gov propose --from owner0 --op '{\"op\": \"gov.admit\"": admit,
        "qenex tx group propose": act_as_group,
    },
    "docs/staking.md": {"qenex tx stake edit": own_a_validator},
    "docs/operations.md": {"": keep_house, "qenex import": trust_the_export, "qenex tx gov execute": let_the_vote_end},
    "docs/incidents.md": {"": begin_incident, "openssl": have_a_certificate},
    "docs/running-a-validator.md": {"": begin_ceremony, "qenex genesis collect": write_draft},
}
