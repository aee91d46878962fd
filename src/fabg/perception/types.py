"""What perception says about people, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One image and the time it was taken.

    Attributes
    ----------
    image
        RGB, uint8, shape (height, width, 3).
    stamp_s
        Capture time in s on the clock of the source.
    """

    image: NDArray[np.uint8]
    stamp_s: float


@dataclass(frozen=True)
class Roi:
    """A rectangle in pixels: left, top, width, height (may reach over the border)."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        """Middle of the rectangle, px."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class Face:
    """One tracked face in one image.

    Attributes
    ----------
    id
        Short string; transient, never reused within a run.
    roi
        Bounding box in px.
    confidence
        Detector's score, 0..1.
    landmarks
        MediaPipe's 478 points, shape (478, 3): x, y in px of the full image, z in px of depth
        relative to the head's centre (smaller is nearer).
    blendshapes
        52 ARKit shapes, 0..1, in the order of `fabg.expression.SHAPES`; shapes that the landmarker
        does not report are 0.
    pose
        Head frame in the camera's optical frame (z forward, x right, y down), 4 x 4, metres. The
        head frame follows REP-103: x out of the face, y to the person's left, z up; its origin is
        the sellion (between the eyes).
    """

    id: str
    roi: Roi
    confidence: float
    landmarks: NDArray[np.float64]
    blendshapes: NDArray[np.float64]
    pose: NDArray[np.float64]


@dataclass(frozen=True)
class Faces:
    """All faces of one image (an empty tuple says that nobody was seen)."""

    stamp_s: float
    image_size: tuple[int, int]
    """(width, height) in px."""
    faces: tuple[Face, ...]
