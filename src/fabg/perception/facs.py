"""Action units of the Facial Action Coding System (Ekman, Friesen, Hager 2002) of a face.

ARKit's blendshapes were modelled on action units, so each unit is the mean of one or a few shapes; units
that can be read better from all shapes and the landmarks together (`fabg.perception.affect`) are. The
intensity is 0..1, not an annotator's A to E. Units that no shape tells of are absent; units whose
shapes the landmarker reports as (nearly) nothing whatever the face does are given without confidence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fabg.expression import INDEX, N_SHAPES
from fabg.perception.affect import UNITS, Affect
from fabg.perception.types import Face

N_UNITS = 99
"""Units are numbered 0..98; many numbers are not in use."""


def _both(shape: str) -> tuple[str, str]:
    return f"{shape}Left", f"{shape}Right"


UNIT_SHAPES: Mapping[int, tuple[str, ...]] = {
    1: ("browInnerUp",),
    2: _both("browOuterUp"),
    4: _both("browDown"),
    5: _both("eyeWide"),
    6: _both("cheekSquint"),
    7: _both("eyeSquint"),
    9: _both("noseSneer"),
    10: _both("mouthUpperUp"),
    12: _both("mouthSmile"),
    14: _both("mouthDimple"),
    15: _both("mouthFrown"),
    16: _both("mouthLowerDown"),
    17: ("mouthShrugLower",),
    18: ("mouthPucker",),
    19: ("tongueOut",),
    20: _both("mouthStretch"),
    22: ("mouthFunnel",),
    24: _both("mouthPress"),
    26: ("jawOpen",),
    28: ("mouthRollLower", "mouthRollUpper"),
    29: ("jawForward",),
    34: ("cheekPuff",),
    45: _both("eyeBlink"),
    61: ("eyeLookOutLeft", "eyeLookInRight"),
    62: ("eyeLookInLeft", "eyeLookOutRight"),
    63: _both("eyeLookUp"),
    64: _both("eyeLookDown"),
}
"""Action unit -> the shapes whose mean is its intensity."""

UNRELIABLE: frozenset[int] = frozenset({6, 9, 19, 34})
"""Units whose shapes MediaPipe's landmarker leaves at zero (cheekSquint, noseSneer, tongueOut, cheekPuff)."""

_LIPS_PART, _JAW_SIDEWAYS, _WINK = 25, 30, 46


def _weights() -> NDArray[np.float64]:
    weights = np.zeros((N_UNITS, N_SHAPES))
    for unit, shapes in UNIT_SHAPES.items():
        for shape in shapes:
            weights[unit, INDEX[shape]] = 1.0 / len(shapes)
    return weights


_WEIGHTS = _weights()
_CONFIDENCE = np.zeros(N_UNITS)
_CONFIDENCE[[*UNIT_SHAPES, _LIPS_PART, _JAW_SIDEWAYS, _WINK]] = 1.0
_CONFIDENCE[list(UNRELIABLE)] = 0.0


def face_action_units(
    face: Face, affect: Affect | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return intensity and confidence of a face's action units, shape (99,) each, 0..1, indexed by unit.

    As `action_units`, but the units of `fabg.perception.affect.UNITS` are those of `affect` where it is given
    (the face as an `AffectReader` read it, which follows the person), and lips part (25) and wink (46)
    follow them.
    """
    intensity, confidence = action_units(face.blendshapes, min(max(face.confidence, 0.0), 1.0))
    if affect is None:
        return intensity, confidence
    for unit, sides in zip(UNITS, affect.units, strict=True):
        intensity[unit.action_unit] = sides.mean()
    intensity[_LIPS_PART] = max(affect.jaw_open - float(face.blendshapes[INDEX["mouthClose"]]), 0.0)
    left, right = affect.blink
    intensity[_WINK] = abs(left - right)
    return intensity, confidence


def action_units(
    blendshapes: NDArray[np.float64], confidence: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return intensity and confidence of the action units, shape (99,) each, 0..1, indexed by unit.

    Besides the means of `UNIT_SHAPES`: lips part (25) is an open jaw whose lips are not closed
    (``jawOpen - mouthClose``), jaw sideways (30) the larger of both directions, and a wink (46) the
    difference of the two blinks.

    Parameters
    ----------
    blendshapes
        52 ARKit shapes, 0..1, in the order of `fabg.expression.SHAPES`.
    confidence
        The face's confidence, 0..1; that of every unit which can be told.
    """
    intensity = _WEIGHTS @ blendshapes

    def shape(name: str) -> float:
        return float(blendshapes[INDEX[name]])

    intensity[_LIPS_PART] = shape("jawOpen") - shape("mouthClose")
    intensity[_JAW_SIDEWAYS] = max(shape("jawLeft"), shape("jawRight"))
    intensity[_WINK] = abs(shape("eyeBlinkLeft") - shape("eyeBlinkRight"))
    return np.clip(intensity, 0.0, 1.0), _CONFIDENCE * confidence
