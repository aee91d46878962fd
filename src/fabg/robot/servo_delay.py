"""How late the servos have their commands, measured from what is there anyway: commands and joint states.

The commands are passed through the servo as built (the critically damped position loop of `fabg.robot.mjcf`);
how far the measured joints are behind that is the delay on the way. Found where the speeds of both correlate
best, over all joints that moved; a parabola through the three best gives it finer than the samples are
(Knapp and Carter 1976, "The generalized correlation method for estimation of time delay").

No clock: times are the stamps of commands and joint states, s, both on the same clock.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import CommandRefused, ConfigError
from fabg.robot.mjcf import SERVO_BANDWIDTH_RAD_S
from fabg.robot.model import RobotModel, load_robot

Array = NDArray[np.float64]

STEP_S = 0.005
"""Grid on which the path of the commands is known, s."""

SHORTEST_S = 1.0
"""An answer needs joint states over this time, s."""

EVERY_S = 0.5
"""The answer is found anew when joint states are this much newer, s."""

MOVED = 0.05
"""A joint counts when it moved by this share of its range within the window."""

LIKENESS = 0.6
"""Correlation below which the joints do something else than was commanded."""

_APART_S = 1e-3  # samples nearer to the last one than this add nothing
_STRIDE = 2  # delays are tried in so many steps
_BEYOND = 2 * _STRIDE  # steps tried on either side of the delays that count


class ServoDelay:
    """Measures the delay between commands and servos while the robot moves.

    Parameters
    ----------
    robot
        Joint table; the package's own by default.
    window_s
        The answer is about the last so many seconds, 1 to 60.
    longest_s
        No delay is longer, 0.05 to 2 s.

    Raises
    ------
    ConfigError
        When a parameter is out of range.
    """

    def __init__(
        self, robot: RobotModel | None = None, *, window_s: float = 4.0, longest_s: float = 0.5
    ) -> None:
        if not 1.0 <= window_s <= 60.0:
            raise ConfigError(f"window_s is {window_s}: expected 1 to 60 s")
        if not 0.05 <= longest_s <= 2.0:
            raise ConfigError(f"longest_s is {longest_s}: expected 0.05 to 2 s")
        self.robot = robot or load_robot()
        self.window_s, self.longest_s = window_s, longest_s
        self._range = self.robot.upper - self.robot.lower
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        keep_s = self.window_s + self.longest_s + 0.1
        self._commands, self._nominal, self._joints = _Track(keep_s), _Track(keep_s), _Track(self.window_s)
        self._servo: _Servo | None = None
        self._answers: dict[_Track, tuple[float, float | None]] = {}

    def add_command(self, time_s: float, angles: ArrayLike) -> None:
        """Take the servo targets (25,), rad, sent at `time_s` and in force until the next.

        Time that runs back, or a gap longer than `longest_s`, begins anew.

        Raises
        ------
        CommandRefused
            For a time or angle that is not finite, or a wrong number of angles; nothing changes.
        """
        target = self._checked(time_s, angles, "command")
        if not self._goes_on(self._commands, time_s):
            return
        if self._servo is None:
            self._servo = _Servo(self.robot, target)
            self._nominal.add(time_s, target)
        else:
            begun_s, in_force = self._commands.newest
            steps = max(round((time_s - begun_s) / STEP_S), 1)
            for i in range(1, steps + 1):
                share = i / steps
                position = self._servo.step(in_force, (time_s - begun_s) / steps)
                self._nominal.add((1.0 - share) * begun_s + share * time_s, position)
        self._commands.add(time_s, target)

    def add_joints(self, time_s: float, angles: ArrayLike) -> None:
        """Take the joint angles (25,), rad, measured at `time_s`; otherwise as `add_command`."""
        measured = self._checked(time_s, angles, "joint state")
        if self._goes_on(self._joints, time_s):
            self._joints.add(time_s, measured)

    @property
    def lag_s(self) -> float | None:
        """How far the joints are behind their targets, s: delay, servo, and half the pause between commands.

        None when too little moved within the window, or the joints did something else.
        """
        return self._behind(self._commands)

    @property
    def delay_s(self) -> float | None:
        """From a command until the servos have it, s: the lag less that of the servo itself; None as for `lag_s`."""
        return self._behind(self._nominal)

    def _checked(self, time_s: float, angles: ArrayLike, what: str) -> Array:
        if not math.isfinite(time_s):
            raise CommandRefused(f"{what} is stamped {time_s}: expected a finite time in s")
        return self.robot.checked(angles, what)

    def _goes_on(self, track: _Track, time_s: float) -> bool:
        """Tell whether a sample is a new one; begin anew when it does not follow on the last."""
        if not track:
            return True
        since_s = time_s - track.newest[0]
        if not 0.0 <= since_s <= self.longest_s:
            self.reset()
            return True
        return since_s >= _APART_S

    def _behind(self, path: _Track) -> float | None:
        """Return by how much the joints are behind a path, s; found anew every `EVERY_S`."""
        if not (path and self._joints):
            return None
        now_s = self._joints.newest[0]
        found_s, answer = self._answers.get(path, (-math.inf, None))
        if now_s >= found_s + EVERY_S:
            answer = self._best_lag(path)
            self._answers[path] = now_s, answer
        return answer

    def _best_lag(self, path: _Track) -> float | None:
        lags = np.arange(-_BEYOND, self.longest_s / STEP_S + _BEYOND, _STRIDE, dtype=np.int64)
        times, joints = self._joints.arrays()
        grid_s, before = path.on_grid()
        # Which rows of the grid are at the time of a sample, less a lag: as many for each lag.
        at = (times - grid_s) / STEP_S
        usable = (at >= lags[-1]) & (at < len(before) - 1 + lags[0])
        if np.count_nonzero(usable) < 3 or np.ptp(times[usable]) < SHORTEST_S:
            return None
        row = at[usable].astype(np.int64)
        share = (at[usable] - row)[:, None]
        joints = joints[usable]
        least = MOVED * self._range
        moved = (np.ptp(joints, axis=0) > least) & (np.ptp(before, axis=0) > least)
        if not moved.any():
            return None
        moves = np.diff(joints[:, moved] / self._range[moved], axis=0)
        before = before[:, moved] / self._range[moved]
        between = np.diff(before, axis=0)
        likeness = np.empty(len(lags))
        for i, lag in enumerate(lags):
            wanted = np.diff(before[row - lag] + share * between[row - lag], axis=0)
            power = float(np.vdot(wanted, wanted)) * float(np.vdot(moves, moves))
            likeness[i] = float(np.vdot(moves, wanted)) / math.sqrt(max(power, 1e-24))
        best = int(np.argmax(likeness))
        if not 0 < best < len(lags) - 1 or likeness[best] < LIKENESS:
            return None
        left, peak, right = likeness[best - 1 : best + 2]
        bend = left - 2.0 * peak + right
        aside = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
        return float(min(max((lags[best] + aside * _STRIDE) * STEP_S, 0.0), self.longest_s))


class _Servo:
    """The servos as built: a target that moves at rated speed at most, and a critically damped loop behind it."""

    def __init__(self, robot: RobotModel, at: Array) -> None:
        self._omega = np.array([SERVO_BANDWIDTH_RAD_S[joint.group] for joint in robot.joints])
        self._fastest = robot.max_velocity
        self._set = self._position = at
        self._speed = np.zeros_like(at)

    def step(self, target: Array, dt: float) -> Array:
        """Let `dt` seconds pass, and return the positions (25,), rad."""
        w, reach = self._omega, self._fastest * dt
        moved = np.clip(target - self._set, -reach, reach)
        slope = moved / dt
        # Behind a steady ramp the loop settles 2 / w late.
        error = self._position - self._set + 2.0 * slope / w
        rate = self._speed - slope + w * error
        rest = (error + rate * dt) * np.exp(-w * dt)
        self._set = self._set + moved
        self._position = self._set - 2.0 * slope / w + rest
        self._speed = slope + rate * np.exp(-w * dt) - w * rest
        return self._position


class _Track:
    """Rows at rising times, those of the last `keep_s` seconds."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._rows: deque[tuple[float, Array]] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def newest(self) -> tuple[float, Array]:
        return self._rows[-1]

    def add(self, time_s: float, row: Array) -> None:
        self._rows.append((time_s, row))
        while self._rows[0][0] < time_s - self._keep_s:
            self._rows.popleft()

    def arrays(self) -> tuple[Array, Array]:
        times, rows = zip(*self._rows, strict=True)
        return np.array(times), np.array(rows)

    def on_grid(self) -> tuple[float, Array]:
        """Return the time of the first row and rows `STEP_S` apart from there on, linear between samples."""
        times, rows = self.arrays()
        at = times[0] + STEP_S * np.arange(int((times[-1] - times[0]) / STEP_S))
        after = np.searchsorted(times, at, side="right")
        share = ((at - times[after - 1]) / (times[after] - times[after - 1]))[:, None]
        return float(times[0]), (1.0 - share) * rows[after - 1] + share * rows[after]
