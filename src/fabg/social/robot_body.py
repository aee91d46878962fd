"""The robot that the simulated people meet: where its eyes look, and how its joints obey."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fabg.robot.gaze import NECK, eye_origins
from fabg.robot.model import RobotModel, load_robot

Vector = NDArray[np.float64]
Numbers = Vector | Sequence[float]

_Triple = tuple[float, float, float]


class EyeGeometry:
    """Where the eyes look, and where they would have to look, by plain numbers for speed.

    The head turns by Rz(yaw) Ry(pitch) Rx(roll) about the base's origin; each eye by its yaw and pitch
    about its centre, as in `fabg.robot.gaze`. Joint angles are rad, shape (25,), in the order of the
    joint table; points are in the base frame, m, shape (3,). Nothing is checked for NaN.

    Two eyes have no common origin: the direction to a point is the mean of the directions in which
    the left and the right eye see it. So a robot that fixates a point with both eyes has an error of
    exactly 0, also when the point is near and to one side.

    Parameters
    ----------
    robot
        Joint table; the package's own by default.
    """

    def __init__(self, robot: RobotModel | None = None) -> None:
        robot = robot or load_robot()
        self._neck = tuple(robot.index[name] for name in NECK)
        self._eyes = tuple(
            robot.index[f"eye_{side}_{axis}"] for side in ("left", "right") for axis in ("yaw", "pitch")
        )
        self._left_m, self._right_m = (tuple(origin.tolist()) for origin in eye_origins(robot))

    def gaze_of(self, joints: Numbers) -> tuple[float, float, float]:
        """Return where the eyes look: yaw (left), pitch (down) of their mean direction, and vergence, rad.

        The direction is in the base frame. The vergence is the right eye's yaw less the left one's:
        > 0 when they meet in front.
        """
        q = _plain(joints)
        x, y, z = self._mean_line(q)
        a, b, c, d, e, f, g, h, i = self._head(q)
        right, left = q[self._eyes[2]], q[self._eyes[0]]
        yaw, pitch = _angles(a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z)
        return yaw, pitch, right - left

    def direction_to(self, joints: Numbers, point_m: Numbers) -> tuple[float, float]:
        """Return yaw and pitch in the base frame, rad, that `gaze_of` would give with both eyes on a point.

        The eyes are where the neck has them now.
        """
        head = self._head(_plain(joints))
        x, y, z = self._mean_line_to(head, _plain(point_m))
        a, b, c, d, e, f, g, h, i = head
        return _angles(a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z)

    def vergence_demand(self, joints: Numbers, point_m: Numbers) -> float:
        """Return the vergence, rad, that `gaze_of` would give with both eyes on a point."""
        x, y, _ = _into(self._head(_plain(joints)), _plain(point_m))
        left, right = self._left_m, self._right_m
        return math.atan2(y - right[1], x - right[0]) - math.atan2(y - left[1], x - left[0])

    def gaze_error(self, joints: Numbers, point_m: Numbers) -> float:
        """Return the angle between where the eyes look and a point, rad; vergence does not count."""
        q = _plain(joints)
        return _between(self._mean_line(q), self._mean_line_to(self._head(q), _plain(point_m)))

    def gaze_errors(self, joints: Numbers, points_m: Iterable[Numbers]) -> list[float]:
        """Return `gaze_error` for each of several points."""
        q = _plain(joints)
        head, line = self._head(q), self._mean_line(q)
        return [_between(line, self._mean_line_to(head, _plain(point))) for point in points_m]

    def _head(self, q: Sequence[float]) -> tuple[float, ...]:
        """Return the head's rotation in the base, row by row."""
        yaw, pitch, roll = (q[i] for i in self._neck)
        cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
        cr, sr = math.cos(roll), math.sin(roll)
        return (
            cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr,
            sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr,
            -sp, cp * sr, cp * cr,
        )  # fmt: skip

    def _mean_line(self, q: Sequence[float]) -> _Triple:
        """Return the sum of both eyes' directions in the head's frame."""
        left_yaw, left_pitch, right_yaw, right_pitch = (q[i] for i in self._eyes)
        level_left, level_right = math.cos(left_pitch), math.cos(right_pitch)
        return (
            math.cos(left_yaw) * level_left + math.cos(right_yaw) * level_right,
            math.sin(left_yaw) * level_left + math.sin(right_yaw) * level_right,
            -math.sin(left_pitch) - math.sin(right_pitch),
        )

    def _mean_line_to(self, head: Sequence[float], point: Sequence[float]) -> _Triple:
        """Return the sum of the directions from both eyes to a point, in the head's frame."""
        x, y, z = _into(head, point)
        x_sum = y_sum = z_sum = 0.0
        for origin_x, origin_y, origin_z in (self._left_m, self._right_m):
            dx, dy, dz = x - origin_x, y - origin_y, z - origin_z
            distance = math.sqrt(dx * dx + dy * dy + dz * dz) or 1.0
            x_sum += dx / distance
            y_sum += dy / distance
            z_sum += dz / distance
        return x_sum, y_sum, z_sum


def _plain(values: Numbers) -> Sequence[float]:
    return values.tolist() if isinstance(values, np.ndarray) else values


def _into(head: Sequence[float], point: Sequence[float]) -> _Triple:
    """Return a point of the base frame in the head's frame."""
    x, y, z = point
    a, b, c, d, e, f, g, h, i = head
    return a * x + d * y + g * z, b * x + e * y + h * z, c * x + f * y + i * z


def _angles(x: float, y: float, z: float) -> tuple[float, float]:
    return math.atan2(y, x), math.atan2(-z, math.sqrt(x * x + y * y))


def _between(a: _Triple, b: _Triple) -> float:
    """Return the angle between two vectors, exact also when it is small."""
    (ax, ay, az), (bx, by, bz) = a, b
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return math.atan2(math.sqrt(cx * cx + cy * cy + cz * cz), ax * bx + ay * by + az * bz)
