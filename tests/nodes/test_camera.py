"""The camera node in a process of its own: stamps, descriptions, the end, and what goes wrong."""

from __future__ import annotations

import math
import os

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import Timing
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from fabg.errors import ConfigError, InputError
from fabg.nodes.camera import CameraConfig
from fabg.perception.stereo_calibration import StereoCalibration
from fabg.ros.calibration import camera_info, load_calibration, rectified_infos, stereo_geometry
from fabg.ros.convert import transform_from_message
from fabg.ros.node import LATCHED, NEWEST_ONLY
from fabg.ros.params import build, entries
from fabg.ros.time import seconds
from fabg.ros.transforms import STATIC
from tests.conftest import wait_until
from tests.perception.stereo_scenes import Plane, render, speckled, turned
from tests.perception.test_stereo_calibration import LEFT, RIGHT, exact

CALIBRATION = """
image_width: 640
image_height: 480
camera_name: left
camera_matrix: {rows: 3, cols: 3, data: [600.0, 0.0, 320.5, 0.0, 601.0, 240.5, 0.0, 0.0, 1.0]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.002, 0.0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [590.0, 0, 320.0, 0, 0, 591.0, 240.0, 0, 0, 0, 1, 0]}
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with 40 pictures; the brightness of number k is 5 k."""
    path = tmp_path / "pictures"
    path.mkdir()
    for k in range(40):
        assert cv2.imwrite(str(path / f"{k:03d}.png"), np.full((48, 64, 3), 5 * k, np.uint8))
    return path


def test_the_parameter_file_shows_the_defaults():
    import yaml

    from fabg.paths import share_dir

    values = yaml.safe_load((share_dir() / "config" / "camera.yaml").read_text())["/**"]["ros__parameters"]
    values.pop("autostart")
    flat = {}
    for name, value in values.items():
        flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    assert flat == {e.name: e.default for e in entries(CameraConfig)}
    assert build(CameraConfig, flat) == CameraConfig()


def test_half_a_size_is_refused():
    with pytest.raises(ConfigError, match="width is 640, height 0"):
        CameraConfig(width=640)


def test_the_camera_matrix_follows_from_the_field_of_view():
    info = camera_info((640, 480), 60.0)
    # The ray through the image's right edge leaves at half the field of view.
    edge = math.atan2(640 - 0.5 - info.k[2], info.k[0])
    assert math.degrees(edge) == pytest.approx(30.0)
    assert info.k[0] == info.k[4] and list(info.k[2:6:3]) == [319.5, 239.5]
    assert (info.p[0], info.p[2], info.p[6]) == (info.k[0], info.k[2], info.k[5])


def test_a_calibration_is_scaled_to_the_images(tmp_path):
    path = tmp_path / "left.yaml"
    path.write_text(CALIBRATION)
    whole, half = load_calibration(str(path), (640, 480)), load_calibration(str(path), (320, 240))
    assert list(whole.k) == [600.0, 0.0, 320.5, 0.0, 601.0, 240.5, 0.0, 0.0, 1.0]
    assert list(whole.d) == [0.1, -0.2, 0.001, 0.002, 0.0]
    # Pixel centres lie at whole numbers: u' + 0.5 = (u + 0.5) / 2.
    assert (half.k[0], half.k[4]) == (300.0, 300.5)
    assert (half.k[2] + 0.5, half.k[5] + 0.5) == ((320.5 + 0.5) / 2, (240.5 + 0.5) / 2)
    assert (half.p[0], half.p[2] + 0.5, half.p[10]) == (295.0, (320.0 + 0.5) / 2, 1.0)


@pytest.mark.parametrize(
    "text, said",
    [
        ("[]", "no mapping"),
        ("a: b: c", "cannot be read"),
        (CALIBRATION.replace("image_width: 640", ""), "image_width"),
        (CALIBRATION.replace("image_width: 640", "image_width: 1280"), "aspect ratio"),
        (CALIBRATION.replace("600.0", ".nan"), "camera_matrix"),
        (
            CALIBRATION.replace("camera_matrix: {rows: 3, cols: 3, data: [600.0,", "camera_matrix: {data: ["),
            "8 values",
        ),
    ],
)
def test_an_impossible_calibration_is_refused(tmp_path, text, said):
    path = tmp_path / "left.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_calibration(str(path), (640, 480))
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_calibration(str(tmp_path / "none.yaml"), (640, 480))


