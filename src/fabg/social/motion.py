"""How people move: laws of arms, eyes, lids and resting bodies, by plain numbers for speed.

Hands, heads, trunks and faces follow the minimum-jerk profile (Flash and Hogan: "The coordination of arm
movements", J. Neurosci. 5, 1985), whose speed is a bell of height 1.875 d / T. A movement that begins before the
last one is over is added to it (Henis and Flash: "Mechanisms underlying the generation of averaged modified
trajectories", Biol. Cybern. 72, 1995), so that speed and acceleration never jump. How long a reach takes is Fitts'
law ("The information capacity of the human motor system", J. Exp. Psychol. 47, 1954). Saccades obey the main
sequence (Bahill, Clark and Stark, Math. Biosci. 24, 1975) with the figures of Baloh, Sills, Kumley and Honrubia
(Neurology 25, 1975).

Times are in s and never decrease from one call to the next.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from fabg.minimum_jerk import minimum_jerk
from fabg.social.stage import TICK_S

Point = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
"""w, x, y, z."""

PEAK = 1.875
"""Greatest speed of a minimum-jerk movement in units of distance / duration: 15/8, in the middle."""

# Laws ----------------------------------------------------------------------------------------------


def saccade_duration(amplitude_rad: float) -> float:
    """Return how long a saccade takes, s: 37 ms and 2.7 ms a degree (Baloh et al. 1975)."""
    return 0.037 + 0.0027 * math.degrees(abs(amplitude_rad))


def saccade_peak(amplitude_rad: float) -> float:
    """Return the peak velocity of a saccade, rad/s: 551 (1 - exp(-A / 14)) degrees/s (Baloh et al. 1975)."""
    return math.radians(551.0 * -math.expm1(-math.degrees(abs(amplitude_rad)) / 14.0))


def reach_duration(distance_m: float, width_m: float = 0.04) -> float:
    """Return how long a hand takes, s, by Fitts' law: 0.10 s and 0.12 s a bit, within 0.35 and 0.75 s.

    Parameters
    ----------
    distance_m
        Length of the way.
    width_m
        How exactly the end must be met.
    """
    bits = math.log2(max(2.0 * distance_m / width_m, 1.0))
    return min(max(0.10 + 0.12 * bits, 0.35), 0.75)


# Movements -----------------------------------------------------------------------------------------


T = TypeVar("T")
S = TypeVar("S")


class _Moving(ABC, Generic[T, S]):
    """Something that goes from goal to goal; a movement that begins before the last is over adds to it.

    Attributes
    ----------
    goal
        Where it will come to rest.
    end_s
        When.
    """

    __slots__ = ("_base", "_moves", "end_s", "goal")

    def __init__(self, value: T) -> None:
        self._moves: list[tuple[float, float, S]] = []
        self.goal = self._base = value
        self.end_s = -math.inf

    @property
    def moving(self) -> bool:
        """Whether it still moves, as of the last `value`."""
        return bool(self._moves)

    def move(self, t_s: float, to: T, duration_s: float) -> None:
        """Begin to move at `t_s`; it ends no sooner than what was begun before, so that nothing overshoots."""
        duration = max(duration_s, self.end_s - t_s, 1e-3)
        self._moves.append((t_s, 1.0 / duration, self._step(to)))
        self.goal, self.end_s = to, t_s + duration

    def place(self, at: T) -> None:
        """Be somewhere at once."""
        self._moves.clear()
        self.goal = self._base = at
        self.end_s = -math.inf

    def value(self, t_s: float) -> T:
        """Return where it is at `t_s`, which never decreases."""
        if not self._moves:
            return self._base
        if t_s >= self.end_s:
            self._moves.clear()
            self._base = self.goal
            return self._base
        return self._between(t_s)

    @abstractmethod
    def _step(self, to: T) -> S:
        """Return what leads from the present goal to another."""

    @abstractmethod
    def _between(self, t_s: float) -> T:
        """Return where it is while it moves."""


class Mover(_Moving[float, float]):
    """One number that goes from goal to goal."""

    __slots__ = ()

    def __init__(self, value: float = 0.0) -> None:
        super().__init__(value)

    def _step(self, to: float) -> float:
        return to - self.goal

    def _between(self, t_s: float) -> float:
        value = self._base
        for start, rate, step in self._moves:
            value += step * minimum_jerk((t_s - start) * rate)
        return value


class PointMover(_Moving[Point, Point]):
    """A point that goes from goal to goal on straight lines."""

    __slots__ = ()

    def _step(self, to: Point) -> Point:
        x, y, z = self.goal
        return to[0] - x, to[1] - y, to[2] - z

    def _between(self, t_s: float) -> Point:
        x, y, z = self._base
        for start, rate, (dx, dy, dz) in self._moves:
            share = minimum_jerk((t_s - start) * rate)
            x += share * dx
            y += share * dy
            z += share * dz
        return x, y, z


class TurnMover(_Moving[Quaternion, Quaternion]):
    """A rotation that goes from goal to goal, each about one axis."""

    __slots__ = ()

    def _step(self, to: Quaternion) -> Quaternion:
        return to

    def _between(self, t_s: float) -> Quaternion:
        q = self._base
        for start, rate, to in self._moves:
            q = slerp(q, to, minimum_jerk((t_s - start) * rate))
        return q


class Glide:
    """The point on which two eyes meet, moved by saccades as seen from the head.

    The direction turns at a minimum jerk about one axis while the distance goes along.
    """

    __slots__ = ("_angle", "_eye", "_from", "_rate", "_start", "_to", "end_s", "goal")

    def __init__(self, at: Point) -> None:
        self.goal = at
        self.end_s = -math.inf
        self._rate = 0.0

    def move(self, t_s: float, to: Point, eye: Point, duration_s: float | None = None) -> float:
        """Begin to look at `to` from `eye`; return the angle to turn, rad.

        The main sequence says how long it takes, unless `duration_s` does. A saccade under way is replaced.
        """
        here = self.value(t_s)
        ax, ay, az = here[0] - eye[0], here[1] - eye[1], here[2] - eye[2]
        bx, by, bz = to[0] - eye[0], to[1] - eye[1], to[2] - eye[2]
        a = math.sqrt(ax * ax + ay * ay + az * az) or 1e-9
        b = math.sqrt(bx * bx + by * by + bz * bz) or 1e-9
        self._from, self._to = (ax / a, ay / a, az / a, a), (bx / b, by / b, bz / b, b)
        cross = math.hypot(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
        self._angle = math.atan2(cross, ax * bx + ay * by + az * bz)
        duration = saccade_duration(self._angle) if duration_s is None else duration_s
        self._eye, self._start, self._rate = eye, t_s, 1.0 / duration
        self.goal, self.end_s = to, t_s + duration
        return self._angle

    def value(self, t_s: float) -> Point:
        """Return the point at `t_s`."""
        if t_s >= self.end_s:
            return self.goal
        share = minimum_jerk((t_s - self._start) * self._rate)
        sine = math.sin(self._angle)
        if sine < 1e-6:
            u, v = 1.0 - share, share
        else:
            u, v = math.sin((1.0 - share) * self._angle) / sine, math.sin(share * self._angle) / sine
        (ax, ay, az, a), (bx, by, bz, b), (x, y, z) = self._from, self._to, self._eye
        far = a + share * (b - a)
        return (
            x + far * (u * ax + v * bx),
            y + far * (u * ay + v * by),
            z + far * (u * az + v * bz),
        )


def slerp(a: Quaternion, b: Quaternion, share: float) -> Quaternion:
    """Return the rotation at `share` of the shorter way from `a` to `b`."""
    if share <= 0.0:
        return a
    if share >= 1.0:
        return b
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    cosine = aw * bw + ax * bx + ay * by + az * bz
    if cosine < 0.0:
        cosine, bw, bx, by, bz = -cosine, -bw, -bx, -by, -bz
    if cosine > 0.9999:
        u, v = 1.0 - share, share
    else:
        angle = math.acos(cosine)
        sine = math.sin(angle)
        u, v = math.sin((1.0 - share) * angle) / sine, math.sin(share * angle) / sine
    w, x, y, z = u * aw + v * bw, u * ax + v * bx, u * ay + v * by, u * az + v * bz
    length = math.sqrt(w * w + x * x + y * y + z * z)
    return w / length, x / length, y / length, z / length


def rows_of(q: Quaternion) -> tuple[float, ...]:
    """Return the rotation (3, 3) of a unit quaternion row by row."""
    w, x, y, z = q
    return (
        1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w),
        2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w),
        2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y),
    )  # fmt: skip


# Rest ----------------------------------------------------------------------------------------------


class Sway:
    """The small, slow wandering of a body that holds still.

    Noise of mean 0 whose spectrum falls with the square of the frequency above `corner_hz`, drawn once and
    repeated after 82 s, without a seam.

    Parameters
    ----------
    rng
        Draws the noise.
    spread
        Standard deviation of each channel.
    corner_hz
        Up to here the spectrum is flat.
    """

    TICKS = 4096

    def __init__(self, rng: np.random.Generator, spread: Sequence[float], corner_hz: float = 0.3) -> None:
        n = self.TICKS
        shape = 1.0 / (1.0 + (np.fft.rfftfreq(n, TICK_S) / corner_hz) ** 2)
        shape[0] = 0.0
        real, imaginary = rng.standard_normal((2, len(spread), len(shape)))
        noise = np.fft.irfft((real + 1j * imaginary) * shape, n, axis=1)
        noise *= (np.asarray(spread) / noise.std(axis=1))[:, None]
        self._rows = np.ascontiguousarray(noise.T)

    def at(self, t_s: float) -> list[float]:
        """Return the channels at the tick nearest to `t_s`."""
        row: list[float] = self._rows[round(t_s / TICK_S) % self.TICKS].tolist()
        return row


class Blinks:
    """When lids close, and how far.

    A lid goes down in 80 ms and comes up in twice the time (Evinger, Manning and Sibony: "Eyelid movements",
    Invest. Ophthalmol. Vis. Sci. 32, 1991), about 17 times a minute at rest, at uneven distances
    (Bentivoglio et al.: "Analysis of blink rate patterns in normal subjects", Mov. Disord. 12, 1997).
    """

    DOWN_S, UP_S = 0.08, 0.16
    _MEAN_GAP_S, _SPREAD = 3.5, 0.6

    def __init__(self, rng: np.random.Generator, t_s: float = 0.0) -> None:
        self._rng = rng
        self._start = t_s + float(rng.uniform(0.0, self._MEAN_GAP_S))

    def closure(self, t_s: float) -> float:
        """Return how far the lids are closed, 0..1."""
        since = t_s - self._start
        if since <= 0.0:
            return 0.0
        if since < self.DOWN_S:
            return minimum_jerk(since / self.DOWN_S)
        if since < self.DOWN_S + self.UP_S:
            return 1.0 - minimum_jerk((since - self.DOWN_S) / self.UP_S)
        middle = math.log(self._MEAN_GAP_S) - self._SPREAD**2 / 2
        self._start = t_s + float(self._rng.lognormal(middle, self._SPREAD))
        return 0.0
