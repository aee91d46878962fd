"""What the cameras see agrees with the scene: against its own numbers, and against the geometry of two cameras."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import InputError
from fabg.geometry import inverse, rotation_from_ypr
from fabg.perception.pipeline import Pipeline
from fabg.perception.pose import Camera
from fabg.perception.scene import Scene as Seen
from fabg.perception.types import Face, Faces, Gaze, Gesture, Hand, Hands, Roi, Side
from fabg.social.avatar import Studio
from fabg.social.avatar.pair import PairStudio
from fabg.social.avatar.scene import Background, Lens
from fabg.social.sight import (
    BASELINE_M,
    CAMERA_M,
    UNKNOWN_DEPTH,
    SceneCamera,
    Setting,
    StereoRig,
    actors_of,
    base_from_camera,
    observation_of,
)
from tests.social.scenes import ROBOTS_EYES, hand, person, scene

POINTING = {
    "fingers_to": (-1, 0.1, 0.1),
    "palm_to": (0, 0, -1),
    "shape": "point",
    "gesture": Gesture.POINTING,
}


@pytest.fixture(scope="module")
def rig():
    with StereoRig() as opened:
        yield opened


@pytest.fixture(scope="module")
def camera():
    with SceneCamera() as opened:
        yield opened


def _in_base(pose_or_points, base):
    points = np.asarray(pose_or_points)
    return base @ points if points.shape == (4, 4) else points @ base[:3, :3].T + base[:3, 3]


def test_the_camera_stands_where_it_is_said_to_and_looks_ahead():
    base = base_from_camera()
    np.testing.assert_allclose(base[:3, 3], CAMERA_M)
    np.testing.assert_allclose(base[:3, 2], [1, 0, 0], err_msg="the optical axis is the base's x")
    np.testing.assert_allclose(base[:3, 0], [0, -1, 0], err_msg="right in the image is the robot's right")
    np.testing.assert_allclose(base[:3, 1], [0, 0, -1])
    assert np.linalg.det(base[:3, :3]) == pytest.approx(1.0)


@pytest.mark.parametrize(("seed", "side"), [(1003, Side.RIGHT), (1007, Side.LEFT), (1012, Side.RIGHT)])
def test_ground_truth_in_the_base_frame_is_the_scene(camera, seed, side):
    sign = 1 if side == Side.RIGHT else -1
    stage = scene(
        person(
            seed, (0.95, 0.12, 0.08), head=(0.3, -0.1, 0.15),
            hands=[hand(seed, (0.6, 0.12 + 0.2 * sign, 0.02), side=side, **POINTING)],
        )
    )  # fmt: skip
    (truth,) = stage.people
    picture = camera.picture(stage)
    head = _in_base(picture.faces[0].pose, camera.base_from_camera)
    np.testing.assert_allclose(head[:3, 3], [0.95, 0.12, 0.08], atol=1e-9)
    # REP-103 by hand: from facing the robot (-x), turned to the own left, up, and tilted to the own right.
    expected = np.diag([-1, -1, 1]) @ rotation_from_ypr(0.3, -0.1, 0.15)
    np.testing.assert_allclose(head[:3, :3], expected, atol=1e-9)
    seen = _in_base(picture.hands[0].joints_m, camera.base_from_camera)
    np.testing.assert_allclose(seen[8], truth.hands[0].tip_m, atol=0.015)
    np.testing.assert_allclose(seen[[0, 5, 17]].mean(axis=0), truth.hands[0].pose[:3, 3], atol=0.015)
    along = camera.base_from_camera[:3, :3] @ picture.hands[0].pointing
    assert along @ truth.hands[0].direction > math.cos(math.radians(5))
    assert picture.hands[0].side == side


def test_a_raised_hand_turns_up_on_the_owners_side(camera):
    """Of somebody who faces the camera the right hand is on the left of the image."""
    picture = camera.picture(scene(person(hands=[hand(1003, (0.6, -0.2, 0.1), side=Side.LEFT)])))
    assert picture.hands[0].box.center[0] > 320
    assert picture.image.shape == (480, 640, 3)


def test_people_look_where_the_scene_says(camera):
    target = np.array([0.2, 0.25, 0.0])
    picture = camera.picture(scene(person(head=(-0.2, 0.0, 0.0), look=target)))
    face = picture.faces[0]
    origin = _in_base(face.origin, camera.base_from_camera)
    gaze = camera.base_from_camera[:3, :3] @ face.gaze
    np.testing.assert_allclose(gaze, (target - origin) / np.linalg.norm(target - origin), atol=1e-6)


def test_eyes_turn_no_further_than_eyes_do(camera):
    picture = camera.picture(scene(person(look=(0.9, 3.0, 0.1))))
    assert math.radians(40) < abs(picture.faces[0].eye_yaw_rad) <= math.radians(55)
    picture = camera.picture(scene(person(look=(2.0, 0.0, 0.1))))  # behind their head
    assert np.isfinite(picture.faces[0].gaze).all()


def test_disparity_is_baseline_times_focal_length_over_distance(rig):
    wide = StereoRig((640, 480), fov_deg=60)
    with wide:
        for z in (0.6, 1.1):
            stage = scene(person(1005, (CAMERA_M[0] + z, 0.0, CAMERA_M[2])))
            left, right, depth = wide.rgbd(stage)
            # The eyes: richest in contrast. Their distance is read from the depth.
            u = wide.camera.cx + wide.camera.fx * BASELINE_M / 2 / z
            box = (int(u - 40 * 0.6 / z), int(240 - 12 * 0.6 / z), int(80 * 0.6 / z), int(34 * 0.6 / z))
            x, y, w, h = box
            score = cv2.matchTemplate(right[y : y + h], left[y : y + h, x : x + w], cv2.TM_CCOEFF_NORMED)[0]
            k = int(np.argmax(score))
            a, b, c = score[k - 1 : k + 2]
            shift = x - (k + 0.5 * (a - c) / (a - 2 * b + c))
            distance = float(np.median(depth[y : y + h, x : x + w]))
            assert shift == pytest.approx(wide.camera.fx * BASELINE_M / distance, rel=0.015)


def test_both_images_are_what_one_camera_at_each_place_sees(rig):
    """Posed once and drawn twice, they are the pictures of two cameras, one after the other."""
    stage = scene(
        person(
            1003, (0.8, 0.1, 0.1), head=(0.2, 0.0, 0.0), hands=[hand(1003, (0.5, 0.15, 0.0))], jawOpen=0.4
        ),
        person(1003, (1.2, -0.3, 0.1), name="p1"),  # two who look alike share meshes
    )
    images = rig.rgbd(stage)
    with Studio(rig.camera, (160, 120), samples=0) as studio:
        for image, base in zip(images, (rig.base_from_left, rig.base_from_right), strict=False):
            picture = studio.render(actors_of(stage, inverse(base)))
            # Edges may fall to the other side of a pixel's middle.
            assert (image != picture.image).any(axis=2).mean() < 0.001
            if base is rig.base_from_left:
                away = np.abs(images[2] - np.nan_to_num(picture.depth, nan=0.0))
                assert (away > 1e-4).mean() < 0.001


def test_depth_is_metres_where_somebody_is_and_unknown_elsewhere(rig):
    _, _, depth = rig.rgbd(scene(person(1003, (0.8, 0.0, 0.12))))
    assert depth.dtype == np.float32
    assert depth.shape == (120, 160)
    u = round(rig.camera.cx + rig.camera.fx * BASELINE_M / 2 / 0.7)
    assert depth[round(rig.camera.cy), u] == pytest.approx(0.7, abs=0.005)
    assert depth[0, 0] == UNKNOWN_DEPTH == 0.0
    _, _, empty = rig.rgbd(scene())
    assert not empty.any()


def test_the_same_scene_and_seed_give_the_same_bytes(rig):
    grainy = Setting(background=Background("room"), lens=Lens(noise=6.0, blur_px=0.5), seed=5)
    stage = scene(person(hands=[hand(1003, (0.6, 0.2, 0.0))], mouthSmileLeft=0.5), time_s=0.4)
    try:
        rig.setting = grainy
        first = rig.rgbd(stage)
        rig.rgbd(scene(person(1004)))
        for before, after in zip(first, rig.rgbd(stage), strict=True):
            assert before.tobytes() == after.tobytes()
        later = rig.rgbd(replace(stage, time_s=0.42))
        assert (later[0] != first[0]).mean() > 0.3, "noise changes from image to image"
        assert (first[0][:20, :20] != first[1][:20, :20]).mean() > 0.3, "each sensor has noise of its own"
        rig.setting = replace(grainy, seed=6)
        assert (rig.rgbd(stage)[0] != first[0]).mean() > 0.3
    finally:
        rig.setting = Setting()


def test_what_is_at_the_camera_or_behind_it_is_not_drawn(rig):
    assert actors_of(scene(person(at=(0.05, 0.0, 0.1))), inverse(base_from_camera())) == []
    near = person(hands=[hand(1003, (0.15, 0.0, 0.1))])
    (actor,) = actors_of(scene(near), inverse(base_from_camera()))
    assert actor.hands == ()
    assert actor.face is not None
    rig.rgbd(scene(near))


@settings(max_examples=40, deadline=None)
@given(
    number=st.sampled_from([math.nan, math.inf, -math.inf]),
    what=st.sampled_from(["position_m", "shapes", "look_at_m", "head", "hand"]),
    row=st.integers(0, 2),
)
def test_numbers_that_are_none_are_refused(number, what, row):
    whole = person(hands=[hand(1003, (0.6, 0.2, 0.0))])
    if what == "head":
        whole.head = tuple(number if k == row else 0.0 for k in range(3))
    elif what == "hand":
        whole.hands[0].pose[row, 3] = number
    else:
        getattr(whole, what)[row] = number
    with pytest.raises(InputError, match="finite"):
        actors_of(scene(whole), inverse(base_from_camera()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"size": (8, 120)}, "size"), ({"baseline_m": 0.0}, "baseline"), ({"baseline_m": math.nan}, "baseline")],
)
def test_pairs_out_of_range_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        PairStudio(Camera.from_fov(160, 120, 90), **arguments)


def test_a_closed_rig_says_so():
    rig = StereoRig((32, 32))
    rig.close()
    rig.close()
    with pytest.raises(InputError, match="closed"):
        rig.rgbd(scene())


def test_what_perception_says_is_turned_into_the_base_frame():
    """A face 1 m ahead of the camera and 0.2 m to its right is 0.2 m to the robot's right."""
    head = np.eye(4)
    head[:3, :3], head[:3, 3] = [[0, 1, 0], [0, 0, -1], [-1, 0, 0]], [0.2, -0.1, 1.0]
    face = Face("f1", Roi(0, 0, 1, 1), 0.9, np.zeros((478, 3)), np.full(52, 0.25), head)
    gaze = Gaze("f1", head[:3, 3], np.array([0.0, 0.6, -0.8]), 0.0, 0.0, 0.0, 0.0, 1.0)
    joints = np.zeros((21, 3))
    joints[8] = [0.0, 0.05, 0.5]
    found = Hand(
        "h1", Side.LEFT, 1.0, np.zeros((21, 2)), joints, np.array([0.0, 0.1, 0.6]), 3, Gesture.POINTING, 0.7,
        np.array([0.0, 0.0, -1.0]), True, "f1",
    )  # fmt: skip
    seen = Seen(
        1.5,
        Faces(1.5, (640, 480), (face,)),
        (gaze,),
        (),
        (),
        {},
        (),
        Hands(1.5, (640, 480), (found,)),
        (),
        {},
    )
    observation = observation_of(seen, base_from_camera())
    assert observation.stamp_s == 1.5
    (who,), (limb,) = observation.people, observation.hands
    np.testing.assert_allclose(who.position_m, [1.1, -0.2, 0.22])
    np.testing.assert_allclose(who.rotation, np.diag([-1, -1, 1]), atol=1e-12)
    np.testing.assert_allclose(who.gaze, [-0.8, 0.0, -0.6], atol=1e-12)
    np.testing.assert_allclose(limb.tip_m, [0.6, 0.0, 0.07])
    np.testing.assert_allclose(limb.position_m, [0.7, 0.0, 0.02])
    np.testing.assert_allclose(limb.direction, [-1.0, 0.0, 0.0], atol=1e-12)
    assert (limb.side, limb.gesture, limb.confidence, limb.extended, limb.person_id) == (
        Side.LEFT, Gesture.POINTING, 0.7, True, "f1",
    )  # fmt: skip
    nothing = observation_of(
        Seen(2.0, Faces(2.0, (640, 480), ()), (), (), (), {}, (), None, (), {}), np.eye(4)
    )
    assert (nothing.people, nothing.hands, nothing.stamp_s) == ((), (), 2.0)


