"""Measurements over time as pictures: one for each person, one for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.perceive.cards import LEVELS
from fabg.perceive.overlay import PEOPLE
from fabg.perceive.results import HandTrack, Person, Results
from fabg.perceive.spans import Span
from fabg.perceive.table import LOOKS_AT_ROBOT
from fabg.perception.scene import STAGES

MOST_PEOPLE = 12
"""So many people, those seen longest, get a figure of their own."""

_INK, _SOFT, _LINE = "#16212b", "#5b6b78", "#e3e8ec"
_A, _B, _C = "#d98200", "#0e93a6", "#7a5cc4"
_EMOTIONS = {
    "angry": "#c0503c",
    "disgusted": "#7f8f3a",
    "scared": "#7a5cc4",
    "happy": "#e0a021",
    "sad": "#4f7fb8",
    "surprised": "#2fa39a",
    "neutral": "#b4bec6",
}
_GESTURES = {
    "up": "#4f7fb8",
    "down": "#3c5f8c",
    "left": "#2fa39a",
    "right": "#1f7d76",
    "fist": "#c0503c",
    "open_palm": "#e0a021",
    "pointing": "#7f8f3a",
    "thumbs_up": "#1f8a5b",
    "wave": "#b05fa8",
}
_LOOKS = {LOOKS_AT_ROBOT: _B}
_OTHER = "#8a98a3"
_NOTHING = "#eef1f3"
_HEIGHT_IN = {"lines": 1.25, "strip": 0.42}


@dataclass(frozen=True)
class _Row:
    """One row of a figure: its title, its kind, and what draws it."""

    title: str
    kind: str
    draw: Callable[[Any], None]


def draw_person(person: Person, results: Results, path: Path) -> None:
    """Write all that was measured of one person as PNG."""
    t, rows, period_s = person.t, person.rows, results.period_s
    shown = [
        _lines(
            "head, degrees",
            person,
            ("head_yaw_deg", "head_pitch_deg", "head_roll_deg"),
            ("yaw", "pitch", "roll"),
        ),
        _lines("distance, m", person, ("distance_m",), ("distance",), floor=0.0),
    ]
    if np.isfinite(rows["gaze_yaw_deg"]).any():
        shown += [
            _lines("gaze, degrees", person, ("gaze_yaw_deg", "gaze_pitch_deg"), ("yaw", "pitch")),
            _strip("looks at", person.spans("looks_at", period_s), _LOOKS, other=_A),
            _closure(person),
            _strip("engagement", person.spans("engagement", period_s), _levels()),
        ]
    if np.isfinite(rows["valence"]).any():
        shown += [
            _lines("intensity", person, ("smile", "surprise"), ("smile", "surprise"), limits=(-0.04, 1.04)),
            _lines("affect", person, ("valence", "arousal"), ("valence", "arousal"), limits=(-1.05, 1.05)),
            _strip("emotion", person.spans("emotion", period_s), _EMOTIONS),
        ]
    shown += _hands(person.hands, period_s)
    end_s = float(t[-1]) + period_s
    _figure(shown, (float(t[0]), end_s), path, title=person.id)


def draw_overview(results: Results, path: Path) -> None:
    """Write who was there, what the hands did, and what the work cost, as PNG."""
    period_s = results.period_s
    shown = []
    for k, person in enumerate(results.people[:40]):
        parts = person.spans("engagement", period_s, empty="seen")
        colour = "#{:02x}{:02x}{:02x}".format(*PEOPLE[k % len(PEOPLE)])
        shown.append(_strip(person.id, parts, _levels() | {"seen": colour}))
        shown += _hands(person.hands, period_s)
    shown += _hands(results.strangers, period_s, other="other ")
    shown += [
        _Row("in sight", "lines", lambda axes: _counts(axes, results)),
        _Row("work, ms", "lines", lambda axes: _work(axes, results)),
    ]
    t = results.images["stamp_s"]
    _figure(shown, (float(t[0]), float(t[-1]) + period_s), path, title="everybody")


# Rows ------------------------------------------------------------------------------------------------


def _lines(
    title: str,
    person: Person,
    columns: Sequence[str],
    names: Sequence[str],
    *,
    limits: tuple[float, float] | None = None,
    floor: float | None = None,
) -> _Row:
    def draw(axes: Any) -> None:
        for column, name, colour in zip(columns, names, (_A, _B, _C), strict=False):
            axes.plot(
                *_broken(person.rows["image"], person.t, person.rows[column]),
                color=colour,
                label=name,
                lw=1.3,
            )
        if limits is not None:
            axes.set_ylim(*limits)
        elif floor is not None:
            top = float(np.nanmax(person.rows[columns[0]]))
            axes.set_ylim(floor, 1.15 * max(top, 0.1))
        if len(names) > 1:
            _legend(axes)

    return _Row(title, "lines", draw)


def _closure(person: Person) -> _Row:
    def draw(axes: Any) -> None:
        for side, colour in (("left", _A), ("right", _B)):
            axes.plot(
                *_broken(person.rows["image"], person.t, person.rows[f"closed_{side}"]),
                color=colour,
                label=side,
                lw=1.1,
            )
        blinks = person.t[person.rows["blink"]]
        axes.plot(blinks, np.full(len(blinks), 1.12), ls="", marker="v", ms=3.5, color=_INK, label="blink")
        axes.set_ylim(-0.04, 1.22)
        _legend(axes)

    return _Row("eyes shut", "lines", draw)


def _strip(
    title: str, parts: Sequence[Span], colours: Mapping[str, str], *, nothing: str = "", other: str = _OTHER
) -> _Row:
    def draw(axes: Any) -> None:
        low, high = axes.get_xlim()
        unsaid: dict[str, Any] = {}
        written: set[str] = set()
        for part in parts:
            empty = part.label in ("", nothing)
            bar = axes.broken_barh(
                [(part.start_s, part.duration_s)], (0.1, 0.8),
                facecolor=_NOTHING if empty else colours.get(part.label, other), lw=0,
            )  # fmt: skip
            said = part.label.replace("_", " ")
            # About 150 letters fit across.
            if not empty and part.duration_s > (high - low) * (len(said) + 1) / 150:
                axes.text(
                    part.start_s + part.duration_s / 2, 0.47, said, ha="center", va="center", fontsize=8,
                    color="white", clip_on=True,
                )  # fmt: skip
                written.add(said)
            elif not empty:
                unsaid.setdefault(said, bar)
        axes.set_ylim(0.0, 1.0)
        axes.set_yticks([])
        if rest := {said: bar for said, bar in unsaid.items() if said not in written}:
            _legend(axes, (list(rest.values()), list(rest)))

    return _Row(title, "strip", draw)


def _levels() -> dict[str, str]:
    shades = {"unknown": "#d5dce1", "disengaged": "#a9b5be"}
    for level, colour in LEVELS.items():
        shades.setdefault(
            level.name.lower(), "#{:02x}{:02x}{:02x}".format(*(round(0.85 * c) for c in colour))
        )
    return shades


def _hands(hands: Sequence[HandTrack], period_s: float, other: str = "") -> list[_Row]:
    rows = []
    for side in ("left", "right", "unknown"):
        parts = [part for hand in hands if hand.side == side for part in hand.spans(period_s)]
        if parts:
            title = other + ("hand" if side == "unknown" else f"{side} hand")
            rows.append(_strip(title, parts, _GESTURES, nothing="none"))
    return rows


def _counts(axes: Any, results: Results) -> None:
    t = results.images["stamp_s"]
    axes.step(t, results.images["faces"], where="post", color=_A, lw=1.3, label="faces")
    top = float(np.max(results.images["faces"], initial=1.0))
    if np.isfinite(results.images["hands"]).any():
        axes.step(t, results.images["hands"], where="post", color=_B, lw=1.3, label="hands")
        top = max(top, float(np.nanmax(results.images["hands"])))
    axes.set_ylim(-0.1, top + 0.3)
    axes.set_yticks(range(int(top) + 1))
    _legend(axes)


def _work(axes: Any, results: Results) -> None:
    t = results.images["stamp_s"]
    below = np.zeros(len(t))
    for stage, colour in zip(STAGES, (_A, _C, "#e0a021", _B), strict=True):
        cost = results.images[f"{stage}_ms"]
        if np.isfinite(cost).any():
            above = below + _smooth(np.nan_to_num(cost))
            axes.fill_between(t, below, above, color=colour, lw=0, alpha=0.85, label=stage)
            below = above
    axes.set_ylim(0.0, max(float(np.percentile(below, 99)) * 1.25, 1.0) if len(below) else 1.0)
    _legend(axes)


def _smooth(values: NDArray[np.float64], width: int = 9) -> NDArray[np.float64]:
    """Return the running mean over `width` images."""
    if len(values) < width:
        return values
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")


def _broken(
    images: NDArray[Any], t: ArrayLike, values: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a curve with a hole wherever images are missing."""
    holes = np.flatnonzero(np.diff(images) > 1) + 1
    return (
        np.insert(np.asarray(t, dtype=np.float64), holes, np.nan),
        np.insert(np.asarray(values, dtype=np.float64), holes, np.nan),
    )


