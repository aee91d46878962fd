"""Small charts as inline SVG: they scale, need no script, and take their colours from the page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 26
_MOST_POINTS = 700


@dataclass(frozen=True)
class Line:
    """One curve: times (s), values, and the CSS class that colours it."""

    t: Values
    values: Values
    css: str


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers within [low, high], about `count` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 2.5, 5, 10) if power * k >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def thinned(t: Values, values: Values, most: int = _MOST_POINTS) -> tuple[Values, Values]:
    """Return at most about `most` points that keep each stretch's lowest and highest value."""
    if len(t) <= most:
        return t, values
    edges = np.linspace(0, len(t), most // 2 + 1).astype(int)
    keep: list[int] = []
    for a, b in pairwise(edges):
        if b > a:
            keep += sorted({a + int(np.argmin(values[a:b])), a + int(np.argmax(values[a:b]))})
    return t[keep], values[keep]


def _number(value: float) -> str:
    return f"{value:.10g}" if abs(value) >= 1e-9 else "0"


class _Frame:
    """Axes: from data to SVG coordinates."""

    def __init__(self, size: tuple[int, int], x: tuple[float, float], y: tuple[float, float]) -> None:
        self.width, self.height = size
        self.x, self.y = x, y

    def across(self, value: ArrayLike) -> Values:
        low, high = self.x
        inner = self.width - _LEFT - _RIGHT
        return _LEFT + (np.asarray(value, dtype=np.float64) - low) / max(high - low, 1e-9) * inner

    def up(self, value: ArrayLike) -> Values:
        low, high = self.y
        inner = self.height - _TOP - _BOTTOM
        return _TOP + (1 - (np.asarray(value, dtype=np.float64) - low) / max(high - low, 1e-9)) * inner

    def svg(
        self, body: Sequence[str], *, title: str, unit_x: str, y_marks: Sequence[float] | None = None
    ) -> str:
        parts = [
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{html.escape(title, quote=True)}">'
        ]
        for value in ticks(*self.y) if y_marks is None else y_marks:
            y = float(self.up(value))
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{self.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(
                f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{_number(value)}</text>"
            )
        marks = ticks(*self.x, 6)
        for k, value in enumerate(marks):
            unit = f" {unit_x}" if k == len(marks) - 1 else ""
            parts.append(
                f'<text class="tick" x="{float(self.across(value)):.1f}" y="{self.height - 8}" '
                f'text-anchor="middle">{_number(value)}{unit}</text>'
            )
        return "".join([*parts, *body, "</svg>"])


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    y: tuple[float, float] | None = None,
    x: tuple[float, float] | None = None,
    size: tuple[int, int] = (480, 132),
    hole_s: float = 0.5,
) -> str:
    """Return curves over time; where nothing is known for longer than `hole_s` the curve is broken."""
    there = [line for line in lines if len(line.t)]
    if not there:
        return '<p class="none">nothing to show</p>'
    if x is None:
        x = min(float(c.t[0]) for c in there), max(float(c.t[-1]) for c in there)
    if y is None:
        low, high = min(float(c.values.min()) for c in there), max(float(c.values.max()) for c in there)
        pad = max((high - low) * 0.08, 1e-3)
        y = low - pad, high + pad
    frame = _Frame(size, x, y)
    body = []
    for line in there:
        for part in _unbroken(line, hole_s):
            t, values = thinned(*part)
            points = " ".join(
                f"{a:.1f},{b:.1f}"
                for a, b in zip(frame.across(t), frame.up(np.clip(values, *y)), strict=True)
            )
            body.append(f'<polyline class="{line.css}" points="{points}"/>')
    return frame.svg(body, title=title, unit_x="s")


def _unbroken(line: Line, hole_s: float) -> list[tuple[Values, Values]]:
    cuts = np.flatnonzero(np.diff(line.t) > hole_s) + 1
    parts = zip(np.split(line.t, cuts), np.split(line.values, cuts), strict=True)
    return [(t, v) for t, v in parts if len(t) > 1]


def histogram(
    values: ArrayLike,
    *,
    title: str,
    p50: float,
    p95: float,
    size: tuple[int, int] = (480, 132),
    bins: int = 48,
) -> str:
    """Return a histogram of delays (ms) with its median and 95th percentile marked."""
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        return '<p class="none">nothing to show</p>'
    right = max(float(np.percentile(values, 99.5)), p95 * 1.25, 1.0)
    counts, edges = np.histogram(np.clip(values, 0.0, right), bins=bins, range=(0.0, right))
    frame = _Frame(size, (0.0, right), (0.0, float(counts.max()) * 1.35))
    floor = float(frame.up(0.0))
    body = []
    for count, a, b in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x, top = float(frame.across(a)), float(frame.up(count))
            wide = float(frame.across(b)) - x - 1
            body.append(
                f'<rect class="bin" x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{floor - top:.1f}"/>'
            )
    for value, name, anchor, shift in ((p50, "p50", "end", -4), (p95, "p95", "start", 4)):
        x = float(frame.across(value))
        body.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{floor:.1f}"/>')
        body.append(
            f'<text class="label" x="{x + shift:.1f}" y="{_TOP + 12}" text-anchor="{anchor}">'
            f"{name} {value:.0f}</text>"
        )
    return frame.svg(body, title=title, unit_x="ms", y_marks=())


def stage_bars(stages: Sequence[tuple[str, float, float]], *, title: str, width: int = 480) -> str:
    """Return one row a stage (name, p50 and p95 in ms): the median as a bar within that of the p95."""
    if not stages:
        return '<p class="none">nothing to show</p>'
    row, left = 30, 84
    right = max(p95 for _, _, p95 in stages) * 1.12
    scale = (width - left - 56) / max(right, 1e-6)
    height = row * len(stages) + 8
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(title, quote=True)}">'
    ]
    for k, (name, p50, p95) in enumerate(stages):
        y = 4 + row * k
        parts.append(
            f'<text class="stage" x="{left - 8}" y="{y + 17}" text-anchor="end">{html.escape(name)}</text>'
        )
        parts.append(
            f'<rect class="p95" x="{left}" y="{y + 6}" width="{p95 * scale:.1f}" height="14" rx="2"/>'
        )
        parts.append(
            f'<rect class="p50" x="{left}" y="{y + 6}" width="{p50 * scale:.1f}" height="14" rx="2"/>'
        )
        parts.append(
            f'<text class="tick" x="{left + p95 * scale + 6:.1f}" y="{y + 17}">{p50:.0f} / {p95:.0f}</text>'
        )
    return "".join([*parts, "</svg>"])
