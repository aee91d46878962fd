"""Images and depth as a learnt policy takes them: the same for training and for running.

arrays = prepare(observation.images)
arrays["left"], arrays["right"], arrays["depth"]
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError
from fabg.policy.base import StereoImages

SIZE = (96, 128)
"""Height and width of what a policy is shown, px."""
DEPTH_SIGMA_PX = 1.0
"""Width of the Gaussian filter of depth, in pixels of the small picture."""

_HALF = 0.5  # of a pixel must be known, or the pixel is not


def prepare(images: StereoImages, size: tuple[int, int] = SIZE) -> dict[str, NDArray[Any]]:
    """Return what a model is shown of two images and their depth.

    Parameters
    ----------
    images
        Of any size; they are stretched to `size`.
    size
        Height and width, px.

    Returns
    -------
    ``left`` and ``right``, uint8, (3, height, width), RGB, and ``depth``, float32, (1, height, width), m, 0 where
    unknown.

    Raises
    ------
    ConfigError
        When the size is not positive.
    """
    if min(size) < 1:
        raise ConfigError(f"size is {size}: expected a positive height and width, px")
    return {
        "left": _small(images.left, size).transpose(2, 0, 1),
        "right": _small(images.right, size).transpose(2, 0, 1),
        "depth": smooth_depth(images.depth, size)[None],
    }


def smooth_depth(depth: NDArray[np.floating], size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """Return depth made small and smoothed by a Gaussian that takes no account of what is unknown.

    Parameters
    ----------
    depth
        m, (h, w); unknown where it is 0, negative or not finite.
    size
        Height and width of the result, px.

    Returns
    -------
    float32, m, `size`; 0 where less than half of the pixel was known.

    Notes
    -----
    Normalised convolution: known values and their weights are filtered alike, then divided. A plain filter would put
    the edge of a face half-way to the camera.

    References
    ----------
    Knutsson and Westin, "Normalized and differential convolution", CVPR 1993.
    """
    known = np.isfinite(depth) & (depth > 0)
    weight = _small(known.astype(np.float32), size)
    value = _small(np.where(known, depth, 0.0).astype(np.float32), size)
    there = weight >= _HALF
    weight, value = _gaussian(weight), _gaussian(value)
    return np.where(there, value / np.where(there, weight, 1.0), 0.0).astype(np.float32)


def _small(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA))


def _gaussian(image: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), DEPTH_SIGMA_PX, borderType=cv2.BORDER_CONSTANT))
