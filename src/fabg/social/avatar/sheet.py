"""A contact sheet of simulated people: who there is, what faces and hands do, and people together."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.pose import Camera
from fabg.perception.types import Side
from fabg.social.avatar import (
    HAND_SHAPES,
    Actor,
    Background,
    EyeAngles,
    FacePose,
    HandPose,
    Light,
    Person,
    Studio,
    facing,
    hand_at,
    shapes_of,
)

Image = NDArray[np.uint8]

_TILE = 140
_PEOPLE = (1009, 1019, 1001, 1000, 1005, 1013, 1004, 1006, 1017, 1030, 1018, 1021)
_FACES = (
    shapes_of(mouthSmileLeft=0.9, mouthSmileRight=0.9, cheekSquintLeft=0.4, cheekSquintRight=0.4),
    shapes_of(jawOpen=0.75),
    shapes_of(browInnerUp=1, browOuterUpLeft=1, browOuterUpRight=1, eyeWideLeft=0.6, eyeWideRight=0.6),
    shapes_of(browDownLeft=1, browDownRight=1, mouthFrownLeft=0.6, mouthFrownRight=0.6),
    shapes_of(eyeBlinkLeft=1.0),
    shapes_of(mouthPucker=1.0),
)
_LOOKS = ((0.4, 0.0), (-0.4, 0.0), (0.0, 0.3), (0.0, -0.3), (0.3, 0.15), (-0.3, -0.15))
_HANDS = ("open", "fist", "point", "thumbs_up", "two", "relaxed")


def write_sheet(path: Path) -> Path:
    """Write the contact sheet as a picture; the ending of the name chooses the format.

    Raises
    ------
    InputError
        When the picture cannot be written there.
    """
    try:
        written = cv2.imwrite(
            str(path), cv2.cvtColor(sheet(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9]
        )
    except cv2.error as error:
        raise InputError(f"cannot write {path}: expected a name that ends in .png or .jpg") from error
    if not written:
        raise InputError(f"cannot write {path}: expected a folder that exists and may be written to")
    return path


def sheet() -> Image:
    """Return the contact sheet, RGB."""
    small = Camera.from_fov(2 * _TILE, 2 * _TILE, 34.0)
    with Studio(small, (2 * _TILE, 2 * _TILE)) as studio:
        people = [
            _tile(studio, Actor(Person.random(seed), _portrait(turn)))
            for seed, turn in zip(_PEOPLE, 0.4 * np.cos(np.arange(len(_PEOPLE)) * 2.2), strict=True)
        ]
        faces = [_tile(studio, Actor(Person.random(1019), FacePose(_HERE, shapes))) for shapes in _FACES]
        looks = [
            _tile(studio, Actor(Person.random(1009), FacePose(_HERE, gaze=EyeAngles.both(*look))))
            for look in _LOOKS
        ]
        hands = [_tile(studio, _hand(name, k)) for k, name in enumerate(_HANDS)]
    tiles = [*people, *faces, *looks, *hands]
    rows = [np.hstack(tiles[k : k + 6]) for k in range(0, len(tiles), 6)]
    return np.vstack([*rows, _together()])


_HERE = facing((0.0, -0.01, 0.42))


def _portrait(turn: float) -> FacePose:
    return FacePose(facing((0.0, 0.02, 0.62), yaw_rad=float(turn)), gaze=np.zeros(3))


def _hand(name: str, k: int) -> Actor:
    side = Side.RIGHT if k % 2 else Side.LEFT
    towards = np.array([0.0, -1.0, 0.1])
    palm = np.array([0.25, 0.0, -1.0])
    if name == "thumbs_up":
        # The fingers lie across, so that the thumb stands upright.
        towards, palm = np.array([-1.0, 0.0, -0.2]), np.array([0.1, 0.0, -1.0])
        side = Side.RIGHT
    return Actor(
        Person.random(_PEOPLE[2 * k]),
        hands=(
            HandPose(side, hand_at((0.0, 0.015, 0.45), fingers_to=towards, palm_to=palm), HAND_SHAPES[name]),
        ),
    )


def _tile(studio: Studio, actor: Actor) -> Image:
    background = Background("gradient", (0.74, 0.76, 0.79), (0.52, 0.54, 0.57))
    image = studio.render([actor], background=background).image
    return np.asarray(cv2.resize(image, (_TILE, _TILE), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _together() -> Image:
    width, height = 6 * _TILE, int(2.6 * _TILE)
    camera = Camera.from_fov(width, height, 62.0)
    left, middle, right = (Person.random(seed) for seed in (1013, 1010, 1018))
    child, behind = Person.random(1027), Person.random(1006)
    wave = HandPose(
        Side.RIGHT,
        hand_at((-0.62, -0.02, 1.10), fingers_to=(-0.2, -1, 0), palm_to=(0.2, 0, -1)),
        HAND_SHAPES["open"],
    )
    point = HandPose(
        Side.LEFT,
        hand_at((0.27, 0.20, 1.00), fingers_to=(1, -0.25, -0.2), palm_to=(0.2, 0.4, -1)),
        HAND_SHAPES["point"],
    )
    up = HandPose(
        Side.LEFT,
        hand_at((0.44, 0.12, 1.10), fingers_to=(-0.9, 0, -0.4), palm_to=(0.2, 0, 1)),
        HAND_SHAPES["thumbs_up"],
    )
    look_left = FacePose(facing((-0.42, -0.10, 1.35), yaw_rad=0.15), _FACES[0], np.zeros(3))
    look_middle = FacePose(facing((0.05, -0.12, 1.35), yaw_rad=0.5), gaze=np.array([0.45, 0.0, 1.0]))
    look_right = FacePose(facing((0.66, -0.05, 1.35), yaw_rad=-0.3), _FACES[0] * 0.5, np.zeros(3))
    actors = [
        Actor(left, look_left, (wave,)),
        Actor(middle, look_middle, (point,)),
        Actor(right, look_right, (up,)),
        Actor(behind, FacePose(facing((-0.17, -0.20, 1.85), yaw_rad=-0.1), gaze=np.zeros(3))),
        Actor(child, FacePose(facing((0.38, 0.04, 1.8), yaw_rad=-0.2), _FACES[1] * 0.4)),
    ]
    light = Light(direction=(-0.6, -0.5, -0.8), key=0.8, ambient=0.38, warmth=0.4)
    with Studio(camera, (width, height)) as studio:
        return studio.render(actors, light=light, background=Background("room"), seed=11).image
