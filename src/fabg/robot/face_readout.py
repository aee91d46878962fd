"""What a face tracker's scores should follow: a read-out for each joint and each named expression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg.expression import INDEX
from fabg.perception.landmark import Reading

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What was commanded and what was read (None: no face found).

    Attributes
    ----------
    positions
        Joint positions (25,), rad.
    distance
        Of the camera from the eyes, m.
    reading
        What the tracker returned.
    angles
        The tracker's head pose in the robot's base: yaw, pitch, roll, rad.
    """

    positions: Vector
    distance: float
    reading: Reading | None
    angles: Mapping[str, float]


@dataclass(frozen=True)
class Readout:
    """A sum of blendshape scores that should follow one joint.

    `plus` minus `minus`; `angle` names a head-pose angle instead. Both empty: the tracker has no
    score that this joint moves, for the reason in `note`.
    """

    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    angle: str = ""
    note: str = ""

    def __str__(self) -> str:
        if self.angle:
            return f"head pose: {self.angle}"
        if not self.plus:
            return f"none: {self.note}"
        return " + ".join(self.plus) + "".join(f" - {name}" for name in self.minus)


def _sided(side: str) -> dict[str, Readout]:
    cap = side.capitalize()
    out, inn = (f"eyeLookOut{cap}", f"eyeLookIn{cap}")
    left, right = (out, inn) if side == "left" else (inn, out)
    return {
        f"eye_{side}_yaw": Readout((left,), (right,)),
        f"eye_{side}_pitch": Readout((f"eyeLookDown{cap}",), (f"eyeLookUp{cap}",)),
        f"lid_{side}": Readout((f"eyeBlink{cap}",), (f"eyeWide{cap}",)),
        f"brow_inner_{side}": Readout(("browInnerUp",), (f"browDown{cap}",)),
        f"brow_outer_{side}": Readout((f"browOuterUp{cap}",), (f"browDown{cap}",)),
        f"cheek_{side}": Readout(note="cheekSquint, noseSneer and cheekPuff stay at 0 on any face"),
        f"lip_upper_{side}": Readout((f"mouthUpperUp{cap}",), ("mouthRollUpper",)),
        f"lip_lower_{side}": Readout((f"mouthLowerDown{cap}",), ("mouthRollLower",)),
        f"corner_vertical_{side}": Readout((f"mouthSmile{cap}",), (f"mouthFrown{cap}",)),
        f"corner_horizontal_{side}": Readout((f"mouthStretch{cap}",), ("mouthPucker",)),
    }


READOUTS: Mapping[str, Readout] = {
    "neck_yaw": Readout(angle="yaw"),
    "neck_pitch": Readout(angle="pitch"),
    "neck_roll": Readout(angle="roll"),
    **_sided("left"),
    **_sided("right"),
    "pucker": Readout(("mouthPucker", "mouthFunnel"), ("mouthPressLeft", "mouthPressRight")),
    "jaw": Readout(("jawOpen",)),
}
"""What each joint is correlated against."""


@dataclass(frozen=True)
class Expression:
    """A named movement of several joints by one strength, as shares of their travel (-1..1).

    `single` and `mixed` say whether the tracker must follow it in the two experiments. A `gaze` is
    judged by the learnt read-out where the head moves too: the scores alone are relative to the picture.
    """

    joints: Mapping[str, float]
    readout: Readout
    low: float = 0.0
    single: bool = False
    mixed: bool = False
    gaze: bool = False


def both(*stems: str, amount: float = 1.0) -> dict[str, float]:
    """Shares for the left and the right joint of each stem."""
    return {f"{stem}_{side}": amount for stem in stems for side in ("left", "right")}


def _pair(*stems: str) -> tuple[str, ...]:
    return tuple(f"{stem}{side}" for stem in stems for side in ("Left", "Right"))


