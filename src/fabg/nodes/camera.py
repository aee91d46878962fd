"""Images from a device, a video or a folder, stamped and described."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from builtin_interfaces.msg import Time
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from fabg.errors import ConfigError
from fabg.perception.reader import NewestReader
from fabg.perception.sources import ImageSource, open_source
from fabg.perception.types import Frame
from fabg.ros.node import LATCHED, FabgNode, run
from fabg.ros.params import param
from fabg.ros.transforms import STATIC
from fabg.ros.views import MountConfig, Views


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """Parameters of the camera node."""

    source: str = param("clip", "video file, picture folder, device number, /dev/videoN, or clip")
    width: int = param(0, "px; 0 keeps the source's own size", low=0, high=16384)
    height: int = param(0, "px; 0 keeps the source's own size", low=0, high=16384)
    fps: float = param(25.0, "images a second of a folder, and asked of a device", low=0.1, high=1000.0)
    loop: bool = param(False, "begin again after the last image of a file or folder")
    horizontal_fov_deg: float = param(60.0, "used while there is no calibration", low=1.0, high=179.0)
    calibration: str = param("", "YAML file of camera_calibration; empty: from the field of view")
    stereo: str = param(
        "none", "side_by_side: each image holds two, left and right", choices=("none", "side_by_side")
    )
    stereo_calibration: str = param("", "YAML file of both cameras; empty: images are split, without depth")
    jpeg_quality: int = param(85, "of the compressed images", low=1, high=100, live=True)
    retry_first_s: float = param(0.25, "first wait for a lost source; it doubles", low=0.01, high=60.0)
    retry_most_s: float = param(5.0, "longest wait for a lost source", low=0.01, high=600.0)
    mount: MountConfig = field(default_factory=MountConfig)

    def __post_init__(self) -> None:
        if (self.width == 0) != (self.height == 0):
            raise ConfigError(f"width is {self.width}, height {self.height}: expected both, or 0 for both")
        unused = "stereo_calibration" if self.stereo == "none" else "calibration"
        if getattr(self, unused):
            raise ConfigError(
                f"{unused} is {getattr(self, unused)!r}, but stereo is {self.stereo}: calibration is for one camera, "
                "stereo_calibration for two side by side"
            )

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) asked for, px."""
        return (self.width, self.height) if self.width else None


class CameraNode(FabgNode[CameraConfig]):
    """Reads one source in a thread of its own and publishes the newest image."""

    stage = "camera"

    def __init__(self, **options: Any) -> None:
        super().__init__("camera", CameraConfig, **options)
        self._source: ImageSource | None = None
        self._reader: NewestReader | None = None
        self._stopping = threading.Event()

    def setup(self) -> None:
        """Open the source once, so that a wrong one is told here, and join the graph."""
        self._stopping.clear()
        self._size = self.config.size
        self._source = self._open()
        self._size = self._source.size  # whatever comes back later keeps to it
        self._views = Views(
            self,
            self._size,
            side_by_side=self.config.stereo == "side_by_side",
            calibration=self.config.calibration or self.config.stereo_calibration,
            horizontal_fov_deg=self.config.horizontal_fov_deg,
        )
        self._ended = self.publisher(Bool, "/camera/ended", LATCHED)
        self._static = self.publisher(TFMessage, "/tf_static", STATIC)
        now = self.get_clock().now().to_msg()
        mount = self.config.mount.transform(now)
        self._static.publish(TFMessage(transforms=[mount, *self._views.transforms(now)]))
        self._bell = self.create_guard_condition(self._guarded(self._publish, "image", only_active=True))
        self._owned.append((self.destroy_guard_condition, self._bell))
        self.health.values["source"] = self._source.name

    def start(self) -> None:
        """Read from the beginning."""
        self._stopping.clear()
        self._lost, self._last_ns = False, 0
        self.health.clear("truncated")
        self._ended.publish(Bool(data=False))
        source, self._source = self._source or self._open(), None
        self._reader = NewestReader(
            source,
            self._open,
            self._bell.trigger,
            stopping=self._stopping,
            retry_first_s=self.config.retry_first_s,
            retry_most_s=self.config.retry_most_s,
        )
        self._reader.start()

    def stop(self) -> None:
        """End the reader, which closes the source."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def teardown(self) -> None:
        """Close a source that was never read."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _open(self) -> ImageSource:
        c = self.config
        return open_source(c.source, size=self._size, fps=c.fps, loop=c.loop, wait=self._stopping.wait)

    def _publish(self) -> None:
        news = self._reader.take() if self._reader else None
        if news is None:
            return
        if news.trouble:
            if not self._lost:
                self.get_logger().error(f"{news.trouble}; it is tried again until it is back")
            self._lost = True
            self.health.count("source_failures")
            self.health.error("source", news.trouble)
            return
        if self._lost:
            self._lost = False
            self.health.clear("source")
            self.get_logger().info("the source is back")
        self.health.values["passed_over"] = str(news.passed_over)
        if news.frame is not None:
            self._publish_image(news.frame)
        if news.ended:
            if news.truncated:
                self.health.warn("truncated", "the source is damaged or cut off: it ended early")
            self.health.values["truncated"] = str(news.truncated).lower()
            self._ended.publish(Bool(data=True))

    def _publish_image(self, frame: Frame) -> None:
        # The source's clock is steady; its offset to ROS time is taken anew for each image.
        age_ns = max(round((time.monotonic() - frame.stamp_s) * 1e9), 0)
        ns = max(self.get_clock().now().nanoseconds - age_ns, self._last_ns + 1)
        self._last_ns = ns
        at = Time(sec=ns // 10**9, nanosec=ns % 10**9)
        self._views.publish(frame.image, at, self.config.jpeg_quality)
        self.health.count("images")
        self.finished(at, ns * 1e-9)


def main() -> int:
    """Run the node."""
    return run(CameraNode)


if __name__ == "__main__":
    sys.exit(main())
