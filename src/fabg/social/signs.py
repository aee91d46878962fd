"""What people say with a hand: how it is held for each sign, and where the index finger then ends.

Directions of a hand are (forward, inward, up) for somebody who faces the robot: forward is towards the robot,
inward towards the middle of their own body, so that one table serves both hands. Hand frames are those of
`fabg.social.avatar.poses.HandPose`, in the robot's base frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fabg.geometry import quaternion_from_rotation
from fabg.perception.types import Gesture, Side
from fabg.social.avatar.people import Person
from fabg.social.motion import Point, Quaternion


@dataclass(frozen=True)
class Sign:
    """How a hand is held.

    Attributes
    ----------
    shape
        Name of one of `fabg.social.avatar.poses.HAND_SHAPES`.
    gesture
        What it says.
    fingers, palm
        Where the fingers and the palm point: (forward, inward, up), of any length.
    """

    shape: str
    gesture: Gesture
    fingers: Point
    palm: Point


_INWARD = Sign("point", Gesture.NONE, (0.25, 1.0, 0.12), (-0.9, 0.0, -0.4))
_OUTWARD = Sign("point", Gesture.NONE, (0.25, -1.0, 0.12), (1.0, 0.0, -0.25))

SIGNS: Mapping[str, Sign] = {
    "open": Sign("open", Gesture.OPEN_PALM, (0.2, 0.05, 1.0), (1.0, 0.0, 0.0)),
    "fist": Sign("fist", Gesture.FIST, (0.35, 0.15, 1.0), (1.0, 0.0, 0.0)),
    "up": Sign("point", Gesture.UP, (0.2, 0.0, 1.0), (1.0, 0.2, 0.0)),
    "down": Sign("point", Gesture.DOWN, (0.6, 0.2, -1.0), (-1.0, 0.0, 0.0)),
    "at_robot": Sign("point", Gesture.POINTING, (1.0, 0.0, 0.0), (0.0, 0.55, -1.0)),
    "rest": Sign("relaxed", Gesture.NONE, (0.55, 0.5, 0.65), (-0.5, 0.7, -0.5)),
    "lap": Sign("relaxed", Gesture.NONE, (1.0, 0.25, 0.1), (0.0, 0.3, -1.0)),
}
"""Signs that look the same from both hands; for "left" and "right" see `sign_of`."""

# Distance from the middle of the palm to the tip of the straight index finger, m, as far as descent, sex and age
# (child, young, old) account for it, and what long fingers and large hands add. Fitted to the body's hands.
_REACH: Mapping[tuple[str, str], Point] = {
    ("african", "female"): (0.0988, 0.1225, 0.1265),
    ("african", "male"): (0.1048, 0.1475, 0.1275),
    ("asian", "female"): (0.0924, 0.1096, 0.1100),
    ("asian", "male"): (0.0987, 0.1335, 0.1137),
    ("caucasian", "female"): (0.0952, 0.1180, 0.1223),
    ("caucasian", "male"): (0.1021, 0.1426, 0.1230),
}
_REACH_DETAILS = {
    "fingers-long-": -0.0172,
    "fingers-long+": 0.0445,
    "hand-size-": -0.0242,
    "hand-size+": 0.0389,
}
_USUAL_REACH_M = 0.127

# Tip of a right hand's index finger in the hand frame: for the usual reach, and what each further metre adds.
_TIPS: Mapping[str, tuple[Point, Point]] = {
    "relaxed": ((0.0957, 0.0314, -0.0582), (0.742, 0.169, -0.526)),
    "open": ((0.1221, 0.0431, -0.0018), (0.980, 0.278, -0.004)),
    "fist": ((-0.0039, 0.0268, -0.0181), (-0.192, 0.125, -0.198)),
    "point": ((0.1231, 0.0312, -0.0018), (0.989, 0.166, -0.004)),
}
SHAPES = tuple(_TIPS)
"""The shapes that hands take here."""
POINTING_AXIS: Point = (0.9994, 0.0330, -0.0040)
"""Direction of a right hand's straight index finger in the hand frame."""


def sign_of(name: str, side: Side) -> Sign:
    """Return how a hand makes a sign; "left" and "right" are the robot's, who sits opposite.

    Raises
    ------
    KeyError
        For an unknown name.
    """
    if name in ("left", "right"):
        # The robot's left is the person's right: outward for their right hand, inward for their left one.
        inward = (name == "left") == (side == Side.LEFT)
        held = _INWARD if inward else _OUTWARD
        gesture = Gesture.LEFT if name == "left" else Gesture.RIGHT
        return Sign(held.shape, gesture, held.fingers, held.palm)
    return SIGNS[name]


def in_base(direction: Point, side: Side) -> Point:
    """Return a direction (forward, inward, up) of a hand in the base frame."""
    forward, inward, up = direction
    # Forward is -x; the right hand's inward is the person's left, which is -y.
    return -forward, (-inward if side == Side.RIGHT else inward), up


def turn_of(fingers: Point, palm: Point) -> Quaternion:
    """Return the rotation of a hand whose fingers and palm point in these directions of the base frame.

    The palm gives way when the two are not at a right angle; they must not be parallel.
    """
    x = _unit(fingers)
    back = (-palm[0], -palm[1], -palm[2])
    y = _unit(_cross(back, x))
    z = _cross(x, y)
    qx, qy, qz, qw = quaternion_from_rotation([[x[i], y[i], z[i]] for i in range(3)])
    return qw, qx, qy, qz


def reach_of(person: Person) -> float:
    """Return the distance from the middle of somebody's palm to the tip of their straight index finger, m."""
    weights = dict(person.identity)
    reach = sum(add * weights.get(name, 0.0) for name, add in _REACH_DETAILS.items())
    for (people, sex), by_age in _REACH.items():
        for age, length in zip(("child", "young", "old"), by_age, strict=True):
            reach += length * weights.get(f"{people}-{sex}-{age}", 0.0)
    return reach


def tip_of(shape: str, side: Side, reach_m: float) -> Point:
    """Return the tip of the index finger in the hand frame, m; as drawn, within 1 cm (2 cm for a fist)."""
    base, slope = _TIPS[shape]
    more = reach_m - _USUAL_REACH_M
    x, y, z = (b + s * more for b, s in zip(base, slope, strict=True))
    return x, (y if side == Side.RIGHT else -y), z


def _cross(a: Point, b: Point) -> Point:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _unit(a: Point) -> Point:
    length = math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])
    return a[0] / length, a[1] / length, a[2] / length
