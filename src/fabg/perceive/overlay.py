"""What was measured, drawn into the image: contours, head axes, gaze, hands."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.perception.hand_landmark import BONES
from fabg.perception.pictures import fitted
from fabg.perception.pose import Camera
from fabg.perception.scene import Scene
from fabg.perception.types import ROBOT, DepthSource, Face, Gaze, Gesture, Hand, Side
from fabg.strokes import (
    FAINT,
    HIDDEN,
    INK,
    PERSON,
    Colour,
    Picture,
    brackets,
    dot,
    polyline,
    shade,
    width_of,
    write,
)
from fabg.strokes import ROBOT as AT_ROBOT

PEOPLE: tuple[Colour, ...] = (
    PERSON,
    (186, 156, 255),
    (132, 214, 128),
    (255, 134, 170),
    (122, 176, 255),
    (226, 205, 150),
)
"""Colours of the people, in the order in which they came; then again from the first."""
POINTING: Colour = (214, 242, 92)

# Lines through MediaPipe's 478 points: name, points, closed.
CONTOURS: tuple[tuple[str, tuple[int, ...], bool], ...] = (
    ("oval", (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
              148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109), True),
    ("lips", (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185), True),
    ("lips", (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191), True),
    ("right eye", (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246), True),
    ("left eye", (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466), True),
    ("right brow", (70, 63, 105, 66, 107), False),
    ("right brow", (46, 53, 52, 65, 55), False),
    ("left brow", (300, 293, 334, 296, 336), False),
    ("left brow", (276, 283, 282, 295, 285), False),
)  # fmt: skip
IRISES = ((468, 469), (473, 474))
"""Middle and one point of the rim of the right and of the left iris."""

_AXES: tuple[Colour, ...] = ((255, 96, 88), (112, 214, 112), (96, 158, 255))  # x, y, z, as in RViz
_AXIS_M, _RAY_M, _POINT_M = 0.045, 0.2, 0.2
_NEAREST_M = 0.03
_ACROSS = (Gesture.UP, Gesture.DOWN, Gesture.LEFT, Gesture.RIGHT)
_SOURCES = {
    DepthSource.UNKNOWN: "",
    DepthSource.SENSOR: "sensor",
    DepthSource.STEREO: "stereo",
    DepthSource.MONOCULAR: "mono",
}
_INDEX_TIP, _BETWEEN_EYES = 8, 6


class View:
    """Where an image lies on the picture: from its pixels, and from places before its camera.

    Parameters
    ----------
    image_size
        (width, height) of the image, px.
    size
        (width, height) of the part of the picture that shows it, px.
    camera
        The image's camera.
    """

    def __init__(self, image_size: tuple[int, int], size: tuple[int, int], camera: Camera) -> None:
        self.size = size
        self.scale = min(size[0] / image_size[0], size[1] / image_size[1])
        inner = [max(round(side * self.scale), 1) for side in image_size]
        # Pixel centres lie at whole numbers, in the image and on the picture.
        left_top = np.array([(size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2])
        self._origin = left_top + (self.scale - 1) / 2
        self._camera = camera

    def at(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """Return pixels of the image (..., 2) on the picture."""
        return np.asarray(np.asarray(pixels, dtype=np.float64) * self.scale + self._origin)

    def place(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a place (3,) in the camera's optical frame, m, on the picture; z must be above 0."""
        c = self._camera
        return self.at((c.fx * point[0] / point[2] + c.cx, c.fy * point[1] / point[2] + c.cy))

    def ray(
        self, start: NDArray[np.float64], direction: NDArray[np.float64], length_m: float
    ) -> NDArray[np.float64]:
        """Return how a ray from a place runs on the picture, (2,): px for `length_m` as seen at its start.

        A ray to the camera or away from it is a point; otherwise its length tells by how much it misses.
        """
        c = self._camera
        x, y, z = start
        across = direction[0] - x / z * direction[2], direction[1] - y / z * direction[2]
        return np.array([c.fx * across[0], c.fy * across[1]]) * (self.scale * length_m / z)


def draw(
    image: Picture, scene: Scene, view: View, colours: dict[str, Colour], *, hide_people: bool = False
) -> Picture:
    """Return the image with the scene drawn into it, in the size of the view.

    Parameters
    ----------
    image
        RGB, shape (height, width, 3).
    colours
        Of the people by id.
    hide_people
        Draw on an empty ground: nothing of the image is used.
    """
    if hide_people:
        panel = np.empty((view.size[1], view.size[0], 3), dtype=np.uint8)
        panel[:] = HIDDEN
    else:
        panel = fitted(image, view.size).copy()
    lines = panel.copy()
    for face in scene.faces.faces:
        _contours(lines, face, view, colours[face.id])
    for hand in scene.hands.hands if scene.hands else ():
        _bones(lines, hand, view, colours.get(hand.person_id, INK))
    cv2.addWeighted(lines, 0.8, panel, 0.2, 0.0, dst=panel)
    for face in scene.faces.faces:
        _axes(panel, face, view)
        gaze = scene.gaze(face.id)
        if gaze is not None:
            _gaze(panel, face, gaze, scene, view, colours)
    for face in scene.faces.faces:
        _box(panel, face, scene, view, colours[face.id])
    for hand in scene.hands.hands if scene.hands else ():
        _hand_label(panel, hand, view, colours.get(hand.person_id, INK))
    return panel


def in_words(hand: Hand) -> str:
    """Return which hand it is and what it does: ``right hand points up``."""
    side = "" if hand.side is Side.UNKNOWN else f"{hand.side.name.lower()} "
    if hand.gesture is Gesture.NONE:
        return f"{side}hand"
    word = hand.gesture.name.lower().replace("_", " ")
    return f"{side}hand {'points ' if hand.gesture in _ACROSS else ''}{word}"


