import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.geometry import rotation_from_ypr
from fabg.minimum_jerk import minimum_jerk
from fabg.policy.response import (
    TICK_S,
    ResponseConfig,
    ResponseModel,
    saccade_duration_s,
)
from fabg.robot.gaze import eye_origins, yaw_pitch
from fabg.robot.model import load_robot

ROBOT = load_robot()
CONFIG = ResponseConfig()
EYES = np.mean(eye_origins(ROBOT), axis=0)
QUIET = np.zeros(52)
YAW, PITCH = expression.INDEX["headYaw"], expression.INDEX["headPitch"]


def aside(yaw_deg, pitch_deg=0.0, reach_m=1.0):
    """Return a point in that direction from between the eyes."""
    y, p = math.radians(yaw_deg), math.radians(pitch_deg)
    return EYES + reach_m * np.array([math.cos(y) * math.cos(p), math.sin(y) * math.cos(p), -math.sin(p)])


def rows(model, targets, shapes=QUIET):
    return np.array([model.step(target, shapes) for target in targets])


def looking_at(point):
    model = ResponseModel(CONFIG, ROBOT)
    model.reset(point, QUIET)
    return model


def fixations(vectors):
    """Return where both lines of sight come nearest to each other in the base frame, (n, 3), and by how much (n,)."""
    points, gaps = [], []
    for v in vectors:
        head = rotation_from_ypr(*v[expression.HEAD])
        origins = [head @ eye for eye in eye_origins(ROBOT)]
        lines = [
            head @ rotation_from_ypr(v[e][0], v[e][1], 0) @ [1, 0, 0] for e in (slice(52, 55), slice(55, 58))
        ]
        # Least squares for the two lengths along the lines.
        a = np.stack([lines[0], -lines[1]], axis=1)
        length = np.linalg.lstsq(a, origins[1] - origins[0], rcond=None)[0]
        ends = [o + s * line for o, s, line in zip(origins, length, lines, strict=True)]
        points.append(np.mean(ends, axis=0))
        gaps.append(np.linalg.norm(ends[0] - ends[1]))
    return np.array(points), np.array(gaps)


def gaze(vectors):
    """Return yaw and pitch of the fixation as seen from between the eyes (head straight), degrees, (n, 2)."""
    return np.degrees([yaw_pitch(p - EYES) for p in fixations(vectors)[0]])


# Saccades ---------------------------------------------------------------------------------------------

MAIN_SEQUENCE = {5: (261, 42), 10: (410, 67), 20: (657, 78)}
"""Size, degrees: peak velocity and standard deviation, degrees/s (Bahill, Brockenbrough, Troost 1981)."""


@pytest.mark.parametrize("degrees", [1, 5, 10, 20, 30])
def test_duration_grows_by_2_ms_a_degree_from_21_ms(degrees):
    """Carpenter 1988."""
    assert saccade_duration_s(math.radians(degrees), CONFIG) == pytest.approx(0.021 + 0.0022 * degrees)


@pytest.mark.parametrize("degrees", MAIN_SEQUENCE)
def test_peak_velocity_lies_within_that_of_people(degrees):
    mean, spread = MAIN_SEQUENCE[degrees]
    share = np.linspace(0, 1, 1001)
    duration = saccade_duration_s(math.radians(degrees), CONFIG)
    peak = np.diff([minimum_jerk(s) for s in share]).max() * 1000 * degrees / duration
    assert abs(peak - mean) < 2 * spread


@pytest.mark.parametrize("degrees", [4, 9, 17, 30])
def test_the_gaze_lands_when_the_main_sequence_says_so(degrees):
    seen = gaze(rows(looking_at(aside(0)), [aside(degrees)] * 12))[:, 0]
    ticks = math.ceil((0.021 + 0.0022 * degrees) / TICK_S - 1e-9)
    assert seen[0] == pytest.approx(0, abs=1e-6)
    assert (np.diff(seen[: ticks + 1]) > 0).all()
    assert seen[ticks - 1] < degrees - 1e-6
    np.testing.assert_allclose(seen[ticks:], degrees, atol=1e-6)


def test_a_saccade_is_ballistic():
    model = looking_at(aside(0))
    rows(model, [aside(20)] * 2)  # 65 ms: underway until the fourth tick
    seen = gaze(rows(model, [aside(-10)] * 15))[:, 0]
    assert seen[2] == pytest.approx(20, abs=0.2)
    # The way back waits for the pause between two saccades, then arrives.
    back = np.flatnonzero(seen[2:] < 15)[0] + 4
    assert back * TICK_S > 0.065 + CONFIG.saccade_pause_s - TICK_S
    assert seen[-1] == pytest.approx(-10, abs=0.2)


