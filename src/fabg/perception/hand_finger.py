"""An index finger that points at the camera: where a depth image sees its tip, and the palm behind it.

The landmark net tells the joints of such a hand well in the image and badly along the ray: it makes the finger
half as long, and believes the hand to be nearer by a third or more, because it shows so little of itself. The
depth image sees the tip directly. What it shows of the palm's outline are knuckles and bent fingers in front of it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fabg.perception.hand_landmark import INDEX_MCP
from fabg.perception.pose import Camera
from fabg.perception.types import Depth

KNUCKLES_BEFORE_PALM_M = 0.022
"""So much farther behind the skin than in an open hand is the middle of the palm when the finger points at us.

Measured, like the reach of the tip below, on rendered hands of people below 1000.
"""
_ACROSS_M = 0.075
"""Extent of the joints across the line of sight when the index finger points along it: the middle of 4 to 13 cm."""
_TIP_BEFORE_PALM_M = 0.122
_LEAST_M, _MOST_M = 0.06, 0.18
"""The tip lies before the palm's middle by this, the knuckles and bent fingers by less."""
_ALONG, _WHOLLY_ALONG = 0.5, 0.75
"""Cosines of the finger to the line of sight: from where on it counts, and from where on as a whole."""
_PERHAPS, _SURELY = 0.2, 0.5
"""Probabilities that the hand points at all: from where on it counts, and as a whole, being shown as pointing."""
_DISCS_M = ((0.014, 0.04), (0.035, 0.01))
"""Radius around the tip in which it is looked for, and the least part of that disc that it covers.

The second is for tips that the landmark net has missed by more than a finger's width.
"""
_NEARER_M = 0.015
"""So much nearer than what the first disc shows must be what the second shows in order to be the tip."""
_LEAST_PX = 4
_NEAREST, _TIP_M = 0.05, 0.010
"""The tip is what lies within so many metres of this quantile; values before it are noise."""
_DISC_STEPS = 20
"""A disc is read in steps of a pixel, or of this part of its radius."""
_FINGER = INDEX_MCP + np.arange(4)
_SHARES = np.array([0.0, 0.5, 0.78, 1.0])
"""Where the joints of a straight index finger lie between knuckle and tip."""


def aim(cosine: float, point: float) -> float:
    """Return how far an index finger counts as pointing at the camera, 0..1.

    Parameters
    ----------
    cosine
        Of the finger to the line of sight, 1 for one that points at the camera.
    point
        Probability that the hand points at all, 0..1.
    """
    sure = (point - _PERHAPS) / (_SURELY - _PERHAPS)
    along = (cosine - _ALONG) / (_WHOLLY_ALONG - _ALONG)
    return min(max(sure, 0.0), 1.0) * min(max(along, 0.0), 1.0)


def aimed_distance(landmarks_px: NDArray[np.float64], camera: Camera) -> float:
    """Return how far a hand of average size is when its index finger points at the camera, m.

    Parameters
    ----------
    landmarks_px
        The joints, shape (21, 2), px.
    camera
        The camera of the image.
    """
    rays = camera.rays(landmarks_px)
    return _ACROSS_M / max(float((rays.max(axis=0) - rays.min(axis=0)).max()), 1e-6)


def tip_distance(depth: Depth, tip_px: NDArray[np.float64], palm_m: float, camera: Camera) -> float | None:
    """Return the depth of the tip of an index finger that points at the camera, m, or None.

    The tip is the nearest of what lies around its pixel and before the bent fingers. Its joint is where
    the skin is that faces the camera.

    Parameters
    ----------
    depth
        Distances of the image's pixels.
    tip_px
        The tip in the image, shape (2,), px.
    palm_m
        Depth of the palm's middle.
    camera
        The camera of the image.
    """
    nearest_m, farthest_m = max(palm_m - _MOST_M, 0.05), palm_m - _LEAST_M
    if farthest_m <= nearest_m:
        return None
    px_per_m = 0.5 * (camera.fx + camera.fy) / max(palm_m - _TIP_BEFORE_PALM_M, nearest_m)
    found_m = math.inf
    for radius_m, least in _DISCS_M:
        values = _disc(depth.z_m, tip_px, radius_m * px_per_m)
        with np.errstate(invalid="ignore"):
            good = values[(values > nearest_m) & (values < farthest_m)]  # NaN compares as false
        if good.size >= max(_LEAST_PX, least * values.size):
            low = np.quantile(good, _NEAREST, method="lower")
            here_m = float(np.median(good[np.abs(good - low) <= _TIP_M]))
            found_m = here_m if here_m < found_m - _NEARER_M else found_m
    return found_m if math.isfinite(found_m) else None


def with_tip(joints_m: NDArray[np.float64], tip_m: float) -> NDArray[np.float64]:
    """Return joints (21, 3) whose index finger ends at a depth, m; each joint stays on its own ray.

    The knuckle stays, the joints between move by their share of the way.
    """
    z = joints_m[_FINGER, 2]
    moved = joints_m.copy()
    moved[_FINGER] *= ((z + _SHARES * (tip_m - z[3])) / z)[:, None]
    return moved


def expected_tip(palm_m: float, cosine: float) -> float:
    """Return the depth of the tip of an average finger before its palm, m: for tips that cannot be measured.

    Parameters
    ----------
    palm_m
        Depth of the palm's middle.
    cosine
        Of the finger to the line of sight, 1 for one that points at the camera.
    """
    return max(palm_m - _TIP_BEFORE_PALM_M * max(cosine, 0.0), 0.3 * palm_m)


def _disc(z_m: NDArray[np.float32], center: NDArray[np.float64], radius_px: float) -> NDArray[np.float32]:
    """Return the values in a disc, those outside the image left out; of a large one some thousand at most."""
    height, width = z_m.shape
    x, y = float(center[0]), float(center[1])
    radius = max(radius_px, 1.5)
    step = max(math.ceil(radius / _DISC_STEPS), 1)
    left, right = max(math.ceil(x - radius), 0), min(math.floor(x + radius), width - 1)
    top, bottom = max(math.ceil(y - radius), 0), min(math.floor(y + radius), height - 1)
    if right < left or bottom < top:
        return np.empty(0, dtype=np.float32)
    patch = z_m[top : bottom + 1 : step, left : right + 1 : step]
    dx, dy = np.arange(left, right + 1, step) - x, np.arange(top, bottom + 1, step)[:, None] - y
    return np.asarray(patch[dx * dx + dy * dy <= radius * radius])
