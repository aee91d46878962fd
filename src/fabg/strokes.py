"""Strokes and letters on a picture, anti-aliased, and the colours that all our pictures share."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture = NDArray[np.uint8]
"""RGB, uint8, shape (height, width, 3)."""
Colour = tuple[int, int, int]

PERSON: Colour = (255, 178, 62)
ROBOT: Colour = (64, 206, 222)
INK: Colour = (232, 238, 242)
FAINT: Colour = (138, 152, 163)
GROUND: Colour = (14, 20, 26)
HIDDEN: Colour = (30, 39, 48)
"""Where the image of people would be."""

_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates


def polyline(
    image: Picture, points: ArrayLike, colour: Colour, *, closed: bool = False, thickness: int = 1
) -> None:
    """Draw a line through points (n, 2), px."""
    fixed = np.rint(np.asarray(points, dtype=np.float64) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(image, [fixed.reshape(-1, 1, 2)], closed, colour, thickness, cv2.LINE_AA, _SHIFT)


def dot(image: Picture, at: ArrayLike, diameter: float, colour: Colour, *, thickness: int = -1) -> None:
    """Draw a disc, or with a `thickness` > 0 a ring, around `at` (x, y), px."""
    scale = 1 << _SHIFT
    x, y = np.asarray(at, dtype=np.float64)
    center = (round(float(x) * scale), round(float(y) * scale))
    cv2.circle(image, center, round(diameter / 2 * scale), colour, thickness, cv2.LINE_AA, _SHIFT)


def brackets(
    image: Picture,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    colour: Colour,
    *,
    thickness: int = 2,
) -> None:
    """Draw the four corners of a box from its upper left to its lower right corner, px."""
    arm = float(np.min(high - low)) * 0.16
    for sx, sy in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corner = np.array([(low, high)[sx][0], (low, high)[sy][1]])
        dx, dy = (arm if sx == 0 else -arm), (arm if sy == 0 else -arm)
        polyline(image, corner + np.array([[dx, 0.0], [0.0, 0.0], [0.0, dy]]), colour, thickness=thickness)


def shade(
    image: Picture, box: tuple[int, int, int, int], colour: Colour = GROUND, share: float = 0.62
) -> None:
    """Lay a colour over a box (x, y, width, height), px, so that letters on it can be read."""
    x, y, width, height = box
    card = image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    card[:] = (card * (1.0 - share) + np.array(colour) * share).astype(np.uint8)


@lru_cache(maxsize=4096)
def _glyphs(said: str, size: int) -> NDArray[np.float32]:
    """Return the coverage (0..1) of a line of text."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    _, _, right, bottom = font.getbbox(said)
    mask = Image.new("L", (int(right) + 2, int(bottom) + 2), 0)
    ImageDraw.Draw(mask).text((0, 0), said, fill=255, font=font)
    return np.asarray(mask, dtype=np.float32) / 255.0


def width_of(said: str, size: int) -> int:
    """Return the width of a line of text, px."""
    return int(_glyphs(said, size).shape[1]) if said else 0


def write(
    image: Picture, at: tuple[float, float], said: str, colour: Colour, size: int, *, shadow: bool = False
) -> None:
    """Write a line of text, its upper left corner at `at`; what lies outside is cut off."""
    if not said:
        return
    if shadow:
        write(image, (at[0] + 1, at[1] + 1), said, (0, 0, 0), size)
    cover = _glyphs(said, size)
    x, y = round(at[0]), round(at[1])
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + cover.shape[1], image.shape[1]), min(y + cover.shape[0], image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    share = cover[y0 - y : y1 - y, x0 - x : x1 - x, None]
    under = image[y0:y1, x0:x1]
    image[y0:y1, x0:x1] = np.rint(under * (1 - share) + np.array(colour, dtype=np.float32) * share).astype(
        np.uint8
    )
