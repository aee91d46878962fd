"""What the actuation node sends, how others hear it, and what it is told of the servos' delay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fabg_msgs.msg import ActuationStatus, Latency
from numpy.typing import ArrayLike
from rclpy.qos import QoSProfile
from rclpy.time import Time
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from fabg.errors import InputError
from fabg.latency import SERVO
from fabg.robot.actuator import Tick
from fabg.robot.arbiter import Arbiter
from fabg.robot.model import RobotModel
from fabg.ros.node import FabgNode

FORWARD_TOPIC = "/forward_command_controller/commands"
TRAJECTORY_TOPIC = "/joint_trajectory_controller/joint_trajectory"


_MANY = QoSProfile(depth=100)


class Controller:
    """The controller of ros2_control that moves the servos.

    Parameters
    ----------
    node
        Makes the publisher.
    kind
        ``forward`` or ``trajectory``.
    robot
        Joint table.
    within_s
        A trajectory reaches the angles in this time, s.
    """

    def __init__(self, node: FabgNode[Any], kind: str, robot: RobotModel, within_s: float) -> None:
        self._forward = kind == "forward"
        self._robot, self._within_s = robot, within_s
        message, topic = (
            (Float64MultiArray, FORWARD_TOPIC) if self._forward else (JointTrajectory, TRAJECTORY_TOPIC)
        )
        self._commands = node.publisher(message, topic)

    def send(self, angles: list[float]) -> None:
        """Send joint angles, rad, 25 in the table's order."""
        if self._forward:
            self._commands.publish(Float64MultiArray(data=angles))
        else:
            self._commands.publish(trajectory_to_message(angles, self._robot, self._within_s))


def trajectory_to_message(angles: list[float], robot: RobotModel, within_s: float) -> JointTrajectory:
    """Return the trajectory that reaches joint angles (rad, 25 in the table's order) in `within_s` from now.

    Velocities are left out: joint_trajectory_controller refuses a last point that still moves.
    """
    point = JointTrajectoryPoint(positions=angles)
    point.time_from_start.nanosec = round(within_s * 1e9)
    return JointTrajectory(joint_names=list(robot.names), points=[point])


def listen_to_commands(node: FabgNode[Any], robot: RobotModel, use: Callable[[ArrayLike], None]) -> None:
    """Call `use` with the joint angles (25,), rad, of each command to either controller."""
    node.subscribe(Float64MultiArray, FORWARD_TOPIC, lambda message: use(message.data), _MANY)
    node.subscribe(JointTrajectory, TRAJECTORY_TOPIC, lambda message: use(_target(message, robot)), _MANY)


def _target(message: JointTrajectory, robot: RobotModel) -> list[float]:
    if not message.points or tuple(message.joint_names) != robot.names:
        raise InputError(
            f"joint trajectory has {len(message.points)} points for {len(message.joint_names)} joints: "
            f"expected at least one, for all joints of {robot.name} in the table's order"
        )
    return list(message.points[-1].positions)


def status_to_message(tick: Tick, arbiter: Arbiter, limit_hits: int, now: Time) -> ActuationStatus:
    """Return the status after a tick."""
    selection, counts = tick.selection, arbiter.counts
    message = ActuationStatus(state=int(selection.state), source=selection.source, reason=selection.reason)
    message.header.stamp = now.to_msg()
    message.estop = arbiter.stopped
    age_s = None if selection.stamp_s is None else now.nanoseconds * 1e-9 - selection.stamp_s
    message.command_age_s = -1.0 if age_s is None else age_s
    message.accepted, message.refused = counts["accepted"], counts["refused"]
    message.stale, message.limit_hits = counts["stale"], limit_hits
    message.limited_joints = list(tick.limited)
    message.command = [] if tick.command is None else tick.command.tolist()
    return message


def servo_delay_s(message: Latency) -> float | None:
    """Return the delay from a command to the servos out of a latency report, s; None when it has none."""
    return next((s.work_p50_ms * 1e-3 for s in message.stages if s.stage == SERVO), None)
