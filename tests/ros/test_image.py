"""Image conversion: the same laws for cv_bridge (where there is one) and for the converter of our own."""

import importlib.util

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from fabg.errors import InputError
from fabg.ros.image import ImageConverter, to_jpeg_message

KINDS = [False, *([True] if importlib.util.find_spec("cv_bridge") else [])]
STAMP = Time(sec=3, nanosec=7)


@pytest.fixture(params=KINDS, ids=lambda kind: "cv_bridge" if kind else "own")
def converter(request):
    return ImageConverter(use_cv_bridge=request.param)


def _image(height=5, width=7, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _message(pixels, encoding, padding=0):
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    rows = np.hstack([rows, np.full((height, padding), 99, np.uint8)])
    message = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.data = rows.tobytes()
    return message


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 9))
def test_round_trip(height, width, seed):
    for kind in KINDS:
        converter = ImageConverter(use_cv_bridge=kind)
        image = _image(height, width, seed)
        message = converter.to_message(image, STAMP, "cam")
        assert np.array_equal(converter.to_rgb(message), image)
        assert (message.header.stamp, message.header.frame_id, message.step) == (STAMP, "cam", width * 3)


def test_channel_orders(converter):
    image = _image()
    grey = image[..., 0].copy()
    alpha = np.full((5, 7, 1), 128, np.uint8)
    assert np.array_equal(converter.to_rgb(_message(image[..., ::-1].copy(), "bgr8")), image)
    assert np.array_equal(converter.to_rgb(_message(np.dstack([image, alpha]), "rgba8")), image)
    assert np.array_equal(converter.to_rgb(_message(np.dstack([image[..., ::-1], alpha]), "bgra8")), image)
    assert np.array_equal(converter.to_rgb(_message(grey, "mono8")), np.dstack([grey] * 3))


def test_padded_rows(converter):
    image = _image()
    assert np.array_equal(converter.to_rgb(_message(image, "rgb8", padding=11)), image)


def _broken(**changes):
    message = _message(_image(), "rgb8")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "message, said",
    [
        (_broken(encoding="bayer_rggb8x"), "bayer_rggb8x"),
        (_broken(encoding=""), "''"),
        (_broken(height=0), "empty"),
        (_broken(width=0), "empty"),
        (_broken(step=20), "step is 20"),
        (_broken(data=b""), "0 bytes"),
        (_broken(data=b"x" * 104), "104 bytes: expected 21 x 5 = 105"),
        (_broken(height=2**31), "bytes"),
    ],
)
def test_what_cannot_be_an_image_is_refused(converter, message, said):
    with pytest.raises(InputError, match=said):
        converter.to_rgb(message)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_only_rgb_becomes_a_message(converter, bad):
    with pytest.raises(InputError, match="uint8"):
        converter.to_message(bad, STAMP, "cam")


def test_jpeg_shows_the_same_picture():
    ramp = np.dstack([np.tile(np.arange(0, 256, 2, dtype=np.uint8), (64, 1))] * 3)
    ramp[..., 2] = 40
    message = to_jpeg_message(ramp, STAMP, "cam", quality=95)
    decoded = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert message.format == "jpeg"
    assert np.abs(decoded.astype(int) - ramp).mean() < 3
