"""The actuation node in a process of its own; the test plays the robot, the policy and the operator."""

import math
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import ActuationStatus, ExpressionChunk, Latency, OperatorFrame, StageLatency, Timing
from fabg_msgs.srv import EStop
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from fabg import expression
from fabg.paths import share_dir
from fabg.policy.base import Chunk
from fabg.robot.model import load_robot
from fabg.ros.actuation import FORWARD_TOPIC
from fabg.ros.convert import chunk_to_message
from fabg.ros.joints import states_to_message
from fabg.ros.params import flattened
from fabg.ros.time import stamp
from tests.conftest import wait_until
from tests.nodes.late_servos import LateServos

pytestmark = pytest.mark.graph

ROBOT = load_robot()
JAW = ROBOT.index["jaw"]
QUICK = {"arbiter.hold_s": 0.4, "arbiter.return_s": 0.5, "arbiter.timeout_s": 0.3, "arbiter.blend_s": 0.1}


class Robot:
    """Obeys at once and reports its joints at 100 Hz; a policy and an operator speak at 25 Hz when set."""

    def __init__(self, probe):
        self.node = probe.node
        self.pose = ROBOT.neutral.copy()
        self.commands = []
        self.reporting, self.policy, self.operator = True, None, None
        self.status = probe.collect(ActuationStatus, "/fabg/actuation/status")
        self.timing = probe.collect(Timing, "/fabg/timing")
        self.node.create_subscription(
            Float64MultiArray, "/forward_command_controller/commands", self._obey, 10
        )
        self._states = probe.publisher(JointState, "/joint_states")
        self.chunks = probe.publisher(ExpressionChunk, "/fabg/policy/command")
        self.frames = probe.publisher(OperatorFrame, "/fabg/teleop/operator")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def now_s(self):
        return self.node.get_clock().now().nanoseconds * 1e-9

    def _obey(self, message):
        self.pose = np.array(message.data)
        self.commands.append(self.pose)

    def _live(self):
        beat = 0
        while not self._stopping.wait(0.01):
            beat += 1
            now_s = self.now_s()
            if self.reporting:
                self._states.publish(states_to_message(self.pose, np.zeros(25), ROBOT, stamp(now_s)))
            if self.policy is not None and beat % 4 == 0:
                self.chunks.publish(self.chunk(self.policy, now_s))
            if self.operator is not None and beat % 4 == 0:
                frame = OperatorFrame(source_id="test", values=self.operator[0], valid=self.operator[1])
                frame.header.stamp = stamp(now_s)
                self.frames.publish(frame)

    @staticmethod
    def chunk(vector, at_s):
        return chunk_to_message(Chunk(np.asarray(vector)[None], at_s, 0.02, "test"), stamp(at_s))

    def state(self):
        return self.status[-1].state if self.status else None

    def close(self):
        self._stopping.set()
        self._thread.join()


@pytest.fixture
def start(node_process, probe):
    robots = []

    def begin(**parameters):
        process = node_process("actuation", **QUICK, **parameters)
        robots.append(Robot(probe))
        return process, robots[-1]

    yield begin
    for robot in robots:
        robot.close()


def _estop(probe, action=EStop.Request.ENGAGE, reason=""):
    return probe.call(EStop, "/fabg/estop", EStop.Request(action=action, reason=reason))


OPEN = expression.from_mapping({"jawOpen": 1.0, "headYaw": 0.5})


