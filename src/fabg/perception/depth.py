"""How far away things are: reading a depth image, and sizes that are known.

z_m = distance_at(depth, (312.0, 240.0), 4.0)    # None where the depth image has no answer
face = with_depth(face, depth)                   # at its measured distance, or as it was
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import ConfigError, InputError
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, DepthSource, Face

NEAREST_M, FARTHEST_M = 0.05, 20.0
"""What a depth image may say; anything else counts as unknown."""

IRIS_DIAMETER_M = 0.01171
"""Horizontal diameter of the visible iris: 11.71 +- 0.42 mm over 370 eyes (Ruefer, Schroeder, Erb:
White-to-white corneal diameter, Cornea 24, 2005). It hardly depends on age after the second year of life."""

# Where a face is rigid, seldom covered by hair, and broad enough for a depth image: landmark, then its place
# in the head frame (x out of the face, y to the person's left, z up; origin at the sellion) on a face of
# average size, cm. The places are those of MediaPipe's canonical face.
_SURFACE = np.array(
    [
        (6, 0.000, 0.000, 0.000),
        (10, -1.307, 0.000, 5.789),
        (67, -2.060, -3.524, 5.533),
        (297, -2.060, 3.524, 5.533),
        (121, -1.565, -1.821, -1.005),
        (350, -1.565, 1.821, -1.005),
        (119, -1.916, -3.301, -1.611),
        (348, -1.916, 3.301, -1.611),
        (117, -2.815, -5.259, -1.527),
        (346, -2.815, 5.259, -1.527),
        (198, -0.108, -1.247, -2.243),
        (420, -0.108, 1.247, -2.243),
        (129, -0.939, -1.786, -3.451),
        (358, -0.939, 1.786, -3.451),
        (4, 1.798, 0.000, -2.936),
    ]
)
_LANDMARKS = _SURFACE[:, 0].astype(int)
_PLACES_M = _SURFACE[:, 1:] / 100.0
_EYE_CORNERS = (33, 263)

_LEAST_POINTS = 5
_INLIER_FRACTION = 0.03
"""Points of one face agree within 3 % of its distance; what lies farther off is hair, a hand or the wall."""

# Centre of each iris, then the ends of its horizontal and of its vertical diameter.
_IRIS_DIAMETERS = np.array([[(469, 471), (470, 472)], [(474, 476), (475, 477)]])


def distance_at(
    depth: Depth,
    px: ArrayLike,
    radius_px: float = 3.0,
    *,
    min_valid: float = 0.25,
    quantile: float = 0.5,
) -> float | None:
    """Return the distance along the optical axis around one pixel, m, or None when it is not known.

    Parameters
    ----------
    depth
        Distances for the pixels of the image.
    px
        (x, y) in px of the image; pixel centres lie at whole numbers.
    radius_px
        Radius of the disc that is looked at, px, >= 0.
    min_valid
        Share of the disc that must have a distance, 0..1. The part outside the image has none.
    quantile
        0.5 is the median. Less for what is narrower than the disc and stands before its background: the
        distances behind it are then passed over.

    Raises
    ------
    ConfigError
        When radius, share or quantile is out of range.
    InputError
        When `px` is not two finite numbers, or the depth image is not (height, width).
    """
    if not (math.isfinite(radius_px) and radius_px >= 0.0):
        raise ConfigError(f"radius is {radius_px} px: expected a finite number >= 0")
    if not (0.0 <= min_valid <= 1.0 and 0.0 <= quantile <= 1.0):
        raise ConfigError(f"min_valid is {min_valid}, quantile {quantile}: expected 0 to 1 for both")
    center = np.asarray(px, dtype=np.float64)
    if center.shape != (2,) or not np.isfinite(center).all():
        raise InputError(f"pixel is {px!r}: expected two finite numbers (x, y)")
    return _quantile_in_disc(_checked(depth), center, radius_px, min_valid, quantile)


def face_distance(face: Face, depth: Depth) -> float | None:
    """Return how far the sellion of a face is along the optical axis, m, or None when it is not known.

    The depth image is read at 15 rigid landmarks. Each gives a distance of the sellion, because the pose
    tells how much nearer or farther it lies; their median counts, without those that disagree with it.

    Parameters
    ----------
    face
        Its landmarks are in px of the image that `depth` belongs to; its pose may have any distance, only the
        rotation and the size relative to the distance are used.
    depth
        Distances for the pixels of the image.

    Raises
    ------
    InputError
        When the depth image is not (height, width), or the face holds NaN or has fewer than 468 landmarks.
    """
    z_m = _checked(depth)
    if len(face.landmarks) < 468:
        raise InputError(f"face {face.id!r} has {len(face.landmarks)} landmarks: expected 468 or more")
    points = np.asarray(face.landmarks, dtype=np.float64)[_LANDMARKS, :2]
    if not (np.isfinite(points).all() and np.isfinite(face.pose).all()):
        raise InputError(f"face {face.id!r} holds NaN or infinity")
    believed_m = float(face.pose[2, 3])
    if believed_m <= 0.0:
        return None
    offsets_m = _PLACES_M @ face.pose[2, :3]
    corners = face.landmarks[list(_EYE_CORNERS), :2]
    radius = max(0.06 * float(np.linalg.norm(corners[0] - corners[1])), 1.0)
    # A face that is larger than believed is farther away in proportion, and so are its points from each other.
    estimates = [
        z * believed_m / (believed_m + offset)
        for point, offset in zip(points, offsets_m, strict=True)
        if believed_m + offset > 0.0 and (z := _quantile_in_disc(z_m, point, radius, 0.5, 0.5)) is not None
    ]
    return _consensus(np.array(estimates))


def with_depth(face: Face, depth: Depth | None, *, max_factor: float = 1.5) -> Face:
    """Return the face moved along its ray to its measured distance.

    Parameters
    ----------
    face
        With the pose from its size in the image.
    depth
        Distances for the pixels of the image; None when there are none.
    max_factor
        How far measured and monocular distance may differ; beyond that the measurement is taken for that of
        something else, and the face returned as it was. A child of three has a head 0.85 times as long as
        a grown-up's, so 1.5 leaves room.

    Raises
    ------
    ConfigError
        When `max_factor` is not a finite number >= 1.
    InputError
        See `face_distance`.
    """
    factor = _factor(face, depth, max_factor)
    if depth is None or factor is None:
        return face
    return _moved(face, factor, depth.source)


class HeadSizes:
    """Remembers how large each head is, so that its distance does not jump when depth fails for a while.

    A measured distance tells by what factor a head is larger or smaller than believed. While there is depth, a
    face gets its measured distance as from `with_depth`; without, the distance from its size by the median of
    the last factors, which still counts as MONOCULAR.

    Parameters
    ----------
    max_factor
        See `with_depth`.
    memory
        How many measurements of a face are kept, >= 1.

    Raises
    ------
    ConfigError
        When `memory` is less than 1.
    """

    def __init__(self, *, max_factor: float = 1.5, memory: int = 15) -> None:
        if memory < 1:
            raise ConfigError(f"memory is {memory}: expected 1 or more measurements")
        self._max_factor, self._memory = max_factor, memory
        self._factors: dict[str, deque[float]] = {}

    def placed(self, face: Face, depth: Depth | None) -> Face:
        """Return the face at its measured distance, or at that from the size of its own head.

        Raises
        ------
        ConfigError, InputError
            See `with_depth`.
        """
        factor = _factor(face, depth, self._max_factor)
        if depth is not None and factor is not None:
            self._factors.setdefault(face.id, deque(maxlen=self._memory)).append(factor)
            return _moved(face, factor, depth.source)
        if known := self._factors.get(face.id):
            return _moved(face, float(np.median(known)), DepthSource.MONOCULAR)
        return face

    def keep(self, ids: Iterable[str]) -> None:
        """Forget all faces but these."""
        self._factors = {id_: self._factors[id_] for id_ in ids if id_ in self._factors}


def _factor(face: Face, depth: Depth | None, max_factor: float) -> float | None:
    """Return by what factor a face is farther than its size says, None when that is not known or cannot be."""
    if not (math.isfinite(max_factor) and max_factor >= 1.0):
        raise ConfigError(f"max_factor is {max_factor}: expected a finite number >= 1")
    measured_m = None if depth is None else face_distance(face, depth)
    if measured_m is None:
        return None
    factor = measured_m / float(face.pose[2, 3])
    return factor if 1.0 / max_factor <= factor <= max_factor else None


def _moved(face: Face, factor: float, source: DepthSource) -> Face:
    pose = face.pose.copy()
    pose[:3, 3] *= factor
    return replace(face, pose=pose, depth_source=source)


def iris_distance(landmarks: NDArray[np.float64], camera: Camera) -> float | None:
    """Return how far the eyes are along the optical axis by the size of the irises, m, or None.

    A second opinion on the distance that does not depend on the size of the head. The widest diameter of each
    iris counts, because a turned eye shows the other one foreshortened; the two eyes are averaged.

    Parameters
    ----------
    landmarks
        MediaPipe's 478 points in px of the full image, shape (478, >= 2). Without the ten points of the irises
        (468 only), or with irises under 2 px, the answer is None.
    camera
        The camera of the image.

    Raises
    ------
    InputError
        When the points of the irises hold NaN or infinity.
    """
    if len(landmarks) < 478:
        return None
    ends = np.asarray(landmarks, dtype=np.float64)[_IRIS_DIAMETERS, :2]
    if not np.isfinite(ends).all():
        raise InputError("the points of the irises hold NaN or infinity")
    # In units of the rays, so that pixels need not be square.
    lengths = np.linalg.norm((ends[:, :, 0] - ends[:, :, 1]) / [camera.fx, camera.fy], axis=-1)
    diameter = float(lengths.max(axis=1).mean())
    if diameter * camera.fx < 2.0:
        return None
    return IRIS_DIAMETER_M / diameter


def _checked(depth: Depth) -> NDArray[np.float32]:
    if depth.z_m.ndim != 2 or depth.z_m.size == 0:
        raise InputError(f"depth image has shape {depth.z_m.shape}: expected (height >= 1, width >= 1)")
    if depth.source not in (DepthSource.SENSOR, DepthSource.STEREO):
        raise InputError(f"depth image comes from {depth.source!r}: expected SENSOR or STEREO")
    return depth.z_m


def _quantile_in_disc(
    z_m: NDArray[np.float32],
    center: NDArray[np.float64],
    radius_px: float,
    min_valid: float,
    quantile: float,
) -> float | None:
    """Return the quantile of the valid distances in a disc, None when too few are valid."""
    height, width = z_m.shape
    x, y = float(center[0]), float(center[1])
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        return None
    reach = max(radius_px, 0.5)
    left, right = max(math.ceil(x - reach), 0), min(math.floor(x + reach), width - 1)
    top, bottom = max(math.ceil(y - reach), 0), min(math.floor(y + reach), height - 1)
    patch = z_m[top : bottom + 1, left : right + 1]
    dx, dy = np.arange(left, right + 1) - x, np.arange(top, bottom + 1)[:, None] - y
    inside = patch[dx * dx + dy * dy <= max(reach * reach, 0.5)]
    valid = inside[(inside >= NEAREST_M) & (inside <= FARTHEST_M)]
    # Against the whole disc, not the part of it inside the image.
    whole = max(math.pi * radius_px * radius_px, 1.0)
    if valid.size == 0 or valid.size < min_valid * whole:
        return None
    return float(np.quantile(valid, quantile))


def _consensus(estimates: NDArray[np.float64]) -> float | None:
    """Return the median of what agrees, None when fewer than half, or fewer than five, do."""
    if len(estimates) < _LEAST_POINTS:
        return None
    middle = float(np.median(estimates))
    agreeing = estimates[np.abs(estimates - middle) <= _INLIER_FRACTION * middle]
    if len(agreeing) < max(_LEAST_POINTS, len(estimates) / 2):
        return None
    return float(np.median(agreeing))
