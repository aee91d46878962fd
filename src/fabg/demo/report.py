"""The report: one HTML file that opens from disk, with everything inside."""

from __future__ import annotations

import base64
import html
import math
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import fabg
from fabg.demo.analysis import Pair, age_at, key_moments, pairs
from fabg.demo.charts import Line, histogram, line_chart, stage_bars
from fabg.demo.draw import STRIP_H
from fabg.recording import Recording
from fabg.robot.model import RobotModel

LARGEST_VIDEO_BYTES = 25_000_000
"""A larger video stays a file beside the report."""

_PACKAGES = ("mediapipe", "mujoco", "numpy", "opencv-contrib-python", "av", "ros-kilted-rclpy")


def provenance() -> dict[str, Any]:
    """Return when, with what and on what the run was made."""
    versions = {"fabg": fabg.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions,
        "machine": {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()},
    }


def write_report(recording: Recording, robot: RobotModel, summary: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.html`` into `folder`, which holds ``demo.mp4``; return its path.

    Parameters
    ----------
    summary
        As made by `fabg.demo.analysis.summarise`, with `provenance`.
    """
    template = Template(files("fabg.demo").joinpath("report.html").read_text(encoding="utf-8"))
    video = folder / "demo.mp4"
    moments = key_moments(recording, robot)
    frames = summary["frames"]
    page = template.substitute(
        title="The robot mirrors a face" if summary["faces"] else "Nobody to mirror",
        subtitle=_escape(
            f"{summary['input']} · {summary['duration_s']:.1f} s · "
            f"{summary['image_size'][0]} × {summary['image_size'][1]} px at {frames['fps_input']:g} fps · "
            f"{summary['finished'][:16].replace('T', ' ')}"
        ),
        warnings="".join(f'<p class="warning">{_escape(_sentence(w))}</p>' for w in summary["warnings"]),
        video=_video(video),
        tiles="".join(_tiles(summary)),
        moments=_moments(video, moments),
        plots="".join(_plot(pair, recording.duration_s) for pair in pairs(recording, robot)),
        **_delays(recording, summary),
        face_rows=_rows(
            [f["id"], f["images"], f"{f['first_s']:.1f}", f"{f['last_s']:.1f}"] for f in summary["faces"]
        )
        or _empty("no face was seen", 4),
        safety_rows=_rows(_safety(summary)),
        footer=_footer(summary),
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


# Parts of the page -----------------------------------------------------------------------------------


def _video(path: Path) -> str:
    if path.stat().st_size > LARGEST_VIDEO_BYTES:
        source = path.name
    else:
        source = "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode()
    return f'<video controls muted loop playsinline preload="metadata" src="{source}"></video>'


def _tiles(summary: Mapping[str, Any]) -> Iterable[str]:
    frames, mirror = summary["frames"], summary["mirror"]
    yield _tile(f"{frames['fps_out']:.1f}", "fps", f"{frames['out']} of {frames['in']} images answered")
    delay = summary["latency_ms"].get("actuation", {}).get("age_ms")
    if delay:
        yield _tile(f"{delay['p50']:.0f}", "ms", f"image to servo command; p95 {delay['p95']:.0f} ms")
    share = frames["with_face"] / frames["out"] if frames["out"] else 0.0
    people = len(summary["faces"])
    yield _tile(
        f"{100 * share:.0f}",
        "%",
        f"of images with a face; {people} {'identity' if people == 1 else 'identities'}",
    )
    if gaze := summary["gaze_error_deg"]:
        yield _tile(f"{gaze['p50']:.1f}", "°", f"gaze beside the person's face; p95 {gaze['p95']:.1f}°")
    for name in ("jaw open", "smile"):
        if found := mirror.get(name):
            yield _tile(f"{found['r']:.3f}", "r", f"{name}, person to robot; {found['lag_ms']:.0f} ms behind")


def _tile(value: str, unit: str, text: str) -> str:
    value, text = _escape(value), _escape(text)
    return f'<div class="card tile"><b>{value} <small>{unit}</small></b><span>{text}</span></div>'


def _moments(video: Path, moments: Sequence[tuple[float, str]]) -> str:
    if not moments:
        return ""
    shown = []
    for (t, name), picture in zip(moments, frames_at(video, [t for t, _ in moments]), strict=True):
        panels = picture[: picture.shape[0] - STRIP_H]
        shown.append(
            f'<figure class="card"><img alt="{_escape(name)}" src="{_jpeg(panels)}">'
            f'<figcaption><span>{_escape(name)}</span><span class="soft">{t:.1f} s</span></figcaption>'
            "</figure>"
        )
    return f'<h2>Moments</h2><section class="moments">{"".join(shown)}</section>'


def frames_at(video: Path, times_s: Sequence[float]) -> list[NDArray[np.uint8]]:
    """Return the pictures shown at ascending times, RGB (height, width, 3)."""
    import av

    found: list[NDArray[np.uint8]] = []
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        for t in times_s:
            container.seek(max(int(t / stream.time_base), 0), stream=stream)
            picture = None
            for frame in container.decode(stream):
                picture = frame
                if frame.time is not None and frame.time >= t - 1e-3:
                    break
            assert picture is not None
            found.append(np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8))
    return found


def _jpeg(picture: NDArray[np.uint8], width: int = 840) -> str:
    height = round(picture.shape[0] * width / picture.shape[1])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    assert ok
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


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
        else f"r {found.r:.3f} · {found.lag_ms:.0f} ms behind"
    )
    return f'<div class="card plot"><div><h3>{_escape(title)}</h3><span>{said}</span></div>{chart}</div>'


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
        "latency_rows": _rows(
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


def _footer(summary: Mapping[str, Any]) -> str:
    versions = " · ".join(f"{name} {version}" for name, version in summary["versions"].items())
    machine = summary["machine"]
    return (
        f"<p>{_escape(versions)}</p><p>{_escape(machine['system'])}, {machine['cores']} cores · "
        "figures for machines: summary.json · what the nodes said: logs/</p>"
    )


def _rows(rows: Iterable[Sequence[object]]) -> str:
    return "".join(
        "<tr>" + "".join(f"<td>{_escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )


def _empty(text: str, columns: int) -> str:
    return f'<tr><td colspan="{columns}" class="soft">{text}</td></tr>'


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
