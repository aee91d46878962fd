"""Plots of a benchmark: each quantity over the injected delay, a line a method, the references as level lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fabg.charts import Chart
from fabg.social.bench.grid import IDLE, ORACLE
from fabg.social.bench.result import methods_of

PLOTS: tuple[tuple[str, str], ...] = (
    ("response_vs_expert_ms", "Response time relative to the expert"),
    ("gaze_lag_ms", "Lag of the gaze relative to the expert"),
    ("expression_lag_ms", "Lag of the face relative to the expert"),
    ("completion_s", "Completion time"),
    ("gaze_error_deg", "Gaze error"),
    ("command_jerk", "Command jerk"),
)
"""Metric and title of each plot."""

NAMES = {ORACLE: "oracle (expert, no delay)", IDLE: "idle (does nothing)"}
"""What the references are called."""

_INK, _SOFT, _LINE = "#16212b", "#5b6b78", "#e3e8ec"
_COLOURS = ("#0e93a6", "#d98200", "#7a5cc4", "#c0503c", "#1f8a5b", "#3c6fb0", "#b05fa8", "#7f8f3a")
_MARKERS = "osD^vPX*"
_LOOKS = {ORACLE: (_INK, "--"), IDLE: ("#8a98a3", ":")}
_RATIOS = ("command_jerk",)  # told apart by factors rather than differences
_FAR = 0.6  # a reference further off than this share of the range would flatten all others


@dataclass(frozen=True)
class _Axis:
    """Where each delay stands: in ms when all are constant, else one beside the other."""

    at: Mapping[str, float]
    labels: tuple[str, ...] | None
    dodge: float

    @classmethod
    def of(cls, delays: Sequence[Mapping[str, Any]], methods: int) -> _Axis:
        ordered = sorted(delays, key=lambda delay: (delay["mean_ms"], delay["text"]))
        texts = tuple(str(delay["text"]) for delay in ordered)
        numbers = [float(delay["mean_ms"]) for delay in ordered]
        gap, reach = min((b - a for a, b in pairwise(numbers)), default=60.0), numbers[-1] - numbers[0]
        readable = gap > 0.06 * reach
        if readable and all(":" not in text and "=" not in text for text in texts):
            dodge = min(0.2 * gap / max(methods, 1), 0.018 * (reach or gap))
            return cls(dict(zip(texts, numbers, strict=True)), None, dodge)
        at = {text: float(k) for k, text in enumerate(texts)}
        return cls(at, texts, 0.3 / max(methods, 1))


def task_charts(result: Mapping[str, Any], task: str | None) -> list[tuple[str, Chart]]:
    """Return metric and chart of each of `PLOTS` that exists in a task; of all tasks together for None."""
    entries = result["overall"] if task is None else [e for e in result["summary"] if e["task"] == task]
    order = result["grid"]["methods"]
    looks = {m: (_COLOURS[k % 8], _MARKERS[(k + k // 8) % 8]) for k, m in enumerate(order)}
    axis = _Axis.of(result["grid"]["delays"], len(order))
    charts = []
    for name, title in PLOTS:
        there = [entry for entry in entries if name in entry["metrics"]]
        if methods_of(there):
            metric = result["metrics"][name]
            charts.append((name, Chart(title, _drawn(there, name, metric, axis, looks))))
    return charts


def _drawn(
    entries: Sequence[Mapping[str, Any]],
    name: str,
    metric: Mapping[str, str],
    axis: _Axis,
    looks: Mapping[str, tuple[str, str]],
) -> Callable[[Any], None]:
    methods = methods_of(entries)
    levels = {e["method"]: e["metrics"][name] for e in entries if e["method"] in NAMES}

    def draw(axes: Any) -> None:
        axes.grid(axis="y", color=_LINE, lw=0.9)
        axes.set_axisbelow(True)
        ends: list[float] = []
        handles = []
        for k, method in enumerate(methods):
            colour, marker = looks[method]
            shift = (k - (len(methods) - 1) / 2) * axis.dodge  # so that whiskers do not cover each other
            points = sorted(
                (axis.at[e["delay"]] + shift, e["metrics"][name]) for e in entries if e["method"] == method
            )
            x, means = [at for at, _ in points], [value["mean"] for _, value in points]
            low = [value["mean"] if value["low"] is None else value["low"] for _, value in points]
            high = [value["mean"] if value["high"] is None else value["high"] for _, value in points]
            ends += low + high
            whiskers = [[m - a for m, a in zip(means, low, strict=True)]]
            whiskers.append([b - m for m, b in zip(means, high, strict=True)])
            handles.append(
                axes.errorbar(
                    x, means, whiskers, color=colour, marker=marker, ms=6.5, mec="white", mew=0.8, lw=1.6,
                    elinewidth=1.2, capsize=2.5, label=method, zorder=3,
                )
            )  # fmt: skip
        middle = [e["metrics"][name]["mean"] for e in entries if e["method"] not in NAMES]
        log = name in _RATIOS and min(middle) > 0.0 and max(middle) > 10.0 * min(middle)
        for method, value in sorted(levels.items(), reverse=True):  # the oracle first
            handles.append(_level(axes, method, value, unit_of(metric), ends, log=log))
        _frame(axes, axis, metric, ends, log=log)
        axes.figure.legend(
            handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5,
            handlelength=2.6, columnspacing=1.4,
        )  # fmt: skip

    return draw


def _level(
    axes: Any, method: str, value: Mapping[str, float], unit: str, ends: list[float], *, log: bool
) -> Any:
    """Draw a reference across all delays, or only name it when it is far off; return it for the legend."""
    colour, dashes = _LOOKS[method]
    low, high = min([*ends, 0.0]), max([*ends, 0.0])
    reach = _FAR * max(high - low, 1e-9)
    if (log and value["mean"] <= 0.0) or not low - reach <= value["mean"] <= high + reach:
        label = f"{NAMES[method]}: {value['mean']:.3g} {unit}, off the scale".replace("  ", " ")
        return axes.plot([], [], color=colour, ls=dashes, lw=1.6, label=label)[0]
    ends.append(value["mean"])
    if value["low"] is not None and value["high"] is not None:
        axes.axhspan(value["low"], value["high"], color=colour, alpha=0.1, lw=0, zorder=1)
    return axes.axhline(value["mean"], color=colour, ls=dashes, lw=1.6, label=NAMES[method], zorder=2)


def _frame(axes: Any, axis: _Axis, metric: Mapping[str, str], ends: Sequence[float], *, log: bool) -> None:
    """Set the limits and name the axes."""
    axes.set_ylabel(unit_of(metric) or "share", color=_SOFT)
    axes.tick_params(colors=_SOFT, labelcolor=_INK)
    places = sorted(axis.at.values())
    margin = 0.45 if axis.labels else max(0.09 * (places[-1] - places[0]), 20.0 if len(places) == 1 else 0.0)
    axes.set_xlim(places[0] - margin, places[-1] + margin)
    axes.set_xlabel("injected delay, ms", color=_SOFT)
    if axis.labels is None:
        axes.set_xticks(places, [f"{place:g}" for place in places])
    elif len(places) > 4:
        axes.set_xticks(places, map(_cut, axis.labels), fontsize=8.5, rotation=25, ha="right")
    else:
        axes.set_xticks(places, map(_cut, axis.labels), fontsize=8.5)
    if log:
        _ratios(axes, [end for end in ends if end > 0.0])
    else:
        _differences(axes, metric, min(ends), max(ends))


def _ratios(axes: Any, ends: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.set_ylim(0.7 * min(ends), 1.4 * max(ends))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _differences(axes: Any, metric: Mapping[str, str], low: float, high: float) -> None:
    relative = metric["better"] == "zero"
    if relative or 0.0 <= low < 0.6 * high:
        low, high = min(low, 0.0), max(high, 0.0)
    span = max(high - low, 1e-6 * max(abs(high), 1.0), 1e-9)
    bottom = low if low == 0.0 and not relative else low - 0.06 * span
    axes.set_ylim(bottom, high + 0.08 * span)
    if relative:
        axes.axhline(0.0, color=_INK, lw=0.9, zorder=1)
        if low < 0.0:
            axes.set_ylim(low - 0.16 * span)
            axes.axhspan(low - span, 0.0, color="#f3e3df", alpha=0.55, lw=0, zorder=0)
            axes.text(
                0.015, 0.02, "earlier than the expert: a guess, not better",
                transform=axes.transAxes, color="#8c4433", fontsize=8.5,
            )  # fmt: skip


def unit_of(metric: Mapping[str, str]) -> str:
    """Return a metric's unit as it is printed."""
    return metric["unit"].replace("^2", "²").replace("^3", "³")


def _cut(label: str) -> str:
    """Return what of a delay's text finds room below its place."""
    return label if len(label) <= 22 else f"…{label[-21:]}"
