"""Fitted read-outs: their geometry and arithmetic by formula, and what they do to a real face."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from fabg.errors import ModelFileError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.perception import facefit
from fabg.perception import readout as readout_module
from fabg.perception.face import FaceTrackerConfig
from fabg.perception.facefit import (
    context,
    in_head,
    pose_fit,
    rotation_from_vector,
    seen_rotation,
)
from fabg.perception.pose import Camera, geometric_pose
from fabg.perception.readout import Readout, readout_from_json
from fabg.perception.roi import square
from fabg.perception.types import Roi

FACING = OPTICAL_FROM_BODY @ rotation_from_ypr(math.pi, 0.0, 0.0)


def looking_back(position, yaw=0.0, pitch=0.0, roll=0.0) -> np.ndarray:
    """The pose of a head that looks back along the ray to it, turned by these angles."""
    ray = np.asarray(position) / np.linalg.norm(position)
    axis = np.cross([0.0, 0.0, 1.0], ray)
    length = np.linalg.norm(axis)
    towards = np.eye(3)
    if length > 1e-12:
        towards = rotation_from_vector(axis / length * math.atan2(length, ray[2]))
    return pose(towards @ FACING @ rotation_from_ypr(yaw, pitch, roll), position)


@pytest.mark.parametrize("position", [(0.0, 0.0, 1.0), (0.4, -0.2, 0.8), (-0.5, 0.5, 2.0)])
@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.5, -0.3, 0.2), (-0.4, 0.2, -0.3)])
def test_context_tells_the_angles_against_a_head_that_faces_the_camera(position, angles):
    found = context(looking_back(position, *angles))
    np.testing.assert_allclose(found, [*angles, 0.2 / np.linalg.norm(position)], atol=1e-9)


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.5, -0.3, 0.2)])
@pytest.mark.parametrize("scale", [50.0, 400.0])
def test_points_come_back_into_the_head_whatever_its_pose_and_size(angles, scale):
    head = np.random.default_rng(1).normal(0, 1, (478, 3))
    frame = head[list(facefit._FRAME_POINTS)]
    expected = (head - frame.mean(axis=0)) / np.sqrt(np.square(frame - frame.mean(axis=0)).sum(axis=1).mean())
    at = looking_back((0.3, 0.1, 1.5), *angles)
    landmarks = scale * head @ seen_rotation(at).T + [320, 240, 0]
    np.testing.assert_allclose(in_head(landmarks, at), expected, atol=1e-9)


def test_many_faces_at_once_are_what_they_are_one_by_one():
    rng = np.random.default_rng(2)
    landmarks = rng.normal(0, 50, (3, 478, 3))
    poses = np.array([looking_back((0.1 * i, 0.1, 1.0), 0.1 * i) for i in range(3)])
    together = in_head(landmarks, poses)
    for i in range(3):
        np.testing.assert_allclose(together[i], in_head(landmarks[i], poses[i]), atol=1e-12)
        np.testing.assert_allclose(context(poses)[i], context(poses[i]), atol=1e-12)


@pytest.mark.parametrize("vector", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.5), (0.0, 0.0, -1.2)])
def test_rotation_vectors(vector):
    rotation = rotation_from_vector(np.array(vector))
    angle = np.linalg.norm(vector)
    np.testing.assert_allclose(rotation @ vector, vector, atol=1e-12)
    assert np.trace(rotation) == pytest.approx(1 + 2 * math.cos(angle))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(
        rotation_from_vector(np.array([0, 0, 0.3])), rotation_from_ypr(0.3, 0, 0), atol=1e-12
    )


def small_readout(**changes) -> Readout:
    rng = np.random.default_rng(5)
    values = {
        "mean": rng.normal(size=6), "basis": rng.normal(size=(3, 6)) * 0.3, "context_mean": rng.normal(size=4),
        "context_scale": rng.uniform(0.5, 2, 4), "crossed": 2, "weights": rng.normal(size=(29, 2)),
        "limits": np.array([1e3, 1e3]), "near": 2.0, "far": 4.0,
    }  # fmt: skip
    return Readout(**values | changes)


def test_a_readout_is_the_polynomial_that_it_says():
    readout, rng = small_readout(), np.random.default_rng(6)
    inputs, contexts = readout.mean + rng.normal(0, 0.3, 6), readout.context_mean + rng.normal(0, 0.3, 4)
    components = [float(row @ (inputs - readout.mean)) for row in readout.basis]
    scaled = [float(v) for v in (contexts - readout.context_mean) / readout.context_scale]
    crossing = [*components[:2], *scaled]
    products = [a * b for a, b in itertools.combinations_with_replacement(crossing, 2)]
    expected = np.array([1.0, *components, *scaled, *products]) @ readout.weights
    outputs, trust = readout(inputs, contexts)
    np.testing.assert_allclose(outputs, expected, atol=1e-9)
    assert trust == 1.0


def test_results_and_components_are_limited_and_trust_falls_with_distance():
    readout = small_readout(limits=np.array([0.1, 0.2]))
    far = readout.mean + np.linalg.pinv(readout.basis) @ np.full(3, 50.0)
    outputs, trust = readout(far, readout.context_mean)
    assert np.all(np.abs(outputs) <= [0.1, 0.2]) and trust == 0.0
    between = readout.mean + np.linalg.pinv(readout.basis) @ np.full(3, math.sqrt(3.0))
    assert readout(between, readout.context_mean)[1] == pytest.approx(0.5)
    limited = small_readout()
    at_limit = limited.mean + np.linalg.pinv(limited.basis) @ np.full(3, 3.0)
    np.testing.assert_allclose(
        limited(far, limited.context_mean)[0], limited(at_limit, limited.context_mean)[0]
    )


def test_a_face_unlike_all_others_is_not_corrected():
    landmarks = np.random.default_rng(3).uniform(0, 400, (478, 3))
    measured = looking_back((0.1, 0.0, 0.9), 0.2, 0.1, 0.0)
    np.testing.assert_allclose(pose_fit().apply(landmarks, measured), measured, atol=1e-12)


# What ships ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pose.json", "gaze.json"])
def test_what_ships_is_small_and_says_how_it_was_made(name):
    text = (readout_module.DATA / name).read_text()
    assert len(text) < 300_000
    document = json.loads(text)
    made = document["made"]
    assert max(made["people"]) < 1000 and made["seed"] < 1000 and made["samples"] > 1000
    assert made["command"].startswith("python -m fabg.evaluation.fit_face")
    assert all(value > 0 for value in made["error_on_other_people"].values())


def test_damaged_files_are_refused(tmp_path, monkeypatch):
    document = json.loads((readout_module.DATA / "pose.json").read_text())
    for name in ("mean", "weights", "near"):
        with pytest.raises(ModelFileError, match="damaged"):
            readout_from_json({k: v for k, v in document.items() if k != name})
    with pytest.raises(ModelFileError, match="damaged"):
        readout_from_json(document | {"mean": document["mean"][:-1]})
    with pytest.raises(ModelFileError, match="NaN"):
        readout_from_json(document | {"weights": [[math.nan] * 4] * len(document["weights"])})
    monkeypatch.setattr(readout_module, "DATA", tmp_path)
    for text in (None, "[]", "{"):
        if text is not None:
            (tmp_path / "pose.json").write_text(text)
        pose_fit.cache_clear()
        with pytest.raises(ModelFileError, match="pose.json"):
            pose_fit()
    pose_fit.cache_clear()


# A real face -------------------------------------------------------------------------------------


def test_on_a_real_face_corrections_are_small_and_smooth(landmarker, clip):
    camera, corrections = Camera.from_fov(400, 300, 60.0), []
    for start in range(0, 1320, 120):
        for image in clip[start : start + 3]:
            (first,) = landmarker.read(image, Roi(50, 0, 300, 300))
            (reading,) = landmarker.read(image, square(first.roi, FaceTrackerConfig.crop_scale))
            measured = geometric_pose(reading.landmarks, reading.rotation, reading.center, camera)
            corrections.append(pose_fit().corrections(reading.landmarks, measured))
    found = np.array(corrections).reshape(-1, 3, 4)
    assert np.degrees(np.linalg.norm(found[..., :3], axis=-1)).max() < 8.0
    assert np.abs(found[..., 3]).max() < 0.16  # of the distance
    steps = np.diff(found, axis=1)
    assert np.degrees(np.linalg.norm(steps[..., :3], axis=-1)).mean() < 0.6  # between neighbouring images
    assert np.abs(steps[..., 3]).mean() < 0.01
