"""What two cameras side by side see of each other, measured from a chessboard and kept in a YAML file.

Points of the left camera's frame become points of the right one's by x_right = R x_left + T; T points
to the left in the right camera, so that its first number is negative. Both frames are optical: x right, y down,
z forward, m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from fabg.errors import ConfigError, InputError
from fabg.files import write_text
from fabg.perception.chessboard import Board, View
from fabg.perception.lens import LEAST_VIEWS, Lens, MonoCalibration, calibrate_mono, matrix_values
from fabg.perception.pose import Camera

FORMAT = "fabg stereo calibration 1"


@dataclass(frozen=True, eq=False)
class StereoCalibration:
    """Two cameras and how they stand to each other.

    Attributes
    ----------
    size
        (width, height) of the images of one camera, px.
    left, right
        Their lenses.
    rotation, translation_m
        x_right = rotation x_left + translation; shapes (3, 3) and (3,).
    rms_px
        Reprojection error of the calibration, px.
    views
        How many views of the board it was made from.

    Raises
    ------
    ConfigError
        When shapes do not fit, a number is not finite, the rotation is none, the baseline is zero, or the
        cameras stand in the wrong order or one above the other.
    """

    size: tuple[int, int]
    left: Lens
    right: Lens
    rotation: NDArray[np.float64]
    translation_m: NDArray[np.float64]
    rms_px: float
    views: int = 0

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ConfigError(f"image size is {self.size[0]} x {self.size[1]}: expected at least 1 x 1 px")
        r, t = self.rotation, self.translation_m
        if r.shape != (3, 3) or not np.isfinite(r).all() or not np.allclose(r @ r.T, np.eye(3), atol=1e-3):
            raise ConfigError(f"rotation is {r.tolist()}: expected a 3 x 3 rotation matrix")
        if t.shape != (3,) or not np.isfinite(t).all():
            raise ConfigError(f"translation is {t.tolist()} m: expected three finite numbers")
        length = float(np.linalg.norm(t))
        if not 1e-3 <= length <= 10.0:
            raise ConfigError(f"the cameras are {length} m apart: expected 0.001 to 10 m; calibrate again")
        if abs(t[0]) < 0.7 * length:
            raise ConfigError(
                f"translation is {t.tolist()} m: expected cameras side by side, not above or behind each other"
            )
        if t[0] > 0:
            raise ConfigError(
                f"translation is {t.tolist()} m: its first number must be negative; left and right are swapped"
            )
        if not (math.isfinite(self.rms_px) and self.rms_px >= 0):
            raise ConfigError(f"rms is {self.rms_px} px: expected a finite number >= 0")

    @cached_property
    def rectification(self) -> tuple[NDArray[np.float64], ...]:
        """R1, R2 (3, 3): each camera turned so that rows correspond; P1, P2 (3, 4): as in camera_info.

        No pixel of the rectified images is empty, and infinitely far points have disparity 0.
        """
        r1, r2, p1, p2, *_ = cv2.stereoRectify(
            self.left.matrix, self.left.distortion, self.right.matrix, self.right.distortion,
            self.size, self.rotation, self.translation_m, flags=cv2.CALIB_ZERO_DISPARITY, alpha=0.0,
        )  # fmt: skip
        return tuple(np.asarray(m, dtype=np.float64) for m in (r1, r2, p1, p2))

    @property
    def camera(self) -> Camera:
        """The camera of both rectified images."""
        p1 = self.rectification[2]
        return Camera(float(p1[0, 0]), float(p1[1, 1]), float(p1[0, 2]), float(p1[1, 2]))

    @property
    def focal_px(self) -> float:
        """Focal length of both rectified images, px."""
        return self.camera.fx

    @property
    def baseline_m(self) -> float:
        """Distance between the cameras, m."""
        return float(np.linalg.norm(self.translation_m))

    def scaled_to(self, size: tuple[int, int]) -> StereoCalibration:
        """Return the calibration for images of another size (width, height).

        Raises
        ------
        ConfigError
            When the aspect ratio differs.
        """
        factor = size[0] / self.size[0]
        if abs(size[1] - self.size[1] * factor) > 1.0:
            raise ConfigError(
                f"the stereo calibration is for {self.size[0]} x {self.size[1]} px a camera, the images have "
                f"{size[0]} x {size[1]}: expected the same aspect ratio; set the camera to the mode that was "
                "calibrated, or calibrate again"
            )
        if factor == 1.0:
            return self
        return StereoCalibration(
            size, self.left.scaled(factor), self.right.scaled(factor), self.rotation, self.translation_m,
            self.rms_px * factor, self.views,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write the file at once or not at all."""
        values = {
            "format": FORMAT,
            "image_width": self.size[0],
            "image_height": self.size[1],
            "left": _lens_values(self.left),
            "right": _lens_values(self.right),
            "rotation": matrix_values(self.rotation),
            "translation_m": [float(v) for v in self.translation_m],
            "rms_px": float(self.rms_px),
            "views": int(self.views),
        }
        note = "# Two cameras side by side. Sizes are those of one camera; x_right = rotation x_left + translation.\n"
        write_text(path, note + yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=110))

    @classmethod
    def load(cls, path: str | Path) -> StereoCalibration:
        """Return the calibration of a file.

        Raises
        ------
        ConfigError
            When the file is missing, no YAML, of another format, or holds values that cannot be.
        """
        try:
            values = yaml.safe_load(Path(path).expanduser().read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(
                f"the stereo calibration {str(path)!r} cannot be read ({error}): make one with "
                "`fabg camera calibrate --stereo side-by-side`"
            ) from error
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ConfigError(
                f"{str(path)!r} is no stereo calibration: expected `format: {FORMAT}`; make one with "
                "`fabg camera calibrate --stereo side-by-side`"
            )
        try:
            return cls(
                (_whole(values, "image_width"), _whole(values, "image_height")),
                _lens(values, "left"),
                _lens(values, "right"),
                _numbers(values, "rotation", (3, 3)),
                np.asarray(values.get("translation_m", ()), dtype=np.float64),
                float(values.get("rms_px", math.nan)),
                _whole(values, "views"),
            )
        except (ConfigError, TypeError, ValueError) as error:
            raise ConfigError(f"the stereo calibration {str(path)!r} cannot be used: {error}") from error


def calibrate_stereo(
    pairs: Sequence[tuple[View, View]], board: Board
) -> tuple[StereoCalibration, MonoCalibration, MonoCalibration]:
    """Return the calibration of two cameras from pairs of views (left, right), and that of each alone.

    Raises
    ------
    InputError
        When there are too few pairs, they do not determine the cameras, or left and right are swapped.
    """
    left, right = (calibrate_mono([pair[k] for pair in pairs], board) for k in (0, 1))
    used = sorted(set(left.used) & set(right.used))
    if len(used) < LEAST_VIEWS:
        raise InputError(
            f"only {len(used)} pairs fit both cameras: expected {LEAST_VIEWS} or more; take more"
        )
    rms, *_, rotation, translation, _, _ = cv2.stereoCalibrate(
        [board.points_m] * len(used),
        [pairs[k][0].corners for k in used],
        [pairs[k][1].corners for k in used],
        left.lens.matrix, left.lens.distortion, right.lens.matrix, right.lens.distortion, left.size,
        flags=cv2.CALIB_FIX_INTRINSIC,
        criteria=(cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 200, 1e-9),
    )  # fmt: skip
    try:
        made = StereoCalibration(
            left.size,
            left.lens,
            right.lens,
            np.asarray(rotation, dtype=np.float64),
            np.asarray(translation, dtype=np.float64).ravel(),
            float(rms),
            len(used),
        )
    except ConfigError as error:
        raise InputError(f"the two halves are no pair of images, left first: {error}") from error
    return made, left, right


def _lens_values(lens: Lens) -> dict[str, Any]:
    return {
        "camera_matrix": matrix_values(lens.matrix),
        "distortion_coefficients": matrix_values(lens.distortion[None]),
    }


def _lens(values: dict[str, Any], side: str) -> Lens:
    entry = values.get(side)
    if not isinstance(entry, dict):
        raise ConfigError(f"{side} is {entry!r}: expected camera_matrix and distortion_coefficients")
    try:
        return Lens(
            _numbers(entry, "camera_matrix", (3, 3)), _numbers(entry, "distortion_coefficients", None).ravel()
        )
    except ConfigError as error:
        raise ConfigError(f"{side}: {error}") from error


def _numbers(values: dict[str, Any], name: str, shape: tuple[int, ...] | None) -> NDArray[np.float64]:
    entry = values.get(name)
    data = np.asarray(entry.get("data", ()) if isinstance(entry, dict) else (), dtype=np.float64)
    if shape is not None and data.size != math.prod(shape):
        raise ConfigError(f"{name} has {data.size} numbers: expected {math.prod(shape)}")
    return data if shape is None else data.reshape(shape)


def _whole(values: dict[str, Any], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{name} is {value!r}: expected a whole number")
    return value
