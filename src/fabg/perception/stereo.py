"""Two images side by side in, distances out.

    calibration = StereoCalibration.load("zed.yaml")
    rectifier, matcher = Rectifier(calibration), StereoMatcher(calibration)
    left, right = rectifier.rectify(*split_side_by_side(image))
    depth = matcher.depth(left, right)

Semi-global block matching (Hirschmueller, Stereo processing by semiglobal matching and mutual information, PAMI
30, 2008) as OpenCV has it, at reduced size; then a mask that leaves only what can be trusted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError, InputError, check_ranges
from fabg.perception.stereo_calibration import StereoCalibration
from fabg.perception.types import Depth, DepthSource

LEAST_SIDE_PX = 32
"""Reduced images smaller than this are not matched: the blocks and the disparities need room."""


class Rectified(Protocol):
    """What is to be known of a rectified pair; `StereoCalibration` is one."""

    @property
    def focal_px(self) -> float:
        """Focal length of both images, px."""

    @property
    def baseline_m(self) -> float:
        """Distance between the cameras, m."""


@dataclass(frozen=True)
class StereoGeometry:
    """A rectified pair by its numbers.

    Attributes
    ----------
    focal_px
        Focal length of both images, px.
    baseline_m
        Distance between the cameras, m.

    Raises
    ------
    ConfigError
        When a number is not finite and positive; a negative baseline means swapped cameras.
    """

    focal_px: float
    baseline_m: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.focal_px) and self.focal_px > 0):
            raise ConfigError(f"focal length is {self.focal_px} px: expected a finite number > 0")
        if not (math.isfinite(self.baseline_m) and self.baseline_m > 0):
            hint = "; left and right are swapped" if self.baseline_m < 0 else "; the cameras are one"
            raise ConfigError(f"baseline is {self.baseline_m} m: expected a finite number > 0{hint}")


@dataclass(frozen=True, kw_only=True)
class StereoConfig:
    """How two images are matched.

    Attributes
    ----------
    scale
        Size of the images for matching relative to the images themselves, 0.1..1. Time goes with its cube,
        the error of the distance with its inverse.
    nearest_m, farthest_m
        Distances that are looked for, m. The nearer, the more time.
    block_px
        Side of the blocks that are compared, odd, px of the reduced image.
    uniqueness
        The best match must cost this much less than the next best, percent.
    texture
        Lowest local contrast (standard deviation over the block) of a point that is matched, grey values.
    speckle_px
        Connected patches with fewer points are dropped, px of the reduced image; 0 keeps all.
    left_right_px
        Matching from the right image must come back to within this, px of the reduced image.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    scale: float = 0.5
    nearest_m: float = 0.3
    farthest_m: float = 6.0
    block_px: int = 5
    uniqueness: int = 10
    texture: float = 1.5
    speckle_px: int = 120
    left_right_px: int = 1

    def __post_init__(self) -> None:
        ranges = {
            "scale": (0.1, 1.0),
            "nearest_m": (0.05, 10.0),
            "farthest_m": (0.1, 20.0),
            "block_px": (1, 21),
            "uniqueness": (0, 100),
            "texture": (0.0, 100.0),
            "speckle_px": (0, 10_000),
            "left_right_px": (0, 16),
        }
        check_ranges(self, ranges)
        if self.block_px % 2 == 0:
            raise ConfigError(f"block_px is {self.block_px}: expected an odd number")
        if self.nearest_m >= self.farthest_m:
            raise ConfigError(
                f"nearest_m is {self.nearest_m}, farthest_m {self.farthest_m}: expected the first to be less"
            )


