"""What a picture claims about itself holds: against geometry, against a second view, against itself."""

import math

import cv2
import numpy as np
import pytest

from fabg.errors import InputError
from fabg.expression import INDEX
from fabg.geometry import inverse, rotation_from_ypr
from fabg.perception.pose import Camera
from fabg.perception.types import Side
from fabg.social.avatar import (
    HAND_SHAPES,
    Actor,
    Background,
    EyeAngles,
    FacePose,
    Fingers,
    HandPose,
    Lens,
    Light,
    Person,
    Studio,
    facing,
    hand_at,
    shapes_of,
)
from tests.social.conftest import CAMERA, look


def _unit(v):
    return v / np.linalg.norm(v)


def test_a_face_that_looks_straight_back_has_the_documented_rotation(studio):
    (face,) = studio.render([look()]).faces
    np.testing.assert_allclose(face.pose[:3, :3], [[0, 1, 0], [0, 0, -1], [-1, 0, 0]], atol=1e-12)
    left, right = face.eyes
    assert left[0] > 0 > right[0], "the left eye has the larger x in the image"
    assert 0.045 < left[0] - right[0] < 0.075, "the distance between human eyes, m"


def test_depth_at_the_sellion_and_at_the_eyes_is_their_distance(studio):
    for seed in (1, 4, 10):
        picture = studio.render([look(seed, (0.05, -0.03, 0.7), yaw_rad=0.2, pitch_rad=-0.1)])
        (face,) = picture.faces
        u, v = np.rint(studio.project(face.pose[None, :3, 3])[0]).astype(int)
        assert picture.depth[v, u] == pytest.approx(face.pose[2, 3], abs=0.002)
        for (u, v), eye, direction in zip(face.irises_px, face.eyes, face.directions, strict=True):
            surface = picture.depth[round(v), round(u)]
            front = eye + 0.0135 * direction  # eyeballs have radii of 12 to 15 mm
            assert surface == pytest.approx(front[2], abs=0.003)


def test_nobody_has_no_depth(studio):
    picture = studio.render([])
    assert np.isnan(picture.depth).all()
    assert picture.faces == picture.hands == ()


def test_both_eyes_meet_at_the_target(studio):
    target = np.array([0.10, -0.05, 0.25])
    pose = facing((0.0, 0.02, 0.7), yaw_rad=0.15, roll_rad=0.1)
    (face,) = studio.render([Actor(Person.random(2), FacePose(pose, gaze=target))]).faces
    for eye, direction in zip(face.eyes, face.directions, strict=True):
        np.testing.assert_allclose(direction, _unit(target - eye), atol=1e-9)
    np.testing.assert_allclose(face.gaze, _unit(target - face.eyes.mean(axis=0)), atol=1e-9)
    assert face.directions[0] @ face.directions[1] < 1 - 1e-4, "the eyes converge"


def test_eye_angles_follow_rep_103(studio):
    pose = facing((0, 0, 0.6), yaw_rad=0.3)
    (face,) = studio.render([Actor(Person.random(2), FacePose(pose, gaze=EyeAngles.both(0.2, 0.1)))]).faces
    expected = pose[:3, :3] @ rotation_from_ypr(0.2, 0.1, 0.0)[:, 0]
    np.testing.assert_allclose(face.gaze, expected, atol=1e-9)
    assert (face.eye_yaw_rad, face.eye_pitch_rad) == pytest.approx((0.2, 0.1))
    level = studio.render(
        [Actor(Person.random(2), FacePose(facing((0, 0, 0.6)), gaze=EyeAngles.both(0.3, 0.2)))]
    )
    assert level.faces[0].gaze[0] > 0, "to the own left is to the right in the image"
    assert level.faces[0].gaze[1] > 0, "down"


