"""The picture of one moment: the person with what was read, the robot beside them, the delay below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.demo import beside
from fabg.demo.analysis import EXPRESSIONS, age_at, answered_at, robot_share, state_at
from fabg.demo.beside import ALARM, RAIL, Beside, tag
from fabg.demo.comparison import TITLES
from fabg.expression import INDEX
from fabg.perception.hand_landmark import BONES
from fabg.perception.pictures import fitted
from fabg.recording import Recording, SeenFace, latest
from fabg.robot.model import RobotModel
from fabg.strokes import (
    FAINT,
    GROUND,
    HIDDEN,
    INK,
    PERSON,
    ROBOT,
    Colour,
    Picture,
    brackets,
    dot,
    polyline,
    shade,
    write,
)

PANEL_W = 640
STRIP_H = 72

# Polylines through the 70 points of hri_msgs/FacialLandmarks.
_CONTOURS: tuple[tuple[tuple[int, ...], bool], ...] = (
    (tuple(range(17)), False),
    (tuple(range(17, 22)), False),
    (tuple(range(22, 27)), False),
    (tuple(range(27, 31)), False),
    (tuple(range(31, 36)), False),
    (tuple(range(36, 42)), True),
    (tuple(range(42, 48)), True),
    (tuple(range(48, 60)), True),
    (tuple(range(60, 68)), True),
)
_SPARK_S = 6.0


@dataclass(frozen=True)
class Layout:
    """Sizes of the parts, px; all even, as video wants them."""

    panel_h: int
    compared: bool = False

    @classmethod
    def of(cls, size: tuple[int, int], *, compared: bool = False) -> Layout:
        """Return the layout for input images of `size` (width, height); compared: with a column for `mirror`."""
        wanted = PANEL_W * size[1] / size[0]
        return cls(int(min(max(wanted, 360), 640)) // 2 * 2, compared)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the whole picture."""
        return 2 * PANEL_W + self.compared * beside.WIDTH, self.panel_h + STRIP_H


