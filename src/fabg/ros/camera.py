"""What nodes that read the left camera share: its calibration, and letters for their ids."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo

from fabg.errors import InputError
from fabg.perception.pose import Camera
from fabg.ros.node import NEWEST_ONLY, FabgNode


class CameraInput:
    """Keeps the newest calibration of the left camera.

    Parameters
    ----------
    node
        Node that takes ``/camera/left/camera_info``.
    """

    def __init__(self, node: FabgNode) -> None:
        self._calibration: tuple[Camera, int] | None = None
        node.subscribe(CameraInfo, "/camera/left/camera_info", self._on_camera_info, NEWEST_ONLY)

    def at(self, width: int) -> Camera | None:
        """Return the camera of images of this width, px; None while it is not calibrated."""
        if self._calibration is None:
            return None
        camera, calibrated_width = self._calibration
        return camera.scaled(width / calibrated_width)

    def _on_camera_info(self, message: CameraInfo) -> None:
        if message.k[0] == 0.0:  # says by convention that the camera is not calibrated
            self._calibration = None
            return
        if message.width < 1:
            raise InputError(f"camera_info tells a width of {message.width} px: expected that of its images")
        k = message.k
        self._calibration = Camera(k[0], k[4], k[2], k[5]), message.width


def start_letters(start_s: float) -> str:
    """Return three letters that another start within five hours does not have: ids stay apart."""
    number = int(start_s) % 26**3
    return "".join(chr(ord("a") + number // 26**k % 26) for k in range(3))
