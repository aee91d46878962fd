"""Whom and what the robot attends to, and which of their shapes it answers.

One set of rules for the demonstrator, who knows the truth, and for policies, which know what was seen:

1. The person who looks at the robot, the nearest of several; else the one attended last; else the nearest.
2. That person's extended hand wins over their face. UP, DOWN, LEFT and RIGHT send the gaze that way, a
   finger pointed at the robot draws it to its tip, any other hand to its palm.
3. Without such a hand the robot looks between their eyes.
4. Mouth, jaw, brows, widened eyes and cheeks are answered as a mirror would; blinks and eye movements are not.

Everything is in the robot's base frame, m and rad.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.perception.types import Gesture

Vector = NDArray[np.float64]
Numbers = Vector | Sequence[float]

EYES_M = (0.093, 0.0, 0.086)
"""Middle between the robot's eyes with the head straight, m."""

LOOK_RAD = math.radians(12.0)
"""A gaze that passes the robot's eyes by no more than this angle is a look at the robot."""

DIRECTION_REACH_M = 1.5
"""How far off the point lies to which a direction sends the gaze, m."""

DIRECTION_YAW_RAD = math.radians(20.0)
DIRECTION_PITCH_RAD = math.radians(15.0)

_ANSWERED_PREFIXES = ("mouth", "jaw", "brow", "eyeWide", "cheek")


def _aside(yaw: float, pitch: float) -> Vector:
    x, y, z = EYES_M
    point = np.array(
        [
            x + DIRECTION_REACH_M * math.cos(yaw) * math.cos(pitch),
            y + DIRECTION_REACH_M * math.sin(yaw) * math.cos(pitch),
            z - DIRECTION_REACH_M * math.sin(pitch),
        ]
    )
    point.setflags(write=False)
    return point


_DIRECTIONS: Mapping[int, Vector] = {
    Gesture.UP: _aside(0.0, -DIRECTION_PITCH_RAD),
    Gesture.DOWN: _aside(0.0, DIRECTION_PITCH_RAD),
    Gesture.LEFT: _aside(DIRECTION_YAW_RAD, 0.0),
    Gesture.RIGHT: _aside(-DIRECTION_YAW_RAD, 0.0),
}


class Candidate(NamedTuple):
    """Somebody who could be attended to."""

    id: str
    distance_m: float
    looks: bool
    """Whether they look at the robot."""


def direction_target(gesture: Gesture) -> Vector | None:
    """Return the point to which a direction sends the gaze, (3,) and read-only; None for other gestures."""
    return _DIRECTIONS.get(gesture)


def hand_target(gesture: Gesture, position_m: Vector, tip_m: Vector) -> Vector:
    """Return where an extended hand draws the gaze.

    Parameters
    ----------
    gesture
        What the hand says.
    position_m, tip_m
        Middle of the palm and tip of the index finger, (3,).

    Returns
    -------
    Point, (3,); one of the arguments itself, or a read-only point for a direction.
    """
    aside = _DIRECTIONS.get(gesture)
    if aside is not None:
        return aside
    return tip_m if gesture == Gesture.POINTING else position_m


def foremost(positions_m: Sequence[Numbers]) -> int | None:
    """Return which of several extended hands (3,) counts: the one nearest to the robot's eyes; None of none."""
    best, least = None, math.inf
    for i, position in enumerate(positions_m):
        distance = distance_m(position)
        if distance < least:
            best, least = i, distance
    return best


def distance_m(point_m: Numbers) -> float:
    """Return the distance of a point (3,) from the robot's eyes, m."""
    return math.dist((float(point_m[0]), float(point_m[1]), float(point_m[2])), EYES_M)


def gaze_miss(position_m: Vector, gaze: Vector) -> float:
    """Return by which angle a gaze misses the robot's eyes, rad.

    Parameters
    ----------
    position_m
        Where the person's eyes are (the sellion), (3,).
    gaze
        Direction of their gaze, (3,), of any positive length.
    """
    dx = EYES_M[0] - float(position_m[0])
    dy = EYES_M[1] - float(position_m[1])
    dz = EYES_M[2] - float(position_m[2])
    gx, gy, gz = float(gaze[0]), float(gaze[1]), float(gaze[2])
    along = dx * gx + dy * gy + dz * gz
    across = math.hypot(dy * gz - dz * gy, dz * gx - dx * gz, dx * gy - dy * gx)
    return math.atan2(across, along)


def looks_at_robot(position_m: Vector, gaze: Vector | None, within_rad: float = LOOK_RAD) -> bool:
    """Return whether a person at `position_m` (3,) looks at the robot; an unknown gaze does not."""
    return gaze is not None and gaze_miss(position_m, gaze) <= within_rad


def attended(candidates: Iterable[Candidate], last: str | None) -> str | None:
    """Return the id of the person to attend to; None when there is nobody.

    Parameters
    ----------
    candidates
        Everybody in sight.
    last
        Who was attended before.
    """
    looking: Candidate | None = None
    nearest: Candidate | None = None
    keeps = False
    for one in candidates:
        keeps = keeps or one.id == last
        if nearest is None or one.distance_m < nearest.distance_m:
            nearest = one
        if one.looks and (looking is None or one.distance_m < looking.distance_m):
            looking = one
    if looking is not None:
        return looking.id
    if keeps:
        return last
    return nearest.id if nearest is not None else None


ANSWERED: Vector = np.array([float(name.startswith(_ANSWERED_PREFIXES)) for name in expression.SHAPES])
"""1 for a shape that is answered, 0 for one that is not, (52,)."""
ANSWERED.setflags(write=False)

_SWAPPED = expression.mirrored(np.arange(expression.SIZE, dtype=np.float64))[: expression.N_SHAPES].astype(
    int
)


def answer_shapes(shapes: Vector) -> Vector:
    """Return the robot's answer to a person's 52 shapes: as in a mirror, what is not answered at 0.

    The answer is the robot's own shapes: what their left side does, its right side does.
    """
    return shapes[_SWAPPED] * ANSWERED
