"""The ``fabg camera`` commands."""

from __future__ import annotations

import math
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fabg.errors import ConfigError, InputError

if TYPE_CHECKING:  # OpenCV is loaded only when a command needs it
    from fabg.perception.board_search import Search
    from fabg.perception.chessboard import Board, View
    from fabg.perception.lens import MonoCalibration

camera_app = typer.Typer(help="Calibrate one camera, or two side by side.", no_args_is_help=True)


class Stereo(StrEnum):
    """How many cameras an image holds."""

    NONE = "none"
    SIDE_BY_SIDE = "side-by-side"


@camera_app.command()
def calibrate(
    source: Annotated[
        str, typer.Argument(help="Folder of pictures, video file, device number or /dev/videoN.")
    ],
    square_mm: Annotated[
        float, typer.Option("--square-mm", help="Side of one square, measured on the print.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML file to write.")],
    board: Annotated[
        str, typer.Option(help="Inner corners, where four squares meet: 10 x 7 squares are 9x6.")
    ] = "9x6",
    stereo: Annotated[
        Stereo, typer.Option(help="side-by-side: each image holds two, left and right.")
    ] = Stereo.NONE,
    views: Annotated[int, typer.Option(min=4, max=200, help="Different views to use at most.")] = 30,
    seconds: Annotated[float, typer.Option(min=1.0, help="Watch a device for this long at most.")] = 90.0,
    size: Annotated[str | None, typer.Option(help="Image size asked of a device, such as 1344x376.")] = None,
) -> None:
    r"""Measure a camera, or a pair, with a printed chessboard.

    1. Print a board (`fabg camera board --out board.svg`), glue it to something flat, measure a square.

    2. Take 20 pictures or more, or one slow video: the board near and far, tilted by 30 degrees to
    all sides, in the middle and in every corner of the image, always whole, sharp and evenly lit.

    3. Calibrate, read the advice, and repeat until there is none:

        fabg camera calibrate pictures/ --square-mm 25 --out left.yaml
        fabg camera calibrate 0 --square-mm 25 --stereo side-by-side --size 1344x376 --out zed.yaml

    4. Use it:

        fabg up --input 0 --set camera.calibration=left.yaml
        fabg up --with depth --input 0 --set camera.width=1344 --set camera.height=376 \
            --set camera.stereo=side_by_side --set camera.stereo_calibration=zed.yaml

    One camera is written as the ROS package camera_calibration does. A device is watched until there
    are enough different views; Ctrl-C ends that early.
    """
    from fabg.perception.board_search import Search
    from fabg.perception.chessboard import Board

    if out.is_dir():
        raise ConfigError(f"--out {str(out)!r} is a folder: expected a file to write, such as camera.yaml")
    search = Search(Board.parse(board, square_mm), side_by_side=stereo is Stereo.SIDE_BY_SIDE)
    _watch(search, source, wanted=views, seconds=seconds, size=_parsed(size))
    _report_search(search)
    chosen = search.varied(views)
    if stereo is Stereo.SIDE_BY_SIDE:
        _calibrate_pair(search, chosen, out)
    else:
        _calibrate_one(search, chosen, out)
    typer.echo(str(out))


@camera_app.command("board")
def make_board(
    out: Annotated[Path, typer.Option("--out", "-o", help="SVG file to write.")],
    board: Annotated[str, typer.Option(help="Inner corners.")] = "9x6",
    square_mm: Annotated[float, typer.Option("--square-mm", help="Side of one square.")] = 25.0,
) -> None:
    """Draw a chessboard to print: 9x6 corners of 25 mm fill a sheet of A4.

    Print at 100 % (not "fit to page"), then measure: what counts is the print, not the file.
    """
    from fabg.files import write_text
    from fabg.perception.chessboard import Board

    write_text(out, _svg(Board.parse(board, square_mm)))
    typer.echo(str(out))