def change(probe, transition):
    """Move the camera on in its life cycle."""
    request = ChangeState.Request(transition=Transition(id=transition))
    assert probe.call(ChangeState, "/camera/change_state", request).success


@pytest.mark.graph
def test_images_come_stamped_described_and_end_latched(probe, node_process, folder):
    images = probe.collect(Image, "/camera/left/image_raw", NEWEST_ONLY)
    jpegs = probe.collect(CompressedImage, "/camera/left/image_raw/compressed")
    infos = probe.collect(CameraInfo, "/camera/left/camera_info", NEWEST_ONLY)
    static = probe.collect(TFMessage, "/tf_static", STATIC)
    timings = probe.collect(Timing, "/fabg/timing")
    early = probe.collect(Bool, "/camera/ended", LATCHED)
    node_process(
        "camera", source=str(folder), horizontal_fov_deg=90.0, autostart=False,
        **{"mount.yaw": math.pi / 2, "mount.x": 0.3},
    )  # fmt: skip
    # The pictures last 1.6 s: they begin when both sides have found each other.
    change(probe, Transition.TRANSITION_CONFIGURE)
    topics = ("image_raw", "image_raw/compressed", "camera_info")
    wait_until(lambda: all(probe.node.count_publishers(f"/camera/left/{t}") for t in topics), "the topics")
    began = probe.node.get_clock().now().nanoseconds * 1e-9
    change(probe, Transition.TRANSITION_ACTIVATE)
    wait_until(lambda: early and early[-1].data, "the end")
    late = probe.collect(Bool, "/camera/ended", LATCHED)
    wait_until(lambda: late, "the latched end")
    assert [m.data for m in late] == [True]

    # Discovery takes the first images; nothing may be lost after it.
    wait_until(lambda: jpegs and round(float(_decoded(jpegs[-1]).mean()) / 5) == 39, "the last image")
    numbers = [round(float(np.frombuffer(m.data, np.uint8).mean()) / 5) for m in images]
    assert len(numbers) > 10 and numbers == sorted(set(numbers)) and numbers[-1] == 39
    stamps = [seconds(m.header.stamp) for m in images]
    assert (np.diff(stamps) > 0).all() and began < stamps[0] < began + 30.0
    spacing = np.diff(stamps) / np.diff(numbers)
    assert np.median(spacing) == pytest.approx(0.04, abs=2e-3)
    assert {(m.width, m.height, m.encoding, m.header.frame_id) for m in images} == {
        (64, 48, "rgb8", "camera_left_optical_frame")
    }
    assert {seconds(m.header.stamp) for m in images} & {seconds(m.header.stamp) for m in infos}
    # 90 degrees across 64 px: the focal length is half the width.
    np.testing.assert_allclose(infos[-1].k, [32.0, 0, 31.5, 0, 32.0, 23.5, 0, 0, 1], atol=1e-9)
    assert {m.stage for m in timings} == {"camera"}

    parent, child, pose, _ = transform_from_message(static[0].transforms[0])
    assert (parent, child) == ("base_link", "camera_left_optical_frame")
    # Turned to the left, it looks along the base's y; its right is the base's x; its down is the base's -z.
    np.testing.assert_allclose(pose[:3, :3] @ [0, 0, 1], [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(pose[:3, :3] @ [1, 0, 0], [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(pose[:3, :3] @ [0, 1, 0], [0, 0, -1], atol=1e-9)
    np.testing.assert_allclose(pose[:3, 3], [0.3, 0.0, 0.12], atol=1e-9)


def _decoded(message):
    return cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.graph
def test_a_source_that_goes_away_is_told_and_comes_back(probe, node_process, folder):
    images = probe.collect(Image, "/camera/left/image_raw", NEWEST_ONLY)
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    process = node_process("camera", source=str(folder), loop=True, retry_first_s=0.05, retry_most_s=0.1)
    wait_until(lambda: len(images) > 5, "images")
    os.rename(folder, folder.parent / "unplugged")

    def level(wanted):
        status = [s for m in diagnostics for s in m.status if s.name == "fabg: camera"]
        return status[-1] if status and status[-1].level == wanted else None

    status = wait_until(lambda: level(b"\x02"), "an error in the diagnostics")
    assert "pictures" in status.message
    assert {v.key: v.value for v in status.values}["state"] == "active"
    assert process.poll() is None
    count = len(images)
    os.rename(folder.parent / "unplugged", folder)
    wait_until(lambda: len(images) > count + 5, "images again")
    wait_until(lambda: level(b"\x00"), "health again")
    stamps = [seconds(m.header.stamp) for m in images]
    assert (np.diff(stamps) > 0).all()


@pytest.mark.graph
@pytest.mark.parametrize("source", ["/no/such/film.mp4", "/dev/video93"])
def test_a_source_that_is_not_there_is_told_and_ends_for_good(node_process, tmp_path, source):
    process = node_process("camera", source=source)
    assert process.wait(30.0) == 2, "a status after which the bring-up does not try again"
    log = (tmp_path / "camera.log").read_text()
    assert source in log and "expected a" in log
    assert "Traceback" not in log


@pytest.mark.graph
def test_a_truncated_video_ends_with_a_warning(probe, node_process, tmp_path):
    from tests.perception.test_sources import write_video

    path = write_video(tmp_path / "cut.mp4", 60, size=(320, 240), options={"movflags": "faststart"})
    data = path.read_bytes()
    start = data.index(b"mdat")
    path.write_bytes(data[: start + (len(data) - start) // 2])
    ended = probe.collect(Bool, "/camera/ended", LATCHED)
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    process = node_process("camera", source=str(path))
    wait_until(lambda: ended and ended[-1].data, "the end")
    wait_until(lambda: any("cut off" in s.message for m in diagnostics for s in m.status), "a warning")
    assert process.poll() is None


def test_a_calibration_that_would_be_passed_over_is_refused():
    with pytest.raises(ConfigError, match=r"stereo_calibration is 'zed.yaml', but stereo is none"):
        CameraConfig(stereo_calibration="zed.yaml")
    with pytest.raises(ConfigError, match=r"calibration is 'left.yaml', but stereo is side_by_side"):
        CameraConfig(stereo="side_by_side", calibration="left.yaml")


def test_a_rectified_pair_is_described_so_that_its_geometry_can_be_read_back():
    calibration = exact()
    left, right = rectified_infos(calibration)
    geometry = stereo_geometry(left, right)
    assert geometry.baseline_m == pytest.approx(calibration.baseline_m)
    assert geometry.focal_px == calibration.focal_px == left.k[0]
    assert right.p[3] == pytest.approx(-left.p[0] * calibration.baseline_m) and left.p[3] == 0.0
    for wrong, said in (
        ((right, left), "tells no baseline"),
        ((left, left), "tells no baseline"),
        ((left, camera_info((320, 240), 60.0)), "same size"),
        ((camera_info((640, 480), 60.0), right), "not rectified"),
    ):
        with pytest.raises(InputError, match=said):
            stereo_geometry(*wrong)
    right.p[3] *= -1
    with pytest.raises(InputError, match="swapped"):
        stereo_geometry(left, right)
    right.p[3] = math.nan
    with pytest.raises(InputError, match="NaN"):
        stereo_geometry(left, right)


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory):
    """Return a folder with side-by-side pictures of a card 0.7 m away, each pair as the two real lenses see it."""
    path = tmp_path_factory.mktemp("pairs")
    card = Plane(turned((0, 0, 0), (0.02, 0.0, 0.7)), speckled(3, 0.004))
    images = [
        cv2.resize(render([card], c)[0], (320, 240), interpolation=cv2.INTER_AREA) for c in (LEFT, RIGHT)
    ]
    for k in range(5):
        assert cv2.imwrite(str(path / f"{k}.png"), np.concatenate(images, axis=1))
    return path


@pytest.mark.graph
def test_a_side_by_side_image_becomes_a_rectified_pair(probe, node_process, side_by_side, tmp_path):
    calibration: StereoCalibration = exact().scaled_to((320, 240))
    exact().save(tmp_path / "stereo.yaml")
    images = {s: probe.collect(Image, f"/camera/{s}/image_raw", NEWEST_ONLY) for s in ("left", "right")}
    infos = {s: probe.collect(CameraInfo, f"/camera/{s}/camera_info", NEWEST_ONLY) for s in ("left", "right")}
    static = probe.collect(TFMessage, "/tf_static", STATIC)
    node_process(
        "camera", source=str(side_by_side), loop=True, stereo="side_by_side",
        stereo_calibration=str(tmp_path / "stereo.yaml"),
    )  # fmt: skip

    def pair():
        lefts = {seconds(m.header.stamp): m for m in images["left"]}
        return next(((lefts[t], m) for m in images["right"] if (t := seconds(m.header.stamp)) in lefts), None)

    left, right = wait_until(pair, "a left and a right image with the same stamp")
    wait_until(lambda: infos["left"] and infos["right"], "camera_info of both")
    for side, message in (("left", left), ("right", right)):
        assert message.header.frame_id == f"camera_{side}_optical_frame"
        assert (message.width, message.height) == (320, 240)
        assert infos[side][0].header.frame_id == message.header.frame_id
        assert not any(infos[side][0].d)
    assert infos["right"][0].p[3] == pytest.approx(-calibration.focal_px * calibration.baseline_m)

    # A point of the card lies in the same row of both, shifted by what its distance says.
    one, two = (np.frombuffer(m.data, np.uint8).reshape(240, 320, 3)[:, :, 0] for m in (left, right))
    patch = np.ascontiguousarray(one[100:140, 180:220])
    found = cv2.minMaxLoc(cv2.matchTemplate(np.ascontiguousarray(two), patch, cv2.TM_CCOEFF_NORMED))
    shift = calibration.focal_px * calibration.baseline_m / 0.7
    assert found[1] > 0.8 and found[3][1] == 100
    assert found[3][0] == pytest.approx(180 - shift, abs=1.5)

    transforms = {t.child_frame_id: t for m in static for t in m.transforms}
    parent, _, pose, _ = transform_from_message(transforms["camera_right_optical_frame"])
    assert parent == "camera_left_optical_frame"
    np.testing.assert_allclose(pose[:3, 3], [calibration.baseline_m, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(pose[:3, :3], np.eye(3), atol=1e-9)


@pytest.mark.graph
def test_without_a_calibration_a_pair_is_split_and_the_lack_told(probe, node_process, side_by_side):
    rights = probe.collect(Image, "/camera/right/image_raw", NEWEST_ONLY)
    infos = probe.collect(CameraInfo, "/camera/right/camera_info", NEWEST_ONLY)
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    node_process(
        "camera", source=str(side_by_side), loop=True, stereo="side_by_side", horizontal_fov_deg=90.0
    )
    wait_until(lambda: rights and infos, "the right image")
    whole = cv2.imread(str(side_by_side / "0.png"))
    np.testing.assert_array_equal(
        np.frombuffer(rights[0].data, np.uint8).reshape(240, 320, 3), whole[:, 320:, ::-1]
    )
    assert (infos[0].k[0], infos[0].p[3]) == (pytest.approx(160.0), 0.0)
    said = wait_until(
        lambda: [s for m in diagnostics for s in m.status if "stereo_calibration" in s.message], "a warning"
    )
    assert said[0].level == b"\x01" and "fabg camera calibrate" in said[0].message


@pytest.mark.graph
@pytest.mark.parametrize(
    "size, said",
    [((639, 240), "even width"), ((640, 200), "for 640 x 480 px a camera, the images have 320 x 200")],
)
def test_images_that_are_no_calibrated_pair_end_the_node(node_process, tmp_path, size, said):
    exact().save(tmp_path / "stereo.yaml")
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "0.png"), np.zeros((size[1], size[0], 3), np.uint8))
    process = node_process(
        "camera", source=str(tmp_path / "pictures"), stereo="side_by_side",
        stereo_calibration=str(tmp_path / "stereo.yaml"),
    )  # fmt: skip
    assert process.wait(30.0) == 2
    assert said in (tmp_path / "camera.log").read_text()
