"""What a camera sees: camera_info from a field of view, or from a calibration; and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sensor_msgs.msg import CameraInfo

from fabg.errors import ConfigError, InputError
from fabg.perception.pose import Camera
from fabg.perception.stereo import StereoGeometry
from fabg.perception.stereo_calibration import StereoCalibration


def camera_info(size: tuple[int, int], horizontal_fov_deg: float) -> CameraInfo:
    """Return the message of an undistorted pinhole camera with images of `size` (width, height)."""
    camera = Camera.from_fov(*size, horizontal_fov_deg)
    message = CameraInfo(width=size[0], height=size[1], distortion_model="plumb_bob", d=[0.0] * 5)
    message.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    message.r = np.eye(3).ravel().tolist()
    message.p = [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def rectified_infos(calibration: StereoCalibration) -> tuple[CameraInfo, CameraInfo]:
    """Return the messages (left, right) of rectified images: no distortion, the right one's P[3] is -fx x baseline."""
    infos = []
    for projection in calibration.rectification[2:]:
        message = CameraInfo(width=calibration.size[0], height=calibration.size[1])
        message.distortion_model, message.d = "plumb_bob", [0.0] * 5
        message.k = projection[:, :3].ravel().tolist()
        message.r = np.eye(3).ravel().tolist()
        message.p = projection.ravel().tolist()
        infos.append(message)
    return infos[0], infos[1]


def stereo_geometry(left: CameraInfo, right: CameraInfo) -> StereoGeometry:
    """Return focal length and baseline of a rectified pair from its camera_info messages.

    Raises
    ------
    InputError
        When the two are no rectified pair; the message says in what respect.
    """
    one, two = np.array(left.p).reshape(3, 4), np.array(right.p).reshape(3, 4)
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise InputError("the projection matrices in camera_info hold NaN or infinity")
    if (left.width, left.height) != (right.width, right.height):
        raise InputError(
            f"camera_info says {left.width} x {left.height} px left, {right.width} x {right.height} right: expected "
            "the same size"
        )
    if min(one[0, 0], two[0, 0]) <= 0.0 or two[0, 3] == 0.0:
        raise InputError(
            "camera_info tells no baseline (the right P[3] is 0): the cameras are not calibrated as a pair; "
            "see `fabg camera calibrate --help`"
        )
    if two[0, 3] > 0.0:
        raise InputError(
            f"camera_info tells a baseline of {-two[0, 3] / two[0, 0]:.3f} m: expected > 0; left and right are swapped"
        )
    if not np.allclose(one[:, :3], two[:, :3], rtol=1e-3, atol=0.5):
        raise InputError(
            f"the pair is not rectified: P is {one[:, :3].tolist()} left, {two[:, :3].tolist()} right; expected equal"
        )
    return StereoGeometry(float(one[0, 0]), float(-two[0, 3] / two[0, 0]))


def resized_info(info: CameraInfo, size: tuple[int, int]) -> CameraInfo:
    """Return the message of the same camera for images resized to `size` (width, height); without its header."""
    factor = size[0] / info.width
    message = CameraInfo(
        width=size[0], height=size[1], distortion_model=info.distortion_model, d=info.d, r=info.r
    )
    message.k, message.p = _scaled(list(info.k), 3, factor), _scaled(list(info.p), 4, factor)
    return message


def load_calibration(path: str, size: tuple[int, int]) -> CameraInfo:
    """Return the message of a calibration file, scaled to images of `size` (width, height).

    Parameters
    ----------
    path
        YAML as written by the ROS package ``camera_calibration``.

    Raises
    ------
    ConfigError
        When the file is missing, lacks a field, or was made for another aspect ratio.
    """
    try:
        text = Path(path).expanduser().read_text()
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the calibration {path!r} cannot be read ({error}): expected YAML") from error
    if not isinstance(values, dict):
        raise ConfigError(f"the calibration {path!r} holds no mapping: expected camera_calibration's YAML")
    width, height = (_number(values, name, path) for name in ("image_width", "image_height"))
    if abs(size[0] / width - size[1] / height) > 0.01 * size[0] / width:
        raise ConfigError(
            f"the calibration {path!r} is for {width:.0f} x {height:.0f} px, the images have "
            f"{size[0]} x {size[1]}: expected the same aspect ratio; set width and height, or calibrate again"
        )
    factor = size[0] / width
    message = CameraInfo(width=size[0], height=size[1])
    message.distortion_model = str(values.get("distortion_model", "plumb_bob"))
    message.d = _matrix(values, "distortion_coefficients", None, path)
    message.k = _scaled(_matrix(values, "camera_matrix", 9, path), 3, factor)
    message.r = _matrix(values, "rectification_matrix", 9, path)
    message.p = _scaled(_matrix(values, "projection_matrix", 12, path), 4, factor)
    return message


def _number(values: dict[str, Any], name: str, path: str) -> float:
    value = values.get(name)
    if not isinstance(value, int | float) or not value >= 1:
        raise ConfigError(f"the calibration {path!r} says {name}: {value!r}: expected a number of pixels")
    return float(value)


def _matrix(values: dict[str, Any], name: str, size: int | None, path: str) -> list[float]:
    entry = values.get(name)
    try:
        data = np.asarray(entry["data"], dtype=np.float64)  # type: ignore[index]
    except (TypeError, KeyError, ValueError) as error:
        raise ConfigError(f"the calibration {path!r} lacks {name}.data: expected numbers") from error
    if data.ndim != 1 or (size is not None and data.size != size) or not np.isfinite(data).all():
        raise ConfigError(
            f"the calibration {path!r} has {data.size} values in {name}.data: expected {size or 'finite'}"
        )
    return [float(v) for v in data]


def _scaled(matrix: list[float], columns: int, factor: float) -> list[float]:
    """Scale a camera matrix with the image; pixel centres lie at whole numbers."""
    half = (factor - 1.0) / 2.0
    rows = np.array(matrix).reshape(3, columns)
    rows[:2] *= factor
    rows[:2, 2] += half * rows[2, 2]
    return [float(v) for v in rows.ravel()]
