import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg import expression
from fabg.perception.types import Gesture
from fabg.policy import attention
from fabg.policy.attention import Candidate
from fabg.robot.gaze import direction, eye_origins, yaw_pitch
from fabg.robot.model import load_robot

PALM, TIP = np.array([0.6, 0.1, 0.0]), np.array([0.5, 0.1, 0.05])


def test_the_eyes_are_where_the_robot_has_them():
    middle = np.mean(eye_origins(load_robot()), axis=0)
    np.testing.assert_allclose(attention.EYES_M, middle, atol=5e-4)


@pytest.mark.parametrize(
    ("gesture", "yaw", "pitch"),
    [(Gesture.UP, 0, -15), (Gesture.DOWN, 0, 15), (Gesture.LEFT, 20, 0), (Gesture.RIGHT, -20, 0)],
)
def test_a_direction_sends_the_gaze_that_way(gesture, yaw, pitch):
    line = attention.direction_target(gesture) - np.array(attention.EYES_M)
    assert np.linalg.norm(line) == pytest.approx(1.5)
    assert np.degrees(yaw_pitch(line)) == pytest.approx((yaw, pitch), abs=1e-9)
    assert attention.hand_target(gesture, PALM, TIP) is attention.direction_target(gesture)


@pytest.mark.parametrize("gesture", sorted(set(Gesture) - {1, 2, 3, 4}))
def test_any_other_hand_draws_the_gaze_to_itself(gesture):
    assert attention.direction_target(gesture) is None
    wanted = TIP if gesture == Gesture.POINTING else PALM
    assert attention.hand_target(gesture, PALM, TIP) is wanted


def test_the_foremost_hand_is_the_nearest():
    assert attention.foremost([PALM, TIP, PALM]) == 1
    assert attention.foremost([]) is None


@given(
    st.floats(0.6, 1.4), st.floats(-0.6, 0.6), st.floats(0.0, math.pi), st.floats(0, 2 * math.pi),
    st.floats(0.1, 3.0),
)  # fmt: skip
def test_a_gaze_misses_the_robot_by_the_angle_it_was_turned(x, y, miss, around, length):
    eyes = np.array([x, y, 0.1])
    to_robot = np.array(attention.EYES_M) - eyes
    to_robot /= np.linalg.norm(to_robot)
    side = np.cross(to_robot, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    side = math.cos(around) * side + math.sin(around) * np.cross(to_robot, side)
    gaze = length * (math.cos(miss) * to_robot + math.sin(miss) * side)
    assert attention.gaze_miss(eyes, gaze) == pytest.approx(miss, abs=1e-6)
    if abs(miss - math.radians(12)) > 1e-6:
        assert attention.looks_at_robot(eyes, gaze) == (miss < math.radians(12))


def test_an_unknown_gaze_is_no_look():
    assert not attention.looks_at_robot(PALM, None)


A, B, C = Candidate("a", 0.7, False), Candidate("b", 1.0, True), Candidate("c", 1.2, True)


@pytest.mark.parametrize(
    ("candidates", "last", "chosen"),
    [
        ([A, B, C], "c", "b"),  # of those who look, the nearest
        ([A, B], "a", "b"),  # who looks wins over who is near and over who was attended
        ([A, B._replace(looks=False)], "b", "b"),  # nobody looks: the last one stays
        ([A, B._replace(looks=False)], "gone", "a"),  # nor is the last one there: the nearest
        ([], "a", None),
    ],
)
def test_who_is_attended_to(candidates, last, chosen):
    assert attention.attended(candidates, last) == chosen
    assert attention.attended(candidates[::-1], last) == chosen


def test_the_answer_is_a_mirror_image_without_blinks_and_eye_movements():
    theirs = np.arange(52) / 100 + 0.01
    mine = dict(zip(expression.SHAPES, attention.answer_shapes(theirs), strict=True))
    given_ = dict(zip(expression.SHAPES, theirs, strict=True))
    assert mine["mouthSmileLeft"] == given_["mouthSmileRight"]
    assert mine["jawOpen"] == given_["jawOpen"]
    assert mine["browInnerUp"] == given_["browInnerUp"]
    assert mine["eyeWideRight"] == given_["eyeWideLeft"]
    assert mine["cheekSquintLeft"] == given_["cheekSquintRight"]
    silent = {
        n for n in expression.SHAPES if n.startswith(("eyeBlink", "eyeLook", "eyeSquint", "nose", "tongue"))
    }
    assert {n for n, v in mine.items() if v == 0} == silent


def test_a_gaze_straight_at_the_eyes_does_not_miss():
    eyes = np.array([1.0, 0.3, 0.15])
    yaw, pitch = yaw_pitch(np.array(attention.EYES_M) - eyes)
    assert attention.gaze_miss(eyes, direction(yaw, pitch)) == pytest.approx(0, abs=1e-9)
