"""A latency budget for people and machines: table, page with plots, JSON, and delays as the simulator reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from fabg import page
from fabg.charts import Chart, png
from fabg.files import write_bytes, write_json, write_text
from fabg.latency_budget import SIMULATED, Angles, Budget, Heard, Stage
from fabg.robot.model import RobotModel, load_robot

_ROBOT, _PERSON, _INK, _SOFT, _PALE = "#0e93a6", "#d98200", "#16212b", "#5b6b78", "#cfe8ec"
_SHADES = ("#0e93a6", "#d98200", "#7a5cc4", "#8a98a3")
_EXCERPT_S = 3.0

_READING = (
    (
        "Sensing to tick.",
        "From the stamp of each image, which every node passes on unchanged, and the times at which nodes say that "
        "they received and finished it. For each image these stages add up exactly to its age when the command leaves.",
    ),
    (
        "Perception.",
        "Side by side, not one after the other: the age of the image when each part was done. Only what the policy "
        "waits for is part of the sum.",
    ),
    (
        "Servo delay and servo lag.",
        "Seen from outside: the shift at which commands and measured joints agree best, over all joints that moved, "
        "in windows of 4 s. The delay is pure waiting, such as that of a bus; the lag is the inertia of the servo in "
        "the robot's model, and half the pause between commands. Their jitter is that of the windows, not of single "
        "commands.",
    ),
    ("Jitter.", "The standard deviation."),
    (
        "Total.",
        "How old what was seen is when the joints follow: so far ahead must a policy look to be on time.",
    ),
)


def to_json(budget: Budget) -> dict[str, Any]:
    """Return the budget as plain numbers, ms; what was not measured has no figures."""
    return {
        "stages": [_entry(stage) for stage in budget.stages],
        "perception": [_entry(stage) for stage in budget.paths],
        "total": _entry(budget.total),
        "latency": budget.latency,
        "notes": list(budget.notes),
    }


def terminal_table(budget: Budget) -> Table:
    """Lay the budget out for the terminal."""
    table = Table(
        title="Latency budget, ms", box=box.SIMPLE_HEAD, pad_edge=False, caption=None, title_justify="left"
    )
    table.add_column("stage", no_wrap=True)
    for name in ("p50", "p95", "jitter", "count"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where measured")
    for stage in budget.stages:
        table.add_row(*map(escape, _row(stage)))
        if stage.name == "sensing":
            for path in budget.paths:
                table.add_row(*(f"[dim]{escape(cell)}[/]" for cell in _row(path, indent="  ")))
    table.add_section()
    table.add_row(*(f"[bold]{escape(cell)}[/]" for cell in _row(budget.total)))
    return table


def write_delays(budget: Budget, folder: Path) -> str:
    """Write the measured delays of each stage as CSV; return the text with which the simulator replays them."""
    parts = []
    for stage, name in SIMULATED.items():
        if delays := budget.stage(name).delays_ms:
            path = folder / f"{stage}.csv"
            write_text(path, "delay_ms\n" + "".join(f"{delay:.3f}\n" for delay in delays))
            parts.append(f"{stage}=file:{path}")
    return "; ".join(parts) or "0"


def write_report(
    budget: Budget, heard: Heard, result: Mapping[str, Any], folder: Path, robot: RobotModel | None = None
) -> list[Path]:
    """Write the page, its plots and the JSON into `folder`; return page and JSON.

    Parameters
    ----------
    budget, heard
        What was measured, and what it was measured from.
    result
        As `to_json`, with ``command``, ``seconds`` and `fabg.page.provenance`.
    """
    pictures = []
    for name, chart in charts(budget, heard, robot or load_robot()).items():
        data = png(chart)
        write_bytes(folder / "plots" / f"{name}.png", data)
        source = page.embedded(data, "image/png")
        pictures.append(
            f'<div class="card picture"><img alt="{page.escape(chart.title)}" src="{source}"></div>'
        )
    reading = "".join(f"<p><b>{page.escape(head)}</b> {page.escape(text)}</p>" for head, text in _READING)
    head = ("stage", "p50, ms", "p95, ms", "jitter, ms", "count", "where measured")
    rows = [_row(stage) for stage in (*budget.stages, budget.total)]
    body = [
        page.warnings(budget.notes),
        _tiles(budget),
        f'<section class="plots">{"".join(pictures)}</section>' if pictures else "",
        f'<h2>Budget</h2><div class="told">{page.table(head, rows)}</div>',
        '<h2>Perception</h2><div class="told">'
        f"{page.table(head, map(_row, budget.paths), empty='nothing was perceived')}</div>",
        "<h2>The same delays in the simulator</h2>"
        f"<p><code>fabg sim play --task mixed --latency &quot;{page.escape(budget.latency)}&quot;</code></p>",
        f"<h2>How to read it</h2>{reading}",
    ]
    whole = page.page(
        title="Where the time goes",
        subtitle=f"{result['seconds']:g} s of a running graph · {result['finished'][:16].replace('T', ' ')}",
        body="\n".join(body),
        footer=page.made_with(result)
        + f"<p><code>{page.escape(result['command'])}</code> · all of this as numbers: latency.json</p>",
    )
    write_json(result, folder / "latency.json")
    write_text(folder / "report.html", whole)
    return [folder / "report.html", folder / "latency.json"]


def charts(budget: Budget, heard: Heard, robot: RobotModel) -> dict[str, Chart]:
    """Return the plots for which something was measured, by file name."""
    made = {}
    if any(stage.figures for stage in budget.stages):
        made["budget"] = Chart(
            "Where the time goes: medians, and p95 in pale", lambda axes: _fall(axes, budget)
        )
    if budget.answers:
        made["age"] = Chart("Age of the image when the command leaves", lambda axes: _ages(axes, budget))
    if budget.servos:
        name, command, joint = _excerpt(heard, robot)
        made["servo"] = Chart(
            f"A command, and the joint that follows: {name}", lambda axes: _follow(axes, command, joint)
        )
    return made


# Parts of the page -----------------------------------------------------------------------------------


def _tiles(budget: Budget) -> str:
    tiles = []
    for stage, text in (
        (budget.total, budget.total.where),
        (budget.stage("sensing"), "sensing"),
        (budget.stage("inference"), "inference"),
        (budget.stage("transport"), "transport"),
        (budget.stage("servo delay"), "servo delay"),
        (budget.stage("servo lag"), "the servo's own lag"),
    ):
        if (f := stage.figures) is not None:
            tiles.append(page.tile(_ms(f.p50), "ms", f"{text}; p95 {_ms(f.p95)} ms"))
    return f'<section class="tiles">{"".join(tiles)}</section>' if tiles else ""


def _fall(axes: Any, budget: Budget) -> None:
    """Draw each stage behind the one before it, and the total below."""
    rows = [(s.name, s.figures) for s in (*budget.stages, budget.total) if s.figures is not None]
    begin = 0.0
    for row, (name, figures) in enumerate(rows):
        last = name == "total"
        left = 0.0 if last else begin
        axes.barh(row, figures.p95, left=left, height=0.6, color=_PALE)
        axes.barh(row, figures.p50, left=left, height=0.6, color=_INK if last else _ROBOT)
        said = f" {_ms(figures.p50)} / {_ms(figures.p95)}"
        axes.text(left + max(figures.p95, figures.p50), row, said, va="center", fontsize=9, color=_SOFT)
        begin += figures.p50
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("ms after the image")


def _ages(axes: Any, budget: Budget) -> None:
    """Draw what each image's age is made of, over time."""
    answers = sorted(budget.answers, key=lambda answer: answer.sent_s)
    at = np.array([(a.taken_s, a.seen_s, a.decided_s, a.arrived_s, a.sent_s) for a in answers])
    parts = np.diff(at, axis=1).T * 1e3
    names = [stage.name for stage in budget.stages[: len(parts)]]
    axes.stackplot(at[:, 4] - at[0, 4], parts, labels=names, colors=_SHADES, step="post", linewidth=0.0)
    axes.set_xlabel("s")
    axes.set_ylabel("ms")
    axes.margins(x=0.0)
    axes.set_ylim(0.0, 1.25 * float(np.percentile(parts.sum(axis=0), 99)))
    axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8)


