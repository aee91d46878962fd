"""Intensities of facial movements from the landmarker's blendshapes and the geometry of the landmarks.

A blendshape of the landmarker is a guess at one movement that leaks when others move or the head turns.
Here each movement is read by a linear model from all blendshapes, from points on brows, lids, nose, lips
and chin in a frame that moves with the skull, and from the head's turn. The models are ridge
regressions fitted on rendered people (`fabg.evaluation.fit_affect`); both sides of a face share one model,
applied to the face and to its mirror image.

The models tell how a face *changes*: faces differ more from each other than an expression moves them.
What the reading is at rest, `AffectReader` learns for each person while it follows them.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ModelFileError, check_ranges
from fabg.expression import INDEX, N_SHAPES, SIZE, mirrored
from fabg.perception.clock import ImageClock
from fabg.perception.landmark import N_LANDMARKS
from fabg.perception.types import Face, Faces


@dataclass(frozen=True)
class Unit:
    """One movement that is read: its name, its action unit, and the blendshape (without side) it means."""

    name: str
    action_unit: int
    shape: str

    @property
    def shapes(self) -> tuple[str, str]:
        """The blendshapes of the person's left and right side (the same one when it has no sides)."""
        if self.shape in INDEX:
            return self.shape, self.shape
        return f"{self.shape}Left", f"{self.shape}Right"


UNITS: tuple[Unit, ...] = (
    Unit("brow_inner_up", 1, "browInnerUp"),
    Unit("brow_outer_up", 2, "browOuterUp"),
    Unit("brow_lower", 4, "browDown"),
    Unit("eye_wide", 5, "eyeWide"),
    Unit("lip_raise", 10, "mouthUpperUp"),
    Unit("smile", 12, "mouthSmile"),
    Unit("lip_corner_down", 15, "mouthFrown"),
    Unit("lip_lower", 16, "mouthLowerDown"),
    Unit("pucker", 18, "mouthPucker"),
    Unit("lip_stretch", 20, "mouthStretch"),
    Unit("funnel", 22, "mouthFunnel"),
    Unit("lip_press", 24, "mouthPress"),
    Unit("jaw_open", 26, "jawOpen"),
    Unit("blink", 45, "eyeBlink"),
)
"""The movements in the order of `Affect.units`."""

UNIT: dict[str, int] = {unit.name: i for i, unit in enumerate(UNITS)}

_SIDES = np.array([[INDEX[shape] for shape in unit.shapes] for unit in UNITS])

# Points of the landmarker: those that hardly move with the face, and those that tell what it does.
RIGID: tuple[int, ...] = (
    33, 133, 362, 263, 6, 168, 197, 195, 5, 4, 10, 54, 284, 67, 297, 127, 356, 143, 372, 234, 454, 129, 358, 198, 420,
)  # fmt: skip
_MIDDLE = (0, 13, 14, 17, 152, 2, 9)
_LEFT = (
    291, 270, 267, 321, 314, 308, 310, 317, 409, 375,  # lips
    300, 293, 334, 296, 336, 276, 283, 282, 295, 285,  # brow, upper and lower edge
    386, 374, 385, 387, 380, 373,  # lids
    280, 425, 426, 327, 331, 439, 397, 430, 347, 348,  # cheek, nostril, jaw, under the eye
)  # fmt: skip
_RIGHT = (
    61, 40, 37, 91, 84, 78, 80, 87, 185, 146,
    70, 63, 105, 66, 107, 46, 53, 52, 65, 55,
    159, 145, 158, 160, 153, 144,
    50, 205, 206, 98, 102, 219, 172, 210, 118, 119,
)  # fmt: skip
_POINTS = np.array(_MIDDLE + _LEFT + _RIGHT)
_N_MIDDLE, _N_SIDE = len(_MIDDLE), len(_LEFT)
_SWAPPED = np.array(
    [*range(_N_MIDDLE), *range(_N_MIDDLE + _N_SIDE, len(_POINTS)), *range(_N_MIDDLE, _N_MIDDLE + _N_SIDE)]
)
# Upper lid, lower lid, inner and outer corner; the left eye first.
_EYES = ((386, 374, 362, 263), (159, 145, 133, 33))
_N_FEATURES = 2 * N_SHAPES + 3 * len(_POINTS) + 8

_DATA = Path(__file__).parent / "data" / "affect.json"


@dataclass(frozen=True)
class Model:
    """The fitted models.

    Attributes
    ----------
    template
        Mean place of the `RIGID` points, shape (n, 3), in half distances of the outer eye corners:
        x to the person's left, y up, z out of the face.
    weights
        Of each feature for each unit, shape (features, units).
    """

    template: NDArray[np.float64]
    weights: NDArray[np.float64]


@functools.cache
def model() -> Model:
    """Return the fitted models that come with the package.

    Raises
    ------
    ModelFileError
        When their file is missing or does not fit the code.
    """
    try:
        data = json.loads(_DATA.read_text())
        found = Model(*(np.array(data[name], dtype=np.float64) for name in ("template", "weights")))
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(f"{_DATA} cannot be read ({error}): install fabg anew") from error
    wanted = (_N_FEATURES, len(UNITS))
    if found.template.shape != (len(RIGID), 3) or found.weights.shape != wanted:
        raise ModelFileError(f"{_DATA} holds weights {found.weights.shape}: expected {wanted}")
    return found


