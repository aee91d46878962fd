"""The monitor in a process of its own."""

import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from fabg_msgs.msg import Latency, Timing
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from fabg.nodes.monitor import MonitorConfig
from fabg.paths import share_dir
from fabg.ros.actuation import FORWARD_TOPIC, TRAJECTORY_TOPIC, trajectory_to_message
from fabg.ros.params import flattened
from fabg.ros.time import stamp
from tests.conftest import wait_until
from tests.nodes.late_servos import ROBOT, LateServos

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


class Mover:
    """Plays actuation at 50 Hz: moves all servos, or none, and reports images that were 80 ms old when it was done."""

    AGE_S = 0.08

    def __init__(self, probe, servos, *, trajectory=False, share=0.2):
        self._servos, self._trajectory, self._share = servos, trajectory, share
        kind, topic = (
            (JointTrajectory, TRAJECTORY_TOPIC) if trajectory else (Float64MultiArray, FORWARD_TOPIC)
        )
        self._commands = probe.publisher(kind, topic)
        self._timings = probe.publisher(Timing, "/fabg/timing", 50)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def close(self):
        self._stopping.set()
        self._thread.join()

    def _live(self):
        middle, reach = (ROBOT.lower + ROBOT.upper) / 2, ROBOT.upper - ROBOT.lower
        pace = 2 * np.pi * np.linspace(0.4, 0.9, len(ROBOT.joints))
        while not self._stopping.wait(0.02):
            now_s = self._servos.now_s()
            angles = middle + self._share * reach * np.sin(pace * (now_s % 1000.0))
            self._servos.obey(angles, now_s)
            if self._trajectory:
                self._commands.publish(trajectory_to_message(angles.tolist(), ROBOT, 0.02))
            else:
                self._commands.publish(Float64MultiArray(data=angles.tolist()))
            timing = Timing(stage="actuation", received=stamp(now_s - 0.01), finished=stamp(now_s))
            timing.header.stamp = stamp(now_s - self.AGE_S)
            self._timings.publish(timing)


@pytest.fixture
def moved(probe, node_process):
    """Start the monitor beside servos that are late by `delay_s`, and something that moves them."""
    made = []

    def begin(delay_s, **options):
        node_process("monitor", rate_hz=5.0, window_s=5.0)
        made.append(LateServos(probe, delay_s))
        made.append(Mover(probe, made[0], **options))
        return made[0]

    yield begin
    for part in reversed(made):
        part.close()


@pytest.mark.parametrize("delay_ms, trajectory", [(60, False), (180, True)])
def test_it_measures_how_late_the_servos_have_their_commands(probe, moved, delay_ms, trajectory):
    reports = probe.collect(Latency, "/fabg/latency")
    moved(delay_ms / 1e3, trajectory=trajectory)

    def stages():
        return {s.stage: s for s in reports[-1].stages} if reports else {}

    def measured():
        # A busy machine hears commands late now and then.
        servo = stages().get("servo")
        return servo and servo.count > 20 and abs(servo.work_p50_ms - delay_ms) < 15.0 and stages()

    found = wait_until(measured, "the delay to be measured")
    assert [s.stage for s in reports[-1].stages] == ["actuation", "servo"]
    age_ms = found["servo"].age_p50_ms - found["servo"].work_p50_ms
    assert age_ms == pytest.approx(1e3 * Mover.AGE_S, abs=0.5), "age of the image when the servos have it"


def test_of_servos_that_rest_nothing_is_said(probe, moved):
    reports = probe.collect(Latency, "/fabg/latency")
    moved(0.1, share=0.0)
    wait_until(lambda: reports and any(s.count > 150 for s in reports[-1].stages), "reports of actuation")
    assert [s.stage for s in reports[-1].stages] == ["actuation"]


def test_the_parameter_file_shows_the_defaults():
    text = (Path(share_dir()) / "config" / "monitor.yaml").read_text()
    flat = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert flat.pop("autostart") is True
    assert flat == flattened(MonitorConfig())
