"""Random pictures of one hand that says something: how it is turned, how far it is, the light, the lens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.geometry import rotation_from_ypr
from fabg.perception.types import Gesture, Side
from fabg.social.avatar import (
    HAND_SHAPES,
    Actor,
    Background,
    FacePose,
    Fingers,
    HandPose,
    Lens,
    Light,
    Person,
    Picture,
    Studio,
    facing,
    hand_at,
)

Array = NDArray[np.float64]

GESTURES: tuple[Gesture, ...] = tuple(g for g in Gesture if g != Gesture.WAVE)
"""Gestures that a single picture can show."""
OTHERS: Mapping[str, Fingers] = {
    **{name: HAND_SHAPES[name] for name in ("two", "three", "little", "claw", "relaxed")},
    "ok": Fingers((0.62, 0.0, 0.0, 0.0), 0.55, 0.5),
    "horns": Fingers((0.0, 1.0, 1.0, 0.0), 0.9, 0.2),
    "thumbs_down": HAND_SHAPES["thumbs_up"],
}
"""Hands that say none of the gestures."""
_FINGERS = {
    Gesture.FIST: "fist",
    Gesture.OPEN_PALM: "open",
    Gesture.THUMBS_UP: "thumbs_up",
} | dict.fromkeys((Gesture.UP, Gesture.DOWN, Gesture.LEFT, Gesture.RIGHT, Gesture.POINTING), "point")
_CLOCK_DEG = {Gesture.UP: 0.0, Gesture.RIGHT: 90.0, Gesture.DOWN: 180.0, Gesture.LEFT: -90.0}
"""Where the fingers point in the image, degrees clockwise from up."""
_TURN_DEG, _TILT_DEG = 30.0, 30.0
"""How far a hand is turned in the image and tilted out of it, to every side."""
_JITTER = 0.07
_HALF_HAND_M = 0.11


@dataclass(frozen=True)
class HandScene:
    """One hand before it is drawn.

    Attributes
    ----------
    gesture
        What it says.
    pose
        Name of the fingers' pose.
    view
        "palm" or "back": what the camera sees; "towards" or "away" for a finger along the camera's axis.
    hand
        The hand.
    conditions
        What was drawn, by name: ``distance_m``, ``turn_deg``, ``tilt_deg``.
    """

    gesture: Gesture
    pose: str
    view: str
    hand: HandPose
    conditions: dict[str, float]


def scene_of(
    rng: np.random.Generator, gesture: Gesture, studio: Studio, *, palm: bool, away: bool = False
) -> HandScene:
    """Return a hand that says `gesture`, its palm or its back to the camera, wholly in the picture.

    A finger along the camera's axis points at the camera, or `away` from it.
    """
    side = Side.RIGHT if rng.random() < 0.5 else Side.LEFT
    pose = str(rng.choice(list(OTHERS))) if gesture == Gesture.NONE else _FINGERS[gesture]
    fingers = _shaken(rng, OTHERS[pose] if gesture == Gesture.NONE else HAND_SHAPES[pose])
    turn = rng.uniform(-_TURN_DEG, _TURN_DEG)
    tilt, way = _TILT_DEG * math.sqrt(rng.random()), rng.uniform(0.0, 2.0 * math.pi)
    towards = np.array([0.0, 0.0, -1.0 if palm else 1.0])
    view = "palm" if palm else "back"
    if gesture == Gesture.POINTING:
        # The palm looks anywhere but up.
        view = "away" if away else "towards"
        along = np.array([0.0, 0.0, 1.0 if away else -1.0])
        roll = math.radians(rng.uniform(-80.0, 80.0))
        towards = np.array([math.sin(roll), math.cos(roll), 0.0])
    else:
        clock = _CLOCK_DEG.get(gesture, 0.0)
        if pose in ("thumbs_up", "thumbs_down"):
            # The thumb is a quarter turn away from the fingers, to a side that view and hand decide.
            clock = -90.0 if (side == Side.RIGHT) == palm else 90.0
            clock += 180.0 if pose == "thumbs_down" else 0.0
        elif gesture == Gesture.NONE:
            clock = rng.uniform(-180.0, 180.0) if pose in ("two", "three", "horns", "little") else 0.0
        angle = math.radians(clock + turn)
        along = np.array([math.sin(angle), -math.cos(angle), 0.0])
    axis = np.array([math.cos(way), math.sin(way), 0.0]) * math.radians(tilt)
    tilted = _rotation(axis)
    distance = math.exp(rng.uniform(math.log(0.3), math.log(1.2)))
    place = _place(rng, distance, studio)
    hand = HandPose(side, hand_at(place, fingers_to=tilted @ along, palm_to=tilted @ towards), fingers)
    return HandScene(
        gesture, pose, view, hand, {"distance_m": float(place[2]), "turn_deg": turn, "tilt_deg": tilt}
    )


def picture_of(
    rng: np.random.Generator, person: Person, scene: HandScene, studio: Studio, with_face: bool
) -> tuple[Picture, dict[str, float]]:
    """Return a picture of a hand, with its owner's head behind it or without, and what was drawn for it."""
    face = None
    if with_face:
        x, y, z = scene.hand.pose[:3, 3]
        behind = z + rng.uniform(0.2, 0.45)
        head = (x + rng.uniform(-0.25, 0.25), y - rng.uniform(0.0, 0.3), behind)
        face = FacePose(facing(head, yaw_rad=rng.uniform(-0.3, 0.3), pitch_rad=rng.uniform(-0.2, 0.2)))
    light = Light(
        (rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 0.2), -0.75),
        rng.uniform(0.5, 1.1),
        rng.uniform(0.25, 0.6),
        rng.uniform(-0.5, 0.8),
    )
    lens = Lens(
        blur_px=rng.uniform(0.0, 1.0), noise=rng.uniform(0.0, 6.0), exposure_ev=rng.uniform(-0.5, 0.4)
    )
    kind: Any = rng.choice(["plain", "gradient", "room"])
    background = Background(kind, tuple(rng.uniform(0.1, 0.9, 3)), tuple(rng.uniform(0.1, 0.9, 3)))
    picture = studio.render(
        [Actor(person, face, (scene.hand,))],
        light=light,
        background=background,
        lens=lens,
        seed=int(rng.integers(2**31)),
    )
    drawn = scene.conditions | {
        "tone": float(np.mean(person.skin)),
        "age_years": person.age_years,
        "with_face": float(with_face),
        "blur_px": lens.blur_px,
        "noise": lens.noise,
        "exposure_ev": lens.exposure_ev,
        "visible": picture.hands[0].visible,
    }
    return picture, drawn


