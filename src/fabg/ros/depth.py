"""Depth images for nodes that want to know how far away what they see is."""

from __future__ import annotations

from collections import deque
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from fabg.errors import InputError
from fabg.perception.types import Depth, DepthSource
from fabg.ros.node import NEWEST_ONLY, FabgNode
from fabg.ros.time import seconds

SENSOR_TOPIC = "/camera/depth/image_raw"
"""Of a depth camera, registered to the left image."""
STEREO_TOPIC = "/fabg/stereo/depth/image_raw"
"""Of the depth node."""

_ENCODINGS = {"32FC1": (4, "f4"), "16UC1": (2, "u2"), "mono16": (2, "u2")}
_MEMORY = 8


def depth_from_message(message: Image) -> NDArray[np.float32]:
    """Return the distances of a depth image message in m, float32, shape (height, width); NaN where unknown.

    32FC1 is in m, with NaN, infinity or 0 where unknown; 16UC1 is in mm, with 0 where unknown (REP-118).

    Raises
    ------
    InputError
        For another encoding, an empty image, or data that does not fit the size.
    """
    check_depth_message(message)
    size, kind = _ENCODINGS[message.encoding]
    rows = np.frombuffer(message.data, dtype=np.uint8).reshape(message.height, message.step)
    order = ">" if message.is_bigendian else "<"
    packed = np.ascontiguousarray(rows[:, : message.width * size]).view(f"{order}{kind}")
    z_m = packed.astype(np.float32) * np.float32(1e-3 if kind == "u2" else 1.0)
    z_m[~((z_m > 0.0) & np.isfinite(z_m))] = np.nan
    return z_m


def check_depth_message(message: Image) -> None:
    """Refuse what `depth_from_message` could not read, without reading it.

    Raises
    ------
    InputError
        See `depth_from_message`.
    """
    if message.encoding not in _ENCODINGS:
        raise InputError(f"depth image has encoding {message.encoding!r}: expected 32FC1 (m) or 16UC1 (mm)")
    width, height, step = message.width, message.height, message.step
    if width < 1 or height < 1:
        raise InputError(f"depth image of {width} x {height} px is empty: expected at least 1 x 1")
    least = width * _ENCODINGS[message.encoding][0]
    if step < least or len(message.data) != step * height:
        raise InputError(
            f"depth image of {width} x {height} px, {message.encoding}, has step {step} and "
            f"{len(message.data)} bytes: expected a step of at least {least} and step x height bytes"
        )


def fitted_to(z_m: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32] | None:
    """Return distances resampled to `size` (width, height), or None when no whole factor joins the two.

    Coarser depth is repeated, finer depth is thinned; neither mixes distances of two surfaces.
    """
    height, width = z_m.shape
    if (width, height) == size:
        return z_m
    larger, smaller = max(size, (width, height)), min(size, (width, height))
    factor = larger[0] // smaller[0]
    if larger != (smaller[0] * factor, smaller[1] * factor):
        return None
    if larger == size:
        out = cv2.resize(z_m, size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(out, dtype=np.float32)
    return np.ascontiguousarray(z_m[factor // 2 :: factor, factor // 2 :: factor])


class DepthInput:
    """Keeps the last depth images and finds the one that belongs to an image.

    Make it in `setup`; it lives as long as the node's other subscriptions. A depth camera's image is preferred
    to one from stereo. Depth mostly arrives after its image: a node that does not wait takes the one before,
    which is why `at` has slack.

    Parameters
    ----------
    node
        Its health counts ``bad_depth`` and warns while the last depth image could not be used.
    """

    def __init__(self, node: FabgNode[Any]) -> None:
        self._health = node.health
        self._kept: dict[DepthSource, deque[tuple[float, Image]]] = {
            source: deque(maxlen=_MEMORY) for source in (DepthSource.SENSOR, DepthSource.STEREO)
        }
        self._read: tuple[Image, NDArray[np.float32]] | None = None
        for source, topic in ((DepthSource.SENSOR, SENSOR_TOPIC), (DepthSource.STEREO, STEREO_TOPIC)):
            node.subscribe(Image, topic, self._storing(source, topic), NEWEST_ONLY)

    def at(
        self, stamp_s: float, slack_s: float = 0.15, *, size: tuple[int, int] | None = None
    ) -> Depth | None:
        """Return the depth image nearest in time, or None when there is none within `slack_s`.

        Parameters
        ----------
        stamp_s
            Stamp of the image, s.
        slack_s
            How far the stamps may lie apart, s. Of equally near ones the newer is taken.
        size
            (width, height) of the image; depth that cannot be brought to it by a whole factor is counted as
            ``bad_depth`` and not returned. None returns depth as it came.
        """
        for source, kept in self._kept.items():
            near = [(abs(t - stamp_s), -t, k) for k, (t, _) in enumerate(kept) if abs(t - stamp_s) <= slack_s]
            if not near:
                continue
            z_m = self._decoded(kept[min(near)[2]][1])
            if size is None:
                return Depth(z_m, source)
            if (fitting := fitted_to(z_m, size)) is not None:
                return Depth(fitting, source)
            self._refuse(
                source,
                f"depth of {z_m.shape[1]} x {z_m.shape[0]} px does not fit images of {size[0]} x {size[1]}: "
                "expected the same size or a whole multiple; register it to the left image",
            )
        return None

    def _storing(self, source: DepthSource, topic: str) -> Any:
        def store(message: Image) -> None:
            try:
                check_depth_message(message)
            except InputError as error:
                self._refuse(source, f"{topic}: {error}")
                return
            stamp_s, kept = seconds(message.header.stamp), self._kept[source]
            if kept and stamp_s <= kept[-1][0]:
                kept.clear()  # a recording that began anew: what is kept is of another time
            kept.append((stamp_s, message))
            self._health.clear(f"depth_{source.name}")

        return store

    def _refuse(self, source: DepthSource, why: str) -> None:
        self._health.count("bad_depth")
        self._health.warn(f"depth_{source.name}", why)

    def _decoded(self, message: Image) -> NDArray[np.float32]:
        # Faces and hands of one image ask for the same depth.
        if self._read is None or self._read[0] is not message:
            self._read = message, depth_from_message(message)
        return self._read[1]
