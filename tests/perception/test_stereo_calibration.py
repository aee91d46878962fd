"""Calibration from rendered chessboards: the cameras that rendered them are the truth."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml

from fabg.errors import ConfigError, InputError
from fabg.perception.chessboard import Board, View, choose_views, find_board, same_order, uncovered
from fabg.perception.lens import calibrate_mono
from fabg.perception.stereo_calibration import StereoCalibration, calibrate_stereo
from tests.perception.stereo_scenes import Pinhole, Plane, board_poses, checkered, render, turned

BOARD = Board(9, 6, 0.025)
MIDDLE = (0.1, 0.0625)
LEFT = Pinhole(560.0, 562.0, 318.0, 243.0, (-0.12, 0.05, 0.001, -0.0005, 0.0))
RIGHT = Pinhole(
    556.0, 558.0, 324.0, 236.0, (-0.11, 0.04, -0.0008, 0.0004, 0.0),
    rotation=(0.004, -0.012, 0.006), translation=(-0.0635, 0.0006, 0.0011),
)  # fmt: skip


def corners_of(pose, camera):
    return camera.pixels(BOARD.points_m @ pose[:3, :3].T + pose[:3, 3])


def views_of(poses, camera, noise_px=0.0, seed=0):
    rng = np.random.default_rng(seed)
    made = (corners_of(pose, camera) for pose in poses)
    return [View((c + rng.normal(0, noise_px, c.shape)).astype(np.float32), camera.size) for c in made]


@pytest.fixture(scope="module")
def found():
    """Boards found in rendered pairs, and the poses in which they were rendered."""
    poses = board_poses(10, 1, MIDDLE)
    pairs = []
    for pose in poses:
        plane = Plane(pose, checkered(9, 6, BOARD.square_m))
        views = [find_board(render([plane], camera)[0], BOARD) for camera in (LEFT, RIGHT)]
        assert all(views), "every board is inside both images"
        pairs.append((views[0], same_order(views[1], views[0])))
    return pairs, poses


def test_corners_are_found_to_a_fifth_of_a_pixel(found):
    for pair, pose in zip(*found, strict=True):
        for view, camera in zip(pair, (LEFT, RIGHT), strict=True):
            truth = corners_of(pose, camera)
            if np.abs(view.corners[0] - truth[0]).max() > 5.0:
                truth = truth[::-1]  # counted from the other end of the board
            assert np.median(np.linalg.norm(view.corners - truth, axis=1)) < 0.2


def test_two_cameras_are_recovered_from_rendered_boards(found, tmp_path):
    made, left, right = calibrate_stereo(found[0], BOARD)
    for mono, camera in ((left, LEFT), (right, RIGHT)):
        assert mono.lens.matrix[0, 0] == pytest.approx(camera.fx, rel=0.01)
        assert mono.lens.matrix[1, 1] == pytest.approx(camera.fy, rel=0.01)
        np.testing.assert_allclose(mono.lens.matrix[:2, 2], [camera.cx, camera.cy], atol=4.0)
        assert mono.rms_px < 0.2
    assert made.baseline_m == pytest.approx(np.linalg.norm(RIGHT.translation), rel=0.01)
    np.testing.assert_allclose(cv2.Rodrigues(made.rotation)[0].ravel(), RIGHT.rotation, atol=3e-3)
    assert made.rms_px < 0.3 and made.views == 10

    path = tmp_path / "deep" / "stereo.yaml"
    made.save(path)
    again = StereoCalibration.load(path)
    for name in ("rotation", "translation_m"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    np.testing.assert_array_equal(again.left.matrix, made.left.matrix)
    np.testing.assert_array_equal(again.right.distortion, made.right.distortion)
    assert (again.size, again.rms_px, again.views) == (made.size, made.rms_px, made.views)
    assert os.listdir(path.parent) == ["stereo.yaml"], "no scratch file stays"


def exact():
    """Return the calibration that the two cameras really have."""
    from fabg.perception.lens import Lens

    return StereoCalibration(
        LEFT.size, Lens(LEFT.matrix, np.array(LEFT.distortion)), Lens(RIGHT.matrix, np.array(RIGHT.distortion)),
        RIGHT.from_left, np.array(RIGHT.translation), 0.1, 10,
    )  # fmt: skip


def test_rectified_points_lie_in_one_row_and_their_disparity_tells_the_distance():
    calibration = exact()
    r1, r2, p1, p2 = calibration.rectification
    rng = np.random.default_rng(4)
    points = rng.uniform([-0.3, -0.2, 0.5], [0.3, 0.2, 2.0], (50, 3))
    one, two = (
        cv2.undistortPointsIter(
            camera.pixels(points)[:, None], camera.matrix, np.array(camera.distortion), r, p,
            (cv2.TERM_CRITERIA_COUNT, 50, 0.0),
        )[:, 0]
        for camera, r, p in ((LEFT, r1, p1), (RIGHT, r2, p2))
    )  # fmt: skip
    np.testing.assert_allclose(one[:, 1], two[:, 1], atol=1e-3)
    z_m = (points @ r1.T)[:, 2]
    np.testing.assert_allclose(
        calibration.focal_px * calibration.baseline_m / (one - two)[:, 0], z_m, rtol=1e-4
    )
    # As in camera_info: the fourth number is -fx times the baseline.
    assert p2[0, 3] == pytest.approx(-calibration.focal_px * calibration.baseline_m)


def test_a_calibration_is_scaled_to_images_of_the_same_shape_only():
    calibration = exact()
    half = calibration.scaled_to((320, 240))
    assert half.left.matrix[0, 0] == 280.0 and half.left.matrix[0, 2] + 0.5 == (318.0 + 0.5) / 2
    assert half.baseline_m == calibration.baseline_m
    assert calibration.scaled_to((640, 480)) is calibration
    with pytest.raises(ConfigError, match="640 x 480 px a camera, the images have 672 x 376"):
        calibration.scaled_to((672, 376))


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda v: v.update(format="other"), "no stereo calibration"),
        (lambda v: v["left"]["camera_matrix"]["data"].__setitem__(0, math.nan), "left: camera matrix"),
        (lambda v: v["right"]["camera_matrix"]["data"].pop(), "8 numbers"),
        (lambda v: v["right"].pop("distortion_coefficients"), "distortion is"),
        (lambda v: v.pop("right"), "right is None"),
        (lambda v: v.update(translation_m=[0.0, 0.0, 0.0]), "0.0 m apart"),
        (lambda v: v.update(translation_m=[0.06, 0.0, 0.0]), "swapped"),
        (lambda v: v.update(translation_m=[-0.01, 0.06, 0.0]), "side by side"),
        (lambda v: v.update(translation_m=[-0.06, math.inf, 0.0]), "finite"),
        (lambda v: v.update(translation_m="wide"), "cannot be used"),
        (lambda v: v["rotation"]["data"].__setitem__(0, 2.0), "rotation"),
        (lambda v: v.pop("rms_px"), "rms is nan"),
        (lambda v: v.update(image_width=0), "0 x 480"),
        (lambda v: v.update(image_width="wide"), "whole number"),
    ],
)
def test_an_impossible_calibration_is_refused(tmp_path, change, said):
    path = tmp_path / "stereo.yaml"
    exact().save(path)
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=said) as caught:
        StereoCalibration.load(path)
    assert "stereo.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["[", "[]", "a: b: c"])
def test_a_file_that_is_no_yaml_or_not_there_is_refused(tmp_path, text):
    (tmp_path / "stereo.yaml").write_text(text)
    with pytest.raises(ConfigError, match="fabg camera calibrate"):
        StereoCalibration.load(tmp_path / "stereo.yaml")
    with pytest.raises(ConfigError, match="fabg camera calibrate"):
        StereoCalibration.load(tmp_path / "none.yaml")


def test_a_view_that_does_not_fit_is_left_out():
    views = views_of(board_poses(12, 2, MIDDLE), LEFT, noise_px=0.1)
    moved = views[5].corners.copy()
    moved[20:] += [4.0, -3.0]  # the board moved while the rows were read out
    made = calibrate_mono([*views[:5], replace(views[5], corners=moved), *views[6:]], BOARD)
    assert 5 not in made.used and len(made.used) >= 10
    assert made.lens.matrix[0, 0] == pytest.approx(LEFT.fx, rel=0.01)


def test_views_all_alike_do_not_determine_a_camera():
    flat = [turned((0, 0, 0), (-0.1 + 0.002 * k, -0.06, 0.5)) for k in range(8)]
    with pytest.raises(InputError, match="faces the same way"):
        calibrate_mono(views_of(flat, LEFT, noise_px=0.1), BOARD)
    poses = board_poses(8, 3, MIDDLE)
    normals = np.array([pose[:3, 2] for pose in poses])
    truth = math.degrees(math.acos((normals @ normals.T).min()))
    assert calibrate_mono(views_of(poses, LEFT, noise_px=0.1), BOARD).tilt_deg == pytest.approx(
        truth, abs=1.0
    )


def test_too_few_views_and_swapped_halves_are_told():
    poses = board_poses(8, 5, MIDDLE)
    left, right = views_of(poses, LEFT), views_of(poses, RIGHT)
    with pytest.raises(InputError, match="3 different views"):
        calibrate_mono(left[:3], BOARD)
    with pytest.raises(InputError, match="of one size"):
        calibrate_mono([*left[:4], replace(left[4], size=(320, 240))], BOARD)
    with pytest.raises(InputError, match="swapped"):
        calibrate_stereo(list(zip(right, left, strict=True)), BOARD)
    with pytest.raises(InputError, match="apart"):
        calibrate_stereo(list(zip(left, left, strict=True)), BOARD)


def test_a_board_is_refused_that_cannot_be():
    assert Board.parse(" 9X6 ", 25.0) == BOARD
    for text in ("9", "9x", "nine by six", "9x6x2"):
        with pytest.raises(ConfigError, match="9x6"):
            Board.parse(text, 25.0)
    with pytest.raises(ConfigError, match="2 x 6"):
        Board.parse("2x6", 25.0)
    for square_mm in (0.0, -3.0, math.nan, 5000.0):
        with pytest.raises(ConfigError, match="squares"):
            Board.parse("9x6", square_mm)


@pytest.mark.parametrize("shape", [(1, 1, 3), (480, 640, 3), (40, 3000, 3)])
def test_no_board_is_found_where_none_is(shape):
    noise = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    assert find_board(noise, BOARD) is None


def test_a_large_image_is_searched_reduced_and_refined_in_full():
    big = Pinhole(1650.0, 1650.0, 960.0, 540.0, size=(1920, 1080))
    pose = turned((10, -15, 3), (-0.1, -0.06, 0.5))
    view = find_board(render([Plane(pose, checkered(9, 6, BOARD.square_m))], big, samples=1)[0], BOARD)
    truth = corners_of(pose, big)
    if np.abs(view.corners[0] - truth[0]).max() > 20.0:
        truth = truth[::-1]
    assert np.median(np.linalg.norm(view.corners - truth, axis=1)) < 0.35


def test_the_views_that_differ_most_are_kept():
    near = np.random.default_rng(0).normal(0.5, 1e-3, (30, 5))
    far = np.array([[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 1, 0]], float)
    kept = choose_views(np.concatenate([near, far]), 4)
    assert kept[-3:] == [30, 31, 32] and len(kept) == 4
    assert len(choose_views(np.concatenate([near, far]), 20, apart=0.1)) == 4
    assert choose_views(np.zeros((0, 5)), 3) == []
    assert choose_views(np.zeros((5, 5)), 3) == [0], "equal views are one view"


def test_borders_that_no_board_came_near_are_named():
    def view(x, y):
        return View(np.array([[x, y], [x + 10, y + 10]], np.float32), (640, 480))

    everywhere = [view(x, y) for x in (20, 300, 600) for y in (20, 200, 450)]
    assert uncovered(everywhere) == ()
    assert uncovered([v for v in everywhere if v.box.x < 500]) == ("right",)
    assert uncovered([]) == ("left", "right", "top", "bottom")
