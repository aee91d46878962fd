"""Plots of an accuracy report, on matplotlib's axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fabg.charts import Chart
from fabg.evaluation.rows import Condition, summarise

_DOT, _LINE, _SOFT = "#0e93a6", "#16212b", "#b9c4cc"


def against_truth(
    title: str, truth: ArrayLike, said: ArrayLike, *, unit: str, names: Sequence[str] = ()
) -> Chart:
    """Return a scatter of what was said over what was true; several columns get several colours."""
    x, y = (np.asarray(v, dtype=np.float64).reshape(len(np.asarray(v)), -1) for v in (truth, said))

    def draw(axes: Any) -> None:
        low, high = float(np.nanmin(x)), float(np.nanmax(x))
        axes.plot([low, high], [low, high], color=_SOFT, lw=1.2, zorder=1)
        colors = (_DOT, "#d98200", "#8e5ea2")
        for k in range(x.shape[1]):
            label = names[k] if k < len(names) else None
            axes.scatter(x[:, k], y[:, k], s=7, alpha=0.45, lw=0, color=colors[k % 3], label=label)
        if names:
            axes.legend(frameon=False, markerscale=2)
        axes.set_xlabel(f"true, {unit}")
        axes.set_ylabel(f"measured, {unit}")

    return Chart(title, draw)


def by_condition(title: str, errors: ArrayLike, condition: Condition, *, unit: str) -> Chart:
    """Return bars of the mean error of each group of a condition, with a whisker up to its p95."""
    values = np.asarray(errors, dtype=np.float64)
    groups = [summarise(values[condition.group == i]) for i in range(len(condition.labels))]

    def draw(axes: Any) -> None:
        at = np.arange(len(groups))
        means = np.array([g.mean for g in groups])
        tops = np.array([g.p95 for g in groups]) - means
        axes.bar(at, means, width=0.6, color=_DOT, yerr=[np.zeros_like(tops), np.maximum(tops, 0)])
        axes.set_xticks(
            at, [f"{label}\nn = {g.count}" for label, g in zip(condition.labels, groups, strict=True)]
        )
        axes.tick_params(axis="x", labelsize=8)
        axes.set_ylabel(f"mean error, whisker: p95, {unit}")

    return Chart(title, draw)


def failures(title: str, hits: ArrayLike, condition: Condition) -> Chart:
    """Return bars of the share of successes in each group of a condition."""
    values = np.asarray(hits, dtype=bool)

    def draw(axes: Any) -> None:
        at = np.arange(len(condition.labels))
        shares = [
            100 * values[condition.group == i].mean() if (condition.group == i).any() else 0 for i in at
        ]
        axes.bar(at, shares, width=0.6, color=_DOT)
        axes.set_xticks(at, condition.labels, fontsize=8)
        axes.set_ylim(min([90.0, *shares]) - 5, 100.5)
        axes.set_ylabel("found, %")

    return Chart(title, draw)


def matrix(title: str, truth: Sequence[str], said: Sequence[str], classes: Sequence[str]) -> Chart:
    """Return a confusion matrix: rows are true, columns what was said; each row sums to 100 %."""
    index = {name: i for i, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)))
    for t, s in zip(truth, said, strict=True):
        counts[index[t], index[s]] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(axes: Any) -> None:
        axes.imshow(shares, cmap="GnBu", vmin=0, vmax=1, aspect="auto")
        names = [name.replace("_", " ") for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=40, ha="right", fontsize=8)
        axes.set_yticks(range(len(classes)), names, fontsize=8)
        axes.set_xlabel("said")
        axes.set_ylabel("true")
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                color = "white" if share > 0.6 else _LINE
                axes.text(
                    column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=color
                )

    return Chart(title, draw)
