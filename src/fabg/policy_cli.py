"""The ``fabg policy`` commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

policy_app = typer.Typer(help="Run a learnt policy, or look at its card.", no_args_is_help=True)

_MODEL = "ONNX file with its card beside it; the one that ships with the package by default."


@policy_app.command()
def run(
    model: Annotated[Path | None, typer.Argument(help=_MODEL)] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="One that it was trained for; mixed by default.")
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", "-i", help="Camera source, as for `fabg up`.")
    ] = None,
    with_: Annotated[
        str,
        typer.Option("--with", help="Perception to start beside faces, comma separated; `none` for none."),
    ] = "gaze,gesture",
    host_only: Annotated[
        bool, typer.Option("--host-only", help="Start the policy node alone, for a graph that runs already.")
    ] = False,
) -> None:
    """Let a learnt policy move the robot, until Ctrl-C.

    Brings up the graph with perception of faces, gaze and hands. When the model fails, `mirror` takes its place,
    and then the idle pose.

        fabg policy run social.onnx --task tracking --input 0
    """
    from fabg.policy.learnt import LearntPolicy, shipped_model
    from fabg.ros.bringup import keep_up

    # Refused here, with a clear message, rather than by a node that falls back.
    path = (shipped_model() if model is None else model).absolute()
    LearntPolicy(path, task)
    overrides: dict[str, dict[str, object]] = {
        "policy": {"policy": "learnt", "model": str(path), "task": task or ""}
    }
    if input is not None:
        overrides["camera"] = {"source": input}
    also = () if with_ == "none" else tuple(name.strip() for name in with_.split(",") if name.strip())
    keep_up(
        Console(stderr=True), only=("policy",) if host_only else None, also=() if host_only else also,
        overrides=overrides,
    )  # fmt: skip


@policy_app.command()
def show(
    model: Annotated[Path | None, typer.Argument(help=_MODEL)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Print a model's card: tasks, inputs, what it was trained on, and its errors."""
    import json

    from fabg.policy.card import read_model
    from fabg.policy.learnt import shipped_model
    from fabg.policy.task_texts import name_of

    path = shipped_model() if model is None else model
    data, card = read_model(path)
    if as_json:
        typer.echo(json.dumps(card.to_json(), indent=2))
        return
    layout, table = card.layout, Table(title=card.name, show_header=False)
    rows = {
        "file": f"{path} ({len(data) / 1e6:.1f} MB, SHA-256 {card.sha256[:16]}...)",
        "tasks": "\n".join(f"{name_of(text)}: {text}" for text in layout.tasks),
        "sees": layout.inputs
        + (f", the last {layout.history_steps * layout.history_step_s:g} s" if layout.sees_features else ""),
        "tells": f"{layout.chunk_steps} expressions, {layout.dt_s * 1e3:g} ms apart",
        "trained on": f"{card.training['minutes']} minutes in {sum(card.training['episodes'].values())} episodes",
        "steps": f"{card.training['steps']} of {card.training['batch']}, {card.training['parameters']:,} parameters",
        "measured": "\n".join(f"{name}: {value:.3g}" for name, value in card.measured.items()),
        "licence": card.licence,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)
