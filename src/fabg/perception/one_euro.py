"""A smoother that stands still with what stands still and runs with what runs.

The One-Euro filter (Casiez, Roussel, Vogel: "1 € Filter", CHI 2012): a first-order low pass whose cut-off
rises with the speed of the signal. Here the speed is that of the new value against the smoothed one,
for the whole vector at once: a jump is followed in the image in which it is seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class OneEuroConfig:
    """How much is smoothed.

    Attributes
    ----------
    cutoff_hz
        Cut-off for a signal that stands still, Hz; 0 does not smooth at all.
    speed_gain
        By how many Hz the cut-off rises with each unit a second.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    cutoff_hz: float = 1.5
    speed_gain: float = 2.0

    def __post_init__(self) -> None:
        for name, high in (("cutoff_hz", 1000.0), ("speed_gain", 1e6)):
            value = getattr(self, name)
            if not 0.0 <= value <= high:
                raise ConfigError(f"{name} is {value}: expected 0 to {high}")


class OneEuro:
    """Smooths one vector over time."""

    def __init__(self, config: OneEuroConfig) -> None:
        self.config = config
        """The configuration in force; may be replaced at any time."""
        self.value: NDArray[np.float64] | None = None
        """The smoothed vector; None before the first."""

    def step(self, value: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
        """Take a value that is `step_s` s later than the one before and return the smoothed one."""
        if self.value is None or self.config.cutoff_hz <= 0.0 or step_s <= 0.0:
            self.value = np.array(value, dtype=np.float64)
            return self.value.copy()
        change = value - self.value
        speed = float(np.linalg.norm(change)) / step_s
        cutoff_hz = self.config.cutoff_hz + self.config.speed_gain * speed
        share = 1.0 - math.exp(-2.0 * math.pi * cutoff_hz * step_s)
        self.value = self.value + share * change
        return self.value.copy()
