"""The kinds of delay: constant, jittered, in bursts, drifting, measured.

A `DelaySpec` is a kind with its figures: it can be compared, hashed and written down. What its `start`
returns draws the delays of one episode. `fabg.social.delays.parse_delay` reads one from text.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fabg.errors import ConfigError, check_ranges

LONGEST_MS = 3_600_000.0
"""Longer delays are taken for a mistake in the unit."""

_MS = (0.0, LONGEST_MS)
_BLOCK = 256  # random numbers drawn at a time: one by one they cost ten times as much


class DelayModel(Protocol):
    """The delays of one stage during one episode."""

    def sample(self, t_s: float) -> float:
        """Return the delay of what enters the stage `t_s` s after the start of the episode, s, >= 0."""


@dataclass(frozen=True)
class DelaySpec(ABC):
    """A kind of delay with its figures; `str` gives the text that `parse_delay` reads."""

    @property
    @abstractmethod
    def mean_ms(self) -> float:
        """Mean over a long time, ms."""

    @property
    @abstractmethod
    def max_ms(self) -> float | None:
        """Longest possible delay, ms; None when there is no bound."""

    @abstractmethod
    def start(self, rng: np.random.Generator) -> DelayModel:
        """Begin an episode; `rng` belongs to the model from now on."""


@dataclass(frozen=True)
class Constant(DelaySpec):
    """Always the same delay, ms."""

    ms: float

    def __post_init__(self) -> None:
        check_ranges(self, {"ms": _MS})

    def __str__(self) -> str:
        return _text(self.ms)

    @property
    def mean_ms(self) -> float:
        """The delay, ms."""
        return self.ms

    @property
    def max_ms(self) -> float:
        """The delay, ms."""
        return self.ms

    def start(self, rng: np.random.Generator) -> DelayModel:
        """Begin an episode."""
        return _ConstantModel(self.ms / 1000.0)


@dataclass(frozen=True)
class Jitter(DelaySpec):
    """Independent delays from a gamma distribution: never negative, with a tail to the long side.

    Its shape is (mean / sd)^2 and its scale sd^2 / mean.
    """

    average_ms: float
    sd_ms: float

    def __post_init__(self) -> None:
        check_ranges(self, {"average_ms": _MS, "sd_ms": _MS})
        if self.sd_ms > 10.0 * self.average_ms:
            raise ConfigError(f"sd_ms is {self.sd_ms}: expected at most ten times the mean")

    def __str__(self) -> str:
        return f"jitter:{_text(self.average_ms)},{_text(self.sd_ms)}"

    @property
    def mean_ms(self) -> float:
        """The mean, ms."""
        return self.average_ms

    @property
    def max_ms(self) -> float | None:
        """None: a gamma distribution has no end; the mean when nothing varies."""
        return None if self.sd_ms > 0.0 else self.average_ms

    def start(self, rng: np.random.Generator) -> DelayModel:
        """Begin an episode."""
        if self.sd_ms <= 1e-6 * self.average_ms:
            return _ConstantModel(self.average_ms / 1000.0)
        shape = (self.average_ms / self.sd_ms) ** 2
        return _JitterModel(rng, shape, self.average_ms / 1000.0 / shape)


@dataclass(frozen=True)
class Burst(DelaySpec):
    """Two states, each with its delay, and a chance to change at each sample.

    The two-state chain of Gilbert 1960, "Capacity of a burst-noise channel", and Elliott 1963, "Estimates of
    error rates for codes on burst-noise channels" (Bell Syst. Tech. J. 39 and 42), with delays in place of
    losses. In the long run a share ``p_enter / (p_enter + p_leave)`` falls into bursts, and a burst lasts
    ``1 / p_leave`` samples. An episode begins in either state with these shares.
    """

    base_ms: float
    burst_ms: float
    p_enter: float
    p_leave: float

    def __post_init__(self) -> None:
        check_ranges(self, {"base_ms": _MS, "burst_ms": _MS, "p_enter": (0.0, 1.0), "p_leave": (0.0, 1.0)})
        if not self.p_leave > 0.0:
            raise ConfigError("p_leave is 0: expected more than 0, or a constant delay if bursts never end")

    def __str__(self) -> str:
        return "burst:" + ",".join(map(_text, (self.base_ms, self.burst_ms, self.p_enter, self.p_leave)))

    @property
    def share(self) -> float:
        """Share of samples within a burst in the long run."""
        return self.p_enter / (self.p_enter + self.p_leave)

    @property
    def mean_ms(self) -> float:
        """Mean over both states, ms."""
        return self.base_ms + self.share * (self.burst_ms - self.base_ms)

    @property
    def max_ms(self) -> float:
        """The longer of both, ms."""
        return max(self.base_ms, self.burst_ms) if self.p_enter > 0.0 else self.base_ms

    def start(self, rng: np.random.Generator) -> DelayModel:
        """Begin an episode."""
        return _BurstModel(rng, self)


@dataclass(frozen=True)
class Drift(DelaySpec):
    """A slow triangle: `from_ms` at the start, `to_ms` after half a period, and back."""

    from_ms: float
    to_ms: float
    period_s: float

    def __post_init__(self) -> None:
        check_ranges(self, {"from_ms": _MS, "to_ms": _MS, "period_s": (0.1, 86_400.0)})

    def __str__(self) -> str:
        return "drift:" + ",".join(map(_text, (self.from_ms, self.to_ms, self.period_s)))

    @property
    def mean_ms(self) -> float:
        """Middle between both, ms."""
        return (self.from_ms + self.to_ms) / 2.0

    @property
    def max_ms(self) -> float:
        """The longer of both, ms."""
        return max(self.from_ms, self.to_ms)

    def start(self, rng: np.random.Generator) -> DelayModel:
        """Begin an episode."""
        return _DriftModel(self.from_ms / 1000.0, (self.to_ms - self.from_ms) / 1000.0, self.period_s)


@dataclass(frozen=True)
class Replay(DelaySpec):
    """Measured delays in their order, round and round, begun at a random place.

    They are read once; a file that changes later makes a spec that is not equal.
    """

    path: str
    delays_ms: tuple[float, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.delays_ms:
            raise ConfigError(f"{self.path} holds no delays: expected one a line, in ms")
        for value in self.delays_ms:
            if not 0.0 <= value <= LONGEST_MS:
                raise ConfigError(f"{self.path} holds {value}: expected 0 to {LONGEST_MS:g} ms")

    def __str__(self) -> str:
        return f"file:{self.path}"

    @property
    def mean_ms(self) -> float:
        """Mean of the file, ms."""
        return math.fsum(self.delays_ms) / len(self.delays_ms)

    @property
    def max_ms(self) -> float:
        """Longest in the file, ms."""
        return max(self.delays_ms)

    def start(self, rng: np.random.Generator) -> DelayModel:
        """Begin an episode."""
        return _ReplayModel([ms / 1000.0 for ms in self.delays_ms], int(rng.integers(len(self.delays_ms))))


def _text(value: float) -> str:
    """Return the shortest text that reads back as the same number; there is no minus zero."""
    return repr(float(value) + 0.0).removesuffix(".0")


class _ConstantModel:
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def sample(self, t_s: float) -> float:
        return self._delay_s


class _JitterModel:
    def __init__(self, rng: np.random.Generator, shape: float, scale_s: float) -> None:
        self._rng, self._shape, self._scale_s = rng, shape, scale_s
        self._drawn: list[float] = []

    def sample(self, t_s: float) -> float:
        if not self._drawn:
            self._drawn = self._rng.gamma(self._shape, self._scale_s, _BLOCK).tolist()
        return self._drawn.pop()


class _BurstModel:
    def __init__(self, rng: np.random.Generator, spec: Burst) -> None:
        self._rng = rng
        self._delays_s = (spec.base_ms / 1000.0, spec.burst_ms / 1000.0)
        self._changes = (spec.p_enter, spec.p_leave)
        self._burst = bool(rng.random() < spec.share)
        self._drawn: list[float] = []

    def sample(self, t_s: float) -> float:
        if not self._drawn:
            self._drawn = self._rng.random(_BLOCK).tolist()
        burst = self._burst
        if self._drawn.pop() < self._changes[burst]:
            self._burst = not burst
        return self._delays_s[burst]


class _DriftModel:
    def __init__(self, from_s: float, rise_s: float, period_s: float) -> None:
        self._from_s, self._rise_s, self._period_s = from_s, rise_s, period_s

    def sample(self, t_s: float) -> float:
        phase = (t_s / self._period_s) % 1.0
        return self._from_s + self._rise_s * (2.0 * phase if phase < 0.5 else 2.0 - 2.0 * phase)


class _ReplayModel:
    def __init__(self, delays_s: list[float], begin: int) -> None:
        self._delays_s, self._next = delays_s, begin

    def sample(self, t_s: float) -> float:
        delay_s = self._delays_s[self._next]
        self._next = (self._next + 1) % len(self._delays_s)
        return delay_s
