"""What a hand says: its shape by a small net, the direction of its index finger, waving, and what has held.

The shape is read by a net with one hidden layer from the joints of one image, turned so that the hand
points up and scaled to one size; it has been fitted to rendered hands (`fabg.evaluation.fit_gesture`).
Everything that turns with the hand - up or left, thumb up or down - is decided from the direction
afterwards, so that it holds at every turn alike.
"""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ModelFileError
from fabg.perception.hand_landmark import INDEX_MCP, MIDDLE_MCP, RING_MCP, WRIST, HandReading
from fabg.perception.types import Gesture

FINGERS: tuple[tuple[int, int, int, int, int], ...] = tuple(
    (WRIST, 4 * f + 1, 4 * f + 2, 4 * f + 3, 4 * f + 4) for f in range(5)
)
"""Joints of thumb, index, middle, ring and little finger, from the wrist to the tip."""
INDEX_TIP, THUMB_MCP, THUMB_TIP = 8, 2, 4

_ALONG_AXIS = math.cos(math.radians(45.0))
_THUMB_CONE = math.cos(math.radians(50.0))
POINTED = (Gesture.UP, Gesture.DOWN, Gesture.LEFT, Gesture.RIGHT, Gesture.POINTING)
"""Gestures of a hand whose index finger points."""


class Shape(IntEnum):
    """What a hand looks like, whichever way it is turned."""

    OTHER = 0
    FIST = 1
    OPEN = 2
    POINT = 3
    THUMB = 4


SHAPE_OF: dict[Gesture, Shape] = {
    Gesture.NONE: Shape.OTHER,
    Gesture.FIST: Shape.FIST,
    Gesture.OPEN_PALM: Shape.OPEN,
    Gesture.WAVE: Shape.OPEN,
    Gesture.THUMBS_UP: Shape.THUMB,
} | dict.fromkeys(POINTED, Shape.POINT)
"""The shape that a hand must have for a gesture."""


@dataclass(frozen=True)
class ShapeReading:
    """What one image says about a hand's shape.

    Attributes
    ----------
    probabilities
        Of each `Shape`, shape (5,), sum 1.
    index, thumb
        Unit vectors along the index finger (knuckle to tip) and the thumb, for a camera that looks at
        the hand: x right, y down, z forward, shape (3,).
    """

    probabilities: NDArray[np.float64]
    index: NDArray[np.float64]
    thumb: NDArray[np.float64]


class ShapeNet:
    """Reads a hand's shape from its joints.

    Raises
    ------
    ModelFileError
        When the fitted numbers are missing or do not fit together.
    """

    def __init__(self) -> None:
        try:
            text = (resources.files("fabg.perception") / "data" / "gesture.json").read_text()
            stored = json.loads(text)
            self._layers = [
                (np.array(layer["weights"]), np.array(layer["bias"])) for layer in stored["layers"]
            ]
            self._mean, self._scale = np.array(stored["mean"]), np.array(stored["scale"])
        except (OSError, ValueError, KeyError) as error:
            raise ModelFileError(f"gesture.json cannot be read ({error}): install fabg anew") from error
        sizes = [len(self._mean), *(len(bias) for _, bias in self._layers)]
        if sizes[0] != N_FEATURES or sizes[-1] != N_OUTPUTS:
            raise ModelFileError(
                f"gesture.json maps {sizes[0]} to {sizes[-1]} numbers: expected {N_FEATURES} to {N_OUTPUTS}"
            )

    def read(self, reading: HandReading) -> ShapeReading:
        """Return the shape of a hand."""
        values, turn = features(reading)
        values = (values - self._mean) / self._scale
        for weights, bias in self._layers[:-1]:
            values = np.maximum(values @ weights + bias, 0.0)
        weights, bias = self._layers[-1]
        outputs = values @ weights + bias
        logits = outputs[: len(Shape)]
        likely = np.exp(logits - logits.max())
        index = _turned_back(outputs[len(Shape) : len(Shape) + 3], turn)
        thumb = _turned_back(outputs[len(Shape) + 3 :], turn)
        return ShapeReading(likely / likely.sum(), index, thumb)


N_FEATURES = 21 * 2 + 21 * 3 + 5 * 3 + 5
N_OUTPUTS = len(Shape) + 3 + 3


