"""Servos against the MuJoCo twin, and against the formula of a critically damped loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import CommandRefused, ConfigError, UsageError
from fabg.robot.model import load_robot
from fabg.robot.twin import Twin
from fabg.social.servo import ServoConfig, ServoModel

ROBOT = load_robot()
N = len(ROBOT.joints)
DT = 0.02
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def shared():
    with Twin(ROBOT) as twin:
        yield twin


@pytest.fixture
def twin(shared):
    shared.reset()
    return shared


def at(**angles):
    q = ROBOT.neutral.copy()
    for name, angle in angles.items():
        q[ROBOT.index[name]] = angle
    return q


def play(servos, commands, dt):
    path = []
    for command in commands:
        servos.command(command)
        (servos.step if isinstance(servos, Twin) else servos.advance)(dt)
        path.append(servos.positions())
    return np.array(path)


def paths(rng, ticks=250):
    """Smooth motion of all joints: sines of 0.4 Hz that fade in, over 80 % of the range."""
    t = np.arange(ticks)[:, None] * DT
    fade = np.minimum(t / 2, 1.0)
    fade = fade**3 * (10 - 15 * fade + 6 * fade**2)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * 0.4 * t + rng.uniform(0, 2 * np.pi, N))
    low, high = 0.8 * ROBOT.lower, 0.8 * ROBOT.upper
    return ROBOT.neutral + fade * (low + wave * (high - low) - ROBOT.neutral)


# -- against the twin --------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", ROBOT.names)
def test_a_joint_steps_as_the_twin_steps(twin, joint):
    step = 0.8 * ROBOT[joint].upper
    commands = [at(**{joint: step})] * 100
    i = ROBOT.index[joint]
    ours = play(ServoModel(ROBOT), commands, 0.004)[:, i]
    theirs = play(twin, commands, 0.004)[:, i]
    assert ((theirs > 0.1 * step) & (theirs < 0.9 * step)).sum() > 3, "seen on its way"
    assert np.abs(ours - theirs).max() < 0.003 * step
    assert abs(ours[-1] - step) < 1e-3 * step


def test_velocities_are_those_of_the_twin(twin):
    model, command = ServoModel(ROBOT), at(eye_left_yaw=0.4)
    i = ROBOT.index["eye_left_yaw"]
    for servos in (twin, model):
        servos.command(command)
    fastest = 0.0
    for _ in range(50):
        twin.step(0.002)
        model.advance(0.002)
        fastest = max(fastest, twin.velocities()[i])
        assert model.velocities()[i] == pytest.approx(twin.velocities()[i], abs=0.02 * 9.0)
    assert fastest > 6.0


def test_all_joints_move_as_the_twin_on_smooth_paths(twin):
    commands = paths(np.random.default_rng(4))
    error = np.abs(play(ServoModel(ROBOT), commands, DT) - play(twin, commands, DT))
    assert error.max() < 0.003
    assert np.sqrt((error**2).mean()) < 0.001


def test_a_move_that_is_called_off_half_way_goes_as_in_the_twin(twin):
    there, back = at(neck_yaw=0.6), at(neck_yaw=-0.2)
    commands = [there] * 5 + [back] * 20
    i = ROBOT.index["neck_yaw"]
    ours, theirs = play(ServoModel(ROBOT), commands, DT)[:, i], play(twin, commands, DT)[:, i]
    assert np.abs(ours - theirs).max() < 0.003


# -- against formulas --------------------------------------------------------------------------------


def test_finer_steps_come_to_the_formula_of_critical_damping():
    """Of first order in the step, as MuJoCo's integrator is: half the step, half the error."""
    i, w, size = ROBOT.index["jaw"], 60.0, 1e-4  # so small a step is not held up by the rated speed
    t = np.arange(1, 11) * 0.01
    formula = size * (1 - (1 + w * t) * np.exp(-w * t))
    errors = []
    for substep in (0.001, 0.0005, 0.00025):
        config = ServoConfig(substep_s=substep, bandwidth_rad_s={"face": w})
        path = play(ServoModel(ROBOT, config), [at(jaw=size)] * 10, 0.01)[:, i]
        errors.append(np.abs(path - formula).max() / size)
    assert errors[2] < 0.005
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.2)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_long_way_is_gone_at_the_rated_speed(share):
    model = ServoModel(ROBOT, ServoConfig(rate_limit=share))
    path = play(model, [ROBOT.upper] * 200, 0.01)
    speed = np.diff(path, axis=0) / 0.01
    assert (speed <= share * ROBOT.max_velocity * 1.003).all()
    neck = ROBOT["neck_yaw"]
    # On a ramp a critically damped loop trails by the time 2 / w; the neck's w is 45 rad/s.
    ramp = share * neck.max_velocity * (0.25 - 2 / 45.0)
    assert path[24, 0] == pytest.approx(ramp, rel=0.01)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_no_command_leaves_the_limits(seed):
    rng = np.random.default_rng(seed)
    model = ServoModel(ROBOT, ServoConfig(backlash_rad={"face": 0.02}))
    for _ in range(60):
        if rng.random() < 0.3:
            model.command(rng.uniform(-5, 5, N))
        model.advance(float(rng.uniform(0, 0.05)))
        assert (model.positions() >= ROBOT.lower).all() and (model.positions() <= ROBOT.upper).all()


# -- play and delay ----------------------------------------------------------------------------------