@dataclass(frozen=True)
class _Placed:
    """Where an image lies on its panel: from its pixels to the panel's."""

    size: tuple[int, int]
    scale: float
    origin: NDArray[np.float64]

    def __call__(self, pixels: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(np.asarray(pixels, dtype=np.float64) * self.scale + self.origin)


class Painter:
    """Draws moments of one recording.

    Parameters
    ----------
    recording
        What to draw.
    robot
        Joint table.
    view
        Draws the robot: has ``set_positions(q)`` and ``render(camera)``.
    column
        Draws what stands beside it, if anything does.
    """

    def __init__(
        self, recording: Recording, robot: RobotModel, view: Any, column: Beside | None = None
    ) -> None:
        self.recording, self.robot, self.view, self._column = recording, robot, view, column
        self.layout = Layout.of(recording.size, compared=column is not None)
        self._age_t, self._age_ms = age_at(recording, "actuation")
        order = np.argsort(self._age_t)
        self._age_t, self._age_ms = self._age_t[order], self._age_ms[order]

    def picture(self, t: float) -> Picture:
        """Return the picture `t` s after the first image, RGB (height, width, 3)."""
        canvas = np.empty((self.layout.size[1], self.layout.size[0], 3), dtype=np.uint8)
        canvas[:] = GROUND
        height = self.layout.panel_h
        canvas[:height, :PANEL_W] = self.person(t)
        canvas[:height, PANEL_W : 2 * PANEL_W] = self.robot_picture(t)
        canvas[:height, PANEL_W - 1 : PANEL_W + 1] = GROUND
        if self._column is not None:
            canvas[:height, 2 * PANEL_W :] = self._column.picture(t, height)
            canvas[:height, 2 * PANEL_W - 1 : 2 * PANEL_W + 1] = GROUND
        self._strip(canvas, t)
        return canvas

    # The person ----------------------------------------------------------------------------------

    def person(self, t: float) -> Picture:
        """Return the input at `t` with what was read from it."""
        r = self.recording
        index = latest(r.image_stamps, r.start_s + t + 1e-4)
        index = 0 if index is None else index
        stamp_s = r.image_stamps[index]
        image = r.images.read(index)
        panel = fitted(image, (PANEL_W, self.layout.panel_h)).copy()
        if r.hide_people:
            panel[:] = HIDDEN
        height, width = image.shape[:2]
        scale = min(PANEL_W / width, self.layout.panel_h / height)
        # Pixel centres lie at whole numbers, in the image and on the panel.
        origin = (np.array([PANEL_W - width * scale, self.layout.panel_h - height * scale]) + scale - 1) / 2
        sight = r.sight_at(stamp_s)
        attended = sight.nearest if sight else None
        placed = _Placed((width, height), scale, origin)
        for face in sight.faces if sight else ():
            self._face(panel, face, stamp_s, placed, attended=face is attended)
        for hand in r.hands.get(stamp_s, ()):
            points = placed(hand.points)
            for line in BONES:
                polyline(panel, points[list(line)], PERSON)
            write(panel, (points[:, 0].min(), points[:, 1].max() + 6), hand.gesture, PERSON, 15, shadow=True)
        shares = None
        if attended is not None:
            shares = [
                float(attended.shapes[[INDEX[s] for s in shapes]].mean()) for _, shapes, _ in EXPRESSIONS
            ]
        _bars(panel, "person", shares, PERSON, left=True)
        return panel

    def _face(
        self, panel: Picture, face: SeenFace, stamp_s: float, placed: _Placed, *, attended: bool
    ) -> None:
        colour = PERSON if attended else FAINT
        points = self.recording.landmarks.get((stamp_s, face.id))
        if points is not None:
            # The points are shares of the image's extent, which begins half a pixel before its first.
            on_panel = placed(points * placed.size - 0.5)
            lines = panel.copy()
            for line, closed in _CONTOURS:
                polyline(lines, on_panel[list(line)], colour, closed=closed)
            for pupil in on_panel[68:70]:
                dot(lines, pupil, 3.0, INK)
            cv2.addWeighted(lines, 0.75, panel, 0.25, 0.0, dst=panel)
        x, y, w, h = face.box
        corner = placed((x, y))
        brackets(panel, corner, placed((x + w, y + h)), colour)
        write(panel, (corner[0], corner[1] - 20), face.id, colour, 15, shadow=True)
        camera = self.recording.camera
        if camera is not None and attended and face.pose[2, 3] > 0.05:
            # Where they look; as long as nobody reads it, where the head points.
            along = self.recording.gazes.get((stamp_s, face.id), face.pose[:3, 0])
            tip = face.pose[:3, 3] + 0.16 * along
            ends = [
                placed((camera.fx * p[0] / p[2] + camera.cx, camera.fy * p[1] / p[2] + camera.cy))
                for p in (face.pose[:3, 3], tip)
                if p[2] > 0.02
            ]
            if len(ends) == 2:
                polyline(panel, np.array(ends), ROBOT, thickness=2)
                dot(panel, ends[1], 5.0, ROBOT)

    # The robot -----------------------------------------------------------------------------------

    def robot_picture(self, t: float) -> Picture:
        """Return the robot as its joints were measured at `t`."""
        q = self.recording.joints_at(self.recording.start_s + t)
        self.view.set_positions(self.robot.neutral if q is None else q)
        panel = np.ascontiguousarray(self.view.render(camera="face"))
        shares = None
        if q is not None:
            shares = [float(robot_share(q, names, self.robot)[0]) for _, _, names in EXPRESSIONS]
        _bars(panel, "robot", shares, ROBOT, left=False)
        who, asked = answered_at(self.recording, self.recording.start_s + t), self.recording.asked
        if not who:
            tag(panel, TITLES[asked], "has not answered yet", FAINT)
        elif who == asked:
            tag(panel, TITLES[asked], "drives the robot, live", ROBOT)
        else:
            tag(panel, TITLES.get(who, who), f"stands in: {asked} gave no answer", ALARM)
        return panel

    # Below ---------------------------------------------------------------------------------------

    def _strip(self, canvas: Picture, t: float) -> None:
        r, top, width = self.recording, self.layout.panel_h, self.layout.size[0]
        done = int(width * min(t / max(r.duration_s, 1e-6), 1.0))
        canvas[top : top + 3] = (34, 44, 53)
        canvas[top : top + 3, :done] = ROBOT
        minutes, seconds = divmod(t, 60)
        write(canvas, (20, top + 14), f"{int(minutes)}:{seconds:04.1f}", INK, 26)
        write(canvas, (20, top + 46), r.input_name[:34], FAINT, 14)

        known = np.flatnonzero((self._age_t <= t) & (self._age_t > t - _SPARK_S))
        write(canvas, (330, top + 46), "image to servo command", FAINT, 14)
        recent = known[-5:]
        write(
            canvas,
            (330, top + 14),
            f"{np.median(self._age_ms[recent]):.0f} ms" if len(recent) else "-",
            INK,
            26,
        )
        self._spark(canvas, known, t, (500, top + 16, 280, 42))

        status = state_at(r, r.start_s + t)
        if status is not None:
            who = answered_at(r, r.start_s + t) or status.source
            said = f"following {who}" if status.state == "following" else status.state
            write(canvas, (840, top + 14), said, INK, 22)
            write(canvas, (840, top + 46), "what the robot does", FAINT, 14)
        write(canvas, (width - 74, top + 22), "fabg", ROBOT, 24)

    def _spark(
        self, canvas: Picture, known: NDArray[np.intp], t: float, box: tuple[int, int, int, int]
    ) -> None:
        x, y, width, height = box
        top_ms = max(float(np.percentile(self._age_ms, 99)) if len(self._age_ms) else 1.0, 1.0) * 1.15
        polyline(canvas, np.array([[x, y + height], [x + width, y + height]]), RAIL)
        if len(known) > 1:
            across = x + width * (1 - (t - self._age_t[known]) / _SPARK_S)
            up = y + height * (1 - np.clip(self._age_ms[known] / top_ms, 0, 1))
            polyline(canvas, np.stack([across, up], axis=1), PERSON)


def _bars(panel: Picture, title: str, shares: Sequence[float] | None, colour: Colour, *, left: bool) -> None:
    """Draw what a face does, one bar an expression, in a lower corner."""
    row, width, bar = 21, 216, 84
    height = row * (len(EXPRESSIONS) + 1) + 14
    x = 14 if left else panel.shape[1] - width - 14
    y = panel.shape[0] - height - 14
    shade(panel, (x, y, width, height))
    write(panel, (x + 12, y + 7), title, colour, 14)
    for k, (name, _, _) in enumerate(EXPRESSIONS):
        top = y + 7 + row * (k + 1)
        write(panel, (x + 12, top), name, INK if shares else FAINT, 13)
        start, middle = x + width - bar - 12, top + 9
        cv2.rectangle(panel, (start, middle - 3), (start + bar, middle + 3), (58, 70, 80), -1)
        if shares is not None:
            filled = round(bar * min(max(shares[k], 0.0), 1.0))
            cv2.rectangle(panel, (start, middle - 3), (start + filled, middle + 3), colour, -1)
