"""Depth over ROS: images of both kinds read and matched by stamp."""

from __future__ import annotations

import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import Timing
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from fabg.errors import ConfigError, InputError
from fabg.nodes.depth import DepthConfig
from fabg.perception.stereo import StereoConfig
from fabg.perception.types import DepthSource
from fabg.ros.calibration import camera_info
from fabg.ros.depth import SENSOR_TOPIC, STEREO_TOPIC, DepthInput, depth_from_message, fitted_to
from fabg.ros.health import Health
from fabg.ros.image import ImageConverter, depth_to_message
from fabg.ros.node import NEWEST_ONLY
from fabg.ros.pairing import Pairing
from fabg.ros.params import entries
from fabg.ros.time import seconds, stamp
from tests.conftest import wait_until
from tests.perception.stereo_scenes import Plane, render, speckled, turned
from tests.perception.test_stereo import pair as rendered_pair
from tests.perception.test_stereo_calibration import LEFT, RIGHT, exact


def depth_message(z_m, stamp_s=0.0, encoding="32FC1", *, pad=0, big=False):
    """Return a depth image with `pad` unused bytes after each row."""
    kind = {"32FC1": "f4", "16UC1": "u2", "mono16": "u2"}[encoding]
    values = np.asarray(z_m, np.float64)
    if kind == "u2":
        values = np.rint(np.nan_to_num(values, nan=0.0) * 1000.0)
    rows = values.astype((">" if big else "<") + kind)
    height, width = rows.shape
    message = Image(height=height, width=width, encoding=encoding, is_bigendian=int(big))
    message.step = width * rows.itemsize + pad
    message.data = array.array("B", b"".join(row.tobytes() + b"\xff" * pad for row in rows))
    message.header.stamp = stamp(stamp_s)
    return message


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1", "mono16"])
@pytest.mark.parametrize("pad, big", [(0, False), (3, True)])
def test_both_units_become_metres(encoding, pad, big):
    z_m = np.array([[0.5, np.nan, 1.234], [2.0, 0.0, 10.0]])
    read = depth_from_message(depth_message(z_m, encoding=encoding, pad=pad, big=big))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, [[0.5, np.nan, 1.234], [2.0, np.nan, 10.0]], rtol=1e-6)


def test_our_own_message_is_read_back_and_infinity_is_unknown():
    z_m = np.array([[0.5, np.inf], [-1.0, 1.5]], np.float32)
    read = depth_from_message(depth_to_message(z_m, stamp(0.0), "camera_left_optical_frame"))
    np.testing.assert_array_equal(read, np.array([[0.5, np.nan], [np.nan, 1.5]], np.float32))


def spoilt(**changes):
    message = depth_message(np.ones((2, 3)))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "message, said",
    [
        (spoilt(encoding="rgb8"), "rgb8"),
        (spoilt(width=0), "0 x 2"),
        (spoilt(step=11), "step 11"),
        (spoilt(data=array.array("B", b"1234")), "4 bytes"),
    ],
)
def test_what_is_no_depth_image_is_refused(message, said):
    with pytest.raises(InputError, match=said):
        depth_from_message(message)


def test_depth_is_resampled_by_whole_factors_only():
    z_m = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert fitted_to(z_m, (4, 3)) is z_m
    np.testing.assert_array_equal(fitted_to(z_m, (8, 6)), np.kron(z_m, np.ones((2, 2))))
    np.testing.assert_array_equal(fitted_to(fitted_to(z_m, (12, 9)), (4, 3)), z_m)
    assert (
        fitted_to(z_m, (8, 9)) is None and fitted_to(z_m, (6, 5)) is None and fitted_to(z_m, (2, 1)) is None
    )


@pytest.fixture
def fake():
    """A node whose topics the test fills by hand."""
    callbacks = {}
    node = SimpleNamespace(
        health=Health(), subscribe=lambda kind, topic, callback, qos: callbacks.update({topic: callback})
    )
    return SimpleNamespace(node=node, send=lambda topic, message: callbacks[topic](message))


