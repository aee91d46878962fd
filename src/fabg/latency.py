"""Where the time goes: delays by stage over a sliding window."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fabg.stats import Percentiles, Window

SERVO = "servo"
"""The last stage: from a command until the servos have it; measured from outside, no node reports it."""

STAGES = ("camera", "face", "policy", "actuation", SERVO)
"""Stages in the order in which they work; others follow in order of appearance."""


@dataclass(frozen=True)
class StageReport:
    """Delays of one stage, ms: time inside it, and age of the image when it was done."""

    stage: str
    work_ms: Percentiles
    age_ms: Percentiles


class LatencyLedger:
    """Collects the timings that nodes report.

    Parameters
    ----------
    window_s
        How far back the percentiles reach, s.
    """

    def __init__(self, window_s: float = 10.0) -> None:
        self.window_s = window_s
        self._stages: dict[str, tuple[Window, Window]] = {}

    def add(self, stage: str, *, origin_s: float, received_s: float, finished_s: float) -> bool:
        """Note one message worked through; all times on one clock, s.

        Returns
        -------
        False when the times contradict each other (a clock was set): nothing is noted then.
        """
        times = (origin_s, received_s, finished_s)
        if not all(math.isfinite(t) for t in times) or finished_s < received_s or finished_s < origin_s:
            return False
        work, age = self._stages.setdefault(stage, (Window(self.window_s), Window(self.window_s)))
        work.add(finished_s, (finished_s - received_s) * 1e3)
        age.add(finished_s, (finished_s - origin_s) * 1e3)
        return True

    def report(self, now_s: float) -> list[StageReport]:
        """Return the stages that have reported within the window before `now_s`."""
        order = [s for s in STAGES if s in self._stages] + [s for s in self._stages if s not in STAGES]
        reports = []
        for stage in order:
            work, age = (window.percentiles(now_s) for window in self._stages[stage])
            if work is not None and age is not None:
                reports.append(StageReport(stage, work, age))
        return reports