def test_commands_flow_and_a_lost_source_is_held_then_neutral(probe, start):
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    _, robot = start()
    wait_until(lambda: robot.state() is not None, "a status")
    robot.policy = OPEN
    wait_until(lambda: robot.pose[JAW] > 0.99 * ROBOT.upper[JAW], "the jaw to open")
    assert robot.state() == ActuationStatus.FOLLOWING and robot.status[-1].source == "policy"
    assert 0.0 <= robot.status[-1].command_age_s < 0.5
    path = np.array(robot.commands)
    assert (path >= ROBOT.lower).all() and (path <= ROBOT.upper).all()
    steps = np.abs(np.diff(path, axis=0))
    assert (steps <= ROBOT.max_velocity * 0.04 + 1e-9).all(), "no leap, however late a tick"

    wait_until(lambda: [t for t in robot.timing if t.stage == "actuation"], "timing reports")
    timing = next(t for t in robot.timing if t.stage == "actuation")
    origin, received, finished = (
        t.sec + t.nanosec * 1e-9 for t in (timing.header.stamp, timing.received, timing.finished)
    )
    assert origin <= received <= finished < origin + 1.0

    def healthy():
        # A report in whose window nothing was obeyed knows no ages: the machine may be busy.
        told = {"rate_hz", "age_ms_p95", "work_ms_p95"}
        status = diagnostics[-1].status[0] if diagnostics else None
        return status is not None and status.level == b"\0" and {v.key for v in status.values} >= told

    wait_until(healthy, "healthy diagnostics with rate, ages and work")

    robot.status.clear()
    robot.policy = None
    wait_until(lambda: robot.state() == ActuationStatus.NEUTRAL, "neutral")
    order = list(dict.fromkeys(s.state for s in robot.status))
    wanted = [
        ActuationStatus.FOLLOWING,
        ActuationStatus.HOLDING,
        ActuationStatus.RETURNING,
        ActuationStatus.NEUTRAL,
    ]
    assert order in (wanted, wanted[1:])
    held = next(s for s in robot.status if s.state == ActuationStatus.HOLDING)
    assert held.command[JAW] == pytest.approx(ROBOT.upper[JAW], abs=1e-3) and "policy was lost" in held.reason
    wait_until(lambda: np.abs(robot.pose - ROBOT.neutral).max() < 1e-3, "the neutral pose")


def test_bad_commands_are_refused_and_counted_and_the_node_lives_on(probe, start):
    _, robot = start()
    robot.policy = OPEN
    wait_until(lambda: robot.state() == ActuationStatus.FOLLOWING, "the robot to follow")
    robot.policy = None
    wait_until(lambda: robot.state() == ActuationStatus.NEUTRAL, "neutral")
    accepted = robot.status[-1].accepted

    now_s = robot.now_s
    nan, empty, long, short = (robot.chunk(OPEN, now_s()) for _ in range(4))
    nan.values[17] = float("nan")
    empty.values, empty.length = [], 0
    long.values, long.length = [0.0] * 61 * 300, 300
    short.values = [0.5] * 60
    stale, future = robot.chunk(OPEN, now_s() - 5.0), robot.chunk(OPEN, now_s() + 5.0)
    frame = OperatorFrame(source_id="empty")
    frame.header.stamp = stamp(now_s())
    for count, message in enumerate((nan, empty, long, short, stale, future), start=1):
        robot.chunks.publish(message)
        wait_until(lambda count=count: robot.status[-1].refused == count, f"refusal {count}")
    robot.frames.publish(frame)
    wait_until(lambda: robot.status[-1].refused == 7, "the empty frame to be refused")
    assert robot.status[-1].stale == 1 and robot.status[-1].accepted == accepted
    assert robot.state() == ActuationStatus.NEUTRAL
    assert np.abs(robot.pose - ROBOT.neutral).max() < 0.02 and np.isfinite(np.array(robot.commands)).all()

    robot.policy = OPEN
    wait_until(lambda: robot.pose[JAW] > 0.9 * ROBOT.upper[JAW], "the robot to follow again")


