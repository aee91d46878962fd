"""The pairs that distances are judged on: the second camera stands where it is said to."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fabg.evaluation.depth_accuracy import BASELINES_M, PairStudio, depth_section, moved
from fabg.perception.pose import Camera
from fabg.social.avatar import (
    HAND_SHAPES,
    Actor,
    EyeAngles,
    FacePose,
    HandPose,
    Lens,
    Person,
    Side,
    facing,
    hand_at,
    shapes_of,
)


def actor(gaze):
    hand = HandPose(Side.LEFT, hand_at((0.1, 0.1, 0.6)), HAND_SHAPES["open"])
    return Actor(Person.random(1002), FacePose(facing((0.05, 0.0, 0.8)), shapes_of(), gaze), (hand,))


def test_everything_of_a_person_is_moved():
    before = actor(np.array([0.0, 0.1, 0.2]))
    after = moved(before, 0.1)
    np.testing.assert_allclose(after.face.pose[:3, 3], [-0.05, 0.0, 0.8])
    np.testing.assert_array_equal(after.face.pose[:3, :3], before.face.pose[:3, :3])
    np.testing.assert_allclose(after.face.gaze, [-0.1, 0.1, 0.2])
    np.testing.assert_allclose(after.hands[0].pose[:3, 3], [0.0, 0.1, 0.6])
    assert moved(actor(EyeAngles.both(0.1, 0.0)), 0.1).face.gaze == EyeAngles.both(0.1, 0.0)


def test_the_right_cameras_see_the_face_shifted_by_what_its_distance_says():
    camera = Camera.from_fov(640, 480, 60.0)
    studio = PairStudio(camera, (640, 480))
    with studio:
        left = studio.render([actor(EyeAngles.both(0.0, 0.0))], lens=Lens(noise=2.0), seed=4)
        rights = studio.rights
    x, y = (round(float(v)) for v in studio_px(camera, (0.05, 0.0, 0.8)))
    patch = left.image[y - 20 : y + 60, x - 40 : x + 40]
    z_m = float(np.nanmedian(left.depth[y - 20 : y + 60, x - 40 : x + 40]))
    for baseline_m, right in zip(BASELINES_M, rights, strict=True):
        assert not np.array_equal(right, left.image)
        row = right[y - 20 : y + 60]
        found = cv2.minMaxLoc(cv2.matchTemplate(row, patch, cv2.TM_CCOEFF_NORMED))[3][0]
        assert x - 40 - found == pytest.approx(camera.fx * baseline_m / z_m, abs=2.0)


def studio_px(camera, point):
    x, y, z = point
    return camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy


def test_stereo_keeps_its_promise_on_people_that_nothing_was_tuned_on():
    told = []
    section = depth_section(range(1000, 1001), 2, 5, lambda done, total: told.append((done, total)))
    rows = {row.quantity: row for row in section.rows}
    assert told == [(1, 2), (2, 2)]
    for name in ("stereo, 63 mm", "stereo, 120 mm"):
        row = rows[f"{name}, median over the person"]
        assert row.target == 2.0 and row.value < 3.0 and row.count == 2
    alone = rows["face, one camera, size of the face"].value
    assert rows["face, depth camera"].value < max(alone, 2.5)
