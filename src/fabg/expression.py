"""The one expression vector that operator frames, demonstrations, policies and commands all speak.

61 numbers: the 52 ARKit blendshapes (0..1) in the order of Live Link Face, then yaw, pitch, roll
(rad) of the left eye, of the right eye and of the head. "Left" is the subject's own left.

Angles follow REP-103 (x forward, y left, z up): yaw > 0 turns to the own left, pitch > 0 looks
down, roll > 0 tilts to the own right; R = Rz(yaw) Ry(pitch) Rx(roll). Eye angles are relative to
the head, head angles relative to the torso.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import CommandRefused

SHAPES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""The 52 ARKit blendshapes in Live Link Face's order."""

ANGLES: tuple[str, ...] = (
    "eyeYawLeft", "eyePitchLeft", "eyeRollLeft",
    "eyeYawRight", "eyePitchRight", "eyeRollRight",
    "headYaw", "headPitch", "headRoll",
)  # fmt: skip
"""The 9 angles that follow the shapes, in rad."""

NAMES: tuple[str, ...] = SHAPES + ANGLES
N_SHAPES = len(SHAPES)
SIZE = len(NAMES)
INDEX: Mapping[str, int] = {name: i for i, name in enumerate(NAMES)}

LEFT_EYE = slice(52, 55)
RIGHT_EYE = slice(55, 58)
HEAD = slice(58, 61)

Vector = NDArray[np.float64]
"""An expression vector, shape (61,)."""

_LOWEST = np.array([0.0] * N_SHAPES + [-math.pi] * len(ANGLES))
_HIGHEST = np.array([1.0] * N_SHAPES + [math.pi] * len(ANGLES))


def neutral() -> Vector:
    """Return the resting face looking straight ahead: 61 zeros."""
    return np.zeros(SIZE)


def from_mapping(values: Mapping[str, float]) -> Vector:
    """Build a vector from names; what is not named stays neutral.

    Raises
    ------
    CommandRefused
        For an unknown name or a value that is not finite.
    """
    vector = neutral()
    for name, value in values.items():
        if name not in INDEX:
            raise CommandRefused(f"unknown expression entry {name!r}: expected one of {', '.join(NAMES)}")
        vector[INDEX[name]] = value
    return checked(vector)


def checked(values: ArrayLike | Iterable[float], *, what: str = "expression vector") -> Vector:
    """Return `values` as a fresh float64 vector with the shapes clipped to 0..1 and angles to ±pi.

    Parameters
    ----------
    values
        61 numbers.
    what
        How the message names the value when it is refused.

    Raises
    ------
    CommandRefused
        When the length is not 61 or any value is NaN or infinite.
    """
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (SIZE,):
        raise CommandRefused(f"{what} has shape {vector.shape}: expected ({SIZE},)")
    if not math.isfinite(sum(vector.tolist())):  # the quick look: this runs several times a tick
        bad = np.flatnonzero(~np.isfinite(vector))
        if bad.size:
            first = int(bad[0])
            raise CommandRefused(
                f"{what}: {NAMES[first]} is {vector[first]} ({bad.size} not finite): expected numbers"
            )
    np.maximum(vector, _LOWEST, out=vector)
    return np.minimum(vector, _HIGHEST, out=vector)


def _mirror_permutation() -> tuple[NDArray[np.intp], Vector]:
    swapped = []
    for name in NAMES:
        if name.endswith("Left"):
            swapped.append(INDEX[name.removesuffix("Left") + "Right"])
        elif name.endswith("Right"):
            swapped.append(INDEX[name.removesuffix("Right") + "Left"])
        else:
            swapped.append(INDEX[name])
    sign = np.ones(SIZE)
    for name in ANGLES:
        if "Yaw" in name or "Roll" in name:
            sign[INDEX[name]] = -1.0
    return np.array(swapped), sign


_MIRROR, _MIRROR_SIGN = _mirror_permutation()


def mirrored(vector: ArrayLike) -> Vector:
    """Reflect a vector in the median plane: left and right change places, yaw and roll change sign.

    Facing a person, the reflected expression is what a mirror would show.
    """
    return np.asarray(vector, dtype=np.float64)[..., _MIRROR] * _MIRROR_SIGN
