"""What distances cost: matching, rectifying, and reading a face's distance, on one core.

    python benchmarks/depth.py --seconds 30 --json depth.json

Images of 640 x 480 px a camera, 60 degrees across, random texture on a slanted floor. Times are medians and 95th
percentiles in ms; none of them depends on what the images show by more than a few percent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from machine import describe, parse, save

from fabg.perception.depth import distance_at
from fabg.perception.lens import Lens
from fabg.perception.pose import Camera
from fabg.perception.stereo import (
    Rectifier,
    StereoConfig,
    StereoGeometry,
    StereoMatcher,
    split_side_by_side,
)
from fabg.perception.stereo_calibration import StereoCalibration

SIZE = (640, 480)
CAMERA = Camera.from_fov(*SIZE, 60.0)


def pair(baseline_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a left and a right image of a surface between 0.5 m (below) and 2 m (above)."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (480, 1400, 3), dtype=np.uint8), (0, 0), 1.5)
    rows = np.arange(480, dtype=np.float32)[:, None]
    z_m = 2.0 - 1.5 * rows / 479.0
    columns = np.arange(640, dtype=np.float32)[None, :] + np.zeros_like(rows)
    shift = CAMERA.fx * baseline_m / z_m
    views = [
        cv2.remap(texture, columns + s, rows + 0 * columns, cv2.INTER_LINEAR) for s in (400.0, 400.0 + shift)
    ]
    return np.asarray(views[0]), np.asarray(views[1])


def timed(call: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Return median and 95th percentile of the processor time of a call, ms: that of the clock on an idle core."""
    call()
    spent, end = [], time.monotonic() + seconds
    while time.monotonic() < end or len(spent) < 10:
        began = time.process_time()
        call()
        spent.append((time.process_time() - began) * 1e3)
    return {"p50_ms": round(float(np.median(spent)), 2), "p95_ms": round(float(np.percentile(spent, 95)), 2)}


def main() -> None:
    """Measure everything."""
    arguments = parse(__doc__, 30.0)
    cv2.setNumThreads(1)
    each = arguments.seconds / 8
    result: dict[str, Any] = {"machine": describe(), "matching": {}}
    for baseline_m in (0.063, 0.12):
        left, right = pair(baseline_m)
        for scale in (0.5, 0.75, 1.0):
            matcher = StereoMatcher(StereoGeometry(CAMERA.fx, baseline_m), StereoConfig(scale=scale))
            name = f"{baseline_m * 1e3:.0f} mm, scale {scale:g}"
            result["matching"][name] = timed(lambda m=matcher, a=left, b=right: m.depth(a, b), each)
    lens = Lens(
        np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1.0]]),
        np.array([-0.1, 0.05, 0.0, 0.0, 0.0]),
    )
    calibration = StereoCalibration(SIZE, lens, lens, np.eye(3), np.array([-0.12, 0.0, 0.0]), 0.2)
    rectifier, whole = Rectifier(calibration), np.concatenate(pair(0.12), axis=1)
    result["rectify_pair"] = timed(lambda: rectifier.rectify(*split_side_by_side(whole)), each)
    depth = StereoMatcher(calibration).depth(*pair(0.12))
    result["distance_at"] = timed(lambda: distance_at(depth, (320.0, 240.0), 6.0), each)
    save(result, arguments.json)


if __name__ == "__main__":
    main()
