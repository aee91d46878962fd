"""What a node knows of its own well-being; published once a second as diagnostics."""

from __future__ import annotations

import time
from collections import Counter
from enum import IntEnum

from fabg.stats import Window


class Level(IntEnum):
    """Severity, with the values of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


class Health:
    """Counters, rates and ages of one node.

    A condition raised with `warn` or `error` shows until `clear`; exceptions show for
    `remember_s` seconds.
    """

    def __init__(self, remember_s: float = 5.0) -> None:
        self.counts: Counter[str] = Counter()
        self.work_ms = Window()
        self.age_ms = Window()
        self.values: dict[str, str] = {}
        self._conditions: dict[str, tuple[Level, str]] = {}
        self._last_exception: tuple[float, str] | None = None
        self._remember_s = remember_s

    def count(self, what: str, by: int = 1) -> None:
        """Add to a counter."""
        self.counts[what] += by

    def observe(self, work_ms: float, age_ms: float) -> None:
        """Note one message worked through: time spent on it, and its age when done."""
        now = time.monotonic()
        self.work_ms.add(now, work_ms)
        self.age_ms.add(now, age_ms)

    def exception(self, message: str) -> None:
        """Note an exception that a callback raised."""
        self.counts["exceptions"] += 1
        self._last_exception = (time.monotonic(), message)

    def warn(self, key: str, message: str) -> None:
        """Raise a warning called `key`."""
        self._conditions[key] = (Level.WARN, message)

    def error(self, key: str, message: str) -> None:
        """Raise an error called `key`."""
        self._conditions[key] = (Level.ERROR, message)

    def clear(self, key: str) -> None:
        """Withdraw the condition called `key`."""
        self._conditions.pop(key, None)

    def summary(self) -> tuple[Level, str]:
        """Return the worst level and what to say."""
        found = list(self._conditions.values())
        if self._last_exception and time.monotonic() - self._last_exception[0] < self._remember_s:
            found.append((Level.ERROR, self._last_exception[1]))
        if not found:
            return Level.OK, "running"
        worst = max(level for level, _ in found)
        return worst, "; ".join(message for level, message in found if level == worst)

    def report(self) -> dict[str, str]:
        """Return everything as text by name."""
        now = time.monotonic()
        out = {"rate_hz": f"{self.work_ms.rate_hz(now):.1f}"}
        for name, window in (("work_ms", self.work_ms), ("age_ms", self.age_ms)):
            if (p := window.percentiles(now)) is not None:
                out[f"{name}_p50"], out[f"{name}_p95"] = f"{p.p50:.2f}", f"{p.p95:.2f}"
        if self._last_exception:
            out["last_exception"] = self._last_exception[1]
        return out | {name: str(n) for name, n in sorted(self.counts.items())} | self.values
