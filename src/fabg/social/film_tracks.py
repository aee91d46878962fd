"""Further charts for films: where the eyes look up and down, and how much they converge."""

from __future__ import annotations

import math

from fabg.social.film_strip import EXPERT, Line, Track
from fabg.strokes import PERSON, ROBOT


def _lines(stem: str) -> tuple[Line, ...]:
    return (
        Line(f"{stem}_expert", "expert", EXPERT),
        Line(f"{stem}_target", "target", PERSON, 2),
        Line(f"{stem}_robot", "robot", ROBOT, 2),
    )


PITCH = Track(
    "gaze pitch", "degrees, + down", _lines("pitch"), -10.0, 10.0, 10.0, grows=True, factor=math.degrees(1.0)
)
VERGENCE = Track(
    "vergence",
    "degrees",
    _lines("vergence"),
    0.0,
    20.0,
    10.0,
    grows=True,
    factor=math.degrees(1.0),
    share=1.5,
)
