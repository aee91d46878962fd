"""A row holds what `encode` tells, with directions; and each column knows its mask."""

import math
from itertools import permutations

import numpy as np
import pytest

from fabg.perception.types import Gesture, Side
from fabg.policy import features
from fabg.policy.base import HandObservation, Observation, PersonObservation
from fabg.policy.observation import HAND_FIELDS, PERSON_FIELDS, SHAPES, encode


def arrays(rng, *shape):
    """What `encode` might give, with all masks 0 or 1."""
    found = {name: rng.normal(size=(*shape, *size)) for name, size in SHAPES.items()}
    for name in ("people_mask", "hands_mask", "joints_mask"):
        found[name] = rng.integers(0, 2, found[name].shape)
    return {name: value.astype(np.float32) for name, value in found.items()}


def direction(point):
    """Yaw and pitch of a point by the geometry of a pointer that is turned to it, not by arctangents alone."""
    x, y, z = (float(v) for v in point)
    distance = math.sqrt(x * x + y * y + z * z)
    yaw = math.copysign(math.acos(x / math.hypot(x, y)), y)
    return yaw, -math.asin(z / distance), 1.0 / max(distance, 0.05)


def test_each_number_is_in_its_place():
    given = arrays(np.random.default_rng(0), 4)
    rows = features.rows(given)
    assert rows.shape == (4, features.SIZE) and rows.dtype == np.float32
    for row, k in zip(rows, range(4), strict=True):
        people = row[features.PEOPLE].reshape(3, 69)
        for p in range(3):
            known = given["people_mask"][k, p]
            np.testing.assert_array_equal(people[p, :66], given["people"][k, p] * known)
            expected = np.array(direction(given["people"][k, p, :3])) * known
            np.testing.assert_allclose(people[p, 66:], expected, atol=2e-6)
        hands = row[features.HANDS].reshape(2, 29)
        for h in range(2):
            known = given["hands_mask"][k, h]
            np.testing.assert_array_equal(hands[h, :23], given["hands"][k, h] * known)
            for at, name in ((23, "position_m"), (26, "tip_m")):
                expected = np.array(direction(given["hands"][k, h, HAND_FIELDS[name]])) * known
                np.testing.assert_allclose(hands[h, at : at + 3], expected, atol=2e-6)
        np.testing.assert_array_equal(row[features.PEOPLE_MASK], given["people_mask"][k])
        np.testing.assert_array_equal(row[features.HANDS_MASK], given["hands_mask"][k])
        np.testing.assert_array_equal(row[features.JOINTS], given["joints"][k] * given["joints_mask"][k])
        np.testing.assert_array_equal(row[features.JOINTS_MASK], given["joints_mask"][k])


def test_one_or_many_moments_and_no_joints():
    given = arrays(np.random.default_rng(1), 2, 3)
    rows = features.rows(given)
    assert rows.shape == (2, 3, features.SIZE)
    one = features.rows({name: value[1, 2] for name, value in given.items()})
    np.testing.assert_array_equal(one, rows[1, 2])
    del given["joints"], given["joints_mask"]
    without = features.rows(given)
    assert not without[..., features.JOINTS].any() and not without[..., features.JOINTS_MASK].any()
    np.testing.assert_array_equal(without[..., : features.JOINTS.start], rows[..., : features.JOINTS.start])


def test_every_column_names_its_mask():
    """What a mask switches off is just what names it: by trying."""
    given = arrays(np.random.default_rng(2))
    for name in ("people_mask", "hands_mask", "joints_mask"):
        given[name][:] = 1.0
    whole = features.rows(given)
    places = (features.PEOPLE_MASK, features.HANDS_MASK, features.JOINTS_MASK)
    for name, place in zip(("people_mask", "hands_mask", "joints_mask"), places, strict=True):
        for k, column in enumerate(range(place.start, place.stop)):
            off = given[name].copy()
            off[k] = 0.0
            gone = np.flatnonzero((features.rows(given | {name: off}) == 0.0) & (whole != 0.0))
            named = np.flatnonzero(column == features.MASK_OF)
            np.testing.assert_array_equal(gone, named[whole[named] != 0.0])
            assert column in named and len(gone) > 20


def test_directions_as_a_robot_turns():
    """x forward, y left, z up: left is positive yaw, down positive pitch."""

    def bearing(*point):
        given = arrays(np.random.default_rng(3))
        given["people"][0, :3], given["people_mask"][:] = point, 1.0
        return features.rows(given)[66:69]

    np.testing.assert_allclose(bearing(2.0, 0.0, 0.0), [0.0, 0.0, 0.5], atol=1e-7)
    np.testing.assert_allclose(bearing(1.0, 1.0, 0.0)[:2], [math.pi / 4, 0.0], atol=1e-6)
    np.testing.assert_allclose(bearing(1.0, 0.0, -1.0)[:2], [0.0, math.pi / 4], atol=1e-6)
    np.testing.assert_allclose(bearing(0.0, 0.0, 0.0), [0.0, 0.0, 0.0])
    np.testing.assert_allclose(bearing(0.001, 0.0, 0.0), [0.0, 0.0, 20.0], rtol=1e-6)  # not without bounds


def test_people_change_places_with_their_masks():
    orders = features.people_orders()
    assert orders.shape == (6, features.SIZE)
    given = arrays(np.random.default_rng(4), 5)
    rows = features.rows(given)
    for columns, order in zip(orders, permutations(range(3)), strict=True):
        moved = features.rows(
            given | {name: given[name][:, list(order)] for name in ("people", "people_mask")}
        )
        np.testing.assert_array_equal(rows[:, columns], moved)
    np.testing.assert_array_equal(orders[0], np.arange(features.SIZE))


def test_an_observation_that_is_seen():
    person = PersonObservation(
        "a", np.linspace(0, 1, 52), np.array([1.0, 0.2, -0.1]), np.eye(3), 0.8, np.array([-1.0, 0.0, 0.0])
    )
    hand = HandObservation(
        "h", "a", Side.LEFT, np.array([0.5, 0.1, 0.0]), np.array([0.4, 0.2, 0.1]), Gesture.FIST, 0.7, True
    )
    row = features.rows(encode(Observation(3.0, (person,), (hand,)), 3.0))
    assert row[features.PEOPLE_MASK].tolist() == [1, 0, 0] and row[features.HANDS_MASK].tolist() == [1, 0]
    assert not row[features.JOINTS_MASK].any() and not row[69 : features.PEOPLE_MASK.start].any()
    np.testing.assert_allclose(row[PERSON_FIELDS["shapes"]], np.linspace(0, 1, 52), atol=1e-7)
    assert row[66] == pytest.approx(math.atan2(0.2, 1.0)) and row[67] > 0.0