def split_side_by_side(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return (left, right) of an image (height, width, ...) that holds both, as views.

    Raises
    ------
    InputError
        When the width is odd or under 2 px.
    """
    if image.ndim < 2 or image.size == 0 or image.shape[1] % 2:
        raise InputError(
            f"side-by-side image has shape {image.shape}: expected (height, width, ...) with an even width"
        )
    half = image.shape[1] // 2
    return image[:, :half], image[:, half:]


class Rectifier:
    """Turns both images so that a point lies in the same row of both; the maps are made once.

    Parameters
    ----------
    calibration
        Of the two cameras.
    size
        (width, height) of the images of one camera; None for those that were calibrated.

    Raises
    ------
    ConfigError
        When the size has another aspect ratio than the calibration.
    """

    def __init__(self, calibration: StereoCalibration, size: tuple[int, int] | None = None) -> None:
        self.calibration = calibration.scaled_to(size or calibration.size)
        """The calibration for images of this size."""
        c = self.calibration
        r1, r2, p1, p2 = c.rectification
        self._maps = [
            cv2.initUndistortRectifyMap(lens.matrix, lens.distortion, r, p[:, :3], c.size, cv2.CV_16SC2)
            for lens, r, p in ((c.left, r1, p1), (c.right, r2, p2))
        ]

    def rectify(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return both images rectified; black where a camera saw nothing.

        Raises
        ------
        InputError
            When the images do not have the size that the maps were made for.
        """
        width, height = self.calibration.size
        for name, image in (("left", left), ("right", right)):
            if image.shape[:2] != (height, width):
                raise InputError(
                    f"{name} image has shape {image.shape}: expected {height} x {width} px as calibrated"
                )
        one, two = (
            cv2.remap(image, *maps, cv2.INTER_LINEAR)
            for image, maps in zip((left, right), self._maps, strict=True)
        )
        return np.asarray(one, dtype=np.uint8), np.asarray(two, dtype=np.uint8)


class StereoMatcher:
    """Finds for each pixel of the left rectified image how far it is. Not thread-safe.

    Parameters
    ----------
    geometry
        Focal length and baseline of the rectified images: a `StereoCalibration` for their size, or
        a `StereoGeometry`.
    config
        How images are matched.
    """

    def __init__(self, geometry: Rectified, config: StereoConfig | None = None) -> None:
        self._geometry = StereoGeometry(geometry.focal_px, geometry.baseline_m)
        self.config = config or StereoConfig()
        self._matcher: tuple[tuple[int, StereoConfig], cv2.StereoSGBM] | None = None

    def depth(self, left: NDArray[np.uint8], right: NDArray[np.uint8], *, full_size: bool = True) -> Depth:
        """Return the distances for the pixels of the left image, NaN where they cannot be trusted.

        Parameters
        ----------
        left, right
            Rectified images of one size, RGB or grey, uint8.
        full_size
            True gives one distance for each pixel of the left image (those of the reduced image repeated), False
            those of the reduced image.

        Raises
        ------
        InputError
            When the images differ in size or are no images. Images too small to be matched have no distance,
            which is no error.
        """
        grey_left, grey_right = _grey("left", left), _grey("right", right)
        if grey_left.shape != grey_right.shape:
            raise InputError(
                f"left image has shape {grey_left.shape}, right {grey_right.shape}: expected the same size"
            )
        size = self._reduced_size(grey_left.shape)
        if min(size) < LEAST_SIDE_PX:
            z_m = np.full(size[::-1], np.nan, np.float32)
        else:
            z_m = self._match(_resized(grey_left, size), _resized(grey_right, size), left.shape[1])
        if full_size and z_m.shape != grey_left.shape:
            z_m = cv2.resize(z_m, grey_left.shape[::-1], interpolation=cv2.INTER_NEAREST)
        return Depth(np.asarray(z_m, dtype=np.float32), DepthSource.STEREO)

    def _reduced_size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return max(round(shape[1] * self.config.scale), 1), max(round(shape[0] * self.config.scale), 1)

    def _match(self, left: NDArray[np.uint8], right: NDArray[np.uint8], width: int) -> NDArray[np.float32]:
        c = self.config
        focal_px = self._geometry.focal_px * left.shape[1] / width
        product = focal_px * self._geometry.baseline_m
        matcher, last = self._prepared(left.shape[1], math.ceil(product / c.nearest_m))
        # OpenCV leaves out all columns in which the nearest thing would have no partner. With a border they
        # are matched, and only what really has no partner is dropped.
        left_wide, right_wide = (
            cv2.copyMakeBorder(image, 0, 0, last, 0, cv2.BORDER_CONSTANT) for image in (left, right)
        )
        fixed = matcher.compute(left_wide, right_wide)[:, last:]
        disparity = fixed.astype(np.float32) / cv2.StereoMatcher_DISP_SCALE
        with np.errstate(divide="ignore"):
            z_m = np.float32(product) / disparity
        no_partner = disparity > np.arange(left.shape[1], dtype=np.float32)
        bad = no_partner | (disparity < 0.5) | (z_m > c.farthest_m) | (z_m < c.nearest_m)
        if c.texture > 0.0:
            bad |= _contrast(left, c.block_px) < c.texture
        z_m[bad] = np.nan
        return np.asarray(z_m, dtype=np.float32)

    def _prepared(self, width: int, last: int) -> tuple[cv2.StereoSGBM, int]:
        """Return the matcher and the disparity at which it ends, px."""
        c = self.config
        # A whole number of 16; more disparities than columns have no sense.
        count = max(16, min(math.ceil((last + 1) / 16), width // 16) * 16)
        key = (count, c)
        if self._matcher is None or self._matcher[0] != key:
            area = c.block_px * c.block_px
            made = cv2.StereoSGBM_create(  # type: ignore[attr-defined]
                minDisparity=0,  # what is far must find its match, too, or it would take another
                numDisparities=count,
                blockSize=c.block_px,
                P1=8 * area,
                P2=32 * area,
                disp12MaxDiff=c.left_right_px,
                preFilterCap=31,
                uniquenessRatio=c.uniqueness,
                speckleWindowSize=c.speckle_px,
                speckleRange=1,
                mode=cv2.StereoSGBM_MODE_SGBM_3WAY,
            )
            self._matcher = key, made
        return self._matcher[1], count


def look_swapped(left: NDArray[np.uint8], right: NDArray[np.uint8], matcher: StereoMatcher) -> bool:
    """Tell whether the images match far better the other way round: cables or halves are then swapped.

    Raises
    ------
    InputError
        See `StereoMatcher.depth`.
    """
    as_given = np.isfinite(matcher.depth(left, right, full_size=False).z_m).mean()
    swapped = np.isfinite(matcher.depth(right, left, full_size=False).z_m).mean()
    return bool(swapped > 0.2 and swapped > 3.0 * as_given)


def _grey(name: str, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if (
        image.dtype != np.uint8
        or image.size == 0
        or image.ndim not in (2, 3)
        or (image.ndim == 3 and image.shape[2] != 3)
    ):
        raise InputError(
            f"{name} image has shape {image.shape}, type {image.dtype}: expected RGB or grey, uint8"
        )
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _resized(grey: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if grey.shape == size[::-1]:
        return np.ascontiguousarray(grey)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _contrast(grey: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Return the standard deviation of grey values in a square around each pixel."""
    side = max(side, 3)
    values = grey.astype(np.float32)
    mean, square = (cv2.blur(v, (side, side)) for v in (values, values * values))
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0.0)), dtype=np.float32)
