"""The commands ``fabg train`` and ``fabg export``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from fabg.errors import ConfigError, EnvironmentProblem

_REMEDY = "python3 tools/setup_env.py --with train"


def train(
    config: Annotated[
        Path, typer.Argument(help="YAML file; config/train/ has some to begin with.", metavar="CONFIG")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the training; runs/train/<name> by default.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", "-d", help="LeRobot v3.0 data set; may be repeated.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=value, e.g. steps=500 or model.width=64; may be repeated."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
) -> None:
    """Learn a behaviour from demonstrations.

    Reads any LeRobot v3.0 data set with the features of `fabg sim demos`, and writes checkpoints, logs and TensorBoard
    curves. Ctrl-C leaves a checkpoint; --resume goes on from it and ends where an undisturbed training would have.

        fabg sim demos --task tracking --episodes 50 --out demos/
        fabg train config/train/features.yaml --data demos/ --out runs/tracking
        fabg export runs/tracking --out tracking.onnx

    On several cores, GPUs or machines: torchrun --nproc-per-node 2 -m fabg.cli train CONFIG
    """
    _needs_torch()
    from fabg.learn.config import load_config
    from fabg.learn.session import train as run

    chosen = load_config(config, _overrides(set_ or [], data))
    folder = out or _default_folder(chosen.name)
    finished = run(chosen, folder, resume=resume)
    if os.environ.get("RANK", "0") != "0":
        return
    if not finished:
        Console(stderr=True).print(
            f"interrupted; the same command with --resume goes on in {folder}", highlight=False
        )
        raise typer.Exit(130)
    Console(stderr=True).print(f"next: fabg export {folder} --out {chosen.name}.onnx", highlight=False)
    typer.echo(folder)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training, or its checkpoint.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="ONNX file; <run>/<name>.onnx by default.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the model; that of the configuration by default.")
    ] = None,
) -> None:
    """Make a model that runs without torch: ONNX, a card (JSON) with its checksum, and a page about it.

    The exported model is compared with the trained one before it is written.
    """
    _needs_torch()
    from fabg.learn.checkpoint import NAME, read_checkpoint
    from fabg.learn.export import export as write

    checkpoint = run / NAME if run.is_dir() or not run.suffix else run
    if out is None:
        out = checkpoint.parent / f"{name or read_checkpoint(checkpoint).config.name}.onnx"
    done = write(checkpoint, out, name=name)
    Console(stderr=True).print(
        f"differs from the trained model by at most {done.difference:.1e}; SHA-256 {done.card.sha256[:16]}...",
        highlight=False,
    )
    typer.echo(done.model)


def _needs_torch() -> None:
    missing = [name for name in ("torch", "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentProblem(f"{', '.join(missing)} is missing: {_REMEDY}")


def _overrides(settings: list[str], data: list[str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {setting!r}: expected name=value, for example steps=500")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {setting!r}: the value is no YAML: {error}") from error
    if data:
        found["data"] = data
    return found


def _default_folder(name: str) -> Path:
    from fabg.paths import runs_dir

    return runs_dir() / "train" / name