Curve = tuple[Sequence[float], Sequence[float]]


def _excerpt(heard: Heard, robot: RobotModel) -> tuple[str, Curve, Curve]:
    """Return the joint that moved most of its range in a few seconds, its commands and its angles there."""
    times, angles = _columns(heard.joints)
    best, begin, joint = -1.0, float(times[0]), 0
    for start in np.arange(times[0], max(times[-1] - _EXCERPT_S, times[0]) + 1e-9, _EXCERPT_S / 2):
        part = angles[(times >= start) & (times < start + _EXCERPT_S)]
        if len(part):
            moved = np.ptp(part, axis=0) / (robot.upper - robot.lower)
            if moved.max() > best:
                best, begin, joint = float(moved.max()), float(start), int(np.argmax(moved))
    curves = []
    for rows in (heard.commands, heard.joints):
        t, a = _columns(rows)
        within = (t >= begin) & (t < begin + _EXCERPT_S)
        curves.append(((t[within] - begin).tolist(), np.degrees(a[within, joint]).tolist()))
    return robot.names[joint].replace("_", " "), curves[0], curves[1]


def _columns(rows: Sequence[Angles]) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted(rows, key=lambda row: row[0])
    return np.array([t for t, _ in ordered]), np.array([angles for _, angles in ordered])


def _follow(axes: Any, command: Curve, joint: Curve) -> None:
    axes.step(*command, where="post", color=_PERSON, linewidth=1.6, label="command")
    axes.plot(*joint, color=_ROBOT, linewidth=1.6, label="joint")
    axes.set_xlabel("s")
    axes.set_ylabel("degrees")
    axes.legend(frameon=False)


# Private helpers -------------------------------------------------------------------------------------


def _entry(stage: Stage) -> dict[str, Any]:
    figures = None
    if stage.figures is not None:
        figures = {name: round(value, 3) for name, value in asdict(stage.figures).items()}
    return {"stage": stage.name, "where": stage.where, "ms": figures}


def _row(stage: Stage, indent: str = "") -> tuple[str, ...]:
    f = stage.figures
    cells = ("-",) * 3 + ("0",) if f is None else (_ms(f.p50), _ms(f.p95), _ms(f.jitter), str(f.count))
    return indent + stage.name, *cells, stage.where if f is not None else f"not measured: {stage.where}"


def _ms(value: float) -> str:
    """Return milliseconds with as many digits as make sense."""
    return f"{value:.0f}" if value >= 100.0 else f"{value:.1f}"