def read_units(face: Face) -> NDArray[np.float64] | None:
    """Return what the models read of `UNITS`, shape (units, 2): the person's left and right side.

    Differences between two images of one person are intensities; the level is the person's own. None
    without usable landmarks.
    """
    found = features(face, model().template)
    return None if found is None else np.asarray((found @ model().weights).T)


def shape_units(blendshapes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plain blendshapes that `UNITS` mean, shape (units, 2)."""
    return np.asarray(blendshapes, dtype=np.float64)[_SIDES]


def features(face: Face, template: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return what the models read, shape (2, features): of the face for its left side, and of its mirror image.

    None when the landmarks are not finite, or no face: all on one point or line.
    """
    placed = place(face.landmarks, template)
    if placed is None or not np.isfinite(face.blendshapes).all():
        return None
    points, turn = placed
    shapes = np.zeros(SIZE)
    shapes[:N_SHAPES] = np.clip(face.blendshapes, 0.0, 1.0)
    seen = np.stack([points[_POINTS], points[_POINTS][_SWAPPED] * (-1.0, 1.0, 1.0)])
    both = np.stack([shapes[:N_SHAPES], mirrored(shapes)[:N_SHAPES]])
    # Openings, which are what lids and lips are about, do not depend linearly on the points.
    lids = np.array([_opening(points, *eye) for eye in _EYES])
    lips = math.dist(points[13], points[14]), math.dist(points[61], points[291])
    yaw, pitch = turn
    rest = np.array(
        [[lids[0], lids[1], *lips, yaw, yaw * yaw, pitch, pitch * pitch],
         [lids[1], lids[0], *lips, -yaw, yaw * yaw, pitch, pitch * pitch]]
    )  # fmt: skip
    return np.concatenate([both, np.sqrt(both), seen.reshape(2, -1), rest], axis=1)


def _opening(points: NDArray[np.float64], upper: int, lower: int, inner: int, outer: int) -> float:
    return math.dist(points[upper], points[lower]) / max(math.dist(points[inner], points[outer]), 1e-6)


def place(
    landmarks: NDArray[np.float64], template: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[float, float]] | None:
    """Return the landmarks (478, 3) in the frame of `template`, and from where the face is seen.

    The second is a yaw and a pitch in rad: how far the head is turned to its own left and down against
    the line of sight, whatever its roll. The similarity is the one of least squares over the `RIGID`
    points (Umeyama 1991). None when the landmarks are not finite or do not span a face.
    """
    if landmarks.shape != (N_LANDMARKS, 3) or not np.isfinite(landmarks).all():
        return None
    seen = landmarks * (1.0, -1.0, -1.0)
    rigid = seen[list(RIGID)]
    middle, wanted = rigid.mean(axis=0), template - template.mean(axis=0)
    centred = rigid - middle
    left, sizes, right = np.linalg.svd(wanted.T @ centred)
    spread = float((centred**2).sum())
    if spread < 1e-6 or sizes[1] < 1e-6 * sizes[0]:
        return None
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * flip) @ right
    scale = float((sizes * flip).sum()) / spread
    sight = rotation[:, 2]  # the way to the camera in the template's frame
    turn = math.atan2(-sight[0], sight[2]), math.asin(max(-1.0, min(1.0, sight[1])))
    return scale * (seen - middle) @ rotation.T + template.mean(axis=0), turn


@dataclass(frozen=True)
class Affect:
    """What one face does, in one image: movements, not emotions.

    Attributes
    ----------
    face_id
        Whose face.
    units
        Intensities of `UNITS` above the person's resting face, 0..1, shape (units, 2): left, right.
    """

    face_id: str
    units: NDArray[np.float64]

    def both(self, name: str) -> float:
        """Return the mean of both sides of a unit, 0..1."""
        return float(self.units[UNIT[name]].mean())

    @property
    def smile(self) -> float:
        """AU12, 0..1."""
        return self.both("smile")

    @property
    def jaw_open(self) -> float:
        """AU26, 0..1."""
        return self.both("jaw_open")

    @property
    def blink(self) -> tuple[float, float]:
        """AU45 of the left and the right eye, 0..1."""
        left, right = self.units[UNIT["blink"]]
        return float(left), float(right)

    @property
    def brow_raise(self) -> float:
        """Mean of AU1 and AU2, 0..1."""
        return (self.both("brow_inner_up") + self.both("brow_outer_up")) / 2.0

    @property
    def brow_lower(self) -> float:
        """AU4, 0..1."""
        return self.both("brow_lower")

    @property
    def surprise(self) -> float:
        """See `surprise`, 0..1."""
        return surprise(self.brow_raise, self.both("eye_wide"), self.jaw_open, self.brow_lower)


