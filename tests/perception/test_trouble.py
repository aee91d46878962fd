from __future__ import annotations

import numpy as np
import pytest

from fabg.perception.trouble import image_trouble


def picture(low: float, high: float, size: tuple[int, int] = (480, 640)) -> np.ndarray:
    """Noise between two grey levels."""
    return np.random.default_rng(0).uniform(low, high, (*size, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (picture(0, 15), "dark image"),
        (np.zeros((480, 640, 3), np.uint8), "dark image"),
        (picture(251, 256), "overexposed image"),
        (np.full((480, 640, 3), 255, np.uint8), "overexposed image"),
        (np.full((480, 640, 3), 120, np.uint8), "without detail"),
        (picture(0, 255, (1, 1)), "tiny image (1 x 1 px)"),
        (picture(0, 255, (500, 2)), "tiny image (2 x 500 px)"),
    ],
)
def test_what_is_wrong_is_named(image, words):
    assert words in image_trouble(image)


@pytest.mark.parametrize(
    "image",
    [
        picture(0, 60),
        picture(20, 235),
        picture(180, 256),
        picture(0, 255, (16, 16)),
        picture(0, 255, (2160, 3840)),
    ],
)
def test_what_can_be_seen_is_no_trouble(image):
    assert image_trouble(image) is None


def test_a_saturated_colour_is_neither_dark_nor_overexposed():
    red = picture(0, 2)
    red[..., 0] = picture(200, 256)[..., 0]
    assert image_trouble(red) is None


def test_a_bright_window_behind_people_is_no_trouble():
    image = picture(30, 120)
    image[:200] = 255
    assert image_trouble(image) is None
