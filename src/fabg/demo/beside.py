"""The column beside the robot: what `mirror` would have done, and how person and both robots move."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.demo.analysis import Pair, Series, pairs
from fabg.recording import Recording
from fabg.robot.model import RobotModel
from fabg.strokes import FAINT, GROUND, INK, PERSON, ROBOT, Colour, Picture, polyline, shade, width_of, write

WIDTH = 320
PICTURE_H = 240
OTHER: Colour = (182, 158, 238)
ALARM: Colour = (240, 98, 80)
RAIL: Colour = (44, 56, 66)

_SHOWN = ("smile", "jaw open", "inner brows up")
_SHOWN_S = 6.0
_ROW_H = 66


class Beside:
    """Draws the column.

    Parameters
    ----------
    recording, mirror
        The run, and the same run replayed with `mirror`.
    robot
        Joint table.
    view
        Draws the robot at `WIDTH` x `PICTURE_H`: see `fabg.demo.draw.Painter`.
    """

    def __init__(self, recording: Recording, mirror: Recording, robot: RobotModel, view: Any) -> None:
        self._mirror, self._robot, self._view = mirror, robot, view
        run, other = pairs(recording, robot), pairs(mirror, robot)
        both = {a.name: (a, b) for a, b in zip(run, other, strict=True)}
        self._rows = [(name, *both[name]) for name in _SHOWN]

    def picture(self, t: float, height: int) -> Picture:
        """Return the column `t` s after the first image, RGB (height, WIDTH, 3)."""
        column = np.empty((height, WIDTH, 3), dtype=np.uint8)
        column[:] = GROUND
        q = self._mirror.joints_at(self._mirror.start_s + t)
        self._view.set_positions(self._robot.neutral if q is None else q)
        column[:PICTURE_H] = self._view.render(camera="face")[:height]
        tag(column, "mirror", "same faces, replayed", OTHER, top=PICTURE_H - 58)
        room = height - PICTURE_H
        count = min(room // _ROW_H, len(self._rows))
        if count:
            gap = (room - count * _ROW_H) // (count + 1)
            for k, row in enumerate(self._rows[:count]):
                self._traces(column, PICTURE_H + gap + k * (_ROW_H + gap), t, *row)
        return column

    def _traces(self, column: Picture, top: int, t: float, name: str, run: Pair, other: Pair) -> None:
        x, y, width, height = 14, top + 18, WIDTH - 28, _ROW_H - 24
        write(column, (x, top), name, INK, 13)
        write(column, (x + width - width_of("6 s", 12), top), "6 s", FAINT, 12)
        polyline(column, np.array([[x, y + height], [x + width, y + height]]), RAIL)
        for times, values, colour in (
            (run.person_t, run.person, PERSON),
            (other.robot_t, other.robot, OTHER),
            (run.robot_t, run.robot, ROBOT),
        ):
            _trace(column, (x, y, width, height), t, times, values, colour)


def tag(panel: Picture, title: str, said: str, colour: Colour, *, top: int = 14) -> None:
    """Say at the left edge whose picture a panel is."""
    width = max(width_of(title, 17), width_of(said, 13)) + 24
    shade(panel, (14, top, width, 46))
    write(panel, (26, top + 5), title, colour, 17)
    write(panel, (26, top + 26), said, FAINT, 13)


def _trace(
    column: Picture, box: tuple[int, int, int, int], t: float, times: Series, values: Series, colour: Colour
) -> None:
    x, y, width, height = box
    known: NDArray[np.intp] = np.flatnonzero((times <= t) & (times > t - _SHOWN_S))
    if len(known) < 2:
        return
    across = x + width * (1 - (t - times[known]) / _SHOWN_S)
    up = y + height * (1 - np.clip(values[known], 0.0, 1.0))
    polyline(column, np.stack([across, up], axis=1), colour)
