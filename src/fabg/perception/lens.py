"""One camera with its lens: measured from a chessboard, kept in the YAML format of ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from fabg.errors import ConfigError, InputError
from fabg.files import write_text
from fabg.perception.chessboard import Board, View

LEAST_VIEWS = 4
"""Fewer views of a board do not determine a camera."""
LEAST_TILT_DEG = 8.0
"""A board that always faces the same way fits any focal length, at another distance."""

_MODELS = {4: "plumb_bob", 5: "plumb_bob", 8: "rational_polynomial", 12: "rational_polynomial"}


@dataclass(frozen=True, eq=False)
class Lens:
    """Camera matrix and distortion of one camera.

    Attributes
    ----------
    matrix
        Shape (3, 3), px; pixel centres lie at whole numbers.
    distortion
        OpenCV's k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4]]].

    Raises
    ------
    ConfigError
        When a number is missing or not finite, or a focal length is not positive.
    """

    matrix: NDArray[np.float64]
    distortion: NDArray[np.float64]

    def __post_init__(self) -> None:
        k, d = self.matrix, self.distortion
        if k.shape != (3, 3) or not np.isfinite(k).all() or min(k[0, 0], k[1, 1]) <= 0 or k[2, 2] != 1.0:
            raise ConfigError(
                f"camera matrix is {k.tolist()}: expected 3 x 3 finite numbers, positive focal lengths, last 1"
            )
        if d.ndim != 1 or len(d) not in _MODELS or not np.isfinite(d).all():
            raise ConfigError(
                f"distortion is {d.tolist()}: expected {', '.join(map(str, _MODELS))} finite coefficients"
            )

    @property
    def model(self) -> str:
        """Name of the distortion model in sensor_msgs/CameraInfo."""
        return _MODELS[len(self.distortion)]

    def scaled(self, factor: float) -> Lens:
        """Return the lens for images resized by `factor`."""
        k = self.matrix.copy()
        k[:2] *= factor
        k[:2, 2] += (factor - 1.0) / 2.0  # pixel centres lie at whole numbers
        return Lens(k, self.distortion)


@dataclass(frozen=True, eq=False)
class MonoCalibration:
    """One camera.

    Attributes
    ----------
    size
        (width, height) of the images, px.
    lens
        Its matrix and distortion.
    rms_px
        Reprojection error, px.
    focal_error
        Standard deviation of the focal length relative to it, as far as noise of the corners explains it.
    tilt_deg
        Largest angle between two of the boards, degrees.
    used
        Which of the views given were used; the others did not fit.
    """

    size: tuple[int, int]
    lens: Lens
    rms_px: float
    focal_error: float
    tilt_deg: float
    used: tuple[int, ...]

    def save(self, path: Path, name: str = "left") -> None:
        """Write the file, in the format of the ROS package ``camera_calibration``, at once or not at all."""
        projection = np.zeros((3, 4))
        # The whole of the undistorted image without empty pixels, as camera_calibration does.
        projection[:, :3], _ = cv2.getOptimalNewCameraMatrix(
            self.lens.matrix, self.lens.distortion, self.size, 0.0
        )
        values = {
            "image_width": self.size[0],
            "image_height": self.size[1],
            "camera_name": name,
            "camera_matrix": matrix_values(self.lens.matrix),
            "distortion_model": self.lens.model,
            "distortion_coefficients": matrix_values(self.lens.distortion[None]),
            "rectification_matrix": matrix_values(np.eye(3)),
            "projection_matrix": matrix_values(projection),
        }
        note = f"# reprojection error {self.rms_px:.3f} px, {len(self.used)} views\n"
        write_text(path, note + yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=110))


def calibrate_mono(views: Sequence[View], board: Board) -> MonoCalibration:
    """Return the calibration of one camera from views of a board; views that do not fit are left out.

    Raises
    ------
    InputError
        When there are fewer than four views, they differ in size, or they do not determine a camera.
    """
    if len(views) < LEAST_VIEWS:
        raise InputError(
            f"the board was seen as a whole in {len(views)} different views: expected {LEAST_VIEWS} at the very "
            "least, better 20; see that all of it is in the image, flat, sharp and evenly lit"
        )
    sizes = {view.size for view in views}
    if len(sizes) > 1:
        raise InputError(f"the views have sizes {sorted(sizes)}: expected images of one size")
    size, used = views[0].size, list(range(len(views)))
    rms, lens, deviation, tilt_deg, errors = _calibrated([views[k] for k in used], board)
    # A board moved during the exposure, or found a square off, spoils everything: one round without those.
    limit = 3.0 * max(float(np.median(errors)), 0.1)
    fitting = [k for k, error in zip(used, errors, strict=True) if error <= limit]
    if LEAST_VIEWS <= len(fitting) < len(used):
        used = fitting
        rms, lens, deviation, tilt_deg, _ = _calibrated([views[k] for k in used], board)
    if tilt_deg < LEAST_TILT_DEG:
        raise InputError(
            f"the board faces the same way in all views (within {tilt_deg:.1f} degrees): expected views in which it "
            "is tilted by about 30 degrees to the left, to the right, up and down"
        )
    return MonoCalibration(size, lens, rms, deviation, tilt_deg, tuple(used))


def matrix_values(matrix: NDArray[np.float64]) -> dict[str, Any]:
    """Return a matrix as ``camera_calibration`` writes it."""
    rows, columns = matrix.shape
    return {"rows": rows, "cols": columns, "data": [float(v) for v in matrix.ravel()]}


def _calibrated(views: Sequence[View], board: Board) -> tuple[float, Lens, float, float, NDArray[np.float64]]:
    """Return (rms in px, lens, relative deviation of the focal length, tilt in degrees, rms of each view in px)."""
    start = np.eye(3)  # ignored by OpenCV without a flag, but asked for
    try:
        rms, k, d, turns, _, deviations, _, errors = cv2.calibrateCameraExtended(
            [board.points_m] * len(views), [view.corners for view in views], views[0].size, start, np.zeros(5)
        )
        lens = Lens(np.asarray(k, dtype=np.float64), np.asarray(d, dtype=np.float64).ravel())
    except (cv2.error, ConfigError) as error:
        raise InputError(
            f"{len(views)} views of the board do not determine a camera: expected the board near and far, "
            "tilted to all sides, in all parts of the image"
        ) from error
    deviation = float(deviations[0, 0]) / lens.matrix[0, 0]
    if not math.isfinite(deviation):
        deviation = math.inf
    normals = np.array([cv2.Rodrigues(turn)[0][:, 2] for turn in turns])
    tilt_deg = math.degrees(math.acos(min(1.0, float((normals @ normals.T).min()))))
    return float(rms), lens, deviation, tilt_deg, np.asarray(errors, dtype=np.float64).ravel()
