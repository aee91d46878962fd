"""The simulated robot against the twin: where its eyes look, and how it obeys expressions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import CommandRefused, UsageError
from fabg.geometry import rotation_from_quaternion
from fabg.robot.gaze import eye_angles, look_at
from fabg.robot.model import load_robot
from fabg.robot.retarget import Retargeter
from fabg.robot.twin import Twin
from fabg.social.robot_body import EyeGeometry, SimulatedRobot
from fabg.social.servo import ServoConfig
from fabg.social.stage import TICK_S

ROBOT = load_robot()
EYES = EyeGeometry(ROBOT)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def twin():
    with Twin(ROBOT) as twin:
        yield twin


def fixating(point, head):
    """Joints with the head as given and both eyes on a point."""
    joints = ROBOT.neutral.copy()
    joints[:3] = head
    joints[3:5], joints[5:7] = eye_angles(point, ROBOT, head)
    return joints


def random_head(rng):
    return tuple(rng.uniform(-0.4, 0.4, 3))


def random_point(rng):
    return np.array([rng.uniform(0.3, 1.4), rng.uniform(-0.4, 0.4), rng.uniform(-0.3, 0.3)])


def jumps(rng, ticks=150):
    """Random expressions, held for half a second each."""
    rows = []
    while len(rows) < ticks:
        shapes = np.clip(rng.normal(0.0, 0.5, expression.N_SHAPES), 0.0, 1.0)
        rows += [np.r_[shapes, rng.uniform(-0.3, 0.3, 9)]] * 25
    return np.array(rows[:ticks])


# -- eyes --------------------------------------------------------------------------------------------


def _eyes_in_twin(twin, joints):
    """Origin and line of sight of each eye in the base frame, from MuJoCo's kinematics."""
    twin.set_positions(joints)
    poses = twin.link_poses()
    for side in ("left", "right"):
        position, quaternion = poses[f"eye_{side}_pitch_link"]
        yield position, rotation_from_quaternion(quaternion)[:, 0]


def _angle(a, b):
    return math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b))


def test_gaze_is_that_of_the_twins_eyes(twin):
    rng = np.random.default_rng(0)
    for _ in range(50):
        joints = rng.uniform(ROBOT.lower, ROBOT.upper)
        point = random_point(rng)
        (left_at, left), (right_at, right) = _eyes_in_twin(twin, joints)
        mean = left + right
        yaw, pitch, vergence = EYES.gaze_of(joints)
        assert yaw == pytest.approx(math.atan2(mean[1], mean[0]), abs=1e-9)
        assert pitch == pytest.approx(-math.asin(mean[2] / np.linalg.norm(mean)), abs=1e-9)
        assert vergence == joints[ROBOT.index["eye_right_yaw"]] - joints[ROBOT.index["eye_left_yaw"]]
        to_left, to_right = ((point - at) / np.linalg.norm(point - at) for at in (left_at, right_at))
        assert EYES.gaze_error(joints, point) == pytest.approx(_angle(mean, to_left + to_right), abs=1e-9)


def test_eyes_on_a_point_have_no_error_and_the_vergence_that_it_demands(twin):
    rng = np.random.default_rng(1)
    within_reach = 0
    for _ in range(50):
        head, point = random_head(rng), random_point(rng)
        joints = fixating(point, head)
        if (np.abs(joints) <= ROBOT.upper).all():
            within_reach += 1
            for origin, line in _eyes_in_twin(twin, joints):
                assert _angle(line, point - origin) < 1e-6
        yaw, pitch, vergence = EYES.gaze_of(joints)
        assert EYES.gaze_error(joints, point) < 1e-9
        assert EYES.direction_to(joints, point) == pytest.approx((yaw, pitch), abs=1e-9)
        assert EYES.vergence_demand(joints, point) == pytest.approx(vergence, abs=1e-9)
    assert within_reach > 5


@pytest.mark.parametrize("distance", [0.18, 0.6, 1.4])
def test_vergence_ahead_is_that_of_the_triangle(distance):
    x, y, z = ROBOT["eye_left_yaw"].origin
    demand = EYES.vergence_demand(ROBOT.neutral, [x + distance, 0.0, z])
    assert demand == pytest.approx(2 * math.atan2(y, distance))
    assert EYES.gaze_of(ROBOT.neutral) == (0.0, 0.0, 0.0)


def test_errors_are_angles_between_directions():
    """Far away, where both eyes see the same: the error is the angle that the neck turned."""
    far = [1e6, 0.0, 0.0]
    for row, angle in ((0, 0.3), (0, -0.2), (1, 0.25)):
        joints = ROBOT.neutral.copy()
        joints[row] = angle
        assert EYES.gaze_error(joints, far) == pytest.approx(abs(angle), abs=1e-6)
    assert EYES.direction_to(ROBOT.neutral, [1e6, 1e6, 0.0]) == pytest.approx((math.pi / 4, 0.0), abs=1e-6)
    up = EYES.direction_to(ROBOT.neutral, [1e6, 0.0, 1e6])
    assert up == pytest.approx((0.0, -math.pi / 4), abs=1e-6), "pitch counts downwards"


def test_several_points_at_once_give_the_same():
    rng = np.random.default_rng(2)
    joints, points = rng.uniform(ROBOT.lower, ROBOT.upper), [random_point(rng) for _ in range(4)]
    assert EYES.gaze_errors(joints, points) == [EYES.gaze_error(joints.tolist(), p.tolist()) for p in points]


# -- robot -------------------------------------------------------------------------------------------


