"""Eyes and neck share the gaze: the eyes are there first, the neck follows, the eyes give way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.geometry import Triple, rotation_from_ypr, rows_from_ypr, turned, turned_back
from fabg.robot.model import RobotModel

Array = NDArray[np.float64]

NECK = ("neck_yaw", "neck_pitch", "neck_roll")
_EYES = (expression.LEFT_EYE, expression.RIGHT_EYE)
_EYE_JOINTS = (("eye_left_yaw", "eye_left_pitch"), ("eye_right_yaw", "eye_right_pitch"))


def direction(yaw: float, pitch: float) -> Array:
    """Return the unit vector of a gaze (rad: yaw to the left, pitch down), shape (3,)."""
    return np.array(_line(yaw, pitch))


def yaw_pitch(vector: ArrayLike) -> tuple[float, float]:
    """Return (yaw, pitch) in rad of a vector (3,) of any positive length."""
    x, y, z = (float(v) for v in np.asarray(vector))
    return _yaw_pitch((x, y, z))


def _line(yaw: float, pitch: float) -> Triple:
    level = math.cos(pitch)
    return math.cos(yaw) * level, math.sin(yaw) * level, -math.sin(pitch)


def _yaw_pitch(vector: Triple) -> tuple[float, float]:
    x, y, z = vector
    return math.atan2(y, x), math.atan2(-z, math.hypot(x, y))


@dataclass(frozen=True)
class Fixation:
    """Eye and head angles that look at one point, rad: (yaw, pitch) each; eyes relative to the head."""

    left: tuple[float, float]
    right: tuple[float, float]
    head: tuple[float, float]

    def into(self, vector: ArrayLike) -> expression.Vector:
        """Return `vector` (61,) with these eye and head angles; the head's roll stays."""
        out = np.array(vector, dtype=np.float64)
        out[expression.LEFT_EYE] = (*self.left, 0.0)
        out[expression.RIGHT_EYE] = (*self.right, 0.0)
        out[expression.HEAD][:2] = self.head
        return out


def look_at(
    point_m: ArrayLike, robot: RobotModel, *, head_share: float = 0.0, head_roll: float = 0.0
) -> Fixation:
    """Return the angles with which both eyes meet at a point.

    Parameters
    ----------
    point_m
        The point in the robot's base frame, m, shape (3,).
    robot
        Joint table: where the eyes sit, and how far the neck turns.
    head_share
        Share of the direction to the point (seen from between the eyes, head straight) that the
        neck turns to, 0..1.
    head_roll
        Roll of the head, rad.

    Returns
    -------
    Fixation; its eye angles may exceed the eyes' limits when the point lies far aside.

    Raises
    ------
    CommandRefused
        When the point is not finite or not in front of the eyes by at least 1 cm.
    """
    point = np.asarray(point_m, dtype=np.float64)
    middle = np.mean(eye_origins(robot), axis=0)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise CommandRefused(f"cannot look at {point}: expected three finite coordinates in m")
    yaw, pitch = yaw_pitch(point - middle)
    limits = [robot[name] for name in NECK[:2]]
    head = [
        float(np.clip(head_share * a, j.lower, j.upper)) for a, j in zip((yaw, pitch), limits, strict=True)
    ]
    in_head = rotation_from_ypr(head[0], head[1], head_roll).T @ point
    if not in_head[0] > middle[0] + 0.01:
        raise CommandRefused(f"cannot look at {point} m: expected a point in front of the eyes")
    left, right = eye_angles(point, robot, (head[0], head[1], head_roll))
    return Fixation(left, right, (head[0], head[1]))


