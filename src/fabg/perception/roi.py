"""Rectangles in images: overlap, enlarged squares, crops that may reach over the border."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.types import Roi

ALIGNED_RIGHT_EYE = (0.34, 0.40)
"""Where `aligned` puts the middle of the person's right eye, in fractions of the side."""
ALIGNED_LEFT_EYE = (0.66, 0.40)
"""Where `aligned` puts the middle of the person's left eye, in fractions of the side."""

_RIGHT_EYE_CORNERS = [33, 133]
_LEFT_EYE_CORNERS = [362, 263]


def size_of(roi: Roi) -> float:
    """Return the side of the square of the same area, px."""
    return float(np.sqrt(max(roi.width, 0.0) * max(roi.height, 0.0)))


def overlap(a: Roi, b: Roi) -> float:
    """Return intersection over union, 0..1."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return float(common / (a.width * a.height + b.width * b.height - common))


def around(points: NDArray[np.float64]) -> Roi:
    """Return the bounding box of points, shape (n, >= 2), px."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return Roi(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def moved(roi: Roi, dx: float, dy: float) -> Roi:
    """Return the rectangle shifted by (dx, dy) px."""
    return Roi(roi.x + dx, roi.y + dy, roi.width, roi.height)


def square(roi: Roi, scale: float) -> Roi:
    """Return the square around the same centre, `scale` times the longer side, on whole pixels (>= 1)."""
    side = max(1, round(scale * max(roi.width, roi.height)))
    cx, cy = roi.center
    return Roi(round(cx - side / 2), round(cy - side / 2), side, side)


def visible_fraction(roi: Roi, width: int, height: int) -> float:
    """Return how much of the rectangle lies inside an image, 0..1."""
    w = min(roi.x + roi.width, width) - max(roi.x, 0)
    h = min(roi.y + roi.height, height) - max(roi.y, 0)
    return float(max(w, 0.0) * max(h, 0.0) / max(roi.width * roi.height, 1e-9))


def cut(rgb: NDArray[np.uint8], roi: Roi, max_side_px: int | None = None) -> NDArray[np.uint8]:
    """Return the pixels of a rectangle on whole pixels, black where it reaches over the border.

    Parameters
    ----------
    rgb
        Image, shape (height, width, 3).
    roi
        What to cut out; it must overlap the image.
    max_side_px
        Longer crops are reduced to this side.

    Raises
    ------
    InputError
        When no pixel of the rectangle lies inside the image.
    """
    height, width = rgb.shape[:2]
    x0, y0 = round(roi.x), round(roi.y)
    x1, y1 = x0 + max(1, round(roi.width)), y0 + max(1, round(roi.height))
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if left >= right or top >= bottom:
        raise InputError(f"{roi} lies outside the image of {width} x {height} px")
    crop = rgb[top:bottom, left:right]
    longest = max(x1 - x0, y1 - y0)
    inside = (left, top, right, bottom) == (x0, y0, x1, y1)
    if max_side_px is not None and longest > max_side_px and inside:
        scale = max_side_px / longest
        size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
        # Averaging over areas takes ten times as long, and below a factor of two nothing is skipped.
        how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(crop, size, interpolation=how), dtype=np.uint8)
    if not inside:
        padded = np.zeros((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        padded[top - y0 : bottom - y0, left - x0 : right - x0] = crop
        return cut(padded, Roi(0, 0, x1 - x0, y1 - y0), max_side_px)
    return np.ascontiguousarray(crop)


def cropped(rgb: NDArray[np.uint8], roi: Roi, side_px: int = 128, margin: float = 1.2) -> NDArray[np.uint8]:
    """Return the face upright as it stands, shape (side_px, side_px, 3)."""
    pixels = cut(rgb, square(roi, margin))
    shrink = pixels.shape[0] > side_px
    how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (side_px, side_px), interpolation=how), dtype=np.uint8)


def eye_centers(landmarks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middles of the person's right and left eye of 478 landmarks, px, shape (2,) each."""
    right = landmarks[_RIGHT_EYE_CORNERS, :2].mean(axis=0)
    left = landmarks[_LEFT_EYE_CORNERS, :2].mean(axis=0)
    return right, left


def alignment(landmarks: NDArray[np.float64], side_px: int = 128) -> NDArray[np.float64]:
    """Return the similarity (2, 3) from image px to aligned px that puts the eyes at fixed places.

    Raises
    ------
    InputError
        When both eyes lie on one point.
    """
    right, left = (complex(*eye) for eye in eye_centers(landmarks))
    if abs(left - right) < 1e-6:
        raise InputError("both eyes lie on one point: the face cannot be aligned")
    to_right, to_left = complex(*ALIGNED_RIGHT_EYE) * side_px, complex(*ALIGNED_LEFT_EYE) * side_px
    # One complex factor is rotation and scale at once.
    factor = (to_left - to_right) / (left - right)
    shift = to_right - factor * right
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def aligned(rgb: NDArray[np.uint8], landmarks: NDArray[np.float64], side_px: int = 128) -> NDArray[np.uint8]:
    """Return the face with the eyes level and at fixed places, shape (side_px, side_px, 3)."""
    matrix = alignment(landmarks, side_px)
    return np.asarray(cv2.warpAffine(rgb, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR), dtype=np.uint8)
