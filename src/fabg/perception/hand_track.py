"""One hand from its first to its last image: where it was, which hand it is, what it has shown."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.gesture import INDEX_TIP, Debouncer, Shape, ShapeReading, WaveDetector
from fabg.perception.hand_finger import (
    KNUCKLES_BEFORE_PALM_M,
    aim,
    aimed_distance,
    expected_tip,
    tip_distance,
    with_tip,
)
from fabg.perception.hand_geometry import palm_center, palm_distance, place, towards
from fabg.perception.hand_landmark import HandReading, Region, region_of_joints
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, DepthSource, Side

_MAX_SHIFT_LOST = 1.2
"""A hidden hand comes back at most so many of its regions' sides from where it was."""
_MAX_RATIO = 1.8
_OTHER_SIDE_PENALTY = 0.4
_COAST_S = 0.15
"""Time constant with which the motion of a hidden hand is forgotten."""
_SURE = 3.0
"""Logit beyond which one image says no more about the side."""
_SIDE_MEMORY = 15
"""Images over which the side is averaged."""
_PRESENCE_SHARE, _LEAST_MEAN_PRESENCE = 0.15, 0.6
_SIZE_MEMORY = 10
"""Measured distances over which a hand's size is averaged."""
_AIMED = 0.1
"""From this aim on the net's belief in a size is that of a finger that points at the camera."""


