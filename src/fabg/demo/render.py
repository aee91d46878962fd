"""A recording made a video: pieces of it painted and encoded side by side, then joined."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2

from fabg.demo import beside
from fabg.demo.draw import PANEL_W, Layout, Painter
from fabg.process import die_with_parent
from fabg.recording import Recording
from fabg.robot.model import RobotModel, load_robot
from fabg.video import frame_rate, join, write_video

View = Callable[[RobotModel, tuple[int, int]], Any]
"""Opens what draws the robot, at a size (width, height): see `fabg.demo.draw.Painter`."""

_PIECE_S = 1.0


def twin_view(robot: RobotModel, size: tuple[int, int]) -> Any:
    """Open the MuJoCo twin."""
    from fabg.robot.twin import Twin

    return Twin(robot, size=size, quality="picture")


def render_video(
    recording: Recording,
    path: Path,
    *,
    mirror: Recording | None = None,
    view: View = twin_view,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the video of a recording (H.264, yuv420p).

    Parameters
    ----------
    path
        Where to write; pieces are kept beside it while it is made.
    mirror
        The same run replayed with another policy, to be shown beside it.
    view
        Must be a function of a module: it is called in other processes.
    workers
        Processes; by default one a core, at most 4.
    on_progress
        Called with (images painted, images in all).
    """
    rate = frame_rate(recording.fps)
    total = max(round(recording.duration_s * rate), 1)
    step = max(round(_PIECE_S * rate), 1)
    spans = [(first, min(first + step, total)) for first in range(0, total, step)]
    pieces = [path.with_name(f".{path.stem}-{first:07d}.mp4") for first, _ in spans]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(workers or min(cores, 4), len(spans))
    done = 0
    # A fresh interpreter for each worker: GL and ROS do not survive a fork.
    pool = ProcessPoolExecutor(
        count, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(recording, mirror, view)
    )
    try:
        jobs = {
            pool.submit(_paint, piece, span, rate): span for piece, span in zip(pieces, spans, strict=True)
        }
        for job in as_completed(jobs):
            job.result()
            done += jobs[job][1] - jobs[job][0]
            on_progress(done, total)
        pool.shutdown()
        join(pieces, path, rate)
    finally:
        pool.shutdown(cancel_futures=True)
        for piece in pieces:
            piece.unlink(missing_ok=True)


_work: dict[str, Any] = {}


def _begin(recording: Recording, mirror: Recording | None, view: View) -> None:
    """Prepare a worker; what can fail is opened with the first piece, where the error is told."""
    # The parent handles Ctrl-C; if it is killed outright, the kernel ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    cv2.setNumThreads(1)
    _work.update(recording=recording, mirror=mirror, view=view)


def _paint(path: Path, span: tuple[int, int], rate: Fraction) -> None:
    if "painter" not in _work:
        recording, mirror, view, robot = _work["recording"], _work["mirror"], _work["view"], load_robot()
        column = None
        if mirror is not None:
            small = view(robot, (beside.WIDTH, beside.PICTURE_H))
            column = beside.Beside(recording, mirror, robot, small)
        large = view(robot, (PANEL_W, Layout.of(recording.size).panel_h))
        _work["painter"] = Painter(recording, robot, large, column)
    painter: Painter = _work["painter"]
    write_video(path, (painter.picture(float(k / rate)) for k in range(*span)), painter.layout.size, rate)
