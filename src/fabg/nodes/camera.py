"""Images from a device, a video or a folder, stamped and described."""

from __future__ import annotations

import math
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from fabg.errors import ConfigError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.perception.reader import NewestReader
from fabg.perception.sources import ImageSource, open_source
from fabg.perception.types import Frame
from fabg.robot.model import BASE_LINK
from fabg.ros.calibration import camera_info, load_calibration
from fabg.ros.convert import transform_to_message
from fabg.ros.image import ImageConverter, to_jpeg_message
from fabg.ros.node import LATCHED, NEWEST_ONLY, RELIABLE, FabgNode, run
from fabg.ros.params import param
from fabg.ros.transforms import STATIC

FRAME_ID = "camera_left_optical_frame"


@dataclass(frozen=True, kw_only=True)
class MountConfig:
    """Where the camera sits in the robot's base frame (x forward, y left, z up); it looks along its own x."""

    x: float = param(0.10, "m, forward", low=-10.0, high=10.0)
    y: float = param(0.0, "m, to the left", low=-10.0, high=10.0)
    z: float = param(0.12, "m, up", low=-10.0, high=10.0)
    roll: float = param(0.0, "rad, to the own right", low=-math.pi, high=math.pi)
    pitch: float = param(0.0, "rad, down", low=-math.pi, high=math.pi)
    yaw: float = param(0.0, "rad, to the left", low=-math.pi, high=math.pi)


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
    jpeg_quality: int = param(85, "of the compressed images", low=1, high=100, live=True)
    retry_first_s: float = param(0.25, "first wait for a lost source; it doubles", low=0.01, high=60.0)
    retry_most_s: float = param(5.0, "longest wait for a lost source", low=0.01, high=600.0)
    mount: MountConfig = MountConfig()

    def __post_init__(self) -> None:
        if (self.width == 0) != (self.height == 0):
            raise ConfigError(f"width is {self.width}, height {self.height}: expected both, or 0 for both")

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
        self._info = (
            load_calibration(self.config.calibration, self._source.size)
            if self.config.calibration
            else camera_info(self._source.size, self.config.horizontal_fov_deg)
        )
        self._info.header.frame_id = FRAME_ID
        self._converter = ImageConverter()
        self._images = self.publisher(Image, "/camera/left/image_raw", NEWEST_ONLY)
        self._jpegs = self.publisher(CompressedImage, "/camera/left/image_raw/compressed", RELIABLE)
        self._infos = self.publisher(CameraInfo, "/camera/left/camera_info", NEWEST_ONLY)
        self._ended = self.publisher(Bool, "/camera/ended", LATCHED)
        self._static = self.publisher(TFMessage, "/tf_static", STATIC)
        self._static.publish(TFMessage(transforms=[self._mount()]))
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

    def _mount(self) -> Any:
        m = self.config.mount
        rotation = rotation_from_ypr(m.yaw, m.pitch, m.roll) @ OPTICAL_FROM_BODY.T
        now = self.get_clock().now().to_msg()
        return transform_to_message(BASE_LINK, FRAME_ID, pose(rotation, (m.x, m.y, m.z)), now)

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
        self._images.publish(self._converter.to_message(frame.image, at, FRAME_ID))
        self._info.header.stamp = at
        self._infos.publish(self._info)
        if self._jpegs.get_subscription_count() > 0:
            self._jpegs.publish(to_jpeg_message(frame.image, at, FRAME_ID, self.config.jpeg_quality))
        self.health.count("images")
        self.finished(at, ns * 1e-9)


def main() -> int:
    """Run the node."""
    return run(CameraNode)


if __name__ == "__main__":
    sys.exit(main())