def test_the_nearest_in_time_is_found_and_a_sensor_preferred(fake):
    depth = DepthInput(fake.node)
    assert depth.at(1.0) is None
    for k in range(3):
        fake.send(STEREO_TOPIC, depth_message([[1.0 + k]], 10.0 + 0.1 * k))
    found = depth.at(10.12)
    assert (found.z_m[0, 0], found.source) == (2.0, DepthSource.STEREO)
    assert depth.at(10.05).z_m[0, 0] == 2.0, "of two equally near ones the newer"
    assert depth.at(10.5) is None and depth.at(10.5, 0.4).z_m[0, 0] == 3.0
    fake.send(SENSOR_TOPIC, depth_message([[7.0]], 10.15))
    assert depth.at(10.1).source == DepthSource.SENSOR
    assert depth.at(9.9).source == DepthSource.STEREO, "the sensor's is too old"


def test_depth_comes_in_the_size_of_the_image(fake):
    depth = DepthInput(fake.node)
    fake.send(STEREO_TOPIC, depth_message(np.full((2, 3), 0.8), 1.0))
    assert depth.at(1.0, size=(6, 4)).z_m.shape == (4, 6)
    assert depth.at(1.0, size=(5, 4)) is None
    assert fake.node.health.counts["bad_depth"] == 1
    assert "3 x 2 px does not fit images of 5 x 4" in fake.node.health.summary()[1]


def test_a_wrong_depth_image_is_counted_told_and_forgotten_with_the_next_good_one(fake):
    depth = DepthInput(fake.node)
    fake.send(SENSOR_TOPIC, spoilt(encoding="rgb8"))
    assert fake.node.health.counts["bad_depth"] == 1
    assert "rgb8" in fake.node.health.summary()[1] and depth.at(0.0) is None
    fake.send(SENSOR_TOPIC, depth_message([[1.0]], 1.0))
    assert fake.node.health.summary() == (0, "running")


def test_a_recording_that_begins_anew_is_not_mixed_with_its_past(fake):
    depth = DepthInput(fake.node)
    fake.send(SENSOR_TOPIC, depth_message([[1.0]], 50.0))
    fake.send(SENSOR_TOPIC, depth_message([[2.0]], 1.0))
    assert depth.at(50.0) is None and depth.at(1.0).z_m[0, 0] == 2.0


def test_the_parameter_file_shows_the_defaults():
    import yaml

    from fabg.paths import share_dir

    values = yaml.safe_load((share_dir() / "config" / "depth.yaml").read_text())["/**"]["ros__parameters"]
    values.pop("autostart")
    assert values == {e.name: e.default for e in entries(DepthConfig)}
    assert DepthConfig().matching() == StereoConfig()
    with pytest.raises(ConfigError, match="odd"):
        DepthConfig(block_px=4)


def image_at(stamp_s, name=""):
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp(stamp_s)), name=name)


def test_messages_with_equal_stamps_are_paired_whoever_comes_first():
    pairing = Pairing()
    left, right = image_at(1.0, "left"), image_at(1.0, "right")
    assert pairing.add(0, left) is None and pairing.add(1, right) == (left, right)
    left, right = image_at(2.0, "left"), image_at(2.0, "right")
    assert pairing.add(1, right) is None and pairing.add(0, left) == (left, right)
    assert pairing.unmatched == 0


def test_what_finds_no_partner_is_let_go_and_counted():
    pairing = Pairing()
    for k in range(10):
        assert pairing.add(0, image_at(float(k))) is None
    assert pairing.unmatched == 6, "four are kept"
    assert pairing.add(1, image_at(8.0)) is not None
    assert pairing.unmatched == 8, "those before the pair will have none"
    assert pairing.add(1, image_at(9.0)) is not None
    # The recording begins anew.
    pairing.add(0, image_at(20.0))
    assert pairing.add(0, image_at(1.0)) is None and pairing.add(1, image_at(1.0)) is not None
    assert pairing.unmatched == 9


