"""What a camera node publishes: one camera, or the two of a side-by-side image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fabg.errors import ConfigError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.perception.stereo import Rectifier, split_side_by_side
from fabg.perception.stereo_calibration import StereoCalibration
from fabg.robot.model import BASE_LINK
from fabg.ros.calibration import camera_info, load_calibration, rectified_infos
from fabg.ros.convert import transform_to_message
from fabg.ros.image import ImageConverter, to_jpeg_message
from fabg.ros.node import NEWEST_ONLY, RELIABLE, FabgNode
from fabg.ros.params import param

FRAME_IDS = {side: f"camera_{side}_optical_frame" for side in ("left", "right")}


@dataclass(frozen=True, kw_only=True)
class MountConfig:
    """Where the camera sits in the robot's base frame (x forward, y left, z up); it looks along its own x."""

    x: float = param(0.10, "m, forward", low=-10.0, high=10.0)
    y: float = param(0.0, "m, to the left", low=-10.0, high=10.0)
    z: float = param(0.12, "m, up", low=-10.0, high=10.0)
    roll: float = param(0.0, "rad, to the own right", low=-math.pi, high=math.pi)
    pitch: float = param(0.0, "rad, down", low=-math.pi, high=math.pi)
    yaw: float = param(0.0, "rad, to the left", low=-math.pi, high=math.pi)

    def transform(self, at: Time) -> TransformStamped:
        """Return the left camera's optical frame in the robot's base frame."""
        rotation = rotation_from_ypr(self.yaw, self.pitch, self.roll) @ OPTICAL_FROM_BODY.T
        matrix = pose(rotation, (self.x, self.y, self.z))
        return transform_to_message(BASE_LINK, FRAME_IDS["left"], matrix, at)


class Views:
    """Publishes images with their descriptions under ``/camera/left`` and, of a pair, ``/camera/right``.

    Parameters
    ----------
    node
        Makes the publishers; its health warns of a pair without calibration.
    size
        (width, height) of the source's images, px.
    side_by_side
        True when each image holds two, left and right.
    calibration
        File of one camera, or, for a pair, of both; empty: from the field of view, and no depth.
    horizontal_fov_deg
        Of one camera.

    Raises
    ------
    ConfigError
        When the calibration cannot be used for this size, or the size is not that of two images.
    """

    def __init__(
        self,
        node: FabgNode[Any],
        size: tuple[int, int],
        *,
        side_by_side: bool,
        calibration: str,
        horizontal_fov_deg: float,
    ) -> None:
        self._side_by_side = side_by_side
        self._rectifier: Rectifier | None = None
        node.health.clear("stereo")
        if not side_by_side:
            infos = [
                load_calibration(calibration, size) if calibration else camera_info(size, horizontal_fov_deg)
            ]
        else:
            if size[0] % 2:
                raise ConfigError(
                    f"the images are {size[0]} x {size[1]} px: expected an even width, two images side by side"
                )
            half = size[0] // 2, size[1]
            if calibration:
                self._rectifier = Rectifier(StereoCalibration.load(calibration), half)
                infos = [*rectified_infos(self._rectifier.calibration)]
            else:
                infos = [camera_info(half, horizontal_fov_deg) for _ in range(2)]
                node.health.warn(
                    "stereo",
                    "side-by-side images without stereo_calibration: they are split, but distances are not "
                    "possible; make one with `fabg camera calibrate --stereo side-by-side`",
                )
        self._converter = ImageConverter()
        self._outputs = []
        for side, info in zip(FRAME_IDS, infos, strict=False):
            info.header.frame_id = FRAME_IDS[side]
            image = node.publisher(Image, f"/camera/{side}/image_raw", NEWEST_ONLY)
            jpeg = node.publisher(CompressedImage, f"/camera/{side}/image_raw/compressed", RELIABLE)
            described = node.publisher(CameraInfo, f"/camera/{side}/camera_info", NEWEST_ONLY)
            self._outputs.append((info, image, jpeg, described))

    def transforms(self, at: Time) -> list[TransformStamped]:
        """Return where the right camera stands, when that is known."""
        if self._rectifier is None:
            return []
        right = pose(np.eye(3), (self._rectifier.calibration.baseline_m, 0.0, 0.0))
        return [transform_to_message(FRAME_IDS["left"], FRAME_IDS["right"], right, at)]

    def publish(self, image: NDArray[np.uint8], at: Time, jpeg_quality: int) -> None:
        """Publish one image of the source, whole or as two.

        Raises
        ------
        InputError
            When the image does not have the size that was announced.
        """
        images: tuple[NDArray[np.uint8], ...] = (image,)
        if self._side_by_side:
            images = split_side_by_side(image)
            if self._rectifier is not None:
                images = self._rectifier.rectify(images[0], images[1])
        for picture, (info, raw, jpeg, described) in zip(images, self._outputs, strict=True):
            frame_id = info.header.frame_id
            raw.publish(self._converter.to_message(picture, at, frame_id))
            info.header.stamp = at
            described.publish(info)
            if jpeg.get_subscription_count() > 0:
                jpeg.publish(to_jpeg_message(picture, at, frame_id, jpeg_quality))
