"""Chessboards in images: where their corners are, and which of many views to keep for a calibration."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError
from fabg.perception.types import Roi

_SEARCH_SIDE_PX = 1000
"""Larger images are reduced for the search; the corners are then refined in the image itself."""
_GRID = 4


@dataclass(frozen=True)
class Board:
    """A chessboard pattern.

    Attributes
    ----------
    columns, rows
        Inner corners, where four squares meet: a board of 10 x 7 squares has 9 x 6.
    square_m
        Side of a square, m.

    Raises
    ------
    ConfigError
        When there are fewer than 3 x 3 corners, more than 50 x 50, or the squares are not 1 mm to 1 m.
    """

    columns: int
    rows: int
    square_m: float

    def __post_init__(self) -> None:
        if not (3 <= self.columns <= 50 and 3 <= self.rows <= 50):
            raise ConfigError(
                f"the board has {self.columns} x {self.rows} corners: expected 3 x 3 to 50 x 50 inner corners, "
                "where four squares meet"
            )
        if not (math.isfinite(self.square_m) and 1e-3 <= self.square_m <= 1.0):
            raise ConfigError(f"the squares are {self.square_m * 1e3} mm: expected 1 to 1000 mm")

    @classmethod
    def parse(cls, text: str, square_mm: float) -> Board:
        """Return the board of a text such as ``9x6`` (inner corners) and a square in mm."""
        match = re.fullmatch(r"\s*(\d+)\s*[xX*]\s*(\d+)\s*", text)
        if match is None:
            raise ConfigError(f"the board is {text!r}: expected inner corners such as 9x6")
        return cls(int(match[1]), int(match[2]), square_mm / 1e3)

    @property
    def points_m(self) -> NDArray[np.float32]:
        """The corners on the board, row by row, shape (columns * rows, 3), m."""
        grid = np.mgrid[: self.columns, : self.rows].T.reshape(-1, 2) * self.square_m
        return np.concatenate([grid, np.zeros((len(grid), 1))], axis=1).astype(np.float32)


@dataclass(frozen=True)
class View:
    """A board as one image shows it.

    Attributes
    ----------
    corners
        In the order of `Board.points_m`, px, shape (n, 2).
    size
        (width, height) of the image, px.
    """

    corners: NDArray[np.float32]
    size: tuple[int, int]

    @property
    def box(self) -> Roi:
        """The rectangle around all corners."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        return Roi(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))

    def signature(self, board: Board) -> NDArray[np.float64]:
        """Return what makes views different: place (x, y), size, and how both sides are foreshortened, 0..1."""
        grid = self.corners.reshape(board.rows, board.columns, 2).astype(np.float64)
        width, height = self.size
        middle = self.corners.mean(axis=0) / [width, height]
        top, bottom = (np.linalg.norm(grid[k, -1] - grid[k, 0]) for k in (0, -1))
        left, right = (np.linalg.norm(grid[-1, k] - grid[0, k]) for k in (0, -1))
        extent = math.sqrt(max(abs(_area(grid)), 1.0) / (width * height))
        # A turned board shows one edge longer than the other: the sign tells which way it is turned.
        turned = [math.log(top / bottom), math.log(left / right)] if min(bottom, right) > 0 else [0.0, 0.0]
        return np.array([*middle, extent, *(0.5 + np.clip(turned, -0.5, 0.5))])


def find_board(image: NDArray[np.uint8], board: Board) -> View | None:
    """Return the view of the board in an RGB or grey image, or None when it is not seen as a whole."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    if min(height, width) < 2 * max(board.columns, board.rows):
        return None  # squares under two pixels cannot be told apart
    scale = min(1.0, _SEARCH_SIDE_PX / max(width, height))
    search = (
        grey if scale == 1.0 else cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    )
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
    found, corners = cv2.findChessboardCornersSB(search, (board.columns, board.rows), flags=flags)
    if not found or corners is None or len(corners) != board.columns * board.rows:
        return None
    corners = corners.reshape(-1, 2)
    if scale < 1.0:
        corners = (corners + 0.5) / scale - 0.5
        reach = max(2, round(0.25 * _spacing(corners, board)))
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.01)
        corners = cv2.cornerSubPix(grey, corners[:, None].astype(np.float32), (reach, reach), (-1, -1), stop)
        corners = corners.reshape(-1, 2)
    if not np.isfinite(corners).all():
        return None
    return View(np.asarray(corners, dtype=np.float32), (width, height))


def same_order(view: View, other: View) -> View:
    """Return `view` with its corners counted from the same end of the board as those of `other`.

    A board looks the same upside down to a detector; the two cameras of a pair see it nearly alike.
    """
    one = view.corners[-1] - view.corners[0]
    two = other.corners[-1] - other.corners[0]
    return view if float(one @ two) >= 0.0 else View(view.corners[::-1].copy(), view.size)


def choose_views(signatures: NDArray[np.float64], count: int, *, apart: float = 0.0) -> list[int]:
    """Return which views to keep: those that differ most, in the order in which they were taken.

    Parameters
    ----------
    signatures
        One row for each view.
    count
        How many at most.
    apart
        Views nearer to one that is kept are left out.
    """
    if len(signatures) == 0 or count < 1:
        return []
    # The first is the view nearest to the middle of all; then always the one farthest from those taken.
    chosen = [int(np.argmin(np.linalg.norm(signatures - signatures.mean(axis=0), axis=1)))]
    distance = np.linalg.norm(signatures - signatures[chosen[0]], axis=1)
    while len(chosen) < min(count, len(signatures)):
        farthest = int(np.argmax(distance))
        if distance[farthest] <= max(apart, 1e-9):
            break
        chosen.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(signatures - signatures[farthest], axis=1))
    return sorted(chosen)


def uncovered(views: Sequence[View]) -> tuple[str, ...]:
    """Return the borders of the image (left, right, top, bottom) that no corner of any view has come near."""
    if not views:
        return ("left", "right", "top", "bottom")
    points = np.concatenate([view.corners / view.size for view in views])
    cells = {tuple(cell) for cell in np.clip((points * _GRID).astype(int), 0, _GRID - 1)}
    last = _GRID - 1
    reached = {
        "left": sum((0, k) in cells for k in range(_GRID)),
        "right": sum((last, k) in cells for k in range(_GRID)),
        "top": sum((k, 0) in cells for k in range(_GRID)),
        "bottom": sum((k, last) in cells for k in range(_GRID)),
    }
    return tuple(name for name, count in reached.items() if count < _GRID // 2)


def _area(grid: NDArray[np.float64]) -> float:
    """Return the area of the quadrangle of the outer corners, px^2."""
    x, y = np.array([grid[0, 0], grid[0, -1], grid[-1, -1], grid[-1, 0]]).T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def _spacing(corners: NDArray[np.float64], board: Board) -> float:
    """Return the shortest distance between neighbouring corners, px."""
    grid = corners.reshape(board.rows, board.columns, 2)
    across = np.linalg.norm(np.diff(grid, axis=1), axis=-1).min()
    down = np.linalg.norm(np.diff(grid, axis=0), axis=-1).min()
    return float(min(across, down))
