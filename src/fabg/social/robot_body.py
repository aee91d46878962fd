"""The robot that the simulated people meet: where its eyes look, and how its joints obey."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg import expression
from fabg.errors import UsageError
from fabg.geometry import Rows, Triple, rows_from_ypr, turned, turned_back
from fabg.robot.gaze import NECK, GazeSharer, eye_origins
from fabg.robot.model import RobotModel, load_robot
from fabg.robot.retarget import Retargeter
from fabg.robot.safety import SafetyLimiter
from fabg.social.servo import LONGEST_DELAY_S, ServoConfig, ServoModel
from fabg.social.stage import TICK_S, RobotState

Vector = NDArray[np.float64]
Numbers = Vector | Sequence[float]


class EyeGeometry:
    """Where the eyes look, and where they would have to look, by plain numbers for speed.

    The head turns by Rz(yaw) Ry(pitch) Rx(roll) about the base's origin; each eye by its yaw and pitch
    about its centre, as in `fabg.robot.gaze`. Joint angles are rad, shape (25,), in the order of the
    joint table; points are in the base frame, m, shape (3,). Nothing is checked for NaN.

    Two eyes have no common origin: the direction to a point is the mean of the directions in which
    the left and the right eye see it. So a robot that fixates a point with both eyes has no
    error, also when the point is near and to one side.

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
        yaw, pitch = _angles(turned(self._head(q), self._mean_line(q)))
        left, _, right, _ = self._eyes
        return yaw, pitch, q[right] - q[left]

    def direction_to(self, joints: Numbers, point_m: Numbers) -> tuple[float, float]:
        """Return yaw and pitch in the base frame, rad, that `gaze_of` would give with both eyes on a point.

        The eyes are where the neck has them now.
        """
        head = self._head(_plain(joints))
        return _angles(turned(head, self._mean_line_to(head, _triple(point_m))))

    def vergence_demand(self, joints: Numbers, point_m: Numbers) -> float:
        """Return the vergence, rad, that `gaze_of` would give with both eyes on a point."""
        x, y, _ = turned_back(self._head(_plain(joints)), _triple(point_m))
        left, right = self._left_m, self._right_m
        return math.atan2(y - right[1], x - right[0]) - math.atan2(y - left[1], x - left[0])

    def gaze_error(self, joints: Numbers, point_m: Numbers) -> float:
        """Return the angle between where the eyes look and a point, rad; vergence does not count."""
        q = _plain(joints)
        return _between(self._mean_line(q), self._mean_line_to(self._head(q), _triple(point_m)))

    def gaze_errors(self, joints: Numbers, points_m: Iterable[Numbers]) -> list[float]:
        """Return `gaze_error` for each of several points."""
        q = _plain(joints)
        head, line = self._head(q), self._mean_line(q)
        return [_between(line, self._mean_line_to(head, _triple(point))) for point in points_m]

    def _head(self, q: Sequence[float]) -> Rows:
        yaw, pitch, roll = self._neck
        return rows_from_ypr(q[yaw], q[pitch], q[roll])

    def _mean_line(self, q: Sequence[float]) -> Triple:
        """Return the sum of both eyes' directions in the head's frame."""
        left_yaw, left_pitch, right_yaw, right_pitch = (q[i] for i in self._eyes)
        level_left, level_right = math.cos(left_pitch), math.cos(right_pitch)
        return (
            math.cos(left_yaw) * level_left + math.cos(right_yaw) * level_right,
            math.sin(left_yaw) * level_left + math.sin(right_yaw) * level_right,
            -math.sin(left_pitch) - math.sin(right_pitch),
        )

    def _mean_line_to(self, head: Rows, point: Triple) -> Triple:
        """Return the sum of the directions from both eyes to a point, in the head's frame."""
        x, y, z = turned_back(head, point)
        x_sum = y_sum = z_sum = 0.0
        for origin_x, origin_y, origin_z in (self._left_m, self._right_m):
            dx, dy, dz = x - origin_x, y - origin_y, z - origin_z
            distance = math.sqrt(dx * dx + dy * dy + dz * dz) or 1.0
            x_sum += dx / distance
            y_sum += dy / distance
            z_sum += dz / distance
        return x_sum, y_sum, z_sum


