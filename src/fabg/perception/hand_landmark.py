"""Palms in a whole image, and 21 joints of the hand in a crop, with the two nets of MediaPipe's HandLandmarker.

Zhang et al.: "MediaPipe Hands: On-device Real-time Hand Tracking", arXiv 2006.10214, 2020.

The model file holds two nets: a palm detector for the whole image and a landmark net for a turned
crop of one hand. MediaPipe's own task runs the detector in every image unless as many hands are seen
as it was made for, so that one hand of a possible four costs twice what it must, and each further
size of the group would need a task of its own. Here the nets run by themselves (LiteRT): the caller
decides when to look at the whole image, and a hand that is followed costs the landmark net alone.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import EnvironmentProblem, InputError, ModelFileError
from fabg.perception.models import find_model
from fabg.perception.noise import without_noise
from fabg.perception.types import Roi

N_JOINTS = 21
MIN_IMAGE_PX = 16
"""Images with a shorter side than this hold no hand that can be read."""

WRIST, INDEX_MCP, MIDDLE_MCP, RING_MCP, PINKY_MCP = 0, 5, 9, 13, 17
PALM = (0, 1, 5, 9, 13, 17)
"""Joints around the palm."""
BONES: tuple[tuple[int, ...], ...] = (
    (0, 1, 2, 3, 4),
    (0, 5, 6, 7, 8),
    (5, 9, 13, 17, 0),
    (9, 10, 11, 12),
    (13, 14, 15, 16),
    (17, 18, 19, 20),
)
"""Lines through MediaPipe's 21 joints of a hand."""

_DETECTOR_PX, _CROP_PX = 192, 224
_SAME_PALM_OVERLAP = 0.3
_PALM_TO_HAND, _PALM_SHIFT = 2.6, 0.5
"""The hand's crop in sides of the palm's box, and how far its middle lies towards the fingers."""
_JOINTS_TO_HAND, _JOINTS_SHIFT = 2.0, 0.1
_PLACES = [0, 2, 3, 4, 5, 6, 7, 8]
"""Rows of the detector's nine pairs that are places; row 1 is the size of the box."""
_CORE = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""Joints that stay together however the fingers bend: the crop follows them."""


@dataclass(frozen=True)
class Region:
    """A turned square around a hand: middle and side in px; the fingers point to its upper side.

    `angle` is the clockwise turn of that upper side against the image's, rad.
    """

    x: float
    y: float
    side: float
    angle: float

    @property
    def axes(self) -> NDArray[np.float64]:
        """Unit vectors of the region's x and y in the image, rows, shape (2, 2)."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, s], [-s, c]])


@dataclass(frozen=True)
class Palm:
    """One palm found in a whole image: the region of its hand and the detector's score, 0..1."""

    region: Region
    score: float


@dataclass(frozen=True)
class HandReading:
    """One hand as the landmark net read it.

    Attributes
    ----------
    landmarks_px
        21 joints in px of the full image, shape (21, 2).
    world_m
        The same around the hand's middle, m, shape (21, 3): x right, y down, z forward for a camera
        that looks at the middle of the region.
    presence
        How sure the net is that there is a hand, 0..1.
    right
        How sure the net is that it is the owner's right hand, 0..1.
    region
        What was read.
    """

    landmarks_px: NDArray[np.float64]
    world_m: NDArray[np.float64]
    presence: float
    right: float
    region: Region