def test_lids_go_along_unless_told_otherwise(studio):
    told = shapes_of(eyeLookUpLeft=0.4)
    for lids in (True, False):
        face = FacePose(facing((0, 0, 0.6)), told, EyeAngles.both(0.0, 0.3), lids=lids)
        (truth,) = studio.render([Actor(Person.random(2), face)]).faces
        if lids:
            assert truth.shapes[INDEX["eyeLookDownLeft"]] > 0.5
            assert truth.shapes[INDEX["eyeLookUpLeft"]] == 0.0
        else:
            np.testing.assert_array_equal(truth.shapes, told)


def test_the_projected_outline_moves_as_pinhole_geometry_says():
    # The same head, seen by a camera with twice the focal length, is twice as large about the axis.
    actor = look(5, (0.03, 0.02, 0.9))
    boxes = []
    for focal in (400.0, 800.0):
        with Studio(Camera(focal, focal, 319.5, 239.5)) as studio:
            (face,) = studio.render([actor]).faces
            boxes.append(face.box)
    near, far = boxes[1], boxes[0]
    assert near.width == pytest.approx(2 * far.width, abs=3)
    assert near.center[0] - 319.5 == pytest.approx(2 * (far.center[0] - 319.5), abs=3)


def test_two_views_of_one_scene_agree():
    """A stereo pair: every pixel of the left view, lifted by its depth, meets the same depth in the right."""
    base = 0.06
    actor = look(6, (0.0, 0.0, 0.7), yaw_rad=0.1)
    shift = np.eye(4)
    shift[0, 3] = base  # the right camera stands at x = base
    moved = FacePose(
        inverse(shift) @ actor.face.pose, gaze=np.array([-base, 0, 0]), torso=actor.face.pose[:3, :3]
    )
    fixed = FacePose(actor.face.pose, gaze=np.zeros(3), torso=actor.face.pose[:3, :3])
    with Studio(CAMERA) as studio:
        left = studio.render([Actor(actor.person, fixed)])
        right = studio.render([Actor(actor.person, moved)])
    v, u = np.nonzero(np.isfinite(left.depth))
    z = left.depth[v, u]
    other = u - CAMERA.fx * base / z
    inside = (other >= 1) & (other < 638)
    seen = right.depth[v[inside], np.rint(other[inside]).astype(int)]
    error = np.abs(seen - z[inside])
    assert np.nanmedian(error) < 0.001
    assert np.nanmean(error < 0.01) > 0.93, "apart from what only one camera sees"
    image_error = np.abs(
        left.image[v[inside], u[inside]].astype(int)
        - right.image[v[inside], np.rint(other[inside]).astype(int)]
    )
    assert np.median(image_error) <= 4


def test_who_stands_in_front_hides_who_is_behind(studio):
    behind, front = look(3, (0.0, 0.0, 1.2)), look(4, (0.0, 0.0, 0.6))
    alone = studio.render([behind]).faces[0]
    for order in ([behind, front], [front, behind]):
        picture = studio.render(order)
        by_actor = {face.actor: face for face in picture.faces}
        hidden = by_actor[order.index(behind)]
        assert alone.visible > 0.6
        assert hidden.visible < 0.05
        assert hidden.box is None
        assert by_actor[order.index(front)].visible == pytest.approx(studio.render([front]).faces[0].visible)
    side = studio.render([look(3, (0.25, 0, 1.2)), look(4, (-0.25, 0, 0.9))])
    assert [face.actor for face in side.faces] == [0, 1]
    assert side.faces[0].box.x > side.faces[1].box.x + side.faces[1].box.width


def test_a_hand_before_the_face_takes_from_its_visible_share(studio):
    person = Person.random(9)
    face = FacePose(facing((0, 0, 0.7)), gaze=np.zeros(3))
    hand = HandPose(Side.RIGHT, hand_at((0.0, 0.05, 0.45)), HAND_SHAPES["open"])
    free = studio.render([Actor(person, face)]).faces[0]
    covered = studio.render([Actor(person, face, (hand,))])
    assert covered.faces[0].visible < free.visible - 0.2
    assert covered.hands[0].visible > 0.8


