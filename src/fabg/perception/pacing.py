"""Playing recorded images at the speed of life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Clock = Callable[[], float]
Wait = Callable[[float], Any]


class Pacer:
    """Turns media times into clock times, waits for them, and tells when one is overdue."""

    def __init__(self, clock: Clock, wait: Wait, *, realtime: bool) -> None:
        self._clock, self._wait, self._realtime = clock, wait, realtime
        self._start_s: float | None = None

    def due(self, media_s: float) -> float:
        """Return the clock time of a media time; the first call defines the start."""
        if self._start_s is None:
            self._start_s = self._clock() - media_s
        return self._start_s + media_s

    def overdue(self, media_s: float, period_s: float) -> bool:
        """Tell whether the image after this one is due already."""
        return self._realtime and self._clock() >= self.due(media_s) + period_s

    def wait_until(self, media_s: float) -> None:
        """Wait for a media time to come."""
        left = self.due(media_s) - self._clock()
        if self._realtime and left > 0:
            self._wait(left)

    def restart(self) -> None:
        """Let the next media time be due at once."""
        self._start_s = None
