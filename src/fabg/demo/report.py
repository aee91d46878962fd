"""The report: one HTML file that opens from disk, with everything inside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg import page
from fabg.demo import comparison
from fabg.demo.analysis import Pair, age_at, key_moments, pairs
from fabg.demo.charts import Line, histogram, line_chart, stage_bars
from fabg.demo.draw import PANEL_W, STRIP_H
from fabg.recording import Recording
from fabg.robot.model import RobotModel
from fabg.video import frames_at


def write_report(
    recording: Recording,
    robot: RobotModel,
    summary: Mapping[str, Any],
    folder: Path,
    mirror: Recording | None = None,
) -> Path:
    """Write ``report.html`` into `folder`, which holds ``demo.mp4``; return its path.

    Parameters
    ----------
    summary
        As made by `fabg.demo.analysis.summarise`, with `fabg.page.provenance`.
    mirror
        The same run replayed with `mirror`, when the summary holds it too.
    """
    template = Template(files("fabg.demo").joinpath("report.html").read_text(encoding="utf-8"))
    video = folder / "demo.mp4"
    moments = key_moments(recording, robot)
    frames = summary["frames"]
    alarm, who = comparison.alarm(summary), comparison.driver(recording)
    body = template.substitute(
        alarm=f'<p class="warning alarm">{page.escape(alarm)}</p>' if alarm else "",
        caption=page.escape(comparison.caption(recording, compared=mirror is not None)),
        comparison="" if mirror is None else comparison.section(recording, mirror, robot, summary),
        drove=f", driven by {comparison.title(recording)}",
        head=_HEADS.get(who, ""),
        warnings=page.warnings(summary["warnings"]),
        video=page.video(video),
        tiles="".join(_tiles(summary)),
        moments=_moments(video, moments),
        plots="".join(_plot(pair, recording.duration_s) for pair in pairs(recording, robot)),
        **_delays(recording, summary),
        face_rows=page.rows(
            [f["id"], f["images"], f"{f['first_s']:.1f}", f"{f['last_s']:.1f}"] for f in summary["faces"]
        )
        or _empty("no face was seen", 4),
        safety_rows=page.rows(_safety(summary)),
    )
    whole = page.page(
        title=_TITLES[who] if summary["faces"] else "Nobody to answer",
        subtitle=f"{summary['input']} · {summary['duration_s']:.1f} s · "
        f"{summary['image_size'][0]} × {summary['image_size'][1]} px at {frames['fps_input']:g} fps · "
        f"{summary['finished'][:16].replace('T', ' ')}",
        body=body,
        footer=page.made_with(summary)
        + "<p>figures for machines: summary.json · what the nodes said: logs/</p>",
    )
    path = folder / "report.html"
    path.write_text(whole, encoding="utf-8")
    return path


_TITLES = {
    "learnt": "A learnt policy answers a face",
    "mirror": "The robot mirrors a face",
    "idle": "No policy answers",
}


_HEADS = {
    "learnt": "The demonstrators turned to the person and did not copy their head.",
    "mirror": "The robot also turns towards the person, and learns the pitch at which a person holds their head, "
    "so its head may stand apart from theirs.",
}


# Parts of the page -----------------------------------------------------------------------------------


def _tiles(summary: Mapping[str, Any]) -> Iterable[str]:
    frames, robot = summary["frames"], summary["robot"]
    yield page.tile(f"{frames['fps_out']:.1f}", "fps", f"{frames['out']} of {frames['in']} images answered")
    delay = summary["latency_ms"].get("actuation", {}).get("age_ms")
    if delay:
        yield page.tile(f"{delay['p50']:.0f}", "ms", f"image to servo command; p95 {delay['p95']:.0f} ms")
    share = frames["with_face"] / frames["out"] if frames["out"] else 0.0
    people = len(summary["faces"])
    yield page.tile(
        f"{100 * share:.0f}",
        "%",
        f"of images with a face; {people} {'identity' if people == 1 else 'identities'}",
    )
    if gaze := robot["gaze_error_deg"]:
        yield page.tile(f"{gaze['p50']:.1f}", "°", f"gaze beside the person's face; p95 {gaze['p95']:.1f}°")
    for name in ("jaw open", "smile"):
        if found := robot["follow"].get(name):
            yield page.tile(f"{found['r']:.3f}", "r", f"{name}, person to robot{_behind(found['lag_ms'])}")


def _behind(lag_ms: float | None) -> str:
    return "" if lag_ms is None else f"; {lag_ms:.0f} ms behind"


def _moments(video: Path, moments: Sequence[tuple[float, str]]) -> str:
    if not moments:
        return ""
    shown = []
    for (t, name), picture in zip(moments, frames_at(video, [t for t, _ in moments]), strict=True):
        panels = picture[: picture.shape[0] - STRIP_H]
        shown.append(
            f'<figure class="card"><img alt="{page.escape(name)}" src="{_jpeg(panels)}">'
            f'<figcaption><span>{page.escape(name)}</span><span class="soft">{t:.1f} s</span></figcaption>'
            "</figure>"
        )
    wide = panels.shape[1] > 2 * PANEL_W  # three pictures side by side need more room than two
    style = ' style="grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr))"' if wide else ""
    return f'<h2>Moments</h2><section class="moments"{style}>{"".join(shown)}</section>'


def _plot(pair: Pair, duration_s: float) -> str:
    found = pair.follow()
    degrees = pair.unit == "rad"
    factor = math.degrees(1.0) if degrees else 1.0
    shown = (pair.robot_t >= 0.0) & (pair.robot_t <= duration_s)
    lines = [
        Line(pair.person_t, pair.person * factor, "person"),
        Line(pair.robot_t[shown], pair.robot[shown] * factor, "robot"),
    ]
    title = pair.name + (", degrees" if degrees else "")
    chart = line_chart(lines, title=title, x=(0.0, duration_s), y=None if degrees else (-0.05, 1.05))
    said = (
        "too little movement to compare"
        if found is None
        else f"r {found.figures['r']:.3f}" + (_behind(found.figures["lag_ms"]) or "; does not follow")
    )
    return f'<div class="card plot"><div><h3>{page.escape(title)}</h3><span>{said}</span></div>{chart}</div>'


def _delays(recording: Recording, summary: Mapping[str, Any]) -> dict[str, str]:
    stages = summary["latency_ms"]
    _, ages = age_at(recording, "actuation")
    last = stages.get("actuation", {}).get("age_ms", {})
    return {
        "stages": stage_bars(
            [(name, s["age_ms"]["p50"], s["age_ms"]["p95"]) for name, s in stages.items()],
            title="age of the image by stage",
        ),
        "histogram": histogram(
            ages,
            title="delays from image to servo command",
            p50=last.get("p50", 0.0),
            p95=last.get("p95", 0.0),
        ),
        "delays": f"{len(ages)} commands",
        "latency_rows": page.rows(
            [
                name,
                s["count"],
                *(f"{s[kind][p]:.1f}" for kind in ("work_ms", "age_ms") for p in ("p50", "p95")),
            ]
            for name, s in stages.items()
        )
        or _empty("no timings came", 6),
    }


def _safety(summary: Mapping[str, Any]) -> Iterable[Sequence[object]]:
    commands, limits = summary["commands"], summary["joint_limits"]
    yield "commands accepted", commands["accepted"]
    yield "commands refused", commands["refused"]
    yield "commands too old", commands["stale"]
    yield "joint limit hits", limits["hits"]
    for name, share in list(limits["share_of_time"].items())[:4]:
        yield f"· {name} held by a limit", f"{100 * share:.1f} % of the time"
    restarts = summary["restarts"]
    yield "node restarts", ", ".join(f"{name} {n}" for name, n in restarts.items()) or 0


def _jpeg(picture: NDArray[np.uint8], width: int = 960) -> str:
    height = round(picture.shape[0] * width / picture.shape[1])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    assert ok
    return page.embedded(data.tobytes(), "image/jpeg")


def _empty(text: str, columns: int) -> str:
    return f'<tr><td colspan="{columns}" class="soft">{text}</td></tr>'
