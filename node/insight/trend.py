"""A straight line through the last samples of a figure, and how far such lines have been off.

The slope is the median of the slopes between all pairs of samples (Theil and Sen), which one outlier, such as a compaction of the database,
does not bend. Each sample is also a test: what was forecast for its time, when only earlier samples were known, is compared with it.
No clock and no input or output here: times are arguments.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

SAMPLES_MAX: Final = 120
SAMPLES_MIN: Final = 5  # before that nothing is forecast
ERRORS_MAX: Final = 200


class Trend:
    """Samples of one figure, at most one each `step_s`; forecasts are tested `horizon_s` later."""

    def __init__(self, step_s: float, horizon_s: float) -> None:
        self._step_s = step_s
        self._horizon_s = horizon_s
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)
        self._open: deque[tuple[float, float, float]] = deque()  # time it is for, forecast, value when it was made
        self._errors: deque[tuple[float, float]] = deque(maxlen=ERRORS_MAX)  # how far off, how far the figure had gone
        self._slope = 0.0

    def add(self, time_s: float, value: float) -> bool:
        """Take a sample; False if the last one is too recent. A time before the last one begins anew: the clock was set back."""
        if self._samples and time_s < self._samples[-1][0]:
            self._samples.clear()
            self._open.clear()
        if self._samples and time_s - self._samples[-1][0] < self._step_s:
            return False
        self._judge(time_s, value)
        self._samples.append((time_s, value))
        self._slope = self._find_slope()
        if len(self._samples) >= SAMPLES_MIN:
            self._open.append((time_s + self._horizon_s, value + self._slope * self._horizon_s, value))
        return True

    def _judge(self, time_s: float, value: float) -> None:
        while self._open and self._open[0][0] <= time_s:
            due_s, forecast, before = self._open.popleft()
            if time_s - due_s < self._step_s:  # later, it would be a forecast for another time
                self._errors.append((abs(forecast - value), abs(value - before)))

    def _find_slope(self) -> float:
        samples = list(self._samples)
        if len(samples) < SAMPLES_MIN:
            return 0.0
        return median(
            (later[1] - earlier[1]) / (later[0] - earlier[0])
            for place, earlier in enumerate(samples)
            for later in samples[place + 1 :]
        )

    @property
    def slope(self) -> float:
        """Units per second; 0 while there are too few samples."""
        return self._slope

    def seconds_until(self, distance: float) -> float | None:
        """When the figure has gone this far (negative: down), or None if it does not go there."""
        if distance == 0:
            return 0.0
        return distance / self._slope if self._slope * distance > 0 else None

    def mean_error(self) -> float | None:
        """By how much forecasts were off on average, or None before the first is due."""
        return sum(error for error, _ in self._errors) / len(self._errors) if self._errors else None

    def relative_error(self) -> float | None:
        """The same as a part of what the figure moved meanwhile; None before the first is due, or if it has not moved."""
        moved = sum(gone for _, gone in self._errors)
        return sum(error for error, _ in self._errors) / moved if moved else None
