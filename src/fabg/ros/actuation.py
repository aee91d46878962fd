"""What the actuation node sends: controller commands and its status."""

from __future__ import annotations

from fabg_msgs.msg import ActuationStatus
from rclpy.time import Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from fabg.robot.actuator import Tick
from fabg.robot.arbiter import Arbiter
from fabg.robot.model import RobotModel


def trajectory_to_message(angles: list[float], robot: RobotModel, within_s: float) -> JointTrajectory:
    """Return the trajectory that reaches joint angles (rad, 25 in the table's order) in `within_s` from now.

    Velocities are left out: joint_trajectory_controller refuses a last point that still moves.
    """
    point = JointTrajectoryPoint(positions=angles)
    point.time_from_start.nanosec = round(within_s * 1e9)
    return JointTrajectory(joint_names=list(robot.names), points=[point])


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
