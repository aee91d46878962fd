"""The part of the report that sets the policy beside `mirror`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fabg import page
from fabg.demo.analysis import Pair, answers, pairs
from fabg.demo.charts import Line, line_chart
from fabg.recording import Recording
from fabg.robot.model import RobotModel

TITLES = {"learnt": "learnt policy", "mirror": "mirror", "idle": "idle"}

_WINDOW_S = 10.0

_INTRO = """<h2>Beside mirror</h2>
<p class="soft">The same run with <em>mirror</em> in the place of the policy, computed afterwards: it is shown the
recorded faces, its answers are there at the moments at which the policy's were, and the same limits and simulated
servos obey them. So the two differ by what the policies say. Mirror copies a face at once. A learnt policy answers as
its demonstrators did, who took some 0.3 s to answer a face, and answered smiles and surprise rather than every
movement: a lower <em>r</em> is not a worse answer. Where r is below 0.5 no lag is told.</p>"""


def driver(recording: Recording) -> str:
    """Return the name of the policy that gave most of the answers; of the one asked for when there were none."""
    return next(iter(answers(recording)), recording.asked)


def title(recording: Recording) -> str:
    """Return who drove the robot, as part of a sentence."""
    name = driver(recording)
    return f"the {TITLES[name]}" if name == "learnt" else TITLES[name]


def alarm(summary: Mapping[str, Any]) -> str:
    """Return a text that says what is not as it was asked for, empty when all is."""
    policy = summary["policy"]
    asked, shares = policy["asked"], policy["answers"]
    share = shares.get(asked, 0.0)
    if not shares or share == 1.0:
        return ""
    others = ", ".join(f"{name} {_percent(s)}" for name, s in shares.items() if name != asked)
    why = f" {page.sentence(policy['trouble'])}" if policy["trouble"] else ""
    if share == 0.0:
        return f"This is not the {TITLES[asked]}: it gave no answer at all. Instead answered: {others}.{why}"
    return f"The {TITLES[asked]} gave {_percent(share)} of the answers; in its place: {others}.{why}"


def caption(recording: Recording, *, compared: bool) -> str:
    """Return what the video shows."""
    parts = [
        "Left: the person, with what perception reads.",
        f"{'Middle' if compared else 'Right'}: the robot, driven live through the real graph by {title(recording)}.",
    ]
    if compared:
        parts.append(
            "Right: what mirror would have done with the same faces at the same moments, computed after the run; below "
            "it the last six seconds of person (amber), robot (cyan) and mirror (violet)."
        )
    return " ".join(parts)


def section(recording: Recording, mirror: Recording, robot: RobotModel, summary: Mapping[str, Any]) -> str:
    """Return the comparison as HTML: a table and one plot."""
    name = TITLES[driver(recording)]
    ours, theirs = summary["robot"], summary["mirror_replayed"]
    rows = page.rows(
        [what, *_figures(ours["follow"][what]), *_figures(theirs["follow"][what])]
        for what in ours["follow"]
        if ours["follow"][what] or theirs["follow"][what]
    )
    follow = (
        '<div class="card scroll"><table><thead>'
        f'<tr><th></th><th colspan="2">{page.escape(name)}</th><th colspan="2">mirror</th></tr>'
        f"<tr><th>after the person</th>{2 * '<th>r</th><th>lag, ms</th>'}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
    other = page.table(
        ["", name, "mirror"],
        [
            ["gaze beside the face, °: p50 / p95", _gaze(ours), _gaze(theirs)],
            ["jerk of the commands, rad/s³", _jerk(ours), _jerk(theirs)],
        ],
    )
    plot = _plot(list(zip(pairs(recording, robot), pairs(mirror, robot), strict=True)), name)
    return f'{_INTRO}<section class="two"><div>{follow}</div><div>{plot}{other}</div></section>'


def _plot(both: list[tuple[Pair, Pair]], name: str) -> str:
    """Return the ten seconds in which person and robot move most, of the expression of which this is most true."""
    best: tuple[float, float, Pair, Pair] | None = None
    for run, other in both:
        if run.unit != "share" or not len(run.person_t):
            continue
        for begin in np.arange(0.0, max(float(run.person_t[-1]) - _WINDOW_S, 0.0) + 1e-9, 1.0):
            moved = _spread(run.person_t, run.person, begin) * _spread(run.robot_t, run.robot, begin)
            if best is None or moved > best[0]:
                best = moved, float(begin), run, other
    if best is None:
        return ""
    _, begin, run, other = best
    lines = []
    for t, values, css in (
        (run.person_t, run.person, "person"),
        (other.robot_t, other.robot, "other"),
        (run.robot_t, run.robot, "robot"),
    ):
        there = (t >= begin) & (t <= begin + _WINDOW_S)
        lines.append(Line(t[there], values[there], css))
    chart = line_chart(
        lines, title=f"{run.name}: person, robot and mirror", y=(-0.05, 1.05), x=(begin, begin + _WINDOW_S),
        size=(480, 190),
    )  # fmt: skip
    key = "".join(
        f'<span><i style="background:var(--{css})"></i>{page.escape(text)}</span>'
        for css, text in (("person", "person"), ("robot", name), ("other", "mirror"))
    )
    return (
        f'<div class="card plot" style="margin-top:14px"><div><h3>{page.escape(run.name)}</h3>'
        f'<p class="key" style="margin:0">{key}</p></div>{chart}</div>'
    )


def _spread(t: np.ndarray, values: np.ndarray, begin: float) -> float:
    there = values[(t >= begin) & (t <= begin + _WINDOW_S)]
    return float(np.std(there)) if len(there) > 2 else 0.0


def _figures(found: Mapping[str, float | None] | None) -> tuple[str, str]:
    if found is None:
        return "-", "-"
    return f"{found['r']:.3f}", "-" if found["lag_ms"] is None else f"{found['lag_ms']:.0f}"


def _gaze(figures: Mapping[str, Any]) -> str:
    gaze = figures["gaze_error_deg"]
    return f"{gaze['p50']:.1f} / {gaze['p95']:.1f}" if gaze else "-"


def _jerk(figures: Mapping[str, Any]) -> str:
    jerk = figures["command_jerk_rad_s3"]
    return "-" if jerk is None else f"{jerk:,.0f}"


def _percent(share: float) -> str:
    # Nearly all is not all, and nearly none not none: one decimal shows that.
    return f"{100 * share:.1f} %" if 0.0 < share < 1.0 else f"{100 * share:.0f} %"