class HandNets:
    """The palm detector and the landmark net. Not thread-safe.

    Parameters
    ----------
    score
        Palms with a lower score are left out, 0..1. May be changed at any time.
    threads
        Threads of each net.
    model_path
        The model file; None looks in the usual places.

    Raises
    ------
    ModelFileError
        When the model is missing, altered or cannot be loaded.
    EnvironmentProblem
        When LiteRT is not installed.
    """

    def __init__(self, *, score: float = 0.5, threads: int = 1, model_path: str | Path | None = None) -> None:
        self.score = score
        path = find_model("hand_landmarker", model_path)
        try:
            with zipfile.ZipFile(path) as archive:
                contents = {name: archive.read(f"{name}.tflite") for name in _NETS}
            self._detector, self._landmarker = (_Net(contents[name], threads) for name in _NETS)
        except (zipfile.BadZipFile, KeyError, RuntimeError, ValueError) as error:
            raise ModelFileError(f"model file {path} cannot be loaded by LiteRT: {error}") from error
        self._open = True
        self._anchors = _anchors()

    def close(self) -> None:
        """Free the nets; harmless when done twice."""
        self._open = False
        self._detector.close()
        self._landmarker.close()

    def detect(self, rgb: NDArray[np.uint8], window: Roi | None = None) -> list[Palm]:
        """Return the palms of an RGB image (height, width, 3), or of a window of it, best first.

        The detector reads 192 px: in a window it finds hands that are too small for it in the whole.

        Raises
        ------
        InputError
            When the nets are closed.
        """
        self._check_open()
        x0, y0 = 0, 0
        if window is not None:
            x0, y0 = max(round(window.x), 0), max(round(window.y), 0)
            rgb = rgb[
                y0 : max(round(window.y + window.height), 0), x0 : max(round(window.x + window.width), 0)
            ]
        height, width = rgb.shape[:2]
        if min(height, width) < MIN_IMAGE_PX:
            return []
        scale = _DETECTOR_PX / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR)
        left, top = (_DETECTOR_PX - size[0]) // 2, (_DETECTOR_PX - size[1]) // 2
        pixels = np.zeros((_DETECTOR_PX, _DETECTOR_PX, 3), dtype=np.float32)
        np.multiply(
            small,
            np.float32(1 / 255),
            out=pixels[top : top + size[1], left : left + size[0]],
            dtype=np.float32,
        )
        values, logits = self._detector.run(pixels)
        logits = logits[:, 0]
        likely = np.flatnonzero(logits > math.log(self.score / (1.0 - self.score)))
        if not likely.size:
            return []
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits[likely], -50.0, 50.0)))
        # Middle and size of the box, then seven points; all but the size relative to the anchor, px.
        points = values[likely].astype(np.float64).reshape(len(likely), 9, 2)
        points[:, _PLACES] += self._anchors[likely][:, None, :]
        palms = []
        ratio = np.array([width / size[0], height / size[1]])
        for merged, score in _merged(points, scores):
            box = merged.copy()
            box[_PLACES] -= (left, top)
            box *= ratio
            box[_PLACES] += (x0 - 0.5, y0 - 0.5)  # from the border to the first pixel's middle
            palms.append(Palm(_region_of_palm(box), score))
        return [palm for palm in palms if math.isfinite(palm.region.side) and palm.region.side > 1.0]

    def read(self, rgb: NDArray[np.uint8], region: Region) -> HandReading | None:
        """Return the hand in a region of an RGB image (height, width, 3); None when the net is at a loss.

        Whether there is a hand at all is told by `HandReading.presence`.

        Raises
        ------
        InputError
            When the nets are closed.
        """
        self._check_open()
        scale = region.side / _CROP_PX
        axes = region.axes * scale
        corner = np.array([region.x, region.y]) - (_CROP_PX - 1) / 2 * (axes[0] + axes[1])
        to_image = np.column_stack([axes[0], axes[1], corner])
        crop = cv2.warpAffine(
            rgb, to_image, (_CROP_PX, _CROP_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        joints, presence, right, world = self._landmarker.run(crop.astype(np.float32) * np.float32(1 / 255))
        inside = joints.astype(np.float64).reshape(N_JOINTS, 3)[:, :2] - 0.5
        landmarks = inside @ axes + corner
        world_m = world.astype(np.float64).reshape(N_JOINTS, 3).copy()
        world_m[:, :2] = world_m[:, :2] @ region.axes
        reading = HandReading(landmarks, world_m, float(presence[0]), float(right[0]), region)
        numbers = (landmarks, world_m, [reading.presence, reading.right])
        return reading if all(np.isfinite(values).all() for values in numbers) else None

    def _check_open(self) -> None:
        if not self._open:
            raise InputError("the hand nets are closed: make new ones")


def region_of_joints(landmarks_px: NDArray[np.float64]) -> Region:
    """Return the region in which to read a hand whose joints (21, 2) were here, px."""
    wrist = landmarks_px[WRIST]
    knuckles = (landmarks_px[INDEX_MCP] + landmarks_px[RING_MCP]) / 4 + landmarks_px[MIDDLE_MCP] / 2
    turned = Region(0.0, 0.0, 1.0, _angle_upwards(knuckles - wrist))
    inside = landmarks_px[_CORE] @ turned.axes.T
    low, high = inside.min(axis=0), inside.max(axis=0)
    extent = high - low
    x, y = ((low + high) / 2 - [0.0, _JOINTS_SHIFT * extent[1]]) @ turned.axes
    return Region(float(x), float(y), float(_JOINTS_TO_HAND * extent.max()), turned.angle)


_NETS = ("hand_detector", "hand_landmarks_detector")


class _Net:
    """One net: an image in, its outputs without the batch dimension, in the order of their names."""

    def __init__(self, content: bytes, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise EnvironmentProblem(f"LiteRT cannot be imported ({error}): run `make setup`") from error

        with without_noise():
            self._net: Any = Interpreter(model_content=content, num_threads=threads)
            self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        outputs = sorted(self._net.get_output_details(), key=lambda output: output["name"])
        self._outputs = [output["index"] for output in outputs]

    def run(self, pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self._net.set_tensor(self._input, pixels[None])
        self._net.invoke()
        return [self._net.get_tensor(index)[0] for index in self._outputs]

    def close(self) -> None:
        self._net = None


def _anchors() -> NDArray[np.float64]:
    """Return the points (2016, 2) to which the detector's outputs are relative, px of its input.

    Two for each cell of a 24 x 24 grid, then six for each of a 12 x 12 grid.
    """
    rows = []
    for cells, each in ((24, 2), (12, 6)):
        middles = (np.arange(cells) + 0.5) * (_DETECTOR_PX / cells)
        y, x = np.meshgrid(middles, middles, indexing="ij")
        rows.append(np.repeat(np.column_stack([x.ravel(), y.ravel()]), each, axis=0))
    return np.concatenate(rows)


def _merged(
    points: NDArray[np.float64], scores: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], float]]:
    """Return each palm once: the mean of all its boxes, weighted by their scores; best first."""
    half = points[:, 1] / 2
    low, high = points[:, 0] - half, points[:, 0] + half
    area = np.prod(np.maximum(high - low, 0.0), axis=1)
    left = np.argsort(-scores)
    found = []
    while left.size:
        best = left[0]
        common = np.minimum(high[left], high[best]) - np.maximum(low[left], low[best])
        shared = np.prod(np.maximum(common, 0.0), axis=1)
        same = shared > _SAME_PALM_OVERLAP * np.maximum(area[left] + area[best] - shared, 1e-9)
        same[0] = True
        members = left[same]
        weights = scores[members] / scores[members].sum()
        found.append((np.tensordot(weights, points[members], axes=1), float(scores[best])))
        left = left[~same]
    return found


def _region_of_palm(box: NDArray[np.float64]) -> Region:
    """Return the hand's region for a palm: box middle, box size, then seven points, shape (9, 2)."""
    wrist, middle_finger = box[2], box[4]
    turned = Region(0.0, 0.0, 1.0, _angle_upwards(middle_finger - wrist))
    x, y = box[0] - _PALM_SHIFT * box[1, 1] * turned.axes[1]
    return Region(float(x), float(y), float(_PALM_TO_HAND * box[1].max()), turned.angle)


def _angle_upwards(direction: NDArray[np.float64]) -> float:
    """Return the turn that brings the image's upward direction to this one, rad, clockwise."""
    return math.atan2(float(direction[0]), float(-direction[1]))
