"""What was seen until now, on an even grid of times: the same for training and for running.

People answer late, so what they do now tells of what was seen before. A policy is shown the last moments,
`steps` of them, `step_s` apart, the newest first. Each is the newest observation of *that* time; its age then, and
whether there was one at all, stand behind its numbers. So a camera may be faster, slower or irregular.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from fabg.policy import features

Array = NDArray[np.float32]

SIZE = features.SIZE + 2
"""Numbers of a moment: those of `fabg.policy.features`, its age in s, and 1 when there was one."""
AGE, PRESENT = features.SIZE, features.SIZE + 1
LONGEST_AGE_S = 0.5
"""An observation that is older at its moment counts as none."""

_ON_TIME_S = 1e-6


def look_back(
    stamps_s: NDArray[np.float64], at_s: NDArray[np.float64], steps: int, step_s: float
) -> tuple[NDArray[np.int64], Array]:
    """Return which observations a policy is shown at each of some times.

    Parameters
    ----------
    stamps_s
        When observations were made, rising, (n,), n >= 1.
    at_s
        Present times, (m,).

    Returns
    -------
    index, age
        (m, steps) each, the newest first: the newest observation at ``at_s - k step_s``, and its age then in s. Where
        there was none, or it was older than `LONGEST_AGE_S`, the index is -1 and the age 0.
    """
    moments = at_s[:, None] - np.arange(steps) * step_s
    index = np.searchsorted(stamps_s, moments + _ON_TIME_S, side="right") - 1
    age = np.maximum(moments - stamps_s[np.maximum(index, 0)], 0.0)
    known = (index >= 0) & (age <= LONGEST_AGE_S)
    return np.where(known, index, -1), np.where(known, age, 0.0).astype(np.float32)


class History:
    """Keeps the rows of the observations, and lays them on the grid.

    Parameters
    ----------
    steps, step_s
        As for `look_back`.
    """

    def __init__(self, steps: int, step_s: float) -> None:
        self.steps, self.step_s = steps, step_s
        self._kept_s = steps * step_s + LONGEST_AGE_S
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._stamps: deque[float] = deque()
        self._rows: deque[Array] = deque()

    def add(self, stamp_s: float, row: Array) -> None:
        """Remember an observation, (features.SIZE,), that is newer than the last."""
        self._stamps.append(stamp_s)
        self._rows.append(row)
        while self._stamps[0] < stamp_s - self._kept_s:
            self._stamps.popleft()
            self._rows.popleft()

    @property
    def newest_s(self) -> float | None:
        """Stamp of the newest observation, s; None before the first."""
        return self._stamps[-1] if self._stamps else None

    def window(self) -> Array:
        """Return the moments up to the newest observation, (steps, SIZE), the newest first."""
        stamps = np.array(self._stamps)
        index, age = look_back(stamps, stamps[-1:], self.steps, self.step_s)
        out = np.zeros((self.steps, SIZE), np.float32)
        for moment, i in zip(out, index[0], strict=True):
            if i >= 0:
                moment[: features.SIZE] = self._rows[i]
                moment[PRESENT] = 1.0
        out[:, AGE] = age[0]
        return out