def test_the_e_stop_stops_within_ticks_latches_and_replays_nothing(probe, start):
    _, robot = start()
    robot.policy = OPEN
    wait_until(lambda: robot.pose[JAW] > 0.2 * ROBOT.upper[JAW], "the jaw to open")
    answer = _estop(probe, reason="test")
    at_stop = len(robot.commands)
    assert answer.success and answer.latched
    wait_until(lambda: robot.state() == ActuationStatus.STOPPED, "STOPPED")
    wait_until(lambda: len(robot.commands) > at_stop + 40, "commands after the stop")
    path = np.array(robot.commands[at_stop:])
    # The slowest joints brake from full speed in 0.25 s.
    assert np.abs(path[18:] - path[-1]).max() < 1e-9
    assert robot.status[-1].estop and robot.status[-1].source == "estop" and "test" in robot.status[-1].reason

    robot.policy = None
    held = path[-1]
    assert not _estop(probe, EStop.Request.RESET).latched
    robot.status.clear()
    wait_until(lambda: robot.state() == ActuationStatus.NEUTRAL, "neutral after the reset")
    assert ActuationStatus.FOLLOWING not in {s.state for s in robot.status}, "the old command came back"
    after = np.array(robot.commands[at_stop + len(path) :])
    assert after[:, JAW].max() <= held[JAW] + 1e-3
    robot.policy = OPEN
    wait_until(lambda: robot.pose[JAW] > 0.9 * ROBOT.upper[JAW], "new commands to be obeyed")


def test_started_stopped_it_moves_only_after_a_reset(probe, start):
    _, robot = start(start_stopped=True)
    robot.policy = OPEN
    wait_until(lambda: robot.state() == ActuationStatus.STOPPED and robot.status[-1].refused > 3, "STOPPED")
    assert not robot.commands
    assert not _estop(probe, EStop.Request.RESET).latched
    wait_until(lambda: robot.pose[JAW] > 0.9 * ROBOT.upper[JAW], "the policy to be followed")


def test_the_operator_outranks_the_policy_and_only_measured_entries_count(probe, start):
    _, robot = start()
    robot.policy = OPEN
    wait_until(lambda: robot.pose[JAW] > 0.9 * ROBOT.upper[JAW], "the policy to be followed")
    values = expression.from_mapping({"mouthSmileLeft": 1.0})
    values[expression.INDEX["jawOpen"]] = np.nan  # not measured, so it must not matter
    valid = np.zeros(61, dtype=bool)
    valid[expression.INDEX["mouthSmileLeft"]] = True
    robot.operator = (values, valid.tolist())
    smile = ROBOT.index["corner_vertical_left"]
    wait_until(
        lambda: robot.pose[smile] > 0.99 * ROBOT.upper[smile] and robot.pose[JAW] < 0.01, "the smile alone"
    )
    assert robot.status[-1].source == "teleop"
    robot.operator = None
    robot.status.clear()
    wait_until(
        lambda: robot.state() == ActuationStatus.FOLLOWING and robot.status[-1].source == "policy",
        "the policy",
    )
    assert ActuationStatus.HOLDING in {s.state for s in robot.status}


def test_lost_joint_states_silence_the_node(probe, start):
    _, robot = start()
    robot.policy = OPEN
    wait_until(lambda: robot.state() == ActuationStatus.FOLLOWING, "the robot to follow")
    robot.reporting = False
    wait_until(lambda: robot.state() == ActuationStatus.WAITING, "WAITING")
    assert "joint states" in robot.status[-1].reason
    sent = len(robot.commands)
    reports = len(robot.status)
    wait_until(lambda: len(robot.status) > reports + 3, "further reports")
    assert len(robot.commands) == sent, "no command without joint states"
    robot.reporting = True
    wait_until(lambda: robot.state() == ActuationStatus.FOLLOWING, "the robot to follow again")


def test_trajectory_output(probe, start):
    trajectories = probe.collect(JointTrajectory, "/joint_trajectory_controller/joint_trajectory")
    _, robot = start(output="trajectory")
    robot.policy = OPEN
    wait_until(lambda: trajectories and trajectories[-1].points[0].positions[JAW] > 0.05, "a trajectory")
    message = trajectories[-1]
    assert tuple(message.joint_names) == ROBOT.names and len(message.points) == 1
    within = message.points[0].time_from_start
    assert within.sec == 0 and within.nanosec == pytest.approx(20_000_000)
    assert not robot.commands, "one controller only"


