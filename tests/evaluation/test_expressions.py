"""Planned expressions, and the fit of movements to them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fabg.evaluation.expressions import (
    EMFACS,
    GROUPS,
    STILL,
    Motion,
    mixes,
    prototypes,
    sample_expressions,
    scattered,
    shown,
    sweep,
)
from fabg.evaluation.fit_affect import cross_validated, mean_template, plan, ridge, within, write
from fabg.expression import INDEX, SHAPES
from fabg.perception.affect import RIGID, UNITS
from fabg.perception.types import EMOTIONS


def test_groups_and_prototypes_name_what_exists():
    assert {shape for shapes in GROUPS.values() for shape in shapes} <= set(SHAPES)
    assert set(EMFACS) == set(EMOTIONS)
    assert {name for movements in EMFACS.values() for name in movements} <= set(GROUPS)


def test_a_sweep_goes_from_rest_to_full_in_even_steps():
    rows = sweep("mouthSmile", 5, resting=2)
    left, right = (rows[:, INDEX[f"mouthSmile{side}"]] for side in ("Left", "Right"))
    assert left.tolist() == right.tolist() == [0, 0, 0, 0.25, 0.5, 0.75, 1.0]
    assert np.count_nonzero(rows) == 8


def test_overlapping_movements_do_not_add_up():
    shapes = shown(browInnerUp=0.3, browRaise=0.8)
    assert shapes[INDEX["browInnerUp"]] == 0.8


PLANS = [lambda rng: mixes(rng, 50, resting=3), lambda rng: scattered(rng, 50), prototypes, plan]


@pytest.mark.parametrize("make", PLANS)
def test_plans_are_shapes_and_follow_from_the_seed(make):
    one, same, other = (make(np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert one.shape[1] == len(SHAPES) and (one >= 0).all() and (one <= 1).all()
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_mixes_hold_several_movements_some_of_them_uneven():
    rows = mixes(np.random.default_rng(1), 200, (2, 5))
    moving = [
        sum(rows[i, [INDEX[s] for s in shapes]].any() for shapes in GROUPS.values()) for i in range(200)
    ]
    assert min(moving) >= 2
    smiles = rows[:, [INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]]
    smiles = smiles[smiles.any(axis=1)]
    assert 0.1 < (smiles[:, 0] != smiles[:, 1]).mean() < 0.6


def test_ridge_is_that_of_the_normal_equations():
    """Against least squares on the data with rows that pull each standardised weight to 0."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(80, 5)) * [1, 10, 0.1, 1, 3], rng.normal(size=(80, 2))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    weight = 7.0
    pull = np.diag(np.sqrt(weight) * x.std(axis=0))
    expected = np.linalg.lstsq(np.vstack([x, pull]), np.vstack([y, np.zeros((5, 2))]), rcond=None)[0]
    np.testing.assert_allclose(ridge(x, y, weight), expected, rtol=1e-9)
    constant = np.column_stack([x, np.zeros(80)])
    assert (ridge(constant, y, weight)[5] == 0).all()


def test_each_person_and_side_is_compared_with_their_own_mean():
    values = np.array([[1.0], [10.0], [3.0], [20.0], [5.0], [5.0]])
    persons = np.array([4, 4, 4, 4, 9, 9])  # left and right by turns
    assert within(values, persons)[:, 0].tolist() == [-1, -5, 1, 5, 0, 0]


def test_nobody_is_predicted_from_pictures_of_themselves():
    """Features that name the person predict nothing of others."""
    rng = np.random.default_rng(3)
    persons = np.repeat(np.arange(20), 6)
    x = np.eye(20)[persons]
    y = rng.normal(size=(20, 1))[persons]
    assert np.abs(cross_validated(x, y, persons, 1e-3)).max() < 1e-9


@pytest.mark.slow
def test_rendered_people_can_be_fitted(tmp_path):
    people = range(3, 6)
    samples = sample_expressions(
        people, lambda rng: plan(rng)[:12], seed=11, motion=Motion(distance_m=(0.4, 0.6))
    )
    again = sample_expressions([4], lambda rng: plan(rng)[:12], seed=11, motion=Motion(distance_m=(0.4, 0.6)))
    faces = [face for face in samples.faces if face is not None]
    assert len(samples) == 36 and len(faces) >= 35
    np.testing.assert_array_equal(again.shapes, samples.shapes[12:24])
    np.testing.assert_allclose(again.faces[0].landmarks, samples.faces[12].landmarks)
    assert samples.pictures[0].shape == (128, 128, 3)
    stamps = [image.stamp_s for image in samples.images(hz=5.0)]
    steps = np.diff(stamps)
    assert (steps[11::12] == pytest.approx(1.0)) and steps[:11] == pytest.approx(0.2)

    template = mean_template(faces)
    right, left = template[RIGID.index(33)], template[RIGID.index(263)]
    np.testing.assert_allclose(right, [-1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(left, [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(template[RIGID.index(133)] * [-1, 1, 1], template[RIGID.index(362)], atol=1e-9)
    assert (
        template[RIGID.index(4)][2] > 0.4 and template[RIGID.index(10)][1] > 0.5
    )  # nose in front, forehead above

    write(samples, tmp_path / "fit.json")
    made = json.loads((tmp_path / "fit.json").read_text())
    assert np.array(made["weights"]).shape[1] == len(UNITS)
    assert np.isfinite(np.array(made["weights"])).all()


@pytest.mark.slow
def test_movements_of_unseen_people_are_followed():
    """Against what the renderer was told: one movement swept, on people that nothing was fitted on."""
    from fabg.perception.affect import AffectReader

    reads = {
        "mouthSmile": lambda a: a.smile,
        "jawOpen": lambda a: a.jaw_open,
        "eyeBlink": lambda a: sum(a.blink) / 2,
        "browRaise": lambda a: a.brow_raise,
    }
    for name, read in reads.items():
        samples = sample_expressions(
            (1003, 1010), lambda rng, n=name: sweep(n, 5, 3), seed=1000, motion=STILL
        )
        reader = AffectReader()
        read_out = np.array([read(reader.update(faces)[0]) for faces in samples.images()]).reshape(2, 8)
        for person in read_out:
            assert np.corrcoef(person[3:], np.linspace(0, 1, 5))[0, 1] > 0.85, name
