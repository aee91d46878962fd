"""Random pictures of one person: how the head is turned, what the face does, the light, the lens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError
from fabg.expression import INDEX, N_SHAPES, SHAPES
from fabg.geometry import pose, rotation_from_ypr
from fabg.social.avatar import FRONTAL, Actor, Background, FacePose, Lens, Light, Person, Picture, Studio

Array = NDArray[np.float64]

_PAIRED = tuple(n.removesuffix("Left") for n in SHAPES if n.endswith("Left") and not n.startswith("eyeL"))
MIXED: tuple[str, ...] = (
    *(n for n in _PAIRED if n not in ("eyeBlink", "jaw", "mouth")),
    "jawOpen", "jawLeft", "jawRight", "mouthLeft", "mouthRight", "mouthFunnel", "mouthPucker",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "browInnerUp", "cheekPuff",
)  # fmt: skip
"""Shapes that a random expression draws from, those with two sides by their common name. Blinks are drawn
on their own; the eyes' turning follows from the gaze."""

_EYES = np.array([-0.02, 0.0, -0.01])
"""About where the eyes are in the head frame, m: only to aim at a point."""
_HEAD_M = (0.11, 0.15)
"""Half of a head's width and height, so that it is in the picture as a whole."""


@dataclass(frozen=True, kw_only=True)
class FaceRanges:
    """What varies between the pictures, each drawn evenly unless it says otherwise.

    Attributes
    ----------
    distance_m
        Nearest and farthest, m; drawn evenly in its logarithm.
    yaw_deg, pitch_deg, roll_deg
        Largest head angles to both sides, against a head that faces the camera, degrees.
    gaze_deg
        Largest angle of the gaze against the head, degrees; drawn evenly over the disc.
    fixation_m
        Nearest and farthest point looked at, m from the eyes.
    aside
        How far from the middle the head may be, as a share of the way on which it is in the image as a
        whole, 0..1.
    shapes
        Most shapes at once in a random expression; 0 for resting faces.
    resting
        Share of pictures with a resting face, 0..1.
    blink
        Share of pictures with eyes closed to some degree, 0..1.
    key, ambient
        See `fabg.social.avatar.Light`; the light comes from above or beside the camera.
    blur_px, noise
        See `fabg.social.avatar.Lens`.
    exposure
        Brightness factor of the picture.

    Raises
    ------
    ConfigError
        When a range is upside down or a share is not within 0 to 1.
    """

    distance_m: tuple[float, float] = (0.4, 2.0)
    yaw_deg: float = 30.0
    pitch_deg: float = 20.0
    roll_deg: float = 20.0
    gaze_deg: float = 20.0
    fixation_m: tuple[float, float] = (0.4, 4.0)
    aside: float = 0.7
    shapes: int = 5
    resting: float = 0.3
    blink: float = 0.2
    key: tuple[float, float] = (0.5, 1.1)
    ambient: tuple[float, float] = (0.25, 0.6)
    blur_px: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (0.0, 6.0)
    exposure: tuple[float, float] = (0.7, 1.3)

    def __post_init__(self) -> None:
        for name in ("distance_m", "fixation_m", "key", "ambient", "blur_px", "noise", "exposure"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ConfigError(f"{name} is {(low, high)}: expected the smaller number first")
        for name in ("aside", "resting", "blink"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} is {value}: expected 0 to 1")


def picture_of(
    rng: np.random.Generator, person: Person, ranges: FaceRanges, studio: Studio
) -> tuple[Picture, dict[str, float]]:
    """Return a picture of somebody, and what was drawn for it by name (see `FaceSamples.conditions`)."""
    head, drawn = _head(rng, ranges, studio)
    angle, way = math.radians(ranges.gaze_deg) * math.sqrt(rng.random()), rng.uniform(0.0, 2.0 * math.pi)
    look = rotation_from_ypr(angle * math.cos(way), angle * math.sin(way), 0.0)[:, 0]
    target = head @ np.append(_EYES + rng.uniform(*ranges.fixation_m) * look, 1.0)
    face = FacePose(head, _expression(rng, ranges), target[:3])
    towards = (rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 0.2), -0.75)
    light = Light(towards, rng.uniform(*ranges.key), rng.uniform(*ranges.ambient), rng.uniform(-0.5, 0.8))
    lens = Lens(
        blur_px=rng.uniform(*ranges.blur_px),
        noise=rng.uniform(*ranges.noise),
        exposure_ev=math.log2(rng.uniform(*ranges.exposure)),
    )
    kind: Any = rng.choice(["plain", "gradient", "room"])
    background = Background(kind, tuple(rng.uniform(0.1, 0.9, 3)), tuple(rng.uniform(0.1, 0.9, 3)))
    seed = int(rng.integers(2**31))
    picture = studio.render([Actor(person, face)], light=light, background=background, lens=lens, seed=seed)
    drawn |= {
        "tone": float(np.mean(person.skin)),
        "age_years": person.age_years,
        "light_deg": math.degrees(math.atan2(math.hypot(*towards[:2]), -towards[2])),
        "key": light.key,
        "ambient": light.ambient,
        "blur_px": lens.blur_px,
        "noise": lens.noise,
        "exposure": 2.0**lens.exposure_ev,
    }
    return picture, drawn


def _head(rng: np.random.Generator, ranges: FaceRanges, studio: Studio) -> tuple[Array, dict[str, float]]:
    """Return a head pose (4, 4) that is in the picture as a whole, and what was drawn for it."""
    near, far = ranges.distance_m
    z = math.exp(rng.uniform(math.log(near), math.log(far)))
    camera, place = studio.camera, []
    for size, focal, middle, half in zip(
        studio.size, (camera.fx, camera.fy), (camera.cx, camera.cy), _HEAD_M, strict=True
    ):
        room = max(min(middle, size - 1 - middle) * z / focal - half, 0.0)
        place.append(ranges.aside * rng.uniform(-room, room))
    largest = (ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg)
    angles_deg = [float(rng.uniform(-a, a)) for a in largest]
    position = np.array([*place, z])
    rotation = turned_to(position) @ FRONTAL @ rotation_from_ypr(*(math.radians(a) for a in angles_deg))
    names = ("yaw_deg", "pitch_deg", "roll_deg")
    drawn = {"distance_m": float(np.linalg.norm(position)), **dict(zip(names, angles_deg, strict=True))}
    return pose(rotation, position), drawn


def turned_to(position: Array) -> Array:
    """Return the shortest rotation (3, 3) from the optical axis to the ray to a position (3,)."""
    x, y, z = position / np.linalg.norm(position)
    cross = np.array([[0.0, 0.0, x], [0.0, 0.0, y], [-x, -y, 0.0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1.0 + z))


def _expression(rng: np.random.Generator, ranges: FaceRanges) -> Array:
    """Return random shapes (52,): a few at once, mostly the same on both sides, and sometimes a blink."""
    shapes = np.zeros(N_SHAPES)
    if ranges.shapes and rng.random() >= ranges.resting:
        for name in rng.choice(MIXED, rng.integers(1, ranges.shapes + 1), replace=False):
            _set(rng, shapes, str(name), rng.uniform(0.15, 1.0))
    if rng.random() < ranges.blink:
        _set(rng, shapes, "eyeBlink", rng.uniform(0.0, 1.0))
    return shapes


def _set(rng: np.random.Generator, shapes: Array, name: str, value: float) -> None:
    if name in INDEX:
        shapes[INDEX[name]] = value
        return
    sides = ["Left", "Right"] if rng.random() < 0.75 else [str(rng.choice(["Left", "Right"]))]
    for side in sides:
        shapes[INDEX[name + side]] = value
