"""The strip of signals under a film: events above, below them some seconds of each signal up to now."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fabg.errors import ConfigError
from fabg.strokes import FAINT, GROUND, INK, PERSON, ROBOT, Colour, Picture, polyline, width_of, write

EXPERT: Colour = (186, 156, 255)
"""Colour of what the expert would do."""

HEIGHT = 196
"""Height of the strip, px."""

_CHART: Colour = (20, 28, 36)
_GRID: Colour = (36, 47, 57)
_ZERO: Colour = (58, 72, 84)
_SPAN: Colour = (74, 58, 34)
_LEFT, _RIGHT = 148, 128  # px for titles and scales, and for the legend
_LANE = (14, 18)  # top and height of the events
_CHARTS_TOP, _CHARTS_END, _GAP = 42, 168, 12
_VALUES_APART = 13


@dataclass(frozen=True)
class Line:
    """One signal: its key in what is shown, what the legend calls it, its colour and thickness in px."""

    key: str
    name: str
    colour: Colour
    thickness: int = 1


@dataclass(frozen=True)
class Track:
    """One chart.

    Attributes
    ----------
    title, unit
        Written beside it.
    lines
        What it shows, the last one on top.
    low, high
        Range of the scale; `grows` widens it in steps of `step` when a signal leaves it.
    step
        Distance of the written values.
    grows
        Whether the scale may widen. A signal beyond a fixed scale is drawn at its border.
    factor
        Shown value per value of the signal, e.g. degrees per rad.
    share
        Height relative to the other charts.

    Raises
    ------
    ConfigError
        When the scale is empty or has no step.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    low: float
    high: float
    step: float
    grows: bool = False
    factor: float = 1.0
    share: float = 1.0

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.step > 0 and self.share > 0):
            raise ConfigError(
                f"the scale of {self.title!r} runs from {self.low} to {self.high} in steps of {self.step}: "
                "expected a rising range and a positive step"
            )


TRACKS: tuple[Track, ...] = (
    Track(
        "gaze yaw", "degrees, + left",
        (
            Line("gaze_expert", "expert", EXPERT),
            Line("gaze_target", "target", PERSON, 2),
            Line("gaze_robot", "robot", ROBOT, 2),
        ),
        low=-20.0, high=20.0, step=20.0, grows=True, factor=math.degrees(1.0), share=1.5,
    ),
    Track(
        "expression", "share of full",
        (
            Line("expression_expert", "expert", EXPERT),
            Line("expression_asked", "asked", PERSON, 2),
            Line("expression_robot", "robot", ROBOT, 2),
        ),
        low=0.0, high=1.0, step=1.0,
    ),
)  # fmt: skip
"""What a film shows when nothing else is wanted: angles in rad, amounts 0..1."""


@dataclass
class _Span:
    """One event: from when, until when (None: still), and its name."""

    start_s: float
    end_s: float | None
    name: str


