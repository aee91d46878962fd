"""Rotations and poses. Angles in rad, quaternions as (x, y, z, w), poses as 4 x 4 matrices.

Yaw, pitch and roll follow REP-103: R = Rz(yaw) Ry(pitch) Rx(roll), x forward, y left, z up, so a
positive pitch looks down and a positive roll tilts to the own right.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]
Triple = tuple[float, float, float]
Rows = tuple[Triple, Triple, Triple]

OPTICAL_FROM_BODY: Matrix = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""Rotation from a body frame (x forward, y left, z up) to its optical frame (z forward, x right, y down)."""


FACING: Matrix = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""Rotation of a head that looks straight back along the optical axis: columns are its x, y, z in the optical frame."""


def rotation_from_ypr(yaw: float, pitch: float, roll: float) -> Matrix:
    """Return the 3 x 3 rotation Rz(yaw) Ry(pitch) Rx(roll)."""
    return np.array(rows_from_ypr(yaw, pitch, roll))


def rows_from_ypr(yaw: float, pitch: float, roll: float) -> Rows:
    """Return the rows of `rotation_from_ypr` as plain numbers.

    For loops that turn a few vectors at a time, where an array of three costs more than the arithmetic.
    """
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    return (
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )


def turned(rows: Rows, vector: Triple) -> Triple:
    """Return the vector turned by a rotation."""
    x, y, z = vector
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z


def turned_back(rows: Rows, vector: Triple) -> Triple:
    """Return the vector turned by the inverse of a rotation."""
    x, y, z = vector
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * x + d * y + g * z, b * x + e * y + h * z, c * x + f * y + i * z


def ypr_from_rotation(rotation: ArrayLike) -> tuple[float, float, float]:
    """Return (yaw, pitch, roll) of a rotation; at pitch = ±90 degrees the roll is 0."""
    r = np.asarray(rotation, dtype=np.float64)
    pitch = math.asin(float(np.clip(-r[2, 0], -1.0, 1.0)))
    if abs(r[2, 0]) > 1.0 - 1e-9:
        return math.atan2(-r[0, 1], r[1, 1]), pitch, 0.0
    return math.atan2(r[1, 0], r[0, 0]), pitch, math.atan2(r[2, 1], r[2, 2])


def quaternion_from_rotation(rotation: ArrayLike) -> tuple[float, float, float, float]:
    """Return the unit quaternion (x, y, z, w) with w >= 0."""
    m = np.asarray(rotation, dtype=np.float64)
    # The largest of the four squared components is taken as the divisor: no loss near 180 degrees.
    squared = np.array(
        [
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
            1 + m[0, 0] + m[1, 1] + m[2, 2],
        ]
    )
    k = int(np.argmax(squared))
    q = np.empty(4)
    if k == 3:
        q[:] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squared[3]
    else:
        a, b, c = k, (k + 1) % 3, (k + 2) % 3
        q[a], q[b], q[c] = squared[k], m[b, a] + m[a, b], m[c, a] + m[a, c]
        q[3] = m[c, b] - m[b, c]
    q /= np.linalg.norm(q)
    if q[3] < 0:
        q = -q
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def rotation_from_quaternion(quaternion: ArrayLike) -> Matrix:
    """Return the 3 x 3 rotation of a quaternion (x, y, z, w) of any positive length."""
    x, y, z, w = np.asarray(quaternion, dtype=np.float64) / float(np.linalg.norm(quaternion))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def pose(rotation: ArrayLike, position: ArrayLike) -> Matrix:
    """Return the 4 x 4 pose of a rotation (3, 3) and a position (3,)."""
    out = np.eye(4)
    out[:3, :3] = rotation
    out[:3, 3] = position
    return out


def inverse(pose_: ArrayLike) -> Matrix:
    """Return the inverse of a rigid 4 x 4 pose."""
    p = np.asarray(pose_, dtype=np.float64)
    return pose(p[:3, :3].T, -p[:3, :3].T @ p[:3, 3])