class _TwinServos:
    """The twin in the place of the servo model."""

    def __init__(self, twin):
        self.twin, self.now_s = twin, 0.0

    def reset(self, positions):
        self.twin.reset()

    def command(self, positions, at_s):
        self.twin.command(positions)

    def advance(self, dt):
        self.twin.step(dt)

    def positions(self):
        return self.twin.positions()


def test_it_obeys_as_the_twin_does(twin):
    ours, theirs = SimulatedRobot(ROBOT), SimulatedRobot(ROBOT)
    theirs.servos = _TwinServos(twin)
    assert np.array_equal(ours.reset().joints, theirs.reset().joints)
    joints, gaze = [], []
    for vector in jumps(np.random.default_rng(3)):
        a, b = ours.step(vector), theirs.step(vector)
        joints.append(a.joints - b.joints)
        gaze.append((a.yaw - b.yaw, a.pitch - b.pitch))
    assert np.abs(joints).max() < 0.010 and np.sqrt(np.square(joints).mean()) < 0.0015
    assert np.abs(gaze).max() < 0.015 and np.sqrt(np.square(gaze).mean()) < 0.003


def test_it_comes_to_look_at_a_point_and_to_smile():
    robot = SimulatedRobot(ROBOT)
    robot.reset()
    point = np.array([0.5, 0.15, 0.2])
    smile = expression.from_mapping({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8})
    vector = look_at(point, ROBOT, head_share=0.6).into(smile)
    errors = []
    for _ in range(100):
        state = robot.step(vector)
        errors.append(robot.eyes.gaze_error(state.joints, point))
        assert (state.joints >= ROBOT.lower).all() and (state.joints <= ROBOT.upper).all()
    assert errors[0] > 0.2 and errors[20] < math.radians(1.0), "the eyes are there long before the neck"
    assert errors[-1] < 1e-3
    assert state.vergence == pytest.approx(robot.eyes.vergence_demand(state.joints, point), abs=1e-3)
    assert (state.yaw, state.pitch) == robot.eyes.gaze_of(state.joints)[:2]
    asked = Retargeter(ROBOT).to_joints(vector)
    assert np.allclose(state.joints, asked, atol=1e-3) and np.allclose(state.target, asked, atol=1e-3)
    for side in ("left", "right"):
        i = ROBOT.index[f"corner_vertical_{side}"]
        assert state.joints[i] == pytest.approx(0.8 * ROBOT.upper[i], abs=1e-4)


def test_wanted_is_what_the_expression_asks_before_any_limit():
    robot = SimulatedRobot(ROBOT)
    robot.reset()
    state = robot.step(expression.from_mapping({"headYaw": 2.0, "jawOpen": 1.0}))
    assert state.wanted[ROBOT.index["neck_yaw"]] == 2.0
    assert state.wanted[ROBOT.index["jaw"]] == ROBOT["jaw"].upper
    assert (np.abs(state.target - ROBOT.neutral) <= ROBOT.max_velocity * TICK_S).all()


@pytest.mark.parametrize("ticks", [1, 3])
@pytest.mark.parametrize("configured", [False, True])
def test_the_actuation_delay_shifts_the_motion(ticks, configured):
    delay = ticks * TICK_S
    prompt = SimulatedRobot(ROBOT)
    late = SimulatedRobot(ROBOT, ServoConfig(delay_s=delay) if configured else None)
    prompt.reset()
    late.reset()
    vectors = jumps(np.random.default_rng(5), 60)
    first = np.array([prompt.step(v).joints for v in vectors])
    second = np.array([late.step(v, 0.0 if configured else delay).joints for v in vectors])
    assert np.array_equal(second[:ticks], np.tile(ROBOT.neutral, (ticks, 1)))
    assert np.allclose(second[ticks:], first[:-ticks], rtol=0, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_the_same_commands_and_delays_give_the_same_bits_also_after_a_reset(seed):
    rng = np.random.default_rng(seed)
    vectors, delays = jumps(rng, 30), rng.uniform(0.0, 0.1, 30)
    robot = SimulatedRobot(ROBOT)
    runs = []
    for _ in range(2):
        robot.reset()
        runs.append([robot.step(v, float(d)).joints for v, d in zip(vectors, delays, strict=True)])
    assert np.array_equal(*runs)


def test_states_are_kept_by_who_got_them():
    robot = SimulatedRobot(ROBOT)
    before = robot.reset()
    kept = [before.joints.copy(), before.wanted.copy(), before.target.copy()]
    for vector in jumps(np.random.default_rng(6), 10):
        robot.step(vector)
    assert all(
        np.array_equal(*pair)
        for pair in zip(kept, (before.joints, before.wanted, before.target), strict=True)
    )


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 60),
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.sampled_from([-0.01, np.nan, np.inf, 1e3]),
)
def test_what_is_refused_changes_nothing(entry, bad, delay):
    robot, other = SimulatedRobot(ROBOT), SimulatedRobot(ROBOT)
    vectors = jumps(np.random.default_rng(7), 6)
    for each in (robot, other):
        each.reset()
        for vector in vectors[:3]:
            each.step(vector, 0.03)
    spoilt = vectors[3].copy()
    spoilt[entry] = bad
    with pytest.raises(CommandRefused, match=expression.NAMES[entry]):
        robot.step(spoilt)
    for wrong in (np.zeros(60), np.zeros((1, 61)), []):
        with pytest.raises(CommandRefused, match="61"):
            robot.step(wrong)
    with pytest.raises(UsageError, match="delay_s"):
        robot.step(vectors[3], delay)
    for vector in vectors[3:]:
        assert np.array_equal(robot.step(vector).joints, other.step(vector).joints)
