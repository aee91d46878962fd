"""Plans played for the moment at which the servos have them, not for the one at which they are sent.

A chunk says what to do at which time, and its stamps make up for everything that happened before it was
there. What comes after, the delay from a command to the servos, is measured elsewhere and told here. No
clock: times are handed in, s, on the clock of the stamps.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.policy.adaptive import merged, slewed
from fabg.policy.base import Chunk
from fabg.robot.commands import Command

MOST_AHEAD_S = 0.25
"""Bound of the delay that is made up for: a longer one is a mistake of the measurement, or beyond repair."""

SLEW = 0.5
"""Plan time runs at 1 - SLEW to 1 + SLEW times real time: a robot never goes back in its plan, nor leaps."""

MAX_AGE_S = 10.0
"""A delay measured longer ago is not believed any more: the robot is commanded without lead, then."""

RECENT = 5
"""So many chunks, the newest included, are averaged."""


class PlanTime:
    """The time of the plan that a command sent now is for: now and the delay ahead, which changes smoothly."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._measured: tuple[float, float] | None = None
        self._last_s: float | None = None

    def expect(self, delay_s: float, stamp_s: float) -> None:
        """Take the delay from a command to the servos, measured at `stamp_s`; what is not finite is ignored."""
        if math.isfinite(delay_s) and math.isfinite(stamp_s):
            self._measured = min(max(delay_s, 0.0), MOST_AHEAD_S), stamp_s

    def at(self, now_s: float) -> float:
        """Return the time of the plan at `now_s`; asked again, it has moved on with the time."""
        wanted_s = 0.0
        if self._measured is not None and abs(now_s - self._measured[1]) <= MAX_AGE_S:
            wanted_s = self._measured[0]
        passed_s = 0.0 if self._last_s is None else max(now_s - self._last_s, 0.0)
        self._last_s = now_s
        self.ahead_s = slewed(self.ahead_s, wanted_s, SLEW * passed_s)
        return now_s + self.ahead_s


class Playback:
    """Makes commands of a policy's chunks.

    Parameters
    ----------
    compensate
        Play ahead by the measured delay; False: for the moment of sending.
    ensemble
        Play the newest-weighted mean of the last chunks of one policy.
    max_age_s
        Older chunks have no share in it.
    """

    def __init__(self, *, compensate: bool, ensemble: bool, max_age_s: float) -> None:
        self.time = PlanTime()
        self._compensate, self._max_age_s = compensate, max_age_s
        self._recent: deque[Chunk] = deque(maxlen=RECENT - 1 if ensemble else 0)

    def expect(self, delay_s: float | None, stamp_s: float) -> None:
        """Take the delay from a command to the servos (s), measured at `stamp_s`; None: there is no new one."""
        if self._compensate and delay_s is not None:
            self.time.expect(delay_s, stamp_s)

    def command(self, chunk: Chunk, now_s: float) -> Command:
        """Return what to obey when `chunk` is the newest one; say `accepted` when it is obeyed."""
        self._offered, oldest_s = chunk, now_s - self._max_age_s
        alike = [
            old for old in self._recent if old.source == chunk.source and oldest_s <= old.t0_s < chunk.t0_s
        ]
        return Played(merged([*alike, chunk]), self.time)

    def accepted(self) -> None:
        """Let the chunk that was asked about last count towards those to come."""
        self._recent.append(self._offered)

    def forget(self) -> None:
        """Forget all chunks: no command to come has a share of them."""
        self._recent.clear()


@dataclass(frozen=True)
class Played:
    """A chunk that is read by plan time; a `Command`."""

    chunk: Chunk
    time: PlanTime

    @property
    def values(self) -> NDArray[np.float64]:
        """Expressions, shape (k, 61)."""
        return self.chunk.values

    @property
    def t0_s(self) -> float:
        """Time of the first expression, s."""
        return self.chunk.t0_s

    @property
    def end_s(self) -> float:
        """Time of the last expression, s."""
        return self.chunk.end_s

    def at(self, t_s: float) -> expression.Vector:
        """Return the expression to send at `t_s`."""
        return self.chunk.at(self.time.at(t_s))
