"""The health score: all parts make 100, each falls to nothing at its bad end, each names a metric that there is."""

from __future__ import annotations

import pytest

from node.telemetry.health import PARTS, Part, compute_health
from node.telemetry.metrics import NodeMetrics

GOOD = {part.metric: part.good for part in PARTS}


def test_all_good_is_a_hundred() -> None:
    assert compute_health(GOOD).score == 100
    assert sum(part.points for part in PARTS) == 100


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_each_part_is_worth_its_points(part: Part) -> None:
    assert compute_health({**GOOD, part.metric: part.bad}).score == 100 - part.points
    middle = (part.good + part.bad) / 2
    assert compute_health({**GOOD, part.metric: middle}).score == pytest.approx(100 - part.points / 2)
    beyond = part.bad + (part.bad - part.good)
    assert compute_health({**GOOD, part.metric: beyond}).score == 100 - part.points


def test_each_part_names_a_metric_of_the_node() -> None:
    assert {part.metric for part in PARTS} <= NodeMetrics("c").read().keys()


def test_json() -> None:
    data = compute_health({**GOOD, "qenex_disk_free_share": 0.1}).to_json()
    assert data["score"] == 93.3
    assert next(part for part in data["parts"] if part["name"] == "disk")["points"] == 3.3