_EYES_YAW = {"eye_left_yaw": 1.0, "eye_right_yaw": 1.0}
_EYES_PITCH = {"eye_left_pitch": 1.0, "eye_right_pitch": 1.0}
EXPRESSIONS: Mapping[str, Expression] = {
    "smile": Expression(both("corner_vertical"), Readout(_pair("mouthSmile")), single=True, mixed=True),
    "jaw": Expression({"jaw": 1.0}, Readout(("jawOpen",)), single=True, mixed=True),
    "blink": Expression(both("lid"), Readout(_pair("eyeBlink")), single=True, mixed=True),
    "gaze_yaw": Expression(
        _EYES_YAW,
        Readout(("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookInLeft", "eyeLookOutRight")),
        low=-1.0,
        single=True,
        mixed=True,
        gaze=True,
    ),
    "gaze_pitch": Expression(
        _EYES_PITCH,
        Readout(_pair("eyeLookDown"), _pair("eyeLookUp")),
        low=-1.0,
        single=True,
        mixed=True,
        gaze=True,
    ),
    "brows": Expression(
        both("brow_inner", "brow_outer"),
        Readout(("browInnerUp", *_pair("browOuterUp")), _pair("browDown")),
        low=-1.0,
        mixed=True,
    ),
    "surprise": Expression(
        both("brow_inner", "brow_outer") | {"jaw": 0.7},
        Readout(("browInnerUp", *_pair("browOuterUp"), "jawOpen")),
    ),
    "pucker": Expression({"pucker": 1.0}, Readout(("mouthPucker", "mouthFunnel"))),
    "frown": Expression(both("corner_vertical", amount=-1.0), Readout(_pair("mouthFrown"))),
}  # fmt: skip


def score(sample: Sample, readout: Readout) -> float:
    """Value of a read-out in one picture; NaN where no face was found."""
    if sample.reading is None:
        return float("nan")
    if readout.angle:
        return sample.angles[readout.angle]
    scores = sample.reading.blendshapes
    return float(sum(scores[INDEX[n]] for n in readout.plus) - sum(scores[INDEX[n]] for n in readout.minus))


# Landmarks of each eye: iris, outer and inner corner, middle of the upper and of the lower lid.
_EYE_POINTS = ((468, 33, 133, 159, 145), (473, 362, 263, 386, 374))


def features(sample: Sample) -> Vector:
    """All that the tracker knows of one picture with a face: 52 scores, 3 head angles, 2 x 3 of the eyes."""
    reading = sample.reading
    if reading is None:
        raise ValueError("a picture without a face has no features")
    eyes = []
    for iris, first, second, upper, lower in _EYE_POINTS:
        points = reading.landmarks[:, :2]
        across = points[second] - points[first]
        width = float(np.hypot(*across))
        along, down = across / width, np.array([-across[1], across[0]]) / width
        offset = points[iris] - (points[first] + points[second]) / 2
        opening = float(np.hypot(*(points[upper] - points[lower])))
        eyes += [offset @ along / width, offset @ down / width, opening / width]
    angles = [sample.angles[name] for name in ("yaw", "pitch", "roll")]
    return np.concatenate([reading.blendshapes, angles, eyes])


class LinearReadout:
    """Ridge regression from all features to a commanded value, learnt on pictures of its own."""

    def __init__(self, samples: list[Sample], values: Vector, *, ridge: float = 0.05) -> None:
        table = np.array([features(sample) for sample in samples])
        self._mean, self._scale = table.mean(axis=0), table.std(axis=0) + 1e-4
        x = (table - self._mean) / self._scale
        self._offset = float(values.mean())
        gram = x.T @ x + ridge * len(x) * np.eye(x.shape[1])
        self._weights = np.linalg.solve(gram, x.T @ (values - self._offset))

    def __call__(self, sample: Sample) -> float:
        """Predicted value for one picture with a face."""
        return float((features(sample) - self._mean) / self._scale @ self._weights + self._offset)