def _watch(search: Search, source: str, *, wanted: int, seconds: float, size: tuple[int, int] | None) -> None:
    """Search all images of the source, with a bar on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from fabg.perception.board_search import images_of
    from fabg.perception.sources import SourceLost

    columns = (
        TextColumn("looking for the board"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    began = time.monotonic()

    def enough(_: float) -> bool:
        return time.monotonic() - began > seconds or len(search.varied(wanted)) >= wanted

    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        try:
            for image in images_of(source, size=size, enough=enough):
                search.look(image.pixels)
                done = search.searched + search.unreadable
                progress.update(
                    task, total=image.total or None, completed=done,
                    description=f"{len(search.sightings)} in {done} images, {len(search.varied(wanted))} different",
                )  # fmt: skip
        except KeyboardInterrupt:
            pass  # what was seen so far may do
        except SourceLost as error:
            typer.echo(f"{error}; going on with what was seen")


def _report_search(search: Search) -> None:
    typer.echo(f"{len(search.sightings)} of {search.searched} images show the whole board")
    for count, what in (
        (search.unreadable, "pictures cannot be read"),
        (search.other_size, "images have another size than the first and were left out"),
        (search.one_sided, "images show the board in one half only and were left out"),
    ):
        if count:
            typer.echo(f"  {count} {what}")
    if not search.sightings:
        b = search.board
        raise InputError(
            f"no image shows a board with {b.columns} x {b.rows} inner corners as a whole: count the places where "
            "four squares meet, leave a white border around the squares, and avoid glare and blur"
        )


def _calibrate_one(search: Search, chosen: list[tuple[View, ...]], out: Path) -> None:
    from fabg.perception.board_search import advice
    from fabg.perception.lens import calibrate_mono

    made = calibrate_mono([views[0] for views in chosen], search.board)
    made.save(out)
    _describe("camera", made, len(chosen))
    _advise("", advice([chosen[k][0] for k in made.used], len(search.sightings), made))


def _calibrate_pair(search: Search, chosen: list[tuple[View, ...]], out: Path) -> None:
    from fabg.perception.board_search import advice
    from fabg.perception.stereo_calibration import calibrate_stereo

    pair, *both = calibrate_stereo([(views[0], views[1]) for views in chosen], search.board)
    pair.save(out)
    for k, (name, made) in enumerate(zip(("left", "right"), both, strict=True)):
        _describe(name, made, len(chosen))
        _advise(f"{name}: ", advice([chosen[i][k] for i in made.used], len(search.sightings), made))
    typer.echo(
        f"pair: {pair.views} views, reprojection error {pair.rms_px:.2f} px, baseline {pair.baseline_m * 1e3:.1f} mm, "
        f"rectified focal length {pair.focal_px:.0f} px"
    )
    if pair.rms_px > 1.0:
        _advise(
            "pair: ", ("the error of the pair is high (good: under 0.5): were both images taken at once?",)
        )


def _describe(name: str, made: MonoCalibration, given: int) -> None:
    focal = made.lens.matrix[0, 0]
    fov = 2 * math.degrees(math.atan(made.size[0] / 2 / focal))
    left_out = f" ({given - len(made.used)} that did not fit were left out)" if len(made.used) < given else ""
    typer.echo(
        f"{name}: {len(made.used)} views{left_out}, reprojection error {made.rms_px:.2f} px, focal length "
        f"{focal:.0f} px, {fov:.0f} degrees across"
    )


def _advise(prefix: str, said: tuple[str, ...]) -> None:
    for line in said:
        typer.echo(f"  advice: {prefix}{line}")


def _parsed(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    width, cross, height = size.lower().partition("x")
    if not (cross and width.strip().isdigit() and height.strip().isdigit()):
        raise ConfigError(f"--size is {size!r}: expected width x height in px, such as 1344x376")
    return int(width), int(height)


def _svg(board: Board) -> str:
    """Return a board with a white border of half a square, in mm."""
    side = board.square_m * 1e3
    width, height = (board.columns + 2) * side, (board.rows + 2) * side
    squares = "".join(
        f'<rect x="{(i + 0.5) * side:g}" y="{(j + 0.5) * side:g}" width="{side:g}" height="{side:g}"/>'
        for j in range(board.rows + 1)
        for i in range(board.columns + 1)
        if (i + j) % 2 == 0
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {width:g} {height:g}"><rect width="100%" height="100%" fill="white"/>{squares}</svg>\n'
    )
