"""Signs of life when nobody commands: blinks and small shifts of the gaze."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Chunk, Observation


@dataclass(frozen=True, kw_only=True)
class IdleConfig:
    """How the robot passes the time.

    Attributes
    ----------
    blink_every_s
        Shortest and longest time between two blinks, s.
    blink_s
        Time from open to open, s.
    gaze_every_s
        Shortest and longest time between two shifts of the gaze, s.
    gaze_yaw_rad, gaze_pitch_rad
        Gaze shifts stay within plus and minus this, rad.
    chunk_s, dt_s
        Length of a chunk and the time between its expressions, s.
    seed
        Start of the random sequence.
    """

    blink_every_s: tuple[float, float] = (2.0, 6.0)
    blink_s: float = 0.24
    gaze_every_s: tuple[float, float] = (1.0, 4.0)
    gaze_yaw_rad: float = 0.15
    gaze_pitch_rad: float = 0.08
    chunk_s: float = 0.4
    dt_s: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("blink_every_s", "gaze_every_s"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high < math.inf:
                raise ConfigError(f"{name} is {(low, high)}: expected 0 < shortest <= longest")
        for name in ("blink_s", "chunk_s", "dt_s"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected a positive number")
        if self.blink_s > self.blink_every_s[0]:
            raise ConfigError(f"blink_s is {self.blink_s}: expected at most {self.blink_every_s[0]}")
        for name in ("gaze_yaw_rad", "gaze_pitch_rad"):
            if not 0.0 <= getattr(self, name) <= 0.5:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected 0 to 0.5 rad")


class IdlePolicy:
    """Blinks at random intervals and lets the gaze wander a little; sees nobody.

    Time must not run backwards between `reset` and `reset`.
    """

    name = "idle"

    def __init__(self, config: IdleConfig | None = None) -> None:
        self.config = config or IdleConfig()
        self._rng = np.random.default_rng(self.config.seed)
        self.reset()

    def reset(self) -> None:
        """Begin anew with the eyes open, looking straight ahead."""
        self._started = False
        self._blinks: list[float] = []
        self._shifts: list[tuple[float, float, float]] = []

    def predict(self, observation: Observation) -> Chunk:
        """Return the next `chunk_s` seconds from ``observation.stamp_s`` on."""
        c, begin_s = self.config, observation.stamp_s
        times = begin_s + np.arange(max(round(c.chunk_s / c.dt_s), 1)) * c.dt_s
        self._plan(begin_s, float(times[-1]))
        values = np.zeros((len(times), expression.SIZE))
        blink = np.max([_bump((times - t) / c.blink_s) for t in self._blinks], axis=0)
        for side in ("Left", "Right"):
            values[:, expression.INDEX[f"eyeBlink{side}"]] = blink
        starts = np.array([t for t, _, _ in self._shifts])
        current = np.searchsorted(starts, times, side="right") - 1
        gaze = np.array([(yaw, pitch) for _, yaw, pitch in self._shifts])[current]
        for eye in (expression.LEFT_EYE, expression.RIGHT_EYE):
            values[:, eye.start : eye.start + 2] = gaze
        return Chunk(values, begin_s, c.dt_s, self.name)

    def _plan(self, begin_s: float, end_s: float) -> None:
        """Draw blinks and shifts past `end_s`; forget those that are over at `begin_s`."""
        c = self.config
        if not self._started:
            self._started = True
            self._blinks = [begin_s + self._rng.uniform(*c.blink_every_s)]
            self._shifts = [(begin_s, 0.0, 0.0)]
        if begin_s - self._blinks[-1] > c.blink_every_s[1]:
            self._blinks = [begin_s]  # nobody asked for a while
        while self._blinks[-1] <= end_s:
            self._blinks.append(self._blinks[-1] + self._rng.uniform(*c.blink_every_s))
        while self._shifts[-1][0] <= end_s:
            at_s = max(self._shifts[-1][0], begin_s) + self._rng.uniform(*c.gaze_every_s)
            yaw = self._rng.uniform(-c.gaze_yaw_rad, c.gaze_yaw_rad)
            pitch = self._rng.uniform(-c.gaze_pitch_rad, c.gaze_pitch_rad)
            self._shifts.append((at_s, float(yaw), float(pitch)))
        self._blinks = [t for t in self._blinks if t + c.blink_s >= begin_s]
        while len(self._shifts) > 1 and self._shifts[1][0] <= begin_s:
            self._shifts.pop(0)


def _bump(phase: np.ndarray) -> np.ndarray:
    """Return a smooth 0-1-0 over phase 0..1: closed by a third, open again at the end."""
    closing = np.clip(phase / 0.3, 0.0, 1.0)
    opening = np.clip((1.0 - phase) / 0.5, 0.0, 1.0)
    return np.minimum(closing**2 * (3 - 2 * closing), opening**2 * (3 - 2 * opening))