def test_the_same_arguments_give_the_same_picture():
    actors = [look(7, (0.1, 0.0, 0.8)), look(8, (-0.2, 0.0, 1.0))]
    more = {
        "background": Background("room"), "lens": Lens(blur_px=1.2, noise=6, exposure_ev=0.5), "light": Light(key=1.0),
    }  # fmt: skip
    pictures = []
    for _ in range(2):
        with Studio(CAMERA) as studio:
            studio.render([look(1)], seed=1)  # what was drawn before leaves no trace
            pictures.append(studio.render(actors, seed=5, **more))
    np.testing.assert_array_equal(pictures[0].image, pictures[1].image)
    np.testing.assert_array_equal(pictures[0].depth, pictures[1].depth)
    with Studio(CAMERA) as studio:
        other = studio.render(actors, seed=6, **more)
    assert (other.image != pictures[0].image).mean() > 0.5


def test_people_repeat_by_seed_and_differ_between_seeds():
    assert Person.random(1234) == Person.random(1234)
    people = [Person.random(seed) for seed in range(1000, 1200)]
    assert len({person.identity for person in people}) == 200
    ages = np.array([person.age_years for person in people])
    assert (ages < 18).mean() == pytest.approx(0.12, abs=0.07)
    assert (ages >= 18).mean() > 0.75
    brightness = np.array([np.mean(person.skin) for person in people])
    assert brightness.min() < 0.32 < 0.70 < brightness.max()
    assert np.abs(np.diff(np.sort(brightness))).max() < 0.08, "skin tones are continuous"
    assert {person.hair_style for person in people} == {"none", "cropped", "short", "full", "long"}


