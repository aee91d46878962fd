"""What is missing is masked; what is there stands where the table says."""

import numpy as np
import pytest

from fabg.perception.types import Gesture, Side
from fabg.policy.base import HandObservation, Observation, PersonObservation
from fabg.policy.observation import HAND_FIELDS, HAND_SIZE, PERSON_FIELDS, PERSON_SIZE, SHAPES, encode


def person(k: int, gaze=None) -> PersonObservation:
    rng = np.random.default_rng(k)
    return PersonObservation(f"p{k}", rng.random(52), rng.normal(size=3), np.eye(3)[:, [1, 2, 0]], 0.9, gaze)


def hand(k: int, *, extended: bool, gesture=Gesture.FIST, side=Side.LEFT, direction=None) -> HandObservation:
    return HandObservation(
        f"h{k}", "p0", side, np.full(3, k), np.full(3, k + 0.5), gesture, 0.8, extended, direction
    )


def test_nothing_seen_is_all_masks_off():
    arrays = encode(None, 3.0)
    assert {name: a.shape for name, a in arrays.items()} == dict(SHAPES)
    assert all(a.dtype == np.float32 and not a.any() for a in arrays.values())


def test_nobody_in_an_image_differs_from_no_image():
    arrays = encode(Observation(2.0), 2.06)
    assert arrays["seen"] == 1 and arrays["age_s"] == pytest.approx(0.06)
    assert (
        not arrays["people_mask"].any() and not arrays["hands_mask"].any() and not arrays["joints_mask"].any()
    )


def test_every_field_stands_in_its_columns():
    p, gaze = person(1, gaze=np.array([0.0, 0.6, 0.8])), np.array([0.0, 0.6, 0.8])
    h = hand(2, extended=True, gesture=Gesture.WAVE, side=Side.RIGHT, direction=np.array([0.0, -1.0, 0.0]))
    joints = np.linspace(-0.4, 0.4, 25)
    arrays = encode(Observation(1.0, (p,), (h,), joints), 1.0)
    row, columns = arrays["people"][0], PERSON_FIELDS
    np.testing.assert_allclose(row[columns["position_m"]], p.position_m, rtol=1e-6)
    np.testing.assert_allclose(row[columns["forward"]], p.rotation[:, 0])
    np.testing.assert_allclose(row[columns["left"]], p.rotation[:, 1])
    np.testing.assert_allclose(row[columns["gaze"]], gaze, rtol=1e-6)
    assert row[columns["gaze_known"]] == 1
    np.testing.assert_allclose(row[columns["shapes"]], p.blendshapes, rtol=1e-6)
    row, columns = arrays["hands"][0], HAND_FIELDS
    np.testing.assert_allclose(row[columns["tip_m"]], h.tip_m)
    np.testing.assert_allclose(row[columns["direction"]], [0, -1, 0])
    assert row[columns["points"]] == 1 and row[columns["extended"]] == 1 and row[columns["right"]] == 1
    assert np.flatnonzero(row[columns["gesture"]]).tolist() == [Gesture.WAVE]
    np.testing.assert_allclose(arrays["joints"], joints, rtol=1e-6)
    assert arrays["people_mask"].tolist() == [1, 0, 0] and arrays["hands_mask"].tolist() == [1, 0]
    assert not arrays["people"][1:].any() and not arrays["hands"][1:].any()


@pytest.mark.parametrize("fields, size", [(PERSON_FIELDS, PERSON_SIZE), (HAND_FIELDS, HAND_SIZE)])
def test_fields_fill_a_row_without_gap_or_overlap(fields, size):
    columns = [k for columns in fields.values() for k in range(size)[columns]]
    assert columns == list(range(size))


def test_too_many_are_cut_and_extended_hands_come_first():
    hands = (hand(1, extended=False), hand(2, extended=False), hand(3, extended=True))
    arrays = encode(Observation(0.0, tuple(person(k) for k in range(5)), hands), 0.0)
    assert arrays["people_mask"].tolist() == [1, 1, 1] and arrays["hands_mask"].tolist() == [1, 1]
    assert arrays["hands"][:, 0].tolist() == [3, 1]


def test_an_unknown_gaze_is_not_a_gaze_straight_ahead():
    row = encode(Observation(0.0, (person(1),)), 0.0)["people"][0]
    assert row[PERSON_FIELDS["gaze_known"]] == 0 and not row[PERSON_FIELDS["gaze"]].any()
