"""From expression to joints through everything, on a clock that the test moves."""

import numpy as np
import pytest

from fabg import expression
from fabg.robot.actuator import Actuator
from fabg.robot.arbiter import State
from fabg.robot.model import load_robot

ROBOT = load_robot()
DT = 0.02


class World:
    """An actuator and a robot that obeys at once."""

    def __init__(self, pose=None):
        self.actuator = Actuator(ROBOT)
        self.now = 50.0
        self.pose = ROBOT.neutral.copy() if pose is None else pose
        self.sent = []

    def run(self, seconds, vector=None):
        for _ in range(round(seconds / DT)):
            self.now += DT
            self.actuator.saw_joints(self.pose, self.now)
            if vector is not None:
                self.actuator.arbiter.offer("policy", vector, self.now, self.now)
            tick = self.actuator.tick(self.now, DT)
            if tick.command is not None:
                self.pose = tick.command
                self.sent.append(tick.command)
        return tick


def _rates_hold(path):
    for order, limit in enumerate((ROBOT.max_velocity, ROBOT.max_acceleration, ROBOT.max_jerk), start=1):
        assert (np.abs(np.diff(path, n=order, axis=0)) / DT**order <= 1.01 * limit).all(), order


SURPRISED = expression.from_mapping({"jawOpen": 1.0, "browInnerUp": 1.0, "headYaw": 0.5, "eyeYawLeft": 0.1})


def test_hand_over_from_the_measured_pose_is_smooth():
    pose = ROBOT.neutral + 0.5 * (ROBOT.upper - ROBOT.neutral)
    world = World(pose.copy())
    world.run(2.0, SURPRISED)
    _rates_hold(np.vstack([pose, pose, pose, world.sent]))
    assert world.pose[ROBOT.index["jaw"]] == pytest.approx(ROBOT["jaw"].upper, abs=1e-6)
    assert world.pose[ROBOT.index["neck_yaw"]] == pytest.approx(0.5, abs=1e-3)


def test_without_a_source_the_robot_comes_to_neutral():
    pose = np.clip(ROBOT.neutral + 0.3, ROBOT.lower, ROBOT.upper)
    world = World(pose.copy())
    assert world.run(0.5).selection.state is State.HOLDING
    assert np.abs(world.pose - pose).max() < 0.12, "held, as far as an expression can express the pose"
    assert world.run(4.0).selection.state is State.NEUTRAL
    assert np.abs(world.pose - ROBOT.neutral).max() < 1e-3


@pytest.mark.parametrize("moving_for", [0.06, 0.12, 0.2, 0.3])
def test_the_e_stop_brakes_within_limits_and_then_holds(moving_for):
    world = World()
    world.run(moving_for, SURPRISED)
    at_stop = world.pose.copy()
    world.actuator.arbiter.engage("test")
    world.run(0.4)
    settled = world.pose.copy()
    tick = world.run(1.0)
    assert tick.selection.state is State.STOPPED and np.array_equal(world.pose, settled)
    # Longest way to stop from full speed v, with the acceleration still to be turned: v (v / a + 2 a / j).
    v, a, j = ROBOT.max_velocity, ROBOT.max_acceleration, ROBOT.max_jerk
    assert (np.abs(settled - at_stop) <= v * (v / a + 2 * a / j)).all()
    _rates_hold(np.array(world.sent))


def test_after_a_reset_the_robot_stays_and_starts_anew_from_where_it_is():
    world = World()
    world.run(0.5, SURPRISED)
    world.actuator.arbiter.engage("test")
    world.run(0.5)
    moved_by_hand = ROBOT.neutral.copy()
    world.pose = moved_by_hand
    # The robot reports where the hand has put it; it no longer obeys the held command.
    world.now += DT
    world.actuator.saw_joints(moved_by_hand, world.now)
    world.actuator.arbiter.reset(world.now)
    tick = world.actuator.tick(world.now, DT)
    assert tick.selection.state is State.HOLDING
    assert np.abs(tick.command - moved_by_hand).max() < 1e-6
    world.sent = [moved_by_hand] * 3
    world.run(1.0, SURPRISED)
    _rates_hold(np.array(world.sent))


def test_a_reset_while_the_brake_still_works_breaks_no_limit():
    world = World()
    world.run(0.16, SURPRISED)
    world.actuator.arbiter.engage("test")
    world.run(DT)
    world.actuator.arbiter.reset(world.now)
    world.run(1.0, SURPRISED)
    _rates_hold(np.array(world.sent))


def test_without_joint_states_nothing_is_sent_and_they_give_the_new_start():
    world = World()
    world.run(0.3, SURPRISED)
    sent = len(world.sent)
    for _ in range(60):
        world.now += DT
        world.actuator.arbiter.offer("policy", SURPRISED, world.now, world.now)
        tick = world.actuator.tick(world.now, DT)
    assert tick.command is None and tick.selection.state is State.WAITING
    world.pose = np.clip(ROBOT.neutral + 0.2, ROBOT.lower, ROBOT.upper)
    start, world.sent = world.pose.copy(), []
    world.run(1.0, SURPRISED)
    assert sent > 0
    _rates_hold(np.vstack([start, start, start, world.sent]))


def test_a_stopped_robot_without_joint_states_gets_no_command():
    actuator = Actuator(ROBOT)
    actuator.arbiter.engage("test")
    tick = actuator.tick(1.0, DT)
    assert tick.command is None and tick.selection.state is State.STOPPED


def test_an_implausible_start_pose_is_refused_with_a_reason():
    pose = ROBOT.neutral.copy()
    pose[0] = 2.5
    world = World(pose)
    tick = world.run(0.1, SURPRISED)
    assert tick.command is None and tick.selection.state is State.WAITING
    assert "neck_yaw" in tick.selection.reason and not world.sent


def test_limits_that_were_asked_beyond_are_named_and_counted_once():
    world = World()
    tick = world.run(3.0, expression.from_mapping({"headRoll": 1.0}))
    assert tick.limited == ("neck_roll",)
    assert world.actuator.limit_hits == 1
    world.run(1.0, expression.neutral())
    world.run(3.0, expression.from_mapping({"headRoll": -1.0}))
    assert world.actuator.limit_hits == 2


def test_a_command_is_fresh_once():
    world = World()
    world.run(DT)
    assert world.run(DT, SURPRISED).fresh
    assert not world.run(DT).fresh


def test_the_gaze_stays_on_target_while_the_real_neck_follows():
    """Through the limiter: with the neck as slow as its servos, the eyes make up for it at every tick."""
    world = World()
    world.run(0.2, expression.neutral())
    wanted = expression.from_mapping({"headYaw": 0.4})
    yaws = []
    for _ in range(100):
        world.run(DT, wanted)
        yaws.append(world.pose[ROBOT.index["neck_yaw"]] + world.pose[ROBOT.index["eye_left_yaw"]])
    settled = round((CONFIG_BLEND_S + 0.1) / DT)
    yaws = np.array(yaws)
    assert np.abs(yaws[settled:] - 0.4).max() < 0.03
    necks = np.array(world.sent)[-100:, ROBOT.index["neck_yaw"]]
    assert np.argmax(yaws > 0.2) < np.argmax(necks > 0.2), "eyes first, neck later"


CONFIG_BLEND_S = Actuator(ROBOT).config.arbiter.blend_s