def test_the_lens_does_what_it_says(studio):
    sharp = studio.render([look()]).image.astype(float)
    blurred = studio.render([look()], lens=Lens(blur_px=3)).image.astype(float)
    assert np.abs(np.diff(blurred, axis=1)).max() < 0.6 * np.abs(np.diff(sharp, axis=1)).max()
    noisy = studio.render([look()], lens=Lens(noise=8)).image.astype(float)
    grey = (sharp > 110) & (sharp < 150)
    assert (noisy - sharp)[grey].std() == pytest.approx(8, rel=0.15)
    dark, bright = (studio.render([look()], lens=Lens(exposure_ev=ev)).image for ev in (-3, 3))
    assert dark.mean() < 0.5 * sharp.mean()
    assert (bright == 255).mean() > 0.5
    moved = studio.render([look()], lens=Lens(motion_px=(15, 0))).image.astype(float)
    expected = cv2.blur(sharp, (15, 1), borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(moved - expected).mean() < 0.4, "a smear to the side averages along rows"


def test_light_comes_from_where_it_is_said_to(studio):
    means = []
    for x in (-1.0, 1.0):
        picture = studio.render([look(2)], light=Light(direction=(x, -0.2, -0.4), ambient=0.2))
        box = picture.faces[0].box
        face = picture.image[
            round(box.y) : round(box.y + box.height), round(box.x) : round(box.x + box.width)
        ]
        half = face.shape[1] // 2
        means.append(face[:, half:].mean() - face[:, :half].mean())
    assert means[0] < -5 < 5 < means[1]


NAN_POSE = facing((0, 0, 0.6)) * np.nan
BAD = {
    "nan pose": (lambda: FacePose(NAN_POSE), "pose of the head.*nan.*finite"),
    "mirrored": (lambda: FacePose(np.diag([-1.0, 1, 1, 1]) + _z(0.5)), "orthonormal"),
    "behind the camera": (lambda: FacePose(facing((0, 0, -0.6))), "z = -0.600 m.*0.12 to 20"),
    "shape too large": (lambda: FacePose(facing((0, 0, 0.6)), shapes_of(jawOpen=1.2)), "jawOpen is 1.2.*0 to 1"),
    "shape nan": (lambda: FacePose(facing((0, 0, 0.6)), shapes_of(jawOpen=math.nan)), "jawOpen is nan"),
    "51 shapes": (lambda: FacePose(facing((0, 0, 0.6)), np.zeros(51)), r"\(51,\).*\(52,\)"),
    "no such shape": (lambda: shapes_of(jawopen=0.5), "jawopen.*jawOpen"),
    "eye out of range": (lambda: EyeAngles.both(1.5, 0.0), "left eye.*1.5"),
    "target nan": (lambda: FacePose(facing((0, 0, 0.6)), gaze=[0, math.nan, 0]), "point to look at.*nan"),
    "unknown hand": (lambda: HandPose(Side.LEFT, hand_at((0, 0, 0.5)), "vulcan"), "vulcan.*open.*fist"),
    "curl": (lambda: Fingers((0, 0, 0, 1.5)), "curl.*1.5"),
    "thumb nan": (lambda: Fingers(thumb=math.nan), "thumb is nan"),
    "no side": (lambda: HandPose(Side.UNKNOWN, hand_at((0, 0, 0.5))), "Side.LEFT or Side.RIGHT"),
    "parallel": (lambda: hand_at((0, 0, 0.5), palm_to=(0, 1, 0)), "parallel"),
    "two right hands": (lambda: Actor(Person.random(1), hands=(_right(), _right())), "two right hands"),
    "nothing": (lambda: Actor(Person.random(1)), "neither face nor hands"),
    "seed": (lambda: Person.random(-1), "seed is -1"),
    "size": (lambda: Studio(CAMERA, (0, 480)), r"\(0, 480\).*16 to 4096"),
    "samples": (lambda: Studio(CAMERA, samples=3), "samples is 3"),
    "light": (lambda: Light(direction=(0, 0, 0)), "not all 0"),
    "key": (lambda: Light(key=math.inf), "key is inf"),
    "background": (lambda: Background("moon"), "moon.*plain"),
    "blur": (lambda: Lens(blur_px=-1), "blur_px is -1"),
    "motion": (lambda: Lens(motion_px=(math.nan, 0)), "motion_px"),
}  # fmt: skip


def _z(z):
    pose = np.zeros((4, 4))
    pose[2, 3] = z
    return pose


def _right():
    return HandPose(Side.RIGHT, hand_at((0, 0, 0.5)))


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_refused_by_name(case):
    make, message = BAD[case]
    with pytest.raises(InputError, match=f"(?s){message}"):
        make()


def test_a_target_beside_the_head_is_refused(studio):
    face = FacePose(facing((0, 0, 0.6)), gaze=np.array([2.0, 0, 0.6]))
    with pytest.raises(InputError, match=r"person 3 cannot look at .*expected within"):
        studio.render([Actor(Person.random(3), face)])


def test_a_closed_studio_says_so():
    studio = Studio(CAMERA)
    studio.close()
    studio.close()
    with pytest.raises(InputError, match="closed"):
        studio.render([])


@pytest.mark.parametrize("size", [(16, 16), (320, 240), (800, 600)])
def test_any_size_is_drawn(size):
    camera = Camera.from_fov(*size, 60.0)
    with Studio(camera, size) as studio:
        picture = studio.render([look()])
    assert picture.image.shape == (size[1], size[0], 3)
    assert picture.image.dtype == np.uint8
    assert np.isfinite(picture.depth).any()


def test_extreme_poses_are_drawn(studio):
    for turn in ({"yaw_rad": 3.1}, {"roll_rad": 1.6}, {"pitch_rad": 1.5}, {"yaw_rad": -1.6, "roll_rad": 0.8}):
        actor = Actor(Person.random(12), FacePose(facing((0.0, 0.0, 0.5), **turn)))
        picture = studio.render([actor])
        assert np.isfinite(picture.depth).mean() > 0.05
    away = studio.render([Actor(Person.random(12), FacePose(facing((0, 0, 0.5), yaw_rad=math.pi)))])
    assert away.faces[0].visible < 0.05, "from behind, nothing of the face is seen"


def test_somebody_outside_the_picture_is_in_the_truth_but_not_seen(studio):
    actor = Actor(Person.random(12), FacePose(facing((3.0, 0.0, 1.0))))
    picture = studio.render([actor])
    (face,) = picture.faces
    assert face.box is None
    assert face.visible == 0.0
