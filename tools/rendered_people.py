"""Render a few seconds of two people, as pictures on which perception can be tried without filming anybody.

python tools/rendered_people.py runs/people
fabg perceive runs/people --out runs/perceived
python tools/picture.py runs/perceived/perceive.mp4 3.6 docs/media/perceive.png 1024
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from fabg.perception.pose import Camera
from fabg.perception.types import Side
from fabg.social.avatar import (
    FIRST_REPORT_SEED,
    Actor,
    Background,
    FacePose,
    HandPose,
    Person,
    Studio,
    facing,
    hand_at,
    shapes_of,
)

FPS = 25
SECONDS = 7.0
CAMERA = Camera.from_fov(640, 480, 60.0)
ROBOT = np.zeros(3)
FIRST, SECOND = Person.random(FIRST_REPORT_SEED + 21), Person.random(FIRST_REPORT_SEED + 16)


def rise(t: float, begin_s: float, end_s: float) -> float:
    """Return a smooth step from 0 to 1."""
    x = float(np.clip((t - begin_s) / (end_s - begin_s), 0.0, 1.0))
    return x * x * (3 - 2 * x)


def actors(t: float) -> list[Actor]:
    """Return both people at `t` s: the first smiles, then gives a thumbs up, then points; the second watches."""
    sway = 0.01 * np.sin(1.3 * t)
    blink = max(rise(t % 3.1, 2.5, 2.58) - rise(t % 3.1, 2.62, 2.74), 0.0)
    first_at = np.array([-0.08 + sway, -0.07, 0.62])
    second_at = np.array([0.21, -0.02 + sway, 0.80])
    smile = rise(t, 1.0, 1.6)
    face = FacePose(
        facing(first_at, yaw_rad=-0.12 + 0.05 * np.sin(t), pitch_rad=0.02),
        shapes_of(
            mouthSmileLeft=0.85 * smile, mouthSmileRight=0.85 * smile, cheekSquintLeft=0.4 * smile,
            cheekSquintRight=0.4 * smile, eyeBlinkLeft=blink, eyeBlinkRight=blink,
        ),
        gaze=ROBOT,
    )  # fmt: skip
    up = rise(t, 2.0, 2.5)
    place = np.array([-0.19, 0.30 - 0.19 * up, 0.46])
    if t < 4.2:
        hand = HandPose(
            Side.RIGHT,
            hand_at(place, fingers_to=(1.0, -0.1, -0.35), palm_to=(0.3, 0.0, 1.0)),
            "thumbs_up",
            forearm=np.array([-0.5, 1.0, 0.2]),
        )
    else:
        hand = HandPose(
            Side.RIGHT, hand_at(place, fingers_to=(-0.12, -1.0, -0.1), palm_to=(0.0, 0.0, -1.0)), "point"
        )
    turn = 1.0 - rise(t, 4.4, 4.9)
    surprise = rise(t, 4.9, 5.3)
    other = FacePose(
        facing(second_at, yaw_rad=-0.45 * turn),
        shapes_of(
            browInnerUp=0.8 * surprise, browOuterUpLeft=0.8 * surprise, browOuterUpRight=0.8 * surprise,
            eyeWideLeft=0.6 * surprise, eyeWideRight=0.6 * surprise, jawOpen=0.45 * surprise,
        ),
        gaze=turn * first_at + (1 - turn) * ROBOT,
    )  # fmt: skip
    return [Actor(FIRST, face, (hand,)), Actor(SECOND, other)]


def main() -> None:
    """Read the argument: a folder for the pictures."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with Studio(CAMERA) as studio:
        for k in range(round(SECONDS * FPS)):
            picture = studio.render(actors(k / FPS), background=Background("gradient"), seed=k)
            cv2.imwrite(str(out / f"{k:04d}.png"), picture.image[..., ::-1])


if __name__ == "__main__":
    main()
