"""Finding faces in a whole image with YuNet.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError, ModelFileError
from fabg.perception.models import find_model
from fabg.perception.types import Roi

MIN_IMAGE_PX = 16
"""Images with a shorter side than this hold no face that can be read."""


@dataclass(frozen=True)
class Detection:
    """One face found in an image: its box in px and the detector's score, 0..1."""

    roi: Roi
    score: float


class FaceDetector:
    """YuNet on images of any size.

    Parameters
    ----------
    score
        Detections with a lower score are left out, 0..1. May be changed at any time.
    max_side_px
        Larger images are reduced to this length of their longer side first; time grows with its
        square, and faces below some 10 px after the reduction are missed.
    model_path
        The model file; None looks in the usual places.

    Raises
    ------
    ModelFileError
        When the model is missing, altered or cannot be loaded.
    """

    def __init__(
        self, *, score: float = 0.6, max_side_px: int = 640, model_path: str | Path | None = None
    ) -> None:
        self.score = score
        self.max_side_px = max_side_px
        path = find_model("face_detection_yunet", model_path)
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), score, 0.3, 100)
        except cv2.error as error:
            raise ModelFileError(
                f"model file {path} cannot be loaded by OpenCV {cv2.__version__}: {error}"
            ) from error

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces of an RGB image (height, width, 3), best first.

        Raises
        ------
        InputError
            When OpenCV cannot work on the image.
        """
        height, width = rgb.shape[:2]
        if min(height, width) < MIN_IMAGE_PX:
            return []
        scale = min(1.0, self.max_side_px / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        try:
            small = rgb if scale == 1.0 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            self._net.setInputSize(size)
            self._net.setScoreThreshold(self.score)
            _, rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise InputError(
                f"face detection failed on an image of {width} x {height} px: {error}"
            ) from error
        found = []
        for row in [] if rows is None else rows:
            x, y, w, h = (float(v) / scale for v in row[:4])
            if np.isfinite(row).all() and w > 0 and h > 0:
                found.append(Detection(Roi(x, y, w, h), float(np.clip(row[14], 0.0, 1.0))))
        return sorted(found, key=lambda detection: -detection.score)
