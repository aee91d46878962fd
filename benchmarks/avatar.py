"""What a picture of simulated people costs, on one core.

    python benchmarks/avatar.py --seconds 30 --json avatar.json

Pictures of 640 x 480 px, 60 degrees across, with depth and ground truth. CPU time in ms, of all threads together
(the software renderer is kept to one), medians; `first` is the first picture of a person, with shape and paint.
"""

from __future__ import annotations

import os
import time
from typing import Any

os.environ.setdefault("LP_NUM_THREADS", "1")  # read when the graphics driver is loaded

import numpy as np
from machine import describe, parse, save

from fabg.perception.pose import Camera
from fabg.perception.types import Side
from fabg.social.avatar import Actor, FacePose, HandPose, Person, Studio, facing, hand_at


def scenes() -> dict[str, list[Actor]]:
    """Return the pictures to take."""

    def actor(seed: int, x: float, z: float, *hands: HandPose) -> Actor:
        return Actor(Person.random(seed), FacePose(facing((x, 0.02, z)), gaze=np.zeros(3)), hands)

    both = (
        HandPose(Side.LEFT, hand_at((0.25, 0.1, 0.8)), "point"),
        HandPose(Side.RIGHT, hand_at((-0.25, 0.1, 0.8)), "open"),
    )
    return {
        "one at 0.5 m": [actor(1003, 0, 0.5)],
        "one at 1 m": [actor(1003, 0, 1.0)],
        "one at 2 m": [actor(1003, 0, 2.0)],
        "one at 1 m, two hands": [actor(1003, 0, 1.0, *both)],
        "three at 1.2 m": [actor(1003 + k, 0.4 * k - 0.4, 1.2) for k in range(3)],
    }


def measured(studio: Studio, actors: list[Actor], seconds: float) -> float:
    """Return the median CPU time of one picture, ms."""
    studio.render(actors)
    spent, end = [], time.monotonic() + seconds
    while time.monotonic() < end or len(spent) < 5:
        began = time.process_time()
        studio.render(actors)
        spent.append((time.process_time() - began) * 1e3)
    return round(float(np.median(spent)), 1)


def main() -> None:
    """Measure with and without smooth edges."""
    arguments = parse(__doc__, seconds=30.0)
    result: dict[str, Any] = {"machine": describe()}
    camera, share = Camera.from_fov(640, 480, 60.0), arguments.seconds / (2 * len(scenes()))
    for samples in (4, 0):
        with Studio(camera, samples=samples) as studio:
            result[f"samples {samples}, ms"] = {
                name: measured(studio, actors, share) for name, actors in scenes().items()
            }
    with Studio(camera) as studio:
        first = []
        for seed in range(1100, 1108):
            began = time.process_time()
            studio.render([Actor(Person.random(seed), FacePose(facing((0.0, 0.0, 1.0))))])
            first.append((time.process_time() - began) * 1e3)
    result["first, ms"] = round(float(np.median(first)), 1)
    save(result, arguments.json)


if __name__ == "__main__":
    main()
