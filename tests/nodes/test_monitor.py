"""The monitor in a process of its own."""

import pytest
from fabg_msgs.msg import Latency, Timing

from fabg.ros.time import stamp
from tests.conftest import wait_until

pytestmark = pytest.mark.graph


def test_it_adds_up_where_the_time_goes(probe, node_process):
    reports = probe.collect(Latency, "/fabg/latency")
    node_process("monitor", rate_hz=10.0)
    # All at once: a writer that kept fewer would overwrite those that the monitor has not fetched yet.
    timings = probe.publisher(Timing, "/fabg/timing", 50)
    now = probe.node.get_clock().now().nanoseconds * 1e-9
    for k in range(20):
        origin = now - 0.5 + k * 0.02
        for stage, received, finished in (("policy", 0.030, 0.035), ("face", 0.004, 0.030)):
            message = Timing(
                stage=stage, received=stamp(origin + received), finished=stamp(origin + finished)
            )
            message.header.stamp = stamp(origin)
            timings.publish(message)
    wrong = Timing(stage="face", received=stamp(now), finished=stamp(now - 1.0))
    wrong.header.stamp = stamp(now)
    timings.publish(wrong)

    report = wait_until(
        lambda: next((r for r in reports if [s.count for s in r.stages] == [20, 20]), None), "20 each"
    )
    face, policy = report.stages
    assert (face.stage, policy.stage) == ("face", "policy")
    assert face.work_p50_ms == pytest.approx(26.0, abs=0.01)
    assert face.age_p95_ms == pytest.approx(30.0, abs=0.01)
    assert policy.work_p95_ms == pytest.approx(5.0, abs=0.01)
    assert policy.age_p50_ms == pytest.approx(35.0, abs=0.01)
