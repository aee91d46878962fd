"""How late everything is: delays of four stages, and the lines in which things wait.

A delay is written as a number or a short text, all in milliseconds:

    60                          always the same
    jitter:60,15                mean and standard deviation, gamma distributed
    burst:40,200,0.02,0.2       base, burst, chance to enter and to leave a burst at each sample
    drift:20,140,10             up from the first to the second and back again, period in seconds
    file:delays.csv             measured ones: one a line, or in a column `delay_ms`

Nothing here looks at a clock: whoever uses it says what time it is.
"""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from fabg.errors import ConfigError, InputError
from fabg.social.delay_kinds import Burst, Constant, DelayModel, DelaySpec, Drift, Jitter, Replay

__all__ = ["FORMS", "DelayLine", "DelayModel", "DelaySpec", "Latency", "LatencyRun", "parse_delay"]

FORMS = (
    "milliseconds such as 60, jitter:MEAN,SD, burst:BASE,BURST,P_ENTER,P_LEAVE, "
    "drift:FROM,TO,PERIOD_S or file:PATH"
)
"""The accepted forms, for messages."""

_ZERO = Constant(0.0)
_SHARES = {"sensing": 40.0, "inference": 30.0, "transport": 10.0, "actuation": 20.0}
_ON_TIME_S = 1e-9  # sums of ticks and delays are rounded: what is due by this little is due
T = TypeVar("T")


def parse_delay(value: object, name: str = "delay") -> DelaySpec:
    """Read a delay from a number of milliseconds or one of the texts above.

    Parameters
    ----------
    value
        A number, a text, or a `DelaySpec`, which is returned as it is.
    name
        How a message calls it.

    Raises
    ------
    ConfigError
        When it is negative, not finite, too long, or not one of the accepted forms; the message lists them.
    """
    if isinstance(value, DelaySpec):
        return value
    try:
        if isinstance(value, str):
            return _from_text(value)
        if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
            return Constant(float(value))
        raise ConfigError(f"it is a {type(value).__name__}")
    except (ConfigError, OverflowError) as error:
        raise ConfigError(f"{name} is {value!r}: {error}; accepted are {FORMS}") from error


def _from_text(text: str) -> DelaySpec:
    kind, colon, rest = text.strip().partition(":")
    if not colon:
        return Constant(_number(kind))
    if kind == "file":
        return Replay(rest, _read(rest))
    if kind not in _KINDS:
        raise ConfigError(f"unknown kind {kind!r}")
    make, count = _KINDS[kind]
    parts = rest.split(",")
    if len(parts) != count:
        raise ConfigError(f"{kind} has {len(parts)} figures, expected {count}")
    return make(*(_number(part) for part in parts))


_KINDS: Mapping[str, tuple[Callable[..., DelaySpec], int]] = {
    "jitter": (Jitter, 2),
    "burst": (Burst, 4),
    "drift": (Drift, 3),
}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{text.strip()!r} is not a number") from None


