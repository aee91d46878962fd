"""The whole graph in real processes: the camera-to-servo path, and what happens when parts fail."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from fabg_msgs.msg import ActuationStatus, FaceArray, Latency
from sensor_msgs.msg import JointState

from fabg.robot.model import load_robot
from fabg.ros.bringup import Graph
from fabg.ros.joints import positions_from_message
from fabg.ros.node import NEWEST_ONLY
from fabg.ros.time import seconds
from tests.conftest import wait_until

pytestmark = pytest.mark.graph


def _graph(lines, **arguments):
    overrides = {"camera": {"source": "clip", "loop": True}, "actuation": {"arbiter.hold_s": 0.5}}
    return Graph(
        overrides=overrides,
        environment={"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]},
        on_line=lambda name, line: lines.append(f"[{name}] {line}"),
        on_event=lambda name, text: lines.append(f"[{name}] {text}"),
        **arguments,
    )


def test_the_robot_mirrors_and_survives_the_loss_of_its_eyes(probe):
    """Camera to servo; then the face node is killed: hold, neutral, restart, mirror again."""
    robot, lines = load_robot(), []
    states = probe.collect(JointState, "/joint_states", NEWEST_ONLY)
    status = probe.collect(ActuationStatus, "/fabg/actuation/status")
    faces = probe.collect(FaceArray, "/fabg/faces", NEWEST_ONLY)
    latency = probe.collect(Latency, "/fabg/latency")
    with _graph(lines) as graph:
        supervisor = graph.supervisor

        def following():
            assert supervisor.poll() == [], lines[-20:]
            return status and status[-1].state == ActuationStatus.FOLLOWING and status[-1].source == "policy"

        wait_until(following, f"the robot to follow {lines[-5:]}")
        wait_until(lambda: any(f.faces for f in faces), "a face")
        wait_until(
            lambda: states and np.abs(positions_from_message(states[-1], robot) - robot.neutral).max() > 0.05,
            "a moving robot",
        )
        positions = np.array([positions_from_message(s, robot) for s in states])
        assert (positions >= robot.lower - 0.02).all() and (positions <= robot.upper + 0.02).all()

        wait_until(
            lambda: latency and {s.stage for s in latency[-1].stages} >= {"face", "policy", "actuation"},
            "stages",
        )

        def adds_up():
            ages = {s.stage: s.age_p50_ms for s in latency[-1].stages}
            return ages["face"] <= ages["policy"] <= ages["actuation"]

        # Each stage's median is over messages of its own: a busy machine's first ones may tell otherwise.
        wait_until(adds_up, "each stage to add to the age of the image")

        face = supervisor.children["face"]
        status.clear()
        os.kill(face.process.pid, signal.SIGKILL)
        wait_until(lambda: any(s.state == ActuationStatus.HOLDING for s in status), "the robot to hold")
        wait_until(lambda: supervisor.poll() == [] and face.restarts == 1, "the face node to come back")
        wait_until(following, "the robot to follow again")
        seen = [s.state for s in status]
        assert seen.index(ActuationStatus.HOLDING) < len(seen) - 1 - seen[::-1].index(
            ActuationStatus.FOLLOWING
        )
        assert any("face" in line and "signal 9" in line for line in lines)
        pids = [c.process.pid for c in supervisor.children.values()]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_without_eyes_the_robot_returns_to_neutral(probe):
    robot, lines = load_robot(), []
    states = probe.collect(JointState, "/joint_states", NEWEST_ONLY)
    status = probe.collect(ActuationStatus, "/fabg/actuation/status")
    with _graph(lines) as graph:
        wait_until(lambda: status and status[-1].state == ActuationStatus.FOLLOWING, "the robot to follow")
        status.clear()  # what it did before anybody commanded is not the question
        for name in ("face", "camera"):
            child = graph.supervisor.children[name]
            child.process.send_signal(signal.SIGKILL)  # poll() is not called: nothing restarts them
            child.process.wait()
        wait_until(lambda: status and status[-1].state == ActuationStatus.NEUTRAL, "neutral")
        order = [s.state for s in status]
        assert order.index(ActuationStatus.HOLDING) < order.index(ActuationStatus.RETURNING)
        assert order.index(ActuationStatus.RETURNING) < order.index(ActuationStatus.NEUTRAL)
        wait_until(
            lambda: np.abs(positions_from_message(states[-1], robot) - robot.neutral).max() < 0.03,
            "the neutral pose",
        )


def test_stamps_travel_unchanged_from_camera_to_policy(probe):
    from fabg_msgs.msg import ExpressionChunk
    from sensor_msgs.msg import CameraInfo

    lines = []
    info = probe.collect(CameraInfo, "/camera/left/camera_info", NEWEST_ONLY)
    faces = probe.collect(FaceArray, "/fabg/faces", NEWEST_ONLY)
    chunks = probe.collect(ExpressionChunk, "/fabg/policy/command")
    stamps = lambda messages: [seconds(m.header.stamp) for m in messages]  # noqa: E731

    def followed():
        """Stamps that were seen at all three places."""
        return set(stamps(info)) & set(stamps(faces)) & set(stamps(chunks))

    with _graph(lines):
        wait_until(lambda: len(followed()) > 15, "images that can be followed from camera to policy")
    assert stamps(chunks) == sorted(stamps(chunks))


def _fabg(*arguments):
    command = [sys.executable, "-m", "fabg.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_stop_command_stops_until_it_is_reset(probe):
    lines = []
    status = probe.collect(ActuationStatus, "/fabg/actuation/status")
    with _graph(lines):
        wait_until(lambda: status and status[-1].state == ActuationStatus.FOLLOWING, "the robot to follow")
        done = _fabg("estop", "--reason", "a hand in the gears")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: status[-1].state == ActuationStatus.STOPPED, "the stop")
        assert "a hand in the gears" in status[-1].reason
        assert _fabg("estop", "--reset").returncode == 0
        wait_until(lambda: status[-1].state == ActuationStatus.FOLLOWING, "the robot to follow again")


def test_the_stop_command_says_when_nobody_answers(ros):
    done = _fabg("estop")
    assert done.returncode == 1
    assert "no actuation node answered" in done.stderr and "Traceback" not in done.stderr


def test_up_ends_by_ctrl_c_and_leaves_no_process(ros, tmp_path):
    command = [
        sys.executable,
        "-m",
        "fabg.cli",
        "up",
        "--only",
        "monitor,robot_sim",
        "--log-dir",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def group():
        command = ["ps", "-o", "pid=", "--ppid", str(process.pid)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()

    try:
        wait_until(lambda: (tmp_path / "monitor.log").exists() and len(group()) == 2, "two nodes")
        children = [int(pid) for pid in group()]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        for pid in children:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_up_with_an_impossible_input_says_so_and_ends(ros):
    done = _fabg("up", "--only", "camera", "--input", "/no/such/film.mp4")
    assert done.returncode == 1
    assert "/no/such/film.mp4" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--only", "nosuch"], "'nosuch'"),
        (["--set", "camera"], "node.parameter=value"),
        (["--set", "nosuch.rate=1"], "'nosuch'"),
    ],
)
def test_up_refuses_what_it_does_not_know(arguments, said):
    done = _fabg("up", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
