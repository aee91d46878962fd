"""Angles that a person can read, in degrees: yaw > 0 to the own left, pitch > 0 down, roll > 0 to the own right."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fabg.geometry import FACING, ypr_from_rotation


def head_deg(pose: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return yaw, pitch and roll of a head pose (4, 4) in the camera's optical frame; 0, 0, 0 is `FACING`."""
    yaw, pitch, roll = ypr_from_rotation(FACING.T @ pose[:3, :3])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def ray_deg(direction: NDArray[np.float64]) -> tuple[float, float]:
    """Return yaw and pitch of a unit vector (3,) in the camera's optical frame; 0, 0 is against its axis."""
    x, y, z = FACING.T @ direction
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(-z, math.hypot(x, y)))
