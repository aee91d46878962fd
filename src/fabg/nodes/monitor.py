"""Timings of all nodes, commands and joint states in, the latency budget out."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fabg_msgs.msg import Latency, StageLatency, Timing
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from fabg.latency import SERVO, LatencyLedger
from fabg.robot.model import load_robot
from fabg.robot.servo_delay import ServoDelay
from fabg.ros.actuation import listen_to_commands
from fabg.ros.joints import positions_from_message
from fabg.ros.node import FabgNode, run
from fabg.ros.params import param
from fabg.ros.time import seconds

_MANY = QoSProfile(depth=200)
# Robots publish their joints reliably or not: this hears both.
_JOINTS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """Parameters of the monitor."""

    window_s: float = param(10.0, "how far back the percentiles reach, s", low=1.0, high=600.0)
    rate_hz: float = param(1.0, "reports a second", low=0.1, high=10.0)


class MonitorNode(FabgNode[MonitorConfig]):
    """Adds up where the time goes from camera to servo."""

    def __init__(self, **options: object) -> None:
        super().__init__("monitor", MonitorConfig, **options)

    def setup(self) -> None:
        """Join the graph."""
        self._ledger = LatencyLedger(self.config.window_s)
        self._robot = load_robot()
        self._servo = ServoDelay(self._robot)
        self._latency = self.publisher(Latency, "/fabg/latency")
        self.subscribe(Timing, "/fabg/timing", self._on_timing, _MANY)
        self.subscribe(JointState, "/joint_states", self._on_joints, _JOINTS)
        listen_to_commands(self, self._robot, lambda angles: self._servo.add_command(self.now_s(), angles))
        self.every(1.0 / self.config.rate_hz, self._report, "report")

    def start(self) -> None:
        """Measure the servos anew."""
        self._servo.reset()
        self._servo_s: float | None = None

    def _on_joints(self, message: JointState) -> None:
        self._servo.add_joints(seconds(message.header.stamp), positions_from_message(message, self._robot))

    def _on_timing(self, message: Timing) -> None:
        origin_s, received_s, finished_s = (
            seconds(t) for t in (message.header.stamp, message.received, message.finished)
        )
        noted = self._ledger.add(
            message.stage, origin_s=origin_s, received_s=received_s, finished_s=finished_s
        )
        self.health.count("timings" if noted else "contradictory")
        if noted and message.stage == "actuation" and self._servo_s is not None:
            # What actuation has just sent will be with the servos so much later.
            self._ledger.add(
                SERVO, origin_s=origin_s, received_s=finished_s, finished_s=finished_s + self._servo_s
            )

    def _report(self) -> None:
        # A robot that rests says nothing new of its servos: what was measured last holds.
        if (measured_s := self._servo.delay_s) is not None:
            self._servo_s = measured_s
            self.health.values["servo_ms"] = f"{measured_s * 1e3:.0f}"
        message = Latency(window_s=self.config.window_s)
        message.header.stamp = self.get_clock().now().to_msg()
        for report in self._ledger.report(self.now_s()):
            message.stages.append(
                StageLatency(
                    stage=report.stage,
                    count=report.work_ms.count,
                    work_p50_ms=report.work_ms.p50,
                    work_p95_ms=report.work_ms.p95,
                    age_p50_ms=report.age_ms.p50,
                    age_p95_ms=report.age_ms.p95,
                )
            )
        self._latency.publish(message)


def main() -> int:
    """Run the node."""
    return run(MonitorNode, light=True)


if __name__ == "__main__":
    sys.exit(main())
