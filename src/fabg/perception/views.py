"""Whether a face is seen well enough to tell whose it is."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fabg.perception.landmark import Reading
from fabg.perception.roi import size_of, visible_fraction
from fabg.perception.types import Roi

_MIN_PX = 36.0
_MAX_TURN = math.cos(math.radians(40.0))
_HEAD = 1.05
"""The oval of a head beside that of its landmarks."""
_NEARER = 0.9
"""A head that is smaller than this part of a face stands behind it."""
_TELLING = (33, 133, 362, 263, 1, 61, 291)
"""Corners of the eyes, tip of the nose, corners of the mouth: what an embedding is made of."""


def good_view(reading: Reading, shape: tuple[int, ...]) -> bool:
    """Return whether a face in an image of `shape` (height, width) is large, frontal and complete enough."""
    height, width = shape
    return bool(
        reading.roi.width >= _MIN_PX
        and reading.rotation[2, 2] >= _MAX_TURN
        and visible_fraction(reading.roi, width, height) > 0.98
    )


def uncovered(reading: Reading, others: Iterable[Reading]) -> bool:
    """Return whether no head that may be nearer hides an eye, the nose or the mouth of a face."""
    points = reading.landmarks[_TELLING, :2]
    return all(
        other is reading
        or size_of(other.roi) < _NEARER * size_of(reading.roi)
        or not _hides(other.roi, points)
        for other in others
    )


def _hides(roi: Roi, points: NDArray[np.float64]) -> bool:
    """Return whether one of the points (n, 2), px, lies behind the oval of a head."""
    shift = (points - roi.center) / (_HEAD * roi.width, _HEAD * roi.height)
    return bool(np.any(np.sum(shift**2, axis=1) < 0.25))
