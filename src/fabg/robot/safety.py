"""Position, velocity, acceleration and jerk limits: nothing reaches a servo but through here.

Each tick a time-optimal jerk-limited trajectory from the present state to the target is computed
(Berscheid and Kröger 2021, "Jerk-limited real-time trajectory generation with arbitrary target
states", the `ruckig` library) and followed for one tick. It ends at rest, so a target within the
position limits keeps the whole way within them, also when the target changes half way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import ruckig
from numpy.typing import ArrayLike, NDArray

from fabg.errors import CommandRefused, ConfigError
from fabg.robot.model import RobotModel

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SafetyConfig:
    """How the limits of the joint table are applied.

    Attributes
    ----------
    speed
        Share of the velocity, acceleration and jerk limits to use, 0..1.
    max_dt_s
        A tick that comes late is taken for this long at most: no leap after a stall.
    start_tolerance_rad
        A measured pose further outside the limits than this is refused as a start.
    """

    speed: float = 1.0
    max_dt_s: float = 0.04
    start_tolerance_rad: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.speed <= 1.0:
            raise ConfigError(f"speed is {self.speed}: expected above 0, at most 1")
        for name in ("max_dt_s", "start_tolerance_rad"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected between 0 and 1")


class SafetyLimiter:
    """Follows a target as fast as the limits allow, and never faster.

    Parameters
    ----------
    robot
        Joint table with the limits.
    config
        How to apply them.

    Attributes
    ----------
    fallbacks
        Ticks in which no new trajectory was found and the last one was followed on.
    """

    def __init__(self, robot: RobotModel, config: SafetyConfig | None = None) -> None:
        self.robot = robot
        self.config = config or SafetyConfig()
        n = len(robot.joints)
        self._generator = ruckig.Ruckig(n)
        # Two, so that a failed calculation leaves the trajectory in use as it was.
        self._trajectory, self._spare = ruckig.Trajectory(n), ruckig.Trajectory(n)
        self._along_s: float | None = None
        self.fallbacks = 0
        self._input = ruckig.InputParameter(n)
        self._input.synchronization = ruckig.Synchronization.No
        self._input.max_velocity = (robot.max_velocity * self.config.speed).tolist()
        self._input.max_acceleration = (robot.max_acceleration * self.config.speed).tolist()
        self._input.max_jerk = (robot.max_jerk * self.config.speed).tolist()
        self._full_speed = 0.999 * robot.max_velocity * self.config.speed
        self._lower, self._upper = robot.lower, robot.upper
        self.reset(robot.neutral)

    @property
    def position(self) -> Array:
        """Present command, rad, shape (25,)."""
        return self._position.copy()

    @property
    def velocity(self) -> Array:
        """Present velocity, rad/s, shape (25,)."""
        return np.array(self._velocity)

    @property
    def at_rest(self) -> bool:
        """True when nothing moves."""
        return not (max(map(abs, self._velocity)) > 1e-9 or max(map(abs, self._acceleration)) > 1e-6)

    @property
    def beyond_limits(self) -> NDArray[np.bool_]:
        """Which joints' targets lay outside the position limits in the last tick, shape (25,)."""
        return np.abs(self._excess) > 1e-9

    @property
    def at_full_speed(self) -> NDArray[np.bool_]:
        """Which joints ran at their velocity limit at the end of the last tick, shape (25,)."""
        return np.abs(self._velocity) >= self._full_speed

    def reset(self, measured: ArrayLike) -> None:
        """Start from a measured pose (rad, shape (25,)) at rest.

        Raises
        ------
        CommandRefused
            When a value is not finite, or lies outside the limits by more than the tolerance: a
            servo that reads so needs a look before it is driven.
        """
        start = self.robot.checked(measured, "measured pose")
        clipped = np.clip(start, self._lower, self._upper)
        outside = np.abs(start - clipped) > self.config.start_tolerance_rad
        if outside.any():
            i = int(np.argmax(outside))
            raise CommandRefused(
                f"joint {self.robot.names[i]} was measured at {start[i]:.3f} rad: expected "
                f"{self._lower[i]} to {self._upper[i]}; check its calibration"
            )
        self._position = clipped
        # Lists, as the trajectory takes and gives them: this runs each tick.
        self._velocity = [0.0] * len(clipped)
        self._acceleration = [0.0] * len(clipped)
        self._along_s = None
        self._excess = np.zeros_like(clipped)

    def step(self, target: ArrayLike, dt_s: float) -> Array:
        """Move towards `target` for one tick.

        Parameters
        ----------
        target
            Wanted joint angles, rad, shape (25,); clipped to the limits.
        dt_s
            Time since the last tick, s; taken as `max_dt_s` when longer.

        Returns
        -------
        Joint angles to command, rad, shape (25,).

        Raises
        ------
        CommandRefused
            When the target has not 25 finite numbers or `dt_s` is not positive; the state is kept.
        """
        wanted = self.robot.checked(target, "target")
        dt_s = self._checked_dt(dt_s)
        clipped = self._within(wanted)
        self._excess = wanted - clipped
        self._input.control_interface = ruckig.ControlInterface.Position
        self._input.target_position = clipped.tolist()
        return self._advance(dt_s)

    def stop(self, dt_s: float) -> Array:
        """Brake as fast as acceleration and jerk limits allow for one tick; then hold.

        Parameters and errors as in `step`.
        """
        dt_s = self._checked_dt(dt_s)
        self._excess = np.zeros_like(self._position)
        if self.at_rest:
            return self.position
        self._input.control_interface = ruckig.ControlInterface.Velocity
        return self._advance(dt_s)

    def _advance(self, dt_s: float) -> Array:
        self._input.current_position = self._position.tolist()
        self._input.current_velocity = self._velocity
        self._input.current_acceleration = self._acceleration
        try:
            self._generator.calculate(self._input, self._spare)
            self._trajectory, self._spare = self._spare, self._trajectory
            self._along_s = dt_s
        except ruckig.RuckigError:
            # A state exactly between two kinds of profile can defeat the solver (seen once in
            # millions). The last trajectory is within the limits and ends at rest: follow it on.
            self.fallbacks += 1
            if self._along_s is None:
                return self.position
            self._along_s += dt_s
        position, self._velocity, self._acceleration = self._trajectory.at_time(self._along_s)
        # Rounding alone can leave the limits by some 1e-16.
        self._position = self._within(np.array(position))
        return self.position

    def _within(self, position: Array) -> Array:
        """Clip to the position limits; np.clip takes three times as long."""
        return np.minimum(np.maximum(position, self._lower), self._upper)

    def _checked_dt(self, dt_s: float) -> float:
        if not (math.isfinite(dt_s) and dt_s > 0.0):
            raise CommandRefused(f"dt_s is {dt_s}: expected a positive number")
        return min(float(dt_s), self.config.max_dt_s)
