"""Stereo matching on rendered planes of known distance, through real lenses, and what goes wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabg.errors import ConfigError, InputError
from fabg.perception.stereo import (
    Rectifier,
    StereoConfig,
    StereoGeometry,
    StereoMatcher,
    look_swapped,
    split_side_by_side,
)
from fabg.perception.types import DepthSource
from tests.perception.stereo_scenes import Pinhole, Plane, plain, render, speckled, turned
from tests.perception.test_stereo_calibration import LEFT, RIGHT, exact

FOCAL = 554.26  # 60 degrees across 640 px


def pair(z_m, baseline_m, *, size=(640, 480), focal=FOCAL):
    """Return (left, right, distances) of a tilted card before a wall."""
    card = Plane(turned((10, 25, 0), (0, 0, z_m)), speckled(1, 0.003 * z_m, (0.2 * z_m, 0.2 * z_m)))
    wall = Plane(turned((0, 0, 0), (0, 0, z_m + 0.8)), speckled(2, 0.006))
    middle = (size[0] - 1) / 2, (size[1] - 1) / 2
    one = Pinhole(focal, focal, *middle, size=size)
    two = Pinhole(focal, focal, *middle, translation=(-baseline_m, 0.0, 0.0), size=size)
    left, z = render([card, wall], one)
    return left, render([card, wall], two)[0], z


@pytest.mark.parametrize("baseline_m", [0.063, 0.12])
@pytest.mark.parametrize("z_m", [0.5, 1.0, 1.5])
def test_distances_are_right_to_two_percent(z_m, baseline_m):
    left, right, truth = pair(z_m, baseline_m)
    depth = StereoMatcher(StereoGeometry(FOCAL, baseline_m)).depth(left, right)
    assert depth.source == DepthSource.STEREO and depth.z_m.dtype == np.float32
    assert depth.z_m.shape == truth.shape
    card = np.abs(truth - z_m) < 0.1
    error = np.abs(depth.z_m - truth)[card] / truth[card]
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmedian(error) < 0.02
    assert np.nanmean(error > 0.1) < 0.05, "few outliers"


def test_the_full_size_is_more_exact_than_half():
    left, right, truth = pair(1.5, 0.063)
    errors = []
    for scale in (0.5, 1.0):
        matcher = StereoMatcher(StereoGeometry(FOCAL, 0.063), StereoConfig(scale=scale))
        errors.append(np.nanmedian(np.abs(matcher.depth(left, right).z_m - truth) / truth))
    assert errors[1] < 0.7 * errors[0]


def test_lenses_are_undone_before_the_match():
    calibration = exact()
    card = Plane(turned((5, -15, 0), (0.02, 0, 0.7)), speckled(3, 0.003))
    image = np.concatenate([render([card], camera)[0] for camera in (LEFT, RIGHT)], axis=1)
    rectifier = Rectifier(calibration)
    left, right = rectifier.rectify(*split_side_by_side(image))
    z_m = StereoMatcher(calibration).depth(left, right).z_m
    # The truth in the rectified camera: the plane, cut by its rays.
    rotation = calibration.rectification[0]
    normal, point = rotation @ card.pose[:3, 2], rotation @ card.pose[:3, 3]
    v, u = np.mgrid[:480, :640].astype(float)
    rays = calibration.camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
    truth = ((normal @ point) / (np.c_[rays, np.ones(len(rays))] @ normal)).reshape(480, 640)
    error = np.abs(z_m - truth) / truth
    assert np.isfinite(error[:, 80:]).mean() > 0.9
    assert np.nanmedian(error) < 0.01
    # Half the size, same calibration: half the focal length.
    half = Rectifier(calibration, (320, 240))
    assert half.calibration.focal_px == pytest.approx(calibration.focal_px / 2, rel=0.01)
    with pytest.raises(InputError, match=r"left image has shape \(480, 640, 3\)"):
        half.rectify(left, right)
    with pytest.raises(ConfigError, match="aspect ratio"):
        Rectifier(calibration, (640, 400))


def test_what_has_no_texture_or_no_partner_has_no_distance():
    bare = Plane(turned((0, 0, 0), (0, 0, 1.0)), plain(130.0))
    one, two = (Pinhole(FOCAL, FOCAL, 319.5, 239.5, translation=(-b, 0.0, 0.0)) for b in (0.0, 0.1))
    left, right = (render([bare], camera)[0] for camera in (one, two))
    matcher = StereoMatcher(StereoGeometry(FOCAL, 0.1))
    assert np.isfinite(matcher.depth(left, right).z_m).mean() < 0.01
    # Left of the right camera's view nothing can be matched.
    left, right, truth = pair(0.5, 0.12)
    z_m = matcher.depth(left, right).z_m
    partner = np.arange(640) - FOCAL * 0.12 / truth
    assert np.isfinite(z_m[partner < -2]).mean() < 0.05
    # Unlike images have nothing in common.
    noise = np.random.default_rng(0).integers(0, 255, (2, 480, 640, 3), dtype=np.uint8)
    assert np.isfinite(matcher.depth(*noise).z_m).mean() < 0.1


def test_swapped_cameras_are_noticed():
    left, right, _ = pair(0.8, 0.1)
    matcher = StereoMatcher(StereoGeometry(FOCAL, 0.1))
    assert np.isfinite(matcher.depth(right, left).z_m).mean() < 0.1, "no distance is made up"
    assert look_swapped(right, left, matcher)
    assert not look_swapped(left, right, matcher)
    assert not look_swapped(left, np.zeros_like(left), matcher)
    with pytest.raises(ConfigError, match="swapped"):
        StereoMatcher(StereoGeometry(FOCAL, -0.1))


@pytest.mark.parametrize("focal, baseline", [(0.0, 0.1), (math.nan, 0.1), (500.0, 0.0), (500.0, math.inf)])
def test_impossible_geometry_is_refused(focal, baseline):
    with pytest.raises(ConfigError, match="expected a finite number > 0"):
        StereoGeometry(focal, baseline)


@pytest.mark.parametrize(
    "values, said",
    [
        ({"scale": 0.0}, "scale is 0.0"),
        ({"scale": math.nan}, "scale is nan"),
        ({"block_px": 4}, "odd"),
        ({"nearest_m": 3.0, "farthest_m": 2.0}, "nearest_m is 3.0"),
        ({"uniqueness": -1}, "uniqueness is -1"),
    ],
)
def test_impossible_configuration_is_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        StereoConfig(**values)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1), (20, 640, 3), (480, 40, 3)])
def test_images_too_small_to_match_have_no_distance(shape):
    image = np.zeros(shape, np.uint8)
    depth = StereoMatcher(StereoGeometry(FOCAL, 0.1)).depth(image, image)
    assert depth.z_m.shape == shape[:2] and np.isnan(depth.z_m).all()


@pytest.mark.parametrize(
    "left, right, said",
    [
        (np.zeros((48, 64, 3), np.uint8), np.zeros((48, 62, 3), np.uint8), "the same size"),
        (np.zeros((48, 64, 4), np.uint8), np.zeros((48, 64, 4), np.uint8), "RGB or grey"),
        (np.zeros((48, 64, 3)), np.zeros((48, 64, 3)), "float64"),
        (np.zeros((0, 64, 3), np.uint8), np.zeros((0, 64, 3), np.uint8), "left image"),
    ],
)
def test_images_that_are_no_pair_are_refused(left, right, said):
    with pytest.raises(InputError, match=said):
        StereoMatcher(StereoGeometry(FOCAL, 0.1)).depth(left, right)


def test_a_side_by_side_image_is_split_in_the_middle():
    image = np.arange(2 * 6 * 3, dtype=np.uint8).reshape(2, 6, 3)
    left, right = split_side_by_side(image)
    np.testing.assert_array_equal(np.concatenate([left, right], axis=1), image)
    assert left.base is not None, "no copy"
    for shape in ((2, 5, 3), (2, 0, 3), (1, 1, 3), (6,)):
        with pytest.raises(InputError, match="even width"):
            split_side_by_side(np.zeros(shape, np.uint8))


def test_grey_images_and_odd_sizes_do():
    left, right, truth = pair(0.8, 0.1, size=(321, 243), focal=277.0)
    z_m = StereoMatcher(StereoGeometry(277.0, 0.1)).depth(left[:, :, 0], right[:, :, 0]).z_m
    assert z_m.shape == (243, 321)
    assert np.nanmedian(np.abs(z_m - truth) / truth) < 0.03


def test_the_reduced_depth_belongs_to_the_reduced_image():
    left, right, truth = pair(0.8, 0.1)
    matcher = StereoMatcher(StereoGeometry(FOCAL, 0.1))
    small, full = matcher.depth(left, right, full_size=False).z_m, matcher.depth(left, right).z_m
    assert small.shape == (240, 320)
    np.testing.assert_array_equal(np.kron(small, np.ones((2, 2), np.float32)), full)