class Pair:
    """Publishes a rendered pair again and again, each time with a stamp of its own."""

    def __init__(self, probe, left, right, baseline_m, focal):
        self._images = [
            (probe.publisher(Image, f"/camera/{side}/image_raw", NEWEST_ONLY), image)
            for side, image in (("left", left), ("right", right))
        ]
        self._infos = [
            (probe.publisher(CameraInfo, f"/camera/{side}/camera_info", NEWEST_ONLY), baseline)
            for side, baseline in (("left", 0.0), ("right", baseline_m))
        ]
        self._focal, self._converter, self.sent = focal, ImageConverter(), []

    def send(self, sides=(0, 1)):
        at = stamp(1000.0 + 0.04 * len(self.sent))
        self.sent.append(seconds(at))
        for side in sides:
            publisher, baseline = self._infos[side]
            width, height = self._images[0][1].shape[1::-1]
            info = camera_info((width, height), 60.0)
            info.k[0] = info.k[4] = info.p[0] = info.p[5] = self._focal
            info.p[3] = -self._focal * baseline
            publisher.publish(info)
            publisher, image = self._images[side]
            publisher.publish(
                self._converter.to_message(image, at, f"camera_{('left', 'right')[side]}_optical_frame")
            )

    def until(self, condition, what, sides=(0, 1)):
        def step():
            self.send(sides)
            return condition()

        return wait_until(step, what)


FOCAL = 277.0


@pytest.fixture(scope="module")
def scene():
    """A card 0.8 m away, its pair 320 x 240."""
    return rendered_pair(0.8, 0.1, size=(320, 240), focal=FOCAL)


def values_of(diagnostics):
    status = [s for m in diagnostics for s in m.status if s.name == "fabg: depth"]
    return (status[-1], {v.key: v.value for v in status[-1].values}) if status else (None, {})


@pytest.mark.graph
def test_a_pair_becomes_distances_with_the_stamp_and_frame_of_the_left_image(probe, node_process, scene):
    left, right, truth = scene
    depths = probe.collect(Image, STEREO_TOPIC, NEWEST_ONLY)
    infos = probe.collect(CameraInfo, "/fabg/stereo/depth/camera_info", NEWEST_ONLY)
    timings = probe.collect(Timing, "/fabg/timing")
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    node_process("depth", scale=1.0, max_hz=1000.0)
    pair = Pair(probe, left, right, 0.1, FOCAL)
    pair.until(lambda: len(depths) > 5 and infos, "distances")
    assert depths[-1].encoding == "32FC1" and depths[-1].header.frame_id == "camera_left_optical_frame"
    stamps = [seconds(m.header.stamp) for m in depths]
    assert set(stamps) <= set(pair.sent) and (np.diff(stamps) > 0).all()
    z_m = depth_from_message(depths[-1])
    card = np.abs(truth - 0.8) < 0.1
    assert np.nanmedian(np.abs(z_m - truth)[card] / truth[card]) < 0.02
    assert np.isfinite(z_m[card]).mean() > 0.9
    assert infos[-1].k[0] == FOCAL and (infos[-1].width, infos[-1].height) == (320, 240)
    assert {t.stage for t in timings} == {"depth"}
    pair.until(lambda: float(values_of(diagnostics)[1].get("valid_fraction", 0)) > 0.5, "the valid fraction")
    _, values = values_of(diagnostics)
    assert values["baseline_mm"] == "100.0" and "work_ms_p50" in values and "unmatched" in values

    # Many at once: what cannot be matched in time is passed over, and the newest come soon.
    for _ in range(60):
        pair.send()
    pair.until(lambda: seconds(depths[-1].header.stamp) >= pair.sent[-15], "distances of a new pair")
    assert len(depths) < len(pair.sent)

    # Live: half the size, published as it is.
    request = SetParameters.Request(
        parameters=[
            Parameter("scale", value=0.5).to_parameter_msg(),
            Parameter("full_size", value=False).to_parameter_msg(),
        ]
    )
    assert all(r.successful for r in probe.call(SetParameters, "/depth/set_parameters", request).results)
    pair.until(lambda: depths[-1].width == 160 and infos[-1].width == 160, "the smaller depth image")
    assert infos[-1].k[0] == FOCAL / 2
    request.parameters = [Parameter("block_px", value=4).to_parameter_msg()]
    assert "odd" in probe.call(SetParameters, "/depth/set_parameters", request).results[0].reason


