"""Pages about nodes are typed on four real validators; pages about no network are typed without one. The order is the plan's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs import scenes_nodes, scenes_upkeep
from tests.docs.plan import NODES, NOWHERE, PAGES
from tests.docs.scene import play
from tests.docs.stage import Stage

START = "docs/start.md"
SCENES = scenes_nodes.SCENES | scenes_upkeep.SCENES


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("pages"), 4, block_interval="0.2") as stage:
        yield stage


@pytest.fixture(scope="module")
def network(stage: Stage) -> Stage:
    """The stage with its network up, once for all pages."""
    stage.bring_up()
    return stage


def test_five_minutes(stage: Stage) -> None:
    """The page starts and stops the network itself, so it comes before the others."""
    assert play(stage, START, PAGES[START], {}) == []


@pytest.mark.parametrize("page", [page for page, plan in PAGES.items() if plan.where == NODES and page != START])
def test_page(network: Stage, page: str) -> None:
    problems = play(network, page, PAGES[page], SCENES.get(page, {}))
    assert problems == [], "\n\n".join(problems)


@pytest.mark.parametrize("page", [page for page, plan in PAGES.items() if plan.where == NOWHERE])
def test_page_without_network(stage: Stage, page: str) -> None:
    problems = play(stage, page, PAGES[page], {})
    assert problems == [], "\n\n".join(problems)
