"""A trend finds the line under noise, says when a mark is reached, and knows how far off it has been."""

from __future__ import annotations

import random

import pytest

from node.insight.trend import SAMPLES_MIN, Trend


def fill(trend: Trend, values: list[float], step_s: float = 60.0) -> None:
    for place, value in enumerate(values):
        assert trend.add(place * step_s, value)


def test_a_straight_line_is_forecast_exactly() -> None:
    trend = Trend(60, 900)
    fill(trend, [1000 + 5 * n for n in range(60)])
    assert trend.slope == pytest.approx(5 / 60)
    assert trend.seconds_until(100) == pytest.approx(1200)
    assert trend.seconds_until(-100) is None
    assert trend.seconds_until(0) == 0
    assert trend.mean_error() == pytest.approx(0)
    assert trend.relative_error() == pytest.approx(0)


def test_one_outlier_does_not_bend_it() -> None:
    trend = Trend(60, 900)
    values = [1000 + 5.0 * n for n in range(60)]
    values[30] = 10  # a compaction
    fill(trend, values)
    assert trend.slope == pytest.approx(5 / 60, rel=0.01)


def test_noise_is_seen_in_the_error_of_past_forecasts() -> None:
    rng = random.Random(1)
    calm, wild = Trend(60, 900), Trend(60, 900)
    fill(calm, [n * 10 + rng.uniform(-1, 1) for n in range(120)])
    fill(wild, [n * 10 + rng.uniform(-100, 100) for n in range(120)])
    small, large = calm.relative_error(), wild.relative_error()
    assert small is not None and large is not None
    assert small < 0.05 < 0.2 < large


def test_nothing_is_said_of_too_few_samples() -> None:
    trend = Trend(60, 900)
    fill(trend, [float(n) for n in range(SAMPLES_MIN - 1)])
    assert trend.slope == 0
    assert trend.seconds_until(5) is None
    assert trend.mean_error() is None and trend.relative_error() is None


def test_what_does_not_move_has_no_relative_error() -> None:
    trend = Trend(60, 900)
    fill(trend, [7.0] * 60)
    assert trend.mean_error() == 0
    assert trend.relative_error() is None


def test_samples_come_at_most_once_a_step_and_a_clock_set_back_begins_anew() -> None:
    trend = Trend(60, 900)
    fill(trend, [float(n) for n in range(10)])
    assert not trend.add(9 * 60 + 59, 5)
    assert trend.slope > 0
    assert trend.add(0, 5)
    assert trend.slope == 0


def test_a_gap_is_not_taken_for_a_forecast_that_was_wrong() -> None:
    trend = Trend(60, 900)
    fill(trend, [float(n) for n in range(10)])
    trend.add(100_000, 1e6)
    assert trend.mean_error() is None