def test_backlash_is_a_dead_band():
    """The joint trails the motor by half the play, in the direction of the motion, and waits when it turns."""
    play_rad, up, down = 0.02, 0.2, 0.1
    plain = ServoModel(ROBOT)
    loose = ServoModel(ROBOT, ServoConfig(backlash_rad={"neck": play_rad}))
    commands = [at(neck_yaw=up, jaw=0.2)] * 40 + [at(neck_yaw=down)] * 40
    motor, joint = play(plain, commands, 0.01), play(loose, commands, 0.01)
    i = ROBOT.index["neck_yaw"]
    assert joint[39, i] == pytest.approx(up - play_rad / 2, abs=1e-4)
    assert joint[-1, i] == pytest.approx(down + play_rad / 2, abs=1e-4)
    waits = (motor[40:, i] > up - play_rad) & (motor[40:, i] < up)
    assert waits.any()
    assert np.allclose(joint[40:][waits, i], joint[39, i], atol=1e-12)
    others = [k for k, j in enumerate(ROBOT.joints) if j.group != "neck"]
    assert np.array_equal(motor[:, others], joint[:, others]), "only the neck is loose"


def test_motion_smaller_than_the_play_moves_nothing():
    model = ServoModel(ROBOT, ServoConfig(backlash_rad={"eyes": 0.02}))
    path = play(model, [at(eye_left_yaw=s * 0.009) for s in (1, -1)] * 20, DT)
    assert np.array_equal(path, np.tile(ROBOT.neutral, (40, 1)))
    assert not model.velocities().any()


@pytest.mark.parametrize("steps", [1, 7, 10, 25])
def test_a_delay_shifts_the_whole_motion(steps):
    delay = steps * 0.002
    prompt, late = ServoModel(ROBOT), ServoModel(ROBOT, ServoConfig(delay_s=delay))
    called = ServoModel(ROBOT)
    late.command(ROBOT.upper)
    called.command(ROBOT.upper, called.now_s + delay)
    for model in (late, called):
        model.advance(delay)
        assert np.array_equal(model.positions(), ROBOT.neutral)
    prompt.command(ROBOT.upper)
    for _ in range(10):
        for model in (prompt, late, called):
            model.advance(DT)
        assert np.allclose(late.positions(), prompt.positions(), rtol=0, atol=1e-12)
        assert np.allclose(called.positions(), prompt.positions(), rtol=0, atol=1e-12)


def test_commands_do_not_overtake_each_other():
    first, second = at(jaw=0.4), at(neck_yaw=0.5)
    model, alone = ServoModel(ROBOT), ServoModel(ROBOT)
    model.command(first, 0.10)
    model.command(second, 0.04)
    alone.command(second, 0.04)
    model.advance(1.0)
    alone.advance(1.0)
    assert np.array_equal(model.positions(), alone.positions())
    model.reset()
    model.command(first, 0.04)
    model.command(second, 0.10)
    model.advance(0.10)
    assert model.positions()[ROBOT.index["jaw"]] > 0.1, "the first one had its turn"
    model.advance(1.0)
    assert np.allclose(model.positions(), second, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_how_time_is_cut_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    whole, pieces = ServoModel(ROBOT), ServoModel(ROBOT)
    for _ in range(10):
        goal, delay = 0.7 * rng.uniform(ROBOT.lower, ROBOT.upper), float(rng.uniform(0, 0.05))
        for model in (whole, pieces):
            model.command(goal, model.now_s + delay)
        whole.advance(DT)
        cuts = np.sort(rng.uniform(0, DT, 3))
        for piece in np.diff([0.0, *cuts, DT]):
            pieces.advance(float(piece))
        assert pieces.now_s == pytest.approx(whole.now_s, abs=1e-12)
        assert np.allclose(pieces.positions(), whole.positions(), rtol=0, atol=1e-12)
        assert np.allclose(pieces.velocities(), whole.velocities(), rtol=0, atol=1e-9)


# -- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (np.full(N, np.nan), "neck_yaw is nan"),
        (np.r_[np.zeros(N - 1), np.inf], "jaw is inf"),
        (np.zeros(N - 1), r"shape \(24,\): expected \(25,\)"),
        ([], r"shape \(0,\)"),
    ],
)
def test_bad_commands_are_refused_and_change_nothing(command, message):
    model, other = ServoModel(ROBOT), ServoModel(ROBOT)
    for each in (model, other):
        each.command(at(jaw=0.2))
        each.advance(DT)
    with pytest.raises(CommandRefused, match=message):
        model.command(command)
    with pytest.raises(CommandRefused, match=message):
        model.reset(command)
    for at_s in (np.nan, np.inf, 1e6):
        with pytest.raises(UsageError, match="arrive"):
            model.command(ROBOT.upper, at_s)
    for dt in (-0.1, np.nan, 1e9):
        with pytest.raises(UsageError, match="dt is"):
            model.advance(dt)
    for each in (model, other):
        each.advance(DT)
    assert np.array_equal(model.positions(), other.positions())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"delay_s": -0.01}, "delay_s is -0.01"),
        ({"delay_s": float("nan")}, "delay_s is nan"),
        ({"rate_limit": 0.0}, "rate_limit is 0.0"),
        ({"substep_s": 1.0}, "substep_s is 1.0"),
        ({"backlash_rad": {"neck": -0.1}}, "backlash_rad of neck is -0.1"),
        ({"backlash_rad": {"tail": 0.1}}, "names 'tail': expected neck, eyes, face"),
        ({"bandwidth_rad_s": {"eyes": float("nan")}}, "bandwidth_rad_s of eyes is nan"),
    ],
)
def test_impossible_configuration_is_named(values, message):
    with pytest.raises(ConfigError, match=message):
        ServoConfig(**values)