def surprise(brow_raise: float, eye_wide: float, jaw_open: float, brow_lower: float) -> float:
    """Return how much of a surprised face there is, 0..1.

    Raised brows are needed (AU1+2); they count for 0.4 alone and for 1 with wide eyes (AU5) or a dropped
    jaw (AU26), and lowered brows (AU4) take from it: ``brow_raise (0.4 + 0.6 max(eye_wide, jaw_open))
    (1 - brow_lower)``.
    """
    return brow_raise * (0.4 + 0.6 * max(eye_wide, jaw_open)) * (1.0 - brow_lower)


@dataclass(frozen=True, kw_only=True)
class AffectConfig:
    """How a person's resting face is learned.

    Attributes
    ----------
    settle_s
        The level of the reading is the blendshapes' mean over so long a time, s.
    rest_quantile
        Resting is this quantile of what was seen of a movement, 0.01..0.5.
    rest_rate_hz
        How fast it follows, intensities a second (ten times as fast in a person's first second).
    rest_limit
        It is at most this far from 0; 0 turns the calibration off.
    forget_s
        A face unseen for longer is forgotten, s.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    settle_s: float = 10.0
    rest_quantile: float = 0.35
    rest_rate_hz: float = 0.05
    rest_limit: float = 0.4
    forget_s: float = 5.0

    def __post_init__(self) -> None:
        ranges = {
            "settle_s": (0.1, 600.0),
            "rest_quantile": (0.01, 0.5),
            "rest_rate_hz": (0.0, 1.0),
            "rest_limit": (0.0, 0.5),
            "forget_s": (0.0, 600.0),
        }
        check_ranges(self, ranges)


_QUICK, _QUICK_S = 10.0, 1.0


@dataclass
class _Person:
    seen_s: float
    age_s: float
    level: NDArray[np.float64]
    rest: NDArray[np.float64]


class AffectReader:
    """Reads movements above each person's resting face. Not thread-safe.

    The models' reading has a level of the person's own. In the first image it is set so that the
    reading is what the blendshapes say, and then to agree with them in the mean over time: the models
    tell how a face moves, the blendshapes, which know real faces, roughly from where. What then still
    stands at rest is a running quantile, which rises by ``rate * quantile`` a second while the reading lies
    above it, and falls by ``rate * (1 - quantile)`` while it lies below: a long smile changes it little,
    and an outlier no more than any other image.
    """

    def __init__(self, config: AffectConfig | None = None) -> None:
        self.config = config or AffectConfig()
        """The configuration in force; may be replaced at any time."""
        model()  # fails here rather than at the first face
        self._clock = ImageClock()
        self._people: dict[str, _Person] = {}

    def update(self, faces: Faces) -> tuple[Affect, ...]:
        """Return what each face of one image does, in the order of the faces.

        Raises
        ------
        InputError
            When the stamp is not finite.
        """
        self._clock.advance(faces.stamp_s)
        found = tuple(self._read(face) for face in faces.faces)
        now_s, keep_s = self._clock.now_s, self.config.forget_s
        self._people = {n: p for n, p in self._people.items() if now_s - p.seen_s <= keep_s}
        return found

    def resting(self, face_id: str) -> NDArray[np.float64]:
        """Return what is taken off for a person's resting face, shape (units, 2); zeros for a stranger."""
        person = self._people.get(face_id)
        return np.zeros((len(UNITS), 2)) if person is None else person.rest.copy()

    def _read(self, face: Face) -> Affect:
        plain = shape_units(face.blendshapes)
        if not np.isfinite(plain).all():
            return Affect(face.id, np.zeros_like(plain))
        now_s, config = self._clock.now_s, self.config
        person = self._people.get(face.id)
        if person is None:
            person = self._people[face.id] = _Person(
                now_s, 0.0, np.full_like(plain, np.nan), np.zeros_like(plain)
            )
        # A gap tells nothing of the face in it: no image counts for more than a fifth of a second.
        step_s = min(now_s - person.seen_s, 0.2)
        person.seen_s, person.age_s = now_s, person.age_s + step_s
        reading = _levelled(read_units(face), plain, person, step_s, config)
        rate = config.rest_rate_hz * (1.0 + (_QUICK - 1.0) * math.exp(-person.age_s / _QUICK_S))
        above = np.where(reading > person.rest, config.rest_quantile, config.rest_quantile - 1.0)
        away = np.abs(reading - person.rest)  # the step does not go past the reading itself
        person.rest = np.clip(
            person.rest + np.clip(above * rate * step_s, -away, away), -config.rest_limit, config.rest_limit
        )
        return Affect(face.id, np.clip((reading - person.rest) / (1.0 - person.rest), 0.0, 1.0))


def _levelled(
    reading: NDArray[np.float64] | None,
    plain: NDArray[np.float64],
    person: _Person,
    step_s: float,
    config: AffectConfig,
) -> NDArray[np.float64]:
    """Return the reading with the level of the blendshapes; the blendshapes themselves when there is none."""
    if reading is None:
        return plain
    if np.isnan(person.level).any():
        person.level = reading - plain
    else:
        share = step_s / min(max(person.age_s, 1e-3) + step_s, config.settle_s)
        person.level = person.level + min(share, 1.0) * (reading - plain - person.level)
    return reading - person.level