@pytest.mark.graph
def test_what_is_wrong_with_a_pair_is_told_and_the_node_lives_on(probe, node_process, scene):
    left, right, _ = scene
    depths = probe.collect(Image, STEREO_TOPIC, NEWEST_ONLY)
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    process = node_process("depth", scale=1.0, stale_after_s=0.2)

    def says(text):
        status, _ = values_of(diagnostics)
        return status is not None and text in status.message

    pair = Pair(probe, left, right, 0.1, FOCAL)
    pair.until(lambda: says("no image on /camera/right/image_raw"), "one camera missing", sides=(0,))
    pair.until(lambda: len(depths) > 2, "distances")
    pair.until(lambda: says("running"), "all well again")
    rest = Pair(probe, right, left, 0.1, FOCAL)
    rest.sent = list(pair.sent)
    rest.until(lambda: says("left and right are swapped"), "swapped images noticed")
    covered = Pair(probe, left, np.zeros_like(right), 0.1, FOCAL)
    covered.sent = list(rest.sent)
    covered.until(lambda: says("of the pixels have a distance"), "a covered lens")
    unequal = Pair(probe, left, right[:200], 0.1, FOCAL)
    unequal.sent = list(covered.sent)
    unequal.until(lambda: says("expected the same size"), "unequal sizes")
    for baseline, said in ((0.0, "not calibrated as a pair"), (-0.1, "swapped")):
        wrong = Pair(probe, left, right, baseline, FOCAL)
        wrong.sent = list(unequal.sent)
        wrong.until(lambda said=said: says(said), said)
        unequal = wrong
    count = len(depths)
    pair.sent = list(unequal.sent)
    pair.until(lambda: len(depths) > count, "distances again")
    assert process.poll() is None


@pytest.mark.graph
def test_from_side_by_side_pictures_to_distances(probe, node_process, tmp_path):
    """The whole chain: two distorted lenses in one image, through the camera node, to metres."""
    card = Plane(turned((0, 0, 0), (0.02, 0.0, 0.7)), speckled(3, 0.004))
    halves = [
        cv2.resize(render([card], lens)[0], (320, 240), interpolation=cv2.INTER_AREA)
        for lens in (LEFT, RIGHT)
    ]
    (tmp_path / "pictures").mkdir()
    assert cv2.imwrite(str(tmp_path / "pictures" / "0.png"), np.concatenate(halves, axis=1))
    exact().save(tmp_path / "stereo.yaml")
    depths = probe.collect(Image, STEREO_TOPIC, NEWEST_ONLY)
    lefts = probe.collect(Image, "/camera/left/image_raw", NEWEST_ONLY)
    node_process("depth", scale=1.0, nearest_m=0.4)
    node_process(
        "camera", source=str(tmp_path / "pictures"), loop=True, fps=10.0, stereo="side_by_side",
        stereo_calibration=str(tmp_path / "stereo.yaml"),
    )  # fmt: skip
    # Either may miss an image on its way here: that some stamps are the same is what counts.
    wait_until(
        lambda: {seconds(m.header.stamp) for m in depths} & {seconds(m.header.stamp) for m in lefts},
        "distances with the stamp of a left image",
    )
    # Rectifying turns the camera a little: the card is no longer quite parallel to the image.
    normal = exact().rectification[0] @ [0.0, 0.0, 1.0]
    camera = exact().scaled_to((320, 240)).camera
    v, u = np.mgrid[:240, :320].astype(float)
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
    truth = (0.7 / (np.c_[rays, np.ones(len(rays))] @ normal)).reshape(240, 320)
    error = np.abs(depth_from_message(depths[-1]) - truth) / truth
    assert np.isfinite(error).mean() > 0.7 and np.nanmedian(error) < 0.02
