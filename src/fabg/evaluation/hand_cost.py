"""What following hands costs, beside the bare nets and MediaPipe's own task, in one run.

python -m fabg.evaluation.hand_cost --json FILE

Times are those of the processor, all threads together: other work on the machine hardly changes them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.perception.hand_landmark import HandNets, Region
from fabg.perception.hands import HandTracker, HandTrackerConfig
from fabg.perception.models import find_model
from fabg.perception.pose import Camera
from fabg.perception.types import Frame, Side
from fabg.social.avatar import Actor, HandPose, Person, Studio, hand_at

Image = NDArray[np.uint8]


def picture(hands: int) -> Image:
    """Return a picture, 640 x 480, of 0 to 4 open hands of two people."""
    camera = Camera.from_fov(640, 480, 60.0)
    places = [(-0.32, 0.05), (-0.12, 0.05), (0.12, 0.05), (0.32, 0.05)]
    posed = [
        HandPose(Side.RIGHT if i % 2 == 0 else Side.LEFT, hand_at((*places[i], 0.65))) for i in range(hands)
    ]
    pairs = [(1001, tuple(posed[:2])), (1002, tuple(posed[2:]))]
    with Studio(camera) as studio:
        return studio.render([Actor(Person.random(n), None, pair) for n, pair in pairs if pair]).image


def measure(hands: int, rounds: int = 60) -> dict[str, float]:
    """Return processor times of one image with so many hands, ms: means over `rounds` in which they take turns.

    ``tracker`` is `HandTracker.update`; ``nets`` the nets that it ran in that time, run alone; ``task`` is MediaPipe's
    HandLandmarker in VIDEO mode for up to four hands.
    """
    image = picture(hands)
    nets = _Counting()
    with HandTracker(HandTrackerConfig(max_hands=4), nets=nets) as tracker, _task() as task:
        for i in range(20):
            found = tracker.update(Frame(image, i / 25)).hands
            task(image, i)
        times: dict[str, list[float]] = {"tracker": [], "nets": [], "task": []}
        for i in range(20, 20 + rounds):
            nets.calls.clear()
            times["tracker"].append(_ms(partial(tracker.update, Frame(image, i / 25))))
            calls = list(nets.calls)
            times["nets"].append(sum(_ms(call) for call in calls))
            times["task"].append(_ms(partial(task, image, i)))
    means = {name: float(np.mean(values)) for name, values in times.items()}
    return {
        "hands": hands,
        "found": len(found),
        **{f"{name}_ms": round(value, 2) for name, value in means.items()},
        "tracker_to_nets": round(means["tracker"] / means["nets"], 3),
        "tracker_to_task": round(means["tracker"] / means["task"], 3),
    }


class _Counting(HandNets):
    """Nets that remember what they were asked, as calls of the bare models."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], Any]] = []

    def detect(self, rgb: Image, window: Any = None) -> Any:
        pixels = np.zeros((192, 192, 3), dtype=np.float32)
        self.calls.append(lambda: self._detector.run(pixels))
        return super().detect(rgb, window)

    def read(self, rgb: Image, region: Region) -> Any:
        pixels = np.zeros((224, 224, 3), dtype=np.float32)
        self.calls.append(lambda: self._landmarker.run(pixels))
        return super().read(rgb, region)


class _task:
    """MediaPipe's own task for up to four hands."""

    def __enter__(self) -> Callable[[Image, int], Any]:
        import mediapipe as mp
        from mediapipe.tasks.python import vision

        options = vision.HandLandmarkerOptions(
            base_options=mp.tasks.BaseOptions(model_asset_path=str(find_model("hand_landmarker"))),
            running_mode=vision.RunningMode.VIDEO,
            num_hands=4,
        )
        self._made = vision.HandLandmarker.create_from_options(options)
        return lambda image, i: self._made.detect_for_video(
            mp.Image(image_format=mp.ImageFormat.SRGB, data=image), i * 40
        )

    def __exit__(self, *_: object) -> None:
        self._made.close()


def _ms(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


def main() -> int:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the numbers go, beside the table")
    arguments = parser.parse_args()
    os.environ.setdefault("GLOG_minloglevel", "2")
    rows = [measure(hands) for hands in (0, 1, 2, 4)]
    for row in rows:
        print("  ".join(f"{name} {value:g}" for name, value in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps({"cost_of_hands": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
