"""What is drawn lies where it was measured, and hidden people stay hidden."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from fabg.perceive.angles import head_deg, ray_deg
from fabg.perceive.cards import WIDTH
from fabg.perceive.film import Painter
from fabg.perceive.overlay import BONES, CONTOURS, IRISES, View, draw, in_words
from fabg.perception.pose import Camera
from fabg.perception.types import ROBOT, DepthSource, Emotion, Engagement, Gaze, Gesture, Look, Side
from fabg.strokes import HIDDEN, PERSON
from fabg.strokes import ROBOT as AT_ROBOT
from tests.perceive.people import FACING, face, hand, scene

CAMERA = Camera(500.0, 500.0, 319.5, 239.5)


def _edges(lines):
    found = set()
    for points, closed in lines:
        for a, b in [*pairwise(points), *([(points[-1], points[0])] if closed else [])]:
            found.add(frozenset((a, b)))
    return found


def test_contours_are_those_of_mediapipe():
    """Against the connections that MediaPipe itself publishes."""
    from mediapipe.tasks.python.vision import FaceLandmarksConnections as theirs

    for names, published in (
        (("oval",), theirs.FACE_LANDMARKS_FACE_OVAL),
        (("lips",), theirs.FACE_LANDMARKS_LIPS),
        (("left eye",), theirs.FACE_LANDMARKS_LEFT_EYE),
        (("right eye",), theirs.FACE_LANDMARKS_RIGHT_EYE),
        (("left brow",), theirs.FACE_LANDMARKS_LEFT_EYEBROW),
        (("right brow",), theirs.FACE_LANDMARKS_RIGHT_EYEBROW),
    ):
        ours = _edges([(points, closed) for name, points, closed in CONTOURS if name in names])
        assert ours == {frozenset((c.start, c.end)) for c in published}, names
    rims = {i for c in theirs.FACE_LANDMARKS_RIGHT_IRIS for i in (c.start, c.end)}
    assert IRISES[0][1] in rims and IRISES[0][0] not in rims


def test_bones_are_those_of_mediapipe():
    from mediapipe.tasks.python.vision import HandLandmarksConnections as theirs

    ours = _edges([(points, False) for points in BONES])
    assert ours == {frozenset((c.start, c.end)) for c in theirs.HAND_CONNECTIONS}


@pytest.mark.parametrize(
    "size, place", [((640, 480), (1280, 720)), ((400, 300), (960, 720)), ((100, 900), (480, 720))]
)
def test_places_lie_on_the_pixels_that_show_them(size, place):
    """A bright pixel of the image is bright on the picture where the view says."""
    camera = Camera.from_fov(*size, 60.0)
    view = View(size, place, camera)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = size[0] * 3 // 4, size[1] // 4
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    shown = draw(image, scene(), view, {})[..., 0].astype(float)
    assert shown.shape == (place[1], place[0])
    rows, columns = np.indices(shown.shape)
    center = np.array([(columns * shown).sum(), (rows * shown).sum()]) / shown.sum()
    np.testing.assert_allclose(view.at((x, y)), center, atol=0.6)
    point = np.array([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, 1.0]) * 2.3
    np.testing.assert_allclose(view.place(point), center, atol=0.6)


def test_rays_run_as_they_are_seen():
    """Against the camera's own picture of a short ray; one that meets the camera is a point."""
    view = View((640, 480), (1280, 960), CAMERA)
    start, direction = np.array([0.1, -0.05, 0.5]), np.array([0.48, 0.6, -0.64])
    near = view.place(start + 1e-6 * direction) - view.place(start)
    np.testing.assert_allclose(view.ray(start, direction, 0.2), near * 0.2e6, rtol=1e-4)
    np.testing.assert_allclose(view.ray(start, -start / np.linalg.norm(start), 0.2), 0.0, atol=1e-9)


def _full_scene(*, at_robot=True, closed=False):
    people = [face("f1", (-0.2, 0.0, 1.0)), face("f2", (0.25, 0.05, 1.1), (0.3, 0.1, -0.2))]
    rays = (-people[0].pose[:3, 3] if at_robot else np.array([0.9, 0.1, -0.4]), np.array([-0.9, 0.0, -0.3]))
    gazes = tuple(
        Gaze(f.id, f.pose[:3, 3], ray / np.linalg.norm(ray), 0.0, 0.0, 0.1, 0.9, 0.0 if closed else 0.9)
        for f, ray in zip(people, rays, strict=True)
    )
    return scene(
        2.0,
        people,
        [
            hand("h1", (-0.2, 0.25, 0.7), "f1", gesture=Gesture.POINTING, direction=(0.6, 0.0, -0.8)),
            hand("h2", (0.3, 0.2, 0.8), extended=False),
        ],
        gazes=gazes,
        looks=(*([Look("f1", ROBOT)] if at_robot else []), Look("f2", "f1")),
        engagement={"f1": Engagement.ENGAGED, "f2": Engagement.DISENGAGED},
        emotions=(
            Emotion("f1", "happy", 0.8, np.full(7, 1 / 7), 0.7, 0.3, 0.9, 0.0),
            Emotion("f2", "", 0.0, np.full(7, 1 / 7), -1.0, 1.0, 0.0, 1.0),
        ),
    )


