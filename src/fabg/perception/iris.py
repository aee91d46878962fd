"""Where the irises are and where they face, from the picture of each eye.

The landmarker puts an iris where irises usually are: it draws it towards the middle of the eye, most of
all up and down. Here each eye is cut out, brought to one size and, the left one, mirrored. Two small
networks (`fabg.perception.convnet`), trained on rendered people, look at it: one marks the middle of the
iris, also where lids hide it, the other tells the direction of the line of sight against the line to the
camera. The five landmarks of the iris become a disc in that place that faces that way.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.perception.convnet import (
    HEIGHT,
    LOOK_SHAPES,
    MARK_SHAPES,
    WIDTH,
    LookNet,
    MarkNet,
    normalised,
    weights_from_json,
)
from fabg.perception.readout import load_document

Array = NDArray[np.float64]

SPAN = 1.6
"""Width of the picture of an eye in widths of the eye."""

LIDS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
"""Landmarks around the right and the left eye: from the outer corner over the upper lid and back."""
IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
"""Landmarks of the right and the left iris: its middle, then around it."""

_MIDDLE = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
_MOST = 0.25
"""Farthest that an iris is moved, in widths of the eye."""
_MOST_ASIDE = 0.95
"""Sine of the largest angle between the line of sight and the line to the camera."""


def eye_frames(landmarks: Array) -> Array:
    """Return the maps from the pictures of both eyes to the image, shape (2, 2, 3), px to px.

    Parameters
    ----------
    landmarks
        Px of the image, shape (478, >= 2).
    """
    points = landmarks[:, :2]
    middles = np.array([points[list(lids)].mean(axis=0) for lids in LIDS])
    along = middles[1] - middles[0]
    length = float(np.linalg.norm(along))
    along = along / length if length > 1e-6 else np.array([1.0, 0.0])
    # Of a turned head the farther eye looks narrow: both have the size of the wider one.
    width = max(float(np.linalg.norm(points[lids[0]] - points[lids[8]])) for lids in LIDS)
    scale = SPAN * max(width, 1e-3) / WIDTH
    down = np.array([-along[1], along[0]])
    maps = np.empty((2, 2, 3))
    for eye, sign in enumerate((1.0, -1.0)):
        maps[eye, :, 0], maps[eye, :, 1] = sign * scale * along, scale * down
        maps[eye, :, 2] = middles[eye] - maps[eye, :, :2] @ _MIDDLE
    return maps


def eye_pictures(rgb: NDArray[np.uint8], maps: Array, detail: int = 1) -> NDArray[np.uint8]:
    """Return the grey pictures of both eyes, shape (2, detail * HEIGHT, detail * WIDTH)."""
    size, flags = (detail * WIDTH, detail * HEIGHT), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = []
    for eye in maps:
        # Pixel middles lie at whole numbers: the first of `detail` stands before that of the coarse one.
        fine = np.column_stack([eye[:, :2] / detail, eye @ [*np.full(2, 0.5 / detail - 0.5), 1.0]])
        picture = cv2.warpAffine(rgb, fine, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        found.append(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    return np.array(found)


def moved_irises(landmarks: Array, marks: NDArray[Any], looks: NDArray[Any], maps: Array) -> Array:
    """Return landmarks (478, 3) with the irises where and as the networks have seen them.

    Each iris becomes a disc in space: its middle where it is in the picture, at most a quarter of the
    eye's width from where it was, its rim of the size that it had, facing where the eye looks.

    Parameters
    ----------
    landmarks
        Px of the image, shape (478, 3).
    marks
        Middles of the irises in the pictures of the right and the left eye, px from their middle, (2, 2).
    looks
        Unit vectors of the lines of sight in the axes of these pictures, x and y, shape (2, 2).
    maps
        From these pictures to the image, shape (2, 2, 3).
    """
    moved = landmarks.copy()
    most = _MOST * WIDTH / SPAN
    for eye, mark, look, points in zip(maps, marks, looks, IRISES, strict=True):
        turn = eye[:, :2]
        old = landmarks[list(points)]
        inside = np.linalg.solve(turn, old[0, :2] - eye[:, 2]) - _MIDDLE
        middle = old[0] + [*(turn @ np.clip(mark - inside, -most, most)), 0.0]
        aside = turn @ np.asarray(look, dtype=np.float64) / float(np.linalg.norm(turn[:, 0]))
        aside *= min(1.0, _MOST_ASIDE / max(float(np.linalg.norm(aside)), 1e-9))
        normal = np.array([*aside, -math.sqrt(1.0 - float(aside @ aside))])
        around = old[1:, :2] - old[0, :2]
        length = np.linalg.norm(around, axis=1, keepdims=True)
        flat = np.column_stack([around / np.maximum(length, 1e-9), np.zeros(len(around))])
        # The shortest turn that brings the disc from facing the camera to facing along the line of sight.
        axis = np.array([normal[1], -normal[0], 0.0])
        turned = flat * -normal[2] + np.cross(axis, flat) + np.outer(flat @ axis, axis) / (1.0 - normal[2])
        moved[points[0]] = middle
        moved[list(points[1:])] = middle + float(length.mean()) * turned
    return moved


def iris_normals(landmarks: Array) -> Array:
    """Return unit vectors out of the discs of the right and the left iris, shape (..., 2, 3), in image axes.

    Parameters
    ----------
    landmarks
        Px, shape (..., 478, 3).
    """
    found = []
    for _, one, two, three, four in IRISES:
        across = landmarks[..., one, :] - landmarks[..., three, :]
        along = landmarks[..., two, :] - landmarks[..., four, :]
        normal = np.cross(across, along)
        normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        found.append(np.where(normal[..., 2:] > 0.0, -normal, normal))
    return np.stack(found, axis=-2)


def refined_irises(rgb: NDArray[np.uint8], landmarks: Array) -> Array:
    """Return landmarks (478, 3), px of an RGB image, with the irises as the picture shows them.

    Raises
    ------
    ModelFileError
        When a trained network is missing or not readable.
    """
    maps = eye_frames(landmarks)
    pictures = normalised(eye_pictures(rgb, maps))
    mark, look = eye_nets()
    return moved_irises(landmarks, mark(pictures), look(pictures), maps)


@cache
def eye_nets() -> tuple[MarkNet, LookNet]:
    """Return the networks that find the middle of an iris, and that tell where it faces.

    Raises
    ------
    ModelFileError
        When ``data/iris.json`` or ``data/look.json`` is missing or not readable.
    """
    mark = weights_from_json(load_document("iris.json"), MARK_SHAPES)
    look = weights_from_json(load_document("look.json"), LOOK_SHAPES)
    return MarkNet(mark), LookNet(look)
