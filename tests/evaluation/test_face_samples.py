"""Samples of rendered people, and the fits that are made from samples."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fabg.errors import ConfigError
from fabg.evaluation import fit_face
from fabg.evaluation.face_samples import FACING, FaceRanges, FaceSamples, sample_faces
from fabg.evaluation.fit_face import Size, Task, fit_readout, out_of_fold, vectors_from_rotations
from fabg.geometry import rotation_from_ypr, ypr_from_rotation
from fabg.perception.facefit import context, rotation_from_vector
from fabg.perception.gaze import GazeEstimator
from fabg.perception.readout import readout_from_json

NEAR = FaceRanges(distance_m=(0.5, 0.9))


@pytest.fixture(scope="module")
def samples() -> FaceSamples:
    return sample_faces([1000, 1001], 3, seed=1000, ranges=NEAR)


def test_samples_hold_what_was_read_beside_what_was_drawn(samples):
    assert len(samples) == 6 and samples.was_found.all()
    assert samples.person.tolist() == [1000] * 3 + [1001] * 3
    angles = np.degrees(context(samples.pose)[:, :3])
    for i, name in enumerate(("yaw_deg", "pitch_deg", "roll_deg")):
        np.testing.assert_allclose(angles[:, i], samples.conditions[name], atol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(samples.pose[:, :3, 3], axis=1), samples.conditions["distance_m"]
    )
    assert np.all(np.abs(samples.conditions["pitch_deg"]) <= NEAR.pitch_deg)
    for i, face in enumerate(samples.faces):
        # The eyes are in the face, and look within the range against the head.
        eyes = samples.pose[i, :3, :3].T @ (samples.gaze_origin[i] - samples.pose[i, :3, 3])
        assert np.linalg.norm(eyes) < 0.03
        look = samples.pose[i, :3, :3].T @ samples.gaze[i]
        assert math.degrees(math.acos(look[0])) < NEAR.gaze_deg + 2.0
        pixel = samples.gaze_origin[i, :2] / samples.gaze_origin[i, 2] * samples.camera.fx + 0.5 * np.array(
            [samples.image_size[0] - 1, samples.image_size[1] - 1]
        )
        eye_points = face.landmarks[[33, 133, 362, 263], :2].mean(axis=0)
        assert np.linalg.norm(eye_points - pixel) < 0.1 * face.roi.width
        np.testing.assert_allclose(face.pose[:3, 3], samples.pose[i, :3, 3], rtol=0.3, atol=0.05)


def test_a_persons_samples_do_not_depend_on_the_others(samples):
    alone = sample_faces([1001], 3, seed=1000, ranges=NEAR)
    np.testing.assert_array_equal(alone.pose, samples.pose[3:])
    np.testing.assert_array_equal(alone.landmarks, samples.landmarks[3:])
    np.testing.assert_array_equal(alone.shapes, samples.shapes[3:])


def test_samples_can_be_picked(samples):
    picked = samples.where(samples.person == 1001)
    assert len(picked) == 3 and picked.person.tolist() == [1001] * 3
    assert all(len(column) == 3 for column in picked.conditions.values())
    assert picked.single_image(0).faces == (samples.faces[3],)
    assert len(samples.where(np.zeros(6, dtype=bool)).landmarks) == 0


def test_a_picture_without_a_face_is_nan_and_no_error():
    tiny = sample_faces([1000], 1, seed=1, image_size=(64, 48), ranges=FaceRanges(distance_m=(3.0, 3.0)))
    assert not tiny.was_found.any() and np.isnan(tiny.face_pose).all() and np.isnan(tiny.rotation).all()
    assert tiny.single_image(0).faces == () and len(tiny.found()) == 0
    assert np.isfinite(tiny.pose).all()


@pytest.mark.parametrize("bad", [{"distance_m": (2.0, 1.0)}, {"blink": 1.5}, {"aside": math.nan}])
def test_impossible_ranges_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        FaceRanges(**bad)


# The fit -----------------------------------------------------------------------------------------


def test_a_head_that_faces_the_camera_is_told_as_such():
    np.testing.assert_allclose(FACING[:, 0], [0, 0, -1])
    assert ypr_from_rotation(FACING.T @ FACING) == pytest.approx((0, 0, 0))


def test_rotation_vectors_are_found_again():
    rng = np.random.default_rng(0)
    vectors = np.vstack([rng.normal(0, 0.5, (20, 3)), np.zeros(3), [1e-9, 0, 0]])
    rotations = np.array([rotation_from_vector(v) for v in vectors])
    np.testing.assert_allclose(vectors_from_rotations(rotations), vectors, atol=1e-9)
    np.testing.assert_allclose(
        vectors_from_rotations(rotation_from_ypr(0.2, 0, 0)[None])[0], [0, 0, 0.2], atol=1e-12
    )


def made_up(n: int = 600) -> Task:
    """Inputs of 5 dimensions whose targets are a polynomial of the kind that a read-out is."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(0, 1, (n, 3)) @ rng.normal(0, 1, (3, 5)) + 4.0
    contexts = rng.normal(0, 1, (n, 4))
    a, b = inputs @ rng.normal(0, 1, 5), contexts[:, 0]
    targets = np.column_stack([0.3 * a + 0.5 * a * b + 1.0, b * b - 2.0])
    return Task(inputs, contexts, targets, np.arange(n) // 6, np.ones_like(targets))


def test_the_fit_finds_a_polynomial_and_tells_of_people_it_has_not_seen():
    task, size, ridge = made_up(), Size(components=3, crossed=3), np.full(2, 1e-9)
    readout = fit_readout(task, size, ridge)
    inside = np.abs(readout.components(task.inputs)).max(axis=1) < 2.5
    inside &= np.abs((task.contexts - readout.context_mean) / readout.context_scale).max(axis=1) < 2.5
    found, trust = readout(task.inputs, task.contexts)
    np.testing.assert_allclose(found[inside], task.targets[inside], atol=0.3)
    assert np.median(np.abs(found - task.targets)) < 0.02 and np.mean(trust) > 0.98
    (unseen,) = out_of_fold(task, size, ridge)
    assert np.median(np.abs(unseen - task.targets)) < 0.02


def test_no_person_is_on_both_sides_of_a_fold():
    groups = np.repeat([3, 8, 9, 20, 41, 77], 4)
    folds = fit_face.folds_of(groups, 5)
    assert all(len(set(folds[groups == person])) == 1 for person in groups)
    assert set(folds) == {0, 1, 2, 3, 4}


def test_what_is_written_is_what_was_fitted():
    readout = fit_readout(made_up(), Size(components=3, crossed=3), np.full(2, 1e-6))
    read = readout_from_json(json.loads(fit_face.document(readout, {"seed": 1})))
    task = made_up()
    np.testing.assert_allclose(
        read(task.inputs, task.contexts)[0], readout(task.inputs, task.contexts)[0], rtol=0.02, atol=0.02
    )


@pytest.mark.parametrize("arguments", [["--people", "2"], ["--people", "1001"], ["--seed", "1000"]])
def test_people_and_seeds_of_reports_are_not_fitted_on(arguments, capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        fit_face.main(["--out", str(tmp_path), *arguments])
    assert caught.value.code == 2 and "people: 5 to 1000, seed: 0 to 999" in capsys.readouterr().err


# What ships --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_poses_and_gazes_of_people_not_fitted_on_are_about_right():
    """A few pictures: limits well above the means that `fabg eval perception` tells of many."""
    seen = sample_faces(
        range(1100, 1112), 3, seed=1100, ranges=FaceRanges(distance_m=(0.4, 1.2), blink=0.0)
    ).found()
    turn = np.swapaxes(seen.face_pose[:, :3, :3], 1, 2) @ seen.pose[:, :3, :3]
    assert np.all(np.degrees(np.abs(vectors_from_rotations(turn))).mean(axis=0) < [1.5, 3.5, 2.5])
    away = np.linalg.norm(seen.pose[:, :3, 3], axis=1)
    assert np.mean(np.linalg.norm(seen.face_pose[:, :3, 3] - seen.pose[:, :3, 3], axis=1) / away) < 0.07
    estimator, cosines = GazeEstimator(), []
    for i in range(len(seen)):
        (gaze,) = estimator.update(seen.single_image(i))
        cosines.append(gaze.direction @ seen.gaze[i])
        assert np.linalg.norm(gaze.origin - seen.gaze_origin[i]) < 0.2 * away[i]
    assert np.degrees(np.arccos(cosines)).mean() < 6.5
