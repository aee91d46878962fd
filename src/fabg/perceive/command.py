"""The command line of ``fabg perceive``; `perceive` is registered by `fabg.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def perceive(
    input: Annotated[
        str,
        typer.Argument(
            metavar="VIDEO|DEVICE|FOLDER",
            help="Video file, folder of PNG or JPEG pictures, camera (0, 1, ... or /dev/videoN), or `clip` for "
            "the bundled one.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory of the results; runs/<stamp> by default.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.1, help="Stop after so much time of the input.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            help="Stages to work, comma separated: faces (always on), gaze, emotion, hands.",
            rich_help_panel="Perception",
        ),
    ] = None,
    emotion: Annotated[
        bool, typer.Option("--emotion/--no-emotion", help="Read emotions.", rich_help_panel="Perception")
    ] = True,
    purpose: Annotated[
        str,
        typer.Option(
            "--purpose",
            help="What emotions are read for; see docs/responsible-use.md. Work and school are refused.",
            rich_help_panel="Perception",
        ),
    ] = "research",
    grounds: Annotated[
        str,
        typer.Option(
            "--grounds",
            help="Medical or safety grounds, which work and school need.",
            rich_help_panel="Perception",
        ),
    ] = "",
    max_faces: Annotated[
        int, typer.Option(min=1, max=10, help="People followed at once.", rich_help_panel="Perception")
    ] = 4,
    max_hands: Annotated[
        int, typer.Option(min=1, max=8, help="Hands followed at once.", rich_help_panel="Perception")
    ] = 4,
    fov_deg: Annotated[
        float,
        typer.Option(
            min=1.0,
            max=179.0,
            help="Field of view across the image, degrees, where there is no calibration.",
            rich_help_panel="Camera",
        ),
    ] = 60.0,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="YAML of `fabg camera calibrate` or of ROS; that of a stereo camera splits the images and "
            "measures depth.",
            rich_help_panel="Camera",
        ),
    ] = None,
    fps: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=1000.0,
            help="Images a second of a folder; asked of a camera.",
            rich_help_panel="Camera",
        ),
    ] = 25.0,
    hide_people: Annotated[
        bool,
        typer.Option(
            "--hide-people",
            help="Draw people as lines only; keep no image of them.",
            rich_help_panel="Output",
        ),
    ] = False,
    video: Annotated[
        bool, typer.Option("--video/--no-video", help="Make the annotated video.", rich_help_panel="Output")
    ] = True,
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="Also store 478 points a face.", rich_help_panel="Output")
    ] = False,
) -> None:
    """See people in a video, a folder or a camera: faces, gaze, emotion, hands.

    Writes perceive.mp4 (annotated), faces.parquet, hands.parquet and
    images.parquet (every measurement, with stamps), plots, summary.json and
    report.html. Needs no ROS. Files are worked through image by image, as
    fast as this machine can; a camera runs until Ctrl-C or --seconds.

    Ctrl-C ends a run early and keeps what was done. The last line printed is
    the report's path.
    """
    from fabg.perceive.run import run_perceive

    outcome = run_perceive(
        input, out, seconds=seconds,
        only=None if only is None else [name.strip() for name in only.split(",") if name.strip()],
        emotion=emotion, purpose=purpose, grounds=grounds, hide_people=hide_people, video=video,
        landmarks=landmarks, fov_deg=fov_deg, calibration=calibration, max_faces=max_faces, max_hands=max_hands,
        fps=fps,
    )  # fmt: skip
    typer.echo(outcome.report)
    if outcome.ended != "whole":
        raise typer.Exit(1 if outcome.ended == "failed" else 130)