def test_a_small_error_is_made_good_without_a_saccade():
    model = ResponseModel(ResponseConfig(pursuit_gain=0.0), ROBOT)
    model.reset(aside(0), QUIET)
    seen = gaze(rows(model, [aside(1.0)] * 60))[:, 0]
    assert np.diff(seen).max() < 0.11
    assert seen[-1] == pytest.approx(1.0, abs=0.05)
    time_s = np.flatnonzero(seen > 1 - math.exp(-1))[0] * TICK_S
    assert time_s == pytest.approx(1 / CONFIG.correction_per_s, abs=2 * TICK_S)


# Pursuit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [5, 15, 30])
def test_a_moving_target_is_followed_at_its_own_speed(speed):
    yaw = -15 + speed * TICK_S * np.arange(50)
    seen = gaze(rows(looking_at(aside(-15)), [aside(y) for y in yaw]))[:, 0]
    settled = slice(25, None)
    assert np.polyfit(TICK_S * np.arange(50)[settled], seen[settled], 1)[0] == pytest.approx(speed, rel=0.05)
    # No further behind than a catch-up saccade begins at, and what moves on during a tick.
    assert (yaw - seen)[settled].max() < math.degrees(CONFIG.saccade_threshold_rad) + speed * TICK_S
    assert abs(np.mean((yaw - seen)[settled])) < 1.5


def test_pursuit_ends_as_people_end_it():
    """Robinson et al. 1986: the eye's speed fades with a time constant of 90 ms once the target stands."""
    yaw = [-15 + 0.4 * i for i in range(60)]
    config = ResponseConfig(correction_per_s=0.0, saccade_threshold_rad=0.5)
    model = ResponseModel(config, ROBOT)
    model.reset(aside(-15), QUIET)
    rows(model, [aside(y) for y in yaw])
    speed = np.diff(gaze(rows(model, [aside(yaw[-1])] * 12))[:, 0])[1:]
    lag = -TICK_S / np.polyfit(np.arange(len(speed)), np.log(speed), 1)[0]
    assert lag == pytest.approx(0.09, rel=0.02)


def test_a_jump_of_the_target_is_not_taken_for_speed():
    seen = gaze(rows(looking_at(aside(0)), [aside(12)] * 20))[:, 0]
    assert seen.max() < 12 + 1e-6


# Head and eyes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("yaw", "head"), [(3, 0), (-5, 0), (20, 0.7 * 15), (-40, -0.7 * 35), (80, 0.7 * 75)])
def test_the_head_takes_its_share_beyond_what_the_eyes_do_alone(yaw, head):
    seen = rows(looking_at(aside(0)), [aside(yaw)] * 100)
    assert math.degrees(seen[-1, YAW]) == pytest.approx(head, abs=0.01)


@pytest.mark.parametrize(("pitch", "head"), [(4, 0), (15, 5), (-15, -5)])
def test_up_and_down_the_head_takes_less(pitch, head):
    seen = rows(looking_at(aside(0)), [aside(0, pitch)] * 100)
    assert math.degrees(seen[-1, PITCH]) == pytest.approx(head, abs=0.01)


def test_the_head_stays_within_the_neck():
    seen = rows(looking_at(aside(0)), [aside(100)] * 200)
    assert seen[:, YAW].max() <= ROBOT["neck_yaw"].upper


@pytest.mark.parametrize("yaw", [15, 25])
def test_the_gaze_rests_on_the_target_while_the_head_still_turns(yaw):
    """Vestibulo-ocular reflex: both lines of sight meet in the target, wherever the head is."""
    target = aside(yaw, -8, 0.6)
    model = looking_at(aside(0, 0, 0.6))
    rows(model, [target] * 30)  # landed, and vergence settled
    seen = rows(model, [target] * 60)
    points, gaps = fixations(seen)
    assert gaps.max() < 1e-6
    np.testing.assert_allclose(points, np.broadcast_to(target, points.shape), atol=2e-4)
    assert math.degrees(seen[-1, YAW] - seen[0, YAW]) > 0.05  # the head was still on its way
    eye = (seen[:, 52] + seen[:, 55]) / 2
    assert (np.diff(eye) < 0).all()  # while the eyes gave way


@pytest.mark.parametrize("yaw", [15, 30, 45])
def test_the_head_is_slower_than_the_eyes_and_its_peak_speed_grows_with_its_turn(yaw):
    seen = rows(looking_at(aside(0)), [aside(yaw)] * 100)
    turn = seen[-1, YAW]
    speed = np.diff(seen[:, YAW]).max() / TICK_S
    # Critically damped: peak speed is bandwidth/e of the step; a tick's mean is a little less than the peak.
    assert speed == pytest.approx(turn * CONFIG.head_rad_s / math.e, rel=0.02)
    head_there = np.flatnonzero(seen[:, YAW] > 0.9 * turn)[0]
    gaze_there = np.flatnonzero(gaze(seen)[:, 0] > 0.9 * yaw)[0] if yaw < 40 else 6
    assert head_there - gaze_there > 10


