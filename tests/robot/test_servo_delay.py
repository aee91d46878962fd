"""Delays that are known, because they were put in, are found again; where nothing can be known nothing is said."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import CommandRefused, ConfigError
from fabg.robot.mjcf import SERVO_BANDWIDTH_RAD_S
from fabg.robot.model import load_robot
from fabg.robot.servo_delay import ServoDelay

ROBOT = load_robot()
N = len(ROBOT.joints)
TICK_S = 0.02
W = np.array([SERVO_BANDWIDTH_RAD_S[joint.group] for joint in ROBOT.joints])


def wave(times, seed=0):
    """Smooth movements within the limits and the rated speed, (n, 25)."""
    rng = np.random.default_rng(seed)
    hz, phase = rng.uniform(0.3, 1.2, (3, N)), rng.uniform(0, 2 * np.pi, (3, N))
    sines = np.sin(2 * np.pi * hz * np.asarray(times)[:, None, None] + phase).mean(axis=1)
    return (ROBOT.lower + ROBOT.upper) / 2 + 0.2 * (ROBOT.upper - ROBOT.lower) * sines


def servo(targets, delay_s, step_s=5e-4):
    """Integrate q'' = w^2 (u - q) - 2 w q' in small steps, u at rated speed at most; row k is the joints at tick k."""
    every, late = round(TICK_S / step_s), round(delay_s / step_s)
    reach = ROBOT.max_velocity * step_s
    q, u, v, rows = targets[0].copy(), targets[0].copy(), np.zeros(N), []
    for i in range(len(targets) * every):
        if i % every == 0:
            rows.append(q.copy())
        u += np.clip(targets[max(i - late, 0) // every] - u, -reach, reach)
        v += step_s * (W**2 * (u - q) - 2 * W * v)
        q += step_s * v
    return np.array(rows)


def fed(commands, joints, *, command_times=None, joint_times=None, start_s=0.0, **more):
    """Feed both in the order of their times."""
    measure = ServoDelay(ROBOT, **more)
    times = start_s + TICK_S * np.arange(len(commands))
    command_times = times if command_times is None else command_times
    joint_times = times if joint_times is None else joint_times
    events = [(t, 0, row) for t, row in zip(command_times, commands, strict=True)]
    events += [(t, 1, row) for t, row in zip(joint_times, joints, strict=True)]
    for t, kind, row in sorted(events, key=lambda event: event[:2]):
        (measure.add_joints if kind else measure.add_command)(t, row)
    return measure


TIMES = TICK_S * np.arange(300)


@pytest.mark.parametrize("delay_ms", [0, 3, 17, 40, 100, 333, 480])
def test_a_pure_delay_is_the_lag(delay_ms):
    measure = fed(wave(TIMES), wave(TIMES - delay_ms / 1e3))
    assert measure.lag_s * 1e3 == pytest.approx(delay_ms, abs=1.5)


@pytest.mark.parametrize("delay_ms", [0, 13, 28, 60, 100, 300])
@pytest.mark.parametrize("start_s", [0.0, 1.7e9])
def test_behind_servos_the_delay_is_what_comes_on_top(delay_ms, start_s):
    measure = fed(wave(TIMES), servo(wave(TIMES), delay_ms / 1e3), start_s=start_s)
    assert measure.delay_s * 1e3 == pytest.approx(delay_ms, abs=2.5)
    # Slow movements are 2 / w behind in a critically damped loop, and half a tick because targets are held for one.
    late_ms = 1e3 * (measure.lag_s - measure.delay_s) - 10.0
    assert 1e3 * 2 / W.max() - 2.5 < late_ms < 1e3 * 2 / W.min() + 2.5


def test_samples_that_jitter_and_encoders_that_hiss_change_little():
    rng = np.random.default_rng(5)
    sent = TIMES + rng.uniform(0, 0.015, len(TIMES))
    read = TIMES + rng.uniform(0, 0.015, len(TIMES))
    hiss = rng.normal(0, 5e-4, (len(TIMES), N))
    measure = fed(wave(sent), wave(read - 0.07) + hiss, command_times=sent, joint_times=read)
    assert measure.lag_s * 1e3 == pytest.approx(70.0, abs=3.0)
    slow = fed(wave(TIMES), wave(TIMES[::3] - 0.07), joint_times=TIMES[::3])
    assert slow.lag_s * 1e3 == pytest.approx(70.0, abs=3.0)


def test_one_joint_that_moves_is_enough_and_a_stuck_one_does_not_spoil_it():
    commands, joints = wave(TIMES), wave(TIMES - 0.05)
    for rows in (commands, joints):
        rows[:, 2:] = ROBOT.neutral[2:]
    joints[:, 1] = ROBOT.neutral[1]
    assert fed(commands, joints).lag_s * 1e3 == pytest.approx(50.0, abs=1.5)


def still():
    return np.tile(ROBOT.neutral, (300, 1))


NOTHING_TO_KNOW = {
    "all still": (still(), still()),
    "joints stuck": (wave(TIMES), still()),
    "moved by hand": (still(), wave(TIMES)),
    "does something else": (wave(TIMES), wave(TIMES, seed=9)),
    "later than the longest": (wave(TIMES), wave(TIMES - 0.7)),
    "earlier than commanded": (wave(TIMES), wave(TIMES + 0.2)),
}


@pytest.mark.parametrize("case", NOTHING_TO_KNOW)
def test_nothing_is_said_where_nothing_can_be_known(case):
    measure = fed(*NOTHING_TO_KNOW[case])
    assert measure.lag_s is None and measure.delay_s is None


def test_none_until_there_is_enough_and_again_when_it_has_stood_still():
    measure = ServoDelay(ROBOT, window_s=2.0)
    said = []
    moving = wave(np.minimum(np.arange(400) * TICK_S, 4.0))  # stands still from 4 s on
    for k, row in enumerate(moving):
        measure.add_command(k * TICK_S, row)
        measure.add_joints(k * TICK_S, moving[max(k - 5, 0)])
        said.append(measure.lag_s)
    assert all(lag is None for lag in said[: round(1.0 / TICK_S)])
    assert said[round(3.0 / TICK_S)] == pytest.approx(0.1, abs=2e-3)
    assert said[-1] is None


def test_a_change_is_known_within_the_window():
    measure = ServoDelay(ROBOT, window_s=2.0)
    rows = wave(np.arange(600) * TICK_S)
    for k in range(600):
        measure.add_command(k * TICK_S, rows[k])
        measure.add_joints(k * TICK_S, rows[max(k - (2 if k < 300 else 8), 0)])
        assert measure.lag_s is None or 0.0 < measure.lag_s < 0.2, "asked at every tick"
        if k == 299:
            assert measure.lag_s == pytest.approx(0.04, abs=2e-3)
    assert measure.lag_s == pytest.approx(0.16, abs=2e-3)


@pytest.mark.parametrize("jump_s", [-3.0, 1.0, 1e6])
def test_time_that_runs_back_or_a_gap_begins_anew(jump_s):
    measure = fed(wave(TIMES), wave(TIMES - 0.06))
    assert measure.lag_s is not None
    measure.add_joints(TIMES[-1] + jump_s, ROBOT.neutral)
    assert measure.lag_s is None and measure.delay_s is None
    begin_s = TIMES[-1] + jump_s + TICK_S
    for t in TIMES:
        measure.add_command(begin_s + t, wave([t])[0])
        measure.add_joints(begin_s + t, wave([t - 0.12])[0])
    assert measure.lag_s == pytest.approx(0.12, abs=2e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_and_changes_nothing(bad):
    measure = fed(wave(TIMES), wave(TIMES - 0.06))
    row = ROBOT.neutral.copy()
    row[3] = bad
    for add in (measure.add_command, measure.add_joints):
        with pytest.raises(CommandRefused, match=ROBOT.names[3]):
            add(TIMES[-1] + TICK_S, row)
        with pytest.raises(CommandRefused, match=f"stamped {bad}"):
            add(bad, ROBOT.neutral)
        with pytest.raises(CommandRefused, match="shape"):
            add(TIMES[-1] + TICK_S, row[:7])
    assert measure.lag_s == pytest.approx(0.06, abs=2e-3)
    for more in ({"window_s": bad}, {"longest_s": bad}, {"window_s": 0.5}, {"longest_s": 3.0}):
        with pytest.raises(ConfigError, match="is "):
            ServoDelay(ROBOT, **more)


def test_memory_is_bounded_however_fast_samples_come():
    measure = ServoDelay(ROBOT, window_s=1.0, longest_s=0.1)
    for k in range(5000):
        measure.add_command(k * 1e-3, ROBOT.neutral)
        measure.add_joints(k * 1e-7, ROBOT.neutral)
    assert len(measure._commands) <= 1300 and len(measure._nominal) <= 1300 and len(measure._joints) <= 2


steps = st.floats(-0.1, 0.7) | st.just(0.0) | st.just(0.02)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(steps, st.booleans()), max_size=120), st.integers(0, 2**32 - 1))
def test_whatever_comes_the_answer_is_none_or_within_bounds(events, seed):
    rng, measure, t = np.random.default_rng(seed), ServoDelay(ROBOT, window_s=1.0, longest_s=0.2), 0.0
    for step, is_command in events:
        t += step
        (measure.add_command if is_command else measure.add_joints)(t, rng.uniform(-1e3, 1e3, N))
        for value in (measure.lag_s, measure.delay_s):
            assert value is None or 0.0 <= value <= 0.2
