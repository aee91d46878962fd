from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fabg import expression
from fabg.perception.affect import UNIT, UNITS, Affect
from fabg.perception.facs import N_UNITS, UNIT_SHAPES, action_units, face_action_units
from fabg.perception.types import Face, Roi


def units(confidence: float = 1.0, **shapes: float):
    return action_units(expression.from_mapping(shapes)[: expression.N_SHAPES], confidence)


def test_a_smile_is_unit_12():
    intensity, confidence = units(0.9, mouthSmileLeft=0.8, mouthSmileRight=0.6)
    assert intensity[12] == pytest.approx(0.7) and confidence[12] == pytest.approx(0.9)
    assert np.flatnonzero(intensity).tolist() == [12]


def test_an_open_jaw_parts_the_lips_unless_they_are_closed():
    assert units(jawOpen=0.6)[0][[25, 26]] == pytest.approx([0.6, 0.6])
    assert units(jawOpen=0.6, mouthClose=0.6)[0][[25, 26]] == pytest.approx([0.0, 0.6])


def test_one_closed_eye_is_a_wink_and_half_a_blink():
    assert units(eyeBlinkLeft=1.0)[0][[45, 46]] == pytest.approx([0.5, 1.0])


def test_eyes_to_the_own_left():
    intensity, _ = units(eyeLookOutLeft=0.8, eyeLookInRight=0.8)
    assert intensity[61] == pytest.approx(0.8) and intensity[62] == 0.0


def test_what_cannot_be_read_has_no_confidence():
    _, confidence = units(0.9)
    assert confidence[[9, 19, 34]].tolist() == [0, 0, 0]  # nose, tongue, cheeks
    assert confidence[[0, 3, 50, 80, 98]].tolist() == [0, 0, 0, 0, 0]  # no shape tells of these


def test_every_shape_of_the_table_exists_and_every_unit_has_a_number():
    assert all(shape in expression.SHAPES for shapes in UNIT_SHAPES.values() for shape in shapes)
    assert all(0 < unit < N_UNITS for unit in UNIT_SHAPES)


@given(arrays(np.float64, 52, elements=st.floats(0, 1)), st.floats(0, 1))
def test_everything_stays_within_0_and_1(shapes, confidence):
    for values in action_units(shapes, confidence):
        assert values.shape == (N_UNITS,) and (values >= 0).all() and (values <= 1 + 1e-12).all()


# Of a face ---------------------------------------------------------------------------------------


def make_face(confidence: float = 0.9, **shapes: float) -> Face:
    values = expression.from_mapping(shapes)[: expression.N_SHAPES]
    return Face("a", Roi(0, 0, 100, 100), confidence, np.full((478, 3), np.nan), values, np.eye(4))


def test_a_face_that_nobody_followed_reads_as_its_blendshapes():
    face = make_face(mouthSmileLeft=0.8, mouthSmileRight=0.6, jawOpen=0.5, mouthClose=0.1, eyeBlinkLeft=0.9)
    for ours, plain in zip(face_action_units(face), action_units(face.blendshapes, 0.9), strict=True):
        np.testing.assert_allclose(ours, plain)


def test_movements_that_were_followed_take_the_place_of_the_shapes():
    units = np.zeros((len(UNITS), 2))
    units[UNIT["smile"]] = 0.9, 0.7
    units[UNIT["jaw_open"]] = 0.5
    units[UNIT["blink"]] = 1.0, 0.2
    face = make_face(mouthSmileLeft=0.1, jawOpen=0.1, mouthClose=0.2, eyeSquintLeft=0.4, browDownLeft=1.0)
    intensity, confidence = face_action_units(face, Affect("a", units))
    assert intensity[[12, 26, 45, 4]] == pytest.approx([0.8, 0.5, 0.6, 0.0])
    assert intensity[7] == pytest.approx(0.2)  # still from the shapes
    assert intensity[25] == pytest.approx(0.5 - 0.2)  # lips part: the jaw as read, less the closed lips
    assert intensity[46] == pytest.approx(0.8)  # a wink
    assert confidence[[12, 26, 45]].tolist() == [0.9] * 3 and confidence[[6, 9, 19, 34]].tolist() == [0] * 4


@given(arrays(np.float64, 52, elements=st.floats(0, 1)), st.floats(-1, 2))
def test_of_a_face_everything_stays_within_0_and_1(shapes, confidence):
    face = Face("a", Roi(0, 0, 100, 100), confidence, np.full((478, 3), np.nan), shapes, np.eye(4))
    for values in face_action_units(face):
        assert values.shape == (N_UNITS,) and (values >= 0).all() and (values <= 1 + 1e-12).all()
