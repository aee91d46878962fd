"""The ``fabg`` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from fabg import __version__
from fabg.bench_cli import bench_app
from fabg.camera_cli import camera_app
from fabg.errors import ConfigError, FabgError, UsageError
from fabg.latency_cli import latency_app
from fabg.learn_cli import export, train
from fabg.perceive.command import perceive
from fabg.policy_cli import policy_app
from fabg.sim_cli import sim_app

app = typer.Typer(
    name="fabg",
    help="Affective human-robot interaction for a 25-joint humanoid head.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
evaluate = typer.Typer(help="Measure a part against ground truth.", no_args_is_help=True)
app.add_typer(evaluate, name="eval")
app.add_typer(camera_app, name="camera")
app.add_typer(sim_app, name="sim")
app.add_typer(bench_app, name="bench")
app.add_typer(policy_app, name="policy")
app.add_typer(latency_app, name="latency")

_console = Console(stderr=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fabg {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command()
def demo(
    input: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", help="Video file, image folder, device number, or `clip` for the bundled one."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory of the report; runs/<stamp> by default.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=1.0, help="Stop after this long.")] = None,
    hide_people: Annotated[
        bool, typer.Option("--hide-people", help="Draw people as lines only; keep no image of them.")
    ] = False,
    policy: Annotated[
        str,
        typer.Option(
            "--policy", "-p", help="What drives the robot: learnt, mirror, or the ONNX file of a learnt one."
        ),
    ] = "learnt",
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Task of a learnt policy; its own default by default.")
    ] = None,
) -> None:
    """Let the simulated robot answer a face, and write a report with a video.

    Starts the whole graph, plays the input in real time, and ends with report.html, demo.mp4 and
    summary.json. What mirror would have done with the same faces is shown beside the learnt policy.
    The last line printed is the report's path.
    """
    from fabg.demo.run import run_demo

    typer.echo(
        run_demo(input=input, out=out, seconds=seconds, hide_people=hide_people, policy=policy, task=task)
    )


app.command()(perceive)
app.command()(train)
app.command()(export)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _overrides(settings: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        left, equals, value = setting.partition("=")
        node, dot, name = left.partition(".")
        if not (equals and dot and node and name):
            raise ConfigError(
                f"--set {setting!r}: expected node.parameter=value, for example camera.source=0"
            )
        found.setdefault(node, {})[name] = yaml.safe_load(value)
    return found


@app.command()
def up(
    only: Annotated[str | None, typer.Option(help="Start these nodes only, comma separated.")] = None,
    without: Annotated[str | None, typer.Option(help="Leave these nodes out, comma separated.")] = None,
    with_: Annotated[
        str | None,
        typer.Option("--with", help="Start these as well: depth, gaze, emotion, gesture; comma separated."),
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", "-i", help="Camera source; same as --set camera.source=...")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="node.parameter=value; may be repeated.")
    ] = None,
    log_dir: Annotated[
        Path | None, typer.Option(help="Also write each node's output to <name>.log here.")
    ] = None,
) -> None:
    """Bring up the graph and keep it up until Ctrl-C.

    Perception of gaze, emotion, gestures and depth is started when asked for:
    `fabg up --with gaze,gesture`, or alone with `fabg up --only camera,face,gaze`.

    A node that dies is started again with growing back-off. The same graph comes up with
    `ros2 launch fabg fabg.launch.py` on a ROS 2 distribution.
    """
    from fabg.ros.bringup import keep_up

    overrides = _overrides(set_ or [])
    if input is not None:
        # A device number must stay a text: the parameter takes files and folders, too.
        overrides.setdefault("camera", {})["source"] = str(input)
    if log_dir is not None:
        log_dir.mkdir(parents=True, exist_ok=True)
    keep_up(
        _console, only=_names(only), without=_names(without) or (), also=_names(with_) or (), overrides=overrides,
        log_dir=log_dir,
    )  # fmt: skip


@app.command()
def estop(
    reset: Annotated[bool, typer.Option("--reset", help="Let the robot move again.")] = False,
    reason: Annotated[
        str, typer.Option(help="Kept in the robot's log and status.")
    ] = "from the command line",
) -> None:
    """Stop the robot at once, and keep it stopped until `fabg estop --reset`.

    Commands given before the reset are never carried out after it.
    """
    from fabg.ros.estop import call

    done, message = call(reset=reset, reason=reason)
    typer.echo(message)
    if not done:
        raise typer.Exit(1)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Examine this machine: packages, models, graphics, ROS, devices; every problem with its remedy.

    Ends with status 1 when something is missing that the suite needs.
    """
    from fabg import doctor as examination

    with _console.status("examining this machine"):
        checks = examination.examine()
    if as_json:
        typer.echo(json.dumps(examination.to_json(checks), indent=2))
    else:
        Console().print(examination.render(checks))
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(1)


@evaluate.command("robot-face")
def robot_face(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here as JSON.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet of the robot's expressions here (PNG).")
    ] = None,
    samples: Annotated[int, typer.Option(min=20, help="Random faces to render.")] = 300,
    seed: Annotated[int, typer.Option(min=1000, help="Seed of the random faces.")] = 1000,
) -> None:
    """Can the robot's face be read? Command expressions, and let a face tracker read the rendered robot.

    Reports how often a face is found and how well each joint's command correlates with what the
    tracker reads.
    """
    from fabg.robot.face_eval import evaluate_robot_face, render

    result = evaluate_robot_face(samples=samples, seed=seed, progress=True, sheet=sheet)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result, indent=2) + "\n")
    Console().print(render(result))


@evaluate.command("perception")
def perception(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here as JSON.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with tables and plots into this folder.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A fraction of the pictures: about a minute instead of many.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(help="These parts only, comma separated: found, pose, gaze, expression, ..."),
    ] = None,
    seed: Annotated[int, typer.Option(help="First person, and seed of all else; 1000 or more.")] = 1000,
) -> None:
    """How accurate is perception? Render people of whom all is known, and let the real models read them.

    Nothing was fitted on the people of this evaluation. Prints a table of every quantity with its
    target; missed targets are marked. Status 0 says that it ran, not that all targets are met.
    """
    from fabg.evaluation.perception import evaluate_perception

    evaluate_perception(quick=quick, only=_names(only), seed=seed, json_file=json_file, report=report)


def main() -> None:
    """Run the command; errors that the user can mend are one message, not a traceback."""
    try:
        app()
    except FabgError as error:
        _console.print(f"[red]error:[/] {error}", highlight=False)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    main()
