"""A picture of what stereo matching makes of two people.

python -m fabg.evaluation.depth_picture docs/media/depth.png
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.evaluation.depth_accuracy import BASELINES_M, PairStudio
from fabg.perception.pose import Camera
from fabg.perception.stereo import StereoGeometry, StereoMatcher
from fabg.perception.types import Side
from fabg.social.avatar import (
    HAND_SHAPES,
    Actor,
    Background,
    EyeAngles,
    FacePose,
    HandPose,
    Lens,
    Person,
    facing,
    hand_at,
    shapes_of,
)

_NEAR_M, _FAR_M = 0.5, 1.5
_SIZE = (640, 480)


def main() -> int:
    """Draw the picture."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    camera = Camera.from_fov(*_SIZE, 60.0)
    studio = PairStudio(camera, _SIZE)
    with studio:
        left = studio.render(
            _people(), background=Background("room"), lens=Lens(blur_px=0.5, noise=2.0), seed=3
        )
    matcher = StereoMatcher(StereoGeometry(camera.fx, BASELINES_M[1]))
    z_m = matcher.depth(left.image, studio.rights[1]).z_m
    rows = np.concatenate([left.image[:, :, ::-1], _coloured(z_m), _coloured(left.depth)], axis=1)
    small = cv2.resize(rows, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(sys.argv[1], np.concatenate([small, _legend(small.shape[1])]))
    return 0


def _people() -> list[Actor]:
    ahead = EyeAngles.both(0.0, 0.0)
    near = FacePose(facing((-0.13, 0.02, 0.75), yaw_rad=math.radians(-12)), shapes_of(jawOpen=0.1), ahead)
    far = FacePose(facing((0.3, -0.05, 1.25), yaw_rad=math.radians(15)), shapes_of(), ahead)
    hand = HandPose(Side.LEFT, hand_at((0.1, 0.16, 0.6)), HAND_SHAPES["open"])
    return [Actor(Person.random(1001), near, (hand,)), Actor(Person.random(1004), far)]


def _coloured(z_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return distances as colours (BGR): red near, blue far, grey unknown."""
    share = np.clip((_FAR_M - z_m) / (_FAR_M - _NEAR_M), 0.0, 1.0)
    known = np.isfinite(z_m)
    levels = np.where(known, 20 + 215 * np.nan_to_num(share), 0).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
    return np.asarray(np.where(known[:, :, None], colours, 225), dtype=np.uint8)


def _legend(width: int) -> NDArray[np.uint8]:
    strip = np.full((34, width, 3), 255, np.uint8)
    bar = np.repeat(np.linspace(_NEAR_M, _FAR_M, 240, dtype=np.float32)[None], 12, axis=0)
    x = width // 3 + 130
    strip[11:23, x : x + 240] = _coloured(bar)
    for text, place in (
        ("left image", 8), ("stereo", width // 3 + 8), ("truth", 2 * width // 3 + 200),
        (f"{_NEAR_M:g} m", x - 48), (f"{_FAR_M:g} m; grey: unknown", x + 246),
    ):  # fmt: skip
        cv2.putText(strip, text, (place, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
    return strip


if __name__ == "__main__":
    sys.exit(main())