def _has(picture, colour):
    return bool((np.abs(picture.astype(int) - colour).max(axis=-1) <= 6).any())


def test_eye_contact_shows_and_only_then():
    view = View((640, 480), (960, 720), CAMERA)
    colours = {"f1": PERSON, "f2": (186, 156, 255)}
    grey = np.full((480, 640, 3), 110, np.uint8)
    assert _has(draw(grey, _full_scene(), view, colours), AT_ROBOT)
    assert not _has(draw(grey, _full_scene(at_robot=False), view, colours), AT_ROBOT)
    assert not _has(draw(grey, _full_scene(closed=True), view, colours), AT_ROBOT), "closed eyes have no ray"


def test_hidden_people_leave_no_trace_of_the_image():
    rng = np.random.default_rng(4)
    painted = [
        Painter("talk.mp4", (640, 480), CAMERA, emotion=True, hide_people=True).picture(
            50, rng.integers(0, 256, (480, 640, 3), dtype=np.uint8), _full_scene()
        )
        for _ in range(2)
    ]
    assert np.array_equal(*painted)
    assert _has(painted[0][:, :-WIDTH], HIDDEN) and _has(painted[0][:, :-WIDTH], PERSON)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (1, 1), (30, 2000), (4000, 50)])
@pytest.mark.parametrize("hide", [False, True])
def test_pictures_suit_the_encoder_whatever_is_in_them(size, hide):
    """Faces over the border, behind the camera, tiny; more people than cards."""
    people = [face(f"f{k}", (0.3 * k - 1.0, 0.1, 0.4 + 0.3 * k)) for k in range(9)]
    people.append(face("f9", (0.0, 0.0, 0.5), size_px=1.0))
    gazes = tuple(Gaze(f.id, f.pose[:3, 3], np.array([0.0, 0.0, 1.0]), 0, 0, 0, 0, 1.0) for f in people)
    painter = Painter("x" * 90, size, Camera.from_fov(*size, 60), emotion=True, hide_people=hide)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    shown = painter.picture(3, image, scene(3e5, people, [], gazes=gazes))
    assert shown.dtype == np.uint8 and (shown.shape[1], shown.shape[0]) == painter.size
    assert painter.size[0] % 2 == painter.size[1] % 2 == 0
    assert 480 + WIDTH <= painter.size[0] <= 1280 + WIDTH
    assert painter.picture(4, image, scene()).shape == shown.shape


def test_a_person_keeps_their_colour():
    painter = Painter("a", (640, 480), CAMERA, emotion=False)
    grey = np.full((480, 640, 3), 110, np.uint8)
    painter.picture(0, grey, scene(faces=[face("f1", (0, 0, 1.0))]))
    shown = painter.picture(1, grey, scene(faces=[face("f2", (0, 0, 1.0))]))
    assert not _has(shown, PERSON)
    assert _has(painter.picture(2, grey, scene(faces=[face("f1", (0, 0, 1.0))])), PERSON)


def test_angles_are_those_of_the_person():
    """Against single rotations written out: chin to the chest is pitch > 0, to the own left is yaw > 0."""
    assert head_deg(face("f", (0, 0, 1)).pose) == pytest.approx((0, 0, 0), abs=1e-9)
    for k, ypr in enumerate(np.radians(np.diag([20.0, -15.0, 10.0]))):
        assert head_deg(face("f", (0, 0, 1), ypr).pose)[k] == pytest.approx((20.0, -15.0, 10.0)[k])
    # The person's left is the image's right; down is down.
    assert ray_deg(np.array([0.0, 0.0, -1.0])) == pytest.approx((0.0, 0.0))
    assert ray_deg(np.array([1.0, 0.0, -1.0]) / math.sqrt(2)) == pytest.approx((45.0, 0.0))
    assert ray_deg(np.array([0.0, 1.0, -1.0]) / math.sqrt(2)) == pytest.approx((0.0, 45.0))
    assert np.allclose(FACING @ np.array([0.0, 1.0, 0.0]), [1.0, 0.0, 0.0])


def test_every_source_of_depth_has_a_word():
    painter = Painter("a", (640, 480), CAMERA, emotion=False)
    grey = np.full((480, 640, 3), 110, np.uint8)
    from dataclasses import replace

    pictures = [
        painter.picture(0, grey, scene(faces=[replace(face("f1", (0, 0, 1.0)), depth_source=source)]))
        for source in DepthSource
    ]
    assert len({p.tobytes() for p in pictures}) == len(DepthSource)


@pytest.mark.parametrize(
    "side, gesture, words",
    [
        (Side.LEFT, Gesture.LEFT, "left hand points left"),
        (Side.RIGHT, Gesture.THUMBS_UP, "right hand thumbs up"),
        (Side.UNKNOWN, Gesture.POINTING, "hand pointing"),
        (Side.RIGHT, Gesture.NONE, "right hand"),
    ],
)
def test_the_side_and_the_direction_are_told_apart(side, gesture, words):
    assert in_words(hand("h1", (0.0, 0.0, 0.5), side=side, gesture=gesture)) == words
