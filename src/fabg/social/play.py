"""Play one episode and keep it: a film, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fabg import expression, page
from fabg.files import write_json
from fabg.policy.attention import answer_shapes
from fabg.robot.model import RobotModel
from fabg.robot.retarget import Retargeter
from fabg.runs import RunFolder, terminable
from fabg.social.avatar.poses import shapes_of
from fabg.social.delays import Latency
from fabg.social.episode import EpisodeSpec, run_episode
from fabg.social.film import Film
from fabg.social.film_strip import TRACKS, Track
from fabg.social.film_tracks import PITCH, VERGENCE
from fabg.social.partner import EMOTIONS
from fabg.social.policies import EXPERT
from fabg.social.robot_body import EyeGeometry
from fabg.social.score import score
from fabg.social.world import World

_YAW, _EXPRESSION = TRACKS
_TRACKS: dict[str, Sequence[Track]] = {
    "affective": (_EXPRESSION, _YAW),
    "tracking": (_YAW, PITCH),
    "foveate": (VERGENCE, _YAW),
    "gesture": (_YAW, PITCH),
    "mixed": (_YAW, _EXPRESSION),
}


def play(
    out: Path | None,
    *,
    task: str,
    policy: str,
    executor: str = "newest",
    obs: str = "features",
    latency: object = "0",
    seed: int = 1,
    events: int | None = None,
    max_s: float = 30.0,
    pace: str = "natural",
    progress: bool = True,
) -> Path:
    """Film an episode; return the film's path.

    Parameters
    ----------
    out
        Folder, new or empty; ``runs/<stamp>`` by default. It appears when all is written.
    task, policy, executor, obs, seed, events, max_s, pace
        As in `fabg.social.episode.EpisodeSpec`.
    latency
        As for `fabg.social.delays.Latency.parse`.
    progress
        Show a bar on the terminal.

    Raises
    ------
    ConfigError
        For a name or value that is not accepted, or an `out` that is not empty.
    """
    spec = EpisodeSpec(
        task=task, seed=seed, policy=policy, executor=executor, obs=obs, latency=Latency.parse(latency), pace=pace,
        events=events, max_s=max_s,
    )  # fmt: skip
    facts = {"policy": policy, "delay": _delay(spec.latency), "seed": str(seed)}
    if policy != EXPERT:
        facts = {"policy": policy, "executor": executor, "sees": obs, **facts}
    columns = (
        TextColumn("filming"),
        BarColumn(),
        TextColumn("{task.completed:.0f} s"),
        TimeRemainingColumn(),
    )
    with terminable(), RunFolder(out) as folder:
        spec.world().close()  # refuses what is wrong before anything is opened
        with (
            Progress(*columns, console=Console(stderr=True), disable=not progress, transient=True) as bar,
            Film(folder.partial / "play.mp4", title=task, facts=facts, tracks=_TRACKS[task]) as film,
        ):
            row = bar.add_task("", total=max_s)
            signals: Signals | None = None

            def each(world: World) -> None:
                nonlocal signals
                signals = signals or Signals(world.model)
                film.add(world.scene, world.robot.joints, signals.of(world), world.stimulus)
                bar.update(row, completed=world.time_s)

            record = run_episode(spec, each)
        result = {
            "task": task, "policy": policy, "executor": None if policy == EXPERT else executor,
            "obs": obs, "latency": str(spec.latency), "seed": seed, "pace": pace, "seconds": record.duration_s,
            "scores": score(record), **page.provenance(("numpy", "mujoco", "moderngl")),
        }  # fmt: skip
        write_json(result, folder.partial / "scores.json")
        return folder.keep() / "play.mp4"


class Signals:
    """The signals under a film, from a world."""

    def __init__(self, robot: RobotModel) -> None:
        self._eyes = EyeGeometry(robot)
        self._retargeter = Retargeter(robot)
        self._neutral = robot.neutral
        self._face = np.array([joint.group == "face" for joint in robot.joints])
        self._answers = [self._joints_of(answer_shapes(shapes_of(**full))) for full in EMOTIONS.values()]

    def of(self, world: World) -> dict[str, float]:
        """Return the values of this tick by the keys of the tracks' lines: rad, and amounts 0..1."""
        robot, beside, target = world.robot, world.expert_robot, world.stimulus.target_m
        assert beside is not None
        yaw, pitch = self._eyes.direction_to(robot.joints, target)
        return {
            "gaze_robot": robot.yaw,
            "gaze_expert": beside.yaw,
            "gaze_target": yaw,
            "pitch_robot": robot.pitch,
            "pitch_expert": beside.pitch,
            "pitch_target": pitch,
            "vergence_robot": robot.vergence,
            "vergence_expert": beside.vergence,
            "vergence_target": self._eyes.vergence_demand(robot.joints, target),
            "expression_robot": self._amount((robot.joints - self._neutral)[self._face]),
            "expression_expert": self._amount((beside.joints - self._neutral)[self._face]),
            "expression_asked": self._amount(self._joints_of(world.stimulus.shapes)),
        }

    def _joints_of(self, shapes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the joints of the face leave neutral for the robot's own shapes (52,)."""
        vector = expression.neutral()
        vector[: expression.N_SHAPES] = shapes
        moved: NDArray[Any] = (self._retargeter.to_joints(vector) - self._neutral)[self._face]
        return moved

    def _amount(self, joints: NDArray[np.float64]) -> float:
        """Return how much of a full smile or surprise the joints show, the larger of both, 0..1."""
        shares = [float(joints @ full / (full @ full)) for full in self._answers]
        return min(max(*shares, 0.0), 1.0)


def _delay(latency: Latency) -> str:
    plain = latency.max_ms is not None and abs(latency.max_ms - latency.total_mean_ms) < 1e-9
    return f"{latency.total_mean_ms:g} ms" if plain else str(latency)