class SimulatedRobot:
    """Expressions in, joints out, one control period at a time: the real graph's way without ROS.

    As in `fabg.robot.actuator.Actuator`, eyes and neck share the gaze, the expression becomes joint
    angles, and these pass the position, velocity, acceleration and jerk limits; `ServoModel` obeys them
    in place of the twin. Measured with either at the end of this way, on random expressions that jump
    every half second: the joints lie within 6 mrad of each other, 1.1 mrad rms, and the gaze within
    10 mrad, 1.7 mrad rms. One step takes 70 us, a sixth of it in the servos.

    Parameters
    ----------
    robot
        Joint table; the package's own by default.
    servo
        What the servos are like; by default those of the twin.

    Attributes
    ----------
    eyes
        Where the eyes look for given joints.
    servos
        The joints.
    """

    def __init__(self, robot: RobotModel | None = None, servo: ServoConfig | None = None) -> None:
        self.robot = robot or load_robot()
        self.eyes = EyeGeometry(self.robot)
        self.servos = ServoModel(self.robot, servo)
        self._sharer = GazeSharer(self.robot)
        self._retargeter = Retargeter(self.robot)
        self._limiter = SafetyLimiter(self.robot)
        self._neck = [self.robot.index[name] for name in NECK]

    def reset(self) -> RobotState:
        """Return to the neutral pose, at rest, with no command on its way."""
        neutral = self.robot.neutral
        self._limiter.reset(neutral)
        self._sharer.reset(neutral[self._neck])
        self.servos.reset(neutral)
        return self._state(neutral.copy(), neutral.copy())

    def step(self, vector: ArrayLike, delay_s: float = 0.0) -> RobotState:
        """Obey an expression for one tick of `TICK_S`, and return the state at its end.

        What the state calls wanted is what the expression itself asks for, before the gaze is shared.

        Parameters
        ----------
        vector
            Wanted expression, shape (61,).
        delay_s
            From this tick's start until the servos have its command, s; the servos' own delay comes on
            top. A command that comes after a later one is dropped.

        Raises
        ------
        CommandRefused
            When the vector has not 61 finite numbers; nothing changes.
        UsageError
            When the delay is not 0 to 10 s; nothing changes.
        """
        if not 0.0 <= delay_s <= LONGEST_DELAY_S:  # also refuses NaN
            raise UsageError(f"delay_s is {delay_s}: expected 0 to {LONGEST_DELAY_S} s")
        asked = expression.checked(vector)
        wanted = self._retargeter.targets(asked)
        followed = self._sharer.step(asked, self._limiter.position[self._neck], TICK_S)
        target = self._limiter.step(self._retargeter.targets(followed), TICK_S)
        self.servos.command(target, self.servos.now_s + delay_s)
        self.servos.advance(TICK_S)
        return self._state(wanted, target)

    def _state(self, wanted: Vector, target: Vector) -> RobotState:
        joints = self.servos.positions()
        return RobotState(joints, wanted, target, *self.eyes.gaze_of(joints))


def _plain(values: Numbers) -> Sequence[float]:
    return values.tolist() if isinstance(values, np.ndarray) else values


def _triple(point_m: Numbers) -> Triple:
    x, y, z = _plain(point_m)
    return x, y, z


def _angles(line: Triple) -> tuple[float, float]:
    x, y, z = line
    return math.atan2(y, x), math.atan2(-z, math.sqrt(x * x + y * y))


def _between(a: Triple, b: Triple) -> float:
    """Return the angle between two vectors, exact also when it is small."""
    (ax, ay, az), (bx, by, bz) = a, b
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return math.atan2(math.sqrt(cx * cx + cy * cy + cz * cz), ax * bx + ay * by + az * bz)
