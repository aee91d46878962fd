"""Light, background and lens of a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.social.avatar.people import Colour

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Light:
    """One distant light, and what comes from all sides.

    Attributes
    ----------
    direction
        From the people towards the light in the camera's frame, (3,) of any length.
    key, ambient
        Strengths, 0..4; a white surface that faces the light shows `key + ambient` (1 is white).
    warmth
        Colour of the key light: -1 bluish, 0 white, 1 like a lamp.

    Raises
    ------
    InputError
        When a number is out of range or not finite.
    """

    direction: tuple[float, float, float] = (0.35, -0.55, -0.75)
    key: float = 0.75
    ambient: float = 0.40
    warmth: float = 0.15

    def __post_init__(self) -> None:
        if len(self.direction) != 3 or not 1e-6 < math.hypot(*self.direction) < math.inf:
            raise InputError(f"direction of the light is {self.direction}: expected three numbers, not all 0")
        _within(self, key=(0, 4), ambient=(0, 4), warmth=(-1, 1))


@dataclass(frozen=True)
class Background:
    """What is behind the people.

    Attributes
    ----------
    kind
        "plain", "gradient" (from `colour` above to `second` below), or "room": cluttered rectangles,
        discs and stripes, other ones for each seed of the picture.
    colour, second
        Colours.

    Raises
    ------
    InputError
        For an unknown kind or a colour out of range.
    """

    kind: Literal["plain", "gradient", "room"] = "gradient"
    colour: Colour = (0.62, 0.64, 0.67)
    second: Colour = (0.40, 0.41, 0.44)

    def __post_init__(self) -> None:
        if self.kind not in ("plain", "gradient", "room"):
            raise InputError(f"background is {self.kind!r}: expected 'plain', 'gradient' or 'room'")
        for colour in (self.colour, self.second):
            if len(colour) != 3 or not all(0 <= c <= 1 for c in colour):
                raise InputError(f"colour is {colour}: expected three numbers from 0 to 1")


@dataclass(frozen=True)
class Lens:
    """What lens and sensor do to the picture.

    Attributes
    ----------
    blur_px
        Standard deviation of the defocus, px.
    motion_px
        Length (right, down) of a straight smear, px.
    noise
        Standard deviation of the sensor's noise, in grey levels (of 255) at medium grey.
    exposure_ev
        Stops above or below the right exposure; what exceeds white is lost.

    Raises
    ------
    InputError
        When a number is out of range or not finite.
    """

    blur_px: float = 0.0
    motion_px: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0
    exposure_ev: float = 0.0

    def __post_init__(self) -> None:
        _within(self, blur_px=(0, 30), noise=(0, 80), exposure_ev=(-8, 8))
        if len(self.motion_px) != 2 or not math.hypot(*self.motion_px) <= 100:
            raise InputError(f"motion_px is {self.motion_px}: expected two numbers, at most 100 px long")


def light_colours(light: Light) -> tuple[NDArray, NDArray]:
    """Return the linear colours (3,) of the key light and of the ambient light."""
    tint = np.array([1.0 + 0.12 * light.warmth, 1.0, 1.0 - 0.22 * light.warmth])
    return light.key * tint, light.ambient * np.array([0.97, 1.0, 1.04])


def paint_background(background: Background, size: tuple[int, int], exposure: float, seed: int) -> Image:
    """Return the picture (H, W, 3) behind the people; an exposure of 1 leaves the colours as they are."""
    width, height = size
    top, bottom = (np.array(c, dtype=np.float32) * 255 for c in (background.colour, background.second))
    if background.kind == "plain":
        bottom = top
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = np.broadcast_to(top * (1 - share) + bottom * share, (height, width, 3)).copy()
    if background.kind == "room":
        _clutter(image, np.random.default_rng([seed, 0x8001]))
    image *= math.sqrt(exposure)  # colours are stored with a gamma of 2, as in the renderer
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def through_lens(image: Image, lens: Lens, seed: int) -> Image:
    """Return the picture blurred and noisy as the lens says (exposure is part of rendering)."""
    length = math.hypot(*lens.motion_px)
    if length >= 0.5:
        image = np.asarray(cv2.filter2D(image, -1, _smear(lens.motion_px, length)), dtype=np.uint8)
    if lens.blur_px > 0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), lens.blur_px), dtype=np.uint8)
    if lens.noise > 0:
        rng = np.random.default_rng([seed, 0x5E50])
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        level = image.astype(np.float32)
        # Shot noise grows with the root of the light; a floor remains in the dark.
        grain *= lens.noise * np.sqrt(0.25 + 1.5 * level / 255)
        image = np.clip(level + grain + 0.5, 0, 255).astype(np.uint8)
    return image


def _smear(motion: tuple[float, float], length: float) -> NDArray[np.float32]:
    side = 2 * math.ceil(length / 2) + 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    for t in np.linspace(-0.5, 0.5, 4 * side):
        kernel[round(middle + t * motion[1]), round(middle + t * motion[0])] += 1
    return kernel / kernel.sum()


def _clutter(image: NDArray[np.float32], rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    unit = max(width, height)
    for _ in range(int(rng.integers(14, 26))):
        colour = tuple(float(c) for c in rng.uniform(25, 235) * rng.uniform(0.55, 1.0, 3))
        x, y = int(rng.uniform(-0.1, 1.0) * width), int(rng.uniform(-0.1, 1.0) * height)
        w, h = (int(v) for v in rng.uniform(0.04, 0.35, 2) * unit)
        kind = rng.random()
        if kind < 0.55:
            cv2.rectangle(image, (x, y), (x + w, y + h), colour, -1)
        elif kind < 0.75:
            cv2.circle(image, (x, y), max(w // 3, 2), colour, -1, cv2.LINE_AA)
        else:
            for k in range(int(rng.integers(3, 8))):
                cv2.line(image, (x + 9 * k, y), (x + 9 * k + w // 4, y + h), colour, 3, cv2.LINE_AA)
    cv2.GaussianBlur(image, (0, 0), max(unit / 500, 0.8), dst=image)


def _within(owner: object, **limits: tuple[float, float]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(owner, name)
        if not low <= value <= high:  # also refuses NaN
            raise InputError(f"{name} is {value}: expected {low} to {high}")
