"""`fabg camera`: from pictures of a board to a calibration that says what the rendering camera was."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from fabg.camera_cli import camera_app
from fabg.errors import ConfigError, InputError
from fabg.perception import board_search
from fabg.perception.board_search import Search, advice, images_of
from fabg.perception.chessboard import Board, View
from fabg.perception.lens import calibrate_mono
from fabg.perception.sources import SourceLost
from fabg.perception.stereo_calibration import StereoCalibration
from fabg.perception.types import Frame
from tests.perception.stereo_scenes import Plane, board_poses, checkered, render
from tests.perception.test_stereo_calibration import BOARD, LEFT, MIDDLE, RIGHT, views_of


@pytest.fixture(scope="module")
def pairs():
    """Ten pairs of pictures of a board, as two lenses see it."""
    planes = [Plane(pose, checkered(9, 6, 0.025)) for pose in board_poses(10, 11, MIDDLE)]
    return [tuple(render([plane], camera)[0] for camera in (LEFT, RIGHT)) for plane in planes]


def run(*arguments):
    """Run `fabg camera`; errors come out as they are raised, for `fabg` to print."""
    result = CliRunner().invoke(camera_app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def folder_of(path, images):
    path.mkdir()
    for k, image in enumerate(images):
        assert cv2.imwrite(str(path / f"{k:02d}.png"), image)
    return path


def test_two_cameras_side_by_side(pairs, tmp_path):
    folder = folder_of(tmp_path / "pairs", [np.concatenate(pair, axis=1) for pair in pairs])
    half = pairs[0][0].copy()
    cv2.imwrite(str(folder / "90.png"), np.concatenate([half, np.full_like(half, 90)], axis=1))
    out = tmp_path / "stereo.yaml"
    result = run("calibrate", folder, "--square-mm", 25, "--stereo", "side-by-side", "--out", out)
    assert result.exit_code == 0
    assert "10 of 11 images show the whole board" in result.stdout and "1 images show" in result.stdout
    said = re.search(
        r"pair: (\d+) views, reprojection error ([\d.]+) px, baseline ([\d.]+) mm", result.stdout
    )
    assert float(said[2]) < 0.5
    made = StereoCalibration.load(out)
    truth = np.linalg.norm(RIGHT.translation)
    assert made.baseline_m == pytest.approx(truth, rel=0.01)
    assert float(said[3]) == pytest.approx(truth * 1e3, rel=0.01)
    assert made.left.matrix[0, 0] == pytest.approx(LEFT.fx, rel=0.01)
    assert made.right.matrix[0, 0] == pytest.approx(RIGHT.fx, rel=0.01)
    assert result.stdout.splitlines()[-1] == str(out)


def test_one_camera_in_the_format_of_ros(pairs, tmp_path):
    from fabg.ros.calibration import load_calibration

    folder = folder_of(tmp_path / "left", [left for left, _ in pairs])
    (folder / "broken.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "zz_small.png"), pairs[0][0][::2, ::2])
    out = tmp_path / "left.yaml"
    result = run("calibrate", folder, "--square-mm", 25, "--board", "9x6", "--out", out)
    assert "1 pictures cannot be read" in result.stdout and "another size" in result.stdout
    # What the camera node will make of it.
    info = load_calibration(str(out), (640, 480))
    assert info.k[0] == pytest.approx(LEFT.fx, rel=0.01) and info.k[4] == pytest.approx(LEFT.fy, rel=0.01)
    assert info.d[0] == pytest.approx(LEFT.distortion[0], abs=0.02) and info.distortion_model == "plumb_bob"
    text = out.read_text()
    assert "reprojection error" in text.splitlines()[0]
    assert set(yaml.safe_load(text)) == {
        "image_width", "image_height", "camera_name", "camera_matrix", "distortion_model",
        "distortion_coefficients", "rectification_matrix", "projection_matrix",
    }  # fmt: skip
    assert "advice: only" in result.stdout, "ten views are few"


def test_what_cannot_be_calibrated_is_told_and_nothing_written(pairs, tmp_path):
    out = tmp_path / "camera.yaml"
    grey = folder_of(tmp_path / "grey", [np.full((48, 64, 3), 90, np.uint8)] * 3)
    few = folder_of(tmp_path / "few", [pairs[0][0], pairs[1][0], pairs[2][0]])
    alike = folder_of(tmp_path / "alike", [pairs[0][0]] * 6)
    odd = folder_of(tmp_path / "odd", [np.zeros((48, 63, 3), np.uint8)])
    swapped = folder_of(tmp_path / "swapped", [np.concatenate(p[::-1], axis=1) for p in pairs[:6]])
    empty = tmp_path / "empty"
    empty.mkdir()
    stereo = ("--stereo", "side-by-side")
    for source, more, error, said in (
        (grey, (), InputError, "9 x 6 inner corners"),
        (few, (), InputError, "3 different views"),
        (alike, (), InputError, "1 different views"),
        (odd, stereo, InputError, "even width"),
        (swapped, stereo, InputError, "swapped"),
        (empty, (), InputError, "no picture"),
        (tmp_path / "none", (), InputError, "no image source"),
        (few, ("--board", "nine"), ConfigError, "9x6"),
        (few, ("--size", "wide"), ConfigError, "1344x376"),
    ):
        with pytest.raises(error, match=said):
            run("calibrate", source, "--square-mm", 25, "--out", out, *more)
    with pytest.raises(ConfigError, match="-3"):
        run("calibrate", few, "--square-mm", -3, "--out", out)
    with pytest.raises(ConfigError, match="is a folder"):
        run("calibrate", few, "--square-mm", 25, "--out", tmp_path)
    assert not out.exists() and not list(tmp_path.glob(".camera*"))


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        run("board", "--out", tmp_path / "file" / "board.svg")


def test_help_teaches():
    text = CliRunner().invoke(camera_app, ["calibrate", "--help"]).stdout
    for word in ("--square-mm", "--stereo", "tilted", "camera.calibration", "20 pictures"):
        assert word in text


def test_a_printed_board_has_the_size_that_was_asked_for(tmp_path):
    run("board", "--out", tmp_path / "board.svg", "--board", "7x5", "--square-mm", 30)
    text = (tmp_path / "board.svg").read_text()
    # Drawn here again from its rectangles, one pixel a millimetre.
    width, height = (float(v) for v in re.search(r'width="([\d.]+)mm" height="([\d.]+)mm"', text).groups())
    assert (width, height) == (9 * 30, 7 * 30)
    picture = np.full((round(height) * 2, round(width) * 2), 255, np.uint8)
    for x, y, w, h in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', text):
        left, top, right, bottom = (
            round(2 * v) for v in (float(x), float(y), float(x) + float(w), float(y) + float(h))
        )
        picture[top:bottom, left:right] = 0
    view = board_search.find_board(picture, Board(7, 5, 0.03))
    spacing = np.linalg.norm(np.diff(view.corners.reshape(5, 7, 2), axis=1), axis=-1)
    np.testing.assert_allclose(spacing, 60.0, atol=0.5)


def test_a_default_board_fits_a_sheet_of_a4(tmp_path):
    run("board", "--out", tmp_path / "board.svg")
    width, height = re.search(
        r'width="(\d+)mm" height="(\d+)mm"', (tmp_path / "board.svg").read_text()
    ).groups()
    assert int(width) <= 297 and int(height) <= 210


class Live:
    """A device that shows one picture after the other, then is unplugged."""

    def __init__(self, images):
        self._images = iter(images)
        self._count = 0
        self.closed = False

    def read(self):
        self._count += 1
        image = next(self._images, None)
        if image is None:
            raise SourceLost("the camera has gone")
        return Frame(image, 100.0 + 0.04 * self._count)

    def close(self):
        self.closed = True


def test_a_device_is_watched_until_there_is_enough(monkeypatch):
    source = Live([np.zeros((4, 4, 3), np.uint8)] * 50)
    monkeypatch.setattr(board_search, "open_source", lambda *a, **k: source)
    seen = list(images_of("0", enough=lambda elapsed_s: elapsed_s > 0.35))
    assert len(seen) == 9 and source.closed


def test_an_unplugged_device_leaves_what_was_seen(monkeypatch, pairs, tmp_path):
    source = Live([left for left, _ in pairs])
    monkeypatch.setattr(board_search, "open_source", lambda *a, **k: source)
    result = run("calibrate", "0", "--square-mm", 25, "--out", tmp_path / "left.yaml")
    assert "the camera has gone" in result.stdout and (tmp_path / "left.yaml").exists()


def test_of_a_video_neighbours_are_passed_over(monkeypatch):
    source = Live([np.zeros((4, 4, 3), np.uint8)] * 50)
    frames = source.read
    source.read = lambda: frames() if source._count < 50 else None
    monkeypatch.setattr(board_search, "open_source", lambda *a, **k: source)
    names = [image.name for image in images_of("talk.mp4", every_s=0.5)]
    assert len(names) == 4 and names[0] == "0.0 s" and names[-1] in ("1.5 s", "1.6 s")


def test_good_views_need_no_advice_and_bad_ones_get_theirs():
    poses = []
    for seed in range(40):
        pose = board_poses(1, seed, MIDDLE, distance_m=0.32)[0]
        poses.append(pose)
    views = [
        v for v in views_of(poses, LEFT, 0.05) if (v.corners > 2).all() and (v.corners < [637, 477]).all()
    ]
    corners = [
        View((views[0].corners - views[0].corners.min(axis=0) + shift).astype(np.float32), views[0].size)
        for shift in ([4, 4], [300, 4], [4, 200], [300, 200])
    ]
    made = calibrate_mono(views, BOARD)
    assert made.tilt_deg > 40
    assert advice([*views, *corners], 40, made) == ()
    few = views[:6]
    small = [View(v.corners * np.float32(0.2) + 250, v.size) for v in few]
    said = " ".join(advice(small, 30, made.__class__(made.size, made.lens, 1.2, 0.05, 12.0, tuple(range(6)))))
    for word in ("1.20 px", "only 6 different views", "30 images most are alike", "hardly tilted (12",
                 "left, right, top, bottom", "bring it nearer", "uncertain by 5.0%"):  # fmt: skip
        assert word in said


def test_a_search_counts_what_it_saw():
    search = Search(BOARD)
    assert not search.look(None) and not search.look(np.zeros((60, 80, 3), np.uint8))
    assert not search.look(np.zeros((60, 81, 3), np.uint8))
    assert (search.searched, search.unreadable, search.other_size) == (2, 1, 1)
    assert search.varied(5) == []