@pytest.mark.slow
def test_perception_finds_the_person_where_the_scene_has_them(camera):
    """Through the real pipeline: within the accuracy that it is known for (distance 10 %, direction 10 degrees)."""
    held = hand(1006, (0.55, 0.2, 0.05), shape="open", gesture=Gesture.OPEN_PALM)
    at = np.array([0.85, -0.02, 0.1])
    with Pipeline() as pipeline:
        for k in range(12):
            stage = scene(
                person(1006, at, hands=[held], mouthSmileLeft=0.9, mouthSmileRight=0.9), time_s=0.04 * k
            )
            observation = camera.observe(pipeline, stage)
            assert observation.stamp_s == stage.time_s
    (who,) = observation.people
    line = at - CAMERA_M
    seen = who.position_m - CAMERA_M
    assert np.linalg.norm(seen) == pytest.approx(np.linalg.norm(line), rel=0.1)
    assert line @ seen / np.linalg.norm(line) / np.linalg.norm(seen) > math.cos(math.radians(2))
    to_robot = ROBOTS_EYES - at
    assert who.gaze @ to_robot / np.linalg.norm(to_robot) > math.cos(math.radians(10))
    (limb,) = observation.hands
    assert (limb.side, limb.gesture, limb.extended) == (Side.RIGHT, Gesture.OPEN_PALM, True)
    np.testing.assert_allclose(limb.position_m, held.pose[:3, 3], atol=0.08)
    np.testing.assert_allclose(limb.tip_m, held.tip_m, atol=0.08)
    assert limb.person_id == who.id
