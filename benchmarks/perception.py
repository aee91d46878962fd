"""All of perception on rendered people: rate, time beside the models, cost by number of faces, lag of the nodes.

    python benchmarks/perception.py --json perception.json

Targets: the pipeline (face, gaze, emotion, two hands; 640 x 480) does >= 20 images a second on two cores;
<= 20 % of its time is spent outside the models; the cost of 1 to 6 faces grows in a line (R^2 >= 0.98, and no
face costs more than 1.25 x the mean one); the lag p95 of each node of the running graph is <= 1.5 frame times
of the slowest stage.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe, parse, save

from fabg.perception.emotion import EmotionConfig
from fabg.perception.face import FaceTrackerConfig
from fabg.perception.pipeline import Pipeline, PipelineConfig
from fabg.perception.pose import Camera
from fabg.perception.types import Frame, Side
from fabg.social.avatar import (
    HAND_SHAPES,
    Actor,
    Background,
    FacePose,
    HandPose,
    Person,
    Studio,
    facing,
    hand_at,
    shapes_of,
)

SIZE, FOV_DEG, FPS = (640, 480), 60.0, 25.0
MOST_FACES = 6
CONFIG = PipelineConfig(
    faces=FaceTrackerConfig(max_faces=MOST_FACES, horizontal_fov_deg=FOV_DEG),
    emotion=EmotionConfig(purpose="research"),
)


def person_with_hands(count: int) -> list[Frame]:
    """Return pictures of somebody who talks, turns the head and shows both hands."""
    with Studio(Camera.from_fov(*SIZE, FOV_DEG), SIZE) as studio:
        return [Frame(_talking(studio, i / FPS), i / FPS) for i in range(count)]


def _talking(studio: Studio, t: float) -> np.ndarray:
    sway = math.sin(2 * math.pi * t / 3.0)
    face = FacePose(
        facing((0.03 * sway, -0.05, 0.8), yaw_rad=0.25 * sway, pitch_rad=0.08 * math.cos(2 * t)),
        shapes_of(jawOpen=0.3 + 0.3 * math.sin(9 * t), mouthSmileLeft=0.5, mouthSmileRight=0.5),
        np.zeros(3),
    )
    left = HandPose(Side.LEFT, hand_at((0.22, 0.08 + 0.03 * sway, 0.6)), HAND_SHAPES["open"])
    right = HandPose(Side.RIGHT, hand_at((-0.2 + 0.03 * sway, 0.1, 0.6)), HAND_SHAPES["point"])
    return studio.render(
        [Actor(Person.random(1001), face, (left, right))], background=Background("room"), seed=1
    ).image


def crowd(people: int, count: int) -> list[Frame]:
    """Return pictures of people side by side, 1.6 m away."""
    frames = []
    with Studio(Camera.from_fov(*SIZE, FOV_DEG), SIZE) as studio:
        for i in range(count):
            actors = []
            for k in range(people):
                x = 0.29 * (k - (people - 1) / 2) + 0.015 * math.sin(0.3 * i + k)
                pose = facing((x, -0.02 * (k % 2), 1.6), yaw_rad=0.1 * math.sin(0.1 * i + k))
                actors.append(Actor(Person.random(1010 + k), FacePose(pose)))
            frames.append(Frame(studio.render(actors, seed=1).image, i / FPS))
    return frames


class Stopwatch:
    """Adds up the time spent in models."""

    def __init__(self) -> None:
        self.spent_s = 0.0

    def timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work`, its time added up."""

        def run(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*arguments, **options)
            finally:
                self.spent_s += time.perf_counter() - began

        return run


