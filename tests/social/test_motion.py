"""People's movements obey the published laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.geometry import rotation_from_quaternion
from fabg.minimum_jerk import minimum_jerk
from fabg.social.motion import (
    PEAK,
    Blinks,
    Glide,
    Mover,
    PointMover,
    Sway,
    TurnMover,
    reach_duration,
    rows_of,
    saccade_duration,
    saccade_peak,
    slerp,
)
from fabg.social.stage import TICK_S

FINE_S = 1e-3


def sampled(mover, until_s, step_s=FINE_S):
    return np.array([mover.value(t) for t in np.arange(0.0, until_s, step_s)])


@pytest.mark.parametrize(("distance", "duration"), [(0.3, 0.5), (-0.05, 0.35), (1.0, 0.7)])
def test_the_peak_speed_of_a_minimum_jerk_movement_is_15_8_of_the_mean(distance, duration):
    mover = Mover(0.2)
    mover.move(0.1, 0.2 + distance, duration)
    speed = np.abs(np.diff(sampled(mover, 1.0))) / FINE_S
    assert speed.max() == pytest.approx(1.875 * abs(distance) / duration, rel=1e-3)
    assert PEAK == 15 / 8
    middle = np.argmax(speed) * FINE_S
    assert middle == pytest.approx(0.1 + duration / 2, abs=2 * FINE_S)


def test_the_speed_is_a_symmetric_bell():
    s = np.linspace(0, 1, 2001)
    speed = np.diff([minimum_jerk(v) for v in s])
    rising = speed[:1000]
    assert (np.diff(rising) > 0).all()
    np.testing.assert_allclose(speed, speed[::-1], atol=1e-12)
    # Flash and Hogan 1985: v(s) = 30 s^2 (1 - s)^2.
    middle = (s[1:] + s[:-1]) / 2
    np.testing.assert_allclose(speed * 2000, 30 * middle**2 * (1 - middle) ** 2, atol=1e-5)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 0.6), st.floats(0.0, 1.0), st.floats(0.05, 0.8)), min_size=1, max_size=6
    )
)
def test_movements_that_overlap_neither_jump_nor_overshoot(commands):
    mover, t, values = Mover(0.0), 0.0, []
    for wait, goal, duration in commands:
        mover.move(t, goal, duration)
        steps = max(round(wait / FINE_S), 1)
        values += [mover.value(t + k * FINE_S) for k in range(steps)]
        t += steps * FINE_S
    values += [mover.value(t + k * FINE_S) for k in range(1000)]
    assert mover.value(t + 5.0) == commands[-1][1]
    # No faster than all at their fastest together, and only ever between the goals.
    assert np.abs(np.diff(values)).max() <= len(commands) * 1.875 / 0.05 * FINE_S + 1e-9
    goals = [0.0, *(goal for _, goal, _ in commands)]
    ups, downs = np.diff(goals).clip(min=0).sum(), np.diff(goals).clip(max=0).sum()
    assert downs - 1e-9 <= min(values)
    assert max(values) <= ups + 1e-9


def test_a_smile_that_is_taken_back_quickly_never_falls_below_rest():
    mover = Mover()
    mover.move(0.0, 1.0, 0.7)
    mover.move(0.3, 0.0, 0.3)
    assert sampled(mover, 1.5).min() >= 0.0


def test_a_reach_that_is_changed_on_the_way_keeps_its_speed():
    mover = PointMover((0.0, 0.0, 0.0))
    mover.move(0.0, (0.3, 0.0, 0.0), 0.6)
    mover.move(0.3, (0.3, 0.2, -0.1), 0.5)
    path = sampled(mover, 1.2)
    acceleration = np.diff(path, 2, axis=0) / FINE_S**2
    assert np.abs(np.diff(acceleration, axis=0)).max() < 0.2, "m/s^2 within a millisecond"
    np.testing.assert_allclose(path[-1], (0.3, 0.2, -0.1), atol=1e-12)


def test_reaches_take_as_long_as_fitts_law_says():
    # One bit more for twice the way; a way of 0.32 m to a width of 0.04 m are 4 bits.
    assert reach_duration(0.32) == pytest.approx(0.10 + 4 * 0.12)
    assert reach_duration(0.4) - reach_duration(0.2) == pytest.approx(0.12)
    assert reach_duration(0.0) == reach_duration(0.01) == 0.35
    assert reach_duration(5.0) == 0.75


@pytest.mark.parametrize("degrees", [3, 5, 10, 15, 20, 30])
def test_saccades_obey_the_main_sequence_in_duration_and_in_peak_velocity(degrees):
    eye, far = (1.0, 0.1, 0.05), 0.9
    angle = math.radians(degrees)
    glide = Glide((1.0 - far, 0.1, 0.05))
    to = (1.0 - far * math.cos(angle), 0.1 + far * math.sin(angle), 0.05)
    assert glide.move(0.0, to, eye) == pytest.approx(angle)
    step_s = 1e-4
    lines = sampled(glide, 0.2, step_s) - eye
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    speed = np.linalg.norm(np.diff(lines, axis=0), axis=1) / step_s
    moving = np.flatnonzero(speed > 1e-9)
    assert (moving[-1] - moving[0] + 1) * step_s == pytest.approx(0.037 + 0.0027 * degrees, abs=2e-3)
    assert speed.max() == pytest.approx(1.875 * angle / saccade_duration(angle), rel=0.01)
    # The published relation between amplitude and peak velocity, found independently of the durations.
    assert speed.max() == pytest.approx(saccade_peak(angle), rel=0.2)
    np.testing.assert_allclose(np.diff(speed[moving[0] : moving[0] + len(moving) // 2 - 2]) >= 0, True)


def test_a_gaze_that_is_sent_elsewhere_on_the_way_goes_on_from_there():
    glide = Glide((0.0, 0.0, 0.0))
    glide.move(0.0, (0.0, 0.4, 0.0), (1.0, 0.0, 0.0))
    before = glide.value(0.04)
    glide.move(0.04, (0.0, -0.2, 0.1), (1.0, 0.0, 0.0))
    assert math.dist(before, glide.value(0.04)) < 1e-9
    assert glide.value(0.5) == (0.0, -0.2, 0.1)


def test_a_turn_follows_one_axis_at_a_minimum_jerk():
    quarter = (math.cos(math.pi / 4), 0.0, 0.0, math.sin(math.pi / 4))  # 90 degrees about z
    turn = TurnMover((1.0, 0.0, 0.0, 0.0))
    turn.move(0.0, quarter, 0.5)
    for t in (0.1, 0.25, 0.4):
        w, x, y, z = turn.value(t)
        assert 2 * math.atan2(z, w) == pytest.approx(math.pi / 2 * minimum_jerk(t / 0.5), abs=1e-9)
        assert x == y == 0.0
    assert turn.moving
    assert turn.value(0.5) == quarter
    assert not turn.moving


@given(st.tuples(*[st.floats(-1, 1)] * 4), st.tuples(*[st.floats(-1, 1)] * 4), st.floats(0, 1))
def test_rotations_on_the_way_are_rotations(a, b, share):
    a, b = np.array(a), np.array(b)
    if min(np.linalg.norm(a), np.linalg.norm(b)) < 0.1:
        return
    q = slerp(tuple(a / np.linalg.norm(a)), tuple(b / np.linalg.norm(b)), share)
    rows = np.reshape(rows_of(q), (3, 3))
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-9)
    w, x, y, z = q
    np.testing.assert_allclose(rows, rotation_from_quaternion((x, y, z, w)), atol=1e-9)


def test_sway_has_the_spread_asked_for_no_mean_no_seam_and_is_slow():
    spread = (0.003, 0.01)
    sway = Sway(np.random.default_rng(3), spread)
    values = np.array([sway.at(k * TICK_S) for k in range(2 * Sway.TICKS)])
    np.testing.assert_allclose(values[: Sway.TICKS].std(axis=0), spread, rtol=1e-6)
    np.testing.assert_allclose(values[: Sway.TICKS].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_array_equal(values[: Sway.TICKS], values[Sway.TICKS :])
    steps = np.abs(np.diff(values, axis=0)).max(axis=0)
    assert (steps < np.array(spread) / 5).all(), "also across the seam"


def test_lids_close_and_open_as_often_as_people_blink():
    blinks = Blinks(np.random.default_rng(5))
    closure = np.array([blinks.closure(k * TICK_S) for k in range(int(600 / TICK_S))])
    assert closure.min() == 0.0
    assert closure.max() <= 1.0
    starts = np.flatnonzero((closure[:-1] == 0.0) & (closure[1:] > 0.0))
    assert 12 <= len(starts) / 10 <= 22, "a minute"
    lengths = [np.argmax(closure[s + 1 :] == 0.0) * TICK_S for s in starts]
    assert 0.18 <= min(lengths) <= max(lengths) <= 0.28
