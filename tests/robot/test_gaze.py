"""Gaze in space is kept while the neck follows; both eyes meet at a point."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.robot.gaze import GazeConfig, GazeSharer, direction, look_at, yaw_pitch
from fabg.robot.model import load_robot

ROBOT = load_robot()
DT = 0.02
EYES = ("Left", "Right")


def _gaze_in_space(vector, neck, eye):
    """Where an eye looks from the torso, by rotation matrices written out here."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in neck for f in (math.cos, math.sin))
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    yaw, pitch = (vector[expression.INDEX[f"eye{a}{eye}"]] for a in ("Yaw", "Pitch"))
    ahead = np.array([math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), -math.sin(pitch)])
    return rz @ ry @ rx @ ahead


def _angle(a, b):
    return math.atan2(np.linalg.norm(np.cross(a, b)), float(a @ b))


def _follow(sharer, wanted, ticks, neck=None):
    """Run with a neck that obeys at once; return the outputs and the neck at the time of each."""
    neck, outputs, necks = np.zeros(3) if neck is None else neck, [], []
    for _ in range(ticks):
        out = sharer.step(wanted, neck, DT)
        outputs.append(out)
        necks.append(neck)
        neck = out[expression.HEAD].copy()
    return np.array(outputs), np.array(necks)


def test_after_a_gaze_shift_the_eyes_are_there_first_and_the_neck_follows():
    wanted = expression.from_mapping({"headYaw": 0.3, "eyeYawLeft": 0.2, "eyeYawRight": 0.2})
    outputs, necks = _follow(GazeSharer(ROBOT), wanted, 150)
    eye, head = outputs[:, expression.INDEX["eyeYawLeft"]], outputs[:, expression.INDEX["headYaw"]]
    assert eye[0] == pytest.approx(0.5), "the eyes take the whole shift at once"
    assert head[0] < 0.05
    half_eye = int(np.argmax(eye >= 0.25))
    half_head = int(np.argmax(head >= 0.15))
    assert half_eye * DT < 0.05 < half_head * DT < 0.3
    assert (np.diff(head) >= 0).all() and (np.diff(eye[1:]) <= 1e-9).all(), (
        "the eyes give way as the neck comes"
    )
    assert head[-1] == pytest.approx(0.3, abs=1e-3) and eye[-1] == pytest.approx(0.2, abs=1e-3)
    for out, neck in zip(outputs, necks, strict=True):
        target = _gaze_in_space(wanted, wanted[expression.HEAD], "Left")
        assert _angle(_gaze_in_space(out, neck, "Left"), target) < 1e-6


small = st.floats(-0.2, 0.2)


@settings(deadline=None)
@given(st.tuples(small, small, small), st.tuples(small, small, small, small), st.tuples(small, small, small))
def test_the_gaze_is_conserved_whatever_the_neck_does(head, eyes, neck):
    """Also with roll, and for each eye by itself."""
    wanted = expression.neutral()
    wanted[expression.HEAD] = head
    wanted[expression.LEFT_EYE][:2], wanted[expression.RIGHT_EYE][:2] = eyes[:2], eyes[2:]
    sharer = GazeSharer(ROBOT)
    sharer.reset(neck)
    out = sharer.step(wanted, neck, DT)
    if not sharer.beyond_limits.any():
        for eye in EYES:
            assert _angle(_gaze_in_space(out, neck, eye), _gaze_in_space(wanted, head, eye)) < 1e-6
    rest = np.r_[: expression.N_SHAPES]
    assert np.array_equal(out[rest], wanted[rest])


def test_what_the_eyes_cannot_reach_in_comfort_the_neck_takes():
    config = GazeConfig()
    wanted = expression.from_mapping({f"eyeYaw{e}": 0.55 for e in EYES} | {f"eyePitch{e}": 0.4 for e in EYES})
    outputs, necks = _follow(GazeSharer(ROBOT, config), wanted, 300)
    final = outputs[-1]
    for angle, comfort in (("Yaw", config.comfort_yaw_rad), ("Pitch", config.comfort_pitch_rad)):
        assert final[expression.INDEX[f"head{angle}"]] > 0.1
        assert abs(final[expression.INDEX[f"eye{angle}Left"]]) < comfort + 0.03
    target = _gaze_in_space(wanted, (0, 0, 0), "Left")
    assert _angle(_gaze_in_space(final, necks[-1], "Left"), target) < 1e-6


