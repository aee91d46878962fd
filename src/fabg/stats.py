"""Counters and percentiles over a sliding window."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Percentiles:
    """Median and 95th percentile of `count` values."""

    p50: float
    p95: float
    count: int


class Window:
    """The values of the last `window_s` seconds."""

    def __init__(self, window_s: float = 10.0, max_values: int = 10_000) -> None:
        self._window_s = window_s
        self._values: deque[tuple[float, float]] = deque(maxlen=max_values)

    def add(self, now_s: float, value: float) -> None:
        """Remember `value` as measured at `now_s` (s, any monotonic clock)."""
        self._values.append((now_s, value))

    def _forget(self, now_s: float) -> None:
        while self._values and now_s - self._values[0][0] > self._window_s:
            self._values.popleft()

    def percentiles(self, now_s: float) -> Percentiles | None:
        """Return the percentiles at `now_s`, None when the window is empty."""
        self._forget(now_s)
        if not self._values:
            return None
        p50, p95 = np.percentile([value for _, value in self._values], [50, 95])
        return Percentiles(float(p50), float(p95), len(self._values))

    def rate_hz(self, now_s: float) -> float:
        """Return how many values a second came in over the window."""
        self._forget(now_s)
        if len(self._values) < 2:
            return 0.0
        span = max(now_s - self._values[0][0], 1e-9)
        return (len(self._values) - 1) / span
