"""A policy that predicts the demonstrator: what was seen until now tells what they will do for a while yet.

People answer late: what a demonstrator does within the next 120 ms (gaze) and 300 ms (face) answers what
has been seen already. So the policy keeps a model of the demonstrator's movements (`fabg.policy.response`) behind
the observations by just these delays, and rolls a copy of it forward to make a chunk. As long as all the delays on
the way to the robot are shorter than the reaction, the right step of the chunk is exactly what the demonstrator
would do at the time of its execution; beyond, the last thing seen is held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import CommandRefused, check_ranges
from fabg.policy.base import Chunk, Observation
from fabg.policy.memory import Point, WatchConfig
from fabg.policy.response import TICK_S, ResponseConfig, ResponseModel
from fabg.policy.watching import Sight, Watcher
from fabg.robot.model import RobotModel, load_robot

Array = NDArray[np.float64]

_ON_TIME_S = 1e-6  # stamps that should be on a tick are, but for rounding


@dataclass(frozen=True, kw_only=True)
class ImitatorConfig:
    """Whom to imitate, and how.

    Attributes
    ----------
    response
        The demonstrator; their mean delays count.
    watch
        How observations are read.
    steps
        Length of a chunk.
    bridge_s
        Between two observations no further apart than this, what moves is taken to move evenly, s.
    mend_s
        The past is played again for so long whenever there is a new observation, s: it may have been
        understood anew.
    restart_s
        Stamps that jump by more than this, forth or back, begin anew, s.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    response: ResponseConfig = field(default_factory=ResponseConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    steps: int = 25
    bridge_s: float = 0.15
    mend_s: float = 0.2
    restart_s: float = 2.0

    def __post_init__(self) -> None:
        check_ranges(
            self, {"steps": (1, 500), "bridge_s": (0.0, 1.0), "mend_s": (0.0, 2.0), "restart_s": (0.1, 60.0)}
        )


class ImitatorPolicy:
    """Do what the demonstrator will do. See `fabg.policy.base.Policy`."""

    name = "imitator"

    def __init__(self, config: ImitatorConfig | None = None, robot: RobotModel | None = None) -> None:
        self.config = c = config or ImitatorConfig()
        self._model = ResponseModel(c.response, robot or load_robot())
        longest_s = max(c.response.gaze_delay_s, c.response.expression_delay_s)
        self._watcher = Watcher(c.watch, longest_s + c.mend_s + 0.5)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._watcher.reset()
        self._chunk: Chunk | None = None
        self._start_s = 0.0
        self._tick = 0

    def predict(self, observation: Observation) -> Chunk:
        """Return what the demonstrator does from ``observation.stamp_s`` on, in steps of 20 ms.

        An observation that is not newer than the last one changes nothing: the last chunk is returned again. With
        nobody in sight the chunk holds and then eases to neutral.

        Raises
        ------
        CommandRefused
            When the stamp is not finite; the policy stays as it was.
        """
        stamp_s = observation.stamp_s
        if not math.isfinite(stamp_s):
            raise CommandRefused(f"stamp is {stamp_s}: expected a finite time in s")
        if self._chunk is not None:
            since_s = stamp_s - self._chunk.t0_s
            if abs(since_s) > self.config.restart_s:
                self.reset()
            elif since_s <= 0.0:
                return self._chunk
        self._watcher.watch(observation)
        if self._chunk is None:
            first = self._watcher.seen[0]
            self._model.reset(first.point, first.shapes)
            self._start_s, self._tick = stamp_s, 0
        self._chunk = Chunk(self._roll(stamp_s), stamp_s, TICK_S, self.name)
        return self._chunk

    def _roll(self, stamp_s: float) -> Array:
        """Return the vectors from `stamp_s` on, (steps, 61)."""
        ticks = (stamp_s - self._start_s) / TICK_S
        now = math.floor(ticks + _ON_TIME_S)
        self._play(self._model, self._tick, now - round(self.config.mend_s / TICK_S))
        self._tick = max(self._tick, now - round(self.config.mend_s / TICK_S))
        model = self._model.copy()
        perceived = self._play(model, self._tick, now)

        between = ticks - now
        steps = self.config.steps + (between > _ON_TIME_S)
        rows = np.empty((steps, expression.SIZE))
        model.write(rows[0])
        for i in range(1, steps):
            model.advance()
            model.hold(*perceived.at(self._start_s + (now + i) * TICK_S))
            model.write(rows[i])
        if steps == self.config.steps:
            return rows
        return (1.0 - between) * rows[:-1] + between * rows[1:]

    def _play(self, model: ResponseModel, tick: int, until: int) -> _Perceived:
        """Let a model live from one tick to another; return what it perceives, to go on."""
        c = self.config
        perceived = _Perceived(
            self._watcher.seen, c.response.gaze_delay_s, c.response.expression_delay_s, c.bridge_s
        )
        for i in range(tick + 1, until + 1):
            model.advance()
            model.hold(*perceived.at(self._start_s + i * TICK_S))
        return perceived


class _Perceived:
    """What the demonstrator perceives at rising times: sights, later by the reaction delays."""

    def __init__(self, seen: list[Sight], gaze_s: float, face_s: float, bridge_s: float) -> None:
        self._seen, self._gaze_s, self._face_s, self._bridge_s = seen, gaze_s, face_s, bridge_s
        self._gaze_at = self._face_at = 0

    def at(self, time_s: float) -> tuple[Point, Array]:
        """Return where to look and the shapes to answer with."""
        self._gaze_at, share = self._find(self._gaze_at, time_s - self._gaze_s)
        one = self._seen[self._gaze_at]
        point = one.point
        if share > 0.0:
            two = self._seen[self._gaze_at + 1]
            if one.goal == two.goal:
                x, y, z = point
                to_x, to_y, to_z = two.point
                point = x + share * (to_x - x), y + share * (to_y - y), z + share * (to_z - z)
            elif share > 0.5:
                point = two.point  # it changed somewhere between: take the nearer one
        self._face_at, share = self._find(self._face_at, time_s - self._face_s)
        one = self._seen[self._face_at]
        shapes = one.shapes
        if share > 0.0:
            two = self._seen[self._face_at + 1]
            if one.goal.person == two.goal.person:
                shapes = shapes + share * (two.shapes - shapes)
            elif share > 0.5:
                shapes = two.shapes
        return point, shapes

    def _find(self, i: int, time_s: float) -> tuple[int, float]:
        """Return the last sight not after a time, from `i` on, and how far on to the next the time is, 0..1."""
        seen = self._seen
        while i + 1 < len(seen) and seen[i + 1].stamp_s <= time_s + _ON_TIME_S:
            i += 1
        if i + 1 == len(seen):
            return i, 0.0
        start_s = seen[i].stamp_s
        gap_s = seen[i + 1].stamp_s - start_s
        beyond_s = time_s - start_s
        if beyond_s <= _ON_TIME_S or gap_s > self._bridge_s:
            return i, 0.0
        return i, beyond_s / gap_s