def test_a_gaze_out_of_reach_saturates_within_limits_and_says_so():
    wanted = expression.from_mapping({"headYaw": 1.5} | {f"eyeYaw{e}": 1.2 for e in EYES})
    sharer = GazeSharer(ROBOT)
    outputs, _ = _follow(sharer, wanted, 200)
    assert outputs[:, expression.INDEX["headYaw"]].max() <= ROBOT["neck_yaw"].upper + 1e-12
    assert outputs[:, expression.INDEX["eyeYawLeft"]].max() <= ROBOT["eye_left_yaw"].upper + 1e-12
    beyond = {ROBOT.names[i] for i in np.flatnonzero(sharer.beyond_limits)}
    assert {"neck_yaw", "eye_left_yaw", "eye_right_yaw"} <= beyond
    sharer.step(expression.neutral(), np.array([1.05, 0, 0]), DT)
    assert "neck_yaw" not in {ROBOT.names[i] for i in np.flatnonzero(sharer.beyond_limits)}


def test_without_lag_head_and_eyes_pass_unchanged():
    wanted = expression.from_mapping(
        {"headYaw": 0.3, "headRoll": 0.1, "eyeYawLeft": 0.1, "eyePitchRight": -0.1}
    )
    out = GazeSharer(ROBOT, GazeConfig(neck_lag_s=0.0)).step(wanted, wanted[expression.HEAD], DT)
    assert np.allclose(out, wanted)


def test_a_faster_clock_gives_the_same_neck():
    wanted = expression.from_mapping({"headYaw": 0.3})
    coarse, fine = GazeSharer(ROBOT), GazeSharer(ROBOT)
    for _ in range(10):
        a = coarse.step(wanted, np.zeros(3), 0.02)
        for _ in range(4):
            b = fine.step(wanted, np.zeros(3), 0.005)
    assert np.allclose(a[expression.HEAD], b[expression.HEAD])


@settings(deadline=None)
@given(
    st.tuples(st.floats(0.25, 5.0), st.floats(-1.0, 1.0), st.floats(-0.8, 0.8)).map(
        lambda p: np.array([p[0], p[1] * p[0], p[2] * p[0]])
    ),
    st.floats(0.0, 1.0),
    st.floats(-0.3, 0.3),
)
def test_the_lines_of_both_eyes_meet_at_the_point(point, share, roll):
    fix = look_at(point, ROBOT, head_share=share, head_roll=roll)
    head = (*fix.head, roll)
    vector = fix.into(expression.neutral())
    # Columns of the head's rotation: where its x, y and z axes point, with the eyes straight ahead.
    straight = expression.neutral()
    x_axis = _gaze_in_space(straight, head, "Left")
    sideways = expression.from_mapping({"eyeYawLeft": math.pi / 2})
    y_axis = _gaze_in_space(sideways, head, "Left")
    rotation = np.column_stack([x_axis, y_axis, np.cross(x_axis, y_axis)])
    for eye in EYES:
        origin = rotation @ np.array(ROBOT[f"eye_{eye.lower()}_yaw"].origin)
        assert _angle(_gaze_in_space(vector, head, eye), point - origin) < 1e-6


def test_vergence_is_that_of_the_triangle():
    """A point straight ahead of the middle between the eyes: each turns in by atan(half base / distance)."""
    left = np.array(ROBOT["eye_left_yaw"].origin)
    for distance in (0.3, 1.0, 4.0):
        fix = look_at([left[0] + distance, 0.0, left[2]], ROBOT)
        inwards = math.atan2(left[1], distance)
        assert fix.left == pytest.approx((-inwards, 0.0)) and fix.right == pytest.approx((inwards, 0.0))


def test_signs_are_those_of_the_robot():
    fix = look_at([1.0, 0.5, 0.5], ROBOT, head_share=1.0)
    assert fix.head[0] > 0 > fix.head[1], "left is positive yaw, up is negative pitch"
    assert yaw_pitch(direction(0.3, -0.2)) == pytest.approx((0.3, -0.2))


@pytest.mark.parametrize("point", [[-1.0, 0, 0], [0.08, 0, 0.12], [np.nan, 0, 0], [1.0, 0.0]])
def test_a_point_that_cannot_be_looked_at_is_refused(point):
    with pytest.raises(CommandRefused, match="cannot look at"):
        look_at(point, ROBOT)


@pytest.mark.parametrize(
    "field, value", [("neck_lag_s", -1.0), ("neck_lag_s", float("nan")), ("comfort_yaw_rad", 0.0)]
)
def test_impossible_configuration_is_named(field, value):
    with pytest.raises(ConfigError, match=field):
        GazeConfig(**{field: value})