def test_idle_blinks_when_nobody_commands(probe, start):
    _, robot = start(idle=True)
    lid = ROBOT.index["lid_left"]
    wait_until(lambda: robot.pose[lid] > 0.5 * ROBOT.upper[lid], "a blink")
    assert robot.status[-1].source == "idle"


def test_on_shutdown_it_brakes_and_then_is_silent(probe, start):
    process, robot = start()
    robot.policy = OPEN
    wait_until(lambda: robot.pose[JAW] > 0.3 * ROBOT.upper[JAW], "motion")
    process.send_signal(signal.SIGINT)
    assert process.wait(10.0) == 0
    path = np.array(robot.commands)
    steps = np.abs(np.diff(path[-4:], axis=0))
    assert (steps <= 0.35 * ROBOT.max_velocity * 0.02).all(), "the last commands are those of a brake"


class Planner:
    """A policy that speaks at 25 Hz of the next 0.6 s: `plan` tells the opening of the jaw at a time."""

    def __init__(self, probe, plan):
        self._clock, self.plan = probe.node.get_clock(), plan
        self.heard = []
        probe.node.create_subscription(Float64MultiArray, FORWARD_TOPIC, self._hear, 10)
        self._chunks = probe.publisher(ExpressionChunk, "/fabg/policy/command")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def now_s(self):
        return self._clock.now().nanoseconds * 1e-9

    def chunk(self, at_s):
        values = np.zeros((30, expression.SIZE))
        values[:, expression.INDEX["jawOpen"]] = self.plan(at_s + 0.02 * np.arange(30))
        return chunk_to_message(Chunk(values, at_s, 0.02, "test"), stamp(at_s))

    def close(self):
        self._stopping.set()
        self._thread.join()

    def _hear(self, message):
        self.heard.append((self.now_s(), np.array(message.data)))

    def _live(self):
        while not self._stopping.wait(0.04):
            self._chunks.publish(self.chunk(self.now_s()))


@pytest.fixture
def planner(probe):
    made = []

    def begin(plan):
        made.append(Planner(probe, plan))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def ahead_ms(diagnostics):
    """What the node says of its lead, None before it has said anything."""
    for message in reversed(diagnostics):
        values = {v.key: v.value for v in message.status[0].values}
        if "ahead_ms" in values:
            return float(values["ahead_ms"])
    return None


def test_commands_lead_by_the_delay_that_the_monitor_measures(probe, node_process, planner):
    """The servos are 150 ms late. Without a monitor the robot does not know; with one, commands come earlier."""
    delay_s, pace = 0.15, 2 * np.pi * 0.5
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    node_process("actuation", **QUICK)
    policy = planner(lambda t: 0.5 + 0.35 * np.sin(pace * (t % 1000.0)))
    servos = LateServos(probe, delay_s)
    probe.node.create_subscription(
        Float64MultiArray, FORWARD_TOPIC, lambda m: servos.obey(m.data, servos.now_s()), 10
    )

    def lead_s(since_s=0.0):
        """How much earlier the jaw was commanded than it was planned, over the last three seconds."""
        recent = [(t, q[JAW]) for t, q in list(policy.heard) if t > max(policy.now_s() - 3.0, since_s)]
        if len(recent) < 80 or recent[-1][0] - recent[0][0] < 2.5:
            return math.nan
        t, jaw = np.array(recent).T
        phase = pace * (t % 1000.0)
        (a, b, _), *_ = np.linalg.lstsq(
            np.column_stack([np.sin(phase), np.cos(phase), np.ones_like(phase)]), jaw, rcond=None
        )
        return np.arctan2(b, a) / pace

    try:
        wait_until(lambda: ahead_ms(diagnostics) == 0.0 and policy.heard, "commands, without a lead")
        begun_s = policy.now_s()
        wait_until(lambda: math.isfinite(lead_s(begun_s + 1.0)), "commands in the rhythm of the plan")
        before_s = lead_s(begun_s + 1.0)
        assert -0.25 < before_s < 0.02, "the limits alone make it late"
        node_process("monitor", rate_hz=5.0, window_s=2.0)
        wait_until(lambda: abs(ahead_ms(diagnostics) - 1e3 * delay_s) < 20.0, "the lead to be the delay")
        wait_until(lambda: abs(lead_s() - before_s - delay_s) < 0.03, "commands that come so much earlier")
    finally:
        servos.close()


