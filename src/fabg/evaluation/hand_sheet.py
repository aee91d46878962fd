"""A picture of the gesture vocabulary: rendered hands, and what the tracker reads in them.

python -m fabg.evaluation.hand_sheet docs/media/gestures.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.perception.gesture import FINGERS
from fabg.perception.hands import HandTracker
from fabg.perception.pose import Camera
from fabg.perception.types import Frame, Hand, Side
from fabg.social.avatar import Actor, Background, HandPose, Person, Studio, hand_at, hand_shape

_TILE_PX, _COLUMNS = 220, 5
_UP, _DOWN, _LEFT, _RIGHT = (0.0, -1.0, 0.05), (0.0, 1.0, 0.05), (-1.0, 0.0, 0.05), (1.0, 0.0, 0.05)
_PALM, _BACK = (0.0, 0.0, -1.0), (0.0, 0.0, 1.0)
# Fingers, where they and the palm point, whose hand, person.
_SHOWN = (
    ("point", _UP, _PALM, Side.RIGHT, 1003),
    ("point", _DOWN, _BACK, Side.LEFT, 1001),
    ("point", _LEFT, _BACK, Side.LEFT, 1007),
    ("point", _RIGHT, _PALM, Side.LEFT, 1004),
    ("point", (0.25, -0.3, -1.0), (0.2, 1.0, -0.3), Side.RIGHT, 1011),
    ("fist", _UP, _PALM, Side.RIGHT, 1005),
    ("open", _UP, _PALM, Side.LEFT, 1006),
    ("thumbs_up", _LEFT, _PALM, Side.RIGHT, 1008),
    ("open", _UP, _BACK, Side.RIGHT, 1009),
    ("two", _UP, _PALM, Side.LEFT, 1010),
)


def sheet() -> NDArray[np.uint8]:
    """Return the picture, RGB: one tile a gesture, with the joints and the words of the tracker."""
    camera = Camera.from_fov(400, 400, 40.0)
    tiles = []
    with Studio(camera, (400, 400)) as studio, HandTracker() as tracker:
        tracker.camera = camera
        for i, (fingers, to, palm, side, person) in enumerate(_SHOWN):
            hand = HandPose(side, hand_at((0.0, 0.0, 0.5), fingers_to=to, palm_to=palm), hand_shape(fingers))
            grey = Background("plain", (0.75, 0.77, 0.80))
            image = studio.render([Actor(Person.random(person), None, (hand,))], background=grey).image
            for k in range(20):
                hands = tracker.update(Frame(image, 100.0 * i + k / 25)).hands
            tiles.append(_tile(image, hands))
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    return np.asarray(np.vstack(rows), dtype=np.uint8)


def _tile(image: NDArray[np.uint8], hands: tuple[Hand, ...]) -> NDArray[np.uint8]:
    scale = _TILE_PX / image.shape[0]
    tile = cv2.resize(image, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA)
    for hand in hands:
        points = np.round(hand.landmarks_px * scale).astype(int)
        for finger in FINGERS:
            cv2.polylines(tile, [points[list(finger)]], False, (20, 90, 200), 1, cv2.LINE_AA)
        for x, y in points.tolist():
            cv2.circle(tile, (x, y), 2, (255, 210, 40), -1, cv2.LINE_AA)
        text = f"{hand.side.name.lower()}: {hand.gesture.name.lower().replace('_', ' ')}"
        cv2.putText(
            tile, text, (6, _TILE_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (20, 20, 20), 1, cv2.LINE_AA
        )
    return np.asarray(tile, dtype=np.uint8)


def main() -> int:
    """Write the picture from the command line."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    return 0 if cv2.imwrite(str(path), cv2.cvtColor(sheet(), cv2.COLOR_RGB2BGR)) else 1


if __name__ == "__main__":
    sys.exit(main())
