"""Two rectified images in, distances out."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image

from fabg.errors import InputError
from fabg.perception.stereo import StereoConfig, StereoGeometry, StereoMatcher, look_swapped
from fabg.ros.calibration import resized_info, stereo_geometry
from fabg.ros.depth import STEREO_TOPIC
from fabg.ros.image import ImageConverter, depth_to_message
from fabg.ros.node import NEWEST_ONLY, FabgNode, run
from fabg.ros.pairing import Pairing
from fabg.ros.params import param

_SIDES = ("left", "right")
_Core = StereoConfig
_POOR, _NOTHING = 0.1, 0.02
"""With a smaller share of known pixels it is worth a look whether the cameras are swapped, or nothing works."""
_SUSPECT_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class DepthConfig:
    """Parameters of the depth node."""

    scale: float = param(
        _Core.scale, "size for matching; time goes with its cube", low=0.1, high=1.0, live=True
    )
    nearest_m: float = param(_Core.nearest_m, "nearest distance, m", low=0.05, high=10.0, live=True)
    farthest_m: float = param(_Core.farthest_m, "farthest distance, m", low=0.1, high=20.0, live=True)
    block_px: int = param(_Core.block_px, "side of the blocks compared, odd", low=1, high=21, live=True)
    uniqueness: int = param(
        _Core.uniqueness, "by how many percent the best match must win", low=0, high=100, live=True
    )
    texture: float = param(
        _Core.texture, "lowest local contrast, grey values", low=0.0, high=100.0, live=True
    )
    speckle_px: int = param(
        _Core.speckle_px, "smaller patches are dropped, px", low=0, high=10_000, live=True
    )
    left_right_px: int = param(
        _Core.left_right_px, "matching back must agree within, px", low=0, high=16, live=True
    )
    max_hz: float = param(15.0, "depth images a second at most", low=0.1, high=1000.0, live=True)
    full_size: bool = param(True, "publish in the size of the left image", live=True)
    threads: int = param(1, "threads of OpenCV; 0 leaves its setting alone", low=0, high=256)
    stale_after_s: float = param(1.0, "warn without a pair for this long, s", low=0.1, high=60.0, live=True)

    def __post_init__(self) -> None:
        self.matching()

    def matching(self) -> StereoConfig:
        """Return the part that concerns the matcher."""
        return StereoConfig(**{f.name: getattr(self, f.name) for f in fields(StereoConfig)})


class DepthNode(FabgNode[DepthConfig]):
    """Matches the left and right images that have the same stamp."""

    stage = "depth"

    def __init__(self, **options: Any) -> None:
        super().__init__("depth", DepthConfig, **options)

    def setup(self) -> None:
        """Join the graph."""
        if self.config.threads:
            cv2.setNumThreads(self.config.threads)
        self._converter = ImageConverter()
        self._pairing = Pairing()
        self._infos: dict[str, CameraInfo] = {}
        self._matcher: tuple[StereoGeometry, StereoMatcher] | None = None
        self._last_pair_s = self._suspected_s = time.monotonic()
        self._next_s = 0.0
        self._seen: set[str] = set()
        self._depths = self.publisher(Image, STEREO_TOPIC, NEWEST_ONLY)
        self._described = self.publisher(
            CameraInfo, STEREO_TOPIC.replace("image_raw", "camera_info"), NEWEST_ONLY
        )
        for number, side in enumerate(_SIDES):
            self.subscribe(
                CameraInfo, f"/camera/{side}/camera_info", partial(self._infos.__setitem__, side), NEWEST_ONLY
            )
            self.subscribe(Image, f"/camera/{side}/image_raw", partial(self._on_image, number), NEWEST_ONLY)
        self.every(0.2, self._watch, "watch")

    def start(self) -> None:
        """Count the silence from here."""
        self._last_pair_s = time.monotonic()
        self._seen.clear()

    def on_parameters(self, config: DepthConfig) -> None:
        """Match the next pair by the new values."""
        if self._matcher is not None:
            self._matcher[1].config = config.matching()

    def _on_image(self, number: int, message: Image) -> None:
        self._seen.add(_SIDES[number])
        pair = self._pairing.add(number, message)
        self.health.values["unmatched"] = str(self._pairing.unmatched)
        if pair is None:
            return
        now = time.monotonic()
        self._last_pair_s = now
        self._seen.clear()
        period_s = 1.0 / self.config.max_hz
        if now < self._next_s - 0.1 * period_s:  # images do not come like clockwork
            self.health.count("passed_over")
            return
        self._next_s = max(self._next_s, now - 0.5 * period_s) + period_s
        self._match(*pair)

    def _match(self, left: Image, right: Image) -> None:
        received_s = self.now_s()
        if missing := [side for side in _SIDES if side not in self._infos]:
            self.health.warn("pair", f"no camera_info of the {' and the '.join(missing)} camera has come yet")
            return
        try:
            images = self._converter.to_rgb(left), self._converter.to_rgb(right)
            matcher = self._matcher_for(left.width)
            depth = matcher.depth(*images, full_size=self.config.full_size)
        except InputError as error:
            self.health.count("bad_pairs")
            self.health.error("pair", str(error))
            return
        self.health.clear("pair")
        header = left.header
        self._depths.publish(depth_to_message(depth.z_m, header.stamp, header.frame_id))
        info = resized_info(self._infos["left"], depth.z_m.shape[::-1])
        info.header = header
        self._described.publish(info)
        self.health.count("pairs")
        self.finished(header.stamp, received_s)
        self._judge(float(np.isfinite(depth.z_m).mean()), images, matcher)

    def _matcher_for(self, width: int) -> StereoMatcher:
        info = self._infos["left"]
        geometry = stereo_geometry(info, self._infos["right"])
        if info.width < 1:
            raise InputError(f"camera_info tells a width of {info.width} px: expected that of its images")
        geometry = StereoGeometry(geometry.focal_px * width / info.width, geometry.baseline_m)
        if self._matcher is None or self._matcher[0] != geometry:
            self._matcher = geometry, StereoMatcher(geometry, self.config.matching())
            self.health.values["baseline_mm"] = f"{geometry.baseline_m * 1e3:.1f}"
        return self._matcher[1]

    def _judge(
        self, valid: float, images: tuple[NDArray[np.uint8], NDArray[np.uint8]], matcher: StereoMatcher
    ) -> None:
        """Tell how much is known, and look for the reason when it is next to nothing."""
        self.health.values["valid_fraction"] = f"{valid:.3f}"
        if valid >= _POOR:
            self.health.clear("matching")
            return
        if (now := time.monotonic()) - self._suspected_s < _SUSPECT_EVERY_S:
            return
        self._suspected_s = now
        self.health.clear("matching")
        if look_swapped(*images, matcher):
            self.health.error("matching", "left and right are swapped: the images match the other way round")
        elif valid < _NOTHING:
            self.health.warn(
                "matching",
                f"only {valid:.1%} of the pixels have a distance: no texture, a covered lens, things nearer than "
                f"{self.config.nearest_m} m, or cameras that have moved since their calibration",
            )

    def _watch(self) -> None:
        silence_s = time.monotonic() - self._last_pair_s
        if silence_s <= self.config.stale_after_s:
            self.health.clear("images")
            return
        missing = [side for side in _SIDES if side not in self._seen]
        what = (
            f"no image on {' and '.join(f'/camera/{side}/image_raw' for side in missing)}"
            if missing
            else "left and right images come, but never with the same stamp"
        )
        self.health.warn("images", f"{what} for {silence_s:.1f} s: no distances")


def main() -> int:
    """Run the node."""
    return run(DepthNode)


if __name__ == "__main__":
    sys.exit(main())
