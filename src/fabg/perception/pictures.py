"""Pictures of any kind made RGB, and made to fit a size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.types import Frame

Size = tuple[int, int]
"""(width, height) in px."""


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """Return a picture file as RGB uint8, shape (height, width, 3); None when it cannot be read."""
    try:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError:
        return None
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    return None if image is None or image.size == 0 else to_rgb(image)


def to_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an OpenCV image (grey, BGR or BGRA; 8 or 16 bits) as RGB uint8, transparency before black."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise InputError(f"picture has pixels of type {image.dtype}: expected 8 or 16 bits a channel")
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    rgb = cv2.cvtColor(image[:, :, :3], cv2.COLOR_BGR2RGB)
    if image.shape[2] == 4:
        alpha = image[:, :, 3:].astype(np.float32) / 255.0
        rgb = np.rint(rgb * alpha).astype(np.uint8)
    return np.asarray(rgb, dtype=np.uint8)


def fitted(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return an image (height, width, 3) scaled to fit `size` (width, height), the rest black."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    inner = max(round(width * scale), 1), max(round(height * scale), 1)
    scaled = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if inner == size:
        return np.asarray(scaled, dtype=np.uint8)
    out = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    out[top : top + inner[1], left : left + inner[0]] = scaled
    return out


def checked_image(frame: Frame) -> NDArray[np.uint8]:
    """Return the image of a frame that perception can work on.

    Raises
    ------
    InputError
        When the image is not (height, width, 3) uint8 or empty, the depth has another size, or the stamp is
        not finite.
    """
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        is_array = isinstance(image, np.ndarray)
        what = f"shape {image.shape}, type {image.dtype}" if is_array else type(image).__name__
        raise InputError(f"image is {what}: expected an RGB array (height, width, 3) of uint8")
    if image.size == 0:
        raise InputError(f"image has shape {image.shape}: expected at least 1 x 1 px")
    if frame.depth is not None and frame.depth.z_m.shape != image.shape[:2]:
        raise InputError(
            f"depth has shape {frame.depth.z_m.shape}: expected that of the image, {image.shape[:2]}"
        )
    if not math.isfinite(frame.stamp_s):
        raise InputError(f"stamp is {frame.stamp_s} s: expected a finite number")
    return image
