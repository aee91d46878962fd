"""Plots of a report: a title, and what draws on matplotlib's axes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chart:
    """One plot: its title, and what draws it on matplotlib's axes."""

    title: str
    draw: Callable[[Any], None]


def png(chart: Chart) -> bytes:
    """Return a chart as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(chart.title, loc="left", fontsize=11, fontweight="bold")
    chart.draw(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
