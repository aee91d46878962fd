"""Listens to a running graph for the latency budget, and may move the robot a little."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from fabg_msgs.msg import ExpressionChunk, Timing
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from fabg import expression
from fabg.errors import CommandRefused, EnvironmentProblem, FabgError
from fabg.latency_budget import Array, Heard
from fabg.policy.base import Chunk
from fabg.recording import StageTiming
from fabg.robot.commands import ease
from fabg.robot.model import load_robot
from fabg.robot.retarget import Retargeter
from fabg.ros.bringup import middleware_environment
from fabg.ros.convert import chunk_to_message
from fabg.ros.joints import positions_from_message
from fabg.ros.time import seconds, stamp

_MANY = QoSProfile(depth=1000)
# Robots publish their joints reliably or not: this hears both.
_JOINTS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
_CHUNK_EVERY_S, _CHUNK_STEP_S, _CHUNK_STEPS = 0.02, 0.02, 15
_EASE_S = 1.0

Movement = Callable[[float], expression.Vector]
"""From the time since its start (s) to an expression (61,)."""


class LatencyProbe:
    """A node in this process that fills a `Heard`; use as a context manager.

    Parameters
    ----------
    domain_id
        ROS domain of the graph.
    """

    def __init__(self, *, domain_id: int) -> None:
        os.environ.update(middleware_environment())
        self.heard = Heard()
        self.failure: Exception | None = None
        self._robot = load_robot()
        self._target = self._robot.neutral.copy()
        self._context = rclpy.Context()
        # The caller handles Ctrl-C.
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(f"latency_probe_{os.getpid()}", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="probe", daemon=True)
        self._listen(Timing, "/fabg/timing", self._on_timing, _MANY)
        self._listen(Float64MultiArray, "/forward_command_controller/commands", self._on_command, _MANY)
        trajectory = "/joint_trajectory_controller/joint_trajectory"
        self._listen(JointTrajectory, trajectory, self._on_trajectory, _MANY)
        self._listen(JointState, "/joint_states", self._on_joints, _JOINTS)
        self._chunks = self._node.create_publisher(ExpressionChunk, "/fabg/policy/command", 10)

    def __enter__(self) -> LatencyProbe:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening and leave the middleware."""
        self._stopping.set()
        self._thread.join(timeout=5.0)
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def check(self) -> None:
        """See that it still listens.

        Raises
        ------
        EnvironmentProblem
            When the middleware has failed.
        """
        if self.failure is not None:
            raise EnvironmentProblem(f"the probe failed: {self.failure}") from self.failure

    def graph_is_up(self) -> bool:
        """Return whether a node of the suite is there."""
        return self._node.count_publishers("/fabg/timing") > 0

    def stages(self) -> set[str]:
        """Return the stages that have reported."""
        return {timing.stage for timing in self.heard.timings}

    def forget(self) -> None:
        """Begin anew."""
        self.heard = Heard()

    def move(self, movement: Movement, seconds_: float, wait: Callable[[float], bool]) -> None:
        """Send a movement as a policy would, eased in from the pose measured last and out to rest.

        The robot's policy is not obeyed meanwhile: its images are older than these commands.

        Parameters
        ----------
        movement
            What to do.
        seconds_
            For how long, s.
        wait
            Waits so many seconds, and tells whether to end early.

        Raises
        ------
        EnvironmentProblem
            When nobody takes commands, or no joint states have come.
        """
        if self._chunks.get_subscription_count() == 0:
            raise EnvironmentProblem(
                "nobody takes commands on /fabg/policy/command: is the actuation node up?"
            )
        if not self.heard.joints:
            raise EnvironmentProblem("no joint states came on /joint_states: is the robot, or robot_sim, up?")
        start = Retargeter(self._robot).to_expression(self.heard.joints[-1][1])

        def at(t_s: float) -> expression.Vector:
            inwards = float(ease(t_s, _EASE_S))
            outwards = 1.0 - float(ease(t_s - (seconds_ - _EASE_S), _EASE_S))
            return (1.0 - inwards) * start + inwards * outwards * movement(t_s)

        began_s = self._now_s()
        while (now_s := self._now_s()) < began_s + seconds_:
            times = now_s - began_s + _CHUNK_STEP_S * np.arange(_CHUNK_STEPS)
            chunk = Chunk(np.array([at(t) for t in times]), now_s, _CHUNK_STEP_S, "excite")
            self._chunks.publish(chunk_to_message(chunk, stamp(now_s)))
            if wait(_CHUNK_EVERY_S):
                return

    # Listening -----------------------------------------------------------------------------------

    def _listen(
        self, kind: type, topic: str, callback: Callable[[Any, float], None], qos: QoSProfile
    ) -> None:
        def guarded(message: Any, info: Any) -> None:
            # When it was sent, as the middleware says: this process may hear it late.
            sent_s = info["source_timestamp"] * 1e-9
            try:
                callback(message, sent_s if sent_s > 0 else self._now_s())
            except FabgError:  # one bad message must not end the measurement
                self.heard.refused += 1

        self._node.create_subscription(kind, topic, guarded, qos)

    def _spin(self) -> None:
        try:
            while not self._stopping.is_set():
                self._executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            pass
        except Exception as error:  # told to the main thread, which ends the run
            self.failure = error

    def _now_s(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9

    def _on_timing(self, message: Timing, sent_s: float) -> None:
        self.heard.timings.append(
            StageTiming(
                message.stage,
                seconds(message.header.stamp),
                seconds(message.received),
                seconds(message.finished),
            )
        )

    def _on_command(self, message: Float64MultiArray, sent_s: float) -> None:
        self._keep(self._robot.checked(message.data, "servo command"), sent_s)

    def _on_trajectory(self, message: JointTrajectory, sent_s: float) -> None:
        if not message.points:
            raise CommandRefused("joint trajectory has no points: expected at least one")
        target = self._target.copy()
        for name, angle in zip(message.joint_names, message.points[-1].positions, strict=False):
            if name in self._robot.index:
                target[self._robot.index[name]] = angle
        self._keep(self._robot.checked(target, "joint trajectory"), sent_s)

    def _keep(self, target: Array, sent_s: float) -> None:
        self._target = target
        self.heard.commands.append((sent_s, target))

    def _on_joints(self, message: JointState, sent_s: float) -> None:
        measured_s = seconds(message.header.stamp)
        at_s = measured_s if measured_s > 0.0 else sent_s
        self.heard.joints.append((at_s, positions_from_message(message, self._robot)))
