"""Pages about the ledger are typed on one real validator that makes a block whenever there is something in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs import scenes_joining, scenes_ledger
from tests.docs.plan import LEDGER, PAGES
from tests.docs.scene import play
from tests.docs.stage import Stage

SCENES = scenes_ledger.SCENES | scenes_joining.SCENES


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("ledger"), 1, block_interval="0") as stage:
        stage.bring_up()
        yield stage


@pytest.mark.parametrize("page", [page for page, plan in PAGES.items() if plan.where == LEDGER])
def test_page(network: Stage, page: str) -> None:
    problems = play(network, page, PAGES[page], SCENES.get(page, {}))
    assert problems == [], "\n\n".join(problems)
