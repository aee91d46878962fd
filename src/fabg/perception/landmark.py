"""478 landmarks, blendshapes and the head's rotation of faces in a crop, with MediaPipe.

The landmarker runs in its IMAGE mode. Its VIDEO mode saves a small detector (about a sixth of the
time), but remembers and smooths positions in the coordinates of the crop, which follows the face, and
would need one model instance a face. Here a crop is read without any memory of the one before.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.errors import EnvironmentProblem, InputError, ModelFileError
from fabg.expression import INDEX, N_SHAPES
from fabg.perception.iris import refined_irises
from fabg.perception.models import find_model
from fabg.perception.noise import without_noise
from fabg.perception.roi import around, cut
from fabg.perception.types import Roi

N_LANDMARKS = 478
FACES_PER_CROP = 2
"""Two people may cross in one crop; the second costs time only when it is there."""


@dataclass(frozen=True)
class Reading:
    """One face as the landmarker read it.

    Attributes
    ----------
    landmarks
        Shape (478, 3): x, y in px of the full image, z in px of depth relative to the head's centre
        (smaller is nearer).
    blendshapes
        Shape (52,), 0..1, in the order of `fabg.expression.SHAPES`.
    rotation
        Rotation of the canonical face in the landmarker's own camera, shape (3, 3).
    center
        Middle of the crop in px of the full image.
    roi
        Bounding box of the landmarks, px.
    """

    landmarks: NDArray[np.float64]
    blendshapes: NDArray[np.float64]
    rotation: NDArray[np.float64]
    center: tuple[float, float]
    roi: Roi


class Landmarker:
    """MediaPipe's FaceLandmarker on square crops.

    Parameters
    ----------
    detection_score, presence_score
        MediaPipe's own thresholds for its detector and its landmark model, 0..1.
    max_crop_px
        Larger crops are reduced to this side; the landmark model reads 256 px.
    irises
        Whether the irises are looked for in the picture once more (`fabg.perception.iris`).
    model_path
        The model file; None looks in the usual places.

    Raises
    ------
    ModelFileError
        When the model is missing, altered or cannot be loaded.
    EnvironmentProblem
        When MediaPipe is not installed.
    """

    def __init__(
        self,
        *,
        detection_score: float = 0.5,
        presence_score: float = 0.5,
        max_crop_px: int = 320,
        irises: bool = True,
        model_path: str | Path | None = None,
    ) -> None:
        path = find_model("face_landmarker", model_path)
        self.max_crop_px = max_crop_px
        self._irises = irises
        self._mp = _import_mediapipe()
        vision = self._mp.tasks.vision
        options = vision.FaceLandmarkerOptions(
            base_options=self._mp.tasks.BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=FACES_PER_CROP,
            min_face_detection_confidence=detection_score,
            min_face_presence_confidence=presence_score,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._task: Any = None
        try:
            with without_noise():
                self._task = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"model file {path} cannot be loaded by MediaPipe: {error}") from error

    def close(self) -> None:
        """Free the model; harmless when done twice."""
        task, self._task = self._task, None
        if task is not None:
            task.close()

    def read(self, rgb: NDArray[np.uint8], crop: Roi) -> list[Reading]:
        """Return the faces in a square crop of an RGB image (height, width, 3); at most two.

        Raises
        ------
        InputError
            When the crop lies outside the image, or MediaPipe fails on it.
        """
        if self._task is None:
            raise InputError("the landmarker is closed: make a new one")
        pixels = cut(rgb, crop, self.max_crop_px)
        try:
            image = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=pixels)
            result = self._task.detect(image)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"face landmarks failed on a crop of {pixels.shape[:2]} px: {error}") from error
        groups = zip(
            result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=True
        )
        readings = (_reading(points, shapes, matrix, crop) for points, shapes, matrix in groups)
        found = [reading for reading in readings if reading is not None]
        if not self._irises:
            return found
        return [replace(r, landmarks=refined_irises(rgb, r.landmarks)) for r in found]


def _reading(points: Any, shapes: Any, matrix: NDArray[np.float32], crop: Roi) -> Reading | None:
    flat = np.fromiter((c for p in points for c in (p.x, p.y, p.z)), dtype=np.float64)
    landmarks = flat.reshape(-1, 3) * crop.width  # depth has the scale of x
    landmarks[:, 0] += crop.x - 0.5  # MediaPipe counts from the border, px from the first pixel's middle
    landmarks[:, 1] += crop.y - 0.5
    blendshapes = np.zeros(N_SHAPES)
    for shape in shapes:
        index = INDEX.get(shape.category_name, N_SHAPES)
        if index < N_SHAPES:  # "_neutral" has no place in the vector
            blendshapes[index] = shape.score
    rotation = np.array(matrix, dtype=np.float64)[:3, :3]
    finite = all(np.isfinite(values).all() for values in (landmarks, blendshapes, rotation))
    if not finite or len(landmarks) != N_LANDMARKS:
        return None
    middle = (crop.center[0] - 0.5, crop.center[1] - 0.5)
    return Reading(landmarks, np.clip(blendshapes, 0.0, 1.0), rotation, middle, around(landmarks))


def _import_mediapipe() -> Any:
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        import mediapipe as mp
        from mediapipe.tasks.python import vision  # noqa: F401  (makes mp.tasks.vision complete)
    except ImportError as error:
        raise EnvironmentProblem(f"MediaPipe cannot be imported ({error}): run `make setup`") from error
    return mp
