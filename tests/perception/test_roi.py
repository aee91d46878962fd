from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import InputError
from fabg.perception import roi as rois
from fabg.perception.types import Roi

pixels = st.floats(-2000, 2000)
sides = st.floats(0.5, 1500)
rectangles = st.builds(Roi, pixels, pixels, sides, sides)


@given(rectangles, rectangles)
def test_overlap_is_symmetric_and_a_fraction(a, b):
    assert 0.0 <= rois.overlap(a, b) <= 1.0 + 1e-9
    assert rois.overlap(a, b) == pytest.approx(rois.overlap(b, a))


@given(rectangles)
def test_overlap_with_itself_is_one(a):
    assert rois.overlap(a, a) == pytest.approx(1.0)


def test_overlap_of_known_rectangles():
    assert rois.overlap(Roi(0, 0, 2, 2), Roi(1, 1, 2, 2)) == pytest.approx(1 / 7)
    assert rois.overlap(Roi(0, 0, 2, 2), Roi(2, 0, 2, 2)) == 0.0


@given(rectangles, st.floats(1.1, 4.0))
def test_square_holds_the_rectangle_on_whole_pixels(a, scale):
    s = rois.square(a, scale)
    assert s.width == s.height >= 1
    assert all(float(v).is_integer() for v in (s.x, s.y, s.width))
    assert s.width == pytest.approx(scale * max(a.width, a.height), abs=1.0)
    assert math.dist(s.center, a.center) <= 1.0


@given(rectangles, st.floats(-50, 50), st.floats(-50, 50))
def test_moving_keeps_the_size(a, dx, dy):
    b = rois.moved(a, dx, dy)
    assert (b.width, b.height) == (a.width, a.height)
    assert b.center == pytest.approx((a.center[0] + dx, a.center[1] + dy))


@given(st.lists(st.tuples(pixels, pixels), min_size=1, max_size=30))
def test_around_is_the_tightest_box(points):
    array = np.array(points)
    box = rois.around(array)
    assert box.x == array[:, 0].min() and box.x + box.width == pytest.approx(array[:, 0].max())
    assert box.y == array[:, 1].min() and box.y + box.height == pytest.approx(array[:, 1].max())


def coordinates(width: int, height: int) -> np.ndarray:
    """An image whose colours tell the place of each pixel: (x + 1, y + 1, 255)."""
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([x + 1, y + 1, np.full_like(x, 255)]).astype(np.uint8)


@given(st.integers(-60, 110), st.integers(-60, 90), st.integers(1, 80))
def test_cut_shows_the_right_pixels_and_black_beyond_the_border(x, y, side):
    image = coordinates(100, 80)
    wanted = Roi(x, y, side, side)
    if rois.visible_fraction(wanted, 100, 80) == 0:
        with pytest.raises(InputError):
            rois.cut(image, wanted)
        return
    crop = rois.cut(image, wanted)
    assert crop.shape == (side, side, 3) and crop.flags.c_contiguous
    for v, u in ((0, 0), (side - 1, 0), (side // 2, side // 2), (side - 1, side - 1)):
        inside = 0 <= x + u < 100 and 0 <= y + v < 80
        assert tuple(crop[v, u]) == ((x + u + 1, y + v + 1, 255) if inside else (0, 0, 0))


@given(st.integers(-30, 60), st.integers(-30, 40), st.integers(65, 100))
def test_large_crops_are_reduced(x, y, side):
    assert rois.cut(coordinates(100, 80), Roi(x, y, side, side), 64).shape == (64, 64, 3)


def test_visible_fraction():
    assert rois.visible_fraction(Roi(-5, 0, 10, 10), 100, 100) == pytest.approx(0.5)
    assert rois.visible_fraction(Roi(200, 0, 10, 10), 100, 100) == 0.0


def face_with_eyes(right, left) -> np.ndarray:
    landmarks = np.zeros((478, 3))
    for index, eye in ((33, right), (133, right), (362, left), (263, left)):
        landmarks[index, :2] = eye
    return landmarks


eyes = st.tuples(st.floats(0, 600), st.floats(0, 400))


@given(eyes, eyes)
def test_alignment_puts_the_eyes_at_their_places(right, left):
    if math.dist(right, left) < 1.0:
        return
    matrix = rois.alignment(face_with_eyes(right, left), 128)
    np.testing.assert_allclose(matrix @ [*right, 1], np.array(rois.ALIGNED_RIGHT_EYE) * 128, atol=1e-6)
    np.testing.assert_allclose(matrix @ [*left, 1], np.array(rois.ALIGNED_LEFT_EYE) * 128, atol=1e-6)
    # A similarity: no shear, no mirror image.
    np.testing.assert_allclose(matrix[0, :2] @ matrix[1, :2], 0.0, atol=1e-6)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_eyes_on_one_point_cannot_be_aligned():
    with pytest.raises(InputError, match="one point"):
        rois.alignment(face_with_eyes((5, 5), (5, 5)))


def test_crops_have_the_size_that_rep_155_asks_for():
    image = coordinates(100, 80)
    assert rois.cropped(image, Roi(80, 60, 40, 50)).shape == (128, 128, 3)
    assert rois.aligned(image, face_with_eyes((30, 40), (50, 42))).shape == (128, 128, 3)
