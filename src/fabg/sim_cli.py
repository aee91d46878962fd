"""The ``fabg sim`` commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

sim_app = typer.Typer(help="Meet simulated people: play, and record demonstrations.", no_args_is_help=True)


class Observation(StrEnum):
    """What a demonstration holds of what is seen."""

    FEATURES = "features"
    RGBD = "rgbd"


class Sees(StrEnum):
    """What the policy is told of the people."""

    FEATURES = "features"
    PERCEPTION = "perception"
    RGBD = "rgbd"


class Pace(StrEnum):
    """When the next event comes."""

    PROMPT = "prompt"
    NATURAL = "natural"


_TASK = "affective, tracking, foveate, gesture or mixed."
_LATENCY = (
    "Delays: a total in ms, or stages such as 'sensing=jitter:60,15; actuation=20' "
    "(sensing, inference, transport, actuation; also burst:, drift:, file:)."
)


@sim_app.command()
def play(
    task: Annotated[str, typer.Option("--task", "-t", help=_TASK)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the film; runs/<stamp> by default.")
    ] = None,
    policy: Annotated[
        str, typer.Option("--policy", "-p", help="expert, imitator, mirror, idle, still, or a Python file.")
    ] = "imitator",
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            "-x",
            help="newest, chunk[:STEPS], ensemble[:M], offset:N, adaptive, adaptive_ensemble[:M] or prefix[:STEPS].",
        ),
    ] = "newest",
    obs: Annotated[
        Sees,
        typer.Option(
            help="features: with perception's measured errors; perception: rendered images, really read; "
            "rgbd: images and depth, for policies that look themselves."
        ),
    ] = Sees.FEATURES,
    latency: Annotated[str, typer.Option("--latency", "-l", help=_LATENCY)] = "0",
    seed: Annotated[int, typer.Option(min=0, help="Of people, events and errors.")] = 1,
    events: Annotated[
        int | None, typer.Option(min=1, help="How many; the paper's number by default.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1.0, max=300.0, help="Stop after this long.")] = 30.0,
    pace: Annotated[
        Pace, typer.Option(help="prompt: as soon as answered; natural: with pauses.")
    ] = Pace.NATURAL,
) -> None:
    """Play a task, and film it: the partner, the robot, and what goes on as curves.

    Writes play.mp4 and scores.json. The last line printed is the film's path.

        fabg sim play --task tracking --policy imitator --latency 140 --executor offset:7
    """
    from fabg.social.play import play as run

    typer.echo(
        run(
            out, task=task, policy=policy, executor=executor, obs=obs.value, latency=latency, seed=seed, events=events,
            max_s=seconds, pace=pace.value,
        )
    )  # fmt: skip


@sim_app.command()
def demos(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the data set; more is added to one of the kind.")
    ],
    task: Annotated[
        str, typer.Option("--task", "-t", help="Tasks, comma separated; `all` for every one.")
    ] = "all",
    episodes: Annotated[int, typer.Option("--episodes", "-n", min=1, help="Of each task.")] = 20,
    obs: Annotated[
        Observation,
        typer.Option(help="features: numbers as perception publishes them; rgbd: images and depth."),
    ] = Observation.FEATURES,
    events: Annotated[int | None, typer.Option(min=1, help="Of an episode.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the first episode; the others count on.")] = 0,
) -> None:
    """Record the simulated expert as a LeRobot v3.0 data set.

    Every episode is whole on disk before the next begins; Ctrl-C ends after the present one.

        fabg sim demos --task tracking,gesture --episodes 50 --out demos/
    """
    from rich.progress import Progress

    from fabg.runs import stoppable
    from fabg.social.demonstrations import write_demonstrations
    from fabg.social.tasks import TASKS

    tasks = TASKS if task == "all" else tuple(name.strip() for name in task.split(",") if name.strip())
    console = Console(stderr=True)
    with stoppable() as stopping, Progress(console=console, transient=True) as bar:
        row = bar.add_task("episodes", total=episodes * len(tasks))
        written = write_demonstrations(
            out, tasks=tasks, episodes=episodes, seed=seed, obs=obs.value, events=events,
            tell=lambda done, total: bar.update(row, completed=done, total=total), stop=stopping.is_set,
        )  # fmt: skip
    console.print(
        f"{written.episodes} episodes, {written.frames} frames; the expert answered {written.answered} of "
        f"{written.answered + written.missed} events"
    )
    typer.echo(out)
