"""Where a simulated person's arm goes when their hand is somewhere.

Frames are those of `fabg.social.stage`: the robot's base frame, m.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fabg.perception.types import Side
from fabg.social.stage import FACING_ROBOT, HandState, PersonState

Vector = NDArray[np.float64]

SHOULDER_M = (-0.07, 0.19, -0.26)
"""The left shoulder joint from the sellion, in the axes of somebody who faces the robot (forward, left, up)."""
UPPER_ARM_M, FOREARM_M = 0.30, 0.26
PALM_TO_WRIST_M = 0.07
MOST_WRIST_RAD = math.radians(65.0)
"""The wrist bends no further: the arm then comes from elsewhere than from the shoulder."""
_ELBOW_HANGS = (-0.25, 0.45, -1.0)  # where elbows go: down, a little outwards and back


def forearm(person: PersonState, hand: HandState) -> Vector:
    """Return the direction from wrist to elbow, (3,): as an arm of usual length would reach from the shoulder.

    The elbow hangs as elbows do; where the wrist would have to bend by more than `MOST_WRIST_RAD`, the forearm
    gives way.
    """
    sign = 1.0 if hand.side == Side.LEFT else -1.0
    mirror = np.array([1.0, sign, 1.0])
    shoulder = person.position_m + FACING_ROBOT @ (SHOULDER_M * mirror)
    wrist = hand.pose[:3, 3] - PALM_TO_WRIST_M * hand.pose[:3, 0]
    line = wrist - shoulder
    reach = max(float(np.linalg.norm(line)), 1e-6)
    ahead = line / reach
    # The triangle of shoulder, elbow and wrist; an arm that is too short is stretched.
    along = min(reach, 0.999 * (UPPER_ARM_M + FOREARM_M))
    foot = (UPPER_ARM_M**2 - FOREARM_M**2 + along**2) / (2.0 * along)
    foot = min(max(foot, -UPPER_ARM_M), UPPER_ARM_M)
    height = math.sqrt(UPPER_ARM_M**2 - foot**2)
    hang = FACING_ROBOT @ (_ELBOW_HANGS * mirror)
    hang = hang - ahead * (hang @ ahead)
    hang /= max(float(np.linalg.norm(hang)), 1e-6)
    elbow = shoulder + ahead * foot + hang * height
    towards = elbow - wrist
    return _near(-hand.pose[:3, 0], towards / max(float(np.linalg.norm(towards)), 1e-6))


def _near(straight: Vector, wanted: Vector) -> Vector:
    """Return the unit vector nearest to `wanted` that is within `MOST_WRIST_RAD` of `straight`."""
    cosine = float(straight @ wanted)
    if cosine >= math.cos(MOST_WRIST_RAD):
        return wanted
    across = wanted - cosine * straight
    length = float(np.linalg.norm(across))
    if length < 1e-6:
        return straight
    return math.cos(MOST_WRIST_RAD) * straight + math.sin(MOST_WRIST_RAD) * across / length