def _read(path: str) -> tuple[float, ...]:
    """Return the delays in a file, ms: one a line, or those in the column `delay_ms`."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = [
                (n, row) for n, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"cannot read the file {path!r} ({error})") from error
    column = 0
    names = [cell.strip() for cell in rows[0][1]] if rows else []
    if "delay_ms" in names:
        column, rows = names.index("delay_ms"), rows[1:]
    elif len(names) > 1:
        raise ConfigError(f"{path} has {len(names)} columns and none is named delay_ms")
    delays = []
    for line, row in rows:
        cell = row[column].strip() if column < len(row) else ""
        try:
            delays.append(float(cell))
        except ValueError:
            raise ConfigError(f"{path} line {line} holds {cell!r}, expected milliseconds") from None
    return tuple(delays)


@dataclass(frozen=True)
class LatencyRun:
    """The delays of the four stages during one episode."""

    sensing: DelayModel
    inference: DelayModel
    transport: DelayModel
    actuation: DelayModel


@dataclass(frozen=True)
class Latency:
    """Delays of the four stages between an event and the movement that answers it.

    Attributes
    ----------
    sensing
        From the event to the observation of it.
    inference
        From the observation to the policy's chunk.
    transport
        From the policy to the robot.
    actuation
        From the executed command to the servos.
    """

    sensing: DelaySpec = _ZERO
    inference: DelaySpec = _ZERO
    transport: DelaySpec = _ZERO
    actuation: DelaySpec = _ZERO

    @classmethod
    def parse(cls, value: object) -> Latency:
        """Read the delays.

        Parameters
        ----------
        value
            None: no delay at all. A number, or a text that is one: the total in ms, of which sensing takes
            40 %, inference 30 %, transport 10 % and actuation 20 %. A mapping from stages to delays, or a
            text such as ``sensing=jitter:60,15; actuation=20``: stages left out have none.

        Raises
        ------
        ConfigError
            For an unknown stage or a delay that `parse_delay` refuses.
        """
        if value is None:
            return cls()
        if isinstance(value, Latency):
            return value
        if isinstance(value, str) and "=" in value:
            value = _stages(value)
        if isinstance(value, Mapping):
            unknown = [str(stage) for stage in value if stage not in _SHARES]
            if unknown:
                raise ConfigError(
                    f"latency has the unknown stage {', '.join(unknown)}: expected {', '.join(_SHARES)}"
                )
            return cls(**{stage: parse_delay(delay, f"{stage} delay") for stage, delay in value.items()})
        total = parse_delay(value, "latency")
        if not isinstance(total, Constant):
            raise ConfigError(
                f"latency is {value!r}: only a constant total can be split over the stages; "
                f"say which stage it is for, such as {{'sensing': {str(total)!r}}}"
            )
        return cls(**{stage: Constant(total.ms * share / 100.0) for stage, share in _SHARES.items()})

    def __str__(self) -> str:
        parts = [(stage.name, getattr(self, stage.name)) for stage in fields(self)]
        return "; ".join(f"{name}={spec}" for name, spec in parts if spec != _ZERO) or "0"

    @property
    def _specs(self) -> tuple[DelaySpec, ...]:
        return self.sensing, self.inference, self.transport, self.actuation

    @property
    def total_mean_ms(self) -> float:
        """Mean delay of all stages together, ms."""
        return math.fsum(spec.mean_ms for spec in self._specs)

    @property
    def max_ms(self) -> float | None:
        """Longest possible delay of all stages together, ms; None when there is no bound."""
        longest = [spec.max_ms for spec in self._specs]
        return None if None in longest else math.fsum(ms for ms in longest if ms is not None)

    def start(self, rng: np.random.Generator) -> LatencyRun:
        """Begin an episode.

        Each stage gets a generator of its own, so that a stage draws the same whatever the others are;
        `rng` gives four numbers in every case.
        """
        seeds = rng.integers(2**63, size=4)
        return LatencyRun(
            *(
                spec.start(np.random.default_rng(int(seed)))
                for spec, seed in zip(self._specs, seeds, strict=True)
            )
        )


def _stages(text: str) -> dict[str, str]:
    stages: dict[str, str] = {}
    for part in text.split(";"):
        stage, equals, delay = part.partition("=")
        if not equals or stage.strip() in stages:
            raise ConfigError(f"latency is {text!r}: expected stage=delay, each once, with ; in between")
        stages[stage.strip()] = delay
    return stages


class DelayLine(Generic[T]):
    """Things on their way: each arrives after its delay, and an overtaken one is dropped.

    It keeps the newest thing that has arrived, and never goes back to an older one. For stages in a row
    push what has come since the last tick into the next line with its `arrived_s` as `at_s`: then the delays
    add up exactly, and only the end of the row is rounded up to a tick.

    Parameters
    ----------
    capacity
        How many things may be on their way at once; what is pushed beyond is dropped.
    """

    def __init__(self, capacity: int = 4096) -> None:
        if capacity < 1:
            raise ConfigError(f"capacity is {capacity}: expected at least 1")
        self.capacity = capacity
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        # Rising in time of arrival and in stamp: whatever would arrive behind a newer one is not in it.
        self._coming: deque[tuple[float, float, T]] = deque()
        self._item: T | None = None
        self.stamp_s: float | None = None
        """Stamp of what `newest` returned last, s; None before the first."""
        self.arrived_s: float | None = None
        """When that arrived, s; None before the first."""
        self.dropped = 0
        """How many were overtaken, or were too many."""

    def __len__(self) -> int:
        """Return how many are on their way."""
        return len(self._coming)

    def push(self, item: T, stamp_s: float, at_s: float, delay_s: float) -> None:
        """Send `item`, made from what was known at `stamp_s`, off at `at_s`; it takes `delay_s`. All in s.

        Raises
        ------
        InputError
            For a negative delay or a time that is not a number; the line stays as it was.
        """
        due_s = at_s + delay_s
        if not (delay_s >= 0.0 and -math.inf < due_s < math.inf and -math.inf < stamp_s < math.inf):
            raise InputError(
                f"item stamped {stamp_s} s sent at {at_s} s with a delay of {delay_s} s: "
                "expected finite times and a delay of 0 or more"
            )
        if self.stamp_s is not None and stamp_s <= self.stamp_s:
            self.dropped += 1
            return
        # Take off those that would arrive after this one; as a rule there are none.
        passed: list[tuple[float, float, T]] = []
        coming = self._coming
        while coming and coming[-1][0] >= due_s:
            late = coming.pop()
            if late[1] > stamp_s:
                passed.append(late)
            else:
                self.dropped += 1
        if (
            len(coming) + len(passed) >= self.capacity
            or (coming and coming[-1][1] >= stamp_s)
            or (passed and passed[-1][0] <= due_s)
        ):
            self.dropped += 1
        else:
            coming.append((due_s, stamp_s, item))
        coming.extend(reversed(passed))

    def newest(self, now_s: float) -> T | None:
        """Return the newest by stamp of those that have arrived by `now_s`, None before the first."""
        coming = self._coming
        while coming and coming[0][0] <= now_s + _ON_TIME_S:
            self.arrived_s, self.stamp_s, self._item = coming.popleft()
        return self._item
