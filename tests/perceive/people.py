"""People and hands made up from numbers alone."""

from __future__ import annotations

import numpy as np

from fabg.expression import N_SHAPES
from fabg.geometry import pose, rotation_from_ypr
from fabg.perception.scene import Scene
from fabg.perception.types import (
    DepthSource,
    Face,
    Faces,
    Gesture,
    Hand,
    Hands,
    Roi,
    Side,
)

FACING = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""Of a frontal face: columns are the head's x, y, z in the optical frame."""
FOCAL_PX, MIDDLE = 500.0, (319.5, 239.5)


def face(name, position, ypr=(0.0, 0.0, 0.0), *, size_px=None, shapes=None):
    """A face of 0.16 m at a place (m); its points lie on a disc, its eyes apart."""
    x, y, z = position
    middle = np.array([FOCAL_PX * x / z + MIDDLE[0], FOCAL_PX * y / z + MIDDLE[1]])
    size = size_px or 0.16 * FOCAL_PX / z
    angles = np.arange(478) * 2.399963  # sunflower: even over the disc
    radius = size / 2 * np.sqrt((np.arange(478) + 0.5) / 478)
    landmarks = np.stack(
        [middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles), np.zeros(478)], axis=1
    )
    for corners, at in (((33, 133, 468, 469), -0.2), ((362, 263, 473, 474), 0.2)):
        for k, point in enumerate(corners):
            landmarks[point, :2] = middle + size * np.array([at + 0.05 * k, -0.1])
    return Face(
        name,
        Roi(middle[0] - size / 2, middle[1] - size / 2, size, size),
        0.9,
        landmarks,
        np.linspace(0.0, 1.0, N_SHAPES) if shapes is None else shapes,
        pose(FACING @ rotation_from_ypr(*ypr), position),
    )


def hand(name, position, owner="", *, gesture=Gesture.NONE, direction=None, side=Side.RIGHT, extended=True):
    """A hand of 0.18 m at a place (m), its joints on a grid."""
    grid = np.stack(np.meshgrid(np.arange(7), np.arange(3)), axis=-1).reshape(-1, 2) - (3.0, 1.0)
    joints = np.zeros((21, 3))
    joints[:, :2] = 0.026 * grid
    joints += position
    pixels = FOCAL_PX * joints[:, :2] / joints[:, 2:] + MIDDLE
    return Hand(
        name, side, 0.8, pixels, joints, np.asarray(position, dtype=float), DepthSource.MONOCULAR, gesture, 0.7,
        None if direction is None else np.asarray(direction, dtype=float), extended, owner,
    )  # fmt: skip


def scene(stamp_s=0.0, faces=(), hands=None, **parts):
    """A scene with what is given, the rest empty."""
    return Scene(
        stamp_s,
        Faces(stamp_s, (640, 480), tuple(faces)),
        parts.get("gazes", ()),
        parts.get("blinks", ()),
        parts.get("looks", ()),
        parts.get("engagement", {}),
        parts.get("emotions", ()),
        None if hands is None else Hands(stamp_s, (640, 480), tuple(hands)),
        parts.get("trouble", ()),
        parts.get("timings_ms", {"faces": 10.0}),
    )