def features(reading: HandReading) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the net reads, shape (N_FEATURES,), and the turn (2, 2) that made the hand point up.

    The joints in the image and in space, both around the middle of the hand, turned about the optical
    axis and scaled to a spread of 1; the bend at each joint (rad); how far each tip is from the wrist
    compared with the way along the finger.
    """
    px, world = reading.landmarks_px, reading.world_m
    knuckles = (px[INDEX_MCP] + px[RING_MCP]) / 4 + px[MIDDLE_MCP] / 2
    x, y = knuckles - px[WRIST]
    length = max(math.hypot(x, y), 1e-9)
    turn = np.array([[-y, x], [-x, -y]]) / length  # brings (x, y) to (0, -length)
    flat = (px - px.mean(axis=0)) @ turn.T
    solid = world - world.mean(axis=0)
    solid[:, :2] = solid[:, :2] @ turn.T
    flat /= max(float(np.sqrt((flat**2).sum(axis=1).mean())), 1e-9)
    solid /= max(float(np.sqrt((solid**2).sum(axis=1).mean())), 1e-9)
    bends, reach = [], []
    for finger in FINGERS:
        bones = np.diff(solid[list(finger)], axis=0)
        lengths = np.maximum(np.linalg.norm(bones, axis=1), 1e-9)
        cosines = (bones[:-1] * bones[1:]).sum(axis=1) / (lengths[:-1] * lengths[1:])
        bends.append(np.arccos(np.clip(cosines, -1.0, 1.0)))
        reach.append(float(np.linalg.norm(bones.sum(axis=0)) / lengths.sum()))
    return np.concatenate([flat.ravel(), solid.ravel(), *bends, reach]), turn


def _turned_back(vector: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    length = max(float(np.linalg.norm(vector)), 1e-9)
    return np.append(vector[:2] @ turn, vector[2]) / length


def gesture_of(shape: Shape, index: NDArray[np.float64], thumb: NDArray[np.float64]) -> Gesture:
    """Return the gesture of a shape with these directions (unit vectors; x right, y down, z forward)."""
    if shape == Shape.THUMB:
        return Gesture.THUMBS_UP if -thumb[1] > _THUMB_CONE else Gesture.NONE
    if shape != Shape.POINT:
        return {Shape.FIST: Gesture.FIST, Shape.OPEN: Gesture.OPEN_PALM}.get(shape, Gesture.NONE)
    if abs(index[2]) > _ALONG_AXIS:
        return Gesture.POINTING
    if abs(index[0]) > abs(index[1]):
        return Gesture.RIGHT if index[0] > 0 else Gesture.LEFT
    return Gesture.DOWN if index[1] > 0 else Gesture.UP


class Debouncer:
    """Shows a gesture once it has held, and lets go of it once it has been away.

    What is shown changes to another gesture when that one has been seen for `hold_s` without a break,
    and to none when the shown one has not been seen for `release_s`.
    """

    def __init__(self) -> None:
        self.shown = Gesture.NONE
        self._candidate = Gesture.NONE
        self._since_s = 0.0
        self._seen_s = -math.inf

    def update(self, gesture: Gesture, clock_s: float, hold_s: float, release_s: float) -> Gesture:
        """Take what the image says and return what to show."""
        if gesture != self._candidate:
            self._candidate, self._since_s = gesture, clock_s
        if gesture == self.shown:
            self._seen_s = clock_s
        elif gesture != Gesture.NONE and clock_s - self._since_s >= hold_s - 1e-9:
            self.shown, self._seen_s = gesture, clock_s
        elif clock_s - self._seen_s >= release_s - 1e-9:
            self.shown = Gesture.NONE
        return self.shown


@dataclass(frozen=True, kw_only=True)
class WaveRule:
    """What counts as waving.

    Attributes
    ----------
    amplitude
        Least way of the fingertips between two turns, in hand sizes.
    reversals
        So many turns make a wave.
    longest_swing_s, shortest_swing_s
        Time from one turn to the next: half a period.
    """

    amplitude: float = 0.3
    reversals: int = 2
    longest_swing_s: float = 0.7
    shortest_swing_s: float = 0.06


class WaveDetector:
    """Counts the turns of an open hand that goes to and fro across the image."""

    def __init__(self) -> None:
        self._turns: deque[float] = deque(maxlen=8)
        self._heading = 0
        self._low = self._high = (math.nan, 0.0)  # place and time of the extremes since the last turn

    def update(self, x: float, is_open: bool, clock_s: float, rule: WaveRule) -> bool:
        """Take the place of the fingertips across the image in hand sizes; return whether the hand waves."""
        if not is_open:
            self._turns.clear()
            self._heading, self._low, self._high = 0, (math.nan, 0.0), (math.nan, 0.0)
            return False
        here = (x, clock_s)
        if not x >= self._low[0]:
            self._low = here
        if not x <= self._high[0]:
            self._high = here
        if self._heading <= 0 and x - self._low[0] >= rule.amplitude:
            self._turn(self._low[1], 1, rule)
            self._high = here
        elif self._heading >= 0 and self._high[0] - x >= rule.amplitude:
            self._turn(self._high[1], -1, rule)
            self._low = here
        recent = bool(self._turns) and clock_s - self._turns[-1] <= 1.3 * rule.longest_swing_s
        if not recent:
            self._turns.clear()
        return recent and len(self._turns) >= rule.reversals

    def _turn(self, at_s: float, heading: int, rule: WaveRule) -> None:
        """Note where the hand turned; the first way says only where it heads."""
        first, self._heading = self._heading == 0, heading
        if first:
            return
        if self._turns:
            swing = at_s - self._turns[-1]
            if not rule.shortest_swing_s <= swing <= rule.longest_swing_s:
                self._turns.clear()  # too slow or too quick for a wave: this turn may begin one
        self._turns.append(at_s)
