"""Demonstrations of the simulated expert as a LeRobot v3.0 data set.

The expert stands in place of the robot, as people with a headset do: what is recorded is what the robot's sensors
see at each tick, the robot's joints, and the expert's expression. Nothing is delayed between them except the expert's
own reaction, so that a policy learns what a person does *from the time of the image on*; the delays of a running
system are then a matter of execution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.demos.layout import Feature
from fabg.demos.writer import DatasetWriter
from fabg.errors import ConfigError
from fabg.policy.observation import SHAPES
from fabg.policy.task_texts import TASK_TEXTS
from fabg.robot.model import load_robot
from fabg.social.env import RGBD_SIZE, SocialHeadEnv
from fabg.social.stage import TICK_S
from fabg.social.tasks import TASKS

FPS = round(1.0 / TICK_S)
ROBOT_TYPE = "fabg_head_25"


@dataclass(frozen=True)
class Written:
    """What was written."""

    episodes: int
    frames: int
    answered: int
    missed: int


def write_demonstrations(
    out: Path,
    *,
    tasks: Sequence[str],
    episodes: int,
    seed: int,
    obs: str = "features",
    events: int | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Written:
    """Write `episodes` episodes of each task; every one is whole on disk before the next begins.

    Parameters
    ----------
    out
        Folder of the data set, new or of the same kind: then the episodes are added.
    tasks
        Out of `fabg.social.tasks.TASKS`; they take turns.
    seed
        Of the first episode; each has its own, counted on.
    obs
        "features" or "rgbd".
    events
        Of an episode; by default as many as the task has.
    tell
        Called with how many episodes are done and how many there will be.
    stop
        Asked before each episode: True ends early.

    Raises
    ------
    ConfigError
        For an unknown task, a task named twice, or a number out of range.
    """
    if obs not in ("features", "rgbd"):
        raise ConfigError(f"obs is {obs!r}: expected features or rgbd")
    for task in tasks:
        if task not in TASKS or list(tasks).count(task) > 1:
            raise ConfigError(f"task {task!r} is unknown or named twice: expected some of {', '.join(TASKS)}")
    if not tasks or not 1 <= episodes <= 100_000:
        raise ConfigError(f"{episodes} episodes of {len(tasks)} tasks: expected at least one of each")
    total = episodes * len(tasks)
    done = frames = answered = missed = 0
    envs = {
        task: SocialHeadEnv(task, obs, None, pace="natural", events=events, expert=True) for task in tasks
    }
    try:
        with DatasetWriter(out, FPS, _features(obs), ROBOT_TYPE) as writer:
            for k in range(total):
                if stop():
                    break
                task = tasks[k % len(tasks)]
                world = _record(envs[task], task, seed + k, obs, writer)
                writer.end_episode()
                done, frames = done + 1, frames + world.tick
                answered, missed = answered + world.answered, missed + world.missed
                tell(done, total)
    finally:
        for env in envs.values():
            env.close()
    return Written(done, frames, answered, missed)


def _record(env: SocialHeadEnv, task: str, seed: int, obs: str, writer: DatasetWriter) -> Any:
    observation, info = env.reset(seed=seed)
    world = env.world
    over = False
    while not over:
        action = info["expert"]
        seen = world.seen
        frame: dict[str, Any] = {
            "observation.state": observation["joints"],
            "action": action.astype(np.float32),
            "observation.stamp_s": np.array([world.time_s if seen is None else seen.stamp_s]),
        }
        names = ("people", "people_mask", "hands", "hands_mask") if obs == "features" else ("left", "right")
        for name in names:
            value: NDArray[Any] = observation[name]
            frame[_key(name)] = value.ravel() if obs == "features" else value
        if obs == "rgbd":
            frame["observation.depth"] = observation["depth"].ravel()
        writer.add_frame(task=TASK_TEXTS[task], **frame)
        observation, _, terminated, truncated, info = env.step(action)
        over = terminated or truncated
    return world


def _key(name: str) -> str:
    return f"observation.images.{name}" if name in ("left", "right") else f"observation.{name}"


def _features(obs: str) -> dict[str, Feature]:
    features = {
        "observation.state": Feature.vector(load_robot().names),
        "action": Feature.vector(expression.NAMES),
        "observation.stamp_s": Feature("float64", (1,)),
    }
    if obs == "features":
        for name in ("people", "people_mask", "hands", "hands_mask"):
            features[_key(name)] = Feature("float32", (int(np.prod(SHAPES[name])),))
        return features
    width, height = RGBD_SIZE
    for name in ("left", "right"):
        features[_key(name)] = Feature.video(height, width)
    features["observation.depth"] = Feature("float32", (height * width,))
    return features