class Strip:
    """Keeps some seconds of signals and draws them.

    Parameters
    ----------
    width
        Of the strip, px.
    tracks
        Its charts, from above.
    window_s
        How much of the past is shown, s, 1..60.

    Raises
    ------
    ConfigError
        When the window is out of range.
    """

    def __init__(self, width: int, tracks: Sequence[Track] = TRACKS, window_s: float = 8.0) -> None:
        if not 1.0 <= window_s <= 60.0:  # also refuses NaN
            raise ConfigError(f"window_s is {window_s}: expected 1 to 60 s")
        self._width, self._window_s = width, window_s
        self._x0, self._x1 = _LEFT, width - _RIGHT
        self._tracks = tuple(tracks)
        self._keys = [line.key for track in self._tracks for line in track.lines]
        self._scales = [(track.low, track.high) for track in self._tracks]
        self._rows: deque[tuple[float, tuple[float, ...]]] = deque()
        self._spans: deque[_Span] = deque()
        self._event: object = None
        whole = _CHARTS_END - _CHARTS_TOP - _GAP * (len(self._tracks) - 1)
        shares = np.cumsum([0.0, *(track.share for track in self._tracks)])
        edges = np.rint(whole * shares / max(shares[-1], 1e-9)).astype(int)
        self._boxes = [
            (_CHARTS_TOP + int(a) + _GAP * k, int(b - a))
            for k, (a, b) in enumerate(itertools.pairwise(edges))
        ]

    def add(self, time_s: float, signals: Mapping[str, float], event: object = None, name: str = "") -> None:
        """Note the signals of one instant; those that are missing or NaN leave a gap.

        Parameters
        ----------
        time_s
            Later than the instant before, s.
        signals
            Values by the keys of the tracks' lines.
        event, name
            Something that changes when another event begins, and its name; an empty name is no event.
        """
        self._rows.append((time_s, tuple(float(signals.get(key, math.nan)) for key in self._keys)))
        if event != self._event:
            if self._spans and self._spans[-1].end_s is None:
                self._spans[-1].end_s = time_s
            if name:
                self._spans.append(_Span(time_s, None, name))
            self._event = event
        first_s = time_s - self._window_s
        while len(self._rows) > 1 and self._rows[1][0] < first_s:
            self._rows.popleft()
        while self._spans and self._spans[0].end_s is not None and self._spans[0].end_s < first_s:
            self._spans.popleft()

    def draw(self, canvas: Picture) -> None:
        """Draw the strip, its right border the newest instant, on a canvas (HEIGHT, width, 3)."""
        canvas[:] = GROUND
        if not self._rows:
            return
        now_s = self._rows[-1][0]
        times = np.array([t for t, _ in self._rows])
        values = np.array([row for _, row in self._rows])
        xs = self._across(times, now_s)
        self._draw_events(canvas, now_s)
        column = 0
        for k, (track, (top, height)) in enumerate(zip(self._tracks, self._boxes, strict=True)):
            own = values[:, column : column + len(track.lines)] * track.factor
            column += len(track.lines)
            self._scales[k] = _widened(track, self._scales[k], own)
            self._draw_chart(canvas, track, self._scales[k], (top, height), xs, own, now_s)
        self._draw_axis(canvas, now_s)

    # -- parts ----------------------------------------------------------------------------------

    def _across(self, times: np.ndarray, now_s: float) -> np.ndarray:
        return self._x1 + (times - now_s) / self._window_s * (self._x1 - self._x0)

    def _seconds(self, now_s: float) -> list[tuple[int, float]]:
        """Return the whole seconds in the window that are not before 0, and where they lie, px."""
        first = max(math.ceil(now_s - self._window_s), 0)
        whole = np.arange(first, math.floor(now_s) + 1)
        return list(zip(whole.tolist(), self._across(whole, now_s).tolist(), strict=True))

    def _draw_events(self, canvas: Picture, now_s: float) -> None:
        top, height = _LANE
        _middled(canvas, 20, top + height / 2, "events", FAINT, 13)
        cv2.rectangle(canvas, (self._x0, top), (self._x1, top + height), _CHART, -1)
        starts = [*self._across(np.array([span.start_s for span in self._spans]), now_s), self._x1 + 1.0]
        for span, start, after in zip(self._spans, starts[:-1], starts[1:], strict=True):
            end_s = now_s if span.end_s is None else span.end_s
            end = float(self._across(np.array([end_s]), now_s)[0])
            x, stop = max(round(start), self._x0), round(end)
            if stop <= x:
                continue
            cv2.rectangle(canvas, (x, top), (stop - 1, top + height), _SPAN, -1)
            if start >= self._x0:
                cv2.rectangle(canvas, (x, top), (x + 1, top + height), PERSON, -1)
            # The name stays readable to the last: it leaves with its event, and is never cut.
            if x + 8 + width_of(span.name, 13) <= after - 6:
                _middled(canvas, x + 8, top + height / 2, span.name, INK, 13)

    def _draw_chart(
        self,
        canvas: Picture,
        track: Track,
        scale: tuple[float, float],
        box: tuple[int, int],
        xs: np.ndarray,
        values: np.ndarray,
        now_s: float,
    ) -> None:
        top, height = box
        low, high = scale
        _middled(canvas, 20, top + height / 2 - 9, track.title, INK, 14)
        _middled(canvas, 20, top + height / 2 + 9, track.unit, FAINT, 11)
        cv2.rectangle(canvas, (self._x0, top), (self._x1, top + height), _CHART, -1)
        for _, x in self._seconds(now_s):
            if x - self._x0 > 1:
                polyline(canvas, [[x, top], [x, top + height]], _GRID)
        for start in self._across(np.array([span.start_s for span in self._spans]), now_s):
            if start >= self._x0:
                polyline(canvas, [[start, top], [start, top + height]], _SPAN, thickness=2)

        inner, pad = height - 8, 4  # so that a line at the border is not cut

        def up(value: np.ndarray | float) -> np.ndarray:
            share = np.clip((np.asarray(value) - low) / (high - low), 0.0, 1.0)
            return top + pad + inner * (1.0 - share)

        # On a scale that has grown, values are written as far apart as they can be read.
        apart = track.step * math.ceil(_VALUES_APART / (inner * track.step / (high - low)))
        for mark in np.arange(math.ceil(low / apart), math.floor(high / apart) + 1) * apart:
            y = float(up(mark))
            polyline(canvas, [[self._x0, y], [self._x1, y]], _ZERO if mark == 0 else _GRID)
            said = f"{mark:+g}" if low < 0 and mark else f"{mark:g}"
            _middled(canvas, self._x0 - 8 - width_of(said, 11), y, said, FAINT, 11)
        panel = canvas[top : top + height + 1, self._x0 : self._x1 + 1]
        for line, column in zip(track.lines, values.T, strict=True):
            points = np.stack([xs - self._x0, up(column) - top], axis=1)
            for part in _unbroken(points, np.isfinite(column)):
                polyline(panel, part, line.colour, thickness=line.thickness)
        self._draw_legend(canvas, track, box, values)

    def _draw_legend(self, canvas: Picture, track: Track, box: tuple[int, int], values: np.ndarray) -> None:
        top, height = box
        # In the order of the eye: what was asked first, the expert last.
        rows = sorted(track.lines, key=lambda line: (line.colour == EXPERT, line.colour == ROBOT))
        step = min(17.0, height / len(rows))
        y = top + height / 2 - step * (len(rows) - 1) / 2
        for line in rows:
            known = np.isfinite(values[:, track.lines.index(line)]).any()
            x = self._x1 + 20
            colour = line.colour if known else _ZERO
            polyline(canvas, [[x, y], [x + 18, y]], colour, thickness=line.thickness)
            _middled(canvas, x + 28, y, line.name, INK if known else FAINT, 13)
            y += step

    def _draw_axis(self, canvas: Picture, now_s: float) -> None:
        y = _CHARTS_END + 14
        _middled(canvas, 20, y, "time", FAINT, 13)
        for second, x in self._seconds(now_s):
            said = f"{second} s"
            half = width_of(said, 12) / 2
            if self._x0 <= x - half and x + half <= self._x1:
                _middled(canvas, x - half, y, said, FAINT, 12)


def _widened(track: Track, scale: tuple[float, float], values: np.ndarray) -> tuple[float, float]:
    """Return the scale, widened by whole steps so that all values fit; it never narrows."""
    known = values[np.isfinite(values)]
    if not track.grows or not known.size:
        return scale
    low, high = float(known.min()), float(known.max())
    return (
        min(scale[0], math.floor(low / track.step) * track.step),
        max(scale[1], math.ceil(high / track.step) * track.step),
    )


def _unbroken(points: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
    """Return the runs of points that are known, each with two points or more."""
    edges = np.flatnonzero(np.diff(known.astype(int))) + 1
    parts = np.split(np.arange(len(points)), edges)
    return [points[part] for part in parts if len(part) > 1 and known[part[0]]]


def _middled(
    canvas: Picture, x: float, y: float, said: str, colour: Colour, size: int, *, shadow: bool = False
) -> None:
    """Write a line of text whose small letters are centred on the height `y`."""
    write(canvas, (x, y - 0.68 * size), said, colour, size, shadow=shadow)