class HandTrack:
    """What is known about one hand.

    Parameters
    ----------
    id
        Its name.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.seen_s = 0.0
        self.misses = 0
        self.owner = ""
        self.extended = False
        self.certain = False
        """Whether the detector was certain of it: then the landmark net need not be."""
        self.depth_source = DepthSource.MONOCULAR
        self.joints_m: NDArray[np.float64] = np.zeros((21, 3))
        self.likely: NDArray[np.float64] | None = None
        """Smoothed probability of each shape; None before the first image."""
        self.index: NDArray[np.float64] = np.array([0.0, -1.0, 0.0])
        self.thumb: NDArray[np.float64] = np.array([0.0, -1.0, 0.0])
        self.gesture = Debouncer()
        self.wave = WaveDetector()
        self._region: Region | None = None
        self._velocity: NDArray[np.float64] = np.zeros(2)
        self._right = 0.0
        self._presence = 1.0
        self._images = 0
        self._size = _Size()
        self._aimed_size = _Size()
        """By what the net errs when the finger points at the camera: more than by the hand's size."""

    @property
    def side(self) -> Side:
        """Left or right by all images so far."""
        return Side.RIGHT if self._right >= 0.0 else Side.LEFT

    def believes(self, presence: float) -> bool:
        """Take in how sure the net is and return whether it has been sure enough on average.

        What is no hand may look like one in a single image; a hand does so in nearly all.
        """
        self._presence += _PRESENCE_SHARE * (presence - self._presence)
        return self.certain or self._presence >= _LEAST_MEAN_PRESENCE

    def hit(self, reading: HandReading, clock_s: float) -> None:
        """Note that the hand was seen: its place, motion and side, and no more misses."""
        region = region_of_joints(reading.landmarks_px)
        elapsed = clock_s - self.seen_s
        if self._region is not None and elapsed > 0.0:
            moved = np.array([region.x - self._region.x, region.y - self._region.y]) / elapsed
            self._velocity = 0.5 * (self._velocity + moved)
        self._region, self.seen_s, self.misses = region, clock_s, 0
        right = min(max(reading.right, 1e-6), 1.0 - 1e-6)
        logit = min(max(math.log(right / (1.0 - right)), -_SURE), _SURE)
        self._images += 1
        self._right += (logit - self._right) / min(self._images, _SIDE_MEMORY)

    def predicted(self, clock_s: float) -> Region:
        """Return where the hand should be: motion goes on, but dies away."""
        if self._region is None:
            raise InputError(f"hand {self.id} has not been seen yet")
        elapsed = max(clock_s - self.seen_s, 0.0)
        x, y = self._velocity * _COAST_S * (1.0 - math.exp(-elapsed / _COAST_S))
        region = self._region
        return Region(region.x + float(x), region.y + float(y), region.side, region.angle)

    def cost(self, reading: HandReading, clock_s: float) -> float:
        """Return how badly a reading fits this hidden hand: infinity when it cannot be the same."""
        found, here = region_of_joints(reading.landmarks_px), self.predicted(clock_s)
        largest, smallest = max(found.side, here.side), max(min(found.side, here.side), 1e-6)
        shift = math.hypot(found.x - here.x, found.y - here.y) / max(largest, 1e-6)
        if shift > _MAX_SHIFT_LOST or largest / smallest > _MAX_RATIO:
            return math.inf
        other = (reading.right > 0.5) != (self.side == Side.RIGHT)
        return shift + math.log(largest / smallest) + _OTHER_SIDE_PENALTY * other

    def locate(self, reading: HandReading, camera: Camera, depth: Depth | None) -> bool:
        """Put the joints into space; return False when there is no place for them before the camera.

        A distance that was measured also tells the size of this hand, which then serves its images
        without one. What `take` was told last decides whether the index finger points at the camera.
        """
        try:
            joints = place(reading, camera)
        except InputError:
            return False
        monocular_m = float(palm_center(joints)[2])
        cosine = -float(self.index @ towards(camera, reading.region.x, reading.region.y)[:, 2])
        aimed = aim(cosine, self.probability(Shape.POINT))
        size = self._aimed_size if aimed > _AIMED else self._size
        measured_m = None
        if depth is not None:
            # Size says little of a hand that is seen from its finger's tip; how wide it is says more.
            ratio = aimed_distance(reading.landmarks_px, camera) / monocular_m
            measured_m = palm_distance(
                depth,
                reading.landmarks_px,
                monocular_m * self._size.factor * ratio**aimed,
                deeper_m=aimed * KNUCKLES_BEFORE_PALM_M,
            )
        if depth is None or measured_m is None:
            known = size if size.count else self._size
            self.joints_m, self.depth_source = joints * known.factor, DepthSource.MONOCULAR
            return True
        ratio = measured_m / monocular_m
        size.take(ratio)
        self.joints_m, self.depth_source = joints * ratio, depth.source
        if aimed > 0.0:
            tip_m = tip_distance(depth, reading.landmarks_px[INDEX_TIP], measured_m, camera)
            if tip_m is None:
                tip_m = expected_tip(measured_m, cosine)
            believed_m = float(self.joints_m[INDEX_TIP, 2])
            self.joints_m = with_tip(self.joints_m, believed_m + aimed * (tip_m - believed_m))
        return True

    def take(self, shape: ShapeReading, region: Region, camera: Camera, share: float) -> None:
        """Blend in what one image says about shape and directions, by `share` (0..1)."""
        # The net saw the hand through a camera that looks at it; the real one sees it along its own ray.
        turn = towards(camera, region.x, region.y)
        index, thumb = turn @ shape.index, turn @ shape.thumb
        if self.likely is None:
            self.likely, self.index, self.thumb = shape.probabilities, index, thumb
            return
        self.likely = self.likely + share * (shape.probabilities - self.likely)
        self.index, self.thumb = _blended(self.index, index, share), _blended(self.thumb, thumb, share)

    def probability(self, shape: Shape) -> float:
        """Return the smoothed probability of a shape, 0..1."""
        return 0.0 if self.likely is None else float(self.likely[shape])


class _Size:
    """By what factor a hand is larger than the net believes: the mean over its measured distances."""

    def __init__(self) -> None:
        self.factor = 1.0
        self.count = 0

    def take(self, ratio: float) -> None:
        """Take in a measured distance as a multiple of the monocular one."""
        self.count += 1
        self.factor += (ratio - self.factor) / min(self.count, _SIZE_MEMORY)


def _blended(old: NDArray[np.float64], new: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    mixed = old + share * (new - old)
    length = float(np.linalg.norm(mixed))
    return mixed / length if length > 1e-6 else new
