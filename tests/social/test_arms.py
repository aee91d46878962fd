"""An arm has two bones of fixed length and a wrist that bends so far: checked on where hands may be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.perception.types import Side
from fabg.social.arms import FOREARM_M, MOST_WRIST_RAD, PALM_TO_WRIST_M, SHOULDER_M, UPPER_ARM_M, forearm
from tests.social.scenes import hand, person

AT = np.array([0.9, 0.0, 0.1])


def _wrist(held):
    return held.pose[:3, 3] - PALM_TO_WRIST_M * held.pose[:3, 0]


@pytest.mark.parametrize(("side", "y"), [(Side.LEFT, -0.2), (Side.RIGHT, 0.2)])
def test_bones_keep_their_length_and_the_elbow_hangs(side, y):
    """A palm held up before the shoulder: the elbow is an upper arm from the shoulder, below it, on its own side."""
    held = hand(1003, (0.6, y, 0.0), side=side)
    elbow = _wrist(held) + FOREARM_M * forearm(person(at=AT), held)
    sign = 1 if side is Side.LEFT else -1
    # They face the robot: their forward is -x, their left -y.
    shoulder = AT + np.array([-SHOULDER_M[0], -SHOULDER_M[1] * sign, SHOULDER_M[2]])
    assert np.linalg.norm(elbow - shoulder) == pytest.approx(UPPER_ARM_M, abs=1e-9)
    assert elbow[2] < shoulder[2]
    assert abs(elbow[1]) > abs(shoulder[1])


@given(
    st.tuples(st.floats(-0.5, 1.5), st.floats(-1, 1), st.floats(-1, 1)),
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(np.cross(v, (0.1, 0.2, 0.9))) > 0.05),
    st.sampled_from([Side.LEFT, Side.RIGHT]),
)
def test_the_wrist_never_bends_too_far(at, fingers_to, side):
    held = hand(1003, at, side=side, fingers_to=fingers_to, palm_to=(0.1, 0.2, 0.9))
    along = forearm(person(at=AT), held)
    assert np.linalg.norm(along) == pytest.approx(1.0)
    assert along @ -held.pose[:3, 0] >= math.cos(MOST_WRIST_RAD) - 1e-9


def test_arms_move_smoothly_with_the_hand():
    """A hand that rises by 1 mm turns the forearm by less than 1.5 degrees: no elbow jumps."""
    last = None
    for z in np.arange(-0.35, 0.25, 0.001):
        along = forearm(person(at=AT), hand(1003, (0.62, 0.24, z)))
        if last is not None:
            assert along @ last > math.cos(math.radians(1.5))
        last = along