def _shaken(rng: np.random.Generator, fingers: Fingers) -> Fingers:
    """Return fingers that are bent a little otherwise."""
    curl = np.clip(np.array(fingers.curl) + rng.normal(0.0, _JITTER, 4), -0.1, 1.0)
    thumb = float(np.clip(fingers.thumb + rng.normal(0.0, _JITTER), -1.0, 1.0))
    spread = float(np.clip(fingers.spread + rng.normal(0.0, 0.1), 0.0, 1.0))
    a, b, c, d = (float(v) for v in curl)
    return Fingers((a, b, c, d), thumb, spread)


def _rotation(vector: Array) -> Array:
    """Return the rotation about an axis in the image plane, its length the angle, rad."""
    angle = float(np.linalg.norm(vector))
    way = math.atan2(float(vector[1]), float(vector[0]))
    about = rotation_from_ypr(way, 0.0, 0.0)
    return np.asarray(about @ rotation_from_ypr(0.0, 0.0, angle) @ about.T)


def _place(rng: np.random.Generator, distance: float, studio: Studio) -> Array:
    """Return where the palm is so that the whole hand is in the picture, m."""
    camera = studio.camera
    place = []
    middles = ((studio.size[0], camera.fx, camera.cx), (studio.size[1], camera.fy, camera.cy))
    for size, focal, middle in middles:
        room = max(min(middle, size - 1 - middle) * distance / focal - _HALF_HAND_M, 0.0)
        place.append(0.8 * rng.uniform(-room, room))
    return np.array([*place, distance])
