"""The simulated robot: controller commands in, joint states, TF and (on wish) images out."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from fabg.errors import CommandRefused, ConfigError
from fabg.geometry import pose, rotation_from_quaternion
from fabg.robot.model import BASE_LINK, HEAD_LINK, load_robot
from fabg.robot.twin import Twin
from fabg.ros.convert import transform_to_message
from fabg.ros.image import ImageConverter, depth_to_message
from fabg.ros.joints import states_to_message
from fabg.ros.node import NEWEST_ONLY, RELIABLE, FabgNode, run
from fabg.ros.params import param
from fabg.ros.transforms import STATIC

_VIEWS = ("face", "left_eye", "right_eye")


@dataclass(frozen=True, kw_only=True)
class RobotSimConfig:
    """Parameters of the simulated robot."""

    rate_hz: float = param(100.0, "physics and joint states a second", low=10.0, high=500.0)
    image_hz: float = param(0.0, "rendered images a second and view; 0 renders nothing", low=0.0, high=60.0)
    views: list[str] = param(["face"], "what to render: face, left_eye, right_eye")
    depth: bool = param(False, "also render each view's depth (32FC1, m)")
    image_width: int = param(640, "px", low=64, high=1920)
    image_height: int = param(480, "px", low=64, high=1080)


class RobotSimNode(FabgNode[RobotSimConfig]):
    """A stand-in for the hardware behind ros2_control."""

    stage = "robot_sim"

    def __init__(self, **options: object) -> None:
        super().__init__("robot_sim", RobotSimConfig, **options)

    def setup(self) -> None:
        """Build the twin."""
        unknown = sorted(set(self.config.views) - set(_VIEWS))
        if unknown:
            raise ConfigError(f"there is no view {', '.join(unknown)}: expected some of {', '.join(_VIEWS)}")
        self._robot = load_robot()
        self._twin = Twin(self._robot)
        self._last = time.monotonic()
        self._positions = self._twin.positions()
        self._states = self.publisher(JointState, "/joint_states")
        self._tf = self.publisher(TFMessage, "/tf", RELIABLE)
        # The name by which ROS 2 packages look for a robot's head.
        alias = transform_to_message(HEAD_LINK, "head_link", np.eye(4), self.get_clock().now().to_msg())
        self.publisher(TFMessage, "/tf_static", STATIC).publish(TFMessage(transforms=[alias]))
        self.subscribe(Float64MultiArray, "/forward_command_controller/commands", self._on_command)
        self.subscribe(JointTrajectory, "/joint_trajectory_controller/joint_trajectory", self._on_trajectory)
        self.every(1.0 / self.config.rate_hz, self._step, "physics")
        self._images = {v: self._image_publisher(f"/robot/{v}/image_raw") for v in self.config.views}
        depth_views = self.config.views if self.config.depth else []
        self._depths = {v: self._image_publisher(f"/robot/{v}/depth/image_raw") for v in depth_views}
        self._stopping = threading.Event()
        self._painter: threading.Thread | None = None

    def start(self) -> None:
        """Let time run, and paint when wished for."""
        self._last = time.monotonic()
        self._stopping.clear()
        if self.config.image_hz > 0:
            self._painter = threading.Thread(target=self._paint, name="painter", daemon=True)
            self._painter.start()

    def stop(self) -> None:
        """Stop painting; the servos hold their last target."""
        self._stopping.set()
        if self._painter is not None:
            self._painter.join(timeout=5.0)
            self._painter = None

    def teardown(self) -> None:
        """Let go of the twin."""
        if hasattr(self, "_twin"):
            self._twin.close()

    def _image_publisher(self, topic: str) -> Any:
        return self.publisher(Image, topic, NEWEST_ONLY)

    def _on_command(self, message: Float64MultiArray) -> None:
        self._obey(np.asarray(message.data, dtype=np.float64))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if not message.points:
            raise CommandRefused("joint trajectory has no points: expected at least one")
        point = dict(zip(message.joint_names, message.points[-1].positions, strict=False))
        target = self._twin.positions()
        for name, value in point.items():
            if name not in self._robot.index:
                raise CommandRefused(
                    f"joint trajectory names {name!r}: expected joints of {self._robot.name}"
                )
            target[self._robot.index[name]] = value
        self._obey(target)

    def _obey(self, target: np.ndarray) -> None:
        try:
            self._twin.command(target)
        except CommandRefused:
            self.health.count("refused")
            raise
        self.health.count("commands")

    def _step(self) -> None:
        received_s = self.now_s()
        now = time.monotonic()
        # After a stall the physics does not race to catch up.
        self._twin.step(min(now - self._last, 0.1))
        self._last = now
        self._positions = self._twin.positions()
        at = self.get_clock().now().to_msg()
        self._states.publish(states_to_message(self._positions, self._twin.velocities(), self._robot, at))
        message = TFMessage()
        for joint, matrix in self._local_poses().items():
            message.transforms.append(transform_to_message(joint[0], joint[1], matrix, at))
        self._tf.publish(message)
        self.health.observe((self.now_s() - received_s) * 1e3, 0.0)

    def _local_poses(self) -> dict[tuple[str, str], np.ndarray]:
        world = {BASE_LINK: np.eye(4)}
        for link, (position, quaternion) in self._twin.link_poses().items():
            world[link] = pose(rotation_from_quaternion(quaternion), position)
        return {
            (j.parent, j.link): np.linalg.inv(world[j.parent]) @ world[j.link] for j in self._robot.joints
        }

    def _paint(self) -> None:
        """Render in a thread of its own, with a twin and a GL context of its own."""
        size = (self.config.image_width, self.config.image_height)
        twin, converter = Twin(self._robot, size=size), ImageConverter()
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                at = self.get_clock().now().to_msg()
                twin.set_positions(self._positions)
                for view, publisher in self._images.items():
                    image = twin.render(camera=view)
                    frame = f"robot_{view}_optical_frame"
                    publisher.publish(converter.to_message(image, at, frame))
                    if self.config.depth:
                        self._depths[view].publish(depth_to_message(twin.depth(view), at, frame))
                    self.health.count("images")
                self._stopping.wait(max(0.0, 1.0 / self.config.image_hz - (time.monotonic() - began)))
        except Exception as error:
            self.report_exception("painter", error)
            self.health.error("painter", f"no images: {error}")
        finally:
            twin.close()


def main() -> int:
    """Run the node."""
    return run(RobotSimNode)


if __name__ == "__main__":
    sys.exit(main())