def eye_angles(
    point_m: ArrayLike, robot: RobotModel, head: tuple[float, float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return (yaw, pitch) of the left and of the right eye that look at a point, rad, relative to the head.

    Parameters
    ----------
    point_m
        The point in the robot's base frame, m, shape (3,).
    robot
        Joint table: where the eyes sit.
    head
        Yaw, pitch and roll of the head, rad.
    """
    in_head = rotation_from_ypr(*head).T @ np.asarray(point_m, dtype=np.float64)
    left, right = (yaw_pitch(in_head - eye) for eye in eye_origins(robot))
    return left, right


def eye_origins(robot: RobotModel) -> tuple[Array, Array]:
    """Return where the left and the right eye sit in the head, m, shape (3,) each."""
    left, right = (np.array(robot[yaw].origin) for yaw, _ in _EYE_JOINTS)
    return left, right


@dataclass(frozen=True, kw_only=True)
class GazeConfig:
    """How eyes and neck share the gaze.

    Attributes
    ----------
    neck_lag_s
        Time constant with which the neck follows, s; 0 lets it move at once.
    comfort_yaw_rad, comfort_pitch_rad
        Eyes that would rest further aside than this leave the excess to the neck.
    """

    neck_lag_s: float = 0.2
    comfort_yaw_rad: float = 0.35
    comfort_pitch_rad: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 <= self.neck_lag_s <= 5.0:
            raise ConfigError(f"neck_lag_s is {self.neck_lag_s}: expected 0 to 5 s")
        for name in ("comfort_yaw_rad", "comfort_pitch_rad"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected above 0, at most 1 rad")


class GazeSharer:
    """Keeps the commanded gaze in space while the neck comes after.

    The direction in which each eye is to look, seen from the torso, follows from the commanded
    head and eye angles. It is kept: the eyes are turned by what the neck lacks (the vestibulo-ocular
    reflex), within their limits.

    Attributes
    ----------
    beyond_limits
        Which joints would have had to leave their limits in the last step, shape (25,); eyes and
        neck alone can be True.
    """

    def __init__(self, robot: RobotModel, config: GazeConfig | None = None) -> None:
        self.config = config or GazeConfig()
        self._neck_rows = [robot.index[name] for name in NECK]
        self._eye_rows = [[robot.index[name] for name in pair] for pair in _EYE_JOINTS]
        self._limits = list(zip(robot.lower.tolist(), robot.upper.tolist(), strict=True))
        self.reset(np.zeros(3))

    def reset(self, neck: ArrayLike) -> None:
        """Start with the neck at (yaw, pitch, roll), rad."""
        self._neck: list[float] = np.array(neck, dtype=np.float64).tolist()
        self.beyond_limits = np.zeros(len(self._limits), dtype=bool)

    def step(self, vector: ArrayLike, neck: ArrayLike, dt_s: float) -> expression.Vector:
        """Return `vector` with the head following and the eyes making up for it.

        Parameters
        ----------
        vector
            Wanted expression, shape (61,).
        neck
            Where the neck is (commanded or measured): yaw, pitch, roll in rad.
        dt_s
            Time since the last step, s.

        Returns
        -------
        Expression whose eye angles, relative to the neck *as it is*, look where `vector` looks.
        """
        # Plain numbers: every tick comes through here, and arrays of three cost more than the arithmetic.
        out = np.array(vector, dtype=np.float64)
        head: list[float] = out[expression.HEAD].tolist()
        eyes: list[list[float]] = [out[eye].tolist() for eye in _EYES]

        torso = rows_from_ypr(*head)
        neck_now = rows_from_ypr(*np.asarray(neck, dtype=np.float64).tolist())
        for eye, (yaw, pitch, _), rows in zip(_EYES, eyes, self._eye_rows, strict=True):
            line = turned_back(neck_now, turned(torso, _line(yaw, pitch)))
            for k, angle in enumerate(_yaw_pitch(line)):
                out[eye.start + k] = self._limited(angle, rows[k])

        lag = self.config.neck_lag_s
        share = 1.0 - math.exp(-dt_s / lag) if lag > 0 else 1.0
        (left_yaw, left_pitch, _), (right_yaw, right_pitch, _) = eyes
        head[0] += _beyond((left_yaw + right_yaw) / 2, self.config.comfort_yaw_rad)
        head[1] += _beyond((left_pitch + right_pitch) / 2, self.config.comfort_pitch_rad)
        for k, row in enumerate(self._neck_rows):
            self._neck[k] += share * (self._limited(head[k], row) - self._neck[k])
            out[expression.HEAD.start + k] = self._neck[k]
        return out

    def _limited(self, angle: float, row: int) -> float:
        lower, upper = self._limits[row]
        clipped = min(max(angle, lower), upper)
        self.beyond_limits[row] = abs(angle - clipped) > 1e-6
        return clipped


def _beyond(angle: float, comfort: float) -> float:
    """Return by how much an angle lies outside of ±comfort."""
    return angle - min(max(angle, -comfort), comfort)
