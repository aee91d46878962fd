"""Hands in space: against a pinhole camera by hand, and tables of what counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabg.errors import InputError
from fabg.geometry import pose, rotation_from_ypr
from fabg.perception.hand_geometry import (
    ReachRule,
    hand_frame,
    is_held_out,
    owners,
    palm_center,
    palm_distance,
    place,
)
from fabg.perception.hand_landmark import HandReading, Region, region_of_joints
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, DepthSource, Face, Roi, Side

CAMERA = Camera(550.0, 550.0, 319.5, 239.5)


def flat_hand() -> np.ndarray:
    """21 joints of a flat right hand, palm to the camera, fingers up in the image: x right, y down, z forward."""
    joints = np.zeros((21, 3))
    joints[0] = 0.0, 0.09, 0.0
    for finger, (x, length) in enumerate(
        ((0.045, 0.5), (0.025, 0.9), (0.0, 1.0), (-0.02, 0.9), (-0.04, 0.7))
    ):
        for k in range(4):
            start = 0.05 if finger == 0 else 0.0
            joints[1 + 4 * finger + k] = x * (1 + 0.1 * k), start - 0.03 * k * length, 0.0
    return joints


def seen(joints_m: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
    return joints_m[:, :2] / joints_m[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def reading_of(joints_m: np.ndarray, scale: float = 1.0) -> HandReading:
    """What a perfect net would read of joints in the optical frame, believing in a hand of another size."""
    px = seen(joints_m)
    region = region_of_joints(px)
    ray = np.array([(region.x - CAMERA.cx) / CAMERA.fx, (region.y - CAMERA.cy) / CAMERA.fy, 1.0])
    z = ray / np.linalg.norm(ray)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    looking = np.stack([x, np.cross(z, x), z])  # rows: the axes of a camera that looks along the ray
    centered = joints_m - joints_m.mean(axis=0)
    return HandReading(px, scale * centered @ looking.T, 1.0, 1.0, region)


def placed(x: float, y: float, z: float, turn: np.ndarray | None = None) -> np.ndarray:
    return flat_hand() @ (np.eye(3) if turn is None else turn).T + [x, y, z]


@pytest.mark.parametrize("at", [(0.0, 0.0, 0.5), (0.3, -0.1, 0.6), (-0.25, 0.2, 1.2)])
@pytest.mark.parametrize("ypr_deg", [(0, 0, 0), (40, 20, 10), (-80, 30, 60)])
def test_joints_that_fit_are_placed_where_they_are(at, ypr_deg):
    truth = placed(*at, rotation_from_ypr(*np.radians(ypr_deg)))
    found = place(reading_of(truth), CAMERA)
    # The crop's camera of the test and of the code may differ in roll: below 1 % of the distance.
    np.testing.assert_allclose(found, truth, atol=0.01 * at[2])
    np.testing.assert_allclose(seen(found), seen(truth), atol=1e-6)  # each joint stays on its ray


def test_a_hand_believed_smaller_is_put_nearer_in_proportion():
    truth = placed(0.05, 0.0, 0.8)
    found = place(reading_of(truth, 0.8), CAMERA)
    assert palm_center(found)[2] == pytest.approx(0.8 * palm_center(truth)[2], rel=1e-3)


def test_joints_behind_the_camera_are_refused():
    reading = reading_of(placed(0.0, 0.0, 0.5))
    with pytest.raises(InputError, match="in front of the camera"):
        place(HandReading(reading.landmarks_px, -50.0 * reading.world_m, 1.0, 1.0, reading.region), CAMERA)


@pytest.mark.parametrize("turn_deg", range(-180, 180, 45))
def test_the_region_turns_and_grows_with_the_hand(turn_deg):
    upright = seen(placed(0.0, 0.0, 0.5))
    angle = math.radians(turn_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    one = region_of_joints(upright)
    other = region_of_joints(2.0 * upright @ turn.T + [30.0, -20.0])
    assert math.remainder(other.angle - one.angle - angle, 2 * math.pi) == pytest.approx(0.0, abs=1e-9)
    assert other.side == pytest.approx(2.0 * one.side)
    np.testing.assert_allclose([other.x, other.y], 2.0 * turn @ [one.x, one.y] + [30.0, -20.0])


def test_the_region_of_an_upright_hand_is_upright_and_holds_all_joints():
    px = seen(placed(0.0, 0.0, 0.5))
    region = region_of_joints(px)
    assert region.angle == pytest.approx(0.0, abs=0.1)
    assert (np.abs(px - [region.x, region.y]) < region.side / 2).all()


# Depth -------------------------------------------------------------------------------------------


def depth_of(z: float, behind: float = 2.0) -> tuple[Depth, np.ndarray]:
    px = seen(placed(0.0, 0.0, z))
    values = np.full((480, 640), behind, dtype=np.float32)
    low, high = px.min(axis=0).astype(int), px.max(axis=0).astype(int)
    values[low[1] : high[1], low[0] : high[0]] = z - 0.018  # the skin is nearer than the joints
    return Depth(values, DepthSource.SENSOR), px


def test_the_palm_distance_is_that_of_the_joints_behind_the_skin():
    depth, px = depth_of(0.6)
    assert palm_distance(depth, px, 0.65) == pytest.approx(0.6, abs=0.005)


def test_holes_noise_and_what_is_behind_do_not_matter():
    depth, px = depth_of(0.6)
    rng = np.random.default_rng(1)
    values = depth.z_m * (1 + 0.02 * rng.standard_normal(depth.z_m.shape)).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    values[rng.random(values.shape) < 0.2] = 2.0
    assert palm_distance(Depth(values, DepthSource.STEREO), px, 0.65) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0, 5.0])
def test_a_depth_image_that_does_not_tell_gives_none(value):
    px = seen(placed(0.0, 0.0, 0.6))
    depth = Depth(np.full((480, 640), value, dtype=np.float32), DepthSource.SENSOR)
    assert palm_distance(depth, px, 0.6) is None


def test_a_palm_outside_the_image_has_no_depth():
    depth, px = depth_of(0.6)
    assert palm_distance(depth, px + np.array([900.0, 0.0]), 0.6) is None


# Owners ------------------------------------------------------------------------------------------


def face(face_id: str, x: float, z: float = 1.0, y: float = 0.0) -> Face:
    width = 0.15 * CAMERA.fx / z
    u, v = x / z * CAMERA.fx + CAMERA.cx, y / z * CAMERA.fy + CAMERA.cy
    roi = Roi(u - width / 2, v - 0.6 * width, width, 1.3 * width)
    return Face(face_id, roi, 0.9, np.zeros((478, 3)), np.zeros(52), pose(np.eye(3), (x, y, z)))


def owner_of(
    hands: dict[str, tuple], faces: list[Face], before: dict[str, str] | None = None
) -> dict[str, str]:
    points = {name: np.array(at, dtype=float) for name, at in hands.items()}
    pixels = {name: seen(at[None])[0] for name, at in points.items()}
    return owners(points, pixels, dict.fromkeys(hands, Side.UNKNOWN), faces, before or {})


def test_hands_belong_to_the_person_they_are_near():
    faces = [face("a", -0.4), face("b", 0.4)]
    hands = {"1": (-0.5, 0.3, 0.7), "2": (-0.2, 0.3, 0.7), "3": (0.5, 0.1, 0.8)}
    assert owner_of(hands, faces) == {"1": "a", "2": "a", "3": "b"}


def test_nobody_has_three_hands():
    hands = {"1": (-0.2, 0.3, 0.8), "2": (0.2, 0.3, 0.8), "3": (0.3, 0.35, 0.8)}
    found = owner_of(hands, [face("a", 0.0)])
    assert found == {"1": "a", "2": "a"}


def test_a_hand_that_nobody_can_reach_has_no_owner():
    assert owner_of({"1": (1.4, 0.9, 1.0)}, [face("a", -0.5)]) == {}
    assert owner_of({"1": (0.1, 0.3, 2.9)}, [face("a", 0.0, 1.0)]) == {}
    assert owner_of({"1": (0.0, 0.3, 0.8)}, []) == {}


def test_the_owner_stays_until_somebody_fits_much_better():
    faces = [face("a", -0.3), face("b", 0.3)]
    middle = {"1": (0.03, 0.3, 0.8)}
    assert owner_of(middle, faces) == {"1": "b"}
    assert owner_of(middle, faces, {"1": "a"}) == {"1": "a"}
    assert owner_of({"1": (0.95, 0.3, 0.8)}, faces, {"1": "a"}) == {"1": "b"}


def test_the_side_decides_between_two_people_who_are_as_near():
    faces = [face("a", -0.3), face("b", 0.3)]
    at = np.array([0.0, 0.3, 0.8])
    for side, owner in ((Side.LEFT, "a"), (Side.RIGHT, "b")):  # own left is to the right in the image
        assert owners({"1": at}, {"1": seen(at[None])[0]}, {"1": side}, faces, {}) == {"1": owner}


# Held out ----------------------------------------------------------------------------------------

RULE = ReachRule(nearer_m=0.15, below_m=0.5, distance_m=0.8, hang_rad=math.radians(40))
UP, DOWN, SIDEWAYS = np.eye(3), np.diag([-1.0, -1.0, 1.0]), rotation_from_ypr(math.pi / 2, 0, 0)


@pytest.mark.parametrize(
    ("at", "turn", "with_owner", "points", "held_out"),
    [
        ((0.1, 0.2, 0.7), UP, True, False, True),
        ((0.1, 0.2, 0.7), SIDEWAYS, True, False, True),
        ((0.1, 0.2, 0.95), UP, True, False, False),  # as far away as the face
        ((0.1, 0.2, 0.7), DOWN, True, False, False),  # hangs
        ((0.1, 0.2, 0.7), DOWN, True, True, True),  # but a finger may point down
        ((0.1, 0.7, 0.6), UP, True, False, False),  # in the lap
        ((0.1, 0.2, 0.6), UP, False, False, True),
        ((0.1, 0.2, 0.95), UP, False, False, False),
    ],
)
def test_what_counts_as_held_out(at, turn, with_owner, points, held_out):
    owner = face("a", 0.0, 1.0) if with_owner else None
    assert is_held_out(placed(*at, turn), owner, RULE, points) is held_out


def test_it_takes_more_to_begin_than_to_go_on():
    joints, owner = placed(0.0, 0.0, 0.88), face("a", 0.0, 1.0)
    assert not is_held_out(joints, owner, RULE, False)
    assert is_held_out(joints, owner, RULE.loosened(), False)


@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT])
def test_the_hand_frame_is_that_of_the_hand(side):
    """Palm to the camera, fingers up: the back looks away, a right hand's thumb is to the image's right."""
    joints = placed(0.1, 0.0, 0.6)
    if side == Side.LEFT:
        joints[:, 0] = 0.2 - joints[:, 0]
    frame = hand_frame(joints, side)
    np.testing.assert_allclose(frame[:3, :3] @ frame[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(frame[:3, 0], [0, -1, 0], atol=0.05)
    np.testing.assert_allclose(frame[:3, 1], [1, 0, 0], atol=0.05)
    np.testing.assert_allclose(frame[:3, 2], [0, 0, 1], atol=0.05)
    np.testing.assert_allclose(frame[:3, 3], palm_center(joints))


def test_the_frame_of_joints_on_one_point_is_still_a_rotation():
    frame = hand_frame(np.ones((21, 3)), Side.RIGHT)
    np.testing.assert_allclose(frame[:3, :3] @ frame[:3, :3].T, np.eye(3), atol=1e-12)


def test_regions_are_plain():
    np.testing.assert_allclose(Region(0, 0, 1, math.pi / 2).axes, [[0, 1], [-1, 0]], atol=1e-12)