class _Watched:
    """An object whose method of one name is timed; all else is its own."""

    def __init__(self, inner: Any, method: str, watch: Stopwatch) -> None:
        self._inner = inner
        setattr(self, method, watch.timed(getattr(inner, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def watched_models(watch: Stopwatch) -> Iterator[None]:
    """Time every model call of what is made meanwhile."""
    import cv2
    from ai_edge_litert.interpreter import Interpreter
    from mediapipe.tasks.python.vision import FaceLandmarker

    makers = {cv2.FaceDetectorYN: "detect", cv2.FaceRecognizerSF: "feature"}
    with ExitStack() as undo:
        for owner, method in ((Interpreter, "invoke"), (FaceLandmarker, "detect")):
            original = getattr(owner, method)
            setattr(owner, method, watch.timed(original))
            undo.callback(setattr, owner, method, original)
        for kind, method in makers.items():
            name = kind.__name__
            maker = type(name, (), {"create": staticmethod(_watched_maker(kind, method, watch))})
            undo.callback(setattr, cv2, name, kind)
            setattr(cv2, name, maker)
        yield


def _watched_maker(kind: Any, method: str, watch: Stopwatch) -> Callable[..., Any]:
    return lambda *arguments: _Watched(kind.create(*arguments), method, watch)


def endless(frames: list[Frame], count: int) -> Iterator[Frame]:
    """Yield `count` frames, to and fro, with rising stamps."""
    way = itertools.cycle([*frames, *frames[-2:0:-1]])
    for i in range(count):
        yield Frame(next(way).image, i / FPS)


def measure_pipeline(frames: list[Frame], count: int) -> dict[str, Any]:
    """Return the rate on two cores, and where the time goes on one."""
    warm = 30
    with Pipeline(CONFIG) as pipeline:
        began, seen = 0.0, {"faces": 0, "hands": 0}
        for i, scene in enumerate(pipeline.stream(endless(frames, count + warm))):
            if i == warm - 1:
                began = time.perf_counter()
            seen["faces"] += len(scene.faces.faces)
            seen["hands"] += len(scene.hands.hands) if scene.hands else 0
        rate = count / (time.perf_counter() - began)
    watch = Stopwatch()
    with watched_models(watch), Pipeline(CONFIG) as pipeline:
        stages: dict[str, list[float]] = {}
        total = spent = 0.0
        for i, frame in enumerate(endless(frames, count + warm)):
            before, began = watch.spent_s, time.perf_counter()
            scene = pipeline.update(frame)
            if i >= warm:
                total += time.perf_counter() - began
                spent += watch.spent_s - before
                for name, ms in scene.timings_ms.items():
                    stages.setdefault(name, []).append(ms)
        runs = {
            "face_detector": pipeline._faces.detector_runs,
            "palm_detector": pipeline._hands.detector_runs,
        }
    return {
        "images": count,
        "rate_hz_two_cores": round(rate, 1),
        "faces_per_image": round(seen["faces"] / (count + warm), 3),
        "hands_per_image": round(seen["hands"] / (count + warm), 3),
        "ms_per_image_one_thread": round(1e3 * total / count, 2),
        "share_outside_models": round(1.0 - spent / total, 4),
        "stages_ms_p50": {name: round(float(np.median(ms)), 2) for name, ms in stages.items()},
        "detector_runs_per_image": {name: round(n / (count + warm), 4) for name, n in runs.items()},
    }


def measure_faces(count: int) -> dict[str, Any]:
    """Return the cost of an image with 1 to 6 faces (without hands)."""
    config = PipelineConfig(faces=CONFIG.faces, emotion=CONFIG.emotion, hands=None)
    rows = []
    for people in range(1, MOST_FACES + 1):
        frames = crowd(people, 10)
        with Pipeline(config) as pipeline:
            spent, faces = [], 0
            for frame in endless(frames, count + 30):
                began = time.perf_counter()
                scene = pipeline.update(frame)
                spent.append((time.perf_counter() - began) * 1e3)
                faces = len(scene.faces.faces)
        rows.append(
            {"people": people, "faces_found": faces, "ms_p50": round(float(np.median(spent[30:])), 2)}
        )
    n, ms = np.array([r["people"] for r in rows]), np.array([r["ms_p50"] for r in rows])
    slope, offset = np.polyfit(n, ms, 1)
    residual = ms - (slope * n + offset)
    return {
        "rows": rows,
        "ms_per_face": round(float(slope), 2),
        "ms_offset": round(float(offset), 2),
        "r_squared": round(float(1 - (residual**2).sum() / ((ms - ms.mean()) ** 2).sum()), 4),
        "dearest_step_over_mean": round(float(np.diff(ms).max() / slope), 3),
    }


def plot_faces(result: dict[str, Any], path: Path) -> None:
    """Draw the cost by number of faces."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    rows = result["rows"]
    figure = Figure(figsize=(5.4, 3.4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    n = [r["people"] for r in rows]
    axes.plot(n, [result["ms_offset"] + result["ms_per_face"] * k for k in n], color="#b9c4cc", label="line")
    axes.plot(n, [r["ms_p50"] for r in rows], "o", color="#0e93a6", label="measured, p50")
    axes.set(xlabel="faces in the image", ylabel="ms an image, one thread", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


def measure_graph(frames: list[Frame], seconds: float) -> dict[str, Any]:
    """Return ages of the images when each node was done with them, in the running graph."""
    import cv2
    import rclpy
    from fabg_msgs.msg import Timing
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.qos import QoSProfile

    from fabg.ros.bringup import Graph, middleware_environment
    from fabg.ros.time import seconds as to_s

    os.environ.update(middleware_environment() | {"ROS_DOMAIN_ID": str(100 + os.getpid() % 100)})
    rclpy.init()
    node, executor = Node("perception_benchmark"), SingleThreadedExecutor()
    executor.add_node(node)
    rows: dict[str, list[tuple[float, float, float]]] = {}

    def note(message: Timing) -> None:
        origin, got, done = (to_s(t) for t in (message.header.stamp, message.received, message.finished))
        rows.setdefault(message.stage, []).append((done, (done - origin) * 1e3, (done - got) * 1e3))

    node.create_subscription(Timing, "/fabg/timing", note, QoSProfile(depth=500))
    with tempfile.TemporaryDirectory() as folder:
        for i, frame in enumerate([*frames, *frames[-2:0:-1]]):
            cv2.imwrite(f"{folder}/{i:04d}.jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        overrides = {
            "camera": {"source": folder, "fps": FPS, "loop": True},
            "emotion": {"purpose": "research"},
        }
        only = ["camera", "face", "gaze", "emotion", "gesture"]
        with Graph(only=only, overrides=overrides, on_line=lambda name, line: None) as graph:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                executor.spin_once(timeout_sec=0.1)
                graph.supervisor.poll()
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return _lags(rows)


def _lags(rows: dict[str, list[tuple[float, float, float]]]) -> dict[str, Any]:
    stages = {}
    ready = max(values[0][0] for values in rows.values()) + 3.0  # models load at first
    for stage, values in rows.items():
        table = np.array([row for row in values if row[0] > ready])
        if len(table) < 20 or stage == "camera":
            continue
        stages[stage] = {
            "rate_hz": round(float((len(table) - 1) / (table[-1, 0] - table[0, 0])), 2),
            "age_ms_p50": round(float(np.percentile(table[:, 1], 50)), 1),
            "age_ms_p95": round(float(np.percentile(table[:, 1], 95)), 1),
            "work_ms_p50": round(float(np.percentile(table[:, 2], 50)), 1),
            "work_ms_p95": round(float(np.percentile(table[:, 2], 95)), 1),
        }
    slowest = min(stages, key=lambda name: stages[name]["rate_hz"])
    period = 1e3 / stages[slowest]["rate_hz"]
    return {"fps_in": FPS, "stages": stages, "slowest": slowest, "frame_time_ms": round(period, 1)}


def main() -> None:
    """Run the benchmark."""
    arguments = parse(__doc__, seconds=40.0)
    frames = person_with_hands(50)
    result: dict[str, Any] = {"benchmark": "perception", "machine": describe(), "size": SIZE}
    result["pipeline"] = measure_pipeline(frames, 200)
    result["faces"] = measure_faces(60)
    result["graph"] = measure_graph(frames, arguments.seconds)
    pipeline, faces, graph = result["pipeline"], result["faces"], result["graph"]
    worst = max(stage["age_ms_p95"] for stage in graph["stages"].values())
    limit = 1.5 * graph["frame_time_ms"]
    line = faces["r_squared"] >= 0.98 and faces["dearest_step_over_mean"] <= 1.25
    result["targets"] = {
        "rate_hz": _target(pipeline["rate_hz_two_cores"], 20.0, pipeline["rate_hz_two_cores"] >= 20.0),
        "share_outside_models": _target(
            pipeline["share_outside_models"], 0.2, pipeline["share_outside_models"] <= 0.2
        ),
        "linear_in_faces": _target([faces["r_squared"], faces["dearest_step_over_mean"]], [0.98, 1.25], line),
        "lag_p95_ms": _target(worst, round(limit, 1), worst <= limit),
    }
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        plot_faces(faces, arguments.json.with_suffix(".png"))
    save(result, arguments.json)


def _target(measured: Any, limit: Any, met: bool) -> dict[str, Any]:
    return {"measured": measured, "limit": limit, "met": bool(met)}


if __name__ == "__main__":
    main()
