"""The whole graph on the bundled clip: delay from camera stamp to joint command, and memory over time.

    python benchmarks/pipeline.py --seconds 300 --json pipeline.json

Targets: p95 of the delay <= bare model time (p50, same run) + 2 control periods (40 ms); resident
memory after the first minute grows by no more than 2 %.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np
from machine import describe, parse, resident_mib, save

CONTROL_PERIOD_MS = 20.0


def bare_model_ms(frames: int = 150) -> float:
    """Return the median time of the bare landmarker on the clip's frames, ms."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    from fabg.perception.models import find_model
    from fabg.perception.sources import open_source

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(find_model("face_landmarker"))),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    source = open_source("clip", realtime=False)
    spent = []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for _ in range(frames):
            frame = source.read()
            if frame is None:
                break
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame.image))
            began = time.perf_counter()
            landmarker.detect(image)
            spent.append((time.perf_counter() - began) * 1e3)
    source.close()
    return float(np.median(spent[10:]))


def measure(seconds: float) -> dict[str, Any]:
    """Run the graph and return delays by stage and memory by process."""
    import rclpy
    from fabg_msgs.msg import Timing
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.qos import QoSProfile

    from fabg.ros.bringup import Graph, middleware_environment
    from fabg.ros.time import seconds as to_s

    domain = str(100 + os.getpid() % 100)
    os.environ.update(middleware_environment() | {"ROS_DOMAIN_ID": domain})
    rclpy.init()
    node, executor = Node("pipeline_benchmark"), SingleThreadedExecutor()
    executor.add_node(node)
    ages: dict[str, list[tuple[float, float, float]]] = {}

    def note(message: Timing) -> None:
        origin, received, finished = (
            to_s(t) for t in (message.header.stamp, message.received, message.finished)
        )
        row = (finished, (finished - origin) * 1e3, (finished - received) * 1e3)
        ages.setdefault(message.stage, []).append(row)

    node.create_subscription(Timing, "/fabg/timing", note, QoSProfile(depth=500))
    memory: list[tuple[float, dict[str, float]]] = []
    quiet = {"on_line": lambda name, line: None}
    with Graph(overrides={"camera": {"source": "clip", "loop": True}}, **quiet) as graph:
        began = time.monotonic()
        stop = threading.Event()
        while time.monotonic() - began < seconds and not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
            graph.supervisor.poll()
            elapsed = time.monotonic() - began
            if not memory or elapsed - memory[-1][0] >= 1.0:
                pids = {c.name: c.process.pid for c in graph.supervisor.children.values() if c.process}
                memory.append((elapsed, {name: resident_mib(pid) for name, pid in pids.items()}))
        restarts = sum(c.restarts for c in graph.supervisor.children.values())
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return {"stages": _stages(ages), "memory": _memory(memory), "restarts": restarts}


def _stages(ages: dict[str, list[tuple[float, float, float]]]) -> dict[str, Any]:
    out = {}
    for stage, rows in ages.items():
        table = np.array(rows)
        settled = table[table[:, 0] > table[0, 0] + 3.0]  # the first seconds load models
        if len(settled) < 10:
            continue
        out[stage] = {
            "count": len(settled),
            "rate_hz": round(float((len(settled) - 1) / (settled[-1, 0] - settled[0, 0])), 2),
            "age_ms": {
                q: round(float(np.percentile(settled[:, 1], p)), 2) for q, p in (("p50", 50), ("p95", 95))
            },
            "work_ms": {
                q: round(float(np.percentile(settled[:, 2], p)), 2) for q, p in (("p50", 50), ("p95", 95))
            },
        }
    return out


def _memory(samples: list[tuple[float, dict[str, float]]]) -> dict[str, Any]:
    total = np.array([(t, sum(by_node.values())) for t, by_node in samples])
    settled = total[total[:, 0] > min(60.0, total[-1, 0] / 3)]
    slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0]) if len(settled) > 5 else 0.0
    first, last = float(settled[:10, 1].mean()), float(settled[-10:, 1].mean())
    return {
        "resident_mib": round(last, 1),
        "by_node_mib": {name: round(mib, 1) for name, mib in samples[-1][1].items()},
        "growth_percent": round((last / first - 1) * 100, 2),
        "slope_mib_per_minute": round(slope * 60, 3),
    }


def main() -> None:
    """Run the benchmark."""
    arguments = parse(__doc__)
    result: dict[str, Any] = {"benchmark": "pipeline", "machine": describe(), "seconds": arguments.seconds}
    bare = bare_model_ms()
    result |= measure(arguments.seconds)
    age = result["stages"].get("actuation", {}).get("age_ms", {}).get("p95", float("inf"))
    limit = bare + 2 * CONTROL_PERIOD_MS
    growth = result["memory"]["growth_percent"]
    result["targets"] = {
        "camera_to_command_p95_ms": {
            "measured": age,
            "limit": round(limit, 2),
            "bare_model_ms": round(bare, 2),
            "met": age <= limit,
        },
        "memory_growth_percent": {"measured": growth, "limit": 2.0, "met": growth <= 2.0},
    }
    save(result, arguments.json)


if __name__ == "__main__":
    main()
