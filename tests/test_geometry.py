import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg import geometry as g

angle = st.floats(-3.0, 3.0)
pitch = st.floats(-1.5, 1.5)


def _axis_rotation(axis, angle):
    """Rodrigues' formula: the independent reference."""
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


@given(angle, pitch, angle)
def test_ypr_is_z_then_y_then_x(yaw, pitch, roll):
    expected = (
        _axis_rotation((0, 0, 1), yaw) @ _axis_rotation((0, 1, 0), pitch) @ _axis_rotation((1, 0, 0), roll)
    )
    assert np.allclose(g.rotation_from_ypr(yaw, pitch, roll), expected, atol=1e-12)


@given(angle, pitch, angle)
def test_ypr_round_trip(yaw, pitch, roll):
    assert np.allclose(
        g.ypr_from_rotation(g.rotation_from_ypr(yaw, pitch, roll)), (yaw, pitch, roll), atol=1e-6
    )


@given(angle, pitch, angle)
def test_quaternion_round_trip(yaw, pitch, roll):
    rotation = g.rotation_from_ypr(yaw, pitch, roll)
    quaternion = g.quaternion_from_rotation(rotation)
    assert math.isclose(np.linalg.norm(quaternion), 1.0)
    assert quaternion[3] >= 0
    assert np.allclose(g.rotation_from_quaternion(quaternion), rotation, atol=1e-12)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_quaternion_of_half_turns(axis):
    assert np.allclose(
        np.abs(g.quaternion_from_rotation(_axis_rotation(axis, math.pi))), (*axis, 0), atol=1e-12
    )


def test_signs_of_the_convention():
    forward = g.rotation_from_ypr(0.3, 0, 0) @ [1, 0, 0]
    assert forward[1] > 0, "yaw turns to the left"
    assert (g.rotation_from_ypr(0, 0.3, 0) @ [1, 0, 0])[2] < 0, "pitch looks down"
    assert (g.rotation_from_ypr(0, 0, 0.3) @ [0, 1, 0])[2] > 0, "roll lifts the left side"


def test_optical_frame():
    optical = g.OPTICAL_FROM_BODY
    assert np.array_equal(optical @ [1, 0, 0], [0, 0, 1]), "forward is z"
    assert np.array_equal(optical @ [0, 1, 0], [-1, 0, 0]), "left is -x"
    assert np.array_equal(optical @ [0, 0, 1], [0, -1, 0]), "up is -y"


@given(angle, pitch, angle, st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_inverse(yaw, pitch, roll, position):
    pose = g.pose(g.rotation_from_ypr(yaw, pitch, roll), position)
    assert np.allclose(g.inverse(pose) @ pose, np.eye(4), atol=1e-9)
