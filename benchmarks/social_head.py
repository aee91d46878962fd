"""The simulator's speed: environment steps a second for one environment, and whether memory stays flat.

    python benchmarks/social_head.py --json social_head.json

Targets: `features` does >= 5,000 steps a second on one core, memory flat; `rgbd` (2 x 160 x 120 and depth, one
person) >= 60. CPU time is counted, so that what else the machine does matters little; the fastest of several
stretches is taken.
"""

from __future__ import annotations

import os
import time
from typing import Any

import gymnasium
import numpy as np
from machine import describe, parse, resident_mib, save

import fabg.gym  # noqa: F401 - makes the environment known
from fabg.social.tasks import TASKS

NOTHING = np.zeros(61, np.float32)
FEATURES_HZ, RGBD_HZ = 5000.0, 60.0


def steps(env: Any, count: int, seed: int) -> float:
    """Return the CPU time of one step, s, resets included."""
    began = time.process_time()
    for k in range(count):
        *_, terminated, truncated, _ = env.step(NOTHING)
        if terminated or truncated:
            env.reset(seed=seed + k)
    return (time.process_time() - began) / count


def measure(task: str, obs: str, count: int, rounds: int) -> float:
    """Return the steps a second of the fastest of several stretches."""
    env = gymnasium.make("SocialHead-v0", task=task, obs=obs, disable_env_checker=True)
    env.reset(seed=1)
    steps(env, count // 4, 1)
    best = min(steps(env, count, 1000 * k) for k in range(rounds))
    env.close()
    return round(1.0 / best, 1)


def memory_growth(count: int) -> dict[str, float]:
    """Return the resident memory after a tenth of the steps and after all of them, MiB."""
    env = gymnasium.make("SocialHead-v0", task="mixed", disable_env_checker=True)
    env.reset(seed=1)
    steps(env, count // 10, 1)
    before = resident_mib(os.getpid())
    steps(env, count, 100_000)
    return {"steps": count, "before_mib": round(before, 1), "after_mib": round(resident_mib(os.getpid()), 1)}


def main() -> None:
    """Run the benchmark."""
    arguments = parse(__doc__)
    features = {task: measure(task, "features", 3000, 5) for task in TASKS}
    rgbd = {task: measure(task, "rgbd", 200, 4) for task in TASKS}
    memory = memory_growth(150_000)
    single = [rgbd[task] for task in TASKS if task != "mixed"]
    result: dict[str, Any] = {
        "benchmark": "social_head",
        "machine": describe(),
        "features_steps_per_s": features,
        "rgbd_steps_per_s": rgbd,
        "memory": memory,
        "targets": {
            "features": _target(min(features.values()), FEATURES_HZ),
            "rgbd, one person": _target(min(single), RGBD_HZ),
            "rgbd, two or three": _target(rgbd["mixed"], RGBD_HZ),
            "memory flat (grows < 2 %)": {
                "measured": round(memory["after_mib"] / memory["before_mib"] - 1.0, 4),
                "limit": 0.02,
                "met": memory["after_mib"] <= 1.02 * memory["before_mib"],
            },
        },
    }
    save(result, arguments.json)


def _target(measured: float, limit: float) -> dict[str, Any]:
    return {"measured": measured, "limit": limit, "met": measured >= limit}


if __name__ == "__main__":
    main()
