"""Timings of all nodes in, the latency budget out."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fabg_msgs.msg import Latency, StageLatency, Timing
from rclpy.qos import QoSProfile

from fabg.latency import LatencyLedger
from fabg.ros.node import FabgNode, run
from fabg.ros.params import param
from fabg.ros.time import seconds


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
        self._latency = self.publisher(Latency, "/fabg/latency")
        self.subscribe(Timing, "/fabg/timing", self._on_timing, QoSProfile(depth=200))
        self.every(1.0 / self.config.rate_hz, self._report, "report")

    def _on_timing(self, message: Timing) -> None:
        noted = self._ledger.add(
            message.stage,
            origin_s=seconds(message.header.stamp),
            received_s=seconds(message.received),
            finished_s=seconds(message.finished),
        )
        self.health.count("timings" if noted else "contradictory")

    def _report(self) -> None:
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
    return run(MonitorNode)


if __name__ == "__main__":
    sys.exit(main())
