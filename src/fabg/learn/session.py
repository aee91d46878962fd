"""A training for people: progress on the terminal, curves for TensorBoard, and what was learnt at the end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from fabg.files import write_text
from fabg.learn.config import TrainConfig
from fabg.learn.processes import Team, team
from fabg.learn.train import Progress, Training
from fabg.runs import stoppable


def train(config: TrainConfig, out: Path, *, resume: bool) -> bool:
    """Train in a folder, and show how it goes; return whether it came to its end.

    The folder then holds ``checkpoint.safetensors``, ``config.yaml``, ``log.json`` (the figures of every validation)
    and ``tensorboard/``. Ctrl-C ends after the present step, with a checkpoint. Of several processes the
    first one talks.

    Raises
    ------
    FabgError
        As in `fabg.learn.train.Training`.
    """
    console = Console(stderr=True)
    with team(config.device) as us, stoppable() as stopping, _bar(console, us) as bar:
        row = bar.add_task("reading", total=None, figures="")

        def reading(done: int, total: int) -> None:
            bar.update(row, completed=done, total=total)

        training = Training(config, out, us, resume=resume, read_tell=reading)
        if us.leads:
            for note in training.demonstrations.notes:
                console.print(f"note: {note}", highlight=False)
            console.print(_summary(training), highlight=False)
            if training.step:
                done = "done already" if training.step >= config.steps else "gone on with"
                console.print(f"step {training.step} of {config.steps}: {done}", highlight=False)
            write_text(out / "config.yaml", yaml.safe_dump(_plain(config.to_json()), sort_keys=False))
        bar.reset(row, total=config.steps, completed=training.step, description="training")

        def warn(text: str) -> None:
            bar.console.print(f"warning: {text}", highlight=False)

        with _curves(out / "tensorboard", us, warn) as curves:

            def tell(progress: Progress) -> None:
                if not us.leads:
                    return
                if progress.trouble:
                    return warn(progress.trouble)
                loss = progress.row.get("loss", math.nan)
                figures = f"loss {loss:.4f}  {progress.samples_a_second:.0f} samples/s"
                bar.update(row, completed=progress.step, figures=figures)
                if "val_loss" in progress.row:
                    bar.console.print(_line(progress), highlight=False)
                if progress.step % 10 == 0 or "step" in progress.row:
                    curves(progress.step, progress.row | {"samples_a_second": progress.samples_a_second})

            finished = training.run(tell, stopping.is_set)
        if us.leads:
            write_text(out / "log.json", json.dumps(training.log, indent=1) + "\n")
        return finished


def _bar(console: Console, us: Team) -> Bar:
    return Bar(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True, disable=not us.leads,
    )  # fmt: skip


def _summary(training: Training) -> str:
    facts = training.facts()
    weights = sum(parameter.numel() for parameter in training.model.parameters())
    episodes = ", ".join(f"{name} {count}" for name, count in facts["episodes"].items())
    return (
        f"{facts['samples']} samples of {facts['minutes']} minutes ({episodes}; {facts['episodes_held_out']} episodes "
        f"held out); {weights:,} parameters"
    )


def _line(progress: Progress) -> str:
    row = progress.row
    loss = f"loss {row['loss']:.4f}, " if "loss" in row else ""
    gaze, shape = row.get("gaze_deg@100", math.nan), row.get("shape@100", math.nan)
    return (
        f"step {progress.step}: {loss}held out {row['val_loss']:.4f}; 100 ms ahead gaze {gaze:.2f} deg, "
        f"shapes {shape:.4f}"
    )


@contextmanager
def _curves(
    folder: Path, us: Team, warn: Callable[[str], None]
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Yield what writes figures for TensorBoard; it writes nothing where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        SummaryWriter = None  # type: ignore[assignment, misc]
    if not us.leads or SummaryWriter is None:
        yield lambda step, row: None
        return
    writer: Any = SummaryWriter(str(folder))

    def write(step: int, row: Mapping[str, float]) -> None:
        nonlocal writer
        if writer is None:
            return
        try:
            for name, value in row.items():
                if name != "step" and math.isfinite(value):
                    writer.add_scalar(name.replace("@", "/"), value, step)
        except OSError as error:  # curves are no reason to lose a training
            writer = None
            warn(f"TensorBoard has no curves from step {step} on: {error.strerror or error}")

    try:
        yield write
    finally:
        with suppress(OSError):
            if writer is not None:
                writer.close()


def _plain(value: Any) -> Any:
    """Return a value without tuples, which YAML has no plain form for."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
