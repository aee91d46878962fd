"""The column beside the image: one card a person, the time below."""

from __future__ import annotations

import cv2
import numpy as np

from fabg.perceive.angles import head_deg
from fabg.perceive.overlay import in_words
from fabg.perception.scene import Scene
from fabg.perception.types import ROBOT, DepthSource, Emotion, Engagement, Face, Gaze
from fabg.strokes import FAINT, GROUND, INK, Colour, Picture, dot, polyline, width_of, write
from fabg.strokes import ROBOT as AT_ROBOT

WIDTH = 320
_MARGIN = 18
_CARD_H = 168
_FOOT_H = 46
_LINE: Colour = (36, 47, 57)
_EMPTY: Colour = (52, 64, 74)
LEVELS: dict[Engagement, Colour] = {
    Engagement.UNKNOWN: FAINT,
    Engagement.DISENGAGED: FAINT,
    Engagement.ENGAGING: (150, 214, 190),
    Engagement.ENGAGED: (64, 206, 148),
    Engagement.DISENGAGING: (232, 190, 110),
}
"""Colours of the levels of engagement."""


def column(
    scene: Scene,
    height: int,
    colours: dict[str, Colour],
    *,
    time_s: float,
    index: int,
    name: str,
    emotion: bool,
) -> Picture:
    """Return the column, RGB, shape (height, `WIDTH`, 3).

    Parameters
    ----------
    colours
        Of the people by id.
    time_s, index
        Time and number of the image.
    name
        Of the input.
    emotion
        Whether emotion was read at all.
    """
    panel = np.empty((height, WIDTH, 3), dtype=np.uint8)
    panel[:] = GROUND
    faces = scene.faces.faces
    most = max((height - _FOOT_H) // _CARD_H, 1)
    for k, face in enumerate(faces[:most]):
        _card(panel, k * _CARD_H, scene, face, colours[face.id], emotion=emotion)
    if not faces:
        write(panel, (_MARGIN, 18), "nobody in sight", FAINT, 16)
    foot = height - _FOOT_H
    polyline(panel, [[_MARGIN, foot], [WIDTH - _MARGIN, foot]], _LINE)
    minutes, seconds = divmod(max(time_s, 0.0), 60)
    write(panel, (_MARGIN, foot + 11), f"{int(minutes)}:{seconds:05.2f}", INK, 19)
    write(panel, (_MARGIN + 84, foot + 15), f"image {index}", FAINT, 13)
    said = f"and {len(faces) - most} more" if len(faces) > most else name[:16]
    _right(panel, foot + 15, said, FAINT, 13)
    return panel


def _card(panel: Picture, top: int, scene: Scene, face: Face, colour: Colour, *, emotion: bool) -> None:
    if top:
        polyline(panel, [[_MARGIN, top], [WIDTH - _MARGIN, top]], _LINE)
    dot(panel, (_MARGIN + 5, top + 22), 10.0, colour)
    write(panel, (_MARGIN + 18, top + 11), face.id, INK, 17)
    distance = float(np.linalg.norm(face.pose[:3, 3]))
    _right(panel, top + 14, f"{distance:.2f} m {_source(face.depth_source)}", FAINT, 13)
    row = top + 36
    level = scene.engagement.get(face.id)
    if level is not None:
        write(panel, (_MARGIN, row), level.name.lower(), LEVELS[level], 15)
        target = scene.looks_at(face.id)
        if target is not None:
            said = "looks at the robot" if target == ROBOT else f"looks at {target}"
            _right(panel, row, said, AT_ROBOT if target == ROBOT else INK, 15)
        row += 23
    found = scene.emotion(face.id)
    if emotion:
        _emotion(panel, row, found)
        row += 24
    _bars(panel, row + 1, found, scene.gaze(face.id))
    yaw, pitch, roll = head_deg(face.pose)
    said = f"head yaw {yaw:+.0f}°  pitch {pitch:+.0f}°  roll {roll:+.0f}°"
    write(panel, (_MARGIN, top + _CARD_H - 37), said, FAINT, 13)
    write(panel, (_MARGIN, top + _CARD_H - 21), _hands(scene, face), FAINT, 13)


def _source(source: DepthSource) -> str:
    return "" if source is DepthSource.UNKNOWN else f"({source.name.lower()})"


def _hands(scene: Scene, face: Face) -> str:
    hands = scene.hands.hands if scene.hands else ()
    return "   ".join(in_words(hand) for hand in hands if hand.person_id == face.id)


def _emotion(panel: Picture, top: int, emotion: Emotion | None) -> None:
    """Write the label, and draw valence (to the right) and arousal (up) as a dot in a square."""
    known = emotion is not None and emotion.label
    write(
        panel, (_MARGIN, top), emotion.label if emotion and known else "unsure", INK if known else FAINT, 17
    )
    side = 62
    x, y = WIDTH - _MARGIN - side, top + 3
    cv2.rectangle(panel, (x, y), (x + side, y + side), _EMPTY, 1)
    polyline(panel, [[x, y + side / 2], [x + side, y + side / 2]], _EMPTY)
    polyline(panel, [[x + side / 2, y], [x + side / 2, y + side]], _EMPTY)
    if emotion is None:
        return
    if known:
        at = _MARGIN + width_of(emotion.label, 17) + 6
        write(panel, (at, top + 3), f"{100 * emotion.confidence:.0f} %", FAINT, 13)
    across, up = np.clip((emotion.valence, emotion.arousal), -1.0, 1.0)
    dot(panel, (x + side / 2 * (1 + across), y + side / 2 * (1 - up)), 9.0, INK)


def _bars(panel: Picture, top: int, emotion: Emotion | None, gaze: Gaze | None) -> None:
    shown: list[tuple[str, tuple[float, ...]]] = []
    if emotion is not None:
        shown += [("smile", (emotion.smile,)), ("surprise", (emotion.surprise,))]
    if gaze is not None:
        # As one sees it: the person's right eye is on the left.
        shown.append(("eyes shut", (gaze.closed_right, gaze.closed_left)))
    for k, (name, shares) in enumerate(shown):
        y = top + 16 * k
        write(panel, (_MARGIN, y), name, FAINT, 13)
        left, whole, gap = _MARGIN + 70, 106, 4
        width = (whole - gap * (len(shares) - 1)) // len(shares)
        for j, share in enumerate(shares):
            x, middle = left + j * (width + gap), y + 9
            cv2.rectangle(panel, (x, middle - 2), (x + width, middle + 2), _EMPTY, -1)
            filled = round(width * min(max(share, 0.0), 1.0))
            if filled:
                cv2.rectangle(panel, (x, middle - 2), (x + filled, middle + 2), INK, -1)


def _right(panel: Picture, top: int, said: str, colour: Colour, size: int) -> None:
    write(panel, (WIDTH - _MARGIN - width_of(said, size), top), said, colour, size)