# Faces -----------------------------------------------------------------------------------------------


def _contours(panel: Picture, face: Face, view: View, colour: Colour) -> None:
    points = view.at(face.landmarks[:, :2])
    for _, line, closed in CONTOURS:
        polyline(panel, points[list(line)], colour, closed=closed)
    for middle, rim in IRISES:
        diameter = 2.0 * float(np.linalg.norm(points[rim] - points[middle]))
        if diameter > 3.0:
            dot(panel, points[middle], diameter, INK, thickness=1)


def _axes(panel: Picture, face: Face, view: View) -> None:
    origin = face.pose[:3, 3]
    # The farthest tip is drawn first.
    for k in sorted(range(3), key=lambda k: -face.pose[2, k]):
        tip = origin + _AXIS_M * face.pose[:3, k]
        if tip[2] > _NEAREST_M:
            polyline(panel, np.array([view.place(origin), view.place(tip)]), _AXES[k], thickness=2)
            dot(panel, view.place(tip), 5.0, _AXES[k])


def _gaze(
    panel: Picture, face: Face, gaze: Gaze, scene: Scene, view: View, colours: dict[str, Colour]
) -> None:
    target = scene.looks_at(face.id)
    colour = AT_ROBOT if target == ROBOT else INK if target is None else colours.get(target, INK)
    if gaze.confidence <= 0.0 or gaze.origin[2] <= _NEAREST_M:
        return  # closed eyes have no ray to show
    along = view.ray(gaze.origin, gaze.direction, _RAY_M)
    for middle, rim in IRISES:
        start = view.at(face.landmarks[middle, :2])
        _arrow(panel, start, start + along, colour)
        if target == ROBOT:
            # Seen from where it points to, an arrow is a dot: the ring says that it is one.
            radius = float(np.linalg.norm(view.at(face.landmarks[rim, :2]) - start))
            dot(panel, start, max(4.0 * radius, 14.0), colour, thickness=2)
    if target not in (None, ROBOT) and (other := scene.face(target or "")) is not None:
        eyes = view.at(face.landmarks[[IRISES[0][0], IRISES[1][0]], :2]).mean(axis=0)
        _dashes(panel, eyes, view.at(other.landmarks[_BETWEEN_EYES, :2]), colour)


def _arrow(panel: Picture, start: ArrayLike, tip: ArrayLike, colour: Colour) -> None:
    start, tip = np.asarray(start), np.asarray(tip)
    along = tip - start
    length = float(np.linalg.norm(along))
    polyline(panel, np.array([start, tip]), colour, thickness=2)
    if length < 6.0:
        dot(panel, tip, 6.0, colour)
        return
    along = along / length
    across = np.array([-along[1], along[0]])
    head = min(9.0, 0.45 * length)
    wings = [tip - head * along + side * 0.5 * head * across for side in (1.0, -1.0)]
    polyline(panel, np.array([wings[0], tip, wings[1]]), colour, thickness=2)


def _dashes(panel: Picture, start: NDArray[np.float64], end: NDArray[np.float64], colour: Colour) -> None:
    length = float(np.linalg.norm(end - start))
    for k in range(int(length // 14)):
        part = np.array([k * 14.0, k * 14.0 + 6.0])[:, None] / length
        polyline(panel, start + part * (end - start), colour)


def _box(panel: Picture, face: Face, scene: Scene, view: View, colour: Colour) -> None:
    low = view.at((face.roi.x, face.roi.y))
    high = view.at((face.roi.x + face.roi.width, face.roi.y + face.roi.height))
    brackets(panel, low, high, colour)
    emotion = scene.emotion(face.id)
    said = face.id + (f"  {emotion.label}" if emotion is not None and emotion.label else "")
    _tag(panel, (float(low[0]), float(low[1]) - 26.0), said, colour)


def _tag(panel: Picture, at: tuple[float, float], said: str, colour: Colour) -> None:
    """Write on a shade, moved into the picture where it would leave it."""
    width = width_of(said, 15) + 12
    x = int(min(max(at[0], 2.0), max(panel.shape[1] - width - 2.0, 2.0)))
    y = int(min(max(at[1], 2.0), panel.shape[0] - 24.0))
    shade(panel, (x, y, width, 22))
    write(panel, (x + 6, y + 2), said, colour, 15)


# Hands -----------------------------------------------------------------------------------------------


def _bones(panel: Picture, hand: Hand, view: View, colour: Colour) -> None:
    points = view.at(hand.landmarks_px)
    for line in BONES:
        polyline(panel, points[list(line)], colour, thickness=2 if hand.extended else 1)
    for point in points:
        dot(panel, point, 5.0 if hand.extended else 3.5, colour)


def _hand_label(panel: Picture, hand: Hand, view: View, colour: Colour) -> None:
    points = view.at(hand.landmarks_px)
    tip = hand.landmarks_m[_INDEX_TIP]
    if hand.direction is not None and tip[2] > _NEAREST_M:
        along = view.ray(tip, hand.direction, _POINT_M)
        _arrow(panel, points[_INDEX_TIP], points[_INDEX_TIP] + along, POINTING)
    said = in_words(hand)
    said += f"  {float(np.linalg.norm(hand.position)):.2f} m {_SOURCES[hand.depth_source]}".rstrip()
    colour = colour if hand.gesture is not Gesture.NONE or hand.extended else FAINT
    _tag(panel, (float(points[:, 0].min()), float(points[:, 1].max()) + 6.0), said, colour)
