"""Who a face looks like, as numbers: an identity embedding, and the colours of hair, skin and clothes.

The embedding is SFace (Zhong, Deng, Hu, Zhao, Li, Wen: "SFace: Sigmoid-Constrained Hypersphere Loss for
Robust Face Recognition", IEEE Transactions on Image Processing 30, 2021). It says who a real person
is, takes some 30 ms, and so is asked rarely. The colours take 0.1 ms, say little about who somebody
is, and much about who of three people in one room it was a moment ago.

Both are biometric traces: they stay in memory, and nothing here writes, logs or publishes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError, ModelFileError
from fabg.perception.models import find_model
from fabg.perception.roi import eye_centers

ALIGNED_PX = 112
# Where SFace was trained to see the right eye, left eye, tip of the nose, right and left corner of the
# mouth (the person's own sides), px of the aligned picture.
_TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
_MIN_LENGTH = 10.0
_NOSE_TIP, _MOUTH_RIGHT, _MOUTH_LEFT = 1, 61, 291

# Cells of head and shoulders as (left, top, right, bottom) in face heights (brow to chin) from the middle
# of the face. What moves (eyes, mouth) and what is behind the person are left out.
_CELLS = np.array(
    [
        (-0.30, -0.92, 0.30, -0.72),  # hair
        (-0.22, -0.56, 0.22, -0.42),  # forehead
        (-0.36, 0.00, -0.16, 0.22),  # right cheek
        (0.16, 0.00, 0.36, 0.22),  # left cheek
        (-0.45, 0.95, 0.00, 1.35),  # clothes
        (0.00, 0.95, 0.45, 1.35),
    ]
)
CLOTHES = slice(4, 6)
"""Rows of `colours` that somebody nearer may cover although the face is free."""
_BROW, _CHIN = 10, 152
_STEPS = (np.arange(6) + 0.5) / 6
_U = _CELLS[:, None, None, 0] + (_CELLS[:, 2] - _CELLS[:, 0])[:, None, None] * _STEPS[None, None, :]
_V = _CELLS[:, None, None, 1] + (_CELLS[:, 3] - _CELLS[:, 1])[:, None, None] * _STEPS[None, :, None]
_POINTS = np.stack(np.broadcast_arrays(_U, _V), axis=-1).reshape(-1, 2)
_MIN_CELLS = 3


class Embedder(Protocol):
    """Turns a face into a unit vector that is alike for pictures of one person."""

    def embed(self, rgb: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """Return a vector of length 1, or None when the picture does not say who it is."""
        ...


class FaceEmbedder:
    """SFace on faces aligned by five points.

    Parameters
    ----------
    model_path
        The model file; None looks in the usual places.

    Raises
    ------
    ModelFileError
        When the model is missing, altered or cannot be loaded.
    """

    def __init__(self, *, model_path: str | Path | None = None) -> None:
        path = find_model("face_recognition_sface", model_path)
        try:
            self._net = cv2.FaceRecognizerSF.create(str(path), "")
            # The first run takes twice as long as all others: better here than while somebody is there.
            self._net.feature(np.zeros((ALIGNED_PX, ALIGNED_PX, 3), dtype=np.uint8))
        except cv2.error as error:
            raise ModelFileError(
                f"model file {path} cannot be loaded by OpenCV {cv2.__version__}: {error}"
            ) from error

    def embed(self, rgb: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """Return the embedding of a face, shape (128,), length 1; None for one too blurred or covered.

        Parameters
        ----------
        rgb
            Image, shape (height, width, 3).
        landmarks
            The face's 478 points in px of the image, shape (478, >= 2).

        Raises
        ------
        InputError
            When the points lie on one place, or OpenCV fails.
        """
        try:
            warped = cv2.warpAffine(rgb, _to_template(landmarks), (ALIGNED_PX, ALIGNED_PX))
            feature = self._net.feature(cv2.cvtColor(warped, cv2.COLOR_RGB2BGR))[0]
        except cv2.error as error:
            raise InputError(f"the identity embedding failed: {error}") from error
        # The length before it is normalised tells how much of a face the network saw: 11 to 13 for a
        # good view, less than 10 when it is blurred, or when an eye or half of the face is covered.
        length = float(np.linalg.norm(feature))
        if not (np.isfinite(length) and length >= _MIN_LENGTH):
            return None
        return np.asarray(feature / length, dtype=np.float32)


def _to_template(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the similarity (2, 3) that brings the five points closest to the template.

    Umeyama: "Least-squares estimation of transformation parameters between two point patterns",
    IEEE PAMI 13, 1991; in the plane one complex factor is rotation and scale at once.
    """
    right, left = eye_centers(landmarks)
    rest = landmarks[[_NOSE_TIP, _MOUTH_RIGHT, _MOUTH_LEFT], :2]
    points = np.vstack([right, left, rest]) @ [1.0, 1.0j]
    wanted = _TEMPLATE @ [1.0, 1.0j]
    centred, target = points - points.mean(), wanted - wanted.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if not (np.isfinite(spread) and spread > 1e-6):
        raise InputError("the points of the face lie on one place: it cannot be aligned")
    factor = np.sum(np.conj(centred) * target) / spread
    shift = wanted.mean() - factor * points.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def colours(rgb: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean colours of hair, forehead, cheeks and clothes; NaN for what lies outside the image.

    Parameters
    ----------
    rgb
        Image, shape (height, width, 3).
    landmarks
        The face's 478 points in px of the image, shape (478, >= 2).

    Returns
    -------
    numpy.ndarray
        CIELAB, shape (6, 3): lightness 0..100, a and b about -100..100.
    """
    height, width = rgb.shape[:2]
    brow, chin = landmarks[[_BROW, _CHIN], :2]
    (down_x, down_y), middle = chin - brow, (brow + chin) / 2
    points = middle + _POINTS @ np.array([[down_y, -down_x], [down_x, down_y]])
    x, y = np.rint(points).astype(int).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixels = rgb[np.where(inside, y, 0), np.where(inside, x, 0)].astype(np.float32) * inside[:, None]
    shape = (len(_CELLS), -1)
    counts = inside.reshape(shape).sum(axis=1)
    means = pixels.reshape(*shape, 3).sum(axis=1) / np.maximum(counts, 1)[:, None] / 255.0
    lab = cv2.cvtColor(means[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0].astype(np.float64)
    lab[counts * 2 < len(_STEPS) ** 2] = np.nan
    return lab


def colour_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return how different two sets of colours are; infinity when nothing can be compared.

    The unit is CIELAB's: 2 is just visible, 30 is another colour. Lightness counts half, because light
    changes more than people do.
    """
    difference = (a - b) * (0.5, 1.0, 1.0)
    distances = np.linalg.norm(difference, axis=1)
    known = distances[~np.isnan(distances)]
    return float(known.mean()) if len(known) >= _MIN_CELLS else float("inf")