# The figure ------------------------------------------------------------------------------------------


def _figure(rows: Sequence[_Row], across: tuple[float, float], path: Path, *, title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [_HEIGHT_IN[row.kind] for row in rows]
    figure = Figure(figsize=(11.0, sum(heights) + 0.14 * len(rows) + 0.6), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", hspace=0.0, h_pad=0.03)
    grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    grid[0].set_xlim(*across)
    for row, axes in zip(rows, grid, strict=True):
        for side in ("top", "right", *(("left", "bottom") if row.kind == "strip" else ())):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_LINE)
        axes.tick_params(colors=_SOFT, labelsize=8, length=0)
        if row.kind == "lines":
            axes.grid(True, color=_LINE, lw=0.7)
            axes.set_axisbelow(True)
            axes.margins(y=0.12)
        axes.text(
            -0.05, 0.5, row.title, transform=axes.transAxes, ha="right", va="center", fontsize=9.5, color=_INK
        )
        row.draw(axes)
    grid[-1].set_xlabel("time, s", fontsize=9, color=_SOFT)
    if title:
        grid[0].set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK)
    figure.savefig(path)


def _legend(axes: Any, named: tuple[list[Any], list[str]] | tuple[()] = ()) -> None:
    axes.legend(
        *named, loc="upper left", bbox_to_anchor=(1.0, 1.04), frameon=False, fontsize=8.5, labelcolor=_SOFT,
        handlelength=1.1, borderaxespad=0.3, ncols=1 + (len(named[1]) > 2 if named else 0), columnspacing=0.8,
    )  # fmt: skip
