"""Limits hold for every target: the output is checked by its finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import CommandRefused, ConfigError
from fabg.robot.model import load_robot
from fabg.robot.safety import SafetyConfig, SafetyLimiter

ROBOT = load_robot()
N = len(ROBOT.joints)
DT = 0.02
seeds = st.integers(0, 2**32 - 1)


def _random_targets(rng, ticks):
    """Jumps, small steps, ramps, targets outside the limits and at the limits, held for random times."""
    rows = []
    while len(rows) < ticks:
        held = int(rng.integers(1, 25))
        kind = rng.integers(5)
        if kind == 0:
            target = rng.uniform(ROBOT.lower - 0.5, ROBOT.upper + 0.5)
        elif kind == 1:
            target = np.where(rng.random(N) < 0.5, ROBOT.lower, ROBOT.upper)
        elif kind == 2:
            target = ROBOT.neutral + rng.normal(0, 1e-3, N)
        elif kind == 3:
            target = np.where(rng.random(N) < 0.1, 1e6, rng.uniform(ROBOT.lower, ROBOT.upper))
        else:
            rows.extend(np.linspace(rng.uniform(-1, 1, N), rng.uniform(-1, 1, N), held))
            continue
        rows.extend([target] * held)
    return np.array(rows[:ticks])


def _assert_rates(positions, dt, share=1.0, tolerance=0.01):
    """The mean over a tick of a bounded rate is bounded: so are the finite differences."""
    limits = (ROBOT.max_velocity, ROBOT.max_acceleration, ROBOT.max_jerk)
    for order, limit in enumerate(limits, start=1):
        worst = (np.abs(np.diff(positions, n=order, axis=0)) / dt**order / (share * limit)).max()
        assert worst <= 1.0 + tolerance, f"difference of order {order}: {worst:.3f} of the limit"


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_no_target_makes_the_output_leave_its_limits(seed):
    rng, limiter = np.random.default_rng(seed), SafetyLimiter(ROBOT)
    start = rng.uniform(ROBOT.lower, ROBOT.upper)
    limiter.reset(start)
    outputs = [start] * 3  # at rest before the first tick
    for target in _random_targets(rng, 200):
        stopping = rng.random() < 0.1
        outputs.append(limiter.stop(DT) if stopping else limiter.step(target, DT))
    outputs = np.array(outputs)
    assert (outputs >= ROBOT.lower).all() and (outputs <= ROBOT.upper).all()
    _assert_rates(outputs, DT)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_jitter_of_the_tick_breaks_no_limit(seed):
    rng, limiter = np.random.default_rng(seed), SafetyLimiter(ROBOT)
    before = limiter.position
    for target in _random_targets(rng, 150):
        dt = float(rng.choice([0.001, 0.019, 0.02, 0.021, 0.035, 0.3, 5.0]))
        velocity_before = limiter.velocity
        after = limiter.step(target, dt)
        counted = min(dt, limiter.config.max_dt_s)
        assert (np.abs(after - before) <= ROBOT.max_velocity * counted * 1.001 + 1e-12).all()
        assert (
            np.abs(limiter.velocity - velocity_before) <= ROBOT.max_acceleration * counted * 1.001 + 1e-9
        ).all()
        assert (np.abs(limiter.velocity) <= ROBOT.max_velocity * 1.001).all()
        assert (after >= ROBOT.lower).all() and (after <= ROBOT.upper).all()
        before = after


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_steady_target_is_reached_without_overshoot_and_fast(seed):
    rng, limiter = np.random.default_rng(seed), SafetyLimiter(ROBOT)
    start, target = rng.uniform(ROBOT.lower, ROBOT.upper, (2, N))
    limiter.reset(start)
    path = np.array([limiter.step(target, DT) for _ in range(100)])
    beyond = (path - target) * np.sign(target - start)
    assert beyond.max() < 1e-3
    assert np.abs(path[-1] - target).max() < 1e-9 and limiter.at_rest
    # Bound for a move with ramps of acceleration: distance / v + v / a + a / j, and one tick.
    v, a, j = ROBOT.max_velocity, ROBOT.max_acceleration, ROBOT.max_jerk
    bound = np.abs(target - start) / v + v / a + a / j + DT
    arrived = (np.abs(path - target) > 1e-6).sum(axis=0) * DT
    assert (arrived <= bound + DT).all()


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 40))
def test_a_stop_is_short_and_stays_within_limits(seed, ticks):
    rng, limiter = np.random.default_rng(seed), SafetyLimiter(ROBOT)
    limiter.reset(rng.uniform(ROBOT.lower, ROBOT.upper))
    outputs = [limiter.step(t, DT) for t in _random_targets(rng, ticks)]
    stops = [limiter.stop(DT) for _ in range(40)]
    assert limiter.at_rest
    _assert_rates(np.array(outputs + stops), DT)
    # Worst stop: full speed, accelerating on at first; a / j to turn the acceleration, v / a, a / j again.
    v, a, j = ROBOT.max_velocity, ROBOT.max_acceleration, ROBOT.max_jerk
    settled = int(np.ceil(((v / a + 2.5 * a / j) / DT).max())) + 1
    assert np.abs(np.array(stops[settled:]) - stops[-1]).max() < 1e-9


def test_the_share_of_the_limits_is_kept():
    limiter = SafetyLimiter(ROBOT, SafetyConfig(speed=0.3))
    path = np.array([ROBOT.neutral] * 3 + [limiter.step(ROBOT.upper, DT) for _ in range(100)])
    _assert_rates(path, DT, share=0.3)
    assert np.allclose(path[-1], ROBOT.upper)


def test_the_path_does_not_depend_on_the_tick():
    """A straight move at 50 and at 200 Hz is the same motion, but for some mrad in borderline profiles."""
    coarse, fine = SafetyLimiter(ROBOT), SafetyLimiter(ROBOT)
    for _ in range(30):
        a = coarse.step(ROBOT.upper, 0.02)
        for _ in range(4):
            b = fine.step(ROBOT.upper, 0.005)
        assert np.abs(a - b).max() < 0.01


def test_motion_begins_at_the_measured_pose_at_rest():
    limiter = SafetyLimiter(ROBOT)
    limiter.step(ROBOT.upper, DT)
    measured = ROBOT.neutral + 0.1
    limiter.reset(measured)
    assert np.array_equal(limiter.position, measured) and limiter.at_rest
    first = limiter.step(ROBOT.upper, DT)
    assert (np.abs(first - measured) <= ROBOT.max_jerk * DT**3 / 6 * 1.001).all()


def test_a_pose_just_outside_the_limits_is_taken_from_the_limit_and_one_far_outside_refused():
    limiter = SafetyLimiter(ROBOT)
    limiter.reset(ROBOT.upper + 0.01)
    assert np.array_equal(limiter.position, ROBOT.upper)
    measured = ROBOT.neutral.copy()
    measured[3] = 2.0
    with pytest.raises(CommandRefused, match=r"eye_left_yaw.*2\.000.*calibration"):
        limiter.reset(measured)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused_and_nothing_changes(bad):
    limiter, twin = SafetyLimiter(ROBOT), SafetyLimiter(ROBOT)
    for each in (limiter, twin):
        for _ in range(3):
            each.step(ROBOT.upper, DT)
    target = ROBOT.upper.copy()
    target[7] = bad
    with pytest.raises(CommandRefused, match="lid_left"):
        limiter.step(target, DT)
    with pytest.raises(CommandRefused, match="lid_left"):
        limiter.reset(target)
    for wrong in (np.zeros(24), np.zeros((25, 1)), []):
        with pytest.raises(CommandRefused, match="expected"):
            limiter.step(wrong, DT)
    for dt in (0.0, -0.02, np.nan):
        with pytest.raises(CommandRefused, match="dt_s"):
            limiter.step(ROBOT.upper, dt)
    assert np.array_equal(limiter.step(ROBOT.upper, DT), twin.step(ROBOT.upper, DT))


def test_it_tells_which_targets_lay_outside_and_which_joints_run_at_full_speed():
    limiter = SafetyLimiter(ROBOT)
    target = ROBOT.neutral.copy()
    target[0] = 3.0
    limiter.step(target, DT)
    assert np.flatnonzero(limiter.beyond_limits).tolist() == [0]
    seen = set()
    limiter.reset(ROBOT.lower)
    for _ in range(60):
        limiter.step(np.where(np.arange(N) == 0, ROBOT.upper, ROBOT.lower), DT)
        assert not limiter.beyond_limits.any()
        seen |= set(np.flatnonzero(limiter.at_full_speed))
    assert seen == {0}


@pytest.mark.parametrize(
    "field, value", [("speed", 0.0), ("speed", 1.1), ("max_dt_s", 0.0), ("max_dt_s", float("nan"))]
)
def test_impossible_configuration_is_named(field, value):
    with pytest.raises(ConfigError, match=field):
        SafetyConfig(**{field: value})


def test_a_trajectory_that_cannot_be_found_is_bridged_by_the_last_one():
    """The solver gives up on some states on the border of two profiles; here it is made to."""
    limiter = SafetyLimiter(ROBOT)
    limiter.reset(ROBOT.lower)
    for _ in range(4):
        limiter.step(ROBOT.upper, DT)

    class GivesUp:
        def calculate(self, *_):
            import ruckig

            raise ruckig.RuckigError("no profile")

    working = limiter._generator
    before = limiter.position
    limiter._generator = GivesUp()
    bridged = [limiter.step(ROBOT.lower, DT) for _ in range(2)]
    limiter._generator = working
    after = [limiter.step(ROBOT.lower, DT) for _ in range(60)]
    assert limiter.fallbacks == 2 and (bridged[0] >= before).all()
    path = np.array([before, *bridged, *after])
    _assert_rates(path, DT)
    assert np.allclose(path[-1], ROBOT.lower)