def test_eyes_stay_within_their_limits_until_the_head_has_come():
    seen = rows(looking_at(aside(-50)), [aside(50)] * 100)
    assert np.abs(seen[:, [52, 55]]).max() <= ROBOT["eye_left_yaw"].upper
    np.testing.assert_allclose(gaze(seen[-1:])[0], [50, 0], atol=0.01)


# Vergence and face ------------------------------------------------------------------------------------


def vergence(vectors):
    return vectors[:, 55] - vectors[:, 52]


@pytest.mark.parametrize(("start", "end"), [(0.6, 0.2), (0.2, 0.6), (1.2, 0.3)])
def test_vergence_meets_in_the_target_by_the_dynamics_of_the_model(start, end):
    seen = vergence(rows(looking_at(aside(0, 0, start)), [aside(0, 0, end)] * 60))
    half = np.linalg.norm(np.subtract(*eye_origins(ROBOT))) / 2
    first, last = 2 * math.atan(half / start), 2 * math.atan(half / end)
    assert seen[0] == pytest.approx(first, abs=1e-9)
    assert seen[-1] == pytest.approx(last, abs=1e-4)
    done = (seen - first) / (last - first)
    # Critically damped of bandwidth w: 1 - (1 + w t) exp(-w t); 63 % after 2.146/w, 158 ms.
    t = TICK_S * np.arange(len(done)) * 13.6
    np.testing.assert_allclose(done, 1 - (1 + t) * np.exp(-t), atol=1e-9)
    assert np.interp(1 - 1 / math.e, done, TICK_S * np.arange(len(done))) == pytest.approx(0.158, abs=0.003)


def test_peak_vergence_speed_is_five_times_the_step():
    """Within the 4 to 6 (degrees/s)/degree that people's steps of vergence show."""
    seen = vergence(rows(looking_at(aside(0, 0, 0.6)), [aside(0, 0, 0.25)] * 60))
    assert np.diff(seen).max() / TICK_S / (seen[-1] - seen[0]) == pytest.approx(5, rel=0.05)


def test_the_face_is_there_after_half_a_second_without_overshoot():
    smile = np.zeros(52)
    smile[expression.INDEX["mouthSmileLeft"]] = 0.8
    seen = rows(looking_at(aside(0)), [aside(0)] * 50, smile)[:, expression.INDEX["mouthSmileLeft"]]
    t = 14 * TICK_S * np.arange(50)
    np.testing.assert_allclose(seen, 0.8 * (1 - (1 + t) * np.exp(-t)), atol=1e-12)
    assert seen[25] > 0.98 * 0.8


# The object ------------------------------------------------------------------------------------------


def test_a_copy_goes_its_own_way():
    model = looking_at(aside(0))
    rows(model, [aside(20)] * 2)
    twin = model.copy()
    alone = looking_at(aside(0))
    rows(alone, [aside(20)] * 2)
    rows(twin, [aside(-20, 10, 0.3)] * 9, np.full(52, 0.5))
    np.testing.assert_array_equal(rows(model, [aside(20)] * 9), rows(alone, [aside(20)] * 9))


@given(
    st.lists(
        st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 1)),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=50, deadline=None)
def test_any_target_gives_an_expression_that_is_accepted(stimuli):
    model = ResponseModel(CONFIG, ROBOT)
    for x, y, z, amount in stimuli:
        vector = model.step((x, y, z), np.full(52, amount))
        checked = expression.checked(vector)
        np.testing.assert_allclose(checked, vector, atol=1e-12)
        assert np.abs(vector[52:]).max() <= ROBOT["neck_yaw"].upper


BAD = [
    ((math.nan, 0, 0), QUIET),
    ((1, 0, math.inf), QUIET),
    ((1, 0), QUIET),
    ((1, 0, 0), QUIET[:51]),
    ((1, 0, 0), np.full(52, math.nan)),
]


@pytest.mark.parametrize(("target", "shapes"), BAD)
def test_what_is_not_a_number_is_refused_and_changes_nothing(target, shapes):
    model, alone = looking_at(aside(0)), looking_at(aside(0))
    rows(model, [aside(20)] * 2)
    rows(alone, [aside(20)] * 2)
    with pytest.raises(CommandRefused, match="expected"):
        model.step(target, shapes)
    np.testing.assert_array_equal(rows(model, [aside(20)] * 5), rows(alone, [aside(20)] * 5))


@pytest.mark.parametrize(
    "bad",
    [
        {"gaze_delay_s": math.nan},
        {"head_share_yaw": 1.5},
        {"saccade_base_s": 0.0},
        {"gaze_delay_s": 0.08},  # leaves no room for its spread
        {"expression_delay_s": 0.05, "expression_spread_s": 0.0},
    ],
)
def test_a_configuration_out_of_range_is_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        ResponseConfig(**bad)
