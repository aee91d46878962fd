"""Depth over ROS: images of both kinds read and matched by stamp."""

from __future__ import annotations

import array
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import Image

from fabg.errors import InputError
from fabg.perception.types import DepthSource
from fabg.ros.depth import SENSOR_TOPIC, STEREO_TOPIC, DepthInput, depth_from_message, fitted_to
from fabg.ros.health import Health
from fabg.ros.image import depth_to_message
from fabg.ros.time import stamp


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
    assert depth.at(10.0).source == DepthSource.STEREO, "the sensor's is too old"


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
