"""`fabg latency measure` as a user types it, against a graph whose delays are known."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from fabg_msgs.msg import ExpressionChunk, Timing
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from fabg.latency_budget import NOTHING_MOVED
from fabg.robot.model import load_robot
from fabg.ros.joints import states_to_message
from fabg.ros.time import stamp
from fabg.social.delays import Latency
from fabg.social.servo import ServoModel
from tests.conftest import wait_until

DELAY_S = 0.150
OFFSETS_S = {"face": (0.004, 0.062), "policy": (0.060, 0.072), "actuation": (0.075, 0.085)}
"""When the stand-ins for nodes received an image and were done with it, after it was taken."""


def fabg(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "fabg.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Robot:
    """Servos that have each command `DELAY_S` after it was sent, on the test's own node."""

    def __init__(self, node):
        self._node, self._robot = node, load_robot()
        self._servos = ServoModel(self._robot)
        self._began_s = self.now_s()
        self._states = node.create_publisher(JointState, "/joint_states", 10)
        node.create_subscription(
            Float64MultiArray, "/forward_command_controller/commands", self._on_command, 50
        )
        node.create_timer(0.01, self._step)
        self.commands = 0

    def now_s(self):
        return self._node.get_clock().now().nanoseconds * 1e-9

    def _on_command(self, message, info):
        # From when it was sent: that this process may be held up changes nothing.
        sent_s = info["source_timestamp"] * 1e-9 - self._began_s
        self._servos.command(message.data, sent_s + DELAY_S)
        self.commands += 1

    def _step(self, *_):
        self._servos.advance(self.now_s() - self._began_s - self._servos.now_s)
        message = states_to_message(
            self._servos.positions(), self._servos.velocities(), self._robot, stamp(self.now_s())
        )
        self._states.publish(message)


def report_images(node):
    """Let stand-ins for face, policy and actuation node report an image 25 times a second."""
    timings = node.create_publisher(Timing, "/fabg/timing", 50)

    def report(*_):
        origin = node.get_clock().now().nanoseconds * 1e-9 - 0.1
        for stage, (received, finished) in OFFSETS_S.items():
            message = Timing(
                stage=stage, received=stamp(origin + received), finished=stamp(origin + finished)
            )
            message.header.stamp = stamp(origin)
            timings.publish(message)

    node.create_timer(0.04, report)


@pytest.mark.graph
def test_it_measures_a_graph_whose_delays_are_known(probe, node_process, tmp_path):
    robot = Robot(probe.node)
    report_images(probe.node)
    chunks = probe.collect(ExpressionChunk, "/fabg/policy/command")
    node_process("actuation")
    wait_until(lambda: robot.commands > 0, "servo commands")

    # It only listens: the robot stays where it is, and the servos cannot be timed.
    done = fabg("latency", "measure", "--seconds", "1", "--json", "still.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    still = json.loads((tmp_path / "still.json").read_text())
    assert not chunks
    assert still["notes"] == [NOTHING_MOVED] and NOTHING_MOVED in done.stderr
    stages = {entry["stage"]: entry["ms"] for entry in still["stages"]}
    known = {"sensing": 60.0, "inference": 12.0, "transport": 3.0, "tick": 10.0}
    for name, ms in known.items():
        assert stages[name]["p50"] == pytest.approx(ms, abs=0.01)
        assert stages[name]["jitter"] == pytest.approx(0.0, abs=0.01)
    assert stages["servo delay"] is None
    assert still["total"]["ms"]["p50"] == pytest.approx(85.0, abs=0.01)
    assert '--latency "sensing=60; inference=12; transport=3"' in done.stdout

    done = fabg(
        "latency", "measure", "--seconds", "1", "--excite", "--json", "moved.json", "--report", "page",
        "--delays-csv", "delays", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    moved = json.loads((tmp_path / "moved.json").read_text())
    stages = {entry["stage"]: entry["ms"] for entry in moved["stages"]}
    assert moved["notes"] == [] and chunks
    assert stages["sensing"]["p50"] == pytest.approx(60.0, abs=0.01)
    assert stages["servo delay"]["p50"] == pytest.approx(1e3 * DELAY_S, abs=12.0)
    lag_ms = stages["servo delay"]["p50"] + stages["servo lag"]["p50"]
    assert moved["total"]["ms"]["p50"] == pytest.approx(85.0 + lag_ms, abs=12.0)
    assert (tmp_path / "page" / "report.html").is_file()

    # What is printed for the simulator is what was measured.
    line = next(row for row in done.stdout.splitlines() if "jitter" in row and row.startswith("--latency"))
    latency = Latency.parse(line.removeprefix("--latency ").strip('"'))
    assert str(latency) == str(Latency.parse(moved["latency"]))
    assert latency.actuation.mean_ms == pytest.approx(stages["servo delay"]["mean"], abs=0.06)
    with (tmp_path / "delays" / "actuation.csv").open() as file:
        delays = [float(row["delay_ms"]) for row in csv.DictReader(file)]
    assert np.mean(delays) == pytest.approx(stages["servo delay"]["mean"], abs=0.01)


@pytest.mark.graph
@pytest.mark.slow
def test_it_starts_a_graph_of_its_own_and_ends_it(ros, tmp_path):
    done = fabg("latency", "measure", "--start", "--seconds", "8", "--json", "budget.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "budget.json").read_text())
    stages = {entry["stage"]: entry["ms"] for entry in result["stages"]}
    assert all(stages[name]["count"] > 0 for name in ("sensing", "inference", "transport", "tick"))
    assert {entry["stage"] for entry in result["perception"]} == {"camera", "face"}
    # Medians of parts do not add up exactly, means over the same images do.
    parts = ("sensing", "inference", "transport", "tick")
    assert result["total"]["ms"]["mean"] > max(stages[name]["mean"] for name in parts)
    Latency.parse(result["latency"])


@pytest.mark.graph
def test_without_a_graph_it_says_how_to_start_one(ros, tmp_path):
    done = fabg("latency", "measure", "--seconds", "1", cwd=tmp_path)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1 and "Traceback" not in said
    assert "no graph answered within 5 s on ROS domain" in said and "`fabg up`" in said and "--start" in said


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--input", "film.mp4"], "--input is for a graph that --start starts"),
        (["--with", "gaze"], "--with is for a graph that --start starts"),
        (["--start", "--input", "no/such.mp4"], "no/such.mp4"),
        (["--start", "--with", "nosuch"], "'nosuch'"),
        (["--seconds", "0"], "--seconds"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(arguments, said, tmp_path):
    done = fabg("latency", "measure", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
