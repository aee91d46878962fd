"""Distances out of depth images and known sizes, against scenes whose distances are known by construction."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import ConfigError, InputError
from fabg.geometry import pose, rotation_from_ypr
from fabg.perception.depth import (
    _SURFACE,
    IRIS_DIAMETER_M,
    HeadSizes,
    distance_at,
    face_distance,
    iris_distance,
    with_depth,
)
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, DepthSource, Face, Roi

CAMERA = Camera.from_fov(640, 480, 60.0)
FRONTAL = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])


def depth_of(z_m, source=DepthSource.SENSOR):
    return Depth(np.asarray(z_m, dtype=np.float32), source)


def face_at(position, *, ypr=(0.0, 0.0, 0.0), size=1.0):
    """Return a face whose rigid points are projected from a head `size` times the average, and those points."""
    rotation = FRONTAL @ rotation_from_ypr(*ypr)
    points = np.asarray(position) + size * (_SURFACE[:, 1:] / 100.0) @ rotation.T
    landmarks = np.zeros((478, 3))
    corners = np.asarray(position) + size * np.array([[-0.026, -0.0445, 0.002], [-0.026, 0.0445, 0.002]]) @ (
        rotation.T
    )
    for index, point in [
        *zip(_SURFACE[:, 0].astype(int), points, strict=True),
        *zip((33, 263), corners, strict=True),
    ]:
        landmarks[index, :2] = (
            CAMERA.fx * point[0] / point[2] + CAMERA.cx,
            CAMERA.fy * point[1] / point[2] + CAMERA.cy,
        )
    # A camera alone sees the head as an average one, nearer or farther.
    believed = pose(rotation, np.asarray(position) / size)
    return Face("f1", Roi(0, 0, 1, 1), 0.9, landmarks, np.zeros(52), believed), points


def paint(points, landmarks, shape=(480, 640), background=3.0):
    """Return a depth image with a disc at each landmark, as far away as its point."""
    z_m = np.full(shape, background, np.float32)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for index, point in sorted(zip(_SURFACE[:, 0].astype(int), points, strict=True), key=lambda e: -e[1][2]):
        x, y = landmarks[index, :2]
        z_m[(columns - x) ** 2 + (rows - y) ** 2 <= 36.0] = point[2]
    return z_m


@given(
    st.floats(-0.5, 31.49),
    st.floats(-0.5, 23.49),
    st.floats(0.0, 12.0),
    st.floats(0.0, 1.0),
    st.integers(0, 999),
)
def test_the_median_is_that_of_the_disc(x, y, radius, valid, seed):
    rng = np.random.default_rng(seed)
    z_m = rng.uniform(0.3, 3.0, (24, 32)).astype(np.float32)
    z_m[rng.random(z_m.shape) > valid] = rng.choice([np.nan, np.inf, 0.0, -1.0])
    inside = [
        z_m[row, column]
        for row in range(24)
        for column in range(32)
        if (column - x) ** 2 + (row - y) ** 2 <= max(radius**2, 0.5) and z_m[row, column] > 0
        and np.isfinite(z_m[row, column])
    ]  # fmt: skip
    found = distance_at(depth_of(z_m), (x, y), radius, min_valid=0.0)
    if found is not None:
        if radius >= math.sqrt(0.5):
            assert found == pytest.approx(np.median(inside))
        else:  # the nearest pixel, or what lies between several that are as near
            assert min(inside) - 1e-6 <= found <= max(inside) + 1e-6
    else:
        assert not inside or radius < math.sqrt(0.5)


def test_a_disc_with_too_few_distances_has_none():
    z_m = np.full((20, 20), np.nan, np.float32)
    z_m[10, 8:13] = 0.8
    depth = depth_of(z_m)
    assert distance_at(depth, (10, 10), 4.0) is None
    assert distance_at(depth, (10, 10), 4.0, min_valid=0.05) == pytest.approx(0.8)
    # At the border most of the disc is outside.
    whole = depth_of(np.full((20, 20), 0.8))
    assert distance_at(whole, (0, 0), 6.0, min_valid=0.5) is None
    assert distance_at(whole, (0, 0), 6.0, min_valid=0.2) == pytest.approx(0.8)
    assert distance_at(whole, (-3, 0), 6.0, min_valid=0.0) is None
    assert distance_at(depth_of([[0.7]]), (0, 0), 0.0) == pytest.approx(0.7)


def test_a_low_quantile_sees_what_is_narrow_before_what_is_behind():
    z_m = np.full((41, 41), 2.0, np.float32)
    z_m[:, 18:23] = 0.6  # a finger: a third of the disc
    assert distance_at(depth_of(z_m), (20, 20), 10.0) == pytest.approx(2.0)
    assert distance_at(depth_of(z_m), (20, 20), 10.0, quantile=0.2) == pytest.approx(0.6)


@pytest.mark.parametrize("px", [(math.nan, 3), (1, 2, 3), (math.inf, 0), "ab"])
def test_a_pixel_that_is_none_is_refused(px):
    with pytest.raises((InputError, ValueError)):
        distance_at(depth_of(np.ones((4, 4))), px, 1.0)


def test_wrong_arguments_quote_the_value():
    depth = depth_of(np.ones((4, 4)))
    with pytest.raises(ConfigError, match="radius is -1"):
        distance_at(depth, (1, 1), -1.0)
    with pytest.raises(ConfigError, match="min_valid is 2"):
        distance_at(depth, (1, 1), 1.0, min_valid=2.0)
    with pytest.raises(InputError, match=r"\(2, 2, 2\)"):
        distance_at(depth_of(np.ones((2, 2, 2))), (1, 1), 1.0)
    with pytest.raises(InputError, match="SENSOR or STEREO"):
        distance_at(depth_of(np.ones((2, 2)), DepthSource.MONOCULAR), (1, 1), 1.0)
    with pytest.raises(ConfigError, match=r"max_factor is 0\.5"):
        with_depth(face_at((0, 0, 1))[0], depth, max_factor=0.5)


@pytest.mark.parametrize("ypr_deg", [(0, 0, 0), (35, 0, 0), (-20, 15, 10), (0, -20, -20)])
@pytest.mark.parametrize("size", [0.85, 1.0, 1.15])
@pytest.mark.parametrize("position", [(0.0, 0.0, 0.5), (0.3, -0.1, 1.2)])
def test_the_sellion_is_found_whatever_the_size_of_the_head(ypr_deg, size, position):
    face, points = face_at(position, ypr=np.radians(ypr_deg), size=size)
    depth = depth_of(paint(points, face.landmarks), DepthSource.STEREO)
    assert face_distance(face, depth) == pytest.approx(position[2], rel=2e-3)
    moved = with_depth(face, depth)
    np.testing.assert_allclose(moved.pose[:3, 3], position, rtol=3e-3, atol=1e-6)
    np.testing.assert_array_equal(moved.pose[:3, :3], face.pose[:3, :3])
    assert moved.depth_source == DepthSource.STEREO
    assert moved.landmarks is face.landmarks and face.depth_source == DepthSource.MONOCULAR


def test_hair_and_a_hand_before_the_face_do_not_count():
    face, points = face_at((0.0, 0.0, 0.8))
    z_m = paint(points, face.landmarks)
    for index in (10, 67, 297, 117, 119):  # a third of the points
        x, y = np.rint(face.landmarks[index, :2]).astype(int)
        z_m[y - 6 : y + 7, x - 6 : x + 7] = 0.6
    assert face_distance(face, depth_of(z_m)) == pytest.approx(0.8, rel=2e-3)


def test_what_cannot_be_the_face_leaves_it_as_it_was():
    face, points = face_at((0.1, 0.0, 0.9))
    right = paint(points, face.landmarks)
    holes = np.full_like(right, np.nan)
    assert with_depth(face, None) is face
    assert with_depth(face, depth_of(holes)) is face
    assert with_depth(face, depth_of(np.zeros((1, 1)))) is face
    assert with_depth(face, depth_of(np.full_like(right, 3.0))) is face, "a wall behind is not the face"
    assert with_depth(face, depth_of(np.full_like(right, 3.0)), max_factor=4.0).pose[2, 3] > 2.9
    scattered = np.random.default_rng(3).uniform(0.5, 3.0, right.shape)
    assert with_depth(face, depth_of(scattered)) is face, "points that contradict each other are no face"


def test_a_head_that_was_measured_keeps_its_size_without_depth():
    sizes = HeadSizes()
    near, points = face_at((0.1, 0.0, 0.8), size=0.85)
    assert sizes.placed(near, None) is near, "nothing is known yet"
    measured = sizes.placed(near, depth_of(paint(points, near.landmarks)))
    assert measured.depth_source == DepthSource.SENSOR
    assert measured.pose[2, 3] == pytest.approx(0.8, rel=3e-3)
    # The same small head, now farther, without depth: a head of average size would be at 1.41 m.
    far, _ = face_at((0.0, 0.1, 1.2), size=0.85)
    assert far.pose[2, 3] == pytest.approx(1.2 / 0.85)
    remembered = sizes.placed(far, None)
    np.testing.assert_allclose(remembered.pose[:3, 3], [0.0, 0.1, 1.2], rtol=3e-3, atol=1e-9)
    assert remembered.depth_source == DepthSource.MONOCULAR
    # What cannot be the face teaches nothing.
    wall = depth_of(np.full((480, 640), 5.0))
    assert sizes.placed(far, wall).pose[2, 3] == remembered.pose[2, 3]
    other = replace(far, id="f2")
    assert sizes.placed(other, None) is other, "another head has another size"
    sizes.keep(["f2"])
    assert sizes.placed(far, None) is far
    with pytest.raises(ConfigError, match="memory is 0"):
        HeadSizes(memory=0)


def test_a_face_with_nan_is_refused():
    face, points = face_at((0.0, 0.0, 0.8))
    depth = depth_of(paint(points, face.landmarks))
    broken = face.landmarks.copy()
    broken[6, 0] = np.nan
    with pytest.raises(InputError, match="'f1' holds NaN"):
        with_depth(replace(face, landmarks=broken), depth)
    with pytest.raises(InputError, match="68 landmarks"):
        with_depth(replace(face, landmarks=broken[:68]), depth)


def irises(camera, z_m, yaw_deg=0.0):
    """Return landmarks with both irises turned by a yaw, seen from `z_m`."""
    landmarks = np.full((478, 3), 100.0)
    half = IRIS_DIAMETER_M / 2
    wide = half * math.cos(math.radians(yaw_deg))
    for first, x in ((468, -0.031), (473, 0.031)):
        ring = [(0, 0), (wide, 0), (0, -half), (-wide, 0), (0, half)]
        for k, (dx, dy) in enumerate(ring):
            landmarks[first + k, :2] = (
                camera.fx * (x + dx) / z_m + camera.cx,
                camera.fy * dy / z_m + camera.cy,
            )
    return landmarks


@pytest.mark.parametrize("camera", [CAMERA, Camera(600.0, 400.0, 319.5, 239.5)])
@pytest.mark.parametrize("z_m, yaw_deg", [(0.4, 0.0), (1.0, 0.0), (0.7, 30.0)])
def test_the_iris_tells_the_distance(camera, z_m, yaw_deg):
    assert iris_distance(irises(camera, z_m, yaw_deg), camera) == pytest.approx(z_m, rel=1e-6)


def test_an_iris_that_is_not_there_tells_nothing():
    assert iris_distance(irises(CAMERA, 1.0)[:468], CAMERA) is None
    assert iris_distance(irises(CAMERA, 50.0), CAMERA) is None
    broken = irises(CAMERA, 1.0)
    broken[469] = np.nan
    with pytest.raises(InputError, match="irises"):
        iris_distance(broken, CAMERA)
