"""Looks for a chessboard in all images of a source, and says what is missing for a good calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.chessboard import Board, View, choose_views, find_board, same_order, uncovered
from fabg.perception.lens import MonoCalibration
from fabg.perception.pictures import Size, read_picture
from fabg.perception.sources import PICTURES, is_live, open_source
from fabg.perception.stereo import split_side_by_side

_APART = 0.04
"""Views nearer to each other than this (place, size and tilt, 0..1) teach nothing new."""


@dataclass(frozen=True)
class Image:
    """One image to be searched: its name for people, and how many there are in all (0: unknown)."""

    name: str
    pixels: NDArray[np.uint8] | None
    total: int = 0


@dataclass
class Search:
    """What has been found so far.

    Attributes
    ----------
    board
        What is looked for.
    side_by_side
        True when each image holds two; a board must be seen whole in both.
    sightings
        For each image with a board its view, or two (left, right).
    searched, unreadable, other_size, one_sided
        How many images were searched, could not be read, had another size than the first, and showed the
        board in one half only.
    """

    board: Board
    side_by_side: bool = False
    sightings: list[tuple[View, ...]] = field(default_factory=list)
    searched: int = 0
    unreadable: int = 0
    other_size: int = 0
    one_sided: int = 0
    _size: tuple[int, ...] | None = None
    _signatures: list[NDArray[np.float64]] = field(default_factory=list)

    def look(self, image: NDArray[np.uint8] | None) -> bool:
        """Search one image (None: it could not be read); return whether it shows the board.

        Raises
        ------
        InputError
            When it should hold two images but its width is odd.
        """
        if image is None:
            self.unreadable += 1
            return False
        self.searched += 1
        self._size = self._size or image.shape[:2]
        if image.shape[:2] != self._size:
            self.other_size += 1
            return False
        halves = split_side_by_side(image) if self.side_by_side else (image,)
        views = [find_board(half, self.board) for half in halves]
        found = [view for view in views if view is not None]
        if len(found) < len(halves):
            self.one_sided += bool(found)
            return False
        self.sightings.append((found[0], *(same_order(view, found[0]) for view in found[1:])))
        self._signatures.append(found[0].signature(self.board))
        return True

    def varied(self, count: int) -> list[tuple[View, ...]]:
        """Return the sightings that differ most, `count` at most."""
        return [self.sightings[k] for k in choose_views(np.array(self._signatures), count, apart=_APART)]


def images_of(
    spec: str,
    *,
    size: Size | None = None,
    every_s: float = 0.25,
    enough: Callable[[float], bool] = lambda elapsed_s: False,
) -> Iterator[Image]:
    """Yield the images of a device, a video or a folder.

    Parameters
    ----------
    spec
        As for `open_source`. Pictures of a folder come as they are, never fitted.
    size
        (width, height) asked of a device.
    every_s
        Time between two images of a video, s: neighbours show the board in the same place.
    enough
        Asked with the time since the first image, s, whether a device (which has no end) has been
        watched for long enough.

    Raises
    ------
    InputError
        When there is no such source or it holds no image.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES and p.is_file())
        if not files:
            raise InputError(
                f"the folder {spec!r} holds no picture: expected files named *.png, *.jpg or *.jpeg"
            )
        yield from (Image(file.name, read_picture(file), len(files)) for file in files)
        return
    live = is_live(spec)
    with closing(open_source(spec, size=size, realtime=False)) as source:
        first_s, due_s = None, -np.inf
        while (frame := source.read()) is not None:
            first_s = frame.stamp_s if first_s is None else first_s
            elapsed_s = frame.stamp_s - first_s
            if live and enough(elapsed_s):
                return
            if live or elapsed_s >= due_s:
                due_s = elapsed_s + every_s
                yield Image(f"{elapsed_s:.1f} s", frame.image)


def advice(views: Sequence[View], given: int, made: MonoCalibration) -> tuple[str, ...]:
    """Return what would make the calibration of one camera better, in the order of importance; empty when it is good.

    Parameters
    ----------
    views
        Of the board, as used.
    given
        How many images showed the board, the similar ones included.
    made
        The result.
    """
    said = []
    if made.rms_px > 0.6:
        said.append(
            f"the reprojection error is {made.rms_px:.2f} px (good: under 0.4): is the board flat, sharp and still? "
            "Are the numbers of --board the inner corners?"
        )
    if len(views) < 12:
        alike = f"; of {given} images most are alike" if given >= 2 * len(views) else ""
        said.append(f"only {len(views)} different views (good: 20 or more){alike}: move the board more")
    if made.tilt_deg < 30.0:
        said.append(
            f"the board was hardly tilted ({made.tilt_deg:.0f} degrees between the views, good: 40 or more): tilt it "
            "to all sides, or the focal length is a guess"
        )
    if borders := uncovered(views):
        said.append(
            f"the board never came near the {', '.join(borders)} of the image: distortion there is a guess"
        )
    largest = max(view.box.width * view.box.height / (view.size[0] * view.size[1]) for view in views)
    if largest < 0.15:
        said.append(
            f"the board fills at most {largest:.0%} of the image: bring it nearer, until it fills a third"
        )
    if made.focal_error > 0.01:
        said.append(f"the focal length is uncertain by {made.focal_error:.1%}: take more views")
    return tuple(said)
