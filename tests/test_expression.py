import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import CommandRefused

finite = st.lists(st.floats(-10, 10), min_size=61, max_size=61)


def test_layout_is_52_shapes_and_9_angles():
    assert (expression.N_SHAPES, expression.SIZE) == (52, 61)
    assert len(set(expression.NAMES)) == 61
    # Positions published for Live Link Face: 1 blink left, 18 jaw open, 24/25 smile, 44 brow inner up, 52 tongue.
    one_based = {name: i + 1 for i, name in enumerate(expression.NAMES)}
    expected = {
        "eyeBlinkLeft": 1,
        "jawOpen": 18,
        "mouthSmileLeft": 24,
        "mouthSmileRight": 25,
        "browInnerUp": 44,
        "tongueOut": 52,
    }
    assert {name: one_based[name] for name in expected} == expected


@given(finite)
def test_mirroring_twice_gives_back_the_vector(values):
    vector = np.array(values)
    assert np.array_equal(expression.mirrored(expression.mirrored(vector)), vector)


def test_mirroring_swaps_sides_and_turns_yaw_and_roll():
    v = expression.from_mapping(
        {"mouthSmileLeft": 0.7, "eyeYawLeft": 0.2, "headYaw": 0.3, "headPitch": 0.1, "headRoll": -0.2}
    )
    m = dict(zip(expression.NAMES, expression.mirrored(v), strict=True))
    assert (m["mouthSmileRight"], m["mouthSmileLeft"]) == (0.7, 0.0)
    assert (m["eyeYawRight"], m["headYaw"], m["headPitch"], m["headRoll"]) == (-0.2, -0.3, 0.1, 0.2)


@given(finite)
def test_checked_stays_in_range(values):
    vector = expression.checked(values)
    assert ((vector[:52] >= 0) & (vector[:52] <= 1)).all()
    assert (np.abs(vector[52:]) <= np.pi).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite_and_names_it(bad):
    values = np.zeros(61)
    values[17] = bad
    with pytest.raises(CommandRefused, match="jawOpen"):
        expression.checked(values)


@pytest.mark.parametrize("size", [0, 60, 62])
def test_refuses_a_wrong_length(size):
    with pytest.raises(CommandRefused, match="61"):
        expression.checked(np.zeros(size))
