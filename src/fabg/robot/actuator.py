"""Commands in, safe joint angles out: arbitration, gaze sharing, retargeting and limits in one tick."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import CommandRefused
from fabg.robot.arbiter import Arbiter, ArbiterConfig, Selection, State
from fabg.robot.gaze import NECK, GazeConfig, GazeSharer
from fabg.robot.model import RobotModel
from fabg.robot.retarget import Retargeter
from fabg.robot.safety import SafetyConfig, SafetyLimiter

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ActuatorConfig:
    """Configuration of the parts."""

    arbiter: ArbiterConfig = field(default_factory=ArbiterConfig)
    gaze: GazeConfig = field(default_factory=GazeConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)


@dataclass(frozen=True)
class Tick:
    """Result of one tick.

    Attributes
    ----------
    command
        Joint angles to send, rad, shape (25,); None when nothing may be sent.
    selection
        Who is obeyed and why.
    limited
        Names of the joints that were asked to leave their position limits.
    fresh
        True when the tick obeys a command for the first time.
    """

    command: Array | None
    selection: Selection
    limited: tuple[str, ...] = ()
    fresh: bool = False


NOTHING_YET = Tick(None, Selection(State.WAITING, None, "", "no joint states yet"))
"""The state before the first tick."""


class Actuator:
    """The way from expressions to servo commands.

    Parameters
    ----------
    robot
        Joint table.
    config
        Configuration of the parts.
    retargeter
        By default that of ``config/retarget.yaml``.

    Attributes
    ----------
    arbiter
        Takes the commands (`Arbiter.offer`) and the e-stop (`Arbiter.engage`, `Arbiter.reset`).
    limit_hits
        How often a joint came to be asked beyond its position limits.
    """

    def __init__(
        self, robot: RobotModel, config: ActuatorConfig | None = None, retargeter: Retargeter | None = None
    ) -> None:
        self.robot = robot
        self.config = config or ActuatorConfig()
        self.arbiter = Arbiter(self.config.arbiter)
        self.retargeter = retargeter or Retargeter(robot)
        self.sharer = GazeSharer(robot, self.config.gaze)
        self.limiter = SafetyLimiter(robot, self.config.safety)
        self.limit_hits = 0
        self._neck = [robot.index[name] for name in NECK]
        self._measured: Array | None = None
        self._running = self._was_stopped = False
        self._limited = np.zeros(len(robot.joints), dtype=bool)
        self._last_serial = 0

    def saw_joints(self, positions: ArrayLike, now_s: float) -> None:
        """Take in measured joint angles, rad, shape (25,)."""
        self._measured = np.array(positions, dtype=np.float64)
        self.arbiter.saw_joints(now_s)

    def tick(self, now_s: float, dt_s: float) -> Tick:
        """Return what to send at `now_s`, `dt_s` after the last tick (s)."""
        blocked = self.arbiter.blocked(now_s)
        if blocked is not None and (blocked.state is State.WAITING or self.arbiter.joints_missing(now_s)):
            self._running = False
            return Tick(None, self.arbiter.select(now_s))
        if blocked is not None:
            command = self.limiter.stop(dt_s) if self._running else None
            self._was_stopped = True
            return Tick(command, self.arbiter.select(now_s))
        if not self._running or self._was_stopped:
            try:
                self._start(now_s)
            except CommandRefused as error:
                return Tick(None, Selection(State.WAITING, None, "", str(error)))
        selection = self.arbiter.select(now_s)
        assert selection.vector is not None
        vector = self.sharer.step(selection.vector, self.limiter.position[self._neck], dt_s)
        command = self.limiter.step(self.retargeter.targets(vector), dt_s)
        fresh = selection.serial > self._last_serial
        self._last_serial = max(self._last_serial, selection.serial)
        return Tick(command, selection, self._note_limits(), fresh)

    def _start(self, now_s: float) -> None:
        """Begin at the measured pose, at rest; after a stop that is not over yet, where the brake is."""
        assert self._measured is not None
        if not self._running or self.limiter.at_rest:
            self.limiter.reset(self._measured)
        self.sharer.reset(self.limiter.position[self._neck])
        self.arbiter.begin(self.retargeter.to_expression(self.limiter.position), now_s)
        self._limited[:] = False
        self._running, self._was_stopped = True, False

    def _note_limits(self) -> tuple[str, ...]:
        limited = self.limiter.beyond_limits | self.sharer.beyond_limits
        self.limit_hits += int((limited & ~self._limited).sum())
        self._limited = limited
        return tuple(self.robot.names[i] for i in np.flatnonzero(limited))
