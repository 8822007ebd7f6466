"""What docs/joining.md takes for granted: a genesis, a peer, and the time that a vote takes."""

from __future__ import annotations

import shutil
import time
from typing import Final

from tests.docs.scene import Scene, Steps


def have_genesis(scene: Scene) -> None:
    """`genesis.json` in the folder where commands are typed, and a peer to begin with."""
    shutil.copy(scene.stage.testnet / "node0" / "genesis.json", scene.stage.clone / "genesis.json")
    peer = scene.stage.ask("qenex testnet status")["nodes"][0]["p2p"]
    scene.names["PEER-ID@node-a:26656"] = peer


def let_the_vote_end(scene: Scene) -> None:
    """Until the proposal has passed and its delay is over."""
    number = scene.stage.names["PROPOSAL"]
    scene.stage.wait_for("the vote ends", f"qenex query proposal {number}", lambda answer: answer["status"] != "voting", home=scene.home)
    ready = int(scene.ask(f"qenex query proposal {number}")["ready"])
    while time.time() <= ready + 1:
        time.sleep(0.05)


SCENES: Final[dict[str, Steps]] = {"docs/joining.md": {"": have_genesis, "qenex tx gov execute": let_the_vote_end}}