def test_the_lead_is_bounded_and_old_reports_are_ignored(probe, start, planner):
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    _, robot = start()
    planner(lambda t: 0.5 + 0.0 * t)
    reports = probe.publisher(Latency, "/fabg/latency")

    def told(delay_ms, age_s=0.0):
        message = Latency(stages=[StageLatency(stage="servo", work_p50_ms=delay_ms)])
        message.header.stamp = stamp(robot.now_s() - age_s)
        reports.publish(message)
        return ahead_ms(diagnostics)

    wait_until(lambda: told(100.0) == 100.0, "the lead that was measured")
    wait_until(lambda: told(float("nan")) == 100.0, "NaN to be ignored")
    wait_until(lambda: told(4000.0) == 250.0, "the bound")
    wait_until(lambda: told(100.0, age_s=60.0) == 0.0, "an old report to be ignored")


def test_uncompensated_there_is_no_lead(probe, start, planner):
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    _, robot = start(compensate=False)
    planner(lambda t: 0.5 + 0.0 * t)
    reports = probe.publisher(Latency, "/fabg/latency")

    def told():
        message = Latency(stages=[StageLatency(stage="servo", work_p50_ms=100.0)])
        message.header.stamp = stamp(robot.now_s())
        reports.publish(message)
        return robot.state() == ActuationStatus.FOLLOWING and len(diagnostics) > 3

    wait_until(told, "the robot to follow")
    assert ahead_ms(diagnostics) == 0.0


def test_the_mean_of_the_last_chunks_is_calmer(probe, start, planner):
    """Every other chunk says something else: by turns, or in the mean."""
    flips = [0]

    def nervous(t):
        flips[0] += 1
        return np.full_like(t, 0.3 if flips[0] % 2 else 0.6)

    def unrest(ensemble):
        process, robot = start(ensemble=ensemble)
        policy = planner(nervous)
        wait_until(lambda: len(policy.heard) > 200, "commands")
        policy.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(10.0) == 0
        robot.close()
        return np.std([q[JAW] for _, q in policy.heard[100:]])

    assert unrest(True) < 0.6 * unrest(False)


def test_after_a_reset_no_plan_from_before_the_stop_has_a_share(probe, start, planner):
    """Long plans to open the jaw, a stop, a reset, then plans to close it: it never opens further."""
    _, robot = start()
    level = [1.0]
    planner(lambda t: np.full_like(t, level[0]))
    wait_until(lambda: robot.pose[JAW] > 0.2 * ROBOT.upper[JAW], "the jaw to open")
    assert _estop(probe).latched
    at_stop = len(robot.commands)
    level[0] = 0.0
    wait_until(lambda: len(robot.commands) > at_stop + 20, "the brake")
    held = robot.commands[-1][JAW]
    released = len(robot.commands)
    assert not _estop(probe, EStop.Request.RESET).latched
    wait_until(lambda: robot.pose[JAW] < 0.02, "the jaw to close")
    assert np.array(robot.commands[released:])[:, JAW].max() <= held + 1e-3


def test_an_impossible_parameter_ends_the_node_with_a_reason(node_process, tmp_path):
    process = node_process("actuation", **{"arbiter.timeout_s": -1.0})
    assert process.wait(20.0) == 2
    log = (tmp_path / "actuation.log").read_text()
    assert "timeout_s is -1.0" in log and "Traceback" not in log


def test_the_parameter_file_shows_the_defaults():
    from fabg.nodes.actuation import ActuationConfig

    document = yaml.safe_load(Path(share_dir() / "config" / "actuation.yaml").read_text())["/**"][
        "ros__parameters"
    ]
    flat = {}
    for name, value in document.items():
        flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    assert flat.pop("autostart") is True
    assert flat == flattened(ActuationConfig())
