"""Is simulated perception as good, or as bad, as the real one? The same episodes with both.

    python benchmarks/senses.py --json senses.json

Plays tasks with the imitator, a fixed offset and 60 ms of delay: once with the errors of perception put in by number
(`features`), once with rendered images read by the real pipeline (`perception`). Results do not depend on the machine.
"""

from __future__ import annotations

import math
from typing import Any

from machine import describe, parse, save

from fabg.social.delays import Latency
from fabg.social.episode import EpisodeSpec, run_episode
from fabg.social.score import score

TASKS, SEEDS, EVENTS = ("tracking", "gesture", "affective"), (1003, 1004, 1005), 6
METRICS = ("success", "response_vs_expert_ms", "gaze_lag_ms", "expression_lag_ms")


def means(task: str, obs: str) -> dict[str, float | None]:
    """Return the mean of each metric over the seeds; None where it does not exist in any episode."""
    rows = [
        score(
            run_episode(
                EpisodeSpec(
                    task=task, seed=seed, policy="imitator", executor="offset:3", obs=obs, events=EVENTS,
                    latency=Latency.parse(60),
                )
            )
        )
        for seed in SEEDS
    ]  # fmt: skip
    result: dict[str, float | None] = {}
    for name in METRICS:
        values = [value for row in rows if (value := row[name]) is not None]
        result[name] = round(math.fsum(values) / len(values), 3) if values else None
    return result


def main() -> None:
    """Play and compare."""
    arguments = parse(__doc__)
    result: dict[str, Any] = {"benchmark": "senses", "machine": describe(), "seeds": SEEDS, "events": EVENTS}
    result["tasks"] = {task: {obs: means(task, obs) for obs in ("features", "perception")} for task in TASKS}
    save(result, arguments.json)


if __name__ == "__main__":
    main()
