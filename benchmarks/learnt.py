"""How long does a learnt policy take to answer? One thread of ONNX Runtime, as the policy node hosts it.

python benchmarks/learnt.py [--model MODEL.onnx] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from machine import describe

from fabg.files import write_json
from fabg.policy.learnt import LearntPolicy
from fabg.social.world import World, WorldConfig

ANSWERS = 2000
WARM_UP = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="ONNX file; by default the one that ships")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    policy = LearntPolicy(arguments.model, "tracking")
    world = World(WorldConfig(task="tracking", pace="natural", expert=True, max_s=300.0))
    world.reset(3)
    wall, cpu, seen = [], [], -1.0
    while len(wall) < ANSWERS + WARM_UP:
        if world.done or world.out_of_time:
            world.reset(3 + len(wall))
            policy.reset()
            seen = -1.0
        observation = world.observation
        if observation is not None and observation.stamp_s > seen:
            seen = observation.stamp_s
            began = time.perf_counter(), time.process_time()
            policy.predict(observation)
            wall.append(1e3 * (time.perf_counter() - began[0]))
            cpu.append(1e3 * (time.process_time() - began[1]))
        world.step(world.expert_vector)
    result = {
        "answers": ANSWERS,
        "wall_ms": _percentiles(wall[WARM_UP:]),
        "cpu_ms": _percentiles(cpu[WARM_UP:]),
        **describe(),
    }
    print(json.dumps(result, indent=1))
    if arguments.json is not None:
        write_json(result, arguments.json)


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, (50, 95)).tolist()
    return {"p50": round(p50, 3), "p95": round(p95, 3)}


if __name__ == "__main__":
    main()
