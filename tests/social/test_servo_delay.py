"""`fabg.robot.servo_delay` against the simulated robot, whose delay is known."""

import numpy as np
import pytest

from fabg import expression
from fabg.robot.model import load_robot
from fabg.robot.servo_delay import ServoDelay
from fabg.social.robot_body import SimulatedRobot
from fabg.social.servo import ServoConfig
from fabg.social.stage import TICK_S


@pytest.mark.parametrize("delay_ms", [0, 7, 28, 60, 240])
@pytest.mark.parametrize("backlash_rad", [{}, {"neck": 0.01, "eyes": 0.005}])
def test_the_delay_of_a_robot_that_makes_faces_is_found(delay_ms, backlash_rad):
    robot = load_robot()
    rng, measure = np.random.default_rng(3), ServoDelay(robot)
    body = SimulatedRobot(robot, ServoConfig(backlash_rad=backlash_rad))
    body.reset()
    vector, said = expression.neutral(), []
    for k in range(500):
        if k % 25 == 0:
            vector = 0.5 * rng.random(expression.SIZE)
        state = body.step(vector, delay_ms / 1e3)
        measure.add_command(k * TICK_S, state.target)
        measure.add_joints((k + 1) * TICK_S, state.joints)
        if measure.delay_s is not None:
            said.append(measure.delay_s * 1e3)
    assert len(said) > 300
    np.testing.assert_allclose(said, delay_ms, atol=4.0)
